"""What parameters and states of a network have to be like, whatever their values: looked at before they are used."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Shape, is_empty, output_shape
from fnn.validation import is_float


class Expected(NamedTuple):
    """What a tree of arrays has to be like: parameters, or a state."""

    structure: Any
    shapes: list[Shape]
    floats: list[bool]  # whether an array holds floating-point numbers


def expected_of(tree: Any) -> Expected:
    """What a tree is like.

    Args:
        tree: of arrays or of their shapes.
    """
    leaves, structure = jax.tree.flatten(tree)
    floats = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    return Expected(structure, [leaf.shape for leaf in leaves], floats)


class Facts(NamedTuple):
    """What tracing a network tells about it, without computing anything."""

    params: Expected
    state: Expected
    has_state: bool
    output_shape: Shape  # for one example


@lru_cache(maxsize=64)
def facts_of(layer: Layer, shape: Shape) -> Facts:
    """Trace a network, once for all that are equal: a search may make its network anew for each point.

    Args:
        layer: the network's.
        shape: shape of one example.
    """
    params = jax.eval_shape(lambda key: layer.init(key, shape), jax.random.key(0))
    state = jax.eval_shape(lambda: layer.init_state(shape))
    return Facts(expected_of(params), expected_of(state), not is_empty(state), output_shape(layer, params, shape))


def check_tree(what: str, tree: Any, expected: Expected, remedy: str) -> None:
    """Refuse parameters, or a state, of another network, or none at all.

    Args:
        what: "params", "state" or "opt_state".
        tree: what was received.
        expected: what it has to be like.
        remedy: where to get the right one.

    Raises:
        ValueError: says expected, received, remedy.
    """
    if _is_like(tree, expected):
        return
    if _is_like(getattr(tree, what, None), expected):
        raise ValueError(f"expected {what}, got {type(tree).__name__}; pass its .{what}")
    leaves, structure = jax.tree.flatten(tree)
    received = [np.shape(leaf) for leaf in leaves]
    told = f"{len(expected.shapes)} arrays, got {len(received)}"
    shapes = enumerate(zip(expected.shapes, received, strict=False))
    at = next((i for i, (wanted, found) in shapes if wanted != found), None)
    if at is not None:
        told += f"; number {at} of shape {expected.shapes[at]}, got {received[at]}, as in another network"
    elif received and structure != expected.structure:
        told += f" in {structure!s:.60}, another network"
    elif received:
        kinds = zip(leaves, expected.floats, strict=True)
        bad = next(leaf for leaf, floats in kinds if floats and not is_float(leaf))
        told += f", one of them of {getattr(bad, 'dtype', type(bad).__name__)} instead of floats"
    raise ValueError(f"expected {what} of {told}; {remedy}")


def _is_like(tree: Any, expected: Expected) -> bool:
    leaves, structure = jax.tree.flatten(tree)
    return (
        structure == expected.structure
        and list(map(np.shape, leaves)) == expected.shapes
        and all(is_float(leaf) or not floats for leaf, floats in zip(leaves, expected.floats, strict=True))
    )
