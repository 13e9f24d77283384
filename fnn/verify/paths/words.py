"""What a sentence about a mistake is made of: its leaves, the verb for them, the place, the steps of a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fnn.verify.paths.program import Program
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.variant import Variant


@dataclass(frozen=True)
class Words:
    """What a sentence is made of."""

    survey: Survey
    variant: Variant
    leaves: str
    many: bool
    where: str

    @property
    def are(self) -> str:
        """The verb for the leaves."""
        return "are" if self.many else "is"

    @property
    def wrong(self) -> str:
        """That the leaves are wrong."""
        return f"{self.leaves} {self.are} wrong"

    @property
    def lack(self) -> str:
        """The verb for the leaves."""
        return "lack" if self.many else "lacks"

    @property
    def have(self) -> str:
        """The verb for the leaves."""
        return "have" if self.many else "has"

    @property
    def program(self) -> Program:
        """The program at the point."""
        return self.survey.program

    @property
    def node(self) -> Any:
        """The equation of the first place."""
        assert self.variant.site is not None
        return self.program.nodes[self.variant.site.places[0][1]]

    @property
    def k(self) -> int:
        """The operand of the first place."""
        assert self.variant.site is not None
        return self.variant.site.places[0][2]

    @property
    def turns(self) -> str:
        """In how many turns of a loop it happens."""
        site = self.variant.site
        if site is None or site.size < 2:
            return ""
        if len(site.places) > 1:
            return ", at every step" if site.level == 1 else ", wherever it is used"
        return f", at step {site.turns[0]} of 0 … {site.size - 1}"

    def __getitem__(self, key: str) -> Any:
        return self.variant.words[key]
