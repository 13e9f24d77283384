"""A network as a table: each layer with its output shape and its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from fnn.layers.base import Params
from fnn.layers.theta import count_params
from fnn.layers.walk import Visit, outline
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.recipes.shown import Shown


@dataclass(frozen=True)
class SummaryRow:
    """One layer of a summary."""

    layer: str  # "layers[0] dense"
    output: tuple[int, ...]  # shape of one output
    params: str  # "W (4, 3), b (4,)"
    count: int  # number of parameters


@dataclass(frozen=True, repr=False)
class Summary(Shown):
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


def summary(net: Network) -> Summary:
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
    require_network("summary", net)
    rows = tuple(map(_row, outline(net.layer, net.input_shape)))
    return Summary(rows, net.input_shape, net.criterion.name, sum(row.count for row in rows))


def _row(visit: Visit) -> SummaryRow:
    """A row for each layer of a chain; other combinators are one row."""
    named = [(jax.tree_util.keystr(path[-1:]).strip("."), leaf) for path, leaf in _leaves(visit.params)]
    text = ", ".join(f"{name} {_shape(leaf.shape)}" for name, leaf in named)
    return SummaryRow(f"{visit.where} {visit.layer.name}", visit.y.shape[1:], text, count_params(visit.params))


def _leaves(params: Params):
    return jax.tree_util.tree_flatten_with_path(params)[0]


def _shape(shape: tuple[int, ...]) -> str:
    return str(tuple(shape))
