"""Passes: predictions, gradients and Jacobians against NumPy, and against losses alone (N1, N2).

Fifty random networks with all activations and losses: gradients agree with central differences to 1e-6, and with the
oracle to rounding; float32 ones with the float64 path to 1e-4. A way back takes any gradient of the predictions, and
gives that of the samples too. Of each sample by itself, of the whole batch, through a function: all are the same.
"""

from __future__ import annotations

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network
from ironprop.losses import Huber, Quantile
from network_oracle import (
    ACTIVATIONS,
    HIDDEN,
    LOSSES,
    OUTPUTS,
    Net,
    activate,
    drawn,
    suitable,
    through,
)
from oracle import deviation


def twin(net, dtype="float64", **options):
    """Return the network with the parameters of the oracle's."""
    sizes = [len(net.W[0]), *(w.shape[1] for w in net.W)]
    W, B = ([array.astype(dtype) for array in arrays] for arrays in (net.W, net.B))
    options = {"activation": net.activations, "loss": net.loss, **options}
    return Network(sizes, init=(W, B), dtype=dtype, **options)


def random_case(seed):
    """Return a random net with its samples and targets; fifty of them have all activations and losses."""
    random = np.random.default_rng(seed)
    sizes = tuple(int(n) for n in random.integers(1, 9, random.integers(2, 5)))
    loss = LOSSES[seed % len(LOSSES)]
    hidden = [HIDDEN[(seed + 3 * layer) % len(HIDDEN)] for layer in range(len(sizes) - 2)]
    output = suitable(loss) if loss in OUTPUTS or loss == "poisson" else ACTIVATIONS[seed % 12]
    return drawn(sizes, [*hidden, output], loss, int(random.integers(1, 8)), seed)


SEEDS = range(50)


def test_the_random_cases_have_all_activations_and_losses():
    cases = [random_case(seed)[0] for seed in SEEDS]
    assert {name for net in cases for name in net.activations} == set(ACTIVATIONS)
    assert {net.loss for net in cases} == set(LOSSES)


# Gradients (N1, N2) -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_are_those_of_central_differences(seed):
    net, X, Y = random_case(seed)
    network = twin(net)
    check = network.check_gradients(X, Y)
    assert check.max_relative_error <= 1e-6, check
    _, gradient = network.gradients(X, Y)
    differences = net.central_differences(X, Y, 1e-6)  # of the oracle's losses, not of ours
    assert deviation(gradient, differences) <= 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_losses_and_gradients_are_those_of_the_oracle(seed):
    net, X, Y = random_case(seed)
    network = twin(net)
    loss, gradient = network.gradients(X, Y)
    true_loss, true_gradient = net.gradients(X, Y)
    assert type(loss) is float
    assert abs(loss - true_loss) <= 1e-12 * max(1.0, abs(true_loss))
    assert deviation(gradient, true_gradient) <= 1e-12
    assert loss == network.evaluate(X, Y)["loss"]
    weight = np.linspace(0, 3, len(X))
    loss, gradient = network.gradients(X, Y, weight)
    true_loss, true_gradient = net.gradients(X, Y, weight)
    assert abs(loss - true_loss) <= 1e-12 * max(1.0, abs(true_loss))
    assert deviation(gradient, true_gradient) <= 1e-12
    assert loss == network.evaluate(X, Y, sample_weight=weight)["loss"]


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_gradients_are_those_of_the_float64_path(seed):
    net, X, Y = random_case(seed)
    net.vector = net.vector.astype(np.float32)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    loss, gradient = twin(net, "float32").gradients(X, Y)
    true_loss, true_gradient = twin(net).gradients(X.astype(float), Y.astype(float))
    assert gradient.dtype == np.float32
    assert deviation(loss, true_loss) <= 1e-5
    assert deviation(gradient, true_gradient) <= 1e-4


@pytest.mark.parametrize("loss", [Huber(0.3), Huber(5.0), Quantile(0.1), Quantile(0.9)])
def test_losses_with_a_parameter_have_the_gradients_of_the_oracle(loss):
    name = "huber" if isinstance(loss, Huber) else "quantile"
    net, X, Y = drawn((4, 7, 3), ["tanh", "identity"], name, 12, 1)
    net.parameter = loss.delta if isinstance(loss, Huber) else loss.quantile
    network = twin(net, loss=loss)
    value, gradient = network.gradients(X, Y)
    true_value, true_gradient = net.gradients(X, Y)
    assert abs(value - true_value) <= 1e-12
    assert deviation(gradient, true_gradient) <= 1e-12
    assert network.check_gradients(X, Y).max_relative_error <= 1e-6


def test_a_check_finds_a_wrong_gradient():
    # An absolute error is judged at its kink, where the differences see both sides.
    network = Network([1, 1], activation="identity", init="zeros", loss=Quantile(0.75))
    check = network.check_gradients([[2.0]], [[0.0]])
    assert check.max_relative_error > 0.1
    assert check.worst_parameter in {"weights[0][0, 0]", "biases[0][0]"}


def test_a_check_of_a_float32_network_is_made_in_float64():
    net, X, Y = drawn((4, 7, 3), ["tanh", "softmax"], "categorical_crossentropy", 12, 1)
    network = twin(net, "float32")
    before = digest(network.parameters)
    X = X.astype(np.float32)
    assert network.check_gradients(X, Y.astype(np.float32)).max_relative_error <= 1e-6
    assert network.check_gradients(X, Y.argmax(axis=1)).max_relative_error <= 1e-6
    assert digest(network.parameters) == before


def test_gradients_take_no_step_and_drop_nothing():
    net, X, Y = drawn((4, 7, 3), ["tanh", "identity"], "mse", 12, 1)
    network = twin(net, dropout=0.5, optimizer="adam")
    same = twin(net)
    before = digest(network.__getstate__())
    assert network.gradients(X, Y)[0] == same.gradients(X, Y)[0]
    assert same_bits(network.sample_gradients(X, Y), same.sample_gradients(X, Y))
    assert same_bits(network.predict(X), same.predict(X))
    assert same_bits(network.jacobian(X), same.jacobian(X))
    network.check_gradients(X, Y)
    assert digest(network.__getstate__()) == before


# Forward and backward -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_numpy(name, dtype):
    special = [0.0, -0.0, 1e-8, -1e-8, 50.0, -50.0, *([] if name == "sin" else [1e4, -1e4])]
    z = np.concatenate([np.linspace(-30, 30, 601), special]).astype(dtype)
    z = z.reshape(-1, 1) * np.array([[1, -0.5, 0.25]], dtype)
    identity = ([np.eye(3, dtype=dtype)], [np.zeros(3, dtype)])
    pred = Network([3, 3], activation=name, init=identity, dtype=dtype).predict(z)
    expected = activate(z.astype(float), name)
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    # NumPy's own values of gelu have few right digits in the left tail, where 1 + erf is a small difference.
    # The exponent of a softmax is a rounded difference of up to 37.
    factor = 64 if name == "softmax" else 16
    allowed = np.maximum(factor * eps * np.abs(expected), tiny)
    allowed += 4 * eps if name == "gelu" else 0
    assert (np.abs(pred - expected) <= allowed).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_activations_of_every_layer_are_those_of_the_oracle(seed):
    net, X, _ = random_case(seed)
    network = twin(net)
    activations = network.forward_pass(X)
    assert len(activations) == len(net.W)
    for ours, theirs in zip(activations, net.forward(X)[1], strict=True):
        assert deviation(ours, theirs) <= 1e-12
    assert same_bits(activations[-1], network.predict(X))
    activations[-1][...] = np.nan  # a copy
    assert same_bits(network.forward_pass(X)[-1], network.predict(X))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_way_back_takes_any_gradient_of_the_predictions(seed):
    net, X, _ = random_case(seed)
    network = twin(net)
    z = net.forward(X)[0][-1]
    upstream = np.random.default_rng(seed).normal(size=z.shape)
    network.forward_pass(X)
    gradient, of_samples = network.backward_pass(upstream)
    true_gradient, true_of_samples = net.backward(X, through(z, net.activations[-1], upstream))
    assert deviation(gradient, true_gradient) <= 1e-12
    assert deviation(of_samples, true_of_samples) <= 1e-12
    assert gradient.shape == (network.n_parameters,)
    again = network.backward_pass(upstream)  # the pass is still there
    assert same_bits(list(again), [gradient, of_samples])


def test_the_gradient_of_the_samples_is_that_of_central_differences():
    net, X, Y = drawn((4, 7, 3), ["gelu", "sin"], "half_squared_error", 5, 2)
    network = twin(net)
    pred = network.forward_pass(X)[-1]
    _, of_samples = network.backward_pass(pred - Y)
    for index in np.ndindex(X.shape):
        losses = []
        for step in (1e-6, -1e-6):
            moved = X.copy()
            moved[index] += step
            losses.append(network.evaluate(moved, Y)["loss"])
        assert abs((losses[0] - losses[1]) / 2e-6 - of_samples[index]) < 1e-7


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["half_squared_error", "mse"])
def test_a_step_with_the_gradient_of_a_way_back_is_a_training_step(loss, dtype):
    net, X, Y = drawn((5, 16, 3), ["tanh", "sigmoid"], loss, 9, 3)
    X, Y = X.astype(dtype), Y.astype(dtype)
    by_hand, stepped = twin(net, dtype), twin(net, dtype)
    scale = np.array(1 if loss == "half_squared_error" else 2 / Y.size, dtype)
    for _ in range(5):
        pred = by_hand.forward_pass(X)[-1]
        gradient, _ = by_hand.backward_pass((pred - Y) * scale)
        by_hand.apply_gradients(gradient, learning_rate=0.1)
        stepped.train_step(X, Y, learning_rate=0.1)
    limit = 1e-14 if dtype == "float64" else 1e-6
    assert deviation(by_hand.parameters, stepped.parameters) <= limit


def change_parameters(network, X, Y):
    network.parameters = network.parameters


def change_weights(network, X, Y):
    network.weights = network.weights


CHANGES = [
    lambda network, X, Y: network.train_step(X, Y),
    lambda network, X, Y: network.train(X, Y, epochs=1),
    lambda network, X, Y: network.fit(X, Y, epochs=1),
    lambda network, X, Y: network.partial_fit(X, Y),
    lambda network, X, Y: network.apply_gradients(network.parameters),
    change_parameters,
    change_weights,
]


@pytest.mark.parametrize("change", CHANGES)
def test_there_is_no_way_back_after_the_parameters_have_changed(change):
    net, X, Y = drawn((4, 7, 3), ["tanh", "identity"], "mse", 6, 1)
    network = twin(net)
    network.forward_pass(X)
    change(network, X, Y)
    before = digest(network.__getstate__())
    with pytest.raises(RuntimeError, match="forward_pass"):
        network.backward_pass(Y)
    assert digest(network.__getstate__()) == before


# Jacobians, single samples ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", SEEDS)
def test_jacobians_are_those_of_the_oracle(seed, dtype):
    net, X, _ = random_case(seed)
    jacobian = twin(net, dtype).jacobian(X.astype(dtype))
    assert jacobian.shape == (len(X), net.W[-1].shape[1], net.W[0].shape[0])
    assert jacobian.dtype == dtype
    assert deviation(jacobian, net.jacobian(X)) <= (1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("n_samples", [0, 1, 255, 256, 257, 600])
def test_a_jacobian_is_the_same_bits_alone_or_among_others(n_samples):
    net, X, _ = drawn((3, 5, 2), ["tanh", "silu"], "mse", n_samples, 1)
    network = twin(net)
    jacobian = network.jacobian(X)
    assert jacobian.shape == (n_samples, 2, 3)
    for row in {0, 254, 255, 256, n_samples - 1} & set(range(n_samples)):
        assert same_bits(network.jacobian(X[row : row + 1]), jacobian[row : row + 1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_sample_is_that_of_a_batch_with_no_other(loss, dtype):
    net, X, Y = drawn((4, 7, 3), ["tanh", suitable(loss)], loss, 11, 4)
    X, Y = X.astype(dtype), Y.astype(dtype)
    network = twin(net, dtype)
    rows = network.sample_gradients(X, Y)
    assert rows.shape == (11, network.n_parameters)
    for i, row in enumerate(rows):
        assert same_bits(row, network.gradients(X[i : i + 1], Y[i : i + 1])[1])
    whole = rows.sum(axis=0) if loss == "half_squared_error" else rows.mean(axis=0)
    limit = 1e-13 if dtype == "float64" else 1e-5
    assert deviation(network.gradients(X, Y)[1], whole) <= limit


def test_single_samples_of_a_function_have_their_gradients_too():
    net, X, Y = drawn((4, 7, 3), ["tanh", "identity"], "half_squared_error", 6, 4)

    def function(pred, y):
        return 0.5 * float(np.square(pred - y).sum()), pred - y

    ours, theirs = twin(net), twin(net, loss=function)
    assert deviation(theirs.sample_gradients(X, Y), ours.sample_gradients(X, Y)) <= 1e-14
    assert theirs.sample_gradients(X[:0], Y[:0]).shape == (0, ours.n_parameters)


# Views --------------------------------------------------------------------------------------------


def test_views_are_the_layers_places_in_a_vector():
    network = Network([3, 4, 2], seed=1, init="normal")
    vector = network.parameters
    views = network.views(vector)
    assert list(views) == ["weights[0]", "biases[0]", "weights[1]", "biases[1]"]
    for layer in range(2):
        assert same_bits(views[f"weights[{layer}]"], network.weights[layer])
        assert same_bits(views[f"biases[{layer}]"], network.biases[layer])
    for view in views.values():
        assert np.shares_memory(view, vector)
        view[...] = 7
    assert (vector == 7).all()
    network.parameters = vector
    assert (network.weights[1] == 7).all()
    strided = np.zeros((network.n_parameters, 2))[:, 0]
    for view in network.views(strided).values():
        view[...] = 5
    assert (strided == 5).all()
    names = network.views(np.arange(network.n_parameters))
    assert names["biases[1]"].tolist() == [24, 25]


@pytest.mark.parametrize(
    ("vector", "exception"),
    [
        (np.zeros(25), ValueError),
        (np.zeros((26, 1)), ValueError),
        (np.zeros(0), ValueError),
        ([0.0] * 26, TypeError),
        (None, TypeError),
    ],
)
def test_what_has_no_places_for_the_layers_is_refused(vector, exception):
    with pytest.raises(exception, match=r"\bvector\b"):
        Network([3, 4, 2]).views(vector)


def test_the_oracle_is_of_one_mind_with_central_differences():
    for seed in SEEDS:
        net, X, Y = random_case(seed)
        assert isinstance(net, Net)
        differences = net.central_differences(X, Y, 1e-6)
        assert deviation(net.gradients(X, Y)[1], differences) <= 1e-6
