"""Pictures of gradient descent on a function of one or two variables: `descent_path`, `animate_descent`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from fnn.plots.style import COLORS, SIGNED, Path, canvas, grid_of, label, new_figure, saved
from fnn.validation import as_numbers, require_function, require_path, require_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bounds = Sequence[float] | Sequence[Sequence[float]]
_MOVING = (".gif", ".webp")
_STILL = (".svg", ".pdf", ".png")


def descent_path(
    f: Callable[..., Any],
    points: ArrayLike,
    *,
    bounds: Bounds | None = None,
    title: str = "",
    ax: Axes | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw a function and the points that a descent visited.

    Args:
        f: f(x), or f(x, y), entry by entry on arrays: written with jax.numpy or numpy.
        points: visited points in order, (k,) for one variable, (k, 2) for two.
        bounds: (low, high) of x, or ((low, high), (low, high)) of x and y; around the points by default.
        title: what the function is called.
        ax: axes to draw into; axes with the projection "3d" show f(x, y) as a surface, others its contours.
        path: file to save to.

    Returns:
        The figure; the start is a ring, the last point a star. Two variables without ax: surface and contours.

    Raises:
        ValueError: points of another shape, or not finite.
    """
    require_function("descent_path expects f as a function of one or two arrays", f)
    points = _checked(points, "descent_path")
    fig, shows = _scenes(ax, f, points, bounds)
    for show in shows:
        show(len(points) - 1)
    fig.suptitle(title, fontsize=11) if ax is None else ax.set_title(title, fontsize=11)
    return saved(fig, path)


def animate_descent(
    f: Callable[..., Any],
    points: ArrayLike,
    path: Path,
    *,
    bounds: Bounds | None = None,
    title: str = "",
    frames_per_second: int = 10,
    every: int = 1,
) -> Figure:
    """Save a descent as a film, one frame a point: .gif or .webp; or as a strip of six stills: .svg, .pdf or .png.

    Args:
        f: as `descent_path` takes it.
        points: visited points in order, (k,) or (k, 2); for a shorter film points[::10], with every=10.
        path: file to write; its suffix is the format.
        bounds: as `descent_path` takes them.
        title: what the function is called.
        frames_per_second: speed of a film; the last frame stays for a second.
        every: steps of the descent from one point to the next, so that the number shown is that of the step.

    Returns:
        The figure in its last state.

    Raises:
        ValueError: another suffix, points of another shape, or not finite.
    """
    require_function("animate_descent expects f as a function of one or two arrays", f)
    frames_per_second = require_whole(
        "animate_descent expects frames_per_second as a whole number of at least 1", frames_per_second
    )
    every = require_whole("animate_descent expects every as a whole number of at least 1", every)
    path = require_path("animate_descent", path)
    points = _checked(points, "animate_descent")
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix in _STILL:
        return saved(_strip(f, points, bounds, title, every), path)
    if suffix not in _MOVING:
        raise ValueError(
            f"animate_descent expects a file that ends with {', '.join(_MOVING)} for a film or {', '.join(_STILL)} for "
            f"a strip of stills, got {os.fspath(path)!r}"
        )
    fig, shows = _scenes(None, f, points, bounds)
    heading = fig.suptitle(" ", fontsize=11)
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # every frame keeps the places of the first

    def show_all(k: int) -> None:
        heading.set_text(f"{title}   step {k * every}: {_where(f, points, k)}".strip())
        for show in shows:
            show(k)

    from matplotlib.animation import PillowWriter

    writer = PillowWriter(fps=frames_per_second)
    with writer.saving(fig, os.fspath(path), dpi=80):
        for k in [*range(len(points)), *[len(points) - 1] * frames_per_second]:
            show_all(k)
            writer.grab_frame()
    return fig


def _checked(points: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(as_numbers("points", points)).astype(np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) == 0 or (array.ndim == 2 and array.shape[1] != 2):
        raise ValueError(
            f"{name} expects the visited points, (k,) for one variable or (k, 2) for two, got {np.shape(points)}"
        )
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
        raise ValueError(
            f"{name} expects finite points, got {array[first]}: the descent left the numbers at step {first}; draw "
            f"points[:{first}]"
        )
    return array


def _where(f: Callable[..., Any], points: np.ndarray, k: int) -> str:
    """Coordinates and value of point k, as words."""
    coordinates = [c[k] for c in _axes_of(points)]
    at = ", ".join(f"{name} = {value:.3f}" for name, value in zip("xy", coordinates, strict=False))
    return f"{at}, f = {_values(f, coordinates):.3f}"


def _axes_of(points: np.ndarray) -> list[np.ndarray]:
    return [points] if points.ndim == 1 else list(points.T)


def _values(f: Callable[..., Any], coordinates: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(f(*(np.asarray(c, np.float32) for c in coordinates)), np.float64)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.2 * (high - low) or 1.0
    return low - margin, high + margin


def _scene(ax: Any, f: Callable[..., Any], points: np.ndarray, bounds: Any) -> Callable[[int], None]:
    """Draw the function once; the result shows the descent as far as point k."""
    coordinates = _axes_of(points)
    if len(coordinates) == 1:
        low, high = bounds or _range(points)
        x = np.linspace(low, high, 400)
        ax.plot(x, _values(f, [x]), color=COLORS[0], linewidth=2)
        label(ax, "", "x", "f(x)")
        return _trail(ax, [points, _values(f, [points])])
    spans = bounds or [_range(c) for c in coordinates]
    x, y = np.meshgrid(*(np.linspace(low, high, 120) for low, high in spans))
    z = _values(f, [x, y])
    if ax.name == "3d":
        ax.plot_surface(x, y, z, cmap=SIGNED, rcount=60, ccount=60, linewidth=0, antialiased=False)
        ax.computed_zorder = False  # keep the trail in front of the surface
        ax.set(xlabel="x", ylabel="y", zlabel="f(x, y)")
        ax.locator_params(nbins=5)
        ax.view_init(elev=50, azim=_azimuth(points, spans))
        return _trail(ax, [*coordinates, _values(f, coordinates)])
    filled = ax.contourf(x, y, z, levels=16, cmap=SIGNED)
    lines = ax.contour(x, y, z, levels=filled.levels, colors="white", linewidths=0.4, linestyles="-")
    for contours in (filled, lines):
        contours.set_rasterized(True)  # thousands of corners, which no vector file needs
    label(ax, "", "x", "y", grid=False)
    return _trail(ax, coordinates)


def _azimuth(points: np.ndarray, spans: Any) -> float:
    """Where the camera stands, in degrees: on the side of the path, so that no hill is between them."""
    x, y = (2 * (c.mean() - low) / (high - low) - 1 for c, (low, high) in zip(points.T, spans, strict=True))
    return float(np.degrees(np.arctan2(y, x))) if np.hypot(x, y) > 0.1 else -60.0


def _trail(ax: Any, coordinates: list[np.ndarray]) -> Callable[[int], None]:
    style: dict[str, Any] = {"color": "black", "markerfacecolor": "white", "zorder": 5}
    start = [c[:1] for c in coordinates]
    (line,) = ax.plot(*start, "o-", markersize=4, linewidth=1.2, markeredgewidth=0.8, **style)
    ax.plot(*start, "o", markersize=10, markeredgewidth=2, **style)
    (last,) = ax.plot(*start, "*", markersize=16, **style)

    def show(k: int) -> None:
        for artist, first in ((line, 0), (last, k)):
            shown = [c[first : k + 1] for c in coordinates]
            artist.set_data_3d(*shown) if len(shown) == 3 else artist.set_data(*shown)

    return show


def _scenes(
    ax: Axes | None, f: Callable[..., Any], points: np.ndarray, bounds: Any
) -> tuple[Figure, list[Callable[[int], None]]]:
    """One picture for one variable or for axes that are given, else surface and contours side by side."""
    if ax is not None or points.ndim == 1:
        fig, ax = canvas(ax, 6, 4)
        return fig, [_scene(ax, f, points, bounds)]
    fig = new_figure(10.4, 4.6)
    surface, contours = fig.add_subplot(1, 2, 1, projection="3d"), fig.add_subplot(1, 2, 2)
    shows = [_scene(surface, f, points, bounds), _scene(contours, f, points, bounds)]
    surface.set_box_aspect(None, zoom=0.9)  # room for the labels
    fig.colorbar(contours.collections[0], ax=contours, label="f(x, y)")
    return fig, shows


def _strip(f: Callable[..., Any], points: np.ndarray, bounds: Any, title: str, every: int) -> Figure:
    steps = np.unique(np.linspace(0, len(points) - 1, 6).round().astype(int))
    rows, columns = grid_of(len(steps), None)
    fig = new_figure(3.6 * columns, 2.9 * rows + 0.5)
    for i, k in enumerate(steps):
        ax = fig.add_subplot(rows, columns, i + 1)
        _scene(ax, f, points, bounds)(int(k))
        ax.set_title(f"step {k * every}: {_where(f, points, k)}", fontsize=9)
    fig.suptitle(title, fontsize=12)
    return fig
