"""What PyTorch's optimisers make of a small network: prints the numbers of data/optimizers.json.

    python tests/golden/optimizers.py > tests/data/optimizers.json

needs PyTorch, which the tests do not. Everything is float64. Each case names an optimiser of `ironprop.optimizers` with
its options, and holds the parameters after some of 20 steps on the same batch. Where PyTorch has no such option (`l1`,
decoupled decay outside of AdamW, penalties that are clipped too) it is written out here in tensors. The norm is clipped
exactly: PyTorch's own `clip_grad_norm_` divides by the norm + 1e-6.
"""

from __future__ import annotations

import json
from itertools import pairwise

import torch

STEPS = 20
KEPT = (1, 2, 7, 20)
SIZES = (3, 5, 2)

# Name, options as in ironprop.optimizers, and PyTorch's optimiser with those that it calls otherwise.
CASES = [
    ("SGD", {"learning_rate": 0.1}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "l2": 0.1}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "l1": 0.05}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.2}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "clip_norm": 0.3}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "clip_value": 0.05}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "clip_norm": 0.3, "l2": 0.3}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.1, "clip_value": 0.05, "l2": 0.3}, torch.optim.SGD, {}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    (
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.9, "l2": 0.1},
        torch.optim.SGD,
        {"momentum": 0.9},
    ),
    (
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        torch.optim.SGD,
        {"momentum": 0.8, "nesterov": True},
    ),
    (
        "SGD",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True, "l2": 0.1},
        torch.optim.SGD,
        {"momentum": 0.8, "nesterov": True},
    ),
    ("RMSprop", {}, torch.optim.RMSprop, {}),
    (
        "RMSprop",
        {"learning_rate": 0.02, "rho": 0.9, "l2": 0.1},
        torch.optim.RMSprop,
        {"alpha": 0.9},
    ),
    ("Adagrad", {}, torch.optim.Adagrad, {}),
    ("Adagrad", {"learning_rate": 0.1, "l2": 0.1}, torch.optim.Adagrad, {}),
    ("Adam", {}, torch.optim.Adam, {}),
    (
        "Adam",
        {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        torch.optim.Adam,
        {"betas": (0.8, 0.95), "eps": 1e-3},
    ),
    ("Adam", {"learning_rate": 0.02, "l2": 0.1}, torch.optim.Adam, {}),
    ("Adam", {"learning_rate": 0.02, "l1": 0.1, "clip_norm": 0.3}, torch.optim.Adam, {}),
    ("AdamW", {}, torch.optim.AdamW, {}),
    ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.5}, torch.optim.AdamW, {}),
    ("AdamW", {"learning_rate": 0.02, "l2": 0.1, "clip_norm": 0.3}, torch.optim.AdamW, {}),
    ("Rprop", {}, torch.optim.Rprop, {}),
    (
        "Rprop",
        {"learning_rate": 0.3, "shrink": 0.4, "grow": 1.5, "least_step": 0.01, "most_step": 0.5},
        torch.optim.Rprop,
        {"etas": (0.4, 1.5), "step_sizes": (0.01, 0.5)},
    ),
    ("Rprop", {"learning_rate": 0.05, "l2": 0.1}, torch.optim.Rprop, {}),
]

# Schedules of `ironprop.schedules` beside PyTorch's, all for momentum at 0.1.
SCHEDULES = [
    ("StepDecay", {"factor": 0.5, "every": 6}, "StepLR", {"step_size": 6, "gamma": 0.5}),
    ("Exponential", {"factor": 0.9}, "ExponentialLR", {"gamma": 0.9}),
    ("Cosine", {"steps": 25, "final": 0.01}, "CosineAnnealingLR", {"T_max": 25, "eta_min": 0.01}),
]
RATE = 0.1

CLIPS = ("clip_norm", "clip_value")


def data():
    """Return start, samples and targets: numbers without a pattern that any machine makes the same."""

    def numbers(start, *shape):
        count = torch.arange(start, start + torch.Size(shape).numel(), dtype=torch.float64)
        return ((count * 37 % 64 - 31.5) / 32).reshape(shape)

    parameters = []
    for layer, (inputs, outputs) in enumerate(pairwise(SIZES)):
        parameters += [numbers(7 + layer, inputs, outputs), 0.2 * numbers(11 + layer, outputs)]
    return parameters, numbers(3, 6, SIZES[0]), 0.8 * numbers(5, 6, SIZES[-1])


def loss_of(parameters, X, Y):
    """Return the mean squared error of a net with tanh and identity."""
    W1, b1, W2, b2 = parameters
    return torch.nn.functional.mse_loss(torch.tanh(X @ W1 + b1) @ W2 + b2, Y)


def clip(parameters, options):
    """Clip the gradients of the loss with its penalties."""
    if "clip_value" in options:
        torch.nn.utils.clip_grad_value_(parameters, options["clip_value"])
    if "clip_norm" in options:
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        for p in parameters:
            p.grad *= min(1.0, options["clip_norm"] / norm)


def run(options, make, own, schedule=None):
    """Return the parameters after some of the steps, as one vector each."""
    start, X, Y = data()
    parameters = [p.clone().requires_grad_() for p in start]
    weights, biases = parameters[::2], parameters[1::2]
    by_hand = make is torch.optim.Rprop or any(name in options for name in ("l1", *CLIPS))
    decoupled = make is torch.optim.AdamW
    penalty = {}
    if decoupled:
        penalty = {"weight_decay": options.get("weight_decay", 0.01)}
        by_hand = True
    elif not by_hand:
        penalty = {"weight_decay": options.get("l2", 0.0)}
    groups = [{"params": weights, **penalty}, {"params": biases, **dict.fromkeys(penalty, 0.0)}]
    if "learning_rate" in options:
        own = {**own, "lr": options["learning_rate"]}
    optimizer = make(groups, foreach=False, **own)
    scheduler = None if schedule is None else schedule(optimizer)
    kept = {}
    for number in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss_of(parameters, X, Y).backward()
        with torch.no_grad():
            for w in weights:
                if by_hand:
                    w.grad += options.get("l2", 0.0) * w + options.get("l1", 0.0) * torch.sign(w)
            clip(parameters, options)
            if "weight_decay" in options and not decoupled:
                for w in weights:
                    w *= 1 - options["learning_rate"] * options["weight_decay"]
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if number in KEPT:
            kept[number] = torch.cat([p.detach().ravel() for p in parameters]).tolist()
    return kept


def main():
    """Print everything as JSON, one case a line."""
    start, X, Y = data()
    cases = [
        {"optimizer": name, "options": options, "parameters": run(options, make, own)}
        for name, options, make, own in CASES
    ]
    for name, options, theirs, own in SCHEDULES:

        def schedule(optimizer, theirs=theirs, own=own):
            return getattr(torch.optim.lr_scheduler, theirs)(optimizer, **own)

        sgd = {"learning_rate": RATE, "momentum": 0.9}
        kept = run(sgd, torch.optim.SGD, {"momentum": 0.9}, schedule)
        cases.append(
            {
                "optimizer": "SGD",
                "options": {"momentum": 0.9},
                "schedule": name,
                "schedule_options": {"rate": RATE, **options},
                "parameters": kept,
            }
        )
    head = {
        "made_by": f"tests/golden/optimizers.py with PyTorch {torch.__version__.split('+')[0]}",
        "sizes": SIZES,
        "start": torch.cat([p.ravel() for p in start]).tolist(),
        "X": X.tolist(),
        "Y": Y.tolist(),
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    rows = ",\n".join(f"    {json.dumps(case)}" for case in cases)
    print("{\n" + ",\n".join(lines) + f',\n  "cases": [\n{rows}\n  ]\n}}')  # noqa: T201


if __name__ == "__main__":
    main()
