# The compiled core. Private: the public, documented names are in the typed modules beside this file.

from collections.abc import Callable, Sequence
from typing import Any, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class InternalError(Exception): ...

@final
class Network:
    def __new__(
        cls,
        sizes: Sequence[int],
        activation: str | Sequence[str],
        scheme: str,
        dtype: str,
        seed: int | None,
    ) -> Self: ...
    @property
    def sizes(self) -> list[int]: ...
    @property
    def activations(self) -> list[str]: ...
    def predict(self, X: ArrayLike) -> NDArray[Any]: ...
    def train_step(
        self, X: ArrayLike, Y: ArrayLike, learning_rate: float, n_threads: int | None
    ) -> float: ...
    def train(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        epochs: int,
        learning_rate: float,
        batch_size: int | None,
        shuffle: bool,
        seed: int | None,
        n_threads: int | None,
    ) -> NDArray[np.float64]: ...
    def parameters(self) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]: ...
    def set_parameters(self, W: Sequence[ArrayLike], B: Sequence[ArrayLike]) -> None: ...

def show_config() -> dict[str, Any]: ...
def peak_fma(dtype: str, n_threads: int) -> float: ...
def set_num_threads(n_threads: int) -> None: ...
def get_num_threads() -> int: ...
def forward_pass(
    X: ArrayLike, W: Sequence[ArrayLike], B: Sequence[ArrayLike], activation: str
) -> tuple[NDArray[Any], list[NDArray[Any]], list[NDArray[Any]]]: ...
def backward_pass(
    W: Sequence[NDArray[Any]],
    B: Sequence[NDArray[Any]],
    A: Sequence[ArrayLike],
    dA: Sequence[ArrayLike],
    pred: ArrayLike,
    Y: ArrayLike,
    learning_rate: float,
    gradient: str,
) -> None: ...
def train(
    X: ArrayLike,
    Y: ArrayLike,
    W: Sequence[NDArray[Any]],
    B: Sequence[NDArray[Any]],
    epochs: int,
    learning_rate: float,
    gradient: str,
    activation: str,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    n_threads: int | None,
    log_every: int | None,
    log: Callable[[int, NDArray[Any] | None, float], None],
) -> NDArray[np.float64]: ...
def initialize(
    sizes: Sequence[int], seed: int | None, scheme: str, dtype: str
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]: ...
def sig(x: ArrayLike) -> NDArray[Any]: ...
def dsig(A: ArrayLike) -> NDArray[Any]: ...
def mse(x: ArrayLike, y: ArrayLike) -> np.floating[Any]: ...
def dmse(x: ArrayLike, y: ArrayLike) -> NDArray[Any]: ...
