"""How a network learns: single steps and whole loops, and how well it did.

The third of `Network`'s layers. The loops run in the core, but for losses that are functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ironprop._checks import array, real, truth, whole
from ironprop._data import Data, batch_size_of, check_rows
from ironprop._fitting import FunctionTraining
from ironprop._passes import Passes
from ironprop._targets import sample_weights
from ironprop.metrics import Metric, measured, metrics_of
from ironprop.notebook import _seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ironprop._fitting import Runner
    from ironprop.network import Network

ClassWeight = Mapping[int, float] | Literal["balanced"]

__all__ = ["ClassWeight", "Trainable"]


class Trainable(Passes):
    """The training of a network; see `ironprop.Network`."""

    def train_step(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        learning_rate: float | None = None,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> float:
        """Take one step of the optimiser: forward pass, backward pass and update in one call.

        What a step needs is laid out once and kept for as long as batches have the same number of samples.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype, at least one.
        Y : array_like
            Targets: shape (n_samples, n_outputs), one row of it, or one number. For the cross-entropies also class
            labels, shape (n_samples,): 0 and 1 for a single sigmoid, whole numbers from 0 for a softmax.
        learning_rate : float, optional
            The step size, positive and finite; by default that of the optimiser.
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples, at least 0.
        n_threads : int, optional
            The most threads to use; see `ironprop.notebook.train`.

        Returns
        -------
        float
            The loss of the predictions that the step started from.

        Raises
        ------
        TypeError, ValueError, MemoryError
            If an argument is not what it must be. Nothing has been changed then.
        FloatingPointError
            If the loss or a number of `X` is infinite or NaN. Nothing has been changed then. (A step that is too large
            may make a parameter so: the next one is refused. `train` and `fit` go back to the step before.)
        RuntimeError
            If another thread trains the network.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([1, 1], init="zeros")
        >>> network.train_step([[1.0]], [[1.0]], learning_rate=1.0)
        0.125
        >>> network.weights
        [array([[0.125]])]
        """
        if self._function is None:
            targets = self._targets(X, Y) if self._has_labels else Y
            return self._core.train_step(X, targets, sample_weight, learning_rate, n_threads)
        self._refuse_weights(sample_weight)
        if n_threads is not None:
            whole("n_threads", n_threads, least=1)
        return self._function_step(X, Y, learning_rate)

    def apply_gradients(self, gradients: ArrayLike, *, learning_rate: float | None = None) -> None:
        """Take one step of the optimiser with a gradient of your own.

        Parameters
        ----------
        gradients : array_like, shape (n_parameters,)
            Such as `backward_pass` and `gradients` give, of the network's dtype.
        learning_rate : float, optional
            The step size, positive and finite; by default that of the optimiser.

        Raises
        ------
        TypeError, ValueError
            If an argument is not that. Nothing has been changed then.
        RuntimeError
            If another thread trains the network.

        Notes
        -----
        Numbers that are infinite or NaN are taken as they are.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([1, 1], init="zeros")
        >>> network.apply_gradients([1.0, -1.0], learning_rate=0.5)
        >>> network.parameters
        array([-0.5,  0.5])
        """
        self._core.apply_gradients(gradients, learning_rate, 1.0)

    def train(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        epochs: int,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Run the whole loop in the core: the same bits as as many calls of `train_step`.

        Parameters
        ----------
        X, Y, learning_rate, n_threads, sample_weight
            As for `train_step`.
        epochs : int
            Passes over the data.
        batch_size, shuffle, seed
            As for `ironprop.notebook.train`.

        Returns
        -------
        ndarray of float64, shape (epochs,)
            The loss of each epoch: for "half_squared_error" the sum over its batches, for all others the mean over its
            samples.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `train_step`.
        FloatingPointError
            If the loss or a parameter becomes infinite or NaN. The network then has the parameters of the last
            step whose loss was finite. If a number of `X` is, before any step.
        KeyboardInterrupt
            After Ctrl-C, at a whole step, with the parameters of that step.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([2, 4, 1], seed=2)
        >>> losses = network.train([[0.6, 0.4]], 0.875, epochs=500, learning_rate=0.5)
        >>> losses.shape, bool(losses[-1] < losses[0])
        ((500,), True)
        """
        number = _seed(seed)
        if self._function is None:
            targets = self._targets(X, Y)
            passage = (batch_size, shuffle, number, n_threads)
            return self._core.train(X, targets, epochs, learning_rate, *passage, sample_weight)
        epochs = whole("epochs", epochs, least=0)
        rate = None if learning_rate is None else real("learning_rate", learning_rate, above=0)
        data = Data(array("X", X), array("Y", Y), sample_weight)
        size = batch_size_of(batch_size, len(data.X), capped=False)
        training = self._runner(data, size, shuffle, number, n_threads, rate)
        return training.run(epochs, 1.0)[0]

    def partial_fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        n_threads: int | None = None,
    ) -> float:
        """Go once over some new samples, in their order; the optimiser goes on as if there had been no pause.

        Parameters
        ----------
        X, Y, sample_weight, class_weight, n_threads
            As for `fit`.
        batch_size : int, optional
            Samples in one step; None, or more than there are, takes all in a single one.

        Returns
        -------
        float
            The loss, as of an epoch of `train`.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError, FloatingPointError, KeyboardInterrupt
            As for `train`.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([1, 1], init="zeros", optimizer="adam")
        >>> for x in (1.0, 2.0, 3.0):
        ...     loss = network.partial_fit([[x]], [[0.5 * x]])
        >>> loss < 0.5
        True
        """
        data = self._weighted(self._data(X, Y, sample_weight), class_weight)
        size = batch_size_of(batch_size, len(data.X), capped=True)
        losses, _, _ = self._runner(data, size, False, 0, n_threads).run(1, 1.0)
        return float(losses[0])

    def evaluate(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        metrics: str | Metric | Sequence[str | Metric] = (),
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Measure predictions without training.

        Parameters
        ----------
        X, Y : array_like
            As for `train_step`.
        metrics : sequence of str or callable, optional
            Names of `ironprop.metrics`, or functions ``metric(pred, Y) -> number``.
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples, for the loss and the metrics that have names.

        Returns
        -------
        dict of str to float
            ``"loss"``, without the optimiser's penalties, and each metric.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `train_step`.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([1, 1], init="zeros", loss="binary_crossentropy")
        >>> network.evaluate([[1.0], [2.0]], [0, 1], metrics=["accuracy"])
        {'loss': 0.6931471805599453, 'accuracy': 0.5}
        """
        known = self._metrics(metrics)
        targets = self._targets(X, Y)
        values = {"loss": self._loss_of(X, targets, sample_weight)}
        if known:
            values.update(measured(known, self.predict(X), targets, sample_weight))
        return values

    # Parts of the above

    def _function_step(
        self, X: Any, Y: Any, learning_rate: float | None, scale: float = 1.0
    ) -> float:
        """Take a step with a loss that is a function."""
        value, loss_gradient, number = self._evaluate_function(X, Y)
        if not (math.isfinite(value) and np.isfinite(loss_gradient).all()):
            raise FloatingPointError(
                f"the loss is {value} or its gradient not finite: no step was taken"
            )
        gradient, _ = self._core.backward_pass(loss_gradient, number)
        if not np.isfinite(gradient).all():
            raise FloatingPointError("the gradient is not finite: no step was taken")
        self._core.apply_gradients(gradient, learning_rate, scale)
        return value

    def _metrics(self, metrics: Any) -> dict[str, Metric]:
        """Return the metrics that were asked for, by name."""
        yes_or_no = self._loss == "binary_crossentropy" and self._layer_sizes[-1] > 1
        return metrics_of(metrics, yes_or_no=yes_or_no)

    def _data(self, X: Any, Y: Any, sample_weight: Any = None) -> Data:
        """Return samples and targets as arrays."""
        X = array("X", X)
        if X.ndim != 2:
            self._core.predict(X)  # refuses it, in the core's words
        return Data(X, array("Y", self._targets(X, Y)), sample_weight)

    def _weighted(self, data: Data, class_weight: ClassWeight | None) -> Data:
        """Return the data with the weights of their classes."""
        shape = (len(data.X), self._layer_sizes[-1])
        weights = sample_weights(class_weight, data.sample_weight, data.Y, shape, self._dtype)
        return Data(data.X, data.Y, weights)

    def _runner(
        self,
        data: Data,
        batch_size: int | None,
        shuffle: bool,
        seed: int | None,
        n_threads: int | None,
        learning_rate: float | None = None,
    ) -> Runner:
        """Return what runs the epochs."""
        if self._function is None:
            return self._core.training(
                data.X, data.Y, data.sample_weight, batch_size, shuffle, seed, n_threads
            )
        self._refuse_weights(data.sample_weight)
        self._core.predict(data.X)  # refuses what are no samples
        check_rows(data.X, data.Y)
        if not len(data.X):
            raise ValueError(f"X has shape {data.X.shape}, expected at least one sample")
        if n_threads is not None:
            whole("n_threads", n_threads, least=1)
        return FunctionTraining(
            cast("Network", self),
            data,
            len(data.X) if batch_size is None else batch_size,
            shuffle=truth("shuffle", shuffle),
            seed=None if seed is None else whole("seed", seed, least=0, most=2**64 - 1),
            learning_rate=learning_rate,
        )
