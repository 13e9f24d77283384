"""Arguments looked at in one place: numbers, whole numbers, keys, options, arrays.

Every message says what was expected, what was received, and what to do. NumPy's integers are whole numbers, True is no
number, NaN and infinity are none where a number is meant, and lists of numbers are taken where arrays are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def require_number(
    expected: str, value: Any, holds: Callable[[float], bool] = lambda value: True, remedy: str = ""
) -> float:
    """Refuse what is no finite number, or outside of the range that a function is made for.

    Args:
        expected: who expects what, for the message: "dropout expects a rate in [0, 1)".
        value: what was received; a number or an array of shape ().
        holds: whether a number is in the range.
        remedy: what to do, where that is not plain from the range.

    Returns:
        The number, as Python's.

    Raises:
        TypeError: value is no number.
        ValueError: it is NaN, infinite, or out of range.
    """
    number = scalar(value)
    if number is None or not isinstance(number, Real):
        raise TypeError(_message(expected, value, remedy))
    if not (math.isfinite(number) and holds(float(number))):
        raise ValueError(_message(expected, value, remedy))
    return number  # type: ignore[return-value]


def require_whole(
    expected: str, value: Any, *, least: int = 1, most: int | None = None, remedy: str = "", within: Any = None
) -> int:
    """Refuse what is no whole number within bounds.

    Args:
        expected: who expects what, for the message: "dense expects n_out as a whole number of at least 1".
        value: what was received; numpy integers are whole numbers, True and 3.0 are none.
        least: the smallest that will do.
        most: the largest, or None.
        remedy: what to do.
        within: what the number is a part of, to be shown in the message.

    Returns:
        The number, as Python's.

    Raises:
        ValueError: anything else.
    """
    number, shown = scalar(value), value if within is None else within
    if not isinstance(number, Integral):
        raise ValueError(_message(expected, shown, remedy))
    whole = int(number)
    if whole < least or (most is not None and whole > most):
        raise ValueError(_message(expected, shown, remedy))
    return whole


def scalar(value: Any) -> Any:
    """A number as Python's own, from NumPy or JAX where need be; None for True, text, arrays with axes and the like."""
    if isinstance(value, jax.core.Tracer):
        return None
    if isinstance(value, np.generic | np.ndarray | jax.Array) and np.shape(value) == ():
        dtype = value.dtype
        if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or dtype.name == "bool":
            return None
        value = float(value) if jnp.issubdtype(dtype, jnp.floating) else np.asarray(value).item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return value


def is_key(value: Any) -> bool:
    """Whether a value is a random key, of today's typed kind or of the older kind, two uint32.

    Args:
        value: anything.
    """
    if not isinstance(value, jax.Array | np.ndarray):
        return False
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.shape == ()
    return value.dtype == np.uint32 and value.ndim == 1 and value.shape[0] in (2, 4)


def require_key(who: str, key: Any) -> jax.Array:
    """Refuse what is no single random key, such as a bare seed, two keys, or floats.

    Args:
        who: who expects it, for the message.
        key: what was received.

    Returns:
        The key.

    Raises:
        TypeError: anything else.
    """
    if not is_key(key):
        received = f"{key.dtype} {key.shape}" if isinstance(key, jax.Array | np.ndarray) else f"{key!r:.80}"
        raise TypeError(f"{who} expects a random key, got {received}; pass jax.random.key(0)")
    return key


def require_option(expected: str, value: Any, options: Iterable[str]) -> str:
    """Refuse what is none of a few words.

    Args:
        expected: who expects what, for the message: "mlp expects precision".
        value: what was received.
        options: the words.

    Returns:
        The word.

    Raises:
        ValueError: anything else.
    """
    options = tuple(options)
    if not isinstance(value, str) or value not in options:
        words = ", ".join(f'"{option}"' for option in options[:-1])
        raise ValueError(f'{expected} {words} or "{options[-1]}", got {value!r:.80}')
    return value


def require_flag(expected: str, value: Any) -> bool:
    """Refuse what is neither True nor False.

    Args:
        expected: who expects what, for the message: "dense expects use_bias".
        value: what was received.

    Returns:
        The value.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{expected} as True or False, got {value!r:.80}")
    return bool(value)


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
        An array: NumPy's, JAX's or a tracer.

    Raises:
        TypeError, ValueError: as `as_array`; another dtype, or bytes in foreign order, which JAX would misread.
    """
    array = as_array(what, value)
    real = jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)
    if not (real or array.dtype == np.bool_):
        raise ValueError(f"expected {what} as numbers, got {array.dtype}; encode other data as real numbers first")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        raise ValueError(
            f"expected {what} in this machine's byte order, got {array.dtype.str}; "
            f"convert it with {what}.astype({what}.dtype.newbyteorder('='))"
        )
    return array


def wraps_around(array: Any) -> bool:
    """Whether JAX, which keeps 32 bits unless it is told otherwise, would wrap some integers of an array around.

    Args:
        array: NumPy's, JAX's or a tracer.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.size == 0:
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


def _message(expected: str, value: Any, remedy: str) -> str:
    shown = f"{value!r:.80}"
    return f"{expected}, got {shown}" + (f"; {remedy}" if remedy else "")
