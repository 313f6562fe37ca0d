"""Options out of range or of another type (I4).

Each is refused by its name with what came; unknown names are answered with the known ones. What is accepted instead
stands beside it: whole numbers and floats of NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest

from bits import same_bits
from ironprop.notebook import forward_pass, train
from refusals import BAD_OPTIONS, accept, arguments_of, refuse


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
