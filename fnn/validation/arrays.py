"""Arguments that are arrays or trees of them, and what JAX would do to their numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.validation.values import scalar


def require_dtype(who: str, dtype: Any) -> np.dtype:
    """Refuse what is no dtype of real numbers.

    Args:
        who: who expects it, for the message.
        dtype: what was received.

    Returns:
        The dtype.

    Raises:
        TypeError: anything else.
    """
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found is None or not _is_real(found):
        raise TypeError(f"{who} expects dtype as one of real numbers, got {dtype!r:.80}; such as numpy.float32")
    return found


@cache
def _is_real(dtype: Any) -> bool:
    return dtype == np.bool_ or _is_floating(dtype) or bool(jnp.issubdtype(dtype, jnp.integer))


@cache
def _is_floating(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


def as_array(what: str, value: Any) -> Any:
    """Take an array as it is, and lists of numbers as NumPy arrays; refuse anything else.

    Args:
        what: its name, for the message.
        value: what was received.

    Returns:
        An array: NumPy's, JAX's or a tracer.

    Raises:
        TypeError: text, ragged lists, None, objects.
        ValueError: a masked array, whose mask would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"expected {what} as an array, got a masked array, whose mask would be lost; fill it with .filled(value), "
            "or leave the rows out"
        )
    if isinstance(value, jax.Array | np.ndarray):
        return value
    if hasattr(value, "__array__") and not isinstance(value, list | tuple):
        return np.asarray(value)
    if not isinstance(value, list | tuple) or len(jax.tree.leaves(value)) == 0:
        raise TypeError(
            f"expected {what} as an array, got {type(value).__name__}; convert it with numpy.asarray({what}), or a "
            "sparse one with .todense()"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"expected {what} as an array, got lists of different lengths; pad or split them") from error
    if array.dtype == object or array.dtype.kind in "USOV":
        raise TypeError(f"expected {what} as numbers, got a list of {array.dtype}; encode other data as numbers first")
    return array


def as_numbers(what: str, value: Any) -> Any:
    """Take real numbers as an array, as `as_array` does; refuse text, objects, keys and complex numbers.

    Args:
        what: its name, for the message.
        value: what was received.

    Returns:
        An array: NumPy's, with bytes in this machine's order, which JAX takes for granted, JAX's or a tracer.

    Raises:
        TypeError, ValueError: as `as_array`; another dtype.
    """
    array = as_array(what, value)
    if not _is_real(array.dtype):
        raise ValueError(f"expected {what} as numbers, got {array.dtype}; encode other data as real numbers first")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def wraps_around(array: Any) -> bool:
    """Whether JAX, which keeps 32 bits unless it is told otherwise, would wrap some integers of an array around.

    Args:
        array: NumPy's, JAX's or a tracer.
    """
    if not isinstance(array, np.ndarray) or array.dtype.itemsize < 8 or array.dtype.kind not in "iu" or not array.size:
        return False
    kept = jax.dtypes.canonicalize_dtype(array.dtype)
    if kept == array.dtype:
        return False
    limits = np.iinfo(kept)
    return bool(array.min() < limits.min or array.max() > limits.max)


def without_wrapping(array: Any) -> Any:
    """Integers that JAX would wrap around as floating-point numbers, rounded as any number is; the rest as it is.

    Args:
        array: NumPy's, JAX's or a tracer.
    """
    return array.astype(jnp.result_type(float)) if wraps_around(array) else array


def is_finite(array: np.ndarray) -> np.ndarray:
    """Which entries are finite, and stay so in the type that JAX keeps: 1e39 is infinite in float32.

    Args:
        array: numbers of any real type, on the host.
    """
    with np.errstate(over="ignore"):
        return np.isfinite(array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False))


def is_float(leaf: Any) -> bool:
    """Whether a leaf of a tree is a floating-point number, or an array of them.

    Args:
        leaf: anything.
    """
    return isinstance(leaf, float) or (hasattr(leaf, "dtype") and _is_floating(leaf.dtype))


def holds_numbers(leaf: Any) -> bool:
    """Whether a leaf of a tree is an array of real numbers, its shape, or a number.

    Args:
        leaf: anything.
    """
    if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        return scalar(leaf) is not None
    return _is_real(leaf.dtype)


def require_arrays(who: str, tree: Any) -> list[Any]:
    """Refuse a tree with leaves that are neither arrays of numbers, nor their shapes, nor numbers.

    Args:
        who: who expects it, for the message.
        tree: what was received.

    Returns:
        The leaves.

    Raises:
        TypeError: anything else.
    """
    leaves = jax.tree.leaves(tree)
    for leaf in leaves:
        if not holds_numbers(leaf):
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise TypeError(f"{who} expects a tree of arrays, such as a network's params, got {kind} in it")
    return leaves


def rows_named(rows: np.ndarray) -> str:
    """Name rows in a message: the first five, and how many more there are.

    Args:
        rows: row numbers.
    """
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(str(row) for row in rows[:5])}{more}"


def on_host(array: Any) -> bool:
    """Whether the values of an array can be read without waiting for an accelerator, and outside of any trace.

    Args:
        array: NumPy's, JAX's or a tracer.
    """
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or (
        array.is_fully_addressable and all(device.platform == "cpu" for device in array.devices())
    )
