"""Whatever a network is specified with, it is made and works, or it is refused with an ordinary error.

Specifications are drawn half sensible, half senseless. One that is accepted must train, predict, and go on from its
pickle to the same bits; one that is refused must say so with `TypeError`, `ValueError` or `MemoryError`.
`make fuzz` is the same for the kernels.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ironprop import Network, losses, optimizers, schedules

NAMES = "sigmoid tanh relu leaky_relu elu selu gelu silu softplus sin identity softmax swish"
ACTIVATIONS = st.sampled_from(NAMES.split())
NUMBERS = st.sampled_from(
    [0, 1, -1, 0.5, 0.9, 1e-3, 1e9, 2**64, float("nan"), float("inf"), "a", None, [1]]
)
SENSELESS = st.sampled_from(
    [None, 5, -1, "x", [], {}, (), b"", object(), 1.5, True, ["a"], np.ones(2)]
)


def built(maker, **options):
    """Return a strategy of objects with these options, or of the errors that they raise."""

    def make(values):
        try:
            return maker(**values)
        except (TypeError, ValueError) as error:
            return error

    return st.fixed_dictionaries({}, optional=options).map(make)


RATES = NUMBERS | built(schedules.Cosine, rate=NUMBERS, steps=NUMBERS, final=NUMBERS)
COMMON = dict.fromkeys(["l1", "l2", "weight_decay", "clip_norm", "clip_value"], NUMBERS)
OPTIMIZERS = st.one_of(
    st.sampled_from(["sgd", "adam", "rprop", "momentum", "lion"]),
    built(optimizers.SGD, learning_rate=RATES, momentum=NUMBERS, nesterov=SENSELESS, **COMMON),
    built(optimizers.Adam, learning_rate=RATES, beta_1=NUMBERS, epsilon=NUMBERS, **COMMON),
    built(optimizers.Rprop, shrink=NUMBERS, grow=NUMBERS, **COMMON),
    SENSELESS,
)
LOSSES = st.one_of(
    st.sampled_from([*losses.NAMES, "hinge"]),
    built(losses.Huber, delta=NUMBERS),
    built(losses.Quantile, quantile=NUMBERS),
    SENSELESS,
)
HIDDEN = st.sampled_from(NAMES.split()[:-2])
SENSIBLE = {
    "layer_sizes": st.lists(st.integers(1, 6), min_size=3, max_size=3),
    "activation": HIDDEN | st.lists(HIDDEN, min_size=2, max_size=2),
    "init": st.sampled_from(["auto", "zeros", "he_uniform"]),
    "loss": st.sampled_from([*losses.NAMES, losses.Huber(0.5), losses.Quantile(0.9)]),
    "optimizer": st.sampled_from(
        [
            *optimizers.NAMED,
            optimizers.Adam(
                learning_rate=schedules.WarmUp(schedules.Cosine(0.1, steps=3), steps=2)
            ),
            optimizers.SGD(momentum=0.9, l1=0.01, l2=0.01, weight_decay=0.1, clip_norm=0.5),
            optimizers.RMSprop(clip_value=0.1),
        ]
    ),
    "dropout": st.sampled_from([0.0, 0.3, [0.5]]),
    "dtype": st.sampled_from([np.float64, np.float32, "float32"]),
    "seed": st.sampled_from([0, 7, 2**64 - 1]),
}
ANYTHING = {
    "layer_sizes": st.lists(st.integers(-1, 9), max_size=5) | SENSELESS | st.just([2**40, 2**40]),
    "activation": ACTIVATIONS | st.lists(ACTIVATIONS, max_size=4) | SENSELESS,
    "output_activation": ACTIVATIONS | SENSELESS,
    "init": st.just("xavier") | SENSELESS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "dropout": NUMBERS | st.lists(NUMBERS, max_size=4),
    "dtype": st.sampled_from([np.int64, "f2", None, complex]),
    "seed": st.sampled_from([2**64, -1, 1.5, "a", None]),
}


@st.composite
def specifications(draw):
    """Draw a sensible specification, some of whose options may be anything."""
    specification = {name: draw(options) for name, options in SENSIBLE.items()}
    for name in draw(st.lists(st.sampled_from(list(ANYTHING)), max_size=2)):
        specification[name] = draw(ANYTHING[name])
    return specification


@settings(max_examples=400, deadline=None)
@given(specifications())
def test_a_specification_works_or_is_refused_with_an_ordinary_error(specification):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, for dtype=None and its like
        try:
            network = Network(**specification)
        except (TypeError, ValueError, MemoryError):
            return
    n_features, n_outputs = network.layer_sizes[0], network.layer_sizes[-1]
    X = np.linspace(-1, 1, 3 * n_features, dtype=network.dtype).reshape(3, n_features)
    Y = np.full((3, n_outputs), 1 / n_outputs, network.dtype)
    try:
        network.fit(X, Y, epochs=2, batch_size=2, seed=1)
    except FloatingPointError:
        assert np.isfinite(network.parameters).all()
        return
    assert network.predict(X).shape == (3, n_outputs)
    twin = pickle.loads(pickle.dumps(network))  # noqa: S301 (of this test's own making)
    assert twin == network
    for one in (network, twin):
        with contextlib.suppress(FloatingPointError):
            one.partial_fit(X, Y)
    assert twin.parameters.tobytes() == network.parameters.tobytes()
