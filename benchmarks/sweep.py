"""The cost of `train` per operation over a grid of sizes, to find its cliffs: ``make bench-sweep``.

Three sweeps, each for both dtypes: over the width of a net with one hidden layer (w-w-w), over the
batch, and over the number of layers. Neighbours on the grid are at most about 1.4 times apart, and
every power of two lies between its own two neighbours.

Two neighbours are compared by what an operation costs in each: the ratio of their step times over
the ratio of their operations, t(b) / t(a) : f(b) / f(a). The target is that no pair differs by more
than `LIMIT` in either direction. Pairs that come near it are measured again, taking turns, and that
ratio counts. Where the larger step of a pair takes at least as long as the smaller one, but less than
in proportion, the pair only spreads a fixed cost (a call, a register that is not full) over more
work: the report lists such pairs apart from the cliffs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ironprop
import machine
from cells import DTYPES, LEARNING_RATE, Cell
from measure import Effort, race

if TYPE_CHECKING:
    from measure import Contestant

AXES = ("width", "batch", "layers")

LIMIT = 1.5  # that the cost per operation of two neighbours may differ
NEAR = 1.25  # from which on a pair is measured again
SHORTER = 0.95  # of the smaller step's time, below which the larger one took less time

FULL = Effort(rounds=5, seconds=0.02, fewest_steps=1)
QUICK = Effort(rounds=1, seconds=0.002, fewest_steps=1)
AGAIN = Effort(rounds=9, seconds=0.02, fewest_steps=1)

QUICK_FLOPS = 100_000_000  # of a step: a smoke test leaves larger ones out

# Operations up to which the loop runs in the core. Longer steps are called one by one, which costs
# 0.4 µs each, and a copy of the weights where steps are of single samples: `train` would lay out its
# memory in each measurement, which takes as long as some of them.
LOOP_IN_CORE = 7_000_000

RECORDS = Path(__file__).with_name("records")


@dataclass(frozen=True)
class Curve:
    """Nets and batches that differ in one size only."""

    axis: str
    fixed: str
    cells: dict[int, Cell]  # by that size


def grid(largest: int) -> list[int]:
    """Return sizes from 1 to `largest`: odd ones, and the powers of two with their neighbours."""
    sizes = {*range(1, 10), 11, 13, largest}
    power = 16
    while power <= largest:
        sizes |= {power - 1, power, power + 1, round(power * 2**0.5) | 1}
        power *= 2
    return sorted(size for size in sizes if size <= largest)


def curves() -> Iterator[Curve]:
    """Yield the sweeps."""
    for batch in (1, 16, 128):
        cells = {width: Cell("sweep", (width, width, width), batch) for width in grid(4096)}
        yield Curve("width", f"batch {batch}", cells)
    for width in (4, 32, 128):
        cells = {batch: Cell("sweep", (width, width, width), batch) for batch in grid(65536)}
        yield Curve("batch", f"width {width}", cells)
    for width, batch in ((16, 1), (64, 32), (256, 128)):
        cells = {layers: Cell("sweep", (width,) * (layers + 1), batch) for layers in grid(50)}
        yield Curve("layers", f"width {width}, batch {batch}", cells)


def steps_of(cell: Cell, dtype: str, n_threads: int | None) -> Contestant:
    """Return what takes training steps in that cell."""
    random = np.random.default_rng(0)
    X = random.standard_normal((cell.batch, cell.sizes[0])).astype(dtype)
    Y = random.uniform(0.1, 0.9, (cell.batch, cell.sizes[-1])).astype(dtype)
    network = ironprop.Network(cell.sizes, dtype=dtype, seed=0)
    rate = LEARNING_RATE

    def loop(steps: int) -> None:
        network.train(X, Y, epochs=steps, learning_rate=rate, n_threads=n_threads)

    def calls(steps: int) -> None:
        for _ in range(steps):
            network.train_step(X, Y, learning_rate=rate, n_threads=n_threads)

    return loop if cell.flops <= LOOP_IN_CORE else calls


def run_curve(
    curve: Curve, dtype: str, effort: Effort, n_threads: int | None
) -> list[dict[str, Any]]:
    """Measure the cells of one curve; return their numbers, ready for JSON."""
    results = []
    for size, cell in curve.cells.items():
        contestants = {"step": steps_of(cell, dtype, n_threads)}
        seconds = race(contestants, effort, _nothing).time("step")
        results.append(
            {
                "axis": curve.axis,
                "fixed": curve.fixed,
                "dtype": dtype,
                "size": size,
                "net": cell.label,
                "flops": cell.flops,
                "us": seconds * 1e6,
                "gflops": cell.flops / seconds / 1e9,
            }
        )
    return results


def compare(
    curve: Curve, results: list[dict[str, Any]], again: Effort | None, n_threads: int | None
) -> list[dict[str, Any]]:
    """Return all pairs of neighbours of one curve; those that come near the limit are raced."""
    pairs = []
    for a, b in pairwise(results):
        times, flops = b["us"] / a["us"], b["flops"] / a["flops"]
        remeasured = again is not None and max(times / flops, flops / times) > NEAR
        if again is not None and remeasured:
            sizes = {"a": a["size"], "b": b["size"]}
            contestants = {
                name: steps_of(curve.cells[size], a["dtype"], n_threads)
                for name, size in sizes.items()
            }
            times = race(contestants, again, _nothing).ratio("a", over="b")
        cost = times / flops
        pairs.append(
            {key: a[key] for key in ("axis", "fixed", "dtype")}
            | {"sizes": [a["size"], b["size"]], "nets": [a["net"], b["net"]]}
            | {"time_ratio": times, "flop_ratio": flops, "cost_ratio": cost}
            | {"remeasured": remeasured, "kind": kind_of(times, flops)}
        )
    return pairs


def kind_of(time_ratio: float, flop_ratio: float) -> str:
    """Return what a pair of neighbours is: "even", a "cliff", or a "fixed cost" spread over more."""
    cost = time_ratio / flop_ratio
    if 1 / LIMIT <= cost <= LIMIT:
        return "even"
    return "fixed cost" if cost < 1 and time_ratio >= SHORTER else "cliff"


def _nothing() -> None:
    """Weights hardly move in a measurement: there is nothing to put back."""


def difference(pair: dict[str, Any]) -> float:
    """By what factor the cost per operation of two neighbours differs, in whichever direction."""
    ratio: float = pair["cost_ratio"]
    return max(ratio, 1 / ratio)


def report(record: dict[str, Any]) -> str:
    """Return the record as Markdown."""
    facts, pairs = record["machine"], record["pairs"]
    by_kind = {
        kind: sorted((p for p in pairs if p["kind"] == kind), key=difference, reverse=True)
        for kind in ("cliff", "fixed cost", "even")
    }
    remeasured = sum(pair["remeasured"] for pair in pairs)
    cliffs, fixed, even = by_kind["cliff"], by_kind["fixed cost"], by_kind["even"]
    lines = [
        f"# The cost per operation over sizes, {record['date']}" + " (quick)" * record["quick"],
        "",
        f"Made by `{record['command']}` on {facts['cpu']}, {facts['cores_allowed']} cores;",
        f"ironprop {facts['ironprop']['version']}, level {facts['ironprop']['level']},"
        f" threads {record['n_threads'] or facts['ironprop']['threads']};",
        f"FMA peak {facts['peak_fma_gflops']} GF/s;",
        f"other processes used {record['other_load_cores']} cores meanwhile.",
        "",
        "Neighbours on the grid are compared by the cost of an operation in each: (step time of the",
        "larger / step time of the smaller) / (operations of the larger / of the smaller). Above 1",
        "the larger costs more per operation. Wanted: no pair differs by more than"
        f" {LIMIT}x, either way.",
        f"{remeasured} pairs beyond {NEAR}x were measured again, taking turns: that ratio is shown.",
        "",
        f"{len(cliffs) + len(fixed)} of {len(pairs)} pairs differ by more. In {len(fixed)} of them a"
        " fixed cost is spread over more work:",
        "the larger step takes no less time than the smaller, but less than in proportion. The other"
        f" **{len(cliffs)} are cliffs**.",
        "",
        "## Cliffs",
        "",
        *_pair_table(cliffs),
        "",
        "## Fixed costs spread over more work",
        "",
        *_pair_table(fixed),
        "",
        "## The worst of the other pairs",
        "",
        *_pair_table(even[:12]),
        "",
        "## The curves",
        "",
        *_curve_table(record),
    ]
    return "\n".join(lines) + "\n"


def _pair_table(pairs: list[dict[str, Any]]) -> list[str]:
    if not pairs:
        return ["None."]
    header = ["sweep", "dtype", "neighbours", "time x", "operations x", "cost per operation x"]
    rows = [header, ["---"] * len(header)]
    for pair in pairs:
        smaller, larger = pair["sizes"]
        row = [f"{pair['axis']}, {pair['fixed']}", pair["dtype"], f"{smaller} → {larger}"]
        rows.append([*row, *(f"{pair[key]:.2f}" for key in ("time_ratio", "flop_ratio"))])
        rows[-1].append(f"{pair['cost_ratio']:.2f}")
    return ["| " + " | ".join(row) + " |" for row in rows]


def _curve_table(record: dict[str, Any]) -> list[str]:
    header = ["sweep", "dtype", "sizes", "least GF/s", "most GF/s", "of peak", "worst pair"]
    rows = [header, ["---"] * len(header)]
    for axis, fixed, dtype in dict.fromkeys(map(_curve_of, record["results"])):
        key = (axis, fixed, dtype)
        cells = [row for row in record["results"] if _curve_of(row) == key]
        worst = max((p for p in record["pairs"] if _curve_of(p) == key), key=difference)
        speeds = [row["gflops"] for row in cells]
        of_peak = max(speeds) / record["machine"]["peak_fma_gflops"][dtype]
        row = [f"{axis}, {fixed}", dtype, f"{cells[0]['size']} to {cells[-1]['size']}"]
        row += [f"{min(speeds):.3g}", f"{max(speeds):.3g}", f"{100 * of_peak:.0f} %"]
        smaller, larger = worst["sizes"]
        row.append(f"{smaller} → {larger}: {worst['cost_ratio']:.2f}, {worst['kind']}")
        rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _curve_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["axis"], row["fixed"], row["dtype"]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all curves; return everything that a record holds."""
    effort, again = (QUICK, None) if options.quick else (FULL, AGAIN)
    other_load = machine.OtherLoad()
    results, pairs = [], []
    for curve in curves():
        if options.axis and curve.axis not in options.axis:
            continue
        if options.quick:
            small = {size: cell for size, cell in curve.cells.items() if cell.flops <= QUICK_FLOPS}
            curve = replace(curve, cells=small)
        for dtype in DTYPES:
            print(f"{curve.axis}, {curve.fixed}, {dtype} ...", file=sys.stderr, flush=True)
            of_curve = run_curve(curve, dtype, effort, options.threads)
            results += of_curve
            pairs += compare(curve, of_curve, again, options.threads)
    cores = other_load.cores()
    return {
        "schema": 1,
        "date": date.today().isoformat(),
        "command": "python " + shlex.join(["benchmarks/sweep.py", *sys.argv[1:]]),
        "quick": options.quick,
        "n_threads": options.threads,
        "machine": machine.describe(),
        "limit": LIMIT,
        "results": results,
        "pairs": pairs,
        "other_load_cores": None if cores is None else round(cores, 2),
    }


def write(record: dict[str, Any], text: str) -> None:
    """Write the record and its picture, unless other processes had their hand in it."""
    import pictures  # needs matplotlib, which only a record does

    cores = record["other_load_cores"]
    if cores is not None and cores > machine.OtherLoad.LIMIT:
        raise SystemExit("not recorded: the machine was busy with other things")
    stem = RECORDS / f"{record['date']}-sweep"
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"written: {stem}.json, .md and {pictures.draw(record)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of train per operation, over sizes.")
    parser.add_argument("--record", action="store_true", help="also write records/ and the picture")
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test")
    parser.add_argument("--threads", type=int, help="at most so many threads")
    parser.add_argument("--axis", nargs="+", choices=AXES, help="only these sweeps")
    options = parser.parse_args()
    machine.refuse_slow_build()
    if options.record:
        machine.refuse_without_matplotlib()
        if options.quick or options.threads or options.axis:
            parser.error("a record is of a whole run")
    record = measure(options)
    text = report(record)
    print(text)
    if options.record:
        write(record, text)


if __name__ == "__main__":
    main()
