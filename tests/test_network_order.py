"""Calls in a wrong order (I6): a way back without a way there, of another batch, after a change, in a copy.

Each raises what the contract says and changes nothing; the pass that there was can still be gone back.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from bits import digest, same_bits
from ironprop import Network

X, Y = np.linspace(-1, 1, 15).reshape(5, 3), np.linspace(0, 1, 10).reshape(5, 2)


def network(**options):
    """Return a network 3-4-2 whose optimiser remembers something."""
    other = Network(
        [3, 4, 2], **{"optimizer": "adam", "dropout": 0.25, "loss": "mse", "seed": 1, **options}
    )
    other.train_step(X, Y)
    return other


def test_a_way_back_needs_a_way_there():
    for other in (network(), copy.copy(network()), pickle.loads(pickle.dumps(network()))):  # noqa: S301
        before = digest(other.__getstate__())
        with pytest.raises(RuntimeError, match="forward_pass"):
            other.backward_pass(Y)
        assert digest(other.__getstate__()) == before


@pytest.mark.parametrize(
    ("gradient", "exception"),
    [
        (Y[:4], ValueError),
        (Y[:, :1], ValueError),
        (Y[:0], ValueError),
        (Y.T, ValueError),
        (Y[0], ValueError),
        (1.0, ValueError),
        (Y.astype("f4"), TypeError),
        (Y.astype(complex), TypeError),
        (None, TypeError),
    ],
)
def test_a_way_back_of_another_batch_is_refused(gradient, exception):
    other = network()
    other.forward_pass(X)
    before = digest(other.__getstate__())
    with pytest.raises(exception, match="loss_gradient"):
        other.backward_pass(gradient)
    assert digest(other.__getstate__()) == before
    assert other.backward_pass(Y)[0].shape == (26,)  # the pass is still there


def test_passes_of_changing_sizes_follow_each_other():
    other, fresh = network(), network()
    for n in (5, 1, 3, 5, 5):
        other.forward_pass(X[:n])
        one = other.backward_pass(Y[:n])
        fresh.parameters = fresh.parameters
        fresh.forward_pass(X[:n])
        assert same_bits(list(one), list(fresh.backward_pass(Y[:n])))


def test_what_does_not_change_parameters_leaves_the_pass():
    other = network()
    other.forward_pass(X)
    one = other.backward_pass(Y)
    other.predict(X[:2])
    other.gradients(X[:3], Y[:3])
    other.evaluate(X, Y)
    other.jacobian(X[:1])
    other.sample_gradients(X, Y)
    other.loss = "mae"
    with pytest.raises(ValueError, match="X"):
        other.train_step(X[:, :1], Y)
    assert same_bits(list(one), list(other.backward_pass(Y)))


def test_a_copy_does_not_take_the_pass_along():
    other = network()
    other.forward_pass(X)
    twin = copy.deepcopy(other)
    with pytest.raises(RuntimeError, match="forward_pass"):
        twin.backward_pass(Y)
    other.backward_pass(Y)


def test_a_failed_state_leaves_the_pass():
    other = network()
    other.forward_pass(X)
    with pytest.raises(ValueError, match="state"):
        other.__setstate__({})
    other.backward_pass(Y)


def test_a_network_that_was_never_made_says_so():
    empty = object.__new__(Network)
    for use in (lambda: empty.predict(X), lambda: repr(empty), empty.__getstate__):
        with pytest.raises(AttributeError):
            use()
