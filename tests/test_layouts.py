"""Every memory layout gives the same bits as the C-ordered copy (I2).

Fifteen layouts, for each argument of each function, in both types and in those that are converted;
then hypothesis mixes the layouts of all arguments of a call. Arrays of other than the expected
number of dimensions are refused in test_bad_shapes.py; arrays to be updated in place in any layout
are there as well.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from bits import same_bits
from ironprop.notebook import backward_pass, dmse, dsig, forward_pass, mse, sig, train
from oracle import ACTIVATIONS, GRADIENTS, copies
from strategies import LAYOUTS, WRITEABLE_LAYOUTS, in_layout

INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "bool", ">i2", ">i8")


def c_copy(view):
    """Return the numbers of a view as a plain native array, ints as the float64 they stand for."""
    dtype = view.dtype.newbyteorder("=") if view.dtype.kind == "f" else np.dtype("float64")
    return np.array(view, dtype=dtype, order="C", copy=True, subok=False)


def layout_is_as_named(view, name):
    """Return whether the array really lies in memory as the name says."""
    flags, strides = view.flags, view.strides
    return {
        "c": flags.c_contiguous,
        "fortran": flags.f_contiguous and not flags.c_contiguous,
        "transposed": flags.f_contiguous and not flags.c_contiguous,
        "negative_rows": strides[0] < 0 < strides[1],
        "negative_columns": strides[1] < 0 < strides[0],
        "negative_both": max(strides) < 0,
        "step_2_rows": strides[0] == 2 * view.shape[1] * view.itemsize,
        "step_2_columns": strides[1] == 2 * view.itemsize,
        "part_of_wider": strides[0] > view.shape[1] * view.itemsize,
        "broadcast": strides[0] == 0,
        "misaligned": not flags.aligned and flags.c_contiguous,
        "misaligned_fortran": not flags.aligned and flags.f_contiguous,
        "read_only": not flags.writeable,
        "memmap": isinstance(view, np.memmap),
        "big_endian": view.dtype.byteorder == ">",
    }[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_in_layout_is_what_it_says_and_keeps_the_numbers(name):
    array = np.arange(12.0).reshape(3, 4)
    view = in_layout(array, name)
    assert layout_is_as_named(view, name)
    expected = np.repeat(array[:1], 3, axis=0) if name == "broadcast" else array
    assert np.array_equal(view, expected)


def calls(dtype):
    """Name the arguments of each function, with numbers, and say how to call it."""
    X, Y, W, B = strategies.arrays((5, 6, 3), 7, dtype, 1)
    pred, A, dA = forward_pass(X, W, B)

    def backward(A_0, A_1, dA_0, dA_1, pred, Y, gradient="notebook"):
        new_W, new_B = copies(W), copies(B)
        backward_pass(new_W, new_B, [A_0, A_1], [dA_0, dA_1], pred, Y, gradient=gradient)
        return [*new_W, *new_B]

    def trained(X, Y, **options):
        new_W, new_B = copies(W), copies(B)
        losses = train(X, Y, new_W, new_B, epochs=3, **options)
        return [losses, *new_W, *new_B]

    def forward(X, W_0, W_1, B_0, B_1):
        pred, A, dA = forward_pass(X, [W_0, W_1], [B_0, B_1])
        return [pred, *A[1:], *dA]

    inputs = {"A_0": A[0], "A_1": A[1], "dA_0": dA[0], "dA_1": dA[1], "pred": pred, "Y": Y}
    return {
        "forward_pass": (forward, {"X": X, "W_0": W[0], "W_1": W[1], "B_0": B[0], "B_1": B[1]}),
        "backward_pass": (backward, inputs),
        "train": (trained, {"X": X, "Y": Y}),
        "train in batches": (lambda X, Y: trained(X, Y, batch_size=3), {"X": X, "Y": Y}),
        "train shuffled": (
            lambda X, Y: trained(X, Y, batch_size=2, shuffle=True, seed=5),
            {"X": X, "Y": Y},
        ),
        "sig": (lambda x: [sig(x)], {"x": X}),
        "dsig": (lambda A: [dsig(A)], {"A": pred}),
        "mse": (lambda x, y: [np.asarray(mse(x, y))], {"x": pred, "y": Y}),
        "dmse": (lambda x, y: [dmse(x, y)], {"x": pred, "y": Y}),
    }


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_argument_may_have_every_layout(name, dtype):
    for function, (call, arguments) in calls(dtype).items():
        for argument, array in arguments.items():
            view = in_layout(array, name)
            expected = call(**{**arguments, argument: c_copy(view)})
            assert same_bits(call(**{**arguments, argument: view}), expected), (function, argument)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_integers_may_have_every_layout(name, dtype):
    if name == "big_endian" and not dtype.startswith(">"):
        dtype = np.dtype(dtype).newbyteorder(">")
    for function, (call, arguments) in calls("float64").items():
        for argument, array in arguments.items():
            view = in_layout((array * 3).astype(np.int64).__abs__().astype(dtype), name)
            expected = call(**{**arguments, argument: c_copy(view)})
            assert same_bits(call(**{**arguments, argument: view}), expected), (function, argument)


def test_a_vector_of_biases_may_have_every_layout():
    X, _, W, B = strategies.arrays((5, 6, 3), 7, "float64", 1)
    for name in LAYOUTS:
        views = [in_layout(b[0], name) for b in B]
        pred = forward_pass(X, W, views)[0]
        assert same_bits(pred, forward_pass(X, W, [c_copy(view) for view in views])[0]), name


def test_targets_of_one_row_may_have_every_layout():
    X, _, W, B = strategies.arrays((5, 6, 3), 7, "float64", 1)
    row = np.array([[0.25, 0.5, 0.75]])
    for name in LAYOUTS:
        for y in (in_layout(row, name), in_layout(row[0], name)):
            results = []
            for targets in (y, c_copy(y)):
                new_W, new_B = copies(W), copies(B)
                losses = train(X, targets, new_W, new_B, epochs=2)
                results.append([losses, *new_W, *new_B])
            assert same_bits(*results), name


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (1, 4), (4, 1)])
def test_thin_and_empty_arrays_may_have_every_layout(name, shape):
    _, _, W, B = strategies.arrays((shape[1], 3), 1, "float64", 1)
    view = in_layout(np.random.default_rng(2).normal(size=shape), name)
    pred, _, dA = forward_pass(view, W, B)
    expected, _, expected_dA = forward_pass(c_copy(view), W, B)
    assert same_bits(pred, expected)
    assert same_bits(dA, expected_dA)


layouts = st.sampled_from(LAYOUTS)


def mixed_layouts(case, names, targets):
    """Run one step and a short training, with a layout for every array; compare with C copies."""
    X, Y, W, B = case.arrays()
    names = iter(names)
    views = [in_layout(array, next(names)) for array in (X, Y, *W, *B)]
    plain = [c_copy(view) for view in views]
    depth = len(W)
    results = []
    for X, _, *parameters in (views, plain):
        W, B = parameters[:depth], parameters[depth:]
        pred, A, dA = forward_pass(X, W, B, activation=case.activation)
        results.append([pred, *A[1:], *dA])
    assert same_bits(*results)

    X, Y = views[:2]
    updated = []
    for laid_out in (True, False):
        arrays = [
            in_layout(array, next(targets)) if laid_out else array.copy() for array in plain[2:]
        ]
        W, B = arrays[:depth], arrays[depth:]
        A_ = [in_layout(a, next(names)) if laid_out else a for a in [X, *A[1:]]]
        dA_ = [in_layout(d, next(names)) if laid_out else d for d in dA]
        if laid_out:
            A_copy, dA_copy = [c_copy(a) for a in A_], [c_copy(d) for d in dA_]
        else:
            A_, dA_ = A_copy, dA_copy
        backward_pass(W, B, A_, dA_, pred, Y, 0.01, gradient=case.gradient)
        losses = np.empty(0)
        if case.n_samples:
            losses = train(
                X if laid_out else plain[0],
                Y if laid_out else plain[1],
                W,
                B,
                epochs=2,
                learning_rate=0.01,
                gradient=case.gradient,
                activation=case.activation,
                batch_size=max(1, case.n_samples // 2),
            )
        updated.append([losses, *map(c_copy, arrays)])
    assert same_bits(*updated)


small_cases = st.builds(
    strategies.Case,
    sizes=st.lists(st.sampled_from([1, 2, 3, 5, 8, 9, 17, 33]), min_size=2, max_size=4).map(tuple),
    n_samples=st.sampled_from([0, 1, 2, 3, 5, 8, 17, 40]),
    dtype=st.sampled_from(strategies.DTYPES),
    activation=st.sampled_from(ACTIVATIONS),
    gradient=st.sampled_from(GRADIENTS),
    seed=strategies.seeds,
)
mixtures = given(
    small_cases,
    st.lists(layouts, min_size=14, max_size=14),
    st.lists(st.sampled_from(WRITEABLE_LAYOUTS), min_size=6, max_size=6),
)


@settings(max_examples=200)
@mixtures
def test_any_mixture_of_layouts_gives_the_bits_of_the_c_copies(case, names, targets):
    mixed_layouts(case, names, iter(targets))


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=5000)
@mixtures
def test_five_thousand_mixtures_of_layouts_give_the_bits_of_the_c_copies(case, names, targets):
    mixed_layouts(case, names, iter(targets))


def test_a_transposition_would_be_seen():
    # The planted fault of this file: reading the Fortran order as C order.
    X, _, W, B = strategies.arrays((4, 4), 4, "float64", 1)
    view = in_layout(X, "fortran")
    misread = np.ndarray(view.shape, view.dtype, view.tobytes("A"))
    assert not same_bits(forward_pass(misread, W, B)[0], forward_pass(X, W, B)[0])
