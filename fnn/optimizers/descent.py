"""Gradient descent, with momentum, and by signs alone, each written as its paper's equations.

A constructor reads its settings; `_…_init` puts the numbers among them into the state; `_…_update` is the equations,
its first arguments what of the settings is structure. In the equations g = ∇L(θ), signs are taken entry by entry.
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
    decay_of,
    descend,
    first_step,
    is_zero,
    share_of_past,
    times,
    with_decay,
    zeros_like,
)
from fnn.optimizers.schedules import Rate, rate_of
from fnn.recipes import recipe
from fnn.validation import require_flag


class SgdSettings(NamedTuple):
    """Numbers of `sgd`."""

    rate: Any  # α, or the numbers of its schedule


class SgdState(NamedTuple):
    """State of `sgd`."""

    step: jax.Array  # number of updates made, int32 scalar
    settings: SgdSettings


class MomentumSettings(NamedTuple):
    """Numbers of `momentum`."""

    rate: Any  # α, or the numbers of its schedule
    beta: jax.Array


class MomentumState(NamedTuple):
    """State of `momentum`."""

    step: jax.Array  # number of updates made, int32 scalar
    v: Params  # velocity, like params
    settings: MomentumSettings


class LionSettings(NamedTuple):
    """Numbers of `lion`."""

    rate: Any  # α, or the numbers of its schedule
    beta1: Share
    beta2: Share
    decay: jax.Array  # λ


class LionState(NamedTuple):
    """State of `lion`."""

    step: jax.Array  # number of updates made, int32 scalar
    m: Params  # moving mean of gradients, like params
    settings: LionSettings


@recipe
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
    rule, rate = rate_of("sgd", learning_rate)
    return Optimizer(Partial(_sgd_init, SgdSettings(rate)), Update(_sgd_update, (rule,)))


def _sgd_init(settings: SgdSettings, params: Params) -> SgdState:
    return SgdState(first_step(), as_data(settings))


def _sgd_update(rule, grads: Params, state: SgdState, params: Params):
    rate = rule(state.settings.rate, state.step)
    return descend(rate, grads), SgdState(state.step + 1, state.settings)


@recipe
def momentum(learning_rate: Rate = 0.05, beta: Number = 0.9, nesterov: bool = False) -> Optimizer:
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
    rule, rate = rate_of("momentum", learning_rate)
    share = share_of_past("momentum", "beta", beta)
    nesterov = require_flag("momentum expects nesterov", nesterov)
    return Optimizer(
        Partial(_momentum_init, MomentumSettings(rate, share.kept)), Update(_momentum_update, (rule, nesterov))
    )


def _momentum_init(settings: MomentumSettings, params: Params) -> MomentumState:
    return MomentumState(first_step(), zeros_like(params), as_data(settings))


def _momentum_update(rule, nesterov: bool, grads: Params, state: MomentumState, params: Params):
    rate, beta = rule(state.settings.rate, state.step), state.settings.beta
    v = jax.tree.map(lambda v, g: times(beta, v) + g, state.v, grads)
    ahead = jax.tree.map(lambda v, g: times(beta, v) + g, v, grads) if nesterov else v
    return descend(rate, ahead), MomentumState(state.step + 1, v, state.settings)


@recipe
def lion(
    learning_rate: Rate = 2e-4,
    beta1: Number = 0.9,
    beta2: Number = 0.99,
    weight_decay: Number = 0.1,
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
    rule, rate = rate_of("lion", learning_rate)
    settings = LionSettings(
        rate,
        share_of_past("lion", "beta1", beta1),
        share_of_past("lion", "beta2", beta2),
        decay_of("lion", weight_decay),
    )
    return Optimizer(
        Partial(_lion_init, settings), Update(_lion_update, (rule, None if is_zero(settings.decay) else mask))
    )


def _lion_init(settings: LionSettings, params: Params) -> LionState:
    return LionState(first_step(), zeros_like(params), as_data(settings))


def _lion_update(rule, mask: Mask | None, grads: Params, state: LionState, params: Params):
    rate, beta1, beta2, decay = state.settings
    direction = jax.tree.map(lambda m, g: jnp.sign(times(beta1.kept, m) + times(beta1.new, g)), state.m, grads)
    m = jax.tree.map(lambda m, g: times(beta2.kept, m) + times(beta2.new, g), state.m, grads)
    direction = with_decay("lion", direction, params, decay, mask)
    return descend(rule(rate, state.step), direction), LionState(state.step + 1, m, state.settings)
