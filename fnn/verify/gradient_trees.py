"""Structure, shape and dtype of a gradient: what must fit before any value is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

Tree = Any


def leaf_names(tree: Tree, prefix: str) -> tuple[str, ...]:
    """Name of each leaf: prefix and path, `layers[2].W`.

    Args:
        tree: any pytree.
        prefix: name of the whole.

    Returns:
        One name a leaf, in tree order.
    """
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return tuple((prefix + jax.tree_util.keystr(path)).lstrip(".") for path, _ in paths)


def structure_fault(got: Tree, params: Tree, names: Sequence[str], right: Sequence[np.ndarray]) -> str | None:
    """Say what keeps a gradient from being a pytree like the parameters.

    Args:
        got: the gradient.
        params: the parameters.
        names: of the leaves.
        right: the right gradient, leaf by leaf.

    Returns:
        One sentence: expected, received, remedy; None if structure, shapes and dtypes fit.
    """
    if not same_structure(got, params):
        return _structure(got, params)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(got)]
    for name, leaf, expected in zip(names, leaves, right, strict=True):
        if leaf.shape != expected.shape:
            return f"{name} has shape {leaf.shape}, expected {expected.shape}{_shape_hint(leaf, expected)}"
    for name, leaf in zip(names, leaves, strict=True):
        if np.iscomplexobj(leaf):
            return f"{name} has dtype {leaf.dtype}, expected real numbers, float32 or float64; return the real part"
        if leaf.dtype not in (np.float64, np.float32):
            return f"{name} has dtype {leaf.dtype}, expected that of the parameters, float32 or float64"
    return None


def same_structure(a: Tree, b: Tree) -> bool:
    """Whether two pytrees have the same containers; None counts as a leaf that is missing."""
    mine: Any = jax.tree.structure(a)
    return mine == jax.tree.structure(b)


def _structure(got: Tree, params: Tree) -> str:
    mine, right = set(leaf_names(got, "")), set(leaf_names(params, ""))
    missing, extra = sorted(right - mine), sorted(mine - right)
    if missing and not extra:
        return f"the gradient lacks {', '.join(missing[:6])}; return a pytree like the parameters"
    if extra and not missing:
        return f"the gradient has {', '.join(extra[:6])}, unlike the parameters; return a pytree like the parameters"
    return (
        f"the gradient is a {shape_of(got)}, expected a pytree like the parameters, {shape_of(params)}; "
        "build it with the same containers, such as jax.tree.map over the parameters"
    )


def shape_of(tree: Tree) -> str:
    """The containers of a pytree in short: names and lengths, no numbers."""
    text = str(jax.tree.structure(tree)).removeprefix("PyTreeDef(").removesuffix(")")
    return text if len(text) <= 80 else text[:77] + "..."


def _shape_hint(got: np.ndarray, right: np.ndarray) -> str:
    """What a wrong shape suggests."""
    if got.shape == right.shape[::-1] and right.ndim == 2:
        same = _close(got.T, right)
        return f": {'its transpose is right' if same else 'it is transposed'}; W is (d_out, d_in), so dW = dZᵀ X"
    if got.ndim == right.ndim + 1 and got.shape[1:] == right.shape:
        same = _close(got.sum(axis=0), right)
        return f": one row for each example; {'sum over them' if same else 'it must be summed over them'}"
    if got.size == right.size:
        return f"; {'the values are right, ' if _close(got.reshape(right.shape), right) else ''}reshape it"
    return ""


def _close(got: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.abs(got - right).max(initial=0) <= 1e-5 * np.abs(right).max(initial=0))
