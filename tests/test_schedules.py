"""Schedules: the formulas, the rates that trainings really take, and a rate that falls on plateaus.

A schedule is a function in Python and a count of steps in the core; both give the same rate for each step, however
the steps are cut into calls, and a copy goes on where its original is. `OnPlateau` is compared with the rule by hand.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from bits import same_bits
from ironprop import Network, schedules
from ironprop.optimizers import SGD, Adam
from ironprop.schedules import Constant, Cosine, Exponential, OnPlateau, StepDecay, WarmUp
from network_oracle import rate_at

SHAPES = [
    Constant(0.3),
    StepDecay(0.3, factor=0.5, every=4),
    StepDecay(0.3, factor=1.0, every=1),
    Exponential(0.3, factor=0.9),
    Exponential(0.3, factor=0.25, every=10),
    Cosine(0.3, steps=17),
    Cosine(0.3, steps=1, final=0.1),
    Cosine(0.3, steps=100, final=0.3),
    OnPlateau(0.3),
]
SCHEDULES = [*SHAPES, *(WarmUp(schedule, steps) for schedule in SHAPES for steps in (1, 5, 40))]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_is_its_formula(schedule):
    for step in (*range(60), 10**6, 10**15):
        expected = rate_at(*(schedule._to_core()[:1]), step, *schedule._to_core()[1:])
        assert abs(schedule(step) - expected) <= 1e-15


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_training_takes_the_rates_of_its_schedule(schedule):
    # Each step adds its rate times the gradient, which is -1, to the bias: the error stays far from 0.
    network = Network(
        [1, 1],
        activation="identity",
        init="zeros",
        optimizer=SGD(learning_rate=schedule),
        loss="mae",
    )
    expected = 0.0
    for step in range(30):
        network.train_step([[0.0]], [[1e6]])
        expected += schedule(step)
        assert abs(network.biases[0][0] - expected) < 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_history_has_the_rate_of_each_epochs_last_step(schedule):
    X, Y = np.ones((7, 2)), np.ones((7, 1))
    for size, steps in ((None, 1), (3, 3), (1, 7)):
        network = Network([2, 1], optimizer=Adam(learning_rate=schedule), seed=1)
        history = network.fit(X, Y, epochs=5, batch_size=size, validation_data=(X, Y))
        expected = [schedule(epoch * steps + steps - 1) for epoch in range(5)]
        if not isinstance(getattr(schedule, "schedule", schedule), OnPlateau):
            assert np.abs(history.rate - expected).max() <= 1e-15
        more = network.fit(X, Y, epochs=2, batch_size=size, validation_data=(X, Y))
        assert abs(more.rate[0] - schedule(6 * steps - 1)) <= 1e-15


def test_steps_count_on_through_all_calls_and_copies():
    schedule = WarmUp(StepDecay(0.1, factor=0.5, every=3), 4)
    X, Y = np.ones((4, 2)), np.ones((4, 1))
    network = Network([2, 1], optimizer=SGD(learning_rate=schedule), seed=1)
    network.train_step(X, Y)
    network.train_step(X, Y, learning_rate=0.05)  # counts too
    network.train(X, Y, epochs=1, batch_size=2)
    network.apply_gradients(np.ones(3))
    network.partial_fit(X, Y)
    twin = copy.deepcopy(network)
    for each in (network, twin):
        history = each.fit(X, Y, epochs=3, batch_size=None)
        assert np.abs(history.rate - [schedule(step) for step in (6, 7, 8)]).max() < 1e-16
    assert same_bits(network.parameters, twin.parameters)
    network.optimizer = SGD(learning_rate=schedule)  # begins anew
    assert network.fit(X, Y, epochs=1).rate[0] == schedule(0)


def test_a_rate_that_is_given_goes_before_the_schedule():
    X, Y = np.ones((4, 2)), np.ones((4, 1))
    one = Network([2, 1], optimizer=SGD(learning_rate=Cosine(0.1, steps=3)), seed=1)
    other = Network([2, 1], optimizer=SGD(learning_rate=0.25), seed=1)
    one.train_step(X, Y, learning_rate=0.25)
    one.train(X, Y, epochs=3, learning_rate=0.25)
    other.train_step(X, Y)
    other.train(X, Y, epochs=3)
    assert same_bits(one.parameters, other.parameters)


def test_a_rate_may_end_at_0():
    network = Network([2, 1], optimizer=SGD(learning_rate=Cosine(0.1, steps=3)), seed=1)
    X, Y = np.ones((4, 2)), np.ones((4, 1))
    network.fit(X, Y, epochs=3)
    before = network.parameters
    assert network.fit(X, Y, epochs=2).rate.tolist() == [0.0, 0.0]
    assert same_bits(network.parameters, before)


# On plateaus --------------------------------------------------------------------------------------


def falling(values, schedule):
    """Return the rate of each epoch, by the rule."""
    rates, rate, best, waited = [], schedule.rate, math.inf, 0
    for value in values:
        rates.append(rate)
        if best - value > schedule.min_delta:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            rate, waited = max(rate * schedule.factor, schedule.least), 0
    return rates


@pytest.mark.parametrize("metric", ["loss", "val_loss"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 3, "factor": 0.1},
        {"patience": 2, "least": 0.07},
        {"patience": 1, "min_delta": 10.0, "least": 1e-3},
        {"patience": 1, "min_delta": 0.0},
    ],
    ids=repr,
)
def test_the_rate_falls_on_plateaus(options, metric):
    random = np.random.default_rng(1)
    X, Y = random.normal(size=(12, 3)), random.uniform(size=(12, 2))
    schedule = OnPlateau(0.5, metric=metric, **options)
    network = Network(
        [3, 8, 2], optimizer=SGD(learning_rate=schedule, momentum=0.9), seed=3, loss="mse"
    )
    held_out = (random.normal(size=(5, 3)), random.uniform(size=(5, 2)))
    history = network.fit(X, Y, epochs=40, batch_size=4, seed=1, validation_data=held_out)
    watched = history.loss if metric == "loss" else history.val_loss
    assert np.abs(history.rate - falling(watched, schedule)).max() < 1e-15
    assert history.rate[-1] < 0.5
    assert network.fit(X, Y, epochs=1, validation_data=held_out).rate[0] == 0.5  # anew
    assert network.optimizer.learning_rate is schedule


def test_a_plateau_after_a_warm_up_scales_both():
    schedule = WarmUp(OnPlateau(0.4, patience=1, min_delta=1e9, metric="loss", factor=0.5), 3)
    network = Network([2, 1], optimizer=SGD(learning_rate=schedule), seed=1)
    history = network.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=6, batch_size=None)
    # The first epoch is better than nothing; from then on each falls.
    expected = [0.4 / 3, 0.8 / 3, 0.4 / 2, 0.4 / 4, 0.4 / 8, 0.4 / 16]
    assert np.abs(history.rate - expected).max() < 1e-15


def test_a_rate_that_has_fallen_for_ever_is_still_one():
    schedule = OnPlateau(1e-3, patience=1, min_delta=1e9, metric="loss", factor=1e-30)
    network = Network([2, 1], optimizer=SGD(learning_rate=schedule), seed=1)
    history = network.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=30)
    assert (history.rate > 0).all()


def test_a_plateau_needs_what_it_watches():
    network = Network([2, 1], optimizer=SGD(learning_rate=OnPlateau(0.1)), seed=1)
    before = network.parameters
    with pytest.raises(ValueError, match="val_loss"):
        network.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=6)
    assert same_bits(network.parameters, before)
    network.train_step(np.ones((4, 2)), np.ones((4, 1)))


# Refusals -----------------------------------------------------------------------------------------

RATES = [
    *((value, ValueError) for value in (0, -0.1, np.nan, np.inf, -np.inf, 10**400)),
    *((value, TypeError) for value in ("a", None, 1j, True, [0.1])),
]


@pytest.mark.parametrize(("value", "exception"), RATES)
def test_what_is_no_rate_is_refused(value, exception):
    for make in (
        Constant,
        lambda rate: StepDecay(rate, 0.5, 1),
        lambda rate: Exponential(rate, 0.5),
        lambda rate: Cosine(rate, 5),
        OnPlateau,
    ):
        with pytest.raises(exception, match=r"\brate\b"):
            make(value)


@pytest.mark.parametrize(
    ("make", "name", "value", "exception"),
    [
        *((lambda v: StepDecay(0.1, v, 5), "factor", v, ValueError) for v in (0, -1, 1.5, np.nan)),
        *(
            (lambda v: StepDecay(0.1, 0.5, v), "every", v, ValueError)
            for v in (0, -1, 2**60, 10**400)
        ),
        *((lambda v: StepDecay(0.1, 0.5, v), "every", v, TypeError) for v in (1.5, "a", None)),
        *((lambda v: Exponential(0.1, v), "factor", v, ValueError) for v in (0, -1, 1.5)),
        (lambda v: Exponential(0.1, 0.5, v), "every", 0, ValueError),
        *((lambda v: Cosine(0.1, v), "steps", v, ValueError) for v in (0, -1)),
        *((lambda v: Cosine(0.1, 5, v), "final", v, ValueError) for v in (-0.1, 0.2, np.nan)),
        *((lambda v: WarmUp(Constant(0.1), v), "steps", v, ValueError) for v in (0, -1, 2**32)),
        (lambda v: WarmUp(Constant(0.1), v), "steps", 1.5, TypeError),
        (lambda v: WarmUp(v, 5), "schedule", -1.0, ValueError),
        (lambda v: WarmUp(v, 5), "schedule", WarmUp(0.1, 3), ValueError),
        *((lambda v: WarmUp(v, 5), "schedule", v, TypeError) for v in (None, "a", math.sin)),
        *((lambda v: OnPlateau(0.1, factor=v), "factor", v, ValueError) for v in (0, 1, 1.5)),
        (lambda v: OnPlateau(0.1, patience=v), "patience", 0, ValueError),
        (lambda v: OnPlateau(0.1, min_delta=v), "min_delta", -1, ValueError),
        *((lambda v: OnPlateau(0.1, least=v), "least", v, ValueError) for v in (-1, 0.2)),
        *((lambda v: OnPlateau(0.1, metric=v), "metric", v, ValueError) for v in ("acc", "")),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(make, name, value, exception):
    with pytest.raises(exception, match=rf"\b{name}\b"):
        make(value)


def test_a_step_is_a_whole_number():
    for step, exception in (
        (-1, ValueError),
        (1.5, TypeError),
        ("a", TypeError),
        (None, TypeError),
    ):
        with pytest.raises(exception, match=r"\bstep\b"):
            Constant(0.1)(step)
    assert Constant(0.1)(np.int64(3)) == 0.1


def test_a_number_of_very_many_digits_is_refused_as_any_other():
    with pytest.raises(ValueError, match=r"every .* very many digits"):
        StepDecay(0.1, factor=0.5, every=10**5000)
    with pytest.raises(ValueError, match=r"rate .* very many digits"):
        Constant(10**5000)


def test_a_formula_of_ones_own_is_refused_with_advice():
    class Mine(schedules.Schedule):
        rate = 0.1

    with pytest.raises(TypeError, match=r"ironprop\.schedules"):
        Mine()(3)
    for formula in (lambda step: 0.1 / (step + 1), Mine()):
        with pytest.raises(TypeError, match=r"train_step|ironprop\.schedules"):
            Network([2, 1], optimizer=SGD(learning_rate=formula))


def test_numbers_of_numpy_are_numbers():
    schedule = Cosine(np.float32(0.5), steps=np.int8(4), final=np.float64(0.25))
    assert schedule == Cosine(0.5, 4, 0.25)
    assert repr(WarmUp(0.5, np.int64(2))) == "WarmUp(schedule=Constant(rate=0.5), steps=2)"
    assert WarmUp(schedule, 3).rate == 0.5
