"""Python programs in processes of their own, for what a test cannot see from inside its own.

The child has this folder and the parent's environment, its standard output comes back as text, and
a child that fails or hangs fails the test with everything it has written.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def run_python(program: str, *arguments: str, timeout: float = 60.0, **environment: str) -> str:
    """Run a program text and return what it has printed."""
    child = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert child.returncode == 0, f"exit code {child.returncode}\n{child.stdout}\n{child.stderr}"
    assert child.stderr == "", child.stderr
    return child.stdout


def _environment(changes: dict[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **changes}
