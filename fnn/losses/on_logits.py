"""Losses on logits Z, the network's last pre-activations: each a forward and its hand-derived backward.

A loss carries its output activation as `link`: softmax and cross-entropy are always the fused, stable pair and the
activation can't be applied twice. The two losses that take probabilities, as the textbooks write them, are in
`fnn.losses.on_probabilities`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fnn.layers.activations import identity, sigmoid, softmax
from fnn.losses.base import Loss
from fnn.losses.targets import (
    as_rows,
    check_labels_or_rows,
    check_probabilities,
    like_predictions,
    shares,
)
from fnn.recipes import constant, recipe
from fnn.validation import require_number


def softmax_cross_entropy_fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Cross-entropy of softmax(z) against y, L = −Σ_i s_i Σ_j y_ij ln softmax(z_i)_j, in nats.

    Args:
        z: logits (n, c).
        y: integer labels (n,) from 0 to c − 1, or rows of probabilities (n, c).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (p, y as rows, shares) that the backward reads.

    Stability:
        ln softmax(z) = z − m − ln Σ e^(z − m) with m the largest logit of the row. A label that is out of range, where
        no host check could see it, makes the value NaN rather than silently counting as nothing.
    """
    y = as_rows(z, y, "softmax_cross_entropy")
    shifted = z - jax.lax.stop_gradient(z.max(axis=1, keepdims=True))
    e = jnp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    each = (y * (jnp.log(total) - shifted)).sum(axis=1)
    share = shares(z, weights)
    return (share * each).sum(), (e / total, y, share)


def softmax_cross_entropy_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the logits.

    Derivation:
        With p = softmax(z), ∂ ln p_j / ∂z_k = 1[j = k] − p_k, so for one example

            ∂ℓ/∂z_k = −Σ_j y_j (1[j = k] − p_k) = p_k Σ_j y_j − y_k

        dZ = s ⊙ (P · rowsum(Y) − Y). Only where the rows of Y sum to 1 is this the familiar P − Y: a row of zeros
        has gradient 0.

    References:
        Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.109.
    """
    p, y, share = residuals
    return (dvalue * share)[:, None] * (p * y.sum(axis=1, keepdims=True) - y)


def sigmoid_cross_entropy_fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Binary cross-entropy of σ(z) against y, summed over outputs, in nats.

    L = −Σ_i s_i Σ_j [y ln σ(z) + (1 − y) ln(1 − σ(z))]: each output answers a yes-or-no question of its own.

    Args:
        z: logits (n, d_out).
        y: 0, 1 or a probability for each output, (n, d_out).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (z, y, shares).

    Stability:
        Both logarithms join into softplus(z) − z y, finite for every z. Its usual rewriting with max(z, 0) and |z| has
        the wrong derivative under autodiff at z = 0, where every logistic regression starts.
    """
    y = like_predictions(z, y, "sigmoid_cross_entropy")
    share = shares(z, weights)
    each = (jnp.logaddexp(z, jnp.zeros_like(z)) - z * y).sum(axis=1)
    return (share * each).sum(), (z, y, share)


def sigmoid_cross_entropy_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the logits.

    Derivation:
        d/dz [softplus(z) − z y] = σ(z) − y, so dZ = s ⊙ (σ(Z) − Y).

    References:
        Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.91.
    """
    z, y, share = residuals
    return (dvalue * share)[:, None] * (jax.lax.logistic(z) - y)


def mean_squared_error_fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Squared error, L = Σ_i s_i Σ_j (z_ij − y_ij)².

    Args:
        z: predictions (n, d_out).
        y: targets (n, d_out).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (z − y, shares).
    """
    error = z - like_predictions(z, y, "mean_squared_error")
    share = shares(z, weights)
    return (share * (error * error).sum(axis=1)).sum(), (error, share)


def mean_squared_error_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the predictions.

    Derivation:
        d/dz (z − y)² = 2 (z − y), so dZ = 2 s ⊙ (Z − Y).

    References:
        Bishop, Pattern Recognition and Machine Learning (2006), eq. 5.14 and 5.18.
    """
    error, share = residuals
    return (2 * dvalue * share)[:, None] * error


def half_mean_squared_error_fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Half the squared error, L = ½ Σ_i s_i Σ_j (z_ij − y_ij)², whose gradient has no 2.

    Args:
        z: predictions (n, d_out).
        y: targets (n, d_out).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (z − y, shares).
    """
    value, residuals = mean_squared_error_fwd(z, y, weights)
    return 0.5 * value, residuals


def half_mean_squared_error_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the predictions.

    Derivation:
        d/dz ½ (z − y)² = z − y, so dZ = s ⊙ (Z − Y).

    References:
        Bishop, Pattern Recognition and Machine Learning (2006), eq. 5.14 and 5.18.
    """
    error, share = residuals
    return (dvalue * share)[:, None] * error


def mean_absolute_error_fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Absolute error, L = Σ_i s_i Σ_j |z_ij − y_ij|; its minimizer is a median.

    Args:
        z: predictions (n, d_out).
        y: targets (n, d_out).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (z − y, shares).
    """
    error = z - like_predictions(z, y, "mean_absolute_error")
    share = shares(z, weights)
    return (share * jnp.abs(error).sum(axis=1)).sum(), (error, share)


def mean_absolute_error_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the predictions.

    Derivation:
        d/dz |z − y| = sign(z − y), with 0 chosen from [−1, 1] at the kink z = y, so dZ = s ⊙ sign(Z − Y).

    References:
        Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.1.2.
    """
    error, share = residuals
    return (dvalue * share)[:, None] * jnp.sign(error)


def _constant(name: str, link: Any, fwd: Callable, bwd: Callable, **facts: Any) -> Loss:
    return constant(name, Loss(name, link, fwd, bwd, **facts), fwd, bwd)


softmax_cross_entropy = _constant(
    "softmax_cross_entropy",
    softmax,
    softmax_cross_entropy_fwd,
    softmax_cross_entropy_bwd,
    classifies=True,
    validate=check_labels_or_rows,
)
sigmoid_cross_entropy = _constant(
    "sigmoid_cross_entropy",
    sigmoid,
    sigmoid_cross_entropy_fwd,
    sigmoid_cross_entropy_bwd,
    classifies=True,
    validate=check_probabilities,
    yes_or_no=True,
)
mean_squared_error = _constant("mean_squared_error", identity, mean_squared_error_fwd, mean_squared_error_bwd)
half_mean_squared_error = _constant(
    "half_mean_squared_error", identity, half_mean_squared_error_fwd, half_mean_squared_error_bwd
)
mean_absolute_error = _constant(
    "mean_absolute_error",
    identity,
    mean_absolute_error_fwd,
    mean_absolute_error_bwd,
    kink=lambda z, y: jnp.abs(z - y),
)


@recipe
def huber(delta: float = 1.0) -> Loss:
    """Squared for small errors, absolute for large ones: L = Σ_i s_i Σ_j h(z_ij − y_ij).

    h(e) = ½ e² for |e| ≤ δ, else δ (|e| − ½ δ); value and slope agree at |e| = δ.

    Args:
        delta: δ, the largest error that counts as small, in the units of y; above 0.

    Returns:
        The loss; its residuals are the errors and the shares.

    Derivation:
        h'(e) = e for |e| ≤ δ, else δ sign(e): e clipped to [−δ, δ]. dZ = s ⊙ clip(Z − Y).

    Raises:
        TypeError, ValueError: delta is no number above 0.

    References:
        Huber, Robust estimation of a location parameter (1964).

    Examples:
        >>> float(huber(1.0)(jnp.array([[0.5], [3.0]]), jnp.zeros((2, 1))))  # (0.125 + 2.5) / 2
        1.3125
    """
    delta = require_number(
        "huber expects a delta above 0", delta, lambda delta: delta > 0, "it is the largest error that is squared"
    )

    def huber_fwd(z, y, weights):
        error = z - like_predictions(z, y, "huber")
        share = shares(z, weights)
        small = jnp.clip(error, -delta, delta)
        each = small * (error - 0.5 * small)  # ½ e² inside, δ|e| − ½ δ² outside
        return (share * each.sum(axis=1)).sum(), (small, share)

    def huber_bwd(residuals, dvalue):
        small, share = residuals
        return (dvalue * share)[:, None] * small

    return Loss("huber", identity, huber_fwd, huber_bwd)
