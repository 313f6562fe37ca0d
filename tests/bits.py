"""Comparison to the last bit: ironprop with ironprop, never with NumPy.

Two arrays are the same when dtype, shape and every bit agree; +0 and -0 differ, and any NaN is
equal to any other (which payload a NaN has is no part of the contract). `digest` is a SHA-256 over
any nest of lists, tuples, dicts and arrays, the same in every process: it shows that nothing has
been changed, and that two processes agree.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def _bytes(array: Any) -> bytes:
    """Return the numbers in C order, with one NaN for all."""
    array = np.array(array, order="C", copy=True, subok=False)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        array[np.isnan(array)] = np.nan
    return array.tobytes()


def digest(*things: Any) -> str:
    """Return the SHA-256 of everything in `things`, in order."""
    sha = hashlib.sha256()
    _feed(sha, things)
    return sha.hexdigest()


def _feed(sha: Any, thing: Any) -> None:
    if isinstance(thing, np.ndarray | np.generic):
        flags = thing.flags
        sha.update(f"array {thing.dtype.str} {thing.shape} {flags.writeable}".encode())
        sha.update(_bytes(thing))
    elif isinstance(thing, list | tuple):
        sha.update(f"{type(thing).__name__} of {len(thing)}".encode())
        for item in thing:
            _feed(sha, item)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            sha.update(f"key {key!r}".encode())
            _feed(sha, value)
    elif isinstance(thing, int):
        sha.update(hex(thing).encode())  # Python writes no decimals of very long numbers
    else:
        sha.update(f"{type(thing).__name__} {thing!r}".encode())


def same_bits(one: Any, other: Any) -> bool:
    """Return whether two arrays, or two lists of arrays, are the same to the last bit."""
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_bits, one, other))
    return one.dtype == other.dtype and one.shape == other.shape and _bytes(one) == _bytes(other)
