"""A network as a plain dict, which pickle, copy and joblib carry, and back.

The dict has a format version, lists, numbers, names and arrays; only a loss that is a function is there as itself.
Everything is checked on the way back, and built anew before anything is changed.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ironprop import _core, losses, optimizers, schedules

if TYPE_CHECKING:
    from ironprop._model import Model

__all__ = ["FORMAT", "restore", "state_of"]

FORMAT = 1

# Only these classes can come out of a dict.
CLASSES: dict[str, type[Any]] = {
    **{name: getattr(optimizers, name) for name in optimizers.__all__ if name != "Optimizer"},
    **{name: getattr(schedules, name) for name in schedules.__all__ if name != "Schedule"},
    "Huber": losses.Huber,
    "Quantile": losses.Quantile,
}


def state_of(network: Model) -> dict[str, Any]:
    """Return all that a network is."""
    parameters, step, vectors = network._core.state()
    return {
        "format": FORMAT,
        "layer_sizes": list(network._layer_sizes),
        "activations": list(network._activations),
        "dtype": network._dtype.name,
        "parameters": parameters,
        "loss": _described(network._loss),
        "optimizer": _described(network._optimizer),
        "optimizer_step": step,
        "optimizer_vectors": vectors,
        "dropout": list(network._dropout),
        "seed": network._seed,
    }


def restore(network: Model, state: Any) -> None:
    """Make a network of a dict, or refuse it with the network as it was."""
    values = _checked(state)
    sizes, names, vector = values["layer_sizes"], values["activations"], values["parameters"]
    dtype = np.dtype(values["dtype"])
    _check_vectors(sizes, dtype, [vector, *values["optimizer_vectors"]])
    new = object.__new__(type(network))
    try:
        core = _core.Network(sizes, names, ["zeros"] * len(names), dtype.name, 0)
        core.set_parameter_vector(vector)
        new._adopt(core, dtype)
        new._seed = values["seed"]
        new.loss = _built(values["loss"])
        new.optimizer = _built(values["optimizer"])
        new.dropout = values["dropout"]
        core.set_optimizer_state(values["optimizer_step"], values["optimizer_vectors"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"the state is not that of a network: {error}") from error
    network.__dict__.update(new.__dict__)


# The type of each entry.
ENTRIES: dict[str, type[Any]] = {
    "format": int,
    "layer_sizes": list,
    "activations": list,
    "dtype": str,
    "parameters": np.ndarray,
    "loss": object,
    "optimizer": dict,
    "optimizer_step": int,
    "optimizer_vectors": list,
    "dropout": list,
    "seed": int,
}


def _checked(state: Any) -> dict[str, Any]:
    """Return a dict that has all entries, each of its type."""
    if not isinstance(state, dict):
        raise ValueError(f"the state must be a dict, got {type(state).__name__}")
    version = state.get("format")
    if version != FORMAT or type(version) is not int:
        raise ValueError(f"the state has the format {version!r}, but this version reads {FORMAT}")
    if state.keys() != ENTRIES.keys():
        differing = ", ".join(sorted(map(str, state.keys() ^ ENTRIES.keys())))
        raise ValueError(f"the state lacks, or should lack, {differing}")
    for name, kind in ENTRIES.items():
        if not isinstance(state[name], kind) or isinstance(state[name], bool):
            got = type(state[name]).__name__
            raise ValueError(f"the state's {name} must be of type {kind.__name__}, got {got}")
    if not all(type(size) is int and size > 0 for size in state["layer_sizes"]):
        raise ValueError("the state's layer_sizes must be whole numbers of at least 1")
    if state["dtype"] not in {"float64", "float32"}:
        raise ValueError(f"the state's dtype must be float64 or float32, got {state['dtype']!r}")
    return state


def _check_vectors(sizes: list[int], dtype: np.dtype[Any], vectors: list[Any]) -> None:
    """Refuse vectors that are not those of these sizes, before there is memory for any."""
    n_parameters = sum((n_inputs + 1) * n_outputs for n_inputs, n_outputs in pairwise(sizes))
    for vector in vectors:
        if not isinstance(vector, np.ndarray):
            raise ValueError(f"the state's vectors must be arrays, got {type(vector).__name__}")
        if vector.shape != (n_parameters,) or vector.dtype != dtype:
            wanted, got = f"({n_parameters},) {dtype}", f"{vector.shape} {vector.dtype}"
            raise ValueError(f"the state's vectors must be of {wanted}, got {got}")


def _described(thing: Any) -> Any:
    """Return an optimiser, a schedule or a loss as a dict of its class and options; all else as it is."""
    if type(thing).__name__ not in CLASSES or type(thing) is not CLASSES[type(thing).__name__]:
        return thing
    options = {field.name: _described(getattr(thing, field.name)) for field in fields(thing)}
    return {"class": type(thing).__name__, **options}


def _built(description: Any) -> Any:
    """Return what `_described` described."""
    if not isinstance(description, dict):
        return description
    options = dict(description)
    name = options.pop("class", None)
    known = CLASSES.get(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"{name!r} is no optimiser, schedule or loss")
    if options.keys() != {field.name for field in fields(known)}:
        raise ValueError(f"{name} has other options than {', '.join(map(str, options))}")
    return known(**{option: _built(value) for option, value in options.items()})
