"""Judging a gradient leaf by leaf from what the oracles say. One set of rules for networks, layers and functions.

A leaf is right where it meets autodiff within 1e-9 of its own largest entry (1e-5 in float32), or within what rounding
was measured to do to it, and where the loss's own slopes do not contradict. Entries that do not meet autodiff are each
put to the slopes: the loss's own values decide, if they can. What they leave open hangs on a kink, which `choices`
settles for the gradient as a whole, or stays open.

    right       meets autodiff, and autodiff is independent; or meets slopes that can tell
    WRONG       misses autodiff, and no slope takes its side; or meets autodiff and misses the slopes
    CANNOT TELL autodiff is not independent here, and slopes can't tell; or rounding leaves less than three digits

Measuring rounding costs more than all else. A leaf in float64 whose worst entry is further off than three digits, and
where the slope is autodiff's beyond doubt, is WRONG without it; nothing is ever called right so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fnn.verify.answers import Answer
from fnn.verify.evidence import EVERY_ENTRY, Evidence, Probe, unit
from fnn.verify.one_sided import between_sides
from fnn.verify.oracles import DIFFERENCES, TOLERANCE
from fnn.verify.report import CANNOT_TELL, KINKED, OK, WRONG, LeafReport

MARGIN = 16  # times what was measured of rounding in a few runs
_SURE = 10  # times the error that a slope claims
_DIGITS = 1e-3  # of its largest entry must be left of a leaf for it to be called right
_DOUBT = 1e-2  # of its gap is how close slope and autodiff must be where a leaf is wrong beyond rounding
_SLOPES = 1e-6  # of its largest entry is how well slopes must know a leaf that they alone call right
_COARSE = 3e-5  # the same of a loss whose own values have the digits of float32
_SINGLE = 1e-9  # relative noise that no arithmetic in float64 makes
_UNCLEAR = (
    "autodiff believes a derivative that the forward declares (custom_vjp, custom_jvp, stop_gradient) and the loss's "
    "own values can't tell; move the point, or take the forward without it"
)
_MISLED = "equals autodiff but not the slope of the loss's own values"
_TAKES_SIDE = "equals the slope of the loss's values; autodiff errs here"
_INACCURATE = (
    f"right to {DIFFERENCES:.0e}, but not to the {{}} that rounding allows: float32 numbers in it, differences for "
    "derivatives, or a small constant such as ε"
)


@dataclass(frozen=True)
class _Leaf:
    """One leaf under judgement."""

    evidence: Evidence
    number: int
    got: np.ndarray
    right: np.ndarray
    limit: float  # what an entry may be off
    largest: float  # entry of the right leaf

    def miss(self, probe: Probe, leaf: np.ndarray) -> tuple[float, float]:
        """How far a gradient is from a slope, and how far it may be."""
        allowed = _SURE * probe.slope.error + self.limit * float(np.linalg.norm(probe.v))
        return abs(float(np.sum(leaf * probe.v)) - probe.slope.value), allowed

    def tells(self, probe: Probe) -> bool:
        """Whether a slope is known well enough to see a wrong entry."""
        coarse = self.evidence.noise > _SINGLE * abs(self.evidence.value)
        known = (_COARSE if coarse else _SLOPES) * self.largest * probe.size
        return not probe.slope.kinked and probe.slope.error <= known


def compare(evidence: Evidence, answer: Answer) -> list[LeafReport]:
    """Judge a gradient leaf by leaf.

    Args:
        evidence: what the oracles say.
        answer: the gradient, of the right structure and shapes.

    Returns:
        One row a leaf. Those that hang on kinks are WRONG with the reason `KINKED` until `choices` settles them.
    """
    return [_judge(evidence, answer, i) for i in range(len(evidence.right))]


def limit_of(evidence: Evidence, answer: Answer, i: int) -> float:
    """What an entry of a leaf may be off: measured further the more is asked for.

    Args:
        evidence: what the oracles say.
        answer: the gradient.
        i: number of the leaf.
    """
    right = evidence.right[i]
    largest = _largest(right)
    limit = TOLERANCE[answer.precision] * largest
    gap = np.abs(answer.leaves[i] - right)
    gap = float(np.max(gap[np.isfinite(gap)], initial=0))
    if gap > limit:
        limit = max(limit, MARGIN * evidence.rounding(answer.precision)[i])
    of_all = max(map(_largest, evidence.right), default=0.0)
    # What the backward itself rounds counts as well, if it is the same at every call, and small as rounding is.
    if answer.spread[i] <= limit < gap <= max(_DIGITS * largest, DIFFERENCES * of_all):
        limit = max(limit, MARGIN * answer.rounding[i])
    return limit


def refuted(evidence: Evidence, answer: Answer, i: int) -> LeafReport | None:
    """Find a leaf that is wrong by more than rounding can do in float64, whatever its other entries hang on.

    Args:
        evidence: what the oracles say.
        answer: the gradient.
        i: number of the leaf.

    Returns:
        Its row, WRONG; None where more has to be measured, or it is right.
    """
    got, right = answer.leaves[i], evidence.right[i]
    fine = answer.precision == "float64" and evidence.traits is not None and not evidence.traits.single
    if not (fine and right.size and np.isfinite(got).all() and np.isfinite(right).all()):
        return None
    # Far from autodiff, and from whatever the forward declares, in the same entry.
    of_all = max(map(_largest, evidence.right))
    far = max(_DIGITS * _largest(right), DIFFERENCES * of_all)
    gap = np.abs(got - right)
    if not np.max(gap) > far:
        return None
    worst = np.unravel_index(int(np.argmax(gap)), gap.shape)
    if not abs(got[worst] - evidence.declared[i][worst]) > far:
        return None
    # There the slope must say that autodiff is right: rounding that large would have moved the two apart.
    leaf = _Leaf(evidence, i, got, right, TOLERANCE["float64"] * _largest(right), _largest(right))
    probe = evidence.probe(i, unit(gap.shape, tuple(int(k) for k in worst)))
    unsure = max(probe.slope.error, leaf.miss(probe, right)[0])
    if _says(leaf, probe) == "no" and unsure <= _DOUBT * gap[worst] * probe.size:
        return _row(leaf, WRONG, "", [probe])
    return None


def _largest(leaf: np.ndarray) -> float:
    return float(np.max(np.abs(leaf[np.isfinite(leaf)]), initial=0))


def _judge(evidence: Evidence, answer: Answer, i: int) -> LeafReport:
    row = refuted(evidence, answer, i)
    if row is not None:
        return row
    right, limit = evidence.right[i], limit_of(evidence, answer, i)
    leaf = _Leaf(evidence, i, answer.leaves[i], right, limit, _largest(right))
    if not evidence.by_autodiff:
        return _row(leaf, *_by_slopes(leaf, evidence.entries[i]), evidence.entries[i])
    probes: list[Probe] = []
    verdict, reason = _by_both(leaf, probes)
    if verdict == OK and limit > _DIGITS * leaf.largest > 0 and not _is_zero(evidence, i):
        verdict, reason = CANNOT_TELL, f"rounding alone is {limit / leaf.largest:.0e} here; run it in float64"
    return _row(leaf, verdict, reason, probes)


def _is_zero(evidence: Evidence, i: int) -> bool:
    """Whether a leaf is 0 but for rounding, as that of a bias in front of batch_norm."""
    return _largest(evidence.right[i]) <= MARGIN * evidence.rounding("float64")[i]


def _by_both(leaf: _Leaf, probes: list[Probe]) -> tuple[str, str]:
    """Verdict and reason of a leaf that autodiff knows; the slopes that were asked for are added to a list."""
    off = ~(np.abs(leaf.got - leaf.right) <= leaf.limit)
    if np.any(~np.isfinite(leaf.got) & np.isfinite(leaf.right)):
        return WRONG, ""
    if off.any():
        return _by_entries(leaf, off, probes)
    # It meets autodiff. The slopes may say no; where autodiff is not independent they have to say yes.
    probes += leaf.evidence.probes(leaf.number)
    floor = DIFFERENCES * leaf.largest if leaf.evidence.independent else 0.0
    for probe in probes:
        miss, allowed = leaf.miss(probe, leaf.got)
        if not probe.slope.kinked and miss > max(allowed, floor * float(np.linalg.norm(probe.v))):
            return WRONG, _MISLED
    if not leaf.evidence.independent and not all(leaf.tells(probe) for probe in probes):
        return CANNOT_TELL, _UNCLEAR
    return OK, ""


def _by_entries(leaf: _Leaf, off: np.ndarray, probes: list[Probe]) -> tuple[str, str]:
    """Put every entry that misses autodiff to the slopes: a sample of many, and directions within the rest."""
    evidence, random = leaf.evidence, np.random.default_rng(1)
    entries = np.argwhere(off)
    chosen = entries if len(entries) <= EVERY_ENTRY else random.permutation(entries)[:EVERY_ENTRY]
    told = set()
    for k in range(len(chosen) + (8 if len(entries) > EVERY_ENTRY else 0)):
        v = unit(off.shape, tuple(chosen[k])) if k < len(chosen) else np.where(off, random.normal(size=off.shape), 0)
        probes.append(evidence.probe(leaf.number, v))
        told.add(_says(leaf, probes[-1]))
        if "no" in told:
            return WRONG, _misled(leaf, off)
    if "kink" in told:
        return WRONG, KINKED
    if "unclear" not in told:
        return OK, _TAKES_SIDE
    if not np.isfinite(leaf.right).all():
        return CANNOT_TELL, "the right gradient itself is not finite at this point"
    if not evidence.independent or (evidence.declares_rules and _believed(leaf, off)):
        return CANNOT_TELL, _UNCLEAR
    return WRONG, _misled(leaf, off)


def _says(leaf: _Leaf, probe: Probe) -> str:
    """Whether a slope takes a gradient's side where that differs from autodiff: yes, no, kink or unclear."""
    if probe.slope.kinked:
        return "kink"
    miss, allowed = leaf.miss(probe, leaf.got)
    gap = abs(float(np.sum((leaf.got - leaf.right) * probe.v)))
    if not np.isfinite(gap):  # autodiff is not; then the slope speaks alone, if it can
        gap = _DIGITS * max(leaf.largest, _largest(leaf.got)) * probe.size
    if not probe.slope.error <= 0.1 * gap:
        return "unclear"
    return "yes" if miss <= min(allowed, 0.5 * gap) else "no"


def _believed(leaf: _Leaf, off: np.ndarray) -> bool:
    """Whether a gradient is what the forward's own declarations say where it misses autodiff."""
    return bool((np.abs(leaf.got - leaf.evidence.declared[leaf.number]) <= leaf.limit)[off].all())


def _misled(leaf: _Leaf, off: np.ndarray) -> str:
    """What sets a wrong leaf apart: a derivative that it shares with the forward, or a deviation near rounding."""
    if leaf.evidence.declares_rules and _believed(leaf, off):
        return _MISLED
    gap = float(np.max(np.abs(leaf.got - leaf.right), initial=0))
    return _INACCURATE.format(f"{leaf.limit / leaf.largest:.0e}") if gap <= DIFFERENCES * leaf.largest else ""


def _by_slopes(leaf: _Leaf, probes: list[Probe]) -> tuple[str, str]:
    """Verdict and reason of a leaf of a function that is not JAX: every entry has a slope of its own."""
    if not np.isfinite(leaf.got).all():
        return WRONG, ""
    told = set()
    for probe in probes:
        miss, allowed = leaf.miss(probe, leaf.got)
        if probe.slope.kinked:
            told.add("kink")
        elif leaf.tells(probe):
            told.add("no" if miss > allowed else "yes")
        else:
            told.add("no" if miss > _SURE * allowed else "unclear")
    if "no" in told:
        return WRONG, ""
    if "kink" in told:
        return between_sides(leaf.evidence, leaf.number, leaf.got, leaf.limit)
    return (CANNOT_TELL, "the loss's values are too noisy to tell its slopes from") if "unclear" in told else (OK, "")


def _row(leaf: _Leaf, verdict: str, reason: str, probes: list[Probe]) -> LeafReport:
    got, right, evidence = leaf.got, leaf.right, leaf.evidence
    scale, deviation = leaf.largest or 1.0, np.abs(got - right)
    error = float(np.max(deviation, initial=0)) / scale
    clear = [probe for probe in probes if leaf.tells(probe)]
    misses = [leaf.miss(probe, got)[0] / (probe.size * scale) for probe in clear]
    worst = None
    if not error * scale <= leaf.limit and deviation.size:
        index = np.unravel_index(int(np.argmax(np.where(np.isnan(deviation), np.inf, deviation))), deviation.shape)
        worst = tuple(int(k) for k in index), float(got[index]), float(right[index])
    return LeafReport(
        name=evidence.names[leaf.number],
        shape=right.shape,
        error=error if evidence.by_autodiff else math.nan,
        difference_error=max(misses, default=math.nan),
        cosine=_cosine(got, right),
        norm_ratio=_ratio(float(np.linalg.norm(got)), float(np.linalg.norm(right))),
        worst=worst,
        verdict=verdict,
        reason=reason,
        limit=leaf.limit / scale,
        seen=_seen(leaf, clear) if len(clear) == len(probes) else math.inf,
        independent=evidence.by_autodiff and evidence.independent,
    )


def _seen(leaf: _Leaf, probes: list[Probe]) -> float:
    """The smallest error in one entry that some slope would have shown, relative to the largest entry."""
    strongest = np.zeros(leaf.right.shape)
    for probe in probes:
        strongest = np.maximum(strongest, np.abs(probe.v) / max(leaf.miss(probe, leaf.right)[1], 1e-300))
    weakest = float(np.min(strongest, initial=np.inf))
    return 1 / (weakest * (leaf.largest or 1.0)) if weakest else math.inf


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return _ratio(float((a * b).sum()), float(np.linalg.norm(a) * np.linalg.norm(b)))


def _ratio(a: float, b: float) -> float:
    if b == 0:
        return 1.0 if a == 0 else math.inf
    return float(a / b)
