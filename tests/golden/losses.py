"""Make `tests/data/losses.txt`: losses and their gradients by PyTorch in float64. Run by hand, from anywhere.

A case is some lines `name value ...`, a blank line ends it. `outputs` are what the loss is taken from: predictions,
pre-activations where it is fused with its activation, or pre-activations of the `activation` that is named. `gradient`
is that of `value` with respect to them. Two losses are not in PyTorch (quantile) or have another constant there
(Poisson): they are written out, and the gradient is still by PyTorch's automatic differentiation.
"""

from pathlib import Path

import torch
from torch.nn import functional

TARGET = Path(__file__).parents[1] / "data" / "losses.txt"
HEAD = """\
# Losses and their gradients by PyTorch in float64, made by tests/golden/losses.py, which says what the lines are.
"""


def loss_of(name, outputs, targets, parameter):
    match name:
        case "half_squared_error":
            return 0.5 * functional.mse_loss(outputs, targets, reduction="sum")
        case "mse":
            return functional.mse_loss(outputs, targets)
        case "mae":
            return functional.l1_loss(outputs, targets)
        case "huber":
            return functional.huber_loss(outputs, targets, delta=parameter)
        case "binary_crossentropy":
            return functional.binary_cross_entropy_with_logits(outputs, targets)
        case "categorical_crossentropy":
            return functional.cross_entropy(outputs, targets)
        case "poisson":
            return (outputs - targets * torch.log(outputs + 1e-8)).mean()
        case "quantile":
            error = targets - outputs
            return torch.maximum(parameter * error, (parameter - 1) * error).mean()
    raise ValueError(name)


def numbers(values):
    return " ".join(repr(value) for value in torch.as_tensor(values).flatten().tolist())


def case(name, size, *, activation="none", parameter=None, scale=2.0):
    outputs = scale * torch.randn(size, dtype=torch.float64)
    targets = scale * torch.randn(size, dtype=torch.float64)
    if name == "binary_crossentropy":
        targets = torch.rand(size, dtype=torch.float64)
        targets[0] = targets[0].round()
    elif name == "categorical_crossentropy":
        targets = targets.softmax(1)
        targets[0] = functional.one_hot(targets[0].argmax(), size[1])
    elif name == "poisson":
        targets = torch.randint(0, 5, size).double()
        if activation == "none":
            outputs = outputs.abs() + 0.1
    outputs.requires_grad_()
    predictions = outputs.softmax(1) if activation == "softmax" else outputs
    value = loss_of(name, predictions, targets, parameter)
    value.backward()
    lines = [f"loss {name}", f"activation {activation}", f"n_outputs {size[1]}"]
    lines += [] if parameter is None else [f"parameter {parameter}"]
    lines += [f"outputs {numbers(outputs.detach())}", f"targets {numbers(targets)}"]
    lines += [f"value {numbers(value.detach())}", f"gradient {numbers(outputs.grad)}"]
    return "\n".join(lines)


def main():
    torch.manual_seed(20)
    cases = []
    for size in [(3, 1), (2, 5)]:
        plain = ["half_squared_error", "mse", "mae", "poisson"]
        cases += [case(name, size) for name in plain]
        cases += [case("huber", size, parameter=delta) for delta in [0.4, 1.0]]
        cases += [case("quantile", size, parameter=quantile) for quantile in [0.5, 0.9]]
        cases += [case("binary_crossentropy", size, scale=scale) for scale in [2.0, 40.0]]
    scales = [2.0, 40.0, 1000.0]
    cases += [case("categorical_crossentropy", (2, 5), scale=scale) for scale in scales]
    cases += [case(name, (2, 4), activation="softmax") for name in ["mse", "mae", "poisson"]]
    cases.append(case("huber", (2, 4), activation="softmax", parameter=0.3))
    TARGET.write_text("\n\n".join([HEAD.rstrip(), *cases]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
