"""The notebook's program, whole: with NumPy functions of its own, and with one import instead.

The two program texts differ in nothing but the part between the imports and the data. They must
print the same log to the last character, and end at the same prediction. `train(..., log_every=20)`
must print that log, too.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy

import numpy as np
import pytest

import strategies
from bits import same_bits
from ironprop.notebook import backward_pass, forward_pass, mse, train
from oracle import close, copies

OWN_FUNCTIONS = """
sig = lambda x: 1 / (1 + np.exp(-x))
dsig = lambda A: A * (1 - A)
mse = lambda x, y: 0.5 * np.square(x - y).sum()
dmse = lambda x, y: (x - y)


def forward_pass(X, W, B):
    A, dA = [], []
    for i, w in enumerate(W):
        A.append(X)
        X = sig(np.dot(X, w) + B[i])
        dA.append(dsig(X))
    return X, A, dA


def backward_pass(W, B, A, dA, pred, Y, learning_rate=0.5):
    E = dmse(pred, Y) * dA[-1]
    for i, w in reversed(list(enumerate(W))):
        dw = np.dot(A[i].T, E)
        db = np.dot(np.ones(shape=(1, E.shape[0])), E)
        W[i] -= dw * learning_rate
        B[i] -= db * learning_rate
        if i > 0:
            E = np.dot(E, w.T) * dA[i - 1]
"""

IMPORT = """
from ironprop.notebook import backward_pass, forward_pass, mse
"""

PROGRAM = """
import numpy as np
{functions}

Y = np.array([[0.875]], {dtype!r})
X = np.array([[0.6, 0.4]], {dtype!r})
random = np.random.default_rng({seed})
shapes = [(2, 2), (2, 2), (2, 1)]
W = [random.standard_normal(shape).astype({dtype!r}) for shape in shapes]
B = [random.standard_normal((1, shape[1])).astype({dtype!r}) for shape in shapes]

updated_W = [w.copy() for w in W]
updated_B = [b.copy() for b in B]

for epoch in range(501):
    pred, A, dA = forward_pass(X, updated_W, updated_B)
    backward_pass(updated_W, updated_B, A, dA, pred, Y)
    if epoch % 20 == 0:
        print(f"Epoch: {{epoch}}, Prediction: {{pred}}, Loss: {{mse(pred, Y):.6f}}")
"""


def run(folder, functions, seed, dtype="float64"):
    """Run the program and return what it has printed and its variables."""
    file = folder / "notebook.py"
    file.write_text(PROGRAM.format(functions=functions, seed=seed, dtype=dtype))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        variables = runpy.run_path(str(file))
    return printed.getvalue(), variables


def start(seed, dtype="float64"):
    """Return the program's data and starting weights."""
    random = np.random.default_rng(seed)
    shapes = [(2, 2), (2, 2), (2, 1)]
    W = [random.standard_normal(shape).astype(dtype) for shape in shapes]
    B = [random.standard_normal((1, shape[1])).astype(dtype) for shape in shapes]
    return np.array([[0.6, 0.4]], dtype), np.array([[0.875]], dtype), W, B


@pytest.mark.parametrize("seed", range(12))
def test_the_program_prints_the_same_with_one_import_changed(tmp_path, seed):
    before, own = run(tmp_path, OWN_FUNCTIONS, seed)
    after, imported = run(tmp_path, IMPORT, seed)
    assert len(before.splitlines()) == 26
    assert before.startswith("Epoch: 0, Prediction: [[0.")
    assert after == before
    assert close("pred", imported["pred"], own["pred"], 1e-12)
    assert close("W", imported["updated_W"], own["updated_W"], 1e-12)
    assert close("B", imported["updated_B"], own["updated_B"], 1e-12)
    assert own["mse"](own["pred"], own["Y"]) < 1e-5


def test_a_program_with_the_exact_gradient_prints_another_log(tmp_path):
    # So the sameness above is no accident of the log's few digits.
    exact = IMPORT + (
        "import functools\nbackward_pass = functools.partial(backward_pass, gradient='exact')\n"
    )
    assert run(tmp_path, OWN_FUNCTIONS, 0)[0] != run(tmp_path, exact, 0)[0]


@pytest.mark.parametrize("seed", range(4))
def test_train_prints_the_log_of_the_program(tmp_path, capsys, seed):
    program, variables = run(tmp_path, IMPORT, seed)
    X, Y, W, B = start(seed)
    losses = train(X, Y, W, B, epochs=501, log_every=20)
    printed = capsys.readouterr()
    assert printed.out == program
    assert printed.err == ""
    assert same_bits(W, variables["updated_W"])
    assert same_bits(B, variables["updated_B"])
    assert losses.shape == (501,)
    assert losses[500] == mse(variables["pred"], Y)


@pytest.mark.parametrize("seed", range(4))
def test_the_program_does_the_same_in_float32(tmp_path, seed):
    before, own = run(tmp_path, OWN_FUNCTIONS, seed, "float32")
    after, imported = run(tmp_path, IMPORT, seed, "float32")
    number = re.compile(r"Epoch: (\d+), Prediction: \[\[(\S+)\]\], Loss: (\S+)")
    one, other = (np.array(number.findall(text), float) for text in (before, after))
    assert one.shape == other.shape == (26, 3)
    assert np.array_equal(one[:, 0], other[:, 0])
    assert np.abs(one[:, 1] - other[:, 1]).max() <= 1e-5
    assert np.abs(one[:, 2] - other[:, 2]).max() <= 1.1e-6  # the last printed digit
    assert imported["pred"].dtype == np.float32
    # NumPy's own float32 run turns into float64 here: `np.ones` in it is float64.
    assert close("pred", imported["pred"], own["pred"], 1e-5)
    assert {w.dtype.name for w in imported["updated_W"]} == {"float32"}


def test_train_prints_the_loss_alone_where_a_batch_is_not_all_samples(capsys):
    X, Y, W, B = strategies.arrays((2, 3, 1), 5, "float64", 1)
    losses = train(X, Y, W, B, epochs=7, batch_size=2, log_every=3)
    lines = [f"Epoch: {epoch}, Loss: {losses[epoch]:.6f}\n" for epoch in (0, 3, 6)]
    assert capsys.readouterr().out == "".join(lines)


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_train_prints_the_prediction_of_all_samples(capsys, dtype, batch_size):
    X, Y, W, B = strategies.arrays((2, 3, 2), 5, dtype, 1)
    pred = forward_pass(X, W, B)[0]
    losses = train(X, Y, copies(W), copies(B), epochs=1, log_every=5, batch_size=batch_size)
    line = f"Epoch: 0, Prediction: {pred}, Loss: {losses[0]:.6f}\n"
    assert capsys.readouterr().out == line


def test_train_prints_nothing_by_itself_and_the_log_changes_no_bits(capfd):
    X, Y, W, B = strategies.arrays((2, 3, 1), 5, "float64", 1)
    logged_W, logged_B = copies(W), copies(B)
    losses = train(X, Y, W, B, epochs=20)
    assert capfd.readouterr() == ("", "")
    logged = train(X, Y, logged_W, logged_B, epochs=20, log_every=1)
    assert len(capfd.readouterr().out.splitlines()) >= 20
    assert same_bits(losses, logged)
    assert same_bits([*W, *B], [*logged_W, *logged_B])


def test_the_log_can_be_rarer_than_the_epochs(capsys):
    X, Y, W, B = start(0)
    train(X, Y, W, B, epochs=3, log_every=10**9)
    assert len(capsys.readouterr().out.splitlines()) == 1
    train(X, Y, W, B, epochs=0, log_every=1)
    assert capsys.readouterr().out == ""


def test_a_loop_over_the_two_functions_trains_to_the_target():
    X, Y, W, B = start(3)
    for _ in range(501):
        pred, A, dA = forward_pass(X, W, B)
        backward_pass(W, B, A, dA, pred, Y)
    assert mse(pred, Y) < 1e-5
