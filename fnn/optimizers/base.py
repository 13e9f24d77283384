"""Updates: what optimizers have in common, from the learning rate to θ ← θ + Δ."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Params
from fnn.validation import require_number

Schedule = Callable[[jax.Array], jax.Array]
Rate = float | jax.Array | Schedule
Mask = Callable[[Params], Params]


class Optimizer(NamedTuple):
    """A way to turn gradients into updates."""

    init: Callable[[Params], Any]  # params -> state
    update: Callable[..., tuple[Params, Any]]  # (grads, state, params) -> (updates, state)


def apply_updates(params: Params, updates: Params) -> Params:
    """Add updates to parameters, θ ← θ + Δ, leaf by leaf; each keeps its dtype.

    Args:
        params: parameters θ.
        updates: a pytree like params.

    Returns:
        The new parameters; the old ones stay as they are.

    Raises:
        ValueError: updates have another structure or other shapes than the parameters.
    """
    expected: Any = jax.tree.structure(params)
    received: Any = jax.tree.structure(updates)
    if expected != received:
        raise ValueError(
            f"expected updates with the structure of the parameters, {expected}, got {received}; "
            "a gradient must be the same tree as its parameters"
        )
    return jax.tree.map(_add, params, updates)


def _add(p: jax.Array, u: jax.Array) -> jax.Array:
    if p.shape != u.shape:
        raise ValueError(
            f"expected an update of shape {p.shape}, like its parameter, got {u.shape}; check the backward"
        )
    return p + u.astype(p.dtype)


def descend(rate: jax.Array, direction: Params) -> Params:
    """Turn a direction d into updates, −α d.

    Args:
        rate: α, scalar.
        direction: a pytree like params.
    """
    return jax.tree.map(lambda d: -as_dtype(rate, d) * d, direction)


def rate_at(learning_rate: Rate, step: jax.Array) -> jax.Array:
    """Learning rate at a step, as an array, whether it is a number or a schedule.

    Args:
        learning_rate: a number, or a function step -> number.
        step: number of updates made so far.

    Raises:
        TypeError: the schedule returns no number.
    """
    rate = learning_rate(step) if callable(learning_rate) else learning_rate
    if not _is_scalar(rate):
        raise TypeError(f"expected the learning rate's schedule to return one number, got {rate!r}; see fnn.schedules")
    return jnp.asarray(rate).astype(jnp.result_type(float))


def _is_scalar(rate: Any) -> bool:
    return isinstance(rate, Real) or (isinstance(rate, np.ndarray | jax.Array) and rate.shape == ())


def as_dtype(number: jax.Array, like: jax.Array) -> jax.Array:
    """Give a scalar the dtype of the leaf that it meets, so that no leaf is promoted."""
    return number.astype(like.dtype)


def with_decay(name: str, direction: Params, params: Params, decay: float, mask: Mask) -> Params:
    """Add weight decay to a direction, d + λ θ, on those leaves that the mask names.

    Args:
        name: the optimizer, for errors.
        direction: d, a pytree like params.
        params: θ.
        decay: λ; nothing is done for 0.
        mask: params -> a pytree of bools.

    Raises:
        ValueError: no params, or matrices of which the mask names none: then nothing would decay, and nobody notice.
    """
    if decay == 0:
        return direction
    if params is None:
        raise ValueError(f"{name} decays the parameters themselves: call update(grads, state, params), or set no decay")
    chosen = mask(params)
    if not any(jax.tree.leaves(chosen)) and any(leaf.ndim > 1 for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"{name} found nothing to decay: no parameter is called W; pass mask=, such as "
            "lambda params: jax.tree.map(lambda p: p.ndim > 1, params), or weight_decay=0"
        )
    return jax.tree.map(lambda d, p, decays: d + decay * p if decays else d, direction, params, chosen)


def check_rate(name: str, learning_rate: Rate) -> None:
    """Refuse a learning rate that is no number or schedule, or negative or not finite where the host can read it."""
    if callable(learning_rate) or isinstance(learning_rate, jax.core.Tracer):
        return
    require_number(
        f"{name} expects a learning rate of at least 0, or a schedule", learning_rate, lambda rate: rate >= 0
    )


def check_share(name: str, what: str, beta: float) -> None:
    """Refuse a share of the past outside [0, 1)."""
    require_number(f"{name} expects {what} in [0, 1)", beta, lambda beta: 0 <= beta < 1, "0.9 is the usual choice")


def check_decay(name: str, weight_decay: float) -> None:
    """Refuse weight decay that would let weights grow."""
    require_number(f"{name} expects a weight decay of at least 0", weight_decay, lambda decay: decay >= 0)


def check_epsilon(name: str, epsilon: float) -> None:
    """Refuse what can't keep a quotient from 0 / 0."""
    require_number(f"{name} expects an epsilon of at least 0", epsilon, lambda epsilon: epsilon >= 0)
