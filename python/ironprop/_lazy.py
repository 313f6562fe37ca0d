"""Names of the package that are loaded when they are first asked for (PEP 562).

The network tier takes ten times as long to import as the notebook's functions, which most scripts with them can do
without. A fork waits for a load in another thread: the child would find the lock of an import taken for ever.
"""

from __future__ import annotations

import os
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["attach"]

_loading = RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_loading.acquire,
        after_in_parent=_loading.release,
        after_in_child=_loading.release,
    )


def attach(
    namespace: dict[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    Parameters
    ----------
    namespace : dict
        The package's own.
    homes : mapping of str to str
        The module that each name is found in; a module's own name is found in itself.

    Returns
    -------
    tuple of two callables
        What the package needs to be asked for these names.
    """
    package = namespace["__name__"]

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with _loading:
            module = import_module(f"{package}.{homes[name]}")
        namespace[name] = value = module if homes[name] == name else getattr(module, name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return load, names
