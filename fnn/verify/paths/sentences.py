"""One plain sentence for each mistake: which leaves, what is wrong, in which expression, on which line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fnn.verify.paths.confirming import Explanation
from fnn.verify.paths.program import Program
from fnn.verify.paths.sayings import SAYINGS
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.variant import Variant
from fnn.verify.paths.wording import at, joined, place_of, places_of, value
from fnn.verify.paths.words import Words

_OPEN = 1.0  # equivalent statements that are not much more far-fetched are told as well
_SURE = {"constant missing", "constant inverted", "constant twice", "power missing"}  # a number of that very equation


@dataclass(frozen=True)
class Mistake:
    """One mistake found in a gradient: what is wrong, where, and which leaves it explains."""

    kind: str
    leaves: tuple[str, ...]  # "dWq", as in the sentence
    numbers: tuple[int, ...]  # the leaves' numbers in the gradient
    expression: str  # of the forward; empty where there is no one place
    line: int | None
    file: str | None
    sentence: str


def tell(survey: Survey, found: list[Explanation]) -> tuple[Mistake, ...]:
    """Put explanations into words.

    Args:
        survey: what is known.
        found: explanations of the gradient.

    Returns:
        One mistake for each; leaves that suffer from the same slip, each on its own line, share one.
    """
    chosen = [(e, _preferred(e, found)) for e in found]
    told: list[Mistake] = []
    merged: set[int] = set()
    for i, (e, variant) in enumerate(chosen):
        if i in merged:
            continue
        alike = [j for j in range(i + 1, len(chosen)) if j not in merged and _alike(variant, chosen[j][1])]
        merged.update(alike)
        told.append(_mistake(survey, e, variant, [chosen[j] for j in alike]))
    return tuple(told)


def _preferred(e: Explanation, found: list[Explanation]) -> Variant:
    """Of equivalent statements one that explains other leaves too, if it is not much more far-fetched."""
    near = [v for v in e.variants if v.cost <= e.cost + 0.7 and v.kind in _MERGED]
    shared = [v for v in near if any(o is not e and any(_alike(v, w) for w in o.variants[:4]) for o in found)]
    return shared[0] if shared else e.variants[0]


_MERGED = {"overwritten", "rows overwritten", "doubled", "times", "sign", "penalty", "averaged instead of summed"}


def _alike(a: Variant, b: Variant) -> bool:
    keys = ("factor", "index", "value", "what")
    return a.kind == b.kind and a.kind in _MERGED and all(a.words.get(k) == b.words.get(k) for k in keys)


def _mistake(survey: Survey, e: Explanation, variant: Variant, more: list[tuple[Explanation, Variant]]) -> Mistake:
    program = survey.program
    numbers = sorted({*e.explained, *(i for other, _ in more for i in other.explained)})
    leaves = [survey.names[i] for i in numbers]
    place = place_of(program, variant.site) if variant.site else _line_of(program, variant)
    where = joined([*dict.fromkeys(_where(program, v) for v in (variant, *(v for _, v in more)))][:4])
    sentence = SAYINGS[variant.kind](Words(survey, variant, joined(leaves), len(leaves) > 1, where))
    if not more:
        sentence += _open_question(survey, e, variant, sentence)
    return Mistake(
        variant.kind,
        tuple(leaves),
        tuple(numbers),
        place.expression if place else "",
        place.line if place else None,
        place.file if place else None,
        sentence,
    )


def _where(program: Program, variant: Variant) -> str:
    """The expression and its line; a value that is read in several places is named with them."""
    site = variant.site
    if site is None:
        return at(_line_of(program, variant))
    places = places_of(program, site)
    if site.kind == "operand" or len(places) < 2:
        return at(places[0] if places else None)
    return f"{value(program, site.numbers[0])} as it comes back from {joined([at(p) for p in places[:2]])}"


def _line_of(program: Program, variant: Variant) -> Any:
    if "place" in variant.words:
        return variant.words["place"]
    return program.nodes[variant.words["node"]].stack.place if "node" in variant.words else None


def _open_question(survey: Survey, e: Explanation, variant: Variant, told_of: str) -> str:
    """Statements on other lines that predict the same numbers and are no more far-fetched: which it is stays open."""
    others: dict[str, int] = {}  # what is told of a place, and its line
    for other in e.variants:
        near = 0.2 if variant.kind == "missing" else 0.5 if variant.kind in _SURE else _OPEN
        if other.site is None or other.cost > variant.cost + near:
            continue
        place = place_of(survey.program, other.site)
        told = at(place)
        if place is not None and told not in told_of:
            others.setdefault(told, place.line)
    # of many the likeliest, and one on a line of its own
    chosen = [*others][:1]
    known = {others[told] for told in chosen}
    rest = [told for told in others if told not in chosen]
    apart = [told for told in rest if others[told] not in known and f"(line {others[told]})" not in told_of]
    chosen += (apart or rest)[:1]
    return f" (the same numbers come from {joined(chosen)}, so that it is open which)" if chosen else ""
