"""The caller's arrays stay the caller's (I5).

No call changes an array that it only reads, none keeps one alive, and no result shares memory with
an argument, except `A[0]`, which is `X` itself. Results are plain arrays: they own their memory,
can be written to, and are C-contiguous.
"""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

import strategies
from bits import digest, same_bits
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
from oracle import ACTIVATIONS, GRADIENTS
from strategies import LAYOUTS, in_layout


def everything(dtype="float64", layout="c", n_samples=6):
    """Return arguments for all functions, in one layout; W and B in a writeable one."""
    X, Y, W, B = strategies.arrays((3, 5, 2), n_samples, dtype, 1)
    pred, A, dA = forward_pass(X, W, B)
    targets = layout if layout in strategies.WRITEABLE_LAYOUTS else "c"
    return {
        "X": in_layout(X, layout),
        "Y": in_layout(Y, layout),
        "W": [in_layout(w, targets) for w in W],
        "B": [in_layout(b, targets) for b in B],
        "A": [in_layout(a, layout) for a in A],
        "dA": [in_layout(d, layout) for d in dA],
        "pred": in_layout(pred, layout),
    }


def calls(given):
    """Name each call, with its arguments and which of them it may change."""
    X, Y, W, B, A, dA, pred = given.values()
    for activation in ACTIVATIONS:
        yield (
            f"forward_pass {activation}",
            lambda activation=activation: forward_pass(X, W, B, activation=activation),
            [],
        )
    for gradient in GRADIENTS:
        yield (
            f"backward_pass {gradient}",
            lambda gradient=gradient: backward_pass(W, B, A, dA, pred, Y, gradient=gradient),
            ["W", "B"],
        )
    for options in ({}, {"batch_size": 4}, {"batch_size": 4, "shuffle": True, "seed": 1}):
        yield (
            f"train {options}",
            lambda options=options: train(X, Y, W, B, epochs=3, **options),
            ["W", "B"],
        )
    yield "sig", lambda: sig(X), []
    yield "dsig", lambda: dsig(pred), []
    yield "mse", lambda: mse(pred, Y), []
    yield "dmse", lambda: dmse(pred, Y), []


def flat(thing):
    """Return all arrays of a nest of tuples, lists and dicts."""
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, dict):
        thing = list(thing.values())
    return (
        [array for item in thing for array in flat(item)] if isinstance(thing, tuple | list) else []
    )


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_call_only_reads_is_unchanged(layout, dtype):
    given = everything(dtype, layout)
    for name, call, changed in calls(given):
        before = {key: digest(value) for key, value in given.items()}
        identities = [id(array) for array in flat(given)]
        call()
        for key, value in given.items():
            assert (digest(value) != before[key]) == (key in changed), (name, key)
        assert [id(array) for array in flat(given)] == identities, name


@pytest.fixture(scope="module")
def short_collections():
    """Leave the thousands of objects of other tests out of every collection but one."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("short_collections")
@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_array_is_kept_alive(layout, dtype):
    given = everything(dtype, layout)
    arrays = flat(given)
    for name, call, _ in calls(given):
        call()
        gc.collect()
        before = [sys.getrefcount(array) for array in arrays]
        for _ in range(5):
            result = call()
            del result
        assert [sys.getrefcount(array) for array in arrays] == before, name


def test_only_the_first_input_is_held_by_the_results():
    given = everything()
    arrays = flat(given)
    before = [sys.getrefcount(array) for array in arrays]
    results = forward_pass(given["X"], given["W"], given["B"])
    after = [sys.getrefcount(array) for array in arrays]
    assert after == [before[0] + 1, *before[1:]]  # X, in A[0]
    del results
    assert [sys.getrefcount(array) for array in arrays] == before


def test_results_die_with_their_last_name():
    given = everything()
    pred, A, dA = forward_pass(given["X"], given["W"], given["B"])
    alive = [weakref.ref(array) for array in [pred, *A[1:], *dA]]
    del pred, A, dA
    assert [reference() for reference in alive] == [None] * len(alive)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_are_plain_arrays_of_their_own(layout, dtype):
    given = everything(dtype, layout)
    for name, call, _ in calls(given):
        results = [array for array in flat(call()) if array is not given["X"]]
        for index, result in enumerate(results):
            assert type(result) is np.ndarray, name
            flags = result.flags
            assert flags.owndata, name
            assert flags.writeable, name
            assert flags.c_contiguous, name
            assert flags.aligned, name
            assert result.dtype.isnative, name
            result[...] = 0
            others = [*flat(given), *results[:index]]
            assert not any(np.shares_memory(result, other) for other in others), name


@pytest.mark.parametrize("dtype", [*strategies.DTYPES, "int64", "bool", ">f8", ">f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_input_is_the_callers_own_array(layout, dtype):
    own = "float32" if dtype.endswith("f4") or dtype == "float32" else "float64"
    _, Y, W, B = strategies.arrays((3, 5, 2), 6, own, 1)
    X = in_layout(np.arange(18).reshape(6, 3).astype(dtype), layout)
    pred, A, dA = forward_pass(X, W, B)
    assert A[0] is X
    backward_pass(W, B, A, dA, pred, Y)


def test_a_list_of_samples_comes_back_as_an_array():
    X, Y, W, B = strategies.arrays((3, 5, 2), 6, "float64", 1)
    pred, A, dA = forward_pass(X.tolist(), W, B)
    assert same_bits(A[0], X)
    assert A[0].flags.owndata
    backward_pass(W, B, A, dA, pred, Y)


def test_results_are_fresh_in_every_call():
    given = everything()
    one = forward_pass(given["X"], given["W"], given["B"])
    other = forward_pass(given["X"], given["W"], given["B"])
    before = digest(other[0], other[1][1:], other[2])
    for array in [one[0], *one[1][1:], *one[2]]:
        array[...] = 9
    assert digest(other[0], other[1][1:], other[2]) == before


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_starting_weights_are_plain_arrays_of_their_own(dtype):
    W, B = initialize([4, 3, 2], seed=1, dtype=dtype)
    arrays = [*W, *B]
    assert type(W) is list
    assert type(B) is list
    for index, array in enumerate(arrays):
        assert type(array) is np.ndarray
        flags = array.flags
        assert flags.owndata
        assert flags.writeable
        assert flags.c_contiguous
        assert array.dtype == dtype
        assert not any(np.shares_memory(array, other) for other in arrays[:index])


@pytest.mark.parametrize("n_samples", [0, 1])
def test_empty_and_single_results_are_plain_arrays_too(n_samples):
    given = everything(n_samples=n_samples)
    pred, A, dA = forward_pass(given["X"], given["W"], given["B"])
    for array in [pred, *A[1:], *dA]:
        assert array.flags.owndata
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_an_updated_array_is_seen_under_all_its_names():
    given = everything()
    alias, view, column = given["W"][0], given["W"][0].T, given["W"][0][:, 1]
    before = column.copy()
    train(given["X"], given["Y"], given["W"], given["B"], epochs=1)
    assert given["W"][0] is alias
    assert np.array_equal(view, alias.T)
    assert not np.array_equal(column, before)
    assert np.array_equal(column, alias[:, 1])
