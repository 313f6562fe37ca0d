"""What must be refused, and that a refusal changes nothing (I1, I3, I4, I7).

Tables of calls with one thing wrong. Each must raise the exception of the contract (dtype:
TypeError; shape, overlap, read-only, option out of range: ValueError), name the argument, say what
came, and leave every array and list as it was. What is accepted instead stands beside it: integers,
strided in-place targets, whole numbers of NumPy as options.
"""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import oracle
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
from oracle import copies
from processes import run_python
from strategies import WRITEABLE_LAYOUTS, in_layout

FUNCTIONS = {
    "forward_pass": forward_pass,
    "backward_pass": backward_pass,
    "train": train,
    "initialize": initialize,
    "sig": sig,
    "dsig": dsig,
    "mse": mse,
    "dmse": dmse,
}


def arguments_of(function, dtype="float64"):
    """Return good arguments: 4 samples, layers 3-5-2."""
    X, Y, W, B = strategies.arrays((3, 5, 2), 4, dtype, 1)
    pred, A, dA = oracle.forward_pass(X, W, B)
    return {
        "forward_pass": {"X": X, "W": W, "B": B},
        "backward_pass": {"W": W, "B": B, "A": A, "dA": dA, "pred": pred, "Y": Y},
        "train": {"X": X, "Y": Y, "W": W, "B": B, "epochs": 2},
        "initialize": {"sizes": [3, 5, 2]},
        "sig": {"x": X},
        "dsig": {"A": pred},
        "mse": {"x": pred, "y": Y},
        "dmse": {"x": pred, "y": Y},
    }[function]


def changed(arguments, path, value):
    """Put a value in the place of an argument, `"X"`, or of one array in a list, `"W[1]"`."""
    name, index = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", path).groups()
    if index is None:
        return {**arguments, name: value}
    items = list(arguments[name])
    items[int(index)] = value
    return {**arguments, name: items}


def names(message, argument):
    """Return whether the message has the argument's name, as a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(argument)}(?![\w\[])", message) is not None


def refuse(function, arguments, exception, argument, *words):
    """Assert that the call raises, names one of the arguments (`"X|W[0]"`) and changes nothing."""
    call = FUNCTIONS[function] if isinstance(function, str) else function
    before = digest(arguments)
    with pytest.raises(exception) as caught:
        call(**arguments)
    message = str(caught.value)
    assert any(names(message, name) for name in argument.split("|")), message
    for word in words:
        assert word in message, message
    assert digest(arguments) == before, "the refused call has changed an argument"


def accept(function, arguments):
    """Call a function on copies and return all the numbers that come of it."""
    arguments = {
        name: copies(value) if name in {"W", "B"} and function != "forward_pass" else value
        for name, value in arguments.items()
    }
    result = FUNCTIONS[function](**arguments)
    if function in {"backward_pass", "train"}:
        return [*([result] if result is not None else []), *arguments["W"], *arguments["B"]]
    if function == "forward_pass":
        pred, A, dA = result
        return [pred, *A[1:], *dA]
    return [np.asarray(result)]


# Types (I1) ---------------------------------------------------------------------------------------

PATHS = [
    *(("forward_pass", path) for path in ("X", "W[0]", "W[1]", "B[0]", "B[1]")),
    *(("backward_pass", path) for path in ("A[0]", "A[1]", "dA[0]", "dA[1]", "pred", "Y")),
    ("train", "X"),
    ("train", "Y"),
    ("sig", "x"),
    ("dsig", "A"),
    ("mse", "x"),
    ("mse", "y"),
    ("dmse", "x"),
    ("dmse", "y"),
]
TARGETS = [
    (function, path)
    for function in ("backward_pass", "train")
    for path in ("W[0]", "W[1]", "B[0]", "B[1]")
]

CONVERTED = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *(">i2", ">i4", ">i8", ">u2", ">u4", ">u8"),
]


def masked(array):
    return np.ma.masked_array(array, mask=np.zeros(array.shape, bool))


def structured(array):
    return np.zeros(array.shape, [("a", "f8"), ("b", "f8")])


REFUSED = {
    "float16": lambda array: array.astype("float16"),
    "longdouble": lambda array: array.astype(np.longdouble),
    "complex64": lambda array: array.astype("complex64"),
    "complex128": lambda array: array.astype("complex128"),
    "clongdouble": lambda array: array.astype(np.clongdouble),
    "object": lambda array: array.astype(object),
    "str": lambda array: array.astype(str),
    "bytes": lambda array: array.astype("S8"),
    "datetime64": lambda array: array.astype("int64").astype("datetime64[s]"),
    "timedelta64": lambda array: array.astype("int64").astype("timedelta64[s]"),
    "structured": structured,
    "void": lambda array: array.view("V8"),
    "masked": masked,
    "list of str": lambda array: array.astype(str).tolist(),
    "list of complex": lambda array: array.astype(complex).tolist(),
    "list of None": lambda array: np.full(array.shape, None).tolist(),
    "huge integers": lambda array: np.full(array.shape, 2**70, object).tolist(),
    "None": lambda array: None,
    "a word": lambda array: "weights",
    "a dict": lambda array: {"a": 1.0},
    "a set": lambda array: {1.0, 2.0},
    "a function": lambda array: abs,
}


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("dtype", CONVERTED)
def test_integers_and_booleans_become_float64(function, path, dtype):
    arguments = arguments_of(function)
    array = np.abs(_at(arguments, path) * 3).astype("int64").astype(dtype)
    expected = accept(function, changed(arguments, path, array.astype(np.float64)))
    assert same_bits(accept(function, changed(arguments, path, array)), expected)


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_the_other_byte_order_is_converted(function, path, dtype):
    arguments = arguments_of(function, dtype.replace(">", ""))
    array = _at(arguments, path)
    expected = accept(function, arguments)
    assert same_bits(accept(function, changed(arguments, path, array.astype(dtype))), expected)


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("kind", ["floats", "integers", "booleans", "tuples", "rows"])
def test_lists_become_float64(function, path, kind):
    arguments = arguments_of(function)
    array = _at(arguments, path)
    given = {
        "floats": array.tolist(),
        "integers": (array * 3).astype(int).tolist(),
        "booleans": (array > 0).tolist(),
        "tuples": tuple(map(tuple, array.tolist())),
        "rows": list(array),
    }[kind]
    expected = accept(function, changed(arguments, path, np.array(given, np.float64)))
    assert same_bits(accept(function, changed(arguments, path, given)), expected)


def _at(arguments, path):
    name, _, index = path.partition("[")
    return arguments[name][int(index[:-1])] if index else arguments[name]


@pytest.mark.parametrize(("function", "path"), PATHS)
@pytest.mark.parametrize("kind", REFUSED)
def test_other_types_are_refused_by_name(function, path, kind):
    arguments = arguments_of(function)
    bad = REFUSED[kind](_at(arguments, path))
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
    bad = changed(arguments, path, _at(arguments, path).astype(other))
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


# In-place targets (I7) ----------------------------------------------------------------------------

NO_TARGETS = {
    **REFUSED,
    "int64": lambda array: np.ones(array.shape, "int64"),
    "bool": lambda array: np.ones(array.shape, bool),
    "big-endian": lambda array: array.astype(">f8"),
    "list": lambda array: array.tolist(),
    "tuple": lambda array: tuple(map(tuple, array.tolist())),
    "number": lambda array: 0.5,
}


@pytest.mark.parametrize(("function", "path"), TARGETS)
@pytest.mark.parametrize("kind", NO_TARGETS)
def test_what_cannot_be_updated_in_place_is_refused(function, path, kind):
    arguments = arguments_of(function)
    bad = NO_TARGETS[kind](_at(arguments, path))
    refuse(function, changed(arguments, path, bad), TypeError, path)


@pytest.mark.parametrize(("function", "path"), TARGETS)
@pytest.mark.parametrize("kind", ["flag", "broadcast", "buffer"])
def test_read_only_targets_are_refused(function, path, kind):
    arguments = arguments_of(function)
    array = _at(arguments, path)
    bad = {
        "flag": in_layout(array, "read_only"),
        "broadcast": np.broadcast_to(array[:1], array.shape),
        "buffer": np.frombuffer(array.tobytes()).reshape(array.shape),
    }[kind]
    refuse(function, changed(arguments, path, bad), ValueError, path, "read-only")


def square_arguments():
    """Return arguments for 3-3-3-3 and 3 samples, where everything fits into everything's place."""
    X, Y, W, B = strategies.arrays((3, 3, 3, 3), 3, "float64", 1)
    pred, A, dA = oracle.forward_pass(X, W, B)
    return {"W": W, "B": B, "A": A, "dA": dA, "pred": pred, "Y": Y}


BUFFER = 40


def overlaps():
    """Name pairs of arguments and give each a pair of overlapping arrays."""
    base = np.random.default_rng(1).normal(size=BUFFER)

    def square(start):
        return base[start : start + 9].reshape(3, 3)

    interleaved = np.lib.stride_tricks.as_strided(base[0:], (3, 3), (24, 8))
    yield "the same array", ("W[0]", square(0)), ("W[1]", square(0))
    yield "the same object", ("W[0]", interleaved), ("W[2]", interleaved)
    yield "a transposed view", ("W[0]", square(0)), ("W[2]", square(0).T)
    yield "a reversed view", ("W[0]", square(0)), ("W[1]", square(0)[::-1, ::-1])
    yield "slices that share a row", ("W[0]", square(0)), ("W[1]", square(6))
    yield "slices that share one number", ("W[0]", square(0)), ("W[1]", square(8))
    yield "steps that meet", ("W[0]", base[0:18:2].reshape(3, 3)), ("W[1]", square(9))
    yield "a bias in the weights", ("W[0]", square(0)), ("B[0]", base[3:6].reshape(1, 3))
    yield "a bias in other weights", ("W[0]", square(0)), ("B[2]", base[2:9:3].reshape(1, 3))
    yield "two biases", ("B[0]", base[0:3].reshape(1, 3)), ("B[1]", base[2:5].reshape(1, 3))
    yield "weights and samples", ("W[0]", square(0)), ("A[0]", square(0))
    yield "weights and activations", ("W[2]", square(0)), ("A[1]", square(4))
    yield "weights and derivatives", ("W[1]", square(0)), ("dA[1]", square(8))
    yield "weights and predictions", ("W[2]", square(0)), ("pred", square(0).T)
    yield "weights and targets", ("W[0]", square(0)), ("Y", square(0))
    yield "weights and one row of targets", ("W[0]", square(0)), ("Y", base[2:5])
    yield "biases and samples", ("B[1]", base[4:7].reshape(1, 3)), ("A[0]", square(0))
    yield "biases and targets", ("B[0]", base[4:7].reshape(1, 3)), ("Y", square(0))


def fits(arguments, path, array):
    return np.shape(_at(arguments, path)) == array.shape or (path == "Y" and array.ndim == 1)


@pytest.mark.parametrize("case", list(overlaps()), ids=lambda case: case[0])
def test_overlapping_targets_are_refused(case):
    _, (one, first), (other, second) = case
    tried = 0
    for pair in ((one, first), (other, second)), ((one, second), (other, first)):
        arguments = square_arguments()
        if all(fits(arguments, path, array) for path, array in pair):
            tried += 1
            for path, array in pair:
                arguments = changed(arguments, path, array)
            refuse("backward_pass", arguments, ValueError, f"{one}|{other}", "share", "memory")
    assert tried


def overlaps_in_train():
    for name, (one, first), (other, second) in overlaps():
        paths = [{"A[0]": "X"}.get(path, path) for path in (one, other)]
        if all(path[0] in "WBXY" for path in paths):
            yield name, (paths[0], first), (paths[1], second)


@pytest.mark.parametrize("case", list(overlaps_in_train()), ids=lambda case: case[0])
def test_train_refuses_overlapping_targets(case):
    _, *pair = case
    arguments = square_arguments()
    arguments = {"X": arguments["A"][0], **{name: arguments[name] for name in "YWB"}, "epochs": 2}
    for path, array in pair:
        arguments = changed(arguments, path, array)
    refuse("train", arguments, ValueError, f"{pair[0][0]}|{pair[1][0]}", "share", "memory")


def test_a_target_that_overlaps_itself_is_refused():
    for function in ("backward_pass", "train"):
        arguments = arguments_of(function)
        base = np.ones(8)
        for strides in [(8, 8), (0, 8), (16, 8)]:
            view = np.lib.stride_tricks.as_strided(base, (3, 5), strides)
            if strides == (16, 8):
                view = np.lib.stride_tricks.as_strided(np.ones(9), (3, 5), strides)
            assert view.flags.writeable
            refuse(
                function, changed(arguments, "W[0]", view), ValueError, "W[0]", "share", "memory"
            )


def step(W, B, function, gradient):
    """Take a step, or three epochs, with fixed other arguments."""
    X, Y, start_W, start_B = strategies.arrays((3, 5, 4, 2), 6, "float64", 2)
    pred, A, dA = oracle.forward_pass(X, start_W, start_B)
    if function == "backward_pass":
        backward_pass(W, B, A, dA, pred, Y, 0.1, gradient=gradient)
    else:
        train(X, Y, W, B, epochs=3, learning_rate=0.1, gradient=gradient)


def plain_step(dtype, function, gradient):
    """Return the starting parameters and those after `step` on plain arrays."""
    _, _, W, B = strategies.arrays((3, 5, 4, 2), 6, dtype, 2)
    new_W, new_B = copies(W), copies(B)
    step(new_W, new_B, function, gradient)
    return W, B, new_W, new_B


@pytest.mark.parametrize("name", WRITEABLE_LAYOUTS)
@pytest.mark.parametrize("gradient", oracle.GRADIENTS)
@pytest.mark.parametrize("function", ["backward_pass", "train"])
def test_targets_of_any_layout_are_updated_in_place(function, gradient, name):
    W, B, new_W, new_B = plain_step("float64", function, gradient)
    views_W, views_B = ([in_layout(array, name) for array in arrays] for arrays in (W, B))
    aliases = [view[...] for view in [*views_W, *views_B]]
    step(views_W, views_B, function, gradient)
    for view, alias, expected in zip([*views_W, *views_B], aliases, [*new_W, *new_B], strict=True):
        assert same_bits(np.array(view, order="C", subok=False), expected)
        assert np.shares_memory(view, alias)
        assert np.array_equal(view, alias)


@pytest.mark.parametrize("gradient", oracle.GRADIENTS)
@pytest.mark.parametrize("function", ["backward_pass", "train"])
def test_what_lies_between_the_targets_numbers_is_left_alone(function, gradient):
    W, B, new_W, _ = plain_step("float64", function, gradient)
    base = np.full((6, 10), 7.0)
    view = base[::2, ::2]
    view[...] = W[0]
    step([view, *W[1:]], B, function, gradient)
    assert same_bits(view.copy(), new_W[0])
    base[::2, ::2] = 7.0
    assert (base == 7.0).all()


@pytest.mark.parametrize("gradient", oracle.GRADIENTS)
@pytest.mark.parametrize("function", ["backward_pass", "train"])
@pytest.mark.parametrize("arrangement", ["one buffer", "backward", "interleaved", "columns"])
def test_disjoint_views_of_one_buffer_are_updated_in_place(arrangement, function, gradient):
    W, B, new_W, new_B = plain_step("float64", function, gradient)
    total = sum(array.size for array in [*W, *B])
    if arrangement in {"one buffer", "backward"}:
        base = np.zeros(total)[:: -1 if arrangement == "backward" else 1]
        starts = np.cumsum([0, *(array.size for array in [*W, *B])])
        views = [
            base[start : start + array.size].reshape(array.shape)
            for start, array in zip(starts, [*W, *B], strict=False)
        ]
    elif arrangement == "interleaved":  # number by number: every view spans the others
        base = np.zeros((20, 6))
        views = [
            base[: array.size, column].reshape(array.shape) for column, array in enumerate([*W, *B])
        ]
    else:  # columns of one matrix, side by side and in turn
        base = np.zeros((5, 24))
        views = [
            base[:3, 0:10:2],
            base[:5, 1:9:2],
            base[:4, 10:12],
            base[:1, 12:17],
            base[:1, 17:21],
            base[:1, 21:23],
        ]
    assert all(np.shares_memory(view, base) for view in views)
    for view, array in zip(views, [*W, *B], strict=True):
        view[...] = array
    step(views[:3], views[3:], function, gradient)
    for view, expected in zip(views, [*new_W, *new_B], strict=True):
        assert same_bits(np.array(view, order="C"), expected)


def test_a_target_may_be_a_subclass_of_ndarray():
    class Weights(np.ndarray):
        """An ndarray under another name."""

    W, B, new_W, new_B = plain_step("float64", "train", "exact")
    step([w.view(Weights) for w in W], B, "train", "exact")
    assert same_bits([*W, *B], [*new_W, *new_B])


def test_the_same_array_may_be_given_twice_where_it_is_only_read():
    arguments = square_arguments()
    one = arguments["dA"][0]
    given = {**arguments, "dA": [one, one, one], "pred": one, "Y": one, "A": [one, one, one]}
    separate = {
        **given,
        "dA": copies([one] * 3),
        "A": copies([one] * 3),
        "pred": one.copy(),
        "Y": one.copy(),
    }
    assert same_bits(accept("backward_pass", given), accept("backward_pass", separate))
    W, B = [one, one, one.T], [one[:1], one[0], one[:1]]
    forward_pass(one, W, B)


# Arguments with a will of their own ---------------------------------------------------------------


class Reading:
    """An argument whose conversion to an array runs code."""

    def __init__(self, run, array):
        """Run `run` and give `array` whenever an array is asked for."""
        self.run, self.array = run, array

    def __array__(self, dtype=None, copy=None):
        """Convert."""
        self.run()
        return self.array


@pytest.mark.parametrize("view", [memoryview, lambda array: Reading(lambda: None, array)])
@pytest.mark.parametrize("path", ["A[0]", "A[1]", "dA[2]", "pred", "Y"])
def test_a_target_is_known_behind_a_buffer_or_an_object(path, view):
    # `memoryview(W[0])` is no ndarray, but it is the same memory.
    arguments = square_arguments()
    arguments = changed(arguments, path, view(arguments["W"][0]))
    W, B, *others = arguments.values()
    expected_W, expected_B = copies(W), copies(B)
    others = [
        [np.array(item) for item in x] if isinstance(x, list) else np.array(x) for x in others
    ]
    backward_pass(expected_W, expected_B, *others)
    before = copies(W), copies(B)
    refused = False
    try:
        backward_pass(**arguments)
    except ValueError:
        refused = True
    # Either it is refused, or the memory has been copied in time.
    expected = before if refused else (expected_W, expected_B)
    assert same_bits([*W, *B], [*expected[0], *expected[1]])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, MemoryError])
def test_what_an_argument_raises_while_it_is_read_is_not_hidden(error):
    def fail():
        raise error("from within")

    for function, path in [("forward_pass", "X"), ("train", "Y"), ("sig", "x")]:
        arguments = arguments_of(function)
        bad = changed(arguments, path, Reading(fail, None))
        before = digest(arguments)
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            FUNCTIONS[function](**bad)
        kinds = (error, TypeError, ValueError) if issubclass(error, Exception) else (error,)
        assert isinstance(caught.value, kinds)
        assert digest(arguments) == before


@pytest.mark.parametrize("function", ["forward_pass", "backward_pass", "train"])
@pytest.mark.parametrize("kind", ["dtype", "shape", "resize", "read-only", "lists"])
def test_arguments_that_change_others_while_they_are_read_cannot_crash(kind, function):
    # Each case in a process of its own: what is tested is that it lives. The arrays are large, so
    # that a read beyond their end leaves their mapping.
    program = """
import sys
import warnings
import numpy as np
from ironprop.notebook import backward_pass, forward_pass, train

warnings.simplefilter("ignore")
kind, function = sys.argv[1:]
n = 1000
X, Y = np.ones((4, n)), np.ones((4, n))
W, B = [np.zeros((n, n)), np.zeros((n, n))], [np.zeros((1, n)), np.zeros((1, n))]
lists = [list(W), list(B)]
pred, A, dA = forward_pass(X, W, B)

def change():
    if kind == "dtype":
        for array in [*W, *B, *A]:
            array.dtype = np.int8
    elif kind == "shape":
        for array in W:
            array.shape = (n // 2, 2 * n)
    elif kind == "resize":
        for array in [*W, *B]:
            array.resize((1, 1))
    elif kind == "read-only":
        for array in [*W, *B]:
            array.flags.writeable = False
    elif kind == "lists":
        for items in lists:
            items.clear()

class Late:
    def __array__(self, dtype=None, copy=None):
        change()
        return np.ones((4, n))

late = Late()
try:
    if function == "forward_pass":
        forward_pass(late, *lists)
    elif function == "backward_pass":
        backward_pass(*lists, A, dA, pred, late)
    else:
        train(X, late, *lists, epochs=1)
    print("done")
except Exception as error:
    print(type(error).__name__)
"""
    outcome = run_python(program, kind, function).strip()
    assert outcome in {"done", "ValueError", "TypeError", "RuntimeError"}


# Shapes (I3) --------------------------------------------------------------------------------------


def z(*shape):
    return np.zeros(shape)


# function, path of the argument, what is put there, names of which the message has one, its words
SHAPES = [
    ("forward_pass", "X", z(3), "X", ["(3,)", "(1, "]),
    ("forward_pass", "X", z(), "X", ["()"]),
    ("forward_pass", "X", 0.5, "X", ["()"]),
    ("forward_pass", "X", z(2, 4, 3), "X", ["(2, 4, 3)"]),
    ("forward_pass", "X", z(4, 2), "X|W[0]", ["2", "3"]),
    ("forward_pass", "X", z(4, 0), "X|W[0]", ["0", "3"]),
    ("forward_pass", "X", z(0, 2), "X|W[0]", ["2", "3"]),
    ("forward_pass", "X", z(3, 4), "X|W[0]", ["4", "3"]),
    ("forward_pass", "X", [], "X", ["(0,)"]),
    ("forward_pass", "X", [[1.0, 2.0, 3.0], [1.0]], "X", []),
    ("forward_pass", "X", [0.5, 0.5, 0.5], "X", ["(3,)"]),
    ("forward_pass", "W[0]", z(4, 5), "X|W[0]", ["4", "3"]),
    ("forward_pass", "W[0]", z(5, 3), "X|W[0]|B[0]", ["5", "3"]),
    ("forward_pass", "W[0]", z(3), "W[0]", ["(3,)"]),
    ("forward_pass", "W[0]", z(), "W[0]", ["()"]),
    ("forward_pass", "W[0]", z(1, 3, 5), "W[0]", ["(1, 3, 5)"]),
    ("forward_pass", "W[0]", z(3, 0), "W[0]", ["(3, 0)"]),
    ("forward_pass", "W[0]", z(0, 5), "W[0]|X", ["0"]),
    ("forward_pass", "W[1]", z(4, 2), "W[1]", ["4", "5"]),
    ("forward_pass", "W[1]", z(2, 5), "W[1]", ["2", "5"]),
    ("forward_pass", "W[1]", z(5, 0), "W[1]", ["(5, 0)"]),
    ("forward_pass", "W[1]", z(5), "W[1]", ["(5,)"]),
    ("forward_pass", "W[1]", [[1.0], [1.0, 2.0]], "W[1]", []),
    ("forward_pass", "W", [], "W", []),
    ("forward_pass", "W", [z(3, 5)], "W", ["1", "2"]),
    ("forward_pass", "W", [z(3, 5), z(5, 2), z(2, 2)], "W", ["3", "2"]),
    ("forward_pass", "B", [], "B", ["0", "2"]),
    ("forward_pass", "B", [z(1, 5)], "B", ["1", "2"]),
    ("forward_pass", "B", [z(1, 5), z(1, 2), z(1, 2)], "B", ["3", "2"]),
    ("forward_pass", "B[0]", z(1, 4), "B[0]", ["(1, 4)", "5"]),
    ("forward_pass", "B[0]", z(4), "B[0]", ["(4,)", "5"]),
    ("forward_pass", "B[0]", z(5, 1), "B[0]", ["(5, 1)"]),
    ("forward_pass", "B[0]", z(4, 5), "B[0]", ["(4, 5)"]),
    ("forward_pass", "B[0]", z(0, 5), "B[0]", ["(0, 5)"]),
    ("forward_pass", "B[0]", z(1, 1, 5), "B[0]", ["(1, 1, 5)"]),
    ("forward_pass", "B[0]", z(), "B[0]", ["()"]),
    ("forward_pass", "B[1]", z(1, 1), "B[1]", ["(1, 1)", "2"]),
    ("forward_pass", "B[1]", z(1), "B[1]", ["(1,)", "2"]),
    ("backward_pass", "W", [], "W", []),
    ("backward_pass", "W", [z(3, 5)], "W", ["1", "2"]),
    ("backward_pass", "B", [z(1, 5)], "B", ["1", "2"]),
    ("backward_pass", "A", [], "A", ["0", "2"]),
    ("backward_pass", "A", [z(4, 3)], "A", ["1", "2"]),
    ("backward_pass", "A", [z(4, 3), z(4, 5), z(4, 2)], "A", ["3", "2"]),
    ("backward_pass", "dA", [], "dA", ["0", "2"]),
    ("backward_pass", "dA", [z(4, 5)], "dA", ["1", "2"]),
    ("backward_pass", "dA", [z(4, 5), z(4, 2), z(4, 2)], "dA", ["3", "2"]),
    ("backward_pass", "A[0]", z(4, 2), "A[0]", ["(4, 2)", "3"]),
    ("backward_pass", "A[0]", z(3, 3), "A[0]|pred", ["3", "4"]),
    ("backward_pass", "A[0]", z(3), "A[0]", ["(3,)"]),
    ("backward_pass", "A[1]", z(4, 4), "A[1]", ["(4, 4)", "5"]),
    ("backward_pass", "A[1]", z(5, 5), "A[1]", ["(5, 5)", "4"]),
    ("backward_pass", "A[1]", z(1, 5), "A[1]", ["(1, 5)", "4"]),
    ("backward_pass", "dA[0]", z(4, 3), "dA[0]", ["(4, 3)", "5"]),
    ("backward_pass", "dA[0]", z(1, 5), "dA[0]", ["(1, 5)", "4"]),
    ("backward_pass", "dA[1]", z(4, 1), "dA[1]", ["(4, 1)", "2"]),
    ("backward_pass", "dA[1]", z(0, 2), "dA[1]", ["(0, 2)", "4"]),
    ("backward_pass", "pred", z(4, 1), "pred", ["(4, 1)", "2"]),
    ("backward_pass", "pred", z(3, 2), "pred|A[0]", ["3", "4"]),
    ("backward_pass", "pred", z(2), "pred", ["(2,)"]),
    ("backward_pass", "Y", z(4), "Y", ["(4,)", "(4, 2)"]),
    ("backward_pass", "Y", z(4, 1), "Y", ["(4, 1)", "(4, 2)"]),
    ("backward_pass", "Y", z(3, 2), "Y", ["(3, 2)", "(4, 2)"]),
    ("backward_pass", "Y", z(2, 4), "Y", ["(2, 4)", "(4, 2)"]),
    ("backward_pass", "Y", z(0, 2), "Y", ["(0, 2)", "(4, 2)"]),
    ("backward_pass", "Y", z(1, 4, 2), "Y", ["(1, 4, 2)"]),
    ("backward_pass", "Y", z(3), "Y", ["(3,)"]),
    ("backward_pass", "W[0]", z(2, 5), "W[0]|A[0]", ["2", "3"]),
    ("backward_pass", "W[1]", z(5, 3), "W[1]|B[1]|pred|dA[1]", ["3", "2"]),
    ("backward_pass", "B[1]", z(1, 3), "B[1]", ["(1, 3)", "2"]),
    ("backward_pass", "B[1]", z(2, 1), "B[1]", ["(2, 1)"]),
    ("train", "X", z(0, 3), "X", ["(0, 3)"]),
    ("train", "X", z(3), "X", ["(3,)"]),
    ("train", "X", z(4, 2), "X|W[0]", ["2", "3"]),
    ("train", "X", z(5, 3), "X|Y", ["5", "4"]),
    ("train", "Y", z(4), "Y", ["(4,)", "(4, 2)"]),
    ("train", "Y", z(4, 1), "Y", ["(4, 1)", "(4, 2)"]),
    ("train", "Y", z(3, 2), "Y", ["(3, 2)", "(4, 2)"]),
    ("train", "Y", z(0, 2), "Y", ["(0, 2)", "(4, 2)"]),
    ("train", "W[1]", z(4, 2), "W[1]", ["4", "5"]),
    ("train", "B[0]", z(1, 4), "B[0]", ["(1, 4)", "5"]),
    ("train", "W", [], "W", []),
    ("train", "B", [], "B", ["0", "2"]),
    ("mse", "y", z(4), "y", ["(4,)", "(4, 2)"]),
    ("mse", "y", z(2, 4), "y|x", ["(2, 4)", "(4, 2)"]),
    ("mse", "x", z(3, 2), "x|y", ["(3, 2)", "(4, 2)"]),
    ("dmse", "y", z(4), "y", ["(4,)", "(4, 2)"]),
    ("dmse", "y", z(5, 2), "y|x", ["(5, 2)", "(4, 2)"]),
    ("dmse", "x", z(4, 3), "x|y", ["(4, 3)", "(4, 2)"]),
    ("initialize", "sizes", [], "sizes", []),
    ("initialize", "sizes", [3], "sizes", []),
    ("initialize", "sizes", [3, 0], "sizes", ["0"]),
    ("initialize", "sizes", [0, 3], "sizes", ["0"]),
    ("initialize", "sizes", [3, 0, 2], "sizes", ["0"]),
    ("initialize", "sizes", [3, -1], "sizes", ["-1"]),
    ("initialize", "sizes", [-(2**63), 2], "sizes", []),
    ("initialize", "sizes", [-(2**80), 2], "sizes", []),
]


@pytest.mark.parametrize(
    ("function", "path", "value", "argument", "words"),
    SHAPES,
    ids=[f"{index}-{case[0]}-{case[1]}" for index, case in enumerate(SHAPES)],
)
def test_shapes_that_do_not_fit_are_refused(function, path, value, argument, words):
    refuse(function, changed(arguments_of(function), path, value), ValueError, argument, *words)


def test_there_are_at_least_forty_of_them():
    assert len(SHAPES) >= 40


def test_a_column_of_targets_given_as_a_vector_is_refused_with_advice():
    X, Y, W, B = strategies.arrays((3, 1), 4, "float64", 1)
    pred, A, dA = oracle.forward_pass(X, W, B)
    for function, arguments in [
        ("backward_pass", {"W": W, "B": B, "A": A, "dA": dA, "pred": pred, "Y": Y[:, 0]}),
        ("train", {"X": X, "Y": Y[:, 0], "W": W, "B": B, "epochs": 1}),
    ]:
        refuse(function, arguments, ValueError, "Y", "(4,)", "(4, 1)")
    for function in ("mse", "dmse"):
        refuse(function, {"x": pred, "y": Y[:, 0]}, ValueError, "y", "(4,)", "(4, 1)")
        refuse(function, {"x": pred[:, 0], "y": Y}, ValueError, "x|y", "(4,)", "(4, 1)")


@pytest.mark.parametrize("sizes", [[2**63, 2], [2, 2**63], [2**40, 2**40], [2**64, 1], [2**80, 1]])
def test_sizes_beyond_all_memory_are_refused(sizes):
    with pytest.raises((ValueError, MemoryError)):
        initialize(sizes)


def test_results_beyond_all_memory_are_a_memory_error_and_the_process_goes_on():
    # In a process that may have 4 GiB: 2**40 rows cost nothing as a broadcast view.
    program = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
import numpy as np
from ironprop.notebook import backward_pass, forward_pass, initialize, sig, train
W, B = [np.ones((2, 1))], [np.ones((1, 1))]
for rows in (2**30, 2**40, 2**58):
    X = np.broadcast_to(np.ones((1, 2)), (rows, 2))
    for call in (
        lambda: forward_pass(X, W, B),
        lambda: sig(X),
        lambda: train(X, 0.5, W, B, epochs=1),
        lambda: backward_pass(W, B, [X], [X[:, :1]], X[:, :1], 0.5),
        lambda: initialize([rows, 3]),
        lambda: train(np.ones((1, 2)), 0.5, W, B, epochs=rows),
    ):
        try:
            call()
        except MemoryError:
            print("MemoryError")
print(forward_pass([[0.0, 0.0]], [np.zeros((2, 1))], [np.zeros((1, 1))])[0], W[0].tolist())
"""
    lines = run_python(program).splitlines()
    assert lines == ["MemoryError"] * 18 + ["[[0.5]] [[1.0], [1.0]]"]


def test_refused_shapes_cost_no_memory():
    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096

    def all_of_them():
        for function, path, value, _, _ in SHAPES:
            arguments = changed(arguments_of(function), path, value)
            with pytest.raises(ValueError):  # noqa: PT011 (the messages are looked at above)
                FUNCTIONS[function](**arguments)

    all_of_them()
    before = resident()
    for _ in range(20):
        all_of_them()
    assert resident() - before < 10e6


@pytest.mark.parametrize("function", ["forward_pass", "backward_pass", "train"])
def test_lists_of_arrays_may_be_tuples_or_other_sequences(function):
    arguments = arguments_of(function)
    expected = accept(function, arguments)

    def as_tuples(arguments):
        return {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}

    given = as_tuples({**arguments, "W": copies(arguments["W"]), "B": copies(arguments["B"])})
    result = FUNCTIONS[function](**given)
    if function == "forward_pass":
        assert same_bits(result[0], expected[0])
    else:
        assert same_bits([*given["W"], *given["B"]], expected[-4:])


@pytest.mark.parametrize("value", [None, 3, 0.5, abs, {0: 1, 1: 2}.keys, object()])
@pytest.mark.parametrize(
    ("function", "path"),
    [
        *(("forward_pass", name) for name in ("W", "B")),
        *(("backward_pass", name) for name in ("W", "B", "A", "dA")),
        *(("train", name) for name in ("W", "B")),
        ("initialize", "sizes"),
    ],
)
def test_what_is_no_sequence_is_refused(function, path, value):
    refuse(function, changed(arguments_of(function), path, value), TypeError, path)


@pytest.mark.parametrize(
    "sizes", [[2.5, 1], [2, None], ["a", "b"], [2, [3]], "ab", [2, 1j], [np.float64(2.0), 1]]
)
def test_sizes_that_are_no_integers_are_refused(sizes):
    refuse("initialize", {"sizes": sizes}, TypeError, "sizes")


# Options (I4) -------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
TARGET_CALLS = ("backward_pass", "train")
BAD_OPTIONS = [
    *(
        (function, "learning_rate", value, ValueError)
        for function in TARGET_CALLS
        for value in (
            NAN,
            INF,
            -INF,
            0,
            0.0,
            -0.0,
            -1,
            -0.5,
            np.float32("nan"),
            10**400,
            -(10**400),
        )
    ),
    *(
        (function, "learning_rate", value, TypeError)
        for function in TARGET_CALLS
        for value in ("a", "0.5", None, [0.5], 1j, np.array([0.5, 0.5]), object())
    ),
    *(
        (function, "gradient", value, ValueError)
        for function in TARGET_CALLS
        for value in ("", "Exact", "exakt", "notebook ", "exact\0", "ß", "\ud800")
    ),
    *(
        (function, "activation", value, ValueError)
        for function in ("forward_pass", "train")
        for value in ("", "Sigmoid", "sig", "softmax", "relu\n", "𝜎")
    ),
    *(
        (function, option, value, TypeError)
        for function, option in [
            ("backward_pass", "gradient"),
            ("train", "gradient"),
            ("forward_pass", "activation"),
            ("train", "activation"),
            ("initialize", "scheme"),
        ]
        for value in (None, 1, b"exact", ["exact"])
    ),
    *(("initialize", "scheme", value, ValueError) for value in ("", "Normal", "xavier")),
    *(("train", "epochs", value, ValueError) for value in (-1, -(2**63), -(2**70), -(10**5000))),
    *(("train", "epochs", value, TypeError) for value in (1.5, 2.0, "3", None, [3], 3j)),
    *(
        ("train", "batch_size", value, ValueError)
        for value in (0, -1, 5, 2**63, 2**64, 2**70, -(2**70))
    ),
    *(("train", "batch_size", value, TypeError) for value in (1.5, "all", [2], 2.0)),
    *(("train", "log_every", value, ValueError) for value in (0, -1, -(2**70))),
    *(("train", "log_every", value, TypeError) for value in (1.5, "a", [2])),
    *(("train", "shuffle", value, TypeError) for value in ("yes", 2.5, [], None)),
    *(
        (function, "seed", value, ValueError)
        for function in ("train", "initialize")
        for value in (-1, 2**64, -(2**64), 2**100, 10**5000)
    ),
    *(
        (function, "seed", value, TypeError)
        for function in ("train", "initialize")
        for value in (1.5, "a", [1], 1j, np.array([1, 2]))
    ),
    *(
        ("initialize", "dtype", value, TypeError)
        for value in ("float16", np.int64, complex, object, "S4", np.longdouble, bool)
    ),
]


@pytest.mark.parametrize(
    ("function", "option", "value", "exception"),
    BAD_OPTIONS,
    ids=[f"{index}-{case[0]}-{case[1]}" for index, case in enumerate(BAD_OPTIONS)],
)
def test_options_out_of_range_are_refused(function, option, value, exception):
    arguments = arguments_of(function)
    if option == "seed" and function == "train":
        arguments["shuffle"] = True
    refuse(function, {**arguments, option: value}, exception, option)


def test_there_are_at_least_thirty_of_them():
    assert len(BAD_OPTIONS) >= 30


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("gradient", ["notebook", "exact"]),
        ("activation", ["sigmoid", "tanh", "relu"]),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(option, known):
    refuse(
        "train", {**arguments_of("train"), option: "newton"}, ValueError, option, "newton", *known
    )


def test_an_out_of_range_number_is_quoted():
    for option, value in [
        ("learning_rate", -2.5),
        ("epochs", -7),
        ("batch_size", 99),
        ("seed", -3),
    ]:
        refuse("train", {**arguments_of("train"), option: value}, ValueError, option, str(value))


@pytest.mark.parametrize(
    ("option", "value", "same_as"),
    [
        ("learning_rate", 1, 1.0),
        ("learning_rate", np.float32(0.25), 0.25),
        ("learning_rate", np.float64(0.25), 0.25),
        ("learning_rate", np.int32(2), 2.0),
        ("learning_rate", 5e-324, 5e-324),
        ("epochs", np.int64(3), 3),
        ("epochs", np.uint8(3), 3),
        ("batch_size", np.int32(3), 3),
        ("batch_size", 4, None),
        ("seed", np.uint64(2**64 - 1), 2**64 - 1),
        ("seed", np.int64(7), 7),
        ("shuffle", np.True_, True),
        ("log_every", None, None),
    ],
)
def test_numbers_of_numpy_are_options_too(option, value, same_as):
    results = []
    for choice in (value, same_as):
        arguments = arguments_of("train")
        if option == "seed":
            arguments["shuffle"] = True
        if option == "shuffle":
            arguments["seed"] = 1
        arguments["batch_size"] = 2
        arguments[option] = choice
        results.append(accept("train", arguments))
    assert same_bits(*results)


def test_options_are_keyword_only():
    arguments = arguments_of("train")
    with pytest.raises(TypeError):
        train(arguments["X"], arguments["Y"], arguments["W"], arguments["B"], 3)
    with pytest.raises(TypeError):
        forward_pass(arguments["X"], arguments["W"], arguments["B"], "tanh")
    with pytest.raises(TypeError):
        train(arguments["X"], arguments["Y"], arguments["W"], arguments["B"])  # no epochs


def test_a_generator_is_only_drawn_from_not_checked_away():
    random = np.random.default_rng(1)
    before = random.bit_generator.state
    with pytest.raises(ValueError, match="epochs"):
        train(**{**arguments_of("train"), "epochs": -1}, shuffle=True, seed=random)
    # Whether the number is drawn before the check is open; that not more than one is, is not.
    other = np.random.default_rng(1)
    drawn = random.bit_generator.state != before
    if drawn:
        other.integers(2**64, dtype=np.uint64)
    assert random.bit_generator.state == other.bit_generator.state


def test_ten_thousand_refused_calls_keep_nothing_alive():
    arguments = arguments_of("backward_pass")
    bad = changed(arguments, "Y", z(3, 2))
    arrays = [*bad["W"], *bad["B"], *bad["A"], *bad["dA"], bad["pred"], bad["Y"]]
    before = [sys.getrefcount(array) for array in arrays]
    for _ in range(10_000):
        with contextlib.suppress(ValueError):
            backward_pass(**bad)
    assert [sys.getrefcount(array) for array in arrays] == before


# The checkers themselves --------------------------------------------------------------------------


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


# Subclasses, and targets that are written back ----------------------------------------------------


class Liar(np.ndarray):
    """A subclass that answers NumPy's functions itself."""

    def __array_function__(self, function, types, args, kwargs):
        """Say no and do nothing."""
        return False


def test_a_subclass_has_no_say_in_what_shares_memory():
    arguments = square_arguments()
    liar = arguments["W"][0].view(Liar)
    arguments = {**arguments, "W": [liar, *arguments["W"][1:]], "A": [liar, *arguments["A"][1:]]}
    refuse("backward_pass", arguments, ValueError, "W[0]", "shares memory")


def test_a_strided_subclass_is_updated_like_any_other_view():
    arguments = square_arguments()
    plain = copies(arguments["W"]), copies(arguments["B"])
    n = arguments["W"][0].shape[0]
    liar = np.zeros((n, 2 * n))[:, ::2].view(Liar)
    liar.view(np.ndarray)[...] = arguments["W"][0]
    others = [arguments[name] for name in ("A", "dA", "pred", "Y")]
    backward_pass(*plain, *others)
    backward_pass([liar, *arguments["W"][1:]], arguments["B"], *others)
    assert same_bits([liar.view(np.ndarray)], [plain[0][0]])


def test_a_target_that_becomes_read_only_while_the_arguments_are_read_is_written_or_nothing_is():
    arguments = square_arguments()
    n = arguments["W"][1].shape[0]
    strided = np.zeros((n, 2 * n))[:, ::2]
    strided[...] = arguments["W"][1]
    arguments["W"][1] = strided

    class Rate(float):
        def __float__(self):
            strided.flags.writeable = False
            return 0.5

    before = copies(arguments["W"]), copies(arguments["B"])
    expected = copies(before[0]), copies(before[1])
    others = [arguments[name] for name in ("A", "dA", "pred", "Y")]
    backward_pass(*expected, *others)
    try:
        backward_pass(arguments["W"], arguments["B"], *others, Rate(0.5))
    except (ValueError, RuntimeError):
        expected = before
    assert same_bits([*arguments["W"], *arguments["B"]], [*expected[0], *expected[1]])


def test_what_a_learning_rate_raises_is_not_hidden():
    class Rate:
        def __float__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backward_pass(**square_arguments(), learning_rate=Rate())


def test_any_number_of_rows_without_columns_takes_no_time():
    rows = np.zeros((2**59, 0))
    assert mse(rows, 0.0) == 0.0
    assert dmse(rows, 0.0).shape == rows.shape
