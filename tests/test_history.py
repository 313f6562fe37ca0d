"""`History`: a number of each kind for every epoch, and how a training is shown: lines, the bar, the plot.

Lines are those of the notebook, the bar is tqdm's, the plot matplotlib's. Nothing is printed unasked, and what is not
installed is asked for by the name of its extra.
"""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pytest

from bits import digest
from ironprop import History, Network
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


# History ------------------------------------------------------------------------------------------


def test_a_history_has_a_number_for_each_epoch():
    X, Y = data()
    history = network().fit(X, Y, epochs=3, validation_split=0.2, metrics="mae")
    assert isinstance(history, History)
    assert len(history) == 3
    arrays = [
        history.loss,
        history.rate,
        history.seconds,
        history.val_loss,
        *history.metrics.values(),
    ]
    for array in arrays:
        assert array.shape == (3,)
        assert array.dtype == np.float64
    assert (history.seconds > 0).all()
    assert history.stopped is None
    plain = history.to_dict()
    assert list(plain) == ["loss", "val_loss", "mae", "val_mae", "rate", "seconds"]
    assert json.loads(json.dumps(plain)) == plain
    assert plain["loss"] == history.loss.tolist()
    short = network().fit(X, Y, epochs=1)
    assert short.val_loss is None
    assert repr(short).startswith("History(1 epoch, loss ")
    assert "val_loss" in repr(history)
    stopping = EarlyStopping(metric="loss", patience=1, min_delta=1e9)
    stopped = network().fit(X, Y, epochs=9, early_stopping=stopping)
    assert repr(stopped).endswith(", stopped='early_stopping')")
    with pytest.raises(AttributeError):
        history.loss = 0


def test_a_fit_of_no_epochs_changes_nothing():
    X, Y = data()
    other = network()
    before = digest(other.__getstate__())
    history = other.fit(X, Y, epochs=0, validation_split=0.2, metrics="mae")
    assert len(history) == 0
    assert repr(history) == "History(0 epochs)"
    assert set(history.to_dict()) == {"loss", "val_loss", "mae", "val_mae", "rate", "seconds"}
    assert not any(history.to_dict().values())
    assert digest(other.__getstate__()) == before


# Lines, the bar, the plot -------------------------------------------------------------------------


def test_nothing_is_printed_unasked(capfd):
    X, Y = data()
    network().fit(X, Y, epochs=3, validation_split=0.2, metrics="mae")
    network().partial_fit(X, Y)
    network().evaluate(X, Y)
    assert capfd.readouterr() == ("", "")


def test_lines_are_those_of_the_notebook(capsys):
    X, Y = data()
    history = network().fit(X, Y, epochs=6, verbose=True, log_every=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Epoch: {epoch}, Loss: {history.loss[epoch]:.6f}" for epoch in (0, 2, 4)]
    history = network().fit(X, Y, epochs=2, verbose=True, validation_split=0.2, metrics=["r2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1] == (
        f"Epoch: 1, Loss: {history.loss[1]:.6f}, R2: {history.metrics['r2'][1]:.6f}, "
        f"Validation loss: {history.val_loss[1]:.6f}, Validation r2: {history.metrics['val_r2'][1]:.6f}"
    )


def test_the_bar_shows_loss_and_pace(capsys):
    X, Y = data()
    history = network().fit(X, Y, epochs=50, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "50/50" in shown.err
    assert f"loss {history.loss[-1]:.4g}" in shown.err
    assert "samples/s" in shown.err


def test_a_bar_is_closed_when_a_training_ends_badly(capsys):
    X, Y = data()

    def broken(network, epoch, logs):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        network().fit(X, Y, epochs=50, progress=True, callbacks=[broken])
    assert capsys.readouterr().err.endswith("\n")


def test_a_plot_shows_the_curves():
    mpl.use("agg")
    from matplotlib import pyplot as plt

    X, Y = data()
    stopping = EarlyStopping(patience=100)
    history = network().fit(X, Y, epochs=9, validation_split=0.2, early_stopping=stopping)
    ax = history.plot()
    curves = {line.get_label(): line for line in ax.get_lines()}
    assert set(curves) == {"loss", "val_loss", "best epoch"}
    assert curves["val_loss"].get_ydata().tolist() == history.val_loss.tolist()
    assert curves["loss"].get_xdata().tolist() == list(range(9))
    assert (ax.get_xlabel(), ax.get_yscale()) == ("epoch", "log")
    _, own = plt.subplots()
    assert network().fit(X, Y, epochs=2).plot(ax=own) is own
    plt.close("all")


MISSING = """
import sys
sys.modules["tqdm"] = sys.modules["matplotlib"] = None  # as if they were not installed
import numpy as np
import ironprop
network = ironprop.Network([1, 1], seed=1)
start = network.parameters
history = network.fit([[1.0]], [[1.0]], epochs=0)
for call in (history.plot, lambda: network.fit([[1.0]], [[1.0]], epochs=1, progress=True)):
    try:
        call()
    except ImportError as error:
        print(error)
print((network.parameters == start).all())
"""


def test_what_is_not_installed_is_asked_for_by_the_name_of_its_extra():
    plot, bar, unchanged = run_python(MISSING).splitlines()
    assert "matplotlib" in plot
    assert "ironprop[plot]" in plot
    assert "tqdm" in bar
    assert "ironprop[progress]" in bar
    assert unchanged == "True"
