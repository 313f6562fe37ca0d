"""Targets and weights as the core takes them: class labels become rows, class weights those of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ironprop._checks import array, real, type_name, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ironprop.losses import Loss

__all__ = ["n_samples_of", "sample_weights", "targets_of"]


def n_samples_of(X: Any) -> int:
    """Return the number of rows of `X`; -1, which fits nothing, if it has none (the core refuses it)."""
    try:
        return len(X)
    except TypeError:
        return -1


def targets_of(Y: Any, loss: Loss, n_samples: int, n_outputs: int, dtype: np.dtype[Any]) -> Any:
    """Return rows for the class labels of a cross-entropy, and other targets as they are."""
    read = _from_classes if loss == "categorical_crossentropy" else _from_answers
    return read(array("Y", Y), n_samples, n_outputs, dtype)


def _from_classes(Y: Any, n_samples: int, n_outputs: int, dtype: np.dtype[Any]) -> Any:
    """Return one row for each label from 0 to ``n_outputs - 1``: 1 at its place, else 0."""
    if Y.dtype.kind not in "biu":
        return Y
    if Y.ndim > 1 or (Y.shape == (n_outputs,) and n_outputs != n_samples):
        return Y.astype(dtype)  # rows already, of whole numbers
    if Y.ndim == 1 and len(Y) != n_samples:
        raise ValueError(f"Y has {len(Y)} labels but X has {n_samples} samples")
    wrong = Y[(Y < 0) | (n_outputs <= Y)]
    if wrong.size:
        labels = f"whole numbers from 0 to {n_outputs - 1}, one class for each output"
        raise ValueError(f"Y has the label {wrong.flat[0]}, expected {labels}")
    row = np.eye(n_outputs, dtype=dtype)
    return row[Y.astype(np.intp)]


def _from_answers(Y: Any, n_samples: int, n_outputs: int, dtype: np.dtype[Any]) -> Any:
    """Return a column for labels 0 and 1, one for each sample."""
    if Y.shape == (n_samples,) and n_outputs == 1 and Y.dtype.kind in "biuf":
        wrong = Y[(Y != 0) & (Y != 1)]
        if wrong.size:
            advice = "write Y.reshape(-1, 1) for probabilities"
            raise ValueError(f"Y has the label {wrong[0]}, expected 0 or 1: {advice}")
        return Y.reshape(-1, 1).astype(dtype)
    return Y.astype(dtype) if Y.dtype.kind in "biu" else Y


def sample_weights(
    class_weight: Any, sample_weight: Any, Y: Any, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Any:
    """Return the weights of the samples with those of their classes; `shape` is that of the predictions."""
    if class_weight is None:
        return sample_weight
    labels = _labels(Y, shape)
    weights = _class_weights(class_weight, labels, max(shape[1], 2))[labels].astype(dtype)
    if sample_weight is None:
        return weights
    given = array("sample_weight", sample_weight)
    if given.shape != weights.shape:
        raise ValueError(f"sample_weight has shape {given.shape}, expected {weights.shape}")
    if given.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight has dtype {given.dtype}, expected numbers")
    return (weights * given).astype(dtype)


def _labels(Y: Any, shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the class of each sample, of targets that are 0 and 1."""
    try:
        Y = np.broadcast_to(array("Y", Y), shape)
    except ValueError:
        raise ValueError(f"Y has shape {np.shape(Y)}, expected {shape}") from None
    one_of_each = shape[1] == 1 or (Y.sum(axis=1) == 1).all()
    if not (one_of_each and ((Y == 0) | (Y == 1)).all()):
        message = "class_weight needs targets that name a class: labels, or a single 1 among 0 in each row"
        raise ValueError(message)
    labels: NDArray[np.intp] = Y[:, 0].astype(np.intp) if shape[1] == 1 else Y.argmax(axis=1)
    return labels


def _class_weights(
    class_weight: Any, labels: NDArray[np.intp], n_classes: int
) -> NDArray[np.float64]:
    """Return the weight of each class."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=n_classes)
        return len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1.0))
    if isinstance(class_weight, str) or not isinstance(class_weight, Mapping):
        got = repr(class_weight) if isinstance(class_weight, str) else type_name(class_weight)
        error = ValueError if isinstance(class_weight, str) else TypeError
        raise error(f'class_weight must be a dict from label to weight or "balanced", got {got}')
    weights = np.ones(n_classes)
    for label, weight in class_weight.items():
        number = whole("a label of class_weight", label, least=0)
        if number >= n_classes:
            raise ValueError(
                f"class_weight has the label {label}, but there are {n_classes} classes"
            )
        weights[number] = real("class_weight", weight, least=0)
    return weights
