"""Shadows: what a step does to values in float64, and to a bound on their error.

The bound is that of running error analysis, to first order and doubled: what the errors of the arguments become, and
what the step itself rounds. Comparisons closer than the bounds are not decided by float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.verify.proving.movement import CONTRACTIONS, STRUCTURAL, contracted, moved

if TYPE_CHECKING:
    from fnn.verify.proving.tape import Node

_UNIT = 2.0**-52  # twice what one operation rounds
_TINY = 1e-300  # below, numbers lose digits


def shadow_of(op: str, args: tuple[Node, ...], data: Any) -> tuple[np.ndarray, np.ndarray | float]:
    """Value and error bound of one step.

    Args:
        op: name of the step.
        args: its arguments.
        data: its data.

    Returns:
        The values, and their error as an array or as one number for all entries.
    """
    values, errors = [arg.value for arg in args], [arg.error for arg in args]
    exact = all(np.ndim(e) == 0 and e == 0 for e in errors)
    if op == "const":
        return data, 0.0
    if op == "var":
        return data[1], 0.0
    if op in STRUCTURAL:
        value = moved(op, values, data)
        return value, 0.0 if exact else moved(op, [np.array(arg.bound()) for arg in args], data)
    if op in CONTRACTIONS:
        return _contraction(op, values, errors, [arg.bound() for arg in args], data, exact)
    if op in _ARITHMETIC:
        value, error = _ARITHMETIC[op](*values, *errors)
        error = error + _UNIT * np.abs(value)
        if op in ("mul", "div"):  # what may have lost digits by underflow; 0 · x is 0
            underflows = (values[0] != 0) & ((values[1] != 0) | (op == "div")) & (np.abs(value) < _TINY)
            error = np.where(underflows, error + _TINY, error) if np.any(underflows) else error
        return value, error
    if op == "neg":
        return -values[0], errors[0]
    function = (lambda x: x**data) if op == "power" else _function(data if op == "unknown" else op)
    value = np.asarray(function(*values), np.float64)
    error = 16 * _UNIT * np.abs(value) + _TINY
    if not exact:
        for sign in (1, -1):
            moved_value = function(*(v + sign * np.asarray(e) for v, e in zip(values, errors, strict=True)))
            error = error + 2 * np.abs(moved_value - value)
    return value, error


def _contraction(op: str, values: list, errors: list, bounds: list, data: Any, exact: bool) -> tuple[np.ndarray, Any]:
    value = contracted(op, values, data)
    sizes = [np.abs(v) for v in values]
    scale = contracted(op, sizes, data)
    terms = max(_terms(op, values, value), 1)
    error = (terms + 2) * _UNIT / 2 * scale
    if exact:
        return value, error
    if op == "matmul":
        a, b = bounds
        return value, error + contracted(op, [a, sizes[1]], data) + contracted(op, [sizes[0] + a, b], data)
    return value, error + contracted(op, bounds, data)


def _terms(op: str, values: list[np.ndarray], result: np.ndarray) -> int:
    if op == "matmul":
        return values[0].shape[-1]
    return values[-1].size if op == "scatter_add" else values[0].size // max(1, result.size if op == "sum" else 1)


def _product_error(a: Any, b: Any, ea: Any, eb: Any) -> tuple[Any, Any]:
    return a * b, np.abs(a) * eb + np.abs(b) * ea + ea * eb


def _quotient_error(a: Any, b: Any, ea: Any, eb: Any) -> tuple[Any, Any]:
    value, least = a / b, np.abs(b) - eb
    error = (ea + np.abs(value) * eb) / np.where(least > 0, least, np.nan)
    return np.where(least > 0, value, np.nan) if np.ndim(value) else (value if least > 0 else np.float64(np.nan)), error


_ARITHMETIC: dict[str, Callable] = {
    "add": lambda a, b, ea, eb: (a + b, ea + eb),
    "sub": lambda a, b, ea, eb: (a - b, ea + eb),
    "mul": _product_error,
    "div": _quotient_error,
}

_NUMPY: dict[str, Callable] = {
    "exp": np.exp,
    "log": np.log,
    "root": np.sqrt,
    "cube_root": np.cbrt,
    "sin": np.sin,
    "cos": np.cos,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
}
_SCIPY = {
    "erf": "erf",
    "erf_inv": "erfinv",
    "lgamma": "gammaln",
    "digamma": "digamma",
    "polygamma": "polygamma",
    "igamma": "gammainc",
    "igammac": "gammaincc",
    "regularized_incomplete_beta": "betainc",
    "bessel_i0e": "i0e",
    "bessel_i1e": "i1e",
    "zeta": "zeta",
}


def _function(name: str) -> Callable:
    """A function of reals in float64; SciPy, which JAX brings along, is asked only when it is needed."""
    if name in _NUMPY:
        return _NUMPY[name]
    from scipy import special

    return getattr(special, _SCIPY[name])
