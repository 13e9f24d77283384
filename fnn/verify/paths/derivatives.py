"""What one equation does to a cotangent and to a tangent, many at a time along a leading axis.

Four sorts of equation. Entry by entry: a slope. Moving entries (slices, transposes, gathers, concatenations): an index
map, read off by moving the numbers 0, 1, 2, … in their place. Products and sums: NumPy. Everything else (convolutions,
decompositions, sorting): its Jacobian, from JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.paths.evaluate import as_function, canonical, evaluate
from fnn.verify.paths.program import Node
from fnn.verify.paths.slopes import elementwise, slope_of

_MOVED = {  # primitive -> the operands whose entries it moves; None for all
    "reshape": (0,),
    "transpose": (0,),
    "broadcast_in_dim": (0,),
    "squeeze": (0,),
    "expand_dims": (0,),
    "slice": (0,),
    "rev": (0,),
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "concatenate": None,
    "stack": None,
    "pad": (0, 1),
    "gather": (0,),
    "scatter": (0, 2),
    "split": (0,),
}
_BY_JAX = {"gather", "scatter", "pad", "split"}  # moved by JAX itself
_MOST = 2**22  # entries of a Jacobian that is still written out

Values = Sequence[Any]


def moves(name: str) -> bool:
    """Whether a primitive only moves entries."""
    return name in _MOVED


def pull(node: Node, k: int, dys: Sequence[np.ndarray | None], xs: Values, ys: Values) -> np.ndarray:
    """Pull cotangents back through one equation to one operand.

    Args:
        node: the equation.
        k: number of the operand.
        dys: for each output (b, *shape), or None for zero.
        xs: the operands' values; not those of the program to differentiate at another point.
        ys: the outputs' values there.

    Returns:
        The contributions, (b, *shape of the operand).
    """
    dy, shape = dys[0], np.shape(xs[k])
    if dy is not None and node.primitive == "turn of a loop":
        out = np.zeros((len(dy), *shape))
        out[:, node.notes["turn"]] = dy
        return out
    if dy is not None and node.primitive == "turns of a loop":
        return dy[:, k]
    if dy is not None and node.primitive == "same":
        return dy
    if dy is not None and elementwise(node.primitive):
        with np.errstate(all="ignore"):
            return unbroadcast(dy * slope_of(node.eqn, k, xs, ys[0]), shape)
    if dy is not None and node.primitive in _LINEAR:
        return _LINEAR[node.primitive][0](node, k, dy, xs, ys)
    if node.primitive in _MOVED:
        parts = (_put_back(d, m, shape) for d, m in zip(dys, _maps(node, k, xs), strict=True) if d is not None)
        return sum(parts, np.zeros(1))
    return _by_jacobian(node, k, dys, xs, ys)


def push(node: Node, k: int, t: np.ndarray, xs: Values, ys: Values) -> list[np.ndarray]:
    """Push tangents of one operand forward through one equation.

    Args:
        node: the equation.
        k: number of the operand.
        t: tangents, (b, *shape of the operand).
        xs: the operands' values.
        ys: the outputs' values.

    Returns:
        For each output its tangents, (b, *shape).
    """
    if node.primitive == "turn of a loop":
        return [t[:, node.notes["turn"]]]
    if node.primitive == "turns of a loop":
        out = np.zeros((len(t), *ys[0].shape))
        out[:, k] = t
        return [out]
    if elementwise(node.primitive):
        shape = ys[0].shape
        aligned = t.reshape(len(t), *(1,) * (len(shape) - t.ndim + 1), *t.shape[1:])
        with np.errstate(all="ignore"):
            return [np.broadcast_to(aligned * slope_of(node.eqn, k, xs, ys[0]), (len(t), *shape))]
    if node.primitive in _LINEAR:
        return [_LINEAR[node.primitive][1](node, k, t, xs, ys)]
    if node.primitive in _MOVED:
        flat = t.reshape(len(t), -1)
        return [
            (flat[:, np.maximum(m, 0)] * (m >= 0)).reshape(len(t), *y.shape)
            for m, y in zip(_maps(node, k, xs), ys, strict=True)
        ]
    flat = t.reshape(len(t), -1)
    return [(flat @ j.T).reshape(len(t), *y.shape) for j, y in zip(_jacobians(node, k, xs), ys, strict=True)]


def unbroadcast(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum (b, *broadcast shape) over the axes along which an operand of a shape was repeated."""
    extra = dy.ndim - 1 - len(shape)
    if extra:
        dy = dy.sum(axis=tuple(range(1, 1 + extra)))
    axes = tuple(i + 1 for i, n in enumerate(shape) if n == 1 and dy.shape[i + 1] != 1)
    return dy.sum(axis=axes, keepdims=True) if axes else dy


def index_maps(node: Node, k: int, xs: Values) -> list[np.ndarray]:
    """For each entry of each output the entry of operand k that it holds, −1 for none, flat."""
    return _maps(node, k, xs)


def _maps(node: Node, k: int, xs: Values) -> list[np.ndarray]:
    key = ("map", k)
    if key not in node.notes:
        moved = _MOVED[node.primitive]
        rows = range(len(xs)) if moved is None else moved
        numbers = [
            np.arange(np.size(x)).reshape(np.shape(x)) if j == k else np.full(np.shape(x), -1) if j in rows else x
            for j, x in enumerate(xs)
        ]
        maps = _move(node.eqn, numbers)
        node.notes[key] = [np.where((m >= 0) & (m < np.size(xs[k])), m, -1).reshape(-1).astype(np.int64) for m in maps]
    return node.notes[key]


def _move(eqn: Any, numbers: list[Any]) -> list[np.ndarray]:
    """Run an equation on whole numbers."""
    if eqn.primitive.name in _BY_JAX:
        bind = eqn.primitive.bind
        outs = bind(*[jnp.asarray(n) for n in numbers], **{**eqn.params, **_filled(eqn)})
        return [np.asarray(o) for o in (outs if eqn.primitive.multiple_results else [outs])]
    values = evaluate(_WithoutType(eqn), numbers)
    return [np.asarray(v) for v in values]


def _filled(eqn: Any) -> dict:
    return {"fill_value": -1} if "fill_value" in eqn.params else {}


class _WithoutType:
    """An equation whose outputs are whole numbers."""

    def __init__(self, eqn: Any) -> None:
        self.primitive, self.params = eqn.primitive, eqn.params
        self.outvars = [_Whole()]


class _Whole:
    class aval:
        dtype = np.dtype(np.int64)


def _put_back(dy: np.ndarray, where: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Add cotangents of moved entries to where they came from."""
    size = int(np.prod(shape))
    flat, valid = dy.reshape(len(dy), -1), where >= 0
    rows = where[valid]
    out = np.zeros((len(dy), size))
    if rows.size == 0:
        return out.reshape(len(dy), *shape)
    if np.bincount(rows, minlength=size).max() <= 1:
        out[:, rows] = flat[:, valid]
    else:
        for b in range(len(dy)):
            out[b] = np.bincount(rows, weights=flat[b, valid], minlength=size)
    return out.reshape(len(dy), *shape)


def _by_jacobian(node: Node, k: int, dys: Sequence[np.ndarray | None], xs: Values, ys: Values) -> np.ndarray:
    given = [d for d in dys if d is not None]
    parts = [
        d.reshape(len(d), -1) @ j for d, j in zip(dys, _jacobians(node, k, xs), strict=True) if d is not None and j.size
    ]
    return sum(parts, np.zeros(1)).reshape(len(given[0]), *np.shape(xs[k]))


def _jacobians(node: Node, k: int, xs: Values) -> list[np.ndarray]:
    """For each output the Jacobian in operand k, (size of the output, size of the operand)."""
    key = ("jacobian", k, tuple(id(x) for x in xs))
    if key not in node.notes:
        real = iter(jacobian_of(node.eqn, k, xs))
        node.notes[key] = [
            np.asarray(next(real)).reshape(v.aval.size, np.size(xs[k]))
            if jnp.issubdtype(v.aval.dtype, jnp.floating)
            else np.zeros((v.aval.size, np.size(xs[k])))
            for v in node.eqn.outvars
        ]
        node.notes[("operands", *key)] = list(xs)  # the key is their identity: keep them alive
    return node.notes[key]


_COMPILED: dict[tuple, Any] = {}
_FORWARD = {"custom_linear_solve", "while", "linear_solve"}  # that JAX differentiates forward alone, or opens for that


def _real_jacobian(f: Callable, k: int, transform: Callable, *xs: jax.Array) -> list[jax.Array]:
    """Jacobians of the real outputs; the other operands move with it, by nothing, so that no tangent is symbolic."""

    def along(x: jax.Array) -> list[jax.Array]:
        still = [v + 0.0 * x.sum() if jnp.issubdtype(v.dtype, jnp.floating) else v for v in xs]
        outs = f(*[x if j == k else v for j, v in enumerate(still)])
        return [o for o in outs if jnp.issubdtype(o.dtype, jnp.floating)]

    return transform(along)(xs[k])


def jacobian_of(eqn: Any, k: int, xs: Values) -> list[np.ndarray]:
    """Jacobians of an equation's real outputs in operand k; equal equations share one compiled program."""
    shapes = tuple((np.shape(x), str(x.dtype)) for x in xs)
    size = sum(v.aval.size for v in eqn.outvars)
    if size * np.size(xs[k]) > _MOST:
        raise MemoryError(f"the Jacobian of {eqn.primitive.name} has too many entries")
    key = (eqn.primitive.name, k, shapes, str(eqn.params))
    if key not in _COMPILED:
        if len(_COMPILED) > 200:
            _COMPILED.clear()
        transform = jax.jacfwd if np.size(xs[k]) <= size or eqn.primitive.name in _FORWARD else jax.jacrev
        _COMPILED[key] = jax.jit(partial(_real_jacobian, as_function(eqn), k, transform))
    return _COMPILED[key](*[jnp.asarray(x) for x in xs])


def _pull_reduce_sum(node: Node, k: int, dy: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    axes = tuple(a + 1 for a in node.eqn.params["axes"])
    return np.broadcast_to(np.expand_dims(dy, axes), (len(dy), *xs[0].shape))


def _push_reduce_sum(node: Node, k: int, t: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    return t.sum(axis=tuple(a + 1 for a in node.eqn.params["axes"]))


def _winners(node: Node, xs: Values, ys: Values) -> np.ndarray:
    axes = tuple(node.eqn.params["axes"])
    hit = xs[0] == np.expand_dims(ys[0], axes)
    return hit / hit.sum(axis=axes, keepdims=True)


def _pull_reduce_max(node: Node, k: int, dy: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    return _pull_reduce_sum(node, k, dy, xs, ys) * _winners(node, xs, ys)


def _push_reduce_max(node: Node, k: int, t: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    return _push_reduce_sum(node, k, t * _winners(node, xs, ys), xs, ys)


def _cumulate(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


def _pull_cumsum(node: Node, k: int, dy: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    return _cumulate(dy, node.eqn.params["axis"] + 1, not node.eqn.params["reverse"])


def _push_cumsum(node: Node, k: int, t: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    return _cumulate(t, node.eqn.params["axis"] + 1, node.eqn.params["reverse"])


def _pull_dot(node: Node, k: int, dy: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    order_l, order_r, (b, m, c, n) = canonical(node.eqn.params, xs[0], xs[1])
    nb, nm, nc, nn = (int(np.prod(s)) for s in (b, m, c, n))
    d = dy.reshape(len(dy), nb, nm, nn)
    if k == 0:
        other = xs[1].transpose(order_r).reshape(nb, nc, nn)
        made = _times(d, other.swapaxes(1, 2)).reshape(len(dy), *b, *m, *c)
        return made.transpose(0, *(i + 1 for i in np.argsort(order_l)))
    other = xs[0].transpose(order_l).reshape(nb, nm, nc)
    made = _times(d.swapaxes(2, 3), other).swapaxes(2, 3).reshape(len(dy), *b, *c, *n)
    return made.transpose(0, *(i + 1 for i in np.argsort(order_r)))


def _push_dot(node: Node, k: int, t: np.ndarray, xs: Values, ys: Values) -> np.ndarray:
    order_l, order_r, (b, m, c, n) = canonical(node.eqn.params, xs[0], xs[1])
    nb, nm, nc, nn = (int(np.prod(s)) for s in (b, m, c, n))
    if k == 0:
        left = t.transpose(0, *(i + 1 for i in order_l)).reshape(len(t), nb, nm, nc)
        made = _times(left, xs[1].transpose(order_r).reshape(nb, nc, nn))
    else:
        right = t.transpose(0, *(i + 1 for i in order_r)).reshape(len(t), nb, nc, nn)
        made = _times(right.swapaxes(2, 3), xs[0].transpose(order_l).reshape(nb, nm, nc).swapaxes(1, 2)).swapaxes(2, 3)
    return made.reshape(len(t), *ys[0].shape)


def _times(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(B, b, m, k) times (b, k, n): one product where there is no batch within."""
    if one.shape[0] == 1:
        flat = many.reshape(-1, many.shape[3]) @ one[0]
        return flat.reshape(*many.shape[:3], one.shape[2])
    return many @ one


_LINEAR = {
    "reduce_sum": (_pull_reduce_sum, _push_reduce_sum),
    "reduce_max": (_pull_reduce_max, _push_reduce_max),
    "reduce_min": (_pull_reduce_max, _push_reduce_max),
    "cumsum": (_pull_cumsum, _push_cumsum),
    "dot_general": (_pull_dot, _push_dot),
}
