"""How good predictions are, in numbers that people quote."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from fnn.validation import as_numbers


def accuracy(predictions: ArrayLike, y: ArrayLike) -> float:
    """Share of examples whose predicted class is right.

    Args:
        predictions: ŷ, (n, c) scores or probabilities, the largest wins; or (n, 1) and (n,) probabilities of "yes",
            at least ½ wins.
        y: labels (n,), rows (n, c) whose largest entry is the class, or like single probabilities, at least ½ is "yes".

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: shapes don't fit, no example, labels that are no whole numbers, single predictions outside [0, 1],
            or predictions that are NaN: such a model has no accuracy.

    Examples:
        >>> P = [[.1, .5, .2, .2], [.3, .4, .2, .1], [.2, .3, .4, .1]]
        >>> accuracy(np.array(P), np.array([1, 0, 2]))  # the second row says 1
        0.6666666666666666
    """
    return float(np.mean(classes(predictions, "predictions") == _classes_like(predictions, y)))


def confusion_matrix(predictions: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Count examples by true class (row) and predicted class (column).

    Args:
        predictions: as `accuracy` takes them; c classes, 2 for "yes or no".
        y: as `accuracy` takes them.

    Returns:
        Integers (c, c); the diagonal holds what is right, everything adds up to n.

    Raises:
        ValueError: as `accuracy`, and labels that are no class.

    Examples:
        >>> confusion_matrix(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
        array([[1, 0],
               [1, 1]])
    """
    predicted, true = classes(predictions, "predictions"), _classes_like(predictions, y)
    shape = np.shape(predictions)
    c = shape[1] if len(shape) == 2 and shape[1] > 1 else 2
    if true.min() < 0 or true.max() >= c:
        raise ValueError(f"labels must be from 0 to {c - 1} for {c} classes, got {true.min()} to {true.max()}")
    counts = np.zeros((c, c), dtype=int)
    np.add.at(counts, (true, predicted), 1)
    return counts


def r2_score(predictions: ArrayLike, y: ArrayLike) -> float:
    """Coefficient of determination, R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)², averaged over outputs.

    Args:
        predictions: ŷ, (n, d_out).
        y: targets (n, d_out).

    Returns:
        1 for perfect predictions, 0 for those that are no better than each output's mean, below 0 for worse.

    Raises:
        ValueError: shapes differ, numbers that are not finite, or an output is constant, where R² is not defined.

    References:
        Draper and Smith, Applied Regression Analysis (1998), section 1.3.

    Examples:
        >>> r2_score(np.array([[1.0], [2.0], [6.0]]), np.array([[1.0], [2.0], [3.0]]))  # 1 − 9 / 2
        -3.5
    """
    predicted, true = (_floats("predictions", predictions), _floats("y", y))
    if predicted.shape != true.shape or true.size == 0:
        raise ValueError(f"r2_score expects predictions and y of one shape, got {predicted.shape} and {true.shape}")
    width = np.ptp(true, axis=0)  # 0 exactly where targets are equal; their mean is rounded
    if np.any(width == 0):
        raise ValueError("r2_score is not defined for an output whose targets are all the same; report the loss")
    # Within units of the width no square of a deviation over- or underflows.
    spread = (((true - true.mean(axis=0)) / width) ** 2).sum(axis=0)
    return float(np.mean(1 - (((true - predicted) / width) ** 2).sum(axis=0) / spread))


def _floats(what: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(as_numbers(what, values))
    if not np.isfinite(array).all():
        raise ValueError(f"r2_score expects {what} that are finite, got NaN or infinity; repair the data or the model")
    return array.astype(np.float64)


def classes(scores: ArrayLike, name: str = "scores") -> np.ndarray:
    """Class of each row: the position of its largest score, or for a single score whether it is at least ½.

    Args:
        scores: (n, c), (n, 1) or (n,).
        name: what an error calls them.

    Returns:
        Integers (n,).

    Raises:
        ValueError: NaN, whose "largest" score would be its first; no rows at all; single scores outside [0, 1].
    """
    s = np.asarray(as_numbers(name, scores))
    if s.ndim not in (1, 2):
        raise ValueError(f"expected {name} as rows (n, c) or (n,), got shape {s.shape}; one row an example")
    if s.size == 0:
        raise ValueError(f"expected at least one row of {name}, got shape {s.shape}")
    if np.isnan(s).any():
        rows = np.flatnonzero(np.isnan(s).reshape(len(s), -1).any(axis=1))
        raise ValueError(
            f"expected {name} without NaN, got NaN in {len(rows)} rows, the first is {rows[0]}; the model has diverged"
        )
    if s.ndim == 2 and s.shape[1] > 1:
        return s.argmax(axis=1)
    if s.min() < 0 or s.max() > 1:
        raise ValueError(
            f"expected {name} as rows (n, c) or as probabilities in [0, 1], got {s.shape} from {s.min():g} to "
            f"{s.max():g}; for logits pass fnn.sigmoid(z), for predicted labels take (predicted == y).mean()"
        )
    return (s.reshape(len(s)) >= 0.5).astype(int)


def _classes_like(predictions: ArrayLike, y: ArrayLike) -> np.ndarray:
    true, n = np.asarray(as_numbers("y", y)), np.shape(predictions)[0]
    if true.shape not in ((n,), (n, 1), np.shape(predictions)):
        raise ValueError(
            f"expected one label an example, shape ({n},), or rows like the predictions {np.shape(predictions)}, "
            f"got {true.shape}"
        )
    if true.shape == np.shape(predictions):
        return classes(true, "targets")
    labels = true.reshape(n)
    if labels.dtype.kind not in "biuf" or np.any(labels != np.floor(labels)):
        raise ValueError(f"expected labels that are whole numbers, got {labels.dtype} such as {labels[0]}")
    return labels.astype(int)
