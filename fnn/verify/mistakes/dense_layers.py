"""Mistakes in the backward of dense layers, and in what is done with a layer's gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from fnn.verify.chain import Chain, Change, Leaves, Mutant
from fnn.verify.forward_pass import prefix_of
from fnn.verify.gradient_trees import leaf_names
from fnn.verify.mistakes.planting import Mistake, Variant, bias_matters, in_steps, passes_on

_POINT = "take random weights, biases that are not 0, and inputs that differ from each other"
_SHAPES = "take layers whose widths differ, with weights that are not symmetric"
_SEVERAL = "take at least two examples"


def _dense(chain: Chain, k: int) -> tuple[Any, np.ndarray, int]:
    step = chain.steps[k]
    return step.record.params, step.record.x, step.number


def _with(field: str, make: Any) -> Change:
    """Change one field of dparams: (chain, k, dy, right value) -> value."""

    def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
        return grads._replace(**{field: make(chain, k, dy, getattr(grads, field))}), dx

    return change


def _in_b(id: str, title: str, remedy: str, tell: str, make: Any) -> Mistake:
    """A mistake in db alone; {l} in tell is the number of the layer, {n} that of examples."""

    def variants(chain: Chain, k: int) -> Iterator[Variant]:
        if chain.steps[k].is_dense and len(chain.steps[k].record.params) == 2 and bias_matters(chain, k):
            yield "", _with("b", make), tell.format(l=chain.steps[k].number, n=chain.n)

    return in_steps(id, title, remedy, variants)


def _in_w(id: str, title: str, remedy: str, tell: str, make: Any, *, matrix: bool = False) -> Mistake:
    """A mistake in dW alone; matrix: only where W is no single row or column."""

    def variants(chain: Chain, k: int) -> Iterator[Variant]:
        if chain.steps[k].is_dense and not (matrix and min(chain.steps[k].record.params.W.shape) == 1):
            yield "", _with("W", make), tell.format(l=chain.steps[k].number, n=chain.n)

    return in_steps(id, title, remedy, variants)


def _transposed(W: np.ndarray) -> np.ndarray:
    """The transpose, laid out in the shape of the original where that is not square."""
    return W.T.reshape(W.shape)


def _weights_transposed(chain: Chain, k: int) -> Iterator[Variant]:
    if not chain.steps[k].is_dense or not passes_on(chain, k):
        return
    W, number = chain.steps[k].record.params.W, chain.steps[k].number
    if min(W.shape) > 1:
        tell = f"dX = dZ{number} W{number}ᵀ, should be dZ{number} W{number} (row layout, W is (d_out, d_in))"
        yield "", lambda chain, k, dy, grads, dx: (grads, dy @ _transposed(W)), tell


def _input(chain: Chain, k: int) -> Iterator[Variant]:
    """Another tensor of the same shape where the layer's own input belongs in dW."""
    if not chain.steps[k].is_dense:
        return
    _, x, number = _dense(chain, k)
    seen = [x]
    for j, other in enumerate(chain.steps):
        name = f"A{other.number}" if other.slope is not None else f"Z{other.number}"
        for symbol, value in ((f"the input of {other.label}", other.record.x), (name, other.record.y)):
            symbol = "X" if j == 0 and value is other.record.x else symbol
            if np.shape(value) == x.shape and not any(np.array_equal(value, old) for old in seen):
                seen.append(value)
                place = "z-for-a" if j == k - 1 else f"{j - k}"
                tell = f"dW{number} = dZ{number}ᵀ {symbol}, should be dZ{number}ᵀ {_input_name(chain, k)}"
                yield place, _with("W", lambda _, k, dy, dW, value=value: dy.T @ value), tell


def _input_name(chain: Chain, k: int) -> str:
    number = chain.steps[k].number - 1
    return f"A{number}" if number else "X"


def _frozen(chain: Chain, k: int) -> Iterator[Variant]:
    if chain.steps[k].count:

        def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
            return jax.tree.map(np.zeros_like, grads), dx

        yield "", change, "its parameters get a gradient of 0"


def _cut(chain: Chain, k: int) -> Iterator[Variant]:
    if chain.steps[k].count and sum(step.count > 0 for step in chain.steps[:k]) > 1:  # one below would be "frozen"
        yield "", lambda chain, k, dy, grads, dx: (grads, 0 * dx), "nothing flows on to the layers below"


def _updated(chain: Chain) -> Iterator[Mutant]:
    """Weights already updated when the gradient passes back, with the learning rate found from the answer."""
    sites = [k for k in chain.dense_steps() if passes_on(chain, k)]
    title = "weights already updated when the gradient passes back"
    for k in reversed(sites):
        number, label = chain.steps[k].number, chain.steps[k].label
        sentence = f"{title} at {label}: dX = dZ{number} (W{number} − α dW{number}), should be dZ{number} W{number}"
        yield _updated_at((k,), label, sentence)
    if len(sites) > 1:
        yield _updated_at(tuple(sites), "everywhere", f"{title} everywhere: dX = dZ (W − α dW), should be dZ W")


def _updated_at(sites: tuple[int, ...], where: str, sentence: str) -> Mutant:
    def with_rate(rate: float) -> Mutant:
        def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
            return grads, dy @ (chain.steps[k].record.params.W - rate * _full(chain, k, grads))

        told = sentence if rate == PLANTED_RATE else f"{sentence}, with α = {rate:.4g}"
        steps = dict.fromkeys(sites, (change,))
        return Mutant("weights-updated", where, told, _POINT, "weights already updated", steps=steps, fit=fit)

    def fit(chain: Chain, answer: Leaves) -> Mutant | None:
        top = max(sites)
        below = max(j for j in range(top) if chain.steps[j].count)
        i = chain.steps[below].first
        single = _updated_at((top,), where, sentence)
        moved = replace(single, steps={top: (lambda c, k, dy, g, dx: (g, dx - dy @ _full(c, k, g)),)})
        effect = chain.right[i] - dict(chain.walk(moved))[i]
        missing = chain.right[i] + chain.penalty[i] - answer[i]
        rate = float((missing * effect).sum() / max((effect * effect).sum(), 1e-300))
        return with_rate(rate) if rate > 0 and np.isfinite(rate) else None

    return with_rate(PLANTED_RATE)


PLANTED_RATE = 0.1  # the learning rate with which this mistake is planted


def _full(chain: Chain, k: int, grads: Any) -> np.ndarray:
    return grads.W + chain.penalty[chain.steps[k].first]


def _swapped(chain: Chain) -> Iterator[Mutant]:
    """Two leaves of the same shape exchanged."""
    names = leaf_names(chain.params, prefix_of(chain.net))
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if chain.right[i].shape == chain.right[j].shape:
                where = f"{names[i]} and {names[j]}"
                sentence = f"two leaves swapped: each of {where} holds the gradient of the other"
                finish = lambda _, g, i=i, j=j: [g[j if k == i else i if k == j else k] for k in range(len(g))]  # noqa: E731
                yield Mutant("leaves-swapped", where, sentence, _POINT, "leaves swapped", finish=finish)


MISTAKES: tuple[Mistake, ...] = (
    _in_b("bias-missing", "bias gradient missing", _POINT, "db{l} = 0, should be Σ dZ{l}", lambda c, k, dy, db: 0 * db),
    _in_b(
        "bias-mean",
        "bias gradient averaged",
        _SEVERAL,
        "db{l} = (1/n) Σ dZ{l}, should be Σ dZ{l}: the 1/n = 1/{n} is in dZ already",
        lambda c, k, dy, db: db / c.n,
    ),
    _in_b(
        "bias-sum",
        "bias gradient without its 1/n",
        _SEVERAL,
        "db{l} is n = {n} times too large, as if dZ had no 1/n",
        lambda c, k, dy, db: db * c.n,
    ),
    _in_w(
        "weights-mean",
        "weight gradient averaged again",
        _SEVERAL,
        "dW{l} = (1/n) dZ{l}ᵀ A, should be dZ{l}ᵀ A: the 1/n = 1/{n} is in dZ already",
        lambda c, k, dy, dW: dW / c.n,
    ),
    _in_w(
        "weights-sum",
        "weight gradient without its 1/n",
        _SEVERAL,
        "dW{l} is n = {n} times too large, as if dZ had no 1/n",
        lambda c, k, dy, dW: dW * c.n,
    ),
    _in_w(
        "dw-transposed",
        "weight gradient transposed",
        _SHAPES,
        "dW{l} = Aᵀ dZ{l}, should be dZ{l}ᵀ A, (d_out, d_in)",
        lambda c, k, dy, dW: _transposed(dW),
        matrix=True,
    ),
    in_steps("dx-transposed", "W and Wᵀ confused", _SHAPES, _weights_transposed),
    in_steps("wrong-input", "input taken from the wrong place", _POINT, _input),
    Mistake("weights-updated", "weights already updated", _POINT, _updated),
    in_steps("frozen", "frozen layer", _POINT, _frozen),
    in_steps("cut", "gradient cut off", _POINT, _cut, everywhere=False),
    Mistake("leaves-swapped", "two leaves swapped", _POINT, _swapped),
)
