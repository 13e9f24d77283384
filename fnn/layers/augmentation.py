"""Random shifts: in training, images move by a few pixels; in evaluation nothing happens."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, State, no_params
from fnn.recipes import recipe
from fnn.validation import require_whole


def shift_fwd(x: jax.Array, offset: jax.Array, pixels: int):
    """Move all images of a batch by one offset, y[n, a, b] = x[n, a + u, b + v], with 0 for what lies outside.

    Args:
        x: images (n, h, w) or (n, h, w, c), of any type.
        offset: (u + pixels, v + pixels), two int32 from 0 to 2 · pixels.
        pixels: the most by which u and v can differ from 0.

    Returns:
        y: like x, and the residual offset that `shift_bwd` reads.
    """
    around = [(0, 0), (pixels, pixels), (pixels, pixels), (0, 0)][: x.ndim]
    zero = jnp.zeros((), offset.dtype)
    start = (zero, offset[0], offset[1], zero)[: x.ndim]
    return jax.lax.dynamic_slice(jnp.pad(x, around), start, x.shape), offset


def shift_bwd(offset: jax.Array, dy: jax.Array, pixels: int):
    """Pull the gradient back through a shift: move it the other way.

    Args:
        offset: from `shift_fwd`.
        dy: ∂L/∂Y, like y.
        pixels: as in the forward pass.

    Returns:
        dparams: (); dx: ∂L/∂X.

    Derivation:
        Pixel (i, j) of x is pixel (i − u, j − v) of y where that lies within the image, and nothing of y otherwise, so
        ∂L/∂x[n, i, j] = dy[n, i − u, j − v], or 0: `shift_fwd` with −u and −v.
    """
    dx, _ = shift_fwd(dy, 2 * pixels - offset, pixels)
    return (), dx


@recipe
def random_shift(pixels: int) -> Layer:
    """Move the images of a batch up to so many pixels up or down and left or right, in training; else do nothing.

    All images of a batch move alike, which costs next to nothing; the next batch moves otherwise. Over an epoch each
    image is seen at another place than before, so that the network cannot learn pixels by heart. Put it first, where
    images still are uint8.

    Args:
        pixels: the most in each direction, at least 1.

    Returns:
        A layer without parameters, that needs a key in training.

    Raises:
        ValueError: pixels is not a positive whole number; in training, a missing key, or examples that are no images.

    References:
        Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to visual document
        analysis (2003), section 2, for training on shifted images.

    Examples:
        >>> x = jnp.arange(9).reshape(1, 3, 3)
        >>> shift_fwd(x, jnp.array([2, 1]), 1)[0]  # u = 1, v = 0: up by a pixel
        Array([[[3, 4, 5],
                [6, 7, 8],
                [0, 0, 0]]], dtype=int32)
    """
    pixels = require_whole("random_shift expects pixels as a whole number of at least 1", pixels)

    def init(key: jax.Array, shape: tuple[int, ...]) -> Params:
        if len(shape) not in (2, 3):
            raise ValueError(
                f"random_shift expects examples that are images (h, w) or (h, w, c), got {shape}; put it before flatten"
            )
        return no_params(key, shape)

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return x

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        if key is None:
            raise ValueError(
                "random_shift needs a random key in training: pass key=jax.random.key(0), a new one each step"
            )
        offset = jax.random.randint(key, (2,), 0, 2 * pixels + 1, jnp.int32)
        y, offset = shift_fwd(x, offset, pixels)
        return (y, state), offset

    def bwd(offset: jax.Array, dy: jax.Array):
        return shift_bwd(offset, dy, pixels)

    return Layer("random_shift", init, forward, fwd, bwd)
