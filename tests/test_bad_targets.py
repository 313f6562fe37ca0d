"""Targets that are updated in place: which arrays can be, and in what arrangement (I7).

Refused are targets of another type, read-only ones, and those that share memory with each other or with what is read.
Any layout, and views side by side in one buffer, are updated where they lie.
"""

from __future__ import annotations

import numpy as np
import pytest

import oracle
import strategies
from bits import same_bits
from ironprop.notebook import backward_pass, forward_pass, train
from oracle import copies
from refusals import REFUSED, TARGETS, accept, arguments_of, at, changed, refuse, square_arguments
from strategies import WRITEABLE_LAYOUTS, in_layout

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
    bad = NO_TARGETS[kind](at(arguments, path))
    refuse(function, changed(arguments, path, bad), TypeError, path)


@pytest.mark.parametrize(("function", "path"), TARGETS)
@pytest.mark.parametrize("kind", ["flag", "broadcast", "buffer"])
def test_read_only_targets_are_refused(function, path, kind):
    arguments = arguments_of(function)
    array = at(arguments, path)
    bad = {
        "flag": in_layout(array, "read_only"),
        "broadcast": np.broadcast_to(array[:1], array.shape),
        "buffer": np.frombuffer(array.tobytes()).reshape(array.shape),
    }[kind]
    refuse(function, changed(arguments, path, bad), ValueError, path, "read-only")


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
    return np.shape(at(arguments, path)) == array.shape or (path == "Y" and array.ndim == 1)


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
