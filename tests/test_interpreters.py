"""The interpreter itself: its end while calls run, importing again, a second interpreter in a process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from processes import environment, run_python

# The interpreter's end ----------------------------------------------------------------------------

# The exit code is 1 and not 0, as it is the number of seconds to sleep after the interpreter's end: a
# thread that is still there then meets no interpreter. Where the use is one of short calls, the end
# itself takes its time, so that the thread comes back from many a call while it goes on.
ENDING = """
import ctypes, sys, threading, time, types
import numpy as np
import ironprop
W, B, X, Y = [np.ones((99, 70))], [np.ones(70)], np.ones((300, 99)), np.ones((300, 70))
network = ironprop.Network([99, 70], seed=1)
small = X[:2, :3].copy(), [W[0][:3]], B

def use():
    if sys.argv[1] == "train":
        ironprop.train(X, Y, W, B, epochs=10**7, learning_rate=1e-5, n_threads=2)
    if sys.argv[1] == "Network.train":
        network.train(X, Y, epochs=10**7, learning_rate=1e-5, n_threads=2)
    while sys.argv[1] == "train_step":
        network.train_step(X, Y, learning_rate=1e-5, n_threads=2)
    while sys.argv[1] == "forward_pass":
        ironprop.forward_pass(*small)

class Late:
    def __del__(self, sleep=time.sleep):
        sleep(0.2)

if sys.argv[1] in ("train_step", "forward_pass"):
    sys.modules["late"] = types.ModuleType("late")
    sys.modules["late"].it = Late()
else:
    libc = ctypes.CDLL(None)
    libc.on_exit(libc.sleep, None)
sys.setswitchinterval(1e-5)
threading.Thread(target=use, daemon=True).start()
time.sleep(0.1)
sys.exit(1)
"""


def end_of(use):
    """Return how a process ends in which a daemon thread uses ironprop, and what it has written."""
    child = subprocess.run(
        [sys.executable, "-c", ENDING, use],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return child.returncode, child.stderr


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_interpreter_ends_while_a_daemon_thread_is_in_a_call(times):
    uses = ["train", "Network.train", "train_step", "forward_pass"] * times
    with ThreadPoolExecutor(8) as pool:
        ends = set(zip(uses, pool.map(end_of, uses), strict=True))
    assert ends == {(use, (1, "")) for use in uses}


# Other ways to import -----------------------------------------------------------------------------

RELOADED = """
import importlib, sys
from large_training import *
before = large()
importlib.reload(ironprop)
print(large() == before)
importlib.reload(ironprop.notebook)
importlib.reload(ironprop._core)
print(large() == before)
for name in [name for name in sys.modules if name.split(".")[0] == "ironprop"]:
    del sys.modules[name]
import large_training
import ironprop
large_training.ironprop = ironprop
print(large() == before)
"""


def test_a_package_that_is_imported_again_gives_the_same_bits():
    assert run_python(RELOADED).split() == ["True"] * 3


SUB_INTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from large_training import *
before = large()
program = "try:\\n import ironprop\\nexcept ImportError as error:\\n assert str(error)\\nelse:\\n raise SystemExit"
other = interpreters.create()
print(interpreters.run_string(other, program))
interpreters.destroy(other)
print(large() == before)
"""


def test_a_second_interpreter_of_a_process_meets_an_import_error():
    assert run_python(SUB_INTERPRETER).split() == ["None", "True"]
