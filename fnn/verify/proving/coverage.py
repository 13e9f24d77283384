"""Which outcomes of which comparisons were seen, and which could be seen at all.

A comparison of arrays is one for each entry. Where only one program makes it, every entry has to be seen from both
sides; where both make it, some entry has, and the others are told. The same holds of choices among several entries,
the largest or the order of all, where the result hangs on them: every entry has to be chosen, or change its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn.verify.proving.cell import Cell
from fnn.verify.proving.decisions import Choice, Predicate
from fnn.verify.proving.signs import is_never_negative
from fnn.verify.proving.tape import Node

_BELOW, _TIE, _ABOVE = 1, 2, 4  # outcomes of one entry, as bits
_BOTH = _BELOW | _ABOVE


@dataclass
class Seen:
    """The outcomes of one comparison, over all cells.

    Attributes:
        place: the primitive and its line.
        kind: "order" or "equality".
        outcomes: which bits were seen, for each time that the comparison is made (in a loop) and each entry.
        lonely: the entries that one of the two programs has alone, at some cell.
        settled: the entries that were found to have no other side, at every cell.
        looked_at: whether it was seen what hangs on = where nothing was ever equal.
    """

    place: str
    kind: str
    looked_at: bool = False
    outcomes: dict[int, np.ndarray] = field(default_factory=dict)
    lonely: dict[int, np.ndarray] = field(default_factory=dict)
    settled: dict[int, np.ndarray] = field(default_factory=dict)

    def take(self, number: int, bits: np.ndarray, lonely: np.ndarray | None, settled: np.ndarray | None) -> None:
        """Count the outcomes at one cell."""
        none = np.zeros(bits.shape, bool)
        apart = none if lonely is None else lonely
        fixed = (none if settled is None else settled) | ((bits & _BOTH) == 0)
        known = self.outcomes.get(number)
        if known is not None and known.shape == bits.shape:
            bits, apart, fixed = known | bits, self.lonely[number] | apart, self.settled[number] & fixed
        self.outcomes[number], self.lonely[number], self.settled[number] = bits, apart, fixed

    @property
    def alone(self) -> bool:
        """Whether one of the two programs has entries of it alone."""
        return any(lonely.any() for lonely in self.lonely.values())

    def bits(self) -> int:
        """All outcomes together."""
        return int(np.bitwise_or.reduce([np.bitwise_or.reduce(o, axis=None) for o in self.outcomes.values()]))

    def one_sided(self, alone: bool = False) -> int:
        """Number of entries that came out one way only, those that one program has alone or all."""
        if self.kind != "order":
            return 0
        return sum(
            int((np.isin(o & _BOTH, (_BELOW, _ABOVE)) & ~self.settled[i] & (self.lonely[i] | (not alone))).sum())
            for i, o in self.outcomes.items()
        )

    def never_met(self) -> bool:
        """Whether = and ≠ are told apart, and nothing was ever equal."""
        return self.kind == "equality" and not self.bits() & _TIE

    def missing(self) -> bool:
        """Whether a side was not seen that has to be."""
        whole = self.bits() & _BOTH in (_BELOW, _ABOVE) and self.one_sided()
        return bool(self.one_sided(alone=True) or whole)

    def unmet(self) -> bool:
        """Whether one program alone asks whether values are equal, which they never were."""
        return self.alone and self.never_met() and not self.looked_at

    def __str__(self) -> str:
        some, entries = self.one_sided(), sum(o.size for o in self.outcomes.values())
        return self.place if some in (0, entries) else f"{self.place} ({some} of {entries} entries)"


@dataclass
class Chosen:
    """What was chosen among several entries, over all cells.

    Attributes:
        place: the primitive and its line.
        first: what was chosen first.
        still: the entries of which always the same was known.
        alone: whether only one of the two programs chooses so.
    """

    place: str
    first: np.ndarray
    still: np.ndarray
    alone: bool

    def __str__(self) -> str:
        return f"{self.place} (what is chosen)"


class Coverage:
    """What was seen of all comparisons, named by program and equation.

    Attributes:
        seen: the comparisons.
        chosen: the choices, by name and number.
        hangs: whether results hang on what is chosen.
        at_ties: whether it matters what happens where values tie.
        loops: loops, and tests that numbers are finite.
    """

    def __init__(self) -> None:
        self.seen: dict[tuple, Seen] = {}
        self.chosen: dict[tuple[tuple, int], Chosen] = {}
        self.hangs = False
        self.at_ties = True
        self.loops: dict[str, None] = {}

    def take(self, cell: Cell, alone: Mapping[tuple, np.ndarray], settled: Mapping[tuple, np.ndarray]) -> None:
        """Count the outcomes of a cell.

        Args:
            cell: a cell that was proved.
            alone: for each comparison the entries that the other program does not compare, at this cell.
            settled: those that can only come out as they did.
        """
        for key, predicate in counted(predicates_of(cell)):
            name, number = key
            seen = self.seen.setdefault(name, Seen(predicate.place, predicate.kind))
            seen.take(number, _bits(predicate), alone.get(key), settled.get(key))
        operands = [{c.operand for c in d.choices} for d in cell.decisions]
        for side, decisions in enumerate(cell.decisions):
            finite = [f"{place} (for numbers that are finite)" for place in decisions.taken_for_granted]
            self.loops |= dict.fromkeys([*decisions.loops.values(), *finite])
            for name, choice in counted((c.equation[:-1], c) for c in decisions.choices):
                apart = choice.operand is not None and choice.operand not in operands[1 - side]
                if choice.operand is None:
                    apart = any(lonely.any() for (other, _), lonely in alone.items() if other == name[0])
                self._take_choice(name, choice, apart)

    def _take_choice(self, name: tuple, choice: Choice, alone: bool) -> None:
        known = self.chosen.get(name)
        if known is None or known.first.shape != choice.ranks.shape:
            self.chosen[name] = Chosen(choice.place, choice.ranks, choice.open, alone)
        else:
            known.still = known.still & (known.first == choice.ranks)
            known.alone |= alone

    def missing(self) -> list[Seen | Chosen]:
        """Comparisons of which one side is missing, and choices that were always the same."""
        found: list[Seen | Chosen] = [
            seen for seen in self.seen.values() if seen.missing() or (self.at_ties and seen.unmet())
        ]
        return found + [c for c in self._still() if c.alone]

    def _still(self) -> list[Chosen]:
        """Choices of which some entries were always the same, where results hang on them."""
        return [c for c in self.chosen.values() if c.still.any()] if self.hangs else []

    def unmet(self) -> list[tuple]:
        """Names of the equations by which one program alone asks whether values are equal, which they never were."""
        return [name for name, seen in self.seen.items() if self.at_ties and seen.unmet()]

    def look_at(self, cell: Cell) -> None:
        """Count the equalities of a cell where both programs gave the same numbers."""
        for (name, _), predicate in counted(predicates_of(cell)):
            if name in self.seen and (predicate.sign == 0).any():
                self.seen[name].looked_at = True

    def told(self) -> tuple[str, ...]:
        """What was not seen, with its lines."""
        one_sided = [str(seen) for seen in self.seen.values() if seen.one_sided()]
        rounds = [f"{seen} (rounds of a loop)" for seen in self.seen.values() if seen.kind == "loop"]
        never_met = [f"{seen} (never met)" for seen in self.seen.values() if seen.never_met()]
        chosen = [str(choice) for choice in self._still()]
        return tuple(dict.fromkeys([*one_sided, *never_met, *rounds, *chosen, *self.loops]))

    def news(self, cell: Cell) -> bool:
        """Whether a cell shows a side that is missing."""
        for (name, number), predicate in counted(predicates_of(cell)):
            seen = self.seen.get(name)
            if seen is not None and seen.missing():
                bits, known = _bits(predicate), seen.outcomes.get(number)
                if known is None or known.shape != bits.shape or (bits & _BOTH & ~known).any():
                    return True
        if not self.hangs:
            return False
        choices = counted((c.equation[:-1], c) for d in cell.decisions for c in d.choices)
        known_ones = ((self.chosen.get(name), choice) for name, choice in choices)
        return any(
            k is not None and k.alone and k.first.shape == c.ranks.shape and (k.still & (k.first != c.ranks)).any()
            for k, c in known_ones
        )


def _bits(predicate: Predicate) -> np.ndarray:
    return np.left_shift(1, predicate.sign.astype(np.int64) + 1).astype(np.uint8)


def counted(named: Iterable[tuple[tuple, Any]]) -> Iterator[tuple[tuple[tuple, int], Any]]:
    """Things with their name and a number: the first of that name is 0, the second 1."""
    counts: dict[tuple, int] = {}
    for name, thing in named:
        counts[name] = counts.get(name, -1) + 1
        yield (name, counts[name]), thing


def predicates_of(cell: Cell) -> Iterable[tuple[tuple, Predicate]]:
    """All comparisons that could come out otherwise, with the name of their equation."""
    for decisions in cell.decisions:
        for predicate in decisions.predicates:
            if not _settled(predicate):
                yield predicate.equation[:-1], predicate
    zero = cell.tape.const(0.0)
    for place, node in cell.tape.signs:
        if not is_never_negative(node):
            sign = np.sign(node.value).astype(np.int8)
            yield (
                ("sign", place),
                Predicate(f"the sign under a root, {place}", ("sign", place, 0), node, zero, sign, "order"),
            )


def _settled(predicate: Predicate) -> bool:
    """Whether a comparison can only come out one way: something that is never negative, against 0 or less."""
    if not predicate.a.varies and not predicate.b.varies:
        return True
    if not np.isfinite(predicate.a.value).any() or not np.isfinite(predicate.b.value).any():
        return True  # numbers are finite
    for x, other in ((predicate.a, predicate.b), (predicate.b, predicate.a)):
        below = _constant(other)
        if below is not None and (below <= 0).all() and is_never_negative(x):
            return True
    return False


def _constant(node: Node) -> np.ndarray | None:
    while node.op == "view":
        node = node.args[0]
    return node.value if node.op == "const" else None
