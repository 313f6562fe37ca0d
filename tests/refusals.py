"""Calls of the notebook's functions with one thing wrong: the tables, and how they are tried (I1, I3, I4).

`refuse` sees that a call raises the exception of the contract (dtype: TypeError; shape, overlap, read-only, option out
of range: ValueError), names the argument, says what came, and leaves every array and list as it was. The tests are in
the files `test_bad_*.py`.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import oracle
import strategies
from bits import digest
from ironprop.notebook import backward_pass, dmse, dsig, forward_pass, initialize, mse, sig, train
from oracle import copies

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


def at(arguments, path):
    name, _, index = path.partition("[")
    return arguments[name][int(index[:-1])] if index else arguments[name]


def square_arguments():
    """Return arguments for 3-3-3-3 and 3 samples, where everything fits into everything's place."""
    X, Y, W, B = strategies.arrays((3, 3, 3, 3), 3, "float64", 1)
    pred, A, dA = oracle.forward_pass(X, W, B)
    return {"W": W, "B": B, "A": A, "dA": dA, "pred": pred, "Y": Y}


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
