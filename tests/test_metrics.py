"""Metrics: worked by hand, on edge cases, with weights, and what is no metric."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ironprop import Network, metrics
from ironprop.metrics import accuracy, binary_accuracy, f1, mae, mse, precision, r2, recall, rmse

NAMES = [name for name in metrics.__all__ if name != "Metric"]
CLASSES = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.9, 0.05, 0.05]]
ROWS = np.eye(3)[[0, 2, 0, 1]]
ANSWERS, TRUTH = [[0.9], [0.8], [0.3], [0.5], [0.51]], [[1], [0], [1], [0], [1]]


def test_accuracy_is_the_share_of_right_classes():
    assert accuracy(CLASSES, ROWS) == 0.5
    assert accuracy(ANSWERS, TRUTH) == 0.6  # 0.5 is no yes
    assert accuracy(CLASSES, ROWS, [1, 1, 0, 0]) == 1.0
    assert accuracy(CLASSES, ROWS, [1, 0, 3, 0]) == 0.25
    assert binary_accuracy([[0.9, 0.1], [0.9, 0.1]], [[1, 0], [0, 0]]) == 0.75
    assert binary_accuracy([[0.9, 0.1], [0.9, 0.1]], [[1, 0], [0, 0]], [1, 3]) == 0.625


def test_precision_recall_and_f1_are_those_of_the_positive_class():
    # called positive: 0, 1, 4; positive: 0, 2, 4
    assert precision(ANSWERS, TRUTH) == 2 / 3
    assert recall(ANSWERS, TRUTH) == 2 / 3
    assert f1(ANSWERS, TRUTH) == 2 / 3
    weight = [1, 4, 1, 1, 1]
    assert precision(ANSWERS, TRUTH, weight) == 2 / 6
    assert recall(ANSWERS, TRUTH, weight) == 2 / 3
    assert f1(ANSWERS, TRUTH, weight) == 4 / 9
    two = np.hstack([1 - np.array(ANSWERS), np.array(ANSWERS)])
    rows = np.eye(2)[np.ravel(TRUTH)]
    for metric in (precision, recall, f1):
        assert metric(two, rows) == metric(ANSWERS, TRUTH)
    no, yes = [[0.0], [0.0]], [[1.0], [1.0]]
    for metric in (precision, recall, f1):
        assert metric(no, yes) == metric(no, no) == metric(yes, no) == 0.0
        assert metric(yes, yes) == 1.0


def test_errors_are_means_over_samples_and_outputs():
    pred, Y = [[1.0, 2.0], [3.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]
    assert mse(pred, Y) == (4 + 9) / 4
    assert rmse(pred, Y) == math.sqrt(13 / 4)
    assert mae(pred, Y) == (2 + 3) / 4
    assert mse(pred, Y, [3, 1]) == (3 * 4 + 9) / 8
    assert mae(pred, Y, [3, 1]) == (3 * 2 + 3) / 8
    assert mse(pred, 0.0) == (1 + 4 + 9) / 4
    assert mse(pred, [1.0, 0.0]) == (4 + 4) / 4


def test_r2_is_the_explained_share_of_the_variance():
    Y = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    pred = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    share = 1 - 1 / np.square(Y[:, 0] - Y[:, 0].mean()).sum()
    assert abs(r2(pred[:, :1], Y[:, :1]) - share) < 1e-15
    assert abs(r2(pred, Y) - (share + 1) / 2) < 1e-15  # a constant that is exact
    assert abs(r2(pred + np.array([0, 1]), Y) - share / 2) < 1e-15  # and one that is not
    assert r2(Y, Y) == 1.0
    assert r2(np.broadcast_to(Y.mean(axis=0), Y.shape), Y) == pytest.approx(0.5)
    assert r2(Y[:1], Y[:1]) == 1.0
    assert r2(Y[:1] + 1, Y[:1]) == 0.0
    assert r2(pred, Y, [1, 1, 0]) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_a_float_and_knows_its_weights(name):
    metric = getattr(metrics, name)
    random = np.random.default_rng(1)
    pred, Y = random.uniform(size=(40, 1)), random.integers(2, size=(40, 1)).astype(float)
    weight = random.integers(0, 4, 40).astype(float)
    repeats = np.repeat(np.arange(40), weight.astype(int))
    assert type(metric(pred, Y)) is float
    assert metric(pred, Y, weight) == pytest.approx(metric(pred[repeats], Y[repeats]))
    assert metric(pred, Y, np.ones(40)) == pytest.approx(metric(pred, Y))
    assert metric(pred.astype("f4"), Y.astype(int)) == pytest.approx(metric(pred, Y), rel=1e-6)
    assert metrics.NAMED[name] is metric


@pytest.mark.parametrize(
    ("pred", "Y", "weight"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        (np.zeros((0, 1)), np.zeros((0, 1)), None),
        (np.zeros((2, 1)), np.zeros(2), None),
        (np.zeros((2, 1)), np.zeros((1, 2)), None),
        (np.zeros((2, 2)), np.zeros((2, 1)), None),
        (np.zeros((2, 2)), np.zeros((3, 2)), None),
        (np.zeros((2, 2)), np.zeros((2, 2)), [1.0]),
        (np.zeros((2, 2)), np.zeros((2, 2)), [[1.0, 1.0]]),
        (np.zeros((2, 2)), np.zeros((2, 2)), [1.0, -1.0]),
        (np.zeros((2, 2)), np.zeros((2, 2)), [0.0, 0.0]),
        (np.zeros((2, 2)), np.zeros((2, 2)), [1.0, np.nan]),
        (np.zeros((2, 2)), np.zeros((2, 2)), [1.0, np.inf]),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_refused(name, pred, Y, weight):
    with pytest.raises(ValueError, match=r"pred|\bY\b|sample_weight"):
        getattr(metrics, name)(pred, Y, weight)


@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_metrics_of_two_classes_are_not_for_more(metric):
    with pytest.raises(ValueError, match="two classes"):
        metric(CLASSES, ROWS)


@pytest.mark.parametrize(
    ("wanted", "exception"),
    [
        ("auc", ValueError),
        (["mse", "auc"], ValueError),
        ([""], ValueError),
        (["mse", "mse"], ValueError),
        (["mse", mse], ValueError),
        ([lambda p, y: 0, lambda p, y: 1], ValueError),
        (["loss"], ValueError),
        ([5], TypeError),
        (5, TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_metric_is_refused_by_name(wanted, exception):
    network = Network([2, 1], seed=1)
    start = network.parameters
    X, Y = np.ones((3, 2)), np.ones((3, 1))
    for call in (
        network.evaluate,
        lambda X, Y, metrics: network.fit(X, Y, epochs=1, metrics=metrics),
    ):
        with pytest.raises(exception, match="metrics"):
            call(X, Y, metrics=wanted)
    assert (network.parameters == start).all()


def test_a_metric_must_return_a_number():
    def words(pred, Y):
        return "good"

    network = Network([2, 1], seed=1)
    for returned in (words, lambda pred, Y: None, lambda pred, Y: pred):
        with pytest.raises(TypeError, match="must return a number"):
            network.evaluate(np.ones((3, 2)), np.ones((3, 1)), metrics=[returned])


def test_a_metric_may_be_any_callable():
    class Largest:
        """The largest error."""

        def __call__(self, pred, Y):
            """Return it."""
            return np.abs(pred - Y).max()

    network = Network([2, 1], init="zeros")
    assert network.evaluate([[1.0, 2.0]], [[0.25]], metrics=[Largest()])["Largest"] == 0.25
