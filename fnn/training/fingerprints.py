"""Fingerprints of arrays: 64 bits that tell contents apart, computed where the arrays lie.

Each entry is a word of 32 bits that is stirred together with its place; the stirred words are summed modulo 2³². Sums
of integers do not depend on their order, so NumPy's arrays, JAX's, and those that are spread over devices have the same
fingerprint where their contents are the same, and two entries that have changed places have another. An array of 60,000
images takes a few passes over it, all in one loop. Equal contents are meant here, not forged ones: it is no signature.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_GOLDEN = 0x9E3779B9  # 2³² divided by the golden ratio: successive multiples lie far apart


def fingerprint(tree: Any) -> str:
    """Describe an array, or a tree of arrays, by kind, shape and content.

    Args:
        tree: arrays, NumPy's or JAX's; None is "none". What JAX would keep counts: float64 numbers as float32, unless
            JAX is told otherwise, and labels of any width of integers are the same labels.

    Returns:
        Such as "float32 (20, 3) with content 1b873593e6546b64".
    """
    leaves = [jnp.asarray(_plain(leaf)) for leaf in jax.tree.leaves(tree)]
    if tree is None or not leaves:
        return "none"
    kinds = [f"{_kind(leaf)} {leaf.shape}" for leaf in leaves]
    words = [np.asarray(content).tolist() for content in [_content(leaf) for leaf in leaves]]
    content = "".join(f"{word:08x}" for word in (words[0] if len(leaves) == 1 else _folded(words)))
    return f"{kinds[0] if len(leaves) == 1 else f'{len(leaves)} arrays'} with content {content}"


def _plain(leaf: Any) -> Any:
    """A random key as the numbers that it consists of."""
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _kind(leaf: jax.Array) -> str:
    return leaf.dtype.name if jnp.issubdtype(leaf.dtype, jnp.inexact) else "integers"


def _folded(words: list[list[int]]) -> tuple[int, int]:
    """One fingerprint for several, in their order, by the polynomial whose coefficients they are."""
    first = second = 0
    for one, other in words:
        first, second = (first * 0x01000193 + one) % 2**32, (second * 0x85EBCA6B + other) % 2**32
    return first, second


def _words(leaf: jax.Array) -> jax.Array:
    """The entries as words of 32 bits; 0 and −0 are one number, and train alike."""
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        leaf = jnp.where(leaf == 0, jnp.zeros_like(leaf), leaf)
        if leaf.dtype.itemsize < 4:
            leaf = leaf.astype(jnp.float32)
    elif leaf.dtype.itemsize < 4:
        leaf = leaf.astype(jnp.int32)
    return jax.lax.bitcast_convert_type(leaf, jnp.uint32)  # of 64 bits two words, in an axis of their own


@jax.jit
def _content(leaf: jax.Array) -> jax.Array:
    """Two words, (2,); one program for all arrays of a shape."""
    words = _words(leaf)
    place = jnp.zeros(words.shape, jnp.uint32)
    for axis in range(words.ndim):
        stride = math.prod(words.shape[axis + 1 :]) % 2**32
        place += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * jnp.uint32(stride)
    place = _stirred(place + jnp.uint32(_GOLDEN))
    sums = [_stirred(words ^ place), _stirred(words * jnp.uint32(_GOLDEN) + place)]
    return jnp.stack([stirred.sum(dtype=jnp.uint32) for stirred in sums])


def _stirred(word: jax.Array) -> jax.Array:
    """A bijection of 32-bit words in which each bit of the argument reaches each bit of the value.

    References:
        Appleby, MurmurHash3 (2011), its last step.
    """
    word = (word ^ (word >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> jnp.uint32(16))
