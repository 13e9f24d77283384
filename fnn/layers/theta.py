"""θ: all parameters as one vector, how many there are, and which of them are weights."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Params
from fnn.layers.combinators import RepeatParams
from fnn.validation import as_numbers, require_arrays


def flatten_params(params: Params) -> jax.Array:
    """Concatenate all parameters into one vector θ: layer after layer, W row by row, then b.

    Args:
        params: any pytree of arrays of one dtype.

    Returns:
        θ, (P,).

    Examples:
        >>> import fnn
        >>> flatten_params(fnn.mlp(3, 4, 2).init(jax.random.key(0))).shape  # 4·3 + 4 + 2·4 + 2
        (26,)
    """
    leaves = require_arrays("flatten_params", params)
    if not leaves:
        return jnp.zeros(0)
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


def unflatten_params(theta: jax.Array, like: Params) -> Params:
    """Cut θ into parameters: the inverse of `flatten_params`.

    Args:
        theta: vector (P,).
        like: a pytree with the structure, shapes and dtypes to return, such as the parameters that were flattened.

    Returns:
        A pytree like `like` that holds the numbers of theta.

    Raises:
        ValueError: theta is not a vector with exactly as many entries as `like`.
    """
    require_arrays("unflatten_params", like)
    leaves, structure = jax.tree.flatten(like)
    count, theta = count_params(like), as_numbers("theta", theta)
    if np.shape(theta) != (count,):
        raise ValueError(
            f"unflatten_params expects theta of shape ({count},) for these parameters, got {np.shape(theta)}; "
            "pass the params that theta was made from as `like`"
        )
    theta, parts, start = jnp.asarray(theta), [], 0
    for leaf in leaves:
        size = math.prod(leaf.shape)
        parts.append(theta[start : start + size].reshape(leaf.shape).astype(leaf.dtype))
        start += size
    return jax.tree.unflatten(structure, parts)


def count_params(params: Params) -> int:
    """Number of parameters P: the sizes of all leaves, added up.

    Args:
        params: any pytree of arrays or of shapes (`jax.ShapeDtypeStruct`).

    Examples:
        >>> count_params({"W": jnp.ones((4, 3)), "b": jnp.ones(4)})
        16
    """
    return sum(math.prod(np.shape(leaf)) for leaf in require_arrays("count_params", params))


def weight_mask(params: Params) -> Params:
    """Say of each leaf whether it is a weight: True for fields called W, False for biases, scales and slopes.

    Penalties and weight decay act on weights alone.

    Args:
        params: any pytree; layers of your own name their weight field W as well.

    Returns:
        A pytree of bools with the structure of params.
    """
    require_arrays("weight_mask", params)
    return jax.tree_util.tree_map_with_path(lambda path, leaf: bool(path) and _name(path[-1]) == "W", params)


def stack_depths(params: Params, depth: int = 0) -> Params:
    """Say of each leaf how many leading axes count layers: 1 within `repeat`, 2 within `repeat` in `repeat`, else 0.

    Args:
        params: any pytree.
        depth: number of such axes around params.

    Returns:
        A pytree of whole numbers with the structure of params.
    """

    def of(node: Any) -> Any:
        return RepeatParams(stack_depths(node.stacked, depth + 1)) if _is_stack(node) else depth

    return jax.tree.map(of, params, is_leaf=_is_stack)


def _is_stack(node: Any) -> bool:
    return isinstance(node, RepeatParams)


def _name(entry: Any) -> Any:
    """A field's name or a dictionary's key; a position has none."""
    return getattr(entry, "name", getattr(entry, "key", None))
