"""A picture of θ: `theta`, every parameter of a small network in the order of `flatten_params`, with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from fnn.layers.base import Params
from fnn.plots.style import COLORS, Path, new_figure, saved
from fnn.validation import require_arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 120
_ACROSS = 13


def theta(params: Params, *, path: Path | None = None) -> Figure:
    """Draw the vector θ of a small network entry by entry: W row by row, then b, layer after layer.

    Args:
        params: a network's parameters, or a gradient; at most 120 numbers.
        path: file to save to.

    Returns:
        The figure: a box a number, in the order of `flatten_params`, with its name w₁₂⁽¹⁾ above (layer on top, then
        row and column) and its value below; boxes of one array have one color.

    Raises:
        ValueError: no parameters, or more than 120.
    """
    require_arrays("theta", params)
    boxes = _boxes(params)
    if not 0 < len(boxes) <= _MOST:
        raise ValueError(
            f"theta expects networks of 1 to {_MOST} parameters, got {len(boxes)}; for larger ones draw weights(params)"
        )
    across = min(_ACROSS, len(boxes))
    rows = -(-len(boxes) // across)
    fig = new_figure(0.75 * across + 0.2, 0.85 * rows + 0.4)
    ax = fig.add_subplot()
    for k, (name, value, group) in enumerate(boxes):
        _draw(ax, k % across, -(k // across), name, value, COLORS[group % 6])
    ax.set(xlim=(-0.05, across + 0.05), ylim=(1.05 - rows, 1.05))
    ax.axis("off")
    fig.suptitle(f"θ: {len(boxes)} numbers, to be read like a text", fontsize=11)
    return saved(fig, path)


def _boxes(params: Params) -> list[tuple[str, float, int]]:
    """Name, value and array of every entry of θ."""
    boxes, layer, before = [], 0, None
    for group, (path, leaf) in enumerate(jax.tree_util.tree_flatten_with_path(params)[0]):
        layer, before = layer + (path[:-1] != before), path[:-1]
        letter = jax.tree_util.keystr(path[-1:], simple=True).lower()
        for index, value in np.ndenumerate(np.asarray(leaf, np.float64)):
            places = [str(i + 1) for i in index]
            place = ("" if all(len(p) == 1 for p in places) else ",").join(places)
            boxes.append((rf"${letter}_{{{place}}}^{{({layer})}}$", float(value), group))
    return boxes


def _draw(ax: Axes, x: float, y: float, name: str, value: float, color: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x + 0.03, y + 0.06), 0.94, 0.88, facecolor=color, alpha=0.22, edgecolor="none"))
    ax.add_patch(Rectangle((x + 0.03, y + 0.06), 0.94, 0.88, fill=False, edgecolor=color, linewidth=1.2))
    ax.text(x + 0.5, y + 0.64, name, ha="center", va="center", fontsize=11)
    ax.text(x + 0.5, y + 0.26, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=9)
