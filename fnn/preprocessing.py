"""Preparing data before training: scaling, one-hot rows, splitting, batches, and an audit of what may be wrong.

What comes in as NumPy goes out as NumPy and what comes in as a jax array goes out as one; float64 stays
float64, 64-bit and (in NumPy) 32-bit integers become float64, and everything else, such as uint8 pixels,
becomes float32.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.auditing import Audit as Audit
from fnn.auditing import Finding as Finding
from fnn.auditing import audit as audit
from fnn.auditing.report import listed
from fnn.datasets.examples import Array, Examples

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
    values = np.asarray(x)
    if axis not in (0, None):
        raise ValueError(
            f"{name} expects axis 0 (each feature) or None (all together), got {axis!r}; examples are rows"
        )
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{name} expects at least one example, got x of shape {values.shape}; pass rows (n, ...)")
    _float_type(values, name)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        raise ValueError(
            f"{name} expects finite numbers, got NaN or infinity in {listed(rows)}; leave these rows out or "
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
    x = library.asarray(x)
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


def one_hot(labels: Array, n_classes: int, dtype=np.float32) -> Array:
    """Turn integer labels into rows that are 1 at the label and 0 elsewhere.

    Args:
        labels: (n,), integers in [0, n_classes).
        n_classes: c.
        dtype: type of the rows.

    Returns:
        Rows (n, c), NumPy or jax as the labels are.

    Raises:
        ValueError: labels are not a vector of integers in range. (`jax.nn.one_hot` gives a row of zeros for
            such a label.)

    Examples:
        >>> one_hot(np.array([2, 0]), 3)
        array([[0., 0., 1.], [1., 0., 0.]], dtype=float32)
    """
    values = np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(f"one_hot expects labels of shape (n,), got {values.shape}; for a column pass labels[:, 0]")
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"one_hot expects integer labels, got {values.dtype}; pass labels.astype(np.int32)")
    wrong = np.flatnonzero((values < 0) | (values >= n_classes))
    if wrong.size:
        raise ValueError(
            f"one_hot expects labels 0 to {n_classes - 1} for n_classes={n_classes}, got {values[wrong[0]]} "
            f"in {listed(wrong)}; correct the labels or raise n_classes"
        )
    rows = np.zeros((len(values), n_classes), dtype)
    rows[np.arange(len(values)), values] = 1
    return jnp.asarray(rows) if isinstance(labels, jax.Array) else rows


class Split(NamedTuple):
    """The two parts of a data set; unpacks as `train, held_out = split(...)`."""

    train: Examples
    held_out: Examples


def split(key: jax.Array, x: Array, y: Array, *, fraction: float = 0.2, stratify: bool = False) -> Split:
    """Deal examples at random into a part to train on and a part to hold out, each in random order.

    Args:
        key: one key, one split.
        x: examples (n, ...).
        y: labels or targets (n, ...).
        fraction: share of the examples to hold out, in (0, 1); rounded to whole examples.
        stratify: hold out this share of each class, y being integer labels (n,).

    Returns:
        train, held_out: every example is in exactly one of them.

    Raises:
        ValueError: lengths differ, fraction is outside (0, 1), a part would be empty, or stratify without
            labels.

    Examples:
        >>> train, held_out = split(jax.random.key(0), np.arange(10.0)[:, None], np.arange(10), fraction=0.3)
        >>> len(train.x), len(held_out.x)
        (7, 3)
    """
    _check_pair(x, y, "split")
    if not 0 < fraction < 1:
        raise ValueError(f"split expects fraction in (0, 1), got {fraction}; 0.2 holds out one example in five")
    order = _shuffled(key, len(x), "split")
    held = np.zeros(len(x), bool)
    for group in _classes(np.asarray(y)[order]) if stratify else [np.arange(len(x))]:
        held[group[: round(fraction * len(group))]] = True
    if held.all() or not held.any():
        raise ValueError(
            f"split expects both parts to get an example, got {held.sum()} of {len(x)} held out with "
            f"fraction={fraction}; change fraction or bring more data"
        )
    return Split(*(Examples(x[rows], y[rows]) for rows in (order[~held], order[held])))


def _classes(labels: np.ndarray) -> list[np.ndarray]:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"split expects integer labels (n,) to stratify by, got {labels.dtype} {labels.shape}; use stratify=False"
        )
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def batches(key: jax.Array | None, x: Array, y: Array, batch_size: int) -> Iterator[Examples]:
    """Deal examples into batches: each exactly once, the last batch smaller if n is no multiple of batch_size.

    Args:
        key: shuffles; None keeps the order (and copies nothing).
        x: examples (n, ...), in memory or memory-mapped.
        y: labels or targets (n, ...).
        batch_size: examples a batch, 1 to n.

    Returns:
        An iterator over batches `Examples(x, y)`.

    Raises:
        ValueError: lengths differ or batch_size is out of range; at the call, not at the first batch.

    Examples:
        >>> [y.tolist() for x, y in batches(None, np.zeros((5, 2)), np.arange(5), 2)]
        [[0, 1], [2, 3], [4]]
    """
    n = _check_pair(x, y, "batches")
    if not 1 <= batch_size <= n:
        raise ValueError(f"batches expects batch_size from 1 to the {n} examples, got {batch_size}; lower it")
    starts = range(0, n, batch_size)
    if key is None:
        return (Examples(x[start : start + batch_size], y[start : start + batch_size]) for start in starts)
    order = _shuffled(key, n, "batches")
    return (Examples(x[rows], y[rows]) for rows in (order[start : start + batch_size] for start in starts))


def _check_pair(x: Array, y: Array, name: str) -> int:
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{name} expects as many rows of y as of x, and at least one, got {len(x)} of x and {len(y)} of "
            "y; row i of y belongs to row i of x"
        )
    return len(x)


def _shuffled(key: jax.Array, n: int, name: str) -> np.ndarray:
    if not isinstance(key, jax.Array):
        raise ValueError(f"{name} expects key to be a jax.random.key, got {key!r}; pass jax.random.key(0)")
    return np.asarray(jax.random.permutation(key, n))
