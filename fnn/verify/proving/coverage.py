"""Which outcomes of which comparisons were seen, and which could be seen at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from fnn.verify.proving.cell import Cell
from fnn.verify.proving.decisions import Predicate
from fnn.verify.proving.signs import is_never_negative
from fnn.verify.proving.tape import Node


@dataclass
class Seen:
    """The outcomes of one comparison, over all entries and cells.

    Attributes:
        place: the primitive and its line.
        kind: "order" or "equality".
        signs: which of −1, 0, 1 were seen.
        alone: whether it was found in one of the two programs only, at some cell.
        settled: whether it was found to have no other side, at every cell.
    """

    place: str
    kind: str
    signs: set[int] = field(default_factory=set)
    alone: bool = False
    settled: bool = True

    def missing(self) -> bool:
        """Whether only one side of an order was seen; one that is always a tie has no sides."""
        return self.kind == "order" and not self.settled and len(self.signs & {-1, 1}) == 1

    def __str__(self) -> str:
        return self.place


class Coverage:
    """What was seen of all comparisons, named by program and equation."""

    def __init__(self) -> None:
        self.seen: dict[tuple, Seen] = {}
        self.loops: dict[str, None] = {}

    def take(self, cell: Cell, alone: Collection[tuple], settled: Collection[tuple]) -> None:
        """Count the outcomes of a cell.

        Args:
            cell: a cell that was proved.
            alone: the equations whose comparisons the other program does not make, at this cell.
            settled: those that can only come out as they did.
        """
        for name, predicate in predicates_of(cell):
            entry = self.seen.setdefault(name, Seen(predicate.place, predicate.kind))
            signs = set(np.unique(predicate.sign).tolist())
            entry.signs |= signs
            entry.alone |= name in alone
            entry.settled &= name in settled or signs == {0}
        for decisions in cell.decisions:
            self.loops |= dict.fromkeys([*decisions.loops.values(), *decisions.taken_for_granted])

    def missing(self) -> dict[tuple, Seen]:
        """Comparisons of which one side is missing."""
        return {name: seen for name, seen in self.seen.items() if seen.missing()}

    def told(self) -> tuple[str, ...]:
        """What was not seen, with its lines."""
        rounds = [f"{seen} (rounds of a loop)" for seen in self.seen.values() if seen.kind == "loop"]
        never_met = [
            f"{seen} (never met)" for seen in self.seen.values() if seen.kind == "equality" and 0 not in seen.signs
        ]
        return tuple(dict.fromkeys([*map(str, self.missing().values()), *never_met, *rounds, *self.loops]))

    def news(self, cell: Cell) -> bool:
        """Whether a cell shows a side that is missing."""
        missing = self.missing()
        for name, predicate in predicates_of(cell):
            if name in missing and set(np.unique(predicate.sign).tolist()) & {-1, 1} - missing[name].signs:
                return True
        return False


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
