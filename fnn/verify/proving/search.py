"""The search for a verdict: the guard, the worlds, more points, other readings of literals."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn.verify.proving import arithmetic, choices, control, conversions, linear, moving, solving  # noqa: F401  (they register)
from fnn.verify.proving.boundaries import walk
from fnn.verify.proving.cell import Cell, Difference, Judgement, differs_in_floats, judge, lost_in, run_both
from fnn.verify.proving.coverage import Coverage
from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.guard import AGREE, disagreement, follows, largest
from fnn.verify.proving.literals import Reading
from fnn.verify.proving.matching import match
from fnn.verify.proving.points import Point, drawn, elsewhere, farther, moderate, tied
from fnn.verify.proving.programs import Compiled, Program
from fnn.verify.proving.proof import Witness
from fnn.verify.proving.readings import literals_of
from fnn.verify.proving.tape import Node
from fnn.verify.proving.ties import look_at_tie, suppose_equal

_MOST_CELLS = 24
_CELLS_ASIDE = 4
_WORLDS_ASIDE = 4  # for cells that are no part of the proof, and only show that nothing hangs on a choice
_ROOM_FOR_SEARCH = 3e6  # entries of all tapes that a search for more cells may write
_ROOM_FOR_WALKS = 100  # that many tapes at least have to fit, or no way is walked
_SAMPLES = 200


class Differs(Exception):
    """The two programs differ, in floats, at a point."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(str(witness))
        self.witness = witness


@dataclass
class Search:
    """The state of a proof.

    Attributes:
        programs: both.
        compiled: both, for the guard.
        source: where chance comes from.
        readings: how literals are read, besides exactly.
        at_ties: whether the programs have to agree where values tie as well; gradients have a choice there.
        proved: the judgement of each cell that was proved, by signature.
        reasons: why points proved nothing.
        undecided: entries that differ in the worlds and not in floats.
        example: one of the cells that were proved.
        unstable: what is wrong with floats at the given point.
        fatal: why nothing can be told whatever other points say.
        resembling: comparisons that may leave cells too thin to be met.
        conversions: lines that convert to narrower floats.
        coverage: what was seen of comparisons.
    """

    programs: tuple[Program, Program]
    compiled: Compiled
    source: random.Random
    readings: dict[float, Reading] = field(default_factory=dict)
    at_ties: bool = True
    proved: dict[bytes, Judgement] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    undecided: list[tuple[Difference, Cell]] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    example: Cell | None = None
    unstable: str | None = None
    fatal: str | None = None
    resembling: str | None = None
    conversions: dict[str, None] = field(default_factory=dict)

    def visit(self, point: Point, always: bool = True, near: bool = True) -> Cell | None:
        """Compare the programs at a point: in floats first, then, if its cell is new, in worlds.

        Args:
            point: the float leaves.
            always: whether to prove the cell even if it shows nothing new.
            near: whether the point is like the given one; elsewhere one program may be out of its domain.

        Returns:
            The cell if it is proved, else None; why not is kept.

        Raises:
            Differs: the programs differ here, in floats.
        """
        try:
            cell = run_both(self.programs, point, self.readings)
            self.conversions |= cell.decisions[0].conversions | cell.decisions[1].conversions
            reason = lost_in(cell) or cell.loops_differ() or _overflowing(cell) or self._guard(cell, near)
            if reason is not None:
                self.reasons.append(reason)
                return None
            if not always and not self.coverage.news(cell):
                return None
            signature = cell.signature()
            if signature in self.proved:
                return cell
            judgement = judge(cell, self.source, self.readings)
        except CannotTell as stop:
            self.reasons.append(str(stop))
            return None
        if judgement.difference is not None:
            self.undecided.append((judgement.difference, cell))
            return None
        if judgement.boundary is not None:
            self.reasons.append(f"float64 does not decide {judgement.boundary}")
            return None
        self.proved[signature] = judgement
        if len(self.proved) <= _CELLS_ASIDE and not self.coverage.hangs and any(d.choices for d in cell.decisions):
            self.coverage.hangs = self._exchanged(point) is None
        self.example = cell
        matching = match(cell, self.source, self.readings)
        self.coverage.take(cell, matching.alone, matching.settled)
        # far away all thresholds are alike
        self.resembling = self.resembling or (matching.resembling if near else None)
        return cell

    def _exchanged(self, point: Point) -> Cell | None:
        """A point's cell if the second largest is chosen for the largest, where the programs agree there as well.

        Then what they compute does not hang on what is chosen, as that of softmax. None where it does.
        """
        try:
            exchanged = run_both(self.programs, point, self.readings, exchanged=True)
            found = judge(exchanged, self.source, self.readings, count=_WORLDS_ASIDE)
        except CannotTell:
            return None
        agrees = lost_in(exchanged) is None and found.difference is None and found.boundary is None
        return exchanged if agrees else None

    # ── the guard ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _guard(self, cell: Cell, near: bool) -> str | None:
        """Compare the compiled programs with each other and with what was written on the tape.

        Returns:
            None, or why this point says nothing.

        Raises:
            Differs: they differ by more than rounding.
        """
        values = self.compiled(cell.point)
        open_ = next((o for o in cell.obligations() if not o.exact), None)
        found = differs_in_floats(cell)
        if open_ is not None and (found is not None or not self._agrees(cell, values)):
            return f"float64 does not decide {open_.place}"  # so it may have decided otherwise in the compiled program
        for program, side, results in zip(self.programs, values, cell.results, strict=True):
            for i, (compiled, result) in enumerate(zip(side, results, strict=True)):
                if not follows(compiled, result, program.agree):
                    self.fatal = (
                        f"leaf {i} of {program.name} is not what its formula gives in float64; narrower floats?"
                    )
                    return self.fatal
        if found is not None:
            f, g = (side[found.leaf][found.entry] for side in values)
            if not near and np.isfinite(f) != np.isfinite(g):
                return "one program is out of its domain"
            if f == g:
                self.fatal = (
                    f"{self.name_of(found.leaf, found.entry)} is one number in both programs, but not as formulas"
                )
                return self.fatal
            raise Differs(self.witness(found, f, g, cell.point))
        for i, (f, g) in enumerate(zip(*values, strict=True)):
            entry = disagreement(f, g, agree=self.agree)
            if entry is not None and not self._is_rounding(cell, i, values):
                told = f"{f[entry].item()!r} and {g[entry].item()!r}"
                return f"at {self.name_of(i, entry)} float64 gives {told}: more than 1e-9 apart, within rounding"
        return None

    def _agrees(self, cell: Cell, values: list[list[np.ndarray]]) -> bool:
        """Whether the compiled programs do what is on the tape."""
        sides = zip(self.programs, values, cell.results, strict=True)
        return all(
            follows(c, r, p.agree) for p, compiled, results in sides for c, r in zip(compiled, results, strict=True)
        )

    def _is_rounding(self, cell: Cell, leaf: int, values: list[list[np.ndarray]]) -> bool:
        """Whether a leaf is what rounding leaves of 0: bounded by its own error, far below the other leaves."""
        f, g = (side[leaf] for side in cell.results)
        if not isinstance(f, Node) or not isinstance(g, Node):
            return False
        given = max((float(np.abs(x[np.isfinite(x)]).max(initial=0.0)) for x in cell.point), default=0.0)
        return bool((f.bound() + g.bound()).max(initial=0.0) <= AGREE * max(largest(values), given))

    @property
    def agree(self) -> float:
        """What compiled programs may differ by, of the largest entry of a leaf."""
        return max(program.agree for program in self.programs)

    def witness(self, found: Difference, f: Any, g: Any, point: Point) -> Witness:
        """The witness for an entry."""
        leaf = self.programs[0].leaves[found.leaf]
        return Witness(leaf, found.entry, np.asarray(f).item(), np.asarray(g).item(), tuple(point))

    def name_of(self, leaf: int, entry: tuple[int, ...]) -> str:
        """An entry as the verdict calls it."""
        path = self.programs[0].leaves[leaf]
        return f"{path}[{', '.join(map(str, entry))}]" if entry else path or "the result"

    # ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def visit_all(self, given: Point, count: int, more: Sequence[Point]) -> None:
        """Visit the given point, random ones like it, and points in search of what was not seen.

        Raises:
            Differs: the programs differ at one of them.
        """
        numbers = np.random.default_rng(self.source.getrandbits(128))
        self.coverage.at_ties = self.at_ties
        cells = [self.visit(given)]
        if cells[0] is None:
            self.unstable = self._instability(given)
        cells += [self.visit(point) for point in more]
        cells += [self.visit(drawn(numbers, given, spread)) for spread in self._spreads(count)]
        if all(cell is None for cell in cells) and not self._done():
            cells += [
                self.visit(drawn(numbers, moderate(given), 1.0)) for _ in range(2)
            ]  # of size 1: nothing overflows
        known = [cell for cell in cells if cell is not None]
        for point in elsewhere(numbers, given) if known and not self._done() else ():
            self.visit(point, near=False)
        if self._done() or not known:
            return
        if not known[0].decides():
            return
        # what is known: the cells of a few points. Comparisons with one outcome only ask for points farther away
        room = int(_ROOM_FOR_SEARCH / max(known[0].size(), 1))
        for point in itertools.islice(farther(numbers, given), room):
            if not self.coverage.missing() or len(self.proved) >= _MOST_CELLS or self._done():
                break
            with np.errstate(all="ignore"):
                self.visit(point, always=False, near=False)
        # what is known: whether results hang on choices. If not, other choices show other sides of what is compared
        points = [cell.point for cell in known] + [drawn(numbers, given, 1.0) for _ in range(8)]
        for point in points if not self.coverage.hangs else ():
            if not any(seen.alone for seen in self.coverage.missing()):
                break
            if (exchanged := self._exchanged(point)) is not None:
                matching = match(exchanged, self.source, self.readings)
                self.coverage.take(exchanged, matching.alone, matching.settled)
        self._sample(numbers, given, min(room, _SAMPLES))
        suppose_equal(self, known[0])
        # what is known: no cell of some size disagrees. Where one program alone compares, cells may be thin
        if room >= _ROOM_FOR_WALKS:
            for first, last in itertools.pairwise(known):
                self.fatal = self.fatal or walk(self, first, last)
        self.fatal = self.fatal or self.resembling

    def _spreads(self, count: int) -> tuple[float, ...]:
        return (0.1, 1.0, 0.3, 2.0)[:3] if count <= 4 else (0.1, 1.0, 0.3, *[2.0] * (count - 4))

    def _done(self) -> bool:
        return bool(self.undecided or self.fatal)

    def _sample(self, numbers: np.random.Generator, given: Point, count: int) -> None:
        """Compare the compiled programs at many points, far ones and ties among them; look closer if they disagree."""
        near = ((drawn(numbers, given, (0.1, 0.5, 1.0, 2.0)[i % 4]), True) for i in range(count))
        far = ((point, False) for point in itertools.islice(farther(numbers, given), count))
        for point, is_near in itertools.chain(near, far):
            if not self._done() and self.disagreement_at(point, 1e-3) is not None:
                self.visit(point, near=is_near)
        if self.at_ties and self.example is not None and not self._done():
            for point in itertools.islice(tied(numbers, given, literals_of(self.example)), count):
                look_at_tie(self, point)

    def disagreement_at(self, point: Point, share: float = 1.0, finite: bool = False) -> str | None:
        """Where the compiled programs disagree, as at a tie that each breaks in its own way.

        Args:
            point: where they are run.
            share: of the largest entry of all results, what is smaller than 1e-9 of this counts as rounding.
            finite: whether entries that are no numbers in one program are left out.

        Returns:
            A sentence that names both values; None if they agree.
        """
        sides = self.compiled(point)
        least = share * largest(sides)
        for i, (f, g) in enumerate(zip(*sides, strict=True)):
            if finite and f.dtype.kind == "f" and g.dtype.kind == "f":
                both = np.isfinite(f) & np.isfinite(g)
                f, g = np.where(both, f, 0.0), np.where(both, g, 0.0)
            entry = disagreement(f, g, least, self.agree)
            if entry is not None:
                return f"{self.name_of(i, entry)} is {f[entry].item()!r} in f and {g[entry].item()!r} in g"
        return None

    def _instability(self, given: Point) -> str | None:
        """What is wrong with floats at the given point, where one program has a number and the other has none."""
        for i, (f, g) in enumerate(zip(*self.compiled(given), strict=True)):
            if f.dtype.kind == "f" and g.dtype.kind == "f" and (np.isfinite(f) != np.isfinite(g)).any():
                entry = tuple(int(k) for k in np.argwhere(np.isfinite(f) != np.isfinite(g))[0])
                name = self.name_of(i, entry)
                return f"at the point given, {name} is {f[entry].item()!r} in f and {g[entry].item()!r} in g"
        found = self.disagreement_at(given)
        return None if found is None else f"at the point given, {found}"


def _overflowing(cell: Cell) -> str | None:
    place = cell.finiteness_differs()
    return None if place is None else f"whether numbers are finite is asked by {place}, in one program only"
