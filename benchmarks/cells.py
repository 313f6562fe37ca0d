"""The cells of the benchmark table: a net, a batch and a dtype, with data on which all peers agree.

The data keep every number ordinary for as long as a measurement lasts: weights of standard
deviation ``1 / sqrt(n_inputs)`` and samples of unit variance leave the sigmoids unsaturated, and
steps of `LEARNING_RATE` hardly move the weights, so that no error shrinks to a subnormal number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEARNING_RATE = 1e-6
DTYPES: tuple[Literal["float64", "float32"], ...] = ("float64", "float32")


@dataclass(frozen=True)
class Cell:
    """One net and its batch."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: Literal["sigmoid", "tanh"] = "sigmoid"  # where peers other than NumPy's run

    @property
    def label(self) -> str:
        """The widths and the batch, as engine benchmarks write them."""
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}"

    @property
    def flops(self) -> int:
        """Of one training step: products and sums; the first layer's input needs no gradient."""
        layers = list(zip(self.sizes, self.sizes[1:], strict=False))
        weights = [n_inputs * n_outputs for n_inputs, n_outputs in layers]
        return 2 * self.batch * (2 * sum(weights) + sum(weights[1:]))


CELLS = (
    Cell("seed", (2, 2, 2, 1), 1),
    Cell("tiny", (4, 16, 16, 1), 1),
    Cell("small32", (8, 32, 32, 4), 32),
    Cell("rl64", (17, 64, 64, 6), 64),
    Cell("mnist32", (784, 128, 10), 32),
    Cell("sc24", (24, 8, 2), 200, "tanh"),
    Cell("sc4", (4, 32, 16, 4), 10_000, "tanh"),
    Cell("mnist128", (784, 512, 512, 10), 128),
    Cell("wide256", (1024, 1024, 1024, 1024), 256),
)


class Problem:
    """The arrays of a cell, and weights that can be put back to where they started."""

    X: NDArray[Any]  # (batch, n_features)
    Y: NDArray[Any]  # (batch, n_outputs)
    W: list[NDArray[Any]]
    B: list[NDArray[Any]]

    def __init__(self, cell: Cell, dtype: str) -> None:
        random = np.random.default_rng(0)
        self.X = random.standard_normal((cell.batch, cell.sizes[0])).astype(dtype)
        self.Y = random.uniform(0.1, 0.9, (cell.batch, cell.sizes[-1])).astype(dtype)
        self._start_W = [
            (random.standard_normal((n_inputs, n_outputs)) / n_inputs**0.5).astype(dtype)
            for n_inputs, n_outputs in zip(cell.sizes, cell.sizes[1:], strict=False)
        ]
        self._start_B = [
            random.normal(0, 0.1, (1, n_outputs)).astype(dtype) for n_outputs in cell.sizes[1:]
        ]
        self.W = [w.copy() for w in self._start_W]
        self.B = [b.copy() for b in self._start_B]

    def restore(self) -> None:
        """Put the starting weights and biases back, in place."""
        for array, start in zip(self.W + self.B, self._start_W + self._start_B, strict=True):
            array[...] = start
