"""θ: all parameters as one vector, how many there are, and which of them are weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Params, output_shape
from fnn.layers.combinators import RepeatParams


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
    leaves = jax.tree.leaves(params)
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
    leaves, structure = jax.tree.flatten(like)
    count = count_params(like)
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
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def weight_mask(params: Params) -> Params:
    """Say of each leaf whether it is a weight: True for fields called W, False for biases, scales and slopes.

    Penalties and weight decay act on weights alone.

    Args:
        params: any pytree; layers of your own name their weight field W as well.

    Returns:
        A pytree of bools with the structure of params.
    """
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


@dataclass(frozen=True)
class SummaryRow:
    """One layer of a summary."""

    layer: str  # "layers[0] dense"
    output: tuple[int, ...]  # shape of one output
    params: str  # "W (4, 3), b (4,)"
    count: int  # number of parameters


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summary` returns: rows of data that print as a table."""

    rows: tuple[SummaryRow, ...]
    input_shape: tuple[int, ...]
    loss: str
    count: int

    def __str__(self) -> str:
        cells = [("layer", "output", "parameters", "count"), ("input", _shape(self.input_shape), "", "0")]
        cells += [(row.layer, _shape(row.output), row.params, f"{row.count:,}") for row in self.rows]
        cells += [(f"loss {self.loss}", "", "total", f"{self.count:,}")]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in cells]
        rule = "─" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __repr__(self) -> str:
        return str(self)


def summary(net: Any) -> Summary:
    """Tabulate a network: each layer with its output shape, its parameters and their number.

    Args:
        net: a Network.

    Returns:
        Rows of data; printed, they are a table.

    Examples:
        >>> import fnn
        >>> print(fnn.summary(fnn.mlp(3, 4, 2)))
        layer                       output  parameters        count
        ───────────────────────────────────────────────────────────
        input                       (3,)                          0
        layers[0] dense             (4,)    W (4, 3), b (4,)     16
        layers[1] relu              (4,)                          0
        layers[2] dense             (2,)    W (2, 4), b (2,)     10
        ───────────────────────────────────────────────────────────
        loss softmax_cross_entropy          total                26
    """
    params = jax.eval_shape(net.init, jax.random.key(0))
    rows = tuple(_rows("layers", net.layer, params, net.input_shape))
    return Summary(rows, net.input_shape, net.criterion.name, count_params(params))


def _rows(prefix: str, layer: Layer, params: Params, shape: tuple[int, ...]):
    """Open chains up; everything else, nested combinators included, is one row."""
    if layer.name == "mixed_precision":
        layer = layer.children[0]
    if layer.name != "serial":
        named = [(jax.tree_util.keystr(path[-1:]).strip("."), leaf) for path, leaf in _leaves(params)]
        text = ", ".join(f"{name} {_shape(leaf.shape)}" for name, leaf in named)
        shape = output_shape(layer, params, shape)
        yield SummaryRow(f"{prefix} {layer.name}", shape, text, count_params(params))
        return
    for i, child in enumerate(layer.children):
        yield from _rows(f"{prefix}[{i}]", child, params[i], shape)
        shape = output_shape(child, params[i], shape)


def _leaves(params: Params):
    return jax.tree_util.tree_flatten_with_path(params)[0]


def _shape(shape: tuple[int, ...]) -> str:
    return str(tuple(shape))
