"""What may look at a training between two epochs, and end it.

A callback is any function ``callback(network, epoch, logs)``. `Network.fit` calls it after each epoch, 0 for the
first, with the network, which it may use and change, and a dict of the epoch's numbers: ``loss``, ``rate``,
``seconds``, the metrics, and with validation data ``val_loss`` and each metric as ``val_…``. Raising `StopTraining`
ends the training as if it had been the last epoch; any other exception passes through and leaves the network as it is
after that epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ironprop._checks import real, truth, type_name, whole

if TYPE_CHECKING:
    from ironprop.network import Network

__all__ = ["Callback", "EarlyStopping", "StopTraining"]

# Of the built-in metrics those that are better when they are larger.
LARGER_IS_BETTER = {"accuracy", "binary_accuracy", "f1", "precision", "r2", "recall"}


class Callback(Protocol):
    """A function that `Network.fit` calls after each epoch."""

    def __call__(self, network: Network, epoch: int, logs: dict[str, float], /) -> object:
        """Look at the network after an epoch.

        Parameters
        ----------
        network : Network
            The network in training.
        epoch : int
            The number of the epoch, 0 for the first.
        logs : dict of float
            The numbers of the epoch.
        """


class StopTraining(Exception):  # noqa: N818 (it is no error)
    """Raised by a callback to end the training after this epoch.

    Examples
    --------
    >>> from ironprop import Network
    >>> def stop(network, epoch, logs):
    ...     if logs["loss"] < 0.1:
    ...         raise StopTraining
    >>> history = Network([1, 1], init="zeros").fit(
    ...     [[1.0]], [[1.0]], epochs=1000, callbacks=[stop]
    ... )
    >>> len(history) < 1000
    True
    """


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """End a training that no longer gets better, and go back to the best parameters.

    Parameters
    ----------
    metric : str
        What is watched: ``"val_loss"``, ``"loss"``, or a metric of the training, ``"val_…"`` for that of the validation
        data.
    patience : int
        Epochs without an improvement after which the training ends, at least 1.
    min_delta : float
        What is more than this counts as an improvement, at least 0.
    restore_best : bool
        Whether the network gets the parameters of its best epoch at the end of the training, however it came to its end
        (but for an exception). The optimiser keeps its state.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows it of the built-in metrics and takes "min" for all others.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    Keras, ``EarlyStopping``; Prechelt, "Early stopping, but when?" (1998).

    Examples
    --------
    >>> from ironprop import Network
    >>> network = Network([1, 1], activation="identity", init="zeros")
    >>> stopping = EarlyStopping(metric="loss", min_delta=1e-3, patience=3)
    >>> history = network.fit([[1.0]], [[0.5]], epochs=10_000, early_stopping=stopping)
    >>> history.stopped, len(history) < 200
    ('early_stopping', True)
    """

    metric: str = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    mode: Literal["auto", "min", "max"] = "auto"

    def __post_init__(self) -> None:
        """Check the options."""
        if not isinstance(self.metric, str):
            raise TypeError(f"metric must be a name, got {type_name(self.metric)}")
        object.__setattr__(self, "restore_best", truth("restore_best", self.restore_best))
        if self.mode not in {"auto", "min", "max"}:
            raise ValueError(f"mode must be one of auto, min, max, got {self.mode!r}")
        object.__setattr__(self, "patience", whole("patience", self.patience, least=1))
        object.__setattr__(self, "min_delta", real("min_delta", self.min_delta, least=0))

    def _best(self) -> Best:
        """Return a record of the best epoch, of one training."""
        larger = self.metric.removeprefix("val_") in LARGER_IS_BETTER
        return Best(self.min_delta, larger if self.mode == "auto" else self.mode == "max")


@dataclass
class Best:
    """The best value so far, and how many values came after it; NaN is never better."""

    min_delta: float
    larger_is_better: bool
    value: float = field(init=False)
    waited: int = 0

    def __post_init__(self) -> None:
        """Begin below all values."""
        self.value = -math.inf if self.larger_is_better else math.inf

    def better(self, value: float) -> bool:
        """Take the next value and return whether it is an improvement."""
        gain = value - self.value if self.larger_is_better else self.value - value
        if gain > self.min_delta:
            self.value, self.waited = value, 0
            return True
        self.waited += 1
        return False


def callbacks_of(callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list."""
    if callable(callbacks):
        return [callbacks]
    try:
        known = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be functions, got {type_name(callbacks)}") from None
    for callback in known:
        if isinstance(callback, EarlyStopping):
            raise TypeError("callbacks must be functions: write early_stopping=EarlyStopping(…)")
        if not callable(callback):
            raise TypeError(f"callbacks must be functions, got {type_name(callback)}")
    return known
