"""Checks of the release wheel, run as `python tests/check_wheel.py dist/NAME.whl` by `make test-wheel`.

The wheel is small, holds the abi3 module with the instructions of every level and without BLAS or
static thread-local storage, and is installed and used in a clean environment of every CPython from
3.10 on that the machine has. Prints which ones ran.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MOST_BYTES = 3_000_000
OLDEST = (3, 10)

# Run in each environment: the notebook's net, a refused call, the data of the demonstration.
SMOKE = """
import threading
import numpy as np
import ironprop
from ironprop.notebook import backward_pass, forward_pass, initialize, mse, train

assert ironprop.show_config()["profile"] == "release"
W, B = initialize([2, 2, 2, 1], seed=1)
V, C = [w.copy() for w in W], [b.copy() for b in B]
X, Y = np.array([[0.6, 0.4]]), np.array([[0.875]])
for _ in range(501):
    pred, A, dA = forward_pass(X, W, B)
    backward_pass(W, B, A, dA, pred, Y)
losses = train(X, Y, V, C, epochs=501)
assert all((a == b).all() for a, b in zip(W + B, V + C))
assert losses[-1] == mse(pred, Y) < 1e-5
try:
    forward_pass(X[0], W, B)
except ValueError as error:
    assert "X has shape (2,)" in str(error)
else:
    raise AssertionError("a one-dimensional X was accepted")
from ironprop.demo import load_digits
assert load_digits()[0].shape == (1797, 64)
assert threading.active_count() == 1
print(f"    numpy {np.__version__}, level {ironprop.show_config()['level']}")
"""


def run(*command: str | Path) -> str:
    """Run a command and return what it prints; fail with it."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def interpreters() -> dict[tuple[int, int], Path]:
    """Return one CPython of each version on the machine, from `PATH` and from pyenv."""
    candidates = [Path(sys.executable)]
    for minor in range(OLDEST[1], 30):
        found = shutil.which(f"python3.{minor}")
        candidates += [Path(found)] if found else []
    candidates += sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    question = (
        "import sys, platform; print(platform.python_implementation(), *sys.version_info[:2], "
        "getattr(sys, '_is_gil_enabled', lambda: True)())"
    )
    known: dict[tuple[int, int], Path] = {}
    for candidate in candidates:
        done = subprocess.run(
            [str(candidate), "-c", question], capture_output=True, text=True, check=False
        )
        if done.returncode:
            continue
        name, major, minor, gil = done.stdout.split()
        version = (int(major), int(minor))
        if name == "CPython" and gil == "True" and version >= OLDEST:
            known.setdefault(version, candidate)
    return dict(sorted(known.items()))


def check_contents(wheel: Path) -> None:
    """Check the size of the wheel and what its module is made of."""
    size = wheel.stat().st_size
    assert size < MOST_BYTES, f"the wheel has {size} bytes"
    assert "-abi3-" in wheel.name, wheel.name
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for wanted in ("py.typed", "_core.pyi", "data/digits.npz"):
            assert f"ironprop/{wanted}" in names, f"{wanted} is missing from the wheel"
        (module,) = [name for name in names if name.endswith(".so")]
        path = archive.extract(module, folder)
        libraries = run("ldd", path)
        assert not re.search("blas|lapack|libpython|gomp", libraries), libraries
        assert "STATIC_TLS" not in run("readelf", "--dynamic", path)
        code = run("objdump", "--disassemble", "--no-show-raw-insn", path)
    counts = {}
    for level, register in (("avx2", "ymm"), ("avx512", "zmm")):
        counts[level] = len(re.findall(rf"vfn?madd\d+p[sd] .*%{register}", code))
        assert counts[level] > 100, f"few instructions of {level} in the wheel: {counts}"
    run(Path(sys.executable).parent / "abi3audit", "--strict", wheel)
    print(f"{wheel.name}: {size} bytes, fused multiply-adds {counts}, abi3audit passed")


def main() -> None:
    """Check the wheel that is named on the command line."""
    wheel = Path(sys.argv[1]).resolve()
    check_contents(wheel)
    found = interpreters()
    for version, python in found.items():
        with tempfile.TemporaryDirectory() as folder:
            run(python, "-m", "venv", folder)
            inside = Path(folder, "bin", "python")
            run(inside, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel)
            print(f"wheel works on CPython {version[0]}.{version[1]}:")
            print(run(inside, "-I", "-W", "error", "-c", SMOKE).rstrip())
    ran = len(found)
    print(f"wheel checks: {ran} passed, 0 failed")


if __name__ == "__main__":
    main()
