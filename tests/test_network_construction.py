"""How a network is made (I4): what is refused, by name, and what suits without being asked for.

Each option with one thing wrong raises the exception of the contract. Starting parameters suit the activation, the
output the loss, and a network says what it is.
"""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest

from bits import same_bits
from ironprop import Network
from ironprop._model import Activation, Scheme
from ironprop.notebook import initialize
from ironprop.optimizers import Adam

W3, B3 = [np.ones((3, 4)), np.ones((4, 2))], [np.ones(4), np.ones(2)]


CONSTRUCTION = [
    ("output_activation", "swish", ValueError),
    ("output_activation", 5, TypeError),
    ("output_activation", ["relu"], TypeError),
    ("activation", "softmax", ValueError),
    ("activation", ["softmax", "softmax"], ValueError),
    ("activation", "", ValueError),
    ("activation", None, TypeError),
    ("activation", [None, "relu"], TypeError),
    ("init", "he", ValueError),
    ("init", ["zeros"], ValueError),
    ("init", ["zeros"] * 3, ValueError),
    ("init", ["zeros", "he"], ValueError),
    ("init", ["zeros", 5], TypeError),
    ("init", 5, TypeError),
    ("init", {}, ValueError),
    ("dropout", 1, ValueError),
    ("dropout", 1.5, ValueError),
    ("dropout", -0.1, ValueError),
    ("dropout", np.nan, ValueError),
    ("dropout", [0.5, 0.5], ValueError),
    ("dropout", [], ValueError),
    ("dropout", [1.0], ValueError),
    ("dropout", ["a"], TypeError),
    ("dropout", "a", TypeError),
    ("dropout", None, TypeError),
    ("dropout", True, TypeError),
    ("optimizer", "adamax", ValueError),
    ("optimizer", Adam, TypeError),
    ("loss", "l1", ValueError),
    ("loss", 5, TypeError),
    ("seed", 10**400, ValueError),
    ("seed", "a", TypeError),
    ("layer_sizes", [3, 2**63, 2], (ValueError, MemoryError)),
    ("layer_sizes", [2**40, 2**40], (ValueError, MemoryError)),
    ("layer_sizes", [3, None], TypeError),
    ("layer_sizes", None, TypeError),
]


@pytest.mark.parametrize(("option", "value", "exception"), CONSTRUCTION)
def test_a_network_that_cannot_be_is_refused_by_name(option, value, exception):
    with pytest.raises(exception) as caught:
        Network(**{"layer_sizes": [3, 4, 2], option: value})
    message = str(caught.value)
    assert caught.type is MemoryError or re.search(rf"\b{option}\b", message), message


@pytest.mark.parametrize(
    ("init", "exception", "argument"),
    [
        ((W3, B3[:1]), ValueError, "B"),
        ((W3[:1], B3), ValueError, "W|B"),
        (([w.T for w in W3], B3), ValueError, "W|B|weights"),
        (([w.astype("f4") for w in W3], [b.astype("f4") for b in B3]), TypeError, "W"),
        ((None, None), TypeError, "W"),
        ((5, B3), TypeError, "W"),
    ],
)
def test_own_parameters_that_do_not_fit_are_refused(init, exception, argument):
    with pytest.raises(exception, match=rf"\b({argument})\b"):
        Network([3, 4, 2], init=init)


def test_dropout_needs_a_hidden_layer():
    with pytest.raises(ValueError, match="dropout"):
        Network([3, 2], dropout=0.5)
    assert Network([3, 2], dropout=0.0).dropout == ()
    assert Network([3, 2], dropout=[]).dropout == ()
    assert Network([3, 4, 5, 2], dropout=0.5).dropout == (0.5, 0.5)
    assert Network([3, 4, 5, 2], dropout=[0, np.float32(0.5)]).dropout == (0.0, 0.5)


def test_the_options_are_for_keywords_only():
    with pytest.raises(TypeError):
        Network([3, 4, 2], "relu")


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_activation_is_known_to_the_core(name):
    other = Network([3, 2], activation=name, init="zeros")
    assert other.activations == (name,)
    assert Network([3, 4, 2], activation="tanh", output_activation=name).activations[-1] == name
    if name != "softmax":
        assert Network([3, 4, 2], activation=[name, "relu"]).activations == (name, "relu")


def test_starting_parameters_suit_the_activation():
    schemes = {
        "he_normal": ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus"),
        "lecun_normal": ("selu",),
        "glorot_normal": ("sigmoid", "tanh", "sin", "identity", "softmax"),
    }
    assert {name for names in schemes.values() for name in names} == set(get_args(Activation))
    for scheme, names in schemes.items():
        for name in names:
            other = Network([6, 5], activation=name, seed=3)
            W, _ = initialize([6, 5], scheme=scheme, seed=3)
            assert same_bits(other.weights, W)
    for scheme in set(get_args(Scheme)) - {"auto"}:
        other = Network([6, 5, 4], init=[scheme, scheme], seed=3)
        W, B = initialize([6, 5, 4], scheme=scheme, seed=3)
        assert same_bits(other.weights, W)
        assert same_bits(other.biases, [b.ravel() for b in B])
    mixed = Network([6, 5, 4], init=["zeros", "auto"], seed=3)
    assert not mixed.weights[0].any()
    assert mixed.weights[1].any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_own_parameters_are_those_of_the_network(dtype):
    W, B = initialize([3, 4, 2], seed=1, dtype=dtype)
    for init in ((W, B), [W, B], (tuple(W), [b.ravel() for b in B])):
        other = Network([3, 4, 2], init=init, dtype=dtype)
        assert same_bits(other.weights, W)
        assert not any(np.shares_memory(own, w) for own, w in zip(other.weights, W, strict=True))


def test_output_activation_is_for_the_last_layer():
    assert Network([3, 4, 2], output_activation="tanh").activations == ("sigmoid", "tanh")
    assert Network([3, 2], activation="relu", output_activation="tanh").activations == ("tanh",)
    same = Network([3, 4, 2], activation=["relu", "tanh"], output_activation="tanh")
    assert same.activations == ("relu", "tanh")
    with pytest.raises(ValueError, match="output_activation"):
        Network([3, 4, 2], activation=["relu", "tanh"], output_activation="sin")


def test_a_network_shows_what_it_is():
    other = Network([3, 4, 2], activation="relu", loss="categorical_crossentropy", dropout=0.5)
    assert repr(other) == (
        "Network([3, 4, 2], activation=['relu', 'softmax'], loss='categorical_crossentropy', "
        "dropout=0.5, dtype=float64)"
    )
    other.optimizer = "adam"
    assert "optimizer=Adam(learning_rate=0.001)" in repr(other)
    lines = other.summary().splitlines()
    assert lines[0] == "Network 3-4-2 of float64: 26 parameters"
    assert lines[2].split() == ["0", "3", "x", "4", "relu", "16"]
    assert lines[3].split() == ["1", "4", "x", "2", "softmax", "10"]
    assert lines[4] == (
        "loss 'categorical_crossentropy', optimizer Adam(learning_rate=0.001), dropout 0.5"
    )
    assert len({len(line) for line in lines[1:4]}) == 1
    assert other.n_parameters == other.parameters.size == 26
