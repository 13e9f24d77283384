"""What can be laid open: chains, skip paths, and the loops of `repeat` as so many links of a chain."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from fnn.layers.base import Layer
from fnn.layers.combinators import RepeatParams, is_chain, is_loop, plain, residual, serial
from fnn.recipes import rule_of

Tree = Any
_MOST_ARRAYS = 32  # up to which a loop is laid out; each has its own mistakes to be tried, alone and in pairs


class LaidOut(NamedTuple):
    """`RepeatParams` laid out."""

    passes: tuple[Tree, ...]  # the parameters of each


def opens_up(layer: Layer) -> bool:
    """Whether the layer's parameters and residuals are those of its children, so that it can be laid open."""
    layer = plain(layer)
    return layer.rebuild is not None and rule_of(layer) in (serial, residual)


def count_passes(layer: Layer, params: Tree) -> int:
    """Count the passes of a repeated layer that can be laid out.

    Args:
        layer: any layer.
        params: its parameters.

    Returns:
        The number; 0 for another layer, one without parameters, or too long a loop.
    """
    if not is_loop(layer) or not isinstance(params, RepeatParams):
        return 0
    leaves = jax.tree.leaves(params.stacked)
    times = leaves[0].shape[0] if leaves else 0
    return times if times * len(leaves) <= _MOST_ARRAYS else 0


def laid_out(layer: Layer, tree: Tree) -> Tree:
    """Lay out the loops in parameters, or in a gradient of the same structure.

    Args:
        layer: whose parameters they are.
        tree: parameters, with `RepeatParams` here or there.

    Returns:
        The same numbers with `LaidOut` in the place of those that can be laid out.
    """
    layer = plain(layer)
    if is_chain(layer):
        return tuple(laid_out(child, part) for child, part in zip(layer.children, tree, strict=True))
    if opens_up(layer):
        return laid_out(layer.children[0], tree)
    times = count_passes(layer, tree)
    return LaidOut(tuple(laid_out(layer.children[0], at(tree.stacked, t)) for t in range(times))) if times else tree


def holds_passes(tree: Tree) -> bool:
    """Whether anything in a tree from `laid_out` was laid out."""
    return any(isinstance(node, LaidOut) for node in jax.tree.leaves(tree, is_leaf=_is_passes))


def rolled(tree: Tree) -> Tree:
    """Stack laid-out passes up again: the inverse of `laid_out`.

    Args:
        tree: from `laid_out`, or with the same structure.

    Returns:
        The same numbers with `RepeatParams`.
    """
    return jax.tree.map(_stack, tree, is_leaf=_is_passes)


def _is_passes(node: Any) -> bool:
    return isinstance(node, LaidOut)


def _stack(node: Any) -> Any:
    if not isinstance(node, LaidOut):
        return node
    return RepeatParams(jax.tree.map(lambda *leaves: np.stack(leaves), *map(rolled, node.passes)))


def at(tree: Tree, t: int) -> Tree:
    """Take what belongs to one pass of something stacked.

    Args:
        tree: leaves with a leading axis (times, ...).
        t: number of the pass.

    Returns:
        The tree without that axis.
    """
    return jax.tree.map(lambda leaf: leaf[t], tree)
