"""Which mistakes lead to a gradient: screened by directions, confirmed in full, one after the other.

Phase 1: at every site whose members do not lie behind one another, the effect of each variant on ⟨gradient, v⟩ is one
inner product; those that meet a wrong leaf along its directions are kept. Phase 2: where members of a loop lie behind
one another the effects multiply, so those variants are run, a hundred backward passes at a time. Phase 3: what is kept
is predicted in full and compared entry by entry. Phase 4: if leaves remain, the best explanations so far are taken for
granted in turn, and the rest of the gradient is searched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fnn.verify.paths.altered import altered
from fnn.verify.paths.confirming import Explanation, confirm
from fnn.verify.paths.explicit import explicit
from fnn.verify.paths.families import Site
from fnn.verify.paths.finished import finished
from fnn.verify.paths.grid import grid_of, own_of
from fnn.verify.paths.joints import subsets
from fnn.verify.paths.nested import nested
from fnn.verify.paths.scales import scales
from fnn.verify.paths.survey import DIRECTIONS, Survey
from fnn.verify.paths.sweeps import Backward, backward
from fnn.verify.paths.variant import Variant, gather_changes

_KEPT = 40  # hits that are confirmed, for each set of leaves they explanations_of
_FACTORS = (1.0, -1.0, 2.0, 0.5)


@dataclass(frozen=True, eq=False)
class Hit:
    """A variant that explains leaves."""

    variant: Variant
    explained: frozenset[int]  # wrong leaves it meets
    spoiled: frozenset[int]  # leaves it moves without meeting them


def explanations_of(survey: Survey, depth: int = 4) -> list[Explanation]:
    """Find mistakes that lead to the gradient, as few as possible.

    Args:
        survey: what is known.
        depth: most mistakes in all.

    Returns:
        Explanations, each of leaves that no earlier one explains; wrong leaves in none of them remain unexplained.
    """
    budget = [8]  # searches in all
    best: list[list[Explanation]] = [[]]
    _deepen(survey, [], frozenset(), depth, budget, best)
    return best[0]


def _sound(chosen: list[Explanation]) -> bool:
    """Whether every leaf that the mistakes move is met in the end."""
    return frozenset().union(*(e.spoiled for e in chosen)) <= _covered(chosen)


def _deepen(
    survey: Survey, chosen: list[Explanation], done: frozenset[int], depth: int, budget: list[int], best: list
) -> None:
    """Search what is left once some mistakes are taken for granted."""
    if _sound(chosen) and _rank(survey, chosen) < _rank(survey, best[0]):
        best[0] = list(chosen)
    left = survey.target.wrong - done
    complete = not survey.target.wrong - _covered(best[0])
    if not left or not depth or budget[0] <= 0 or (complete and len(chosen) + 1 >= len(best[0]) + (len(best[0]) > 1)):
        return
    budget[0] -= 1
    found = _search(survey, [e.variants[0] for e in chosen], left, done)
    for explanation in found[: 4 if depth > 1 else 1]:
        now = done | explanation.explained
        _deepen(survey, [*chosen, explanation], now, depth - 1, budget, best)


def _covered(chosen: list[Explanation]) -> frozenset[int]:
    return frozenset().union(*(e.explained for e in chosen)) if chosen else frozenset()


def _rank(survey: Survey, chosen: list[Explanation]) -> tuple:
    return (len(survey.target.wrong - _covered(chosen)), len(chosen), sum(e.cost for e in chosen))


def _search(survey: Survey, taken: list[Variant], left: frozenset[int], done: frozenset[int]) -> list[Explanation]:
    """One mistake more: explanations of some of the leaves that are left, the best first."""
    base = backward(survey.program, 1, gather_changes(survey.program, taken))
    found: list[Explanation] = []
    for phase in (_plain, _looped, _altered, _elementwise):
        found += phase(survey, base, taken, left, done)
        if any(e.explained == left and not e.spoiled for e in found):
            break
    found.sort(key=lambda e: (len(e.spoiled - left), -len(e.explained), e.cost))
    return _distinct(found)


def _plain(survey: Survey, base: Backward, taken: list[Variant], left: frozenset[int], done: frozenset[int]) -> list:
    """Factors and what belongs to single equations, screened; then what is done to finished leaves."""
    found = _confirm(survey, base, taken, [*_screen(survey, base, left, _of_site)], left, done)
    return found + confirm(survey, base, taken, [*finished(survey, base, left)], left, done)


def _looped(survey: Survey, base: Backward, taken: list[Variant], left: frozenset[int], done: frozenset[int]) -> list:
    """Sites whose members lie behind one another: no screen, each variant is run."""
    tried: list[Variant] = []
    for site in survey.sites:
        if site.nested and left & {leaf for n in site.numbers if n in survey.along for leaf in survey.along[n].leaves}:
            tried += nested(site, base, survey.pool)
    return confirm(survey, base, taken, tried, left, done)


def _altered(survey: Survey, base: Backward, taken: list[Variant], left: frozenset[int], done: frozenset[int]) -> list:
    """Gradients of another forward: without a mask, without an epsilon."""
    return confirm(survey, base, taken, [*altered(survey.program)] if not taken else [], left, done)


def _elementwise(
    survey: Survey, base: Backward, taken: list[Variant], left: frozenset[int], done: frozenset[int]
) -> list:
    """A cotangent times a function of any value, screened by the thousand."""
    return _confirm(survey, base, taken, [*_screen(survey, base, left, _of_grid)], left, done)


def _distinct(found: list[Explanation]) -> list[Explanation]:
    """The best of each set of leaves, with and without effect on others."""
    seen, kept = set(), []
    for e in found:
        key = (e.explained, e.spoiled)
        if key not in seen:
            seen.add(key)
            kept.append(e)
    return kept


Rows = tuple[np.ndarray, Callable[[int, float], Variant]]  # (variants, directions), how to build one


def _screen(
    survey: Survey, base: Backward, left: frozenset[int], rows_of: Callable[..., Iterator[Rows]]
) -> Iterator[Hit]:
    """Variants whose effect along the directions is what is missing, for at least one leaf."""
    gradient = [g[0] for g in base.gradient()]
    rest = [a - g for a, g in zip(survey.target.answer, gradient, strict=True)]
    missing = np.array([[float((r * v).sum()) for v in vs] for r, vs in zip(rest, survey.directions, strict=True)])
    norms = np.array([np.sqrt((vs**2).sum() / DIRECTIONS) for vs in survey.directions])
    slack = np.maximum(4 * survey.target.limits * np.maximum(norms, 1), 1e-6 * np.abs(missing).max(axis=1))
    for site in survey.sites:
        if site.nested:
            continue
        own = [own_of(base, site, i) for i in range(len(site.places))]
        reached = sorted({leaf for n in site.numbers if n in survey.along for leaf in survey.along[n].leaves})
        if not left & set(reached) or any(o is None for o in own):
            continue
        matrices = [survey.rows(n, reached) for n in site.numbers]
        there = sum(m @ np.ravel(o) for m, o in zip(matrices, own, strict=True) if o is not None)
        match = _Matcher(reached, np.reshape(there, (-1, DIRECTIONS)), missing[reached], slack[reached], left)
        for values, build in rows_of(survey, base, site, matrices, match):
            yield from match.hits(values, build, _FACTORS if rows_of is _of_grid else (1.0,))


def _of_site(survey: Survey, base: Backward, site: Site, matrices: list[np.ndarray], match: _Matcher) -> Iterator[Rows]:
    """Factors, and the variants that depend on what the equation is."""
    for variant, along in scales(site, survey, match.there, match.wanted, match.left):
        yield along[None], partial(_itself, variant)
    many = site.level == 3 and site.size > 4
    for variant in subsets(site, base) if many else explicit(site, base, survey.pool):
        along = np.zeros(len(matrices[0]))
        for i, matrix in enumerate(matrices):
            own = own_of(base, site, i)
            if variant.member is not None and own is not None:
                made = variant.member(survey.program, i)(base, slice(None), own[None])
                along = along + matrix @ made.reshape(-1)
        yield along[None], partial(_itself, variant)


def _itself(variant: Variant, number: int, factor: float) -> Variant:
    return variant


def _of_grid(survey: Survey, base: Backward, site: Site, matrices: list[np.ndarray], match: _Matcher) -> Iterator[Rows]:
    """Elementwise variants."""
    if site.level != 3 or site.size <= 4:
        yield from grid_of(site, base, survey.pool, lambda i: matrices[i])


class _Matcher:
    """Compares what variants contribute along the directions with what is wanted."""

    def __init__(self, reached: list[int], there: np.ndarray, missing: np.ndarray, slack: np.ndarray, left: frozenset):
        self.reached, self.there = reached, there
        self.wanted, self.slack = there + missing, slack
        self.left = np.array([i in left for i in reached])

    def hits(self, values: np.ndarray, build: Callable, factors: Sequence[float]) -> Iterator[Hit]:
        """Hits among (variants, reached × directions)."""
        values = values.reshape(len(values), len(self.reached), DIRECTIONS)
        for factor in factors:
            made = factor * values
            met = (np.abs(made - self.wanted) <= self.slack[:, None]).all(axis=2)
            moved = (np.abs(made - self.there) > self.slack[:, None]).any(axis=2)
            good = met & self.left & moved
            for i in np.flatnonzero(good.any(axis=1)):
                explained = frozenset(self.reached[j] for j in np.flatnonzero(good[i]))
                spoiled = frozenset(self.reached[j] for j in np.flatnonzero(moved[i] & ~met[i]))
                yield Hit(build(int(i), factor), explained, spoiled)


def _confirm(
    survey: Survey, base: Backward, taken: list[Variant], hits: list[Hit], left: frozenset[int], done: frozenset[int]
) -> list[Explanation]:
    """Predict in full what passed the screen: for each set of leaves the least far-fetched."""
    groups: dict[tuple, list[Hit]] = {}
    for hit in hits:
        groups.setdefault((hit.explained, hit.spoiled), []).append(hit)
    ordered = sorted(groups.values(), key=lambda g: (len(g[0].spoiled - left), -len(g[0].explained)))[:12]
    tried = [h.variant for g in ordered for h in sorted(g, key=lambda h: h.variant.cost)[:_KEPT]]
    return confirm(survey, base, taken, tried, left, done)
