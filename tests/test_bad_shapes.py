"""Shapes that do not fit, and sizes beyond all memory (I3).

Each is refused by the argument's name and its shape, costs no memory, and leaves the process alive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import oracle
import strategies
from bits import same_bits
from ironprop.notebook import dmse, initialize, mse
from oracle import copies
from processes import run_python
from refusals import FUNCTIONS, SHAPES, accept, arguments_of, changed, refuse


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


def test_any_number_of_rows_without_columns_takes_no_time():
    rows = np.zeros((2**59, 0))
    assert mse(rows, 0.0) == 0.0
    assert dmse(rows, 0.0).shape == rows.shape
