"""What a loss accepts as targets: shapes on every call, values on the host, before anything is compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fnn.validation import as_numbers, is_finite, require_number

_TO_INTEGERS = "convert them with y.astype('int32')"


def smooth_labels(y: jax.Array, amount: float) -> jax.Array:
    """Take some probability from each row's target and spread it evenly: (1 − amount) y + amount / c.

    Args:
        y: rows of probabilities (n, c), such as `fnn.preprocessing.one_hot` gives.
        amount: probability to spread, in [0, 1].

    Returns:
        Rows (n, c) that sum to what they summed to.

    Raises:
        ValueError: y holds integer labels or is no matrix; amount is outside [0, 1].

    References:
        Szegedy et al., Rethinking the Inception architecture for computer vision (2016), section 7.

    Examples:
        >>> smooth_labels(jnp.array([[0.0, 1.0]]), 0.5)
        Array([[0.25, 0.75]], dtype=float32)
    """
    amount = require_number("smooth_labels expects an amount in [0, 1]", amount, lambda amount: 0 <= amount <= 1)
    y = as_numbers("y", y)
    if y.ndim != 2 or not jnp.issubdtype(y.dtype, jnp.floating):
        raise ValueError(
            f"smooth_labels expects rows of probabilities (n, c), got {y.dtype} {y.shape}; "
            "make them with fnn.preprocessing.one_hot(labels, c)"
        )
    return (1 - amount) * y + amount / y.shape[1] * y.sum(axis=1, keepdims=True)


def shares(z: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Share of each example in the mean, (n,): w / Σw, or 1/n.

    All are 0 where all weights are, as for a masked batch, and NaN where Σw overflows, for 0 would train nothing.
    """
    n = z.shape[0]
    if weights is None:
        return jnp.full(n, 1 / n, z.dtype)
    if weights.shape != (n,):
        raise ValueError(
            f"weights: expected one an example, shape ({n},), got {weights.shape}; for class weights pass weights[y]"
        )
    weights = weights.astype(z.dtype)
    total = weights.sum()
    return weights / jnp.where(total == 0, 1, jnp.where(jnp.isinf(total), jnp.nan, total))


def as_rows(z: jax.Array, y: jax.Array, name: str) -> jax.Array:
    """Targets of a classifier as rows (n, c): integer labels become one-hot, NaN where out of range."""
    if not jnp.issubdtype(y.dtype, jnp.integer):
        if y.ndim == 1:
            raise ValueError(f"labels must be integers, got {y.dtype} of shape {y.shape}; {_TO_INTEGERS}")
        return like_predictions(z, y, name)
    check_matrix(z, name)
    n, c = z.shape
    if y.shape != (n,):
        raise ValueError(
            f"{name} expects {n} integer labels, shape ({n},), got {y.shape}; "
            "for one-hot rows pass floats, for labels of shape (n, 1) pass y[:, 0]"
        )
    y = y.astype(jnp.int32) if y.dtype.itemsize < 4 else y  # wide enough to count to c
    one_hot = (y[:, None] == jnp.arange(c, dtype=y.dtype)).astype(z.dtype)
    # A row sums to 1, or to 0 where the label names no class and 0 / 0 = NaN shows it: half the operations of a mask.
    return one_hot / one_hot.sum(axis=1, keepdims=True)


def like_predictions(z: jax.Array, y: jax.Array, name: str) -> jax.Array:
    """Targets of the very shape of the predictions: nothing is ever broadcast."""
    check_matrix(z, name)
    if y.shape != z.shape:
        hint = "pass y[:, None]" if y.shape == (z.shape[0],) else "give one row an example, one column an output"
        raise ValueError(f"{name} expects y of shape {z.shape}, like the predictions, got {y.shape}; {hint}")
    return y.astype(z.dtype)


def check_matrix(z: jax.Array, name: str) -> None:
    """Refuse predictions that are no matrix, or an empty one, whose mean would be NaN."""
    if z.ndim != 2 or z.shape[0] == 0:
        raise ValueError(
            f"{name} expects predictions of shape (n, d_out) with n at least 1, got {z.shape}; "
            "put flatten before the last dense layer, and never average an empty batch"
        )


def check_finite(y: np.ndarray, outputs: int) -> None:
    """Refuse targets that hold NaN or infinity, on the host.

    Args:
        y: targets of any shape, rows are examples.
        outputs: number of outputs of the network; not needed here.

    Raises:
        ValueError: names the rows.
    """
    if jnp.issubdtype(y.dtype, jnp.floating):
        refuse_rows(~is_finite(y), "targets must be finite", "drop or repair these rows")


def check_probabilities(y: np.ndarray, outputs: int) -> None:
    """Refuse targets outside [0, 1], on the host.

    Args:
        y: 0, 1 or a probability for each output, (n, d_out).
        outputs: number of outputs of the network; not needed here.

    Raises:
        ValueError: names the rows.
    """
    check_finite(y, outputs)
    refuse_rows((y < 0) | (y > 1), "binary targets must lie in [0, 1]", "map classes to 0 and 1, as y = (y > 0)")


def check_labels_or_rows(y: np.ndarray, outputs: int) -> None:
    """Refuse labels that name no class, and rows that are no probability distribution, on the host.

    Args:
        y: integer labels (n,) from 0 to outputs − 1, or rows of probabilities (n, outputs).
        outputs: number of classes, c.

    Raises:
        ValueError: names the rows.
    """
    if np.issubdtype(y.dtype, np.integer):
        refuse_rows(
            (y < 0) | (y >= outputs),
            f"labels must be whole numbers from 0 to {outputs - 1}",
            "renumber the classes from 0, or give the network as many outputs as there are classes",
            y,
        )
        return
    if y.ndim == 1:
        raise ValueError(f"labels must be integers, got {y.dtype} of shape {y.shape}; {_TO_INTEGERS}")
    check_finite(y, outputs)
    refuse_rows(y < 0, "probabilities must be at least 0", "pass integer labels, or rows that sum to 1")
    sums = y.sum(axis=-1, dtype=np.float64)
    refuse_rows(
        np.abs(sums - 1) > 1e-3,
        "rows of class probabilities must sum to 1",
        "use weights= to weigh examples or to mask them out",
        sums,
    )


def refuse_rows(bad: np.ndarray, expected: str, remedy: str, values: np.ndarray | None = None) -> None:
    """Raise if any entry is marked bad, naming the first rows and, where given, their values.

    Args:
        bad: bools, rows are examples.
        expected: what must hold.
        remedy: what to do.
        values: one number a row to quote.

    Raises:
        ValueError: some entry is bad.
    """
    if not bad.any():
        return
    rows = np.flatnonzero(bad.reshape(bad.shape[0], -1).any(axis=1))
    first = ", ".join(str(row) if values is None else f"{row} ({values[row]:g})" for row in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    raise ValueError(f"{expected}; got otherwise in row {first}{more}; {remedy}")


def check_weights(weights: np.ndarray) -> None:
    """Refuse example weights that are negative, not finite, all zero, or whose sum is none that training can divide by.

    Args:
        weights: (n,).

    Raises:
        ValueError: names the rows.
    """
    refuse_rows(~(np.isfinite(weights) & (weights >= 0)), "weights must be finite and at least 0", "repair these")
    with np.errstate(over="ignore"):
        total = float(weights.sum(dtype=np.float64))
    if total == 0:
        raise ValueError("weights: expected at least one above 0, got all zeros; the mean divides by their sum")
    held = jnp.finfo(jnp.result_type(float))
    if not float(held.tiny) <= total <= float(held.max):
        raise ValueError(
            f"weights: expected a sum from {held.tiny:.1e} to {held.max:.1e}, as {held.dtype} holds it, got "
            f"{total:.1e}; divide them by their mean"
        )
