"""A network as a table: each layer with its output shape and its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from fnn.layers.base import Layer, Params, output_shape
from fnn.layers.theta import count_params


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
