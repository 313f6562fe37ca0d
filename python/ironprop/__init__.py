"""Forward and backward propagation for dense neural networks: NumPy arrays in and out, a Rust core.

`forward_pass`, `backward_pass` and `train` are the notebook tier (`ironprop.notebook` has all of it), `Network` is what
one graduates to, with `losses`, `optimizers`, `schedules`, `metrics` and `callbacks` beside it. These are loaded when
they are first asked for: the notebook's functions cost next to nothing to import.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ironprop import _lazy, notebook
from ironprop._core import InternalError, __version__, get_num_threads, set_num_threads, show_config
from ironprop.notebook import backward_pass, forward_pass, train

if _TYPE_CHECKING:
    from ironprop import callbacks, history, losses, metrics, network, optimizers, schedules
    from ironprop.callbacks import EarlyStopping, StopTraining
    from ironprop.history import History
    from ironprop.network import Network

__all__ = [
    "EarlyStopping",
    "History",
    "InternalError",
    "Network",
    "StopTraining",
    "__version__",
    "backward_pass",
    "callbacks",
    "forward_pass",
    "get_num_threads",
    "history",
    "losses",
    "metrics",
    "network",
    "notebook",
    "optimizers",
    "schedules",
    "set_num_threads",
    "show_config",
    "train",
]

__getattr__, __dir__ = _lazy.attach(
    globals(),
    {
        "EarlyStopping": "callbacks",
        "History": "history",
        "Network": "network",
        "StopTraining": "callbacks",
        "callbacks": "callbacks",
        "history": "history",
        "losses": "losses",
        "metrics": "metrics",
        "network": "network",
        "optimizers": "optimizers",
        "schedules": "schedules",
    },
)
