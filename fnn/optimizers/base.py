"""What optimizers have in common: a pair (init, update), settings that are data, and θ ← θ + Δ.

    init(params) -> state
    update(grads, state, params) -> (updates, state)          then θ ← θ + updates, by `apply_updates`

That is optax's signature, so optimizers of either library work in the other. `update` carries structure only: which
equations, which kind of schedule, which mask. The numbers in them (rates, shares, decay, limits) are brought into the
state by `init`. So a program that was compiled for `fnn.adam(0.1)` serves `fnn.adam(0.03)` as well, a sweep over rates
is a vmap, a checkpoint holds the numbers, and who wants to change one on the way changes it in the state:

    state._replace(settings=state.settings._replace(rate=jnp.float32(0.01)))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fnn.layers.base import Params
from fnn.recipes import Recipe
from fnn.validation import require_arrays, require_number

Mask = Callable[[Params], Params]
Number = float | jax.Array  # as a setting: a number, or a scalar within a transformation, whose value is not known


class OptimizerLike(Protocol):
    """Any (init, update) pair with optax's signature: an `Optimizer`, an optax.GradientTransformation, one's own."""

    @property
    def init(self) -> Callable[..., Any]:
        """Map params to a state."""

    @property
    def update(self) -> Callable[..., tuple[Any, Any]]:
        """Map grads, state and params to updates and the next state."""


class _Pair(NamedTuple):
    init: Callable[[Params], Any]  # params -> state
    update: Callable[..., tuple[Params, Any]]  # (grads, state, params) -> (updates, state)


class Optimizer(Recipe, _Pair):
    """A way to turn gradients into updates: the pair (init, update).

    Those of this library are equal where constructor and settings are, have equal `update`s where they differ in
    numbers only, and carry the numbers in `init`, a `jax.tree_util.Partial`.
    """


@dataclass(frozen=True, eq=False, repr=False)
class Update(Recipe):
    """An optimizer's `update`: equations, and what they are made with that is structure. Equal where these are.

    Attributes:
        equations: (*structure, grads, state, params) -> (updates, state).
        structure: functions, flags and whole numbers.
    """

    equations: Callable[..., tuple[Params, Any]]
    structure: tuple[Any, ...] = ()

    def __call__(self, grads: Params, state: Any, params: Params = None) -> tuple[Params, Any]:
        """Map a gradient, a state and, where an optimizer needs them, parameters to updates and the next state.

        Raises:
            TypeError, ValueError: grads are no tree of arrays, or not like params; state is none.
        """
        require_arrays("an optimizer", grads)
        expected, received = jax.tree.map(jnp.shape, params), jax.tree.map(jnp.shape, grads)
        if params is not None and expected != received:
            raise ValueError(
                f"an optimizer expects grads like params, {expected!s:.80}, got {received!s:.80}; "
                "a gradient must be the same tree as its parameters"
            )
        if not isinstance(state, tuple):
            raise TypeError(f"an optimizer expects its state, got {type(state).__name__}; make it with init(params)")
        return self.equations(*self.structure, grads, state, params)


class Share(NamedTuple):
    """The share β of the past in a moving mean m ← β m + (1 − β) g, with what follows from it."""

    kept: jax.Array  # β
    new: jax.Array  # 1 − β, which would be off by 1e-5 for β = 0.999 if taken in float32
    log: jax.Array  # log β: the weights of t steps sum to 1 − βᵗ = −expm1(t log β)


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no (init, update) pair, such as a learning rate or a constructor that was not called.

    Args:
        optimizer: what should be an optimizer.

    Raises:
        TypeError: says what would be one.
    """
    if not is_optimizer(optimizer):
        raise TypeError(f"expected an optimizer such as fnn.momentum(0.1), got {optimizer!r:.80}")


def is_optimizer(value: Any) -> bool:
    """Whether a value is an (init, update) pair.

    Args:
        value: anything.
    """
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def init_with_data(optimizer: OptimizerLike) -> Partial:
    """An optimizer's init as a pytree: its numbers are leaves, and may be traced, stacked and vmapped over.

    Args:
        optimizer: any (init, update) pair; a foreign one has no leaves.
    """
    return optimizer.init if isinstance(optimizer.init, Partial) else Partial(optimizer.init)


def as_data(settings: Any) -> Any:
    """Settings as arrays: numbers as `result_type(float)`, counts as int32.

    Args:
        settings: a pytree of numbers.
    """

    def array(number: Any) -> jax.Array:
        whole = jnp.issubdtype(jnp.result_type(number), jnp.integer)
        return jnp.asarray(number).astype(jnp.int32 if whole else jnp.result_type(float))

    return jax.tree.map(array, settings)


def first_step() -> jax.Array:
    """The number of updates made before the first one."""
    return jnp.zeros((), jnp.int32)


def zeros_like(params: Params) -> Params:
    """Zeros of the shapes, dtypes and places of parameters."""
    return jax.tree.map(jnp.zeros_like, params)


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
    require_arrays("apply_updates", params)
    require_arrays("apply_updates", updates)
    expected: Any = jax.tree.structure(params)
    received: Any = jax.tree.structure(updates)
    if expected != received:
        raise ValueError(
            f"expected updates with the structure of the parameters, {expected!s:.80}, got {received!s:.80}; "
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
    return jax.tree.map(lambda d: -times(rate, d), direction)


def times(number: jax.Array, leaf: jax.Array) -> jax.Array:
    """Multiply a leaf by a scalar, in the leaf's dtype, so that no leaf is promoted."""
    return as_dtype(number, leaf) * leaf


def as_dtype(number: jax.Array, like: jax.Array) -> jax.Array:
    """Give a scalar the dtype of the leaf that it meets."""
    return number.astype(like.dtype)


def with_decay(name: str, direction: Params, params: Params, decay: jax.Array, mask: Mask | None) -> Params:
    """Add weight decay to a direction, d + λ θ, on those leaves that the mask names.

    Args:
        name: the optimizer, for errors.
        direction: d, a pytree like params.
        params: θ.
        decay: λ, scalar.
        mask: params -> a pytree of bools; None for an optimizer without decay.

    Raises:
        ValueError: no params, or matrices of which the mask names none: then nothing would decay, and nobody notice.
    """
    if mask is None:
        return direction
    if params is None:
        raise ValueError(f"{name} decays the parameters themselves: call update(grads, state, params), or set no decay")
    chosen = mask(params)
    if not any(jax.tree.leaves(chosen)) and any(leaf.ndim > 1 for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"{name} found nothing to decay: no parameter is called W; pass mask=, such as "
            "lambda params: jax.tree.map(lambda p: p.ndim > 1, params), or weight_decay=0"
        )
    return jax.tree.map(lambda d, p, decays: d + times(decay, p) if decays else d, direction, params, chosen)


def setting(
    expected: str, value: Any, holds: Callable[[float], bool] = lambda value: value >= 0, remedy: str = ""
) -> Any:
    """A setting as a number: at least 0, or as `holds` says. A tracer, whose value nobody knows yet, stays one.

    Args:
        expected: who expects what, for the message.
        value: what was received.
        holds: whether a number is in the range.
        remedy: what to do.

    Returns:
        A Python float, or the tracer.

    Raises:
        TypeError, ValueError: no finite number, or out of range.
    """
    if isinstance(value, jax.core.Tracer):
        return value
    return float(require_number(expected, value, holds, remedy))


def share_of_past(name: str, what: str, beta: Number) -> Share:
    """Read a share of the past in [0, 1), and what follows from it, in float64.

    Args:
        name: the optimizer, for errors.
        what: the setting, for errors.
        beta: β.
    """
    kept = setting(f"{name} expects {what} in [0, 1)", beta, lambda beta: 0 <= beta < 1, "0.9 is the usual choice")
    if isinstance(kept, jax.core.Tracer):
        return Share(kept, 1 - kept, jnp.log(kept))
    log: Any = math.log(kept) if kept > 0 else -math.inf
    return Share(kept, 1 - kept, log)


def decay_of(name: str, weight_decay: Number) -> Any:
    """Read a weight decay λ, at least 0."""
    return setting(f"{name} expects a weight decay of at least 0", weight_decay)


def is_zero(number: Number) -> bool:
    """Whether a setting is 0, and so leaves a term out of the equations; what is traced counts as another number."""
    return not isinstance(number, jax.core.Tracer) and bool(number == 0)


def epsilon_of(name: str, epsilon: Number) -> Any:
    """Read what keeps a quotient from 0 / 0, at least 0."""
    return setting(f"{name} expects an epsilon of at least 0", epsilon)
