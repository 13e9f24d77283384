"""A forward whose units on a kink have a free share between both sides.

What decides the side of an equation is its gap: a − b for a comparison or a maximum, a for |a|. Where that is 0 a
maximum becomes s a + (1 − s) b, and a comparison undecided: True by a share, which travels through negations and shapes
to the choice that it governs. The value of the forward stays what it is, its derivative becomes linear in each share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from fnn.verify.rewriting import CALLS, Values, Way, as_always, dtype_of, evaluate

_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
BENDING = frozenset(["max", "min", "abs", "sign", "reduce_max", "reduce_min", *_COMPARISONS])
# These have kinks as well, which no share is given to: ties of an order, and what a branch as a whole decides.
_ORDERS = ("sort", "top_k", "argmax", "argmin", "reduce_window_max", "reduce_window_min", "cummax", "cummin", "clamp")
HIDING = frozenset(["cond", "while", "floor", "ceil", "round", *_ORDERS])

_MOVES = ("reshape", "broadcast_in_dim", "squeeze", "transpose", "slice", "expand_dims", "copy", "rev")


class Soft(NamedTuple):
    """A predicate that is undecided in places: what it is, where it is open, and the share of True there."""

    hard: jax.Array
    open: jax.Array
    share: jax.Array


def may_bend(equation: JaxprEqn) -> bool:
    """Whether an equation has two sides."""
    return equation.primitive.name in BENDING and jnp.issubdtype(dtype_of(equation.invars[0]), jnp.floating)


def gap_of(equation: JaxprEqn, operands: Values) -> jax.Array:
    """What decides the side of an equation, entry by entry: 0 on its kink."""
    name = equation.primitive.name
    if name in ("max", "min", *_COMPARISONS):
        return jnp.broadcast_to(jnp.subtract(*operands), jnp.shape(as_always(equation, operands)[0]))
    if name in ("reduce_max", "reduce_min"):
        return _leads(operands[0] if name == "reduce_max" else -operands[0], equation.params["axes"])
    return operands[0]


def _leads(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """By how much each entry is larger than all others of its group: 0 for those that tie for the first place."""
    places = jax.lax.iota(int, x.size).reshape(x.shape)
    largest = x == jnp.max(x, axis=axes, keepdims=True)
    first = places == jnp.min(jnp.where(largest, places, x.size), axis=axes, keepdims=True)
    others = jnp.max(jnp.where(first, -jnp.inf, x), axis=axes, keepdims=True)
    return x - jnp.where(first, others, jnp.max(x, axis=axes, keepdims=True))


def _hard(value: Any) -> Any:
    return value.hard if isinstance(value, Soft) else value


def with_shares(f: Callable, open_: Sequence[np.ndarray | None], shares: jax.Array, lost: list[str]) -> Callable:
    """A forward with a share between both sides at every unit on a kink.

    Args:
        f: (*args) -> scalar, in JAX.
        open_: for each equation that may bend, in the order in which they are run, which entries of it are on a kink;
            None for none.
        shares: the share of the upper side for each such entry, one equation after the other.
        lost: is told the names of equations that could not pass a share on.

    Returns:
        The forward; its value is that of f, its derivative at the kinks is mixed by the shares.
    """
    counts = [int(mask.sum()) for mask in open_ if mask is not None]

    def run(*args: Any) -> jax.Array:
        masks, first = iter(open_), iter(np.cumsum([0, *counts]))

        def visit(equation: JaxprEqn, operands: Values) -> Values | None:
            name = equation.primitive.name
            if name == "stop_gradient":
                return operands
            if may_bend(equation):
                mask = next(masks)
                if mask is not None:
                    start = next(first)
                    own = shares[start : start + int(mask.sum())]
                    share = jnp.full(mask.size, 0.5).at[np.flatnonzero(mask)].set(own).reshape(mask.shape)
                    return [_bent(equation, operands, jnp.asarray(mask), share)]
            return _softly(equation, operands, lost)

        return evaluate(jax.make_jaxpr(f)(*args), jax.tree.leaves(args), Way(visit, unroll=True))[0]

    return run


def _bent(equation: JaxprEqn, operands: Values, mask: jax.Array, share: jax.Array) -> Any:
    """The result of an equation with a share between both sides where it is on its kink."""
    name, (a, *more) = equation.primitive.name, operands
    if name in _COMPARISONS:
        sides = {"lt": 1 - share, "le": 1 - share, "gt": share, "ge": share, "eq": 0 * share, "ne": 0 * share + 1}
        return Soft(as_always(equation, operands)[0], mask, sides[name])
    if name == "reduce_max":
        return _shared(a, equation.params["axes"], mask, share)
    if name == "reduce_min":
        return -_shared(-a, equation.params["axes"], mask, share)
    mixed = {
        "max": lambda: share * a + (1 - share) * more[0],
        "min": lambda: share * more[0] + (1 - share) * a,
        "abs": lambda: (2 * share - 1) * a,
        "sign": lambda: 2 * share - 1,
    }[name]()
    plain = as_always(equation, operands)[0]
    return jnp.where(mask, mixed.astype(plain.dtype), plain)


def _shared(x: jax.Array, axes: tuple[int, ...], mask: jax.Array, share: jax.Array) -> jax.Array:
    """The largest entry of each group; of several, the first but for the shares of the others."""
    places = jax.lax.iota(int, x.size).reshape(x.shape)
    first = places == jnp.min(jnp.where(mask, places, x.size), axis=axes, keepdims=True)
    leader = jnp.sum(jnp.where(first, x, 0), axis=axes, keepdims=True)
    mixed = leader + jnp.sum(jnp.where(mask & ~first, share * (x - leader), 0), axis=axes, keepdims=True)
    return jnp.where(mask.any(axis=axes), mixed.reshape(jnp.max(x, axis=axes).shape), jnp.max(x, axis=axes))


def _softly(equation: JaxprEqn, operands: Values, lost: list[str]) -> Values | None:
    """An equation that is given undecided predicates: it passes them on, mixes by them, or takes them as they are."""
    if not any(isinstance(operand, Soft) for operand in operands):
        return None
    name = equation.primitive.name
    if name in CALLS or name == "scan":
        return None
    first, hard = operands[0], [operand.hard if isinstance(operand, Soft) else operand for operand in operands]
    plain = as_always(equation, hard)
    if name in _MOVES and isinstance(first, Soft):
        return [Soft(plain[0], *(as_always(equation, [part, *hard[1:]])[0] for part in first[1:]))]
    if name == "not":
        return [Soft(plain[0], first.open, 1 - first.share)]
    if name in ("and", "or"):
        (open_a, a), (open_b, b) = map(_certainty, operands)
        return [Soft(plain[0], open_a | open_b, a * b if name == "and" else a + b - a * b)]
    if name == "select_n" and isinstance(first, Soft) and jnp.issubdtype(plain[0].dtype, jnp.floating):
        mixed = first.share * hard[2] + (1 - first.share) * hard[1]
        return [jnp.where(first.open, mixed.astype(plain[0].dtype), plain[0])]
    if name == "convert_element_type" and jnp.issubdtype(plain[0].dtype, jnp.floating):
        return [jnp.where(first.open, first.share.astype(plain[0].dtype), plain[0])]
    lost.append(name)
    return plain


def _certainty(predicate: Any) -> tuple[jax.Array, jax.Array]:
    if isinstance(predicate, Soft):
        return predicate.open, jnp.where(predicate.open, predicate.share, predicate.hard)
    return jnp.zeros(jnp.shape(predicate), bool), jnp.asarray(predicate, jnp.float64)
