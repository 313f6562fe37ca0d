"""What a training of a network that goes wrong leaves behind (N6, N7).

Divergence comes through as its own exception, at a whole step: parameters, what the optimiser remembers
and the count of steps are those of the same run without the fault, which is found step by step, and the run goes on
to the same bits. Saturated units give neither NaN nor subnormal numbers.
"""

from __future__ import annotations

import numpy as np
import pytest

from bits import digest
from ironprop import Network
from ironprop.notebook import train
from ironprop.optimizers import SGD, Adam, RMSprop
from network_oracle import HIDDEN, LOSSES, drawn, suitable, targets

# Divergence (N7) ----------------------------------------------------------------------------------

DIVERGING = [
    ("leaky_relu", SGD(learning_rate=1e9), "float64"),
    ("leaky_relu", SGD(learning_rate=1e9), "float32"),
    ("identity", SGD(learning_rate=1e9, momentum=0.9), "float64"),
    ("leaky_relu", SGD(learning_rate=1e9, momentum=0.9, nesterov=True), "float32"),
    ("identity", Adam(learning_rate=1e100), "float64"),
    ("leaky_relu", RMSprop(learning_rate=1e30), "float32"),
]


@pytest.mark.parametrize("batch_size", [20, 7])
@pytest.mark.parametrize(("activation", "optimizer", "dtype"), DIVERGING)
def test_a_diverging_fit_leaves_the_last_finite_step(activation, optimizer, dtype, batch_size):
    _, X, Y = drawn((4, 8, 8, 2), ["tanh"] * 3, "mse", 20, 1)
    X, Y = X.astype(dtype), Y.astype(dtype)
    options = {
        "activation": activation,
        "optimizer": optimizer,
        "loss": "mse",
        "dtype": dtype,
        "seed": 2,
    }
    fitted, stepped = (Network([4, 8, 8, 2], **options) for _ in "ab")
    seen = []
    with pytest.raises(FloatingPointError, match="diverged"):
        fitted.fit(
            X,
            Y,
            epochs=200,
            batch_size=batch_size,
            shuffle=False,
            callbacks=[lambda network, epoch, logs: seen.append(logs["loss"])],
        )
    assert np.isfinite(seen).all()
    states = []
    for step in range(1000):
        start = step * batch_size % 20 if batch_size == 20 else (step % 3) * 7
        states.append(digest(stepped.__getstate__()))
        finite = np.isfinite(stepped.parameters).all()
        try:
            stepped.train_step(X[start : start + batch_size], Y[start : start + batch_size])
        except FloatingPointError:
            break
    assert np.isfinite(fitted.parameters).all()
    # The last state that could be reached, or the one before it, if that has the bad loss.
    assert digest(fitted.__getstate__()) in states[-2:], (len(states), finite)
    fitted.optimizer = "adam"
    before = fitted.evaluate(X, Y)["loss"]
    if before < 1e6:
        assert fitted.fit(X, Y, epochs=50, seed=1).loss[-1] < before


@pytest.mark.parametrize("loss", LOSSES)
def test_a_first_loss_that_is_not_finite_changes_nothing(loss):
    net, X, Y = drawn((4, 6, 3), ["tanh", suitable(loss)], loss, 9, 1)
    network = Network([4, 6, 3], activation=net.activations, loss=loss, optimizer="adam", seed=1)
    network.train_step(X, Y)
    before = digest(network.__getstate__())
    for bad in (np.nan, np.inf):
        X[3, 2] = bad if bad is np.nan else X[3, 2]
        Y[2, 1] = bad
        for call in (
            lambda: network.train_step(X, Y),
            lambda: network.partial_fit(X, Y),
            lambda: network.train(X, Y, epochs=2),
            lambda: network.fit(X, Y, epochs=2),
        ):
            with pytest.raises(FloatingPointError):
                call()
            assert digest(network.__getstate__()) == before


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "sin"])
def test_samples_that_are_not_finite_are_no_step_even_where_the_loss_does_not_see_them(
    activation, bad, dtype
):
    # An infinite number saturates a unit: the loss is finite, the gradient of the weights is not.
    network = Network(
        [3, 5, 2], activation=activation, output_activation="tanh", dtype=dtype, seed=1
    )
    X, Y = np.ones((9, 3), dtype), np.zeros((9, 2), dtype)
    network.train_step(X, Y)
    X[8, 2] = bad
    before = digest(network.__getstate__())
    options = {"batch_size": 4, "shuffle": False}
    layers = network.weights, network.biases
    unchanged = digest(layers)
    for call in (
        lambda: network.train_step(X, Y),
        lambda: network.partial_fit(X, Y, batch_size=4),
        lambda: network.train(X, Y, epochs=2, **options),
        lambda: network.fit(X, Y, epochs=2, **options),
        lambda: train(X, Y, *layers, epochs=2, activation="tanh", **options),
    ):
        with pytest.raises(FloatingPointError, match="X has a number that is infinite or nan"):
            call()
        assert digest(network.__getstate__()) == before
        assert digest(layers) == unchanged


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_a_function_takes_no_step_with_such_samples(bad):
    def loss(pred, Y):
        return float(np.square(pred - Y).sum()), 2 * (pred - Y)

    network = Network([3, 5, 2], activation="tanh", loss=loss, optimizer="adam", seed=1)
    X, Y = np.ones((4, 3)), np.zeros((4, 2))
    network.train_step(X, Y)
    X[2, 1] = bad
    before = digest(network.parameters, network.__getstate__()["optimizer_step"])
    for call in (
        lambda: network.train_step(X, Y),
        lambda: network.fit(X, Y, epochs=2, batch_size=None),
    ):
        with pytest.raises(FloatingPointError):
            call()
        assert digest(network.parameters, network.__getstate__()["optimizer_step"]) == before


def test_bad_validation_data_are_measured_and_not_trained_on():
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 9, 1)
    network = Network([4, 6, 3], activation="tanh", loss="mse", seed=1)
    history = network.fit(X, Y, epochs=2, validation_data=(X, Y * np.nan), metrics=["mae"])
    assert np.isnan(history.val_loss).all()
    assert np.isnan(history.metrics["val_mae"]).all()
    assert np.isfinite(history.loss).all()


# Saturation (N6) ----------------------------------------------------------------------------------


def subnormals(array):
    """Count the numbers that are neither 0 nor normal."""
    small = np.abs(array) < np.finfo(array.dtype).tiny
    return int(np.count_nonzero(small & (array != 0)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*HIDDEN, "softmax"])
def test_saturated_units_give_no_nan_and_no_subnormal_numbers(name, dtype):
    identity = ([np.eye(2, dtype=dtype)], [np.zeros(2, dtype)])
    network = Network([2, 2], activation=name, init=identity, dtype=dtype)
    for size in (1e4, 800.0, 90.0, 1e-4, 1e-30):
        z = np.linspace(-1, 1, 4001) * size
        X = np.stack([z, -0.5 * z], axis=1).astype(dtype)
        (pred,) = network.forward_pass(X)
        gradient, of_samples = network.backward_pass(np.ones_like(pred))
        for array in (pred, gradient, of_samples):
            assert np.isfinite(array).all(), size
            assert subnormals(array) == 0, size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e30, 1e4, 1e-30])
def test_huge_and_tiny_weights_give_no_nan_where_the_loss_is_finite(loss, size, dtype):
    random = np.random.default_rng(1)
    output = suitable(loss, "sigmoid")
    network = Network([4, 9, 3], activation=["tanh", output], loss=loss, dtype=dtype, seed=1)
    network.parameters = (network.parameters * size).astype(dtype)
    X = random.normal(size=(20, 4)).astype(dtype)
    Y = targets(loss, 20, 3, random).astype(dtype)
    value, gradient = network.gradients(X, Y)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert subnormals(gradient) == 0
    for activations in network.forward_pass(X):
        assert subnormals(activations) == 0
    for optimizer in ("sgd", "momentum", "rmsprop", "adagrad", "adam", "rprop"):
        twin = Network(
            [4, 9, 3], activation=["tanh", output], loss=loss, dtype=dtype, optimizer=optimizer
        )
        twin.parameters = network.parameters
        if value < 1e6:  # else the step may rightly be too large
            twin.train(X, Y, epochs=5)
            assert np.isfinite(twin.parameters).all()
        for vector in twin.__getstate__()["optimizer_vectors"]:
            assert subnormals(vector) == 0
