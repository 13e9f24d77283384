"""Pictures of a training run: `loss_curves`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.plots.style import Path, canvas, label, look, new_figure, saved, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def loss_curves(history: Sequence[Any], *, ax: Axes | None = None, path: Path | None = None) -> Figure:
    """Draw training and validation loss by epoch and, for a classifier, the validation accuracy beside them.

    Args:
        history: `Fit.history`, or any records with `epoch`, `train_loss` and, optionally, `validation`.
        ax: axes for the losses; then the accuracy is left out.
        path: file to save to.

    Returns:
        The figure; the epochs with the least validation loss and the best accuracy are marked, each at its point.

    Raises:
        ValueError: the history is empty, or holds something else than epochs.
    """
    if not isinstance(history, Sequence) or hasattr(history, "history"):
        raise TypeError(f"loss_curves expects records of epochs, got {type(history).__name__}; pass fit(...).history")
    epochs, train = _column(history, "epoch"), _column(history, "train_loss")
    validation = _measured(history, "loss")
    accuracy = _measured(history, "accuracy")
    if ax is None and np.isfinite(accuracy).any():
        fig = new_figure(10, 4)
        ax, beside = fig.subplots(1, 2)
        _draw_accuracy(beside, epochs, accuracy)
    else:
        fig, ax = canvas(ax, 6, 4)
    _line(ax, 0, epochs, train, "training, as its steps saw it")
    if np.isfinite(validation).any():
        _line(ax, 1, epochs, validation, "validation, after the epoch")
        best = int(np.nanargmin(validation))
        _mark(ax, epochs, validation, best, f"least: {validation[best]:.4g}\nin epoch {epochs[best]:g}")
        ax.legend(loc="best", fontsize=9)
    unit = " (nats)" if np.isfinite(accuracy).any() else ""
    label(ax, "Loss: both curves should fall and stay together", "epoch", f"mean loss{unit}")
    ax.set_ylim(bottom=0 if min(train.min(), np.nanmin([*validation, train.min()])) > 0 else None)
    whole_numbers(ax)
    return saved(fig, path)


def _mark(ax: Axes, epochs: np.ndarray, values: np.ndarray, best: int, told: str) -> None:
    """A ring around the best epoch's own point, and what it is, on the sides where there is room."""
    late, low = epochs[best] > epochs.mean(), values[best] <= np.nanmean(values)
    ax.plot(epochs[best], values[best], "o", markersize=11, markerfacecolor="none", markeredgecolor="black", zorder=3)
    ax.annotate(
        told,
        (epochs[best], values[best]),
        xytext=(-8 if late else 8, -10 if low else 10),
        textcoords="offset points",
        va="top" if low else "bottom",
        ha="right" if late else "left",
        fontsize=9,
    )


def _draw_accuracy(ax: Axes, epochs: np.ndarray, accuracy: np.ndarray) -> None:
    _line(ax, 1, epochs, 100 * accuracy, "validation")
    best = int(np.nanargmax(accuracy))
    _mark(ax, epochs, 100 * accuracy, best, f"most: {accuracy[best]:.2%}\nin epoch {epochs[best]:g}")
    ax.margins(y=0.25)
    last = 100 * accuracy[np.isfinite(accuracy)][-1]
    label(ax, f"Validation accuracy: {last:.2f}% in the end", "epoch", "right answers (%)")
    whole_numbers(ax)


def _line(ax: Axes, i: int, x: np.ndarray, y: np.ndarray, name: str) -> None:
    style = look(i) if len(x) <= 40 else look(i) | {"marker": ""}
    ax.plot(x, y, markersize=4, label=name, **style)


def _column(history: Sequence[Any], name: str) -> np.ndarray:
    if len(history) == 0:
        raise ValueError("loss_curves expects at least one epoch, got an empty history; train first")
    for i, record in enumerate(history):
        if not hasattr(record, name):
            raise ValueError(
                f"loss_curves expects records with .{name}, got {type(record).__name__} at position {i}; "
                "pass fit(...).history"
            )
    return np.array([float(getattr(record, name)) for record in history])


def _measured(history: Sequence[Any], name: str) -> np.ndarray:
    """A number of each epoch's validation, NaN where it was not measured."""
    values = [getattr(getattr(record, "validation", None), name, None) for record in history]
    return np.array([np.nan if value is None else float(value) for value in values])
