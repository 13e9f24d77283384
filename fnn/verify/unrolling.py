"""Repeated layers laid out one after another: what `repeat` does in a loop, as so many links of a chain."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from fnn.layers.combinators import RepeatParams

Tree = Any
_MOST = 64  # arrays up to which a loop is laid out; each has its own mistakes to be tried


class Passes(NamedTuple):
    """`RepeatParams` laid out."""

    passes: tuple[Tree, ...]  # the parameters of each


def count_passes(params: RepeatParams) -> int:
    """Number of passes of a repeated layer; 0 for one that can't be laid out: too long, or without parameters."""
    leaves = jax.tree.leaves(params.stacked)
    times = leaves[0].shape[0] if leaves else 0
    return times if times * len(leaves) <= _MOST else 0


def unrolled(tree: Tree) -> Tree:
    """Lay out every repeated layer in parameters, or in a gradient of the same structure.

    Args:
        tree: parameters, with `RepeatParams` here or there.

    Returns:
        The same numbers with `Passes` in their place.
    """
    return jax.tree.map(_lay_out, tree, is_leaf=lambda node: isinstance(node, RepeatParams))


def _lay_out(node: Any) -> Any:
    if not isinstance(node, RepeatParams):
        return node
    times = count_passes(node)
    return Passes(tuple(unrolled(at(node.stacked, t)) for t in range(times))) if times else node


def rolled(tree: Tree) -> Tree:
    """Stack laid-out passes up again: the inverse of `unrolled`.

    Args:
        tree: from `unrolled`, or with the same structure.

    Returns:
        The same numbers with `RepeatParams`.
    """
    return jax.tree.map(_stack, tree, is_leaf=lambda node: isinstance(node, Passes))


def _stack(node: Any) -> Any:
    if not isinstance(node, Passes):
        return node
    return RepeatParams(jax.tree.map(lambda *leaves: np.stack(leaves), *map(rolled, node.passes)))


def at(tree: Tree, t: int) -> Tree:
    """What belongs to pass t of something stacked."""
    return jax.tree.map(lambda leaf: leaf[t], tree)
