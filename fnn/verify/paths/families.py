"""Sites: where the chain rule can be written wrongly, and which equations are one line of code.

A loop runs the same line many times, and so does a function that is called twice: whoever derives it by hand writes its
backward once. Equations with the same frames are a family; so are those with the same innermost frame. A site is what
one operand receives from one equation, or what a value collects from all that read it, for one member or for all.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from fnn.verify.paths.program import Program
from fnn.verify.paths.source import Stack
from fnn.verify.paths.sweeps import Place


@dataclass(frozen=True)
class Site:
    """One operand of an equation, or one value, in one or all members of a family."""

    places: tuple[Place, ...]
    numbers: tuple[int, ...]  # the value at each place
    turns: tuple[int, ...]  # each place's number in its family
    size: int  # members of the family
    level: int  # 0: the only one; 1: the same call in every turn; 2: the same line, called from several; 3: one of many
    nested: bool  # whether one member's cotangent passes through another

    @property
    def kind(self) -> str:
        """What the places are: operands or values."""
        return self.places[0][0]


def key_of(origin: Hashable, level: int) -> Hashable:
    """What the members of a family have in common."""
    if not isinstance(origin, Stack):
        return origin
    return origin if level == 1 else (origin.place, origin.inner)


def value_families(program: Program, level: int) -> dict[Hashable, list[int]]:
    """Values made by the same line of code, in order."""
    found: dict[Hashable, list[int]] = {}
    for number, origin in enumerate(program.origin):
        maker = program.maker[number]
        out = program.nodes[maker].outs.index(number) if maker >= 0 else 0
        if isinstance(origin, Stack):
            found.setdefault((key_of(origin, level), out), []).append(number)
    return found


def sites_of(program: Program) -> list[Site]:
    """All sites of a program: families first, then single members of families."""
    families: dict[tuple, list[int]] = {}
    for level in (1, 2):
        for node in program.nodes:
            shapes = tuple(program.shape(i) for i in (*node.ins, *node.outs))
            families.setdefault((level, key_of(node.stack, level), shapes), []).append(node.index)
    distinct: dict[tuple[int, ...], int] = {}
    for (level, _, _), found in families.items():
        distinct.setdefault(tuple(found), level)
    above = _ancestors(program, list(distinct))
    readers = program.consumers()
    sites: list[Site] = []
    for number, (members, level) in enumerate(distinct.items()):
        sites += _operand_sites(program, members, level, above, number)
        sites += _value_sites(program, members, level, above, number, readers)
    for number in program.leaves:
        if number in readers:
            sites.append(Site((("value", number, 0),), (number,), (0,), 1, 0, False))
    return sites


def _operand_sites(program: Program, members: tuple[int, ...], level: int, above: list[int], family: int) -> list[Site]:
    sites = []
    for k in range(max(len(program.nodes[i].ins) for i in members)):
        at = [(turn, i) for turn, i in enumerate(members) if k in program.nodes[i].active]
        if not at:
            continue
        places: tuple[Place, ...] = tuple(("operand", i, k) for _, i in at)
        numbers = tuple(program.nodes[i].ins[k] for _, i in at)
        nested = any(above[n] >> family & 1 for n in numbers)
        sites += _levels(places, numbers, tuple(t for t, _ in at), len(members), level, nested)
    return sites


def _value_sites(
    program: Program, members: tuple[int, ...], level: int, above: list[int], family: int, readers: dict
) -> list[Site]:
    sites = []
    for out in range(max(len(program.nodes[i].outs) for i in members)):
        at = [(turn, program.nodes[i].outs[out]) for turn, i in enumerate(members) if out < len(program.nodes[i].outs)]
        at = [(turn, n) for turn, n in at if n in readers and n != program.result]
        if all(len(readers[n]) < 2 for _, n in at):
            continue
        places: tuple[Place, ...] = tuple(("value", n, 0) for _, n in at)
        numbers = tuple(n for _, n in at)
        nested = len(members) > 1 and any(above[i] >> family & 1 for m in members for i in program.nodes[m].ins)
        sites += _levels(places, numbers, tuple(t for t, _ in at), len(members), level, nested)
    return sites


def _levels(
    places: tuple[Place, ...], numbers: tuple[int, ...], turns: tuple[int, ...], size: int, level: int, nested: bool
) -> list[Site]:
    """The family's site, and each member's where there are several."""
    if len(places) == 1:
        return [Site(places, numbers, turns, size, 0 if size == 1 else 3, False)]
    single = [Site((p,), (n,), (t,), size, 3, False) for p, n, t in zip(places, numbers, turns, strict=True)]
    return [Site(places, numbers, turns, size, level, nested), *(single if level == 1 else ())]


def _ancestors(program: Program, families: list[tuple[int, ...]]) -> list[int]:
    """For every value the families that it depends on, as bits."""
    own: dict[int, int] = {}
    for number, members in enumerate(families):
        if len(members) > 1:
            for i in members:
                own[i] = own.get(i, 0) | 1 << number
    bits = [0] * len(program.values)
    for node in program.nodes:
        seen = own.get(node.index, 0)
        for k in node.active:
            seen |= bits[node.ins[k]]
        for out in node.outs:
            bits[out] = seen
    return bits
