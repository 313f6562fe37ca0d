"""The network tier: one object that owns the parameters and takes a training step in one call.

The kernels are those of `ironprop.notebook`, the gradient is the exact one; the same weights and data give the same
bits in both tiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ironprop import _core
from ironprop.notebook import _seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from ironprop.notebook import Activation, Scheme

__all__ = ["Network"]


class Network:
    """A chain of dense layers: ``activation(x @ weights + biases)``, one after the other.

    Parameters
    ----------
    layer_sizes : sequence of int
        The widths: features first, then the outputs of each layer.
    activation : str or sequence of str
        "sigmoid", "tanh" or "relu", for all layers or one for each.
    init : str
        How weights and biases are drawn; see `ironprop.notebook.initialize`.
    dtype : dtype
        float64 or float32: the type of all parameters and data.
    seed : int or numpy.random.Generator, optional
        Fixes the starting parameters: an int from 0 to 2**64 - 1, or a generator, from which one number is drawn.
        None draws from the operating system.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these.
    MemoryError
        If the parameters do not fit into memory.

    Notes
    -----
    One thread at a time may use a network; a call that finds it in use raises `RuntimeError`.

    Examples
    --------
    >>> import numpy as np
    >>> network = Network([2, 8, 1], seed=1)
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> Y = np.array([[0.0], [1.0], [1.0], [0.0]])
    >>> losses = [network.train_step(X, Y, learning_rate=1.0) for _ in range(3000)]
    >>> network.predict(X).round().ravel()
    array([0., 1., 1., 0.])
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        activation: Activation | Sequence[Activation] = "sigmoid",
        init: Scheme = "glorot_normal",
        dtype: DTypeLike = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        name = np.dtype(dtype).name
        self._core = _core.Network(layer_sizes, activation, init, name, _seed(seed))
        self._layer_sizes = tuple(self._core.sizes)
        self._activations = tuple(self._core.activations)
        self._dtype = np.dtype(name)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The widths: features first, then the outputs of each layer."""
        return self._layer_sizes

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each layer."""
        return self._activations

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of all parameters and data."""
        return self._dtype

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Copies of the weights, ``(n_inputs, n_outputs)`` for each layer; assign a list of such to set them."""
        return self._core.parameters()[0]

    @weights.setter
    def weights(self, weights: Sequence[ArrayLike]) -> None:
        self._core.set_parameters(weights, self.biases)

    @property
    def biases(self) -> list[NDArray[Any]]:
        """Copies of the biases, ``(n_outputs,)`` for each layer; assign a list of such, or ``(1, n_outputs)``."""
        return self._core.parameters()[1]

    @biases.setter
    def biases(self, biases: Sequence[ArrayLike]) -> None:
        self._core.set_parameters(self.weights, biases)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Run samples through the network.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)
            The activations of the last layer. A row is the same bits alone or among others.

        Raises
        ------
        TypeError, ValueError
            If `X` is of another type or shape.
        RuntimeError
            If the network is in use in another thread.

        Examples
        --------
        >>> Network([3, 2], init="zeros").predict([[1.0, 2.0, 3.0]])
        array([[0.5, 0.5]])
        """
        return self._core.predict(X)

    def train_step(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        learning_rate: float,
        n_threads: int | None = None,
    ) -> float:
        """Take one step of gradient descent: forward pass, backward pass and update in one call.

        What a step needs is laid out once and kept for as long as batches have the same number of samples.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype, at least one.
        Y : array_like
            Targets: shape (n_samples, n_outputs), one row of it, or one number.
        learning_rate : float
            The step size, positive and finite.
        n_threads : int, optional
            The most threads to use; see `ironprop.notebook.train`.

        Returns
        -------
        float
            Half the sum of squared errors of the predictions that the step started from.

        Raises
        ------
        TypeError, ValueError, MemoryError
            If an argument is not what it must be. Nothing has been changed then.
        FloatingPointError
            If the loss is infinite or NaN. Nothing has been changed then.
        RuntimeError
            If the network is in use in another thread.

        Examples
        --------
        >>> network = Network([1, 1], init="zeros")
        >>> network.train_step([[1.0]], [[1.0]], learning_rate=1.0)
        0.125
        >>> network.weights
        [array([[0.125]])]
        """
        return self._core.train_step(X, Y, learning_rate, n_threads)

    def train(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        epochs: int,
        learning_rate: float,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int | np.random.Generator | None = None,
        n_threads: int | None = None,
    ) -> NDArray[np.float64]:
        """Run the whole loop in the core: the same bits as as many calls of `train_step`.

        Parameters
        ----------
        X, Y, learning_rate, n_threads
            As for `train_step`.
        epochs : int
            Passes over the data.
        batch_size, shuffle, seed
            As for `ironprop.notebook.train`.

        Returns
        -------
        ndarray of float64, shape (epochs,)
            The loss of each epoch: that of its steps, summed over its batches.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `train_step`.
        FloatingPointError
            If the loss or a parameter becomes infinite or NaN. The network then has the parameters of the last
            step whose loss was finite.
        KeyboardInterrupt
            After Ctrl-C, at a whole step, with the parameters of that step.

        Examples
        --------
        >>> network = Network([2, 4, 1], seed=2)
        >>> losses = network.train([[0.6, 0.4]], 0.875, epochs=500, learning_rate=0.5)
        >>> losses.shape, bool(losses[-1] < losses[0])
        ((500,), True)
        """
        return self._core.train(
            X, Y, epochs, learning_rate, batch_size, shuffle, _seed(seed), n_threads
        )

    def __repr__(self) -> str:
        """Show what it is made of."""
        kinds = set(self._activations)
        activation = kinds.pop() if len(kinds) == 1 else list(self._activations)
        return f"Network({list(self._layer_sizes)}, activation={activation!r}, dtype={self._dtype.name})"
