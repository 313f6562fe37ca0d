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
        scheme: str | Sequence[str],
        dtype: str,
        seed: int | None,
    ) -> Self: ...
    @property
    def sizes(self) -> list[int]: ...
    @property
    def activations(self) -> list[str]: ...
    @property
    def n_parameters(self) -> int: ...
    def set_loss(self, name: str, parameter: float) -> None: ...
    def set_optimizer(self, name: str, options: dict[str, float]) -> None: ...
    def set_schedule(
        self, name: str, rate: float, first: float, second: float, warm_up: int
    ) -> None: ...
    def set_dropout(self, rates: list[float], seed: int) -> None: ...
    def predict(self, X: ArrayLike) -> NDArray[Any]: ...
    def forward_pass(self, X: ArrayLike) -> tuple[list[NDArray[Any]], int]: ...
    def backward_pass(
        self, loss_gradient: ArrayLike, number: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def gradients(
        self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[float, NDArray[Any]]: ...
    def sample_gradients(self, X: ArrayLike, Y: ArrayLike) -> NDArray[Any]: ...
    def jacobian(self, X: ArrayLike) -> NDArray[Any]: ...
    def loss_of(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None) -> float: ...
    def train_step(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        sample_weight: ArrayLike | None,
        learning_rate: float | None,
        n_threads: int | None,
    ) -> float: ...
    def train(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        epochs: int,
        learning_rate: float | None,
        batch_size: int | None,
        shuffle: bool,
        seed: int | None,
        n_threads: int | None,
        sample_weight: ArrayLike | None,
    ) -> NDArray[np.float64]: ...
    def apply_gradients(
        self, gradients: ArrayLike, learning_rate: float | None, scale: float
    ) -> None: ...
    def training(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        sample_weight: ArrayLike | None,
        batch_size: int | None,
        shuffle: bool,
        seed: int | None,
        n_threads: int | None,
    ) -> Training: ...
    def parameters(self) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]: ...
    def set_parameters(self, W: Sequence[ArrayLike], B: Sequence[ArrayLike]) -> None: ...
    def parameter_vector(self) -> NDArray[Any]: ...
    def set_parameter_vector(self, vector: ArrayLike) -> None: ...
    def state(self) -> tuple[NDArray[Any], int, list[NDArray[Any]]]: ...
    def set_optimizer_state(self, step: int, vectors: Sequence[ArrayLike]) -> None: ...

@final
class Training:
    def run(
        self, epochs: int, scale: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

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
