"""Timing that is fair to every contestant on a machine that others use too.

All contestants of a race take turns within one process, so that what slows the machine for a while
slows them all; each round gives one ratio, and the median of the rounds' ratios is what counts. A
contestant is a function that takes a number of steps and does that many. How many, is calibrated
for each so that one measurement lasts long enough for the clock; the time of a call with one step is
taken from it, so that what counts is the steps of a loop and not its beginning.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from typing import TypeAlias

Contestant: TypeAlias = Callable[[int], object]


@dataclass(frozen=True)
class Effort:
    """How carefully to measure."""

    rounds: int
    seconds: float  # that one measurement lasts, at least
    fewest_steps: int = 8  # in one measurement


FULL = Effort(rounds=11, seconds=0.04)
QUICK = Effort(rounds=3, seconds=0.02)


@dataclass(frozen=True)
class Race:
    """The seconds per step of every contestant in every round."""

    seconds: dict[str, list[float]]

    def time(self, name: str) -> float:
        """Median seconds per step."""
        return median(self.seconds[name])

    def ratio(self, name: str, over: str) -> float:
        """How many times faster `name` is than `over`: the median of the rounds' ratios."""
        return median(self._ratios(name, over))

    def ratio_quartiles(self, name: str, over: str) -> tuple[float, float]:
        """Return the lower and the upper quartile of the rounds' ratios."""
        ratios = self._ratios(name, over)
        lower, _, upper = quantiles(ratios, n=4, method="inclusive")
        return lower, upper

    def faster(self, *names: str) -> str:
        """Return which of `names` has the smallest median."""
        return min(names, key=self.time)

    def _ratios(self, name: str, over: str) -> list[float]:
        pairs = zip(self.seconds[over], self.seconds[name], strict=True)
        return [theirs / ours for theirs, ours in pairs]


def race(contestants: dict[str, Contestant], effort: Effort, restore: Callable[[], object]) -> Race:
    """Let the contestants take turns; `restore` puts the common data back before each turn."""
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    garbage_was_collected = gc.isenabled()
    gc.disable()
    try:
        steps = {name: _calibrate(contestants[name], effort, restore) for name in names}
        for turn in range(effort.rounds):
            # In an order of its own, so that nobody always follows the same one.
            for name in Random(turn).sample(names, len(names)):  # noqa: S311 - no secret
                restore()
                _wait_for_idle_threads()
                contestants[name](1)  # warms the caches
                # What a call does once (copies, memory that is touched for the first time) is in both.
                once = _elapsed(contestants[name], 1)
                elapsed = _elapsed(contestants[name], steps[name] + 1)
                seconds[name].append(max(elapsed - once, 0.1 * elapsed) / steps[name])
            gc.collect()
    finally:
        if garbage_was_collected:
            gc.enable()
    return Race(seconds)


def _wait_for_idle_threads() -> None:
    """Wait until this process rests, but no longer than half a second.

    Threads of a BLAS go on spinning after their last work (OpenBLAS was seen to do so for 100 ms),
    on a core that the next contestant needs.
    """
    for _ in range(50):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.002:
            return


def _elapsed(contestant: Contestant, steps: int) -> float:
    start = time.perf_counter()
    contestant(steps)
    return time.perf_counter() - start


def _calibrate(contestant: Contestant, effort: Effort, restore: Callable[[], object]) -> int:
    """Return how many steps last `effort.seconds`, and no fewer than `effort.fewest_steps`."""
    seconds, steps = effort.seconds, 1
    contestant(1)
    while True:
        restore()
        elapsed = _elapsed(contestant, steps)
        if elapsed >= seconds / 2:
            return max(effort.fewest_steps, round(steps * max(1.0, seconds / elapsed)))
        # At most tenfold: a first guess from a few microseconds is not to be trusted.
        steps *= max(2, min(10, int(seconds / max(elapsed, 1e-9))))


def import_cost(module: str, over: str, pairs: int) -> dict[str, float]:
    """Measure what importing `module` costs after `over` has been imported, in milliseconds.

    ``paired`` is the median difference of whole processes that import both and only `over`, taken
    in pairs, ``lower`` and ``upper`` are its quartiles; ``inside`` is the median time of the import
    statement itself.
    """
    both = f"import {over}, time; t = time.perf_counter(); import {module}"
    both += "; print(time.perf_counter() - t)"
    _python(both)  # writes the byte code and fills the file cache
    _python(f"import {over}")
    differences, inside = [], []
    for turn in range(pairs):
        if turn % 2:
            alone, _ = _python(f"import {over}")
            together, printed = _python(both)
        else:
            together, printed = _python(both)
            alone, _ = _python(f"import {over}")
        differences.append(together - alone)
        inside.append(float(printed))
    lower, middle, upper = quantiles(differences, n=4, method="inclusive")
    seconds = {"paired": middle, "lower": lower, "upper": upper, "inside": median(inside)}
    return {name: value * 1e3 for name, value in seconds.items()}


def _python(code: str) -> tuple[float, str]:
    """Run `code` in a fresh interpreter; return the seconds that it took and what it printed."""
    start = time.perf_counter()
    # -I: neither the working directory nor PYTHON* variables decide what is imported.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, done.stdout
