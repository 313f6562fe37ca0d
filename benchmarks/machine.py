"""Where a benchmark ran: what a reader must know to judge its numbers."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import ironprop


def describe() -> dict[str, Any]:
    """Return the machine, the versions and the settings, ready for JSON."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": _cores_allowed(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
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


def peak_fma() -> dict[str, float] | None:
    """Return the measured peak of fused multiply-adds by dtype, if the core can measure it."""
    measure = getattr(ironprop._core, "peak_fma", None)
    return None if measure is None else {dtype: measure(dtype) for dtype in ("float64", "float32")}


def refuse_slow_build() -> None:
    """Exit unless ironprop is the release build."""
    profile = ironprop.show_config()["profile"]
    if profile != "release":
        raise SystemExit(
            f"this is the {profile} build of ironprop: only a release build is worth measuring "
            "(see `make wheel`)"
        )


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
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
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
