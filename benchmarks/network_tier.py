"""What the options of `Network` cost beside plain descent on half the squared error: ``make bench-network``.

Every optimiser, every loss and dropout in whole loops at 784-512-512-10, batch 128, against "sgd" with
"half_squared_error"; `fit` against the bare `train` at 17-64-64-6, batch 64; `predict` of one row. All
contestants of a table take turns. Ratios are times over the plain one's: 1.10 is 10 % more. The targets
stand beside the figures, and a figure that misses its target says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import machine
from cells import CELLS, DTYPES
from ironprop import Network, losses, optimizers
from measure import FULL, QUICK, race

if TYPE_CHECKING:
    from measure import Contestant, Effort

RECORDS = Path(__file__).with_name("records")
RATE = 1e-6  # as small as in the other benchmarks: numbers stay ordinary
PLAIN = "sgd, half_squared_error"

# The options, and what they may cost beside the plain step.
OPTIMIZERS = {
    "momentum": (optimizers.SGD(learning_rate=RATE, momentum=0.9), 1.10),
    "nesterov": (optimizers.SGD(learning_rate=RATE, momentum=0.9, nesterov=True), 1.10),
    "l1, l2": (optimizers.SGD(learning_rate=RATE, l1=1e-6, l2=1e-6), 1.10),
    "clip_value": (optimizers.SGD(learning_rate=RATE, clip_value=1.0), 1.10),
    "adagrad": (optimizers.Adagrad(learning_rate=RATE), 1.10),
    "rmsprop": (optimizers.RMSprop(learning_rate=RATE), 1.35),
    "adam": (optimizers.Adam(learning_rate=RATE), 1.35),
    "adamw": (optimizers.AdamW(learning_rate=RATE), 1.35),
    "rprop": (optimizers.Rprop(learning_rate=RATE), 1.35),
    "clip_norm": (optimizers.SGD(learning_rate=RATE, clip_norm=1.0), None),
}
LOSSES: dict[str, losses.Loss] = {
    name: name
    for name in ("mse", "mae", "binary_crossentropy", "categorical_crossentropy", "poisson")
}
LOSSES |= {"huber": losses.Huber(), "quantile": losses.Quantile(0.5)}
MOST_LOSS, MOST_DROPOUT, MOST_FIT, MOST_PREDICT = 1.10, 1.15, 1.02, 2e-6


def network(name: str, dtype: str, **options: Any) -> tuple[Network, Any, Any]:
    """Return a net of a cell with its batch."""
    cell = next(cell for cell in CELLS if cell.name == name)
    random = np.random.default_rng(0)
    X = random.standard_normal((cell.batch, cell.sizes[0])).astype(dtype)
    Y = random.uniform(0.1, 0.9, (cell.batch, cell.sizes[-1])).astype(dtype)
    Y /= Y.sum(axis=1, keepdims=True)
    return Network(cell.sizes, dtype=dtype, seed=1, **options), X, Y


def loop(name: str, dtype: str, **options: Any) -> Contestant:
    """Return a contestant that trains a net of its own."""
    options.setdefault("optimizer", optimizers.SGD(learning_rate=RATE))
    net, X, Y = network(name, dtype, **options)
    return lambda steps: net.train(X, Y, epochs=steps)


def options_table(dtype: str, effort: Effort) -> list[dict[str, Any]]:
    """Race the options against the plain step."""
    contestants: dict[str, Contestant] = {PLAIN: loop("mnist128", dtype)}
    targets: dict[str, float | None] = {}
    for name, (optimizer, target) in OPTIMIZERS.items():
        contestants[name] = loop("mnist128", dtype, optimizer=optimizer)
        targets[name] = target
    for name, loss in LOSSES.items():
        contestants[name] = loop("mnist128", dtype, loss=loss)
        targets[name] = MOST_LOSS
    contestants["dropout 0.2"] = loop("mnist128", dtype, dropout=0.2)
    targets["dropout 0.2"] = MOST_DROPOUT
    result = race(contestants, effort, lambda: None)
    return [
        {
            "dtype": dtype,
            "option": name,
            "microseconds": result.time(name) * 1e6,
            "ratio": 1 / result.ratio(name, over=PLAIN),
            "target": target,
        }
        for name, target in targets.items()
    ]


def fit_row(dtype: str, effort: Effort) -> dict[str, Any]:
    """Race `fit` against the bare loop, on sixteen batches an epoch."""
    net, X, Y = network("rl64", dtype, optimizer=optimizers.SGD(learning_rate=RATE))
    X, Y = np.tile(X, (16, 1)), np.tile(Y, (16, 1))
    contestants: dict[str, Contestant] = {
        "train": lambda epochs: net.train(X, Y, epochs=epochs, batch_size=64, shuffle=False),
        "fit": lambda epochs: net.fit(X, Y, epochs=epochs, batch_size=64, shuffle=False),
    }
    result = race(contestants, effort, lambda: None)
    ratio = 1 / result.ratio("fit", over="train")
    microseconds = result.time("fit") * 1e6
    return {
        "dtype": dtype,
        "option": "fit over train, an epoch of 1024 samples",
        "microseconds": microseconds,
        "ratio": ratio,
        "target": MOST_FIT,
    }


def predict_row(dtype: str, effort: Effort) -> dict[str, Any]:
    """Time one row."""
    net, X, _ = network("rl64", dtype)
    row = X[:1].copy()

    def calls(steps: int) -> None:
        for _ in range(steps):
            net.predict(row)

    seconds = race({"predict": calls}, effort, lambda: None).time("predict")
    return {
        "dtype": dtype,
        "option": "predict of one row at 17-64-64-6",
        "microseconds": seconds * 1e6,
        "ratio": seconds / MOST_PREDICT,
        "target": 1.0,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| option | dtype | µs | ratio | at most | |", "|---|---|---|---|---|---|"]
    for row in rows:
        target = row["target"]
        verdict = "" if target is None else "met" if row["ratio"] <= target else "**missed**"
        bound = "" if target is None else f"{target:.2f}"
        lines.append(
            f"| {row['option']} | {row['dtype']} | {row['microseconds']:.2f} | {row['ratio']:.3f} "
            f"| {bound} | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all tables; with --record, keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--record", action="store_true", help="write benchmarks/records/")
    arguments = parser.parse_args()
    machine.refuse_slow_build()
    effort = QUICK if arguments.quick else FULL
    load = machine.OtherLoad()
    rows: list[dict[str, Any]] = []
    for dtype in DTYPES:
        rows += options_table(dtype, effort)
        rows += [fit_row(dtype, effort), predict_row(dtype, effort)]
    others = load.cores()
    text = table(rows)
    print(text)
    print(f"\nother processes used {others or 0:.2f} cores", file=sys.stderr)
    if arguments.record:
        stem = RECORDS / f"{date.today().isoformat()}-network-tier"
        record = {"machine": machine.describe(), "other_load": others, "rows": rows}
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        head = (
            f"# Options of `Network`, {date.today().isoformat()}\n\n"
            "Times over those of plain descent with half the squared error at 784-512-512-10, batch "
            "128 (`fit`: over `train`; `predict`: over 2 µs). Made by "
            "`python benchmarks/network_tier.py --record`; the machine is in the JSON beside this.\n\n"
        )
        stem.with_suffix(".md").write_text(head + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
