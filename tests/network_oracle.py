"""Networks, losses and optimisers in plain float64 NumPy: what the tests of `ironprop.Network` compare it with.

Written from the formulas, not from the core: matrix products, `math.erf`, no fusing. `Net` holds the parameters, its
`gradients` are confirmed by central differences in the tests, and `Descent` takes the optimisers' steps on the vector
of all parameters. Means are over the samples, not over the sum of their weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

HIDDEN = (
    *("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu"),
    *("gelu", "silu", "softplus", "sin", "identity"),
)
ACTIVATIONS = (*HIDDEN, "softmax")
# Losses with targets of any kind; the cross-entropies have their own outputs.
REGRESSIONS = ("half_squared_error", "mse", "mae", "huber", "poisson", "quantile")
OUTPUTS = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
LOSSES = (*REGRESSIONS, *OUTPUTS)
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "rprop")

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1.0) / (1 + e)


def activate(z: Array, name: str) -> Array:
    """Return the activation of pre-activations (B, O)."""
    less = np.minimum(z, 0)
    return {
        "sigmoid": lambda: sigmoid(z),
        "tanh": lambda: np.tanh(z),
        "relu": lambda: np.maximum(z, 0),
        "leaky_relu": lambda: np.where(z > 0, z, 0.01 * z),
        "elu": lambda: np.where(z > 0, z, np.expm1(less)),
        "selu": lambda: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(less)),
        "gelu": lambda: z * 0.5 * (1 + erf(z / math.sqrt(2))),
        "silu": lambda: z * sigmoid(z),
        "softplus": lambda: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
        "sin": lambda: np.sin(z),
        "identity": lambda: z,
        "softmax": lambda: softmax(z),
    }[name]()


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def slope(z: Array, name: str) -> Array:
    """Return the derivative of an activation that takes each number by itself."""
    less = np.minimum(z, 0)
    return {
        "sigmoid": lambda: sigmoid(z) * (1 - sigmoid(z)),
        "tanh": lambda: 1 - np.tanh(z) ** 2,
        "relu": lambda: (z > 0) * 1.0,
        "leaky_relu": lambda: np.where(z > 0, 1, 0.01),
        "elu": lambda: np.where(z > 0, 1, np.exp(less)),
        "selu": lambda: SELU_SCALE * np.where(z > 0, 1, SELU_ALPHA * np.exp(less)),
        "gelu": lambda: (
            0.5 * (1 + erf(z / math.sqrt(2))) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        ),
        "silu": lambda: sigmoid(z) * (1 + z * (1 - sigmoid(z))),
        "softplus": lambda: sigmoid(z),
        "sin": lambda: np.cos(z),
        "identity": lambda: np.ones_like(z),
    }[name]()


def through(z: Array, name: str, upstream: Array) -> Array:
    """Return the derivative at pre-activations from that at the activations."""
    if name == "softmax":
        p = softmax(z)
        return p * (upstream - (p * upstream).sum(axis=1, keepdims=True))
    return upstream * slope(z, name)


def scale_of(loss: str, shape: tuple[int, ...]) -> float:
    """Return what the sum over samples and outputs is multiplied by."""
    if loss == "half_squared_error":
        return 1.0
    return 1.0 / (shape[0] if loss == "categorical_crossentropy" else shape[0] * shape[1])


def errors(loss: str, p: Array, y: Array, parameter: float) -> Array:
    """Return what each output adds to a loss of predictions."""
    e = p - y
    return {
        "half_squared_error": lambda: 0.5 * e * e,
        "mse": lambda: e * e,
        "mae": lambda: np.abs(e),
        "huber": lambda: np.where(
            np.abs(e) <= parameter, 0.5 * e * e, parameter * (np.abs(e) - 0.5 * parameter)
        ),
        "poisson": lambda: p - y * np.log(p + 1e-8),
        "quantile": lambda: np.maximum(parameter * -e, (parameter - 1) * -e),
    }[loss]()


def error_slopes(loss: str, p: Array, y: Array, parameter: float) -> Array:
    """Return the derivative of `errors` with respect to the predictions."""
    e = p - y
    return {
        "half_squared_error": lambda: e,
        "mse": lambda: 2 * e,
        "mae": lambda: np.sign(e),
        "huber": lambda: np.clip(e, -parameter, parameter),
        "poisson": lambda: 1 - y / (p + 1e-8),
        "quantile": lambda: np.where(e < 0, -parameter, np.where(e > 0, 1 - parameter, 0.0)),
    }[loss]()


def default_parameter(loss: str) -> float:
    return {"huber": 1.0, "quantile": 0.5}.get(loss, 0.0)


@dataclass
class Net:
    """A network and its loss."""

    W: list[Array]
    B: list[Array]
    activations: list[str]
    loss: str = "half_squared_error"
    parameter: float | None = None

    @classmethod
    def of(cls, network: Any, loss: str = "half_squared_error", parameter: Any = None) -> Net:
        """Return the twin of an `ironprop.Network`, in float64."""
        W = [w.astype(np.float64) for w in network.weights]
        B = [b.astype(np.float64) for b in network.biases]
        return cls(W, B, list(network.activations), loss, parameter)

    @property
    def vector(self) -> Array:
        """All parameters: layer by layer, weights row by row, then biases."""
        pairs = zip(self.W, self.B, strict=True)
        return np.concatenate([part.ravel() for pair in pairs for part in pair])

    @vector.setter
    def vector(self, vector: Array) -> None:
        start = 0
        for part in (part for pair in zip(self.W, self.B, strict=True) for part in pair):
            part[...] = vector[start : start + part.size].reshape(part.shape)
            start += part.size

    @property
    def is_weight(self) -> Array:
        """Where in the vector the weights are."""
        pairs = zip(self.W, self.B, strict=True)
        return np.concatenate(
            [np.full(part.size, i == 0) for pair in pairs for i, part in enumerate(pair)]
        )

    def forward(self, X: Array) -> tuple[list[Array], list[Array]]:
        """Return the pre-activations and the activations of every layer."""
        Z, A = [], []
        for w, b, name in zip(self.W, self.B, self.activations, strict=True):
            Z.append(X @ w + b)
            X = activate(Z[-1], name)
            A.append(X)
        return Z, A

    def loss_and_deltas(self, X: Array, Y: Array, weights: Any = None) -> tuple[float, Array]:
        """Return the loss of a batch and its derivative at the last pre-activations."""
        Z, A = self.forward(X)
        z, p = Z[-1], A[-1]
        w = np.ones((len(X), 1)) if weights is None else np.reshape(weights, (-1, 1)).astype(float)
        scale = scale_of(self.loss, p.shape)
        if self.loss in OUTPUTS:
            assert self.activations[-1] == OUTPUTS[self.loss]
            if self.loss == "binary_crossentropy":
                each = np.maximum(z, 0) - z * Y + np.log1p(np.exp(-np.abs(z)))
            else:
                top = z.max(axis=1, keepdims=True)
                each = Y * (top + np.log(np.exp(z - top).sum(axis=1, keepdims=True)) - z)
            return float(scale * (w * each).sum()), scale * w * (p - Y)
        parameter = default_parameter(self.loss) if self.parameter is None else self.parameter
        value = scale * (w * errors(self.loss, p, Y, parameter)).sum()
        upstream = scale * w * error_slopes(self.loss, p, Y, parameter)
        return float(value), through(z, self.activations[-1], upstream)

    def backward(self, X: Array, deltas: Array) -> tuple[Array, Array]:
        """Return the derivatives at the parameters and at X, from those at the last pre-activations."""
        Z, A = self.forward(X)
        parts: list[Array] = []
        for i in reversed(range(len(self.W))):
            below = X if i == 0 else A[i - 1]
            parts = [(below.T @ deltas).ravel(), deltas.sum(axis=0), *parts]
            upstream = deltas @ self.W[i].T
            deltas = through(Z[i - 1], self.activations[i - 1], upstream) if i else upstream
        return np.concatenate(parts), deltas

    def gradients(self, X: Array, Y: Array, weights: Any = None) -> tuple[float, Array]:
        """Return the loss of a batch and its derivative at the parameters."""
        loss, deltas = self.loss_and_deltas(X, Y, weights)
        return loss, self.backward(X, deltas)[0]

    def jacobian(self, X: Array) -> Array:
        """Return the derivative of each prediction at each feature, (B, O, I)."""
        n_outputs = self.W[-1].shape[1]
        z = self.forward(X)[0][-1]
        units = (np.tile(row, (len(X), 1)) for row in np.eye(n_outputs))
        rows = [self.backward(X, through(z, self.activations[-1], unit))[1] for unit in units]
        return np.stack(rows, axis=1)

    def central_differences(self, X: Array, Y: Array, step: float, weights: Any = None) -> Array:
        """Return the derivative at the parameters from losses alone."""
        start, result = self.vector, np.empty(self.vector.size)
        for i in range(start.size):
            sides = []
            for sign in (1, -1):
                moved = start.copy()
                moved[i] += sign * step
                self.vector = moved
                sides.append(self.loss_and_deltas(X, Y, weights)[0])
            result[i] = (sides[0] - sides[1]) / (2 * step)
        self.vector = start
        return result


@dataclass
class Descent:
    """An optimiser at work on a vector of parameters; options as the core names them."""

    name: str
    options: dict[str, float]
    step_number: int = 0
    states: list[Array] = field(default_factory=list)

    def step(self, p: Array, g: Array, rate: float, is_weight: Array) -> Array:
        """Return the parameters after a step with gradient `g`."""
        o = self.options
        g = g + is_weight * (o.get("l1", 0.0) * np.sign(p) + o.get("l2", 0.0) * p)
        if "clip_value" in o:
            g = np.clip(g, -o["clip_value"], o["clip_value"])
        if "clip_norm" in o:
            norm = math.sqrt((g * g).sum())
            g = g * min(1.0, o["clip_norm"] / norm) if norm else g
        p = p - rate * o.get("weight_decay", 0.0) * p * is_weight
        self.step_number += 1
        return p - self.move(g, rate)

    def move(self, g: Array, rate: float) -> Array:
        """Return what is taken from the parameters."""
        o, t = self.options, self.step_number
        if not self.states:
            self.states = [np.zeros_like(g), np.zeros_like(g)]
        first, second = self.states
        if self.name == "sgd":
            return rate * g
        if self.name in {"momentum", "nesterov"}:
            first[:] = o["momentum"] * first + g
            return rate * (g + o["momentum"] * first if self.name == "nesterov" else first)
        if self.name == "rmsprop":
            first[:] = o["rho"] * first + (1 - o["rho"]) * g * g
            return rate * g / (np.sqrt(first) + o["epsilon"])
        if self.name == "adagrad":
            first[:] = first + g * g
            return rate * g / (np.sqrt(first) + o["epsilon"])
        if self.name == "adam":
            first[:] = o["beta_1"] * first + (1 - o["beta_1"]) * g
            second[:] = o["beta_2"] * second + (1 - o["beta_2"]) * g * g
            m, v = first / (1 - o["beta_1"] ** t), second / (1 - o["beta_2"] ** t)
            return rate * m / (np.sqrt(v) + o["epsilon"])
        assert self.name == "rprop", self.name
        if t == 1:
            second[:] = rate
        turn = np.sign(g * first)
        factor = np.where(turn > 0, o["grow"], np.where(turn < 0, o["shrink"], 1.0))
        second[:] = np.clip(second * factor, o["least_step"], o["most_step"])
        first[:] = np.where(turn < 0, 0.0, g)
        return np.sign(first) * second


def rate_at(name: str, t: int, rate: float, first: float, second: float, warm_up: int) -> float:
    """Return the learning rate of a step, as the core's schedules are named."""
    if t < warm_up:
        return rate * (t + 1) / warm_up
    t -= warm_up
    if name == "constant":
        return rate
    if name == "step":
        return rate * first ** (t // second)
    if name == "exponential":
        return rate * first ** (t / second)
    assert name == "cosine", name
    return second + (rate - second) * 0.5 * (1 + math.cos(math.pi * min(t, first) / first))


def targets(loss: str, n_samples: int, n_outputs: int, random: Any) -> Array:
    """Return targets that suit a loss."""
    if loss == "categorical_crossentropy":
        return np.eye(n_outputs)[random.integers(n_outputs, size=n_samples)]
    if loss == "binary_crossentropy":
        return random.integers(2, size=(n_samples, n_outputs)).astype(float)
    if loss == "poisson":
        return random.poisson(2.0, (n_samples, n_outputs)).astype(float)
    return random.normal(0, 1, (n_samples, n_outputs))


def drawn(
    sizes: tuple[int, ...], activations: list[str], loss: str, n_samples: int, seed: int
) -> tuple[Net, Array, Array]:
    """Return a network with a loss, samples and targets, drawn by NumPy."""
    random = np.random.default_rng(seed)
    W = [random.normal(0, 1.2 / np.sqrt(n), (n, m)) for n, m in pairwise(sizes)]
    B = [random.normal(0, 0.3, m) for m in sizes[1:]]
    X = random.normal(0, 1, (n_samples, sizes[0]))
    return Net(W, B, activations, loss), X, targets(loss, n_samples, sizes[-1], random)


def suitable(loss: str, output: str | None = None) -> str:
    """Return an output activation for a loss."""
    default = {"poisson": "softplus"}.get(loss, "identity")
    return OUTPUTS.get(loss, default if output is None else output)
