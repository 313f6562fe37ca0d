"""Learning rates that change from step to step.

A schedule takes the place of an optimiser's `learning_rate`. Steps are counted from 0, one for each batch; the core
counts along, so nothing here runs during a training. In Python a schedule is a function: ``schedule(step)`` is the
rate of that step. Each describes one formula; `WarmUp` goes before another, and `OnPlateau` follows what
`Network.fit` measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ironprop._checks import real, type_name, whole

__all__ = ["Constant", "Cosine", "Exponential", "OnPlateau", "Schedule", "StepDecay", "WarmUp"]

CoreSchedule = tuple[str, float, float, float, int]  # name, rate, first, second, steps of warm-up


class Schedule:
    """What all schedules have in common: ``schedule(step)`` is the learning rate of that step.

    `Network` knows the schedules of this module only. For a formula of your own, give each step its rate:
    ``network.train_step(X, Y, learning_rate=formula(step))``.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the fields of the dataclass that this is."""
        self._check()

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int
            The number of the step, 0 for the first.

        Returns
        -------
        float
            The learning rate.

        Raises
        ------
        TypeError, ValueError
            If `step` is no whole number of at least 0.

        Examples
        --------
        >>> StepDecay(0.1, factor=0.5, every=10)(25)
        0.025
        """
        return self._at(whole("step", step, least=0))

    def _check(self) -> None:
        """Refuse fields out of range, and store the others as plain numbers."""

    def _at(self, step: int) -> float:
        """Return the rate of a checked step."""
        raise TypeError(f"{type_name(self)} is none of the schedules of ironprop.schedules")

    def _to_core(self) -> CoreSchedule:
        """Return the arguments of the core's `set_schedule`."""
        raise TypeError(f"{type_name(self)} is none of the schedules of ironprop.schedules")

    def _set(self, **checked: Any) -> None:
        """Store checked values in a frozen dataclass."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate for every step.

    Parameters
    ----------
    rate : float
        The learning rate, positive and finite.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not that.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    rate: float

    def _check(self) -> None:
        self._set(rate=real("rate", self.rate, above=0))

    def _at(self, step: int) -> float:
        return self.rate

    def _to_core(self) -> CoreSchedule:
        return "constant", self.rate, 0.0, 0.0, 0


@dataclass(frozen=True)
class _Decay(Schedule):
    """What `StepDecay` and `Exponential` have in common: a factor for every so many steps."""

    rate: float
    factor: float
    every: int
    _core_name: ClassVar[str]

    def _check(self) -> None:
        self._set(
            rate=real("rate", self.rate, above=0),
            factor=real("factor", self.factor, above=0, most=1),
            every=whole("every", self.every, least=1),
        )

    def _to_core(self) -> CoreSchedule:
        return self._core_name, self.rate, self.factor, float(self.every), 0


@dataclass(frozen=True)
class StepDecay(_Decay):
    r"""A rate that falls at once every so many steps: :math:`\eta_t = \eta \cdot f^{\lfloor t / s \rfloor}`.

    Parameters
    ----------
    rate : float
        The first rate :math:`\eta`, positive and finite.
    factor : float
        What the rate is multiplied by, :math:`f`: positive and at most 1.
    every : int
        Steps between two falls, :math:`s`, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not that.

    References
    ----------
    ``torch.optim.lr_scheduler.StepLR``, counted in steps.

    Examples
    --------
    >>> schedule = StepDecay(0.1, factor=0.5, every=100)
    >>> schedule(0), schedule(99), schedule(100)
    (0.1, 0.1, 0.05)
    """

    _core_name = "step"

    def _at(self, step: int) -> float:
        return float(self.rate * self.factor ** (step // self.every))


@dataclass(frozen=True)
class Exponential(_Decay):
    r"""A rate that falls a little in each step: :math:`\eta_t = \eta \cdot f^{t / s}`.

    Parameters
    ----------
    rate : float
        The first rate :math:`\eta`, positive and finite.
    factor : float
        What is left of the rate after `every` steps, :math:`f`: positive and at most 1.
    every : int
        The steps :math:`s`, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not that.

    References
    ----------
    ``torch.optim.lr_scheduler.ExponentialLR``, counted in steps.

    Examples
    --------
    >>> round(Exponential(0.1, factor=0.5, every=100)(50), 6)
    0.070711
    """

    every: int = 1
    _core_name = "exponential"

    def _at(self, step: int) -> float:
        return float(self.rate * self.factor ** (step / self.every))


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""Half a wave from the first rate down to the last one, which then stays.

    .. math:: \eta_t = \eta_{end} + (\eta - \eta_{end}) \cdot \tfrac12 (1 + \cos(\pi \min(t, s) / s))

    Parameters
    ----------
    rate : float
        The first rate :math:`\eta`, positive and finite.
    steps : int
        The length of the descent, :math:`s`, at least 1.
    final : float
        The last rate :math:`\eta_{end}`, from 0 to `rate`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not that.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), without restarts.

    Examples
    --------
    >>> schedule = Cosine(0.1, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(200)
    (0.1, 0.05, 0.0, 0.0)
    """

    rate: float
    steps: int
    final: float = 0.0

    def _check(self) -> None:
        rate = real("rate", self.rate, above=0)
        self._set(
            rate=rate,
            steps=whole("steps", self.steps, least=1),
            final=real("final", self.final, least=0, most=rate),
        )

    def _at(self, step: int) -> float:
        turn = math.pi * min(step, self.steps) / self.steps
        return self.final + (self.rate - self.final) * 0.5 * (1 + math.cos(turn))

    def _to_core(self) -> CoreSchedule:
        return "cosine", self.rate, float(self.steps), self.final, 0


@dataclass(frozen=True)
class OnPlateau(Schedule):
    r"""A rate that falls whenever `Network.fit` no longer gets better.

    After `patience` epochs without an improvement of `metric` by more than `min_delta`, the rate is multiplied by
    `factor`. Each `fit` starts from `rate`; `train`, `train_step` and `partial_fit`, which measure nothing, stay there.

    Parameters
    ----------
    rate : float
        The first rate, positive and finite.
    factor : float
        What the rate is multiplied by, between 0 and 1.
    patience : int
        Epochs without improvement before the rate falls, at least 1.
    min_delta : float
        What counts as an improvement, at least 0.
    least : float
        The rate does not fall below this, from 0 to `rate`.
    metric : {"val_loss", "loss"}
        What is watched.

    Raises
    ------
    TypeError, ValueError
        If an argument is not that.

    References
    ----------
    Keras, ``ReduceLROnPlateau``.

    Examples
    --------
    >>> OnPlateau(0.1, factor=0.1)(1000)  # the rate as long as nothing has been measured
    0.1
    """

    rate: float
    factor: float = 0.5
    patience: int = 5
    min_delta: float = 1e-4
    least: float = 0.0
    metric: str = "val_loss"

    def _check(self) -> None:
        rate = real("rate", self.rate, above=0)
        if self.metric not in {"val_loss", "loss"}:
            raise ValueError(f"metric must be one of val_loss, loss, got {self.metric!r}")
        self._set(
            rate=rate,
            factor=real("factor", self.factor, above=0, below=1),
            patience=whole("patience", self.patience, least=1),
            min_delta=real("min_delta", self.min_delta, least=0),
            least=real("least", self.least, least=0, most=rate),
        )

    def _at(self, step: int) -> float:
        return self.rate

    def _to_core(self) -> CoreSchedule:
        return "constant", self.rate, 0.0, 0.0, 0  # `fit` scales it


@dataclass(frozen=True)
class WarmUp(Schedule):
    r"""A rate that first rises in equal parts to that of another schedule, which then begins.

    .. math:: \eta_t = \eta'_0 \cdot (t + 1) / s \text{ for } t < s, \text{ then } \eta'_{t - s}

    Parameters
    ----------
    schedule : Schedule or float
        The schedule :math:`\eta'` that follows; a number is a constant one.
    steps : int
        The length of the rise, :math:`s`, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not that, or the schedule warms up itself.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2.

    Examples
    --------
    >>> schedule = WarmUp(Constant(0.5), steps=4)
    >>> [schedule(step) for step in range(6)]
    [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    """

    schedule: Schedule
    steps: int

    def _check(self) -> None:
        schedule = schedule_of("schedule", self.schedule)
        if isinstance(schedule, WarmUp):
            raise ValueError("schedule warms up already: give its own schedule and more steps")
        self._set(schedule=schedule, steps=whole("steps", self.steps, least=1, most=2**32 - 1))

    @property
    def rate(self) -> float:  # type: ignore[override]
        """The rate at the end of the rise."""
        return self.schedule.rate

    def _at(self, step: int) -> float:
        if step < self.steps:
            return self.schedule(0) * (step + 1) / self.steps
        return self.schedule(step - self.steps)

    def _to_core(self) -> CoreSchedule:
        name, rate, first, second, _ = self.schedule._to_core()
        return name, rate, first, second, self.steps


def schedule_of(name: str, value: Any) -> Schedule:
    """Return a schedule as it is, and a number as a constant one."""
    if isinstance(value, Schedule):
        return value
    if callable(value):
        raise TypeError(
            f"{name} must be a number or one of ironprop.schedules, got {type_name(value)}: "
            "give a formula of your own to train_step, step by step"
        )
    return Constant(real(name, value, above=0))
