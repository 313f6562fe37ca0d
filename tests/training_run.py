"""Training runs that are the same in every process: their SHA-256 is what the tests compare.

`python training_run.py` prints the golden numbers as JSON, to be stored in data/golden.json
whenever a change of bits is meant (it needs a line in the changelog). Nothing here depends on
NumPy's random numbers, and nothing is read from a file, so that the hashes are those of ironprop
alone.
"""

from __future__ import annotations

import json

import numpy as np

from bits import digest
from ironprop.notebook import backward_pass, forward_pass, initialize, train

# Widths around those of registers and tiles; deep; narrow; wider than a block of the products.
NETWORKS = (
    ((2, 2, 2, 1), 1),
    ((1, 1), 1),
    ((1, 1, 1, 1, 1, 1), 3),
    ((3, 7, 5), 2),
    ((4, 8, 8, 1), 17),
    ((5, 16, 3), 33),
    ((7, 17, 17, 2), 8),
    ((8, 31, 33, 4), 32),
    ((13, 64, 65, 6), 64),
    ((24, 8, 2), 200),
    ((9, 9, 9, 9, 9, 9, 9, 9, 9), 5),
    ((130, 97, 10), 31),
    ((300, 40, 1), 12),
    ((2, 520, 2), 9),
)


def data(sizes, n_samples, dtype):
    """Return X and Y: smooth, of both signs, and exact in float32."""
    x = np.arange(n_samples * sizes[0], dtype=np.float64).reshape(n_samples, sizes[0])
    y = np.arange(n_samples * sizes[-1], dtype=np.float64).reshape(n_samples, sizes[-1])
    return ((x * 37 % 64 - 31) / 32).astype(dtype), ((y * 23 % 32) / 32).astype(dtype)


def one_run(sizes, n_samples, dtype, activation, gradient, epochs=20, **options):
    """Train a network and return the digest of everything that comes of it."""
    X, Y = data(sizes, n_samples, dtype)
    W, B = initialize(sizes, seed=7, scheme="glorot_normal", dtype=dtype)
    losses = train(
        X,
        Y,
        W,
        B,
        epochs=epochs,
        learning_rate=0.25 / n_samples,
        activation=activation,
        gradient=gradient,
        **options,
    )
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    backward_pass(W, B, A, dA, pred, Y, 0.01, gradient=gradient)
    return digest(losses, W, B, pred, A, dA)


def quick():
    """Return the digest of one short run."""
    options = {"batch_size": 10, "shuffle": True, "seed": 3}
    return one_run((13, 33, 17, 3), 50, "float64", "tanh", "exact", 30, **options)


def everything():
    """Return the digest of runs of all networks, types, activations and gradients."""
    return digest(
        [
            one_run(*network, dtype, activation, gradient)
            for network in NETWORKS
            for dtype in ("float64", "float32")
            for activation in ("sigmoid", "tanh", "relu")
            for gradient in ("notebook", "exact")
        ]
    )


def golden():
    """Return the digests that may not change without a word."""
    shuffled = {"batch_size": 4, "shuffle": True, "seed": 2**63 + 5}
    return {
        "initialize normal seed 0": digest(initialize([3, 5, 2], seed=0)),
        "initialize normal seed 2**64 - 1": digest(initialize([3, 5, 2], seed=2**64 - 1)),
        "initialize 10**6 numbers": digest(initialize([1000, 1000], seed=1)),
        "initialize glorot_normal": digest(initialize([9, 4], seed=1, scheme="glorot_normal")),
        "initialize glorot_uniform": digest(initialize([9, 4], seed=1, scheme="glorot_uniform")),
        "initialize he_normal": digest(initialize([9, 4], seed=1, scheme="he_normal")),
        "initialize he_uniform": digest(initialize([9, 4], seed=1, scheme="he_uniform")),
        "initialize lecun_normal": digest(initialize([9, 4], seed=1, scheme="lecun_normal")),
        "initialize float32": digest(initialize([9, 4], seed=1, dtype=np.float32)),
        "sigmoid float64 notebook, 100 steps": one_run(
            (8, 32, 32, 4), 32, "float64", "sigmoid", "notebook", 100
        ),
        "tanh float32 exact, 100 steps": one_run(
            (8, 32, 32, 4), 32, "float32", "tanh", "exact", 100
        ),
        "relu float64 exact, shuffled batches": one_run(
            (3, 9, 2), 10, "float64", "relu", "exact", 10, **shuffled
        ),
    }


if __name__ == "__main__":
    print(json.dumps(golden(), indent=2))  # noqa: T201 (this is its purpose)
