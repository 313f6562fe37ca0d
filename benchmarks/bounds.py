"""The bound of a cell: what a step takes on a machine that never waits.

Products at the measured peak of fused multiply-adds, activations at their measured rate, nothing
else; on all cores, or on one where a step is too short for two. For single samples there is no
such bound: their steps are chains of operations that wait for each other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ironprop

if TYPE_CHECKING:
    from cells import Cell

# Floating-point operations of a step that one core takes.
ONE_CORE = 1e6


def activation_times(dtype: str) -> dict[str, float]:
    """Return the seconds that one core takes for a number of each activation, by its name."""
    numbers = 1024  # with their parameters in the L1 cache

    def shortest(activation: Literal["identity", "sigmoid", "tanh"]) -> float:
        network: Any = ironprop.Network([1, numbers], activation=activation, dtype=dtype, seed=1)
        x = np.ones((1, 1), dtype)
        times = []
        for _ in range(3000):
            start = time.perf_counter()
            network.predict(x)
            times.append(time.perf_counter() - start)
        return min(times)

    call = shortest("identity")
    return {
        "sigmoid": (shortest("sigmoid") - call) / numbers,
        "tanh": (shortest("tanh") - call) / numbers,
    }


def least_time(cell: Cell, machine: dict[str, Any], dtype: str) -> float | None:
    """Return the seconds of a step of `cell`; None for single samples."""
    if cell.batch == 1:
        return None
    cores: int = machine["cores_allowed"] or 1
    per_core: float = machine["peak_fma_gflops"][dtype] * 1e9 / cores
    work: float = cell.flops / per_core
    work += cell.batch * sum(cell.sizes[1:]) * machine["activation_s"][dtype][cell.activation]
    return work / (cores if cell.flops >= ONE_CORE else 1)
