"""Backpropagation as four nested loops, in plain NumPy: the slowest, plainest road to the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.activations import gelu, identity, relu, sigmoid, softplus, swish, tanh
from fnn.layers.base import Layer, Params
from fnn.layers.dense import dense
from fnn.layers.elementwise import Activation
from fnn.layers.rescaling import flatten
from fnn.layers.walk import part_of, places
from fnn.losses.on_logits import (
    half_mean_squared_error,
    mean_absolute_error,
    mean_squared_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from fnn.losses.penalties import l1, l2
from fnn.networks.arguments import require_call
from fnn.recipes import rule_of
from fnn.verify.oracles import precise


def backward_by_loops(net: Any, params: Params, x: Any, y: Any, *, weights: Any = None) -> Params:
    """Gradient of a dense network's loss by explicit loops over examples, layers, neurons and their inputs.

    For every example: forward; the gradients of all activations start at zero; then from the last layer to the first,
    for every neuron j and every input k of it,

        δ = da[j] · g'(z[j])      db[j] += δ      dW[j, k] += δ · a_prev[k]      da_prev[k] += W[j, k] · δ

    Each example counts with its share, 1/n or w / Σw, and the penalty's gradient comes last.

    Args:
        net: a network of dense layers and elementwise activations; `flatten` may come first.
        params: its parameters.
        x: (n, *input_shape).
        y: targets, as `net.loss` takes them.
        weights: weight of each example, (n,), or None.

    Returns:
        A pytree like params, of NumPy arrays in float64.

    Raises:
        ValueError: a layer that mixes entries or examples (softmax, normalization, convolution, ...).

    References:
        Rumelhart, Hinton and Williams, Learning representations by back-propagating errors (1986).
    """
    x, y, weights = require_call("backward_by_loops", net, params, x, y, weights=weights)
    jax.eval_shape(net.criterion.fwd, jax.ShapeDtypeStruct((len(x), net.outputs), jnp.result_type(float)), y, weights)
    layers = dense_steps(net.layer, params)
    x = np.asarray(x, np.float64).reshape(np.shape(x)[0], -1)
    shares = _shares(len(x), weights)
    slope = _loss_slope(net, y, len(x) if weights is None else float(np.asarray(weights, np.float64).sum()))
    grads = [(np.zeros_like(W), np.zeros_like(b)) for W, b, _ in layers]

    for i in range(len(x)):  # 1. every example
        a, seen = x[i], []
        for W, b, g in layers:
            z = np.array([sum(W[j, k] * a[k] for k in range(len(a))) + b[j] for j in range(len(b))])
            seen.append((a, z))
            a = z if g is None else np.array([g[0](z_j) for z_j in z])
        da = shares[i] * slope(i, a)
        for (W, _, g), (a, z), (dW, db) in reversed(list(zip(layers, seen, grads, strict=True))):  # 2. every layer
            da_prev = np.zeros(len(a))
            for j in range(len(z)):  # 3. every neuron
                delta = da[j] * (1 if g is None else g[1](z[j]))
                db[j] += delta
                for k in range(len(a)):  # 4. every input of it
                    dW[j, k] += delta * a[k]
                    da_prev[k] += W[j, k] * delta
            da = da_prev
    return _with_penalty(net, params, _like(net.layer, params, iter(grads)))


def dense_steps(layer: Layer, params: Params) -> list[tuple[np.ndarray, np.ndarray, Any]]:
    """A chain of dense layers as data: (W, b, g) each, where g is (value, derivative) of the activation, or None.

    Args:
        layer: dense layers, elementwise activations and a leading flatten, in any nesting of `serial`.
        params: its parameters.

    Returns:
        One triple a dense layer, in float64; b is zero where the layer has none.

    Raises:
        ValueError: any other layer, or an activation that does not follow a dense layer.
    """
    steps: list[tuple[np.ndarray, np.ndarray, Any]] = []
    for place in places(layer):
        part, values = place.layer, part_of(params, place.path)
        if rule_of(part) is dense:
            W = np.asarray(values.W, np.float64)
            steps.append((W, np.asarray(getattr(values, "b", np.zeros(len(W))), np.float64), None))
        elif isinstance(part, Activation) and part.elementwise and steps:
            W, b, inner = steps.pop()
            steps.append((W, b, _compose(inner, _scalar(part))))
        elif part != flatten or steps:
            raise ValueError(
                f"the four loops know dense layers and elementwise activations behind them, got {part.name}; "
                "compare this network with autodiff and central differences instead, through fnn.check"
            )
    return steps


def _compose(inner: Any, outer: Any) -> Any:
    """Two activations in a row as one: (g ∘ f)' = g'(f) f'."""
    if inner is None:
        return outer
    return (lambda z: outer[0](inner[0](z))), (lambda z: outer[1](inner[0](z)) * inner[1](z))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


_SCALAR: dict[Any, tuple[Callable[[float], float], Callable[[float], float]]] = {
    identity: (lambda z: z, lambda z: 1.0),
    sigmoid: (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    tanh: (math.tanh, lambda z: 1 - math.tanh(z) ** 2),
    relu: (lambda z: max(0.0, z), lambda z: 1.0 if z > 0 else 0.0),
    swish: (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    softplus: (lambda z: max(z, 0.0) + math.log1p(math.exp(-abs(z))), _sigmoid),
    gelu: (
        lambda z: 0.5 * z * math.erfc(-z / math.sqrt(2)),
        lambda z: 0.5 * math.erfc(-z / math.sqrt(2)) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
}


def _scalar(activation: Any) -> tuple[Callable, Callable]:
    """Value and derivative for one number: written out here, or the activation's own where it has a parameter."""
    if rule_of(activation) in _SCALAR:
        return _SCALAR[rule_of(activation)]

    def value(z: float) -> float:
        with precise():
            return float(activation(jnp.asarray(z)))

    def derivative(z: float) -> float:
        with precise():
            return float(activation.derivative(jnp.asarray(z)))

    return value, derivative


def _shares(n: int, weights: Any) -> np.ndarray:
    if weights is None:
        return np.full(n, 1 / n)
    weights = np.asarray(weights, np.float64)
    return weights / weights.sum()


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


_SLOPES: dict[Any, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # one example: ∂ℓ/∂z, fused with the link
    softmax_cross_entropy: lambda z, y: _softmax(z) * y.sum() - y,
    sigmoid_cross_entropy: lambda z, y: np.array([_sigmoid(z_j) for z_j in z]) - y,
    mean_squared_error: lambda z, y: 2 * (z - y),
    half_mean_squared_error: lambda z, y: z - y,
    mean_absolute_error: lambda z, y: np.sign(z - y),
}


def _loss_slope(net: Any, y: Any, total: float) -> Callable[[int, np.ndarray], np.ndarray]:
    """∂ℓ/∂z of example i: written out here, or the loss's own rule on one example where it has a parameter.

    A summed loss is Σw, here total, times the mean.
    """
    y, rule = np.asarray(y), rule_of(net.criterion)
    if rule not in _SLOPES:

        def own_rule(i: int, z: np.ndarray) -> np.ndarray:
            with precise():
                _, residuals = net.criterion.fwd(jnp.asarray(z)[None], jnp.asarray(y[i : i + 1]), None)
                slope = np.asarray(net.criterion.bwd(residuals, jnp.ones(())))[0]
            return slope * (total if net.criterion.sums else 1)

        return own_rule
    if rule == softmax_cross_entropy and np.issubdtype(y.dtype, np.integer):
        y = np.eye(net.outputs)[y]
    y = y.astype(np.float64)
    return lambda i, z: _SLOPES[rule](z, y[i])


def _like(layer: Layer, params: Params, grads: Any) -> Params:
    """Give the list of (dW, db) the structure of the parameters."""
    made = {place.path: next(grads) for place in places(layer) if rule_of(place.layer) is dense}

    def at(values: Params, path: tuple[int, ...]) -> Params:
        if path in made:
            return type(values)(*made[path][: len(values)])
        return tuple(at(part, (*path, i)) for i, part in enumerate(values)) if is_tuple(values) else values

    def is_tuple(values: Params) -> bool:
        return type(values) is tuple

    return at(params, ())


def _with_penalty(net: Any, params: Params, grads: Params) -> Params:
    """Add λ W or λ sign(W), entry by entry, or the penalty's own gradient where it is none of these two."""
    if net.penalty is None:
        return grads
    rules: dict[Any, Callable] = {l1: np.sign, l2: lambda W: W}
    if rule_of(net.penalty) not in rules:
        with precise():
            slope = net.penalty.gradient(jax.tree.map(lambda p: jnp.asarray(p, float), params))
        return jax.tree.map(lambda g, p: g + np.asarray(p), grads, slope)
    rule, strength = rules[rule_of(net.penalty)], net.penalty.strength

    def add(grads: Params, params: Params) -> Params:
        if hasattr(grads, "W"):
            return grads._replace(W=grads.W + strength * rule(np.asarray(params.W, np.float64)))
        return tuple(map(add, grads, params)) if isinstance(grads, tuple) else grads

    return add(grads, params)
