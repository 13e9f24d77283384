"""Optimizers: pairs of pure functions (init, update), each written as its paper's equations.

    init(params) -> state
    update(grads, state, params) -> (updates, state)          then θ ← θ + updates, by `apply_updates`

That is optax's signature, so optimizers of either library work in the other. A learning rate is a number or a schedule,
a function of the step; either way nothing is compiled again while it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Params

Schedule = Callable[[jax.Array], jax.Array]
Rate = float | Schedule


class Optimizer(NamedTuple):
    """A way to turn gradients into updates."""

    init: Callable[[Params], Any]  # params -> state
    update: Callable[..., tuple[Params, Any]]  # (grads, state, params) -> (updates, state)


class SgdState(NamedTuple):
    """State of `sgd`."""

    step: jax.Array  # number of updates made, int32 scalar


class MomentumState(NamedTuple):
    """State of `momentum`."""

    step: jax.Array  # number of updates made, int32 scalar
    v: Params  # velocity, like params


def sgd(learning_rate: Rate) -> Optimizer:
    """Gradient descent, θ ← θ − α ∇L(θ), on whatever batch the gradient is of.

    Args:
        learning_rate: α, a number, or a schedule step -> α.

    Returns:
        The optimizer.

    References:
        Robbins and Monro, A stochastic approximation method (1951).

    Examples:
        >>> init, update = sgd(0.1)
        >>> updates, _ = update(jnp.array([2.0]), init(jnp.array([1.0])))
        >>> updates
        Array([-0.2], dtype=float32)
    """

    def init(params: Params) -> SgdState:
        return SgdState(jnp.zeros((), jnp.int32))

    def update(grads: Params, state: SgdState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        return jax.tree.map(lambda g: -as_dtype(rate, g) * g, grads), SgdState(state.step + 1)

    return Optimizer(init, update)


def momentum(learning_rate: Rate, beta: float = 0.9, nesterov: bool = False) -> Optimizer:
    """Gradient descent with inertia, v ← β v + ∇L(θ), θ ← θ − α v.

    Args:
        learning_rate: α, a number, or a schedule step -> α.
        beta: β in [0, 1), the share of the velocity that stays; a constant gradient g ends up as g / (1 − β).
        nesterov: look ahead, θ ← θ − α (β v + ∇L(θ)), with the new v.

    Returns:
        The optimizer.

    Raises:
        ValueError: beta is outside [0, 1).

    References:
        Polyak, Some methods of speeding up the convergence of iteration methods (1964); Nesterov's form as in
        Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning (2013).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"momentum expects beta in [0, 1), got {beta}; 0.9 is the usual choice")

    def init(params: Params) -> MomentumState:
        return MomentumState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: Params, state: MomentumState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        v = jax.tree.map(lambda v, g: beta * v + g, state.v, grads)
        ahead = jax.tree.map(lambda v, g: beta * v + g, v, grads) if nesterov else v
        return jax.tree.map(lambda d: -as_dtype(rate, d) * d, ahead), MomentumState(state.step + 1, v)

    return Optimizer(init, update)


def apply_updates(params: Params, updates: Params) -> Params:
    """Add updates to parameters, θ ← θ + Δ, leaf by leaf; each keeps its dtype.

    Args:
        params: parameters θ.
        updates: a pytree like params.

    Returns:
        The new parameters; the old ones stay as they are.
    """
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


def rate_at(learning_rate: Rate, step: jax.Array) -> jax.Array:
    """Learning rate at a step, as an array, whether it is a number or a schedule.

    Args:
        learning_rate: a number, or a function step -> number.
        step: number of updates made so far.
    """
    rate = learning_rate(step) if callable(learning_rate) else learning_rate
    return jnp.asarray(rate, jnp.result_type(float))


def as_dtype(rate: jax.Array, like: jax.Array) -> jax.Array:
    """Give a scalar the dtype of the leaf that it multiplies, so that no leaf is promoted."""
    return rate.astype(like.dtype)
