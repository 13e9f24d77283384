"""What the values of x may show: rows that repeat, features on the wrong scale, outliers, leaks."""

from collections.abc import Iterator

import numpy as np

from fnn.preprocessing.auditing.report import Finding, floating, found, not_finite
from fnn.validation import rows_named

_SAMPLE = 2000  # rows on which quartiles and correlations are looked at before all rows are


def look_at_features(x: np.ndarray, y: np.ndarray) -> Iterator[Finding]:
    """Look at what the numbers in x (n, d) show, apart from rows that are not finite."""
    finite = np.isfinite(x).all(axis=1)
    yield from not_finite("x", np.flatnonzero(~finite))
    rows = np.flatnonzero(finite)
    if len(rows) < len(x):
        x, y = x[rows], y[rows]
    if not len(rows):
        return
    yield from _duplicates(x, y.reshape(len(y), -1), rows)
    dark = rows[~x.any(axis=1)]
    if len(dark) and x.shape[1] > 1:
        yield found(
            "note",
            "zero rows",
            f"expected something in each example, got only zeros in {rows_named(dark)}; with zero biases "
            "these do not train the first layer",
            dark,
        )
    low, high = x.min(axis=0), x.max(axis=0)
    yield from _scales(low, high, len(x))
    if floating(x):
        yield from _magnitude(x, low, high)
        yield from _outliers(x, low, high, rows)
    yield from _leaks(x, y.reshape(len(y), -1))


def _duplicates(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Iterator[Finding]:
    seen: dict[int, int] = {}
    first = np.array([seen.setdefault(hash(row.tobytes()), i) for i, row in enumerate(x)])
    later = np.flatnonzero(first != np.arange(len(x)))
    later = later[(x[later] == x[first[later]]).all(axis=1)]  # not only the same hash
    other = (y[later] != y[first[later]]).any(axis=1)
    for topic, which, remedy in (
        ("duplicates", later[~other], "leave the copies out, or training and test parts will share examples"),
        ("contradictions", later[other], "their y differ, and no network can fit both: correct one"),
    ):
        if len(which):
            pair = f"row {rows[which[0]]} repeats row {rows[first[which[0]]]}"
            yield found(
                "warning",
                topic,
                f"expected different examples, got {rows_named(rows[which])} seen before ({pair}); {remedy}",
                rows[which],
            )


def _scales(low: np.ndarray, high: np.ndarray, n: int) -> Iterator[Finding]:
    spans = high.astype(np.float64) - low.astype(np.float64)
    constant = np.flatnonzero(spans == 0)
    if len(constant) and n > 1:
        yield found(
            "note",
            "constant",
            f"expected features that vary, got {len(constant)} of {len(spans)} constant "
            f"({_columns(constant)}); they carry nothing and can be left out",
            features=constant,
        )
    spans[constant] = np.nan
    if len(constant) < len(spans) and np.nanmax(spans) > 1000 * np.nanmin(spans):
        wide, narrow = np.nanargmax(spans), np.nanargmin(spans)
        yield found(
            "warning",
            "scales",
            f"expected features of similar scale, got a range of {spans[wide]:g} in feature {wide} and "
            f"of {spans[narrow]:g} in feature {narrow}; scale with fnn.preprocessing.standardize",
            features=(wide, narrow),
        )


def _columns(features: np.ndarray) -> str:
    return ", ".join(str(j) for j in features[:5]) + (" ..." if len(features) > 5 else "")


def _magnitude(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> Iterator[Finding]:
    least, largest = float(low.min()), float(high.max())
    if max(-least, largest) <= 100:
        return
    pixels = least >= 0 and largest <= 255 and bool((x == np.rint(x)).all())
    remedy = "divide pixels by 255" if pixels else "scale with fnn.preprocessing.standardize"
    yield found("warning", "not scaled", f"expected numbers of about 1 in x, got {least:g} to {largest:g}; {remedy}")


def _outliers(x: np.ndarray, low: np.ndarray, high: np.ndarray, rows: np.ndarray) -> Iterator[Finding]:
    """Values further from the quartiles than ten times their distance, if they are few and stand alone.

    Many such values, or some that join on to the others, mean a broad distribution, as in a pixel that is mostly dark.
    """
    if len(x) < 8:
        return
    lower, upper = np.percentile(_sample(x), [25, 75], axis=0)
    reach = 10 * (upper - lower)
    floor, ceiling = lower - reach, upper + reach
    hit: set[int] = set()
    features = []
    for j in np.flatnonzero((reach > 0) & ((low < floor) | (high > ceiling))):
        column = x[:, j].astype(np.float64)
        inside = column[(column >= floor[j]) & (column <= ceiling[j])]
        out = np.flatnonzero((column < inside.min() - reach[j] / 2) | (column > inside.max() + reach[j] / 2))
        if 0 < len(out) <= max(1, len(x) // 20):
            hit.update(out.tolist())
            features.append(j)
    if hit:
        which = rows[sorted(hit)]
        yield found(
            "warning",
            "outliers",
            f"expected values within ten times the quartiles' distance, got {rows_named(which)} far "
            f"outside in feature {_columns(np.array(features))}; check them, or clip the feature",
            which,
            features,
        )


def _leaks(x: np.ndarray, y: np.ndarray) -> Iterator[Finding]:
    if len(x) < 5 or y.shape[1] > 100 or not np.isfinite(y).all():
        return
    labels = not floating(y)
    few_x, few_y = _centred(_sample(x)), _centred(_sample(y))
    suspects = np.abs(few_x.T @ few_y) > 0.999
    leaks = [j for j, k in np.argwhere(suspects) if _tells(x[:, j], y[:, k], up_to_scale=labels)]
    if leaks:
        yield found(
            "warning",
            "leakage",
            f"expected y to be hidden from x, got y itself in feature {_columns(np.array(leaks))}; "
            "leave it out, it will not be there when the network is used",
            features=sorted(set(leaks)),
        )


def _tells(feature: np.ndarray, target: np.ndarray, *, up_to_scale: bool) -> bool:
    if up_to_scale:
        pair = _centred(np.stack([feature, target], axis=1, dtype=np.float64, casting="unsafe"))
        return abs(float(pair[:, 0] @ pair[:, 1])) > 0.99999
    return bool((feature == target).all())


def _centred(x: np.ndarray) -> np.ndarray:
    # Columns of mean 0 and norm 1, so that products are correlations; constant columns become 0.
    x = x - x.mean(axis=0)
    norm = np.sqrt((x * x).sum(axis=0))
    return x / np.where(norm == 0, 1, norm)


def _sample(x: np.ndarray) -> np.ndarray:
    return x[:: max(1, len(x) // _SAMPLE)].astype(np.float64)
