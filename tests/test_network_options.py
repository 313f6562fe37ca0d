"""What a network must refuse, and that a refusal changes nothing (I4, I5).

Tables of arguments with one thing wrong, for every method and every assignment: each must raise the exception of the
contract, name its argument, and leave the network, what its optimiser remembers and the caller's arrays as they were.
`test_network_construction.py` has the constructor, `test_network_order.py` calls in a wrong order.
"""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from bits import digest
from ironprop import EarlyStopping, Network

X, Y = np.linspace(-1, 1, 15).reshape(5, 3), np.linspace(0, 1, 10).reshape(5, 2)


def network(**options):
    """Return a network 3-4-2 whose optimiser remembers something."""
    other = Network(
        [3, 4, 2], **{"optimizer": "adam", "dropout": 0.25, "loss": "mse", "seed": 1, **options}
    )
    other.train_step(X, Y)
    return other


# Calls --------------------------------------------------------------------------------------------

SAMPLES = [
    ("X", X[:, :2], ValueError),
    ("X", X[0], ValueError),
    ("X", X[None], ValueError),
    ("X", 5.0, ValueError),
    ("X", X.astype("f4"), TypeError),
    ("X", X.astype(complex), TypeError),
    ("X", "a", TypeError),
    ("X", None, TypeError),
    ("X", [[1.0, 2.0, 3.0], [1.0]], ValueError),
    ("X", np.ma.masked_array(X, X > 0), TypeError),
]
BATCH = [
    *SAMPLES,
    ("X", X[:0], ValueError),
    ("Y", Y[:4], ValueError),
    ("Y", Y[:, :1], ValueError),
    ("Y", Y[:, 0], ValueError),
    ("Y", Y[None], ValueError),
    ("Y", Y.astype("f4"), TypeError),
    ("Y", "a", TypeError),
    ("Y", None, TypeError),
]
WEIGHTS = [
    ("sample_weight", np.ones(4), ValueError),
    ("sample_weight", np.ones((5, 1)), ValueError),
    ("sample_weight", 1.0, ValueError),
    ("sample_weight", [1.0, 1, 1, 1, -1], ValueError),
    ("sample_weight", [1.0, 1, 1, 1, np.nan], ValueError),
    ("sample_weight", [1.0, 1, 1, 1, np.inf], ValueError),
    ("sample_weight", np.ones(5, "f4"), TypeError),
    ("sample_weight", np.ones(5, complex), TypeError),
    ("sample_weight", "a", TypeError),
]
RATE = [
    *(("learning_rate", rate, ValueError) for rate in (np.nan, 0, -1, np.inf)),
    ("learning_rate", "a", TypeError),
]
THREADS = [
    ("n_threads", 0, ValueError),
    ("n_threads", -1, ValueError),
    ("n_threads", 1.5, TypeError),
]
RUN = [
    ("epochs", -1, ValueError),
    ("epochs", 1.5, TypeError),
    ("epochs", None, TypeError),
    ("batch_size", 0, ValueError),
    ("batch_size", -1, ValueError),
    ("batch_size", 1.5, TypeError),
    ("batch_size", "a", TypeError),
    ("shuffle", "yes", TypeError),
    ("shuffle", None, TypeError),
    ("seed", -1, ValueError),
    ("seed", 2**64, ValueError),
    ("seed", 1.5, TypeError),
    ("seed", "a", TypeError),
]
FIT = [
    *(("validation_split", share, ValueError) for share in (-0.1, 1, 1.5, np.nan, 0.9)),
    ("validation_split", "a", TypeError),
    ("validation_split", None, TypeError),
    ("validation_data", X, TypeError),
    ("validation_data", (X,), TypeError),
    ("validation_data", (X, Y, np.ones(5), 1), TypeError),
    ("validation_data", (X, Y[:4]), ValueError),
    ("validation_data", (X[:, :2], Y), ValueError),
    ("validation_data", (X, Y, np.ones(4)), ValueError),
    ("validation_data", (X.astype("f4"), Y), TypeError),
    ("validation_data", (X[:0], Y[:0]), ValueError),
    ("class_weight", "balanced", ValueError),
    ("class_weight", 5, (TypeError, ValueError)),
    ("metrics", "auc", ValueError),
    ("metrics", 5, TypeError),
    ("early_stopping", True, TypeError),
    ("early_stopping", EarlyStopping, TypeError),
    ("early_stopping", EarlyStopping(), ValueError),
    ("callbacks", None, TypeError),
    ("callbacks", [5], TypeError),
    ("progress", 1, TypeError),
    ("verbose", 2, TypeError),
    ("verbose", "yes", TypeError),
    ("log_every", 0, ValueError),
    ("log_every", 1.5, TypeError),
]
METHODS = {
    "predict": ({"X": X}, SAMPLES),
    "forward_pass": ({"X": X}, [*SAMPLES, ("X", X[:0], ValueError)]),
    "jacobian": ({"X": X}, SAMPLES),
    "gradients": ({"X": X, "Y": Y}, [*BATCH, *WEIGHTS]),
    "sample_gradients": ({"X": X, "Y": Y}, BATCH),
    "check_gradients": (
        {"X": X, "Y": Y},
        [
            *BATCH,
            ("epsilon", 0, ValueError),
            ("epsilon", -1, ValueError),
            ("epsilon", "a", TypeError),
        ],
    ),
    "evaluate": ({"X": X, "Y": Y}, [*BATCH, *WEIGHTS, ("metrics", "auc", ValueError)]),
    "train_step": ({"X": X, "Y": Y}, [*BATCH, *WEIGHTS, *RATE, *THREADS]),
    "train": (
        {"X": X, "Y": Y, "epochs": 1},
        [*BATCH, *WEIGHTS, *RATE, *THREADS, *RUN, ("batch_size", 6, ValueError)],
    ),
    "partial_fit": (
        {"X": X, "Y": Y},
        [*BATCH, *WEIGHTS, *THREADS, *(row for row in RUN if row[0] == "batch_size")],
    ),
    "fit": (
        {"X": X, "Y": Y, "epochs": 1},
        [*BATCH, *WEIGHTS, *THREADS, *RUN, *FIT],
    ),
    "apply_gradients": (
        {"gradients": np.ones(26)},
        [
            ("gradients", np.ones(25), ValueError),
            ("gradients", np.ones((26, 1)), ValueError),
            ("gradients", np.ones(26, "f4"), TypeError),
            ("gradients", "a", TypeError),
            *RATE,
        ],
    ),
}


@pytest.mark.parametrize(
    ("method", "argument", "value", "exception"),
    [(method, *row) for method, (_, rows) in METHODS.items() for row in rows],
)
def test_a_bad_argument_is_refused_by_name_and_changes_nothing(method, argument, value, exception):
    other = network()
    good, _ = METHODS[method]
    arguments = {**good, argument: value}
    before = digest(other.__getstate__())
    given = digest([item for item in arguments.values() if isinstance(item, np.ndarray)])
    with pytest.raises(exception) as caught:
        getattr(other, method)(**arguments)
    assert re.search(rf"\b{argument}\b", str(caught.value)), caught.value
    assert digest(other.__getstate__()) == before
    assert digest([item for item in arguments.values() if isinstance(item, np.ndarray)]) == given
    getattr(other, method)(**good)  # and the network goes on


ASSIGNMENTS = [
    ("parameters", np.ones(25), ValueError),
    ("parameters", np.ones((26, 1)), ValueError),
    ("parameters", np.ones(26, "f4"), TypeError),
    ("parameters", np.ones(26, complex), TypeError),
    ("parameters", None, TypeError),
    ("parameters", "a", TypeError),
    ("dropout", 1.0, ValueError),
    ("dropout", [0.1, 0.1], ValueError),
    ("dropout", "a", TypeError),
    ("loss", "categorical_crossentropy", ValueError),
    ("loss", "l1", ValueError),
    ("loss", None, TypeError),
    ("optimizer", "adamax", ValueError),
    ("optimizer", None, TypeError),
]


@pytest.mark.parametrize(("name", "value", "exception"), ASSIGNMENTS)
def test_a_bad_assignment_is_refused_by_name_and_changes_nothing(name, value, exception):
    other, same = network(), network()
    before = digest(other.__getstate__())
    with pytest.raises(exception, match=rf"\b{name}\b"):
        setattr(other, name, value)
    assert digest(other.__getstate__()) == before
    assert other.train_step(X, Y) == same.train_step(X, Y)


@pytest.mark.parametrize("name", ["layer_sizes", "activations", "dtype", "n_parameters"])
def test_what_a_network_is_made_of_cannot_be_assigned(name):
    other = network()
    with pytest.raises(AttributeError):
        setattr(other, name, getattr(other, name))


def test_both_ways_to_validate_are_refused_together():
    with pytest.raises(ValueError, match="validation_data and validation_split"):
        network().fit(X, Y, epochs=1, validation_data=(X, Y), validation_split=0.2)


# The caller's arrays (I5) -------------------------------------------------------------------------


def test_no_call_changes_or_keeps_an_array():
    other = network()
    weight, vector = np.ones(5), np.ones(26)
    calls = {
        **{name: dict(good) for name, (good, _) in METHODS.items()},
        "fit": {
            "X": X,
            "Y": Y,
            "epochs": 2,
            "sample_weight": weight,
            "validation_data": (X, Y, weight),
            "metrics": ["r2"],
        },
        "apply_gradients": {"gradients": vector},
    }
    arrays = [X, Y, weight, vector]
    before = digest(*arrays)
    for name, arguments in calls.items():
        getattr(other, name)(**arguments)
        result = getattr(other, name)(**arguments)
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, np.ndarray):
                assert not any(np.shares_memory(part, array) for array in arrays), name
                assert part.flags.owndata, name
                assert part.flags.writeable, name
    other.parameters = vector
    assert digest(*arrays) == before
    assert (
        sys.getrefcount(vector) == 4
    )  # here, in `arrays`, in `calls`, and in the call of getrefcount
