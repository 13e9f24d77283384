"""Losses on probabilities, as the textbooks write them: for networks whose last layer is softmax or sigmoid.

They are summed over outputs and averaged over examples like those of `fnn.losses`. For training prefer the latter, on
logits: a probability that has rounded to 0 or 1 has lost what the logarithm needs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fnn.layers.activations import identity
from fnn.losses.base import Loss
from fnn.losses.targets import as_rows, check_labels_or_rows, check_probabilities, like_predictions, shares
from fnn.recipes import constant


def cross_entropy_fwd(p: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Cross-entropy on probabilities, L = −Σ_i s_i Σ_j y_ij ln p_ij, in nats.

    Args:
        p: probabilities (n, c), rows that sum to 1: what a softmax layer gives.
        y: integer labels (n,), or rows of probabilities (n, c).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (p, y as rows, shares).

    Stability:
        0 ln 0 counts as 0; y > 0 at p = 0 is honestly infinite, never clipped. A float32 softmax reaches p = 0 at
        logits some 88 below the largest: prefer `softmax_cross_entropy`, which takes logits, for training.
    """
    y = as_rows(p, y, "cross_entropy")
    share = shares(p, weights)
    return (share * _minus_y_log_p(y, p).sum(axis=1)).sum(), (p, y, share)


def cross_entropy_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the probabilities.

    Derivation:
        ∂/∂p (−y ln p) = −y / p, and 0 where y = 0, so dP = −s ⊙ Y / P.
    """
    p, y, share = residuals
    return (dvalue * share)[:, None] * _minus_y_over_p(y, p)


def binary_cross_entropy_fwd(p: jax.Array, y: jax.Array, weights: jax.Array | None):
    """Binary cross-entropy on probabilities, summed over outputs, in nats.

    L = −Σ_i s_i Σ_j [y ln p + (1 − y) ln(1 − p)].

    Args:
        p: probability of "yes" for each output, (n, d_out): what a sigmoid layer gives.
        y: 0, 1 or a probability, (n, d_out).
        weights: (n,) or None.

    Returns:
        The value, and the residuals (p, y, shares).

    Stability:
        0 ln 0 counts as 0; a certain answer that is wrong is infinitely bad, never clipped. A float32 sigmoid is
        exactly 1 from z ≈ 17: prefer `sigmoid_cross_entropy`, which takes logits, for training.
    """
    y = like_predictions(p, y, "binary_cross_entropy")
    share = shares(p, weights)
    each = _minus_y_log_p(y, p) + _minus_y_log_p(1 - y, 1 - p)
    return (share * each.sum(axis=1)).sum(), (p, y, share)


def binary_cross_entropy_bwd(residuals, dvalue: jax.Array):
    """Pull the gradient back to the probabilities.

    Derivation:
        ∂/∂p [−y ln p − (1 − y) ln(1 − p)] = −y / p + (1 − y) / (1 − p), which is (p − y) / (p (1 − p)); a term whose
        factor y or 1 − y is 0 contributes 0. dP = s ⊙ (that).
    """
    p, y, share = residuals
    return (dvalue * share)[:, None] * (_minus_y_over_p(y, p) - _minus_y_over_p(1 - y, 1 - p))


def _minus_y_log_p(y: jax.Array, p: jax.Array) -> jax.Array:
    # The inner choice keeps log's derivative finite where the outer one discards its value.
    return jnp.where(y == 0, 0, -y * jnp.log(jnp.where(y == 0, 1, p)))


def _minus_y_over_p(y: jax.Array, p: jax.Array) -> jax.Array:
    return jnp.where(y == 0, 0, -y / jnp.where(y == 0, 1, p))


cross_entropy = constant(
    "cross_entropy",
    Loss(
        "cross_entropy",
        identity,
        cross_entropy_fwd,
        cross_entropy_bwd,
        classifies=True,
        validate=check_labels_or_rows,
        takes_probabilities=True,
    ),
    cross_entropy_fwd,
    cross_entropy_bwd,
)
binary_cross_entropy = constant(
    "binary_cross_entropy",
    Loss(
        "binary_cross_entropy",
        identity,
        binary_cross_entropy_fwd,
        binary_cross_entropy_bwd,
        classifies=True,
        validate=check_probabilities,
        takes_probabilities=True,
        yes_or_no=True,
    ),
    binary_cross_entropy_fwd,
    binary_cross_entropy_bwd,
)
