"""The notebook in pure NumPy: what the tests compare ironprop with.

Plain matrix products, no fused multiply-adds and no flushing of small numbers, so it agrees with
ironprop to rounding, not to the bit. Every function computes in the type of its arrays. Given
`np.longdouble` arrays it is the truth (64 bits of fraction or more on Linux x86-64), against which
the errors of the float64 and float32 paths are measured; `deviation` and `tolerance` do the
measuring. `central_differences` knows nothing of derivatives: it confirms the gradients of the
oracle and of ironprop alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

ACTIVATIONS = ("sigmoid", "tanh", "relu")
ALL_ACTIVATIONS = (
    *ACTIVATIONS,
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "sin",
    "identity",
)
GRADIENTS = ("notebook", "exact")


def sig(z: Array) -> Array:
    one = z.dtype.type(1)
    with np.errstate(over="ignore"):  # exp(-z) may be inf: the result is 0 then, as it should be
        return one / (one + np.exp(-z))


def dsig(a: Array) -> Array:
    return a * (a.dtype.type(1) - a)


def activate(z: Array, activation: str) -> Array:
    zero = z.dtype.type(0)
    minus = np.minimum(z, zero)  # NaN stays NaN in this and the next
    plus = np.maximum(z, zero)
    match activation:
        case "sigmoid":
            return sig(z)
        case "tanh":
            return np.tanh(z)
        case "relu":
            return plus
        case "leaky_relu":
            return plus + minus / 100
        case "elu":
            return plus + np.expm1(minus)
        case "selu":
            return selu_scale(z.dtype) * (plus + selu_alpha(z.dtype) * np.expm1(minus))
        case "gelu":
            return z * normal(z)
        case "silu":
            return z * sig(z)
        case "softplus":
            return plus + np.log1p(np.exp(-np.abs(z)))
        case "sin":
            return np.sin(z)
        case "identity":
            return z + zero
    raise ValueError(activation)


def derive(a: Array, activation: str) -> Array:
    """Return the derivative, in terms of the activation's result."""
    one = a.dtype.type(1)
    match activation:
        case "sigmoid":
            return dsig(a)
        case "tanh":
            return one - a * a
        case "relu":
            return (a > 0).astype(a.dtype)
        case "leaky_relu":
            return np.where(a > 0, one, one / 100)
        case "elu":
            return np.where(a > 0, one, a + one)
        case "selu":
            scale = selu_scale(a.dtype)
            return np.where(a > 0, scale, a + scale * selu_alpha(a.dtype))
        case "softplus":
            return -np.expm1(-a)
        case "identity":
            return np.ones_like(a)
    raise ValueError(activation)


def derive_at(z: Array, activation: str) -> Array:
    """Return the derivative at `z`, for those that the result does not determine too."""
    one = z.dtype.type(1)
    match activation:
        case "gelu":
            return normal(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * pi(z.dtype))
        case "silu":
            return sig(z) * (one + z * sig(-z))
        case "sin":
            return np.cos(z)
    return derive(activate(z, activation), activation)


def pi(dtype: Any) -> Any:
    return 4 * np.arctan(np.dtype(dtype).type(1))


def selu_scale(dtype: Any) -> Any:
    return np.dtype(dtype).type("1.0507009873554804934193349852946")


def selu_alpha(dtype: Any) -> Any:
    return np.dtype(dtype).type("1.6732632423543772848170429916717")


def normal(z: Array) -> Array:
    """Return the cumulative normal distribution.

    By `math.erfc`; for `np.longdouble` by the series of erf where it is short, and by the continued
    fraction of what lies beyond.
    """
    if z.dtype != np.longdouble:
        erfc = np.vectorize(math.erfc, otypes=[float])
        return (erfc(-z.astype(float) / math.sqrt(2)) / 2).astype(z.dtype)
    density = np.exp(-z * z / 2) / np.sqrt(2 * pi(z.dtype))
    near = np.clip(z, -2, 2)
    term = total = near
    for k in range(1, 40):  # the last term is below 1e-25
        term = term * near * near / (2 * k + 1)
        total = total + term
    inside = z.dtype.type(0.5) + density * total
    if (np.abs(z) < 2).all():
        return inside
    far = np.maximum(np.abs(z), 2)
    fraction = far
    for k in range(100, 0, -1):
        fraction = far + k / fraction
    beyond = density / fraction
    return np.where(np.abs(z) < 2, inside, np.where(z > 0, 1 - beyond, beyond))


def mse(x: Array, y: Array) -> Any:
    return 0.5 * np.square(x - y).sum()


def dmse(x: Array, y: Array) -> Array:
    return x - y


def forward_pass(
    X: Array, W: Sequence[Array], B: Sequence[Array], *, activation: str = "sigmoid"
) -> tuple[Array, list[Array], list[Array]]:
    A, dA = [], []
    for w, b in zip(W, B, strict=True):
        A.append(X)
        z = X @ w + b.reshape(1, -1)
        X = activate(z, activation)
        dA.append(derive_at(z, activation))
    return X, A, dA


def backward_pass(
    W: list[Array],
    B: list[Array],
    A: Sequence[Array],
    dA: Sequence[Array],
    pred: Array,
    Y: Array,
    learning_rate: float = 0.5,
    *,
    gradient: str = "notebook",
) -> None:
    """Take one step: "notebook" sends the error through the new weights, "exact" the old."""
    E = dmse(pred, Y) * dA[-1]
    for i in range(len(W) - 1, -1, -1):
        old = W[i].copy()
        W[i] -= A[i].T @ E * learning_rate
        B[i] -= E.sum(axis=0).reshape(B[i].shape) * learning_rate
        if i > 0:
            E = (E @ (W[i] if gradient == "notebook" else old).T) * dA[i - 1]


def gradients(
    X: Array, Y: Array, W: Sequence[Array], B: Sequence[Array], *, activation: str, gradient: str
) -> list[Array]:
    """Return what a step at learning rate 1 takes away: the weights, then the biases."""
    new_W, new_B = [w.copy() for w in W], [b.copy() for b in B]
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    backward_pass(new_W, new_B, A, dA, pred, Y, 1.0, gradient=gradient)
    return [old - new for old, new in zip([*W, *B], [*new_W, *new_B], strict=True)]


def train(
    X: Array,
    Y: Array,
    W: list[Array],
    B: list[Array],
    *,
    epochs: int,
    learning_rate: float = 0.5,
    gradient: str = "notebook",
    activation: str = "sigmoid",
    batch_size: int | None = None,
) -> Array:
    Y = np.broadcast_to(Y, (len(X), W[-1].shape[1]))
    losses = []
    for _ in range(epochs):
        loss = 0.0
        for batch in batches(len(X), batch_size):
            pred, A, dA = forward_pass(X[batch], W, B, activation=activation)
            loss += mse(pred, Y[batch])
            backward_pass(W, B, A, dA, pred, Y[batch], learning_rate, gradient=gradient)
        losses.append(loss)
    return np.array(losses)


def batches(n_samples: int, batch_size: int | None) -> list[slice]:
    """Return the slices that one epoch goes through."""
    size = n_samples if batch_size is None else batch_size
    return [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]


def central_differences(
    loss: Callable[[], Any], parameters: Sequence[Array], step: float
) -> list[Array]:
    """Return the derivative of `loss()` with respect to each number in `parameters`."""
    results = []
    for parameter in parameters:
        result = np.zeros_like(parameter)
        for index in np.ndindex(parameter.shape):
            value = parameter[index]
            parameter[index] = value + step
            above = loss()
            parameter[index] = value - step
            below = loss()
            parameter[index] = value
            result[index] = (above - below) / (2 * step)
        results.append(result)
    return results


def copies(arrays: Sequence[Array], dtype: Any = None) -> list[Array]:
    """Return fresh copies, of another type if one is given."""
    return [np.array(array, dtype=array.dtype if dtype is None else dtype) for array in arrays]


def deviation(actual: Any, truth: Any) -> float:
    """Return the largest difference, in units of the largest true number or of 1."""
    actual, truth = np.asarray(actual, np.longdouble), np.asarray(truth, np.longdouble)
    if actual.shape != truth.shape or not np.isfinite(actual).all():
        return float("inf")
    if truth.size == 0:
        return 0.0
    return float(np.abs(actual - truth).max() / max(1.0, np.abs(truth).max()))


def tolerance(dtype: Any, chain: int) -> float:
    """Return what rounding may do to sums of `chain` terms, added up over the layers.

    The worst case of one chain is chain/2 ulp; the factor in front covers the layers after it.
    """
    return float(np.finfo(dtype).eps) * (32 + 4 * chain)


@dataclass(frozen=True)
class Report:
    """How far `actual` is from `truth`, as a sentence that an assertion can show."""

    what: str
    deviation: float
    allowed: float

    def __bool__(self) -> bool:
        """Return whether it is near enough."""
        return self.deviation <= self.allowed


def close(what: str, actual: Any, truth: Any, allowed: float) -> Report:
    """Compare two arrays, or two lists of arrays, by their largest deviation."""
    if isinstance(actual, list | tuple):
        if len(actual) != len(truth):
            return Report(f"{what}: {len(actual)} arrays for {len(truth)}", float("inf"), allowed)
        worst = max(map(deviation, actual, truth), default=0.0)
    else:
        worst = deviation(actual, truth)
    return Report(what, worst, allowed)
