"""The affine layer, Z = X Wᵀ + b: forward, derivation and backward on one page.

To see that the two agree: `fnn.check_layer(fnn.dense(3), (4,))` compares `dense_bwd` with `jax.vjp` of `dense_fwd` and
with central differences, entry by entry in float64; `tests/test_gradients.py` does so for every rule of the library.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnn.initializers import Initializer, he_normal, require_initializer
from fnn.layers.base import Layer, Shape, require_fields, require_floating, stateless
from fnn.layers.matrix_products import product
from fnn.recipes import recipe
from fnn.validation import require_flag, require_whole


class DenseParams(NamedTuple):
    """Parameters of `dense`; its gradient is another `DenseParams`."""

    W: jax.Array  # (d_out, d_in), one row a neuron
    b: jax.Array  # (d_out,)


def dense_fwd(params: DenseParams, x: jax.Array):
    """Map each row of a batch through one affine map, Z = X Wᵀ + b.

    Args:
        params: weights W (d_out, d_in) and bias b (d_out,).
        x: batch of rows, (n, d_in), floating point.

    Returns:
        z: (n, d_out), and the residuals (W, x) that `dense_bwd` reads; nothing is recomputed.

    Raises:
        ValueError: x is not (n, d_in), or holds integers; W is no matrix; b is not (d_out,).

    Examples:
        >>> params = DenseParams(W=jnp.array([[1.0, 2.0]]), b=jnp.array([0.5]))
        >>> z, residuals = dense_fwd(params, jnp.array([[3.0, 4.0]]))
        >>> z  # 1·3 + 2·4 + 0.5
        Array([[11.5]], dtype=float32)
    """
    check_params(params)
    check_rows(x, params.W.shape[1])
    return product(x, params.W, transpose_right=True) + params.b, (params.W, x)


def dense_bwd(residuals, dz: jax.Array):
    """Pull the gradient of a scalar loss L back through Z = X Wᵀ + b.

    Args:
        residuals: (W, x) from `dense_fwd`.
        dz: ∂L/∂Z, (n, d_out).

    Returns:
        dparams: ∂L/∂W (d_out, d_in) and ∂L/∂b (d_out,); dx: ∂L/∂X (n, d_in).

    Derivation:
        Entry by entry z[n, o] = Σ_i x[n, i] W[o, i] + b[o], so

            ∂L/∂W[o, i] = Σ_n dz[n, o] x[n, i]     dW = dZᵀ X
            ∂L/∂b[o]    = Σ_n dz[n, o]             db = column sums of dZ
            ∂L/∂x[n, i] = Σ_o dz[n, o] W[o, i]     dX = dZ W

        The batch axis is summed, never averaged: the 1/n of a mean loss has already arrived inside dz.

    References:
        Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.5.
    """
    W, x = residuals
    # Over a mesh with explicit axes the sum over examples crosses devices; dW then lies as W does.
    dW = product(dz, x, transpose_left=True, out_sharding=jax.typeof(W).sharding)
    return DenseParams(W=dW, b=dz.sum(axis=0)), product(dz, W)


class LinearParams(NamedTuple):
    """Parameters of a dense layer without bias."""

    W: jax.Array  # (d_out, d_in)


def linear_fwd(params: LinearParams, x: jax.Array):
    """Map each row of a batch through one linear map, Z = X Wᵀ: `dense_fwd` without its bias.

    Args:
        params: weights W (d_out, d_in).
        x: batch of rows, (n, d_in), floating point.

    Returns:
        z: (n, d_out), and the residuals (W, x) that `linear_bwd` reads.

    Raises:
        ValueError: x is not (n, d_in), or holds integers.
    """
    check_params(params)
    check_rows(x, params.W.shape[1])
    return product(x, params.W, transpose_right=True), (params.W, x)


def linear_bwd(residuals, dz: jax.Array):
    """Pull the gradient of a scalar loss L back through Z = X Wᵀ.

    Args:
        residuals: (W, x) from `linear_fwd`.
        dz: ∂L/∂Z, (n, d_out).

    Returns:
        dparams: ∂L/∂W (d_out, d_in); dx: ∂L/∂X (n, d_in).

    Derivation:
        That of `dense_bwd` without its line for b.
    """
    (dW, _), dx = dense_bwd(residuals, dz)
    return LinearParams(W=dW), dx


def check_params(params: DenseParams | LinearParams) -> None:
    """Refuse weights that are no matrix, and a bias that would be broadcast.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    require_fields("dense", params, "W")
    if params.W.ndim != 2:
        raise ValueError(f"dense expects W of shape (d_out, d_in), got {params.W.shape}; one row a neuron")
    d_out = params.W.shape[0]
    if isinstance(params, DenseParams) and params.b.shape != (d_out,):
        raise ValueError(
            f"dense expects a bias of shape ({d_out},), one entry a neuron, got {params.b.shape}; "
            "for one number everywhere pass jnp.full"
        )


def check_rows(x: jax.Array, d_in: int) -> None:
    """Refuse a batch that is not (n, d_in), or holds integers.

    Raises:
        ValueError: says expected, received, remedy.
    """
    if x.ndim != 2 or x.shape[1] != d_in:
        raise ValueError(
            f"dense expects x of shape (n, {d_in}), got {x.shape}; "
            "for one example pass x[None], for images put flatten before dense"
        )
    require_floating("dense", x)


@recipe
def dense(n_out: int, *, initializer: Initializer = he_normal, use_bias: bool = True) -> Layer:
    """A fully connected layer of n_out neurons, Z = X Wᵀ + b.

    Args:
        n_out: number of neurons, d_out.
        initializer: (key, (d_out, d_in)) -> W; the bias starts at zero.
        use_bias: without a bias a neuron sees z = 0 for an all-zero input, whatever its weights.

    Returns:
        A layer with `DenseParams(W, b)`, or `LinearParams(W)` without a bias.

    Raises:
        ValueError: n_out is not a positive whole number, or examples are not vectors.

    Examples:
        >>> params = dense(4).init(jax.random.key(0), (3,))
        >>> params.W.shape, params.b.shape
        ((4, 3), (4,))
    """
    n_out = require_whole("dense expects n_out as a whole number of at least 1", n_out)
    require_initializer("dense", initializer)
    require_flag("dense expects use_bias", use_bias)

    def init(key: jax.Array, shape: Shape) -> DenseParams | LinearParams:
        if len(shape) != 1:
            raise ValueError(f"dense expects examples that are vectors (d_in,), got {shape}; put flatten before dense")
        W = initializer(key, (n_out, shape[0]))
        return DenseParams(W, jnp.zeros(n_out, W.dtype)) if use_bias else LinearParams(W)

    if use_bias:
        return stateless("dense", init, dense_fwd, dense_bwd)
    return stateless("linear", init, linear_fwd, linear_bwd)
