"""Pictures of a network's inside: `weights`, `network_diagram`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from fnn.layers.activations import identity
from fnn.layers.base import Params
from fnn.layers.dense import dense
from fnn.layers.elementwise import Activation
from fnn.layers.theta import count_params, weight_mask
from fnn.layers.walk import part_of, places
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.plots.style import COLORS, DIVERGING, Path, canvas, grid_of, label, new_figure, saved, whole_numbers
from fnn.recipes import rule_of
from fnn.validation import require_arrays, require_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def weights(
    params: Params,
    shape: tuple[int, int] | None = None,
    *,
    n: int = 128,
    columns: int | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw a weight matrix: one image a neuron where the inputs are images, else the matrix itself.

    Args:
        params: a network's parameters, of which the first layer's weights are drawn, or one array W (d_out, d_in).
        shape: (h, w) of the images that the layer looks at; without it W is one picture.
        n: neurons to draw at most.
        columns: images a row.
        path: file to save to.

    Returns:
        The figure. All neurons share one scale, symmetric around 0, which is white, that clips the largest 0.5 % of the
        weights; images come sorted, the neuron with the largest weights first.

    Raises:
        ValueError: there is no weight, or a row does not fill an image of this shape.
    """
    n = require_whole("weights expects n as a whole number of at least 1", n)
    if columns is not None:
        columns = require_whole("weights expects columns as a whole number of at least 1", columns)
    W = _first_weights(params)
    finite = np.abs(W[np.isfinite(W)])
    limit = float(np.quantile(finite, 0.995)) if finite.any() else 1.0
    if shape is None:
        return saved(_matrix(W, limit), path)
    if not isinstance(shape, tuple | list) or len(shape) != 2 or W[0].size != np.prod(shape):
        raise ValueError(
            f"weights: expected shape=(h, w) with h·w = {W[0].size}, the inputs of a neuron, got {shape}; "
            "without shape the matrix itself is drawn"
        )
    return saved(_images(W.reshape(-1, *shape), limit, n, columns), path)


def _matrix(W: np.ndarray, limit: float) -> Figure:
    fig = new_figure(8, 5)
    ax = fig.add_subplot()
    scale = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    image = ax.imshow(W.reshape(len(W), -1), aspect="auto", interpolation="nearest", **scale)  # type: ignore[arg-type]
    label(ax, "Weights: a row for each neuron", "input", "neuron", grid=False)
    whole_numbers(ax, both=True)
    fig.colorbar(image, ax=ax, label="weight, white is 0", extend="both")
    return fig


def _images(W: np.ndarray, limit: float, n: int, columns: int | None) -> Figure:
    order = np.argsort(-np.linalg.norm(W.reshape(len(W), -1), axis=1), kind="stable")
    shown = W[order[:n]]
    rows, columns = grid_of(len(shown), columns)
    fig = new_figure(0.75 * columns + 1.2, 0.75 * rows * shown.shape[1] / shown.shape[2] + 0.8)
    panels = fig.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for ax in panels.flat:
        ax.axis("off")
    for ax, one in zip(panels.flat, shown, strict=False):
        image = ax.imshow(one, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
    count = f"{len(shown)} of {len(W)} neurons" if len(shown) < len(W) else f"{len(W)} neurons"
    between = "\n" if columns < 10 else ": "
    fig.suptitle(f"What each of {count} looks for, strongest first{between}blue adds, red takes away", fontsize=11)
    fig.colorbar(image, ax=panels, label="weight, white is 0", extend="both", shrink=0.9, aspect=40, pad=0.02)
    return fig


def _first_weights(params: Params) -> np.ndarray:
    require_arrays("weights", params)
    array = params if hasattr(params, "ndim") else _first_named_W(params)
    if array is None or array.ndim < 2 or array.size == 0:
        raise ValueError(
            "weights expects a network's parameters or one array W (d_out, d_in), "
            f"got shapes {jax.tree.map(np.shape, params)!s:.80}; pass for instance params[0].W"
        )
    return np.asarray(array, np.float64)


def _first_named_W(params: Params) -> np.ndarray | None:
    leaves, mask = jax.tree.leaves(params), jax.tree.leaves(weight_mask(params))
    return next((leaf for leaf, is_weight in zip(leaves, mask, strict=True) if is_weight), None)


def network_diagram(
    net: Network, params: Params, *, most: int = 10, ax: Axes | None = None, path: Path | None = None
) -> Figure:
    """Draw a network of dense layers as neurons and connections, their weights as thickness and sign.

    Args:
        net: a chain of dense layers and activations; layers that only reshape or rescale may come first.
        params: its parameters.
        most: neurons to draw of a layer at most; of a wider one the first and the last, with dots between.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure: positive weights as lines, negative ones dashed, the largest of each layer thickest.

    Raises:
        ValueError: the network has other layers than those.
    """
    require_network("network_diagram", net).check_params(params)
    most = require_whole("network_diagram expects most as a whole number of at least 3", most, least=3)
    columns = _columns(net, params)
    tallest = min(most, max(size for _, size, _ in columns))
    fig, ax = canvas(ax, 2.3 * len(columns) + 1, 0.5 * tallest + 1.6)
    places = [_places(size, most) for _, size, _ in columns]
    for i, (_, _, W) in enumerate(columns[1:]):
        _connect(ax, i, places[i], places[i + 1], W)
    for i, (name, size, _) in enumerate(columns):
        ax.scatter(
            [i] * len(places[i]), list(places[i].values()), s=190, c="white", edgecolor="black", linewidth=1.3, zorder=3
        )
        if size > most:
            ax.text(i, 0, "⋮", ha="center", va="center", fontsize=20, zorder=3)
        ax.text(i, -tallest / 2 - 0.05, f"{name}\n{size}", ha="center", va="top", fontsize=10)
    ax.plot([], [], color=COLORS[0], linestyle="-", label="positive weight")
    ax.plot([], [], color=COLORS[1], linestyle="--", label="negative weight")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, frameon=False, fontsize=9)
    widths = "-".join(str(size) for _, size, _ in columns)
    ax.set_title(f"{widths}: {count_params(params):,} parameters; thick lines are large weights", fontsize=11)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-tallest / 2 - 1, tallest / 2))
    ax.axis("off")
    return saved(fig, path)


def _columns(net: Network, params: Params) -> list[tuple[str, int, np.ndarray | None]]:
    """Name, width and incoming weights of each column of neurons, the input first."""
    columns: list[tuple[str, int, np.ndarray | None]] = []
    for place in places(net.layer):
        layer, values = place.layer, part_of(params, place.path)
        if rule_of(layer) is dense:
            W = np.asarray(values.W, np.float64)
            columns += [("input", W.shape[1], None)] if not columns else []
            columns.append(("hidden", W.shape[0], W))
        elif isinstance(layer, Activation) and columns:
            columns[-1] = (f"{columns[-1][0]}, {layer.name}", *columns[-1][1:])
        elif columns or jax.tree.leaves(values):
            raise ValueError(
                f"network_diagram draws dense layers and activations, got {layer.name}; "
                "fnn.summary(net) lists any network"
            )
    if not columns:
        raise ValueError("network_diagram expects at least one dense layer, got none")
    link, name = net.criterion.link, columns[-1][0].replace("hidden", "output")
    columns[-1] = (name if link is identity else f"{name}, {net.criterion.link_name}", *columns[-1][1:])
    return columns


def _places(size: int, most: int) -> dict[int, float]:
    """Heights of the neurons that are drawn, by their number."""
    if size <= most:
        return {k: (size - 1) / 2 - k for k in range(size)}
    half = (most - 1) // 2
    top = {k: (most - 1) / 2 - k for k in range(half)}
    return top | {size - 1 - k: -(most - 1) / 2 + k for k in range(half)}


def _connect(ax: Axes, i: int, left: dict[int, float], right: dict[int, float], W: np.ndarray | None) -> None:
    assert W is not None
    largest = np.abs(W).max() or 1.0
    for o, high in right.items():
        for k, low in left.items():
            strength = abs(W[o, k]) / largest
            color, line = (COLORS[0], "-") if W[o, k] >= 0 else (COLORS[1], "--")
            ax.plot([i, i + 1], [low, high], color=color, linestyle=line, linewidth=0.2 + 2.2 * strength, zorder=1)
