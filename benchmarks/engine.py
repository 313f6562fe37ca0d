"""`train` against every peer that is installed: ``make bench-engine``.

In every cell each contestant takes the same training steps, sigmoid or tanh everywhere; the peers in
their best spelling (`peers/`), the loop inside the library where it has one. What counts is the
ratio to the *best* peer of the cell. ``--one-core`` binds the process, and so everybody, to one core.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import shlex
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if "--one-core" in sys.argv and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before any library counts the cores

import bounds
import ironprop
import machine
from cells import CELLS, DTYPES, LEARNING_RATE, Cell, Problem
from measure import FULL, QUICK, Effort, race

if TYPE_CHECKING:
    from measure import Contestant

PEERS = ("numpy", "sklearn", "torch", "jax")

# What the ratio to the best peer must be, by cell: for float64 and for float32.
TARGETS = {
    "seed": (2.0, 1.2),
    "tiny": (1.5, 1.5),
    "small32": (2.0, 2.5),
    "rl64": (2.5, 2.5),
    "mnist32": (1.8, 1.8),
    "sc24": (2.5, 2.5),
    "sc4": (2.5, 2.5),
    "mnist128": (1.2, 1.2),
    "wide256": (1.2, 1.2),
}
# What part of the FMA peak it must reach, and the ratio of one step a call.
PEAK_TARGETS = {"mnist128": 0.85, "wide256": 0.85}
STEP_TARGETS = {"seed": 8.0, "tiny": 8.0, "small32": 4.0}
# Peers that are called for every step.
CALLS = ("NumPy", "scikit-learn", "PyTorch", "PyTorch by hand", "JAX call")
RECORDS = Path(__file__).with_name("records")


def installed_peers() -> dict[str, Any]:
    """Return the modules of the peers that can be imported; say which cannot."""
    found = [peer for peer in PEERS if importlib.util.find_spec(peer) is not None]
    print(f"raced: {', '.join(found)}; not installed: {set(PEERS) - set(found) or 'none'}")
    return {peer: importlib.import_module(f"peers.{peer}_peer") for peer in found}


def ours(problem: Problem, cell: Cell, rate: float) -> dict[str, Contestant]:
    """Return the loop in the core, with both gradients, and a step a call."""
    X, Y, W, B = problem.X, problem.Y, problem.W, problem.B

    def train(gradient: str) -> Contestant:
        options: Any = {"activation": cell.activation, "gradient": gradient, "learning_rate": rate}
        return lambda steps: ironprop.train(X, Y, W, B, epochs=steps, **options)

    network = ironprop.Network(cell.sizes, activation=cell.activation, dtype=X.dtype)
    network.weights, network.biases = W, B

    def step(steps: int) -> None:
        for _ in range(steps):
            network.train_step(X, Y, learning_rate=rate)

    return {
        "ironprop": train("exact"),
        "ironprop notebook": train("notebook"),
        "ironprop step": step,
    }


def run_cell(cell: Cell, dtype: str, effort: Effort, peers: dict[str, Any]) -> dict[str, Any]:
    """Measure one cell; return its numbers, ready for JSON."""
    problem = Problem(cell, dtype)
    contestants = ours(problem, cell, LEARNING_RATE)
    for module in peers.values():
        contestants |= module.contestants(problem, cell, LEARNING_RATE)
    result = race(contestants, effort, problem.restore)
    rival = result.faster(*(name for name in contestants if not name.startswith("ironprop")))
    caller = result.faster(*(name for name in CALLS if name in contestants))
    target = TARGETS[cell.name][DTYPES.index(dtype)]
    ratio = result.ratio("ironprop", over=rival)
    gflops = cell.flops / result.time("ironprop") / 1e9
    return {
        "cell": cell.name,
        "net": cell.label,
        "dtype": dtype,
        "us": {name: result.time(name) * 1e6 for name in contestants},
        "best peer": rival,
        "ratio": ratio,
        "ratio_quartiles": result.ratio_quartiles("ironprop", over=rival),
        "best call": caller,
        "step_ratio": result.ratio("ironprop step", over=caller),
        "notebook_over_exact": result.ratio("ironprop", over="ironprop notebook"),
        "gflops": gflops,
        "target": target,
        "met": ratio >= target,
    }


def report(record: dict[str, Any]) -> str:
    """Return the record as Markdown."""
    facts = record["machine"]
    names = list(record["results"][0]["us"])
    header = ["net, batch", "dtype", *(f"{name} µs" for name in names), "best peer", "x", "bound"]
    header += ["GF/s", "of peak, %", "notebook/exact", "step x"]
    rows = [header, ["---"] * len(header)]
    for row in record["results"]:
        of_peak = row["gflops"] / facts["peak_fma_gflops"][row["dtype"]]
        rows.append(
            [
                row["net"],
                row["dtype"],
                *(_short(row["us"][name]) for name in names),
                row["best peer"],
                _verdict(row["ratio"], row["target"]),
                "-" if row["bound"] is None else _short(row["bound"]),
                _short(row["gflops"]),
                _verdict(100 * of_peak, 100 * PEAK_TARGETS.get(row["cell"], 0)),
                f"{row['notebook_over_exact']:.2f}",
                _verdict(row["step_ratio"], STEP_TARGETS.get(row["cell"], 0)),
            ]
        )
    peak = ", ".join(f"{dtype} {rate:g}" for dtype, rate in facts["peak_fma_gflops"].items())
    rates = "; ".join(
        f"{dtype} " + ", ".join(f"{name} {1e9 * time:.2f}" for name, time in times.items())
        for dtype, times in facts["activation_s"].items()
    )
    lines = [
        f"# The engine against its peers, {record['date']}" + (" (quick)" * record["quick"]),
        "",
        f"Made by `{record['command']}` on {facts['cpu']}, {facts['cores_allowed']} cores;",
        f"ironprop {facts['ironprop']['version']}, level {facts['ironprop']['level']};",
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()) + ";",
        f"NumPy's BLAS runs {facts['blas'].get('kernels')} kernels;",
        f"FMA peak of all cores in GF/s: {peak}; nanoseconds of a core for an activation: {rates};",
        f"other processes used {record['other_load_cores']} cores meanwhile.",
        "",
        "Microseconds a step; x: how many times faster than the best peer ironprop is (exact",
        "gradient, median over rounds that take turns); bound: the same of a machine that never",
        "waits (`bounds.py`; none for single samples, whose steps are chains of operations that",
        "wait for each other); notebook/exact: the time of the notebook's gradient; step x: one step",
        "a call against the best peer that is called for each step. MISSED: less than the number",
        'behind it; what lies between and what was tried is in ARCHITECTURE.md, "Where the engine',
        'stands".',
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _verdict(value: float, target: float) -> str:
    return _short(value) + (f" MISSED {target:g}" if value < target else "")


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def versions(peers: dict[str, Any]) -> dict[str, str]:
    """Return the versions of the raced libraries."""
    packages = [peer for peer in PEERS if peer in peers]
    return {name: importlib.import_module(name).__version__ for name in packages}


def main() -> None:
    parser = argparse.ArgumentParser(description="train against every installed peer.")
    parser.add_argument("--record", action="store_true", help="also write benchmarks/records/")
    parser.add_argument("--quick", action="store_true", help="few rounds: a smoke test")
    parser.add_argument("--one-core", action="store_true", help="bind everybody to one core")
    parser.add_argument("--cells", nargs="*", help="only these")
    options = parser.parse_args()
    machine.refuse_slow_build()
    # Parts of the race, and that on one core, leave the picture of the whole race as it is.
    whole = not (options.quick or options.one_core or options.cells)
    if options.record and whole:
        machine.refuse_without_matplotlib()
    peers = installed_peers()
    effort = QUICK if options.quick else FULL
    other_load = machine.OtherLoad()
    results = []
    raced = [cell for cell in CELLS if not options.cells or cell.name in options.cells]
    for cell in raced:
        for dtype in DTYPES:
            print(f"{cell.name} {dtype} ...", file=sys.stderr, flush=True)
            results.append(run_cell(cell, dtype, effort, peers))
    cores = other_load.cores()
    facts = machine.describe()
    facts["activation_s"] = {dtype: bounds.activation_times(dtype) for dtype in DTYPES}
    record = {
        "schema": 1,
        "date": date.today().isoformat(),
        "command": "python " + shlex.join(["benchmarks/engine.py", *sys.argv[1:]]),
        "quick": options.quick,
        "machine": facts,
        "versions": versions(peers),
        "results": results,
        "other_load_cores": None if cores is None else round(cores, 2),
    }
    for row, cell in zip(results, [cell for cell in raced for _ in DTYPES], strict=True):
        least = bounds.least_time(cell, facts, row["dtype"])
        row["bound"] = None if least is None else row["us"][row["best peer"]] / 1e6 / least
    text = report(record)
    print(text)
    if options.record:
        stem = RECORDS / f"{record['date']}-engine{'-one-core' if options.one_core else ''}"
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(text, encoding="utf-8")
        if whole:
            import pictures  # needs matplotlib, which only a record does

            print(f"drawn: {pictures.draw(record)}")


if __name__ == "__main__":
    main()
