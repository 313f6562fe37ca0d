"""A network as a value: copies, pickles, joblib, equality, and dicts that are none of it.

What comes back from a copy or a pickle is equal, independent, and goes on to the same bits, whatever its loss,
optimiser, schedule and dropout. A dict that is wrong in any entry is refused, and the object that should become it
stays as it was.
"""

from __future__ import annotations

import copy
import json
import pickle

import joblib
import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network, optimizers, schedules
from ironprop.losses import Huber, Quantile
from network_oracle import LOSSES, drawn, suitable, targets
from processes import run_python


def squared(pred, y):
    """Half the sum of squared errors, as a function that pickle finds by its name."""
    return 0.5 * float(np.square(pred - y).sum()), pred - y


class Squared:
    """The same as an object."""

    def __call__(self, pred, y):
        """Return value and gradient."""
        return squared(pred, y)


def recoded(network, tmp_path, how):
    """Return what comes back."""
    if how == "copy":
        return copy.copy(network)
    if how == "deepcopy":
        return copy.deepcopy(network)
    if how == "joblib":
        joblib.dump(network, tmp_path / "network.joblib")
        return joblib.load(tmp_path / "network.joblib")
    return pickle.loads(pickle.dumps(network, how))  # noqa: S301 (our own)


WAYS = ["copy", "deepcopy", "joblib", *range(2, pickle.HIGHEST_PROTOCOL + 1)]
NETWORKS = [
    {},
    {"dtype": "float32"},
    {"activation": ["gelu", "sin", "identity"], "loss": Huber(0.5), "optimizer": "adam"},
    {"loss": Quantile(0.9), "optimizer": optimizers.Rprop(l1=0.1), "dtype": "float32"},
    {"loss": "categorical_crossentropy", "optimizer": "nesterov", "dropout": [0.5, 0.0]},
    {"loss": "binary_crossentropy", "optimizer": optimizers.AdamW(clip_norm=1.0), "dropout": 0.3},
    {
        "loss": "mse",
        "dropout": 0.1,
        "optimizer": optimizers.RMSprop(
            learning_rate=schedules.WarmUp(schedules.Cosine(0.01, steps=30, final=0.001), 5)
        ),
    },
    {"loss": squared, "optimizer": "adagrad"},
    {"optimizer": optimizers.SGD(learning_rate=schedules.OnPlateau(0.1, metric="loss"))},
]


def trained(options):
    """Return a network that has taken some steps, and data for more."""
    network = Network([4, 6, 5, 3], seed=3, **options)
    name = network.loss if isinstance(network.loss, str) else "mse"
    random = np.random.default_rng(1)
    X = random.normal(size=(9, 4)).astype(network.dtype)
    Y = targets(name, 9, 3, random).astype(network.dtype)
    network.fit(X, Y, epochs=3, batch_size=4, seed=1)
    return network, X, Y


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "options", NETWORKS, ids=lambda options: "-".join(map(str, options.values()))
)
def test_what_comes_back_is_equal_independent_and_goes_on_to_the_same_bits(options, how, tmp_path):
    network, X, Y = trained(options)
    twin = recoded(network, tmp_path, how)
    assert type(twin) is Network
    assert twin == network
    assert digest(twin.__getstate__()) == digest(network.__getstate__())
    assert repr(twin) == repr(network)
    assert twin.summary() == network.summary()
    assert same_bits(twin.predict(X), network.predict(X))
    before = network.parameters
    one = twin.fit(X, Y, epochs=3, batch_size=2, seed=2)
    assert same_bits(network.parameters, before), "they share something"
    other = network.fit(X, Y, epochs=3, batch_size=2, seed=2)
    assert same_bits(one.loss, other.loss)
    assert same_bits(one.rate, other.rate)
    assert twin == network
    assert digest(twin.__getstate__()) == digest(network.__getstate__())


def test_a_state_is_plain():
    network, _, _ = trained(NETWORKS[6])
    state = network.__getstate__()
    assert state["format"] == 1

    def plain(thing):
        if isinstance(thing, np.ndarray):
            return thing.tolist()
        raise TypeError(type(thing))

    again = json.loads(json.dumps(state, default=plain))
    again["parameters"] = np.array(again["parameters"])
    again["optimizer_vectors"] = [np.array(vector) for vector in again["optimizer_vectors"]]
    twin = object.__new__(Network)
    twin.__setstate__(again)
    assert twin == network
    state["parameters"][:] = 0  # a copy
    state["layer_sizes"].clear()
    assert twin == network


def test_a_loss_that_is_an_object_is_copied_by_deepcopy_only():
    loss = Squared()
    network = Network([2, 1], loss=loss)
    assert copy.copy(network).loss is loss
    assert type(copy.deepcopy(network).loss) is Squared
    assert copy.deepcopy(network).loss is not loss
    lists = [network, network]
    first, second = copy.deepcopy(lists)
    assert first is second


def test_a_network_can_be_pickled_twice_and_in_other_things():
    network, X, _ = trained(NETWORKS[2])
    twin = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(network))))  # noqa: S301 (our own)
    assert twin == network
    both = pickle.loads(pickle.dumps({"a": network, "b": [network]}))  # noqa: S301 (our own)
    assert both["a"] is both["b"][0]
    assert same_bits(both["a"].predict(X), network.predict(X))


class Named(Network):
    """A subclass."""

    def answer(self):
        """Return an answer."""
        return 42


def test_a_subclass_comes_back_as_one():
    network = Named([2, 1], seed=1)
    for twin in (copy.copy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301 (our own)
        assert twin.answer() == 42
        assert twin == network
    assert repr(network).startswith("Named(")


def test_processes_of_joblib_take_networks_and_give_them_back():
    program = """
import joblib
import numpy as np
from ironprop import Network

X, Y = np.ones((5, 3)), np.ones((5, 2))

def main():
    networks = [Network([3, 4, 2], seed=seed, optimizer="adam") for seed in range(4)]
    def fitted(network):
        network.fit(X, Y, epochs=3, seed=1)
        return network
    with joblib.Parallel(n_jobs=2) as parallel:
        there = parallel(joblib.delayed(fitted)(network) for network in networks)
    print([fitted(network) == other for network, other in zip(networks, there)])
    print(len({joblib.hash(network) for network in networks}), joblib.hash(networks[0]) == joblib.hash(there[0]))

main()
"""
    assert run_python(program).splitlines() == ["[True, True, True, True]", "4 True"]


# Equality -----------------------------------------------------------------------------------------


def test_networks_are_equal_if_nothing_differs():
    def network(**options):
        return Network([3, 4, 2], **{"seed": 1, "dropout": 0.5, **options})

    one = network()
    assert one == network()
    assert (one != network()) is False
    others = [
        network(seed=2),
        network(dtype="float32"),
        network(activation="tanh"),
        network(output_activation="identity"),
        network(loss="mse"),
        network(optimizer="adam"),
        network(optimizer=optimizers.SGD(learning_rate=0.02)),
        network(dropout=0.4),
        Network([3, 4, 3], seed=1),
        Network([3, 2], seed=1),
    ]
    for other in others:
        assert one != other
        assert (one == other) is False
    assert one != 5
    assert one != "Network"
    assert one is not None


def test_equality_is_of_every_bit():
    one, other = Network([3, 4, 2], seed=1), Network([3, 4, 2], seed=1)
    for index in range(one.n_parameters):
        moved = one.parameters
        moved[index] = np.nextafter(moved[index], 10)
        other.parameters = moved
        assert one != other
    zeros, minus = np.zeros(one.n_parameters), np.zeros(one.n_parameters)
    minus[3] = -0.0
    one.parameters, other.parameters = zeros, minus
    assert one != other


def test_a_network_that_changes_has_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Network([2, 1]))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_functions_and_names_of_losses_make_networks_differ(loss):
    one, other = (
        Network([2, 3], output_activation=suitable(loss), loss=name, seed=1)
        for name in (loss, squared)
    )
    assert one != other


# Dicts that are no networks -----------------------------------------------------------------------

MISSING = object()
LONG = [1] * 200_000


def changed(name, value):
    """Return the change of one entry."""
    return {name: value}


BAD = [
    *(changed("format", value) for value in (0, 2, -1, 1.0, True, "1", None, MISSING)),
    *(changed("layer_sizes", value) for value in ([], [4], (4, 6, 5, 3), [4, 6, 5], None, MISSING)),
    *(
        changed("layer_sizes", [4, 6, 5, value])
        for value in (0, -1, 3.0, "3", True, None, 2**63, 4)
    ),
    changed("layer_sizes", [2**40, 2**40, 3, 3]),
    changed("layer_sizes", LONG),
    *(changed("activations", value) for value in ([], ["tanh"] * 2, ["tanh"] * 4, "tanh", None)),
    *(changed("activations", ["tanh", "tanh", value]) for value in ("swish", None, 5, "sigmoid")),
    changed("activations", ["softmax", "tanh", "softmax"]),
    *(changed("dtype", value) for value in ("float32", "float16", "int64", "", None, np.float64)),
    *(changed("parameters", value) for value in (None, [1.0], np.zeros(3), np.zeros((83, 1)))),
    *(changed("parameters", np.zeros(83, dtype)) for dtype in ("f4", "i8", "c16", "O", ">f8")),
    *(changed("loss", value) for value in ("swish", None, 5, {}, {"class": "Huber"}, "mse ")),
    changed("loss", {"class": "Huber", "delta": -1.0}),
    changed("loss", {"class": "Huber", "delta": 1.0, "more": 1}),
    changed("loss", {"class": "Adam"}),
    changed("loss", "binary_crossentropy"),
    *(changed("optimizer", value) for value in (None, "adam", {}, {"class": "Adam"}, MISSING)),
    changed("optimizer", {"class": "Huber", "delta": 1.0}),
    changed("optimizer", {"class": "eval", "delta": 1.0}),
    changed("optimizer", {"class": ["Adam"]}),
    *(changed("optimizer_step", value) for value in (-1, 1.0, None, "1", True, 2**64)),
    *(changed("optimizer_vectors", value) for value in (None, [], [np.zeros(83)], "ab")),
    changed("optimizer_vectors", [np.zeros(83)] * 3),
    changed("optimizer_vectors", [np.zeros(83), np.zeros(82)]),
    changed("optimizer_vectors", [np.zeros(83), np.zeros(83, "f4")]),
    changed("optimizer_vectors", [np.zeros(83), [0.0] * 83]),
    *(changed("dropout", value) for value in (0.5, [0.5], [0.5] * 3, [0.5, 1.0], [0.5, "a"], None)),
    *(changed("seed", value) for value in (-1, 2**64, 1.0, None, True)),
    changed("more", 1),
    {"loss": {"class": "Quantile", "quantile": 0.5}, "parameters": np.zeros(84)},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: "-".join(change))
def test_a_dict_that_is_no_network_is_refused_and_nothing_is_half_filled(change):
    options = {"activation": "tanh", "loss": "categorical_crossentropy", "optimizer": "adam"}
    network, _, _ = trained({**options, "dropout": 0.25})
    state = network.__getstate__()
    assert state["parameters"].size == 83
    bad = {name: value for name, value in {**state, **change}.items() if value is not MISSING}
    before = digest(state)
    with pytest.raises(ValueError, match="state"):
        network.__setstate__(bad)
    assert digest(network.__getstate__()) == before
    empty = object.__new__(Network)
    with pytest.raises(ValueError, match="state"):
        empty.__setstate__(bad)
    assert vars(empty) == {}
    network.__setstate__(state)
    assert digest(network.__getstate__()) == before


@pytest.mark.parametrize("state", [None, 5, "a", [], {}, {"format": 1}, {1: 2}])
def test_what_is_no_state_at_all_is_refused(state):
    with pytest.raises(ValueError, match="state"):
        Network([2, 1]).__setstate__(state)


def test_a_state_takes_the_place_of_all_that_was():
    network, X, Y = trained(NETWORKS[2])
    other = Network([7, 2], dtype="float32", loss="mse")
    other.__setstate__(network.__getstate__())
    assert other == network
    assert other.train_step(X, Y) == network.train_step(X, Y)
    _, samples, _ = drawn((4, 3), ["tanh"], "mse", 2, 1)
    assert same_bits(other.predict(samples), network.predict(samples))
