"""The demo: two nets trained before the user's eyes, one of them on real handwritten digits.

It needs no network and nothing but NumPy, and takes a few seconds. What it trains comes out with
the same bits on every machine; only the times differ. `python -m ironprop demo` runs it; the
command line is in `__main__.py`.

The digits' learning rate, epochs and shifts were chosen by cross-validation inside the training
part. The held-out digits had no say in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ironprop import notebook, show_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ironprop.notebook import Gradient

    Array = NDArray[np.float64]

__all__ = ["load_digits", "run"]

GOAL = 0.97  # of the held-out digits recognised; below it the demo fails
N_HELD_OUT = 360  # every fifth digit
EPOCHS_PER_CALL = 5  # between two updates of the display
EPOCHS_RACED = 10  # of the digits net: NumPy's rounds then take a few seconds
ROUNDS = 9


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Load 1 797 real handwritten digits.

    Returns
    -------
    pixels : ndarray of uint8, shape (1797, 64)
        Images of 8 x 8 pixels, row by row, ink from 0 to 16.
    labels : ndarray of uint8, shape (1797,)
        The digits that they show.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", test set, UCI Machine
    Learning Repository (1998), doi 10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> pixels, labels = load_digits()
    >>> pixels.shape, labels[:5].tolist()
    ((1797, 64), [0, 1, 2, 3, 4])
    """
    path = Path(__file__).with_name("data") / "digits.npz"
    with np.load(path, allow_pickle=False) as archive:
        return archive["pixels"], archive["labels"]


def run() -> int:
    """Run the demo, printing as it goes.

    Returns
    -------
    int
        The exit code: 0, or 1 if fewer than 97 % of the held-out digits were recognised.
    """
    config = show_config()
    print(f"ironprop {config['version']}, NumPy {np.__version__}")
    if config["profile"] != "release":
        print(f"({config['profile']} build: right, but slower than the one that users install)")

    print("\n1. The notebook's net: 2-2-2-1 sigmoids, one sample, 501 epochs\n")
    small = _notebook_run()
    W, B = small.fresh_parameters()
    notebook.train(small.X, small.Y, W, B, epochs=small.epochs, log_every=20)

    digits = _split(*load_digits())
    big = _digits_run(digits)
    print(f"\n2. Real handwritten digits: 64-64-10 sigmoids, {big.epochs} epochs in batches of 32")
    print(f"   {len(digits.labels)} images of 8 x 8 pixels, {len(big.X)} with shifts by a pixel;")
    print(f"   {N_HELD_OUT} other images are held out\n")
    predicted = _train_digits(big, digits)
    n_right = int(np.sum(predicted == digits.held_out_labels))
    accuracy = n_right / N_HELD_OUT
    print(f"\n   {n_right} of {N_HELD_OUT} held-out digits recognised: {accuracy:.1%}\n")
    print(_confusion_table(digits.held_out_labels, predicted))

    print(f"\n3. The same steps in plain NumPy (best of {ROUNDS} rounds, taking turns)\n")
    print(f"   {'':30}{'NumPy':>12}{'ironprop':>12}{'ratio':>9}{'difference':>13}")
    print(_race_line(f"notebook's net, {small.epochs} epochs", small, small.epochs))
    print(_race_line(f"digits net, {big.epochs} epochs *", big, EPOCHS_RACED))
    print(f"\n   * timed on {EPOCHS_RACED} epochs and scaled; both take the same batches in order")
    print("   difference: the largest between a weight of one and of the other after the race")
    if accuracy < GOAL:
        print(f"\nFAILED: {accuracy:.1%} is below {GOAL:.0%}")
        return 1
    return 0


@dataclass(frozen=True)
class _Run:
    """A net, its data and how it is trained: all that NumPy and ironprop must have in common."""

    X: Array  # (n_samples, n_features)
    Y: Array  # (n_samples, n_outputs)
    W: Sequence[Array]
    B: Sequence[Array]
    epochs: int
    batch_size: int
    learning_rate: float
    gradient: Gradient

    def fresh_parameters(self) -> tuple[list[Array], list[Array]]:
        """Return copies of `W` and `B` to train."""
        return [w.copy() for w in self.W], [b.copy() for b in self.B]


class _Digits(NamedTuple):
    """The two parts of the digits: images with pixels in [0, 1], and what they show."""

    images: Array  # (n, 64)
    labels: NDArray[np.uint8]  # (n,)
    held_out_images: Array
    held_out_labels: NDArray[np.uint8]


def _notebook_run() -> _Run:
    """Return the notebook's own training run."""
    W, B = notebook.initialize([2, 2, 2, 1], seed=0)
    X, Y = np.array([[0.6, 0.4]]), np.array([[0.875]])
    return _Run(X, Y, W, B, epochs=501, batch_size=1, learning_rate=0.5, gradient="notebook")


def _digits_run(digits: _Digits) -> _Run:
    """Return the training run on the digits and their shifts, with an output for each digit."""
    X = _with_shifts(digits.images)
    Y = np.tile(np.eye(10)[digits.labels], (len(X) // len(digits.labels), 1))
    W, B = notebook.initialize([64, 64, 10], seed=0, scheme="glorot_normal")
    return _Run(X, Y, W, B, epochs=100, batch_size=32, learning_rate=0.1, gradient="exact")


def _split(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> _Digits:
    """Shuffle the digits and hold `N_HELD_OUT` of them out."""
    # NumPy promises to keep the raw stream for ever, but not what `permutation` makes of it.
    order = np.argsort(np.random.PCG64(0).random_raw(len(labels)))
    held_out, kept = order[:N_HELD_OUT], order[N_HELD_OUT:]
    images = pixels / 16.0
    return _Digits(images[kept], labels[kept], images[held_out], labels[held_out])


def _with_shifts(images: Array) -> Array:
    """Return the images, then all of them shifted down, up, right and left by a pixel."""
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]  # of the 8 x 8 window in the padded image
    return np.concatenate([padded[:, r : r + 8, c : c + 8].reshape(-1, 64) for r, c in corners])


def _train_digits(run: _Run, digits: _Digits) -> NDArray[np.int64]:
    """Train the digits net, show its progress and return its answers to the held-out images."""
    W, B = run.fresh_parameters()
    progress = _Progress(run.epochs)
    predicted = np.empty(0, np.int64)
    for epoch in range(0, run.epochs, EPOCHS_PER_CALL):
        losses = notebook.train(
            run.X,
            run.Y,
            W,
            B,
            epochs=EPOCHS_PER_CALL,
            learning_rate=run.learning_rate,
            gradient=run.gradient,
            batch_size=run.batch_size,
            shuffle=True,
            seed=epoch,
        )
        pred, _, _ = notebook.forward_pass(digits.held_out_images, W, B)
        predicted = pred.argmax(axis=1)
        accuracy = float(np.mean(predicted == digits.held_out_labels))
        progress.show(epoch + EPOCHS_PER_CALL, float(losses[-1]) / len(run.X), accuracy)
    progress.close()
    return predicted


class _Progress:
    """One line drawn over and over on a terminal; elsewhere a few plain lines."""

    WIDTH = 24  # of the bar
    PLAIN_LINES = 5

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.in_place = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, epoch: int, loss: float, accuracy: float) -> None:
        """Show the state after `epoch` epochs; `loss` is that of one sample."""
        text = f"epoch {epoch:3} of {self.epochs}   loss {loss:.4f}   held out {accuracy:6.1%}"
        if self.in_place:
            done = self.WIDTH * epoch // self.epochs
            line = f"   {text}   [{'#' * done:-<{self.WIDTH}}]"
            columns = shutil.get_terminal_size().columns - 1  # a full line would wrap
            print("\r" + line[:columns].ljust(columns), end="", flush=True)
        elif epoch % (self.epochs // self.PLAIN_LINES) == 0:
            print(f"   {text}", flush=True)

    def close(self) -> None:
        """End the line that was drawn in place."""
        if self.in_place:
            print()


def _confusion_table(labels: NDArray[np.uint8], predicted: NDArray[np.int64]) -> str:
    """Return a table of how often which digit was taken for which."""
    counts = np.zeros((10, 10), np.int64)  # (true, predicted)
    np.add.at(counts, (labels, predicted), 1)
    rows = ["   true   recognised as", "       " + "".join(f"{digit:5}" for digit in range(10))]
    for digit, row in enumerate(counts):
        rows.append(f"   {digit:4}" + "".join(f"{count or '.':>5}" for count in row.tolist()))
    return "\n".join(rows)


def _race_line(title: str, run: _Run, epochs: int) -> str:
    """Race NumPy against ironprop and return a line of the table, scaled to `run.epochs`."""
    seconds: dict[str, list[float]] = {"numpy": [], "ironprop": []}
    weights: dict[str, list[Array]] = {}
    for _ in range(ROUNDS):
        for name, train in (("numpy", _train_numpy), ("ironprop", _train_ironprop)):
            W, B = run.fresh_parameters()
            start = time.perf_counter()
            train(run, W, B, epochs)
            seconds[name].append(time.perf_counter() - start)
            weights[name] = W
    # The best, not the median: another program interrupts the long NumPy rounds far more often than
    # our short ones, which would flatter us.
    best = {name: min(times) for name, times in seconds.items()}
    scale = 1e3 * run.epochs / epochs
    times = [f"{best[name] * scale:9.2f} ms" for name in ("numpy", "ironprop")]
    ratio = best["numpy"] / best["ironprop"]
    pairs = zip(weights["numpy"], weights["ironprop"], strict=True)
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    return f"   {title:30}{times[0]}{times[1]}{ratio:8.1f}x{difference:13.0e}"


def _train_ironprop(run: _Run, W: list[Array], B: list[Array], epochs: int) -> None:
    """Train `W` and `B` in place with ironprop."""
    notebook.train(
        run.X,
        run.Y,
        W,
        B,
        epochs=epochs,
        learning_rate=run.learning_rate,
        gradient=run.gradient,
        batch_size=run.batch_size,
    )


def _train_numpy(run: _Run, W: list[Array], B: list[Array], epochs: int) -> None:
    """Train `W` and `B` in place with NumPy: what one writes without ironprop."""
    for _ in range(epochs):
        for first in range(0, len(run.X), run.batch_size):
            batch = slice(first, first + run.batch_size)
            _step_numpy(run, run.X[batch], run.Y[batch], W, B)


def _step_numpy(run: _Run, X: Array, Y: Array, W: list[Array], B: list[Array]) -> None:
    """Take one step of gradient descent on ``0.5 * sum((pred - Y)**2)`` with NumPy."""
    activations: list[NDArray[Any]] = [X]
    for weights, biases in zip(W, B, strict=True):
        activations.append(1 / (1 + np.exp(-(activations[-1] @ weights + biases))))
    upstream = activations[-1] - Y  # dloss/dactivation of the layer
    for i in reversed(range(len(W))):
        a = activations[i + 1]
        deltas = upstream * (a * (1 - a))
        if i > 0 and run.gradient == "exact":
            upstream = deltas @ W[i].T
        W[i] -= run.learning_rate * (activations[i].T @ deltas)
        B[i] -= run.learning_rate * deltas.sum(axis=0)
        if i > 0 and run.gradient == "notebook":  # through the weights just updated
            upstream = deltas @ W[i].T
