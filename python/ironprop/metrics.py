"""Metrics: numbers by which people judge predictions, computed with NumPy.

Each takes predictions and targets, of shape (n_samples, n_outputs), and weights of the samples; `Network.evaluate`
and `Network.fit` know them by name. A function of one's own, ``metric(pred, Y) -> number``, is as good.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ironprop._checks import type_name

__all__ = ["accuracy", "binary_accuracy", "f1", "mae", "mse", "precision", "r2", "recall", "rmse"]

Metric = Callable[..., float]


def accuracy(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of samples whose class is right.

    The class is the largest of several outputs; a single output says yes above 0.5.

    Parameters
    ----------
    pred, Y : array_like, shape (n_samples, n_outputs)
        Predictions and targets.
    sample_weight : array_like, shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are no samples.

    Examples
    --------
    >>> accuracy([[0.9], [0.2], [0.6]], [[1], [0], [0]])
    0.6666666666666666
    """
    pred, Y = _pair(pred, Y)
    right = (
        pred.argmax(1) == Y.argmax(1) if pred.shape[1] > 1 else ((pred > 0.5) == (Y > 0.5))[:, 0]
    )
    return _mean(right, sample_weight)


def binary_accuracy(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of right answers where every output is a yes (above 0.5) or a no of its own.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `accuracy`.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        As for `accuracy`.

    Examples
    --------
    >>> binary_accuracy([[0.9, 0.2], [0.6, 0.7]], [[1, 0], [0, 1]])
    0.75
    """
    pred, Y = _pair(pred, Y)
    return _mean(((pred > 0.5) == (Y > 0.5)).mean(axis=1), sample_weight)


def precision(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of right ones among the samples that were called positive.

    Parameters
    ----------
    pred, Y : array_like, shape (n_samples, 1) or (n_samples, 2)
        Predictions and targets: positive is above 0.5, or the second of two outputs being the larger one.
    sample_weight : array_like, shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        From 0 to 1; 0 if nothing was called positive.

    Raises
    ------
    ValueError
        As for `accuracy`, or if there are more outputs.

    Examples
    --------
    >>> precision([[0.9], [0.8], [0.1]], [[1], [0], [1]])
    0.5
    """
    both, called, _ = _positives(pred, Y, sample_weight)
    return both / called if called else 0.0


def recall(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of the positive samples that were called so.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `precision`.

    Returns
    -------
    float
        From 0 to 1; 0 if nothing is positive.

    Raises
    ------
    ValueError
        As for `precision`.

    Examples
    --------
    >>> recall([[0.9], [0.8], [0.1], [0.2]], [[1], [1], [1], [1]])
    0.5
    """
    both, _, positive = _positives(pred, Y, sample_weight)
    return both / positive if positive else 0.0


def f1(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the harmonic mean of `precision` and `recall`.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `precision`.

    Returns
    -------
    float
        From 0 to 1; 0 if nothing is positive and nothing was called so.

    Raises
    ------
    ValueError
        As for `precision`.

    Examples
    --------
    >>> f1([[0.9], [0.8], [0.1]], [[1], [0], [1]])
    0.5
    """
    both, called, positive = _positives(pred, Y, sample_weight)
    return 2 * both / (called + positive) if called + positive else 0.0


def mse(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of squared errors (`ironprop.notebook.mse` is half their sum).

    Parameters
    ----------
    pred, Y, sample_weight
        As for `accuracy`.

    Returns
    -------
    float
        The mean over samples and outputs.

    Raises
    ------
    ValueError
        As for `accuracy`.

    Examples
    --------
    >>> mse([[1.0], [2.0]], [[1.0], [4.0]])
    2.0
    """
    pred, Y = _pair(pred, Y)
    return _mean(np.square(pred - Y).mean(axis=1), sample_weight)


def rmse(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the square root of `mse`: an error in the units of the targets.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `accuracy`.

    Returns
    -------
    float
        The root of the mean over samples and outputs.

    Raises
    ------
    ValueError
        As for `accuracy`.

    Examples
    --------
    >>> rmse([[1.0], [2.0]], [[3.0], [4.0]])
    2.0
    """
    return math.sqrt(mse(pred, Y, sample_weight))


def mae(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of absolute errors.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `accuracy`.

    Returns
    -------
    float
        The mean over samples and outputs.

    Raises
    ------
    ValueError
        As for `accuracy`.

    Examples
    --------
    >>> mae([[1.0], [2.0]], [[1.0], [4.0]])
    1.0
    """
    pred, Y = _pair(pred, Y)
    return _mean(np.abs(pred - Y).mean(axis=1), sample_weight)


def r2(pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    r"""Return the share of the targets' variance that the predictions explain.

    For each output :math:`1 - \sum (y - p)^2 / \sum (y - \bar y)^2`, then the mean over the outputs.

    Parameters
    ----------
    pred, Y, sample_weight
        As for `accuracy`.

    Returns
    -------
    float
        At most 1; an output whose targets are all the same counts 1 if it is exact, else 0.

    Raises
    ------
    ValueError
        As for `accuracy`.

    References
    ----------
    ``sklearn.metrics.r2_score``.

    Examples
    --------
    >>> r2([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]])
    0.7857142857142857
    """
    pred, Y = _pair(pred, Y)
    weight = _weights(sample_weight, len(Y))
    center = np.average(Y, axis=0, weights=weight)
    errors = np.average(np.square(Y - pred), axis=0, weights=weight)
    variances = np.average(np.square(Y - center), axis=0, weights=weight)
    constant = variances == 0
    scores = 1 - errors / np.where(constant, 1, variances)
    return float(np.where(constant, np.where(errors == 0, 1.0, 0.0), scores).mean())


def _pair(pred: ArrayLike, Y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as float64 arrays (n_samples, n_outputs); a row or a number stands for all samples."""
    pred, Y = np.asarray(pred, np.float64), np.asarray(Y, np.float64)
    if pred.ndim != 2 or not len(pred):
        shape = "(n_samples, n_outputs) with at least one sample"
        raise ValueError(f"pred has shape {pred.shape}, expected {shape}")
    row = (1, pred.shape[1])
    if Y.shape not in {pred.shape, row, row[1:], ()}:
        raise ValueError(f"Y has shape {Y.shape}, expected {pred.shape}")
    return pred, np.broadcast_to(Y, pred.shape)


def _weights(sample_weight: ArrayLike | None, n_samples: int) -> NDArray[Any] | None:
    """Return the weights of the samples, if there are any."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, np.float64)
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({n_samples},)")
    if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:
        raise ValueError("sample_weight must have finite numbers of at least 0, not all of them 0")
    return weight


def _mean(values: NDArray[Any], sample_weight: ArrayLike | None) -> float:
    """Return the weighted mean of a number for each sample."""
    return float(np.average(values, weights=_weights(sample_weight, len(values))))


def _positives(
    pred: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[float, float, float]:
    """Return the weight of the samples that are and were called positive, were called so, and are."""
    pred, Y = _pair(pred, Y)
    if pred.shape[1] > 2:
        shape = "(n_samples, 1) or (n_samples, 2)"
        raise ValueError(
            f"pred has shape {pred.shape}, expected {shape}: this metric is for two classes"
        )
    if pred.shape[1] == 1:
        called, positive = pred[:, 0] > 0.5, Y[:, 0] > 0.5
    else:
        called, positive = pred[:, 1] > pred[:, 0], Y[:, 1] > Y[:, 0]
    weight = _weights(sample_weight, len(pred))
    weight = np.ones(len(pred)) if weight is None else weight
    parts = (called & positive, called, positive)
    both, all_called, all_positive = (float(weight[part].sum()) for part in parts)
    return both, all_called, all_positive


NAMED: dict[str, Metric] = {name: globals()[name] for name in __all__}


def metrics_of(metrics: Any, *, yes_or_no: bool) -> dict[str, Metric]:
    """Return the metrics that were asked for, by name; `yes_or_no` says that each output is a class of its own."""
    if isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    try:
        metrics = list(metrics)
    except TypeError:
        message = f"metrics must be names or functions, got {type_name(metrics)}"
        raise TypeError(message) from None
    found: dict[str, Metric] = {}
    for metric in metrics:
        if isinstance(metric, str):
            name = metric
            if name not in NAMED:
                raise ValueError(
                    f"metrics must be of {', '.join(NAMED)}, or functions, got {name!r}"
                )
            function = NAMED["binary_accuracy" if name == "accuracy" and yes_or_no else name]
        elif callable(metric):
            name, function = getattr(metric, "__name__", type_name(metric)), metric
        else:
            raise TypeError(f"metrics must be names or functions, got {type_name(metric)}")
        taken = name in found or name in {"loss", "rate", "seconds"}
        if taken or name.startswith("val_"):  # the metric's own, on validation data
            raise ValueError(f"metrics cannot have one of the name {name!r}: it is taken")
        found[name] = function
    return found


def measured(
    metrics: dict[str, Metric], pred: NDArray[Any], Y: Any, sample_weight: Any = None
) -> dict[str, float]:
    """Return the value of each metric; only ironprop's own know of weights."""
    values = {}
    for name, metric in metrics.items():
        ours = sample_weight is not None and any(metric is known for known in NAMED.values())
        value = metric(pred, Y, sample_weight) if ours else metric(pred, Y)
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            message = f"the metric {name} must return a number, got {type_name(value)}"
            raise TypeError(message) from None
    return values
