"""Muon: momentum whose direction, for each hidden weight matrix, is replaced by the nearest orthogonal matrix."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fnn.layers.base import Params
from fnn.layers.theta import weight_mask
from fnn.optimizers.adaptive import adamw
from fnn.optimizers.base import (
    Mask,
    Number,
    Optimizer,
    OptimizerLike,
    Update,
    as_data,
    check_optimizer,
    decay_of,
    descend,
    first_step,
    init_with_data,
    is_zero,
    share_of_past,
    times,
    zeros_like,
)
from fnn.optimizers.schedules import Rate, rate_of
from fnn.recipes import recipe
from fnn.validation import require_whole

_QUINTIC = (3.4445, -4.7750, 2.0315)  # a, b, c of the cited page: steep at 0, close to 1 on (0.7, 1.2)


class MuonSettings(NamedTuple):
    """Numbers of `muon`."""

    rate: Any  # α, or the numbers of its schedule
    beta: jax.Array
    decay: jax.Array  # λ


class MuonState(NamedTuple):
    """State of `muon`."""

    step: jax.Array  # number of updates made, int32 scalar
    m: Params  # momentum of the hidden matrices; () in place of everything else
    rest: Any  # state of the optimizer of everything else
    settings: MuonSettings


def hidden_weights(params: Params) -> Params:
    """Say of each leaf whether it is a weight matrix that makes hidden units: each field W but the last.

    Args:
        params: any pytree.

    Returns:
        A pytree of bools like params; what makes the output, and biases, scales and slopes, are False.
    """
    leaves, structure = jax.tree.flatten(weight_mask(params))
    last = max((i for i, is_weight in enumerate(leaves) if is_weight), default=None)
    return jax.tree.unflatten(structure, [is_weight and i != last for i, is_weight in enumerate(leaves)])


@recipe
def muon(
    learning_rate: Rate = 0.01,
    beta: Number = 0.95,
    weight_decay: Number = 0.01,
    *,
    steps: int = 5,
    rest: OptimizerLike | None = None,
    mask: Mask = hidden_weights,
) -> Optimizer:
    """Momentum, orthogonalized: m ← β m + g, θ ← θ − α (√max(1, d_out / d_in) · ortho(g + β m) + λ θ).

    ortho(G) is close to U Vᵀ where G = U S Vᵀ: all directions of a matrix learn at one speed, however small their
    singular values. That holds for hidden matrices; everything else is left to another optimizer.

    Args:
        learning_rate: α, a number, or a schedule step -> α.
        beta: β in [0, 1), the share of the momentum that stays.
        weight_decay: λ of the hidden matrices, at least 0.
        steps: Newton–Schulz iterations, at least 1.
        rest: the optimizer of everything else; `adamw()` by default.
        mask: params -> a pytree of bools, True for what is orthogonalized; by default each field W but the last. A
            leaf with two axes is a matrix and one with four a kernel (c_out, h, w, c_in), seen as (c_out, h·w·c_in);
            one axis more, in front, counts layers, as `repeat` keeps them.

    Returns:
        The optimizer; its update needs params.

    Raises:
        TypeError, ValueError: a setting that is no number, a negative learning rate or weight decay, beta outside
            [0, 1), steps no whole number from 1 on, rest no optimizer; from update, no params.

    References:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024).
    """
    rule, rate = rate_of("muon", learning_rate)
    share = share_of_past("muon", "beta", beta)
    decay = decay_of("muon", weight_decay)
    others = adamw() if rest is None else rest
    check_optimizer(others)
    steps = require_whole("muon expects at least 1 Newton–Schulz step", steps, remedy="5 is the usual choice")
    settings = MuonSettings(rate, share.kept, decay)
    return Optimizer(
        Partial(_muon_init, settings, init_with_data(others), Partial(mask)),
        Update(_muon_update, (rule, steps, not is_zero(decay), others.update, mask)),
    )


def _muon_init(settings: MuonSettings, init_rest: Partial, mask: Mask, params: Params) -> MuonState:
    hidden, left = _part(params, mask(params))
    return MuonState(first_step(), zeros_like(hidden), init_rest(left), as_data(settings))


def _muon_update(
    rule, steps: int, decays: bool, update_rest, mask: Mask, grads: Params, state: MuonState, params: Params
):
    if params is None:
        raise ValueError("muon needs the parameters: call update(grads, state, params)")
    chosen, settings = mask(params), state.settings
    (hidden_grads, left_grads), (hidden, left) = _part(grads, chosen), _part(params, chosen)
    m = jax.tree.map(lambda m, g: times(settings.beta, m) + g, state.m, hidden_grads)
    ahead = jax.tree.map(lambda m, g: g + times(settings.beta, m), m, hidden_grads)
    direction = jax.tree.map(lambda d: _orthogonal(d, steps), ahead)
    if decays:
        direction = jax.tree.map(lambda d, p: d + times(settings.decay, p), direction, hidden)
    left_updates, left_state = update_rest(left_grads, state.rest, left)
    updates = _join(chosen, descend(rule(settings.rate, state.step), direction), left_updates)
    return updates, MuonState(state.step + 1, m, left_state, settings)


def _part(tree: Params, chosen: Params) -> tuple[Params, Params]:
    """What is chosen and what is left; () stands for what went to the other part."""
    taken = jax.tree.map(lambda leaf, is_chosen: leaf if is_chosen else (), tree, chosen)
    left = jax.tree.map(lambda leaf, is_chosen: () if is_chosen else leaf, tree, chosen)
    return taken, left


def _join(chosen: Params, taken: Params, left: Params) -> Params:
    return jax.tree.map(lambda is_chosen, one, other: one if is_chosen else other, chosen, taken, left)


def _orthogonal(direction: jax.Array, steps: int) -> jax.Array:
    if direction.ndim < 2:
        raise ValueError(f"muon expects matrices, got a leaf of shape {direction.shape}; let mask choose matrices only")
    stacked = direction.ndim % 2 == 1
    shape = direction.shape[1:] if stacked else direction.shape
    matrices = direction.reshape(-1, shape[0], math.prod(shape[1:]))
    scale = math.sqrt(max(1, shape[0] / math.prod(shape[1:])))
    return (scale * jax.vmap(lambda G: newton_schulz(G, steps))(matrices)).reshape(direction.shape)


def newton_schulz(G: jax.Array, steps: int = 5) -> jax.Array:
    """Pull all singular values of a matrix towards 1 and leave its singular vectors alone.

    Args:
        G: (rows, columns).
        steps: iterations; after 5, singular values above a hundredth of ‖G‖ are within about 0.7 and 1.2.

    Returns:
        A matrix like G, close to U Vᵀ for G = U S Vᵀ; zeros for zeros.

    Derivation:
        X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X keeps U and V and maps each singular value by s ← a s + b s³ + c s⁵. From
        X = G / ‖G‖, all of whose singular values are at most 1, that polynomial drives them to about 1. X Xᵀ is
        built over the shorter side.
    """
    a, b, c = _QUINTIC
    wide = G.shape[0] <= G.shape[1]
    largest = jnp.abs(G).max()
    X = G / jnp.where(largest > 0, largest, 1)  # first, so that no square overflows
    X = X / jnp.where(largest > 0, jnp.sqrt((X * X).sum()), 1)
    X = X if wide else X.T
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * (A @ A)) @ X
    return X if wide else X.T
