"""Losses: each a forward and its hand-derived backward, summed over outputs and averaged over examples.

A loss takes logits Z, the network's last pre-activations, and carries its output activation as `link`: softmax and
cross-entropy are always the fused, stable pair and the activation can't be applied twice. The two losses that take
probabilities, as the textbooks write them, are in `fnn.losses_on_probabilities`.

Example i of n counts with the share s_i = w_i / Σ w, which is 1/n without weights:

    L = Σ_i s_i Σ_j ℓ(z_ij, y_ij)        ∂L/∂z_ij = s_i ∂ℓ/∂z_ij

so the 1/n of a mean loss enters the gradient here, once, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.activations import identity, sigmoid, softmax
from fnn.layers.base import require_number
from fnn.targets import (
    as_rows,
    check_finite,
    check_labels_or_rows,
    check_probabilities,
    check_weights,
    like_predictions,
    on_host,
    refuse_rows,
    shares,
)


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss as the functions that use it.

    Attributes:
        name: what reports call it.
        link: logits -> predictions ŷ (softmax, sigmoid or identity).
        fwd: (z, y, weights) -> (value in nats or squared units, residuals).
        bwd: (residuals, dvalue) -> ∂L/∂Z, shaped like z.
        classifies: whether predictions are classes' probabilities, so that accuracy has a meaning.
        validate: (y as a NumPy array, number of outputs) -> None; raises ValueError on impossible targets.
        takes_probabilities: whether z are probabilities rather than logits.
        kink: for a loss that is not smooth, (z, y) -> distance of each entry from its nearest kink; else None.
    """

    name: str
    link: Callable[[jax.Array], jax.Array]
    fwd: Callable[[jax.Array, jax.Array, jax.Array | None], tuple[jax.Array, Any]]
    bwd: Callable[[Any, jax.Array], jax.Array]
    classifies: bool = False
    validate: Callable[[np.ndarray, int], None] = check_finite
    kink: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    takes_probabilities: bool = False

    def __call__(self, z: jax.Array, y: jax.Array, weights: jax.Array | None = None) -> jax.Array:
        """Value of the loss.

        Args:
            z: logits, (n, d_out); probabilities for the losses on probabilities.
            y: targets, (n, d_out), or integer labels (n,) where the loss takes them.
            weights: weight of each example, (n,), at least 0; their sum divides. None counts all alike.

        Returns:
            A scalar.

        Raises:
            ValueError: shapes that don't fit, labels out of range, rows that are no distribution, NaN, weights below
                0; logits where probabilities are due.
        """
        z, weights = jnp.asarray(z), None if weights is None else jnp.asarray(weights)
        if on_host(y) and z.ndim == 2:
            self.validate(np.asarray(y), z.shape[1])
        if self.takes_probabilities and on_host(z):
            p = np.asarray(z)
            refuse_rows((p < 0) | (p > 1), "probabilities must lie in [0, 1]", "for logits take the loss on logits")
        if weights is not None and on_host(weights):
            check_weights(np.asarray(weights))
        return self.fwd(z, jnp.asarray(y), weights)[0]

    def __repr__(self) -> str:
        return self.name


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
    """
    error, share = residuals
    return (dvalue * share)[:, None] * jnp.sign(error)


softmax_cross_entropy = Loss(
    "softmax_cross_entropy",
    softmax,
    softmax_cross_entropy_fwd,
    softmax_cross_entropy_bwd,
    True,
    check_labels_or_rows,
)
sigmoid_cross_entropy = Loss(
    "sigmoid_cross_entropy",
    sigmoid,
    sigmoid_cross_entropy_fwd,
    sigmoid_cross_entropy_bwd,
    True,
    check_probabilities,
)
mean_squared_error = Loss("mean_squared_error", identity, mean_squared_error_fwd, mean_squared_error_bwd)
half_mean_squared_error = Loss(
    "half_mean_squared_error", identity, half_mean_squared_error_fwd, half_mean_squared_error_bwd
)
mean_absolute_error = Loss(
    "mean_absolute_error",
    identity,
    mean_absolute_error_fwd,
    mean_absolute_error_bwd,
    kink=lambda z, y: jnp.abs(z - y),
)


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
    require_number(
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


def scaled(loss: Loss, factor: float) -> Loss:
    """The same loss times a constant: ½ of a squared error, or 1/d_out of it for a mean over outputs as well.

    Args:
        loss: any loss.
        factor: the constant.

    Returns:
        The loss; its gradient is factor times that of `loss`.

    Raises:
        TypeError, ValueError: factor is no finite number.
    """
    require_number("scaled expects factor as one number", factor, remedy="scaled(loss, 0.5) halves a loss")

    def scaled_fwd(z, y, weights):
        value, residuals = loss.fwd(z, y, weights)
        return factor * value, residuals

    def scaled_bwd(residuals, dvalue):
        return loss.bwd(residuals, factor * dvalue)

    return replace(loss, name=f"{factor:g} * {loss.name}", fwd=scaled_fwd, bwd=scaled_bwd)


def summed(loss: Loss) -> Loss:
    """The same loss summed over examples instead of averaged: a log-likelihood, say.

    Args:
        loss: any loss.

    Returns:
        The loss; with weights, Σ_i w_i ℓ_i, else Σ_i ℓ_i.

    Derivation:
        A mean over n examples times n is their sum, and the gradient is n times as large; with weights, Σ w takes the
        place of n.
    """

    def total(z, weights):
        return jnp.asarray(z.shape[0], z.dtype) if weights is None else weights.astype(z.dtype).sum()

    def summed_fwd(z, y, weights):
        value, residuals = loss.fwd(z, y, weights)
        return total(z, weights) * value, (residuals, total(z, weights))

    def summed_bwd(residuals, dvalue):
        kept, count = residuals
        return loss.bwd(kept, count * dvalue)

    return replace(loss, name=f"summed {loss.name}", fwd=summed_fwd, bwd=summed_bwd)
