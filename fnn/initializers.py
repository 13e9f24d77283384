"""Starting values for weights: (key, shape) -> array.

A weight array holds one neuron a row: its first axis counts outputs, its last axis inputs, and whatever lies between
is the window of a convolution. So W (d_out, d_in) has fan_in = d_in and fan_out = d_out, and a kernel
(c_out, h, w, c_in) has fan_in = h·w·c_in and fan_out = h·w·c_out.

The aim of every rule is that activations, forward, and gradients, backward, keep their variance from layer to layer.
Arrays are float32, or float64 where x64 is enabled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from fnn.recipes import Recipe, recipe
from fnn.validation import require_function, require_key, require_number, require_whole

__all__ = [
    "constant",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "normal",
    "orthogonal",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Shape = tuple[int, ...]
Initializer = Callable[[jax.Array, Shape], jax.Array]


@dataclass(frozen=True, eq=False, repr=False)
class MadeInitializer(Recipe):
    """An initializer with a number in it, which knows how it was made."""

    draw: Initializer

    def __call__(self, key: jax.Array, shape: Shape) -> jax.Array:
        """Draw starting values: (key, shape) -> array."""
        return self.draw(key, shape)


def require_initializer(who: str, initializer: Initializer) -> None:
    """Refuse what can't be called with a key and a shape: a name, an array, a constructor such as `normal`.

    Args:
        who: who expects it, for the message.
        initializer: what was received.

    Raises:
        TypeError: it is no such function.
    """
    require_function(
        f"{who} expects an initializer (key, shape) -> array, such as fnn.initializers.he_normal or normal(0.1)",
        initializer,
        arguments=2,
    )


def zeros(key: jax.Array, shape: Shape) -> jax.Array:
    """All zeros. For biases; in weights it keeps all neurons of a layer alike for ever.

    Args:
        key: not used.
        shape: shape of the array.
    """
    return jnp.zeros(_sizes(shape))


@recipe
def constant(value: float) -> MadeInitializer:
    """One number everywhere. In weights it keeps all neurons of a layer alike for ever, as zeros do.

    Args:
        value: the number.

    Returns:
        An initializer (key, shape) -> array.

    Raises:
        TypeError, ValueError: value is no finite number.
    """
    number = require_number("constant expects one number", value)
    return MadeInitializer(lambda key, shape: jnp.full(_sizes(shape), number, dtype=float))


@recipe
def normal(std: float) -> MadeInitializer:
    """Independent draws from N(0, std²).

    Args:
        std: standard deviation, at least 0.

    Returns:
        An initializer (key, shape) -> array.

    Raises:
        TypeError, ValueError: std is no number of at least 0.
    """
    number = require_number("normal expects a standard deviation of at least 0", std, lambda std: std >= 0)
    return MadeInitializer(lambda key, shape: _normal(key, shape, number))


def xavier_normal(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws from N(0, 2 / (fan_in + fan_out)), for layers followed by tanh or nothing.

    The variance is the harmonic mean of the one that keeps activations, 1/fan_in, and the one that keeps gradients,
    1/fan_out. Behind a sigmoid, whose outputs have mean ½ rather than 0, signals fade all the same.

    Args:
        key: random key.
        shape: (d_out, ..., d_in).

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks (2010), eq. 12.
    """
    fan_in, fan_out = _fans(shape)
    return _normal(key, shape, math.sqrt(2 / (fan_in + fan_out)))


def xavier_uniform(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws from U(−r, r), r = √(6 / (fan_in + fan_out)): the variance of `xavier_normal`, since r²/3 is U's.

    Args:
        key: random key.
        shape: (d_out, ..., d_in).

    References:
        Glorot and Bengio (2010), eq. 16.
    """
    fan_in, fan_out = _fans(shape)
    return _uniform(key, shape, math.sqrt(6 / (fan_in + fan_out)))


def he_normal(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws from N(0, 2 / fan_in), for layers followed by relu: relu halves the second moment, the 2 restores it.

    The 2 / fan_in is a variance; the standard deviation is its root.

    Args:
        key: random key.
        shape: (d_out, ..., d_in).

    References:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), eq. 10.
    """
    fan_in, _ = _fans(shape)
    return _normal(key, shape, math.sqrt(2 / fan_in))


def he_uniform(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws from U(−r, r), r = √(6 / fan_in): the variance of `he_normal`.

    Args:
        key: random key.
        shape: (d_out, ..., d_in).

    References:
        He, Zhang, Ren and Sun (2015), eq. 10.
    """
    fan_in, _ = _fans(shape)
    return _uniform(key, shape, math.sqrt(6 / fan_in))


def lecun_normal(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws from N(0, 1 / fan_in), which keeps the variance of activations through linear layers.

    Args:
        key: random key.
        shape: (d_out, ..., d_in).

    References:
        LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), eq. 16.
    """
    fan_in, _ = _fans(shape)
    return _normal(key, shape, math.sqrt(1 / fan_in))


def orthogonal(key: jax.Array, shape: Shape) -> jax.Array:
    """A random matrix with orthonormal rows, or columns where there are more rows; uniform over all such.

    W is seen as (d_out, everything else). A linear layer with such a W keeps the length of what it maps, so a deep
    linear network neither explodes nor vanishes.

    Args:
        key: random key.
        shape: (d_out, ..., d_in), at least two axes.

    Raises:
        ValueError: shape has fewer than two axes.

    References:
        Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning (2013), section 3.
    """
    _fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = jnp.linalg.qr(
        jax.random.normal(require_key("an initializer", key), (max(rows, columns), min(rows, columns)))
    )
    q = q * jnp.sign(jnp.diagonal(r))  # QR is unique, and q uniform, once the diagonal of r is positive
    return (q if rows >= columns else q.T).reshape(shape)


def _sizes(shape: Shape) -> Shape:
    expected = "an initializer expects shape as a tuple of whole numbers"
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{expected}, got {shape!r:.80}; as (10,) for ten")
    return tuple(require_whole(expected, size, least=0, within=shape) for size in shape)


def _fans(shape: Shape) -> tuple[int, int]:
    shape = _sizes(shape)
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            f"a weight initializer expects a shape (d_out, ..., d_in) without zeros, got {shape}; use zeros for biases"
        )
    return math.prod(shape[1:]), math.prod(shape[:-1])


def _normal(key: jax.Array, shape: Shape, deviation: float) -> jax.Array:
    return _scaled_normal(require_key("an initializer", key), _sizes(shape), deviation)


@partial(jax.jit, static_argnums=1, inline=True)
def _scaled_normal(key: jax.Array, shape: Shape, deviation: float) -> jax.Array:
    """One program, whose factor is kept apart from the draws: the same bits within another program as alone."""
    return deviation * jax.lax.optimization_barrier(jax.random.normal(key, shape))


def _uniform(key: jax.Array, shape: Shape, bound: float) -> jax.Array:
    return jax.random.uniform(require_key("an initializer", key), shape, minval=-bound, maxval=bound)
