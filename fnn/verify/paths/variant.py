"""What a mistake is: at one site another contribution than the right one; and how its gradient is predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn.verify.paths.families import Site
from fnn.verify.paths.program import Program
from fnn.verify.paths.sweeps import Backward, Change, Place, backward

Member = Callable[[Program, int], Change]  # (program, number of the place within the site) -> what is done there
Finish = Callable[[Program, list[np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to write one equation's backward, or a finished leaf, other than it should be."""

    kind: str
    site: Site | None
    member: Member | None
    cost: float  # how far-fetched: the smallest of equivalent ones is told
    words: Mapping[str, Any] = field(default_factory=dict)
    finish: Finish | None = None

    def changes(self, program: Program) -> dict[Place, Change]:
        """What is replaced where."""
        if self.site is None or self.member is None:
            return {}
        return {place: self.member(program, i) for i, place in enumerate(self.site.places)}


def gather_changes(program: Program, variants: Sequence[Variant]) -> dict[Place, list]:
    """The changes of several variants, for all rows of a pass."""
    found: dict[Place, list] = {}
    for variant in variants:
        for place, change in variant.changes(program).items():
            found.setdefault(place, []).append((slice(None), change))
    return found


def predict(program: Program, variants: Sequence[Variant]) -> list[np.ndarray]:
    """The gradient that mistakes lead to, in full.

    Args:
        program: the program at the point.
        variants: the mistakes, all at once.

    Returns:
        The leaves of the gradient.
    """
    leaves = [g[0] for g in backward(program, 1, gather_changes(program, variants)).gradient()]
    for variant in variants:
        if variant.finish is not None:
            leaves = variant.finish(program, leaves)
    return leaves


def in_some_leaves(variant: Variant, leaves: frozenset[int], others: frozenset[int]) -> Variant:
    """A variant that was made on the way to some leaves alone, not to others: each leaf may have its own formula."""

    def finish(program: Program, gradient: list[np.ndarray]) -> list[np.ndarray]:
        other = predict(program, [variant])
        return [other[i] if i in leaves else leaf for i, leaf in enumerate(gradient)]

    words = {**variant.words, "alone": others}
    return Variant(variant.kind, variant.site, None, variant.cost + 1.2, words, finish)


def scaled(site: Site, factor: float, kind: str, cost: float, **words: Any) -> Variant:
    """The contribution times a constant."""
    return Variant(
        kind, site, lambda program, i: lambda found, rows, own: factor * own, cost, {"factor": factor, **words}
    )


def arriving(found: Backward, program: Program, place: Place, rows: Any) -> np.ndarray:
    """What arrives at the equation of a place."""
    node = program.nodes[place[1]]
    dy = found.arriving.get(node.outs[0])
    return np.zeros((found.batch, *program.shape(node.outs[0])))[rows] if dy is None else dy[rows]
