"""A training pass layer by layer, chains opened up: what diagnoses look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from fnn.layers.base import Layer, Params, State


class Pass(NamedTuple):
    """One layer's part in a training pass."""

    where: str  # "layers[2]"
    layer: Layer
    params: Params
    state: State
    key: jax.Array | None
    x: jax.Array  # what came in
    y: jax.Array  # what went out
    residuals: Any  # what the layer's backward reads

    @property
    def name(self) -> str:
        """Position and kind, "layers[2] (dense)"."""
        return f"{self.where} ({self.layer.name})"


def training_passes(
    layer: Layer, params: Params, x: jax.Array, state: State = (), key: jax.Array | None = None, where: str = "layers"
) -> Iterator[Pass]:
    """Run a layer's training pass; a chain gives one `Pass` for each of its layers, with the keys it would hand out.

    Args:
        layer: usually a network's.
        params: its parameters.
        x: a batch.
        state: its state.
        key: random key, where a layer draws.
        where: what to call the layer.

    Returns:
        The passes in order; the output of one is the input of the next.
    """
    if layer.name == "mixed_precision":  # the same layers, rounded: their numbers are looked at in full precision
        yield from training_passes(layer.children[0], params, x, state, key, where)
        return
    if layer.name != "serial":
        (y, _), residuals = layer.fwd(params, x, state, key)
        yield Pass(where, layer, params, state, key, x, y, residuals)
        return
    keys = [None] * len(layer.children) if key is None else jax.random.split(key, len(layer.children))
    for i, child in enumerate(layer.children):
        for each in training_passes(child, params[i], x, state[i] if state else (), keys[i], f"{where}[{i}]"):
            yield each
            x = each.y
