"""Losses: outputs that a cross-entropy wants, numbers of any size, what of a batch is averaged.

`test_passes.py` holds all losses and gradients to the oracle; here is what is particular to each. The cross-entropies
stay right where predictions round to 0 and 1. Labels and weights of classes are in `test_targets.py`, losses that are
functions in `test_own_losses.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network, losses
from ironprop.losses import Huber, Quantile
from network_oracle import LOSSES, OUTPUTS, REGRESSIONS, drawn, suitable
from oracle import deviation

CROSS_ENTROPIES = tuple(OUTPUTS)


def network_for(loss, sizes=(4, 6, 3), **options):
    """Return a network with an output that suits the loss."""
    return Network(sizes, activation="tanh", output_activation=suitable(loss), loss=loss, **options)


def squared(pred, y):
    """Half the sum of squared errors, as a function of a user's."""
    return 0.5 * float(np.square(pred - y).sum()), pred - y


# Which output ------------------------------------------------------------------------------------


def test_the_cross_entropies_bring_their_outputs():
    assert Network([2, 3, 1], loss="binary_crossentropy").activations == ("sigmoid", "sigmoid")
    names = Network([2, 3, 1], activation="relu", loss="binary_crossentropy").activations
    assert names == ("relu", "sigmoid")
    names = Network([2, 3, 4], activation="tanh", loss="categorical_crossentropy").activations
    assert names == ("tanh", "softmax")
    assert Network([2, 3, 4], activation="relu", loss="mse").activations == ("relu", "relu")
    assert Network([2, 3], activation="softmax").activations == ("softmax",)
    assert Network([2, 3, 3], output_activation="softmax", loss="mse").activations[-1] == "softmax"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "binary_crossentropy", "output_activation": "softmax"}, ["sigmoid", "softmax"]),
        ({"loss": "binary_crossentropy", "output_activation": "identity"}, ["sigmoid"]),
        ({"loss": "binary_crossentropy", "activation": ["tanh", "tanh"]}, ["sigmoid", "tanh"]),
        ({"loss": "categorical_crossentropy", "output_activation": "sigmoid"}, ["softmax"]),
        ({"loss": "categorical_crossentropy", "activation": ["tanh", "relu"]}, ["softmax", "relu"]),
    ],
)
def test_a_cross_entropy_of_what_is_no_probability_is_refused_with_advice(options, words):
    with pytest.raises(ValueError, match="output_activation") as caught:
        Network([2, 3, 4], **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_a_loss_that_the_output_does_not_suit_cannot_be_assigned(loss):
    network = Network([2, 3, 4], activation="tanh", loss=Huber(0.5))
    before = digest(network.__getstate__())
    with pytest.raises(ValueError, match="output_activation"):
        network.loss = loss
    assert digest(network.__getstate__()) == before
    assert network.loss == Huber(0.5)


def test_a_loss_can_be_changed():
    net, X, Y = drawn((4, 6, 3), ["tanh", "sigmoid"], "mse", 9, 1)
    network = Network([4, 6, 3], activation=net.activations, init=(net.W, net.B))
    for loss in ("mse", "mae", "binary_crossentropy", "half_squared_error", "huber"):
        network.loss = net.loss = loss
        targets = (Y > 0).astype(float) if loss in OUTPUTS else Y
        assert network.loss == loss
        assert abs(network.evaluate(X, targets)["loss"] - net.gradients(X, targets)[0]) < 1e-12
    network.loss = squared
    assert network.loss is squared
    assert (
        abs(network.evaluate(X, Y)["loss"] - 0.5 * np.square(network.predict(X) - Y).sum()) < 1e-12
    )


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        ("l2", ValueError),
        ("MSE", ValueError),
        ("", ValueError),
        (None, TypeError),
        (5, TypeError),
        (Huber, TypeError),
        (["mse"], TypeError),
    ],
)
def test_what_is_no_loss_is_refused(value, exception):
    with pytest.raises(exception, match=r"\bloss\b"):
        Network([2, 1], loss=value)
    network = Network([2, 1])
    with pytest.raises(exception, match=r"\bloss\b"):
        network.loss = value
    assert network.loss == "half_squared_error"


@pytest.mark.parametrize(
    ("make", "name", "value", "exception"),
    [
        *((Huber, "delta", value, ValueError) for value in (0, -1, np.nan, np.inf)),
        *((Huber, "delta", value, TypeError) for value in ("1", None, [1.0], True)),
        *((Quantile, "quantile", value, ValueError) for value in (0, 1, -0.1, 1.1, np.nan)),
        *((Quantile, "quantile", value, TypeError) for value in ("a", None)),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(make, name, value, exception):
    with pytest.raises(exception, match=rf"\b{name}\b"):
        make(value)


def test_named_losses_have_the_usual_parameters():
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 9, 1)
    for name, loss in (("huber", Huber()), ("quantile", Quantile())):
        one, other = network_for(name, seed=1), network_for("mse", seed=1)
        other.loss = loss
        assert one.evaluate(X, 3 * Y) == other.evaluate(X, 3 * Y)
    assert (Huber().delta, Quantile().quantile) == (1.0, 0.5)
    assert set(losses.NAMES) == set(LOSSES)


# Large numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1.0, 30.0, 800.0, 1e4])
def test_cross_entropies_are_right_where_predictions_round_to_0_and_1(size, dtype):
    X = (np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.0], [0.25, 0.5, -0.25]]) * size).astype(dtype)
    z = X.astype(float)
    options = {"init": ([np.eye(3, dtype=dtype)], [np.zeros(3, dtype)]), "dtype": dtype}
    binary = Network([3, 3], loss="binary_crossentropy", **options)
    Y = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.25, 1.0]])
    expected = np.mean(np.maximum(z, 0) - z * Y + np.log1p(np.exp(-np.abs(z))))
    limit = 1e-14 if dtype == "float64" else 3e-7
    assert abs(binary.evaluate(X, Y.astype(dtype))["loss"] - expected) <= limit * max(1, expected)
    loss, gradient = binary.gradients(X, Y.astype(dtype))
    assert math.isfinite(loss)
    assert np.isfinite(gradient).all()

    categorical = Network([3, 3], loss="categorical_crossentropy", **options)
    labels = np.array([0, 0, 2])
    top = z.max(axis=1)
    logs = top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[range(3), labels]
    assert abs(categorical.evaluate(X, labels)["loss"] - logs.mean()) <= limit * max(1, logs.mean())
    loss, gradient = categorical.gradients(X, labels)
    assert math.isfinite(loss)
    assert np.isfinite(gradient).all()
    for network, targets in ((binary, Y.astype(dtype)), (categorical, labels)):
        for _ in range(5):
            network.train_step(X, targets, learning_rate=0.1)
        assert np.isfinite(network.parameters).all()


# What is averaged ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_twice_as_large_has_the_same_mean_and_twice_the_sum(loss):
    net, X, Y = drawn((4, 6, 3), ["tanh", suitable(loss)], loss, 9, 2)
    network = Network([4, 6, 3], activation=net.activations, init=(net.W, net.B), loss=loss)
    factor = 2 if loss == "half_squared_error" else 1
    once, twice = network.gradients(X, Y), network.gradients(np.tile(X, (2, 1)), np.tile(Y, (2, 1)))
    assert deviation(twice[0], factor * once[0]) < 1e-14
    assert deviation(twice[1], factor * once[1]) < 1e-14


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_2_is_a_sample_that_is_there_twice(loss):
    net, X, Y = drawn((4, 6, 3), ["tanh", suitable(loss)], loss, 9, 2)
    network = Network([4, 6, 3], activation=net.activations, init=(net.W, net.B), loss=loss)
    weight = np.array([2.0, 1, 0, 1, 2, 1, 1, 1, 0])
    repeats = np.repeat(np.arange(9), weight.astype(int))
    assert len(repeats) == 9  # so that the means have the same divisor
    weighted, repeated = network.gradients(X, Y, weight), network.gradients(X[repeats], Y[repeats])
    assert deviation(weighted[0], repeated[0]) < 1e-14
    assert deviation(weighted[1], repeated[1]) < 1e-14
    ones = network.gradients(X, Y, np.ones(9))
    assert ones[0] == network.gradients(X, Y)[0]
    assert same_bits(ones[1], network.gradients(X, Y)[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_an_epoch_is_that_of_its_samples(loss):
    # At a rate of next to nothing all batches see the same parameters.
    net, X, Y = drawn((4, 6, 3), ["tanh", suitable(loss)], loss, 10, 2)
    network = Network([4, 6, 3], activation=net.activations, init=(net.W, net.B), loss=loss)
    expected = network.evaluate(X, Y)["loss"]
    for batch_size in (1, 3, 4, 10):
        (value,) = network.train(X, Y, epochs=1, batch_size=batch_size, learning_rate=1e-200)
        assert deviation(value, expected) < 1e-13, batch_size


def test_the_regressions_are_those_without_an_output_of_their_own():
    for loss in REGRESSIONS:
        assert Network([4, 3], activation="tanh", loss=loss).activations == ("tanh",)
