"""What a second busy process costs the thread team: `python benchmarks/busy.py`, half a minute.

A training on one thread and on as many as there are CPUs, first on a quiet machine, then beside a
process that keeps one CPU busy. A team that waits for a thread whose core is taken, or spins on a
core that others want, would collapse: ten times and more for NumPy's BLAS (README.md). Ours may
lose the second core's gain, and little else, since only jobs that have begun are waited for. The
result is printed with its date; a factor above `MOST` is said to be a collapse, by the exit code.
"""

from __future__ import annotations

import datetime
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import ironprop
from machine import refuse_slow_build

MOST = 2.0  # times the one thread beside the same busy process
NETS = (((64, 64, 64, 6), 128), ((256, 256, 256), 64))


def seconds(sizes: tuple[int, ...], n_samples: int, n_threads: int) -> float:
    """Return the median time of one training step."""
    random = np.random.default_rng(1)
    X, Y = random.normal(size=(n_samples, sizes[0])), random.normal(size=(n_samples, sizes[-1]))
    network = ironprop.Network(list(sizes), seed=1)

    def train(epochs: int) -> None:
        network.train(X, Y, epochs=epochs, learning_rate=1e-4, n_threads=n_threads)

    train(20)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        train(200)
        times.append((time.perf_counter() - start) / 200)
    return statistics.median(times)


def main() -> int:
    refuse_slow_build()
    cpus = len(os.sched_getaffinity(0))
    print(f"{datetime.date.today()}, {cpus} CPUs, microseconds a step")
    print(f"{'net':>22} {'busy':>5} {'1 thread':>9} {f'{cpus} threads':>10} {'factor':>7}")
    worst = 0.0
    for sizes, n_samples in NETS:
        for busy in (0, 1):
            others = [
                subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)
            ]
            try:
                alone, team = (seconds(sizes, n_samples, n) for n in (1, cpus))
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            name = "-".join(map(str, sizes)) + f", {n_samples}"
            print(
                f"{name:>22} {busy:>5} {alone * 1e6:>9.1f} {team * 1e6:>10.1f} {team / alone:>7.2f}"
            )
            worst = max(worst, team / alone)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
