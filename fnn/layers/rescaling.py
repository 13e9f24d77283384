"""Layers that make raw examples fit for those behind them: `rescale`, `standardize_inputs` and `flatten`."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, Shape, State, lift, no_params, stateless
from fnn.preprocessing.scaling import Standardizer, standardize
from fnn.recipes import constant, recipe
from fnn.validation import require_number


@recipe
def rescale(factor: float) -> Layer:
    """Multiply by a constant, y = factor · x; takes integers, too.

    Put first, it keeps uint8 images one byte a pixel wherever they are stored; each batch becomes float32 within the
    compiled step.

    Args:
        factor: the constant, such as 1 / 255 for images.

    Returns:
        A layer without parameters.

    Derivation:
        ∂y/∂x = factor, so dX = factor · dY.

    Raises:
        TypeError, ValueError: factor is no finite number.

    Examples:
        >>> rescale(0.5).forward((), jnp.array([[4, 6]], jnp.uint8))
        Array([[2., 3.]], dtype=float32)
    """
    factor = require_number("rescale expects factor as one number", factor, remedy="to scale each feature, do so to x")

    def rescale_fwd(params, x):
        return factor * _as_floats(x), ()

    def rescale_bwd(residuals, dy):
        return (), factor * dy

    return stateless("rescale", no_params, rescale_fwd, rescale_bwd)


def standardize_inputs_fwd(params, x: jax.Array, state: Standardizer):
    """Map each feature to mean 0 and deviation 1 of the training data, Y = (X − μ) / σ.

    Args:
        params: ().
        x: (n, *shape), integers or floating point.
        state: μ and σ, like one example; a feature that was constant, with σ = 0, is only shifted.

    Returns:
        y: like x, and σ, with 1 in the place of 0, that the backward reads.

    Raises:
        ValueError: the state is missing, or examples have another shape than it.
    """
    if not isinstance(state, Standardizer):
        raise ValueError(
            f"standardize_inputs needs its state, a Standardizer, got {type(state).__name__}; pass "
            "state=fnn.adapt(net, x) with the training data, or the state that training returned"
        )
    if x.shape[1:] != state.mean.shape:
        raise ValueError(f"standardize_inputs expects x of shape (n, *{state.mean.shape}), got {x.shape}; reshape it")
    x = _as_floats(x)
    mean, deviation = state.mean.astype(x.dtype), jnp.where(state.std == 0, 1, state.std).astype(x.dtype)
    return (x - mean) / deviation, deviation


def standardize_inputs_bwd(deviation: jax.Array, dy: jax.Array):
    """Pull the gradient back through the scaling.

    Derivation:
        μ and σ are statistics of the whole training data, fixed before the first step: constants here, unlike those
        of batch_norm. So ∂y/∂x = 1/σ entry by entry, and dX = dY / σ.
    """
    return (), dy / deviation


@recipe
def standardize_inputs() -> Layer:
    """Scale each feature to mean 0 and deviation 1, with the statistics of the training data: they belong to the model.

    Its mean and deviation are state. `fit` takes them of the training data before its first step, `fnn.adapt(net, x)`
    does so anywhere else; until then they are 0 and 1. They are saved with the network, and new data are scaled by the
    statistics of those that it was trained on.

    Returns:
        A layer without parameters, whose state is a `fnn.preprocessing.Standardizer`; put it first, behind nothing
        that learns.

    Raises:
        ValueError: in use, a missing state or examples of another shape.

    Examples:
        >>> import fnn
        >>> net = fnn.network(fnn.serial(standardize_inputs(), fnn.dense(1)), fnn.huber(), input_shape=(2,))
        >>> state = fnn.adapt(net, [[1.0, 100.0], [3.0, 500.0]])
        >>> standardize_inputs().forward((), jnp.array([[3.0, 100.0]]), state[0])
        Array([[ 1., -1.]], dtype=float32)
    """

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return standardize_inputs_fwd(params, x, state)[0]

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        y, deviation = standardize_inputs_fwd(params, x, state)
        return (y, state), deviation

    def init_state(shape: Shape) -> Standardizer:
        return Standardizer(jnp.zeros(shape), jnp.ones(shape))

    return Layer("standardize_inputs", no_params, forward, fwd, standardize_inputs_bwd, init_state, adapt=statistics_of)


def statistics_of(x) -> Standardizer:
    """Mean and deviation of the rows of a table as a layer's state: found in float64, kept in the usual precision.

    Args:
        x: (n, ...), any numeric type.
    """
    return Standardizer(*(jnp.asarray(value, jnp.result_type(float)) for value in standardize(x)))


def _as_floats(x: jax.Array) -> jax.Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def flatten_fwd(params, x: jax.Array):
    """Lay each example out as one vector: (n, ...) -> (n, d), the last axis fastest.

    Args:
        params: ().
        x: batch of arrays, (n, h, w) images for instance.

    Returns:
        y: (n, d), and an empty array (0, ...) that carries the shape of an example.
    """
    return x.reshape(x.shape[0], -1), x[:0]


def flatten_bwd(empty, dy: jax.Array):
    """Give the gradient the shape of the examples.

    Derivation:
        y holds the entries of x in the same order, so dX holds those of dY.
    """
    return (), dy.reshape(dy.shape[0], *empty.shape[1:])


@dataclass(frozen=True, eq=False, repr=False)
class _Flatten(Layer):
    def __call__(self, *arguments: object) -> None:
        raise TypeError("fnn.flatten is a layer already, made without arguments: write fnn.flatten, without brackets")


flatten = constant("flatten", _Flatten("flatten", no_params, *lift(flatten_fwd), flatten_bwd), flatten_fwd, flatten_bwd)
