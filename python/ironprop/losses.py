r"""Losses: what a network is trained to make small.

A loss is given to `Network` by its name, as one of the objects below where it has a parameter, or as a function of
one's own. With predictions :math:`p` and targets :math:`y` of :math:`n` samples with :math:`K` outputs each, and
:math:`w_i` the weight of a sample (1 if none are given):

============================= ========================================================================================
``"half_squared_error"``      :math:`\sum_i w_i \sum_k \tfrac12 (p - y)^2`: a sum, the notebook's loss
``"mse"``                     :math:`\frac1{nK} \sum_i w_i \sum_k (p - y)^2`
``"mae"``                     :math:`\frac1{nK} \sum_i w_i \sum_k \lvert p - y \rvert`
``"huber"``, `Huber`          :math:`\frac1{nK} \sum_i w_i \sum_k h_\delta(p - y)`
``"quantile"``, `Quantile`    :math:`\frac1{nK} \sum_i w_i \sum_k \max(q (y - p), (q - 1)(y - p))`
``"binary_crossentropy"``     :math:`-\frac1{nK} \sum_i w_i \sum_k y \ln p + (1 - y) \ln(1 - p)`, of sigmoids
``"categorical_crossentropy"`` :math:`-\frac1n \sum_i w_i \sum_k y \ln p`, of a softmax
``"poisson"``                 :math:`\frac1{nK} \sum_i w_i \sum_k p - y \ln(p + 10^{-8})`
============================= ========================================================================================

All but the first are means over the samples of a batch, so that the step does not depend on its size; weights are not
divided by their sum. The cross-entropies are computed from the numbers before the sigmoid or softmax and stay exact
where those round to 0 or 1; rows of the targets of a softmax must sum to 1. Where an absolute value has its kink the
gradient is 0.

A function of one's own takes predictions and targets and returns the loss, a number, and its gradient with respect to
the predictions, an array of their shape: ``loss(pred, y) -> (value, gradient)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ironprop._checks import real, type_name

__all__ = ["Huber", "LossFunction", "LossName", "Quantile"]

LossName = Literal[
    "half_squared_error",
    "mse",
    "mae",
    "huber",
    "binary_crossentropy",
    "categorical_crossentropy",
    "poisson",
    "quantile",
]
LossFunction = Callable[[NDArray[Any], Any], tuple[float, NDArray[Any]]]

# What each is called with in the core if it is given by name: its parameter, where it has one.
NAMES: dict[str, float] = {
    "half_squared_error": 0.0,
    "mse": 0.0,
    "mae": 0.0,
    "huber": 1.0,
    "binary_crossentropy": 0.0,
    "categorical_crossentropy": 0.0,
    "poisson": 0.0,
    "quantile": 0.5,
}

# The output activations that the cross-entropies are fused with.
OUTPUTS = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}


@dataclass(frozen=True)
class Huber:
    r"""Squared for small errors, absolute for large ones, which outliers need.

    .. math:: h_\delta(e) = \tfrac12 e^2 \text{ for } \lvert e \rvert \le \delta,
        \text{ else } \delta (\lvert e \rvert - \tfrac12 \delta)

    Parameters
    ----------
    delta : float
        Where the one becomes the other, positive.

    Raises
    ------
    TypeError, ValueError
        If `delta` is not that.

    References
    ----------
    ``torch.nn.HuberLoss``; Huber, "Robust estimation of a location parameter" (1964).

    Examples
    --------
    >>> from ironprop import Network
    >>> network = Network([1, 1], activation="identity", init="zeros", loss=Huber(delta=2.0))
    >>> network.evaluate([[0.0]], [[3.0]])
    {'loss': 4.0}
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        """Check the parameter."""
        object.__setattr__(self, "delta", real("delta", self.delta, above=0))


@dataclass(frozen=True)
class Quantile:
    r"""The loss whose minimum is a quantile of the targets: :math:`\max(q (y - p), (q - 1)(y - p))`.

    Parameters
    ----------
    quantile : float
        The quantile :math:`q`, between 0 and 1: 0.5 is the median.

    Raises
    ------
    TypeError, ValueError
        If `quantile` is not that.

    References
    ----------
    ``sklearn.metrics.mean_pinball_loss``; Koenker and Bassett, "Regression quantiles" (1978).

    Examples
    --------
    >>> from ironprop import Network
    >>> network = Network([1, 1], activation="identity", init="zeros", loss=Quantile(0.75))
    >>> network.evaluate([[0.0]], [[2.0]])
    {'loss': 1.5}
    """

    quantile: float = 0.5

    def __post_init__(self) -> None:
        """Check the parameter."""
        object.__setattr__(self, "quantile", real("quantile", self.quantile, above=0, below=1))


Loss = LossName | Huber | Quantile | LossFunction


def loss_of(value: Any) -> Loss:
    """Return a loss that is known or a function; refuse anything else."""
    if isinstance(value, str):
        if value not in NAMES:
            raise ValueError(
                f"loss must be one of {', '.join(NAMES)}, or a function, got {value!r}"
            )
        return value  # type: ignore[return-value]
    if isinstance(value, Huber | Quantile):
        return value
    if isinstance(value, type) or not callable(value):
        got = f"{value.__name__} without ()" if isinstance(value, type) else type_name(value)
        raise TypeError(f"loss must be a name, a Huber(…), a Quantile(…) or a function, got {got}")
    return value  # type: ignore[no-any-return]


def to_core(loss: LossName | Huber | Quantile) -> tuple[str, float]:
    """Return the core's name of a loss and its parameter."""
    if isinstance(loss, Huber):
        return "huber", loss.delta
    if isinstance(loss, Quantile):
        return "quantile", loss.quantile
    return loss, NAMES[loss]


def evaluated(function: LossFunction, pred: NDArray[Any], Y: Any) -> tuple[float, NDArray[Any]]:
    """Return value and gradient of a function of the user's, their types and shapes checked."""
    shape, dtype = pred.shape, pred.dtype  # whatever the function does to the array
    result = function(pred, Y)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(f"loss must return (value, gradient), got {type_name(result)}")
    value, gradient = result
    gradient = np.asarray(gradient)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"loss must return a number first, got {type_name(value)}") from None
    if gradient.shape != shape:
        wanted = f"the predictions' shape {shape}, got shape {gradient.shape}"
        raise ValueError(f"loss must return a gradient of {wanted}")
    if gradient.dtype != dtype:
        raise TypeError(
            f"loss must return a gradient of the network's {dtype}, got {gradient.dtype}"
        )
    return number, gradient
