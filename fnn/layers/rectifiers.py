"""Rectifiers that let something through on the left: leaky relu, ELU, and PReLU, which learns its slopes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Shape, lift, require_fields
from fnn.layers.elementwise import Activation, activation
from fnn.recipes import recipe
from fnn.validation import require_number


@recipe
def leaky_relu(slope: float = 0.01) -> Activation:
    """Relu with a small slope for z ≤ 0, so that no unit dies: a = z for z > 0, else slope · z.

    Args:
        slope: factor on the left, at least 0; the derivative at 0 is slope.

    Returns:
        The activation; its residual is its output, whose sign is that of z.

    Derivation:
        g'(z) = 1 for z > 0 and slope for z ≤ 0; a ≤ 0 exactly where z ≤ 0, so dZ = dA ⊙ (slope where a ≤ 0, else 1).

    Raises:
        TypeError, ValueError: slope is no number of at least 0; below, the output no longer tells the side of the kink.

    References:
        Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models (2013).
    """
    require_number("leaky_relu expects a slope of at least 0", slope, lambda slope: slope >= 0)

    def leaky_relu_fwd(params, z):
        a = jnp.where(z <= 0, slope * z, z)
        return a, a

    def leaky_relu_bwd(a, da):
        return (), jnp.where(a <= 0, slope * da, da)

    return activation("leaky_relu", leaky_relu_fwd, leaky_relu_bwd, kinks=() if slope == 1 else (0.0,))


@recipe
def elu(alpha: float = 1.0) -> Activation:
    """Exponential linear unit: a = z for z > 0, else α (e^z − 1).

    Args:
        alpha: α, at least 0: the outputs reach down to −α; the derivative at 0 is α, which is no kink for α = 1.

    Returns:
        The activation; its residual is its output, whose sign is that of z.

    Derivation:
        For z ≤ 0, g'(z) = α e^z = a + α, so dZ = dA ⊙ (a + α where a ≤ 0, else 1).

    Stability:
        e^z is evaluated for z ≤ 0 only, so that large positive z overflow neither in the value nor in its derivative;
        expm1 keeps small |z| exact.

    Raises:
        TypeError, ValueError: alpha is no number of at least 0; below, the output no longer tells the side of 0.

    References:
        Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by ELUs (2015), eq. 15.
    """
    require_number("elu expects alpha of at least 0", alpha, lambda alpha: alpha >= 0)

    def elu_fwd(params, z):
        a = jnp.where(z <= 0, alpha * jnp.expm1(jnp.where(z > 0, 0, z)), z)
        return a, a

    def elu_bwd(a, da):
        return (), jnp.where(a <= 0, da * (a + alpha), da)

    return activation("elu", elu_fwd, elu_bwd, kinks=() if alpha == 1 else (0.0,))


class PreluParams(NamedTuple):
    """Parameters of `prelu`; its gradient is another `PreluParams`."""

    slope: jax.Array  # (d,), one a feature


def prelu_fwd(params: PreluParams, z: jax.Array):
    """Keep what is positive and multiply the rest by a learnt slope: a = z for z > 0, else slope · z.

    Args:
        params: slope (d,), one for each feature of the last axis; of any sign.
        z: (n, ..., d).

    Returns:
        a: like z, and the residuals (slope, z) that `prelu_bwd` reads; where a slope is negative the output does not
        tell the side.

    Raises:
        ValueError: the last axis of z is not d long.
    """
    require_fields("prelu", params, "slope")
    d = params.slope.shape[0]
    if z.ndim < 2 or z.shape[-1] != d:
        raise ValueError(f"prelu expects z of shape (n, ..., {d}), got {z.shape}; for one example pass z[None]")
    return jnp.where(z <= 0, params.slope * z, z), (params.slope, z)


def prelu_bwd(residuals, da: jax.Array):
    """Pull da back through a = z for z > 0, else slope · z.

    Args:
        residuals: (slope, z) from `prelu_fwd`.
        da: ∂L/∂A, like a.

    Returns:
        dparams: ∂L/∂slope (d,); dz: ∂L/∂Z.

    Derivation:
        For z[n, d] > 0, ∂a/∂z = 1 and ∂a/∂slope = 0; for z[n, d] ≤ 0, ∂a/∂z = slope[d] and ∂a/∂slope[d] = z[n, d]. So

            ∂L/∂slope[d] = Σ_n da[n, d] min(z[n, d], 0)
            ∂L/∂z[n, d]  = da[n, d] (slope[d] where z[n, d] ≤ 0, else 1)

        One slope acts on every example and pixel of its feature: their contributions add up. At the kink the derivative
        is the one from the left, slope.

    References:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), eq. 8 to 10.
    """
    slope, z = residuals
    left = z <= 0
    dslope = jnp.where(left, da * z, 0).sum(axis=tuple(range(z.ndim - 1)))
    return PreluParams(slope=dslope), jnp.where(left, slope * da, da)


@recipe
def prelu(slope: float = 0.25) -> Layer:
    """Leaky relu that learns one slope a feature.

    Args:
        slope: where the slopes start; their penalty would pull towards relu, so penalties leave them alone.

    Returns:
        A layer with `PreluParams(slope)`.

    Raises:
        TypeError, ValueError: slope is no finite number; from init, examples without axes.

    Examples:
        >>> layer = prelu(0.5)
        >>> layer.forward(layer.init(jax.random.key(0), (2,)), jnp.array([[-4.0, 4.0]]))
        Array([[-2.,  4.]], dtype=float32)
    """
    slope = require_number("prelu expects a slope as one number", slope, remedy="0.25 is the usual start")

    def init(key: jax.Array, shape: Shape) -> PreluParams:
        if len(shape) == 0:
            raise ValueError("prelu expects examples with at least one axis, got shape (); pass x[:, None]")
        return PreluParams(jnp.full(shape[-1], slope, dtype=float))

    return Layer("prelu", init, *lift(prelu_fwd), prelu_bwd, elementwise=True, kinks=(0.0,))
