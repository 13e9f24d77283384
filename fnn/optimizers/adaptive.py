"""Adaptive methods: each entry has a rate of its own, by the squares of its gradients so far.

As in `descent`, `_…_init` puts the numbers into the state and `_…_update` is the paper's equations. Squares and roots
are taken entry by entry, and t counts from 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fnn.layers.base import Params
from fnn.layers.theta import weight_mask
from fnn.optimizers.base import (
    Mask,
    Number,
    Optimizer,
    Share,
    Update,
    as_data,
    as_dtype,
    decay_of,
    descend,
    epsilon_of,
    first_step,
    is_zero,
    share_of_past,
    times,
    with_decay,
    zeros_like,
)
from fnn.optimizers.schedules import Rate, rate_of
from fnn.recipes import recipe


class RmspropSettings(NamedTuple):
    """Numbers of `rmsprop`."""

    rate: Any  # α, or the numbers of its schedule
    beta: Share
    epsilon: jax.Array


class AdagradSettings(NamedTuple):
    """Numbers of `adagrad`."""

    rate: Any  # α, or the numbers of its schedule
    epsilon: jax.Array


class SquareState(NamedTuple):
    """State of `rmsprop` and `adagrad`."""

    step: jax.Array  # number of updates made, int32 scalar
    v: Params  # mean or sum of squared gradients, like params
    settings: Any  # RmspropSettings or AdagradSettings


class AdamSettings(NamedTuple):
    """Numbers of `adam` and `adamw`."""

    rate: Any  # α, or the numbers of its schedule
    beta1: Share
    beta2: Share
    epsilon: jax.Array
    decay: jax.Array  # λ; 0 of adam


class AdamState(NamedTuple):
    """State of `adam` and `adamw`."""

    step: jax.Array  # number of updates made, int32 scalar
    m: Params  # moving mean of gradients, like params
    v: Params  # moving mean of squared gradients, like params
    settings: AdamSettings


@recipe
def rmsprop(learning_rate: Rate = 2e-3, beta: Number = 0.9, epsilon: Number = 1e-8) -> Optimizer:
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
    rule, rate = rate_of("rmsprop", learning_rate)
    settings = RmspropSettings(rate, share_of_past("rmsprop", "beta", beta), epsilon_of("rmsprop", epsilon))
    return Optimizer(Partial(_square_init, settings), Update(_rmsprop_update, (rule,)))


def _square_init(settings: Any, params: Params) -> SquareState:
    return SquareState(first_step(), zeros_like(params), as_data(settings))


def _rmsprop_update(rule, grads: Params, state: SquareState, params: Params):
    rate, beta = rule(state.settings.rate, state.step), state.settings.beta
    v = jax.tree.map(lambda v, g: times(beta.kept, v) + times(beta.new, g) * g, state.v, grads)
    direction = jax.tree.map(lambda v, g: g / _root(v, state.settings.epsilon), v, grads)
    return descend(rate, direction), SquareState(state.step + 1, v, state.settings)


def _root(v: jax.Array, epsilon: jax.Array) -> jax.Array:
    return jnp.sqrt(v) + as_dtype(epsilon, v)


@recipe
def adagrad(learning_rate: Rate = 0.05, epsilon: Number = 1e-8) -> Optimizer:
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
    rule, rate = rate_of("adagrad", learning_rate)
    settings = AdagradSettings(rate, epsilon_of("adagrad", epsilon))
    return Optimizer(Partial(_square_init, settings), Update(_adagrad_update, (rule,)))


def _adagrad_update(rule, grads: Params, state: SquareState, params: Params):
    rate = rule(state.settings.rate, state.step)
    v = jax.tree.map(lambda v, g: v + g * g, state.v, grads)
    direction = jax.tree.map(lambda v, g: g / _root(v, state.settings.epsilon), v, grads)
    return descend(rate, direction), SquareState(state.step + 1, v, state.settings)


@recipe
def adam(learning_rate: Rate = 2e-3, beta1: Number = 0.9, beta2: Number = 0.999, epsilon: Number = 1e-8) -> Optimizer:
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
    rule, rate = rate_of("adam", learning_rate)
    settings = AdamSettings(
        rate,
        share_of_past("adam", "beta1", beta1),
        share_of_past("adam", "beta2", beta2),
        epsilon_of("adam", epsilon),
        decay_of("adam", 0.0),
    )
    return Optimizer(Partial(_adam_init, settings), Update(_adam_update, (rule, None)))


@recipe
def adamw(
    learning_rate: Rate = 2e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    weight_decay: Number = 0.01,
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
    rule, rate = rate_of("adamw", learning_rate)
    settings = AdamSettings(
        rate,
        share_of_past("adamw", "beta1", beta1),
        share_of_past("adamw", "beta2", beta2),
        epsilon_of("adamw", epsilon),
        decay_of("adamw", weight_decay),
    )
    return Optimizer(
        Partial(_adam_init, settings), Update(_adam_update, (rule, None if is_zero(settings.decay) else mask))
    )


def _adam_init(settings: AdamSettings, params: Params) -> AdamState:
    zeros = zeros_like(params)
    return AdamState(first_step(), zeros, zeros, as_data(settings))


def _adam_update(rule, mask: Mask | None, grads: Params, state: AdamState, params: Params):
    rate, beta1, beta2, epsilon, decay = state.settings
    step = state.step + 1
    m = jax.tree.map(lambda m, g: times(beta1.kept, m) + times(beta1.new, g), state.m, grads)
    v = jax.tree.map(lambda v, g: times(beta2.kept, v) + times(beta2.new, g) * g, state.v, grads)
    mass1, mass2 = _mass(beta1, step), _mass(beta2, step)

    def quotient(m, v):
        return m / as_dtype(mass1, m) / _root(v / as_dtype(mass2, v), epsilon)

    direction = with_decay("adamw", jax.tree.map(quotient, m, v), params, decay, mask)
    return descend(rule(rate, state.step), direction), AdamState(step, m, v, state.settings)


def _mass(beta: Share, step: jax.Array) -> jax.Array:
    """1 − βᵗ, the sum of a moving mean's weights, without the cancellation of β ≈ 1 in float32."""
    return -jnp.expm1(step.astype(beta.log.dtype) * beta.log)
