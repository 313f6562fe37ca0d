"""`History`: what a training has measured, epoch by epoch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

__all__ = ["History"]


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """The numbers of a training: one of each kind for every epoch that was run.

    Parameters
    ----------
    loss : ndarray of float64, shape (n_epochs,)
        The loss of the predictions that the epoch's steps started from.
    rate : ndarray of float64, shape (n_epochs,)
        The learning rate of the epoch's last step.
    seconds : ndarray of float64, shape (n_epochs,)
        How long the epoch's steps took, without validation, metrics and callbacks.
    val_loss : ndarray of float64, shape (n_epochs,), optional
        The loss on the validation data after the epoch.
    metrics : mapping of str to ndarray of float64
        Each metric after the epoch, on the training data and as ``"val_…"`` on the validation data.
    best_epoch : int, optional
        The epoch that early stopping found best.
    stopped : {"early_stopping", "callback"}, optional
        Who ended the training before its last epoch.

    Examples
    --------
    >>> from ironprop import Network
    >>> history = Network([1, 1], init="zeros").fit([[1.0]], [[1.0]], epochs=3)
    >>> history
    History(3 epochs, loss 0.125 to 0.1244)
    >>> list(history.to_dict())
    ['loss', 'rate', 'seconds']
    """

    loss: Numbers
    rate: Numbers
    seconds: Numbers
    val_loss: Numbers | None
    metrics: Mapping[str, Numbers]
    best_epoch: int | None = None
    stopped: str | None = None

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Show how many epochs there were and what became of the loss."""
        if not len(self):
            return "History(0 epochs)"
        epochs = "1 epoch" if len(self) == 1 else f"{len(self)} epochs"
        parts = [f"loss {self.loss[0]:.4g} to {self.loss[-1]:.4g}"]
        if self.val_loss is not None:
            parts.append(f"val_loss {self.val_loss[0]:.4g} to {self.val_loss[-1]:.4g}")
        if self.stopped is not None:
            parts.append(f"stopped={self.stopped!r}")
        return f"History({epochs}, {', '.join(parts)})"

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain lists by name, which JSON and pandas can read.

        Returns
        -------
        dict of str to list of float
            ``loss``, ``val_loss`` if there is one, each metric, ``rate`` and ``seconds``.

        Examples
        --------
        >>> from ironprop import Network
        >>> history = Network([1, 1], init="zeros").fit([[1.0]], [[1.0]], epochs=1)
        >>> history.to_dict()["loss"]
        [0.125]
        """
        arrays = {"loss": self.loss}
        if self.val_loss is not None:
            arrays["val_loss"] = self.val_loss
        arrays.update(self.metrics)
        arrays.update(rate=self.rate, seconds=self.seconds)
        return {name: array.tolist() for name, array in arrays.items()}

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the epochs.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn in.

        Raises
        ------
        ImportError
            If matplotlib is not installed: it comes with ``pip install "ironprop[plot]"``.

        Examples
        --------
        >>> from ironprop import Network
        >>> history = Network([1, 1], seed=1).fit([[1.0]], [[0.5]], epochs=3)
        >>> history.plot().get_xlabel()  # doctest: +SKIP
        'epoch'
        """
        if ax is None:
            _, ax = needed("matplotlib.pyplot", extra="plot").subplots()
        curves = {"loss": self.loss, "val_loss": self.val_loss}
        shown = {name: curve for name, curve in curves.items() if curve is not None}
        for name, curve in shown.items():
            ax.plot(np.arange(len(curve)), curve, label=name)
        if all((curve > 0).all() for curve in shown.values()):
            ax.set_yscale("log")
        if self.best_epoch is not None:
            ax.axvline(self.best_epoch, color="0.6", linestyle=":", label="best epoch")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        ax.legend()
        return ax


def needed(module: str, *, extra: str) -> Any:
    """Import a module that only an extra of the package installs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        message = f'this needs {name}: pip install "ironprop[{extra}]" installs it'
        raise ImportError(message) from error
