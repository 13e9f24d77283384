"""What a proof needs of its worlds: primes in a chain, degrees, choices of sign.

A value has one residue for each prime of the chain, its *levels*. exp at level i needs its argument at level i + 1,
log at level i its argument at level i − 1; everything else stays on its level. Each output is compared at the highest
level where it exists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.degrees import degree_of
from fnn.verify.proving.primes import BOTTOM_BITS, LONGEST
from fnn.verify.proving.tape import Node, Tape

DOWN = frozenset({"exp", "sin", "cos"})
_UNKNOWNS = dict.fromkeys(DOWN, "exponentials") | {"log": "logarithms", "root": "roots", "cube_root": "roots"}


@dataclass(frozen=True)
class Needs:
    """What has to be computed.

    Attributes:
        levels: for each node that matters, by number, the levels at which it is needed.
        length: number of primes in a chain.
        degree: bound on the degree of what is compared, exponentials and roots counted as unknowns of their own.
        free_signs: whether some root's sign is a coin, so that a world proves no more than one bit.
        cubes: whether cube roots occur.
        logarithms: whether logarithms do.
        unknowns: what is taken for unknowns in the degree: "exponentials", "roots".
    """

    levels: dict[int, tuple[int, ...]]
    length: int
    degree: float
    free_signs: bool
    cubes: bool
    logarithms: bool
    unknowns: frozenset[str]

    def chain_bits(self) -> float | None:
        """How large the smallest primes should be, as log₂, where larger ones cost much: logarithms take their root."""
        if self.free_signs:
            return min(max(21.0, 6.0 + math.log2(max(self.degree, 1.0))), BOTTOM_BITS[self.length])
        return (
            min(max(20.0, 17.0 + math.log2(max(self.degree, 1.0))), BOTTOM_BITS[self.length])
            if self.logarithms
            else None
        )

    def bits(self, smallest: float) -> float:
        """What one world proves, in bits, if the smallest prime that matters is this one."""
        bits = math.log2(smallest) - math.log2(max(self.degree, 1.0))
        return min(bits, 1.0 - 2.0 ** (1 - bits)) if self.free_signs and bits > 1 else bits


def highest(tape: Tape) -> list[int]:
    """For each node the first level at which it exists."""
    first: list[int] = []
    for node in tape.nodes:
        own = max((first[arg.number] for arg in node.args), default=0)
        if node.op in DOWN:
            own = max(0, own - 1)
        elif node.op == "log":
            own += 1
        first.append(own)
    return first


def needs_of(tape: Tape, pairs: Iterable[tuple[Node, Node]]) -> Needs:
    """Find what comparing pairs of nodes takes.

    Args:
        tape: where they stand.
        pairs: the nodes to be compared.

    Raises:
        CannotTell: exponentials and logarithms are nested deeper than chains of primes reach.
    """
    first = highest(tape)
    needed: dict[int, set[int]] = {}
    compared: list[Node] = []
    for pair in pairs:
        level = level_of(first, pair)
        for node in pair:
            needed.setdefault(node.number, set()).add(level)
            compared.append(node)
    for node in reversed(tape.nodes):
        for level in needed.get(node.number, ()):
            step = _step(node, level, first)
            for arg in node.args:
                needed.setdefault(arg.number, set()).add(level + step)
    levels = {number: tuple(sorted(found)) for number, found in needed.items()}
    length = max((max(found) for found in levels.values()), default=0) + 1
    if length > LONGEST:
        raise CannotTell("logarithms and exponentials are nested deeper than the chain of primes reaches")
    used = [node for node in tape.nodes if node.number in levels]
    degree = degree_of(used, compared)
    free = any(node.op == "root" and not _orderly(node.args[0]) for node in used)
    operations = {node.op for node in used}
    return Needs(levels, length, degree, free, "cube_root" in operations, "log" in operations,
                 frozenset(_UNKNOWNS[op] for op in operations if op in _UNKNOWNS))  # fmt: skip


def level_of(first: list[int], pair: tuple[Node, Node]) -> int:
    """The level at which two nodes are compared."""
    return max(first[node.number] for node in pair)


def _step(node: Node, level: int, first: list[int]) -> int:
    if node.op == "log":
        return -1
    if node.op in DOWN and (level + 1 < LONGEST or first[node.args[0].number] > level):
        return 1
    return 0  # at the bottom of the longest chain, exp is a function without laws


def _orderly(node: Node) -> bool:
    """Whether positive entries are squares in every world: variables are drawn so."""
    if node.op in ("view", "take", "concat", "select"):
        return all(map(_orderly, node.args))
    if node.op == "const":
        mantissas = np.frexp(np.abs(node.value))[0]
        return bool(np.isin(mantissas, (0.0, 0.5)).all())  # powers of 2, which is a square modulo p
    return node.op == "var"
