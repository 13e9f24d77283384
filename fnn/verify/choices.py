"""Kinks: where a function has no derivative, any choice between its two sides is a right answer, and nothing else.

A unit sits on a kink if what decides its branch (the operands of a comparison, a maximum, an absolute value) is 0
within what rounding was measured to do to it. The forward is run anew with a free share between the two sides at each
such unit; the gradient G(s) then is a polynomial in the shares s, linear in each. An answer is accepted if

    some s in [0, 1] gives it exactly, every leaf and every entry, and
    the loss's own one-sided slopes are those that G predicts, along random directions and single entries.

Searched are first the usual conventions, one for each equation, then by Gauss–Newton steps a share for every unit. What
a share a little outside of [0, 1] would give is left open; everything else is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from fnn.verify.answers import Answer
from fnn.verify.compare import MARGIN, limit_of, refuted
from fnn.verify.evidence import EVERY_ENTRY, Evidence, unit
from fnn.verify.one_sided import between_sides
from fnn.verify.oracles import UNITS, precise
from fnn.verify.report import CANNOT_TELL, KINKED, OK, WRONG, LeafReport
from fnn.verify.rewriting import Values
from fnn.verify.rounding import Moved, change_of, exact_of, moved, moved_of, random_signs
from fnn.verify.shares import BENDING, HIDING, gap_of, may_bend, with_shares

_RUNS = 4
_MOST_UNITS = 400  # that are given shares of their own
_MOST_NUMBERS = 2e7  # and numbers in the Jacobian of the gradient by them
_CONVENTIONS = {
    0.0: "the derivative from the left",
    1.0: "the derivative from the right",
    0.5: "the mean of both sides",
}
_OWN = "a choice of its own for each unit"
_NEAR = 0.2  # how far outside of [0, 1] a share may be for a verdict to be left open


def beside_kinks(evidence: Evidence, answer: Answer) -> tuple[Evidence, Kinks | None]:
    """Look beside the kinks: where all sides agree, as in max(x, 0) + log1p(exp(−|x|)), there is none after all.

    Autodiff takes a side of its own for each unit, and the two that cancel need not be the same.

    Args:
        evidence: what the oracles say.
        answer: the gradient.

    Returns:
        The evidence, autodiff replaced by the derivative on either side where all agree; and the units on a kink, None
        where none were looked for since the gradient does not depend on it.
    """
    if evidence.traits is None or not evidence.traits.names & BENDING:
        return evidence, None
    if all(_certain(evidence, answer, i) for i in range(len(evidence.right))):
        return evidence, None
    with precise():
        kinks = _find(evidence, answer.precision)
        if not kinks.count:
            return evidence, kinks
        ways = [[side * v for v in evidence.way(seed)] for seed in (2, 3, 4) for side in (1, -1)]
        first, *others = [kinks.gradient(_side_of(kinks, way)) for way in ways]
        right = tuple(
            np.where(_agreed(evidence, i, leaf, [more[i] for more in others]), leaf, evidence.right[i])
            for i, leaf in enumerate(first)
        )
    return replace(evidence, right=right), kinks


def _certain(evidence: Evidence, answer: Answer, i: int) -> bool:
    """Whether a leaf is wrong, or meets autodiff, whatever kinks there are."""
    gap = np.abs(answer.leaves[i] - evidence.right[i])
    return refuted(evidence, answer, i) is not None or bool(np.all(gap <= limit_of(evidence, answer, i)))


def _agreed(evidence: Evidence, i: int, leaf: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Where all sides give the same, other than autodiff, and the slope shows no kink either."""
    close = 1e-9 * np.max(np.abs(leaf), initial=0)
    agree = np.max([np.abs(leaf - other) for other in others], axis=0) <= close
    new = agree & ~(np.abs(leaf - evidence.right[i]) <= close)
    asked = np.random.default_rng(5).permutation(np.argwhere(new))[:EVERY_ENTRY]
    smooth = np.array([not evidence.probe(i, unit(leaf.shape, tuple(entry))).slope.kinked for entry in asked], bool)
    if new.sum() > EVERY_ENTRY:
        return new & smooth.all()
    new[tuple(asked.T)] &= smooth
    return new


def settle(
    evidence: Evidence, answer: Answer, rows: Sequence[LeafReport], kinks: Kinks | None
) -> tuple[tuple[LeafReport, ...], str]:
    """Settle what hangs on kinks.

    Args:
        evidence: what the oracles say.
        answer: the gradient.
        rows: from `compare`.
        kinks: the units on a kink, from `beside_kinks`.

    Returns:
        The rows, and what the gradient chose at the kinks, "" where nothing is accepted on that ground.
    """
    if not any(row.reason == KINKED for row in rows):
        return tuple(rows), ""
    with precise():
        if kinks is None or not kinks.count:
            return _by_sides(evidence, answer, rows, False), ""
        targets = [(leaf, limit_of(evidence, answer, i)) for i, leaf in enumerate(answer.leaves)]
        found = _by_convention(kinks, targets)
        choice = _OWN if found is None else _named(kinks, found)
        found = _by_steps(kinks, targets, 0.0) if found is None else found
        if found is not None and _predicts(kinks, evidence, answer):
            return tuple(replace(row, verdict=OK, reason="another subgradient at a kink") for row in rows), choice
        if found is not None or kinks.large or _by_steps(kinks, targets, _NEAR) is not None:
            return tuple(_as(row, CANNOT_TELL, KINKED) for row in rows), ""
        return _by_sides(evidence, answer, rows, bool(kinks.lost)), ""


def _as(row: LeafReport, verdict: str, reason: str) -> LeafReport:
    return replace(row, verdict=verdict, reason=reason) if row.reason == KINKED else row


def _by_sides(evidence: Evidence, answer: Answer, rows: Sequence[LeafReport], lost: bool) -> tuple[LeafReport, ...]:
    """Where no choice at the units known gives the answer: WRONG if all kinks are known, else by the slopes alone."""
    known = evidence.independent and not lost and not (evidence.traits and evidence.traits.names & HIDING)

    def settled(i: int, row: LeafReport) -> LeafReport:
        if row.reason != KINKED or (known and np.isfinite(evidence.right[i]).all()):
            return _as(row, WRONG, "")
        verdict, reason = between_sides(evidence, i, answer.leaves[i], limit_of(evidence, answer, i))
        return _as(row, verdict, reason)

    return tuple(settled(i, row) for i, row in enumerate(rows))


@dataclass(frozen=True, eq=False)
class Kinks:
    """The units on a kink: for each equation that has any, which of its entries."""

    evidence: Evidence
    open: tuple[np.ndarray | None, ...]  # by the number of the equation, in the order in which they are run
    lost: list[str] = field(default_factory=list)  # equations that could not pass a share on

    @property
    def counts(self) -> list[int]:
        """How many there are, equation by equation."""
        return [0 if mask is None else int(mask.sum()) for mask in self.open]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    @property
    def large(self) -> bool:
        """Whether there are too many to give each a share of its own."""
        numbers = self.count * sum(leaf.size for leaf in self.evidence.leaves)
        return self.count > _MOST_UNITS or numbers > _MOST_NUMBERS

    def gradient(self, shares: np.ndarray) -> list[np.ndarray]:
        """G(s), leaf by leaf."""
        gradient = _gradient(self, jnp.asarray(shares), self.evidence.params, self.evidence.rest)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]

    def jacobian(self, shares: np.ndarray) -> list[np.ndarray]:
        """∂G/∂s, leaf by leaf, the shares last."""
        jacobian = _jacobian(self, jnp.asarray(shares), self.evidence.params, self.evidence.rest)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(jacobian)]


@partial(jax.jit, static_argnums=0)
def _gradient(kinks: Kinks, shares: jax.Array, params: Any, rest: tuple) -> Any:
    return jax.grad(with_shares(kinks.evidence.f, kinks.open, shares, kinks.lost))(params, *rest)


@partial(jax.jit, static_argnums=0)
def _jacobian(kinks: Kinks, shares: jax.Array, params: Any, rest: tuple) -> Any:
    return jax.jacfwd(lambda s: jax.grad(with_shares(kinks.evidence.f, kinks.open, s, kinks.lost))(params, *rest))(
        shares
    )


@partial(jax.jit, static_argnums=0)
def _watched(f: Any, unit: float, signs: jax.Array, params: Any, rest: tuple) -> list[Moved]:
    """The gaps of every equation that may have a kink, and what they become with every result moved."""
    gaps: list[Moved] = []

    def watch(equation: JaxprEqn, operands: Values) -> None:
        if may_bend(equation):
            gaps.append(Moved(*(gap_of(equation, list(map(of, operands))) for of in (exact_of, moved_of))))

    moved(f, watch, unroll=True)(unit, signs, params, *rest)
    return gaps


def _find(evidence: Evidence, precision: str) -> Kinks:
    """The units whose gap is 0 within what rounding does to it."""
    of = (evidence.f, UNITS[precision])
    runs = [_watched(*of, random_signs(k), evidence.params, evidence.rest) for k in range(_RUNS)]
    spreads = [np.max(changes, axis=0) for changes in zip(*map(change_of, runs), strict=True)]
    masks = [np.abs(gap.exact) <= MARGIN * spread for gap, spread in zip(runs[0], spreads, strict=True)]
    if not any(mask.any() for mask in masks):
        return Kinks(evidence, (None,) * len(masks))
    # What stays 0 wherever one goes, as x − x in a test for NaN, is no kink.
    beside = [_gaps_at(evidence, [side * v for v in evidence.way(4)]) for side in (1, -1)]
    masks = [mask & ((a != 0) | (b != 0)) for mask, a, b in zip(masks, *beside, strict=True)]
    return Kinks(evidence, tuple(mask if mask.any() else None for mask in masks))


def _gaps_at(evidence: Evidence, moves: list[np.ndarray]) -> list[np.ndarray]:
    """The gaps at a point a little further along a direction, given leaf by leaf."""
    leaves = [jnp.asarray(leaf + 1e-6 * v) for leaf, v in zip(evidence.leaves, moves, strict=True)]
    params = jax.tree.unflatten(jax.tree.structure(evidence.params), leaves)
    gaps = _watched(evidence.f, UNITS["float64"], np.zeros_like(random_signs(0)), params, evidence.rest)
    return [np.asarray(gap.exact) for gap in gaps]


Targets = list[tuple[np.ndarray, float]]  # the leaves of the answer, and what each may be off


def _meets(gradient: list[np.ndarray], targets: Targets) -> bool:
    pairs = zip(gradient, targets, strict=True)
    return all(
        np.max(np.abs(leaf - got), initial=0) <= max(limit, 1e-9 * np.max(np.abs(leaf), initial=0))
        for leaf, (got, limit) in pairs
    )


def _by_convention(kinks: Kinks, targets: Targets) -> np.ndarray | None:
    """One of the usual choices for all units, or for those of each equation."""
    counts = [count for count in kinks.counts if count]
    alike = [(convention,) * len(counts) for convention in _CONVENTIONS]
    for choices in [*alike, *(product(_CONVENTIONS, repeat=len(counts)) if 1 < len(counts) <= 4 else ())]:
        shares = np.repeat(np.array(choices), counts)
        if _meets(kinks.gradient(shares), targets):
            return shares
    return None


def _named(kinks: Kinks, shares: np.ndarray) -> str:
    return _CONVENTIONS[float(shares[0])] if np.all(shares == shares[0]) else _OWN


def _by_steps(kinks: Kinks, targets: Targets, slack: float) -> np.ndarray | None:
    """A share for every unit within [−slack, 1 + slack], by Gauss–Newton steps from the middle."""
    if kinks.large:
        return None
    shares = np.full(kinks.count, 0.5)
    scales = [1 / max(limit, 1e-300) for _, limit in targets]
    for _ in range(12):
        gradient = kinks.gradient(shares)
        if _meets(gradient, targets):
            return shares
        triples = zip(scales, gradient, targets, strict=True)
        missing = np.concatenate([(s * (got - g)).ravel() for s, g, (got, _) in triples])
        columns = zip(scales, kinks.jacobian(shares), strict=True)
        jacobian = np.concatenate([s * j.reshape(-1, kinks.count) for s, j in columns])
        if not (np.isfinite(missing).all() and np.isfinite(jacobian).all()):
            return None
        shares = shares + _within(jacobian, missing, -slack - shares, 1 + slack - shares)
    return None


def _within(jacobian: np.ndarray, missing: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The least-squares step between bounds: what leaves them is held there, and the rest solved again."""
    step, free = np.zeros(len(low)), np.ones(len(low), bool)
    while free.any():
        rest = missing - jacobian[:, ~free] @ step[~free]
        step[free] = np.linalg.lstsq(jacobian[:, free], rest, rcond=1e-12)[0]
        out = free & ((step < low) | (step > high))
        step = np.clip(step, low, high)
        if not out.any():
            break
        free &= ~out
    return step


def _predicts(kinks: Kinks, evidence: Evidence, answer: Answer) -> bool:
    """Whether the loss's own slopes from both sides are those of the shares that each side gives."""
    random = np.random.default_rng(2)
    for i, leaf in enumerate(evidence.leaves):
        off = np.argwhere(np.abs(answer.leaves[i] - evidence.right[i]) > limit_of(evidence, answer, i))
        directions = [unit(leaf.shape, tuple(entry)) for entry in random.permutation(off)[:8]]
        for v in [*directions, *(random.standard_normal(leaf.shape) for _ in range(4))]:
            probe = evidence.probe(i, v)
            sides = (
                ((probe.slope.right, 1), (probe.slope.left, -1)) if probe.slope.kinked else ((probe.slope.value, 1),)
            )
            for measured, side in sides:
                mine = float(
                    np.sum(kinks.gradient(_side_of(kinks, _within_leaf(evidence, i, side * probe.v)))[i] * probe.v)
                )
                noise = probe.slope.noise if probe.slope.kinked else 10 * probe.slope.error
                if abs(mine - measured) > 1e-4 * (abs(mine) + abs(measured)) + noise:
                    return False
    return True


def _within_leaf(evidence: Evidence, i: int, v: np.ndarray) -> list[np.ndarray]:
    return [v if k == i else np.zeros(leaf.shape) for k, leaf in enumerate(evidence.leaves)]


def _side_of(kinks: Kinks, moves: list[np.ndarray]) -> np.ndarray:
    """The shares, 0 or 1, of the units at a point a little further along a direction, given leaf by leaf."""
    pairs = zip(_gaps_at(kinks.evidence, moves), kinks.open, strict=True)
    return np.concatenate([gap[mask] > 0 for gap, mask in pairs if mask is not None]).astype(float)
