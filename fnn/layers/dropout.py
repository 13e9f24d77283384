"""Dropout: in training, entries at random become 0; in evaluation nothing happens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Params, State, no_params, require_floating
from fnn.recipes import recipe
from fnn.validation import require_number


def dropout_fwd(x: jax.Array, mask: jax.Array, keep: float):
    """Keep where the mask says so, scaled up so that the mean stays, y = mask ⊙ x / keep.

    Args:
        x: batch of any shape (n, ...), floating point.
        mask: bools like x; True with probability keep.
        keep: probability of keeping an entry, in (0, 1].

    Returns:
        y: like x, and the residual mask that `dropout_bwd` reads: one byte an entry, neither x nor y.
    """
    return jnp.where(mask, x / keep, 0), mask


def dropout_bwd(mask: jax.Array, dy: jax.Array, keep: float):
    """Pull the gradient back through y = mask ⊙ x / keep.

    Args:
        mask: from `dropout_fwd`, the very one of the forward pass; another draw belongs to another function.
        dy: ∂L/∂Y, like y.
        keep: as in the forward pass.

    Returns:
        dparams: (); dx: ∂L/∂X.

    Derivation:
        With the mask drawn, y is linear in x: ∂y_i/∂x_i = mask_i / keep, so dX = mask ⊙ dY / keep.
    """
    return (), jnp.where(mask, dy / keep, 0)


@recipe
def dropout(rate: float) -> Layer:
    """Set each entry to 0 with probability `rate` in training, and divide the others by 1 − rate; else do nothing.

    So E[y] = x, and evaluation needs no correction (this is called inverted dropout). The mask depends on the key and
    the shape alone, not on x nor on its precision.

    Args:
        rate: probability of dropping an entry, in [0, 1).

    Returns:
        A layer without parameters, that needs a key in training.

    Raises:
        TypeError, ValueError: rate is no number in [0, 1); in training, a missing key, or integers.

    References:
        Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (2014), section 10.

    Examples:
        >>> layer, x = dropout(0.5), jnp.ones((1, 4))
        >>> layer.forward((), x)
        Array([[1., 1., 1., 1.]], dtype=float32)
        >>> (y, _), mask = layer.fwd((), x, (), jax.random.key(1))
        >>> bool((y == jnp.where(mask, 2, 0)).all())
        True
    """
    rate = require_number(
        "dropout expects a rate in [0, 1), the probability of dropping an entry", rate, lambda rate: 0 <= rate < 1
    )
    keep = 1 - rate

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return x

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        if key is None:
            raise ValueError("dropout needs a random key in training: pass key=jax.random.key(0), a new one each step")
        require_floating("dropout", x)
        # float32 odds, whatever x is: a check in float64 must see the mask that float32 training sees.
        mask = jax.random.bernoulli(key, np.float32(keep), x.shape)
        y, mask = dropout_fwd(x, mask, keep)
        return (y, state), mask

    def bwd(mask: jax.Array, dy: jax.Array):
        return dropout_bwd(mask, dy, keep)

    return Layer("dropout", no_params, forward, fwd, bwd)
