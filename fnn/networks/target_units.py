"""Targets of any scale: the network computes in their units, the loss is taken in standardized ones.

Behind the network's last layer stands one more, Ŷ = μ + σ Z, whose μ and σ are state: statistics of the training
targets, like those of `standardize_inputs`. The loss undoes it with the same numbers, L((Ŷ − μ)/σ, (Y − μ)/σ), so that
gradients and rates are those of targets of mean 0 and deviation 1, while all predictions are in the target's unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, Shape, State, no_params
from fnn.layers.combinators import is_chain, serial
from fnn.losses.base import Loss
from fnn.preprocessing.scaling import Standardizer
from fnn.recipes import Recipe, recipe


@dataclass(frozen=True, eq=False, repr=False)
class TargetScaling(Recipe):
    """How a network's targets are scaled; made by `standardize_targets`."""


@recipe
def standardize_targets() -> TargetScaling:
    """Let a regression network learn targets of any scale: `network(..., targets=standardize_targets())`.

    Each output's mean and deviation are taken of the training targets by `fit`, or by `fnn.adapt(net, x, y)`, and are
    the network's state. Predictions are in the target's unit; the loss, and with it gradients, history and `evaluate`,
    is taken in standardized units: a mean squared error of 1 is that of the constant mean.

    Returns:
        What `network` takes as targets.

    Examples:
        >>> import fnn
        >>> net = fnn.network(fnn.dense(1), fnn.mean_squared_error, input_shape=(1,), targets=standardize_targets())
        >>> state = fnn.adapt(net, [[0.0], [0.0]], [[1000.0], [3000.0]])
        >>> print(net.forward(jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0))), [[5.0]], state))
        [[2000.]]
    """
    return TargetScaling()


def target_units_fwd(params, z: jax.Array, state: Standardizer):
    """Map standardized predictions to the target's unit, Ŷ = μ + σ Z.

    Args:
        params: ().
        z: (n, d_out).
        state: μ and σ of the training targets, (d_out,); a target that was constant has σ = 0, and 1 takes its place.

    Returns:
        ŷ: (n, d_out), and σ, that the backward reads.

    Raises:
        ValueError: the state is missing.
    """
    if not isinstance(state, Standardizer):
        raise ValueError(
            f"standardize_targets needs its state, a Standardizer, got {type(state).__name__}; pass "
            "state=fnn.adapt(net, x, y) with the training data, or the state that training returned"
        )
    mean, deviation = _statistics(state, z.dtype)
    return mean + deviation * z, deviation


def target_units_bwd(deviation: jax.Array, dy: jax.Array):
    """Pull the gradient back to standardized predictions.

    Derivation:
        μ and σ are constants of training, so ∂ŷ/∂z = σ entry by entry, and dZ = σ ⊙ dŶ.
    """
    return (), deviation * dy


@recipe
def target_units() -> Layer:
    """The layer that maps standardized predictions to the target's unit; `network` puts it last."""

    def forward(params: Params, z: jax.Array, state: State = ()) -> jax.Array:
        return target_units_fwd(params, z, state)[0]

    def fwd(params: Params, z: jax.Array, state: State, key: jax.Array | None):
        y, deviation = target_units_fwd(params, z, state)
        return (y, state), deviation

    def init_state(shape: Shape) -> Standardizer:
        return Standardizer(jnp.zeros(shape), jnp.ones(shape))

    return Layer("target_units", no_params, forward, fwd, target_units_bwd, init_state)


def in_target_units(layer: Layer) -> Layer:
    """A layer with `target_units` behind it.

    Args:
        layer: whose outputs are standardized predictions.
    """
    return serial(*(layer.children if is_chain(layer) else (layer,)), target_units())


def standardized(loss: Loss, statistics: Standardizer) -> Loss:
    """A loss of predictions and targets in the target's unit, taken in standardized ones, L((Ŷ − μ)/σ, (Y − μ)/σ).

    Args:
        loss: any loss of values.
        statistics: μ and σ of the training targets.

    Returns:
        The loss.

    Derivation:
        With z = (ŷ − μ)/σ the chain rule gives ∂L/∂ŷ = (∂L/∂z)/σ, σ being a constant.
    """

    def standard(values: jax.Array, dtype: Any) -> jax.Array:
        mean, deviation = _statistics(statistics, dtype)
        return (values.astype(dtype) - mean) / deviation

    def standardized_fwd(z, y, weights):
        value, kept = loss.fwd(standard(z, z.dtype), standard(jnp.asarray(y), z.dtype), weights)
        return value, (kept, _statistics(statistics, z.dtype)[1])

    def standardized_bwd(residuals, dvalue):
        kept, deviation = residuals
        return loss.bwd(kept, dvalue) / deviation

    changed = replace(loss, name=f"standardized {loss.name}", fwd=standardized_fwd, bwd=standardized_bwd)
    distance = loss.kink
    if distance is None:
        return changed

    def kink(z, y):
        return distance(standard(z, z.dtype), standard(jnp.asarray(y), z.dtype)) * _statistics(statistics, z.dtype)[1]

    return replace(changed, kink=kink)


def _statistics(state: Standardizer, dtype: Any) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(state.mean, dtype), jnp.where(state.std == 0, 1, state.std).astype(dtype)
