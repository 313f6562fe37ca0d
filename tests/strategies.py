"""Hypothesis strategies: networks of all shapes, batches of all sizes, all memory layouts.

A `Case` is a handful of small numbers that hypothesis can shrink and print; its arrays are drawn
from its seed, with weights scaled so that activations neither die nor saturate at any depth.
`in_layout` lays an array out in memory in every way that NumPy offers.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from oracle import ACTIVATIONS, GRADIENTS

DTYPES = ("float64", "float32")

# One below, at and one above the widths of registers and tiles, and width 1.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97, 130)
BATCHES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 31, 64, 100, 255, 300)

widths = st.sampled_from(WIDTHS)
seeds = st.integers(0, 2**32 - 1)
sizes = st.one_of(
    st.lists(widths, min_size=2, max_size=4),
    st.lists(st.integers(1, 9), min_size=5, max_size=13),  # deep
    st.lists(st.just(1), min_size=2, max_size=10),  # every layer of width 1
).map(tuple)
sample_counts = st.one_of(st.sampled_from(BATCHES), st.integers(1, 300))


@dataclass(frozen=True)
class Case:
    """A network, a batch and the options of a step."""

    sizes: tuple[int, ...]
    n_samples: int
    dtype: str
    activation: str
    gradient: str
    seed: int

    def arrays(self) -> tuple[Any, Any, list[Any], list[Any]]:
        """Return X, Y, W and B."""
        return arrays(self.sizes, self.n_samples, self.dtype, self.seed)

    @property
    def chain(self) -> int:
        """The terms of the sums, added up over all layers and the batch."""
        return sum(self.sizes) + self.n_samples


def arrays(
    sizes: tuple[int, ...], n_samples: int, dtype: Any, seed: int
) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return X, Y, W and B, drawn by NumPy."""
    random = np.random.default_rng(seed)
    W = [
        random.normal(0, 1.5 / np.sqrt(inputs), (inputs, outputs)).astype(dtype)
        for inputs, outputs in pairwise(sizes)
    ]
    B = [random.normal(0, 0.3, (1, outputs)).astype(dtype) for outputs in sizes[1:]]
    X = random.normal(0, 1, (n_samples, sizes[0])).astype(dtype)
    Y = random.uniform(0, 1, (n_samples, sizes[-1])).astype(dtype)
    return X, Y, W, B


def cases(samples: st.SearchStrategy[int] = sample_counts) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        sizes=sizes,
        n_samples=samples,
        dtype=st.sampled_from(DTYPES),
        activation=st.sampled_from(ACTIVATIONS),
        gradient=st.sampled_from(GRADIENTS),
        seed=seeds,
    )


LAYOUTS = (
    "c",
    "fortran",
    "transposed",
    "negative_rows",
    "negative_columns",
    "negative_both",
    "step_2_rows",
    "step_2_columns",
    "part_of_wider",
    "broadcast",
    "misaligned",
    "misaligned_fortran",
    "read_only",
    "memmap",
    "big_endian",
)

# Those that an array to be updated in place may have.
WRITEABLE_LAYOUTS = tuple(
    name for name in LAYOUTS if name not in {"broadcast", "read_only", "big_endian"}
)


def in_layout(array: Any, name: str) -> Any:
    """Return the numbers of `array` (1-D or 2-D) laid out in memory as `name` says.

    `"broadcast"` (stride 0) can only repeat: every row, or number of a 1-D array, is the first one.
    All others keep every number.
    """
    array = np.array(array, order="C")
    if name == "c":
        return array
    if name == "fortran":
        return np.asfortranarray(array)
    if name == "transposed":
        return np.array(array.T, order="C").T
    if name.startswith("negative"):
        flip = [slice(None)] * array.ndim
        if name != "negative_columns":
            flip[0] = slice(None, None, -1)
        if name != "negative_rows":
            flip[-1] = slice(None, None, -1)
        return np.array(array[tuple(flip)], order="C")[tuple(flip)]
    if name.startswith("step_2"):
        axis = 0 if name == "step_2_rows" else array.ndim - 1
        return _part(array, axis, 2 * array.shape[axis], slice(None, None, 2))
    if name == "part_of_wider":
        axis = array.ndim - 1
        return _part(array, axis, array.shape[axis] + 3, slice(2, 2 + array.shape[axis]))
    if name == "broadcast":
        return np.broadcast_to(array[:1], array.shape)
    if name.startswith("misaligned"):
        buffer = np.empty(array.nbytes + 1, np.uint8)[1:]
        order = "F" if name == "misaligned_fortran" else "C"
        laid_out = np.ndarray(array.shape, array.dtype, buffer, order=order)
        laid_out[...] = array
        return laid_out
    if name == "read_only":
        array.flags.writeable = False
        return array
    if name == "memmap":
        if array.size == 0:  # a file of no bytes cannot be mapped
            return array
        with tempfile.TemporaryFile() as file:
            mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
        mapped[...] = array
        return mapped
    assert name == "big_endian", name
    return array.astype(array.dtype.newbyteorder(">"))


def _part(array: Any, axis: int, length: int, part: slice) -> Any:
    """Return a part of a longer array, the rest of which is NaN (or the largest integer)."""
    shape = list(array.shape)
    shape[axis] = length
    fill = np.nan if array.dtype.kind == "f" else np.ones(1, array.dtype)[0]
    view = np.full(shape, fill, array.dtype)[tuple([slice(None)] * axis + [part])]
    view[...] = array
    return view
