"""Predicting gradients in full: what is met entry by entry is an explanation; equal predictions are one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fnn.verify.paths.program import Program
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.sweeps import Backward, backward
from fnn.verify.paths.variant import Variant, gather_changes, in_some_leaves, predict


@dataclass(frozen=True, eq=False)
class Explanation:
    """Variants that predict the same gradient, the least far-fetched first."""

    variants: tuple[Variant, ...]
    explained: frozenset[int]
    spoiled: frozenset[int]
    gradient: tuple[np.ndarray, ...]

    @property
    def cost(self) -> float:
        """Of the best variant."""
        return self.variants[0].cost


def confirm(
    survey: Survey,
    base: Backward,
    taken: list[Variant],
    tried: list[Variant],
    left: frozenset[int],
    done: frozenset[int],
) -> list[Explanation]:
    """Predict gradients in full and keep what is met entry by entry; equal predictions are one explanation.

    Args:
        survey: what is known.
        base: the backward pass with the variants taken for granted.
        taken: those variants.
        tried: variants, each on top of them.
        left: leaves to explain.
        done: leaves that are explained, and must stay met.

    Returns:
        The explanations, the least far-fetched first.
    """
    before = [g[0] for g in base.gradient()]
    found: list[tuple[Variant, frozenset, frozenset, tuple]] = []
    for variants, leaves in predict_many(survey.program, taken, tried):
        met = (
            survey.target.fits
            >= np.array([_furthest(g, a) for g, a in zip(leaves, survey.target.answer, strict=True)]).T
        )
        moved = survey.target.fits < np.array([_furthest(g, b) for g, b in zip(leaves, before, strict=True)]).T
        for row in np.flatnonzero((met & moved).any(axis=1)):
            explained = frozenset(i for i in left if met[row, i] and moved[row, i])
            spoiled = frozenset(int(i) for i in np.flatnonzero(moved[row] & ~met[row]))
            if (
                explained
                and not spoiled & done
                and not _is_empty(survey, variants[row], explained)
                and _plausible(variants[row], explained, before, leaves, int(row))
            ):
                found.append((variants[row], explained, spoiled, tuple(leaf[row] for leaf in leaves)))
                if spoiled and any(np.any(survey.target.answer[i]) for i in explained):
                    alone = tuple(leaf[row] if i in explained else before[i] for i, leaf in enumerate(leaves))
                    found.append((in_some_leaves(variants[row], explained, spoiled), explained, frozenset(), alone))
    return _grouped(survey, _borne_out(survey, taken, found))


def _borne_out(survey: Survey, taken: list[Variant], found: list[tuple]) -> list[tuple]:
    """Those that meet the leaves at the second point as well."""
    second = survey.second
    if second is None or not found:
        return found
    explained = {id(row[0]): row[1] for row in found}
    kept: set[int] = set()
    for variants, gradients in predict_many(second.program, taken, [row[0] for row in found]):
        for i, variant in enumerate(variants):
            met = second.met([leaf[i] for leaf in gradients])
            if all(met[leaf] for leaf in explained[id(variant)]):
                kept.add(id(variant))
    return [row for row in found if id(row[0]) in kept]


def _is_empty(survey: Survey, variant: Variant, explained: frozenset[int]) -> bool:
    """That every path to a leaf is missing says no more than that it is zero: no finding while others are wrong."""
    zero = all(np.abs(survey.target.answer[i]).max(initial=0) <= survey.target.limits[i] for i in explained)
    return zero and explained != survey.target.wrong


def _plausible(variant: Variant, explained: frozenset, before: list, leaves: list, row: int) -> bool:
    """A size of the program as a factor is believed only of leaves that are that many times too large."""
    if variant.kind != "times" or variant.words["held"]:
        return True
    factor = variant.words["factor"]
    return all(np.allclose(leaves[i][row], factor * before[i], rtol=1e-6, atol=1e-12) for i in explained)


def _furthest(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Largest distance of each row from an array; infinite where it is not a number."""
    distance = np.abs(many - one).reshape(len(many), -1).max(axis=1, initial=0)
    return np.where(np.isnan(distance), np.inf, distance)


def _grouped(survey: Survey, found: list[tuple]) -> list[Explanation]:
    classes: list[list[tuple]] = []
    for row in sorted(found, key=lambda row: row[0].cost):
        for known in classes:
            if known[0][1:3] == row[1:3] and _same(known[0][3], row[3], survey.target.fits):
                known.append(row)
                break
        else:
            classes.append([row])
    return [Explanation(tuple(r[0] for r in c), c[0][1], c[0][2], c[0][3]) for c in classes]


def distinct(survey: Survey, found: list[Explanation]) -> list[Explanation]:
    """The best of each set of leaves, with and without effect on others, with the statements that predict the same.

    Args:
        survey: what is known.
        found: explanations from several calls of `confirm`, the best first.

    Returns:
        The explanations.
    """
    kept: dict[tuple, Explanation] = {}
    for e in found:
        key = (e.explained, e.spoiled)
        best = kept.setdefault(key, e)
        if best is not e and _same(best.gradient, e.gradient, survey.target.fits):
            variants = sorted(dict.fromkeys((*kept[key].variants, *e.variants)), key=lambda v: v.cost)
            kept[key] = Explanation(tuple(variants), *key, best.gradient)
    return [*kept.values()]


def _same(a: tuple, b: tuple, fits: np.ndarray) -> bool:
    return all(np.abs(x - y).max(initial=0) <= 10 * f for x, y, f in zip(a, b, fits, strict=True))


def predict_many(
    program: Program, taken: list[Variant], tried: list[Variant]
) -> Iterator[tuple[list[Variant], list[np.ndarray]]]:
    """Predict the gradients of many variants, each on top of those taken for granted, many passes at a time.

    Args:
        program: the program at the point.
        taken: variants that hold in every pass.
        tried: variants, one a pass.

    Yields:
        Some of the variants and their gradients, (variants, *shape) a leaf.
    """
    entries = sum(int(np.prod(program.shape(out))) for node in program.nodes for out in node.outs)
    size = int(np.clip(2**23 // max(entries, 1), 1, 128))
    ready = [v for v in tried if v.finish is None]
    for start in range(0, len(ready), size):
        chunk = ready[start : start + size]
        changes = gather_changes(program, taken)
        for row, variant in enumerate(chunk):
            for place, change in variant.changes(program).items():
                changes.setdefault(place, []).append((np.array([row]), change))
        leaves = backward(program, len(chunk), changes).gradient()
        for done in taken:
            rows = (
                [done.finish(program, [leaf[i] for leaf in leaves]) for i in range(len(chunk))] if done.finish else []
            )
            leaves = [np.stack(column) for column in zip(*rows, strict=True)] if rows else leaves
        yield chunk, leaves
    for variant in tried:
        if variant.finish is not None:
            yield [variant], [leaf[None] for leaf in predict(program, [*taken, variant])]
