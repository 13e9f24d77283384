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
from fnn.verify.paths.confirming import Explanation, confirm, distinct
from fnn.verify.paths.explicit import explicit
from fnn.verify.paths.families import Site
from fnn.verify.paths.finished import finished
from fnn.verify.paths.grid import bare_weights, grid_of, own_of
from fnn.verify.paths.joints import subsets
from fnn.verify.paths.nested import nested
from fnn.verify.paths.recomputed import recomputed
from fnn.verify.paths.scales import constant_slopes, scales
from fnn.verify.paths.survey import DIRECTIONS, Survey
from fnn.verify.paths.sweeps import Backward, backward
from fnn.verify.paths.updated import updated
from fnn.verify.paths.variant import Variant, gather_changes

_WORK = 400_000  # equations that are run backward in one phase: some seconds
_SMALL = 60  # equations
_NEAR = 2  # equations before and after a mistake, where equivalent statements are looked for
_WAVE = 96  # variants that are run at a time
_KEPT = 40  # hits that are confirmed, for each set of leaves they explanations_of
_BLOCKS, _ROWS = 400, 20_000  # that are compared at a time
_CUTS = {"dropped", "only", "shifted", "rolled"}
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


def _consistent(survey: Survey, chosen: list[Explanation]) -> bool:
    """Whether what is said to hold for some leaves alone fails for others that are right, or wrong for another reason.

    A mistake that would spoil a leaf otherwise than it is, while nothing else explains that leaf, is not the mistake.
    """
    unexplained = survey.target.wrong - _covered(chosen)
    return not any(e.variants[0].words.get("alone", frozenset()) & unexplained for e in chosen)


def _deepen(
    survey: Survey, chosen: list[Explanation], done: frozenset[int], depth: int, budget: list[int], best: list
) -> None:
    """Search what is left once some mistakes are taken for granted."""
    if _sound(chosen) and _consistent(survey, chosen) and _rank(survey, chosen) < _rank(survey, best[0]):
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


@dataclass(frozen=True, eq=False)
class _Quest:
    """One search: what is taken for granted, and what is left to explain."""

    survey: Survey
    base: Backward  # with the variants taken for granted
    taken: list[Variant]
    left: frozenset[int]
    done: frozenset[int]

    def confirmed(self, tried: list[Variant]) -> list[Explanation]:
        """Run variants in full."""
        return confirm(self.survey, self.base, self.taken, tried, self.left, self.done)


def _search(survey: Survey, taken: list[Variant], left: frozenset[int], done: frozenset[int]) -> list[Explanation]:
    """One mistake more: explanations of some of the leaves that are left, the best first."""
    quest = _Quest(survey, backward(survey.program, 1, gather_changes(survey.program, taken)), taken, left, done)
    reached = {id(site): frozenset(i for n in site.numbers for i in survey.reached(n)) for site in survey.sites}
    near = [site for site in survey.sites if reached[id(site)] == left]
    far = [site for site in survey.sites if reached[id(site)] & left and reached[id(site)] != left]
    found: list[Explanation] = []
    # first where a mistake would spoil the very leaves that are wrong, then everywhere; the plain statements first
    phases = [(_plain, near), (_looped, near), (_finished, []), (_elementwise, near)]
    phases += [(_plain, far), (_looped, far), (_altered, []), (_elementwise, far)]
    small = len(survey.program.nodes) <= _SMALL
    for number, (phase, sites) in enumerate(phases):
        found += phase(quest, sites)
        complete = any(e.explained == left and not e.spoiled for e in found)
        if complete and (number >= 3 or not small):  # in small programs equivalent statements are collected as well
            break
    if not small:  # of larger ones those that are made close by
        found += _elementwise(quest, _beside(survey, found, left))
    found.sort(key=lambda e: (len(e.spoiled - left), -len(e.explained), e.cost))
    return distinct(survey, found)


def _beside(survey: Survey, found: list[Explanation], left: frozenset[int]) -> list[Site]:
    """The sites of the few equations before and after the one that explains everything, if there is one."""
    program = survey.program
    whole = [e for e in found if e.explained == left and not e.spoiled and e.variants[0].site is not None]
    if not whole:
        return []
    site = min(whole, key=lambda e: e.cost).variants[0].site
    assert site is not None
    if len(site.places) > 1:
        return []
    readers = program.consumers()
    kind, number, _ = site.places[0]
    near = {number} if kind == "operand" else {program.maker[number], *(i for i, _ in readers.get(number, ()))}
    for _ in range(_NEAR):
        made = {program.maker[program.nodes[i].ins[k]] for i in near if i >= 0 for k in program.nodes[i].active}
        near |= made | {j for i in near if i >= 0 for out in program.nodes[i].outs for j, _ in readers.get(out, ())}
    alone = [s for s in survey.sites if not s.nested and len(s.places) == 1]
    return [s for s in alone if (s.places[0][1] if s.kind == "operand" else program.maker[s.numbers[0]]) in near]


def _plain(quest: _Quest, sites: list[Site]) -> list[Explanation]:
    """Factors and what belongs to single equations, screened."""
    return quest.confirmed(_likeliest([*_screen(quest, sites, _of_site)], quest.left))


def _looped(quest: _Quest, sites: list[Site]) -> list[Explanation]:
    """Sites whose members lie behind one another: no screen, each variant is run."""
    tried = [v for site in sites if site.nested for v in nested(site, quest.base, quest.survey.pool)]
    most = _WORK // max(len(quest.survey.program.nodes), 1)
    tried = sorted(tried, key=lambda v: v.cost)[:most]
    found: list[Explanation] = []
    for start in range(0, len(tried), _WAVE):
        # what explains everything is not looked for among the far-fetched once a plain statement does
        whole = [e.cost for e in found if e.explained == quest.left and not e.spoiled]
        if whole and tried[start].cost > min(whole) + 0.2:
            break
        found += quest.confirmed(tried[start : start + _WAVE])
    return found


def _finished(quest: _Quest, sites: list[Site]) -> list[Explanation]:
    """What is done to finished leaves."""
    return quest.confirmed([*finished(quest.survey, quest.base, quest.left)])


def _altered(quest: _Quest, sites: list[Site]) -> list[Explanation]:
    """Gradients of another forward: without a mask, without an epsilon."""
    program = quest.survey.program
    return quest.confirmed([*altered(program), *recomputed(program)] if not quest.taken else [])


def _elementwise(quest: _Quest, sites: list[Site]) -> list[Explanation]:
    """A cotangent times a function of any value, screened by the thousand."""
    return quest.confirmed(_likeliest([*_screen(quest, sites, _of_grid)], quest.left))


Rows = tuple[np.ndarray, Callable[[int, float], Variant]]  # (variants, directions), how to build one


def _screen(quest: _Quest, sites: list[Site], rows_of: Callable[..., Iterator[Rows]]) -> Iterator[Hit]:
    """Variants whose effect along the directions is what is missing, for at least one leaf."""
    survey, base, left = quest.survey, quest.base, quest.left
    gradient = [g[0] for g in base.gradient()]
    rest = [a - g for a, g in zip(survey.target.answer, gradient, strict=True)]
    missing = np.array([[float((r * v).sum()) for v in vs] for r, vs in zip(rest, survey.directions, strict=True)])
    norms = np.array([np.sqrt((vs**2).sum() / DIRECTIONS) for vs in survey.directions])
    slack = np.maximum(4 * survey.target.limits * np.maximum(norms, 1), 1e-6 * np.abs(missing).max(axis=1))
    for site in sites:
        if site.nested:
            continue
        own = [own_of(base, site, i) for i in range(len(site.places))]
        reached = sorted({leaf for n in site.numbers if n in survey.along for leaf in survey.along[n].leaves})
        if not left & set(reached) or any(o is None for o in own):
            continue
        matrices = [survey.rows(n, reached) for n in site.numbers]
        there = sum(m @ np.ravel(o) for m, o in zip(matrices, own, strict=True) if o is not None)
        match = _Matcher(reached, np.reshape(there, (-1, DIRECTIONS)), missing[reached], slack[reached], left)
        for blocks in _batched(rows_of(survey, base, site, matrices, match)):
            yield from match.hits(blocks, _FACTORS if rows_of is _of_grid else (1.0,))


def _batched(blocks: Iterator[Rows]) -> Iterator[list[Rows]]:
    """Rows by the thousand: comparing few at a time would take longer than making them."""
    batch: list[Rows] = []
    for rows in blocks:
        batch.append(rows)
        if sum(len(values) for values, _ in batch[-_BLOCKS:]) > _ROWS or len(batch) == _BLOCKS:
            yield batch
            batch = []
    if batch:
        yield batch


def _of_site(survey: Survey, base: Backward, site: Site, matrices: list[np.ndarray], match: _Matcher) -> Iterator[Rows]:
    """Factors, and the variants that depend on what the equation is."""
    for variant, along in scales(site, survey, match.there, match.wanted, match.left):
        yield along[None], partial(_itself, variant)
    for weight in bare_weights(site, base, lambda i: matrices[i]):
        for variant in constant_slopes(site, survey, weight.reshape(match.there.shape), match.wanted, match.left):
            yield variant.words["times"] * weight[None], partial(_itself, variant)
    large = np.array([np.size(survey.program.values[survey.program.leaves[i]]) > 2 for i in match.reached])
    for variant, more in updated(site, survey, base, matrices, match.wanted - match.there, match.left & large):
        yield (match.there.reshape(-1) + more)[None], partial(_itself, variant)
    many = site.level == 3 and site.size > 4
    for variant in subsets(site, base) if many else explicit(site, base, survey.pool):
        along, lost = np.zeros(len(matrices[0])), 2
        for i, matrix in enumerate(matrices):
            own = own_of(base, site, i)
            if variant.member is not None and own is not None:
                made = variant.member(survey.program, i)(base, slice(None), own[None])
                along = along + matrix @ made.reshape(-1)
                lost = int(np.count_nonzero(made[0] != own)) if variant.kind in _CUTS and own.ndim > 1 else 2
        if lost < 2:  # a row that goes missing at one entry is no row: whatever changes that entry would do
            continue
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

    def hits(self, blocks: Sequence[Rows], factors: Sequence[float]) -> Iterator[Hit]:
        """Hits among blocks of (variants, reached × directions)."""
        ends = np.cumsum([len(values) for values, _ in blocks])
        every = np.concatenate([values for values, _ in blocks]).reshape(-1, len(self.reached), DIRECTIONS)
        for factor in factors:
            met = (np.abs(factor * every - self.wanted) <= self.slack[:, None]).all(axis=2)
            near = np.flatnonzero((met & self.left).any(axis=1))
            made, met = factor * every[near], met[near]
            moved = (np.abs(made - self.there) > self.slack[:, None]).any(axis=2)
            good = met & self.left & moved
            for i in np.flatnonzero(good.any(axis=1)):
                explained = frozenset(self.reached[j] for j in np.flatnonzero(good[i]))
                spoiled = frozenset(self.reached[j] for j in np.flatnonzero(moved[i] & ~met[i]))
                block = int(np.searchsorted(ends, near[i], side="right"))
                values, build = blocks[block]
                yield Hit(build(int(near[i] - ends[block] + len(values)), factor), explained, spoiled)


def _likeliest(hits: list[Hit], left: frozenset[int]) -> list[Variant]:
    """Of what passed the screen, for each set of leaves, the least far-fetched."""
    groups: dict[tuple, list[Hit]] = {}
    for hit in hits:
        groups.setdefault((hit.explained, hit.spoiled), []).append(hit)
    ordered = sorted(groups.values(), key=lambda g: (len(g[0].spoiled - left), -len(g[0].explained)))[:12]
    return [h.variant for g in ordered for h in sorted(g, key=lambda h: h.variant.cost)[:_KEPT]]
