"""The numbers of the notebook tier, against the NumPy oracle (N1-N3).

A worked example whose every digit is derived by hand; forward, backward and train against the
oracle in extended precision over hypothesis' choice of shapes, types, activations and gradients;
the exact gradient against central differences, and the notebook's gradient against the exact one.
The oracle itself is under test here as well: a fault planted in it must be seen.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import strategies
from bits import same_bits
from ironprop.notebook import (
    backward_pass,
    dmse,
    dsig,
    forward_pass,
    initialize,
    mse,
    sig,
    train,
)
from oracle import ACTIVATIONS, ALL_ACTIVATIONS, GRADIENTS, Report, close, copies, tolerance

SOME = st.integers(1, 300) | st.sampled_from(strategies.BATCHES[1:])


# The worked example (N3) --------------------------------------------------------------------------
#
# Two inputs, two hidden units, one output, one sample, learning rate 1/2. Logarithms of 3 make
# every activation a fraction, for sig(ln 3) = 3/4 and sig(-ln 3) = 1/4.
#
#   x  = (1, 2)
#   W0 = | ln 3    0         |   b0 = (0, 0)      z0 = (ln 3, -ln 3)      a0 = (3/4, 1/4)
#        | 0       -(ln 3)/2 |
#   W1 = (1, 1)^T                b1 = ln 3 - 1    z1 = 3/4 + 1/4 + b1     pred = 3/4
#   a' = a (1 - a) = 3/16 for all three units
#
#   Y  = 1/4, so the loss is 1/2 (3/4 - 1/4)^2 = 1/8 and E1 = (pred - Y) a' = 1/2 * 3/16 = 3/32
#   dW1 = a0^T E1 = (9/128, 3/128)     W1 after = (1 - 9/256, 1 - 3/256) = (247/256, 253/256)
#   db1 = 3/32                         b1 after = ln 3 - 1 - 3/64
#
#   notebook, through W1 after:   E0 = 3/32 (247/256, 253/256) 3/16 = (2223, 2277) / 131072
#   exact, through W1 before:     E0 = 3/32 (1, 1) 3/16             = (9/512, 9/512)
#   dW0 = x^T E0 = | E0   |            W0 after = W0 - dW0 / 2
#                  | 2 E0 |            b0 after = -E0 / 2

LN3 = math.log(3.0)
DELTAS = {
    "notebook": (Fraction(2223, 131072), Fraction(2277, 131072)),
    "exact": (Fraction(9, 512), Fraction(9, 512)),
}


def worked_example(dtype="float64"):
    X, Y = np.array([[1, 2]], dtype), np.array([[0.25]], dtype)
    W = [np.array([[LN3, 0], [0, -LN3 / 2]], dtype), np.array([[1], [1]], dtype)]
    B = [np.zeros((1, 2), dtype), np.array([[LN3 - 1]], dtype)]
    return X, Y, W, B


def after_the_step(gradient):
    left, right = (float(delta / 2) for delta in DELTAS[gradient])
    W = [
        np.array([[LN3 - left, -right], [-2 * left, -LN3 / 2 - 2 * right]]),
        np.array([[247 / 256], [253 / 256]]),
    ]
    return W, [np.array([[-left, -right]]), np.array([[LN3 - 1 - 3 / 64]])]


@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-15), ("float32", 5e-7)])
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_worked_example_comes_out_as_by_hand(gradient, dtype, allowed):
    X, Y, W, B = worked_example(dtype)
    pred, A, dA = forward_pass(X, W, B)
    assert close("pred", pred, [[0.75]], allowed)
    assert close("A", A, [X, [[0.75, 0.25]]], allowed)
    assert close("dA", dA, [[[3 / 16, 3 / 16]], [[3 / 16]]], allowed)
    assert close("loss", mse(pred, Y), 1 / 8, allowed)
    backward_pass(W, B, A, dA, pred, Y, 0.5, gradient=gradient)
    new_W, new_B = after_the_step(gradient)
    assert close("W", W, new_W, allowed)
    assert close("B", B, new_B, allowed)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_train_takes_the_step_of_the_worked_example(gradient):
    X, Y, W, B = worked_example()
    losses = train(X, Y, W, B, epochs=1, gradient=gradient)
    new_W, new_B = after_the_step(gradient)
    assert losses.shape == (1,)
    assert close("loss", losses, [1 / 8], 1e-15)
    assert close("W", W, new_W, 1e-15)
    assert close("B", B, new_B, 1e-15)


def test_the_oracle_does_the_worked_example_too():
    for gradient in GRADIENTS:
        X, Y, W, B = worked_example()
        pred, A, dA = oracle.forward_pass(X, W, B)
        oracle.backward_pass(W, B, A, dA, pred, Y, gradient=gradient)
        new_W, new_B = after_the_step(gradient)
        assert close("W", W, new_W, 1e-15)
        assert close("B", B, new_B, 1e-15)


def test_tanh_and_relu_of_one_unit_come_out_as_by_hand():
    # tanh(ln 2) = (2 - 1/2) / (2 + 1/2) = 3/5, and its derivative is 1 - 9/25 = 16/25.
    W, B = [np.array([[math.log(2.0)]])], [np.zeros((1, 1))]
    pred, _, dA = forward_pass([[1.0], [-1.0]], W, B, activation="tanh")
    assert close("tanh", pred, [[0.6], [-0.6]], 1e-15)
    assert close("its derivative", dA[0], [[0.64], [0.64]], 1e-15)
    # 2 * 3 - 1 = 5 > 0, 2 * 0.5 - 1 = 0 and 2 * -3 - 1 < 0.
    W, B = [np.array([[2.0]])], [np.array([[-1.0]])]
    pred, _, dA = forward_pass([[3.0], [0.5], [-3.0]], W, B, activation="relu")
    assert pred.tolist() == [[5.0], [0.0], [0.0]]
    assert dA[0].tolist() == [[1.0], [0.0], [0.0]]


# The small functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_sig_is_within_two_ulp(dtype):
    random = np.random.default_rng(1)
    limit = 700.0 if dtype == "float64" else 87.0
    x = np.concatenate([random.uniform(-limit, limit, 20_000), random.normal(0, 2, 20_000)])
    x = x.astype(dtype)
    truth = oracle.sig(x.astype(np.longdouble))
    ulp = np.spacing(truth.astype(dtype)).astype(np.longdouble)
    assert np.max(np.abs(sig(x) - truth) / ulp) <= 2.0


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_sig_rises_stays_in_its_range_and_reaches_its_ends(dtype):
    x = np.linspace(-800, 800, 100_001).astype(dtype)
    y = sig(x)
    assert y.dtype == dtype
    assert np.all(np.diff(y) >= 0)
    assert y[0] == 0
    assert y[-1] == 1
    assert np.all((y >= 0) & (y <= 1))
    edges = np.array([-np.inf, 0.0, -0.0, np.inf, np.nan], dtype)
    assert np.array_equal(sig(edges), np.array([0, 0.5, 0.5, 1, np.nan], dtype), equal_nan=True)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (67,), (3, 5), (2, 3, 4), (0, 3)])
def test_sig_and_dsig_take_any_shape(dtype, shape):
    x = np.random.default_rng(2).normal(size=shape).astype(dtype)
    for function, truth in [(sig, oracle.sig), (dsig, oracle.dsig)]:
        y = function(x)
        assert isinstance(y, np.ndarray)
        assert (y.dtype, y.shape) == (x.dtype, shape)
        assert close(function.__name__, y, truth(x.astype(np.longdouble)), tolerance(dtype, 1))


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("shape", [(0, 2), (1, 1), (1, 7), (5, 1), (4, 3), (300, 17)])
def test_mse_and_dmse_agree_with_the_oracle_for_every_form_of_targets(dtype, shape):
    random = np.random.default_rng(3)
    x = random.normal(size=shape).astype(dtype)
    whole = random.normal(size=shape).astype(dtype)
    row = random.normal(size=(1, shape[1])).astype(dtype)
    for y in [whole, row, row[0], np.array(0.25, dtype)]:
        loss, slope = mse(x, y), dmse(x, y)
        assert isinstance(loss, x.dtype.type)
        assert (slope.dtype, slope.shape) == (x.dtype, shape)
        wide_x, wide_y = x.astype(np.longdouble), y.astype(np.longdouble)
        allowed = tolerance("float64", 20) + float(np.finfo(dtype).eps) * 2
        assert close("mse", loss, oracle.mse(wide_x, wide_y), allowed)
        assert same_bits(slope, x - y)


def test_the_loss_of_float32_is_summed_in_float64():
    x = np.ones((100_000, 1), np.float32)
    x[0] = 3e4  # its square is 9e8: beside it float32 has steps of 64, and every further 1 is lost
    assert float(mse(x, np.array(0.0, np.float32))) == np.float32(0.5 * (9e8 + 99_999))


# Forward, backward and train ----------------------------------------------------------------------


def forward_reports(case):
    """Compare `forward_pass` with the oracle in extended precision."""
    X, _, W, B = case.arrays()
    pred, A, dA = forward_pass(X, W, B, activation=case.activation)
    assert A[0] is X
    wide = [copies(arrays, np.longdouble) for arrays in (W, B)]
    true_pred, true_A, true_dA = oracle.forward_pass(
        X.astype(np.longdouble), *wide, activation=case.activation
    )
    for array, truth in zip([pred, *A, *dA], [true_pred, *true_A, *true_dA], strict=True):
        assert (array.dtype, array.shape) == (X.dtype, truth.shape)
    allowed = tolerance(case.dtype, case.chain)
    yield close("pred", pred, true_pred, allowed)
    yield close("A", A, true_A, allowed)
    # The derivative of relu jumps where its argument is 0 to rounding: it is compared with that of
    # the same activations.
    if case.activation == "relu":
        true_dA = [(a > 0).astype(case.dtype) for a in [*A[1:], pred]]
    yield close("dA", dA, true_dA, allowed)


@given(strategies.cases())
@settings(max_examples=300)
def test_forward_pass_agrees_with_the_oracle(case):
    for report in forward_reports(case):
        assert report


def backward_reports(case, learning_rate=0.5, reference=oracle.backward_pass):
    """Compare `backward_pass` with the oracle, both given the same activations."""
    X, Y, W, B = case.arrays()
    learning_rate /= max(1, case.n_samples)  # a step of the size of the weights
    pred, A, dA = forward_pass(X, W, B, activation=case.activation)
    true_W, true_B, true_A, true_dA = (copies(arrays, np.longdouble) for arrays in (W, B, A, dA))
    true_pred, true_Y = copies([pred, Y], np.longdouble)
    backward_pass(W, B, A, dA, pred, Y, learning_rate, gradient=case.gradient)
    reference(
        true_W, true_B, true_A, true_dA, true_pred, true_Y, learning_rate, gradient=case.gradient
    )
    allowed = tolerance(case.dtype, case.chain)
    yield close("W", W, true_W, allowed)
    yield close("B", B, true_B, allowed)


@given(strategies.cases())
@settings(max_examples=300)
def test_backward_pass_agrees_with_the_oracle(case):
    for report in backward_reports(case):
        assert report


@given(strategies.cases(SOME), st.integers(0, 12), st.integers(1, 300))
@settings(max_examples=200)
def test_train_agrees_with_the_oracle(case, epochs, batch_size):
    X, Y, W, B = case.arrays()
    batch_size = min(batch_size, case.n_samples)
    if case.n_samples // batch_size > 30:
        batch_size = None
    options = {
        "epochs": epochs,
        # So small that the rounding errors of one step do not grow in the next.
        "learning_rate": 0.1 / (batch_size or case.n_samples) / max(case.sizes),
        "gradient": case.gradient,
        "activation": case.activation,
        "batch_size": batch_size,
    }
    true_W, true_B = copies(W, np.longdouble), copies(B, np.longdouble)
    losses = train(X, Y, W, B, **options)
    truth = oracle.train(
        X.astype(np.longdouble), Y.astype(np.longdouble), true_W, true_B, **options
    )
    assert (losses.dtype, losses.shape) == (np.float64, (epochs,))
    n_steps = epochs * len(oracle.batches(case.n_samples, batch_size))
    allowed = tolerance(case.dtype, case.chain) * (1 + n_steps)
    assert close("losses", losses, truth, allowed)
    assert close("W", W, true_W, allowed)
    assert close("B", B, true_B, allowed)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_five_hundred_epochs_stay_beside_the_oracle(gradient, activation, dtype):
    X, Y, W, B = strategies.arrays((3, 8, 5, 2), 20, dtype, seed=5)
    rate = 0.002 if activation == "relu" else 0.02  # beyond it the net swings and errors grow
    options = {"learning_rate": rate, "gradient": gradient, "activation": activation}
    true_W, true_B = copies(W, np.longdouble), copies(B, np.longdouble)
    losses = train(X, Y, W, B, epochs=500, **options)
    truth = oracle.train(
        X.astype(np.longdouble), Y.astype(np.longdouble), true_W, true_B, epochs=500, **options
    )
    allowed = 1e-12 if dtype == "float64" else 2e-4
    assert losses[-1] < losses[0]
    assert close("losses", losses, truth, allowed)
    assert close("W", W, true_W, allowed)
    assert close("B", B, true_B, allowed)


def test_a_fault_planted_in_the_oracle_is_seen():
    def transposed(W, B, A, dA, pred, Y, learning_rate, *, gradient):
        oracle.backward_pass(W, B, A, dA, pred, Y, learning_rate, gradient=gradient)
        W[1][...] = W[1].T

    def other_gradient(W, B, A, dA, pred, Y, learning_rate, *, gradient):
        gradient = {"exact": "notebook", "notebook": "exact"}[gradient]
        oracle.backward_pass(W, B, A, dA, pred, Y, learning_rate, gradient=gradient)

    def mean_for_sum(W, B, A, dA, pred, Y, learning_rate, *, gradient):
        learning_rate = learning_rate / len(Y)
        oracle.backward_pass(W, B, A, dA, pred, Y, learning_rate, gradient=gradient)

    def last_sample_left_out(W, B, A, dA, pred, Y, learning_rate, *, gradient):
        A, dA = [a[:-1] for a in A], [d[:-1] for d in dA]
        oracle.backward_pass(W, B, A, dA, pred[:-1], Y[:-1], learning_rate, gradient=gradient)

    for dtype in strategies.DTYPES:
        for gradient in GRADIENTS:
            case = strategies.Case((4, 6, 6, 3), 5, dtype, "sigmoid", gradient, 7)
            assert all(backward_reports(case))
            for fault in (transposed, other_gradient, mean_for_sum, last_sample_left_out):
                assert not all(backward_reports(case, reference=fault)), fault.__name__


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_samples_give_empty_results_and_leave_the_weights(activation, dtype):
    X, Y, W, B = strategies.arrays((3, 4, 2), 0, dtype, seed=1)
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    assert pred.shape == (0, 2)
    assert [a.shape for a in A] == [(0, 3), (0, 4)]
    assert [d.shape for d in dA] == [(0, 4), (0, 2)]
    assert {a.dtype.name for a in [pred, *A, *dA]} == {dtype}
    old_W, old_B = copies(W), copies(B)
    for gradient in GRADIENTS:
        backward_pass(W, B, A, dA, pred, Y, gradient=gradient)
        backward_pass(W, B, A, dA, pred, np.array(0.5, dtype), gradient=gradient)
    assert same_bits(W, old_W)
    assert same_bits(B, old_B)
    assert float(mse(pred, Y)) == 0.0


@pytest.mark.parametrize("bias_shape", [(1, -1), (-1,)])
def test_biases_may_be_rows_or_vectors_and_keep_their_shape(bias_shape):
    X, Y, W, B = strategies.arrays((3, 5, 2), 4, "float64", seed=4)
    B = [b.reshape(bias_shape) for b in B]
    shapes = [b.shape for b in B]
    true_W, true_B = copies(W), copies(B)
    train(X, Y, W, B, epochs=3)
    pred, A, dA = forward_pass(X, W, B)
    backward_pass(W, B, A, dA, pred, Y)
    oracle.train(X, Y, true_W, true_B, epochs=4)
    assert [b.shape for b in B] == shapes
    assert close("W", W, true_W, 1e-13)
    assert close("B", B, true_B, 1e-13)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_targets_may_be_one_row_or_one_number(dtype):
    X, _, W, B = strategies.arrays((3, 5, 2), 6, dtype, seed=6)
    pred, A, dA = forward_pass(X, W, B)
    for y in [np.array([0.25, 0.75], dtype), np.array([[0.25, 0.75]], dtype), np.array(0.5, dtype)]:
        whole = np.array(np.broadcast_to(y, (6, 2)))
        one, other, by_train, by_train_whole = ((copies(W), copies(B)) for _ in range(4))
        backward_pass(*one, A, dA, pred, y)
        backward_pass(*other, A, dA, pred, whole)
        assert same_bits([*one[0], *one[1]], [*other[0], *other[1]])
        losses = train(X, y, *by_train, epochs=4, batch_size=4)
        assert same_bits(losses, train(X, whole, *by_train_whole, epochs=4, batch_size=4))
        assert same_bits([*by_train[0], *by_train[1]], [*by_train_whole[0], *by_train_whole[1]])


def test_no_epochs_give_no_losses_and_change_nothing():
    X, Y, W, B = strategies.arrays((3, 5, 2), 6, "float64", seed=6)
    old_W, old_B = copies(W), copies(B)
    losses = train(X, Y, W, B, epochs=0)
    assert (losses.dtype, losses.shape) == (np.float64, (0,))
    assert same_bits(W, old_W)
    assert same_bits(B, old_B)


def test_numbers_that_are_not_finite_pass_through_backward_pass():
    X, Y, W, B = strategies.arrays((2, 3, 1), 4, "float64", seed=6)
    pred, A, dA = forward_pass(X, W, B)
    pred[1, 0] = np.nan
    backward_pass(W, B, A, dA, pred, Y)
    assert np.isnan(B[0]).all()
    assert np.isnan(W[1]).all()
    X, Y, W, B = strategies.arrays((2, 3, 1), 4, "float64", seed=6)
    pred, A, dA = forward_pass(X, W, B)
    backward_pass(W, B, A, dA, pred, np.array([[np.inf]]))
    assert np.isposinf(B[1]).all()
    for value in (np.nan, np.inf, -np.inf):
        for activation in ACTIVATIONS:
            x = np.array([[1.0], [value]])
            one = [np.ones((1, 1))]
            pred = forward_pass(x, one, [np.zeros((1, 1))], activation=activation)[0]
            assert np.array_equal(pred, oracle.activate(x, activation), equal_nan=True) or (
                close("pred", pred[:1], oracle.activate(x[:1], activation), 1e-15)
                and np.array_equal(pred[1:], oracle.activate(x[1:], activation), equal_nan=True)
            )


# The gradient -------------------------------------------------------------------------------------

RATE = 64.0  # a power of 2: dividing by it is exact


def stepped_gradient(X, Y, W, B, activation, gradient):
    """Return what `backward_pass` subtracts, divided by the learning rate."""
    new_W, new_B = copies(W), copies(B)
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    backward_pass(new_W, new_B, A, dA, pred, Y, RATE, gradient=gradient)
    return [(old - new) / RATE for old, new in zip([*W, *B], [*new_W, *new_B], strict=True)]


KINKED = ("relu", "leaky_relu", "elu", "selu")


def away_from_the_kink(X, W, B, activation):
    """Return whether no pre-activation is so near to 0 that a small step crosses it."""
    for w, b in zip(W, B, strict=True):
        z = X @ w + b
        if np.abs(z).min() < 1e-3:
            return False
        X = oracle.activate(z, activation)
    return True


def random_net(index, activation, attempt=0):
    """Draw a small net and batch; alive, and away from the kink where there is one."""
    random = np.random.default_rng([index, attempt])
    depth = int(random.integers(1, 5))
    sizes = tuple(int(size) for size in random.integers(1, 7, depth + 1))
    X, Y, W, B = strategies.arrays(sizes, int(random.integers(1, 6)), "float64", index + attempt)
    if activation in KINKED:
        slopes = oracle.gradients(X, Y, W, B, activation=activation, gradient="exact")
        alive = max(np.abs(slope).max() for slope in slopes) > 0.01
        if not (alive and away_from_the_kink(X, W, B, activation)):
            return random_net(index, activation, attempt + 1)
    return X, Y, W, B


@functools.cache
def differences(index, activation):
    """Return the central differences of the oracle's loss in a random net, in extended precision."""
    X, Y, W, B = random_net(index, activation)
    X, Y = copies([X, Y], np.longdouble)
    W, B = copies(W, np.longdouble), copies(B, np.longdouble)

    def loss():
        pred = X  # without the derivatives, which take as long
        for w, b in zip(W, B, strict=True):
            pred = oracle.activate(pred @ w + b.reshape(1, -1), activation)
        return oracle.mse(pred, Y)

    return oracle.central_differences(loss, [*W, *B], 1e-6)


def relative(actual, truth):
    """Return the largest error as a part of the largest number of the whole gradient."""
    scale = max(float(np.abs(array).max()) for array in truth)
    return max(float(np.abs(a - t).max()) for a, t in zip(actual, truth, strict=True)) / scale


# Twenty nets for gelu, whose oracle takes ten times as long as the others, and fifty in the slow tests.
@pytest.mark.parametrize(
    ("activation", "n_nets"),
    [
        *((activation, 20 if activation == "gelu" else 50) for activation in ALL_ACTIVATIONS),
        pytest.param("gelu", 50, marks=pytest.mark.slow),
    ],
)
def test_the_exact_gradient_is_that_of_central_differences(activation, n_nets):
    worst = 0.0
    for index in range(n_nets):
        net = random_net(index, activation)
        truth = differences(index, activation)
        worst = max(worst, relative(stepped_gradient(*net, activation, "exact"), truth))
    assert worst <= 1e-7


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_the_oracle_has_that_gradient_too_and_its_notebook_gradient_is_another(activation):
    others = []
    for index in range(20):
        net = random_net(index, activation)
        truth = differences(index, activation)
        exact = oracle.gradients(*net, activation=activation, gradient="exact")
        assert relative(exact, truth) <= 1e-7
        if len(net[2]) > 1:
            notebook = oracle.gradients(*net, activation=activation, gradient="notebook")
            others.append(relative(notebook, truth))
    assert np.median(others) > 1e-3


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_the_notebook_gradient_is_numpys_and_differs_from_the_exact_one(activation):
    gaps = []
    for index in range(50):
        X, Y, W, B = random_net(index, activation)
        steps = {}
        for gradient in GRADIENTS:
            W_, B_, true_W, true_B = copies(W), copies(B), copies(W), copies(B)
            pred, A, dA = forward_pass(X, W, B, activation=activation)
            backward_pass(W_, B_, A, dA, pred, Y, 0.5, gradient=gradient)
            oracle.backward_pass(true_W, true_B, A, dA, pred, Y, 0.5, gradient=gradient)
            assert close("W", W_, true_W, 1e-13)
            assert close("B", B_, true_B, 1e-13)
            steps[gradient] = [*W_, *B_]
        assert same_bits(steps["exact"][len(W) - 1], steps["notebook"][len(W) - 1])
        if len(W) == 1:
            assert same_bits(steps["exact"], steps["notebook"])
        else:
            gaps.append(relative(steps["exact"], steps["notebook"]))
    assert np.median(gaps) > 1e-5, "the two gradients hardly differ: 0.5 is much more than rounding"


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_the_float32_gradient_is_that_of_float64(activation):
    # N2; only where float32 rounding crosses no kink.
    for index in range(50):
        X, Y, W, B = random_net(index, activation)
        wide = stepped_gradient(X, Y, W, B, activation, "exact")
        narrow = stepped_gradient(
            *copies([X, Y], "float32"),
            copies(W, "float32"),
            copies(B, "float32"),
            activation,
            "exact",
        )
        assert relative(narrow, wide) <= 1e-4


def test_a_fault_planted_in_a_gradient_is_seen_by_central_differences():
    X, Y, W, B = random_net(3, "tanh")
    truth = differences(3, "tanh")
    wrong = [slope.copy() for slope in truth]
    wrong[0][0, 0] += 1e-6 * max(np.abs(slope).max() for slope in truth)
    assert relative(wrong, truth) > 1e-7
    assert relative(stepped_gradient(X, Y, W, B, "tanh", "notebook"), truth) > 1e-7


# Each activation by itself --------------------------------------------------------------------------


def through_one_unit(z, activation):
    """Return activation and derivative of each number, from a network of one unit."""
    one, zero = [np.ones((1, 1), z.dtype)], [np.zeros((1, 1), z.dtype)]
    pred, _, dA = forward_pass(z.reshape(-1, 1), one, zero, activation=activation)
    return pred.ravel(), dA[0].ravel()


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_an_activation_is_its_formula_and_so_is_its_derivative(activation, dtype):
    z = np.concatenate([np.linspace(-60, 60, 4001), np.geomspace(1e-6, 1, 200)]).astype(dtype)
    z = np.concatenate([z, -z])
    with np.errstate(under="ignore"):
        truth = oracle.activate(z.astype(np.longdouble), activation)
        true_slope = oracle.derive_at(z.astype(np.longdouble), activation)
    pred, slope = through_one_unit(z, activation)
    unit = np.finfo(dtype).eps
    # Where exp would be smaller than any normal number, silu and gelu are 0.
    assert np.all(np.abs(pred - truth) <= 4 * unit * np.abs(truth) + 1000 * np.finfo(dtype).tiny)
    assert np.all(np.abs(slope - true_slope) <= 4 * unit)


def test_gelu_agrees_with_the_formula_in_double_precision():
    z = np.linspace(-12, 12, 10_001)
    expected = z * oracle.normal(z)  # math.erfc, as in PyTorch
    assert np.abs(through_one_unit(z, "gelu")[0] - expected).max() <= 1e-14


def test_activations_keep_nan_and_have_their_limits():
    inf = np.inf
    for dtype in strategies.DTYPES:
        x = np.array([np.nan, -inf, inf, -1e4, 1e4, -0.0], dtype)
        for activation in ALL_ACTIVATIONS:
            pred, _ = through_one_unit(x, activation)
            with np.errstate(invalid="ignore", under="ignore"):
                truth = oracle.activate(x, activation)
            if activation in ("gelu", "silu"):
                truth[1] = 0  # -inf * 0 in the formula
            assert np.array_equal(np.isnan(pred), np.isnan(truth)), activation
            finite = ~np.isnan(truth)
            assert np.allclose(pred[finite], truth[finite], rtol=1e-6, atol=0), activation


# The starting weights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "deviation", "kind"),
    [
        ("normal", 1.0, "normal"),
        ("glorot_normal", np.sqrt(2 / 500), "normal"),
        ("glorot_uniform", np.sqrt(2 / 500), "uniform"),
        ("he_normal", np.sqrt(2 / 300), "normal"),
        ("he_uniform", np.sqrt(2 / 300), "uniform"),
        ("lecun_normal", np.sqrt(1 / 300), "normal"),
        ("zeros", 0.0, "zeros"),
    ],
)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_initialize_draws_from_the_distribution_of_the_scheme(scheme, deviation, kind, dtype):
    (w,), (b,) = initialize([300, 200], seed=1, scheme=scheme, dtype=dtype)
    assert (w.shape, b.shape) == ((300, 200), (1, 200))
    assert w.dtype == b.dtype == dtype
    n = w.size
    w = w.astype(np.float64)
    assert abs(w.mean()) <= 5 * deviation / np.sqrt(n)
    assert abs(w.std() - deviation) <= 5 * deviation / np.sqrt(n)
    if kind == "normal":
        assert np.abs(w).max() > 3.5 * deviation
        inside = np.mean(np.abs(w) < deviation)
        assert abs(inside - 0.682689) < 5 * 0.4654 / np.sqrt(n)
    elif kind == "uniform":
        edge = np.sqrt(3) * deviation
        assert 0.999 * edge < np.abs(w).max() <= edge * (1 + 1e-6)
        counts = np.histogram(w, bins=20, range=(-edge, edge))[0]
        assert np.sum((counts - n / 20) ** 2 / (n / 20)) < 50  # chi-square, 19 degrees of freedom
    if scheme == "normal":
        assert 0.7 < b.std() < 1.3
    else:
        assert not b.any()
    # Neighbours, in a row and in a column, know nothing of each other.
    if deviation:
        for left, right in [(w[:, :-1], w[:, 1:]), (w[:-1], w[1:])]:
            assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 5 / np.sqrt(n)


def test_initialize_gives_float32_the_rounded_float64_numbers():
    wide, narrow = (initialize([7, 5, 3], seed=9, dtype=dtype) for dtype in (np.float64, "float32"))
    for one, other in zip(wide, narrow, strict=True):
        assert same_bits(copies(one, np.float32), list(other))


def test_report_says_how_far_off():
    assert not close("pred", [1.0, 2.0], [1.0, 2.1], 1e-3)
    assert not close("pred", [1.0, np.nan], [1.0, 2.1], 1e-3)
    assert not close("pred", [np.ones(2)], [np.ones(2), np.ones(2)], 1e-3)
    assert not close("pred", np.ones((2, 1)), np.ones(2), 1e-3)
    assert close("pred", np.ones(2), np.ones(2) + 1e-9, 1e-8)
    assert repr(Report("pred", 1.0, 0.5)) == "Report(what='pred', deviation=1.0, allowed=0.5)"
