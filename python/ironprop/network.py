"""The network tier: one object that owns the parameters and is trained in the core.

The kernels are those of `ironprop.notebook`, the gradient is the exact one; the same weights and data give the same
bits in both tiers. `Network` is built in layers, each in a file of its own: what it is (`_model.py`), what it can be
asked (`_passes.py`), its steps (`_training.py`), and here `fit`, copies and pickles.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ironprop import _state
from ironprop._checks import truth, type_name, whole
from ironprop._data import Data, batch_size_of, split
from ironprop._fitting import Fit
from ironprop._passes import GradientCheck
from ironprop._training import Trainable
from ironprop.callbacks import EarlyStopping, callbacks_of
from ironprop.notebook import _seed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import ArrayLike

    from ironprop._training import ClassWeight
    from ironprop.callbacks import Callback
    from ironprop.history import History
    from ironprop.metrics import Metric

__all__ = ["GradientCheck", "Network"]


class Network(Trainable):
    """A chain of dense layers: ``activation(x @ weights + biases)``, one after the other.

    Parameters
    ----------
    layer_sizes : iterable of int
        The widths: features first, then the outputs of each layer.
    activation : str or sequence of str
        "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "sin" or "identity", for all
        layers or one for each; the last one may be "softmax".
    output_activation : str, optional
        That of the last layer. By default "sigmoid" for the loss "binary_crossentropy" and "softmax" for
        "categorical_crossentropy", which need them, and otherwise `activation`.
    init : str, sequence of str, or tuple of two lists of array_like
        How weights and biases are drawn, for all layers or for each (see `ironprop.notebook.initialize`), or the
        weights and biases themselves, ``(W, B)``. "auto" is "he_normal" for relu, leaky_relu, elu, gelu, silu and
        softplus, "lecun_normal" for selu and "glorot_normal" for all others.
    loss : str, Huber, Quantile or callable
        What is made small; see `ironprop.losses`.
    optimizer : str or Optimizer
        How; see `ironprop.optimizers`.
    dropout : float or sequence of float
        The share of the hidden units that a training step leaves out, for all hidden layers or for each.
    dtype : dtype
        float64 or float32: the type of all parameters and data.
    seed : int or numpy.random.Generator, optional
        Fixes the starting parameters, and what dropout leaves out: an int from 0 to 2**64 - 1, or a generator, from
        which one number is drawn. None draws from the operating system.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these.
    MemoryError
        If the parameters do not fit into memory.

    Notes
    -----
    Threads may share a network. They take turns, in the order in which they came: every call has the bits that it
    would have alone, and a single step, of `train_step` or `apply_gradients`, is a turn like any other. Only trainings,
    `fit`, `partial_fit` and `train`, are not waited for: while one runs, all calls in other threads raise
    `RuntimeError`. Where a `fit` stops to measure after an epoch, or to call a function of yours, others have their
    turns. In the child of a fork, a network that another thread was using raises `RuntimeError` too: that thread is not
    there to give it back.

    Networks are equal if sizes, activations, dtype, loss, optimiser, dropout and every bit of the parameters are.
    Copies and pickles have all of the network, what the optimiser remembers included, and go on to the same bits; a
    loss that is a function is pickled by its name.

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

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        epochs: int,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | np.random.Generator | None = None,
        validation_data: tuple[ArrayLike, ...] | None = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        metrics: str | Metric | Sequence[str | Metric] = (),
        early_stopping: EarlyStopping | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        verbose: bool = False,
        log_every: int = 1,
        n_threads: int | None = None,
    ) -> History:
        """Train for some epochs, and measure.

        Parameters
        ----------
        X, Y, sample_weight, n_threads
            As for `train_step`.
        epochs : int
            Passes over the data, at least 0. A second `fit` goes on where the first one ended.
        batch_size : int, optional
            Samples in one step; None, or more than there are, takes all.
        shuffle : bool
            Draw a new order of the samples for each epoch.
        seed : int or numpy.random.Generator, optional
            Fixes the orders: an int from 0 to 2**64 - 1, or a generator, from which one number is drawn. None draws
            from the operating system.
        validation_data : tuple of array_like, optional
            ``(X, Y)`` or ``(X, Y, sample_weight)`` on which the loss and the metrics are measured after each epoch.
        validation_split : float
            The part of the samples, from 0 to below 1, that is not trained on but validated with: the last ones, as
            they lie.
        class_weight : dict of int to float or "balanced", optional
            What each sample weighs by its class: one missing weighs 1; "balanced" gives all classes the same weight
            together. Where there are sample weights too, both are multiplied.
        metrics : sequence of str or callable, optional
            Names of `ironprop.metrics`, or functions ``metric(pred, Y) -> number``; measured after each epoch on the
            training data, unweighted, and on the validation data.
        early_stopping : EarlyStopping, optional
            When to end before the last epoch.
        callbacks : sequence of callable, optional
            Functions ``callback(network, epoch, logs)``, called after each epoch; see `ironprop.callbacks`.
        progress : bool
            Show a bar; needs tqdm, of the extra "progress".
        verbose : bool
            Print a line after every epoch whose number is a multiple of `log_every`.
        log_every : int
            See `verbose`.

        Returns
        -------
        History
            The loss of each epoch, as `train` returns it, and all else that was measured.

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for `train_step`, before anything has been changed.
        ImportError
            If `progress` needs tqdm and there is none.
        FloatingPointError
            If the loss or a parameter becomes infinite or NaN. The network then has the parameters of the last
            step whose loss was finite. If a number of `X` is, before any step.
        KeyboardInterrupt
            After Ctrl-C, at a whole step, with the parameters of that step.

        Examples
        --------
        >>> import numpy as np
        >>> from ironprop import Network, optimizers
        >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
        >>> network = Network(
        ...     [1, 16, 1], activation="tanh", output_activation="identity", loss="mse",
        ...     optimizer=optimizers.Adam(learning_rate=0.01), seed=1,
        ... )
        >>> history = network.fit(X, np.sin(3 * X), epochs=300, seed=1, metrics=["r2"])
        >>> bool(history.metrics["r2"][-1] > 0.99)
        True
        """
        epochs = whole("epochs", epochs, least=0)
        every = whole("log_every", log_every, least=1)
        shown, printed = truth("progress", progress), truth("verbose", verbose)
        known_metrics, known_callbacks = self._metrics(metrics), callbacks_of(callbacks)
        if not isinstance(early_stopping, EarlyStopping | None):
            got = type_name(early_stopping)
            raise TypeError(f"early_stopping must be an EarlyStopping(…), got {got}")
        by_function = self._function is not None
        data, validation = split(
            self._data(X, Y, sample_weight), validation_split, by_function=by_function
        )
        if validation_data is not None:
            if validation is not None:
                raise ValueError("validation_data and validation_split cannot be used together")
            validation = self._validation(validation_data)
        data = self._weighted(data, class_weight)
        size = batch_size_of(batch_size, len(data.X), capped=True)
        runner = self._runner(data, size, shuffle, _seed(seed), n_threads)
        fit = Fit(
            *(self, runner, data, epochs, validation, known_metrics),
            *(early_stopping, known_callbacks, shown, every if printed else None),
        )
        return fit.run()

    def _validation(self, given: Any) -> Data:
        """Return validation data that fit: better now than after the first epoch."""
        if not isinstance(given, tuple | list) or len(given) not in {2, 3}:
            got = type_name(given)
            got += f" of {len(given)}" if isinstance(given, tuple | list) else ""
            message = f"validation_data must be (X, Y) or (X, Y, sample_weight), got {got}"
            raise TypeError(message)
        try:
            data = self._data(*given)
            self._loss_of(data.X, data.Y, data.sample_weight)
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation_data: {error}") from None
        return data

    # Equality, copies, pickles

    def __eq__(self, other: object) -> bool:
        """Return whether both are the same network to the last bit."""
        if not isinstance(other, Network):
            return NotImplemented
        return (
            self._layer_sizes == other._layer_sizes
            and self._activations == other._activations
            and self._dtype == other._dtype
            and self._loss == other._loss
            and self._optimizer == other._optimizer
            and self._dropout == other._dropout
            and self.parameters.tobytes() == other.parameters.tobytes()
        )

    __hash__ = None  # type: ignore[assignment] # it changes

    def __getstate__(self) -> dict[str, Any]:
        """Return all that it is as a plain dict."""
        return _state.state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become what a dict of `__getstate__` says.

        Raises
        ------
        ValueError
            If it says nothing of the kind. Nothing has been changed then.
        """
        _state.restore(self, state)

    def __copy__(self) -> Self:
        """Return an independent copy."""
        twin = object.__new__(type(self))
        twin.__setstate__(self.__getstate__())
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return an independent copy, of a loss that is an object too."""
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        state = self.__getstate__()
        twin.__setstate__({**state, "loss": copy.deepcopy(state["loss"], memo)})
        return twin
