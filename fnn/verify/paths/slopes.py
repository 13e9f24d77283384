"""Derivatives of the elementwise primitives: the slope of the output in one operand, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.paths.evaluate import as_function

Slope = Callable[[dict, int, Sequence[np.ndarray], np.ndarray], Any]


def _unary(f: Callable[[np.ndarray, np.ndarray], Any]) -> Slope:
    return lambda params, k, xs, y: f(np.asarray(xs[0]), y)


def _extreme(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    equal = xs[0] == xs[1]
    return np.where(equal, 0.5, (xs[k] == y) * 1.0)


def _select(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    return (np.asarray(xs[0]).astype(int) == k - 1) * 1.0


def _pow(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    a, b = xs
    return b * np.power(a, b - 1) if k == 0 else y * np.log(np.where(a > 0, a, 1.0))


def _integer_pow(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    p = params["y"]
    return p * np.asarray(xs[0], np.float64) ** (p - 1)


def _clamp(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    low, x, high = xs
    return ((x > low) & (x < high)) * 1.0 if k == 1 else (x <= low) * 1.0 if k == 0 else (x >= high) * 1.0


def _atan2(params: dict, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> np.ndarray:
    a, b = xs
    return (b if k == 0 else -a) / (a * a + b * b)


SLOPES: dict[str, Slope] = {
    "add": lambda params, k, xs, y: 1.0,
    "add_any": lambda params, k, xs, y: 1.0,
    "sub": lambda params, k, xs, y: -1.0 if k else 1.0,
    "mul": lambda params, k, xs, y: xs[1 - k],
    "div": lambda params, k, xs, y: 1 / xs[1] if k == 0 else -y / xs[1],
    "neg": lambda params, k, xs, y: -1.0,
    "exp": _unary(lambda x, y: y),
    "exp2": _unary(lambda x, y: y * np.log(2.0)),
    "log": _unary(lambda x, y: 1 / x),
    "log1p": _unary(lambda x, y: 1 / (1 + x)),
    "expm1": _unary(lambda x, y: y + 1),
    "tanh": _unary(lambda x, y: 1 - y * y),
    "logistic": _unary(lambda x, y: y * (1 - y)),
    "sqrt": _unary(lambda x, y: 0.5 / y),
    "rsqrt": _unary(lambda x, y: -0.5 * y / x),
    "square": _unary(lambda x, y: 2 * x),
    "integer_pow": _integer_pow,
    "pow": _pow,
    "max": _extreme,
    "min": _extreme,
    "abs": _unary(lambda x, y: np.sign(x)),
    "sin": _unary(lambda x, y: np.cos(x)),
    "cos": _unary(lambda x, y: -np.sin(x)),
    "tan": _unary(lambda x, y: 1 + y * y),
    "atan2": _atan2,
    "copy": lambda params, k, xs, y: 1.0,
    "convert_element_type": lambda params, k, xs, y: 1.0,
    "reduce_precision": lambda params, k, xs, y: 1.0,
    "select_n": _select,
    "clamp": _clamp,
}

_OTHERS = {
    "erf", "erfc", "erf_inv", "lgamma", "digamma", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh",
    "cbrt", "bessel_i0e", "bessel_i1e", "igamma", "igammac", "regularized_incomplete_beta", "polygamma", "zeta",
}  # fmt: skip


def elementwise(name: str) -> bool:
    """Whether a primitive works entry by entry."""
    return name in SLOPES or name in _OTHERS


def slope_of(eqn: Any, k: int, xs: Sequence[np.ndarray], y: np.ndarray) -> Any:
    """Slope of an elementwise equation's output in operand k.

    Args:
        eqn: the equation.
        k: number of the operand.
        xs: the operands.
        y: the output.

    Returns:
        An array that broadcasts to the output's shape, or a number.
    """
    rule = SLOPES.get(eqn.primitive.name)
    if rule is not None:
        with np.errstate(all="ignore"):
            return rule(eqn.params, k, xs, y)
    f = as_function(eqn)

    def of_operand(x: jax.Array) -> jax.Array:
        return f(*[x if j == k else jnp.asarray(v) for j, v in enumerate(xs)])[0]

    x = jnp.asarray(xs[k])
    return np.asarray(jax.jvp(of_operand, (x,), (jnp.ones_like(x),))[1])
