"""Where programs switch: cells between two that were proved, found by walking from one point to the other.

Between two points a comparison that only one program makes switches somewhere. On either side of that place, and
between it and the nearest place where the other program switches, lies a cell that random points may never meet, as
for x > 0 against x > 0.001. Where both switch at one place as far as float64 sees, and by values that float64 can't
tell apart either, but that differ as formulas (x against x − 10⁻³⁰), nothing can be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fnn.verify.proving.cell import Cell, run_both
from fnn.verify.proving.coverage import counted, predicates_of
from fnn.verify.proving.decisions import CannotTell, Predicate
from fnn.verify.proving.points import Point

if TYPE_CHECKING:
    from fnn.verify.proving.search import Search

_ENTRIES = 3  # entries of one comparison that are followed
_MOST_ROOTS = 8
_STEPS = 25
_BESIDE = 1e-7  # of the way between two points


class Crossing(NamedTuple):
    """A comparison that comes out otherwise at the two ends of a way."""

    name: tuple
    number: int  # among the comparisons of that name
    entry: int
    start: float  # a − b at the start
    end: float

    @property
    def program(self) -> str:
        """Which program makes the comparison."""
        return self.name[0]


def walk(search: Search, first: Cell, last: Cell) -> str | None:
    """Visit the cells between two proved ones in which only one program has switched.

    Args:
        search: the proof, which keeps what is found.
        first: where the way starts.
        last: where it ends.

    Returns:
        None, or a sentence about two comparisons that can't be told apart.

    Raises:
        Differs: the programs differ on the way.
    """
    crossings = list(_crossings(search, first, last))[:_MOST_ROOTS]
    places: list[tuple[float, Crossing]] = []
    for crossing in crossings:
        t = _place(search, first.point, last.point, crossing)
        if t is not None:
            places.append((t, crossing))
    places.sort(key=lambda place: place[0])
    for (t, one), (s, other) in pairwise(places):
        if one.program != other.program and s - t < 1e-9 and _look_alike(one, other):
            a, b = (search.coverage.seen[c.name].place for c in (one, other))
            return f"{a} and {b} switch at one place as far as float64 sees, but are not one comparison as formulas"
    # what is known: where each comparison switches. Next to it, and halfway to the next one, lie the cells to be seen
    ways = [t + side for t, _ in places for side in (-_BESIDE, _BESIDE)]
    ways += [(t + s) / 2 for (t, _), (s, _) in pairwise(places) if s - t > 1e-14]
    for t in ways:
        search.visit(_between(first.point, last.point, t))
    return None


def _crossings(search: Search, first: Cell, last: Cell) -> Iterator[Crossing]:
    """Comparisons without a counterpart that come out otherwise at the end."""
    ends = _by_name(last)
    for (name, number), predicate in _by_name(first).items():
        other = ends.get((name, number))
        seen = search.coverage.seen.get(name)
        if other is None or seen is None or not seen.alone or seen.kind != "order" or name[0] == "sign":
            continue
        lonely = seen.lonely.get(number)
        if other.sign.shape != predicate.sign.shape or lonely is None or lonely.shape != predicate.sign.shape:
            continue
        for entry in np.flatnonzero((predicate.sign * other.sign < 0) & lonely)[:_ENTRIES]:
            yield Crossing(name, number, int(entry), _difference(predicate, entry), _difference(other, entry))


def _by_name(cell: Cell) -> dict[tuple, Predicate]:
    return dict(counted(predicates_of(cell)))


def _difference(predicate: Predicate, entry: int) -> float:
    a, b = np.broadcast_arrays(predicate.a.value, predicate.b.value)
    return float(a.flat[entry] - b.flat[entry])


def _between(start: Point, end: Point, t: float) -> Point:
    return [a + t * (b - a) for a, b in zip(start, end, strict=True)]


def _place(search: Search, start: Point, end: Point, crossing: Crossing) -> float | None:
    """Where on the way a − b is 0: secants, the weight of an end that stays being halved (Illinois)."""
    low, high, at_low, at_high = 0.0, 1.0, crossing.start, crossing.end
    for _ in range(_STEPS):
        t = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < t < high or high - low < 1e-15:
            return (low + high) / 2
        try:
            cell = run_both(search.programs, _between(start, end, t), search.readings)
        except CannotTell:
            return None
        predicate = _by_name(cell).get((crossing.name, crossing.number))
        if predicate is None or predicate.sign.size <= crossing.entry:
            return None
        value = _difference(predicate, crossing.entry)
        if value == 0:
            return t
        if (value < 0) == (at_low < 0):
            low, at_low, at_high = t, value, at_high / 2
        else:
            high, at_high, at_low = t, value, at_low / 2
    return (low + high) / 2


def _look_alike(one: Crossing, other: Crossing) -> bool:
    """Whether two differences stand in one ratio at both ends: one value, or a multiple, as far as float64 sees."""
    if not (other.start and other.end):
        return False
    ratio, at_end = one.start / other.start, one.end / other.end
    return abs(ratio - at_end) <= 1e-9 * abs(ratio)
