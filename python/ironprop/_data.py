"""The data of a training: samples, targets and weights, split and cut into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ironprop._checks import array, real, whole

__all__ = ["Data", "batch_size_of", "check_rows", "split"]


@dataclass(frozen=True)
class Data:
    """Samples, targets and weights as the core takes them."""

    X: Any
    Y: Any
    sample_weight: Any = None


def batch_size_of(batch_size: Any, n_samples: int, *, capped: bool) -> int | None:
    """Return the samples in one step; None means all."""
    if batch_size is None:
        return None
    size = whole("batch_size", batch_size, least=1)
    if size > n_samples and not capped:
        raise ValueError(f"batch_size must be a whole number from 1 to {n_samples}, got {size}")
    return min(size, max(n_samples, 1))


def check_rows(X: Any, Y: Any) -> None:
    """Refuse targets of another number than the samples, where they go in batches to a function."""
    if Y.ndim == 0 or len(Y) != len(X):
        expected = f"({len(X)}, …): one entry for each sample"
        raise ValueError(f"Y has shape {Y.shape}, expected {expected}")


def split(data: Data, validation_split: Any, *, by_function: bool) -> tuple[Data, Data | None]:
    """Return the part to train on and the last part, to validate with."""
    share = real("validation_split", validation_split, least=0, below=1)
    if not share:
        return data, None
    X, Y, weight = data.X, data.Y, data.sample_weight
    n_samples = len(X)
    n_kept = int(n_samples * (1 - share))  # as Keras rounds it
    if not 0 < n_kept < n_samples:
        parts = f"{n_kept} of {n_samples} samples to train on and {n_samples - n_kept}"
        raise ValueError(f"validation_split {share:g} leaves {parts} to validate with")
    if by_function:
        check_rows(X, Y)
    elif Y.ndim == 2 and len(Y) not in {1, n_samples}:
        raise ValueError(f"Y has {len(Y)} rows but X has {n_samples}")
    if weight is not None:
        weight = array("sample_weight", weight)
        if weight.shape != (n_samples,):
            raise ValueError(f"sample_weight has shape {weight.shape}, expected ({n_samples},)")
    each = by_function or (Y.ndim == 2 and len(Y) == n_samples)  # else a row or a number for all

    def part(rows: slice) -> Data:
        weights = weight if weight is None else weight[rows]
        return Data(X[rows], Y[rows] if each else Y, weights)

    return part(slice(None, n_kept)), part(slice(n_kept, None))
