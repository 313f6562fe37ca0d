"""Early stopping and callbacks: when they end a training, with which parameters, and what an exception leaves.

Early stopping is compared with its rule by hand, on any metric, less or more being better. A callback sees every
epoch, may change the network, and ends it by `StopTraining`. Whatever else it raises comes through, and the network
can be used.
"""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import EarlyStopping, Network, StopTraining
from ironprop.callbacks import Best


def data():
    """Return samples and targets that a net soon knows by heart: 12 to train on, 12 to validate with."""
    random = np.random.default_rng(4)
    X, Y = random.normal(size=(24, 3)), random.uniform(size=(24, 1))
    return X[:12], Y[:12], (X[12:], Y[12:])


def network(**options):
    """Return a network that overfits."""
    options = {
        "activation": ["tanh", "identity"],
        "loss": "mse",
        "optimizer": "adam",
        "seed": 1,
        **options,
    }
    return Network([3, 30, 1], **options)


def stopping_epoch(values, patience, min_delta=0.0, sign=1):
    """Return the epoch after which to stop and the best one, by the rule."""
    best, best_epoch, waited = math.inf, None, 0
    for epoch, value in enumerate(values):
        if best - sign * value > min_delta:
            best, best_epoch, waited = sign * value, epoch, 0
            continue
        waited += 1
        if waited >= patience:
            return epoch, best_epoch
    return len(values) - 1, best_epoch


# Early stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "mode", "sign"),
    [
        ("val_loss", "auto", 1),
        ("val_r2", "auto", -1),
        ("val_mae", "auto", 1),
        ("val_worst", "auto", 1),
        ("val_worst", "min", 1),
        ("val_loss", "max", -1),
        ("r2", "min", 1),
    ],
)
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (5, 0.0), (4, 0.02)])
def test_a_training_ends_where_its_metric_no_longer_gets_better(
    metric, mode, sign, patience, min_delta
):
    def worst(pred, Y):
        return np.abs(pred - Y).max()

    X, Y, held_out = data()
    watch = {"validation_data": held_out, "metrics": ["r2", "mae", worst], "shuffle": False}
    long, short = network(), network()
    parameters = []
    whole = long.fit(
        X,
        Y,
        epochs=150,
        **watch,
        callbacks=[lambda network, epoch, logs: parameters.append(network.parameters)],
    )
    values = whole.val_loss if metric == "val_loss" else whole.metrics[metric]
    last, best = stopping_epoch(values, patience, min_delta, sign)
    stopping = EarlyStopping(metric=metric, mode=mode, patience=patience, min_delta=min_delta)
    history = short.fit(X, Y, epochs=150, **watch, early_stopping=stopping)
    assert len(history) == last + 1
    assert history.best_epoch == best
    assert history.stopped == ("early_stopping" if last < 149 else None)
    assert same_bits(history.loss, whole.loss[: last + 1])
    assert same_bits(short.parameters, parameters[best])


def test_the_best_parameters_come_back_only_if_they_should():
    X, Y, held_out = data()
    parameters = []

    def remember(network, epoch, logs):
        parameters.append(network.parameters)

    kept = network()
    stopping = EarlyStopping(patience=5, restore_best=False)
    history = kept.fit(
        X, Y, epochs=500, validation_data=held_out, early_stopping=stopping, callbacks=[remember]
    )
    assert history.stopped == "early_stopping"
    assert history.best_epoch == len(history) - 6
    assert same_bits(kept.parameters, parameters[-1])


def test_the_best_parameters_come_back_at_the_end_of_all_epochs_too():
    X, Y, held_out = data()
    parameters = []

    def remember(network, epoch, logs):
        parameters.append(network.parameters)

    other = network()
    history = other.fit(
        X,
        Y,
        epochs=200,
        validation_data=held_out,
        early_stopping=EarlyStopping(patience=1000),
        callbacks=[remember],
    )
    assert len(history) == 200
    assert history.stopped is None
    assert history.best_epoch == history.val_loss.argmin() < 199
    assert same_bits(other.parameters, parameters[history.best_epoch])
    assert other.evaluate(*held_out)["loss"] == history.val_loss.min()


def test_a_stopping_can_be_used_again():
    X, Y, held_out = data()
    stopping = EarlyStopping(patience=5)
    histories = [
        network().fit(X, Y, epochs=500, validation_data=held_out, early_stopping=stopping, seed=1)
        for _ in range(2)
    ]
    assert same_bits(histories[0].val_loss, histories[1].val_loss)


def test_nan_is_never_better():
    values = iter([3.0, 1.0, np.nan, np.nan, 2.0, np.nan])

    def metric(pred, Y):
        return next(values)

    X, Y, _ = data()
    stopping = EarlyStopping(metric="metric", patience=3)
    history = network().fit(X, Y, epochs=100, metrics=[metric], early_stopping=stopping)
    assert len(history) == 5
    assert history.best_epoch == 1
    best = Best(0.0, larger_is_better=True)
    assert [best.better(value) for value in (np.nan, -np.inf, 1.0, 1.0, 2.0)] == [
        *(False, False, True, False, True)
    ]


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("val_loss", {}),
        ("accuracy", {}),
        ("val_r2", {"metrics": ["r2"]}),
        ("r2", {"validation_split": 0.5}),
        ("rate", {}),
        ("", {}),
    ],
)
def test_a_metric_that_there_is_not_is_refused_before_the_training(metric, options):
    X, Y, _ = data()
    other = network()
    before = digest(other.__getstate__())
    with pytest.raises(ValueError, match="early_stopping") as caught:
        other.fit(X, Y, epochs=3, early_stopping=EarlyStopping(metric=metric), **options)
    assert repr(metric) in str(caught.value)
    assert digest(other.__getstate__()) == before


@pytest.mark.parametrize(
    ("name", "value", "exception"),
    [
        ("metric", None, TypeError),
        ("metric", 5, TypeError),
        ("patience", 0, ValueError),
        ("patience", -1, ValueError),
        ("patience", 1.5, TypeError),
        ("min_delta", -0.1, ValueError),
        ("min_delta", np.nan, ValueError),
        ("min_delta", "a", TypeError),
        ("restore_best", 1, TypeError),
        ("restore_best", "yes", TypeError),
        ("mode", "less", ValueError),
        ("mode", None, ValueError),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(name, value, exception):
    with pytest.raises(exception, match=rf"\b{name}\b"):
        EarlyStopping(**{name: value})


# Callbacks ----------------------------------------------------------------------------------------


def test_a_callback_sees_every_epoch():
    X, Y, held_out = data()
    other, seen = network(), []

    def look(*arguments):
        seen.append(arguments)

    history = other.fit(X, Y, epochs=4, validation_data=held_out, metrics="r2", callbacks=look)
    assert [epoch for _, epoch, _ in seen] == [0, 1, 2, 3]
    assert all(one is other for one, _, _ in seen)
    names = ["loss", "r2", "val_loss", "val_r2", "rate", "seconds"]
    for epoch, (_, _, logs) in enumerate(seen):
        assert list(logs) == names
        assert all(type(value) is float for value in logs.values())
        assert logs["loss"] == history.loss[epoch]
        assert logs["val_r2"] == history.metrics["val_r2"][epoch]
        assert logs["rate"] == history.rate[epoch] == 0.001


def test_callbacks_come_in_their_order_and_their_logs_are_their_own():
    X, Y, _ = data()
    seen = []

    def first(network, epoch, logs):
        seen.append("first")
        logs.clear()

    def second(network, epoch, logs):
        seen.append("second" if "loss" in logs else "no logs")

    history = network().fit(X, Y, epochs=2, callbacks=(first, second))
    assert seen == ["first", "second"] * 2
    assert len(history) == 2


def test_a_callback_may_end_a_training():
    X, Y, _ = data()
    seen = []

    def stop(network, epoch, logs):
        seen.append(network.parameters)
        if epoch == 3:
            raise StopTraining("enough")

    other, alone = network(), network()
    history = other.fit(X, Y, epochs=1000, shuffle=False, callbacks=[stop])
    assert len(history) == 4
    assert history.stopped == "callback"
    alone.fit(X, Y, epochs=4, shuffle=False)
    assert same_bits(other.parameters, alone.parameters)
    best = network()
    stopping = EarlyStopping(
        metric="loss", mode="max", patience=1000
    )  # the first epoch is the best
    seen.clear()
    history = best.fit(X, Y, epochs=1000, early_stopping=stopping, callbacks=[stop])
    assert (history.best_epoch, len(history)) == (0, 4)
    assert same_bits(best.parameters, seen[0])
    last = network().fit(X, Y, epochs=4, callbacks=[stop])
    assert last.stopped is None  # it had come to its end


def test_a_callback_may_change_the_network():
    X, Y, _ = data()

    def change(network, epoch, logs):
        if epoch == 1:
            network.parameters = start
        if epoch == 2:
            network.optimizer = "sgd"
        if epoch == 3:
            network.loss = "mae"

    other = network()
    start = other.parameters
    history = other.fit(X, Y, epochs=6, batch_size=None, shuffle=False, callbacks=[change])
    assert history.loss[2] == history.loss[0]
    assert history.rate.tolist() == [0.001] * 3 + [0.01] * 3
    assert history.loss[4] == pytest.approx(np.sqrt(history.loss[3]), rel=0.5)  # of another kind
    assert other.loss == "mae"


def test_a_callback_may_train_other_networks_and_its_own():
    X, Y, _ = data()
    other, inner = network(), network(seed=2)

    def train(network, epoch, logs):
        inner.fit(X, Y, epochs=2)
        network.train_step(X, Y)
        network.fit(X, Y, epochs=1)

    history = other.fit(X, Y, epochs=5, callbacks=[train])
    assert len(history) == 5
    assert other.__getstate__()["optimizer_step"] == 5 * 3
    assert inner.__getstate__()["optimizer_step"] == 10


@pytest.mark.parametrize(
    "error", [KeyError("mine"), SystemExit(3), KeyboardInterrupt(), Exception()]
)
def test_what_a_callback_raises_passes_through_and_leaves_a_whole_epoch(error):
    X, Y, held_out = data()

    def broken(network, epoch, logs):
        if epoch == 2:
            raise error

    other, alone = network(), network()
    with pytest.raises(type(error)) as caught:
        other.fit(
            X,
            Y,
            epochs=10,
            shuffle=False,
            callbacks=[broken],
            validation_data=held_out,
            early_stopping=EarlyStopping(mode="max"),
        )
    assert caught.value is error
    alone.fit(X, Y, epochs=3, shuffle=False)
    assert digest(other.__getstate__()) == digest(alone.__getstate__())
    for each in (other, alone):
        each.fit(X, Y, epochs=3, shuffle=False)
    assert other == alone


@pytest.mark.parametrize("where", ["metrics", "callbacks"])
def test_a_metric_that_raises_passes_through_too(where):
    def broken(*arguments):
        raise ZeroDivisionError

    X, Y, _ = data()
    other = network()
    with pytest.raises(ZeroDivisionError):
        other.fit(X, Y, epochs=3, **{where: [broken]})
    assert other.__getstate__()["optimizer_step"] == 1
    assert other.predict(X).shape == (12, 1)


def test_a_callback_runs_in_the_callers_thread():
    X, Y, _ = data()
    names = []
    network().fit(
        X, Y, epochs=2, callbacks=[lambda *_: names.append(threading.current_thread().name)]
    )
    assert names == [threading.current_thread().name] * 2


@pytest.mark.parametrize(
    ("callbacks", "exception"),
    [
        (5, TypeError),
        (None, TypeError),
        ([None], TypeError),
        (["print"], TypeError),
        ([EarlyStopping()], TypeError),
        ([print, 5], TypeError),
    ],
)
def test_what_is_no_callback_is_refused_before_the_training(callbacks, exception):
    X, Y, _ = data()
    other = network()
    before = digest(other.__getstate__())
    with pytest.raises(exception, match="callbacks"):
        other.fit(X, Y, epochs=3, callbacks=callbacks)
    assert digest(other.__getstate__()) == before
    with pytest.raises(TypeError, match="early_stopping"):
        other.fit(X, Y, epochs=3, early_stopping=5)
    assert digest(other.__getstate__()) == before
