"""Dealing examples: into a part to train on and a part to hold out, and into batches."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from fnn.datasets.examples import Array, Examples
from fnn.validation import as_array, require_flag, require_key, require_number, require_whole


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
    x, y = _pair(x, y, "split")
    fraction = require_number(
        "split expects fraction in (0, 1)", fraction, lambda share: 0 < share < 1, "0.2 holds out one example in five"
    )
    require_flag("split expects stratify", stratify)
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
    x, y = _pair(x, y, "batches")
    n = len(x)
    batch_size = require_whole(
        f"batches expects batch_size as a whole number from 1 to the {n} examples", batch_size, most=n
    )
    starts = range(0, n, batch_size)
    if key is None:
        return (Examples(x[start : start + batch_size], y[start : start + batch_size]) for start in starts)
    order = _shuffled(key, n, "batches")
    return (Examples(x[rows], y[rows]) for rows in (order[start : start + batch_size] for start in starts))


def _pair(x: Array, y: Array, name: str) -> tuple[Array, Array]:
    x, y = as_array("x", x), as_array("y", y)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{name} expects as many rows of y as of x, and at least one, got {len(x)} of x and {len(y)} of "
            "y; row i of y belongs to row i of x"
        )
    return x, y


def _shuffled(key: jax.Array, n: int, name: str) -> np.ndarray:
    require_key(name, key)
    return np.asarray(jax.random.permutation(key, n))
