"""Where a benchmark ran: what a reader must know to judge its numbers."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

import ironprop

try:
    from threadpoolctl import ThreadpoolController, threadpool_info
except ImportError:
    ThreadpoolController = threadpool_info = None


def describe() -> dict[str, Any]:
    """Return the machine, the versions and the settings, ready for JSON."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": _cores_allowed(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OPENBLAS_", "OMP_", "MKL_", "IRONPROP_"))
        },
        "ironprop": ironprop.show_config(),
        "peak_fma_gflops": peak_fma(),
    }


class OtherLoad:
    """How many cores other processes (and other guests of the host) use while this one measures.

    A second BLAS thread waits for its partner by spinning, so NumPy suffers from a busy machine
    many times over, and a ratio taken there says nothing.
    """

    LIMIT = 0.1  # cores

    def __init__(self) -> None:
        self._started = self._now()

    def cores(self) -> float | None:
        """Return the mean since the start; None where the system does not tell."""
        now = self._now()
        if self._started is None or now is None:
            return None
        wall, busy, own = (b - a for a, b in zip(self._started, now, strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Seconds: of the clock, of all cores' work, of this process and its ended children."""
        try:
            fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
        except OSError:
            return None
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
        ticks = os.sysconf("SC_CLK_TCK")
        busy = (user + nice + system + irq + softirq + steal) / ticks
        return time.monotonic(), busy, sum(os.times()[:4])


def peak_fma() -> dict[str, float]:
    """Return the measured peak of fused multiply-adds on all cores, by dtype, in GF/s."""
    threads = _cores_allowed() or 1
    return {
        dtype: round(ironprop._core.peak_fma(dtype, threads), 1) for dtype in ("float64", "float32")
    }


def refuse_slow_build() -> None:
    """Exit unless ironprop is the release build."""
    profile = ironprop.show_config()["profile"]
    if profile != "release":
        raise SystemExit(
            f"this is the {profile} build of ironprop: only a release build is worth measuring "
            "(see `make wheel`)"
        )


def refuse_without_matplotlib() -> None:
    """Exit unless the picture that comes with a record can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("a record comes with its picture, which needs matplotlib")


def _limiter() -> Callable[[], AbstractContextManager[object]] | None:
    """Return what makes a `with` block run NumPy's BLAS on one thread, if threadpoolctl is here."""
    if ThreadpoolController is None:
        return None
    # Made once: it looks through the loaded libraries, which takes too long for a measured call.
    controller = ThreadpoolController()
    return lambda: controller.limit(limits=1, user_api="blas")


one_blas_thread = _limiter()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cores_allowed() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _blas() -> dict[str, Any]:
    """Return NumPy's BLAS: which kernels it runs (threadpoolctl knows) or how it was built."""
    if threadpool_info is None:
        built: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        known = ("name", "version", "openblas configuration")
        kernels = "unknown without threadpoolctl"
        return {"kernels": kernels} | {f"built {key}": built[key] for key in known if key in built}
    for library in threadpool_info():
        if library["user_api"] == "blas":
            return {
                "name": library["internal_api"],
                "version": library["version"],
                "kernels": library.get("architecture"),
                "threads": library["num_threads"],
            }
    return {"kernels": None}
