"""The catalogue of mistakes: what people get wrong in a backward pass, each reproduced at the network in question.

A family of layers adds its own list here. To add a mistake, write what it computes (`planting.Mistake`) and a sentence
that says what was computed and what it should be, in the notes' symbols.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import jax
import numpy as np

from fnn.verify.chain import Chain, Mutant
from fnn.verify.forward_pass import build_chain
from fnn.verify.laying_out import rolled
from fnn.verify.mistakes import activations, dense_layers, losses, other_layers, penalties
from fnn.verify.mistakes.planting import Mistake

CATALOGUE: tuple[Mistake, ...] = (
    *losses.MISTAKES,
    *activations.MISTAKES,
    *dense_layers.MISTAKES,
    *other_layers.MISTAKES,
    *penalties.MISTAKES,
)


def all_mutants(chain: Chain) -> list[Mutant]:
    """Every mistake of the catalogue at every place where it can be made.

    Args:
        chain: a network at a point.

    Returns:
        The mutants, simplest mistakes first; those at one pass of repeated layers that are laid out, then the same at
            every pass, since who writes the body of a loop makes his mistake each time.
    """
    mutants = [mutant for mistake in CATALOGUE for mutant in mistake.mutants(chain)]
    return [*mutants, *_at_every_pass(chain, mutants)]


def _at_every_pass(chain: Chain, mutants: list[Mutant]) -> Iterator[Mutant]:
    """What differs only in the pass of a repeated layer, at once."""
    places = Counter(_any_pass(label) for label in {step.label for step in chain.steps})
    groups: dict[tuple[str, str, str], list[Mutant]] = {}
    for mutant in mutants:
        place = _any_pass(mutant.where)
        if place != mutant.where and mutant.steps and mutant.fit is None:
            groups.setdefault((mutant.mistake, place, mutant.variant), []).append(mutant)
    known = {(mutant.mistake, frozenset(mutant.steps)) for mutant in mutants}  # where all layers are in the loop
    for (mistake, place, _), group in groups.items():
        whole = reduce(Mutant.together, group)
        if len(group) == places[place] and (mistake, frozenset(whole.steps)) not in known:
            sentence = f"{_any_pass(group[0].sentence)}, and so in each of the {len(group)} passes"
            yield replace(whole, where=place, sentence=sentence)


def _any_pass(place: str) -> str:
    return re.sub(r"\.passes\[\d+\]", ".passes[:]", place)


def planted(net: Any, mistake: str, where: str | None = None) -> Callable:
    """A backward function with a mistake in it: to see the checker catch it, and to test other checkers.

    Args:
        net: a Network.
        mistake: id of the mistake, such as "activation-derivative-missing".
        where: place as the reports name it, such as "layers[1] (relu)"; None takes the first.

    Returns:
        (params, x, y, **keywords) -> gradient.

    Raises:
        ValueError: from the function, when the mistake can't be made there; says where it can.

    Examples:
        >>> import fnn
        >>> net = fnn.mlp(3, 4, 2)
        >>> params, x, y = net.init(jax.random.key(0)), np.ones((2, 3), np.float32), np.array([0, 1])
        >>> print(fnn.check(net, params, x, y, planted(net, "sign")).diagnosis)
        sign reversed at the loss (softmax_cross_entropy): dZ2 = −(what it should be), as from Y − Ŷ
    """
    wanted = (lambda m: m.mistake == mistake and where in (None, m.where),)
    return partial(_planted, net, wanted, f"{mistake} at {where}")


def planted_mutants(net: Any, *mutants: Mutant) -> Callable:
    """A backward function with certain mutants in it, all at once, made anew wherever it is called.

    Args:
        net: a Network.
        *mutants: from `all_mutants` of this network.

    Returns:
        (params, x, y, **keywords) -> gradient.
    """
    wanted = tuple(lambda m, key=mutant.key: m.key == key for mutant in mutants)
    return partial(_planted, net, wanted, ", ".join(mutant.sentence for mutant in mutants))


def _planted(net: Any, wanted: tuple[Callable, ...], name: str, params: Any, x: Any, y: Any, **keywords: Any) -> Any:
    with np.errstate(all="ignore"):
        for unroll in (False, True):
            chain = build_chain(net, params, x, y, keywords, unroll=unroll)
            mutants = all_mutants(chain)
            found = [next((mutant for mutant in mutants if fits(mutant)), None) for fits in wanted]
            if None not in found:
                break
        else:
            places = ", ".join(sorted({f"{mutant.mistake} at {mutant.where}" for mutant in mutants}))
            raise ValueError(f"expected a mistake that this network can hold, got {name}; one of {places}")
        gradient = chain.gradient(reduce(Mutant.together, (mutant for mutant in found if mutant)))
    gradient = jax.tree.leaves(rolled(jax.tree.unflatten(jax.tree.structure(chain.params), gradient)))
    old, structure = jax.tree.flatten(params)
    leaves = [np.asarray(leaf, np.asarray(p).dtype) for leaf, p in zip(gradient, old, strict=True)]
    return jax.tree.unflatten(structure, leaves)
