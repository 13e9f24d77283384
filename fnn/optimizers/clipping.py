"""Gradient transformations: clipping, and `chain`, which joins it with an optimizer.

    fnn.chain(fnn.clip_by_global_norm(1.0), fnn.adam(1e-3))

A transformation has an optimizer's signature; what it returns is the next one's gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fnn.layers.base import Params
from fnn.optimizers.base import (
    Number,
    Optimizer,
    OptimizerLike,
    Update,
    as_data,
    as_dtype,
    init_with_data,
    is_optimizer,
    setting,
)
from fnn.recipes import recipe


@recipe
def chain(*optimizers: OptimizerLike) -> Optimizer:
    """Apply transformations one after the other; each takes as gradient what the one before returned.

    Args:
        *optimizers: (init, update) pairs of this library or with optax's signature, the one that steps last.

    Returns:
        The optimizer; its state is a tuple with one entry for each.

    Raises:
        TypeError: something that is not an (init, update) pair.
    """
    for i, optimizer in enumerate(optimizers):
        if not is_optimizer(optimizer):
            raise TypeError(
                f"chain expects optimizers, got {optimizer!r:.80} at position {i}; call the constructor, as "
                "fnn.sgd(0.1)"
            )
    inits = tuple(init_with_data(optimizer) for optimizer in optimizers)
    updates = tuple(optimizer.update for optimizer in optimizers)
    return Optimizer(Partial(_chain_init, inits), Update(_chain_update, (updates,)))


def _chain_init(inits: tuple[Partial, ...], params: Params) -> tuple[Any, ...]:
    return tuple(init(params) for init in inits)


def _chain_update(updates: tuple, grads: Params, state: tuple, params: Params = None):
    new = []
    for update, own in zip(updates, state, strict=True):
        grads, own = update(grads, own, params)
        new.append(own)
    return grads, tuple(new)


class ClipState(NamedTuple):
    """State of `clip_by_global_norm` and `clip_by_value`."""

    limit: jax.Array  # c, scalar


def _clip_init(limit: Number, params: Params) -> ClipState:
    return ClipState(as_data(limit))


@recipe
def clip_by_global_norm(max_norm: Number) -> Optimizer:
    """Shorten a gradient longer than max_norm to that length, g ← g · min(1, c / ‖g‖), all leaves as one vector.

    A gradient with NaN or infinity passes as it is: no entry is hidden, none is spoilt by another, and training sees
    where it went wrong.

    Args:
        max_norm: c, above 0.

    Returns:
        A transformation, to be chained in front of an optimizer.

    Stability:
        ‖g‖ = m ‖g / m‖ with m the largest |g|, so that squares neither overflow nor underflow.

    Raises:
        TypeError, ValueError: max_norm is no number above 0.

    References:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013), algorithm 1.

    Examples:
        >>> clip = clip_by_global_norm(1.0)
        >>> clip.update(jnp.array([3.0, 4.0]), clip.init(None))[0]
        Array([0.6, 0.8], dtype=float32)
    """
    limit = setting("clip_by_global_norm expects max_norm above 0", max_norm, lambda norm: norm > 0)
    return Optimizer(Partial(_clip_init, limit), Update(_shorten))


def _shorten(grads: Params, state: ClipState, params: Params = None):
    scale, length = _scale_and_length(grads)
    longer = jnp.isfinite(length) & (length > state.limit / scale)

    def shorten(g):
        shorter = g.astype(length.dtype) / scale * (state.limit / length)
        return jnp.where(longer, shorter.astype(g.dtype), g)

    return jax.tree.map(shorten, grads), state


@recipe
def clip_by_value(limit: Number) -> Optimizer:
    """Clip each entry, g ← max(−c, min(c, g)); NaN stays NaN.

    Args:
        limit: c, above 0.

    Returns:
        A transformation, to be chained in front of an optimizer.

    Raises:
        TypeError, ValueError: limit is no number above 0.

    Examples:
        >>> clip = clip_by_value(1.0)
        >>> clip.update(jnp.array([0.5, -4.0]), clip.init(None))[0]
        Array([ 0.5, -1. ], dtype=float32)
    """
    limit = setting("clip_by_value expects a limit above 0", limit, lambda limit: limit > 0)
    return Optimizer(Partial(_clip_init, limit), Update(_clip))


def _clip(grads: Params, state: ClipState, params: Params = None):
    def clip(g):
        limit = as_dtype(state.limit, g)
        return jnp.clip(g, -limit, limit)

    return jax.tree.map(clip, grads), state


def global_norm(tree: Params) -> jax.Array:
    """Euclidean norm of all leaves as one vector, without overflow of its squares.

    Args:
        tree: a pytree of arrays.

    Returns:
        ‖·‖, scalar, float32, or float64 where x64 is enabled.
    """
    scale, length = _scale_and_length(tree)
    return scale * length


def _scale_and_length(tree: Params) -> tuple[jax.Array, jax.Array]:
    """m, about the largest |entry|, and ‖tree / m‖, which is finite if and only if all entries are."""
    dtype = jnp.result_type(float)
    leaves = [leaf.astype(dtype) for leaf in jax.tree.leaves(tree) if leaf.size]
    if not leaves:
        return jnp.ones((), dtype), jnp.zeros((), dtype)
    largest = jnp.stack([jnp.abs(leaf).max() for leaf in leaves]).max()
    scale = jnp.where(largest == 0, 1, jnp.minimum(largest, 2.0**100))  # 1 / m must not underflow either
    return scale, jnp.sqrt(jnp.stack([((leaf / scale) ** 2).sum() for leaf in leaves]).sum())
