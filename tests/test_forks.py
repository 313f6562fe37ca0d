"""Forks and multiprocessing (T6): a child has the bits of its parent, and never waits for who is not there.

Each case is 50 children in the slow tests and 10 in the quick ones, each of which has five seconds: from before the
first use of the package, after one, from a child, and during uses in other threads, of which the child has none.
Children of `multiprocessing` that import the package anew, from a fork server or spawned, are 3 in the quick tests.
"""

from __future__ import annotations

import pytest

from large_training import large
from processes import run_python

CASES = pytest.mark.parametrize("children", [10, pytest.param(50, marks=pytest.mark.slow)])

BEGIN = """
import os, signal, sys, threading, time
import numpy as np
from large_training import *
"""

# Each prints the digest of a parent or of a child again and again, for so many children.
FORKS = {
    "before the first use": """
for _ in range(int(sys.argv[1])):
    print(forked(trained))
print(large())
""",
    "after a use": """
for _ in range(int(sys.argv[1])):
    print(large(), forked(trained))
print(large())
""",
    "nested": """
for _ in range(int(sys.argv[1]) // 2):
    print(forked(lambda: forked(trained) + " " + large()))
print(large(), forked(lambda: forked(trained) + " " + large()))
""",
    "during a use in another thread": """
stop = threading.Event()
def use():
    while not stop.is_set():
        large()
user = threading.Thread(target=use)
user.start()
for _ in range(int(sys.argv[1])):
    time.sleep(0.003)
    print(forked(trained))
stop.set()
user.join()
print(large())
""",
    "during a training of a network in another thread": """
network = ironprop.Network(SIZES, seed=1)
def use():
    try:
        network.predict(X)  # that thread is not there to give it back
    except RuntimeError as error:
        assert "in use" in str(error)
        return trained()
def train():
    network.train(X, Y, epochs=10**6, learning_rate=1e-5, n_threads=2)
user = threading.Thread(target=train, daemon=True)
user.start()
time.sleep(0.05)
for _ in range(int(sys.argv[1])):
    print(forked(use))
os._exit(0)  # without the training's end
""",
    "while other threads take turns with a network": """
network = ironprop.Network(SIZES, seed=1)
rows = np.repeat(X, 10, axis=0)
expected = digest(network.predict(X))
stop = threading.Event()
def use():
    while not stop.is_set():
        network.predict(rows)
users = [threading.Thread(target=use) for _ in range(4)]
for user in users:
    user.start()
def ask():
    try:
        same = digest(network.predict(X)) == expected
    except RuntimeError as error:
        same = "in use" in str(error)
    return large() if same else "something else"
for _ in range(int(sys.argv[1])):
    time.sleep(0.003)
    print(forked(ask))
stop.set()
for user in users:
    user.join()
assert digest(network.predict(X)) == expected
""",
}


def digests(program, *arguments, **options):
    """Return the different words that a program prints, and how many there are in all."""
    words = run_python(program, *arguments, PYTHONWARNINGS="ignore", **options).split()
    return set(words), len(words)


@CASES
@pytest.mark.parametrize("moment", FORKS)
def test_a_forked_child_gives_the_same_bits(moment, children):
    words, count = digests(BEGIN + FORKS[moment], str(children), timeout=100)
    assert words == {large(n_threads=1)}
    assert count >= children


@CASES
def test_a_network_trained_before_a_fork_goes_on_in_the_child(children):
    program = (
        BEGIN
        + """
network = ironprop.Network(SIZES, seed=1, optimizer="adam")
def step():
    loss = network.train_step(X, Y, learning_rate=1e-3, n_threads=2)
    loss = [loss, *network.fit(X, Y, epochs=1, seed=1).loss]
    return digest(loss, network.__getstate__(), network.predict(X))
step()
for _ in range(int(sys.argv[1])):
    child = forked(step)
    print(child == step())
"""
    )
    assert digests(program, str(children)) == ({"True"}, children)


# A thread goes through one C function after the other, the first so long that this thread has asked for the interpreter
# when it gives it away for the first time. Then this one forks: no call in the child may wait for what that thread was
# about to look up.
FIRST_USES = (
    BEGIN
    + """
from functools import partial
from ironprop import _core
one = np.ones((1, 1))
W, B, yes = [one.copy()], [np.zeros(1)], np.bool_(True)
options = (0.5, "exact", "sigmoid", None)
uses = [
    partial(_core.train, one, one, W, B, "many", *options, False, 1, None, None, None),
    partial(_core.Network, [2, 1], ["sigmoid"], ["zeros"], "float64", 1),
    partial(_core.forward_pass, [[1]], W, B, "sigmoid"),
    partial(_core.train, one, one, W, B, 0, *options, yes, 1, None, None, None),
]

def attempt(*calls):
    try:
        list(map(partial.__call__, calls))
    except TypeError as error:
        assert "epochs" in str(error)

sys.setswitchinterval(0.05)
for use in uses:
    thread = threading.Thread(target=attempt, args=(partial(pow, 3, 1_500_000), use))
    thread.start()
    child = os.fork()
    if child == 0:
        attempt(use)
        os._exit(0)
    print(ends(child))
    thread.join()
"""
)


def test_a_fork_within_the_first_use_leaves_nothing_half_done():
    assert digests(FIRST_USES) == ({"True"}, 4)


# A task to each child. Spawned children import the file that started them, and those of a server what it has imported.
MULTIPROCESSING = """
import multiprocessing, sys
from large_training import large

if __name__ == "__main__":
    print(large())
    method, children = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["large_training"])
    with context.Pool(2, maxtasksperchild=1) as pool:
        print(*pool.map_async(large, [3] * children, chunksize=1).get(20 + 5 * children))
"""
RUN = """
import runpy, sys
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], None, "__main__")
"""


def assert_same_bits_by_multiprocessing(method, children, folder):
    script = folder / "pool.py"
    script.write_text(MULTIPROCESSING)
    words = digests(RUN, str(script), method, str(children), timeout=30 + 5 * children)
    assert words == ({large(n_threads=1)}, 1 + children)


@pytest.mark.parametrize(("method", "children"), [("fork", 10), ("forkserver", 3), ("spawn", 3)])
def test_processes_of_multiprocessing_give_the_same_bits(method, children, tmp_path):
    assert_same_bits_by_multiprocessing(method, children, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_fifty_processes_of_multiprocessing_give_the_same_bits(method, tmp_path):
    assert_same_bits_by_multiprocessing(method, 50, tmp_path)
