"""What a training of a network that goes wrong leaves behind (N6, N7, C6, C7).

Divergence and Ctrl-C come through as their own exceptions, at a whole step: parameters, what the optimiser remembers
and the count of steps are those of the same run without the fault, which is found step by step, and the run goes on
to the same bits. Saturated units give neither NaN nor subnormal numbers.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bits import digest
from ironprop import Network
from ironprop.notebook import train
from ironprop.optimizers import SGD, Adam, RMSprop
from network_oracle import HIDDEN, LOSSES, drawn, suitable, targets
from processes import _environment, assert_other_threads_run_during, run_python

# Divergence (N7) ----------------------------------------------------------------------------------

DIVERGING = [
    ("leaky_relu", SGD(learning_rate=1e9), "float64"),
    ("leaky_relu", SGD(learning_rate=1e9), "float32"),
    ("identity", SGD(learning_rate=1e9, momentum=0.9), "float64"),
    ("leaky_relu", SGD(learning_rate=1e9, momentum=0.9, nesterov=True), "float32"),
    ("identity", Adam(learning_rate=1e100), "float64"),
    ("leaky_relu", RMSprop(learning_rate=1e30), "float32"),
]


@pytest.mark.parametrize("batch_size", [20, 7])
@pytest.mark.parametrize(("activation", "optimizer", "dtype"), DIVERGING)
def test_a_diverging_fit_leaves_the_last_finite_step(activation, optimizer, dtype, batch_size):
    _, X, Y = drawn((4, 8, 8, 2), ["tanh"] * 3, "mse", 20, 1)
    X, Y = X.astype(dtype), Y.astype(dtype)
    options = {
        "activation": activation,
        "optimizer": optimizer,
        "loss": "mse",
        "dtype": dtype,
        "seed": 2,
    }
    fitted, stepped = (Network([4, 8, 8, 2], **options) for _ in "ab")
    seen = []
    with pytest.raises(FloatingPointError, match="diverged"):
        fitted.fit(
            X,
            Y,
            epochs=200,
            batch_size=batch_size,
            shuffle=False,
            callbacks=[lambda network, epoch, logs: seen.append(logs["loss"])],
        )
    assert np.isfinite(seen).all()
    states = []
    for step in range(1000):
        start = step * batch_size % 20 if batch_size == 20 else (step % 3) * 7
        states.append(digest(stepped.__getstate__()))
        finite = np.isfinite(stepped.parameters).all()
        try:
            stepped.train_step(X[start : start + batch_size], Y[start : start + batch_size])
        except FloatingPointError:
            break
    assert np.isfinite(fitted.parameters).all()
    # The last state that could be reached, or the one before it, if that has the bad loss.
    assert digest(fitted.__getstate__()) in states[-2:], (len(states), finite)
    fitted.optimizer = "adam"
    before = fitted.evaluate(X, Y)["loss"]
    if before < 1e6:
        assert fitted.fit(X, Y, epochs=50, seed=1).loss[-1] < before


@pytest.mark.parametrize("loss", LOSSES)
def test_a_first_loss_that_is_not_finite_changes_nothing(loss):
    net, X, Y = drawn((4, 6, 3), ["tanh", suitable(loss)], loss, 9, 1)
    network = Network([4, 6, 3], activation=net.activations, loss=loss, optimizer="adam", seed=1)
    network.train_step(X, Y)
    before = digest(network.__getstate__())
    for bad in (np.nan, np.inf):
        X[3, 2] = bad if bad is np.nan else X[3, 2]
        Y[2, 1] = bad
        for call in (
            lambda: network.train_step(X, Y),
            lambda: network.partial_fit(X, Y),
            lambda: network.train(X, Y, epochs=2),
            lambda: network.fit(X, Y, epochs=2),
        ):
            with pytest.raises(FloatingPointError):
                call()
            assert digest(network.__getstate__()) == before


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "sin"])
def test_samples_that_are_not_finite_are_no_step_even_where_the_loss_does_not_see_them(
    activation, bad, dtype
):
    # An infinite number saturates a unit: the loss is finite, the gradient of the weights is not.
    network = Network(
        [3, 5, 2], activation=activation, output_activation="tanh", dtype=dtype, seed=1
    )
    X, Y = np.ones((9, 3), dtype), np.zeros((9, 2), dtype)
    network.train_step(X, Y)
    X[8, 2] = bad
    before = digest(network.__getstate__())
    options = {"batch_size": 4, "shuffle": False}
    layers = network.weights, network.biases
    unchanged = digest(layers)
    for call in (
        lambda: network.train_step(X, Y),
        lambda: network.partial_fit(X, Y, batch_size=4),
        lambda: network.train(X, Y, epochs=2, **options),
        lambda: network.fit(X, Y, epochs=2, **options),
        lambda: train(X, Y, *layers, epochs=2, activation="tanh", **options),
    ):
        with pytest.raises(FloatingPointError, match="X has a number that is infinite or nan"):
            call()
        assert digest(network.__getstate__()) == before
        assert digest(layers) == unchanged


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_a_function_takes_no_step_with_such_samples(bad):
    def loss(pred, Y):
        return float(np.square(pred - Y).sum()), 2 * (pred - Y)

    network = Network([3, 5, 2], activation="tanh", loss=loss, optimizer="adam", seed=1)
    X, Y = np.ones((4, 3)), np.zeros((4, 2))
    network.train_step(X, Y)
    X[2, 1] = bad
    before = digest(network.parameters, network.__getstate__()["optimizer_step"])
    for call in (
        lambda: network.train_step(X, Y),
        lambda: network.fit(X, Y, epochs=2, batch_size=None),
    ):
        with pytest.raises(FloatingPointError):
            call()
        assert digest(network.parameters, network.__getstate__()["optimizer_step"]) == before


def test_bad_validation_data_are_measured_and_not_trained_on():
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 9, 1)
    network = Network([4, 6, 3], activation="tanh", loss="mse", seed=1)
    history = network.fit(X, Y, epochs=2, validation_data=(X, Y * np.nan), metrics=["mae"])
    assert np.isnan(history.val_loss).all()
    assert np.isnan(history.metrics["val_mae"]).all()
    assert np.isfinite(history.loss).all()


# Ctrl-C (C6) --------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import strategies
from bits import digest
from ironprop import Network
from ironprop.optimizers import Adam
from ironprop.schedules import Exponential, WarmUp

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
delay, batch_size, watched = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "watched"
X, Y, _, _ = strategies.arrays((8, 64, 64, 4), 96, "float64", 1)
optimizer = Adam(learning_rate=WarmUp(Exponential(1e-3, 0.999), 10), l2=1e-3, clip_norm=1.0)
network, other = (
    Network([8, 64, 64, 4], seed=1, loss="mse", optimizer=optimizer, dropout=0.1) for _ in "ab"
)
options = {"batch_size": batch_size, "shuffle": False, "n_threads": 1}
if watched:
    options.update(validation_data=(X[:5], Y[:5]), metrics=["r2"], callbacks=[lambda *_: None])

def interrupt():
    global sent
    time.sleep(delay)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

thread = threading.Thread(target=interrupt)
try:
    thread.start()
    network.fit(X, Y, epochs=3_000_000, **options)
    print("not interrupted")
except KeyboardInterrupt:
    received = time.monotonic()
thread.join()
state = network.__getstate__()
print(state["optimizer_step"], received - sent)
for step in range(state["optimizer_step"]):
    start = step * batch_size % 96
    other.train_step(X[start : start + batch_size], Y[start : start + batch_size])
print(digest(state) == digest(other.__getstate__()))

# and both go on to the same bits
for each in (network, other):
    each.fit(X, Y, epochs=7, **options)
print(digest(network.__getstate__()) == digest(other.__getstate__()))
"""


@pytest.mark.parametrize("watched", ["watched", "alone"])
@pytest.mark.parametrize(("delay", "batch_size"), [(0.0, 96), (0.2, 32), (0.05, 12)])
def test_ctrl_c_stops_a_fit_at_a_whole_step(delay, batch_size, watched):
    program = run_python(INTERRUPTED, str(delay), str(batch_size), watched, timeout=110)
    first, *rest = program.splitlines()
    steps, latency = first.split()
    assert rest == ["True", "True"]
    assert int(steps) > (0 if delay else -1)
    assert float(latency) < 1.0  # 0.2 s is promised; the rest is for a machine with other work


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ctrl_c_stops_a_fit_at_a_hundred_random_moments():
    latencies = []
    for number, delay in enumerate(np.random.default_rng(1).uniform(0, 0.2, 100)):
        arguments = [str(delay), ("96", "32", "12")[number % 3], ("watched", "alone")[number % 2]]
        first, *rest = run_python(INTERRUPTED, *arguments, timeout=110).splitlines()
        assert rest == ["True", "True"], (number, delay)
        latencies.append(float(first.split()[1]))
    assert np.median(latencies) < 0.2


OF_A_FUNCTION = """
import os, signal, threading, time
import numpy as np
from ironprop import Network

signal.signal(signal.SIGINT, signal.default_int_handler)
X, Y = np.ones((20, 3)), np.ones((20, 2))
network = Network([3, 4, 2], seed=1, loss=lambda p, y: (float(np.square(p - y).sum()), 2 * (p - y)))
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    network.fit(X, Y, epochs=3_000_000, batch_size=3)
except KeyboardInterrupt:
    print("interrupted", np.isfinite(network.parameters).all())
network.fit(X, Y, epochs=2)
"""


def test_ctrl_c_stops_a_fit_with_a_function_too():
    assert run_python(OF_A_FUNCTION) == "interrupted True\n"


# Other signals (C7) -------------------------------------------------------------------------------

LONG = """
import sys
import numpy as np
from ironprop import Network
X, Y = np.ones((500, 30)), np.ones((500, 3))
network = Network([30, 300, 300, 3], seed=1)
print("begun", flush=True)
network.fit(X, Y, epochs=3_000_000, batch_size=None)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_that_ends_a_process_ends_a_fit_at_once(number):
    child = subprocess.Popen(
        [sys.executable, "-c", LONG], stdout=subprocess.PIPE, env=_environment({}), text=True
    )
    assert child.stdout.readline() == "begun\n"
    time.sleep(0.3)
    start = time.monotonic()
    child.send_signal(number)
    assert child.wait(10) == -number
    child.stdout.close()
    assert time.monotonic() - start < 2.0


class Asked(Exception):  # noqa: N818 (it is no error)
    """What a signal handler raises."""


def test_what_a_signal_handler_raises_passes_through_at_a_whole_step():
    def handler(number, frame):
        raise Asked(number)

    X = np.random.default_rng(1).normal(size=(96, 8))
    Y = np.random.default_rng(2).uniform(size=(96, 4))
    network, other = (Network([8, 64, 64, 4], seed=1, optimizer="adam", loss="mse") for _ in "ab")
    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(Asked):
            network.fit(X, Y, epochs=10_000_000, batch_size=None, shuffle=False)
    finally:
        signal.signal(signal.SIGALRM, old)
    steps = network.__getstate__()["optimizer_step"]
    assert steps > 0
    other.fit(X, Y, epochs=steps, batch_size=None, shuffle=False)
    assert digest(network.__getstate__()) == digest(other.__getstate__())


def test_other_threads_run_while_a_fit_does():
    X = np.random.default_rng(1).normal(size=(96, 8))
    network = Network([8, 64, 64, 1], seed=1)
    assert_other_threads_run_during(lambda: network.fit(X, X[:, :1], epochs=5000, batch_size=None))


# Saturation (N6) ----------------------------------------------------------------------------------


def subnormals(array):
    """Count the numbers that are neither 0 nor normal."""
    small = np.abs(array) < np.finfo(array.dtype).tiny
    return int(np.count_nonzero(small & (array != 0)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*HIDDEN, "softmax"])
def test_saturated_units_give_no_nan_and_no_subnormal_numbers(name, dtype):
    identity = ([np.eye(2, dtype=dtype)], [np.zeros(2, dtype)])
    network = Network([2, 2], activation=name, init=identity, dtype=dtype)
    for size in (1e4, 800.0, 90.0, 1e-4, 1e-30):
        z = np.linspace(-1, 1, 4001) * size
        X = np.stack([z, -0.5 * z], axis=1).astype(dtype)
        (pred,) = network.forward_pass(X)
        gradient, of_samples = network.backward_pass(np.ones_like(pred))
        for array in (pred, gradient, of_samples):
            assert np.isfinite(array).all(), size
            assert subnormals(array) == 0, size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e30, 1e4, 1e-30])
def test_huge_and_tiny_weights_give_no_nan_where_the_loss_is_finite(loss, size, dtype):
    random = np.random.default_rng(1)
    output = suitable(loss, "sigmoid")
    network = Network([4, 9, 3], activation=["tanh", output], loss=loss, dtype=dtype, seed=1)
    network.parameters = (network.parameters * size).astype(dtype)
    X = random.normal(size=(20, 4)).astype(dtype)
    Y = targets(loss, 20, 3, random).astype(dtype)
    value, gradient = network.gradients(X, Y)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert subnormals(gradient) == 0
    for activations in network.forward_pass(X):
        assert subnormals(activations) == 0
    for optimizer in ("sgd", "momentum", "rmsprop", "adagrad", "adam", "rprop"):
        twin = Network(
            [4, 9, 3], activation=["tanh", output], loss=loss, dtype=dtype, optimizer=optimizer
        )
        twin.parameters = network.parameters
        if value < 1e6:  # else the step may rightly be too large
            twin.train(X, Y, epochs=5)
            assert np.isfinite(twin.parameters).all()
        for vector in twin.__getstate__()["optimizer_vectors"]:
            assert subnormals(vector) == 0
