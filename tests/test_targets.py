"""Targets: labels that stand for rows, weights of classes that become those of samples, and what is neither.

For a softmax the labels are whole numbers, for a single sigmoid 0 and 1; every method that takes targets takes them,
with the bits of the rows that they stand for.
"""

from __future__ import annotations

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network
from network_oracle import drawn, suitable
from oracle import deviation


def network_for(loss, sizes=(4, 6, 3), **options):
    """Return a network with an output that suits the loss."""
    return Network(sizes, activation="tanh", output_activation=suitable(loss), loss=loss, **options)


# Labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8, list])
def test_class_labels_stand_for_rows(kind, dtype):
    _, X, Y = drawn((4, 6, 3), ["tanh", "softmax"], "categorical_crossentropy", 9, 2)
    X, Y = X.astype(dtype), Y.astype(dtype)
    labels = Y.argmax(axis=1)
    labels = labels.tolist() if kind is list else labels.astype(kind)
    one, other = (network_for("categorical_crossentropy", seed=1, dtype=dtype) for _ in "ab")
    for network, targets in ((one, labels), (other, Y)):
        network.train_step(X, targets)
        network.train(X, targets, epochs=2, batch_size=4)
        network.fit(X, targets, epochs=2, batch_size=4, seed=1, validation_split=0.3)
        network.fit(X, targets, epochs=1, validation_data=(X, targets), seed=1)
        network.partial_fit(X, targets)
    assert same_bits(one.parameters, other.parameters)
    assert one.evaluate(X, labels, metrics="accuracy") == other.evaluate(X, Y, metrics="accuracy")
    assert same_bits(one.gradients(X, labels)[1], other.gradients(X, Y)[1])
    assert same_bits(one.sample_gradients(X, labels), other.sample_gradients(X, Y))
    assert same_bits(one.sample_gradients(X, Y.astype(int)), other.sample_gradients(X, Y))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [np.int64, bool, np.float64, np.float32, list])
def test_answers_stand_for_a_column(kind, dtype):
    _, X, Y = drawn((4, 6, 1), ["tanh", "sigmoid"], "binary_crossentropy", 9, 2)
    X, Y = X.astype(dtype), Y.astype(dtype)
    labels = Y[:, 0].astype(int).tolist() if kind is list else Y[:, 0].astype(kind)
    one, other = (network_for("binary_crossentropy", (4, 6, 1), seed=1, dtype=dtype) for _ in "ab")
    for network, targets in ((one, labels), (other, Y)):
        network.train_step(X, targets)
        network.fit(X, targets, epochs=2, batch_size=4, seed=1, validation_split=0.3)
    assert same_bits(one.parameters, other.parameters)
    assert one.evaluate(X, labels, metrics="f1") == other.evaluate(X, Y, metrics="f1")


X6 = np.ones((6, 4))


@pytest.mark.parametrize(
    ("loss", "labels", "words"),
    [
        ("categorical_crossentropy", [0, 1, 2, 3, 0, 1], ["label 3", "0 to 2"]),
        ("categorical_crossentropy", [0, 1, 2, -1, 0, 1], ["label -1"]),
        ("categorical_crossentropy", [0, 1, 2, 0, 1], ["5 labels", "6 samples"]),
        ("categorical_crossentropy", [0, 1, 2, 0, 1, 2, 0], ["7 labels", "6 samples"]),
        ("categorical_crossentropy", [], ["Y"]),
        ("categorical_crossentropy", 3, ["label 3"]),
        ("categorical_crossentropy", [0.5] * 6, ["Y"]),
        ("binary_crossentropy", [0, 1, 2, 0, 1, 1], ["label 2", "0 or 1"]),
        ("binary_crossentropy", [0.0, 0.5, 1, 0, 1, 1], ["label 0.5", "reshape"]),
        ("binary_crossentropy", [0.0, np.nan, 1, 0, 1, 1], ["label nan"]),
        ("binary_crossentropy", [0, 1, 1], ["Y"]),
        ("half_squared_error", [0, 1, 1, 0, 1, 1], ["Y", "reshape"]),
    ],
)
def test_labels_that_cannot_be_are_refused(loss, labels, words):
    network = network_for(loss, (4, 1 if loss != "categorical_crossentropy" else 3))
    before = digest(network.__getstate__())
    calls = [network.train_step, network.gradients, network.evaluate, network.partial_fit]
    for call in [*calls, lambda X, Y: network.fit(X, Y, epochs=1)]:
        with pytest.raises((ValueError, TypeError)) as caught:
            call(X6, labels)
        for word in words:
            assert word in str(caught.value), caught.value
    assert digest(network.__getstate__()) == before


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_what_are_no_samples_is_refused_before_the_labels(loss):
    network = network_for(loss)
    for samples in (5.0, None, "abcd", X6[0]):
        with pytest.raises((TypeError, ValueError), match=r"\bX\b"):
            network.train_step(samples, 0.5)


def test_one_row_and_one_label_are_for_all_samples():
    network = network_for("categorical_crossentropy", (4, 3), seed=1)
    whole = network.gradients(X6, np.tile([0.0, 1.0, 0.0], (6, 1)))
    for targets in ([0.0, 1.0, 0.0], [0, 1, 0], 1, np.int8(1)):
        loss, gradient = network.gradients(X6, targets)
        assert loss == whole[0]
        assert same_bits(gradient, whole[1])


# Weights of classes -------------------------------------------------------------------------------


def test_class_weights_are_those_of_the_samples():
    _, X, Y = drawn((4, 6, 3), ["tanh", "softmax"], "categorical_crossentropy", 30, 2)
    labels = Y.argmax(axis=1)
    weight = np.random.default_rng(1).uniform(0, 2, 30)
    classes = {0: 0.5, np.int64(2): 3}
    per_sample = np.array([0.5, 1.0, 3.0])[labels]
    counts = np.bincount(labels)
    cases = [
        ({"class_weight": classes}, per_sample),
        ({"class_weight": classes, "sample_weight": weight}, per_sample * weight),
        ({"class_weight": "balanced"}, (30 / (3 * counts))[labels]),
        ({"class_weight": {}}, None),
    ]
    for options, expected in cases:
        for targets in (labels, Y):
            for method, more in (("fit", {"epochs": 2, "seed": 1}), ("partial_fit", {})):
                one, other = (network_for("categorical_crossentropy", seed=1) for _ in "ab")
                getattr(one, method)(X, targets, **more, **options)
                getattr(other, method)(X, Y, **more, sample_weight=expected)
                assert deviation(one.parameters, other.parameters) < 1e-14


def test_balanced_classes_weigh_the_same_and_only_those_trained_on_count():
    labels = np.array([0] * 6 + [1] * 2 + [1] * 2)  # the last two are held out
    X = np.random.default_rng(1).normal(size=(10, 4))
    one, other = (network_for("binary_crossentropy", (4, 1), seed=1) for _ in "ab")
    one.fit(X, labels, epochs=2, seed=1, class_weight="balanced", validation_split=0.2)
    weight = np.array([8 / (2 * 6)] * 6 + [8 / (2 * 2)] * 2)
    other.fit(X[:8], labels[:8], epochs=2, seed=1, sample_weight=weight)
    assert deviation(one.parameters, other.parameters) < 1e-15


def test_a_class_that_is_missing_has_no_share_in_the_balance():
    X = np.random.default_rng(1).normal(size=(8, 4))
    labels = np.array([0] * 6 + [2] * 2)
    one, other = (network_for("categorical_crossentropy", seed=1) for _ in "ab")
    one.partial_fit(X, labels, class_weight="balanced")
    other.partial_fit(X, labels, sample_weight=np.array([8 / (2 * 6)] * 6 + [8 / (2 * 2)] * 2))
    assert deviation(one.parameters, other.parameters) < 1e-15


def test_class_weights_are_for_targets_of_any_loss_that_name_a_class():
    _, X, Y = drawn((4, 6, 3), ["tanh", "softmax"], "categorical_crossentropy", 9, 2)
    one, other = (Network([4, 6, 3], seed=1) for _ in "ab")
    one.fit(X, Y, epochs=1, seed=1, class_weight={1: 2.0})
    other.fit(X, Y, epochs=1, seed=1, sample_weight=1.0 + Y[:, 1])
    assert same_bits(one.parameters, other.parameters)


@pytest.mark.parametrize(
    ("class_weight", "exception"),
    [
        ("even", ValueError),
        ({3: 1.0}, ValueError),
        ({-1: 1.0}, ValueError),
        ({0: -1.0}, ValueError),
        ({0: np.nan}, ValueError),
        ({0: np.inf}, ValueError),
        ({0: "a"}, TypeError),
        ({"a": 1.0}, TypeError),
        ({0.5: 1.0}, TypeError),
        ([1.0, 2.0, 3.0], TypeError),
        (2.0, TypeError),
    ],
)
def test_class_weights_that_cannot_be_are_refused_and_change_nothing(class_weight, exception):
    _, X, Y = drawn((4, 6, 3), ["tanh", "softmax"], "categorical_crossentropy", 9, 2)
    network = network_for("categorical_crossentropy")
    before = digest(network.__getstate__())
    for call in (network.partial_fit, lambda *data, **more: network.fit(*data, epochs=1, **more)):
        with pytest.raises(exception, match="class_weight"):
            call(X, Y, class_weight=class_weight)
    assert digest(network.__getstate__()) == before


@pytest.mark.parametrize(
    ("weight", "exception"),
    [(np.ones(8), ValueError), (np.ones((9, 1)), ValueError), (["a"] * 9, TypeError)],
)
def test_weights_of_samples_that_do_not_fit_are_refused_beside_those_of_classes(weight, exception):
    _, X, Y = drawn((4, 6, 3), ["tanh", "softmax"], "categorical_crossentropy", 9, 2)
    network = network_for("categorical_crossentropy")
    with pytest.raises(exception, match="sample_weight"):
        network.fit(X, Y, epochs=1, class_weight="balanced", sample_weight=weight)


def test_targets_that_do_not_fit_are_refused_with_weights_of_classes():
    network = network_for("mse", (4, 2))
    for targets in (np.ones((5, 2)), np.ones((6, 1)), np.ones((6, 2, 1))):
        with pytest.raises(ValueError, match=r"\bY\b|class_weight"):
            network.fit(X6, targets, epochs=1, class_weight="balanced")


def test_class_weights_need_classes():
    _, X, Y = drawn((4, 6, 3), ["tanh", "identity"], "mse", 9, 2)
    for targets in (Y, np.ones((9, 3)), np.full((9, 3), 1 / 3)):
        with pytest.raises(ValueError, match="class_weight"):
            network_for("mse").fit(X, targets, epochs=1, class_weight="balanced")
