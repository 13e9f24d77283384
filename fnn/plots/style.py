"""How every picture looks: colors safe for the color-blind, told apart by line and marker in black and white too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fnn.validation import require_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, Color universal design (2008): distinct under every common form of color blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIGNED = "cividis"  # grows lighter from end to end, so it reads in gray: dark is negative, light is positive
DIVERGING = "RdBu"  # white at zero, which is what a weight is measured from: red is negative, blue is positive
AMOUNT = "Blues"

Path = str | os.PathLike[str]


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that belongs to no window, and shows itself in a notebook.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        ImportError: matplotlib is not installed; says how to install it.
    """
    try:
        import matplotlib.figure  # noqa: F401

        from fnn.plots.picture import Picture
    except ImportError as error:
        raise ImportError(
            "fnn.plots draws with matplotlib, which is not installed; install it with: pip install 'fnn[plots]'"
        ) from error
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")


def canvas(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Axes to draw into and their figure: the caller's, or new ones of this size in inches."""
    if ax is not None:
        if not hasattr(ax, "get_figure"):
            raise TypeError(f"a picture expects ax as matplotlib's axes, got {ax!r:.80}; as fig.subplots() gives them")
        return ax.get_figure(root=True), ax  # type: ignore[return-value]
    fig = new_figure(width, height)
    return fig, fig.add_subplot()


def look(i: int) -> dict[str, Any]:
    """Color, line and marker of the i-th curve: each of the three tells it from the others."""
    other = (i + i // 7 * 3) % 7  # from the eighth on another line and marker goes with the color
    return {"color": COLORS[i % 7], "linestyle": LINES[other], "marker": MARKERS[other]}


def label(ax: Axes, title: str, x: str, y: str, *, grid: bool = True) -> None:
    """Give axes a title and labels, and the common look."""
    ax.set_title(title, fontsize=11)
    ax.set_xlabel(x, fontsize=10)
    ax.set_ylabel(y, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)


def whole_numbers(ax: Axes, *, both: bool = False) -> None:
    """Put ticks of the horizontal axis at whole numbers only, or of both: epochs, layers, neurons."""
    from matplotlib.ticker import MaxNLocator

    for axis in (ax.xaxis, ax.yaxis) if both else (ax.xaxis,):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def saved(fig: Figure, path: Path | None) -> Figure:
    """Save a figure where a path is given, and return it."""
    if path is not None:
        fig.savefig(require_path("a picture", path), dpi=150)
    return fig


def grid_of(count: int, columns: int | None, aspect: float = 1.6) -> tuple[int, int]:
    """Rows and columns for so many panels: about `aspect` times as wide as high, with few places left empty."""
    if columns is None:
        ideal = max(1, round((count * aspect) ** 0.5))
        near = range(max(1, ideal - ideal // 4), min(count, ideal + ideal // 2) + 1)
        columns = min(near, key=lambda c: (-count % c, abs(c - ideal)), default=1)
    return -(-count // columns), columns
