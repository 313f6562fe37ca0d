"""Options that come from a user: read, checked, and refused by name.

The wrong type is a `TypeError`, a number out of range or NaN a `ValueError`; the message says what was expected and
what came. What the core checks itself (arrays, names, sizes) is left to it.
"""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["array", "real", "truth", "type_name", "whole"]


def type_name(value: object) -> str:
    """Return the name of a value's type, for messages."""
    return type(value).__name__


def real(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return a finite number within bounds, as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type_name(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond the floats
        number = math.inf
    inside = (
        math.isfinite(number)
        and (above is None or number > above)
        and (least is None or number >= least)
        and (below is None or number < below)
        and (most is None or number <= most)
    )
    if inside:
        return number
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (
            ("above", above),
            ("at least", least),
            ("below", below),
            ("at most", most),
        )
        if bound is not None
    ]
    raise ValueError(f"{name} must be a finite number {' and '.join(bounds)}, got {_text(value)}")


def whole(name: str, value: Any, *, least: int, most: int = 2**53) -> int:
    """Return a whole number of at least `least`, as an int; no option needs more than floats can count."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {type_name(value)}") from None
    if least <= number <= most:
        return number
    bounds = f"from {least} to {most}" if number > most else f"of at least {least}"
    raise ValueError(f"{name} must be a whole number {bounds}, got {_text(number)}")


def truth(name: str, value: Any) -> bool:
    """Return True or False, of Python or of NumPy."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type_name(value)}")
    return bool(value)


def array(name: str, value: Any) -> Any:
    """Return an array as it is, and anything else as NumPy reads it."""
    if isinstance(value, np.ndarray):
        return value  # a masked one too: the core refuses it
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        message = f"{name} cannot be read as an array of numbers: {error}"
        raise ValueError(message) from error


def _text(value: Any) -> str:
    """Return a number as messages show it; Python refuses to print very long integers."""
    try:
        return str(value)
    except ValueError:
        return "a number with very many digits"
