"""Python programs in processes of their own, for what a test cannot see from inside its own, and threads beside a test.

The child has this folder and the parent's environment, its standard output comes back as text, and
a child that fails or hangs fails the test with everything it has written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parent


def run_python(program: str, *arguments: str, timeout: float = 60.0, **changes: str) -> str:
    """Run a program text and return what it has printed."""
    child = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert child.returncode == 0, f"exit code {child.returncode}\n{child.stdout}\n{child.stderr}"
    assert child.stderr == "", child.stderr
    return child.stdout


def assert_other_threads_run_during(work: Callable[[], object]) -> None:
    """Run some work for a while; a run that held the interpreter would let next to no thread through."""
    done, ticks = threading.Event(), []

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    while time.monotonic() - start < 0.3:
        before = time.monotonic()
        work()
        after = time.monotonic()
    done.set()
    thread.join()
    during = sum(before <= tick <= after for tick in ticks)  # over the last run alone
    assert during > 100 * (after - before)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **changes}
