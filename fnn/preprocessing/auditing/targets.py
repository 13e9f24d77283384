"""What may be wrong with labels and targets y."""

from collections.abc import Iterator

import numpy as np

from fnn.preprocessing.auditing.report import Finding, floating, found, not_finite
from fnn.validation import rows_named


def look_at_targets(y: np.ndarray, n_classes: int | None) -> Iterator[Finding]:
    """Look at labels (n,) or at rows of probabilities or targets (n, c)."""
    if y.dtype == bool:
        yield found("warning", "label type", "expected integer labels, got bool; pass y.astype(np.int32)")
    elif not floating(y):
        yield from _integers(y, n_classes)
    else:
        bad = np.flatnonzero(~np.isfinite(y).reshape(len(y), -1).all(axis=1))
        yield from not_finite("y", bad)
        if y.ndim == 1:
            yield from _float_vector(y)
        elif y.ndim == 2 and y.shape[1] > 1 and not len(bad):
            yield from _probability_rows(y)


def _integers(y: np.ndarray, n_classes: int | None) -> Iterator[Finding]:
    if y.ndim == 1:
        yield from _classes(y, n_classes)
    elif y.shape[1:] == (1,):
        yield found("error", "label shape", f"expected integer labels (n,), got {y.shape}; pass y[:, 0]")
        yield from _classes(y[:, 0], n_classes)
    else:
        yield found(
            "warning",
            "label type",
            f"expected float rows or labels (n,), got {y.dtype} {y.shape}; pass "
            "y.astype(np.float32) for rows, y.argmax(axis=1) for labels",
        )
        if y.ndim == 2:
            yield from _probability_rows(y.astype(np.float64))


def _classes(y: np.ndarray, n_classes: int | None) -> Iterator[Finding]:
    wrong = np.flatnonzero((y < 0) | (y >= n_classes) if n_classes is not None else y < 0)
    if len(wrong):
        upper = "" if n_classes is None else f" to {n_classes - 1}"
        yield found(
            "error",
            "label range",
            f"expected labels from 0{upper}, got {y[wrong[0]]} in {rows_named(wrong)}; correct them "
            "or leave these rows out",
            wrong,
        )
    present, counts = np.unique(np.delete(y, wrong), return_counts=True)
    if len(present) == 0:
        return
    if len(y) >= 20 and len(present) > len(y) / 2:
        yield found(
            "warning",
            "label type",
            f"expected classes, got {len(present)} different labels in {len(y)} rows; for "
            "regression pass floats (n, 1), for classes check the column",
        )
        return
    yield from _balance(present, counts, int(present[-1]) + 1 if n_classes is None else n_classes)
    if len(present) > 1 and len(y) >= 20 and not len(wrong) and (y[1:] >= y[:-1]).all():
        yield found(
            "note", "sorted", "expected mixed labels, got rows sorted by label; shuffle before cutting off a part"
        )


def _balance(present: np.ndarray, counts: np.ndarray, n_classes: int) -> Iterator[Finding]:
    n_missing = n_classes - len(present)
    if n_missing:
        absent = np.setdiff1d(np.arange(min(n_classes, 2 * len(present) + 5)), present)[:5]
        yield found(
            "warning",
            "missing classes",
            f"expected examples of {n_classes} classes, got none of {n_missing}: "
            f"{', '.join(map(str, absent))}{' ...' if n_missing > 5 else ''}; number the classes 0, 1, 2 ... "
            "or add examples",
        )
    if len(present) == 1:
        yield found(
            "warning", "one class", f"expected several classes, got only {present[0]}; there is nothing to learn"
        )
    elif counts.max() > 10 * counts.min():
        rare, common = counts.argmin(), counts.argmax()
        yield found(
            "warning",
            "imbalance",
            f"expected classes of similar size, got {counts[rare]} of class {present[rare]} and "
            f"{counts[common]} of class {present[common]}; pass weights, and look at the confusion matrix, not the "
            "accuracy",
        )


def _float_vector(y: np.ndarray) -> Iterator[Finding]:
    values = np.unique(y)
    few = len(values) <= max(2, min(100, len(y) // 5)) and (values == np.rint(values)).all()
    received = f"{len(values)} different whole numbers" if few else "numbers"
    remedy = "pass y.astype(np.int32) if they are classes, else y[:, None]" if few else "pass y[:, None]"
    yield found(
        "warning",
        "target shape",
        f"expected integer labels (n,) or float targets (n, d_out), got {received} as {y.dtype} {y.shape}; {remedy}",
    )


def _probability_rows(y: np.ndarray) -> Iterator[Finding]:
    if (y < 0).any() or (y > 1).any():
        return  # targets of a regression
    wrong = np.flatnonzero(np.abs(y.sum(axis=1) - 1) > 1e-3)
    if len(wrong) > len(y) / 2:
        yield found(
            "note",
            "several labels",
            f"expected rows of y that sum to 1, got {len(wrong)} of {len(y)} that do not; for "
            "several labels a row use sigmoid_cross_entropy",
            wrong,
        )
    elif len(wrong):
        yield found(
            "error",
            "row sums",
            f"expected rows of y that sum to 1, got {y[wrong[0]].sum():g} in {rows_named(wrong)}; "
            "divide each row by its sum (a row of zeros has lost its label)",
            wrong,
        )
    else:
        yield from _balance(*np.unique(y.argmax(axis=1), return_counts=True), y.shape[1])
