"""Labels as rows."""

import jax
import jax.numpy as jnp
import numpy as np

from fnn.datasets.examples import Array
from fnn.validation import as_numbers, require_dtype, require_whole, rows_named


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
    n_classes = require_whole("one_hot expects n_classes as a whole number of at least 1", n_classes)
    values = np.asarray(as_numbers("labels", labels))
    if values.ndim != 1:
        raise ValueError(f"one_hot expects labels of shape (n,), got {values.shape}; for a column pass labels[:, 0]")
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"one_hot expects integer labels, got {values.dtype}; pass labels.astype(np.int32)")
    wrong = np.flatnonzero((values < 0) | (values >= n_classes))
    if wrong.size:
        raise ValueError(
            f"one_hot expects labels 0 to {n_classes - 1} for n_classes={n_classes}, got {values[wrong[0]]} "
            f"in {rows_named(wrong)}; correct the labels or raise n_classes"
        )
    rows = np.zeros((len(values), n_classes), require_dtype("one_hot", dtype))
    rows[np.arange(len(values)), values] = 1
    return jnp.asarray(rows) if isinstance(labels, jax.Array) else rows
