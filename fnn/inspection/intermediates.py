"""The links of the chain under the notes' names: how each intermediate follows from the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.activations import identity, sigmoid, softmax
from fnn.layers.elementwise import Activation
from fnn.losses.on_probabilities import binary_cross_entropy, cross_entropy
from fnn.verify.chain import Chain, Mutant
from fnn.verify.mistakes.catalogue import all_mutants


@dataclass(frozen=True)
class Link:
    """How one intermediate follows from the one before it, its source; None is the batch, or the loss."""

    name: str
    source: str | None
    formula: str
    follow: Callable[[Chain, Any], np.ndarray]  # (chain with the forward values to use, source) -> value
    mutants: Callable[[Chain, Any], Iterator[tuple[Mutant, np.ndarray]]] | None = None  # what mistakes make of it


def _names(chain: Chain) -> list[str]:
    """Name of what leaves each step: Z1, A1, ...; other layers go by their own names, numbered."""
    names: list[str] = []
    for step in chain.steps:
        if hasattr(step.record.params, "W"):
            name = f"Z{step.number}"
        elif isinstance(step.layer, Activation):
            name = f"A{step.number}"
        else:
            name = f"{step.layer.name}{1 + sum(n.startswith(step.layer.name) for n in names)}"
        names.append(name if name not in names else f"{name}'")
    return names


def _outputs(chain: Chain) -> tuple[str, str]:
    """Names of the logits and of the predictions."""
    last = _names(chain)[-1] if chain.steps else "X"
    return last, f"A{chain.steps[-1].number}" if last.startswith("Z") else "Ŷ"


def forward_links(chain: Chain) -> Iterator[Link]:
    """The forward pass: Z1, A1, ..., and the predictions.

    Args:
        chain: the network at the point.

    Returns:
        The links, from the input on.
    """
    source: str | None = None
    for k, (name, step) in enumerate(zip(_names(chain), chain.steps, strict=True)):
        before = source or "X"
        if step.is_dense:
            formula = f"{before} W{step.number}ᵀ" + (f" + b{step.number}" if step.count == 2 else "")
        else:
            formula = f"{step.layer.name}({before})"
        yield Link(name, source, formula, partial(_apply, k))
        source = name
    last, predictions = _outputs(chain)
    link = chain.net.criterion.link
    yield Link(
        predictions, last, f"{chain.net.criterion.link_name}({last})", lambda c, z: np.asarray(link(jnp.asarray(z)))
    )


def _apply(k: int, chain: Chain, value: Any) -> np.ndarray:
    """What step k makes of a value; of the batch itself where there is none."""
    if chain.steps[k].role:
        skip = chain.steps[chain.joins[k]].record.x if k in chain.joins else 0
        return np.asarray(chain.steps[k].record.x if value is None else value) + skip
    record, layer = chain.steps[k].record, chain.steps[k].layer
    return np.asarray(layer.fwd(record.params, jnp.asarray(record.x if value is None else value), *record[2:4])[0][0])


def backward_links(chain: Chain) -> Iterator[Link]:
    """The backward pass: ∂L/∂Ŷ, dZ, dW, db, dA, ... down to the first layer with parameters.

    Args:
        chain: the network at the point.

    Returns:
        The links, from the output down.
    """
    names, (last, predictions) = _names(chain), _outputs(chain)
    link, link_name = chain.net.criterion.link, chain.net.criterion.link_name
    yield Link(f"d{predictions}", None, f"∂L/∂{predictions}", lambda c, _: _to_predictions(c))
    formula = f"d{predictions}" if link is identity else f"d{predictions} through {link_name}"
    if link is sigmoid:
        formula = f"d{predictions} ⊙ {predictions} ⊙ (1 − {predictions})"
    if f"d{last}" != f"d{predictions}":
        yield Link(f"d{last}", f"d{predictions}", formula, _through_link, _loss_mutants)
    for k in reversed(range(len(chain.steps))):
        yield from _step_links(chain, names, k)


def _step_links(chain: Chain, names: list[str], k: int) -> Iterator[Link]:
    step, source = chain.steps[k], f"d{names[k]}"
    before = names[k - 1] if k else "X"
    fields = getattr(type(step.record.params), "_fields", None) or [str(i) for i in range(step.count)]
    for i, field in enumerate(fields):
        name = f"d{field}{step.number}" if step.is_dense else f"d{field}_{names[k]}"
        formula = (f"{source}ᵀ {before}", f"Σ {source}")[i] if step.is_dense else f"from {source}"
        yield Link(name, source, formula, partial(_leaf, k, i), partial(_mutants_at, k, i))
    if k and any(other.count for other in chain.steps[:k]):
        if step.is_dense:
            formula = f"{source} W{step.number}"
        elif step.slope is not None:
            formula = f"{source} ⊙ g'({before})"
        else:
            formula = f"{source} through {step.layer.name}"
        yield Link(f"d{before}", source, formula, partial(_passed_on, k), partial(_mutants_at, k, None))


def _leaf(k: int, i: int, chain: Chain, dy: np.ndarray) -> np.ndarray:
    return np.asarray(jax.tree.leaves(chain.pull(k, dy)[0])[i])


def _passed_on(k: int, chain: Chain, dy: np.ndarray) -> np.ndarray:
    return np.asarray(chain.pull(k, dy)[1])


def _to_predictions(chain: Chain) -> np.ndarray:
    """∂L/∂Ŷ of the loss as a function of its predictions; times what a wrapper such as `scaled` adds."""
    link, known = chain.net.criterion.link, {softmax: cross_entropy, sigmoid: binary_cross_entropy}
    if link not in known:
        return _to_other_predictions(chain)
    loss = known[link]
    p, weights = jnp.asarray(chain.predictions), None if chain.weights is None else jnp.asarray(chain.weights)
    value, residuals = loss.fwd(p, jnp.asarray(chain.y), weights)
    dp = np.asarray(loss.bwd(residuals, jnp.ones_like(value)))
    plain = _through_link(chain, dp)
    return dp * float((plain * chain.dz).sum() / max((plain * plain).sum(), 1e-300))


def _to_other_predictions(chain: Chain) -> np.ndarray:
    """∂L/∂Ŷ = dZ / link'(Z) for a link that works entry by entry; dZ itself for the identity."""
    link = chain.net.criterion.link
    if link is identity:
        return chain.dz
    slope = _through_link(chain, np.ones_like(chain.z))
    return chain.dz / np.where(slope == 0, 1, slope)


def _through_link(chain: Chain, dp: Any) -> np.ndarray:
    link = chain.net.criterion.link
    return np.asarray(jax.vjp(link, jnp.asarray(chain.z))[1](jnp.asarray(dp))[0])


def _loss_mutants(chain: Chain, dp: Any) -> Iterator[tuple[Mutant, np.ndarray]]:
    for mutant in all_mutants(chain):
        if mutant.loss is not None:
            yield mutant, mutant.loss(chain, chain.dz)


def _mutants_at(k: int, leaf: int | None, chain: Chain, dy: np.ndarray) -> Iterator[tuple[Mutant, np.ndarray]]:
    """What each mistake at step k makes of one of its leaves, or of dX."""
    grads, dx = chain.pull(k, dy)
    for mutant in all_mutants(chain):
        if set(mutant.steps) == {k}:
            got, passed = grads, dx
            for change in mutant.steps[k]:
                got, passed = change(chain, k, dy, got, passed)
            yield mutant, np.asarray(passed if leaf is None else jax.tree.leaves(got)[leaf])
