r"""Optimisers: how a step follows from the gradient.

Each is a description, a frozen dataclass of options; the steps themselves are taken in the core, and what an
optimiser remembers (moments, the number of steps) is the network's. Formulas and defaults are PyTorch's. With
:math:`\eta` the learning rate of the step, :math:`g` the gradient of the loss with respect to a parameter :math:`w`,
every step goes

1. penalties, of weights only: :math:`g \leftarrow g + \lambda_1 \operatorname{sign}(w) + \lambda_2 w`, the gradient of
   :math:`\lambda_1 \lvert w \rvert + \tfrac12 \lambda_2 w^2` with `l1` and `l2`,
2. clip: `clip_value` cuts each number of :math:`g` to :math:`\pm c`; `clip_norm` scales the whole gradient, all layers
   together, by :math:`\min(1, c / \lVert g \rVert_2)`,
3. `weight_decay`, of weights only: :math:`w \leftarrow w - \eta \lambda w`, not part of the gradient ("decoupled"),
4. the optimiser's own formula.

Biases are neither penalised nor decayed. The losses that a training reports are without the penalties. PyTorch's
`weight_decay` is `l2` here in all optimisers but AdamW, where it is `weight_decay`; it adds to the gradient after the
clipping, where Keras and we clip what is minimised, penalties included.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ironprop._checks import real, truth, type_name
from ironprop.schedules import Schedule, schedule_of

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "Rprop"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Optimizer:
    """What all optimisers have in common; use one of the classes below it.

    Parameters
    ----------
    learning_rate : float or Schedule
        The step size, positive and finite, or one of `ironprop.schedules`.
    l1, l2 : float
        Weights of the penalties, at least 0.
    weight_decay : float
        Decoupled decay of the weights, at least 0.
    clip_norm, clip_value : float, optional
        The largest norm of the whole gradient, or the largest number in it; positive. One of them at a time. The norm
        is right for any finite gradient, also where its square would overflow.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019); Pascanu, Mikolov and Bengio, "On the
    difficulty of training recurrent neural networks" (2013), for the clipping by norm.

    Examples
    --------
    >>> SGD(learning_rate=0.1, l2=1e-4, clip_norm=1.0)
    SGD(learning_rate=0.1, l2=0.0001, clip_norm=1.0)
    """

    learning_rate: float | Schedule = 0.01
    l1: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        schedule = self._schedule
        if schedule is not self.learning_rate:  # a number, now checked
            self._set("learning_rate", schedule.rate)
        for name in ("l1", "l2", "weight_decay"):
            self._check(name, least=0)
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                self._check(name, above=0)
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("clip_norm and clip_value cannot be used together")
        self._check_own()

    def __repr__(self) -> str:
        """Show the learning rate and what differs from the defaults."""
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name == "learning_rate" or getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _set(self, name: str, value: Any) -> None:
        """Store a checked value in the frozen dataclass."""
        object.__setattr__(self, name, value)

    def _check(self, name: str, **bounds: float) -> None:
        """Check an option's bounds and store it as a float."""
        self._set(name, real(name, getattr(self, name), **bounds))

    def _check_own(self) -> None:
        """Check the options that the others lack."""

    def _to_core(self) -> tuple[str, dict[str, float]]:
        """Return the core's name of it and its options; what is off is absent."""
        raise TypeError(f"{type_name(self)} is none of the optimisers of ironprop.optimizers")

    def _common(self) -> dict[str, float]:
        """Return those of the common options that are on."""
        options = {
            name: getattr(self, name)
            for name in ("l1", "l2", "weight_decay", "clip_norm", "clip_value")
        }
        return {name: value for name, value in options.items() if value}

    @property
    def _schedule(self) -> Schedule:
        """The learning rate as a schedule."""
        return schedule_of("learning_rate", self.learning_rate)


@dataclass(frozen=True, kw_only=True, repr=False)
class SGD(Optimizer):
    r"""Stochastic gradient descent: :math:`w \leftarrow w - \eta g`.

    With momentum :math:`\mu`: :math:`v \leftarrow \mu v + g` and :math:`w \leftarrow w - \eta v`; Nesterov's takes
    :math:`w \leftarrow w - \eta (g + \mu v)` with the new :math:`v`.

    Parameters
    ----------
    learning_rate : float or Schedule
        The step size.
    momentum : float
        The part :math:`\mu` of its velocity that a parameter keeps, from 0 to below 1.
    nesterov : bool
        Whether the momentum is Nesterov's.
    l1, l2, weight_decay, clip_norm, clip_value : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an option is not that, or `nesterov` comes without momentum.

    References
    ----------
    ``torch.optim.SGD``; Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).

    Examples
    --------
    >>> SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    momentum: float = 0.0
    nesterov: bool = False

    def _check_own(self) -> None:
        self._check("momentum", least=0, below=1)
        self._set("nesterov", truth("nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    def _to_core(self) -> tuple[str, dict[str, float]]:
        if not self.momentum:
            return "sgd", self._common()
        name = "nesterov" if self.nesterov else "momentum"
        return name, {"momentum": self.momentum, **self._common()}


@dataclass(frozen=True, kw_only=True, repr=False)
class RMSprop(Optimizer):
    r"""Steps in units of the gradient's recent size.

    .. math:: v \leftarrow \rho v + (1 - \rho) g^2, \qquad w \leftarrow w - \eta\, g / (\sqrt v + \epsilon)

    Parameters
    ----------
    learning_rate : float or Schedule
        The step size.
    rho : float
        What is kept of the running mean of squares, from 0 to below 1.
    epsilon : float
        Keeps the division from 0, positive.
    l1, l2, weight_decay, clip_norm, clip_value : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    ``torch.optim.RMSprop`` (its `alpha` is `rho`); Tieleman and Hinton, "Lecture 6.5: rmsprop" (2012).

    Examples
    --------
    >>> RMSprop(rho=0.9)
    RMSprop(learning_rate=0.01, rho=0.9)
    """

    rho: float = 0.99
    epsilon: float = 1e-8

    def _check_own(self) -> None:
        self._check("rho", least=0, below=1)
        self._check("epsilon", above=0)

    def _to_core(self) -> tuple[str, dict[str, float]]:
        return "rmsprop", {"rho": self.rho, "epsilon": self.epsilon, **self._common()}


@dataclass(frozen=True, kw_only=True, repr=False)
class Adagrad(Optimizer):
    r"""Steps in units of all the gradients so far.

    .. math:: s \leftarrow s + g^2, \qquad w \leftarrow w - \eta\, g / (\sqrt s + \epsilon)

    Parameters
    ----------
    learning_rate : float or Schedule
        The step size.
    epsilon : float
        Keeps the division from 0, positive.
    l1, l2, weight_decay, clip_norm, clip_value : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    ``torch.optim.Adagrad``; Duchi, Hazan and Singer, "Adaptive subgradient methods" (2011).

    Examples
    --------
    >>> Adagrad(learning_rate=0.1)
    Adagrad(learning_rate=0.1)
    """

    epsilon: float = 1e-10

    def _check_own(self) -> None:
        self._check("epsilon", above=0)

    def _to_core(self) -> tuple[str, dict[str, float]]:
        return "adagrad", {"epsilon": self.epsilon, **self._common()}


@dataclass(frozen=True, kw_only=True, repr=False)
class Adam(Optimizer):
    r"""Momentum in units of the gradient's recent size, both without their bias to 0.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`t` the number of the step, 1 for the first.

    Parameters
    ----------
    learning_rate : float or Schedule
        The step size.
    beta_1, beta_2 : float
        What is kept of the running means of the gradient and of its square, from 0 to below 1.
    epsilon : float
        Keeps the division from 0, positive.
    l1, l2, weight_decay, clip_norm, clip_value : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    ``torch.optim.Adam``; Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

    Examples
    --------
    >>> Adam(learning_rate=3e-4, beta_2=0.99)
    Adam(learning_rate=0.0003, beta_2=0.99)
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def _check_own(self) -> None:
        self._check("beta_1", least=0, below=1)
        self._check("beta_2", least=0, below=1)
        self._check("epsilon", above=0)

    def _to_core(self) -> tuple[str, dict[str, float]]:
        betas = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return "adam", {**betas, **self._common()}


@dataclass(frozen=True, kw_only=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, l1, l2, clip_norm, clip_value
        As for `Adam`.
    weight_decay : float
        Decoupled decay of the weights, at least 0.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    ``torch.optim.AdamW``, which decays the biases too; Loshchilov and Hutter, "Decoupled weight decay
    regularization" (2019).

    Examples
    --------
    >>> AdamW().weight_decay
    0.01
    """

    weight_decay: float = 0.01


@dataclass(frozen=True, kw_only=True, repr=False)
class Rprop(Optimizer):
    r"""Steps by the gradient's sign only, each parameter at its own size.

    A parameter's step :math:`\Delta`, at first the learning rate, grows by the factor `grow` where its gradient keeps
    its sign and shrinks by `shrink` where the sign changes (there the parameter rests for a step), between `least_step`
    and `most_step`: :math:`w \leftarrow w - \operatorname{sign}(g) \Delta`. Made for whole batches.

    Parameters
    ----------
    learning_rate : float or Schedule
        The first size of all steps.
    shrink, grow : float
        The factors: from 0 to 1 and above 1.
    least_step, most_step : float
        The bounds of a step, positive.
    l1, l2, weight_decay, clip_norm, clip_value : float
        See `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an option is not that.

    References
    ----------
    ``torch.optim.Rprop``; Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm" (1993).

    Examples
    --------
    >>> Rprop(most_step=1.0)
    Rprop(learning_rate=0.01, most_step=1.0)
    """

    shrink: float = 0.5
    grow: float = 1.2
    least_step: float = 1e-6
    most_step: float = 50.0

    def _check_own(self) -> None:
        self._check("shrink", above=0, below=1)
        self._check("grow", above=1)
        self._check("least_step", above=0)
        self._check("most_step", least=self.least_step)

    def _to_core(self) -> tuple[str, dict[str, float]]:
        names = ("shrink", "grow", "least_step", "most_step")
        return "rprop", {**{name: getattr(self, name) for name in names}, **self._common()}


NAMED: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "rmsprop": RMSprop(),
    "adagrad": Adagrad(),
    "adam": Adam(),
    "adamw": AdamW(),
    "rprop": Rprop(),
}


def optimizer_of(value: Any) -> Optimizer:
    """Return an optimiser as it is, and the one that goes by a name."""
    if type(value) in {type(known) for known in NAMED.values()}:
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str):
        raise TypeError(
            "optimizer must be a name or an object of ironprop.optimizers such as Adam(), "
            f"got {value.__name__ + ' without ()' if isinstance(value, type) else type_name(value)}"
        )
    if value not in NAMED:
        raise ValueError(f"optimizer must be one of {', '.join(NAMED)}, got {value!r}")
    return NAMED[value]
