"""Mistakes in the gradient of a penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from fnn.layers.theta import weight_mask
from fnn.losses.penalties import l1, l2
from fnn.recipes import rule_of
from fnn.verify.chain import Chain, Leaves, Mutant
from fnn.verify.mistakes.planting import Mistake

_WEIGHTS = "take weights that are not 0, and more than one example"

# value of the derivative for one array, by the penalty's rule
_RULES: dict[Any, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    l1: ("λ sign(W)", np.sign),
    l2: ("λ W", lambda W: W),
}


def _mistake(id: str, title: str, remedy: str, variants: Callable[[Chain], Iterator[tuple[Any, str]]]) -> Mistake:
    def mutants(chain: Chain) -> Iterator[Mutant]:
        if chain.net.penalty is not None and chain.net.penalty.strength > 0:
            where = f"the penalty {chain.net.penalty!r}"
            for change, tell in variants(chain):
                yield Mutant(id, where, f"{title}, {where[4:]}: {tell}", remedy, title, penalty=change)

    return Mistake(id, title, remedy, mutants)


def _times(factor: Callable[[Chain], float], tell: str) -> Callable:
    """Multiply the penalty's gradient; {right} in tell is what it should be, {n} the number of examples."""

    def variants(chain: Chain) -> Iterator[tuple[Any, str]]:
        right = _RULES.get(rule_of(chain.net.penalty), ("∇R", None))[0]
        scale = factor(chain)
        yield lambda _, leaves: [scale * leaf for leaf in leaves], tell.format(right=right, n=chain.n)

    return variants


def _strength(chain: Chain) -> Iterator[tuple[Any, str]]:
    strength = chain.net.penalty.strength
    tell = f"λ = {strength:g} is missing from its gradient"
    yield lambda _, leaves: [leaf / strength for leaf in leaves], tell


def _on_biases(chain: Chain) -> Iterator[tuple[Any, str]]:
    kind, strength = rule_of(chain.net.penalty), chain.net.penalty.strength
    if kind not in _RULES:
        return
    params, mask = jax.tree.leaves(chain.params), jax.tree.leaves(weight_mask(chain.params))

    def change(_: Chain, leaves: Leaves) -> Leaves:
        rule = _RULES[kind][1]
        extra = [0 if weight else strength * rule(np.asarray(p)) for p, weight in zip(params, mask, strict=True)]
        return [leaf + more for leaf, more in zip(leaves, extra, strict=True)]

    if not all(mask):
        yield change, "applied to biases as well, should act on weights alone"


def _other_kind(chain: Chain) -> Iterator[tuple[Any, str]]:
    kind, strength = rule_of(chain.net.penalty), chain.net.penalty.strength
    if kind not in _RULES:
        return
    other = l1 if kind is l2 else l2
    params, mask = jax.tree.leaves(chain.params), jax.tree.leaves(weight_mask(chain.params))

    def change(_: Chain, leaves: Leaves) -> Leaves:
        rule = _RULES[other][1]
        return [
            strength * rule(np.asarray(p)) if weight else leaf
            for p, weight, leaf in zip(params, mask, leaves, strict=True)
        ]

    yield change, f"{_RULES[other][0]}, which is {other.__name__}; should be {_RULES[kind][0]}"


MISTAKES: tuple[Mistake, ...] = (
    _mistake(
        "penalty-missing", "penalty missing", _WEIGHTS, _times(lambda c: 0.0, "its gradient {right} is not added")
    ),
    _mistake("penalty-halved", "penalty halved", _WEIGHTS, _times(lambda c: 0.5, "half of {right} is added")),
    _mistake("penalty-doubled", "penalty doubled", _WEIGHTS, _times(lambda c: 2.0, "twice {right} is added")),
    _mistake("penalty-sign", "penalty subtracted", _WEIGHTS, _times(lambda c: -1.0, "{right} is subtracted")),
    _mistake(
        "penalty-mean",
        "penalty divided by n",
        _WEIGHTS,
        _times(lambda c: 1 / c.n, "{right} is divided by n = {n}; it is added once, divided by nothing"),
    ),
    _mistake(
        "penalty-sum",
        "penalty multiplied by n",
        _WEIGHTS,
        _times(lambda c: float(c.n), "{right} is multiplied by n = {n}; it is added once, however large the batch"),
    ),
    _mistake("penalty-strength", "penalty without its strength", "take λ ≠ 1", _strength),
    _mistake("penalty-on-biases", "penalty on biases", "take biases that are not 0", _on_biases),
    _mistake("penalty-kind", "another penalty", "take weights other than 0, 1 and −1", _other_kind),
)
