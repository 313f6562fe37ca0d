"""`ironprop.Network`: the notebook tier's bits, one step a call, and nothing changed by a refusal.

A network's steps are those of `ironprop.train` with the exact gradient, however they are cut into
calls; a prediction is the same bits alone or among others; parameters go in and out as copies. An
activation per layer, which the notebook tier lacks, is measured against NumPy and against central
differences. What is refused names its argument and leaves the network as it was; so does a loss
that is not finite. Divergence leaves a network that can be used.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import ironprop
import oracle
import strategies
from bits import digest, same_bits
from ironprop import Network
from oracle import ACTIVATIONS, batches, copies

SHAPES = [((3, 5, 2), 1), ((1, 1), 4), ((8, 33, 17, 3), 40), ((130, 97, 10), 31), ((9,) * 8, 7)]


def network_of(W, B, activation="sigmoid"):
    """Return a network with these parameters."""
    sizes = [len(W[0]), *(w.shape[1] for w in W)]
    network = Network(sizes, activation=activation, init="zeros", dtype=W[0].dtype)
    network.weights, network.biases = W, B
    return network


def parameters(network):
    """Return copies of all parameters, biases as the notebook has them."""
    return [*network.weights, *(b.reshape(1, -1) for b in network.biases)]


def state(network):
    """Return all that a refused call might change."""
    return digest(parameters(network), network.layer_sizes, list(network.activations))


def small(activation="sigmoid", dtype="float64"):
    """Return X, Y and a network: 5 samples, layers 3-4-2."""
    X, Y, W, B = strategies.arrays((3, 4, 2), 5, dtype, 1)
    return X, Y, network_of(W, B, activation)


# The bits of the notebook tier --------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize(("sizes", "n_samples"), SHAPES)
def test_steps_and_runs_are_those_of_train_with_the_exact_gradient(
    sizes, n_samples, dtype, activation
):
    X, Y, W, B = strategies.arrays(sizes, n_samples, dtype, 2)
    stepped, ran = network_of(W, B, activation), network_of(W, B, activation)
    rate = 0.1 / n_samples
    data = digest(X, Y)
    losses = ironprop.train(
        X, Y, W, B, epochs=6, learning_rate=rate, gradient="exact", activation=activation
    )
    steps = [stepped.train_step(X, Y, learning_rate=rate) for _ in range(6)]
    assert all(type(loss) is float for loss in steps)
    assert same_bits(np.array(steps), losses)
    assert same_bits(ran.train(X, Y, epochs=6, learning_rate=rate), losses)
    assert same_bits(parameters(stepped), [*W, *B])
    assert same_bits(parameters(ran), [*W, *B])
    assert same_bits(ran.predict(X), ironprop.forward_pass(X, W, B, activation=activation)[0])
    assert digest(X, Y) == data, "an argument has been changed"


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_batches_of_changing_sizes_give_the_same_bits(dtype):
    X, Y, W, B = strategies.arrays((8, 33, 3), 70, dtype, 3)
    network = network_of(W, B, "tanh")
    for n in (1, 70, 1, 1, 2, 69, 17, 70, 7, 1):
        options = {"learning_rate": 0.1 / n}
        loss = network.train_step(X[:n], Y[:n], **options)
        options.update(gradient="exact", activation="tanh")
        assert loss == ironprop.train(X[:n], Y[:n], W, B, epochs=1, **options)[0]
        assert same_bits(network.predict(X), ironprop.forward_pass(X, W, B, activation="tanh")[0])
        assert same_bits(parameters(network), [*W, *B])


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("batch_size", [None, 1, 3, 7, 20])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_and_shuffled_orders_are_those_of_train(shuffle, batch_size, dtype):
    X, Y, W, B = strategies.arrays((4, 9, 2), 20, dtype, 4)
    for seed in (0, 2**64 - 1, 5):
        options = {
            "epochs": 4,
            "learning_rate": 0.05,
            "batch_size": batch_size,
            "shuffle": shuffle,
            "seed": seed,
        }
        new_W, new_B, network = copies(W), copies(B), network_of(W, B)
        losses = ironprop.train(X, Y, new_W, new_B, gradient="exact", **options)
        assert same_bits(network.train(X, Y, **options), losses)
        assert same_bits(parameters(network), [*new_W, *new_B])


def test_a_run_in_batches_is_the_loop_of_its_steps():
    X, Y, W, B = strategies.arrays((4, 9, 2), 20, "float64", 4)
    ran, stepped = network_of(W, B), network_of(W, B)
    ran.train(X, Y, epochs=3, learning_rate=0.05, batch_size=6)
    for _, batch in itertools.product(range(3), batches(20, 6)):
        stepped.train_step(X[batch], Y[batch], learning_rate=0.05)
    assert same_bits(parameters(ran), parameters(stepped))


def test_targets_may_be_one_row_or_one_number():
    X, Y, network = small()
    for given, whole in [(Y[0], np.repeat(Y[:1], 5, 0)), (0.25, np.full((5, 2), 0.25))]:
        other = network_of(network.weights, network.biases)
        loss = network.train_step(X, given, learning_rate=0.1)
        assert loss == other.train_step(X, whole, learning_rate=0.1)
        assert same_bits(parameters(network), parameters(other))


def test_no_epochs_change_nothing():
    X, Y, network = small()
    before = state(network)
    assert network.train(X, Y, epochs=0, learning_rate=0.1).shape == (0,)
    assert state(network) == before


# An activation for each layer ---------------------------------------------------------------------


def reference_step(X, Y, W, B, activations, rate):
    """Return prediction, loss and new parameters, in NumPy."""
    A = [X]
    for w, b, activation in zip(W, B, activations, strict=True):
        A.append(oracle.activate(A[-1] @ w + b, activation))
    new_W, new_B = copies(W), copies(B)
    E = A[-1] - Y
    for i in reversed(range(len(W))):
        E = E * oracle.derive(A[i + 1], activations[i])
        new_W[i] -= rate * A[i].T @ E
        new_B[i] -= rate * E.sum(0)
        E = E @ W[i].T
    return A[-1], 0.5 * np.square(A[-1] - Y).sum(), [*new_W, *new_B]


@pytest.mark.parametrize("activations", [*itertools.product(ACTIVATIONS, repeat=3)])
def test_an_activation_for_each_layer_is_that_of_numpy_and_its_gradient_the_true_one(activations):
    X, Y, W, B = strategies.arrays((3, 6, 5, 2), 4, "float64", 6)
    network = network_of(W, B, list(activations))
    assert network.activations == activations
    pred, loss, new = reference_step(X, Y, W, B, activations, 1.0)
    assert oracle.deviation(network.predict(X), pred) <= 1e-12
    assert abs(network.train_step(X, Y, learning_rate=1.0) - loss) <= 1e-12
    assert oracle.close("parameters", parameters(network), new, 1e-12)
    taken = [old - now for old, now in zip([*W, *B], parameters(network), strict=True)]

    def loss_of_ironprop():
        network.weights, network.biases = W, B
        return oracle.mse(network.predict(X), Y)

    slopes = oracle.central_differences(loss_of_ironprop, [*W, *B], 1e-5)
    assert oracle.close("gradients", taken, slopes, 1e-6)


# Predictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("n_samples", [0, 1, 2, 255, 256, 257, 511, 512, 513, 700])
def test_a_row_is_the_same_bits_alone_or_among_others(n_samples, dtype):
    X, _, W, B = strategies.arrays((7, 33, 17, 3), n_samples, dtype, 5)
    network = network_of(W, B, "tanh")
    whole = network.predict(X)
    assert whole.shape == (n_samples, 3)
    assert whole.dtype == dtype
    assert same_bits(whole, ironprop.forward_pass(X, W, B, activation="tanh")[0])
    for row in {0, 1, 254, 255, 256, 257, 511, 512, n_samples - 1} & set(range(n_samples)):
        assert same_bits(network.predict(X[row : row + 1]), whole[row : row + 1])
    for start in {1, 3, 200} & set(range(n_samples)):
        assert same_bits(network.predict(X[start:]), whole[start:])


# Parameters ---------------------------------------------------------------------------------------


def test_parameters_go_in_and_out_as_copies():
    X, _, network = small()
    before, pred = state(network), network.predict(X)
    weights, biases = network.weights, network.biases
    assert [w.shape for w in weights] == [(3, 4), (4, 2)]
    assert [b.shape for b in biases] == [(4,), (2,)]
    network.weights, network.biases = weights, [b.reshape(1, -1) for b in biases]
    for array in [*weights, *biases, *network.weights, *network.biases]:
        array[...] = np.nan
    network.weights.clear()
    assert state(network) == before
    assert same_bits(network.predict(X), pred)


W, B = ([np.ones((3, 4)), np.ones((4, 2))], [np.ones(4), np.ones(2)])
BAD_WEIGHTS = [
    (ValueError, []),
    (ValueError, W[:1]),
    (ValueError, [*W, np.ones((2, 2))]),
    (ValueError, [W[0].T, W[1]]),
    (ValueError, [W[0], W[1][:, :1]]),
    (ValueError, [W[0], W[1][0]]),
    (ValueError, [np.ones((5, 4)), W[1]]),
    (TypeError, [w.astype("float32") for w in W]),
    (TypeError, [W[0], W[1].astype("float32")]),
    (TypeError, [W[0], W[1].astype(complex)]),
    (TypeError, [W[0], "a"]),
    (TypeError, None),
    (TypeError, 5),
]
BAD_BIASES = [
    (ValueError, []),
    (ValueError, B[:1]),
    (ValueError, [B[0], B[1][:1]]),
    (ValueError, [B[0].reshape(-1, 1), B[1]]),
    (TypeError, [b.astype("float32") for b in B]),
    (TypeError, [B[0], B[1].astype("float32")]),
    (TypeError, [B[0], "a"]),
    (TypeError, None),
]


@pytest.mark.parametrize(
    ("name", "exception", "value"),
    [
        *(("weights", *row) for row in BAD_WEIGHTS),
        *(("biases", *row) for row in BAD_BIASES),
    ],
)
def test_parameters_that_do_not_fit_are_refused_whole(name, exception, value):
    _, _, network = small()
    before = state(network)
    with pytest.raises(exception, match=r"\b([WB]|weights|biases)\b"):
        setattr(network, name, value)
    assert state(network) == before


# Construction -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_a_seed_fixes_the_parameters_and_none_does_not(dtype):
    def drawn(seed):
        return parameters(Network([5, 4, 3], dtype=dtype, seed=seed))

    for seed in (0, 1, 2**64 - 1):
        assert same_bits(drawn(seed), drawn(seed))
    assert same_bits(drawn(np.random.default_rng(1)), drawn(np.random.default_rng(1)))
    assert len({digest(drawn(seed)) for seed in [None] * 20 + [0, 1, 2**64 - 1]}) == 23
    for scheme in ("normal", "glorot_uniform", "he_normal", "lecun_normal", "zeros"):
        network = Network([5, 4, 3], init=scheme, dtype=dtype, seed=9)
        start = ironprop.notebook.initialize([5, 4, 3], scheme=scheme, dtype=dtype, seed=9)
        assert same_bits(parameters(network), [*start[0], *start[1]])


def test_a_network_shows_what_it_is_made_of():
    one = Network([3, 4, 2])
    assert repr(one) == "Network([3, 4, 2], activation='sigmoid', dtype=float64)"
    other = Network((np.int64(3), 4, 2), activation=("relu", "tanh"), dtype="f4")
    assert repr(other) == "Network([3, 4, 2], activation=['relu', 'tanh'], dtype=float32)"
    assert (other.layer_sizes, other.activations) == ((3, 4, 2), ("relu", "tanh"))
    assert other.dtype == np.float32


def test_the_dtype_is_that_of_the_parameters():
    for dtype in ("f4", "f8", ">f4", ">f8", float, np.float32):
        network = Network([3, 2], dtype=dtype)
        assert network.weights[0].dtype == network.dtype, dtype


@pytest.mark.parametrize(
    ("option", "value", "exception"),
    [
        ("layer_sizes", [], ValueError),
        ("layer_sizes", [3], ValueError),
        ("layer_sizes", [3, 0], ValueError),
        ("layer_sizes", [3, -1], ValueError),
        ("layer_sizes", [3, 1.5], TypeError),
        ("layer_sizes", "ab", TypeError),
        ("layer_sizes", 3, TypeError),
        ("activation", "swish", ValueError),
        ("activation", ["relu"], ValueError),
        ("activation", ["relu"] * 3, ValueError),
        ("activation", ["relu", "swish"], ValueError),
        ("activation", ["relu", 5], TypeError),
        ("activation", 5, TypeError),
        ("init", "xavier", ValueError),
        ("init", None, TypeError),
        ("dtype", np.int32, TypeError),
        ("dtype", np.float16, TypeError),
        ("dtype", complex, TypeError),
        ("seed", -1, ValueError),
        ("seed", 2**64, ValueError),
        ("seed", 1.5, TypeError),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_name(option, value, exception):
    with pytest.raises(exception, match=rf"\b{option}\b"):
        Network(**{"layer_sizes": [3, 4, 2], option: value})


# Refused calls ------------------------------------------------------------------------------------

X5, Y5 = np.ones((5, 3)), np.ones((5, 2))
SAMPLES = [
    ("X", X5[:, :2], ValueError),
    ("X", X5[0], ValueError),
    ("X", X5[None], ValueError),
    ("X", X5.astype("float32"), TypeError),
    ("X", X5.astype(complex), TypeError),
    ("X", "a", TypeError),
]
STEP = [
    *SAMPLES,
    ("X", X5[:0], ValueError),
    ("Y", Y5[:, :1], ValueError),
    ("Y", Y5[:4], ValueError),
    ("Y", Y5[None], ValueError),
    ("Y", Y5.astype("float32"), TypeError),
    ("Y", "a", TypeError),
    *(("learning_rate", rate, ValueError) for rate in (np.nan, 0, -1, np.inf, -np.inf)),
    ("learning_rate", "a", TypeError),
    ("n_threads", 0, ValueError),
    ("n_threads", -1, ValueError),
    ("n_threads", 1.5, TypeError),
]
TRAIN = [
    *STEP,
    ("epochs", -1, ValueError),
    ("epochs", 1.5, TypeError),
    ("batch_size", 0, ValueError),
    ("batch_size", -1, ValueError),
    ("batch_size", 6, ValueError),
    ("batch_size", 1.5, TypeError),
    ("shuffle", "yes", TypeError),
    ("seed", -1, ValueError),
    ("seed", 1.5, TypeError),
]
GOOD = {
    "predict": {"X": X5},
    "train_step": {"X": X5, "Y": Y5, "learning_rate": 0.1},
    "train": {"X": X5, "Y": Y5, "learning_rate": 0.1, "epochs": 1},
}


@pytest.mark.parametrize(
    ("method", "argument", "value", "exception"),
    [
        *(("predict", *row) for row in SAMPLES),
        *(("train_step", *row) for row in STEP),
        *(("train", *row) for row in TRAIN),
    ],
)
def test_a_bad_argument_is_refused_by_name_and_changes_nothing(method, argument, value, exception):
    _, _, network = small()
    arguments = {**GOOD[method], argument: value}
    before, given = state(network), digest(arguments)
    with pytest.raises(exception) as caught:
        getattr(network, method)(**arguments)
    assert re.search(rf"\b{argument}\b", str(caught.value)), caught.value
    assert state(network) == before
    assert digest(arguments) == given
    getattr(network, method)(**GOOD[method])  # and the network goes on


def test_float64_samples_are_refused_by_a_float32_network():
    X, Y, network = small(dtype="float32")
    for call in (
        lambda: network.predict(X.astype("float64")),
        lambda: network.train_step(X, Y.astype("float64"), learning_rate=0.1),
        lambda: network.train(X.tolist(), Y, learning_rate=0.1, epochs=1),
    ):
        with pytest.raises(TypeError, match="float32"):
            call()


# Losses that are not finite -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_samples", [1, 5])
def test_a_loss_that_is_not_finite_changes_nothing(n_samples, bad, dtype):
    X, Y, network = small(dtype=dtype)
    X, Y = X[:n_samples], Y[:n_samples]
    Y[-1, 0] = bad
    before = state(network)
    with pytest.raises(FloatingPointError):
        network.train_step(X, Y, learning_rate=0.1)
    with pytest.raises(FloatingPointError):
        network.train(X, Y, learning_rate=0.1, epochs=3)
    assert state(network) == before


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize(("dtype", "rate"), [("float64", 1e300), ("float32", 1e38)])
def test_a_run_that_diverges_leaves_the_parameters_that_train_leaves(dtype, rate, batch_size):
    X, Y, W, B = strategies.arrays((3, 8, 8, 2), 7, dtype, 3)
    network = network_of(W, B, "relu")
    options = {"epochs": 100, "learning_rate": rate, "batch_size": batch_size}
    with pytest.raises(FloatingPointError):
        network.train(X, Y, **options)
    with pytest.raises(FloatingPointError):
        ironprop.train(X, Y, W, B, gradient="exact", activation="relu", **options)
    assert all(np.isfinite(array).all() for array in parameters(network))
    assert same_bits(parameters(network), [*W, *B])
