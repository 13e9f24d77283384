"""Kinks of functions that can't be traced: one-sided slopes along single entries and random directions.

Where a function has a kink, a gradient may be any subgradient. Of a traced function it is known which units sit on a
kink (`choices`); of any other this much can be asked: does it lie between the slope from the left and that from the
right, along every entry and along directions that mix them?
"""

from __future__ import annotations

import numpy as np

from fnn.verify.evidence import EVERY_ENTRY, Evidence, Probe, unit
from fnn.verify.report import CANNOT_TELL, OK, WRONG

_DIRECTIONS = 16
_NEAR = 0.1  # how far outside of both sides, in units of their distance, a verdict is left open


def between_sides(evidence: Evidence, i: int, got: np.ndarray, limit: float) -> tuple[str, str]:
    """Judge a leaf by the slopes from both sides.

    Args:
        evidence: what the oracles say.
        i: number of the leaf.
        got: the leaf that was returned.
        limit: what an entry may be off.

    Returns:
        Verdict and reason: OK if all directions lie between the sides; CANNOT TELL if some lie outside, but not far, or
        there are more entries than are looked at one by one; else WRONG.
    """
    random = np.random.default_rng(1)
    off = np.argwhere(~(np.abs(got - evidence.right[i]) <= limit))
    directions = [unit(got.shape, tuple(entry)) for entry in random.permutation(off)[:EVERY_ENTRY]]
    directions += [random.standard_normal(got.shape) for _ in range(_DIRECTIONS)]
    directions.append(np.ones(got.shape))
    excess = max(_excess(evidence.probe(i, v), got, limit) for v in directions)
    if excess <= 0 and len(off) <= EVERY_ENTRY:
        return OK, "another subgradient at a kink"
    if excess <= _NEAR:
        return CANNOT_TELL, "the function has a kink at this point; move off it"
    return WRONG, ""


def _excess(probe: Probe, got: np.ndarray, limit: float) -> float:
    """How far a derivative lies outside of the one-sided ones, in units of their distance; infinite where smooth."""
    slope, value = probe.slope, float(np.sum(got * probe.v))
    slack = limit * float(np.linalg.norm(probe.v))
    if not slope.kinked:
        return 0.0 if abs(value - slope.value) <= slack + 10 * slope.error else np.inf
    low, high = min(slope.left, slope.right), max(slope.left, slope.right)
    return max(0.0, low - value - slack - slope.noise, value - high - slack - slope.noise) / (high - low)
