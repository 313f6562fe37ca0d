"""scikit-learn: `MLPRegressor.partial_fit`, a step a call.

Its output layer is linear, which spares it the last activation; the rest is the same work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.neural_network import MLPRegressor

if TYPE_CHECKING:
    from cells import Cell, Problem
    from measure import Contestant


def contestants(problem: Problem, cell: Cell, rate: float) -> dict[str, Contestant]:
    """Return the estimator's step."""
    X, Y = problem.X, problem.Y
    y = Y.ravel() if Y.shape[1] == 1 else Y
    network = MLPRegressor(
        hidden_layer_sizes=cell.sizes[1:-1],
        activation="tanh" if cell.activation == "tanh" else "logistic",
        solver="sgd",
        alpha=0.0,
        batch_size=len(X),
        learning_rate_init=rate,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
    )

    def partial_fit(steps: int) -> None:
        for _ in range(steps):
            network.partial_fit(X, y)

    return {"scikit-learn": partial_fit}
