"""What a loss is, and losses made of losses.

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
from jax.typing import ArrayLike

from fnn.losses.targets import check_finite, check_weights, refuse_rows
from fnn.recipes import Recipe, recipe
from fnn.validation import as_numbers, on_host, require_number, without_wrapping


@dataclass(frozen=True, eq=False, repr=False)
class Loss(Recipe):
    """A loss as the functions that use it, and facts about itself as data.

    Attributes:
        name: what reports call it.
        link: logits -> predictions ŷ (softmax, sigmoid, identity, or any function of yours, such as jnp.exp).
        fwd: (z, y, weights) -> (value in nats or squared units, residuals).
        bwd: (residuals, dvalue) -> ∂L/∂Z, shaped like z.
        classifies: whether predictions are classes' probabilities, so that accuracy has a meaning.
        yes_or_no: whether each output answers a question of its own, so that each answer counts in the accuracy.
        sums: whether examples are added up instead of averaged.
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
    yes_or_no: bool = False
    sums: bool = False

    @property
    def link_name(self) -> str:
        """What reports call the output activation."""
        return str(getattr(self.link, "name", None) or getattr(self.link, "__name__", "link"))

    def _unmade(self) -> str:
        return self.name

    def __call__(
        self, z: ArrayLike | None = None, y: ArrayLike | None = None, weights: ArrayLike | None = None
    ) -> jax.Array:
        """Value of the loss.

        Args:
            z: logits, (n, d_out); probabilities for the losses on probabilities.
            y: targets, (n, d_out), or integer labels (n,) where the loss takes them.
            weights: weight of each example, (n,), at least 0; their sum divides. None counts all alike.

        Returns:
            A scalar.

        Raises:
            TypeError: called without arguments, as a constructor would be.
            ValueError: shapes that don't fit, labels out of range, rows that are no distribution, NaN, weights below
                0; logits where probabilities are due.
        """
        if z is None and y is None:
            raise TypeError(
                f"{self!r} expects z and y, got neither; it is a loss already: write {self!r} without brackets, or "
                f"{self!r}(z, y) on values"
            )
        logits, targets = as_numbers("z", z), as_numbers("y", y)
        shares = None if weights is None else as_numbers("weights", weights)
        if on_host(targets) and logits.ndim == 2:
            self.validate(np.asarray(targets), logits.shape[1])
        if self.takes_probabilities and on_host(logits):
            p = np.asarray(logits)
            refuse_rows((p < 0) | (p > 1), "probabilities must lie in [0, 1]", "for logits take the loss on logits")
        if shares is not None and on_host(shares):
            check_weights(np.asarray(shares))
        logits, targets = (jnp.asarray(without_wrapping(array)) for array in (logits, targets))
        return self.fwd(logits, targets, None if shares is None else jnp.asarray(without_wrapping(shares)))[0]


@recipe
def scaled(loss: Loss, factor: float) -> Loss:
    """The same loss times a constant: ½ of a squared error, or 1/d_out of it for a mean over outputs as well.

    Args:
        loss: any loss.
        factor: the constant.

    Returns:
        The loss; its gradient is factor times that of `loss`.

    Raises:
        TypeError, ValueError: loss is no loss, factor no finite number.
    """
    _require_loss("scaled", loss)
    factor = require_number("scaled expects factor as one number", factor, remedy="scaled(loss, 0.5) halves a loss")

    def scaled_fwd(z, y, weights):
        value, residuals = loss.fwd(z, y, weights)
        return factor * value, residuals

    def scaled_bwd(residuals, dvalue):
        return loss.bwd(residuals, factor * dvalue)

    return replace(loss, name=f"{factor:g} * {loss.name}", fwd=scaled_fwd, bwd=scaled_bwd)


@recipe
def summed(loss: Loss) -> Loss:
    """The same loss summed over examples instead of averaged: a log-likelihood, say.

    Args:
        loss: any loss.

    Returns:
        The loss; with weights, Σ_i w_i ℓ_i, else Σ_i ℓ_i.

    Derivation:
        A mean over n examples times n is their sum, and the gradient is n times as large; with weights, Σ w takes the
        place of n.

    Raises:
        TypeError: loss is no loss.
    """
    _require_loss("summed", loss)

    def total(z, weights):
        return jnp.asarray(z.shape[0], z.dtype) if weights is None else weights.astype(z.dtype).sum()

    def summed_fwd(z, y, weights):
        value, residuals = loss.fwd(z, y, weights)
        return total(z, weights) * value, (residuals, total(z, weights))

    def summed_bwd(residuals, dvalue):
        kept, count = residuals
        return loss.bwd(kept, count * dvalue)

    return replace(loss, name=f"summed {loss.name}", fwd=summed_fwd, bwd=summed_bwd, sums=True)


def _require_loss(who: str, loss: Any) -> None:
    if not isinstance(loss, Loss):
        raise TypeError(f"{who} expects a loss such as fnn.mean_squared_error or fnn.huber(), got {loss!r:.80}")
