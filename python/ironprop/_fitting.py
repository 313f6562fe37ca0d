"""The loop of `Network.fit` around the core's: what happens between two epochs.

Validation, metrics, early stopping, callbacks, a falling rate, lines and the bar. Where none of these is wanted, the
core runs all epochs in one call; where only lines or the bar are, as many as lie between two of their moments.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ironprop.callbacks import Best, EarlyStopping, StopTraining
from ironprop.history import History, needed
from ironprop.metrics import NAMED, measured
from ironprop.schedules import OnPlateau, WarmUp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ironprop._data import Data
    from ironprop.callbacks import Callback
    from ironprop.metrics import Metric
    from ironprop.network import Network
    from ironprop.schedules import Schedule

    Numbers = NDArray[np.float64]

__all__ = ["Fit", "FunctionTraining", "Runner"]

LEAST_SCALE = 1e-300  # of a rate that has fallen: the core wants a positive one
SECONDS_PER_CHUNK = (
    0.05  # between two updates of the bar, where nothing else needs Python in between
)


class Runner(Protocol):
    """What runs epochs: the core's `Training`, or `FunctionTraining`."""

    def run(self, epochs: int, scale: float, /) -> tuple[Numbers, Numbers, Numbers]:
        """Run the next epochs; return the loss, the rate of the last step and the seconds of each."""


class FunctionTraining:
    """Epochs with a loss that is a function: each step goes through Python."""

    def __init__(
        self,
        network: Network,
        data: Data,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int | None,
        learning_rate: float | None = None,
    ) -> None:
        self.network = network
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.learning_rate = learning_rate
        self.epoch = 0

    def run(self, epochs: int, scale: float, /) -> tuple[Numbers, Numbers, Numbers]:
        """Run the next epochs; return the loss, the rate of the last step and the seconds of each."""
        losses, rates, seconds = (np.empty(epochs) for _ in range(3))
        step = self.network._core.optimizer_steps()
        schedule = self.network.optimizer._schedule
        n_samples = len(self.data.X)
        for index in range(epochs):
            start, loss, rate = time.perf_counter(), 0.0, 0.0
            before = self.network.parameters
            for batch in self._batches():
                rate = schedule(step) * scale if self.learning_rate is None else self.learning_rate
                loss += self.network._function_step(
                    self.data.X[batch], self.data.Y[batch], self.learning_rate, scale
                ) * (len(batch) / n_samples)
                step += 1
            if not np.isfinite(self.network.parameters).all():
                self.network.parameters = before
                raise FloatingPointError(
                    f"training diverged in epoch {self.epoch} (a parameter is not finite): the "
                    "parameters are those before that epoch; try a smaller learning_rate"
                )
            losses[index], rates[index] = loss, rate
            seconds[index] = time.perf_counter() - start
            self.epoch += 1
        return losses, rates, seconds

    def _batches(self) -> Iterator[NDArray[np.intp]]:
        """Return the rows of each batch of the next epoch."""
        n_samples = len(self.data.X)
        order = np.arange(n_samples)
        if self.shuffle:
            # NumPy promises to keep the raw stream for ever, but not what `permutation` makes of it.
            random = np.random.PCG64(None if self.seed is None else [self.seed, self.epoch])
            order = np.argsort(random.random_raw(n_samples), kind="stable")
        for start in range(0, n_samples, self.batch_size):
            yield order[start : start + self.batch_size]


@dataclass
class Fit:
    """One call of `Network.fit`, its options checked."""

    network: Network
    runner: Runner
    data: Data
    epochs: int
    validation: Data | None
    metrics: dict[str, Metric]
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callback]
    progress: bool
    log_every: int | None
    chunks: list[tuple[Numbers, Numbers, Numbers]] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look what has to be done after each epoch."""
        schedule: Schedule = self.network.optimizer._schedule
        schedule = schedule.schedule if isinstance(schedule, WarmUp) else schedule
        self.plateau = schedule if isinstance(schedule, OnPlateau) else None
        for who, watcher in (("early_stopping", self.early_stopping), ("OnPlateau", self.plateau)):
            if watcher is not None and watcher.metric not in self._measures():
                known = f"this training has only {', '.join(self._measures())}"
                raise ValueError(f"{who} watches the metric {watcher.metric!r}, but {known}")

        # What a metric of ours refuses it refuses now, before anything has been changed.
        ours = {name: metric for name, metric in self.metrics.items() if metric in NAMED.values()}
        for data in (self.data, self.validation):
            if ours and data is not None:
                weight = None if data is self.data else data.sample_weight
                measured(ours, self.network.predict(data.X), data.Y, weight)

    def _measures(self) -> list[str]:
        """Return the names of all numbers that there are after an epoch."""
        names = ["loss", *self.metrics]
        return names if self.validation is None else [*names, *(f"val_{name}" for name in names)]

    def run(self) -> History:
        """Train."""
        best = None if self.early_stopping is None else self.early_stopping._best()
        falling = _Falling(self.plateau) if self.plateau is not None else None
        best_epoch, best_parameters, stopped = None, None, None
        pace, done = 1, 0
        by_function = self.network._function is not None
        with closing(_Bar(self.epochs, len(self.data.X), shown=self.progress)) as bar:
            while done < self.epochs and stopped is None:
                n_epochs = self._chunk(done, pace)
                scale = 1.0 if falling is None else falling.scale
                start = time.perf_counter()
                self.chunks.append(self.runner.run(n_epochs, scale))
                pace = pace * 2 if time.perf_counter() - start < SECONDS_PER_CHUNK else pace
                done += n_epochs
                logs = self._measure()
                if best is not None and self.early_stopping is not None:
                    if best.better(logs[self.early_stopping.metric]):
                        best_epoch = done - 1
                        if self.early_stopping.restore_best:
                            best_parameters = self.network.parameters
                    elif best.waited >= self.early_stopping.patience:
                        stopped = "early_stopping"
                if falling is not None:
                    falling.see(logs)
                self._log(done - 1, logs)
                bar.show(n_epochs, logs)
                try:
                    for callback in self.callbacks:
                        callback(self.network, done - 1, dict(logs))
                except StopTraining:
                    stopped = "callback"
                if (self.network._function is not None) != by_function:
                    raise RuntimeError(
                        "a callback has exchanged a loss with a name and one that is a function: "
                        "that takes another fit"
                    )
        if best_parameters is not None:  # also of the last epoch: a callback may have changed them
            self.network.parameters = best_parameters
        return self._history(best_epoch, stopped if done < self.epochs else None)

    def _chunk(self, done: int, pace: int) -> int:
        """Return how many epochs to run before Python is needed."""
        watchers = (self.validation, self.early_stopping, self.plateau)
        if self.metrics or self.callbacks or any(watcher is not None for watcher in watchers):
            return 1
        n_epochs = self.epochs - done
        if self.log_every is not None:
            n_epochs = min(n_epochs, -done % self.log_every + 1)
        return min(n_epochs, pace) if self.progress else n_epochs

    def _measure(self) -> dict[str, float]:
        """Return the numbers after the epoch that has just been run."""
        losses, rates, seconds = self.chunks[-1]
        logs = {"loss": float(losses[-1])}
        if self.metrics:
            pred = self.network.predict(self.data.X)
            logs.update(measured(self.metrics, pred, self.data.Y))
        if self.validation is not None:
            X, Y, weight = self.validation.X, self.validation.Y, self.validation.sample_weight
            logs["val_loss"] = self.network._loss_of(X, Y, weight)
            if self.metrics:
                values = measured(self.metrics, self.network.predict(X), Y, weight)
                logs.update({f"val_{name}": value for name, value in values.items()})
        for name in logs.keys() - {"loss"}:
            self.measured.setdefault(name, []).append(logs[name])
        return {**logs, "rate": float(rates[-1]), "seconds": float(seconds[-1])}

    def _log(self, epoch: int, logs: dict[str, float]) -> None:
        """Print a line like the notebook's."""
        if self.log_every is None or epoch % self.log_every:
            return
        shown = {name: logs[name] for name in self._measures()}
        parts = [f"{_title(name)}: {value:.6f}" for name, value in shown.items()]
        print(f"Epoch: {epoch}, {', '.join(parts)}")  # noqa: T201 (asked for by `verbose`)

    def _history(self, best_epoch: int | None, stopped: str | None) -> History:
        """Return what was measured."""
        loss, rate, seconds = (
            np.concatenate([np.empty(0), *(chunk[kind] for chunk in self.chunks)])
            for kind in range(3)
        )
        curves = {
            name: np.array(self.measured.get(name, ()))
            for name in self._measures()
            if name != "loss"
        }
        val_loss = curves.pop("val_loss", None)
        return History(loss, rate, seconds, val_loss, curves, best_epoch, stopped)


def _title(name: str) -> str:
    """Return the name of a number as lines show it: Loss, Validation loss."""
    return f"Validation {name[4:]}" if name.startswith("val_") else name.capitalize()


class _Falling:
    """A rate that falls on plateaus, as a factor of the first one."""

    def __init__(self, schedule: OnPlateau) -> None:
        self.schedule = schedule
        self.best = Best(schedule.min_delta, larger_is_better=False)
        self.scale = 1.0

    def see(self, logs: dict[str, float]) -> None:
        """Look at the numbers of an epoch."""
        if not self.best.better(logs[self.schedule.metric]):
            if self.best.waited < self.schedule.patience:
                return
            least = self.schedule.least / self.schedule.rate
            self.scale = max(self.scale * self.schedule.factor, least, LEAST_SCALE)
            self.best.waited = 0


class _Bar:
    """A bar of tqdm's with loss and samples per second, or none."""

    def __init__(self, epochs: int, n_samples: int, *, shown: bool) -> None:
        tqdm = needed("tqdm", extra="progress").tqdm if shown else None
        self.n_samples = n_samples
        self.bar = None if tqdm is None else tqdm(total=epochs, unit="epoch")
        self.start = time.perf_counter()
        self.done = 0

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def show(self, n_epochs: int, logs: dict[str, float]) -> None:
        """Go on by some epochs."""
        if self.bar is None:
            return
        self.done += n_epochs
        pace = self.done * self.n_samples / max(time.perf_counter() - self.start, 1e-9)
        self.bar.set_postfix_str(f"loss {logs['loss']:.4g}, {pace:.3g} samples/s", refresh=False)
        self.bar.update(n_epochs)
