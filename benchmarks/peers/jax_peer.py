"""JAX: a compiled step a call, and the whole loop compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

if TYPE_CHECKING:
    from cells import Cell, Problem
    from measure import Contestant

jax.config.update("jax_enable_x64", True)


def contestants(problem: Problem, cell: Cell, rate: float) -> dict[str, Contestant]:
    """Return the step that is called from Python, and the loop inside `lax.fori_loop`."""
    X, Y = jnp.asarray(problem.X), jnp.asarray(problem.Y)
    learning_rate = X.dtype.type(rate)
    function = jnp.tanh if cell.activation == "tanh" else jax.nn.sigmoid

    def loss(parameters: Any) -> Any:
        a = X
        for weights, biases in parameters:
            a = function(a @ weights + biases)
        return X.dtype.type(0.5) * jnp.sum((a - Y) ** 2)

    def step(parameters: Any) -> Any:
        gradients = jax.grad(loss)(parameters)
        return jax.tree.map(lambda p, g: p - learning_rate * g, parameters, gradients)

    call = jax.jit(step, donate_argnums=0)
    loop = jax.jit(lambda parameters, n: lax.fori_loop(0, n, lambda _, p: step(p), parameters))

    def start() -> Any:
        return [(jnp.array(w), jnp.array(b)) for w, b in zip(problem.W, problem.B, strict=True)]

    def jax_call(steps: int) -> None:
        parameters = start()
        for _ in range(steps):
            parameters = call(parameters)
        jax.block_until_ready(parameters)

    def jax_loop(steps: int) -> None:
        jax.block_until_ready(loop(start(), steps))

    return {"JAX call": jax_call, "JAX loop": jax_loop}
