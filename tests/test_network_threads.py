"""Networks in many threads and processes (T1, T2, D3).

Eight threads with networks of their own reach the bits of one. On a single network every call has the right bits or
says that the network is in use; none waits for ever, and none tears what another reads. A run has the same bits in a
hundred processes.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import strategies
from bits import digest, same_bits
from ironprop import Network
from processes import run_python


@pytest.fixture(autouse=True)
def _hurried():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def together(*works, rounds=1):
    """Run each work in a thread of its own, all from the same moment; return what they return or raise."""
    barrier = threading.Barrier(len(works))
    results = [[] for _ in works]

    def run(number, work):
        barrier.wait(30)
        results[number].extend(attempt(work) for _ in range(rounds))

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive(), "a thread hangs"
    return results


def attempt(work):
    """Return what it returns or raises."""
    try:
        return work()
    except Exception as error:
        return error


# Networks of their own (T1) -----------------------------------------------------------------------

X, Y, _, _ = strategies.arrays((6, 12, 3), 20, "float64", 1)


def trained(seed):
    """Train in every way and return the digest of it."""
    network = Network([6, 12, 3], seed=seed, loss="mse", optimizer="adam", dropout=0.2)
    network.train_step(X, Y)
    history = network.fit(X, Y, epochs=3, batch_size=6, seed=seed, validation_split=0.2)
    network.forward_pass(X)
    gradient, _ = network.backward_pass(Y)
    network.apply_gradients(gradient)
    twin = pickle.loads(pickle.dumps(network))  # noqa: S301 (our own)
    return digest(history.loss, history.val_loss, network.parameters, twin.predict(X))


def test_eight_threads_with_their_own_networks_reach_the_bits_of_one():
    alone = [trained(seed) for seed in range(8)]
    results = together(*(lambda seed=seed: trained(seed) for seed in range(8)), rounds=25)
    for expected, got in zip(alone, results, strict=True):
        assert set(got) == {expected}


# A single network (T2) ----------------------------------------------------------------------------

ROUNDS = 200


def outcome(results):
    """Return how many calls were right, all others having said that the network is in use."""
    errors = [result for result in results if isinstance(result, Exception)]
    for error in errors:
        assert isinstance(error, RuntimeError), repr(error)
        assert "in use" in str(error), error
    return len(results) - len(errors)


@pytest.mark.parametrize("sizes", [(6, 12, 3), (300, 400, 200)])
def test_predictions_in_eight_threads_have_the_right_bits(sizes):
    samples, _, _, _ = strategies.arrays(sizes, 40, "float64", 1)
    network = Network(sizes, seed=1)
    expected = digest(network.predict(samples))
    rounds = ROUNDS if sizes[0] < 100 else 20
    for results in together(*[lambda: digest(network.predict(samples))] * 8, rounds=rounds):
        right = outcome(results)
        assert {result for result in results if isinstance(result, str)} <= {expected}
        assert right > 0 or sizes[0] > 100


def test_a_fit_beside_predictions_has_the_bits_of_one_alone():
    network, alone = (Network([6, 12, 3], seed=1, loss="mse", optimizer="adam") for _ in "ab")
    steps = []
    for _ in range(ROUNDS + 1):
        steps.append(digest(alone.predict(X)))
        alone.fit(X, Y, epochs=1, batch_size=5, shuffle=False)

    def fit():
        while True:
            result = attempt(lambda: network.fit(X, Y, epochs=1, batch_size=5, shuffle=False))
            if not (isinstance(result, RuntimeError) and "in use" in str(result)):
                return result

    fits, predictions, more = together(
        fit, lambda: digest(network.predict(X)), lambda: digest(network.predict(X)), rounds=ROUNDS
    )
    assert outcome(fits) == ROUNDS
    for results in (predictions, more):
        outcome(results)
        # A fit of one epoch is one run of whole steps: what is seen between two steps is no epoch's end.
        assert all(isinstance(result, str | RuntimeError) for result in results)
        assert {result for result in results if isinstance(result, str)} <= set(steps)
    assert digest(network.predict(X)) == steps[-1]


def test_two_fits_of_one_network_take_turns_or_say_so():
    network = Network([6, 12, 3], seed=1, loss="mse", optimizer="adam")
    work = lambda: network.fit(X, Y, epochs=2, batch_size=5)  # noqa: E731
    one, other = together(work, work, rounds=ROUNDS)
    done = outcome(one) + outcome(other)
    assert done > 0
    # A fit without anything to watch is one call of the core: done as a whole or not at all.
    assert network.__getstate__()["optimizer_step"] == done * 2 * 4


def test_copies_beside_a_fit_are_of_a_whole_step():
    network = Network([6, 12, 3], seed=1, loss="mse", optimizer="adam")
    fits, copies, pickles = together(
        lambda: network.fit(X, Y, epochs=3, batch_size=5),
        lambda: network.__copy__(),
        lambda: pickle.loads(pickle.dumps(network)),  # noqa: S301 (our own)
        rounds=ROUNDS,
    )
    outcome(fits)
    for results in (copies, pickles):
        outcome(results)
        for twin in results:
            if isinstance(twin, Network):
                state = twin.__getstate__()
                assert state["optimizer_step"] % 12 == 0
                assert np.isfinite(state["parameters"]).all()


def test_a_parameter_vector_is_never_torn():
    network = Network([6, 12, 3], seed=1)
    n = network.n_parameters
    values = iter(range(1, 10**9))

    def write():
        network.parameters = np.full(n, float(next(values)))

    def read():
        vector = network.parameters
        return bool((vector == vector[0]).all() or np.ptp(vector) < 5)

    network.parameters = np.zeros(n)
    writes, others, reads, more = together(write, write, read, read, rounds=ROUNDS)
    for results in (writes, others, reads, more):
        outcome(results)
    for results in (reads, more):
        assert False not in results


def test_a_network_in_training_says_so_to_every_use():
    samples, rows, _, _ = strategies.arrays((8, 64, 64, 4), 96, "float64", 2)
    network = Network([8, 64, 64, 4], seed=1)
    begun = threading.Event()

    def fit():
        begun.set()
        return network.fit(samples, rows, epochs=8000, batch_size=None, n_threads=1)

    thread = threading.Thread(target=fit)
    thread.start()
    begun.wait(10)
    time.sleep(0.1)  # a use of the network here could be what the training finds in its way
    uses = [
        lambda: network.predict(samples),
        lambda: network.forward_pass(samples),
        lambda: network.backward_pass(rows),
        lambda: network.gradients(samples, rows),
        lambda: network.sample_gradients(samples, rows),
        lambda: network.jacobian(samples),
        lambda: network.evaluate(samples, rows),
        lambda: network.train_step(samples, rows),
        lambda: network.fit(samples, rows, epochs=0),
        lambda: network.apply_gradients(np.ones(network.n_parameters)),
        lambda: network.parameters,
        lambda: setattr(network, "parameters", np.ones(network.n_parameters)),
        lambda: setattr(network, "loss", "mae"),
        lambda: setattr(network, "optimizer", "adam"),
        lambda: setattr(network, "dropout", 0.5),
        network.__getstate__,
        lambda: network == Network([8, 64, 64, 4], seed=1),
    ]
    results = [attempt(use) for use in uses]
    alive = thread.is_alive()
    shown = (
        network.loss,
        repr(network.optimizer),
        network.dropout,
        repr(network),
        network.summary(),
    )
    thread.join(60)
    assert alive, "the training was too short to test anything"
    assert outcome(results) == 0
    fresh = Network([8, 64, 64, 4], seed=1)
    assert shown == (fresh.loss, repr(fresh.optimizer), fresh.dropout, repr(fresh), fresh.summary())
    assert network.__getstate__()["optimizer_step"] == 8000


# Processes (D3) -----------------------------------------------------------------------------------

RUN = """
import sys
import numpy as np
from bits import digest
from ironprop import EarlyStopping, Network, optimizers, schedules
from training_run import data

X, Y = data((9, 33, 17, 3), 60, "float64")
digests = []
for optimizer in sorted(optimizers.NAMED):
    for loss in ("mse", "huber", "categorical_crossentropy"):
        targets = (Y > 0.5) / (Y > 0.5).sum(1, keepdims=True).clip(1) if loss[0] == "c" else Y
        targets = np.eye(3)[targets.argmax(1)] if loss[0] == "c" else targets
        network = Network(
            [9, 33, 17, 3], activation="gelu", loss=loss, optimizer=optimizer, dropout=0.2, seed=7
        )
        history = network.fit(
            X,
            targets,
            epochs=6,
            batch_size=13,
            seed=5,
            validation_split=0.2,
            metrics=["r2"],
            early_stopping=EarlyStopping(patience=3),
        )
        digests.append(digest(history.loss, history.val_loss, network.parameters))
print(digest(digests))
"""


def run_beside_others(count, **environment):
    """Run it so many times, the other core being busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return {run_python(RUN, PYTHONHASHSEED="random", **environment) for _ in range(count)}
    finally:
        busy.kill()
        busy.wait()


def test_a_training_has_the_same_bits_in_every_process():
    hashes = run_beside_others(2)
    hashes |= {run_python(RUN, IRONPROP_NUM_THREADS=str(n)) for n in (1, 3)}
    hashes |= {run_python(RUN, IRONPROP_LEVEL="portable", PYTHONHASHSEED="7")}
    assert len(hashes) == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_training_has_the_same_bits_in_a_hundred_processes():
    assert len(run_beside_others(100)) == 1


def test_a_network_trained_before_a_fork_goes_on_in_the_child():
    network = Network([6, 12, 3], seed=1, optimizer="adam")
    network.fit(X, Y, epochs=2, seed=1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            network.fit(X, Y, epochs=2, seed=2)
            os.write(writer, digest(network.__getstate__()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        theirs = file.read()
    os.waitpid(child, 0)
    network.fit(X, Y, epochs=2, seed=2)
    assert theirs == digest(network.__getstate__())
    assert same_bits(network.predict(X[:1]), network.predict(X)[:1])
