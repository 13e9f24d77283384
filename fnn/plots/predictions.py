"""Pictures of what a network answers, classes or values, where it is right and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.losses.targets import refuse_rows
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.plots.style import AMOUNT, COLORS, Path, canvas, grid_of, label, look, new_figure, saved
from fnn.training.metrics import classes, r2_score
from fnn.validation import as_numbers, require_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def decision_boundary(
    net: Network,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    state: State = (),
    resolution: int = 200,
    ax: Axes | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw what a classifier of points in the plane answers everywhere, and the data on top.

    The background is the classes' colors mixed by their probabilities; black lines are where the answer changes; a
    point's color and marker are its true class.

    Args:
        net: a classifier whose examples have two features.
        params: its parameters.
        x: points (n, 2).
        y: labels (n,) or (n, 1), or rows of probabilities (n, c).
        state: the layers' state, where they have one.
        resolution: points of the grid in each direction.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure.

    Raises:
        ValueError: the network is a regression or its examples are not points in the plane; x and y don't match.
    """
    require_network("decision_boundary", net)
    resolution = require_whole("decision_boundary expects resolution of at least 2", resolution, least=2)
    x, y = np.asarray(as_numbers("x", x)), np.asarray(as_numbers("y", y))
    if not net.criterion.classifies or net.input_shape != (2,):
        raise ValueError(
            "decision_boundary expects a classifier of examples with two features, got "
            f"{net.criterion.name} on examples of shape {net.input_shape}; choose two features, or project onto two"
        )
    if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0 or y.shape[:1] != x.shape[:1]:
        raise ValueError(f"decision_boundary expects x (n, 2) and n labels, got {x.shape} and {y.shape}")
    net.check_params(params)
    net.check_state(state)
    refuse_rows(~np.isfinite(x), "points must be finite", "leave these rows out")
    refuse_rows(~np.isfinite(y), "labels must be finite", "leave these rows out")
    true = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y)).astype(int)
    fig, ax = canvas(ax, 6, 5.4)
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * (high - low) + 1e-3
    across, up = (np.linspace(a, b, resolution) for a, b in zip(low - margin, high + margin, strict=True))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(np.float32)
    p = _probabilities(net, params, grid, state).reshape(resolution, resolution, -1)
    _draw_regions(ax, across, up, p)
    for k in np.unique(true):
        style = look(int(k)) | {"linestyle": "", "markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(*x[true == k].T, markersize=5.5, label=f"class {k}", **style)
    right = float(np.mean(_probabilities(net, params, x, state).argmax(axis=1) == true))
    label(ax, f"Decision boundary: {right:.1%} of the points on their side", "x₁", "x₂", grid=False)
    ax.legend(loc="upper right", fontsize=9, framealpha=0.9)
    return saved(fig, path)


def _probabilities(net: Network, params: Params, x: np.ndarray, state: State) -> np.ndarray:
    p = np.asarray(net.forward(params, jnp.asarray(x), state))
    return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p


def _draw_regions(ax: Axes, across: np.ndarray, up: np.ndarray, p: np.ndarray) -> None:
    """Fill with the mixed, lightened colors of the classes and draw a line around where each one wins."""
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(COLORS[k % len(COLORS)]) for k in range(p.shape[-1])])
    extent = (across[0], across[-1], up[0], up[-1])
    mixed = 1 - 0.45 * (1 - p @ palette)
    ax.imshow(mixed.clip(0, 1), origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    for k in range(p.shape[-1] if p.shape[-1] > 2 else 1):
        lead = p[..., k] - np.delete(p, k, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, levels=[0], colors="black", linewidths=1.4)


def confusion_matrix(
    matrix: ArrayLike, labels: Sequence[Any] | None = None, *, ax: Axes | None = None, path: Path | None = None
) -> Figure:
    """Draw a confusion matrix with its counts; the shade is the share of the row, so rare classes count as much.

    Args:
        matrix: counts (c, c), true classes as rows, as `fnn.confusion_matrix` gives.
        labels: names of the c classes; their numbers by default.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure; cells without any example are left blank.

    Raises:
        ValueError: the matrix is not square, holds something else than counts or nothing at all; not c labels.
    """
    counts = np.asarray(as_numbers("matrix", matrix))
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(
            f"confusion_matrix expects counts of shape (c, c), got {counts.shape}; "
            "make them with fnn.confusion_matrix(predictions, y)"
        )
    if counts.size == 0 or not np.isfinite(counts).all() or counts.min() < 0 or counts.sum() == 0:
        raise ValueError(
            f"confusion_matrix expects counts of at least 0, one of them above 0, got {counts.min(initial=0):g} to "
            f"{counts.max(initial=0):g}; check the predictions"
        )
    c = len(counts)
    labels = range(c) if labels is None else labels
    if isinstance(labels, str) or not hasattr(labels, "__len__") or len(labels) != c:
        raise ValueError(f"confusion_matrix expects {c} labels for {c} classes, got {_received(labels)}; pass a list")
    size = max(4.0, 0.5 * c + 1.5)
    fig, ax = canvas(ax, size, size)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share**0.5, cmap=AMOUNT, vmin=0, vmax=1.15)  # the root lifts a few errors above the white
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if share[i, j] > 0.4 else "black"
        ax.text(j, i, f"{counts[i, j]:g}", ha="center", va="center", fontsize=9, color=color)
    ax.set_xticks(range(c), map(str, labels), rotation=90 if _long(labels) else 0)
    ax.set_yticks(range(c), map(str, labels))
    ax.set_xticks(np.arange(0.5, c - 1), minor=True)
    ax.set_yticks(np.arange(0.5, c - 1), minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    right, total = np.trace(counts), counts.sum()
    title = f"{right:,g} of {total:,g} right ({right / total:.2%}): the diagonal"
    label(ax, title, "predicted class", "true class", grid=False)
    ax.spines[:].set_visible(False)
    return saved(fig, path)


def predicted_and_true(
    predictions: ArrayLike,
    y: ArrayLike,
    labels: Sequence[str] = (),
    *,
    ax: Axes | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw a regression's predictions against the true values: right ones lie on the diagonal.

    Args:
        predictions: ŷ, (n, d_out) or (n,).
        y: true values, shaped like them.
        labels: names of the d_out targets; their numbers by default.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure; its title says R² and the root of the mean squared error.

    Raises:
        ValueError: shapes that differ, nothing at all or what is not finite; not d_out labels.
    """
    predicted, true = (np.asarray(as_numbers(*named)) for named in (("predictions", predictions), ("y", y)))
    if predicted.shape != true.shape or true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(
            f"predicted_and_true expects predictions and y of one shape (n,) or (n, d_out), got {predicted.shape} and "
            f"{true.shape}; reshape one of them"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("predicted_and_true expects finite numbers, got NaN or infinity; repair the data or the model")
    predicted, true = (values.reshape(len(values), -1).astype(np.float64) for values in (predicted, true))
    outputs = true.shape[1]
    if isinstance(labels, str) or not hasattr(labels, "__len__") or len(labels) not in (0, outputs):
        raise ValueError(
            f"predicted_and_true expects {outputs} labels for {outputs} targets, got {_received(labels)}; pass a list"
        )
    fig, ax = canvas(ax, 5, 5)
    for k in range(outputs):
        name = labels[k] if len(labels) else f"target {k}"
        ax.scatter(true[:, k], predicted[:, k], s=14, alpha=0.6, color=look(k)["color"], linewidths=0, label=name)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    ax.plot(ends, ends, color="black", linewidth=1, zorder=0)
    if outputs > 1 or len(labels):
        ax.legend(fontsize=9)
    error = np.sqrt(np.mean((predicted - true) ** 2))
    varied = bool((np.ptp(true, axis=0) > 0).all())
    told = f"R² {r2_score(predicted, true):.3f}, " if varied else ""
    label(ax, f"{told}root mean square error {error:.3g}", "true value", "predicted value")
    return saved(fig, path)


def _received(labels: Any) -> str:
    return f"{len(labels)}" if hasattr(labels, "__len__") and not isinstance(labels, str) else f"{labels!r:.80}"


def _long(labels: Sequence[Any]) -> bool:
    return max(len(str(name)) for name in labels) > 3


def misclassified(
    x: ArrayLike,
    y: ArrayLike,
    predictions: ArrayLike,
    n: int = 24,
    *,
    shape: tuple[int, ...] | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the worst mistakes of a classifier of images: wrong answers, the most confident first.

    Args:
        x: images (n, h, w), (n, h, w, channels) or, with `shape` or if they are square, vectors (n, d).
        y: labels, integers (n,).
        predictions: probabilities (n, c), as `net.forward` gives.
        n: how many to draw at most.
        shape: (h, w) or (h, w, channels) of an image whose pixels are a vector.
        path: file to save to.

    Returns:
        The figure; over each image stand the true class, the answer, and the probability given to that answer.

    Raises:
        ValueError: arrays that don't belong together, or vectors that are no square images and no shape.
    """
    n = require_whole("misclassified expects n as a whole number of at least 1", n)
    x, p = np.asarray(as_numbers("x", x)), np.asarray(as_numbers("predictions", predictions))
    true = np.asarray(as_numbers("y", y))
    if p.ndim != 2 or p.shape[1] < 2 or true.shape != (len(p),) or len(x) != len(p):
        raise ValueError(
            "misclassified expects images (n, ...), labels (n,) and predictions (n, c) of the same n, got "
            f"{x.shape}, {true.shape} and {p.shape}; predictions are what net.forward(params, x) returns"
        )
    answer = classes(p, "predictions")
    confidence = p[np.arange(len(p)), answer]
    wrong = np.flatnonzero(answer != true)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
    rows, columns = grid_of(max(len(worst), 1), None)
    fig = new_figure(max(1.15 * columns, 5), 1.35 * rows + 0.6)
    fig.suptitle(f"{len(wrong):,} of {len(p):,} are wrong ({len(wrong) / len(p):.2%}); the most confident first")
    for i, row in enumerate(worst):
        ax = fig.add_subplot(rows, columns, i + 1)
        _show_image(ax, _as_image(x[row], shape))
        ax.set_title(f"{true[row]} read as {answer[row]}\nwith p = {confidence[row]:.2f}", fontsize=9)
    return saved(fig, path)


def _show_image(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, cmap="gray_r", interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])


def _as_image(pixels: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    side = round(pixels.size**0.5)
    if shape is None:
        shape = pixels.shape if pixels.ndim > 1 else (side, side)
    if not isinstance(shape, tuple | list) or len(shape) not in (2, 3) or np.prod(shape) != pixels.size:
        raise ValueError(f"misclassified expects images, got {pixels.shape} for {shape}; pass shape=(h, w)")
    image = pixels.reshape(shape)
    return image[..., 0] if image.shape[-1] == 1 and image.ndim == 3 else image
