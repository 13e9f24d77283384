"""Penalties on weights, added to a loss; never on biases, scales or slopes.

A penalty is a function of the parameters alone: it is added once, however many examples a batch has, and divided by
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from fnn.layers.base import Params
from fnn.layers.theta import stack_depths, weight_mask
from fnn.recipes import Recipe, recipe
from fnn.validation import require_number


@dataclass(frozen=True, eq=False, repr=False)
class Penalty(Recipe):
    """A penalty as two functions.

    Attributes:
        name: what reports call it.
        strength: its factor, λ.
        value: params -> scalar.
        gradient: params -> a pytree like params, zero for everything that is not a weight.
    """

    name: str
    strength: float
    value: Callable[[Params], jax.Array]
    gradient: Callable[[Params], Params]

    def _unmade(self) -> str:
        return f"{self.name}({self.strength:g})"


def on_weights(name: str, strength: float, value: Callable, gradient: Callable) -> Penalty:
    """Lift a function of one weight array, and its derivative, to a penalty on all weights of a network.

    Args:
        name: what reports call it.
        strength: λ, at least 0.
        value: W -> scalar, without the factor λ.
        gradient: W -> its derivative, shaped like W, without the factor λ.

    Returns:
        The penalty λ Σ value(W) over the parameters called W.

    Raises:
        TypeError, ValueError: strength is no number from 0 on.
    """
    strength = require_number(f"{name} expects a strength of at least 0", strength, lambda strength: strength >= 0)

    def total(params: Params) -> jax.Array:
        leaves = zip(*map(jax.tree.leaves, (params, weight_mask(params), stack_depths(params))), strict=True)
        terms = [_each(value, depth)(W).sum() for W, is_weight, depth in leaves if is_weight]
        return strength * sum(terms, jnp.zeros(()))

    def slope(params: Params) -> Params:
        return jax.tree.map(
            lambda leaf, is_weight, depth: (
                strength * _each(gradient, depth)(leaf) if is_weight else jnp.zeros_like(leaf)
            ),
            params,
            weight_mask(params),
            stack_depths(params),
        )

    return Penalty(name, strength, total, slope)


def _each(function: Callable, depth: int) -> Callable:
    """Apply a function of one weight array to each of a stack, as `repeat` keeps them."""
    for _ in range(depth):
        function = jax.vmap(function)
    return function


@recipe
def l1(strength: float) -> Penalty:
    """Lasso, λ Σ |W|: drives weights to exactly zero.

    Args:
        strength: λ, at least 0.

    Derivation:
        d|w|/dw = sign(w), with 0 chosen from [−1, 1] at w = 0: the gradient is λ sign(W).
    """
    return on_weights("l1", strength, lambda W: jnp.abs(W).sum(), jnp.sign)


@recipe
def l2(strength: float) -> Penalty:
    """Ridge, (λ/2) Σ W²: shrinks every weight in proportion to itself.

    Args:
        strength: λ, at least 0.

    Derivation:
        d(½ w²)/dw = w: the gradient is λ W; the ½ is there so that no 2 remains.
    """
    return on_weights("l2", strength, lambda W: 0.5 * (W * W).sum(), lambda W: W)


@recipe
def spectral_norm(strength: float) -> Penalty:
    """Largest singular values, λ Σ σ_max(W): bounds how much a layer can stretch what passes through it.

    A kernel (c_out, h, w, c_in) counts as the matrix (c_out, h·w·c_in), and each layer within `repeat` by itself.

    Args:
        strength: λ, at least 0.

    Derivation:
        σ_max(W) = max uᵀ W v over unit vectors u, v. At the maximum a change of u or v changes nothing to first order,
        so only the W that stands there counts: ∂σ/∂W[i, j] = u[i] v[j], and the gradient is λ u vᵀ. Where the two
        largest singular values are equal this is one of several subgradients; for W = 0 it is 0.

    Stability:
        Training pulls the largest singular value down onto the second one, just where power iteration gets slow; so it
        is done by squaring, see `top_singular_vectors`. Autodiff of the value treats u and v as constants, as the
        derivation does.

    References:
        Yoshida and Miyato, Spectral norm regularization for improving the generalizability of deep learning (2017).

    Examples:
        >>> W = jnp.array([[3.0, 0.0], [0.0, -4.0]])
        >>> round(float(spectral_norm(0.5).value({"W": W})), 5)
        2.0
    """

    def value(W: jax.Array) -> jax.Array:
        u, v = top_singular_vectors(jax.lax.stop_gradient(_matrix(W)))
        return (u * (_matrix(W) * v).sum(axis=1)).sum()

    def gradient(W: jax.Array) -> jax.Array:
        u, v = top_singular_vectors(_matrix(W))
        return jnp.outer(u, v).reshape(W.shape)

    return on_weights("spectral_norm", strength, value, gradient)


def _matrix(W: jax.Array) -> jax.Array:
    if W.ndim < 2:
        raise ValueError(
            f"spectral_norm expects weights of shape (d_out, ..., d_in), got {W.shape}; rename this field, since the "
            "parameters called W are what penalties act on"
        )
    return W.reshape(W.shape[0], -1)


@partial(jax.jit, inline=True)  # one program also where nothing else compiles it
def top_singular_vectors(W: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Find unit vectors u and v with W v = σ_max u, by power iteration on all starting vectors at once.

    Args:
        W: a matrix (rows, columns).

    Returns:
        u: (rows,); v: (columns,). Both are 0 where W is.

    Derivation:
        With W = Σ_k σ_k u_k v_kᵀ, power iteration applies G = Wᵀ W = Σ_k σ_k² v_k v_kᵀ again and again to some vector,
        and the part along v_2 fades like (σ_2/σ_1)^(2t) after t steps. Squaring G instead, G ← G² / tr(G²), is 2^s
        such steps after s squarings, for every column of the unit matrix as the starting vector: G tends to v_1 v_1ᵀ,
        whose longest column is v_1 up to its length, and no starting vector has to be guessed. G has trace 1, and
        tr(G²) is 1 exactly when one eigenvalue is left. G is built over the shorter side of W.

    Stability:
        W is divided by its largest entry first, so that no square overflows. 30 squarings, 10⁹ steps, tell singular
        values apart that agree in 8 digits; where the gap is smaller u vᵀ mixes the two, and uᵀ W v is σ_max all the
        same.
    """
    if W.shape[0] < W.shape[1]:
        v, u = top_singular_vectors(W.T)
        return u, v
    largest = jnp.abs(W).max()
    W = jnp.where(largest == 0, 1, W / jnp.where(largest == 0, 1, largest))
    G = jnp.matmul(W.T, W, precision="highest")

    def unfinished(carry):
        s, G = carry
        return (s < 30) & ((G * G).sum() < 1 - 8 * jnp.finfo(W.dtype).eps)

    def square(carry):
        s, G = carry
        G = jnp.matmul(G, G, precision="highest")
        return s + 1, G / jnp.trace(G)

    _, G = jax.lax.while_loop(unfinished, square, (0, G / jnp.trace(G)))
    column = G[:, jnp.argmax((G * G).sum(axis=0))]
    v = column / jnp.sqrt((column * column).sum())
    u = jnp.matmul(W, v, precision="highest")
    u = u / jnp.sqrt((u * u).sum())
    return jnp.where(largest == 0, 0, u), jnp.where(largest == 0, 0, v)
