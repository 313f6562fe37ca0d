"""What a run that goes wrong leaves behind (N6, N7).

Divergence and log lines that raise: each must come through as its own exception, at a whole step,
with parameters that the same run reaches without the fault. They are found by running it again,
step by step. Saturated units must give neither NaN nor subnormal numbers.
"""

from __future__ import annotations

import contextlib
import io
import time

import numpy as np
import pytest

import oracle
import strategies
from bits import digest, same_bits
from ironprop.notebook import backward_pass, dsig, forward_pass, sig, train
from oracle import ACTIVATIONS, GRADIENTS, batches, copies

# Divergence (N7) ----------------------------------------------------------------------------------


def steps(X, Y, W, B, *, epochs, batch_size=None, activation, gradient, learning_rate):
    """Run the loop of pairs and yield the loss of each step, before the step is taken."""
    for _ in range(epochs):
        for batch in batches(len(X), batch_size):
            pred, A, dA = forward_pass(X[batch], W, B, activation=activation)
            with np.errstate(over="ignore", invalid="ignore"):
                difference = pred - Y[batch]
                yield float(oracle.mse(difference.astype(np.float64), np.float64(0)))
            backward_pass(W, B, A, dA, pred, Y[batch], learning_rate, gradient=gradient)


def finite(arrays):
    return all(np.isfinite(array).all() for array in arrays)


def replay(X, Y, W, B, **options):
    """Return the number of the step that went wrong, or None, and what must be left behind.

    A state is good if its parameters and the loss of its batch are finite. A run that comes to a
    bad one must leave the state before it; the start, if that is bad itself. An epoch whose finite
    losses have no finite sum is the last one, and leaves the state after it, if that is good.
    """
    per_epoch = len(batches(len(X), options.get("batch_size")))
    W, B = copies(W), copies(B)
    kept, total = [*copies(W), *copies(B)], 0.0
    for number, loss in enumerate(steps(X, Y, W, B, **options)):
        if not (np.isfinite(loss) and finite([*W, *B])):
            return number, kept
        kept = [*copies(W), *copies(B)]
        if number % per_epoch == 0:
            if not np.isfinite(total):
                return number, kept
            total = 0.0
        total += loss
    if not finite([*W, *B]):
        return number + 1, kept
    return None, [*W, *B]


def near_the_edge(dtype, growth, cycles, batch_size, n_samples=3):
    """Return a unit whose error changes sign and grows by a factor in each step, until overflow.

    pred = w + b, and a step takes learning_rate * batch_size * error from both: the error becomes
    (1 - 2 * learning_rate * batch_size) times itself, here -growth times. The target is so large
    that relu never sees a negative number before the first one that is too large: for float64 the
    square in the loss overflows, for float32 the prediction itself.
    """
    batch = n_samples if batch_size is None else batch_size
    if dtype == "float64":
        limit = np.sqrt(np.finfo(np.float64).max / batch)
        target = 0.996 * limit
    else:
        target, limit = 3e38, np.finfo(dtype).max - 3e38
    error = (1 + 1 / growth) / 2 * limit  # one step more is beyond the limit
    start = target - error / growth ** (2 * cycles)
    X, Y = np.ones((n_samples, 1), dtype), np.full((n_samples, 1), target, dtype)
    W, B = [np.full((1, 1), start / 2, dtype)], [np.full((1, 1), start / 2, dtype)]
    options = {
        "batch_size": batch_size,
        "activation": "relu",
        "gradient": "exact",
        "learning_rate": (1 + growth) / 2 / batch,
    }
    return X, Y, W, B, options


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("cycles", [0, 1, 15, 31, 32, 33, 63, 64, 65, 90])
def test_a_run_that_diverges_late_goes_back_to_the_right_step(cycles, batch_size, dtype):
    X, Y, W, B, options = near_the_edge(dtype, 1.05, cycles, batch_size)
    if batch_size == 2:  # the batch of one sample damps by 0.6 what that of two excites by 2.2
        options["learning_rate"] = 0.8
    number, expected = replay(X, Y, W, B, epochs=1000, **options)
    assert number is not None, "this run does not diverge"
    assert number >= cycles // 3
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train(X, Y, W, B, epochs=10_000, **options)
    assert same_bits([*W, *B], expected)
    # A run that ends just before is as good as any.
    _, _, W, B, _ = near_the_edge(dtype, 1.05, cycles, batch_size)
    per_epoch = len(batches(len(X), batch_size))
    train(X, Y, W, B, epochs=(number - 1) // per_epoch, **options)
    assert finite([*W, *B])


@pytest.mark.parametrize("epochs", range(1, 14))
def test_no_run_returns_a_loss_that_is_not_finite(epochs):
    # Here the loss of each batch is finite in every one of the first ten epochs, but not the sum.
    X, Y, W, B, options = near_the_edge("float64", 1.05, 15, 1)
    try:
        losses = train(X, Y, W, B, epochs=epochs, **options)
    except FloatingPointError:
        losses = np.zeros(1)
    assert np.isfinite(losses).all()
    assert finite([*W, *B])


@pytest.mark.parametrize(("dtype", "rate"), [("float64", 1e200), ("float32", 1e30)])
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_run_that_diverges_at_once_is_stopped_within_an_epoch(batch_size, gradient, dtype, rate):
    X, Y, W, B = strategies.arrays((3, 8, 8, 2), 7, dtype, 3)
    options = {
        "batch_size": batch_size,
        "activation": "relu",
        "gradient": gradient,
        "learning_rate": rate,
    }
    number, expected = replay(X, Y, W, B, epochs=3, **options)
    assert number is not None
    start = time.monotonic()
    with pytest.raises(FloatingPointError, match=r"epoch [012]"):
        train(X, Y, W, B, epochs=1_000_000, **options)
    assert time.monotonic() - start < 5
    assert same_bits([*W, *B], expected)


@pytest.mark.parametrize("rate", [0.5, 10.0, 1e3, 1e9, 1e15])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_any_learning_rate_ends_finite_or_in_a_floating_point_error(dtype, activation, rate):
    diverged = 0
    for seed in range(30):
        sizes = (3, *[5] * (seed % 4), 2)
        X, Y, W, B = strategies.arrays(sizes, 7, dtype, seed)
        options = {
            "epochs": 20,
            "batch_size": [None, 3][seed % 2],
            "activation": activation,
            "gradient": GRADIENTS[seed % 2],
            "learning_rate": rate,
        }
        number, expected = replay(X, Y, W, B, **options)
        if number is None:
            assert np.isfinite(train(X, Y, W, B, **options)).all()
        else:
            diverged += 1
            with pytest.raises(FloatingPointError):
                train(X, Y, W, B, **options)
        assert same_bits([*W, *B], expected)
    if activation == "relu" and rate == 1e15 and dtype == "float32":
        assert diverged > 0, "no run of these has diverged: they test nothing"


def nan_in_x(X, Y, W, B):
    X[2, 1] = np.nan


def inf_in_x(X, Y, W, B):
    X[0, 0] = np.inf


def inf_in_y(X, Y, W, B):
    Y[3, 0] = -np.inf


def nan_in_weights(X, Y, W, B):
    W[1][0, 0] = np.nan


def huge_weights(X, Y, W, B):
    for w in W:
        w[...] = np.finfo(w.dtype).max / 4


def huge_targets(X, Y, W, B):
    Y[...] = np.finfo(Y.dtype).max


FAULTS = [nan_in_x, inf_in_x, inf_in_y, nan_in_weights, huge_weights]


@pytest.mark.parametrize(
    ("fault", "dtype"),
    [
        *((fault, dtype) for fault in FAULTS for dtype in strategies.DTYPES),
        # The loss is summed in float64: no float32 number is too large for it.
        (huge_targets, "float64"),
    ],
)
def test_a_first_loss_that_is_not_finite_changes_nothing(fault, dtype):
    X, Y, W, B = strategies.arrays((3, 4, 2), 5, dtype, 1)
    X, W, B = np.abs(X), [np.abs(w) for w in W], [np.abs(b) for b in B]
    fault(X, Y, W, B)
    before = digest(X, Y, W, B)
    for log_every in (None, 1):
        with pytest.raises(FloatingPointError, match="nothing was changed"):
            train(X, Y, W, B, epochs=3, activation="relu", log_every=log_every)
        assert digest(X, Y, W, B) == before


@pytest.mark.parametrize("epochs", [1, 2, 3, 64, 65, 100])
def test_parameters_that_overflow_while_the_loss_stays_finite_are_not_kept(epochs):
    # error 0.5 * 0.25 for each of 10 samples: the step is 1.25 * 1.7e308, which is -inf; the
    # sigmoid of -inf is 0, the target: from then on loss and gradient are 0.
    X, Y = np.ones((10, 1)), np.zeros((10, 1))
    W, B = [np.zeros((1, 1))], [np.zeros((1, 1))]
    with pytest.raises(FloatingPointError):
        train(X, Y, W, B, epochs=epochs, learning_rate=1.7e308)
    assert finite([*W, *B])


def test_a_diverged_net_can_be_trained_further():
    X, Y, W, B, options = near_the_edge("float64", 1.05, 40, None)
    with pytest.raises(FloatingPointError):
        train(X, Y, W, B, epochs=1000, **options)
    losses = train(X, Y, W, B, epochs=50, **{**options, "learning_rate": 0.1})
    assert losses[-1] < 1e-6 * losses[0]


def test_a_diverged_run_with_shuffled_batches_keeps_a_state_of_that_run():
    X, Y, W, B, options = near_the_edge("float64", 1.3, 10, None)
    X[...] = [[1.0], [0.98], [1.02]]  # now the order shows in the bits
    options.update(shuffle=True, seed=11)
    start_W, start_B = copies(W), copies(B)
    with pytest.raises(FloatingPointError):
        train(X, Y, W, B, epochs=1000, **options)
    states = []
    with contextlib.suppress(FloatingPointError):
        for epochs in range(1000):
            other_W, other_B = copies(start_W), copies(start_B)
            train(X, Y, other_W, other_B, epochs=epochs, **options)
            states.append([*other_W, *other_B])
    assert len(states) > 10
    # The last state that could be reached has the bad loss, the one before it is kept.
    assert [same_bits([*W, *B], state) for state in states[-3:]] in (
        [False, True, False],
        [False, False, True],
    )


# Log lines that raise -----------------------------------------------------------------------------


class BrokenPipe(io.StringIO):
    """A standard output that raises in its n-th line."""

    def __init__(self, lines, error):
        """Let `lines` lines pass and then raise `error`."""
        super().__init__()
        self.lines, self.error = lines, error

    def write(self, text):
        """Write text, or raise."""
        if self.getvalue().count("\n") >= self.lines:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [OSError("no space"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("lines", [0, 1, 7])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_an_exception_in_a_log_line_passes_through_at_a_whole_step(batch_size, lines, error):
    X, Y, W, B = strategies.arrays((3, 4, 2), 1 if batch_size is None else 7, "float64", 1)
    other_W, other_B = copies(W), copies(B)
    output = BrokenPipe(lines, error)
    with contextlib.redirect_stdout(output), pytest.raises(type(error)) as caught:
        train(X, Y, W, B, epochs=200, log_every=10, batch_size=batch_size)
    assert caught.value is error
    assert output.getvalue().count("\n") == lines
    # The line of epoch e comes after the epoch's steps, as in the notebook.
    train(X, Y, other_W, other_B, epochs=10 * lines + 1, batch_size=batch_size)
    assert same_bits([*W, *B], [*other_W, *other_B])


def test_the_weights_change_only_at_the_end_of_a_run():
    X, Y, W, B = strategies.arrays((3, 4, 2), 1, "float64", 1)
    before = digest(W, B)
    seen = []

    class Watcher(io.StringIO):
        """A standard output that looks at the weights."""

        def write(self, text):
            """Look."""
            seen.append(digest(W, B))
            return super().write(text)

    with contextlib.redirect_stdout(Watcher()):
        train(X, Y, W, B, epochs=30, log_every=10)
    assert set(seen) == {before}
    assert digest(W, B) != before


def test_a_log_line_may_train_other_nets():
    X, Y, W, B = strategies.arrays((3, 4, 2), 5, "float64", 1)
    other = copies(W), copies(B)
    alone = copies(W), copies(B)

    class Trainer(io.StringIO):
        """A standard output that trains."""

        def write(self, text):
            """Train."""
            train(X, Y, *other, epochs=1)
            return super().write(text)

    with contextlib.redirect_stdout(Trainer()):
        train(X, Y, W, B, epochs=3, log_every=1)
    train(X, Y, *alone, epochs=3)
    assert same_bits([*W, *B], [*alone[0], *alone[1]])


# Saturation (N6) ----------------------------------------------------------------------------------


def subnormals(array):
    """Count the numbers that are neither 0 nor normal."""
    small = np.abs(array) < np.finfo(array.dtype).tiny
    return int(np.count_nonzero(small & (array != 0)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("scale", [1e4, 800.0, 1e-4, 1e30])
def test_saturated_units_give_no_nan_and_no_subnormal_numbers(scale, dtype, activation):
    X = (np.linspace(-1, 1, 20_001) * scale).astype(dtype).reshape(-1, 1)
    W, B = [np.ones((1, 1), dtype)], [np.zeros((1, 1), dtype)]
    pred, _, (dA,) = forward_pass(X, W, B, activation=activation)
    for array in (pred, dA):
        assert np.isfinite(array).all()
        assert subnormals(array) == 0
    assert np.all((dA >= 0) & (dA <= 1))
    if activation != "relu":
        assert np.all(np.abs(pred) <= 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("size", [1e30, 1e4, 1e-30])
def test_huge_and_tiny_weights_give_no_nan_where_the_formula_is_finite(size, dtype, activation):
    X, Y, W, B = strategies.arrays((4, 9, 9, 3), 20, dtype, 1)
    W, B = ([(array * size).astype(dtype) for array in arrays] for arrays in (W, B))
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    with np.errstate(over="ignore", invalid="ignore"):
        true_pred, true_A, true_dA = oracle.forward_pass(X, W, B, activation=activation)
    for array, truth in zip([pred, *A, *dA], [true_pred, *true_A, *true_dA], strict=True):
        assert not np.isnan(array[np.isfinite(truth)]).any()
        assert subnormals(array) == 0
    if activation != "relu":
        before = copies(W), copies(B)
        train(X, Y, W, B, epochs=10, activation=activation)
        assert finite([*W, *B])
        assert digest(*before) != digest(W, B) or size > 1e3


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_the_whole_range_of_sigmoids_has_no_subnormal_result(dtype):
    x = -np.linspace(80, 760, 200_001).astype(dtype)
    for result in (sig(x), dsig(sig(x)), dsig(np.geomspace(1e-300, 1, 1000).astype(dtype))):
        assert subnormals(result) == 0
        assert np.isfinite(result).all()


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_deltas_too_small_for_a_normal_number_move_nothing(dtype):
    tiny = np.finfo(dtype).tiny
    for derivative, moved in [(tiny * 4, True), (tiny * 2, True), (tiny, False), (tiny / 8, False)]:
        W, B = [np.zeros((1, 1), dtype)], [np.zeros((1, 1), dtype)]
        A, dA = [np.ones((1, 1), dtype)], [np.full((1, 1), derivative, dtype)]
        pred, Y = np.full((1, 1), 0.75, dtype), np.full((1, 1), 0.25, dtype)  # half the derivative
        backward_pass(W, B, A, dA, pred, Y, 4.0)
        assert bool(B[0][0, 0] != 0) == moved, derivative
        assert bool(W[0][0, 0] != 0) == moved, derivative


def test_vanishing_gradients_do_not_slow_a_training_down():
    # Twenty saturated layers: without flushing most deltas would be subnormal.
    slow, fast = (strategies.arrays((8, *[32] * 20, 1), 64, "float32", 1) for _ in "ab")
    for w in slow[2]:
        w *= 40
    times = []
    for X, Y, W, B in (slow, fast, slow, fast):
        start = time.perf_counter()
        train(X, Y, W, B, epochs=20, learning_rate=1e-6)
        times.append(time.perf_counter() - start)
    assert min(times[::2]) < 5 * max(times[1::2])
