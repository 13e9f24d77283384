"""Mistakes in the gradient that leaves the loss, dZ of the last layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.activations import sigmoid, softmax
from fnn.verify.chain import Chain, Leaves, Mutant
from fnn.verify.mistakes.planting import Mistake, in_loss, scaled_by

Variants = Iterator[tuple[Callable, str]]

_AGAIN = "take at least three examples, and not as many as there are outputs"


def _total(chain: Chain) -> tuple[float, str]:
    """What the mean divides by, and its name: n, or Σw."""
    return (chain.n, "n") if chain.weights is None else (float(chain.weights.sum()), "Σw")


def _last(chain: Chain) -> str:
    number = chain.steps[-1].number if chain.steps else ""
    return f"dZ{number}"


def factors(chain: Chain) -> list[tuple[str, str, float, str]]:
    """The constants that people lose or add: (id, title, factor, what was computed)."""
    total, name = _total(chain)
    summed = chain.net.criterion.sums
    c, dz = chain.outputs, _last(chain)
    also = "; c = 2 too, so perhaps the number of outputs" if c == 2 else ""
    rows = [
        ("factor-two", "factor 2 too many", 2.0, f"{dz} is twice what it should be{also}"),
        ("factor-half", "factor 2 missing", 0.5, f"{dz} is half of what it should be{also}"),
        ("sign", "sign reversed", -1.0, f"{dz} = −(what it should be), as from Y − Ŷ"),
    ]
    if not summed:
        rows.insert(0, ("mean-missing", f"1/{name} missing", total, f"{dz} must be divided by {name} = {total:g}"))
    title = f"divided by {name} once too often" if not summed else f"divided by {name} though the loss is a sum"
    rows.append(("mean-twice", title, 1 / total, f"{dz} is {name} = {total:g} times too small"))
    if c > 2:
        tell = f"{dz} is {c} times too small: the loss sums over outputs and averages over examples only"
        rows.append(("divided-by-outputs", f"divided by the number of outputs c = {c} too", 1 / c, tell))
        tell = f"{dz} is {c} times too large, the number of outputs"
        rows.append(("times-outputs", f"multiplied by the number of outputs c = {c}", float(c), tell))
    return rows


def _scales(id: str) -> Callable[[Chain], Iterator[Mutant]]:
    """Mutants that multiply: the loss's part alone, and with a penalty also the finished gradient."""

    def mutants(chain: Chain) -> Iterator[Mutant]:
        where = f"the loss ({chain.net.criterion.name})"
        for name, title, factor, tell in factors(chain):
            if name == id:
                yield Mutant(id, where, f"{title} at {where}: {tell}", _AGAIN, title, loss=scaled_by(factor))
                if chain.net.penalty is not None:
                    whole = "the whole gradient, penalty included"
                    sentence = f"{title} in {whole}: it is {factor:.4g} times what it should be"
                    yield Mutant(id, whole, sentence, _AGAIN, title, finish=_whole(factor))

    return mutants


def _whole(factor: float) -> Callable[[Chain, Leaves], Leaves]:
    return lambda chain, leaves: [factor * leaf for leaf in leaves]


def _link_twice(chain: Chain) -> Variants:
    link, p = chain.net.criterion.link, chain.predictions
    if link in (sigmoid, softmax):
        name = chain.net.criterion.link_name
        tell = f"{_last(chain)} = (Ŷ − Y)/n ⊙ Ŷ ⊙ (1 − Ŷ), should be (Ŷ − Y)/n: the loss's gradient has {name} in it"
        yield lambda _, dz: dz * (p * (1 - p)), tell


def _link_missing(chain: Chain) -> Variants:
    link, p, number = chain.net.criterion.link, chain.predictions, _last(chain)[2:]
    if link == sigmoid:
        yield (
            lambda _, dz: dz / (p * (1 - p)),
            f"dZ{number} = dA{number}, should be dA{number} ⊙ Ŷ ⊙ (1 − Ŷ), which is (Ŷ − Y)/n",
        )
    if link == softmax:
        yield lambda _, dz: _to_probabilities(chain, dz), f"dZ{number} = dA{number} = −Y/(nŶ), should be (Ŷ − Y)/n"


def _to_probabilities(chain: Chain, dz: np.ndarray) -> np.ndarray:
    """∂L/∂Ŷ of softmax and cross-entropy, −s y/p, from dz = s (p Σy − y)."""
    p = chain.predictions
    return -_shares(chain, dz) * _rows(chain) / np.where(p == 0, 1, p)


def _rows(chain: Chain) -> np.ndarray:
    """Targets as rows (n, c)."""
    if chain.y.ndim == 2:
        return chain.y.astype(chain.z.dtype)
    return np.eye(chain.outputs, dtype=chain.z.dtype)[chain.y]


def _elementwise(chain: Chain) -> Variants:
    if chain.net.criterion.link == softmax and chain.outputs > 1:
        p = chain.predictions
        tell = f"{_last(chain)} = dŶ ⊙ Ŷ ⊙ (1 − Ŷ) keeps the diagonal of softmax's Jacobian; should be (Ŷ − Y)/n"
        yield lambda _, dz: _to_probabilities(chain, dz) * p * (1 - p), tell


def _axis(chain: Chain) -> Variants:
    if chain.net.criterion.link == softmax:
        e = np.exp(chain.z - chain.z.max(axis=0))
        p = e / e.sum(axis=0)
        tell = f"{_last(chain)} uses softmax over the examples of a batch; each row, one example, must sum to 1"
        yield lambda _, dz: dz + _shares(chain, dz) * (p - chain.predictions), tell


def _shares(chain: Chain, dz: np.ndarray) -> np.ndarray:
    """What each example counts in dz, (n, 1): w or 1, times a constant that is read off dz."""
    rows = _rows(chain)
    weights = np.ones((chain.n, 1), dz.dtype) if chain.weights is None else chain.weights[:, None]
    plain = weights * (chain.predictions * rows.sum(axis=1, keepdims=True) - rows)
    return weights * ((dz * plain).sum() / max((plain * plain).sum(), 1e-30))


@partial(jax.jit, static_argnums=0)
def _dz_for(criterion: Any, z: jax.Array, y: jax.Array, weights: Any) -> jax.Array:
    return jax.grad(lambda z: criterion.fwd(z, y, None if weights is None else jnp.asarray(weights))[0])(z)


def _with_targets(chain: Chain, y: np.ndarray) -> Callable:
    """The gradient for other targets, scaled as the arriving one may have been."""
    return lambda _, dz: np.asarray(_dz_for(chain.net.criterion, chain.z, y, chain.weights))


def _labels(chain: Chain) -> Variants:
    c = chain.outputs
    if chain.net.criterion.link != softmax or c < 2:
        return
    rows = _rows(chain)
    for shift, word in ((1, "high"), (-1, "low")):
        moved = np.roll(rows, shift, axis=1)
        yield _with_targets(chain, moved), f"labels one too {word}, wrapped around: Y is shifted by one class"
        cut = moved.copy()
        cut[:, 0 if shift == 1 else -1] = 0
        tell = f"labels one too {word}, the one out of range is a row of zeros: Y is shifted by one class"
        yield lambda _, dz, cut=cut: dz + _shares(chain, dz) * (rows - cut), tell


def _classes(chain: Chain) -> Variants:
    if chain.outputs > 1:
        y = chain.y[:, ::-1] if chain.y.ndim == 2 else (chain.outputs - 1 - chain.y).astype(chain.y.dtype)
        yield _with_targets(chain, y), "the columns of Y are in reverse order"


def _examples(chain: Chain) -> Variants:
    if chain.n > 1:
        y = chain.y
        yield _with_targets(chain, y[::-1].copy()), "row i of X meets a target of another row: Y is in reverse order"
        yield _with_targets(chain, np.roll(y, 1, axis=0)), "row i of X meets the target of row i − 1"
        yield _with_targets(chain, np.roll(y, -1, axis=0)), "row i of X meets the target of row i + 1"


def _dropped(chain: Chain) -> Variants:
    if chain.n < 2:
        return
    keep = np.arange(chain.n)[:, None] < chain.n - 1
    yield lambda _, dz: dz * keep, f"the sum has {chain.n - 1} of {chain.n} terms and is divided by n"
    if not chain.net.criterion.sums:
        weights = np.ones(chain.n) if chain.weights is None else chain.weights
        factor = float(weights.sum() / weights[:-1].sum()) if weights[:-1].sum() else 1.0
        yield lambda _, dz: dz * keep * factor, "the mean is that of all other examples"


def _unweighted(chain: Chain) -> Variants:
    if chain.weights is not None and (chain.weights > 0).all():
        total = chain.weights.sum()
        weights = chain.weights[:, None]
        if chain.net.criterion.sums:
            yield lambda _, dz: dz / weights, f"{_last(chain)} counts every example once, should count it w times"
            return
        yield lambda _, dz: dz * total / weights / chain.n, f"{_last(chain)} counts each example 1/n, should be w/Σw"
        tell = f"{_last(chain)} counts each example w/n, should be w/Σw"
        yield lambda _, dz: dz * total / chain.n, tell


_TARGETS = "take several examples of different classes, more than two classes, and logits that differ"

MISTAKES: tuple[Mistake, ...] = (
    Mistake("mean-missing", "1/n missing", _AGAIN, _scales("mean-missing")),
    Mistake("factor-two", "factor 2 too many", "no point hides it unless the gradient is 0", _scales("factor-two")),
    Mistake("factor-half", "factor 2 missing", "no point hides it unless the gradient is 0", _scales("factor-half")),
    Mistake("sign", "sign reversed", "no point hides it unless the gradient is 0", _scales("sign")),
    Mistake("mean-twice", "divided by n twice", _AGAIN, _scales("mean-twice")),
    Mistake("divided-by-outputs", "divided by the number of outputs too", _AGAIN, _scales("divided-by-outputs")),
    Mistake("times-outputs", "multiplied by the number of outputs", _AGAIN, _scales("times-outputs")),
    in_loss("link-derivative-twice", "output derivative applied twice", _TARGETS, _link_twice),
    in_loss("link-derivative-missing", "output derivative missing", _TARGETS, _link_missing),
    in_loss("softmax-elementwise", "softmax differentiated elementwise", _TARGETS, _elementwise),
    in_loss("softmax-axis", "softmax over the wrong axis", _TARGETS, _axis),
    in_loss("labels-off-by-one", "one-hot off by one", _TARGETS, _labels),
    in_loss("classes-permuted", "classes permuted", _TARGETS, _classes),
    in_loss("examples-permuted", "examples permuted", _TARGETS, _examples),
    in_loss("last-example-dropped", "last example dropped", _AGAIN, _dropped),
    in_loss("weights-ignored", "example weights wrong", "weigh examples unequally, Σw ≠ n", _unweighted),
)
