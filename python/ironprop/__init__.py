"""Forward and backward propagation for dense neural networks: NumPy arrays in and out, a Rust core.

`forward_pass`, `backward_pass` and `train` are the notebook tier (`ironprop.notebook` has all of it), `Network` is what
one graduates to.
"""

from ironprop import network, notebook
from ironprop._core import InternalError, __version__, get_num_threads, set_num_threads, show_config
from ironprop.network import Network
from ironprop.notebook import backward_pass, forward_pass, train

__all__ = [
    "InternalError",
    "Network",
    "__version__",
    "backward_pass",
    "forward_pass",
    "get_num_threads",
    "network",
    "notebook",
    "set_num_threads",
    "show_config",
    "train",
]
