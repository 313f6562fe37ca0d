"""Threads: how many never shows in a bit, and nothing that a process can do makes them hang.

Trainings large enough for eight threads give the same bits on one and on eight, alone or beside
seven others, in a forked child, and where no thread can be had. The number comes from
`set_num_threads`, the environment or the process's affinity. Threads are started by the first large
step and by nothing before it. A call leaves the interpreter to other threads, and the interpreter
may end while one runs. Whatever would disturb the test's own process runs in one of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

import ironprop
import strategies
from bits import digest, same_bits
from ironprop import Network, get_num_threads, set_num_threads
from ironprop.notebook import backward_pass, forward_pass, train
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

# A training worth many threads, for the processes below.
LARGE = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # of the interpreter's own about forks beside threads
import strategies
from bits import digest
from oracle import copies
import ironprop
X, Y, W, B = strategies.arrays((150, 130, 90), 120, "float64", 1)

def large(epochs=3, n_threads=3):
    new_W, new_B = copies(W), copies(B)
    options = {"epochs": epochs, "learning_rate": 1e-3, "n_threads": n_threads}
    losses = ironprop.train(X, Y, new_W, new_B, gradient="exact", **options)
    network = ironprop.Network([150, 130, 90], seed=1)
    del options["epochs"]
    losses = [*losses, network.train_step(X, Y, **options)]
    return digest(losses, new_W, new_B, network.weights, network.biases)

def threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as file:
            names.append(file.read().strip())
    return len(names), sum(name.startswith("ironprop") for name in names)
"""


def large_alone():
    """Return the digest of that training, of this process."""
    place = {"__name__": "large"}
    with np.errstate(all="ignore"):
        exec(LARGE.replace('warnings.simplefilter("ignore")', ""), place)  # noqa: S102 (our own)
    return place["large"](n_threads=1)


STARTED = (
    """
import os
import numpy
before = len(os.listdir("/proc/self/task"))
"""
    + LARGE
    + """
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
)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_no_thread_is_started_before_the_first_large_step():
    assert run_python(STARTED).splitlines() == ["True 0", "True 0", "1 1", "2 2"]


PARKED = (
    LARGE
    + """
large(n_threads=3)
time.sleep(0.05)
before = time.process_time()  # of all threads
time.sleep(0.5)
print(threads()[1], time.process_time() - before < 0.1)
"""
)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_threads_without_work_soon_stop_spinning():
    assert run_python(PARKED).split() == ["2", "True"]


NO_THREADS = (
    """
import resource
"""
    + LARGE
    + """
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
)


def test_where_no_thread_can_be_had_the_bits_are_the_same():
    printed = run_python(NO_THREADS).split()
    if "started" in printed:
        pytest.skip("this system does not enforce RLIMIT_NPROC")
    assert printed == [large_alone(), large_alone(), "0"]


# Forks --------------------------------------------------------------------------------------------

FORK = (
    LARGE
    + """
def forked(work):
    # the child writes what `work` returns; it has ten seconds
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    end = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "the child hangs"
        time.sleep(0.002)
    with os.fdopen(reader) as file:
        return file.read()

def trained():
    return large() if threads()[1] == 0 else "a child begins with threads"
"""
)

FORKS = {
    "before the first use": "print(forked(trained)); print(large())",
    "after a use": "print(large()); print(forked(trained)); print(large())",
    "nested": "print(large()); print(forked(lambda: forked(trained) + ' ' + large()))",
    "twice": "large(); print(forked(trained), forked(trained))",
    "during a use in another thread": """
stop = threading.Event()
def use():
    while not stop.is_set():
        large()
user = threading.Thread(target=use)
user.start()
for _ in range(12):
    time.sleep(0.007)
    print(forked(trained))
stop.set()
user.join()
print(large())
""",
    "during a long run of a network in another thread": """
network = ironprop.Network([150, 130, 90], seed=1)
options = {"learning_rate": 1e-5, "n_threads": 2}
user = threading.Thread(target=network.train, args=(X, Y), kwargs={"epochs": 500, **options})
user.start()
time.sleep(0.05)
print(forked(trained))
def use():
    try:
        network.predict(X)  # that thread is not there to give it back
    except RuntimeError:
        return large()
print(forked(use))
user.join()
print(large())
""",
}


@pytest.mark.parametrize("moment", FORKS)
def test_a_forked_child_gives_the_same_bits(moment):
    assert set(run_python(FORK + FORKS[moment]).split()) == {large_alone()}


def test_a_network_trained_before_a_fork_goes_on_in_the_child():
    program = (
        FORK
        + """
network = ironprop.Network([150, 130, 90], seed=1)
def step():
    loss = network.train_step(X, Y, learning_rate=1e-3, n_threads=2)
    return digest(loss, network.weights, network.biases, network.predict(X))
step()
print(forked(step))
print(step())
"""
    )
    assert len(set(run_python(program).split())) == 1


# Spawned children import the file that started them.
MULTIPROCESSING = (
    LARGE
    + """
import multiprocessing

if __name__ == "__main__":
    print(large())
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(*pool.map_async(large, [3, 3, 3]).get(30))
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_give_the_same_bits(method, tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(MULTIPROCESSING)
    program = "import runpy, sys; sys.argv[:] = sys.argv[1:]\nrunpy.run_path(sys.argv[0], None, '__main__')"
    assert set(run_python(program, str(script), method).split()) == {large_alone()}


# Other threads of the interpreter -----------------------------------------------------------------


@contextlib.contextmanager
def overwriting(X, Y):
    """Let another thread overwrite the arrays as soon as this one gives the interpreter away."""
    begun, done, writes = threading.Lock(), threading.Event(), []

    def overwrite():
        with begun:
            while not done.is_set():
                X[...], Y[...] = np.nan, 1e300
                writes.append(time.monotonic())

    begun.acquire()
    thread = threading.Thread(target=overwrite)
    interval = sys.getswitchinterval()
    thread.start()
    time.sleep(0.01)  # it waits for the lock now
    sys.setswitchinterval(1)
    try:
        begun.release()
        yield writes
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


@pytest.mark.parametrize("tier", ["train", "Network"])
def test_another_thread_that_overwrites_the_data_of_a_run_does_not_reach_it(tier):
    X, Y, W, B = strategies.arrays((97, 131, 7), 150, "float64", 1)
    options = {"epochs": 100, "learning_rate": 1e-3, "n_threads": 2}

    def run(X, Y, network):
        if tier == "Network":
            return [network.train(X, Y, **options), *network.weights, *network.biases]
        new_W, new_B = copies(W), copies(B)
        return [train(X, Y, new_W, new_B, **options), *new_W, *new_B]

    expected, unharmed = run(X, Y, Network([97, 131, 7], seed=1)), 0
    for _ in range(10):
        X, Y, _, _ = strategies.arrays((97, 131, 7), 150, "float64", 1)
        network = Network([97, 131, 7], seed=1)  # its draws would let the other thread in
        with overwriting(X, Y) as writes:
            try:
                result = run(X, Y, network)
            except FloatingPointError as error:  # it has come in before the data were copied
                assert "before any step" in str(error)  # noqa: PT017
                continue
            count = len(writes)
        assert same_bits(result, expected)
        unharmed += count > 1
    assert unharmed > 0, "nothing was overwritten during a run"


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("tier", ["train", "Network"])
def test_another_thread_goes_on_while_a_long_training_runs(tier, n_threads):
    X, Y, W, B = strategies.arrays((97, 131, 7), 150, "float64", 1)
    network = Network([97, 131, 7], seed=1)
    options = {"epochs": 300, "learning_rate": 1e-4, "n_threads": n_threads}
    done, count = threading.Event(), 0

    def counting():
        nonlocal count
        while not done.is_set():
            count += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=counting)
    thread.start()
    before = count
    if tier == "Network":
        network.train(X, Y, **options)
    else:
        train(X, Y, W, B, **options)
    after = count
    done.set()
    thread.join()
    assert after - before > 10


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
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-c", ENDING, use],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return child.returncode, child.stderr


def test_the_interpreter_ends_while_a_daemon_thread_is_in_a_call():
    uses = ["train", "Network.train", "train_step", "forward_pass"] * 4
    with ThreadPoolExecutor(8) as pool:
        ends = set(zip(uses, pool.map(end_of, uses), strict=True))
    assert ends == {(use, (1, "")) for use in uses}


# Other ways to import -----------------------------------------------------------------------------

RELOADED = (
    LARGE
    + """
import importlib
before = large()
importlib.reload(ironprop)
print(large() == before)
importlib.reload(ironprop.notebook)
importlib.reload(ironprop._core)
print(large() == before)
for name in [name for name in sys.modules if name.split(".")[0] == "ironprop"]:
    del sys.modules[name]
import ironprop
print(large() == before)
"""
)


def test_a_package_that_is_imported_again_gives_the_same_bits():
    assert run_python(RELOADED).split() == ["True"] * 3


SUB_INTERPRETER = (
    """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
"""
    + LARGE
    + """
before = large()
program = "try:\\n import ironprop\\nexcept ImportError as error:\\n assert str(error)\\nelse:\\n raise SystemExit"
other = interpreters.create()
print(interpreters.run_string(other, program))
interpreters.destroy(other)
print(large() == before)
"""
)


def test_a_second_interpreter_of_a_process_meets_an_import_error():
    assert run_python(SUB_INTERPRETER).split() == ["None", "True"]
