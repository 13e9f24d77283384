"""Arguments that are no arrays: numbers, whole numbers, keys, options, flags, functions, paths."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
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
        if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or dtype.kind == "b":
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


def require_function(expected: str, value: Any, arguments: int | None = None) -> Callable:
    """Refuse what can't be called, or not with so many arguments.

    Args:
        expected: who expects what, for the message: "stateless expects init as a function (key, shape)".
        value: what was received.
        arguments: how many it has to take by position; None does not ask.

    Returns:
        The function.

    Raises:
        TypeError: anything else.
    """
    if not callable(value) or (arguments is not None and not _takes(value, arguments)):
        raise TypeError(f"{expected}, got {getattr(value, '__name__', None) or repr(value):.80}")
    return value


def _takes(function: Callable, arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature: its first call will tell
        return True
    return True


def require_path(who: str, path: Any) -> Path:
    """Refuse what names no file or folder, such as a number, which would be taken for an open file.

    Args:
        who: who expects it, for the message.
        path: what was received.

    Returns:
        The path.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{who} expects a path, got {path!r:.80}; pass text or a pathlib.Path")
    return Path(path)


def _message(expected: str, value: Any, remedy: str) -> str:
    shown = f"{value!r:.80}"
    return f"{expected}, got {shown}" + (f"; {remedy}" if remedy else "")
