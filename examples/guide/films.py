"""Make the guide's films: descent on x², on sin x and on a surface, and a network that learns.

python examples/guide/films.py            square.gif, sine.gif, surface.gif and learning.gif, beside the notebooks
"""

import argparse
import pathlib
import time
from collections.abc import Callable, Iterable

import jax
import numpy as np
from gradient_descent import descend, surface, surface_gradient
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

import fnn

BLUE, ORANGE = "#0072B2", "#D55E00"
MARKERS = "os^"


def film(path: pathlib.Path, fig: Figure, frames: Iterable[int], show: Callable[[int], None], fps: int = 8) -> None:
    """Save one picture a frame; the last one stays for two seconds."""
    frames = list(frames)
    show(frames[-1])
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # every frame keeps the places of the last
    writer = PillowWriter(fps=fps)
    with writer.saving(fig, str(path), dpi=72):
        for k in [*frames, *[frames[-1]] * (2 * fps)]:
            show(k)
            writer.grab_frame()


def square(path: pathlib.Path, frames: int) -> None:
    """x² with three rates: one arrives, one jumps over and arrives, one diverges."""
    fig = Figure(figsize=(9, 3.2), layout="constrained")
    panels = fig.subplots(1, 3)
    x = np.linspace(-8, 8, 200)
    shows = []
    for ax, rate, what in zip(panels, (0.1, 0.9, 1.02), ("arrives", "jumps, and arrives", "diverges"), strict=True):
        ax.plot(x, x**2, color=BLUE)
        ax.set(title=f"α = {rate}: {what}", xlabel="x", ylim=(-3, 60))
        points = descend(lambda x: 2 * x, 3.0, rate, frames)
        shows.append(follower(ax, points, points**2, slope=2 * points))
    panels[0].set_ylabel("x²")
    film(path, fig, range(frames + 1), titled(fig, "f(x) = x²", shows))


def sine(path: pathlib.Path, frames: int) -> None:
    """The sine from three starts, one of them a maximum."""
    fig = Figure(figsize=(6, 3.2), layout="constrained")
    ax = fig.subplots()
    x = np.linspace(-2.5, 6.5, 300)
    ax.plot(x, np.sin(x), color=BLUE)
    ax.set(xlabel="x", ylabel="sin x", ylim=(-1.25, 1.25))
    shows = []
    for i, start in enumerate((0.0, 3.0, np.pi / 2)):
        points = descend(jax.numpy.cos, start, 0.2, frames)
        shows.append(follower(ax, points, np.sin(points), slope=np.cos(points), marker=MARKERS[i]))
    film(path, fig, range(frames + 1), titled(fig, "f(x) = sin x, α = 0.2, three starts", shows))


def follower(ax, x, y, slope, marker: str = "o") -> Callable[[int], None]:
    """Draw the descent as far as step k, with the tangent there."""
    (trail,) = ax.plot([], [], f"{marker}-", color="0.45", markersize=3, linewidth=0.8)
    (tangent,) = ax.plot([], [], color=ORANGE, linewidth=1.5)
    (ball,) = ax.plot([], [], marker, color=ORANGE, markersize=9)

    def show(k: int) -> None:
        trail.set_data(x[: k + 1], y[: k + 1])
        reach = np.array([-0.9, 0.9])
        tangent.set_data(x[k] + reach, y[k] + slope[k] * reach)
        ball.set_data([x[k]], [y[k]])

    return show


def titled(fig: Figure, title: str, shows: list[Callable[[int], None]]) -> Callable[[int], None]:
    """All panels at step k, with the step in the heading."""

    def show(k: int) -> None:
        fig.suptitle(f"{title}   ·   step {k}")
        for each in shows:
            each(k)

    return show


def landscape(path: pathlib.Path, frames: int) -> None:
    """The notes' surface from above, and the height by step."""
    every = 300 // frames
    points = descend(surface_gradient, [0.5, 0.5], 0.05, 300)
    heights = np.asarray(surface(*points.T))
    fig = Figure(figsize=(9, 3.6), layout="constrained")
    above, beside = fig.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1, 3, 120), np.linspace(-1, 2.2, 120))
    filled = above.contourf(x, y, surface(x, y), levels=12, cmap="cividis")
    fig.colorbar(filled, ax=above, label="f(x, y)")
    above.set(xlabel="x", ylabel="y")
    beside.set(xlabel="step", ylabel="f(x, y)", xlim=(0, 300), ylim=(-1.1, heights.max() + 0.1))
    (trail,) = above.plot([], [], "-", color="white", linewidth=2)
    (ball,) = above.plot([], [], "o", color=ORANGE, markersize=9, markeredgecolor="white")
    (curve,) = beside.plot([], [], color=BLUE)
    (dot,) = beside.plot([], [], "o", color=ORANGE)

    def show(k: int) -> None:
        fig.suptitle(f"α = 0.05   ·   step {k}: f({points[k, 0]:.2f}, {points[k, 1]:.2f}) = {heights[k]:.3f}")
        trail.set_data(*points[: k + 1].T)
        ball.set_data(*points[k : k + 1].T)
        curve.set_data(range(k + 1), heights[: k + 1])
        dot.set_data([k], [heights[k]])

    film(path, fig, range(0, 301, every), show)


def learning(path: pathlib.Path, frames: int) -> None:
    """Two moons: what the network answers everywhere, and its loss, while it learns."""
    net = fnn.mlp(2, 8, 8, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy)
    x, labels = fnn.datasets.moons(jax.random.key(0), 120, noise=0.12)
    y = labels[:, None]
    params, losses, snapshots = net.init(jax.random.key(3)), [], []
    for _ in range(8 * frames + 1):
        snapshots.append(params)
        params, loss = net.train_step(params, x, y, 0.3)
        losses.append(float(loss))
    fig = Figure(figsize=(8, 3.6), layout="constrained")
    plane, beside = fig.subplots(1, 2)
    across, up = np.meshgrid(np.linspace(-1.6, 2.6, 80), np.linspace(-1.2, 1.7, 80))
    grid = np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32)
    beside.set(xlabel="step", ylabel="loss (nats)", xlim=(0, 8 * frames), ylim=(0, 1.05 * max(losses)))
    (curve,) = beside.plot([], [], color=BLUE)

    def show(k: int) -> None:
        plane.clear()
        p = np.asarray(net.forward(snapshots[k], grid)).reshape(across.shape)
        plane.contourf(across, up, p, levels=np.linspace(0, 1, 9), cmap="RdBu_r", alpha=0.5)
        plane.contour(across, up, p, levels=[0.5], colors="black", linewidths=1.5)
        for group, color in ((0, BLUE), (1, ORANGE)):
            plane.plot(*np.asarray(x)[np.asarray(labels) == group].T, MARKERS[group], color=color, markersize=4)
        plane.set(xticks=[], yticks=[])
        right = ((net.forward(snapshots[k], x) > 0.5) == (y == 1)).mean()
        fig.suptitle(f"a network learns two moons   ·   step {k}: {right:.0%} right")
        curve.set_data(range(k + 1), losses[: k + 1])

    film(path, fig, range(0, 8 * frames + 1, 8), show)


def main() -> None:
    """Make all four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).parent
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default=here, help="folder for the films")
    parser.add_argument("--quick", action="store_true", help="films of a few frames")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    films = {"square": (square, 20), "sine": (sine, 25), "surface": (landscape, 30), "learning": (learning, 40)}
    for name, (make, frames) in films.items():
        start, path = time.perf_counter(), options.out / f"{name}.gif"
        make(path, 2 if options.quick else frames)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
