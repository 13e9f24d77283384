"""What is wrong or odd in a data set, said before training, with row numbers."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from fnn.datasets.examples import Array
from fnn.preprocessing.auditing.features import look_at_features
from fnn.preprocessing.auditing.report import SEVERITIES, Audit, Finding, floating, found, numeric
from fnn.preprocessing.auditing.targets import look_at_targets
from fnn.validation import as_array


def audit(x: Array, y: Array, *, n_classes: int | None = None) -> Audit:
    """Say what is wrong or odd in a data set, before training.

    Looks for wrong shapes and types, NaN and infinity, repeated and contradicting examples, labels out of
    range, missing and rare classes, target rows that do not sum to 1, features that are constant, unscaled,
    of very different scales, or equal to the label, and outliers. Takes a second or so for 60,000 images of
    28 × 28.

    Args:
        x: examples (n, ...), one a row.
        y: integer labels (n,), or rows of probabilities or targets (n, c).
        n_classes: c, if known; without it the largest label is taken to be the last class.

    Returns:
        A report with `ok` (no errors), `findings` and `assert_ok()`; it prints well.

    Examples:
        >>> x = np.array([[0.5, 1.0], [np.nan, 2.0], [0.1, 1.5]], np.float32)
        >>> print(audit(x, np.array([0, 1, 1])))
        audit of x (3, 2) float32, y (3,) int64: 1 error, 0 warnings, 0 notes
          error    not finite: expected finite numbers in x, got NaN or infinity in row 1; ...
    """
    x, y = _array("x", x), _array("y", y)
    findings = list(_shapes(x, y))
    if not findings:
        with np.errstate(all="ignore"):  # what overflows here is reported as a scale
            findings = [*_types(x), *look_at_targets(y, n_classes), *look_at_features(x.reshape(len(x), -1), y)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Audit(f"x {x.shape} {x.dtype}, y {y.shape} {y.dtype}", tuple(findings))


def _array(name: str, value: Array) -> np.ndarray:
    """Lists of text are something to report, what is no array at all is not."""
    if isinstance(value, list | tuple):
        with suppress(ValueError):
            return np.asarray(value)
    return np.asarray(as_array(name, value))


def _shapes(x: np.ndarray, y: np.ndarray) -> Iterator[Finding]:
    """What makes looking at values pointless."""
    for name, array in (("x", x), ("y", y)):
        if not numeric(array):
            remedy = "np.unique(labels, return_inverse=True)[1] numbers them" if name == "y" else "encode it as numbers"
            yield found("error", "type", f"expected real numbers in {name}, got {array.dtype}; {remedy}")
    if x.ndim < 2:
        yield found("error", "shape", f"expected x of shape (n, ...), got {x.shape}; for one feature pass x[:, None]")
    if y.ndim == 0 or y.shape[:1] != x.shape[:1]:
        yield found(
            "error", "length", f"expected as many rows of y as of x, got {y.shape} and {x.shape}; pair them up again"
        )
    if x.size == 0 or y.size == 0:
        yield found("error", "empty", f"expected data, got x of shape {x.shape} and y of shape {y.shape}; load some")


def _types(x: np.ndarray) -> Iterator[Finding]:
    if x.dtype == np.float64:
        yield found(
            "note",
            "float64",
            "expected float32, got float64 in x, which JAX cuts to float32 without a word; pass "
            "x.astype(np.float32), after standardize if the values are large",
        )
    elif not floating(x):
        low, high = x.min(), x.max()
        remedy = "put fnn.rescale(1 / 255) first" if x.dtype == np.uint8 else "scale with fnn.preprocessing.standardize"
        yield found(
            "warning", "not scaled", f"expected floats of about 1 in x, got {x.dtype} from {low} to {high}; {remedy}"
        )
