"""Networks in many threads and processes (T1, T2, D3).

Eight threads with networks of their own reach the bits of one. On a single network calls take turns, in their order,
and every one has the right bits; beside a training they say that the network is in use. None waits for ever, and none
tears what another reads. A run has the same bits in a hundred processes. The slow tests take 200 rounds, and the quick
ones 40.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import strategies
from bits import digest
from ironprop import Network
from processes import run_python


@pytest.fixture(autouse=True)
def _hurried():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(params=[40, pytest.param(200, marks=pytest.mark.slow)])
def rounds(request):
    return request.param


def together(*works, rounds):
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


def test_eight_threads_with_their_own_networks_reach_the_bits_of_one(rounds):
    alone = [trained(seed) for seed in range(8)]
    works = [lambda seed=seed: trained(seed) for seed in range(8)]
    results = together(*works, rounds=rounds // len(works))
    for expected, got in zip(alone, results, strict=True):
        assert set(got) == {expected}


# A single network (T2) ----------------------------------------------------------------------------

# Calls with the GIL, and long enough to go without it.
SIZES = {(6, 12, 3): 20, (40, 80, 20): 60}


def rights(results):
    """Return how many calls were right, all others having said that the network is in use."""
    errors = [result for result in results if isinstance(result, Exception)]
    for error in errors:
        assert isinstance(error, RuntimeError), repr(error)
        assert "in use" in str(error), error
    return len(results) - len(errors)


@pytest.mark.parametrize("sizes", SIZES)
def test_predictions_in_eight_threads_have_the_right_bits(sizes, rounds):
    samples, _, _, _ = strategies.arrays(sizes, SIZES[sizes], "float64", 1)
    network = Network(sizes, seed=1)
    expected = digest(network.predict(samples))
    for results in together(*[lambda: digest(network.predict(samples))] * 8, rounds=rounds):
        assert results == [expected] * rounds


@pytest.mark.parametrize("sizes", SIZES)
def test_whatever_does_not_train_takes_turns(sizes, rounds):
    samples, rows, _, _ = strategies.arrays(sizes, SIZES[sizes], "float64", 1)
    network = Network(sizes, seed=1, loss="mse", optimizer="adam", dropout=0.1)
    works = [
        lambda: digest(network.predict(samples), network.forward_pass(samples)),
        lambda: digest(network.gradients(samples, rows)),
        lambda: digest(network.sample_gradients(samples[:5], rows[:5])),
        lambda: digest(network.jacobian(samples[:5])),
        lambda: digest(network.evaluate(samples, rows, metrics=["r2"])),
        lambda: digest(network.parameters, network.weights, network.biases),
        lambda: digest(pickle.loads(pickle.dumps(network)).__getstate__()),  # noqa: S301 (our own)
        lambda: (repr(network), network == network.__copy__()),
    ]
    alone = [work() for work in works]
    for expected, results in zip(alone, together(*works, rounds=rounds), strict=True):
        assert results == [expected] * rounds


@pytest.mark.parametrize("sizes", SIZES)
def test_single_steps_and_predictions_take_turns(sizes, rounds):
    samples, rows, _, _ = strategies.arrays(sizes, SIZES[sizes], "float64", 1)
    network, alone = (Network(sizes, seed=1, loss="mse", optimizer="adam") for _ in "ab")
    states = [digest(alone.predict(samples))]
    for _ in range(2 * rounds):
        alone.train_step(samples, rows)
        states.append(digest(alone.predict(samples)))
    step = lambda: network.train_step(samples, rows)  # noqa: E731
    steps, others, predictions = together(
        step, step, lambda: digest(network.predict(samples)), rounds=rounds
    )
    assert rights(steps) == rights(others) == rights(predictions) == rounds
    assert set(predictions) <= set(states)
    assert network == alone


def test_who_comes_first_is_served_first():
    samples, _, _, _ = strategies.arrays((300, 400, 200), 100, "float64", 1)
    network = Network([300, 400, 200], seed=1)
    stop, count = threading.Event(), 0

    def always():
        nonlocal count
        while not stop.is_set():
            network.predict(samples)
            count += 1

    thread = threading.Thread(target=always)
    thread.start()
    overtaken = []
    for _ in range(20):
        before = count
        network.predict(samples)
        overtaken.append(count - before)
    stop.set()
    thread.join(100)
    assert np.median(overtaken) <= 2  # one had begun, and one may follow before it is counted


def fitting(network, epochs=1):
    return lambda: network.fit(X, Y, epochs=epochs, batch_size=5, shuffle=False)


def test_a_fit_beside_predictions_has_the_bits_of_one_alone(rounds):
    network, alone = (Network([6, 12, 3], seed=1, loss="mse", optimizer="adam") for _ in "ab")
    states = [digest(alone.predict(X))]
    for _ in range(rounds):
        fitting(alone)()
        states.append(digest(alone.predict(X)))
    predict = lambda: digest(network.predict(X))  # noqa: E731
    fits, *predictions = together(fitting(network), *[predict] * 7, rounds=rounds)
    assert rights(fits) == rounds
    for results in predictions:
        rights(results)
        # A fit of one epoch is one run of whole steps: what is seen between two steps is no epoch's end.
        assert {result for result in results if isinstance(result, str)} <= set(states)
    assert predict() == states[-1]


def test_predictions_find_their_turns_where_a_fit_measures_and_never_stop_it(rounds):
    network, alone = (Network([6, 12, 3], seed=1, loss="mse") for _ in "ab")
    options = {"epochs": 3, "seed": 1, "validation_data": (X, Y), "callbacks": [lambda *_: None]}
    for _ in range(rounds):
        alone.fit(X, Y, **options)
    fits, predictions = together(
        lambda: network.fit(X, Y, **options), lambda: network.predict(X), rounds=rounds
    )
    assert rights(fits) == rounds
    assert rights(predictions) > 0
    assert network == alone


def test_two_fits_of_one_network_take_turns_or_say_so(rounds):
    network = Network([6, 12, 3], seed=1, loss="mse", optimizer="adam")
    results = together(*[fitting(network, 2)] * 8, rounds=rounds)
    done = sum(map(rights, results))
    assert done > 0
    # A fit without anything to watch is one call of the core: done as a whole or not at all.
    assert network.__getstate__()["optimizer_step"] == done * 2 * 4


def test_copies_beside_a_fit_are_of_one_moment(rounds):
    network, alone = (Network([6, 12, 3], seed=1, loss="mse", optimizer="adam") for _ in "ab")
    states = [digest(alone.__getstate__())]
    for _ in range(rounds):
        fitting(alone)()
        states.append(digest(alone.__getstate__()))
    fits, *copies = together(
        fitting(network),
        *[lambda: digest(network.__copy__().__getstate__())] * 3,
        *[lambda: digest(pickle.loads(pickle.dumps(network)).__getstate__())] * 4,  # noqa: S301
        rounds=rounds,
    )
    assert rights(fits) == rounds
    for results in copies:
        rights(results)
        assert {result for result in results if isinstance(result, str)} <= set(states)


@contextlib.contextmanager
def asking_at_an_alarm(ask, seconds):
    """Have the handler of a signal ask something of a network; the answers."""
    answers = []
    old = signal.signal(signal.SIGALRM, lambda *_: answers.append(attempt(ask)))
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield answers
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_signal_handler_does_not_wait_for_the_call_below_it():
    samples, _, _, _ = strategies.arrays((300, 400, 200), 6000, "float64", 1)
    network = Network([300, 400, 200], seed=1)
    expected = digest(network.predict(samples))
    begun, results = threading.Event(), []

    def predict():
        begun.set()
        results.append(digest(network.predict(samples)))

    with asking_at_an_alarm(lambda: network.predict(samples), 0.02) as answers:
        thread = threading.Thread(target=predict)
        thread.start()
        begun.wait(10)
        time.sleep(0.005)
        results.append(digest(network.predict(samples)))  # waits, and is asked meanwhile
        thread.join(100)
    assert results == [expected] * 2
    if answers and isinstance(answers[0], np.ndarray):  # it came too late
        assert digest(answers[0]) == expected
    else:
        assert rights(answers) == 0
    with asking_at_an_alarm(lambda: network.predict(samples), 0.02) as answers:
        network.fit(samples[:100], 0.5, epochs=30, batch_size=None)
    assert len(answers) == 1


def test_ctrl_c_ends_the_wait_for_a_turn():
    samples, _, _, _ = strategies.arrays((300, 400, 200), 8000, "float64", 1)
    network = Network([300, 400, 200], seed=1)
    expected = digest(network.predict(samples))
    results = []
    thread = threading.Thread(target=lambda: results.append(digest(network.predict(samples))))

    def interrupt(*_):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        thread.start()
        time.sleep(0.02)
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with contextlib.suppress(KeyboardInterrupt):
            network.predict(samples[:9])
            time.sleep(1)  # the other call was over by then
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert digest(network.predict(samples)) == expected
    thread.join(100)
    assert results == [expected]


def test_a_parameter_vector_is_never_torn(rounds):
    network = Network([6, 12, 3], seed=1)
    n = network.n_parameters
    values = iter(range(1, 10**9))

    def write():
        network.parameters = np.full(n, float(next(values)))

    def read():
        vector = network.parameters
        return bool((vector == vector[0]).all() or np.ptp(vector) < 5)

    network.parameters = np.zeros(n)
    writes, others, reads, more = together(write, write, read, read, rounds=rounds)
    assert writes == others == [None] * rounds
    assert reads == more == [True] * rounds


def test_a_network_in_training_says_so_to_every_use():
    samples, rows, _, _ = strategies.arrays((8, 64, 64, 4), 96, "float64", 2)
    network, alone = (Network([8, 64, 64, 4], seed=1) for _ in "ab")
    options = {"epochs": 2500, "batch_size": None, "n_threads": 1, "seed": 1}
    thread = threading.Thread(target=lambda: network.fit(samples, rows, **options))
    thread.start()
    while thread.is_alive() and not isinstance(attempt(network.__getstate__), RuntimeError):
        pass
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
        lambda: network.weights,
        lambda: network.biases,
        lambda: setattr(network, "weights", []),
        lambda: setattr(network, "biases", []),
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
    assert rights(results) == 0
    fresh = Network([8, 64, 64, 4], seed=1)
    assert shown == (fresh.loss, repr(fresh.optimizer), fresh.dropout, repr(fresh), fresh.summary())
    alone.fit(samples, rows, **options)
    assert digest(network.__getstate__()) == digest(alone.__getstate__())


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
