"""Optimisers: PyTorch's numbers, the oracle's for everything that can be asked of them, and no change by a refusal.

data/optimizers.json holds what PyTorch makes of a small network in 20 steps (golden/optimizers.py made it). The
oracle, which is held to the same numbers, then stands for it with other networks, batches and all options at once.
Steps by `train_step`, `train`, `fit`, `partial_fit` and `apply_gradients` are the same. What an optimiser remembers
shows only in the next steps, and a new one remembers nothing.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import network_oracle
from bits import digest, same_bits
from ironprop import Network, optimizers, schedules
from ironprop.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, Rprop
from network_oracle import Descent, Net, drawn
from oracle import deviation

GOLDEN = json.loads((Path(__file__).parent / "data" / "optimizers.json").read_text())
CASES = GOLDEN["cases"]
NAMES = [
    f"{case['optimizer']}-{'-'.join(case['options'])}-{case.get('schedule', '')}" for case in CASES
]


def described(case):
    """Return the optimiser of a golden case."""
    options = dict(case["options"])
    if "schedule" in case:
        schedule = getattr(schedules, case["schedule"])
        options["learning_rate"] = schedule(**case["schedule_options"])
    return getattr(optimizers, case["optimizer"])(**options)


def golden_network(optimizer, dtype="float64"):
    """Return the network, samples and targets that the golden numbers begin with."""
    network = Network(
        GOLDEN["sizes"],
        activation=["tanh", "identity"],
        init="zeros",
        loss="mse",
        optimizer=optimizer,
        dtype=dtype,
    )
    network.parameters = np.array(GOLDEN["start"], dtype)
    return network, np.array(GOLDEN["X"], dtype), np.array(GOLDEN["Y"], dtype)


def descend(net, optimizer, batches):
    """Take a step of the oracle for each batch."""
    name, options = optimizer._to_core()
    descent = Descent(name, options)
    for number, (X, Y) in enumerate(batches):
        gradient = net.gradients(X, Y)[1]
        rate = optimizer._schedule(number)
        net.vector = descent.step(net.vector, gradient, rate, net.is_weight)
    return net.vector


# PyTorch's numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_oracle_takes_the_steps_of_pytorch(case):
    shapes = list(pairwise(GOLDEN["sizes"]))
    net = Net([np.zeros(s) for s in shapes], [np.zeros(m) for _, m in shapes], ["tanh", "identity"])
    net.loss = "mse"
    X, Y = np.array(GOLDEN["X"]), np.array(GOLDEN["Y"])
    for steps, expected in case["parameters"].items():
        net.vector = np.array(GOLDEN["start"])
        assert deviation(descend(net, described(case), [(X, Y)] * int(steps)), expected) <= 1e-14


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_twenty_steps_are_those_of_pytorch(case):
    network, X, Y = golden_network(described(case))
    for number in range(1, 21):
        network.train_step(X, Y)
        expected = case["parameters"].get(str(number))
        if expected is not None:
            assert deviation(network.parameters, expected) <= 1e-12


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_float32_steps_are_those_of_pytorch_to_float32(case):
    network, X, Y = golden_network(described(case), "float32")
    for _ in range(7):
        network.train_step(X, Y)
    assert deviation(network.parameters, case["parameters"]["7"]) <= 3e-5


# All options, against the oracle ------------------------------------------------------------------

KINDS = [
    SGD(learning_rate=0.05),
    SGD(learning_rate=0.02, momentum=0.8),
    SGD(learning_rate=0.02, momentum=0.8, nesterov=True),
    RMSprop(learning_rate=0.003, rho=0.95),
    Adagrad(learning_rate=0.02),
    Adam(learning_rate=0.003, beta_1=0.85, beta_2=0.98),
    AdamW(learning_rate=0.003),
    Rprop(learning_rate=0.002, most_step=0.01),
]
EXTRAS = [
    {},
    {"l1": 0.02},
    {"l2": 0.05},
    {"weight_decay": 0.3},
    {"clip_norm": 0.5},
    {"clip_value": 0.03},
    {"l1": 0.02, "l2": 0.05, "weight_decay": 0.3, "clip_norm": 0.5},
    {"l1": 0.02, "l2": 0.05, "weight_decay": 0.3, "clip_value": 0.03},
]


def with_options(optimizer, extras):
    """Return the optimiser with more options."""
    return type(optimizer)(**{**vars(optimizer), **extras})


@pytest.mark.parametrize("extras", EXTRAS, ids="-".join)
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_steps_with_any_options_are_those_of_the_oracle(kind, extras):
    optimizer = with_options(kind, extras)
    net, X, Y = drawn((4, 9, 17, 3), ["tanh", "gelu", "identity"], "mse", 23, 5)
    network = Network(
        [4, 9, 17, 3],
        activation=net.activations,
        init=(net.W, net.B),
        loss="mse",
        optimizer=optimizer,
    )
    batches = [(X[i : i + 10], Y[i : i + 10]) for i in (0, 10, 20)] * 6
    for samples, targets in batches:
        network.train_step(samples, targets)
    assert deviation(network.parameters, descend(net, optimizer, batches)) <= 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_every_way_to_train_takes_the_same_steps(kind, dtype):
    optimizer = with_options(kind, {"l2": 0.01, "weight_decay": 0.1})
    _, X, Y = drawn((4, 9, 3), ["tanh", "identity"], "mse", 20, 6)
    X, Y = X.astype(dtype), Y.astype(dtype)
    options = {"activation": ["tanh", "identity"], "loss": "mse", "dtype": dtype, "seed": 1}
    ways = [Network([4, 9, 3], optimizer=optimizer, **options) for _ in range(6)]
    stepped, trained, fitted, part, resumed, applied = ways
    for _ in range(4):
        for i in (0, 7, 14):
            stepped.train_step(X[i : i + 7], Y[i : i + 7])
            applied.apply_gradients(applied.gradients(X[i : i + 7], Y[i : i + 7])[1])
        part.partial_fit(X, Y, batch_size=7)
    trained.train(X, Y, epochs=4, batch_size=7)
    fitted.fit(X, Y, epochs=4, batch_size=7, shuffle=False)
    for _ in range(2):
        resumed.fit(X, Y, epochs=2, batch_size=7, shuffle=False)
    for other in (trained, fitted, part, resumed):
        assert same_bits(other.parameters, stepped.parameters)
    limit = 1e-13 if dtype == "float64" else 1e-5
    assert deviation(applied.parameters, stepped.parameters) <= limit


@pytest.mark.parametrize("extras", EXTRAS, ids="-".join)
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_the_bits_do_not_depend_on_the_number_of_threads(kind, extras):
    optimizer = with_options(kind, extras)
    _, X, Y = drawn((130, 200, 70), ["relu", "identity"], "mse", 150, 7)
    hashes = set()
    for n_threads in (1, 2, 3):
        network = Network(
            [130, 200, 70], activation=["relu", "identity"], loss="mse", optimizer=optimizer, seed=2
        )
        history = network.fit(X, Y, epochs=2, batch_size=64, seed=1, n_threads=n_threads)
        hashes.add(digest(history.loss, network.parameters))
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_penalties_and_decay_leave_biases_alone(kind):
    # No gradient reaches the parameters: the targets are the predictions of a linear net at 0.
    network = Network([3, 2], activation="identity", init="zeros", loss="mse")
    network.weights, network.biases = [np.full((3, 2), 0.5)], [np.full(2, 0.5)]
    network.optimizer = with_options(kind, {"l1": 0.1, "l2": 0.1, "weight_decay": 0.1})
    network.train_step(np.zeros((4, 3)), np.full((4, 2), 0.5))
    assert (network.biases[0] == 0.5).all()
    assert (network.weights[0] < 0.5).all()


def test_a_clipped_gradient_has_the_norm_that_it_may_have():
    network = Network([3, 2], activation="identity", init="zeros", loss="half_squared_error")
    X, Y = np.full((4, 3), 100.0), np.full((4, 2), 50.0)
    network.optimizer = SGD(learning_rate=1.0, clip_norm=0.25)
    network.train_step(X, Y)
    assert abs(np.linalg.norm(network.parameters) - 0.25) < 1e-12
    network.parameters = np.zeros(8)
    network.optimizer = SGD(learning_rate=1.0, clip_value=0.25)
    network.train_step(X, Y)
    assert (np.abs(network.parameters) == 0.25).all()


def clipped(gradient, bound):
    """Return the gradient with a norm of at most `bound`, in numbers whose squares do not overflow."""
    gradient = gradient.astype(np.longdouble)
    norm = np.sqrt((gradient * gradient).sum())
    return gradient * min(np.longdouble(1), bound / norm)


@pytest.mark.parametrize(
    ("dtype", "size", "bound"),
    [
        ("float64", 1e154, 0.5),  # the squares still fit, their sum does not
        ("float64", 1e200, 0.5),
        ("float64", 1.7e308, 3.0),  # the norm itself does not fit
        ("float64", 1e200, 1e300),  # and is smaller than the bound
        ("float32", 1e19, 0.5),
        ("float32", 3e38, 2.0),
    ],
)
def test_a_gradient_whose_square_overflows_is_clipped_all_the_same(dtype, size, bound):
    random = np.random.default_rng(1)
    network = Network([7, 5, 3], activation="identity", init="zeros", dtype=dtype)
    gradient = (random.uniform(-1, 1, network.n_parameters) * size).astype(dtype)
    network.optimizer = SGD(learning_rate=1.0, clip_norm=bound)
    network.apply_gradients(gradient)
    expected = -clipped(gradient, bound)
    epsilon = 8 * np.finfo(dtype).eps
    assert (np.abs(network.parameters - expected) <= epsilon * np.abs(expected)).all()


def test_a_step_with_a_huge_gradient_is_the_same_bits_for_any_number_of_threads():
    # The loss is finite, the gradient of each weight is a mean of the samples.
    random = np.random.default_rng(1)
    X, Y = random.normal(size=(256, 200)) * 1e160, np.ones((256, 120))
    networks = []
    for n_threads in (1, 2):
        network = Network([200, 120], activation="identity", init="zeros", loss="mae")
        network.optimizer = SGD(learning_rate=1.0, clip_norm=0.5)
        network.train_step(X, Y, n_threads=n_threads)
        assert abs(np.linalg.norm(network.parameters) - 0.5) < 1e-12
        networks.append(network)
    assert same_bits(networks[0].parameters, networks[1].parameters)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_gradient_that_is_not_finite_is_passed_on(bad):
    network = Network([3, 2], init="zeros", optimizer=SGD(learning_rate=1.0, clip_norm=0.5))
    gradient = np.ones(8)
    gradient[3] = bad
    network.apply_gradients(gradient)
    assert not np.isfinite(network.parameters).all()


# What an optimiser remembers ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS[1:], ids=repr)
def test_a_new_optimizer_remembers_nothing(kind):
    network, X, Y = golden_network(kind)
    fresh, _, _ = golden_network(kind)
    if not isinstance(kind, AdamW):
        network.train_step(X, Y)
    network.train_step(X, Y)
    network.optimizer = kind
    network.parameters = fresh.parameters
    for _ in range(3):
        assert network.train_step(X, Y) == fresh.train_step(X, Y)
    assert same_bits(network.parameters, fresh.parameters)


def test_the_names_stand_for_the_optimizers():
    for name, known in optimizers.NAMED.items():
        network = Network([2, 1], optimizer=name)
        assert network.optimizer == known
    assert Network([2, 1]).optimizer == SGD(learning_rate=0.01)
    assert Network([2, 1], optimizer="adamw").optimizer.weight_decay == 0.01
    assert Network([2, 1], optimizer="nesterov").optimizer == SGD(momentum=0.9, nesterov=True)


def test_an_optimizer_shows_what_is_not_its_default():
    assert repr(Adam()) == "Adam(learning_rate=0.001)"
    assert repr(SGD(learning_rate=1, l2=0)) == "SGD(learning_rate=1.0)"
    shown = repr(Adam(learning_rate=schedules.Constant(0.1), clip_norm=1))
    assert shown == "Adam(learning_rate=Constant(rate=0.1), clip_norm=1.0)"
    assert eval(shown, {"Adam": Adam, "Constant": schedules.Constant}) == Adam(  # noqa: S307
        learning_rate=schedules.Constant(0.1), clip_norm=1.0
    )
    assert hash(Adam()) == hash(Adam(epsilon=1e-8))


# Refusals -----------------------------------------------------------------------------------------

BAD = [
    *((SGD, "learning_rate", value, ValueError) for value in (0, -1, np.nan, np.inf, 10**400)),
    *((SGD, "learning_rate", value, TypeError) for value in ("a", None, 1j, True, [0.1], np.sin)),
    *((SGD, "momentum", value, ValueError) for value in (-0.1, 1, 1.5, np.nan)),
    (SGD, "momentum", "0.9", TypeError),
    (SGD, "nesterov", True, ValueError),
    (SGD, "nesterov", 1, TypeError),
    *((RMSprop, "rho", value, ValueError) for value in (-0.1, 1, np.nan)),
    *((RMSprop, "epsilon", value, ValueError) for value in (0, -1e-8, np.inf)),
    *((Adagrad, "epsilon", value, ValueError) for value in (0, -1e-8)),
    *((Adam, "beta_1", value, ValueError) for value in (-0.1, 1.0)),
    *((Adam, "beta_2", value, ValueError) for value in (-0.1, 1.0)),
    (Adam, "beta_2", None, TypeError),
    (AdamW, "weight_decay", -1, ValueError),
    (AdamW, "weight_decay", np.inf, ValueError),
    *((Rprop, "shrink", value, ValueError) for value in (0, 1, 1.1)),
    *((Rprop, "grow", value, ValueError) for value in (1, 0.9, np.inf)),
    (Rprop, "least_step", 0, ValueError),
    (Rprop, "most_step", 1e-9, ValueError),
    *((Adam, name, -1, ValueError) for name in ("l1", "l2", "weight_decay")),
    *((Adam, name, "a", TypeError) for name in ("l1", "l2", "clip_norm", "clip_value")),
    *((Adam, name, 0, ValueError) for name in ("clip_norm", "clip_value")),
]


@pytest.mark.parametrize(("kind", "option", "value", "exception"), BAD)
def test_an_option_that_cannot_be_is_refused_by_name(kind, option, value, exception):
    with pytest.raises(exception, match=rf"\b{option}\b"):
        kind(**{option: value})


def test_both_ways_to_clip_are_refused_together():
    with pytest.raises(ValueError, match="clip_norm and clip_value"):
        Adam(clip_norm=1.0, clip_value=1.0)


def test_options_are_for_keywords_only():
    with pytest.raises(TypeError):
        Adam(0.1)


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        ("adamax", ValueError),
        ("Adam", ValueError),
        (Adam, TypeError),
        (None, TypeError),
        (0.1, TypeError),
        (optimizers.Optimizer(), TypeError),
        (SGD(learning_rate=schedules.WarmUp(schedules.Constant(0.1), 2**32 - 1)), None),
    ],
)
def test_what_is_no_optimizer_is_refused_and_changes_nothing(value, exception):
    network, X, Y = golden_network("adam")
    other, _, _ = golden_network("adam")
    for each in (network, other):
        each.train_step(X, Y)
    if exception is None:
        network.optimizer = value
        return
    with pytest.raises(exception, match=r"optimi[sz]er"):
        network.optimizer = value
    assert network.optimizer == Adam()
    assert network.train_step(X, Y) == other.train_step(X, Y)
    assert network == other


def test_a_rate_too_large_for_float32_is_refused_and_changes_nothing():
    network, X, Y = golden_network("adam", "float32")
    other, _, _ = golden_network("adam", "float32")
    network.train_step(X, Y)
    other.train_step(X, Y)
    for refused in (1e300, -1.0, 0.0):
        with pytest.raises(ValueError, match="learning_rate"):
            network.train_step(X, Y, learning_rate=refused)
    assert network.train_step(X, Y) == other.train_step(X, Y)
    assert network == other


def test_the_module_of_the_oracle_knows_all_names():
    known = {optimizer._to_core()[0] for optimizer in optimizers.NAMED.values()}
    assert known == set(network_oracle.OPTIMIZERS)
