"""NumPy: the loop of the notebook, with the exact gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cells import Cell, Problem
    from measure import Contestant


def contestants(problem: Problem, cell: Cell, rate: float) -> dict[str, Contestant]:
    """Return the loop."""
    X, Y, W, B = problem.X, problem.Y, problem.W, problem.B
    is_tanh = cell.activation == "tanh"

    def loop(steps: int) -> None:
        for _ in range(steps):
            a = [X]
            for weights, biases in zip(W, B, strict=True):
                z = a[-1] @ weights + biases
                a.append(np.tanh(z) if is_tanh else 1 / (1 + np.exp(-z)))
            deltas = a[-1] - Y
            for i in reversed(range(len(W))):
                out = a[i + 1]
                deltas = deltas * (1 - out * out if is_tanh else out * (1 - out))
                before = deltas @ W[i].T if i > 0 else deltas
                W[i] -= (a[i].T @ deltas) * rate
                B[i] -= deltas.sum(0, keepdims=True) * rate
                deltas = before

    return {"NumPy": loop}
