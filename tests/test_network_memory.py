"""Memory: nothing is lost by ten thousand networks or refused calls (M4), and too little of it is an error (M5).

Each runs in a process of its own, which tells the size of its resident memory, or has its address space limited.
"""

from __future__ import annotations

import pytest

from processes import run_python

LEAKS = """
import gc, pickle, sys
import numpy as np
import ironprop
from ironprop import EarlyStopping, Network, optimizers, schedules

X, Y = np.linspace(-1, 1, 24).reshape(8, 3), np.linspace(0, 1, 16).reshape(8, 2)
network = Network([3, 8, 2], seed=1, optimizer="adam")

def drop():
    schedule = schedules.WarmUp(schedules.Cosine(0.01, 100), 5)
    other = Network(
        [3, 8, 2], seed=1, loss="mse", dropout=0.1, optimizer=optimizers.Adam(learning_rate=schedule)
    )
    other.train_step(X, Y)
    other.fit(X, Y, epochs=1, validation_split=0.25, metrics=["r2"], callbacks=[lambda *_: None])
    other.forward_pass(X)
    other.backward_pass(Y)
    pickle.loads(pickle.dumps(other))

REFUSED = [
    lambda: network.fit(X, Y[:3], epochs=1),
    lambda: network.fit(X, Y * np.nan, epochs=1),
    lambda: network.train_step(X[:, :1], Y),
    lambda: network.backward_pass(Y[:2]),
    lambda: network.__setstate__({**network.__getstate__(), "seed": -1}),
    lambda: setattr(network, "parameters", X),
    lambda: setattr(network, "loss", "categorical_crossentropy"),
    lambda: network.apply_gradients(X),
    lambda: Network([3, 2], optimizer=5),
    lambda: Network([3, 8, 2], init=([X], [Y])),
    lambda: network.fit(X, Y, epochs=1, early_stopping=EarlyStopping()),
]

def fail():
    for call in REFUSED:
        try:
            call()
        except (ValueError, TypeError, RuntimeError, FloatingPointError):
            continue
        print("not refused")

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

work, times = {"drop": drop, "fail": fail}[sys.argv[1]], int(sys.argv[2])
sizes = []
for _ in range(4):
    for _ in range(times):
        work()
    sizes.append(resident())
print(*(after - before for before, after in zip(sizes, sizes[1:])))
"""


@pytest.mark.parametrize(
    ("work", "times"),
    [
        ("drop", 200),
        ("fail", 300),  # rounds of eleven calls
        pytest.param("drop", 10_000, marks=pytest.mark.slow),
        pytest.param("fail", 1_000, marks=pytest.mark.slow),
    ],
)
def test_networks_and_refused_calls_leave_nothing(work, times):
    # What is lost is lost each time; an allocator may want some pages once.
    lost = min(map(int, run_python(LEAKS, work, str(times), timeout=110).split()))
    assert lost <= 4096  # a page: a kB for each thousand is allowed


LIMITED = """
import resource, sys
import numpy as np
from ironprop import Network
from ironprop.optimizers import Adam
X, Y = np.ones((8, 3)), np.ones((8, 2))
small = Network([3, 8, 2], seed=1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), -1))

def attempt(make):
    try:
        return make()
    except MemoryError:
        outcomes.append("MemoryError")
    else:
        outcomes.append("done")

outcomes = []
for width in (500, 2000, 3000, 4000, 4500, 4800, 5000, 5200, 6000, 10_000, 100_000, 2**31, 2**40):
    network = attempt(lambda: Network([width, width], init="zeros", optimizer="sgd"))
    if network is not None:
        outcomes.append("network")
        x = np.ones((1, width))
        attempt(lambda: setattr(network, "optimizer", Adam(learning_rate=0.001)))
        rate = network.optimizer.learning_rate  # of the one that it has
        assert (rate == 0.001) == isinstance(network.optimizer, Adam)
        attempt(lambda: network.train_step(x, 0.5))
        attempt(lambda: network.gradients(x, 0.5))
        attempt(lambda: network.parameters)
        attempt(lambda: network.weights)
        attempt(lambda: network.__getstate__())
        assert network.predict(x).shape == (1, width)
    del network
    assert small.train_step(X, Y) > 0
wide = Network([1, 1], init="zeros")
for n in (10_000, 10**6, 10**7):
    x = attempt(lambda: np.ones((n, 1)))
    if x is not None:
        attempt(lambda: wide.predict(x))
        attempt(lambda: wide.forward_pass(x))
        attempt(lambda: wide.sample_gradients(x, 0.5))
        attempt(lambda: wide.fit(x, 0.5, epochs=1))
        attempt(lambda: wide.fit(x, 0.5, epochs=1, batch_size=None))
    del x
print(outcomes.count("MemoryError") > 5, "network" in outcomes)
print(small.fit(X, Y, epochs=3).loss[-1] > 0)
"""


def test_too_little_memory_is_an_error_and_the_process_goes_on():
    assert (
        run_python(LIMITED, IRONPROP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        == "True True\nTrue\n"
    )
