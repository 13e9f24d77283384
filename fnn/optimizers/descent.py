"""Optimizers: pairs of pure functions (init, update), each written as its paper's equations.

    init(params) -> state
    update(grads, state, params) -> (updates, state)          then θ ← θ + updates, by `apply_updates`

That is optax's signature, so optimizers of either library work in the other. A learning rate is a number or a schedule,
a function of the step; either way nothing is compiled again while it changes. In the equations g = ∇L(θ), squares,
roots and signs are taken entry by entry, and t counts from 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Params
from fnn.layers.theta import weight_mask
from fnn.optimizers.base import (
    Mask,
    Optimizer,
    Rate,
    as_dtype,
    check_decay,
    check_epsilon,
    check_rate,
    check_share,
    descend,
    rate_at,
    with_decay,
)


class SgdState(NamedTuple):
    """State of `sgd`."""

    step: jax.Array  # number of updates made, int32 scalar


class MomentumState(NamedTuple):
    """State of `momentum`."""

    step: jax.Array  # number of updates made, int32 scalar
    v: Params  # velocity, like params


class SquareState(NamedTuple):
    """State of `rmsprop` and `adagrad`."""

    step: jax.Array  # number of updates made, int32 scalar
    v: Params  # mean or sum of squared gradients, like params


class AdamState(NamedTuple):
    """State of `adam` and `adamw`."""

    step: jax.Array  # number of updates made, int32 scalar
    m: Params  # moving mean of gradients, like params
    v: Params  # moving mean of squared gradients, like params


class LionState(NamedTuple):
    """State of `lion`."""

    step: jax.Array  # number of updates made, int32 scalar
    m: Params  # moving mean of gradients, like params


def sgd(learning_rate: Rate = 0.2) -> Optimizer:
    """Gradient descent, θ ← θ − α ∇L(θ), on whatever batch the gradient is of.

    Args:
        learning_rate: α, a number, or a schedule step -> α.

    Returns:
        The optimizer.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate.

    References:
        Robbins and Monro, A stochastic approximation method (1951).

    Examples:
        >>> init, update = sgd(0.1)
        >>> updates, _ = update(jnp.array([2.0]), init(jnp.array([1.0])))
        >>> updates
        Array([-0.2], dtype=float32)
    """
    check_rate("sgd", learning_rate)

    def init(params: Params) -> SgdState:
        return SgdState(jnp.zeros((), jnp.int32))

    def update(grads: Params, state: SgdState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        return descend(rate, grads), SgdState(state.step + 1)

    return Optimizer(init, update)


def momentum(learning_rate: Rate = 0.05, beta: float = 0.9, nesterov: bool = False) -> Optimizer:
    """Gradient descent with inertia, v ← β v + g, θ ← θ − α v.

    Args:
        learning_rate: α, a number, or a schedule step -> α.
        beta: β in [0, 1), the share of the velocity that stays; a constant gradient g ends up as g / (1 − β).
        nesterov: look ahead, θ ← θ − α (β v + g), with the new v.

    Returns:
        The optimizer.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate, or beta outside [0, 1).

    References:
        Polyak, Some methods of speeding up the convergence of iteration methods (1964); Nesterov's form as in
        Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning (2013).
    """
    check_rate("momentum", learning_rate)
    check_share("momentum", "beta", beta)

    def init(params: Params) -> MomentumState:
        return MomentumState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: Params, state: MomentumState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        v = jax.tree.map(lambda v, g: beta * v + g, state.v, grads)
        ahead = jax.tree.map(lambda v, g: beta * v + g, v, grads) if nesterov else v
        return descend(rate, ahead), MomentumState(state.step + 1, v)

    return Optimizer(init, update)


def rmsprop(learning_rate: Rate = 2e-3, beta: float = 0.9, epsilon: float = 1e-8) -> Optimizer:
    """Divide by a moving root mean square, v ← β v + (1 − β) g², θ ← θ − α g / (√v + ε).

    Args:
        learning_rate: α, a number, or a schedule step -> α.
        beta: β in [0, 1), the share of the mean square that stays.
        epsilon: ε, what keeps the quotient finite where gradients are 0.

    Returns:
        The optimizer.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate, or beta outside [0, 1).

    References:
        Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5 (2012).
    """
    check_rate("rmsprop", learning_rate)
    check_epsilon("rmsprop", epsilon)
    check_share("rmsprop", "beta", beta)

    def init(params: Params) -> SquareState:
        return SquareState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: Params, state: SquareState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        v = jax.tree.map(lambda v, g: beta * v + (1 - beta) * g * g, state.v, grads)
        direction = jax.tree.map(lambda v, g: g / (jnp.sqrt(v) + epsilon), v, grads)
        return descend(rate, direction), SquareState(state.step + 1, v)

    return Optimizer(init, update)


def adagrad(learning_rate: Rate = 0.05, epsilon: float = 1e-8) -> Optimizer:
    """Divide by the root of all squares so far, v ← v + g², θ ← θ − α g / (√v + ε): rates that only fall.

    Args:
        learning_rate: α, a number, or a schedule step -> α.
        epsilon: ε, what keeps the quotient finite where gradients have always been 0.

    Returns:
        The optimizer.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate.

    References:
        Duchi, Hazan and Singer, Adaptive subgradient methods (2011), figure 1, with the diagonal matrix.
    """
    check_rate("adagrad", learning_rate)
    check_epsilon("adagrad", epsilon)

    def init(params: Params) -> SquareState:
        return SquareState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: Params, state: SquareState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        v = jax.tree.map(lambda v, g: v + g * g, state.v, grads)
        direction = jax.tree.map(lambda v, g: g / (jnp.sqrt(v) + epsilon), v, grads)
        return descend(rate, direction), SquareState(state.step + 1, v)

    return Optimizer(init, update)


def adam(learning_rate: Rate = 2e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Moving means of gradients and of their squares, freed of their start at 0, θ ← θ − α m̂ / (√v̂ + ε).

    m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ).

    Args:
        learning_rate: α, a number, or a schedule step -> α; about the size of each entry's step.
        beta1: β₁ in [0, 1), the share of the mean gradient that stays.
        beta2: β₂ in [0, 1), the share of the mean square that stays.
        epsilon: ε, what keeps the quotient finite where gradients are 0.

    Returns:
        The optimizer.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate, or beta1 or beta2 outside [0, 1).

    References:
        Kingma and Ba, Adam: a method for stochastic optimization (2014), algorithm 1.
    """
    check_rate("adam", learning_rate)
    check_epsilon("adam", epsilon)
    check_share("adam", "beta1", beta1)
    check_share("adam", "beta2", beta2)

    def update(grads: Params, state: AdamState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        direction, state = _adam_direction(grads, state, beta1, beta2, epsilon)
        return descend(rate, direction), state

    return Optimizer(_adam_init, update)


def adamw(
    learning_rate: Rate = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    mask: Mask = weight_mask,
) -> Optimizer:
    """Adam with weight decay beside the gradient rather than in it, θ ← θ − α (m̂ / (√v̂ + ε) + λ θ).

    Args:
        learning_rate: α, a number, or a schedule step -> α; the decay is scaled by it as well.
        beta1: β₁ in [0, 1), the share of the mean gradient that stays.
        beta2: β₂ in [0, 1), the share of the mean square that stays.
        epsilon: ε, what keeps the quotient finite where gradients are 0.
        weight_decay: λ, at least 0.
        mask: params -> a pytree of bools, True for what decays; by default the fields called W, so that biases and
            the scales and shifts of normalizations are left alone.

    Returns:
        The optimizer; its update needs params.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate or weight decay, beta1 or beta2
            outside [0, 1); from update, no params, or matrices of which the mask names none.

    References:
        Loshchilov and Hutter, Decoupled weight decay regularization (2019), algorithm 2.
    """
    check_rate("adamw", learning_rate)
    check_epsilon("adamw", epsilon)
    check_share("adamw", "beta1", beta1)
    check_share("adamw", "beta2", beta2)
    check_decay("adamw", weight_decay)

    def update(grads: Params, state: AdamState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        direction, state = _adam_direction(grads, state, beta1, beta2, epsilon)
        return descend(rate, with_decay("adamw", direction, params, weight_decay, mask)), state

    return Optimizer(_adam_init, update)


def _adam_init(params: Params) -> AdamState:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return AdamState(jnp.zeros((), jnp.int32), zeros, zeros)


def _adam_direction(grads: Params, state: AdamState, beta1: float, beta2: float, epsilon: float):
    step = state.step + 1
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.m, grads)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, state.v, grads)
    mass1, mass2 = _mass(beta1, step), _mass(beta2, step)

    def quotient(m, v):
        return m / as_dtype(mass1, m) / (jnp.sqrt(v / as_dtype(mass2, v)) + epsilon)

    return jax.tree.map(quotient, m, v), AdamState(step, m, v)


def _mass(beta: float, step: jax.Array) -> jax.Array:
    """1 − βᵗ, the sum of a moving mean's weights, without the cancellation of β ≈ 1 in float32."""
    t = step.astype(jnp.result_type(float))
    return -jnp.expm1(t * (math.log(beta) if beta > 0 else -math.inf))


def lion(
    learning_rate: Rate = 2e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.1,
    mask: Mask = weight_mask,
) -> Optimizer:
    """Step by signs alone, θ ← θ − α (sign(β₁ m + (1 − β₁) g) + λ θ), then m ← β₂ m + (1 − β₂) g.

    Args:
        learning_rate: α, a number, or a schedule step -> α; each entry's step, so a third of adam's or less.
        beta1: β₁ in [0, 1), the share of the mean in the direction.
        beta2: β₂ in [0, 1), the share of the mean that stays.
        weight_decay: λ, at least 0.
        mask: params -> a pytree of bools, True for what decays; by default the fields called W.

    Returns:
        The optimizer; its update needs params where λ > 0.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate or weight decay, beta1 or beta2
            outside [0, 1); from update, no params where λ > 0, or matrices of which the mask names none.

    References:
        Chen et al., Symbolic discovery of optimization algorithms (2023), program 1.
    """
    check_rate("lion", learning_rate)
    check_share("lion", "beta1", beta1)
    check_share("lion", "beta2", beta2)
    check_decay("lion", weight_decay)

    def init(params: Params) -> LionState:
        return LionState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: Params, state: LionState, params: Params = None):
        rate = rate_at(learning_rate, state.step)
        direction = jax.tree.map(lambda m, g: jnp.sign(beta1 * m + (1 - beta1) * g), state.m, grads)
        m = jax.tree.map(lambda m, g: beta2 * m + (1 - beta2) * g, state.m, grads)
        return descend(rate, with_decay("lion", direction, params, weight_decay, mask)), LionState(state.step + 1, m)

    return Optimizer(init, update)
