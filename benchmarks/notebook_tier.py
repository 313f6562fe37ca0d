"""The notebook tier against the notebook's own NumPy code: ``make bench``.

Two things are timed in every cell, each per training step over the whole batch: one call of
`forward_pass` and one of `backward_pass`, and `train` with either gradient, which keeps the loop in
the core. The rival of all three is the pair of NumPy functions below, with one BLAS thread or with
all of them, whichever is faster in that cell. It also measures what the import costs. Ratios are
the message; times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import ironprop
import machine
from cells import CELLS, DTYPES, LEARNING_RATE, Cell, Problem
from measure import FULL, QUICK, Contestant, Effort, Race, import_cost, race

# Ratios that we want at least, and the most that the import may cost. Larger cells have no target.
PAIR_TARGETS = {"seed": 10.0, "tiny": 10.0, "small32": 3.0, "rl64": 1.0, "mnist32": 1.0}
TRAIN_TARGETS = {"seed": 150.0, "tiny": 25.0}
IMPORT_TARGET = 10.0  # ms
IMPORT_PAIRS = {FULL: 21, QUICK: 5}

NOISY = 0.2  # the quartiles of a ratio's rounds are further apart than this part of it
OURS = ("pair", "train notebook", "train exact")
RECORDS = Path(__file__).with_name("records")


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def numpy_forward_pass(X: Any, W: list[Any], B: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Do what the notebook's `forward_pass` does, with the same NumPy calls."""
    A, dA = [], []
    for weights, biases in zip(W, B, strict=True):
        A.append(X)
        X = sigmoid(np.dot(X, weights) + biases)
        dA.append(X * (1 - X))
    return X, A, dA


def numpy_backward_pass(
    W: list[Any], B: list[Any], A: list[Any], dA: list[Any], pred: Any, Y: Any, rate: float
) -> None:
    """Do what the notebook's `backward_pass` does, with the same NumPy calls."""
    deltas = (pred - Y) * dA[-1]
    ones = np.ones((1, len(deltas)), deltas.dtype)  # so that float32 stays what it is
    for i in reversed(range(len(W))):
        d_weights = np.dot(A[i].T, deltas)
        d_biases = np.dot(ones, deltas)
        W[i] -= d_weights * rate
        B[i] -= d_biases * rate
        if i > 0:
            deltas = np.dot(deltas, W[i].T) * dA[i - 1]


def contestants(problem: Problem, rate: float = LEARNING_RATE) -> dict[str, Contestant]:
    """Return NumPy's pair, with all threads and with one, and our three ways to do its steps."""
    X, Y, W, B = problem.X, problem.Y, problem.W, problem.B

    def numpy_pair(steps: int) -> None:
        for _ in range(steps):
            pred, A, dA = numpy_forward_pass(X, W, B)
            numpy_backward_pass(W, B, A, dA, pred, Y, rate)

    def pair(steps: int) -> None:
        for _ in range(steps):
            pred, A, dA = ironprop.forward_pass(X, W, B)
            ironprop.backward_pass(W, B, A, dA, pred, Y, rate)

    def train_notebook(steps: int) -> None:
        ironprop.train(X, Y, W, B, epochs=steps, learning_rate=rate)

    def train_exact(steps: int) -> None:
        ironprop.train(X, Y, W, B, epochs=steps, learning_rate=rate, gradient="exact")

    ours = dict(zip(OURS, (pair, train_notebook, train_exact), strict=True))
    one_blas_thread = machine.one_blas_thread
    if one_blas_thread is None:
        return {"numpy": numpy_pair, **ours}

    def numpy_pair_1_thread(steps: int) -> None:
        with one_blas_thread():
            numpy_pair(steps)

    return {"numpy": numpy_pair, "numpy 1 thread": numpy_pair_1_thread, **ours}


def check_agreement(problem: Problem) -> None:
    """Exit if our steps differ from NumPy's by more than rounding: then times mean nothing."""
    results = {}
    rate = 0.5 / len(problem.X)  # large enough to tell a wrong step from none
    for name, contestant in contestants(problem, rate).items():
        problem.restore()
        contestant(3)
        results[name] = [array.copy() for array in problem.W + problem.B]
    tolerance = 1e3 * float(np.finfo(problem.X.dtype).eps)
    for name in ("pair", "train notebook"):  # the exact gradient is meant to differ
        for ours, theirs in zip(results[name], results["numpy"], strict=True):
            if not np.allclose(ours, theirs, rtol=tolerance, atol=tolerance):
                raise SystemExit(f"{name} and NumPy disagree by {np.abs(ours - theirs).max()}")


def run_cell(cell: Cell, dtype: str, effort: Effort) -> dict[str, Any]:
    """Measure one cell; return its numbers, ready for JSON."""
    problem = Problem(cell, dtype)
    check_agreement(problem)
    result = race(contestants(problem), effort, problem.restore)
    rivals = [name for name in result.seconds if name not in OURS]
    rival = result.faster(*rivals)
    return {
        "cell": cell.name,
        "net": cell.label,
        "dtype": dtype,
        "rival": rival,
        "rivals_us": {name: result.time(name) * 1e6 for name in rivals},
        "ours": {name: _entry(cell, name, rival, result) for name in OURS},
    }


def _entry(cell: Cell, name: str, rival: str, result: Race) -> dict[str, Any]:
    target = (PAIR_TARGETS if name == "pair" else TRAIN_TARGETS).get(cell.name)
    ratio = result.ratio(name, over=rival)
    lower, upper = result.ratio_quartiles(name, over=rival)
    return {
        "us": result.time(name) * 1e6,
        "gflops": cell.flops / result.time(name) / 1e9,
        "ratio": ratio,
        "ratio_quartiles": [lower, upper],
        "noisy": upper - lower > NOISY * ratio,
        "target": target,
        "met": None if target is None else ratio >= target,
    }


def measure_import(pairs: int) -> dict[str, Any]:
    """Measure the import, and judge it only if the pairs agree well enough to tell."""
    cost = import_cost("ironprop", over="numpy", pairs=pairs)
    noisy = cost["upper"] - cost["lower"] > IMPORT_TARGET
    met = None if noisy else cost["paired"] <= IMPORT_TARGET
    return {**cost, "target": IMPORT_TARGET, "noisy": noisy, "met": met}


def report(record: dict[str, Any]) -> str:
    """Return the record as Markdown, for the terminal and for the file."""
    lines = [
        f"# Notebook tier, {record['date']}" + (" (quick)" if record["quick"] else ""),
        "",
        "Made by",
        "",
        f"    {record['command']}",
        "",
        *(f"- {line}" for line in _machine_lines(record["machine"])),
        f"- {_load_line(record['other_load_cores'])}",
        "",
        "One training step over the batch, sigmoid everywhere; x: times as fast as NumPy's pair",
        "(median over rounds that take turns; ~: the rounds disagree). NumPy's pair runs with one",
        "BLAS thread (1) or all of them (all), whichever is faster. GF/s: those of train exact.",
        "",
        *_table(record["results"]),
        "",
        f"Targets for the pair: at least {_wanted(PAIR_TARGETS)}; for train, with either gradient:"
        f" {_wanted(TRAIN_TARGETS)}. The other cells have none.",
        "",
        _import_line(record["import_ms"]),
    ]
    met = [judged["met"] for judged in _judged(record)]
    summary = f"{met.count(True)} met, {met.count(False)} MISSED"
    lines += ["", f"All targets: {'not judged' if _busy(record) else summary}."]
    return "\n".join(lines) + "\n"


def _import_line(cost: dict[str, Any]) -> str:
    verdict = _verdict(cost["met"]) or (" too noisy to judge" if cost["noisy"] else " not judged")
    return (
        f"Importing ironprop after NumPy: {cost['paired']:.1f} ms in paired processes (quartiles"
        f" {cost['lower']:.1f} and {cost['upper']:.1f}; target ≤ {IMPORT_TARGET:g} ms:{verdict});"
        f" the import statement itself takes {cost['inside']:.1f} ms."
    )


def _load_line(cores: float | None) -> str:
    if cores is None:
        return "load of other processes: unknown"
    judgement = "quiet enough" if cores <= machine.OtherLoad.LIMIT else "BUSY, THE RATIOS ARE VOID"
    return f"other processes used {cores:.2f} cores meanwhile: {judgement}"


def _machine_lines(facts: dict[str, Any]) -> list[str]:
    ours, blas, peak = facts["ironprop"], facts["blas"], facts["peak_fma_gflops"]
    return [
        f"CPU: {facts['cpu']}, {facts['cores']} cores ({facts['cores_allowed']} allowed)",
        f"Python {facts['python']}, NumPy {facts['numpy']}, {facts['system']}",
        f"NumPy's BLAS: {', '.join(f'{key} {value}' for key, value in blas.items())}",
        f"environment: {facts['environment'] or 'no BLAS, thread or level variable set'}",
        f"ironprop {ours['version']}, level {ours['level']}, threads {ours['threads']}",
        f"peak FMA on all cores: {peak} GF/s",
    ]


def _table(results: list[dict[str, Any]]) -> list[str]:
    header = ["cell", "net, batch", "dtype", "NumPy µs", "threads"]
    for name in OURS:
        header += [f"{name} µs", "x"]
    rows = [[*header, "GF/s"]]
    for result in results:
        rival = result["rival"]
        row = [result["cell"], result["net"], result["dtype"], _short(result["rivals_us"][rival])]
        row.append("1" if rival == "numpy 1 thread" else "all")
        for entry in result["ours"].values():
            noise = "~" if entry["noisy"] else ""
            row += [_short(entry["us"]), noise + _short(entry["ratio"]) + _verdict(entry["met"])]
        rows.append([*row, _short(result["ours"]["train exact"]["gflops"])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]


def _wanted(targets: dict[str, float]) -> str:
    return ", ".join(f"{cell} {ratio:g}x" for cell, ratio in targets.items())


def _short(number: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else " met" if met else " MISSED"


def measure(effort: Effort) -> dict[str, Any]:
    """Measure all cells and the import; return everything that a record holds."""
    other_load = machine.OtherLoad()
    results = []
    for cell in CELLS:
        for dtype in DTYPES:
            print(f"{cell.name} {dtype} ...", file=sys.stderr, flush=True)
            results.append(run_cell(cell, dtype, effort))
    print("import ...", file=sys.stderr, flush=True)
    record = {
        "schema": 1,
        "date": date.today().isoformat(),
        "command": "python " + shlex.join(["benchmarks/notebook_tier.py", *sys.argv[1:]]),
        "quick": effort is QUICK,
        "machine": machine.describe(),
        "results": results,
        "import_ms": measure_import(IMPORT_PAIRS[effort]),
        "other_load_cores": other_load.cores(),
    }
    if _busy(record):
        for judged in _judged(record):
            judged["met"] = None
    return record


def _judged(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all parts of the record that say whether a target was met."""
    entries = [entry for row in record["results"] for entry in row["ours"].values()]
    return [*entries, record["import_ms"]]


def _busy(record: dict[str, Any]) -> bool:
    cores = record["other_load_cores"]
    return cores is not None and cores > machine.OtherLoad.LIMIT


def write(record: dict[str, Any], text: str) -> None:
    """Write the record, unless other processes had their hand in it."""
    if _busy(record):
        raise SystemExit("not recorded: the machine was busy with other things")
    stem = RECORDS / f"{record['date']}-notebook-tier"
    RECORDS.mkdir(exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"written: {stem}.json and .md")


def main() -> None:
    parser = argparse.ArgumentParser(description="The notebook tier against NumPy.")
    parser.add_argument("--record", action="store_true", help="also write benchmarks/records/")
    parser.add_argument("--quick", action="store_true", help="few rounds: a smoke test")
    options = parser.parse_args()
    machine.refuse_slow_build()
    if options.record and machine.one_blas_thread is None:
        raise SystemExit("a record needs threadpoolctl, to race NumPy with one BLAS thread too")
    record = measure(QUICK if options.quick else FULL)
    text = report(record)
    print(text)
    if options.record:
        write(record, text)


if __name__ == "__main__":
    main()
