"""What can be said of a wrong gradient that matches no known mistake: where it starts, and what it looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import numpy as np

from fnn.verify.chain import Chain, Leaves, pull_of
from fnn.verify.report import KINKED, WRONG, Deviation, LeafReport, Report

_REASONS = {KINKED: f"hangs on a kink: {KINKED}, and no choice at them gives it; move the point off the kinks"}
_CLOSE = {"float64": 1e-6, "float32": 1e-4}  # how well a pattern must fit to be mentioned


def constants_of(chain: Chain) -> dict[str, float]:
    """The constants that a gradient of this network may have too many or too few of."""
    constants = {"n": float(chain.n), "c": float(chain.outputs), "2": 2.0}
    if chain.n > 2:
        constants["n − 1"] = float(chain.n - 1)
    if chain.weights is not None:
        constants["Σw"] = float(chain.weights.sum())
    if chain.net.penalty is not None:
        constants["λ"] = float(chain.net.penalty.strength)
    return constants


def describe(
    got: np.ndarray,
    right: np.ndarray,
    param: np.ndarray | None = None,
    constants: Mapping[str, float] | None = None,
    *,
    of: str = "gradient",
    close: float = 1e-4,
) -> str:
    """Say what one wrong leaf looks like next to the right one.

    Args:
        got: the leaf that was returned.
        right: the right one, of the same shape.
        param: the parameter itself.
        constants: numbers to recognise a constant ratio by.
        of: what the leaf is.
        close: how well a pattern must fit to be mentioned, relative to the largest entry.

    Returns:
        A phrase, "is 3 times the right gradient (3 is c)"; "differs" where nothing fits.
    """
    if not np.isfinite(got).all():
        return f"holds {int((~np.isfinite(got)).sum())} values that are not finite"
    if not np.any(got):
        return "is zero"
    if not np.any(right):
        return "should be zero"
    if got.size == 1:  # any number is some multiple of another
        return f"is {got.item():.6g}, should be {right.item():.6g}"
    ratio = float((got * right).sum() / (right * right).sum())
    if _fits(got, ratio * right, close):
        return f"is {_number(ratio)} times the right {of}{_name(ratio, constants or {})}"
    if right.ndim == 2 and right.shape[0] == right.shape[1] and _fits(got, right.T, close):
        return f"is the right {of} transposed"
    extra = got - right
    if param is not None and np.any(param):
        ratio = float((extra * param).sum() / (param * param).sum())
        if _fits(extra, ratio * param, close):
            return _multiple(ratio, constants or {})
    if got.size > 1 and _fits(np.sort(got, axis=None), np.sort(right, axis=None), close):
        return "holds the right numbers in another order"
    wrong = np.abs(extra) > close * np.abs(right).max()
    if 0 < wrong.sum() <= max(1, wrong.size // 4):
        first = ", ".join(str(int(i)) for i in np.argwhere(wrong)[0])
        return f"differs in {int(wrong.sum())} of {wrong.size} entries, the first at [{first}]"
    return "differs"


def _number(ratio: float) -> str:
    """A ratio with four digits, or with those in which it differs from 1."""
    text = f"{ratio:.4g}"
    return text if text != "1" else f"(1 {'+' if ratio > 1 else '−'} {abs(ratio - 1):.2g})"


def _multiple(ratio: float, constants: Mapping[str, float]) -> str:
    """What a multiple of the parameter itself says: of penalties, those of the loss included, nothing more is known."""
    known = _name(ratio, constants)
    if ratio > 0:
        return (
            f"has {ratio:.4g} times the parameter itself too much{known}, as with a penalty that the loss has less of"
        )
    return f"lacks {-ratio:.4g} times the parameter itself{known}, as with a penalty of the loss that is left out"


def _fits(got: np.ndarray, expected: np.ndarray, close: float) -> bool:
    return bool(np.abs(got - expected).max() <= close * max(np.abs(got).max(), np.abs(expected).max()))


def _name(ratio: float, constants: Mapping[str, float]) -> str:
    """Name a number: n, 1/n, n/2, −c, ... among the given constants and their ratios."""
    values = {"": 1.0, **constants}
    for top, a in values.items():
        for bottom, b in values.items():
            if a != b and b and math.isclose(abs(ratio), a / b, rel_tol=1e-4):
                name = f"{top or 1}/{bottom}" if bottom else top
                sign = "−" if ratio < 0 else ""
                return "" if name == "2" else f" ({ratio:.4g} is {sign}{name})"
    return ""


def located(
    report: Report, got: Leaves, right: Leaves, params: Leaves, chain: Chain | None = None
) -> tuple[Deviation, ...]:
    """Say where a gradient deviates and what its leaves look like, without claiming to know the cause.

    Args:
        report: with its rows.
        got: the leaves that were returned.
        right: the right ones.
        params: the parameters.
        chain: the network at the point, or None where there is no network.

    Returns:
        One finding for each way of deviating; of a network one that says where it starts.
    """
    chosen = [i for i, leaf in enumerate(report.leaves) if leaf.verdict == report.verdict]
    constants, close = constants_of(chain) if chain else {}, _CLOSE[report.precision]
    groups: dict[str, list[str]] = {}
    for i in reversed(chosen):
        leaf = report.leaves[i]
        phrase = _REASONS.get(leaf.reason, leaf.reason) or describe(got[i], right[i], params[i], constants, close=close)
        groups.setdefault(phrase, []).append(leaf.name)
    if chain is None:
        return tuple(Deviation(_clause(phrase, names), leaves=tuple(names)) for phrase, names in groups.items())
    told = "; ".join(_clause(phrase, names) for phrase, names in list(groups.items())[:3])
    more = f"; {len(groups) - 3} more kinds of deviation" if len(groups) > 3 else ""
    sentence = f"No known mistake gives these numbers. {_start(chain, report.leaves)} {told}{more}."
    return (Deviation(sentence, leaves=tuple(report.leaves[i].name for i in chosen)),)


def _clause(phrase: str, names: list[str]) -> str:
    """Leaves that look alike share a clause."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown}: {phrase}" if len(names) > 1 else f"{shown} {phrase}"


def _start(chain: Chain, leaves: tuple[LeafReport, ...]) -> str:
    """Where, going back from the output, the first wrong number appears, and what that leaves as its origin."""
    for k in reversed(range(len(chain.steps))):
        step = chain.steps[k]
        own = leaves[step.first : step.first + step.count]
        bad = [leaf for leaf in own if leaf.verdict == WRONG]
        if not bad:
            continue
        others = [chain.steps[j] for j in range(k + 1, len(chain.steps)) if chain.steps[j].count]
        above = f"everything from {others[0].label} up is right" if others else "nothing above it could be tested"
        if len(bad) < len(own):
            good = ", ".join(leaf.name for leaf in own if leaf not in bad)
            return f"It starts at {bad[0].name}: {good} is right, and {above}."
        if others:
            return f"It starts between {others[0].label} and {step.label}: {above}, and dZ{step.number} must be wrong."
        return f"It starts at the output: dZ{step.number}, or what {step.label} makes of it."
    return ""


def faulty_rules(chain: Chain, tolerance: float = 1e-9) -> list[str]:
    """The steps whose own backward is not the derivative of their forward, by running each on its own.

    Args:
        chain: the network at the point.
        tolerance: relative to the largest entry.

    Returns:
        Their labels, from the output down.
    """
    faulty = []
    for k in reversed(range(len(chain.steps))):
        step = chain.steps[k]
        if step.role or step.first + step.count == 0:
            continue
        right = jax.tree.leaves(pull_of(step.layer, *step.record[:4], chain.arriving[k]))
        mine = jax.tree.leaves(step.layer.bwd(step.record.kept, jax.numpy.asarray(chain.arriving[k])))
        largest = max((float(np.abs(leaf).max(initial=0)) for leaf in right), default=0.0)
        if any(not np.abs(a - b).max(initial=0) <= tolerance * largest for a, b in zip(mine, right, strict=True)):
            faulty.append(step.label)
    return faulty
