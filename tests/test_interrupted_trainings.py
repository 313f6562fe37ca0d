"""Ctrl-C and other signals (C6, C7): a training ends at a whole step, and can go on from there.

After Ctrl-C the parameters, what the optimiser remembers and the count of steps are those of the same training taken
step by step, and both go on to the same bits. What a handler raises passes through, what it does not raise changes
nothing. Moments and waits are counted in CPU time of the training's own process, which does not pass while that is
kept from its core.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import strategies
from bits import digest, same_bits
from ironprop import Network
from ironprop.notebook import backward_pass, forward_pass, train
from oracle import copies
from processes import environment, run_python

# Ctrl-C (C6) ----------------------------------------------------------------------------------------

# A training that the signal does not reach ends after half a minute and says so.
BEGIN = """
import os, signal, sys, threading, time
from bits import digest, same_bits
from training_run import data
import ironprop
from ironprop.notebook import backward_pass, forward_pass, initialize, train

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
delay, batch_size = float(sys.argv[1]), int(sys.argv[2])
SIZES = (8, 64, 64, 4)
STEPS = 500_000

def interrupted(run):
    # the CPU time between Ctrl-C, after some, and its arrival
    def interrupt():
        nonlocal sent
        while time.process_time() - start < delay:
            time.sleep(0.001)
        sent = time.process_time()
        os.kill(os.getpid(), signal.SIGINT)

    sent, start = 0.0, time.process_time()
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        run()
    except KeyboardInterrupt:
        received = time.process_time()
        thread.join()
        return received - sent
    raise SystemExit("not interrupted")
"""

OF_FUNCTIONS = (
    BEGIN
    + """
dtype = sys.argv[3]
X, Y = data(SIZES, 96, dtype)
W, B = initialize(SIZES, seed=1, dtype=dtype)
other_W, other_B = initialize(SIZES, seed=1, dtype=dtype)
options = {"learning_rate": 1e-4, "activation": "tanh", "n_threads": 1}
per_epoch = -(-96 // batch_size)
epochs = STEPS // per_epoch
latency = interrupted(lambda: train(X, Y, W, B, epochs=epochs, batch_size=batch_size, **options))
step = 0
while step < STEPS and not same_bits([*W, *B], [*other_W, *other_B]):
    start = step % per_epoch * batch_size
    batch = slice(start, start + batch_size)
    pred, A, dA = forward_pass(X[batch], other_W, other_B, activation="tanh")
    backward_pass(other_W, other_B, A, dA, pred, Y[batch], 1e-4)
    step += 1
print(step, latency)

# and the run goes on to the same bits
for parameters in ((W, B), (other_W, other_B)):
    train(X, Y, *parameters, epochs=7, batch_size=batch_size, **options)
print(same_bits([*W, *B], [*other_W, *other_B]))
"""
)

OF_A_NETWORK = (
    BEGIN
    + """
from ironprop.optimizers import Adam
from ironprop.schedules import Exponential, WarmUp
X, Y = data(SIZES, 96, "float64")
optimizer = Adam(learning_rate=WarmUp(Exponential(1e-3, 0.999), 10), l2=1e-3, clip_norm=1.0)
network, other = (
    ironprop.Network(SIZES, seed=1, loss="mse", optimizer=optimizer, dropout=0.1) for _ in "ab"
)
options = {"batch_size": batch_size, "shuffle": False, "n_threads": 1}
if sys.argv[3] == "watched":
    options.update(validation_data=(X[:5], Y[:5]), metrics=["r2"], callbacks=[lambda *_: None])
way = ironprop.Network.train if sys.argv[3] == "train" else ironprop.Network.fit
epochs = STEPS * batch_size // 96
latency = interrupted(lambda: way(network, X, Y, epochs=epochs, **options))
steps = network.__getstate__()["optimizer_step"]
print(steps, latency)
for step in range(steps):
    start = step * batch_size % 96
    other.train_step(X[start : start + batch_size], Y[start : start + batch_size])
print(network == other and digest(network.__getstate__()) == digest(other.__getstate__()))

# and both go on to the same bits
for each in (network, other):
    way(each, X, Y, epochs=7, **options)
print(digest(network.__getstate__()) == digest(other.__getstate__()))
"""
)


def latency_of(program, delay, *arguments):
    """Return the seconds from Ctrl-C to its arrival; all else must be as it should."""
    printed = run_python(program, str(delay), *map(str, arguments), timeout=110)
    first, *rest = printed.splitlines()
    steps, latency = first.split()
    assert set(rest) == {"True"}, (delay, *arguments)
    assert int(steps) > (0 if delay > 0.02 else -1)  # the first step takes a while to come
    return float(latency)


@pytest.mark.parametrize(
    ("delay", "batch_size", "dtype"),
    [(0.0, 96, "float64"), (0.15, 96, "float32"), (0.3, 7, "float64"), (0.07, 1, "float32")],
)
def test_ctrl_c_stops_a_run_at_a_whole_step(delay, batch_size, dtype):
    assert latency_of(OF_FUNCTIONS, delay, batch_size, dtype) < 0.5  # 0.2 s is promised


@pytest.mark.parametrize("way", ["watched", "alone", "train"])
@pytest.mark.parametrize(
    ("delay", "batch_size"),
    [(0.0, 96), (0.05, 12), pytest.param(0.2, 32, marks=pytest.mark.slow)],
)
def test_ctrl_c_stops_a_training_of_a_network_at_a_whole_step(delay, batch_size, way):
    assert latency_of(OF_A_NETWORK, delay, batch_size, way) < 0.5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ctrl_c_stops_a_run_at_a_hundred_random_moments():
    delays = np.random.default_rng(1).uniform(0, 0.3, 100)
    latencies = [latency_of(OF_FUNCTIONS, delay, 96, "float64") for delay in delays]
    assert np.median(latencies) < 0.2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ctrl_c_stops_a_training_of_a_network_at_a_hundred_random_moments():
    latencies = []
    for number, delay in enumerate(np.random.default_rng(1).uniform(0, 0.2, 100)):
        arguments = (96, 32, 12)[number % 3], ("watched", "alone")[number % 2]
        latencies.append(latency_of(OF_A_NETWORK, delay, *arguments))
    assert np.median(latencies) < 0.2


OF_A_FUNCTION_AS_LOSS = (
    BEGIN
    + """
import numpy as np
X, Y = np.ones((20, 3)), np.ones((20, 2))
loss = lambda p, y: (float(np.square(p - y).sum()), 2 * (p - y))
network = ironprop.Network([3, 4, 2], seed=1, loss=loss)
interrupted(lambda: network.fit(X, Y, epochs=STEPS, batch_size=batch_size))
print(np.isfinite(network.parameters).all())
network.fit(X, Y, epochs=2)
"""
)


def test_ctrl_c_stops_a_fit_with_a_function_too():
    assert run_python(OF_A_FUNCTION_AS_LOSS, "0.1", "3") == "True\n"


# Other signals (C7) ---------------------------------------------------------------------------------

LONG = """
import numpy as np
from ironprop import Network
X, Y = np.ones((500, 30)), np.ones((500, 3))
network = Network([30, 300, 300, 3], seed=1)
print("begun", flush=True)
network.fit(X, Y, epochs=3_000_000, batch_size=None)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_that_ends_a_process_ends_a_fit_at_once(number):
    command = [sys.executable, "-c", LONG]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as child:
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.3)
        child.send_signal(number)
        assert child.wait(20) == -number


class Asked(Exception):  # noqa: N818 (it is no error)
    """What a signal handler raises."""


@contextlib.contextmanager
def signalled(handler, seconds):
    """Send this process a signal after so many seconds of its CPU time."""
    old = signal.signal(signal.SIGVTALRM, handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


def ask(number, frame):
    raise Asked(number)


def test_what_a_signal_handler_raises_passes_through_a_run_at_a_whole_step():
    X, Y, W, B = strategies.arrays((8, 64, 64, 4), 96, "float64", 2)
    start_W, start_B = copies(W), copies(B)
    options = {"learning_rate": 1e-4, "gradient": "exact"}
    with signalled(ask, 0.1), pytest.raises(Asked):
        train(X, Y, W, B, epochs=1_000_000, **options)
    for _ in range(200_000):
        if same_bits([*W, *B], [*start_W, *start_B]):
            break
        pred, A, dA = forward_pass(X, start_W, start_B)
        backward_pass(start_W, start_B, A, dA, pred, Y, **options)
    else:
        pytest.fail("the parameters are those of no step")
    assert train(X, Y, W, B, epochs=3, **options)[-1] > 0


def test_what_a_signal_handler_raises_passes_through_a_fit_at_a_whole_step():
    X, Y, _, _ = strategies.arrays((8, 64, 64, 4), 96, "float64", 2)
    network, other = (Network([8, 64, 64, 4], seed=1, optimizer="adam", loss="mse") for _ in "ab")
    options = {"batch_size": None, "shuffle": False}
    with signalled(ask, 0.15), pytest.raises(Asked):
        network.fit(X, Y, epochs=10_000_000, **options)
    steps = network.__getstate__()["optimizer_step"]
    assert steps > 0
    other.fit(X, Y, epochs=steps, **options)
    assert digest(network.__getstate__()) == digest(other.__getstate__())


def test_a_signal_handler_that_only_looks_changes_no_bits():
    seen = []
    X, Y, W, B = strategies.arrays((8, 64, 64, 4), 96, "float64", 2)
    other_W, other_B = copies(W), copies(B)
    options = {"epochs": 1500, "learning_rate": 1e-4}
    with signalled(lambda number, frame: seen.append(number), 0.05):
        losses = train(X, Y, W, B, **options)
    assert seen == [signal.SIGVTALRM]
    assert same_bits(losses, train(X, Y, other_W, other_B, **options))
    assert same_bits([*W, *B], [*other_W, *other_B])
