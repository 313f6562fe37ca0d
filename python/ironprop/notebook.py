r"""The notebook tier: the functions of the classic from-scratch notebook, on the Rust core.

Same names, same argument order, same results. A script that defined these functions itself imports them instead::

    from ironprop.notebook import backward_pass, forward_pass, mse

`W` is a list of weight arrays of shape ``(n_inputs, n_outputs)``, `B` a list of bias arrays of shape
``(1, n_outputs)`` or ``(n_outputs,)``, one of each for every layer; `X` has one sample a row. All arrays of a call are
float64 or all are float32; lists, integers and booleans are converted to float64.

While a call runs, no other thread may write to its arrays (long calls release the GIL, as NumPy's own do).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ironprop import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

Activation = Literal[
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "sin",
    "identity",
]
Gradient = Literal["notebook", "exact"]
Scheme = Literal[
    "normal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "zeros",
]

__all__ = [
    "backward_pass",
    "dmse",
    "dsig",
    "forward_pass",
    "initialize",
    "mse",
    "sig",
    "train",
]


def sig(x: ArrayLike) -> NDArray[Any]:
    """Sigmoid, ``1 / (1 + exp(-x))``, of each number.

    Parameters
    ----------
    x : array_like
        Numbers of any shape, float64 or float32.

    Returns
    -------
    ndarray
        A fresh array of the same shape and dtype, within 2 ulp of the exact value. Results too small for a normal
        floating-point number are 0.

    Raises
    ------
    TypeError
        If `x` is not of a real dtype that converts to float64 or float32 without loss.

    Examples
    --------
    >>> sig([0.0, 100.0]).tolist()
    [0.5, 1.0]
    """
    return _core.sig(x)


def dsig(A: ArrayLike) -> NDArray[Any]:
    """Return the derivative of the sigmoid in terms of its result, ``A * (1 - A)``.

    Parameters
    ----------
    A : array_like
        Results of `sig`, of any shape.

    Returns
    -------
    ndarray
        A fresh array of the same shape and dtype.

    Raises
    ------
    TypeError
        As for `sig`.

    Examples
    --------
    >>> dsig(sig([0.0])).tolist()
    [0.25]
    """
    return _core.dsig(A)


def mse(x: ArrayLike, y: ArrayLike) -> np.floating[Any]:
    """Half the sum of squared errors, ``0.5 * sum((x - y)**2)``: the notebook's loss, under the notebook's name.

    Parameters
    ----------
    x : array_like
        Predictions, one sample a row.
    y : array_like
        Targets: of the shape of `x`, one row of it, or one number.

    Returns
    -------
    float64 or float32
        The sum over all samples and outputs, accumulated in float64: each row in order, then the rows in order.

    Raises
    ------
    TypeError
        As for `sig`, or if one is float32 and the other float64.
    ValueError
        If the shapes do not fit, ``(n,)`` against ``(n, 1)`` included.

    Examples
    --------
    >>> float(mse([[0.5], [1.0]], [[1.0], [1.0]]))
    0.125
    """
    return _core.mse(x, y)


def dmse(x: ArrayLike, y: ArrayLike) -> NDArray[Any]:
    """Return the derivative of `mse` with respect to `x`, ``x - y``.

    Parameters
    ----------
    x, y : array_like
        As for `mse`.

    Returns
    -------
    ndarray
        A fresh array of the shape of `x`.

    Raises
    ------
    TypeError, ValueError
        As for `mse`.

    Examples
    --------
    >>> dmse([[0.5], [1.0]], [[1.0], [1.0]]).tolist()
    [[-0.5], [0.0]]
    """
    return _core.dmse(x, y)


def forward_pass(
    X: ArrayLike,
    W: Sequence[ArrayLike],
    B: Sequence[ArrayLike],
    *,
    activation: Activation = "sigmoid",
) -> tuple[NDArray[Any], list[NDArray[Any]], list[NDArray[Any]]]:
    r"""Propagate samples forward, keeping what `backward_pass` needs.

    Layer by layer :math:`a = \sigma(x W_i + b_i)`, where :math:`\sigma` is the activation of every layer, the last one
    included.

    Parameters
    ----------
    X : array_like, shape (n_samples, n_features)
        Samples.
    W : sequence of array_like, each of shape (n_inputs, n_outputs)
        Weights, one array a layer.
    B : sequence of array_like, each of shape (1, n_outputs) or (n_outputs,)
        Biases, one array a layer.
    activation : {"sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "sin", "identity"}
        The function :math:`\sigma`; see the notes.

    Returns
    -------
    pred : ndarray, shape (n_samples, n_outputs)
        The result of the last layer.
    A : list of ndarray
        ``A[i]`` is the input of layer ``i``; ``A[0]`` is `X` itself if it is an array.
    dA : list of ndarray
        ``dA[i]`` is the activation's derivative at the output of layer ``i``: ``a * (1 - a)`` for the sigmoid,
        and so on, see the notes.

    Raises
    ------
    TypeError
        If a dtype cannot be used, or float32 meets float64.
    ValueError
        If shapes or list lengths do not fit, or `activation` is unknown.
    MemoryError
        If the results do not fit into memory.

    Notes
    -----
    With :math:`z = x W_i + b_i`, the function and the derivative that ``dA`` holds:

    ==========  =====================================  =====================================
    sigmoid     ``1 / (1 + exp(-z))``                  ``a * (1 - a)``
    tanh        ``tanh(z)``                            ``1 - a**2``
    relu        ``max(z, 0)``                          1 where ``a > 0``, else 0
    leaky_relu  ``z`` where ``z > 0``, else ``z/100``  1 where ``a > 0``, else 0.01
    elu         ``z`` where ``z > 0``,                 1 where ``a > 0``,
                else ``exp(z) - 1``                    else ``a + 1``
    selu        ``s * z`` where ``z > 0``,             ``s`` where ``a > 0``,
                else ``s * t * (exp(z) - 1)``          else ``a + s * t``
    gelu        ``z * P(z)``                           ``P(z) + z * p(z)``
    silu        ``z * S(z)``                           ``S(z) * (1 + z * (1 - S(z)))``
    softplus    ``log(1 + exp(z))``                    ``1 - exp(-a)``
    sin         ``sin(z)``                             ``cos(z)``
    identity    ``z``                                  1
    ==========  =====================================  =====================================

    Here :math:`P` and :math:`p` are the normal distribution and its density (gelu is the exact one, with erf),
    :math:`S` is the sigmoid, and ``s = 1.0507009873554805``, ``t = 1.6732632423543772`` are selu's constants
    (Klambauer et al., 2017).

    Examples
    --------
    >>> W = [np.zeros((2, 3)), np.zeros((3, 1))]
    >>> B = [np.zeros((1, 3)), np.zeros((1, 1))]
    >>> pred, A, dA = forward_pass([[0.6, 0.4]], W, B)
    >>> pred
    array([[0.5]])
    >>> [a.shape for a in A], [d.shape for d in dA]
    ([(1, 2), (1, 3)], [(1, 3), (1, 1)])
    """
    return _core.forward_pass(X, W, B, activation)


def backward_pass(
    W: Sequence[NDArray[Any]],
    B: Sequence[NDArray[Any]],
    A: Sequence[ArrayLike],
    dA: Sequence[ArrayLike],
    pred: ArrayLike,
    Y: ArrayLike,
    learning_rate: float = 0.5,
    *,
    gradient: Gradient = "notebook",
) -> None:
    r"""Propagate the error backward and take one step of gradient descent, in place.

    With :math:`E_i` the error at the output of layer :math:`i` (times the derivative there), the step is
    :math:`W_i \leftarrow W_i - \eta A_i^\top E_i` and :math:`b_i \leftarrow b_i - \eta \sum_b E_i`, and the error
    goes on as :math:`E_{i-1} = (E_i W_i^\top) \odot dA_{i-1}`. The notebook reads :math:`W_i` here *after* its
    step; the gradient of the loss wants it *before*. See `gradient`.

    Parameters
    ----------
    W : sequence of ndarray, each of shape (n_inputs, n_outputs)
        Weights, updated in place: views and other names of the same arrays see the new values. Arrays may be strided
        views, but may not overlap each other or any other argument.
    B : sequence of ndarray, each of shape (1, n_outputs) or (n_outputs,)
        Biases, updated in place.
    A, dA : sequence of array_like
        As `forward_pass` returned them.
    pred : array_like, shape (n_samples, n_outputs)
        As `forward_pass` returned it.
    Y : array_like
        Targets: of the shape of `pred`, one row of it, or one number.
    learning_rate : float
        The step size :math:`\eta`, positive and finite.
    gradient : {"notebook", "exact"}
        ``"notebook"`` propagates the error through the weights that were just updated, as the notebook does;
        ``"exact"`` through the old ones, which is the gradient of `mse`.

    Raises
    ------
    TypeError
        If a dtype cannot be used, float32 meets float64, or `W` or `B` has something that cannot be updated in place.
    ValueError
        If shapes or list lengths do not fit, an array of `W` or `B` is read-only or overlaps another argument, or an
        option is out of range. Nothing has been changed then.
    MemoryError
        If the errors of one layer do not fit into memory. Nothing has been changed then.

    Notes
    -----
    Numbers that have become infinite or NaN are passed on, as NumPy would; `train` stops at them.

    Examples
    --------
    >>> W, B = [np.zeros((2, 1))], [np.zeros((1, 1))]
    >>> X, Y = np.array([[0.6, 0.4]]), np.array([[0.875]])
    >>> pred, A, dA = forward_pass(X, W, B)
    >>> backward_pass(W, B, A, dA, pred, Y)
    >>> B[0]
    array([[0.046875]])
    """
    _core.backward_pass(W, B, A, dA, pred, Y, learning_rate, gradient)


def train(
    X: ArrayLike,
    Y: ArrayLike,
    W: Sequence[NDArray[Any]],
    B: Sequence[NDArray[Any]],
    *,
    epochs: int,
    learning_rate: float = 0.5,
    gradient: Gradient = "notebook",
    activation: Activation = "sigmoid",
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int | np.random.Generator | None = None,
    n_threads: int | None = None,
    log_every: int | None = None,
) -> NDArray[np.float64]:
    """Run the whole training loop in the core: `forward_pass` and `backward_pass`, `epochs` times.

    The weights come out with the same bits as from the loop in Python.

    Parameters
    ----------
    X : array_like, shape (n_samples, n_features)
        Samples.
    Y : array_like
        Targets: shape (n_samples, n_outputs), one row of it, or one number.
    W, B : sequence of ndarray
        Weights and biases, updated in place when the call ends (see `backward_pass`).
    epochs : int
        Passes over the data.
    learning_rate : float
        The step size, positive and finite.
    gradient : {"notebook", "exact"}
        See `backward_pass`.
    activation : {"sigmoid", "tanh", "relu", ...}
        The activation of every layer: one of those that `forward_pass` lists.
    batch_size : int, optional
        Samples in one step, at most ``n_samples`` (the default). The last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order of the samples for each epoch.
    seed : int or numpy.random.Generator, optional
        Fixes the orders: an int from 0 to 2**64 - 1, or a generator, from which one number is drawn. None draws
        from the operating system.
    n_threads : int, optional
        The most threads to use, at least 1; fewer work where a step is not worth more. The default is
        `ironprop.get_num_threads`. The results are the same bits for any number.
    log_every : int, optional
        Print the notebook's log line at every epoch that is a multiple of it: the prediction (only where a batch is
        all samples) and the loss.

    Returns
    -------
    ndarray of float64, shape (epochs,)
        The loss of each epoch: `mse` of the predictions that its steps started from, summed over its batches.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As for `forward_pass` and `backward_pass`; also if there are no samples. Nothing has been changed then.
    FloatingPointError
        If the loss or a parameter becomes infinite or NaN. `W` and `B` are then those of the last step whose loss was
        finite. If a number of `X` is, before any step.
    KeyboardInterrupt
        After Ctrl-C, at a whole step. `W` and `B` are those of that step, as with any exception that a signal handler
        raises.

    Examples
    --------
    >>> W, B = initialize([2, 2, 1], seed=1)
    >>> losses = train([[0.6, 0.4]], 0.875, W, B, epochs=500)
    >>> losses.shape, bool(losses[-1] < 1e-4 < losses[0])
    ((500,), True)
    """
    return _core.train(
        X,
        Y,
        W,
        B,
        epochs,
        learning_rate,
        gradient,
        activation,
        batch_size,
        shuffle,
        _seed(seed),
        n_threads,
        log_every,
        _print_line,
    )


def initialize(
    sizes: Sequence[int],
    *,
    seed: int | np.random.Generator | None = None,
    scheme: Scheme = "normal",
    dtype: DTypeLike = np.float64,
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Draw starting weights and biases.

    Parameters
    ----------
    sizes : sequence of int
        The widths: features first, then the outputs of each layer; at least two.
    seed : int or numpy.random.Generator, optional
        Fixes the numbers: an int from 0 to 2**64 - 1, or a generator, from which one number is drawn. None draws
        from the operating system. The numbers for a seed are ironprop's own and do not depend on NumPy's version or
        on the platform.
    scheme : str
        ``"normal"``: weights and biases standard normal, as in the notebook. The others draw weights with mean 0 and
        leave the biases 0; with `n_in` and `n_out` the widths of a layer, their standard deviations are
        sqrt(2 / (n_in + n_out)) for ``"glorot_normal"`` and ``"glorot_uniform"``, sqrt(2 / n_in) for ``"he_normal"``
        and ``"he_uniform"``, sqrt(1 / n_in) for ``"lecun_normal"``, and 0 for ``"zeros"``.
    dtype : dtype
        float64 or float32 (the rounded float64 numbers).

    Returns
    -------
    W : list of ndarray, each of shape (n_inputs, n_outputs)
    B : list of ndarray, each of shape (1, n_outputs)

    Raises
    ------
    TypeError
        If `dtype` is neither float64 nor float32, or a size or the seed is not an integer.
    ValueError
        If there are fewer than two sizes, one is below 1, the seed is out of range or the scheme is unknown.
    MemoryError
        If the arrays do not fit into memory.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010); He et al.,
    "Delving deep into rectifiers" (2015); LeCun et al., "Efficient backprop" (1998).

    Examples
    --------
    >>> W, B = initialize([2, 3, 1], seed=1)
    >>> [w.shape for w in W], [b.shape for b in B]
    ([(2, 3), (3, 1)], [(1, 3), (1, 1)])
    """
    return _core.initialize(sizes, _seed(seed), scheme, np.dtype(dtype).name)


def _seed(seed: int | np.random.Generator | None) -> int | None:
    """Return the number that `seed` stands for."""
    if seed is None or isinstance(seed, int):
        return seed  # without loading numpy.random
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**64, dtype=np.uint64, endpoint=False))
    return seed


def _print_line(epoch: int, pred: NDArray[Any] | None, loss: float) -> None:
    """Print the notebook's log line."""
    prediction = "" if pred is None else f" Prediction: {pred},"
    print(f"Epoch: {epoch},{prediction} Loss: {loss:.6f}")  # noqa: T201 (asked for by `log_every`)
