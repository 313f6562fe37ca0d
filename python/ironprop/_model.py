"""What a network is: sizes, activations, parameters, loss, optimiser, dropout. The first of `Network`'s layers.

The core owns the parameters and checks them. Here names become the core's arguments, and what Python must know of
them later is kept beside the core.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ironprop import _core, losses, notebook
from ironprop._checks import real, type_name
from ironprop.notebook import _seed
from ironprop.optimizers import Optimizer, optimizer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike, NDArray

Activation = Literal[notebook.Activation, "softmax"]
Scheme = Literal["auto", notebook.Scheme]
Init = Scheme | Sequence[Scheme] | tuple[Sequence[ArrayLike], Sequence[ArrayLike]]

__all__ = ["Activation", "Init", "Model", "Scheme"]

# What suits a layer's activation; "glorot_normal" suits all others.
SCHEMES = {
    **dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu", "softplus"), "he_normal"),
    "selu": "lecun_normal",
}


class Model:
    """The parameters of a network and what is to become of them; see `ironprop.Network`."""

    def __init__(
        self,
        layer_sizes: Iterable[int],
        *,
        activation: Activation | Sequence[Activation] = "sigmoid",
        output_activation: Activation | None = None,
        init: Init = "auto",
        loss: losses.Loss = "half_squared_error",
        optimizer: str | Optimizer = "sgd",
        dropout: float | Sequence[float] = 0.0,
        dtype: DTypeLike = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        name = np.dtype(dtype).name
        sizes = _listed("layer_sizes", layer_sizes, "widths")
        n_layers = max(len(sizes) - 1, 0)
        known_loss = losses.loss_of(loss)
        activations = _activations(activation, output_activation, known_loss, n_layers)
        _check_output(known_loss, activations)
        own_parameters, schemes = _schemes(init, activations)
        rates = _dropout_rates(dropout, n_layers)
        number = _seed(seed)
        core = _core.Network(sizes, activations, schemes, name, number)
        if own_parameters is not None:
            core.set_parameters(*own_parameters)
        self._adopt(core, np.dtype(name))
        self._seed = int.from_bytes(os.urandom(8), "little") if number is None else int(number)
        self.loss = known_loss
        self.optimizer = optimizer  # a name is as good
        self._set_dropout(rates)

    def _adopt(self, core: _core.Network, dtype: np.dtype[Any]) -> None:
        """Become the network of that core, as it begins."""
        self._core = core
        self._layer_sizes = tuple(core.sizes)
        self._activations = tuple(core.activations)
        self._dtype = dtype
        self._loss: losses.Loss = "half_squared_error"
        self._function: losses.LossFunction | None = None
        self._has_labels = False
        self._optimizer = optimizer_of("sgd")
        self._dropout: tuple[float, ...] = ()

    # What it is made of

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
    def n_parameters(self) -> int:
        """How many numbers weights and biases have together."""
        return self._core.n_parameters

    # Parameters

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

    @property
    def parameters(self) -> NDArray[Any]:
        """A copy of all parameters, ``(n_parameters,)``: layer by layer, weights row by row and then biases.

        Assign such a vector to set them; `views` finds a layer's place in it.
        """
        return self._core.parameter_vector()

    @parameters.setter
    def parameters(self, vector: ArrayLike) -> None:
        self._core.set_parameter_vector(vector)

    def views(self, vector: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Find each layer's weights and biases in a vector of parameters or gradients.

        Parameters
        ----------
        vector : ndarray, shape (n_parameters,)
            Such as `parameters` and `gradients` give.

        Returns
        -------
        dict of str to ndarray
            Views of the vector, ``"weights[0]"`` of shape ``(n_inputs, n_outputs)``, ``"biases[0]"`` of shape
            ``(n_outputs,)`` and so on: writing to one writes to the vector.

        Raises
        ------
        TypeError, ValueError
            If `vector` is no array of that shape.

        Examples
        --------
        >>> from ironprop import Network
        >>> network = Network([2, 1], init="zeros")
        >>> vector = network.parameters
        >>> network.views(vector)["weights[0]"][:] = [[3.0], [4.0]]
        >>> vector
        array([3., 4., 0.])
        """
        if not isinstance(vector, np.ndarray):
            raise TypeError(f"vector must be an array, for views into it, got {type_name(vector)}")
        if vector.shape != (self.n_parameters,):
            raise ValueError(f"vector has shape {vector.shape}, expected ({self.n_parameters},)")
        found, start = {}, 0
        for layer, (n_inputs, n_outputs) in enumerate(pairwise(self._layer_sizes)):
            middle = start + n_inputs * n_outputs
            found[f"weights[{layer}]"] = vector[start:middle].reshape(n_inputs, n_outputs)
            found[f"biases[{layer}]"] = vector[middle : middle + n_outputs]
            start = middle + n_outputs
        return found

    # What it is to become

    @property
    def loss(self) -> losses.Loss:
        """The loss: a name, a `Huber`, a `Quantile` or a function; see `ironprop.losses`. Assign one to change it."""
        return self._loss

    @loss.setter
    def loss(self, loss: losses.Loss) -> None:
        known = losses.loss_of(loss)
        _check_output(known, self._activations)
        if isinstance(known, str | losses.Huber | losses.Quantile):
            self._core.set_loss(*losses.to_core(known))
            self._function = None
        elif any(self._dropout):
            raise ValueError(
                "loss cannot be a function in a network with dropout: set dropout to 0"
            )
        else:
            # Refuses while the network is trained.
            self._core.set_loss(*losses.to_core("half_squared_error"))
            self._function = known
        self._loss = known
        self._has_labels = isinstance(known, str) and known in losses.OUTPUTS

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser; see `ironprop.optimizers`. Assign one or a name: what the old one remembered is gone then."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | Optimizer) -> None:
        known = optimizer_of(optimizer)
        name, options = known._to_core()
        schedule = known._schedule._to_core()
        self._core.set_schedule(*schedule)
        try:
            self._core.set_optimizer(name, options)
        except Exception:
            self._core.set_schedule(*self._optimizer._schedule._to_core())
            raise
        self._optimizer = known

    @property
    def dropout(self) -> tuple[float, ...]:
        """The share of each hidden layer's outputs that a training step leaves out; assign one for all, or one each.

        The others are divided by ``1 - rate``. Only training drops: all else runs the whole network.
        """
        return self._dropout

    @dropout.setter
    def dropout(self, dropout: float | Sequence[float]) -> None:
        self._set_dropout(_dropout_rates(dropout, len(self._activations)))

    def _set_dropout(self, rates: tuple[float, ...]) -> None:
        if self._function is not None and any(rates):
            raise ValueError("dropout cannot be used with a function as loss: set it to 0")
        self._core.set_dropout(list(rates), self._seed)
        self._dropout = rates

    # How it shows itself

    def summary(self) -> str:
        """Describe the layers in a table.

        Returns
        -------
        str
            A line for each layer, with the shape of its weights, activation and number of parameters, between lines of
            the whole.

        Examples
        --------
        >>> from ironprop import Network
        >>> print(Network([64, 32, 10], activation="relu", loss="categorical_crossentropy").summary())
        Network 64-32-10 of float64: 2410 parameters
        layer  weights  activation  parameters
            0  64 x 32  relu              2080
            1  32 x 10  softmax            330
        loss 'categorical_crossentropy', optimizer SGD(learning_rate=0.01)
        """
        sizes = "-".join(map(str, self._layer_sizes))
        shapes = list(pairwise(self._layer_sizes))
        weights = [f"{n_inputs} x {n_outputs}" for n_inputs, n_outputs in shapes]
        wide, long = max(7, *map(len, weights)), max(10, *map(len, self._activations))
        lines = [
            f"{type(self).__name__} {sizes} of {self._dtype.name}: {self.n_parameters} parameters",
            f"layer  {'weights':{wide}}  {'activation':{long}}  parameters",
        ]
        for layer, (n_inputs, n_outputs) in enumerate(shapes):
            count = n_inputs * n_outputs + n_outputs
            name = self._activations[layer]
            lines.append(f"{layer:5}  {weights[layer]:{wide}}  {name:{long}}  {count:10}")
        dropout = f", dropout {_one_or_all(self._dropout)}" if any(self._dropout) else ""
        lines.append(f"loss {_shown(self._loss)}, optimizer {self._optimizer}{dropout}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Show what it is made of, and what differs from the defaults."""
        parts = [str(list(self._layer_sizes)), f"activation={_one_or_all(self._activations)!r}"]
        if self._loss != "half_squared_error":
            parts.append(f"loss={_shown(self._loss)}")
        if self._optimizer != optimizer_of("sgd"):
            parts.append(f"optimizer={self._optimizer}")
        if any(self._dropout):
            parts.append(f"dropout={_one_or_all(self._dropout)!r}")
        return f"{type(self).__name__}({', '.join(parts)}, dtype={self._dtype.name})"


def _one_or_all(values: Sequence[Any]) -> Any:
    """Return the one value that all have, or a list of them."""
    return values[0] if len(set(values)) == 1 else list(values)


def _shown(loss: losses.Loss) -> str:
    """Return a loss as messages show it."""
    return getattr(loss, "__qualname__", None) or repr(loss)


def _listed(name: str, values: Any, what: str) -> list[Any]:
    """Return the items of an argument."""
    try:
        return list(values)
    except TypeError:
        raise TypeError(f"{name} must be a list of {what}, got {type_name(values)}") from None


def _activations(
    activation: Any, output_activation: Any, loss: losses.Loss, n_layers: int
) -> list[str]:
    """Return the name of each layer's activation."""
    if isinstance(activation, str):
        names = [activation] * n_layers
        output = output_activation
        if output is None and isinstance(loss, str):
            output = losses.OUTPUTS.get(loss)
    else:
        names = _listed("activation", activation, "names, one for each layer, or a name")
        if len(names) != n_layers:
            expected = f"one name for each of the {n_layers} layers"
            raise ValueError(f"activation must have {expected}, got {len(names)}")
        if output_activation is not None and names and output_activation != names[-1]:
            raise ValueError(
                "output_activation is not the last name of activation: give one of them"
            )
        output = None
    for name in names:
        _check_name("activation", name)
    if output is not None:
        _check_name("output_activation", output)
        names[-1:] = [output] if names else []
    if "softmax" in names[:-1]:
        advice = "write output_activation='softmax'"
        raise ValueError(f"activation softmax is for the last layer only: {advice}")
    return names


def _check_name(option: str, name: Any) -> None:
    """Refuse what is no activation."""
    known = get_args(Activation)
    if not isinstance(name, str):
        raise TypeError(f"{option} must be one of {', '.join(known)}, got {type_name(name)}")
    if name not in known:
        raise ValueError(f"{option} must be one of {', '.join(known)}, got {name!r}")


def _check_output(loss: losses.Loss, activations: Sequence[str]) -> None:
    """Refuse a cross-entropy of outputs that are no probabilities."""
    wanted = losses.OUTPUTS.get(loss) if isinstance(loss, str) else None
    if wanted is not None and activations and activations[-1] != wanted:
        raise ValueError(
            f"loss {loss!r} needs output_activation={wanted!r}, got {activations[-1]!r}: "
            "leave it out or choose another loss"
        )


def _schemes(init: Any, activations: Sequence[str]) -> tuple[tuple[Any, Any] | None, list[Any]]:
    """Return the parameters, if they were given, and how each layer's are drawn."""
    if isinstance(init, str):
        schemes = [init] * len(activations)
    else:
        items = _listed("init", init, "schemes, one for each layer, a scheme, or (W, B)")
        if len(items) == 2 and not any(isinstance(item, str) for item in items):
            return (items[0], items[1]), ["zeros"] * len(activations)
        if len(items) != len(activations):
            expected = f"one scheme for each of the {len(activations)} layers, or (W, B)"
            raise ValueError(f"init must have {expected}, got {len(items)}")
        schemes = items
    suitable = (SCHEMES.get(activation, "glorot_normal") for activation in activations)
    pairs = zip(schemes, suitable, strict=True)
    return None, [suits if scheme == "auto" else scheme for scheme, suits in pairs]


def _dropout_rates(dropout: Any, n_layers: int) -> tuple[float, ...]:
    """Return the rate of each hidden layer."""
    n_hidden = max(n_layers - 1, 0)
    if np.ndim(dropout) == 0:
        rate = real("dropout", dropout, least=0, below=1)
        if rate and not n_hidden:
            raise ValueError("dropout is for hidden layers, and this network has none")
        return (rate,) * n_hidden
    rates = _listed("dropout", dropout, "rates")
    if len(rates) != n_hidden:
        expected = f"one rate for each of the {n_hidden} hidden layers"
        raise ValueError(f"dropout must have {expected}, got {len(rates)}")
    return tuple(real("dropout", rate, least=0, below=1) for rate in rates)
