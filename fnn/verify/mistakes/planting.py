"""What a mistake is: a name, a sentence for people, and a way to compute the gradient that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fnn.layers.normalization import batch_norm
from fnn.recipes import rule_of
from fnn.verify.chain import Chain, Change, Mutant

Variant = tuple[str, Change, str]  # detail that tells variants apart, the change, what was computed and should be


@dataclass(frozen=True)
class Mistake:
    """An entry of the catalogue.

    Attributes:
        id: short name, "activation-derivative-missing".
        title: the same for people.
        remedy: how to choose a test point that reveals it.
        mutants: chain -> the places and variants in which it can be made there.
    """

    id: str
    title: str
    remedy: str
    mutants: Callable[[Chain], Iterator[Mutant]]


def in_loss(id: str, title: str, remedy: str, variants: Callable[[Chain], Iterator[tuple[Callable, str]]]) -> Mistake:
    """A mistake in the gradient that leaves the loss.

    Args:
        id: short name.
        title: the same for people.
        remedy: how to reveal it.
        variants: chain -> (change of dZ, what was computed and should be) for each way to make it.

    Returns:
        The mistake.
    """

    def mutants(chain: Chain) -> Iterator[Mutant]:
        where = f"the loss ({chain.net.criterion.name})"
        for i, (change, tell) in enumerate(variants(chain)):
            yield Mutant(id, where, f"{title} at {where}: {tell}", remedy, title, str(i), loss=change)

    return Mistake(id, title, remedy, mutants)


def in_steps(
    id: str, title: str, remedy: str, variants: Callable[[Chain, int], Iterator[Variant]], *, everywhere: bool = True
) -> Mistake:
    """A mistake that can be made in single steps, or in every step alike.

    Args:
        id: short name.
        title: the same for people.
        remedy: how to reveal it.
        variants: (chain, number of a step) -> the ways to make it there; none where it can't be made.
        everywhere: whether making it in every step alike is one more mutant.

    Returns:
        The mistake.
    """

    def mutants(chain: Chain) -> Iterator[Mutant]:
        alike: dict[str, list[tuple[int, Change, str]]] = {}
        for k in reversed(range(len(chain.steps))):
            label = chain.steps[k].label
            for detail, change, tell in variants(chain, k):
                alike.setdefault(detail, []).append((k, change, tell))
                yield Mutant(id, label, f"{title} at {label}: {tell}", remedy, title, detail, steps={k: (change,)})
        for detail, sites in alike.items():
            if everywhere and len(sites) > 1:
                steps = {k: (change,) for k, change, _ in sites}
                where = ", ".join(chain.steps[k].where for k, _, _ in sites[::-1])
                sentence = f"{title} everywhere ({where}): {sites[-1][2]}"
                yield Mutant(id, "everywhere", sentence, remedy, title, detail, steps=steps)

    return Mistake(id, title, remedy, mutants)


def scaled_by(factor: float) -> Callable[[Chain, Any], Any]:
    """Multiply by a constant."""
    return lambda chain, value: factor * value


def passes_on(chain: Chain, k: int) -> bool:
    """Whether any parameter lies below step k, so that the gradient it passes on matters."""
    return any(step.count for step in chain.steps[:k])


def bias_matters(chain: Chain, k: int) -> bool:
    """Whether the bias of step k has a gradient other than 0: batch_norm right behind it takes every constant away."""
    return k + 1 == len(chain.steps) or rule_of(chain.steps[k + 1].layer) is not batch_norm
