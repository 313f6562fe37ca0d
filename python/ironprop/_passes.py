"""What a network can be asked without training it: predictions, gradients, Jacobians, a check of them.

The second of `Network`'s layers. None of these changes a parameter, and none drops units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ironprop import _core, losses
from ironprop._checks import array, real
from ironprop._data import check_rows
from ironprop._model import Model
from ironprop._targets import n_samples_of, targets_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["GradientCheck", "Passes"]


@dataclass(frozen=True)
class GradientCheck:
    """How well gradients agree with central differences.

    Parameters
    ----------
    max_relative_error : float
        The largest difference between the two, in units of the larger one of them; numbers below a thousandth of the
        loss or of the largest gradient are measured in units of that, since rounding hides them from the differences.
    worst_parameter : str
        Where it is, as in ``"weights[0][2, 1]"``.
    """

    max_relative_error: float
    worst_parameter: str


class Passes(Model):
    """Passes through a network; see `ironprop.Network`."""

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
            If another thread trains the network.

        Examples
        --------
        >>> from ironprop import Network
        >>> Network([3, 2], init="zeros").predict([[1.0, 2.0, 3.0]])
        array([[0.5, 0.5]])
        """
        return self._core.predict(X)

    def forward_pass(self, X: ArrayLike) -> list[NDArray[Any]]:
        """Run samples through the network and keep what `backward_pass` needs.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype, at least one.

        Returns
        -------
        list of ndarray, each of shape (n_samples, n_outputs)
            Copies of the activations of every layer; the last ones are the predictions.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `predict`; MemoryError if the activations do not fit into memory.

        Examples
        --------
        >>> from ironprop import Network
        >>> [a.shape for a in Network([3, 5, 2], seed=1).forward_pass([[1.0, 2.0, 3.0]])]
        [(1, 5), (1, 2)]
        """
        return self._core.forward_pass(X)[0]

    def backward_pass(self, loss_gradient: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Propagate the gradient of any loss back through the last `forward_pass`.

        Parameters
        ----------
        loss_gradient : array_like, shape (n_samples, n_outputs)
            The derivative of the loss with respect to the predictions of that pass.

        Returns
        -------
        gradient : ndarray, shape (n_parameters,)
            The derivative with respect to the parameters, in their order; `views` finds a layer's part.
        input_gradient : ndarray, shape (n_samples, n_features)
            The derivative with respect to `X`.

        Raises
        ------
        TypeError, ValueError
            If `loss_gradient` is of another type or shape than the predictions.
        RuntimeError
            If there was no `forward_pass` since the parameters last changed, or another thread trains the network.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([2, 1], activation="identity", init=([[[3.0], [4.0]]], [[0.0]]))
        >>> pred = network.forward_pass([[1.0, 2.0]])[-1]
        >>> network.backward_pass(np.ones_like(pred))
        (array([1., 2., 1.]), array([[3., 4.]]))
        """
        return self._core.backward_pass(loss_gradient, None)

    def gradients(
        self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss of a batch and its gradient, without a step.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype, at least one.
        Y : array_like
            Targets: shape (n_samples, n_outputs), one row of it, or one number. For the cross-entropies also class
            labels, shape (n_samples,): 0 and 1 for a single sigmoid, whole numbers from 0 for a softmax.
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the samples, at least 0.

        Returns
        -------
        loss : float
            The loss, without the optimiser's penalties.
        gradient : ndarray, shape (n_parameters,)
            Its derivative with respect to the parameters, in their order; `views` finds a layer's part.

        Raises
        ------
        TypeError, ValueError, MemoryError
            If an argument is not what it must be.
        RuntimeError
            If another thread trains the network.

        Notes
        -----
        Numbers that have become infinite or NaN are passed on; a training stops at them.

        Examples
        --------
        >>> from ironprop import Network
        >>> Network([1, 1], init="zeros").gradients([[1.0]], [[1.0]])
        (0.125, array([-0.125, -0.125]))
        """
        if self._function is None:
            return self._core.gradients(X, self._targets(X, Y), sample_weight)
        self._refuse_weights(sample_weight)
        value, loss_gradient, number = self._evaluate_function(X, Y)
        return value, self._core.backward_pass(loss_gradient, number)[0]

    def sample_gradients(self, X: ArrayLike, Y: ArrayLike) -> NDArray[Any]:
        """Compute the gradient of each sample's own loss, as of a batch with no other sample.

        Parameters
        ----------
        X, Y : array_like
            As for `gradients`.

        Returns
        -------
        ndarray, shape (n_samples, n_parameters)
            A row for each sample. The mean of the rows is what `gradients` gives for a loss that is a mean, their sum
            for "half_squared_error".

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `gradients`.

        Examples
        --------
        >>> from ironprop import Network
        >>> Network([1, 1], init="zeros").sample_gradients([[1.0], [2.0]], [[1.0], [0.5]])
        array([[-0.125, -0.125],
               [ 0.   ,  0.   ]])
        """
        if self._function is None:
            return self._core.sample_gradients(X, self._targets(X, Y))
        samples, targets = array("X", X), array("Y", Y)
        self._core.predict(samples)  # refuses what are no samples
        check_rows(samples, targets)
        ones = [slice(row, row + 1) for row in range(len(samples))]
        rows = [self.gradients(samples[one], targets[one])[1] for one in ones]
        return np.array(rows, self._dtype).reshape(len(samples), self.n_parameters)

    def jacobian(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the derivative of each prediction with respect to each feature.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Samples of the network's dtype.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs, n_features)
            The Jacobian matrix of each sample.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `forward_pass`.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([2, 1], activation="identity", init=([[[3.0], [4.0]]], [[0.0]]))
        >>> network.jacobian([[1.0, 2.0]])
        array([[[3., 4.]]])
        """
        return self._core.jacobian(X)

    def check_gradients(
        self, X: ArrayLike, Y: ArrayLike, *, epsilon: float = 1e-6
    ) -> GradientCheck:
        r"""Compare `gradients` with central differences, :math:`(L(w + \epsilon) - L(w - \epsilon)) / 2 \epsilon`.

        Computed on a float64 copy of the network with two passes for each parameter: for small networks and few
        samples. Where a relu or an absolute error has its kink within `epsilon`, the differences are wrong, not the
        gradients.

        Parameters
        ----------
        X, Y : array_like
            As for `gradients`.
        epsilon : float
            The step of the differences, positive.

        Returns
        -------
        GradientCheck
            The largest relative error, and where it is. Below 1e-6 is right.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `gradients`.

        Examples
        --------
        >>> from ironprop import Network
        >>> check = Network([2, 3, 1], seed=1).check_gradients([[0.6, 0.4]], [[0.875]])
        >>> check.max_relative_error < 1e-6
        True
        """
        step = real("epsilon", epsilon, above=0)
        self.gradients(X, Y)  # refuses what does not fit
        network = self._in_float64()
        samples, targets = array("X", X).astype(np.float64), array("Y", self._targets(X, Y))
        targets = targets.astype(np.float64) if targets.dtype == np.float32 else targets
        loss, gradient = network.gradients(samples, targets)
        start = network.parameters
        differences = np.empty_like(start)
        for index in range(len(start)):
            sides = []
            for value in (start[index] + step, start[index] - step):
                moved = start.copy()
                moved[index] = value
                network.parameters = moved
                sides.append(network._loss_of(samples, targets))
            differences[index] = (sides[0] - sides[1]) / (2 * step)
        sizes = np.maximum(np.abs(gradient), np.abs(differences))
        floor = 1e-3 * max(abs(loss), float(sizes.max()), np.finfo(np.float64).tiny)
        errors = np.abs(gradient - differences) / np.maximum(sizes, floor)
        worst = int(errors.argmax())
        return GradientCheck(float(errors[worst]), self._name_of(worst))

    # Parts of the above

    def _targets(self, X: Any, Y: Any) -> Any:
        """Return the targets as the core takes them."""
        if not self._has_labels:
            return Y
        return targets_of(Y, self._loss, n_samples_of(X), self._layer_sizes[-1], self._dtype)

    def _evaluate_function(self, X: Any, Y: Any) -> tuple[float, NDArray[Any], int]:
        """Return value and gradient of a loss that is a function, after a forward pass of that number."""
        assert self._function is not None  # noqa: S101 (asked before)
        activations, number = self._core.forward_pass(X)
        return *losses.evaluated(self._function, activations[-1], array("Y", Y)), number

    def _refuse_weights(self, sample_weight: Any) -> None:
        """Refuse weights where they would have no effect."""
        if sample_weight is not None:
            raise ValueError(
                "sample_weight cannot be used with a function as loss: let it weigh the samples"
            )

    def _loss_of(self, X: Any, Y: Any, sample_weight: Any = None) -> float:
        """Return the loss of targets that are the core's."""
        if self._function is None:
            return self._core.loss_of(X, Y, sample_weight)
        self._refuse_weights(sample_weight)
        return losses.evaluated(self._function, self._core.predict(X), array("Y", Y))[0]

    def _in_float64(self) -> Passes:
        """Return a float64 copy with the same loss, for gradients only."""
        schemes = ["zeros"] * len(self._activations)
        names = list(self._activations)
        network = object.__new__(Passes)
        core = _core.Network(list(self._layer_sizes), names, schemes, "float64", 0)
        core.set_parameter_vector(self.parameters.astype(np.float64))
        network._adopt(core, np.dtype(np.float64))
        network.loss = self._loss
        return network

    def _name_of(self, parameter: int) -> str:
        """Return the name of the parameter at a place of the vector."""
        views = self.views(np.arange(self.n_parameters))
        name, part = next(pair for pair in views.items() if parameter in pair[1])
        return f"{name}[{', '.join(map(str, np.argwhere(part == parameter)[0]))}]"
