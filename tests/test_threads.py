"""The thread team: how many threads there are never shows in a bit, and none is started before it is needed.

Trainings large enough for eight threads give the same bits on one and on eight, alone or beside
seven others, and where no thread can be had. The number comes from `set_num_threads`, the
environment or the process's affinity. Threads are started by the first large step and by nothing
before it. Whatever would disturb the test's own process runs in one of its own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

import ironprop
import strategies
from bits import digest
from ironprop import Network, get_num_threads, set_num_threads
from ironprop.notebook import backward_pass, forward_pass, train
from large_training import large
from oracle import ACTIVATIONS, GRADIENTS, copies
from processes import run_python

# Sizes, samples and samples in a step.
SHAPES = (
    ((300, 200, 100), 64, None),
    ((300, 200, 100), 300, 128),  # the last batch has 44
    ((300, 200, 100), 257, None),
    ((1000, 130), 101, None),  # wide
    ((33, 2049), 50, None),
    ((60,) * 12, 151, 91),  # deep
    ((97, 131, 61, 7), 301, 150),  # odd; the last batch has 1
    ((1, 900, 1), 1600, None),  # width 1
    ((64, 64), 1000, 999),
    ((1201, 701, 3), 5, 4),
    ((1700, 1600), 2, 1),  # single samples
)
COUNTS = (1, 2, 3, 4, 7, 8)


@pytest.fixture(autouse=True)
def _as_many_threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


# The same bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_training_gives_the_same_bits_on_any_number_of_threads(shape, gradient, dtype):
    sizes, n_samples, batch_size = SHAPES[shape]
    batch = batch_size or n_samples
    assert 6 * batch * sum(a * b for a, b in pairwise(sizes)) > 8 * 2_000_000
    X, Y, start_W, start_B = strategies.arrays(sizes, n_samples, dtype, 1)
    options = {"epochs": 2, "learning_rate": 0.1 / n_samples, "batch_size": batch_size}

    def trained(n_threads):
        W, B = copies(start_W), copies(start_B)
        activation = ACTIVATIONS[(shape + 1) % 3]
        losses = train(
            X,
            Y,
            W,
            B,
            gradient=gradient,
            activation=activation,
            n_threads=n_threads,
            **options,
        )
        return digest(losses, W, B)

    hashes = {n_threads: trained(n_threads) for n_threads in COUNTS}
    assert hashes == dict.fromkeys(COUNTS, hashes[1])
    assert hashes[1] != digest(np.zeros(2), start_W, start_B)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("shape", [0, 5, 6])
def test_a_network_gives_the_same_bits_on_any_number_of_threads(shape, dtype):
    sizes, n_samples, _ = SHAPES[shape]
    X, Y, _, _ = strategies.arrays(sizes, n_samples, dtype, 1)
    hashes = set()
    for n_threads in COUNTS:
        set_num_threads(n_threads)  # what `predict` goes by
        network = Network(sizes, dtype=dtype, seed=1)
        options = {"learning_rate": 0.1 / n_samples, "n_threads": n_threads}
        losses = [network.train_step(X, Y, **options), *network.train(X, Y, epochs=1, **options)]
        hashes.add(digest(np.array(losses), network.weights, network.predict(X), network.biases))
    assert len(hashes) == 1


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_the_pair_gives_the_same_bits_on_any_number_of_threads(shape, dtype):
    sizes, n_samples, _ = SHAPES[shape]
    X, Y, start_W, start_B = strategies.arrays(sizes, n_samples, dtype, 1)
    for gradient in GRADIENTS:
        hashes = set()
        for n_threads in (1, 2, 3, 4):
            set_num_threads(n_threads)
            W, B = copies(start_W), copies(start_B)
            pred, A, dA = forward_pass(X, W, B, activation="tanh")
            backward_pass(W, B, A, dA, pred, Y, 0.1 / n_samples, gradient=gradient)
            hashes.add(digest(pred, A, dA, W, B))
        assert len(hashes) == 1


def test_eight_trainings_beside_each_other_give_the_bits_of_each_alone():
    X, Y, _, _ = strategies.arrays((97, 131, 7), 150, "float64", 1)

    def trained(seed):
        network = Network([97, 131, 7], seed=seed)
        losses = network.train(X, Y, epochs=30, learning_rate=1e-3, n_threads=1 + seed % 4)
        return digest(losses, network.weights, network.biases, network.predict(X))

    alone = [trained(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trained, range(8))) == alone


# How many -----------------------------------------------------------------------------------------


def test_the_number_of_threads_is_the_one_that_was_set():
    for number in (1, 2, 3, 64, np.int64(5)):
        set_num_threads(number)
        assert get_num_threads() == number == ironprop.show_config()["threads"]
    set_num_threads(10**6)
    assert get_num_threads() == 64


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2**70, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_number_of_threads_is_refused_by_name(value, exception):
    set_num_threads(3)
    with pytest.raises(exception, match=r"\bn_threads\b"):
        set_num_threads(value)
    assert get_num_threads() == 3


NUMBER = "import ironprop; print(ironprop.get_num_threads())"
PINNED = """
import os, sys
os.sched_setaffinity(0, list(sorted(os.sched_getaffinity(0)))[: int(sys.argv[1])])
import ironprop
print(ironprop.get_num_threads(), len(os.sched_getaffinity(0)))
"""


@pytest.mark.parametrize(
    ("ours", "omp", "number"),
    [
        ("3", "", 3),
        ("3", "5", 3),
        (" 64 ", "", 64),
        ("", "5", 5),
        ("", "3,2", 3),
        ("", "1000", 64),
    ],
)
def test_the_environment_says_how_many_threads(ours, omp, number):
    printed = run_python(NUMBER, IRONPROP_NUM_THREADS=ours, OMP_NUM_THREADS=omp)
    assert int(printed) == number


@pytest.mark.parametrize("omp", ["", "0", "many"])
def test_the_affinity_says_how_many_threads_where_nothing_else_does(omp):
    numbers = [
        run_python(PINNED, str(cpus), IRONPROP_NUM_THREADS="", OMP_NUM_THREADS=omp).split()
        for cpus in (1, 1000)
    ]
    assert numbers[0] == ["1", "1"]
    threads, cpus = map(int, numbers[1])
    assert 1 <= threads <= cpus  # a quota may leave fewer


BAD_ENVIRONMENT = """
import numpy as np
import ironprop
from bits import digest
W, B, X, Y = [np.ones((2, 1))], [np.zeros((1, 1))], np.ones((3, 2)), np.ones((3, 1))
network = ironprop.Network([2, 1], seed=1)
calls = [
    ironprop.get_num_threads,
    ironprop.show_config,
    lambda: ironprop.train(X, Y, W, B, epochs=1),
    lambda: network.train_step(X, Y, learning_rate=0.1),
    lambda: network.train(X, Y, epochs=1, learning_rate=0.1),
    lambda: network.predict(X),
]
before = digest(W, B, network.weights, network.biases)
for call in calls:
    try:
        print("not refused", call())
    except ValueError as error:
        print(error)
print(digest(W, B, network.weights, network.biases) == before)
ironprop.set_num_threads(2)
print([bool(call() is None) for call in calls].count(False), ironprop.get_num_threads())
"""


@pytest.mark.parametrize("value", ["0", "65", "-1", "two", "1.5", "2,2"])
def test_a_number_of_threads_in_the_environment_that_is_none_is_refused_by_name(value):
    lines = run_python(BAD_ENVIRONMENT, IRONPROP_NUM_THREADS=value).splitlines()
    assert len(lines) == 8
    for line in lines[:6]:
        assert line.startswith("IRONPROP_NUM_THREADS must be"), line
        assert value in line
    assert lines[6:] == ["True", "6 2"]


# When threads are started -------------------------------------------------------------------------

STARTED = """
import os
import numpy
before = len(os.listdir("/proc/self/task"))
from large_training import *
from large_training import B, W
print(before == threads()[0], threads()[1])
small = ironprop.Network([3, 4, 2], seed=1)
small.train(X[:5, :3], Y[:5, :2], epochs=100, learning_rate=0.1, n_threads=4)
small.predict(X[:5, :3])
ironprop.train(X[:5, :150], Y[:5], W, B, epochs=1, n_threads=1)
large(n_threads=1)
print(before == threads()[0], threads()[1])
large(n_threads=2)
print(threads()[0] - before, threads()[1])
for _ in range(3):
    large(n_threads=3)
print(threads()[0] - before, threads()[1])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_no_thread_is_started_before_the_first_large_step():
    assert run_python(STARTED).splitlines() == ["True 0", "True 0", "1 1", "2 2"]


PARKED = """
import time
from large_training import *
large(n_threads=3)
time.sleep(0.05)
before = time.process_time()  # of all threads
time.sleep(0.5)
print(threads()[1], time.process_time() - before < 0.1)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_threads_without_work_soon_stop_spinning():
    assert run_python(PARKED).split() == ["2", "True"]


NO_THREADS = """
import os, resource, threading
from large_training import *
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # the limit does not bind root
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    threading.Thread(target=print).start()
    print("a thread was started")
except RuntimeError:
    print(large(), large(n_threads=8), threads()[1])
"""


def test_where_no_thread_can_be_had_the_bits_are_the_same():
    printed = run_python(NO_THREADS).split()
    if "started" in printed:
        pytest.skip("this system does not enforce RLIMIT_NPROC")
    assert printed == [large(n_threads=1)] * 2 + ["0"]
