"""Loops written out pass by pass, for those who want to look at each."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, State
from fnn.layers.combinators import RepeatParams, is_loop, plain, repeat
from fnn.recipes import arguments_of


def unrolled(layer: Layer) -> Layer:
    """The same tree with every loop written out pass by pass: same parameters, same numbers, no scan.

    Args:
        layer: any layer.
    """
    layer = plain(layer)
    if layer.rebuild is None or not layer.children:
        return layer
    children = tuple(map(unrolled, layer.children))
    if not is_loop(layer):
        return layer.rebuild(children)
    return _passes(arguments_of(layer)["times"], (children[0],) * arguments_of(layer)["times"])


class Passes(Layer):
    """`repeat` without its loop: its children are the passes, its parameters are stacked as before."""


def _passes(times: int, bodies: tuple[Layer, ...]) -> Layer:
    looped = repeat(bodies[0], times)

    def fwd(params: RepeatParams, x: jax.Array, state: State, key: jax.Array | None):
        keys = [None] * times if key is None else jax.random.split(key, times)
        states, residuals = [], []
        for t, body in enumerate(bodies):
            own, own_state = (jax.tree.map(lambda leaf: leaf[t], tree) for tree in (params.stacked, state))  # noqa: B023
            (x, new_state), kept = body.fwd(own, x, own_state, keys[t])
            states.append(new_state)
            residuals.append(kept)
        return (x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)), tuple(residuals)

    def bwd(residuals: tuple, dy: jax.Array):
        grads = []
        for body, kept in zip(reversed(bodies), reversed(residuals), strict=True):
            dparams, dy = body.bwd(kept, dy)
            grads.append(dparams)
        return RepeatParams(jax.tree.map(lambda *leaves: jnp.stack(leaves), *reversed(grads))), dy

    return Passes(
        looped.name, looped.init, looped.forward, fwd, bwd, looped.init_state, bodies, partial(_passes, times)
    )
