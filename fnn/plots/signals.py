"""Pictures of how signals travel through the layers: `activation_histograms` forward, `gradient_norms` backward."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.layers.base import Layer, Params, State
from fnn.layers.elementwise import Activation
from fnn.layers.walk import part_of, places
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.plots.style import COLORS, Path, canvas, grid_of, label, look, new_figure, saved, whole_numbers
from fnn.validation import require_arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def activation_histograms(
    net: Network, params: Params, x: ArrayLike, *, state: State = (), path: Path | None = None
) -> Figure:
    """Draw how the activations of each layer are distributed over examples and units.

    A layer's output is left out where an activation follows: it is that activation's input.

    Args:
        net: the network.
        params: its parameters.
        x: (n, *input_shape).
        state: the layers' state, where they have one.
        path: file to save to.

    Returns:
        The figure: a panel a layer, each on an axis of its own, with mean and standard deviation.

    Raises:
        ValueError: x does not fit the network; an activation is NaN or infinite.
    """
    require_network("activation_histograms", net).logits(params, x, state)
    outputs = _outputs(net.layer, params, jnp.asarray(x), state)
    followed = [isinstance(after, Activation) for (_, _), (after, _) in pairwise(outputs)]
    shown = [
        (f"layers[{i}] {layer.name}", np.asarray(a, np.float64).ravel())
        for i, ((layer, a), skip) in enumerate(zip(outputs, [*followed, False], strict=True))
        if not skip
    ]
    for name, a in shown:
        if not np.isfinite(a).all():
            raise ValueError(f"activation_histograms: {name} gives NaN or infinity; start from smaller weights")
    rows, columns = grid_of(len(shown), None, aspect=2.5)
    fig = new_figure(2.4 * columns + 0.6, 1.9 * rows + 0.7)
    panels = fig.subplots(rows, columns, squeeze=False)
    for ax in panels.flat[len(shown) :]:
        ax.axis("off")
    for ax, (name, a) in zip(panels.flat, shown, strict=False):
        bins = _bins(a)
        ax.stairs(100 * np.histogram(a, bins)[0] / a.size, bins, fill=True, color=COLORS[0])
        label(ax, name, "", "")
        ax.tick_params(labelsize=8)
        spread = f"mean {a.mean():.2g}\nstd {a.std():.2g}"
        ax.text(0.97, 0.95, spread, transform=ax.transAxes, ha="right", va="top", fontsize=8)
    fig.suptitle("Activations by layer: their std should neither fade nor grow", fontsize=11)
    fig.supxlabel("activation", fontsize=10)
    fig.supylabel("share of examples and units (%)", fontsize=10)
    return saved(fig, path)


def _bins(a: np.ndarray) -> np.ndarray:
    """Forty bins over what a layer gives, without its outermost 1 %; 0 in the middle of one where all is the same."""
    low, high = np.quantile(a, [0.005, 0.995])
    return np.linspace(low, high, 41) if high > low else np.linspace(low - 0.5, low + 0.5, 42)


def _outputs(layer: Layer, params: Params, x: jax.Array, state: State) -> list[tuple[Layer, jax.Array]]:
    """Each layer of a chain, however nested, with its output in evaluation."""
    found = []
    for place in places(layer):
        x = place.layer.forward(part_of(params, place.path), x, part_of(state, place.path))
        found.append((place.layer, x))
    return found


def gradient_norms(
    *grads: Params, labels: Sequence[str] = (), ax: Axes | None = None, path: Path | None = None
) -> Figure:
    """Draw the size of the gradient layer by layer, on a logarithmic scale: vanishing and exploding are slopes.

    Args:
        *grads: gradients, as `net.backward` gives them; several are compared.
        labels: a name for each of them.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure: layers with parameters from the first to the last, ‖∂L/∂θ‖₂ over all parameters of the layer. A
        gradient that is exactly zero stands as "0" on the lower edge.

    Raises:
        ValueError: no gradient, one without any array, or not as many labels as gradients.
    """
    for tree in grads:
        require_arrays("gradient_norms", tree)
    if not grads or not all(jax.tree.leaves(tree) for tree in grads):
        raise ValueError("gradient_norms expects gradients as net.backward(params, x, y) gives them, got none")
    if not isinstance(labels, Sequence) or isinstance(labels, str) or len(labels) not in (0, len(grads)):
        received = len(labels) if isinstance(labels, list | tuple) else f"{labels!r:.80}"
        raise ValueError(
            f"gradient_norms expects one label for each of {len(grads)} gradients, got {received}; pass a list"
        )
    fig, ax = canvas(ax, 7.5 if labels else 6, 4)
    several = [_norms(tree) for tree in grads]
    for i, norms in enumerate(several):
        layer = np.arange(1, len(norms) + 1)
        positive = np.where(norms > 0, norms, np.nan)
        ax.plot(layer, positive, markersize=5, label=labels[i] if labels else None, **look(i))
        for k in layer[norms == 0]:
            ax.text(k, 0.02, "0", transform=ax.get_xaxis_transform(), ha="center", color=COLORS[i % 7], weight="bold")
    ax.set_yscale("log")
    whole_numbers(ax)
    label(ax, f"Gradient by layer: {_verdict(several)}", "layer with parameters, the loss to its right", "‖∂L/∂θ‖")
    if labels:
        ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))
    return saved(fig, path)


_LEVEL = 100.0  # between two layers, or from 1: so much is neither vanishing nor exploding


def _verdict(several: list[np.ndarray]) -> str:
    """What a picture of gradients shows, in the words of the first of them where several are compared."""
    first, last = several[0][0], several[0][-1]
    if len(several) > 1:
        return "falling to the left it vanishes, rising it explodes"
    if not np.isfinite(several[0]).all():
        return "not finite"
    if not several[0].any():
        return "zero everywhere"
    if last > 0 and first < last / _LEVEL:
        return "it vanishes towards the input"
    if first > last * _LEVEL or several[0].max() > _LEVEL**2:
        return "it explodes towards the input" if first > last * _LEVEL else "large everywhere"
    return "level, neither vanishing nor exploding"


def _norms(tree: Params) -> np.ndarray:
    """Norm of each layer's gradient: leaves with one parent in the tree are a layer, as is each part of a `repeat`."""
    squares: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = [getattr(key, "name", "") for key in path]
        depth = names.index("stacked") + 1 if "stacked" in names else len(path) - 1
        parts = leaf if "stacked" in names else leaf[None]
        parent = jax.tree_util.keystr(path[:depth])
        sums = np.square(np.asarray(parts, np.float64)).reshape(len(parts), -1).sum(axis=1)
        squares[parent] = squares.get(parent, 0.0) + sums
    return np.sqrt(np.concatenate(list(squares.values())))
