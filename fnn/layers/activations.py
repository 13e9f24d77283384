"""Activations: each is a layer without parameters, can be called on values, and knows its derivative.

Every backward multiplies the gradient that arrives, da = ∂L/∂A, by g'(z), entry by entry: dZ = dA ⊙ g'(Z). Where g'
can be written in terms of the output a = g(z), the residual is a, which the next layer keeps anyway.

At a kink the derivative is the one from the left: relu'(0) = 0, leaky_relu'(0) = slope, elu'(0) = alpha. NaN stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fnn.layers.base import lift, no_params
from fnn.layers.elementwise import Activation
from fnn.recipes import constant


def identity_fwd(params, z: jax.Array):
    """Return z itself, a = z: the output of a regression, or no activation at all.

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: z, and no residuals.
    """
    return z, ()


def identity_bwd(residuals, da: jax.Array):
    """Pull da back through a = z.

    Derivation:
        g'(z) = 1, so dZ = dA.
    """
    return (), da


def sigmoid_fwd(params, z: jax.Array):
    """Squash each entry into (0, 1), a = 1 / (1 + e^−z).

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual a that `sigmoid_bwd` reads.

    Stability:
        Finite for every z. In float32 a rounds to exactly 1 from z ≈ 17 and to 0 from z ≈ −88, so take logarithms of
        the logits, as the losses do, never of a.

    References:
        Rumelhart, Hinton and Williams, Learning representations by back-propagating errors (1986), eq. 2.
    """
    a = jax.lax.logistic(z)
    return a, a


def sigmoid_bwd(a, da: jax.Array):
    """Pull da back through a = σ(z).

    Derivation:
        σ'(z) = e^−z / (1 + e^−z)² = a (1 − a), so dZ = dA ⊙ a ⊙ (1 − a).
    """
    return (), da * (a * (1 - a))


def tanh_fwd(params, z: jax.Array):
    """Squash each entry into (−1, 1), a = (e^z − e^−z) / (e^z + e^−z) = 2σ(2z) − 1.

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual a that `tanh_bwd` reads.

    References:
        LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.4.
    """
    a = jnp.tanh(z)
    return a, a


def tanh_bwd(a, da: jax.Array):
    """Pull da back through a = tanh z.

    Derivation:
        By the quotient rule tanh'(z) = 1 − tanh²(z), so dZ = dA ⊙ (1 − a²).
    """
    return (), da * (1 - a * a)


def relu_fwd(params, z: jax.Array):
    """Keep what is positive, a = max(0, z).

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual a that `relu_bwd` reads: it is 0 exactly where z ≤ 0, and the next layer keeps it
        anyway, so relu costs no memory of its own.

    Stability:
        Written as a choice rather than a maximum, since `jnp.maximum(0, z)` has derivative ½ at 0 under autodiff.

    References:
        Nair and Hinton, Rectified linear units improve restricted Boltzmann machines (2010).
    """
    a = jax.lax.select(z <= 0, jnp.zeros_like(z), z)
    return a, a


def relu_bwd(a, da: jax.Array):
    """Pull da back through a = max(0, z).

    Derivation:
        g'(z) = 1 for z > 0 and 0 for z ≤ 0 (the convention at the kink), and a = 0 exactly where z ≤ 0, so
        dZ = dA where a ≠ 0, else 0.
    """
    return (), jax.lax.select(a == 0, jnp.zeros_like(da), da)


def swish_fwd(params, z: jax.Array):
    """Weigh each entry by its own sigmoid, a = z σ(z).

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual z that `swish_bwd` reads; σ(z) is recomputed.

    References:
        Ramachandran, Zoph and Le, Searching for activation functions (2017); also called SiLU.
    """
    return z * jax.lax.logistic(z), z


def swish_bwd(z, da: jax.Array):
    """Pull da back through a = z σ(z).

    Derivation:
        By the product rule, with s = σ(z): g'(z) = s + z s (1 − s) = s (1 + z (1 − s)), and dZ = dA ⊙ g'(Z).
    """
    s = jax.lax.logistic(z)
    return (), da * (s * (1 + z * (1 - s)))


def gelu_fwd(params, z: jax.Array):
    """Weigh each entry by the normal distribution function, a = z Φ(z), exactly rather than through tanh.

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual z that `gelu_bwd` reads; Φ(z) is recomputed.

    Stability:
        Φ(z) = ½ erfc(−z/√2), which keeps its relative precision for large negative z where ½ (1 + erf) cancels.

    References:
        Hendrycks and Gimpel, Gaussian error linear units (2016).
    """
    return z * _normal_cdf(z), z


def gelu_bwd(z, da: jax.Array):
    """Pull da back through a = z Φ(z).

    Derivation:
        By the product rule, with the density φ(z) = e^(−z²/2) / √(2π): g'(z) = Φ(z) + z φ(z), and dZ = dA ⊙ g'(Z).
    """
    density = jnp.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return (), da * (_normal_cdf(z) + z * density)


def _normal_cdf(z: jax.Array) -> jax.Array:
    return 0.5 * jax.lax.erfc(z * -math.sqrt(0.5))


def softplus_fwd(params, z: jax.Array):
    """A smooth relu, a = ln(1 + e^z).

    Args:
        params: ().
        z: pre-activations, (n, ...), floating point.

    Returns:
        a: like z, and the residual z that `softplus_bwd` reads.

    Stability:
        ln(1 + e^z) = ln(e^z + e^0) with the larger exponent taken out: finite for every z.

    References:
        Dugas, Bengio, Bélisle, Nadeau and Garcia, Incorporating second-order functional knowledge (2001).
    """
    return jnp.logaddexp(z, jnp.zeros_like(z)), z


def softplus_bwd(z, da: jax.Array):
    """Pull da back through a = ln(1 + e^z).

    Derivation:
        g'(z) = e^z / (1 + e^z) = σ(z), so dZ = dA ⊙ σ(Z).
    """
    return (), da * jax.lax.logistic(z)


def softmax_fwd(params, z: jax.Array):
    """Turn each row into a probability distribution, p_j = e^{z_j} / Σ_k e^{z_k}, over the last axis.

    Args:
        params: ().
        z: pre-activations, (n, c) or (..., c), floating point.

    Returns:
        p: like z, rows sum to 1, and the residual p that `softmax_bwd` reads.

    Stability:
        The largest entry of a row is subtracted first, which changes nothing: p(z + c) = p(z).

    References:
        Bridle, Probabilistic interpretation of feedforward classification network outputs (1990).
    """
    e = jnp.exp(z - jax.lax.stop_gradient(z.max(axis=-1, keepdims=True)))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_bwd(p, dp: jax.Array):
    """Pull dp back through each row's softmax: its full Jacobian, applied and never built.

    Derivation:
        ∂p_j/∂z_k = p_j (1[j = k] − p_k), so

            ∂L/∂z_k = Σ_j dp_j p_j (1[j = k] − p_k) = p_k (dp_k − Σ_j dp_j p_j)

        dZ = P ⊙ (dP − rowsum(dP ⊙ P)). Multiplying dP by p (1 − p) alone keeps the diagonal and loses the rest.
    """
    return (), p * (dp - (dp * p).sum(axis=-1, keepdims=True))


def _constant(name: str, fwd: Callable, bwd: Callable, *, elementwise: bool = True, kinks: tuple[float, ...] = ()):
    value = Activation(name, no_params, *lift(fwd), bwd, elementwise=elementwise, kinks=kinks)
    return constant(name, value, fwd, bwd)


identity = _constant("identity", identity_fwd, identity_bwd)
sigmoid = _constant("sigmoid", sigmoid_fwd, sigmoid_bwd)
tanh = _constant("tanh", tanh_fwd, tanh_bwd)
relu = _constant("relu", relu_fwd, relu_bwd, kinks=(0.0,))
swish = _constant("swish", swish_fwd, swish_bwd)
gelu = _constant("gelu", gelu_fwd, gelu_bwd)
softplus = _constant("softplus", softplus_fwd, softplus_bwd)
softmax = _constant("softmax", softmax_fwd, softmax_bwd, elementwise=False)
