"""Mistakes in the backward of activations: g'(z) forgotten, of the wrong function, or at the wrong place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from fnn.layers.activations import gelu, identity, relu, sigmoid, softmax, softplus, swish, tanh
from fnn.layers.rectifiers import elu, leaky_relu, prelu
from fnn.recipes import rule_of
from fnn.verify.chain import Chain, Change
from fnn.verify.forward_pass import slope_of
from fnn.verify.mistakes.planting import Mistake, Variant, in_steps, passes_on

_POINT = "take weights and biases that put units on both sides of 0, not all alike"


def _times(slope: Any) -> Change:
    """Multiply what arrives by another slope."""
    return lambda chain, k, dy, grads, dx: (grads, dy * slope)


def _slope_changes(id: str, title: str, remedy: str, variants: Any) -> Mistake:
    """Mistakes in g'(z) of an elementwise activation; variants gives (detail, wrong slope, tell)."""

    def wrong(chain: Chain, k: int) -> Iterator[Variant]:
        step = chain.steps[k]
        if step.slope is None or rule_of(step.layer) == identity or not passes_on(chain, k):
            return
        for detail, slope, tell in variants(chain, k):
            yield detail, _times(slope), tell.format(l=step.number)

    return in_steps(id, title, remedy, wrong)


def _missing(chain: Chain, k: int):
    yield "", 1.0, "dZ{l} = dA{l}, should be dA{l} ⊙ g'(Z{l})"


def _value(chain: Chain, k: int):
    yield "", chain.steps[k].record.y, "dZ{l} = dA{l} ⊙ g(Z{l}), should be dA{l} ⊙ g'(Z{l})"


def _squared(chain: Chain, k: int):
    if rule_of(chain.steps[k].layer) != relu:
        yield "", np.square(np.asarray(chain.steps[k].slope)), "dZ{l} = dA{l} ⊙ g'(Z{l})², should be dA{l} ⊙ g'(Z{l})"


def _at_a(chain: Chain, k: int):
    step = chain.steps[k]
    if rule_of(step.layer) not in (relu, leaky_relu, prelu):
        slope = _derivative(step.layer, step.record.params, step.record.y)
        yield "", slope, "dZ{l} = dA{l} ⊙ g'(A{l}), should be dA{l} ⊙ g'(Z{l})"


def _formula_at_z(chain: Chain, k: int):
    z, rule = chain.steps[k].record.x, rule_of(chain.steps[k].layer)
    if rule == sigmoid:
        yield "sigmoid", z * (1 - z), "dZ{l} = dA{l} ⊙ Z{l} ⊙ (1 − Z{l}), should be dA{l} ⊙ A{l} ⊙ (1 − A{l})"
    if rule == tanh:
        yield "tanh", 1 - z * z, "dZ{l} = dA{l} ⊙ (1 − Z{l}²), should be dA{l} ⊙ (1 − A{l}²)"


_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * z))


_DERIVATIVES: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    sigmoid: lambda z: _sigmoid(z) * (1 - _sigmoid(z)),
    tanh: lambda z: 1 - np.tanh(z) ** 2,
    relu: lambda z: (z > 0) * 1.0,
    swish: lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
    gelu: lambda z: 0.5 * (1 + _erf(z / math.sqrt(2))) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi),
    softplus: _sigmoid,
    leaky_relu: lambda z: np.where(z > 0, 1.0, 0.01),
    elu: lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0))),
}


_ALIKE: dict[Any, Any] = {
    sigmoid: softplus
}  # whose derivative is the value of the first: that mistake has a name of its own


def _wrong_function(chain: Chain, k: int):
    step = chain.steps[k]
    own = rule_of(step.layer)
    for rule, derivative in _DERIVATIVES.items():
        if rule not in (own, _ALIKE.get(own)):
            name = getattr(rule, "name", None) or rule.__name__
            tell = f"dZ{{l}} = dA{{l}} ⊙ (derivative of {name}), should be that of {step.layer.name}"
            yield name, derivative(step.record.x), tell


def _wrong_layer(chain: Chain, k: int):
    step = chain.steps[k]
    for j, other in enumerate(chain.steps):
        if j != k and other.slope is not None and other.slope.shape == step.record.x.shape:
            slope = _derivative(step.layer, step.record.params, other.record.x)
            yield f"{j - k}", slope, f"dZ{{l}} = dA{{l}} ⊙ g'(Z{other.number}), should be dA{{l}} ⊙ g'(Z{{l}})"


def _derivative(layer: Any, params: Any, z: np.ndarray) -> np.ndarray:
    """g'(z) of the layer itself: in NumPy where it has no parameter of its own, else compiled."""
    rule = rule_of(layer)
    if rule in _DERIVATIVES and rule not in (leaky_relu, elu):
        return _DERIVATIVES[rule](z)
    return np.asarray(_slope(layer, params, z))


_slope = jax.jit(slope_of, static_argnums=0)


def _softmax_layer(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if rule_of(step.layer) == softmax and passes_on(chain, k):
        p = step.record.y
        tell = f"dZ{step.number} = dP ⊙ P ⊙ (1 − P), should be P ⊙ (dP − rowsum(dP ⊙ P))"
        if p.shape[-1] > 1:
            yield "", lambda c, k, dy, g, dx: (g, dy * p * (1 - p)), tell


def _softmax_axis(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if rule_of(step.layer) == softmax and passes_on(chain, k):
        p = step.record.y
        tell = f"dZ{step.number} sums dP ⊙ P over the examples, should sum over the classes of each row"
        yield "", lambda c, k, dy, g, dx: (g, p * (dy - (dy * p).sum(axis=0, keepdims=True))), tell


def _softmax_missing(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if rule_of(step.layer) == softmax and passes_on(chain, k):
        tell = f"dZ{step.number} = dP, should be P ⊙ (dP − rowsum(dP ⊙ P))"
        yield "", lambda c, k, dy, g, dx: (g, dy), tell


MISTAKES: tuple[Mistake, ...] = (
    _slope_changes("activation-derivative-missing", "activation derivative missing", _POINT, _missing),
    _slope_changes("activation-for-derivative", "activation in place of its derivative", _POINT, _value),
    _slope_changes("derivative-at-a", "activation derivative taken at a instead of z", _POINT, _at_a),
    _slope_changes("formula-at-z", "formula in a fed with z", _POINT, _formula_at_z),
    _slope_changes("derivative-twice", "activation derivative applied twice", _POINT, _squared),
    _slope_changes("wrong-function", "derivative of the wrong function", _POINT, _wrong_function),
    _slope_changes("wrong-layer", "activation derivative of the wrong layer", _POINT, _wrong_layer),
    in_steps("softmax-layer-elementwise", "softmax differentiated elementwise", _POINT, _softmax_layer),
    in_steps("softmax-layer-axis", "softmax over the wrong axis", _POINT, _softmax_axis),
    in_steps("softmax-layer-missing", "softmax derivative missing", _POINT, _softmax_missing),
)
