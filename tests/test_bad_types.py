"""Types of arguments: what is converted, what is refused, and that a refusal changes nothing (I1).

What is accepted stands beside what is not: integers, booleans, the other byte order and lists become float64.
"""

from __future__ import annotations

import numpy as np
import pytest

import strategies
from bits import digest, same_bits
from ironprop.notebook import forward_pass
from refusals import FUNCTIONS, PATHS, REFUSED, TARGETS, accept, arguments_of, at, changed, refuse

CONVERTED = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *(">i2", ">i4", ">i8", ">u2", ">u4", ">u8"),
]


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("dtype", CONVERTED)
def test_integers_and_booleans_become_float64(function, path, dtype):
    arguments = arguments_of(function)
    array = np.abs(at(arguments, path) * 3).astype("int64").astype(dtype)
    expected = accept(function, changed(arguments, path, array.astype(np.float64)))
    assert same_bits(accept(function, changed(arguments, path, array)), expected)


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_the_other_byte_order_is_converted(function, path, dtype):
    arguments = arguments_of(function, dtype.replace(">", ""))
    array = at(arguments, path)
    expected = accept(function, arguments)
    assert same_bits(accept(function, changed(arguments, path, array.astype(dtype))), expected)


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("kind", ["floats", "integers", "booleans", "tuples", "rows"])
def test_lists_become_float64(function, path, kind):
    arguments = arguments_of(function)
    array = at(arguments, path)
    given = {
        "floats": array.tolist(),
        "integers": (array * 3).astype(int).tolist(),
        "booleans": (array > 0).tolist(),
        "tuples": tuple(map(tuple, array.tolist())),
        "rows": list(array),
    }[kind]
    expected = accept(function, changed(arguments, path, np.array(given, np.float64)))
    assert same_bits(accept(function, changed(arguments, path, given)), expected)


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("kind", REFUSED)
def test_other_types_are_refused_by_name(function, path, kind):
    arguments = arguments_of(function)
    bad = REFUSED[kind](at(arguments, path))
    words = [bad.dtype.name] if kind in {"float16", "complex64", "complex128", "object"} else []
    refuse(function, changed(arguments, path, bad), TypeError, path, *words)


@pytest.mark.parametrize(
    ("function", "path"),
    [case for case in [*PATHS, *TARGETS] if case[0] not in {"sig", "dsig"}],
)
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_float32_and_float64_do_not_mix(function, path, dtype):
    arguments = arguments_of(function, dtype)
    other = {"float64": "float32", "float32": "float64"}[dtype]
    bad = changed(arguments, path, at(arguments, path).astype(other))
    before = digest(bad)
    with pytest.raises(TypeError) as caught:
        FUNCTIONS[function](**bad)
    assert "float32" in str(caught.value)
    assert "float64" in str(caught.value)
    assert digest(bad) == before


def test_a_list_or_integers_among_float32_are_float64_and_refused():
    arguments = arguments_of("forward_pass", "float32")
    for X in (np.ones((4, 3), int), [[0.5, 0.5, 0.5]], np.ones((4, 3), bool)):
        with pytest.raises(TypeError, match=r"float32.*float64|float64.*float32"):
            forward_pass(**{**arguments, "X": X})


def test_refuse_sees_a_change_a_wrong_name_and_a_wrong_exception():
    def fails(W, exception=ValueError, message="W[0] is wrong", write=False):
        if write:
            W[0][0, 0] += 1e-300
        raise exception(message)

    W = [np.zeros((2, 2))]
    refuse(fails, {"W": W}, ValueError, "W[0]", "wrong")
    for arguments, words in [
        ({"write": True}, []),
        ({"message": "W is wrong"}, []),
        ({"message": "dW[0] is wrong"}, []),
        ({}, ["(2, 2)"]),
    ]:
        with pytest.raises(AssertionError):
            refuse(fails, {"W": W, **arguments}, ValueError, "W[0]", *words)
    with pytest.raises(ZeroDivisionError):
        refuse(fails, {"W": W, "exception": ZeroDivisionError}, ValueError, "W[0]")
    with pytest.raises(pytest.fail.Exception):
        refuse(lambda W: None, {"W": W}, ValueError, "W[0]")
