"""Comparisons that one program makes and the other does not.

A comparison a > b switches where a − b is 0. Two programs switch alike where their differences a − b are equal as
formulas, up to sign and a factor of 2; each is known by a fingerprint of its residues. A comparison that came out one
way only and whose difference is, as a formula, something that is never negative (a variance written as E x² − (E x)²,
which the other program writes as a sum of squares), has no other side.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.cell import Cell
from fnn.verify.proving.coverage import counted, predicates_of
from fnn.verify.proving.decisions import CannotTell, Predicate
from fnn.verify.proving.fields import Element
from fnn.verify.proving.levels import highest, needs_of
from fnn.verify.proving.literals import Reading
from fnn.verify.proving.primes import draw_chain
from fnn.verify.proving.signs import is_never_negative
from fnn.verify.proving.tape import Node
from fnn.verify.proving.worlds import Worlds

_WORLDS = 4
_ALIKE, _ALIKE_CHOICES = 1e-2, 1e-1  # what is nearer than this and not the same is suspicious
_MOST_SQUARES = 200  # nodes that are tried as what is never negative


class Matching(NamedTuple):
    """What comparing the comparisons showed; their names are those of `coverage`.

    Attributes:
        alone: the comparisons of one program, and their entries, that the other one does not make; ties apart.
        settled: entries that can only come out as they did, or are the same number everywhere.
        resembling: a sentence about comparisons that are almost alike, or about rounding that only one program does.
    """

    alone: dict[tuple, np.ndarray]
    settled: dict[tuple, np.ndarray]
    resembling: str | None


class _Compared(NamedTuple):
    """One predicate with what is matched: its difference, or for a choice the values that are chosen from."""

    name: tuple
    predicate: Predicate
    node: Node | None
    doubled: Node | None

    @property
    def program(self) -> str:
        """Which program makes the comparison: f, g, or "sign" for a sign under a root, of either."""
        return self.name[0][0]

    def shadow(self) -> np.ndarray:
        return (
            np.array([])
            if self.node is None
            else np.broadcast_to(self.node.value, self.predicate.sign.shape).reshape(-1)
        )


def match(cell: Cell, source: random.Random, readings: dict[float, Reading]) -> Matching:
    """Find the counterparts of all comparisons of two programs.

    Args:
        cell: both programs.
        source: where chance comes from.
        readings: how literals are read.
    """
    compared = [_compared(cell, name, p) for name, p in counted(predicates_of(cell))]
    if not compared:
        return Matching({}, {}, None)
    squares = [n for n in cell.tape.nodes if n.op not in ("const", "view") and n.marks is None and is_never_negative(n)]
    squares = squares[:_MOST_SQUARES]
    nodes = [n for c in compared for n in (c.node, c.doubled) if n is not None]
    sides = [
        n
        for c in compared
        if c.predicate.kind in ("order", "choice")
        for n in (c.predicate.a, c.predicate.b)
        if n.marks is None
    ]
    known = _fingerprints(cell, [*nodes, *sides, *squares], source, readings)
    if known is None:
        everything = {c.name: np.ones(c.predicate.sign.shape, bool) for c in compared}
        return Matching(everything, {}, "comparisons that are beyond the worlds")
    found: dict[tuple[str, bool], set[int]] = {(side, choice): set() for side in "fg" for choice in (True, False)}
    for c in compared:
        choice = c.predicate.kind == "choice"
        for side in "fg" if c.program == "sign" else c.program:
            found[side, choice] |= _of(c, c.node, known) | _of(c, c.doubled, known)
            if c.predicate.kind in ("order", "choice"):  # who compares two values chooses between them
                values = [known[n.number] for n in (c.predicate.a, c.predicate.b) if n.number in known]
                found[side, True] |= {mark for v in values for mark in v.reshape(-1).tolist()}
    never = set().union(*(set(known[n.number].reshape(-1).tolist()) for n in squares))
    alone = {c.name: _without_counterpart(c, found, known) for c in compared if c.program != "sign"}
    settled = {c.name: _settled_entries(c, never, known) for c in compared}
    apart = [c for c in compared if c.predicate.kind != "equality" and alone.get(c.name, np.False_).any()]
    return Matching(alone, settled, _resembling(apart))


def _settled_entries(c: _Compared, never: set[int], known: dict[int, np.ndarray]) -> np.ndarray:
    """Entries whose difference is one number everywhere, or something that is never negative (or never positive)."""
    if c.node is None:
        return np.ones(c.predicate.sign.shape, bool)
    marks = np.broadcast_to(known[c.node.number], c.predicate.sign.shape)
    return (marks == 0) | np.isin(marks, np.fromiter(never, np.uint64, len(never)))


def _compared(cell: Cell, name: tuple, predicate: Predicate) -> _Compared:
    if predicate.kind == "choice":
        return _Compared(name, predicate, predicate.a if predicate.a.marks is None else None, None)
    difference = _difference(cell, predicate)
    return _Compared(
        name, predicate, difference, None if difference is None else f.add(cell.tape, difference, difference)
    )


def _without_counterpart(
    c: _Compared, found: dict[tuple[str, bool], set[int]], known: dict[int, np.ndarray]
) -> np.ndarray:
    """Entries of a comparison that vary and have none like it in the other program."""
    shape, choice = c.predicate.sign.shape, c.predicate.kind == "choice"
    if c.node is None:
        return np.zeros(shape, bool)
    others = found["g" if c.program == "f" else "f", choice]
    all_others = np.fromiter(others, np.uint64, len(others))
    marks = [np.broadcast_to(known[n.number], shape) for n in (c.node, c.doubled) if n is not None]
    met = np.any([np.isin(m, all_others) for m in marks], axis=0)
    return ~met & (marks[0] != 0) & (choice | (c.predicate.sign != 0))


def _resembling(alone: list[_Compared]) -> str | None:
    """Comparisons of both programs whose numbers are almost the same, but not as formulas: cells too thin to be met."""
    for c in alone:
        if c.predicate.kind == "whole":
            return f"what {c.predicate.place} rounds is rounded in one program only"
        if c.predicate.kind == "loop":
            return f"how often a loop runs hangs on {c.predicate.place}, in one program only"
        others = [o for o in alone if (c.program, o.program) == ("f", "g") and c.predicate.kind == o.predicate.kind]
        for other in others:
            if _alike(c.shadow(), other.shadow(), c.predicate.kind == "choice"):
                return f"{c.predicate.place} and {other.predicate.place} compare almost the same, but not as formulas"
    return None


def _alike(x: np.ndarray, y: np.ndarray, choice: bool) -> bool:
    """Whether two arrays agree up to a small part of their largest entry, or would with the other sign."""
    if not x.size or x.shape != y.shape:
        return False
    near = (_ALIKE_CHOICES if choice else _ALIKE) * np.abs(x).max()
    x = np.sort(x) if choice else x
    return any(bool((np.abs(x - (np.sort(z) if choice else z)) <= near).all()) for z in (y, -y))


def _difference(cell: Cell, predicate: Predicate) -> Node | None:
    a, b = predicate.a, predicate.b
    if a.marks is not None or b.marks is not None or not (predicate.sign != 0).any():
        return None
    return f.sub(cell.tape, a, b)


def _of(c: _Compared, node: Node | None, known: dict[int, np.ndarray]) -> set[int]:
    """The fingerprints of the entries that are no ties and vary; of a choice, of all entries that vary."""
    if node is None:
        return set()
    marks = np.broadcast_to(known[node.number], c.predicate.sign.shape)
    return set((marks if c.predicate.kind == "choice" else marks[c.predicate.sign != 0]).reshape(-1).tolist()) - {0}


def _fingerprints(
    cell: Cell, nodes: list[Node], source: random.Random, readings: dict[float, Reading]
) -> dict[int, np.ndarray] | None:
    """For each node a number for each entry, the same for x and −x; None where the worlds don't reach."""
    try:
        needs = needs_of(cell.tape, [(node, node) for node in nodes])
    except CannotTell:
        return None
    worlds = Worlds([draw_chain(source, needs.length, cubes=needs.cubes) for _ in range(_WORLDS)], source, readings)
    first = highest(cell.tape)
    wanted = {node.number for node in nodes}
    found: dict[int, np.ndarray] = {}

    def visit(node: Node, level: int, element: Element) -> None:
        if node.number in wanted and level == first[node.number]:
            shadow = _without_rounding(node)
            found[node.number] = np.broadcast_to(worlds.fingerprint(level, element, shadow), node.shape)

    worlds.run(cell.tape, needs, visit)
    return found


def _without_rounding(node: Node) -> np.ndarray:
    """The shadow, with short binary fractions where its error allows them: 1 + z − z is 1 for every z."""
    with np.errstate(over="ignore", invalid="ignore"):
        short = np.rint(node.value * 2.0**20) / 2.0**20
        return np.where(np.abs(short - node.value) <= node.bound(), short, node.value)
