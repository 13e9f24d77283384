"""Pictures of a network's inside: `weights`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from fnn.layers.base import Params
from fnn.plots.style import SIGNED, Path, grid_of, label, new_figure, saved
from fnn.theta import weight_mask

if TYPE_CHECKING:
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
        The figure. All neurons share one scale, symmetric around 0, that clips the largest 0.5 % of the weights.

    Raises:
        ValueError: there is no weight, or a row does not fill an image of this shape.
    """
    W = _first_weights(params)
    finite = np.abs(W[np.isfinite(W)])
    limit = float(np.quantile(finite, 0.995)) if finite.any() else 1.0
    if shape is None:
        return saved(_matrix(W, limit), path)
    if W[0].size != shape[0] * shape[1]:
        raise ValueError(
            f"weights: expected shape=(h, w) with h·w = {W[0].size}, the inputs of a neuron, got {shape}; "
            "without shape the matrix itself is drawn"
        )
    return saved(_images(W.reshape(-1, *shape), limit, n, columns), path)


def _matrix(W: np.ndarray, limit: float) -> Figure:
    fig = new_figure(8, 5)
    ax = fig.add_subplot()
    scale = {"cmap": SIGNED, "vmin": -limit, "vmax": limit}
    image = ax.imshow(W.reshape(len(W), -1), aspect="auto", interpolation="nearest", **scale)  # type: ignore[arg-type]
    label(ax, "Weights: a row for each neuron", "input", "neuron", grid=False)
    fig.colorbar(image, ax=ax, label="weight", extend="both")
    return fig


def _images(W: np.ndarray, limit: float, n: int, columns: int | None) -> Figure:
    shown = W[:n]
    rows, columns = grid_of(len(shown), columns)
    fig = new_figure(0.75 * columns + 1.2, 0.75 * rows * shown.shape[1] / shown.shape[2] + 0.6)
    panels = fig.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for ax in panels.flat:
        ax.axis("off")
    for ax, one in zip(panels.flat, shown, strict=False):
        image = ax.imshow(one, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    count = f"{len(shown)} of {len(W)} neurons" if len(shown) < len(W) else f"{len(W)} neurons"
    fig.suptitle(f"What each of {count} looks for: light where ink adds, dark where it takes away")
    fig.colorbar(image, ax=panels, label="weight", extend="both", shrink=0.9, aspect=40, pad=0.02)
    return fig


def _first_weights(params: Params) -> np.ndarray:
    array = params if hasattr(params, "ndim") else _first_named_W(params)
    if array is None or array.ndim < 2 or array.size == 0:
        raise ValueError(
            "weights expects a network's parameters or one array W (d_out, d_in), "
            f"got shapes {jax.tree.map(np.shape, params)}; pass for instance params[0].W"
        )
    return np.asarray(array, np.float64)


def _first_named_W(params: Params) -> np.ndarray | None:
    leaves, mask = jax.tree.leaves(params), jax.tree.leaves(weight_mask(params))
    return next((leaf for leaf, is_weight in zip(leaves, mask, strict=True) if is_weight), None)
