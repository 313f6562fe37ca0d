"""Arguments with a will of their own: code that runs while an argument is read (I1, I7).

It may raise, or change the other arguments; nothing may crash, be hidden, or be kept alive by it.
"""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop.notebook import backward_pass
from oracle import copies
from processes import run_python
from refusals import FUNCTIONS, arguments_of, changed, square_arguments, z


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


def test_ten_thousand_refused_calls_keep_nothing_alive():
    arguments = arguments_of("backward_pass")
    bad = changed(arguments, "Y", z(3, 2))
    arrays = [*bad["W"], *bad["B"], *bad["A"], *bad["dA"], bad["pred"], bad["Y"]]
    before = [sys.getrefcount(array) for array in arrays]
    for _ in range(10_000):
        with contextlib.suppress(ValueError):
            backward_pass(**bad)
    assert [sys.getrefcount(array) for array in arrays] == before


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
