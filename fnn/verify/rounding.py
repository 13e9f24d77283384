"""What rounding does to a function, measured: every result in it is moved by one unit in its last place.

How far that moves the output is what rounding does to this function, whoever computes it and in whatever order. The
program is run twice side by side, as it is and moved, so that what decides a branch decides as it does unmoved: a step
across a kink is no rounding. `unit` = 2⁻²⁴ tells what float32 would do, in a run in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from fnn.verify.rewriting import CALLS, LOOPS, Values, Way, as_always, dtype_of, evaluate, float_dtypes

_PATTERN = 2**13  # how many signs there are

# What only moves numbers about, or picks among them, does not round.
_EXACT = frozenset(
    [
        "abs",
        "neg",
        "max",
        "min",
        "clamp",
        "select_n",
        "reshape",
        "transpose",
        "broadcast_in_dim",
        "squeeze",
        "expand_dims",
        "slice",
        "dynamic_slice",
        "gather",
        "concatenate",
        "pad",
        "rev",
        "copy",
        "stop_gradient",
        "reduce_max",
        "reduce_min",
        "reduce_window_max",
        "cummax",
        "cummin",
        "iota",
        "real",
        "dynamic_update_slice",
        "select_and_gather_add",
        "imag",
        "device_put",
        "optimization_barrier",
        "convert_element_type",
        "split",
    ]
)
# What decides, decides as it does unmoved: a step across a kink is no rounding.
_DECISIONS = frozenset(["sign", "floor", "ceil", "round", "sort", "argmax", "argmin", "reduce_precision", "top_k"])
_PICKS = {"select_and_scatter_add": 1, "select_and_gather_add": 1}  # by which operand they decide


class Moved(NamedTuple):
    """A value as it is, and as it becomes where every result is moved by a unit in its last place."""

    exact: Any
    moved: Any


def moved(f: Callable, watch: Callable = lambda equation, operands: None, unroll: bool = False) -> Callable:
    """The same function with every argument, and every result in it, moved by one unit in its last place.

    Args:
        f: (*args) -> any pytree of arrays, in JAX.
        watch: is shown every equation with its operands, exact and moved.
        unroll: as for `Way`.

    Returns:
        (unit, signs, *args) -> the same pytree, its leaves `Moved`. Every result moves by one unit of its own
        precision, or by `unit` times its size where that is more: 2⁻²⁴ tells what float32 would do. `signs` from
        `random_signs` say up or down. Decisions stay as they are.
    """

    def run(unit: jax.Array, signs: jax.Array, *args: Any) -> Any:
        program, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        steps = {d: jnp.maximum(unit, jnp.finfo(d).eps / 2).astype(d) for d in float_dtypes(program)}
        places = iter(range(0, 2**30, 31))

        def move(exact: Any, value: Any) -> Any:
            if value.dtype not in steps or not value.size:
                return exact
            return Moved(exact, value * (1 + steps[value.dtype] * _sides(signs, next(places), value)))

        def visit(equation: JaxprEqn, operands: Values) -> Values | None:
            watch(equation, operands)
            name = equation.primitive.name
            if name in CALLS or name == "scan" or (name in LOOPS and not unroll):
                return None
            exact = as_always(equation, list(map(exact_of, operands)))
            if name in _DECISIONS or not any(isinstance(operand, Moved) for operand in operands):
                return exact
            others = [exact_of(v) if _PICKS.get(name) == i else moved_of(v) for i, v in enumerate(operands)]
            results = as_always(equation, others)
            if name in _EXACT and not _narrows(equation):
                return [a if a.dtype not in steps else Moved(a, b) for a, b in zip(exact, results, strict=True)]
            return list(map(move, exact, results))

        def wrap(value: Any) -> Any:
            return value if isinstance(value, Moved) or jnp.asarray(value).dtype not in steps else Moved(value, value)

        leaves = [move(leaf, leaf) for leaf in map(jnp.asarray, jax.tree.leaves(args))]
        results = evaluate(program, leaves, Way(visit, unroll, wrap))
        return jax.tree.unflatten(jax.tree.structure(shape), list(map(wrap, results)))

    return run


def exact_of(value: Any) -> Any:
    """A value as it is."""
    return value.exact if isinstance(value, Moved) else value


def moved_of(value: Any) -> Any:
    """A value as it becomes."""
    return value.moved if isinstance(value, Moved) else value


def change_of(tree: Any) -> list[np.ndarray]:
    """How far the leaves of a result of `moved` were moved."""
    leaves = jax.tree.leaves(tree, is_leaf=partial(_is, Moved))
    with np.errstate(invalid="ignore"):  # what is infinite stays so: its change is NaN, which is less than nothing
        return [
            np.abs(np.asarray(moved_of(leaf), np.float64) - np.asarray(exact_of(leaf), np.float64)) for leaf in leaves
        ]


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind)


def random_signs(seed: int) -> np.ndarray:
    """Numbers ±1 for `moved`, others for each seed."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], _PATTERN)


def _sides(signs: jax.Array, first: int, like: jax.Array) -> jax.Array:
    """Signs for an array: of their own for each entry of a small one; products of signs of rows, columns, ... else."""
    shape, signs = like.shape, signs.astype(like.dtype)
    size = math.prod(shape)
    if size <= _PATTERN // 2:
        start = first % (_PATTERN - size)
        return signs[start : start + size].reshape(shape)
    sides = jnp.ones((), signs.dtype)
    for axis, length in enumerate(shape):
        places = (np.arange(length) * (2 * axis + 1) + first) % _PATTERN
        sides = sides * signs[places].reshape(length, *[1] * (len(shape) - axis - 1))
    return sides


def _narrows(equation: JaxprEqn) -> bool:
    """Whether a conversion gives away digits."""
    name = equation.primitive.name
    if name != "convert_element_type":
        return False
    old, new = dtype_of(equation.invars[0]), dtype_of(equation.outvars[0])
    floating = jnp.issubdtype(old, jnp.floating) and jnp.issubdtype(new, jnp.floating)
    return floating and jnp.finfo(new).eps > jnp.finfo(old).eps
