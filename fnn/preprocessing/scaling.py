"""Scalers: the range or the mean and deviation of each feature, fitted on the training data alone.

What comes in as NumPy goes out as NumPy and what comes in as a jax array goes out as one; float64 stays
float64, 64-bit and (in NumPy) 32-bit integers become float64, and everything else, such as uint8 pixels,
becomes float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.datasets.examples import Array
from fnn.validation import as_array, as_numbers, rows_named

_BLOCK = 1 << 20  # entries that are widened to float64 at a time


class MinMax(NamedTuple):
    """The range of each feature, as `min_max` found it; maps it to [0, 1] and back."""

    low: Array  # the shape of one example, or a scalar
    high: Array

    def apply(self, x: Array) -> Array:
        """Map x (n, ...) to (x − low) / (high − low); a feature that was constant is only shifted, to 0."""
        x, low, high = _floats(x, self.low, self.high)
        x -= low
        x /= _or_one(high - low)
        return x

    def invert(self, x: Array) -> Array:
        """Undo `apply`: x · (high − low) + low, where a feature that was constant is only shifted back."""
        x, low, high = _floats(x, self.low, self.high)
        x *= _or_one(high - low)
        x += low
        return x


def min_max(x: Array, axis: int | None = 0) -> MinMax:
    """Find the range of each feature, to scale with: fit on the training part only, apply to every part.

    Args:
        x: training examples (n, ...), any numeric type.
        axis: 0 for a range of each feature, None for one range of all, as pixels want it.

    Returns:
        The minimum and maximum as a pytree of arrays, with `apply` and `invert`.

    Raises:
        ValueError: x is empty, not numeric, or not finite.

    Examples:
        >>> scaler = min_max(np.array([[0.0, 5.0], [10.0, 5.0]]))
        >>> scaler.apply(np.array([[20.0, 6.0]]))
        array([[2., 1.]])
        >>> scaler.invert(np.array([[2.0, 1.0]]))
        array([[20.,  6.]])
    """
    values = _values_to_fit(x, axis, "min_max")
    return MinMax(*_like(x, values.min(axis=0), values.max(axis=0)))


class Standardizer(NamedTuple):
    """The mean and deviation of each feature, as `standardize` found them; maps them to 0 and 1 and back."""

    mean: Array  # the shape of one example, or a scalar
    std: Array  # 0 for a constant feature

    def apply(self, x: Array) -> Array:
        """Map x (n, ...) to (x − mean) / std; a feature that was constant is only shifted, to 0."""
        x, mean, std = _floats(x, self.mean, self.std)
        x -= mean
        x /= _or_one(std)
        return x

    def invert(self, x: Array) -> Array:
        """Undo `apply`: x · std + mean, where a feature that was constant is only shifted back."""
        x, mean, std = _floats(x, self.mean, self.std)
        x *= _or_one(std)
        x += mean
        return x


def standardize(x: Array, axis: int | None = 0) -> Standardizer:
    """Find mean and standard deviation of each feature: fit on the training part only, apply to every part.

    Args:
        x: training examples (n, ...), any numeric type.
        axis: 0 for each feature on its own, None for one mean and deviation of all, as pixels want it.

    Returns:
        Mean and standard deviation (the root of the mean square, over n) as a pytree of arrays, with `apply`
        and `invert`.

    Raises:
        ValueError: x is empty, not numeric, or not finite.

    Stability:
        Two passes in float64 on the host, whatever the type of x. A constant feature gets exactly its value
        and 0, not what rounding leaves of them.

    Examples:
        >>> scaler = standardize(np.array([[1.0, 7.0], [3.0, 7.0]]))
        >>> scaler.apply(np.array([[5.0, 8.0]]))
        array([[3., 1.]])
    """
    values = _values_to_fit(x, axis, "standardize")
    mean = values.mean(axis=0, dtype=np.float64)
    rows = max(1, _BLOCK // max(1, mean.size))
    blocks = (values[start : start + rows] for start in range(0, len(values), rows))
    variance = sum(((block - mean) ** 2).sum(axis=0) for block in blocks) / len(values)
    constant = values.min(axis=0) == values.max(axis=0)
    return Standardizer(*_like(x, np.where(constant, values[0], mean), np.where(constant, 0, np.sqrt(variance))))


def _values_to_fit(x: Array, axis: int | None, name: str) -> np.ndarray:
    x = as_array("x", x)
    _float_type(x, name)
    values = np.asarray(x)
    if axis is not None and (isinstance(axis, bool) or axis != 0):
        raise ValueError(
            f"{name} expects axis 0 (each feature) or None (all together), got {axis!r}; examples are rows"
        )
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{name} expects at least one example, got x of shape {values.shape}; pass rows (n, ...)")
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        raise ValueError(
            f"{name} expects finite numbers, got NaN or infinity in {rows_named(rows)}; leave these rows out or "
            "fill them in"
        )
    return values if axis == 0 else values.reshape(-1)


def _float_type(x: Array, name: str = "a scaler") -> np.dtype:
    if not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool):
        raise ValueError(f"{name} expects real numbers, got x of type {x.dtype}; encode other data as numbers first")
    if isinstance(x, jax.Array):
        return np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)
    return np.result_type(x.dtype, np.float32)


def _floats(x: Array, *statistics: Array) -> list:
    # A floating copy of x, and the statistics in its type.
    library = jnp if isinstance(x, jax.Array) else np
    x = library.asarray(as_numbers("x", x))
    dtype, shape = _float_type(x), np.shape(statistics[0])
    if shape not in ((), x.shape[1:]):
        raise ValueError(
            f"a scaler fitted on examples of shape {shape} expects x of shape {('n', *shape)}, got {x.shape}; "
            "for one example pass x[None]"
        )
    return [library.array(x, dtype), *(library.asarray(value, dtype) for value in statistics)]


def _like(x: Array, *statistics: np.ndarray) -> list:
    library = jnp if isinstance(x, jax.Array) else np
    return [library.asarray(value, _float_type(library.asarray(x))) for value in statistics]


def _or_one(scale):
    # A constant feature has scale 0; dividing by 1 keeps it finite.
    library = jnp if isinstance(scale, jax.Array) else np
    return library.where(scale == 0, library.ones_like(scale), scale)
