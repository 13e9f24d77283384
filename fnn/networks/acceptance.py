"""What a network accepts as examples, targets, weights and learning rate: looked at before anything is compiled.

Shapes are checked under every transformation, values wherever the host can read them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Shape
from fnn.losses.base import Loss
from fnn.losses.targets import check_weights
from fnn.validation import as_numbers, on_host, require_number, without_wrapping, wraps_around


def check_examples(x: Any, input_shape: Shape) -> Any:
    """Refuse x that is not a batch of what a network was made for.

    Args:
        x: what should be (n, *input_shape), n at least 1.
        input_shape: shape of one example.

    Returns:
        x as an array.

    Raises:
        TypeError: x is no array.
        ValueError: says expected, received, remedy.
    """
    x = as_numbers("x", x)
    shape = x.shape
    if len(shape) == 0 or shape[1:] != input_shape:
        expected = ", ".join(["n", *map(str, input_shape)])
        one = "; for one example pass x[None]" if shape == input_shape else ""
        raise ValueError(f"expected x of shape ({expected}), one example a row, got {shape}{one or '; reshape it'}")
    if shape[0] == 0:
        raise ValueError("expected at least one example, got x with 0 rows; check the selection that made it")
    if wraps_around(x):
        raise ValueError(
            f"expected x as numbers that 32 bits hold, got {x.dtype} from {x.min():.4g} to {x.max():.4g}, which would "
            "wrap around; subtract an offset or scale them, then convert with x.astype('float32')"
        )
    return x


def check_targets(y: Any, n: int, loss: Loss, outputs: int) -> Any:
    """Refuse targets that don't match the examples row by row, or that the loss has no use for.

    Args:
        y: what should be n targets.
        n: number of examples.
        loss: the loss that takes them.
        outputs: number of outputs of the network.

    Returns:
        y as an array.

    Raises:
        TypeError: y is no array.
        ValueError: says expected, received, remedy, and names rows where data is at fault.
    """
    y = as_numbers("y", y)
    if len(y.shape) == 0:
        raise ValueError(
            f"expected y as an array with one row an example, got {type(y).__name__}; convert it with numpy.asarray(y)"
        )
    if y.shape[0] != n:
        raise ValueError(f"expected one target an example, got {y.shape[0]} for {n}; x and y must match row by row")
    if on_host(y):
        loss.validate(np.asarray(y), outputs)
    return without_wrapping(y)


def check_example_weights(weights: Any, n: int) -> Any:
    """Refuse weights that are not one an example, finite and at least 0.

    Args:
        weights: what should be (n,).
        n: number of examples.

    Returns:
        The weights as an array.

    Raises:
        TypeError: weights are no array.
        ValueError: says expected, received, remedy, and names rows.
    """
    weights = as_numbers("weights", weights)
    if np.shape(weights) != (n,):
        raise ValueError(
            f"weights: expected one an example, shape {(n,)}, got {np.shape(weights)}; "
            "for class weights pass class_weights[y]"
        )
    if on_host(weights):
        check_weights(np.asarray(weights))
    return without_wrapping(weights)


def as_rate(learning_rate: float | jax.Array) -> Any:
    """One dtype for every learning rate, so that its Python type never causes another compilation.

    Args:
        learning_rate: α, a number or scalar array.

    Returns:
        A scalar array.

    Raises:
        TypeError, ValueError: it is something else, NaN, infinite or below 0.
    """
    dtype = jnp.result_type(float)
    if isinstance(learning_rate, jax.Array) and not on_host(learning_rate) and np.shape(learning_rate) == ():
        return learning_rate.astype(dtype)
    rate = require_number("expected learning_rate, at least 0, as one number", learning_rate, lambda rate: rate >= 0)
    return np.asarray(rate, dtype)
