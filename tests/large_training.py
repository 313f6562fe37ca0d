"""A training worth many threads, whose bits any process can have, and forks of the process that imports this.

For programs in processes of their own: `from large_training import *`. They run with PYTHONWARNINGS=ignore, since the
interpreter has warnings of its own about forks beside threads.
"""

from __future__ import annotations

import os
import signal
import time

import ironprop
import strategies
from bits import digest
from oracle import copies

__all__ = ["SIZES", "X", "Y", "digest", "ends", "forked", "ironprop", "large", "threads", "trained"]

SIZES = (150, 130, 90)
X, Y, W, B = strategies.arrays(SIZES, 120, "float64", 1)


def large(epochs=3, n_threads=3):
    """Return the digest of trainings in both tiers; it is the same for any number of threads."""
    new_W, new_B = copies(W), copies(B)
    options = {"learning_rate": 1e-3, "n_threads": n_threads}
    losses = ironprop.train(X, Y, new_W, new_B, gradient="exact", epochs=epochs, **options)
    network = ironprop.Network(SIZES, seed=1)
    losses = [*losses, network.train_step(X, Y, **options)]
    return digest(losses, new_W, new_B, network.weights, network.biases)


def threads():
    """Return how many threads this process has, and how many of them are ironprop's."""
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as file:
            names.append(file.read().strip())
    return len(names), sum(name.startswith("ironprop") for name in names)


def trained():
    """Return the digest for a child, which has none of its parent's threads."""
    return large() if threads()[1] == 0 else "a child begins with threads"


def forked(work):
    """Return the text that `work` returns in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return file.read() if ends(child) else "the child hangs"


def ends(child):
    """Wait for a child, which has five seconds; return whether it has ended by itself."""
    for _ in range(5000):  # not by the clock: both may have been stopped meanwhile
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False
