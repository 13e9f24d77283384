"""From a wrong gradient to its cause: which mistake, or which two together, give exactly these numbers?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fnn.verify.chain import NO_MISTAKE, Chain, Leaves, Mutant
from fnn.verify.mistakes.catalogue import all_mutants
from fnn.verify.mistakes.losses import factors

_CLOSE = 0.03  # a cause must explain all but this part of every deviation


@dataclass(frozen=True)
class Match:
    """What explains a gradient: one mistake or two, and what else would give the same numbers here."""

    causes: tuple[Mutant, ...]
    alternatives: tuple[tuple[Mutant, ...], ...] = ()


@dataclass(frozen=True)
class Target:
    """The gradient to explain, with how closely each leaf must be met."""

    leaves: Leaves
    limits: tuple[float, ...]
    wrong: tuple[bool, ...]

    def misses(self, i: int, leaf: np.ndarray) -> float:
        """How far a leaf is off, in units of its limit."""
        if not self.leaves[i].size:
            return 0.0
        miss = float(np.abs(leaf - self.leaves[i]).max())
        return miss / self.limits[i] if miss == miss else math.inf


def aim(chain: Chain, answer: Leaves, tolerance: float, rounding: Sequence[float] | None = None) -> Target:
    """Set the limits within which a cause must reproduce an answer.

    Args:
        chain: the network at the point, with the right gradient.
        answer: the gradient that was returned.
        tolerance: relative to the largest entry of each leaf; what is a tenth of it, next to the largest of the tree,
            is left out of account.
        rounding: what each leaf may be off at least, where that was measured.

    Returns:
        The target.
    """
    answer, right = [np.asarray(leaf, np.float64) for leaf in answer], chain.gradient()
    largest = [max(_largest(a), _largest(r)) for a, r in zip(answer, right, strict=True)]
    floor = max(0.1 * tolerance * max(largest, default=0.0), 1e-300)
    near = [
        max(tolerance * of, floor, least) for of, least in zip(largest, rounding or [0.0] * len(right), strict=True)
    ]
    deviations = [_largest(a - r) for a, r in zip(answer, right, strict=True)]
    wrong = tuple(not d <= limit for d, limit in zip(deviations, near, strict=True))
    limits = tuple(
        max(min(limit, _CLOSE * d), limit / 100) if off else limit
        for d, limit, off in zip(deviations, near, wrong, strict=True)
    )
    return Target(answer, limits, wrong)


def _largest(leaf: np.ndarray) -> float:
    return float(np.abs(leaf).max(initial=0))


def explained(chain: Chain, answer: Leaves, tolerance: float, rounding: Sequence[float] | None = None) -> Match | None:
    """Find the mistake, or the two, that lead to a gradient.

    Args:
        chain: the network at the point.
        answer: the wrong gradient, leaf by leaf.
        tolerance: relative to the largest entry of each leaf.
        rounding: what each leaf may be off at least.

    Returns:
        The finding; None if nothing in the catalogue gives this gradient.
    """
    target = aim(chain, answer, tolerance, rounding)
    if not all(np.isfinite(leaf).all() for leaf in answer) or not any(target.wrong):
        return None
    mutants = [fitted for m in all_mutants(chain) if (fitted := _fitted(m, chain, target)) is not None]
    for candidates in (_single, _scaled, _pairs):
        fits = [(miss, causes) for causes, miss in candidates(chain, mutants, target) if miss <= 1]
        if fits:
            best = min(miss for miss, _ in fits)
            fits = [(miss, causes) for miss, causes in fits if miss <= max(10 * best, 1e-3)]
            return Match(fits[0][1], tuple(causes for _, causes in fits[1:]))
    return None


def _fitted(mutant: Mutant, chain: Chain, target: Target) -> Mutant | None:
    return mutant if mutant.fit is None else mutant.fit(chain, target.leaves)


def _top(chain: Chain, target: Target) -> int:
    """The highest step with a wrong leaf: nothing below it can be the only cause."""
    steps = chain.steps
    return max(k for k, step in enumerate(steps) if any(target.wrong[step.first : step.first + step.count]))


def miss_of(chain: Chain, mutant: Mutant, target: Target) -> float:
    """Largest miss of a mutant over all leaves, in units of the limits; infinite as soon as one is beyond."""
    if mutant.finish is not None:
        misses = (target.misses(i, leaf) for i, leaf in enumerate(chain.gradient(mutant)))
    else:
        penalty = chain.penalty_of(mutant)
        misses = (target.misses(i, leaf + penalty[i]) for i, leaf in chain.walk(mutant))
    worst = 0.0
    for miss in misses:
        if not miss <= 1:
            return math.inf
        worst = max(worst, miss)
    return worst


Candidates = Iterator[tuple[tuple[Mutant, ...], float]]


def _single(chain: Chain, mutants: list[Mutant], target: Target) -> Candidates:
    top = _top(chain, target)
    for mutant in mutants:
        if mutant.top(chain) >= top:
            yield (mutant,), miss_of(chain, mutant, target)


def _scaled(chain: Chain, mutants: list[Mutant], target: Target) -> Candidates:
    """A wrong constant along with one other mistake, or two wrong constants; read off the largest leaf."""
    constants = {row[0]: row[2] for row in factors(chain)}
    scales = [m for m in mutants if m.mistake in constants]
    for first in (*scales, *(m for m in mutants if m.mistake not in constants)):
        seconds = [m for m in scales if (m.finish is None) == (first.finish is None)] if first in scales else scales
        found = {whole: _constant(chain, first, target, whole) for whole in {m.finish is not None for m in seconds}}
        for scale in seconds:
            constant = found[scale.finish is not None]
            if scale is not first and math.isclose(constant, constants[scale.mistake], rel_tol=1e-3):
                yield (scale, first), miss_of(chain, first.together(scale), target)


def _constant(chain: Chain, mutant: Mutant, target: Target, whole: bool) -> float:
    """By what an answer would have to be multiplied: as a whole, or the loss's part of it alone."""
    gradient, penalty = chain.gradient(mutant), chain.penalty_of(mutant)
    i = max(range(len(gradient)), key=lambda i: float(np.abs(gradient[i]).max(initial=0)))
    part = gradient[i] if whole else gradient[i] - penalty[i]
    answer = target.leaves[i] if whole else target.leaves[i] - penalty[i]
    return float((part * answer).sum()) / max(float((part * part).sum()), 1e-300)


def _pairs(chain: Chain, mutants: list[Mutant], target: Target) -> Candidates:
    """Two mistakes: the first must put a leaf of the highest wrong step right, and the second the rest."""
    firsts = [m for m in mutants if _helps(chain, m, target)]
    for first in firsts:
        for second in mutants:
            if second is not first:
                yield (first, second), miss_of(chain, first.together(second), target)


def _helps(chain: Chain, mutant: Mutant, target: Target) -> bool:
    """Whether a mutant explains a leaf of the highest wrong step and spoils none above it."""
    top = chain.steps[_top(chain, target)]
    if mutant.top(chain) < _top(chain, target) or mutant.finish is not None:
        return False
    penalty, helped = chain.penalty_of(mutant), False
    for i, leaf in chain.walk(mutant):
        if i < top.first:
            break
        fits = target.misses(i, leaf + penalty[i]) <= 1
        if i >= top.first + top.count and not fits:
            return False
        helped = helped or (fits and target.wrong[i])
    return helped


def coinciding(chain: Chain, tolerance: float = 1e-9) -> list[Mutant]:
    """Mistakes that give the right gradient at this point, and so can't be seen here.

    Args:
        chain: the network at the point.
        tolerance: relative to the largest entry of each leaf.

    Returns:
        The mutants.
    """
    right = chain.gradient(NO_MISTAKE)
    target = aim(chain, right, tolerance)
    return [mutant for mutant in all_mutants(chain) if miss_of(chain, mutant, target) <= 1]
