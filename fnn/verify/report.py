"""What a check returns: data that prints well."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fnn.recipes.shown import Shown

OK, WRONG, CANNOT_TELL = "OK", "WRONG", "CANNOT TELL"
KINKED = "units that feed it sit on a kink"  # reason of a leaf

_WIDTH = 110  # columns of a printed report
_SCREEN = 40  # and lines


@dataclass(frozen=True)
class LeafReport:
    """One leaf of the gradient; errors are relative to the largest entry of the right leaf."""

    name: str  # "layers[2].W"
    shape: tuple[int, ...]
    error: float  # largest deviation from autodiff, or NaN where that oracle has nothing to say
    difference_error: float  # deviation from central differences, or NaN where these can't tell
    cosine: float  # of the angle between yours and the right gradient
    norm_ratio: float  # ‖yours‖ / ‖right‖
    worst: tuple[tuple[int, ...], float, float] | None  # index, yours, right
    verdict: str
    reason: str = ""
    limit: float = 0.0  # deviation from autodiff that rounding allows
    seen: float = math.inf  # smallest error in one entry that differences would have shown, whichever entry it is
    independent: bool = False  # whether autodiff owes nothing to a derivative that the forward declares


@dataclass(frozen=True)
class Deviation:
    """One thing that is wrong: a cause that gives exactly the gradient that was checked, or where that deviates."""

    sentence: str  # what was computed, and what it should be
    where: str = ""  # "layers[1] (relu)"
    mistake: str = ""  # its id in `fnn.verify.mistakes.catalogue`; "" where no cause is sure
    variant: str = ""  # tells apart the ways to make it at one place
    leaves: tuple[str, ...] = ()  # names of the leaves that are wrong because of it


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """The result of a check; print it.

    Attributes:
        verdict: "OK", "WRONG" or "CANNOT TELL".
        subject: what was checked.
        precision: "float64" or "float32": the precision that the backward runs in, and is judged by.
        leaves: one row a leaf of the gradient, with what each oracle says of it.
        findings: what is wrong: causes where they are sure, else where the gradient deviates.
        alternatives: other causes that give the very same gradient wherever the backward could be asked.
        blind_spots: mistakes that this test point could not have revealed, each with the remedy.
        kinks: units that sit on a kink, where several answers are right.
        notes: whatever else was seen.
        steady: whether the backward gave the same at every call.
    """

    verdict: str
    subject: str
    precision: str
    leaves: tuple[LeafReport, ...]
    findings: tuple[Deviation, ...] = ()
    alternatives: tuple[Deviation, ...] = ()
    blind_spots: tuple[str, ...] = ()
    kinks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steady: bool = True

    @property
    def causes(self) -> tuple[Deviation, ...]:
        """The findings that name a mistake: one, two that act together, or none where no cause is sure."""
        return tuple(finding for finding in self.findings if finding.mistake)

    @property
    def diagnosis(self) -> str | None:
        """The findings in words; None if there are none."""
        if not self.findings:
            return None
        joint = "; and " if self.causes else "; "
        told = joint.join(finding.sentence for finding in self.findings)
        if not self.alternatives:
            return told
        return f"either {told}; or one of the {len(self.alternatives)} below, which give the same numbers here"

    @property
    def ok(self) -> bool:
        """Whether the verdict is OK."""
        return self.verdict == OK

    def assert_ok(self) -> None:
        """Do nothing if the gradient is right; for tests.

        Raises:
            AssertionError: the verdict is WRONG or CANNOT TELL; the message is the printed report.
        """
        if not self.ok:
            raise AssertionError(f"\n{self}")

    def __str__(self) -> str:
        """The report on one screen: rows and entries are left out until it fits."""
        for rows, entries in ((12, 4), (12, 2), (10, 1), (6, 1)):
            lines = self._lines(rows, entries)
            if len(lines) <= _SCREEN:
                break
        return "\n".join(lines)

    def _lines(self, rows: int, entries: int) -> list[str]:
        lines = [_cut(f"{self.verdict}: {self.subject}, judged in {self.precision}")]
        if self.diagnosis:
            lines += ["", *_wrap(self.diagnosis, "  ")]
        lines += ["", *self._table(rows)]
        sections = (
            ("the same gradient at this point", tuple(cause.sentence for cause in self.alternatives)),
            ("kinks", self.kinks),
            ("notes", self.notes),
            ("this point could not reveal", self.blind_spots),
        )
        for title, told in sections:
            if told:
                lines += ["", f"{title}:", *_bullets(told, entries)]
        return lines

    def _table(self, most: int) -> list[str]:
        """The leaves as a table; of many, the worst."""
        shown = self.leaves
        if len(shown) > most:
            shown = tuple(sorted(shown, key=_badness, reverse=True)[: most - 1])
        cells: list[tuple[str, ...]] = [
            ("leaf", "shape", "autodiff", "differences", "cosine", "ratio", "worst entry: yours, right", "verdict")
        ]
        cells += [_row(leaf) for leaf in shown]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells]
        lines = [_cut(line.rstrip()) for line in lines]
        hidden = len(self.leaves) - len(shown)
        if hidden:
            wrong = sum(leaf.verdict != OK for leaf in self.leaves) - sum(leaf.verdict != OK for leaf in shown)
            lines.append(f"... and {hidden} more leaves, {wrong} of them not OK; report.leaves has them all")
        return lines


def _badness(leaf: LeafReport) -> tuple[bool, float]:
    worst = max((error for error in (leaf.error, leaf.difference_error) if error == error), default=0.0)
    return leaf.verdict != OK, worst


def _row(leaf: LeafReport) -> tuple[str, ...]:
    worst = ""
    if leaf.worst is not None:
        index, yours, right = leaf.worst
        worst = f"[{', '.join(map(str, index))}]: {yours:.4g}, {right:.4g}"
    numbers = (f"{leaf.error:.0e}", f"{leaf.difference_error:.0e}", f"{leaf.cosine:.4f}", f"{leaf.norm_ratio:.4g}")
    shown = ("–" if text == "nan" else text for text in numbers)
    return (_short(leaf.name), str(tuple(leaf.shape)), *shown, worst, leaf.verdict)


def _short(name: str) -> str:
    return name if len(name) <= 28 else "…" + name[-27:]


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _wrap(text: Any, indent: str, first: str | None = None) -> list[str]:
    import textwrap

    return textwrap.wrap(
        str(text), _WIDTH, initial_indent=first or indent, subsequent_indent=indent, break_long_words=False
    )


def _bullets(entries: tuple[str, ...], most: int) -> list[str]:
    lines: list[str] = []
    for entry in entries[:most]:
        wrapped = _wrap(entry, "    ", "  - ")
        lines += wrapped[:2] if len(wrapped) <= 2 else [wrapped[0], wrapped[1][: _WIDTH - 1] + "…"]
    if len(entries) > most:
        lines.append(f"  - and {len(entries) - most} more")
    return lines
