"""Pictures of functions and derivatives: `activation_functions`, `gradient_check_steps`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers import activations as activations_
from fnn.layers import rectifiers
from fnn.layers.base import Params
from fnn.layers.elementwise import Activation
from fnn.plots.style import COLORS, Path, canvas, grid_of, label, look, new_figure, saved
from fnn.validation import as_numbers, require_arrays, require_function, require_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALL = ("identity", "sigmoid", "tanh", "relu", "swish", "gelu", "softplus", "softmax")


def activation_functions(*activations: Activation, reach: float = 4.0, path: Path | None = None) -> Figure:
    """Draw activations, each with its derivative as the backward pass computes it.

    Args:
        *activations: such as `fnn.relu` or `fnn.elu(0.5)`; those of the library by default.
        reach: z goes from −reach to reach.
        path: file to save to.

    Returns:
        The figure: g(z) as a line, g'(z) dashed. At a kink a dot marks the derivative that is used there. Of softmax,
        which mixes entries, the first output is shown for the row (z, 0), where it is σ(z).

    Raises:
        TypeError: something that is not an activation.
    """
    leaky = (rectifiers.leaky_relu(0.1), rectifiers.elu())
    chosen = activations or (*(getattr(activations_, name) for name in _ALL), *leaky)
    for g in chosen:
        if not isinstance(g, Activation):
            raise TypeError(f"activation_functions expects activations such as fnn.relu, got {g!r:.80}")
    reach = require_number("activation_functions expects reach above 0", reach, lambda reach: reach > 0)
    rows, columns = grid_of(len(chosen), None, aspect=2)
    fig = new_figure(2.7 * columns + 0.4, 2.5 * rows + 0.6)
    panels = fig.subplots(rows, columns, squeeze=False)
    for ax in panels.flat[len(chosen) :]:
        ax.axis("off")
    for i, (ax, g) in enumerate(zip(panels.flat, chosen, strict=False)):
        _draw_activation(ax, g, reach)
        label(ax, g.name if g.elementwise else f"{g.name} of (z, 0)", "z" if i + columns >= len(chosen) else "", "")
    handles, names = panels.flat[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    return saved(fig, path)


def _draw_activation(ax: Axes, g: Activation, reach: float) -> None:
    z = np.linspace(-reach, reach, 401).astype(np.float32)
    for kink in g.kinks:
        z = np.sort(np.append(z[np.abs(z - kink) > 1e-6], [kink - 1e-6, kink + 1e-6])).astype(np.float32)
    value, slope = _value_and_slope(g, z)
    jump = np.isin(z, [np.float32(kink - 1e-6) for kink in g.kinks])
    ax.plot(z, value, color=COLORS[0], linewidth=2, label="activation g(z)")
    ax.plot(
        np.insert(z, np.flatnonzero(jump) + 1, np.nan),
        np.insert(slope, np.flatnonzero(jump) + 1, np.nan),
        color=COLORS[1],
        linestyle="--",
        linewidth=1.6,
        label="derivative g'(z)",
    )
    for kink in g.kinks:
        ax.plot(kink, _value_and_slope(g, np.array([kink], np.float32))[1], "o", color=COLORS[1], markersize=6)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    ax.set_ylim(max(-1.6, min(value.min(), slope.min()) - 0.15), min(2.2, max(value.max(), slope.max()) + 0.15))


def _value_and_slope(g: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if g.elementwise:
        return np.asarray(g(jnp.asarray(z))), np.asarray(g.derivative(jnp.asarray(z)))
    rows = jnp.stack([jnp.asarray(z), jnp.zeros(len(z), jnp.float32)], axis=1)
    (a, _), residuals = g.fwd((), rows, (), None)
    first = jnp.zeros_like(a).at[:, 0].set(1)
    return np.asarray(a[:, 0]), np.asarray(g.bwd(residuals, first)[1][:, 0])


def gradient_check_steps(
    f: Callable[[Params], jax.Array],
    params: Params,
    grads: Params,
    *,
    steps: np.ndarray | None = None,
    ax: Axes | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the error of central differences against their step h: too large truncates, too small rounds.

    Along one random direction v, (f(θ + hv) − f(θ − hv)) / 2h is compared with ∇f·v for every h, in the precision of
    the parameters. Call it again with `ax=` to draw another precision beside it.

    Args:
        f: params -> scalar, such as `lambda p: net.loss(p, x, y)`.
        params: the point θ, floating point, all of one dtype.
        grads: ∇f there, as `net.backward` gives it.
        steps: the h to try; by default from 1 down to the precision ε of the dtype.
        ax: axes to draw into.
        path: file to save to.

    Returns:
        The figure, with the guides h² and ε/h, and the rule of thumb h = ε^⅓ as a line.

    Raises:
        ValueError: grads has another structure than params, or is zero along every direction.

    References:
        Press et al., Numerical Recipes (2007), section 5.7.
    """
    dtype = _checked(f, params, grads)
    epsilon = float(jnp.finfo(dtype).eps)
    h = np.geomspace(1, epsilon, 61) if steps is None else _steps(steps)
    value, exact, estimates = _along(f, params, grads, jnp.asarray(h, dtype))
    if exact == 0:
        raise ValueError("gradient_check_steps shows relative errors, but the gradient is zero; choose another point")
    error = np.abs(estimates - exact) / abs(exact)
    error[error == 0] = np.nan
    fig, ax = canvas(ax, 6.5, 5)
    drawn = len({line.get_gid() for line in ax.lines} - {None})
    best = int(np.nanargmin(error))
    name = f"{dtype}: least error {error[best]:.0e} at h = {h[best]:.0e}"
    ax.loglog(h, error, markersize=3, linewidth=1, label=name, gid=f"errors {drawn}", **look(drawn))
    rule = epsilon ** (1 / 3)
    name = rf"{dtype}: $\varepsilon^{{1/3}}$ = {rule:.0e}"
    ax.axvline(rule, color=COLORS[drawn], linewidth=1.2, linestyle=":", label=name)
    ax.loglog(h, epsilon * abs(value / exact) / h, color="0.6", linewidth=1, zorder=1)
    ax.loglog(h[: best + 1], error[0] * (h[: best + 1] / h[0]) ** 2, color="0.6", linewidth=1, zorder=1)
    title = "Central differences: rounding (ε/h) to the left, truncation (h²) to the right"
    label(ax, title, "step h", "relative error of the slope")
    ax.set_ylim(np.nanmin([line.get_ydata() for line in ax.lines if line.get_gid()][-1]) / 10, 10)
    ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
    return saved(fig, path)


def _checked(f: Callable, params: Params, grads: Params) -> np.dtype:
    """The dtype of the parameters, once everything has been found to fit together."""
    require_function("gradient_check_steps expects f as a function of params", f, arguments=1)
    leaves = require_arrays("gradient_check_steps", params)
    require_arrays("gradient_check_steps", grads)
    if not leaves:
        raise ValueError("gradient_check_steps expects params with at least one array, got none; pass a network's")
    expected, received = str(jax.tree.structure(params)), str(jax.tree.structure(grads))
    if expected != received:
        raise ValueError(
            f"gradient_check_steps expects grads with the structure of params, {expected:.80}, got {received:.80}; "
            "pass what net.backward(params, x, y) returns"
        )
    return jnp.result_type(*leaves)


def _steps(steps: np.ndarray) -> np.ndarray:
    h = np.asarray(as_numbers("steps", steps)).astype(np.float64)
    if h.ndim != 1 or h.size == 0 or not (np.isfinite(h) & (h > 0)).all():
        raise ValueError(f"gradient_check_steps expects steps (k,) above 0, got {steps!r:.80}; as numpy.geomspace")
    return np.sort(h)[::-1]


def _along(f: Callable, params: Params, grads: Params, h: jax.Array) -> tuple[float, float, np.ndarray]:
    """Value of f, its slope along a random direction by the gradient, and by central differences for each h."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    length = float(np.sqrt(sum(np.sum(np.square(np.asarray(v, np.float64))) for v in drawn)))
    v = jax.tree.unflatten(structure, [leaf / jnp.asarray(length, leaf.dtype) for leaf in drawn])

    def moved(t: jax.Array) -> jax.Array:
        return f(jax.tree.map(lambda p, d: p + t.astype(p.dtype) * d, params, v))

    t = jnp.concatenate([h, -h, jnp.zeros_like(h[:1])])
    values = np.asarray(jax.jit(lambda t: jax.lax.map(moved, t))(t), np.float64)
    up, down = values[: len(h)], values[len(h) : -1]
    exact = sum(
        np.sum(np.asarray(g, np.float64) * np.asarray(d, np.float64))
        for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(v), strict=True)
    )
    return values[-1], float(exact), (up - down) / (2 * np.asarray(h, np.float64))
