"""Laying a network's chain open: one forward pass that keeps everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer
from fnn.layers.combinators import RepeatParams, is_chain, plain
from fnn.layers.walk import root_of
from fnn.verify.chain import Chain, Record, Step, settle
from fnn.verify.laying_out import at, count_passes, laid_out, opens_up
from fnn.verify.oracles import is_key

Tree = Any


def build_chain(net: Any, params: Tree, x: Any, y: Any, keywords: dict[str, Any], *, unroll: bool = False) -> Chain:
    """Run a network forward at a point and lay its chain open.

    Args:
        net: a Network.
        params: its parameters.
        x: batch of examples.
        y: targets.
        keywords: state, key and weights, where given.
        unroll: whether repeated layers are links of their own, as `fnn.verify.laying_out` lays them out.

    Returns:
        The chain, in the precision of the arguments and of the scope.
    """
    out = _run(net, unroll, params, x, y, keywords)
    (z, predictions, dz, penalty, records, slopes) = out
    if unroll:
        params, penalty = laid_out(net.layer, params), laid_out(net.layer, penalty)
    to_numpy = partial(jax.tree.map, lambda leaf: leaf if is_key(leaf) else np.asarray(leaf))
    records, slopes = to_numpy(records), to_numpy(slopes)
    steps = _numbered(_flat(prefix_of(net), net.layer, records, slopes))
    weights = keywords.get("weights")
    return settle(
        Chain(
            net,
            params,
            np.asarray(x),
            np.asarray(y),
            None if weights is None else np.asarray(weights),
            steps,
            np.asarray(z),
            np.asarray(predictions),
            np.asarray(dz),
            tuple(np.asarray(leaf) for leaf in jax.tree.leaves(penalty)),
        )
    )


@partial(jax.jit, static_argnums=(0, 1))
def _run(net: Any, unroll: bool, params: Tree, x: jax.Array, y: jax.Array, keywords: dict[str, Any]):
    """One compiled pass that keeps everything; derivatives are jax's own, lest a wrong rule of the network be used."""
    (z, _), records = laid_open(net.layer, unroll).fwd(params, x, keywords.get("state", ()), keywords.get("key"))
    weights = keywords.get("weights")
    dz = jax.grad(lambda z: net.criterion.fwd(z, y, None if weights is None else jnp.asarray(weights))[0])(z)
    if net.penalty is None:
        penalty = jax.tree.map(jnp.zeros_like, params)
    else:
        penalty = jax.grad(net.penalty.value)(params)
    return z, net.criterion.link(z), dz, penalty, records, _slopes(net.layer, records)


def prefix_of(net: Any) -> str:
    """What the parameters of a network are called: layers[0].W in a chain."""
    return root_of(net.layer)


def laid_open(layer: Layer, unroll: bool) -> Layer:
    """The same layer with records for residuals; those of a chain, or of repeated layers, are a tuple of records."""
    layer = plain(layer)
    if opens_up(layer):
        return layer.rebuild(tuple(laid_open(child, unroll) for child in layer.children))  # type: ignore[misc]

    def fwd(params, x, state, key):
        if unroll and count_passes(layer, params):
            return _pass_by_pass(layer, params, x, state, key)
        (y, new_state), kept = layer.fwd(params, x, state, key)
        return (y, new_state), Record(params, x, state, key, kept, y)

    return replace(layer, fwd=fwd)


def _pass_by_pass(loop: Layer, params: RepeatParams, x: jax.Array, state: Tree, key: Any):
    """The forward pass of `repeat` without its loop."""
    times, body = count_passes(loop, params), laid_open(loop.children[0], True)
    keys = [None] * times if key is None else jax.random.split(key, times)
    states, records = [], []
    for t in range(times):
        (x, new_state), record = body.fwd(at(params.stacked, t), x, at(state, t), keys[t])
        states.append(new_state)
        records.append(record)
    return (x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)), tuple(records)


def _is_elementwise(layer: Layer) -> bool:
    return layer.elementwise


def _numbered(pieces: Iterator[Step]) -> tuple[Step, ...]:
    """Number the layers with weights, the leaves, and the two ends of each skip path."""
    steps: list[Step] = []
    forks: list[int] = []
    for piece in pieces:
        count = len(jax.tree.leaves(piece.record.params))
        first = steps[-1].first + steps[-1].count if steps else 0
        number = (steps[-1].number if steps else 0) + hasattr(piece.record.params, "W")
        if piece.role == "fork":
            forks.append(len(steps))
        if piece.role == "join":
            fork = forks.pop()
            steps[fork] = replace(steps[fork], partner=len(steps))
        steps.append(replace(piece, number=number, first=first, count=count))
    return tuple(steps)


def _slopes(layer: Layer, records: Any) -> Any:
    """g'(z) of every elementwise layer, () for others, nested as the records are."""
    layer = plain(layer)
    if opens_up(layer):
        parts = records if is_chain(layer) else (records,)
        return tuple(_slopes(child, part) for child, part in zip(layer.children, parts, strict=True))
    if not isinstance(records, Record):
        return tuple(_slopes(layer.children[0], part) for part in records)
    if not _is_elementwise(layer):
        return ()
    return slope_of(layer, records.params, records.x)


def slope_of(layer: Layer, params: Tree, z: Any) -> jax.Array:
    """Derivative g'(z) of an elementwise layer, by jax.

    Args:
        layer: the layer.
        params: its parameters, () for most.
        z: where, of any shape.

    Returns:
        An array like z.
    """
    z = jnp.asarray(z)
    return jax.vjp(lambda z: layer.fwd(params, z, (), None)[0][0], z)[1](jnp.ones_like(z))[0]


def _flat(where: str, layer: Layer, records: Any, slopes: Any) -> Iterator[Step]:
    layer = plain(layer)
    if not opens_up(layer) and not isinstance(records, Record):
        for t, (record, slope) in enumerate(zip(records, slopes, strict=True)):
            yield from _flat(f"{where}.passes[{t}]", layer.children[0], record, slope)
    elif not opens_up(layer):
        yield Step(where, layer, records, 0, 0, 0, slopes if _is_elementwise(layer) else None)
    elif is_chain(layer):
        for i, (child, record, slope) in enumerate(zip(layer.children, records, slopes, strict=True)):
            yield from _flat(f"{where}[{i}]", child, record, slope)
    else:
        inner = list(_flat(where, layer.children[0], records, slopes[0]))
        x, y = inner[0].record.x, inner[-1].record.y
        yield Step(where, layer, Record((), x, (), None, (), x), 0, 0, 0, None, role="fork")
        yield from inner
        yield Step(where, layer, Record((), y, (), None, (), x + y), 0, 0, 0, None, role="join")
