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
from fnn.verify.proving.coverage import predicates_of
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
    """What comparing the comparisons showed; names of equations are those of `coverage`.

    Attributes:
        alone: equations with a comparison, not a tie, that has no counterpart in the other program.
        settled: equations whose comparisons can only come out as they did.
        resembling: a sentence about comparisons that are almost alike, or about rounding that only one program does.
    """

    alone: set[tuple]
    settled: set[tuple]
    resembling: str | None


class _Compared(NamedTuple):
    """One predicate with what is matched: its difference, or for a choice the values that are chosen from."""

    name: tuple
    predicate: Predicate
    node: Node | None
    doubled: Node | None

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
    compared = [_compared(cell, name, p) for name, p in predicates_of(cell) if p.kind != "equality"]
    if not compared:
        return Matching(set(), set(), None)
    squares = [n for n in cell.tape.nodes if n.op not in ("const", "view") and n.marks is None and is_never_negative(n)]
    squares = squares[:_MOST_SQUARES]
    nodes = [n for c in compared for n in (c.node, c.doubled) if n is not None]
    sides = [
        n for c in compared if c.predicate.kind == "order" for n in (c.predicate.a, c.predicate.b) if n.marks is None
    ]
    known = _fingerprints(cell, [*nodes, *sides, *squares], source, readings)
    if known is None:
        names = {c.name for c in compared}
        return Matching(names, set(), "comparisons that are beyond the worlds")
    found: dict[tuple[str, bool], set[int]] = {(side, choice): set() for side in "fg" for choice in (True, False)}
    for c in compared:
        choice = c.predicate.kind == "choice"
        for side in "fg" if c.name[0] == "sign" else c.name[0]:
            found[side, choice] |= _of(c, c.node, known) | _of(c, c.doubled, known)
            if c.predicate.kind == "order":  # who compares two values chooses between them
                values = [known[n.number] for n in (c.predicate.a, c.predicate.b) if n.number in known]
                found[side, True] |= {mark for v in values for mark in v.reshape(-1).tolist()}
    never = set().union(*(set(known[n.number].reshape(-1).tolist()) for n in squares))
    alone = [c for c in compared if c.name[0] != "sign" and not _has_counterpart(c, found, known)]
    settled = {
        c.name
        for c in compared
        if _of(c, c.node, known) <= never and len(set(np.unique(c.predicate.sign).tolist()) & {-1, 1}) == 1
    }
    return Matching({c.name for c in alone}, settled, _resembling(alone))


def _compared(cell: Cell, name: tuple, predicate: Predicate) -> _Compared:
    if predicate.kind == "choice":
        return _Compared(name, predicate, predicate.a if predicate.a.marks is None else None, None)
    difference = _difference(cell, predicate)
    return _Compared(
        name, predicate, difference, None if difference is None else f.add(cell.tape, difference, difference)
    )


def _has_counterpart(c: _Compared, found: dict[tuple[str, bool], set[int]], known: dict[int, np.ndarray]) -> bool:
    others = found["g" if c.name[0] == "f" else "f", c.predicate.kind == "choice"]
    return any(_of(c, node, known) <= others for node in (c.node, c.doubled) if node is not None) or c.node is None


def _resembling(alone: list[_Compared]) -> str | None:
    """Comparisons of both programs whose numbers are almost the same, but not as formulas: cells too thin to be met."""
    for c in alone:
        if c.predicate.kind == "whole":
            return f"what {c.predicate.place} rounds is rounded in one program only"
        if c.predicate.kind == "loop":
            return f"how often a loop runs hangs on {c.predicate.place}, in one program only"
        others = [o for o in alone if (c.name[0], o.name[0]) == ("f", "g") and c.predicate.kind == o.predicate.kind]
        for other in others:
            if _alike(c.shadow(), other.shadow(), c.predicate.kind == "choice"):
                return f"{c.predicate.place} and {other.predicate.place} compare almost the same, but not as formulas"
    return None


def _alike(x: np.ndarray, y: np.ndarray, choice: bool) -> bool:
    """Whether two arrays agree up to a small part of their largest entry, or would with the other sign."""
    if not x.size or x.shape != y.shape:
        return False
    near = (_ALIKE_CHOICES if choice else _ALIKE) * np.abs(x).max()
    x, y = (np.sort(x), np.sort(y)) if choice else (x, y)
    return bool((np.abs(x - y) <= near).all() or (np.abs(x + y) <= near).all())


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
            found[node.number] = np.broadcast_to(worlds.fingerprint(level, element, node.value), node.shape)

    worlds.run(cell.tape, needs, visit)
    return found
