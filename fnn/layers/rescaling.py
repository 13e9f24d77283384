"""Layers that make raw examples fit for those behind them: `rescale` and `flatten`."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, lift, no_params, stateless
from fnn.recipes import constant, recipe
from fnn.validation import require_number


@recipe
def rescale(factor: float) -> Layer:
    """Multiply by a constant, y = factor · x: the one layer that takes integers.

    Put first, it keeps uint8 images one byte a pixel wherever they are stored; each batch becomes float32 within the
    compiled step.

    Args:
        factor: the constant, such as 1 / 255 for images.

    Returns:
        A layer without parameters.

    Derivation:
        ∂y/∂x = factor, so dX = factor · dY.

    Raises:
        TypeError, ValueError: factor is no finite number.

    Examples:
        >>> rescale(0.5).forward((), jnp.array([[4, 6]], jnp.uint8))
        Array([[2., 3.]], dtype=float32)
    """
    factor = require_number("rescale expects factor as one number", factor, remedy="to scale each feature, do so to x")

    def rescale_fwd(params, x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.result_type(float))
        return factor * x, ()

    def rescale_bwd(residuals, dy):
        return (), factor * dy

    return stateless("rescale", no_params, rescale_fwd, rescale_bwd)


def flatten_fwd(params, x: jax.Array):
    """Lay each example out as one vector: (n, ...) -> (n, d), the last axis fastest.

    Args:
        params: ().
        x: batch of arrays, (n, h, w) images for instance.

    Returns:
        y: (n, d), and an empty array (0, ...) that carries the shape of an example.
    """
    return x.reshape(x.shape[0], -1), x[:0]


def flatten_bwd(empty, dy: jax.Array):
    """Give the gradient the shape of the examples.

    Derivation:
        y holds the entries of x in the same order, so dX holds those of dY.
    """
    return (), dy.reshape(dy.shape[0], *empty.shape[1:])


@dataclass(frozen=True, eq=False, repr=False)
class _Flatten(Layer):
    def __call__(self, *arguments: object) -> None:
        raise TypeError("fnn.flatten is a layer already, made without arguments: write fnn.flatten, without brackets")


flatten = constant("flatten", _Flatten("flatten", no_params, *lift(flatten_fwd), flatten_bwd), flatten_fwd, flatten_bwd)
