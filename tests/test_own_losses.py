"""Losses that are functions: the steps of the named ones, any kind of targets, and every way to return something wrong.

A function goes through all that a named loss does. What it returns is checked, what it raises passes through, and in
both cases the network is as it was.
"""

from __future__ import annotations

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network
from network_oracle import drawn
from oracle import deviation

X6 = np.ones((6, 4))
GOOD = np.zeros((6, 3))


def squared(pred, y):
    """Half the sum of squared errors, as a function of a user's."""
    return 0.5 * float(np.square(pred - y).sum()), pred - y


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_function_goes_through_all_that_a_name_does(dtype):
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 20, 2)
    X, Y = X.astype(dtype), Y.astype(dtype)
    options = {"activation": ["tanh", "identity"], "seed": 1, "optimizer": "adam", "dtype": dtype}
    named, own = Network([4, 6, 3], **options), Network([4, 6, 3], loss=squared, **options)
    limit = 1e-13 if dtype == "float64" else 1e-5
    for network in (named, own):
        network.train_step(X, Y, learning_rate=0.01)
        network.train_step(X, Y)
        network.train(X, Y, epochs=2, batch_size=6)
        network.train(X, Y, epochs=2, learning_rate=0.001)
        network.partial_fit(X, Y, batch_size=7)
        network.fit(X, Y, epochs=3, batch_size=7, shuffle=False, validation_split=0.2)
    assert deviation(own.parameters, named.parameters) <= limit
    assert own.__getstate__()["optimizer_step"] == named.__getstate__()["optimizer_step"]
    assert deviation(own.gradients(X, Y)[1], named.gradients(X, Y)[1]) <= limit
    assert deviation(own.evaluate(X, Y)["loss"], named.evaluate(X, Y)["loss"]) <= limit
    assert (
        own.check_gradients(X, Y.astype(np.float64) if dtype == "float64" else Y).max_relative_error
        < 1e-6
    )


def test_a_function_may_have_targets_of_any_kind():
    def contrastive(pred, words):
        signs = np.array([1.0 if word == "up" else -1.0 for word in words])[:, None]
        return float((signs * pred).mean()), signs / len(pred) * np.ones_like(pred)

    X = np.random.default_rng(1).normal(size=(10, 4))
    Y = np.array(["up", "down"] * 5)
    network = Network([4, 1], activation="identity", loss=contrastive, seed=1)
    history = network.fit(X, Y, epochs=20, batch_size=3, seed=1, validation_split=0.3)
    assert history.loss[-1] < history.loss[0]
    assert len(history.val_loss) == 20


def test_a_shuffled_training_with_a_function_is_the_same_for_a_seed():
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 20, 2)
    networks = [Network([4, 6, 3], activation="tanh", seed=1, loss=squared) for _ in range(4)]
    for network, seed in zip(networks, (5, 5, 6, None), strict=True):
        network.fit(X, Y, epochs=2, batch_size=3, seed=seed)
    assert same_bits(networks[0].parameters, networks[1].parameters)
    assert len({digest(network.parameters) for network in networks}) == 3


@pytest.mark.parametrize(
    ("result", "exception"),
    [
        (None, TypeError),
        (1.0, TypeError),
        ((1.0,), TypeError),
        ((1.0, GOOD, 3), TypeError),
        ([1.0, GOOD], TypeError),
        (("a", GOOD), TypeError),
        ((None, GOOD), TypeError),
        ((GOOD, GOOD), TypeError),
        ((1.0, GOOD[:5]), ValueError),
        ((1.0, GOOD[:, :2]), ValueError),
        ((1.0, 0.0), ValueError),
        ((1.0, GOOD.astype("float32")), TypeError),
        ((1.0, GOOD.astype(int)), TypeError),
        ((1.0, GOOD.astype(complex)), TypeError),
        ((np.nan, GOOD), FloatingPointError),
        ((np.inf, GOOD), FloatingPointError),
        ((1.0, GOOD + np.nan), FloatingPointError),
        ((1.0, GOOD - np.inf), FloatingPointError),
    ],
)
def test_what_a_function_may_not_return_is_refused_and_changes_nothing(result, exception):
    network = Network([4, 3], loss=lambda pred, y: result, optimizer="adam", seed=1)
    before = digest({**network.__getstate__(), "loss": None})
    for call in (
        network.train_step,
        network.partial_fit,
        lambda X, Y: network.fit(X, Y, epochs=2),
        lambda X, Y: network.train(X, Y, epochs=2),
    ):
        with pytest.raises(exception, match=r"\bloss\b"):
            call(X6, GOOD)
    assert digest({**network.__getstate__(), "loss": None}) == before


def test_what_a_function_raises_passes_through():
    def broken(pred, y):
        raise KeyError("mine")

    network = Network([4, 3], loss=broken, seed=1)
    start = network.parameters
    for call in (network.train_step, network.gradients, network.evaluate):
        with pytest.raises(KeyError, match="mine"):
            call(X6, GOOD)
    assert same_bits(network.parameters, start)
    network.loss = "mse"
    assert network.train_step(X6, GOOD) > 0


def test_what_a_function_cannot_have_is_refused():
    weight = np.ones(6)
    network = Network([4, 5, 3], loss=squared, seed=1)
    for call in (
        lambda: network.train_step(X6, GOOD, sample_weight=weight),
        lambda: network.gradients(X6, GOOD, weight),
        lambda: network.evaluate(X6, GOOD, sample_weight=weight),
        lambda: network.train(X6, GOOD, epochs=1, sample_weight=weight),
        lambda: network.fit(X6, GOOD, epochs=1, sample_weight=weight),
    ):
        with pytest.raises(ValueError, match="sample_weight"):
            call()
    for call in (
        lambda: Network([4, 5, 3], loss=squared, dropout=0.5),
        lambda: setattr(network, "dropout", 0.5),
        lambda: setattr(Network([4, 5, 3], dropout=0.5), "loss", squared),
    ):
        with pytest.raises(ValueError, match="dropout"):
            call()
    with pytest.raises(ValueError, match="Y has shape"):
        network.fit(X6, GOOD[:5], epochs=1)
    with pytest.raises(ValueError, match="X has shape"):
        network.fit(X6[:0], GOOD[:0], epochs=1)
    for call in (
        lambda: network.train_step(X6, GOOD, n_threads=0),
        lambda: network.fit(X6, GOOD, epochs=1, n_threads=0),
    ):
        with pytest.raises(ValueError, match="n_threads"):
            call()
    with pytest.raises(ValueError, match="batch_size"):
        network.train(X6, GOOD, epochs=1, batch_size=7)
