"""Small data sets in the plane, generated from a key: one key gives one set, bit for bit.

All but `blobs` cannot be separated by a straight line, which is what a hidden layer is for. Classes are as
equal in size as n allows, the rows are shuffled, x is float32 and y int32. Noise is Gaussian, in the units of
x.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fnn.datasets.examples import Examples
from fnn.validation import require_key, require_number, require_whole


def xor(key: jax.Array | None = None, n: int = 4, *, noise: float = 0.1) -> Examples:
    """Make the exclusive-or problem, y = x₁ ⊕ x₂: the four exact points, or noisy ones around them.

    Args:
        key: None for the four corners (0, 0), (0, 1), (1, 0), (1, 1) themselves, in this order and without
            noise.
        n: number of points; with no key it is 4.
        noise: standard deviation around a corner.

    Returns:
        x (n, 2) float32, y (n,) int32: 1 where exactly one coordinate is (about) 1.

    Raises:
        ValueError: n is not 4 and there is no key; or a number is out of range.

    Examples:
        >>> x, y = xor()
        >>> y
        Array([0, 1, 1, 0], dtype=int32)
    """
    if key is None:
        if n != 4:
            raise ValueError(f"xor without a key has exactly n=4 points, got n={n}; pass key=jax.random.key(0)")
        corner = jnp.arange(4, dtype=jnp.int32)
        return Examples(_corners(corner), _xor_label(corner))
    corner_key, noise_key = _keys(key, "xor", n, 2, noise, 2)
    # Corners in an order with labels 0 1 0 1, so that the classes stay equal when n is not a multiple of 4.
    label = _labels(corner_key, n, 4)
    corner = jnp.array([0, 1, 3, 2], dtype=jnp.int32)[label]
    return Examples(_corners(corner) + _noise(noise_key, n, noise), _xor_label(corner))


def _corners(corner: jax.Array) -> jax.Array:
    return jnp.stack([corner // 2, corner % 2], axis=1).astype(jnp.float32)


def _xor_label(corner: jax.Array) -> jax.Array:
    return (corner // 2) ^ (corner % 2)


def spirals(key: jax.Array, n: int = 200, *, classes: int = 2, noise: float = 0.02, turns: float = 1.0) -> Examples:
    """Make interleaved spirals, one arm a class: x = r (cos φ, sin φ) + noise.

    The angle is φ = 2π (turns · r + y / classes) and the radius r = √u with u uniform on [0, 1), so the arms
    start together at the origin and few points lie there.

    Args:
        key: all randomness.
        n: number of points, at least one a class.
        classes: number of arms.
        noise: standard deviation; arms are 1 / (classes · turns) apart.
        turns: how often an arm goes around.

    Returns:
        x (n, 2) float32, y (n,) int32 in [0, classes).

    Raises:
        TypeError, ValueError: a number that is none or out of range, or key is no random key.
    """
    require_number("spirals expects turns as one number", turns)
    label_key, radius_key, noise_key = _keys(key, "spirals", n, classes, noise, 3)
    y = _labels(label_key, n, classes)
    r = jnp.sqrt(jax.random.uniform(radius_key, (n,), jnp.float32))
    angle = 2 * np.pi * (turns * r + y.astype(jnp.float32) / classes)
    return Examples(_polar(r, angle) + _noise(noise_key, n, noise), y)


def moons(key: jax.Array, n: int = 200, *, noise: float = 0.1) -> Examples:
    """Make two interleaved half circles, (cos φ, sin φ) and (1 − cos φ, ½ − sin φ), plus noise.

    The angle φ is uniform on [0, π).

    Args:
        key: all randomness.
        n: number of points, at least 2.
        noise: standard deviation; the half circles have radius 1.

    Returns:
        x (n, 2) float32, y (n,) int32: 0 on the upper half circle, 1 on the lower.

    Raises:
        TypeError, ValueError: a number that is none or out of range, or key is no random key.
    """
    label_key, angle_key, noise_key = _keys(key, "moons", n, 2, noise, 3)
    y = _labels(label_key, n, 2)
    upper = _polar(jnp.ones(n, jnp.float32), jax.random.uniform(angle_key, (n,), jnp.float32, 0, np.pi))
    lower = jnp.array([1.0, 0.5], dtype=jnp.float32) - upper
    x = jnp.where(y[:, None] == 0, upper, lower)
    return Examples(x + _noise(noise_key, n, noise), y)


def circles(key: jax.Array, n: int = 200, *, noise: float = 0.05, inner: float = 0.5) -> Examples:
    """Make a circle inside a circle: x = r (cos φ, sin φ) + noise, r = 1 or `inner`, φ uniform on [0, 2π).

    Args:
        key: all randomness.
        n: number of points, at least 2.
        noise: standard deviation; the outer circle has radius 1.
        inner: radius of the inner circle, in (0, 1).

    Returns:
        x (n, 2) float32, y (n,) int32: 0 on the outer circle, 1 on the inner.

    Raises:
        TypeError, ValueError: a number that is none or out of range, or key is no random key.
    """
    require_number("circles expects inner, a radius, in (0, 1)", inner, lambda inner: 0 < inner < 1, "0.5 is usual")
    label_key, angle_key, noise_key = _keys(key, "circles", n, 2, noise, 3)
    y = _labels(label_key, n, 2)
    r = jnp.where(y == 0, jnp.float32(1), jnp.float32(inner))
    angle = jax.random.uniform(angle_key, (n,), jnp.float32, 0, 2 * np.pi)
    return Examples(_polar(r, angle) + _noise(noise_key, n, noise), y)


def blobs(
    key: jax.Array,
    n: int = 200,
    *,
    classes: int = 3,
    dimensions: int = 2,
    spread: float = 1.0,
    radius: float = 5.0,
) -> Examples:
    """Make Gaussian clouds, one a class, around `radius` · (cos φ, sin φ, 0, …), φ = 2π y / classes.

    Args:
        key: all randomness.
        n: number of points, at least one a class.
        classes: number of clouds.
        dimensions: d, at least 2; the centres lie in the plane of the first two.
        spread: standard deviation of a cloud in each dimension.
        radius: distance of the centres from the origin.

    Returns:
        x (n, d) float32, y (n,) int32 in [0, classes).

    Raises:
        TypeError, ValueError: a number that is none or out of range, or key is no random key.
    """
    dimensions = require_whole(
        "blobs expects dimensions of at least 2", dimensions, least=2, remedy="the centres lie on a circle"
    )
    require_number("blobs expects radius as one number", radius)
    label_key, noise_key = _keys(key, "blobs", n, classes, spread, 2)
    y = _labels(label_key, n, classes)
    angle = 2 * np.pi * y.astype(jnp.float32) / classes
    centres = _polar(jnp.full(n, radius, jnp.float32), angle)
    centres = jnp.pad(centres, ((0, 0), (0, dimensions - 2)))
    return Examples(centres + _noise(noise_key, n, spread, dimensions), y)


def _keys(key: jax.Array, name: str, n: int, classes: int, noise: float, count: int) -> jax.Array:
    """Check what all sets take, then give each source of randomness its own key."""
    require_key(name, key)
    classes = require_whole(f"{name} expects classes as a whole number of at least 1", classes)
    require_whole(
        f"{name} expects n as a whole number, at least one point for each of {classes} classes", n, least=classes
    )
    require_number(
        f"{name} expects noise, a standard deviation, finite and at least 0",
        noise,
        lambda std: std >= 0,
        "use 0 for none",
    )
    return jax.random.split(key, count)


def _labels(key: jax.Array, n: int, classes: int) -> jax.Array:
    return jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32) % classes)


def _polar(r: jax.Array, angle: jax.Array) -> jax.Array:
    return r[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _noise(key: jax.Array, n: int, deviation: float, dimensions: int = 2) -> jax.Array:
    return deviation * jax.random.normal(key, (n, dimensions), jnp.float32)
