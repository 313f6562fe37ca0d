"""PyTorch: autograd with its optimiser, and the step by hand without autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from cells import Cell, Problem
    from measure import Contestant


def contestants(problem: Problem, cell: Cell, rate: float) -> dict[str, Contestant]:
    """Return both spellings; their tensors share the problem's memory."""
    X, Y = torch.from_numpy(problem.X), torch.from_numpy(problem.Y)
    W = [torch.from_numpy(w) for w in problem.W]
    B = [torch.from_numpy(b) for b in problem.B]
    is_tanh = cell.activation == "tanh"
    function = torch.tanh if is_tanh else torch.sigmoid
    parameters = [p.detach().requires_grad_() for p in W + B]
    optimiser = torch.optim.SGD(parameters, lr=rate, fused=True)

    def autograd(steps: int) -> None:
        n = len(W)
        for _ in range(steps):
            a = X
            for i in range(n):
                a = function(torch.addmm(parameters[n + i], a, parameters[i]))
            loss = 0.5 * ((a - Y) ** 2).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    @torch.inference_mode()
    def by_hand(steps: int) -> None:
        for _ in range(steps):
            a = [X]
            for weights, biases in zip(W, B, strict=True):
                a.append(function(torch.addmm(biases, a[-1], weights)))
            deltas = a[-1] - Y
            for i in reversed(range(len(W))):
                out = a[i + 1]
                deltas = deltas * (1 - out * out) if is_tanh else deltas * out * (1 - out)
                before = deltas @ W[i].T if i > 0 else deltas
                W[i].addmm_(a[i].T, deltas, alpha=-rate)
                B[i].sub_(deltas.sum(0, keepdim=True), alpha=rate)
                deltas = before

    return {"PyTorch": autograd, "PyTorch by hand": by_hand}
