"""Pooling of images: batches (n, h, w, c) with the channels last, one number for each window."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Shape, require_floating, stateless
from fnn.layers.convolution import Pair, pair
from fnn.recipes import recipe


@recipe
def max_pool(window: int | Pair) -> Layer:
    """Take the largest entry of each window of each channel; windows lie side by side.

    Rows and columns that fill no whole window are left out.

    Args:
        window: height and width of a window, or one number for both; also the stride.

    Returns:
        A layer without parameters. Its residual is the place of each maximum, one byte for windows up to 256 pixels.

    Derivation:
        y[n, a, b, c] = max_{i,j} x[n, h·a + i, w·b + j, c] is x at one place of the window, so

            ∂L/∂x[n, u, v, c] = dy[n, ⌊u/h⌋, ⌊v/w⌋, c] where (u, v) is that place, else 0

        Where entries tie, the place is the first of them in reading order; sharing dy among them would be a
        subgradient as well.

    Raises:
        ValueError: a window that is not whole and positive; in use, x that is not (n, h, w, c) or smaller than one
            window, or holds integers.

    Examples:
        >>> max_pool(2).forward((), jnp.arange(8.0).reshape(1, 2, 4, 1)).reshape(-1)
        Array([5., 7.], dtype=float32)
    """
    size = pair("max_pool", "window", window)
    last = size[0] * size[1] - 1
    place_dtype = jnp.uint8 if last < 256 else jnp.int32

    def places(windows: Shape) -> jax.Array:
        """Number of each pixel within its window, in reading order, (h, w, 1)."""
        return jnp.tile(jnp.arange(last + 1, dtype=place_dtype).reshape(*size, 1), (*windows, 1))

    def max_pool_fwd(params, x):
        _check_pool("max_pool", x, size)
        y = _reduce_windows(x, -jnp.inf, jax.lax.max, size)
        whole = x[:, : y.shape[1] * size[0], : y.shape[2] * size[1]]
        largest = jnp.where(whole == _spread(y, size), places(y.shape[1:3]), jnp.asarray(last, place_dtype))
        return y, (_reduce_windows(largest, last, jax.lax.min, size), x[:0])

    def max_pool_bwd(residuals, dy):
        place, empty = residuals
        dx = jnp.where(_spread(place, size) == places(dy.shape[1:3]), _spread(dy, size), 0)
        return (), _pad_behind(dx, empty.shape)

    return stateless("max_pool", _init_pool("max_pool", size), max_pool_fwd, max_pool_bwd)


@recipe
def average_pool(window: int | Pair) -> Layer:
    """Average each window of each channel; windows lie side by side.

    Rows and columns that fill no whole window are left out.

    Args:
        window: height and width of a window, or one number for both; also the stride.

    Returns:
        A layer without parameters; nothing is kept but the shape of an example.

    Derivation:
        y[n, a, b, c] = (1 / hw) Σ_{i,j} x[n, h·a + i, w·b + j, c], so

            ∂L/∂x[n, u, v, c] = dy[n, ⌊u/h⌋, ⌊v/w⌋, c] / hw, and 0 for what was left out

    Raises:
        ValueError: as `max_pool`.

    Examples:
        >>> average_pool(2).forward((), jnp.arange(8.0).reshape(1, 2, 4, 1)).reshape(-1)
        Array([2.5, 4.5], dtype=float32)
    """
    size = pair("average_pool", "window", window)
    area = size[0] * size[1]

    def average_pool_fwd(params, x):
        _check_pool("average_pool", x, size)
        return _reduce_windows(x, 0.0, jax.lax.add, size) / area, x[:0]

    def average_pool_bwd(empty, dy):
        return (), _pad_behind(_spread(dy / area, size), empty.shape)

    return stateless("average_pool", _init_pool("average_pool", size), average_pool_fwd, average_pool_bwd)


def _reduce_windows(x: jax.Array, start: float, operation: Callable, size: Pair) -> jax.Array:
    window = (1, *size, 1)
    return jax.lax.reduce_window(x, np.asarray(start, x.dtype), operation, window, window, "VALID")


def _spread(y: jax.Array, size: Pair) -> jax.Array:
    """Give every pixel of a window the window's value."""
    return jnp.repeat(jnp.repeat(y, size[0], axis=1), size[1], axis=2)


def _pad_behind(dx: jax.Array, shape: Shape) -> jax.Array:
    """Zeros for the rows and columns that filled no window."""
    return jnp.pad(dx, ((0, 0), (0, shape[1] - dx.shape[1]), (0, shape[2] - dx.shape[2]), (0, 0)))


def _init_pool(name: str, size: Pair) -> Callable:
    def init(key: jax.Array, shape: Shape):
        _check_pool(name, jax.ShapeDtypeStruct((1, *shape), jnp.result_type(float)), size)
        return ()

    return init


def _check_pool(name: str, x, size: Pair) -> None:
    if x.ndim != 4:
        raise ValueError(
            f"{name} expects x of shape (n, h, w, c), got {x.shape}; "
            "for grey images add the channel axis with x[..., None], and put it before flatten"
        )
    if x.shape[1] < size[0] or x.shape[2] < size[1]:
        raise ValueError(f"{name} expects images of at least one window {size}, got {x.shape}; use a smaller window")
    require_floating(name, x)
