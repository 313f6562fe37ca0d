"""Promises of the network tier that were once broken: each test is a way in which a user met it."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from ironprop import Network, optimizers, schedules
from ironprop.callbacks import EarlyStopping

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(12, 3)), RANDOM.normal(size=(12, 2))


def squares(pred, y):
    """Return the mean squared error and its gradient."""
    return float(((pred - y) ** 2).mean()), 2 * (pred - y) / pred.size


def network(sizes=(3, 4, 2), **options):
    return Network(sizes, seed=1, **{"loss": "mse", "activation": "tanh", **options})


def test_two_threads_on_one_network_with_a_function_as_loss_get_right_gradients_or_an_error():
    def slow(pred, y):
        time.sleep(0.005)
        return squares(pred, y)

    shared, wrong = network(loss=slow), []
    right = {factor: network(loss=squares).gradients(X * factor, Y)[1] for factor in (1, 2)}

    def work(factor):
        for _ in range(10):
            with contextlib.suppress(RuntimeError):
                gradient = shared.gradients(X * factor, Y)[1]
                if not np.array_equal(gradient, right[factor]):
                    wrong.append(factor)

    threads = [threading.Thread(target=work, args=(factor,)) for factor in right]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_loss_that_runs_another_forward_pass_is_told_so():
    def restless(pred, y):
        net.forward_pass(X + 1)
        return squares(pred, y)

    net = network(loss=restless)
    with pytest.raises(RuntimeError, match="another forward_pass"):
        net.gradients(X, Y)


@pytest.mark.parametrize("value", [0.1, 0.3])
def test_classes_that_exclude_each_other_have_probabilities_that_sum_to_1(value):
    net = network((3, 4, 5), loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="sum to 1"):
        net.train_step(X, np.full((12, 5), value))
    with pytest.raises(ValueError, match="probabilit"):
        net.fit(X, [4, 3, 2, 1, 0], epochs=1)  # five labels for twelve samples


def test_a_probability_is_from_0_to_1():
    net = network((3, 4, 1), loss="binary_crossentropy")
    with pytest.raises(ValueError, match="from 0 to 1"):
        net.train_step(X, np.full((12, 1), 7.0))


@pytest.mark.parametrize("method", ["train_step", "train", "gradients"])
@pytest.mark.parametrize("what", ["loss", "targets"])
def test_a_probability_is_from_0_to_1_also_where_a_later_argument_changes_the_loss_or_y(
    what, method
):
    class Weights:
        def __array__(self, dtype=None, copy=None):
            if what == "loss":
                net.loss = "binary_crossentropy"
            targets.fill(7.0)
            return np.ones(12)

    loss = "mse" if what == "loss" else "binary_crossentropy"
    net, targets = network((3, 4, 1), loss=loss, output_activation="sigmoid"), np.zeros((12, 1))
    start, options = net.parameters, {"epochs": 1} if method == "train" else {}
    with pytest.raises(ValueError, match="from 0 to 1"):
        getattr(net, method)(X, targets, sample_weight=Weights(), **options)
    assert np.array_equal(net.parameters, start)


def test_a_metric_cannot_have_the_name_of_another_ones_validation():
    def val_mse(pred, y):
        return 7.0

    with pytest.raises(ValueError, match="val_mse"):
        network().fit(X, Y, epochs=1, metrics=[val_mse, "mse"])


def test_a_schedule_may_come_to_0_with_a_function_as_loss():
    schedule = schedules.Cosine(0.1, steps=3)
    by_name, by_function = (
        network(loss=loss, optimizer=optimizers.SGD(learning_rate=schedule))
        for loss in ("mse", squares)
    )
    by_name.train(X, Y, epochs=6)
    by_function.train(X, Y, epochs=6)
    assert np.allclose(by_name.parameters, by_function.parameters, rtol=1e-12, atol=1e-14)


def test_parameters_that_overflow_are_noticed_with_a_function_as_loss():
    net = network(
        loss=squares, activation="identity", optimizer=optimizers.SGD(learning_rate=1e308)
    )
    start = net.parameters
    with pytest.raises(FloatingPointError):
        net.fit(X * 1e10, Y * 1e10, epochs=1, seed=1)
    assert np.array_equal(net.parameters, start)


def test_what_a_metric_refuses_is_refused_before_the_first_step():
    net = network((3, 4, 3))
    start = net.parameters
    with pytest.raises(ValueError, match="two classes"):
        net.fit(X, np.ones((12, 3)), epochs=2, metrics=["precision"])
    assert np.array_equal(net.parameters, start)
    assert net.fit(X, np.ones((1, 3)), epochs=2, metrics=["mse"]).metrics["mse"].shape == (2,)


@pytest.mark.parametrize(("before", "after"), [("mse", squares), (squares, "mae")])
def test_a_callback_that_exchanges_names_and_functions_is_told_so(before, after):
    def exchange(net, _epoch, _logs):
        net.loss = after

    with pytest.raises(RuntimeError, match="callback"):
        network(loss=before).fit(X, Y, epochs=4, callbacks=[exchange])


def test_an_optimiser_of_another_class_is_refused_where_it_is_assigned():
    @dataclass(frozen=True, kw_only=True, repr=False)
    class Mine(optimizers.Adam):
        pass

    with pytest.raises(TypeError, match="optimizer"):
        network(optimizer=Mine())


def test_a_function_as_loss_is_refused_while_another_thread_trains():
    net = network((50, 200, 2))
    x, y = RANDOM.normal(size=(2000, 50)), RANDOM.normal(size=(2000, 2))
    thread = threading.Thread(
        target=lambda: net.train(x, y, epochs=60, batch_size=50, learning_rate=1e-3, n_threads=1)
    )
    thread.start()
    time.sleep(0.05)
    with pytest.raises(RuntimeError, match="in use"):
        net.loss = squares
    thread.join()


def test_the_best_parameters_come_back_though_a_callback_has_changed_those_of_the_last_epoch():
    def spoil(net, epoch, _logs):
        if epoch == 2:
            net.parameters = net.parameters * 0 + 5

    net = network()
    history = net.fit(
        *(X, Y), epochs=3, callbacks=[spoil], early_stopping=EarlyStopping(metric="loss")
    )
    assert history.best_epoch == 2
    assert not (net.parameters == 5).all()


def test_a_loss_of_an_epoch_is_that_of_its_single_step_to_the_bit():
    x, y = RANDOM.normal(size=(3, 3)), RANDOM.normal(size=(3, 2))
    one, other = network(), network()
    steps = [one.train_step(x, y, learning_rate=0.1) for _ in range(20)]
    assert steps == list(other.train(x, y, epochs=20, learning_rate=0.1))


def test_numbers_that_are_nothing_in_float32_are_refused_there():
    with pytest.raises(ValueError, match="epsilon"):
        network(optimizer=optimizers.Adam(epsilon=1e-60), dtype=np.float32)
    network(optimizer=optimizers.Adam(epsilon=1e-60))
