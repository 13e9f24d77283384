"""The matrix product of the float32 layers, in the form that suits its size."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

# Multiplications up to which writing a product out is faster: its call into a library costs about 1 µs whatever its
# size, while a few thousand multiplications fuse with their neighbours. Measured: 2-8-1 in a scan takes 0.2 to 0.3 of
# the time; from about 4,000 multiplications on the library wins.
TINY = 2048


def product(
    left: jax.Array,
    right: jax.Array,
    *,
    transpose_left: bool = False,
    transpose_right: bool = False,
    out_sharding: Any = None,
) -> jax.Array:
    """Multiply two matrices, C = A B; tiny ones entry by entry, c[i, j] = Σ_k a[i, k] b[k, j].

    A transposition is part of the product, as in every library of matrix products: the step has fewer operations to
    trace and to lower.

    Dtypes that differ are promoted first, as `jnp.matmul` does.

    Args:
        left: A, (m, k), or (k, m) to be transposed.
        right: B, (k, n), or (n, k) to be transposed.
        transpose_left: C = Aᵀ B.
        transpose_right: C = A Bᵀ.
        out_sharding: how C lies over a mesh with explicit axes, where the contracted axis is spread over devices.

    Returns:
        C, (m, n). Both forms add the same terms, in another order.

    Examples:
        >>> product(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]), transpose_right=True)
        Array([[11.]], dtype=float32)
    """
    if left.dtype != right.dtype:
        wide = jnp.promote_types(left.dtype, right.dtype)
        left, right = left.astype(wide), right.astype(wide)
    summed_left, summed_right = int(not transpose_left), int(transpose_right)
    sizes = (*left.shape, right.shape[1 - summed_right])
    if all(isinstance(size, int) for size in sizes) and math.prod(sizes) <= TINY:
        return _written_out(left.T if transpose_left else left, right.T if transpose_right else right)
    contracted = ((summed_left,), (summed_right,)), ((), ())
    return jax.lax.dot_general(left, right, contracted, out_sharding=out_sharding)


@partial(jax.jit, inline=True)  # one program also where nothing else compiles it
def _written_out(A: jax.Array, B: jax.Array) -> jax.Array:
    return (A[:, :, None] * B[None]).sum(axis=1)
