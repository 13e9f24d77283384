"""Penalties on weights, added to a loss; never on biases, scales or slopes.

A penalty is a function of the parameters alone: it is added once, however many examples a batch has, and divided by
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fnn.layers.base import Params
from fnn.theta import weight_mask


@dataclass(frozen=True, eq=False)
class Penalty:
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

    def __repr__(self) -> str:
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
        ValueError: strength is negative.
    """
    if strength < 0:
        raise ValueError(f"{name} expects a strength of at least 0, got {strength}")

    def total(params: Params) -> jax.Array:
        weights, mask = jax.tree.leaves(params), jax.tree.leaves(weight_mask(params))
        terms = [value(W) for W, is_weight in zip(weights, mask, strict=True) if is_weight]
        return strength * sum(terms, jnp.zeros(()))

    def slope(params: Params) -> Params:
        return jax.tree.map(
            lambda leaf, is_weight: strength * gradient(leaf) if is_weight else jnp.zeros_like(leaf),
            params,
            weight_mask(params),
        )

    return Penalty(name, strength, total, slope)


def l1(strength: float) -> Penalty:
    """Lasso, λ Σ |W|: drives weights to exactly zero.

    Args:
        strength: λ, at least 0.

    Derivation:
        d|w|/dw = sign(w), with 0 chosen from [−1, 1] at w = 0: the gradient is λ sign(W).
    """
    return on_weights("l1", strength, lambda W: jnp.abs(W).sum(), jnp.sign)


def l2(strength: float) -> Penalty:
    """Ridge, (λ/2) Σ W²: shrinks every weight in proportion to itself.

    Args:
        strength: λ, at least 0.

    Derivation:
        d(½ w²)/dw = w: the gradient is λ W; the ½ is there so that no 2 remains.
    """
    return on_weights("l2", strength, lambda W: 0.5 * (W * W).sum(), lambda W: W)
