"""`Proof`: what `prove` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fnn.recipes.shown import Shown

PROVED, DIFFERENT, CANNOT_TELL = "PROVED", "DIFFERENT", "CANNOT TELL"


@dataclass(frozen=True)
class Witness:
    """An entry in which two programs differ.

    Attributes:
        leaf: path of the leaf in the result, "" for a result that is one array.
        entry: index of the entry.
        f: what the first program gives there, in float64.
        g: what the second one gives.
        point: the float leaves of the arguments at which they do.
    """

    leaf: str
    entry: tuple[int, ...]
    f: float
    g: float
    point: tuple[Any, ...] = field(repr=False, default=())

    def __str__(self) -> str:
        place = f"{self.leaf}[{', '.join(map(str, self.entry))}]" if self.entry else self.leaf
        return f"{place or 'the result'}: {self.f!r} against {self.g!r}"


@dataclass(frozen=True, repr=False)
class Proof(Shown):
    """The verdict on two programs.

    Attributes:
        verdict: "PROVED", "DIFFERENT" or "CANNOT TELL".
        says: the verdict in one sentence.
        cells: number of cells (sets of outcomes of all branches) on which equality was proved.
        entries: number of entries of the result.
        error: bound on the probability that PROVED is wrong, as log₂; 0 where nothing was proved.
        witness: for DIFFERENT, where; None where trees, shapes or dtypes differ.
        assumptions: how literals were read, "0.1 = 1/10".
        one_sided: comparisons of which only one outcome was seen, with their lines.
        notes: what else there is to know.
        worlds: number of worlds a cell.
        seed: where chance came from; `prove(..., key=seed)` repeats the proof.
        unknowns: what the bound takes for unknowns: "exponentials", "logarithms", "roots"; without any it is a theorem,
            see `fnn.verify.proving`.
    """

    verdict: str
    says: str
    cells: int = 0
    entries: int = 0
    error: float = 0.0
    witness: Witness | None = None
    assumptions: tuple[str, ...] = ()
    one_sided: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    worlds: int = 0
    seed: int = 0
    unknowns: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the verdict is PROVED."""
        return self.verdict == PROVED

    def assert_proved(self) -> None:
        """Raise AssertionError with the whole proof unless the verdict is PROVED."""
        if not self.ok:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.says}"]
        if self.verdict == PROVED:
            where = f"  {self.entries:,} {_plural('entry', self.entries)} on {self.cells} {_plural('cell', self.cells)}"
            taken = f", {' and '.join(self.unknowns)} taken for unknowns" if self.unknowns else ""
            chance = f"{self.worlds} worlds each; wrong with a probability below 2^{self.error:.0f}{taken}"
            chance += f"; key={self.seed}"
            lines.append(f"{where}, {chance if self.worlds else 'computed by the very same steps'}")
        lines += [f"  if {assumption}" for assumption in self.assumptions]
        lines += [f"  only one outcome seen: {place}" for place in self.one_sided]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word[:-1] + "ies" if word.endswith("y") else word + "s"
