"""`fit`, `partial_fit`, `evaluate`: the bits of `train`, and what is measured between the epochs.

What a fit measures is what one measures by hand between its epochs, and measuring changes no bit. Validation data are
held out as in Keras. What is shown of it is in `test_history.py`, what ends it early in `test_callbacks.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network, metrics
from ironprop.callbacks import EarlyStopping
from network_oracle import drawn
from processes import run_python


def data(n_samples=20, dtype="float64"):
    """Return samples and targets for layers 4-6-2."""
    _, X, Y = drawn((4, 6, 2), ["tanh", "identity"], "mse", n_samples, 3)
    return X.astype(dtype), Y.astype(dtype)


def network(**options):
    """Return a network 4-6-2."""
    options = {
        "activation": "tanh",
        "output_activation": "identity",
        "loss": "mse",
        "seed": 1,
        **options,
    }
    return Network([4, 6, 2], **options)


# The bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_a_fit_is_a_train(batch_size, shuffle, dtype):
    X, Y = data(dtype=dtype)
    fitted, trained = network(dtype=dtype, optimizer="adam"), network(dtype=dtype, optimizer="adam")
    options = {"epochs": 5, "batch_size": batch_size, "shuffle": shuffle, "seed": 8}
    history = fitted.fit(X, Y, **options)
    assert same_bits(history.loss, trained.train(X, Y, **options))
    assert same_bits(fitted.parameters, trained.parameters)


WATCHED = [
    {"metrics": ["r2", "mae"]},
    {"callbacks": [lambda network, epoch, logs: network.predict(np.ones((3, 4)))]},
    {"validation_data": (np.ones((3, 4)), np.ones((3, 2)))},
    {"early_stopping": EarlyStopping(metric="loss", patience=100, restore_best=False)},
    {"verbose": True, "log_every": 2},
    {"progress": True},
    {"progress": True, "verbose": True, "log_every": 3, "metrics": "mse"},
]


@pytest.mark.parametrize("options", WATCHED, ids=lambda options: "-".join(options))
def test_watching_a_training_changes_no_bit_of_it(options, capsys):
    X, Y = data()
    watched, alone = network(dropout=0.2), network(dropout=0.2)
    for _ in range(2):  # the second goes on
        one = watched.fit(X, Y, epochs=7, batch_size=6, seed=2, **options)
        other = alone.fit(X, Y, epochs=7, batch_size=6, seed=2)
        assert same_bits(one.loss, other.loss)
        assert same_bits(one.rate, other.rate)
    assert same_bits(watched.parameters, alone.parameters)


def test_a_second_fit_goes_on():
    X, Y = data()
    once, twice = network(optimizer="adam"), network(optimizer="adam")
    whole = once.fit(X, Y, epochs=6, shuffle=False)
    parts = [twice.fit(X, Y, epochs=epochs, shuffle=False) for epochs in (2, 0, 4)]
    assert same_bits(whole.loss, np.concatenate([part.loss for part in parts]))
    assert same_bits(once.parameters, twice.parameters)


def test_a_batch_larger_than_the_data_is_all_of_them():
    X, Y = data()
    hashes = set()
    for batch_size in (None, 20, 21, 10**9):
        other = network()
        history = other.fit(X, Y, epochs=3, batch_size=batch_size, seed=1)
        hashes.add(digest(history.loss, other.parameters))
    assert len(hashes) == 1
    default, thirty_two = network(), network()
    default.fit(*data(70), epochs=2, seed=1)
    thirty_two.fit(*data(70), epochs=2, seed=1, batch_size=32)
    assert same_bits(default.parameters, thirty_two.parameters)


def test_a_seed_fixes_the_orders_and_none_does_not():
    X, Y = data()

    def trained(seed):
        other = network()
        other.fit(X, Y, epochs=2, batch_size=3, seed=seed)
        return digest(other.parameters)

    assert trained(5) == trained(5) == trained(np.int64(5))
    assert trained(np.random.default_rng(1)) == trained(np.random.default_rng(1))
    assert len({trained(None), trained(None), trained(5), trained(2**64 - 1)}) == 4


def test_dropout_is_fixed_by_the_seed_of_the_network():
    X, Y = data()
    networks = [
        network(seed=seed, dropout=rate) for seed, rate in ((1, 0.5), (1, 0.5), (2, 0.5), (1, 0.0))
    ]
    for other in networks[1:]:
        other.parameters = networks[0].parameters
    for other in networks:
        other.fit(X, Y, epochs=3, batch_size=5, seed=1)
    assert same_bits(networks[0].parameters, networks[1].parameters)
    assert len({digest(other.parameters) for other in networks}) == 3


def test_dropout_leaves_out_as_many_units_as_it_should():
    other = Network(
        [1, 4000, 1],
        activation="identity",
        init="zeros",
        loss="half_squared_error",
        dropout=0.25,
        seed=1,
    )
    W, B = [np.ones((1, 4000)), np.zeros((4000, 1))], [np.zeros(4000), np.zeros(1)]
    other.weights, other.biases = W, B
    other.train_step([[1.0]], [[-1.0]], learning_rate=1.0)
    moved = other.weights[1][:, 0]  # by the error 1 times the unit's output: 0, or 1 / (1 - 0.25)
    assert set(np.round(moved, 12)) == {0.0, round(-4 / 3, 12)}
    assert 0.2 < np.mean(moved == 0) < 0.3
    assert (other.predict([[0.0]]) == other.predict([[0.0]])).all()


# Validation ---------------------------------------------------------------------------------------


def test_the_validation_loss_is_the_loss_after_each_epoch():
    X, Y = data()
    held_out = data(30)
    watched, by_hand = network(), network()
    history = watched.fit(X, Y, epochs=4, batch_size=6, shuffle=False, validation_data=held_out)
    expected = []
    for _ in range(4):
        by_hand.train(X, Y, epochs=1, batch_size=6)
        expected.append(by_hand.evaluate(*held_out)["loss"])
    assert history.val_loss.tolist() == expected
    weight = np.linspace(0, 2, 30)
    weighted = network().fit(
        X, Y, epochs=1, shuffle=False, batch_size=6, validation_data=(*held_out, weight)
    )
    one = network()
    one.train(X, Y, epochs=1, batch_size=6)
    assert weighted.val_loss[0] == one.evaluate(*held_out, sample_weight=weight)["loss"]


@pytest.mark.parametrize(
    ("share", "kept"), [(0.25, 15), (0.05, 19), (0.01, 19), (0.94, 1), (0.5, 10)]
)
def test_a_validation_split_holds_out_the_last_samples(share, kept):
    X, Y = data()
    weight = np.linspace(0.5, 2, 20)
    split, by_hand = network(), network()
    one = split.fit(X, Y, epochs=3, seed=1, validation_split=share, sample_weight=weight)
    other = by_hand.fit(
        X[:kept],
        Y[:kept],
        epochs=3,
        seed=1,
        sample_weight=weight[:kept],
        validation_data=(X[kept:], Y[kept:], weight[kept:]),
    )
    assert same_bits(split.parameters, by_hand.parameters)
    assert same_bits(one.val_loss, other.val_loss)


def test_what_cannot_be_split_is_refused_and_changes_nothing():
    X, Y = data()
    other = network()
    before = digest(other.__getstate__())
    for arguments, words in (
        ({"X": X, "Y": Y[:15]}, "Y has 15 rows"),
        ({"X": X, "Y": Y[:5]}, "Y has 5 rows"),
        ({"X": X, "Y": Y, "sample_weight": np.ones(15)}, "sample_weight"),
        ({"X": X, "Y": Y, "sample_weight": 1.0}, "sample_weight"),
        ({"X": X[:1], "Y": Y[:1]}, "validation_split"),
        ({"X": X[:0], "Y": Y[:0]}, "validation_split"),
    ):
        with pytest.raises(ValueError, match=words):
            other.fit(**arguments, epochs=1, validation_split=0.25)
    assert digest(other.__getstate__()) == before


def test_targets_for_all_samples_are_not_split():
    X, _ = data()
    for Y in (0.5, [0.5, 0.25], np.float64(0.5)):
        split, by_hand = network(), network()
        one = split.fit(X, Y, epochs=3, seed=1, validation_split=0.25)
        other = by_hand.fit(X[:15], Y, epochs=3, seed=1, validation_data=(X[15:], Y))
        assert same_bits(split.parameters, by_hand.parameters)
        assert same_bits(one.val_loss, other.val_loss)


# Metrics and evaluation ---------------------------------------------------------------------------


def test_metrics_are_measured_after_each_epoch_on_both_parts():
    X, Y = data()

    def largest(pred, targets):
        return np.abs(pred - targets).max()

    watched, by_hand = network(), network()
    history = watched.fit(
        X, Y, epochs=3, batch_size=6, shuffle=False, validation_split=0.25, metrics=["r2", largest]
    )
    assert list(history.metrics) == ["r2", "largest", "val_r2", "val_largest"]
    for epoch in range(3):
        by_hand.train(X[:15], Y[:15], epochs=1, batch_size=6)
        for prefix, part in (("", slice(0, 15)), ("val_", slice(15, 20))):
            pred = by_hand.predict(X[part])
            assert history.metrics[prefix + "r2"][epoch] == metrics.r2(pred, Y[part])
            assert history.metrics[prefix + "largest"][epoch] == largest(pred, Y[part])


def test_an_evaluation_measures_loss_and_metrics():
    X, Y = data()
    other = network(dropout=0.5, optimizer="adam")
    pred = other.predict(X)
    before = digest(other.__getstate__())
    result = other.evaluate(X, Y, metrics=["rmse", metrics.mae, lambda pred, Y: 7])
    assert list(result) == ["loss", "rmse", "mae", "<lambda>"]
    assert abs(result["loss"] - np.square(pred - Y).mean()) < 1e-14
    assert abs(result["rmse"] - math.sqrt(result["loss"])) < 1e-14
    assert result["mae"] == np.abs(pred - Y).mean(axis=1).mean()
    assert result["<lambda>"] == 7.0
    assert all(type(value) is float for value in result.values())
    weight = np.linspace(0, 2, 20)
    weighted = other.evaluate(X, Y, metrics="mse", sample_weight=weight)
    squares = np.square(pred - Y).mean(axis=1)
    assert abs(weighted["loss"] - (weight * squares).mean()) < 1e-14
    assert abs(weighted["mse"] - np.average(squares, weights=weight)) < 1e-14
    assert digest(other.__getstate__()) == before


def test_accuracy_of_several_answers_counts_each_of_them():
    X = np.eye(2)
    one_answer = Network([2, 2], loss="binary_crossentropy", init="zeros")
    one_answer.weights = [np.array([[9.0, 9.0], [9.0, -9.0]])]
    assert one_answer.evaluate(X, [[1, 0], [1, 0]], metrics="accuracy")["accuracy"] == 0.75
    classes = Network([2, 2], loss="categorical_crossentropy", init="zeros")
    classes.weights = [np.array([[9.0, 8.0], [9.0, -9.0]])]
    assert classes.evaluate(X, [0, 1], metrics="accuracy")["accuracy"] == 0.5


def test_partial_fits_go_on_as_one_training():
    X, Y = data()
    parts, whole = network(optimizer="adam"), network(optimizer="adam")
    losses = [parts.partial_fit(X[i : i + 5], Y[i : i + 5]) for i in (0, 5, 10, 15)]
    (loss,) = whole.train(X, Y, epochs=1, batch_size=5)
    assert all(type(value) is float for value in losses)
    assert abs(np.mean(losses) - loss) < 1e-15
    assert same_bits(parts.parameters, whole.parameters)
    assert parts.partial_fit(X, Y, batch_size=7) == whole.train(X, Y, epochs=1, batch_size=7)[0]


# Where the time goes ------------------------------------------------------------------------------


def test_the_core_runs_all_epochs_in_one_call_where_nothing_is_watched():
    # Python code that runs between epochs would show as calls of functions.
    program = """
import sys
import numpy as np
from ironprop import Network
network, X, Y = Network([2, 2, 1], seed=1), np.ones((5, 2)), np.ones((5, 1))

def calls(epochs, **options):
    seen = []
    network.fit(X, Y, epochs=3, **options)
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    network.fit(X, Y, epochs=epochs, **options)
    sys.setprofile(None)
    return len(seen)

print(calls(5) == calls(5000))
print(calls(5, metrics="mae") < calls(50, metrics="mae"))
"""
    assert run_python(program) == "True\nTrue\n"
