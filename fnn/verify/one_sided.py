"""Kinks of any function: one-sided derivatives along single entries and random directions.

Where a function has a kink, a gradient may be any subgradient. Of a network it is known where its kinks
are (`kinks.py`); of any other function it is found out by asking for the derivative from the left and from the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fnn.verify.compare import Evidence
from fnn.verify.oracles import DIFFERENCES, Slope
from fnn.verify.report import CANNOT_TELL, OK, LeafReport

_ENTRIES = 64  # most entries that are looked at one by one
_DIRECTIONS = 12


def at_kinks(
    row: LeafReport,
    i: int,
    evidence: Evidence,
    got: np.ndarray,
    tolerance: float,
    along: Callable[[int, np.ndarray], Slope],
) -> LeafReport:
    """Judge a wrong leaf once more, where the function may have kinks.

    Args:
        row: the leaf's report, with the verdict WRONG.
        i: number of the leaf.
        evidence: what the oracles say.
        got: the leaf that was returned.
        tolerance: relative to the largest gradient.
        along: (number of the leaf, direction) -> slope.

    Returns:
        The row: OK if every deviating entry lies between its one-sided derivatives, and so do random directions;
        CANNOT TELL if some lie outside, but not far; else as it was.
    """
    near = max(tolerance, DIFFERENCES) * (evidence.largest or 1.0)
    deviating = np.argwhere(~(np.abs(got - evidence.right[i]) <= tolerance * (evidence.largest or 1.0)))
    if not len(deviating) or not np.isfinite(got).all():
        return row
    random = np.random.default_rng(1)
    chosen = random.permutation(deviating)[:_ENTRIES]
    directions = [_unit(got.shape, index) for index in chosen]
    directions += [random.choice([-1.0, 1.0], got.shape) / np.sqrt(got.size) for _ in range(_DIRECTIONS)]
    directions.append(np.ones(got.shape) / np.sqrt(got.size))
    excess = max(_excess(along(i, v), float((got * v).sum()), near) for v in directions)
    if excess <= 0 and len(chosen) == len(deviating):
        return replace(row, verdict=OK, reason="another subgradient at a kink")
    if excess <= 1:
        return replace(row, verdict=CANNOT_TELL, reason="the function has a kink at this point; move off it")
    return row


def shows_kink(evidence: Evidence, i: int) -> bool:
    """Whether the one-sided derivatives of a leaf differ along any direction that was tried.

    Args:
        evidence: what the oracles say.
        i: number of the leaf.
    """
    near = DIFFERENCES * (evidence.largest or 1.0)
    return any(abs(slope.right - slope.left) > near + slope.noise for slope in evidence.slopes[i])


def _unit(shape: tuple[int, ...], index: np.ndarray) -> np.ndarray:
    v = np.zeros(shape)
    v[tuple(index)] = 1.0
    return v


def _excess(slope: Slope, value: float, near: float) -> float:
    """How far a derivative lies outside of the one-sided ones, in units of their distance; infinite where smooth."""
    low, high = min(slope.left, slope.right), max(slope.left, slope.right)
    outside = max(low - value, value - high) - near - slope.noise
    if outside <= 0:
        return 0.0
    return outside / (high - low) if high - low > near + slope.noise else np.inf
