"""Two programs at one point: run in float64, compared there, and compared in all worlds."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fnn.verify.oracles import precise
from fnn.verify.proving.decisions import CannotTell, Decisions, Obligation, marks_of
from fnn.verify.proving.fields import Element, Residues
from fnn.verify.proving.levels import Needs, highest, level_of, needs_of
from fnn.verify.proving.literals import Reading
from fnn.verify.proving.points import Point
from fnn.verify.proving.primes import Chain, draw_chain
from fnn.verify.proving.programs import Program
from fnn.verify.proving.run import Run, Value, Whole
from fnn.verify.proving.tape import LOST, Node, Tape
from fnn.verify.proving.worlds import Worlds

TARGET_BITS = 65.0  # 2⁻⁶⁰ for up to 32 cells together
_FEWEST_WORLDS, _MOST_WORLDS = 4, 96
_MOST_STEPS = 200_000
_ROOM = 2**24  # residues of one array that are held at once


@dataclass(frozen=True)
class Cell:
    """Two programs on one tape, at one point.

    Attributes:
        point: the float leaves of the arguments.
        tape: all steps of both.
        results: the leaves of both results, float nodes or concrete numbers.
        decisions: what float64 decided in each.
    """

    point: Point
    tape: Tape
    results: tuple[list[Value], list[Value]]
    decisions: tuple[Decisions, Decisions]

    def signature(self) -> bytes:
        """Equal for points in one cell: the outcomes of all comparisons, and the signs under roots."""
        signs = [np.sign(node.value).astype(np.int8).tobytes() for _, node in self.tape.signs]
        return b"".join([*(d.signature() for d in self.decisions), *signs])

    def obligations(self) -> list[Obligation]:
        """What was taken for equal in either program."""
        return [o for d in self.decisions for o in d.obligations]

    def loops_differ(self) -> str | None:
        """A loop's condition that float64 does not decide and only one program has, or None."""
        f, g = (d.loops for d in self.decisions)
        one_sided = [*(f.keys() - g.keys()), *(g.keys() - f.keys())]
        return (f | g)[one_sided[0]] if one_sided else None

    def decides(self) -> bool:
        """Whether anything was compared, chosen or taken for a finite number."""
        return any(d.predicates or d.choices or d.taken_for_granted for d in self.decisions) or bool(self.tape.signs)

    def finiteness_differs(self) -> str | None:
        """A test that a number is finite, where it may well overflow, that only one program makes; or None."""
        f, g = (d.finite for d in self.decisions)
        one_sided = [*(f.keys() - g.keys()), *(g.keys() - f.keys())]
        return (f | g)[one_sided[0]] if one_sided else None

    def size(self) -> int:
        """Number of entries on the tape."""
        return sum(node.size for node in self.tape.nodes)


def run_both(
    programs: Sequence[Program],
    point: Point,
    readings: dict[float, Reading] | None = None,
    exchanged: bool = False,
    meets: Collection[tuple] = (),
) -> Cell:
    """Run both programs at a point, in float64.

    Args:
        programs: f and g.
        point: the float leaves of the arguments.
        readings: how literals are read; those that are logarithms are written as such.
        exchanged: whether other entries are chosen than the programs choose, see `Run`.
        meets: equations whose = is answered with yes, see `Decisions`.

    Raises:
        CannotTell: a loop or an index hangs on what float64 does not know.
    """
    tape = Tape()
    variables = [tape.write("var", data=(i, np.asarray(x, np.float64)), key=i) for i, x in enumerate(point)]
    logarithms = {v: (r.factor, r.log_of) for v, r in (readings or {}).items() if r.log_of is not None}
    results, decisions = [], []
    with precise():
        for program in programs:
            run = Run(
                tape,
                program.name,
                _MOST_STEPS,
                program.concrete,
                logarithms,
                narrow=program.narrow,
                exchanged=exchanged,
                meets=meets,
            )
            results.append(run.closed(program.jaxpr, variables))
            decisions.append(run.decisions)
    return Cell(point, tape, (results[0], results[1]), (decisions[0], decisions[1]))


@dataclass(frozen=True)
class Difference:
    """An entry of a leaf that differs: in float64, or in the worlds alone."""

    leaf: int
    entry: tuple[int, ...]


def lost_in(cell: Cell) -> str | None:
    """Why some entry of a result is lost, or None."""
    for side in cell.results:
        for value in side:
            marks = marks_of(value) if isinstance(value, Node) else value.lost
            if marks is not None and (marks >= LOST).any():
                return cell.tape.reasons[int(marks.max()) - LOST]
    return None


def differs_in_floats(cell: Cell) -> Difference | None:
    """An entry that differs in float64 by more than rounding could do, or None."""
    for i, (f, g) in enumerate(zip(*cell.results, strict=True)):
        if isinstance(f, Node) and isinstance(g, Node):
            with np.errstate(invalid="ignore"):
                far = np.abs(f.value - g.value) > 2 * (f.bound() + g.bound())
            wrong = (marks_of(f) != marks_of(g)) | (far & (marks_of(f) == 0))
        elif isinstance(f, Whole) and isinstance(g, Whole):
            wrong = _as_numbers(f.value) != _as_numbers(g.value)
        else:
            raise CannotTell(f"leaf {i} is a float in one program only")
        if np.any(wrong):
            return Difference(i, tuple(int(k) for k in np.argwhere(wrong)[0]))
    return None


def _as_numbers(value: Any) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else np.asarray(jax.random.key_data(value))


@dataclass(frozen=True)
class Judgement:
    """What the worlds say of a cell.

    Attributes:
        difference: an entry that differs, or None.
        boundary: the comparison that float64 did not decide and the worlds found no tie, or None.
        bits: −log₂ of the bound on the probability of error.
        worlds: number of worlds.
        unknowns: what the bound takes for unknowns, see `Needs`.
    """

    difference: Difference | None
    boundary: str | None
    bits: float
    worlds: int
    unknowns: frozenset[str] = frozenset()


def judge(cell: Cell, source: random.Random, readings: dict[float, Reading], chain_bits: float | None = None,
          count: int | None = None) -> Judgement:  # fmt: skip
    """Compare the results of a cell in worlds, as many as the bound takes.

    Args:
        cell: both programs.
        source: where chance comes from.
        readings: how literals are read.
        chain_bits: size of the smallest primes, for measuring errors.
        count: number of worlds, for measuring errors.

    Raises:
        CannotTell: degrees or levels are beyond what the worlds reach.
    """
    pairs = [
        (f, g) for f, g in zip(*cell.results, strict=True) if isinstance(f, Node) and isinstance(g, Node) and f is not g
    ]
    owed = [(o.a, o.b) for o in cell.obligations() if o.a is not o.b]
    if not pairs and not owed:
        return Judgement(None, None, math.inf, 0)
    needs = needs_of(cell.tape, pairs + owed)
    chain_bits = chain_bits or needs.chain_bits()

    def chains_of(number: int) -> list[Chain]:
        return [draw_chain(source, needs.length, chain_bits, needs.cubes, needs.free_signs) for _ in range(number)]

    chains = chains_of(count or _MOST_WORLDS if needs.free_signs else count or _FEWEST_WORLDS)
    bits = needs.bits(min(chain.primes[-1] for chain in chains))
    wanted = count or (max(_FEWEST_WORLDS, math.ceil(TARGET_BITS / bits)) if bits > 0.25 else _MOST_WORLDS + 1)
    if wanted > _MOST_WORLDS:
        raise CannotTell(f"degrees of about 2^{math.log2(needs.degree):.0f} are beyond fields of 2^32")
    largest = max((node.size for node in cell.tape.nodes if node.number in needs.levels), default=1)
    at_once = max(1, min(wanted, _ROOM // max(largest, 1)))
    done, spoilt = 0, 0
    while done < wanted:
        worlds = Worlds(chains[:at_once], source, readings)
        found = _compare(cell, worlds, needs)
        bad = worlds.zero_divisions()
        if found is not None and bad.any() and spoilt < 2 * wanted:
            # what is known: something was divided by 0 in these worlds, by chance; others have to tell
            spoilt += len(chains[:at_once])
            chains = chains_of(len(chains))
            continue
        if found is not None:
            return found
        done += len(worlds.fields[0].p)
        chains = chains[at_once:] or chains_of(min(at_once, max(1, wanted - done)))
    return Judgement(None, None, bits * done, done, needs.unknowns)


def _compare(cell: Cell, worlds: Worlds, needs: Needs) -> Judgement | None:
    """Run some worlds and compare; None where everything agrees."""
    first = highest(cell.tape)
    outputs = [
        (i, f, g)
        for i, (f, g) in enumerate(zip(*cell.results, strict=True))
        if isinstance(f, Node) and isinstance(g, Node)
    ]
    owed = [o for o in cell.obligations() if o.a is not o.b]
    wanted = {
        (n.number, level_of(first, pair))
        for pair in [(f, g) for _, f, g in outputs] + [(o.a, o.b) for o in owed]
        for n in pair
    }
    kept: dict[tuple[int, int], Residues] = {}

    def visit(node: Node, level: int, element: Element) -> None:
        if (node.number, level) in wanted:
            kept[node.number, level] = np.broadcast_to(
                worlds.exponent(element, level), (len(worlds.fields[0].p), *node.shape)
            )

    worlds.run(cell.tape, needs, visit)
    for o in owed:
        unequal = _unequal(kept, first, o.a, o.b)
        if (unequal & o.where).any():
            return Judgement(None, o.place, 0.0, len(worlds.fields[0].p))
    for i, f, g in outputs:
        if f is g:
            continue
        wrong = _unequal(kept, first, f, g) & (marks_of(f) == 0)
        if wrong.any():
            entry = tuple(int(k) for k in np.argwhere(wrong)[0])
            return Judgement(Difference(i, entry), None, 0.0, len(worlds.fields[0].p))
    return None


def _unequal(kept: dict[tuple[int, int], Residues], first: list[int], a: Node, b: Node) -> np.ndarray:
    """Entries that differ in some world."""
    level = level_of(first, (a, b))
    return (kept[a.number, level] != kept[b.number, level]).any(axis=0)
