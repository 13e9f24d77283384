"""How gradients flow: norms and activations layer by layer, a bound, dead units, and how large a step may be.

With Z^l the output of layer l of L and J^k the derivative of layer k's outputs by its inputs, the chain rule gives
∂L/∂Z^l = ∂L/∂Z^{l+1} · J^{l+1} = … = ∂L/∂Z^L · J^L ⋯ J^{l+1}, and therefore

    ‖∂L/∂Z^l‖ ≤ ‖∂L/∂Z^L‖ · ∏_{k=l+1}^{L} ‖J^k‖

where ‖J‖, the layer's gain, is the largest factor by which it can lengthen a gradient: the largest singular value of W
for a dense layer, max |g'(z)| for an activation. The product runs over the layers behind l, it bounds rather than
approximates, and what counts is the product: a gain below 1 is harmless where another makes up for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fnn.inspection.remedies import FlowRow, Symptom, findings
from fnn.layers.base import Params, State
from fnn.layers.dense import dense
from fnn.layers.walk import Visit, visits
from fnn.networks.arguments import require_call, settled
from fnn.networks.network import Network
from fnn.optimizers.clipping import global_norm
from fnn.recipes import rule_of
from fnn.recipes.shown import Shown

_ITERATIONS = 60  # of each power iteration; its estimate comes from below


@dataclass(frozen=True, repr=False)
class Flow(Shown):
    """What `flow` returns: rows of data that print as a table, and what they mean.

    Attributes:
        rows: one for each layer, from the input on.
        largest_eigenvalue: λ_max of the Hessian of the loss, the sharpest curvature at this point.
        stable_rate: 2 / λ_max; infinite where the loss curves up in no direction.
        findings: what is wrong and what helps, the worst first; empty if nothing is.
    """

    rows: tuple[FlowRow, ...]
    largest_eigenvalue: float
    stable_rate: float
    findings: tuple[Symptom, ...]

    def __str__(self) -> str:
        head = ("layer", "mean", "spread", "dead", "gain", "‖∂L/∂Z‖", "bound", "‖∂L/∂θ‖")
        cells = [head, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
        rate = f"largest stable learning rate of gradient descent 2/λ = {self.stable_rate:.3g}"
        notes = [str(finding) for finding in self.findings] or ["nothing vanishes, explodes or is dead"]
        return "\n".join(
            [lines[0], "─" * len(lines[0]), *lines[1:], f"{rate} (λ = {self.largest_eigenvalue:.3g})", *notes]
        )


def flow(
    net: Network,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    state: State = (),
    key: jax.Array | None = None,
    weights: ArrayLike | None = None,
) -> Flow:
    """Measure how activations and gradients pass through a network on some data, and say what would help.

    Args:
        net: the network.
        params: its parameters.
        x: (n, *input_shape); some hundred examples are enough.
        y: targets, as the loss takes them.
        state: the layers' state, where they have one.
        key: random key, where a layer draws.
        weights: weight of each example, (n,).

    Returns:
        A `Flow`: a row for each layer with its outputs' mean and spread over the examples, dead units, gain, gradient
        norm, the bound on it, and the norm of its parameters' gradient; the largest stable learning rate 2/λ_max of
        plain gradient descent on these data; findings with remedies.

    Raises:
        ValueError: data that don't fit the network, a missing state or key.

    Derivation:
        Near θ the loss is L(θ) + gᵀδ + ½ δᵀHδ. Along H's eigenvector of λ a step of gradient descent maps the distance
        from the minimum by 1 − αλ, which shrinks it if and only if 0 < α < 2/λ; the largest λ binds.

    References:
        LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.5, for 2/λ_max and the power iteration;
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013), for the product.
    """
    x, y, weights = require_call("flow", net, params, x, y, state=state, key=key, weights=weights)
    net = settled(net, state)
    x, y = jnp.asarray(x), jnp.asarray(y)
    rows = _rows(net, params, x, y, state, key, weights)
    curvature = _largest_eigenvalue(net, params, x, y, state, key, weights)
    rate = 2 / curvature if curvature > 0 else float("inf")
    return Flow(tuple(rows), curvature, rate, findings(rows))


def _rows(net: Network, params: Params, x, y, state: State, key, weights) -> list[FlowRow]:
    shapes = jax.eval_shape(partial(visits, net.layer), params, x, state, key)
    named = [(each.name, each.y.shape[-1]) for each in shapes]
    last, numbers = jax.device_get(_numbers(net, params, x, y, state, key, weights))
    bound, rows = float(last), []
    for (layer, units), found in zip(reversed(named), reversed(numbers), strict=True):
        values: dict[str, Any] = {field: None if value is None else value.item() for field, value in found.items()}
        rows.append(FlowRow(layer=layer, units=units, bound=bound, **values))
        bound *= rows[-1].gain
    return rows[::-1]


@partial(jax.jit, static_argnums=0)
def _numbers(net: Network, params: Params, x, y, state: State, key, weights) -> tuple[jax.Array, list[dict]]:
    """‖∂L/∂Z^L‖, and what a `FlowRow` holds of each layer."""
    passes = visits(net.layer, params, x, state, key)
    value, kept = net.criterion.fwd(passes[-1].y if passes else x, y, weights)
    dy = net.criterion.bwd(kept, jnp.ones_like(value))
    last, numbers = global_norm(dy), []
    for each in reversed(passes):
        grads, dx = each.layer.bwd(each.residuals, dy)
        numbers.append({**_outputs(each), "gradient": global_norm(dy), "weight_gradient": _norm_or_none(grads)})
        dy = dx
    return last, numbers[::-1]


def _outputs(each: Visit) -> dict[str, jax.Array | None]:
    slopes = _slopes(each)
    units = each.y.reshape(-1, each.y.shape[-1]) if each.y.ndim > 1 else each.y[:, None]
    several = units.shape[1] > 1 and bool(jax.tree.leaves(each.params))
    return {
        "mean": units.mean(),
        "spread": units.std(axis=0).mean(),
        "twins": jnp.all(units == units[:, :1]) & several,
        "dead": None if slopes is None else (slopes.reshape(-1, slopes.shape[-1]) == 0).all(axis=0).sum(),
        "flat": None if slopes is None else (jnp.abs(slopes) < 0.05).mean(),
        "gain": _gain(each, slopes),
    }


def _norm_or_none(grads: Params) -> jax.Array | None:
    return global_norm(grads) if jax.tree.leaves(grads) else None


def _slopes(each: Visit) -> jax.Array | None:
    """g'(z) of an activation at every entry: its backward applied to ones."""
    if each.layer.elementwise and not jax.tree.leaves(each.params):
        return each.layer.bwd(each.residuals, jnp.ones_like(each.y))[1]
    return None


def _gain(each: Visit, slopes: jax.Array | None) -> jax.Array:
    """‖J‖ of a layer on this batch: exact for activations and dense layers, by power iteration for the rest."""
    if slopes is not None:
        return jnp.abs(slopes).max()
    if rule_of(each.layer) is dense:
        return jnp.linalg.svd(each.params.W, compute_uv=False)[0]
    if not jnp.issubdtype(each.x.dtype, jnp.inexact):
        return jnp.ones(())  # integers have no gradient; nothing lies in front of them
    return _operator_norm(each)


def _operator_norm(each: Visit) -> jax.Array:
    """σ_max(J) by power iteration on JᵀJ; Jᵀ is the layer's backward, J comes from autodiff."""

    def forward(x):
        return each.layer.fwd(each.params, x, each.state, each.key)[0][0]

    def step(_, carry):
        v, _ = carry
        length = global_norm(v)
        v = v / jnp.where(length > 0, length, 1).astype(v.dtype)
        along = jax.jvp(forward, (each.x,), (v,))[1]
        return each.layer.bwd(each.residuals, along)[1], global_norm(along)

    start = jax.random.normal(jax.random.key(0), each.x.shape, each.x.dtype)
    return jax.lax.fori_loop(0, _ITERATIONS, step, (start, jnp.zeros((), jnp.result_type(float))))[1]


def _largest_eigenvalue(net: Network, params: Params, *data: Any) -> float:
    """λ_max of the Hessian: the λ of largest size, and where that is negative the largest of H − λ, moved back."""
    largest = _power_iteration(net, params, *data, jnp.zeros((), jnp.result_type(float)))
    return float(largest if largest >= 0 else _power_iteration(net, params, *data, largest))


@partial(jax.jit, static_argnums=0)
def _power_iteration(net: Network, params: Params, x, y, state, key, weights, shift: jax.Array) -> jax.Array:
    """vᵀHv for the v to which H − shift drives a random start; Hv differentiates the hand-derived gradient along v."""

    def gradient(params):
        return net.backward(params, x, y, state=state, key=key, weights=weights)

    def step(_, carry):
        v, _ = carry
        length = global_norm(v)
        v = jax.tree.map(lambda leaf: leaf / jnp.where(length > 0, length, 1).astype(leaf.dtype), v)
        Hv = jax.jvp(gradient, (params,), (v,))[1]
        return jax.tree.map(lambda h, leaf: h - shift.astype(h.dtype) * leaf, Hv, v), _inner(v, Hv)

    return jax.lax.fori_loop(0, _ITERATIONS, step, (_noise(params), jnp.zeros_like(shift)))[1]


def _inner(a: Params, b: Params) -> jax.Array:
    terms = jax.tree.map(lambda u, v: (u * v).sum().astype(jnp.result_type(float)), a, b)
    return sum(jax.tree.leaves(terms), jnp.zeros((), jnp.result_type(float)))


def _noise(params: Params) -> Any:
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(0), max(len(leaves), 1))
    noise = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=False)]
    return jax.tree.unflatten(structure, noise)
