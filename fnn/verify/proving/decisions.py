"""What float64 decides: the outcome of every comparison, and what it can't decide.

Two values that differ by more than their error bounds are told apart. Others count as equal, on the condition that
the worlds find them equal as formulas: an *obligation*. Where that fails the point lies on a boundary, within
rounding, and proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from fnn.verify.proving.tape import LOST, NAN, Node, Tape


class CannotTell(Exception):
    """The proof stops here, for the reason given."""


@dataclass(frozen=True)
class Predicate:
    """One comparison at one point, a against b, entry by entry.

    Attributes:
        place: the primitive and its line.
        equation: what it is the comparison of, the same at every point: program, path of equations, count.
        a: left side.
        b: right side.
        sign: int8 like a, −1, 0 or 1.
        kind: "order"; "equality" where only = and ≠ are told apart; "choice" among several;
            "whole" against the nearest whole number; "loop" in the condition of a loop.
    """

    place: str
    equation: tuple
    a: Node
    b: Node
    sign: np.ndarray
    kind: str


@dataclass(frozen=True)
class Choice:
    """Which of several entries was chosen, or how they were ordered.

    Attributes:
        place: the primitive and its line.
        equation: as for `Predicate`.
        ranks: for each entry 0 or 1, not chosen or chosen, or its place in the order.
        open: the entries that might as well have been chosen: those that are numbers and not alone.
        operand: where no comparison is kept, number of the node that is chosen from; else None.
    """

    place: str
    equation: tuple
    ranks: np.ndarray
    open: np.ndarray
    operand: int | None


@dataclass(frozen=True)
class Obligation:
    """Entries of a − b that have to be 0 as formulas, since float64 does not tell them apart.

    Attributes:
        place: the primitive and its line.
        a: left side.
        b: right side.
        where: the entries.
        exact: whether both sides are known without error, so that they do tie in float64.
    """

    place: str
    a: Node
    b: Node
    where: np.ndarray
    exact: bool


class Decisions:
    """The decisions of one program at one point.

    Attributes:
        predicates: the comparisons, in order.
        obligations: what was taken for equal.
        conversions: lines that convert to narrower floats, read as exact.
        choices: what was chosen or ordered, in order.
        taken_for_granted: tests that numbers are finite.
        finite: such tests of numbers that overflow easily, by the nodes' numbers.
        loops: comparisons in conditions of loops that float64 does not decide, by the nodes' numbers: how often a loop
            runs is then what float64 happens to say, which both programs have to have in common.
        meets: names of equations whose = is answered with yes, to see what hangs on it.
        equation: name of the equation that is decided now.
        in_condition: whether a loop's condition is computed now.
    """

    def __init__(self, tape: Tape, program: str, meets: Collection[tuple] = ()) -> None:
        self.tape, self.program, self.meets = tape, program, meets
        self.predicates: list[Predicate] = []
        self.obligations: list[Obligation] = []
        self.conversions: dict[str, None] = {}
        self.choices: list[Choice] = []
        self.taken_for_granted: dict[str, None] = {}
        self.finite: dict[int, str] = {}
        self.loops: dict[tuple[int, int], str] = {}
        self.in_condition = False
        self.equation: tuple = ()
        self._trail = hashlib.blake2b(digest_size=16)

    def signature(self) -> bytes:
        """What was decided, in 16 bytes: two points with one signature lie in one cell."""
        return self._trail.digest()

    def note(self, outcome: np.ndarray) -> None:
        """Take an outcome into the signature."""
        self._trail.update(np.ascontiguousarray(outcome).tobytes())

    def compare(self, a: Node, b: Node, kind: str = "order", same: np.ndarray | None = None) -> np.ndarray:
        """Compare entry by entry.

        Args:
            a: left side.
            b: right side, of a shape that broadcasts with the left one's.
            kind: "equality" where the outcome only says whether the two are equal, "choice" where one of several is
                chosen.
            same: entries that are compared with themselves, if any.

        Returns:
            int8: −1, 0 or 1; 0 where one side is no number, see `unordered` and `lost_of`.
        """
        with np.errstate(invalid="ignore"):
            difference = np.asarray(a.value - b.value)
            sign = np.sign(difference)
            margin = 2 * (np.asarray(a.error) + np.asarray(b.error))
            same_infinity = (a.value == b.value) & np.isinf(a.value)
        numbers = np.isfinite(a.value) & np.isfinite(b.value)
        close = numbers & (np.abs(difference) <= margin)
        if self.in_condition and close.any() and a is not b:
            self.loops[a.number, b.number] = self.tape.place
            close = np.zeros_like(close)
        kind = "loop" if self.in_condition and (a.varies or b.varies) else kind
        sign = np.where(close | same_infinity | np.isnan(sign), 0, sign).astype(np.int8)
        owed = close if same is None else close & ~same
        if kind == "equality" and (self.program, *self.equation) in self.meets:
            sign, owed = np.zeros_like(sign), np.zeros_like(owed)
        if owed.any() and a is not b:
            exact = not np.broadcast_to(margin, owed.shape)[owed].any()
            self.obligations.append(Obligation(self.tape.place, a, b, owed, exact))
        if a is not b:
            self.predicates.append(
                Predicate(self.tape.place, (self.program, *self.equation, len(self.predicates)), a, b, sign, kind)
            )
        self.note(sign)
        return sign

    def chose(self, ranks: np.ndarray, open_: np.ndarray, operand: int | None = None) -> None:
        """Keep what was chosen among several entries, or their order; see `Choice`."""
        equation = (self.program, *self.equation, len(self.choices))
        self.choices.append(Choice(self.tape.place, equation, ranks, open_, operand))

    def nearest_whole(self, x: Node) -> tuple[np.ndarray, np.ndarray]:
        """The whole number that each entry is or lies just above, and on which side of it the entry lies.

        Returns:
            whole: the number nearest to the entry; sign: −1, 0 or 1, the entry against it.
        """
        whole = np.rint(x.value)
        node = self.tape.const(np.where(np.isfinite(whole), whole, 0.0))
        return whole, self.compare(x, node, "whole")


def unordered(a: Node, b: Node) -> np.ndarray:
    """Where one of two values is NaN."""
    return (marks_of(a) == NAN) | (marks_of(b) == NAN)


def lost_of(*nodes: Node) -> np.ndarray | None:
    """The reasons for which entries are lost, broadcast together; None where none is."""
    if all(node.marks is None or not (node.marks >= LOST).any() for node in nodes):
        return None
    top = np.max(np.broadcast_arrays(*map(marks_of, nodes)), axis=0)
    return np.where(top >= LOST, top, 0).astype(np.int16)


def marks_of(node: Node) -> np.ndarray:
    """The marks of all entries."""
    return np.zeros(node.shape, np.int16) if node.marks is None else node.marks
