"""The value of one equation: NumPy for the frequent primitives, which needs no compiling; JAX for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax.extend as jex
import jax.numpy as jnp
import numpy as np


def evaluate(eqn: Any, values: Sequence[Any]) -> list[Any]:
    """Evaluate an equation at its operands' values.

    Args:
        eqn: the equation.
        values: arrays, one an operand.

    Returns:
        One array an output.
    """
    rule = VALUES.get(eqn.primitive.name)
    if rule is None or any(map(_is_key, values)):
        return [a if _is_key(a) else np.asarray(a) for a in as_function(eqn)(*[_to_jax(v) for v in values])]
    with np.errstate(all="ignore"):
        value = rule(eqn.params, *values)
    return [np.asarray(value, eqn.outvars[0].aval.dtype)]


def as_function(eqn: Any) -> Callable:
    """The equation as a function of its operands, in JAX."""
    return _function_of(_Key(eqn))


class _Key:
    """An equation as a key: the same object, the same function."""

    def __init__(self, eqn: Any) -> None:
        self.eqn = eqn

    def __hash__(self) -> int:
        return id(self.eqn)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.eqn is self.eqn


@lru_cache(maxsize=2048)
def _function_of(key: _Key) -> Callable:
    eqn = key.eqn
    seen: dict = {}
    params = []
    for position, v in enumerate(eqn.invars):
        var = v if not isinstance(v, jex.core.Literal) and v not in seen else jex.core.Var(v.aval)
        seen[var] = position
        params.append(var)
    alone = eqn.replace(invars=params)
    outs = list(eqn.outvars)
    jaxpr = jex.core.Jaxpr((), params, outs, [alone], eqn.effects, debug_info=_no_debug(len(params)))
    return jex.core.jaxpr_as_fun(jex.core.ClosedJaxpr(jaxpr, ()))


def _no_debug(count: int) -> Any:
    return jex.core.DebugInfo("equation", "equation", ("",) * count, None)


def _is_key(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, _extended())


@lru_cache(maxsize=1)
def _extended() -> Any:
    import jax

    return jax.dtypes.extended


def _to_jax(value: Any) -> Any:
    return value if _is_key(value) else jnp.asarray(value)


def _select(params: dict, which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    chosen = np.asarray(which).astype(int)
    if len(cases) == 2:
        return np.where(chosen != 0, cases[1], cases[0])
    return np.choose(chosen, cases)


def _broadcast(params: dict, x: np.ndarray, *_: Any) -> np.ndarray:
    shape, dims = params["shape"], params["broadcast_dimensions"]
    middle = [1] * len(shape)
    for axis, dim in enumerate(dims):
        middle[dim] = x.shape[axis]
    return np.broadcast_to(x.reshape(middle), shape)


def _slice(params: dict, x: np.ndarray) -> np.ndarray:
    strides = params["strides"] or (1,) * x.ndim
    rows = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(a, b, c) for a, b, c in rows)]


def _dynamic_slice(params: dict, x: np.ndarray, *starts: Any) -> np.ndarray:
    sizes = params["slice_sizes"]
    at = [int(np.clip(int(s), 0, n - m)) for s, n, m in zip(starts, x.shape, sizes, strict=True)]
    return x[tuple(slice(a, a + m) for a, m in zip(at, sizes, strict=True))]


def _dynamic_update_slice(params: dict, x: np.ndarray, update: np.ndarray, *starts: Any) -> np.ndarray:
    at = [int(np.clip(int(s), 0, n - m)) for s, n, m in zip(starts, x.shape, update.shape, strict=True)]
    out = np.array(x)
    out[tuple(slice(a, a + m) for a, m in zip(at, update.shape, strict=True))] = update
    return out


def _reshape(params: dict, x: np.ndarray, *_: Any) -> np.ndarray:
    return x.reshape(params["new_sizes"])


def _iota(params: dict) -> np.ndarray:
    shape, dim = params["shape"], params["dimension"]
    return np.broadcast_to(np.arange(shape[dim]).reshape([-1 if i == dim else 1 for i in range(len(shape))]), shape)


def canonical(params: dict, left: np.ndarray, right: np.ndarray) -> tuple[tuple, tuple, tuple]:
    """Axes of a dot_general in the order batch, free, contracted (left) and batch, contracted, free (right).

    Returns:
        The left order, the right order, and (batch shape, free shape left, contracted shape, free shape right).
    """
    (cl, cr), (bl, br) = params["dimension_numbers"]
    fl = tuple(i for i in range(left.ndim) if i not in (*cl, *bl))
    fr = tuple(i for i in range(right.ndim) if i not in (*cr, *br))
    sizes = tuple(tuple(a.shape[i] for i in axes) for a, axes in ((left, bl), (left, fl), (left, cl), (right, fr)))
    return (*bl, *fl, *cl), (*br, *cr, *fr), sizes


def _dot_general(params: dict, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    order_l, order_r, (b, m, k, n) = canonical(params, left, right)
    flat = [int(np.prod(s)) for s in (b, m, k, n)]
    a = left.transpose(order_l).reshape(flat[0], flat[1], flat[2])
    c = right.transpose(order_r).reshape(flat[0], flat[2], flat[3])
    return (a @ c).reshape((*b, *m, *n))


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def _argextreme(which: Callable) -> Callable:
    def rule(params: dict, x: np.ndarray) -> np.ndarray:
        return which(x, axis=params["axes"][0])

    return rule


def _integer_div(params: dict, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.issubdtype(np.asarray(a).dtype, np.integer):
        return np.trunc(a / b)
    return a / b


def _plain(f: Any) -> Callable:
    return lambda params, *xs: f(*xs)


def _over_axes(f: Callable) -> Callable:
    return lambda params, x: f(x, axis=tuple(params["axes"]))


VALUES: dict[str, Callable] = {
    **{
        name: _plain(f)
        for name, f in {
            "add": np.add,
            "add_any": np.add,
            "sub": np.subtract,
            "mul": np.multiply,
            "neg": np.negative,
            "exp": np.exp,
            "exp2": np.exp2,
            "log": np.log,
            "log1p": np.log1p,
            "expm1": np.expm1,
            "tanh": np.tanh,
            "logistic": _logistic,
            "sqrt": np.sqrt,
            "rsqrt": lambda x: 1 / np.sqrt(x),
            "square": np.square,
            "pow": np.power,
            "max": np.maximum,
            "min": np.minimum,
            "abs": np.abs,
            "sign": np.sign,
            "sin": np.sin,
            "cos": np.cos,
            "tan": np.tan,
            "atan2": np.arctan2,
            "floor": np.floor,
            "ceil": np.ceil,
            "gt": np.greater,
            "lt": np.less,
            "ge": np.greater_equal,
            "le": np.less_equal,
            "eq": np.equal,
            "ne": np.not_equal,
            "and": np.bitwise_and,
            "or": np.bitwise_or,
            "xor": np.bitwise_xor,
            "not": np.invert,
            "is_finite": np.isfinite,
            "stop_gradient": lambda x: x,
            "copy": lambda x: x,
            "clamp": lambda low, x, high: np.clip(x, low, high),
        }.items()
    },
    "div": _integer_div,
    "integer_pow": lambda params, x: x ** params["y"] if params["y"] >= 0 else 1 / x ** -params["y"],
    "convert_element_type": lambda params, x: np.asarray(x).astype(params["new_dtype"]),
    "select_n": _select,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": lambda params, x: x.transpose(params["permutation"]),
    "squeeze": lambda params, x: x.squeeze(tuple(params["dimensions"])),
    "expand_dims": lambda params, x: np.expand_dims(x, tuple(params["dimensions"])),
    "slice": _slice,
    "rev": lambda params, x: np.flip(x, tuple(params["dimensions"])),
    "concatenate": lambda params, *xs: np.concatenate(xs, axis=params["dimension"]),
    "stack": lambda params, *xs: np.stack(xs, axis=params["axis"]),
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "iota": _iota,
    "reduce_sum": _over_axes(np.sum),
    "reduce_max": _over_axes(np.max),
    "reduce_min": _over_axes(np.min),
    "reduce_prod": _over_axes(np.prod),
    "reduce_and": _over_axes(np.all),
    "reduce_or": _over_axes(np.any),
    "argmax": _argextreme(np.argmax),
    "argmin": _argextreme(np.argmin),
    "cumsum": lambda params, x: (
        np.flip(np.cumsum(np.flip(x, params["axis"]), params["axis"]), params["axis"])
        if params["reverse"]
        else np.cumsum(x, params["axis"])
    ),
    "dot_general": _dot_general,
}
