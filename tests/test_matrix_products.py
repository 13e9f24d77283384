"""The product of the layers gives A B on both sides of the size where its form changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnn.layers import matrix_products


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (8, 16, 16), (8, 16, 17), (1, 3000, 2)], ids=str)
def test_it_is_the_matrix_product(shape, key):
    m, k, n = shape
    with jax.enable_x64(True):
        a, b = jax.random.normal(key, (m, k)), jax.random.normal(key, (k, n))
        np.testing.assert_allclose(matrix_products.product(a, b), np.asarray(a) @ np.asarray(b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("right_transposed", [False, True])
@pytest.mark.parametrize("left_transposed", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (16, 17, 18)], ids=str)
def test_either_operand_may_be_transposed(shape, left_transposed, right_transposed, key):
    m, k, n = shape
    a = np.asarray(jax.random.normal(key, (k, m) if left_transposed else (m, k)))
    b = np.asarray(jax.random.normal(key, (n, k) if right_transposed else (k, n)))
    got = matrix_products.product(a, b, transpose_left=left_transposed, transpose_right=right_transposed)
    expected = (a.T if left_transposed else a) @ (b.T if right_transposed else b)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3000])
def test_dtypes_that_differ_are_promoted(k):
    with jax.numpy_dtype_promotion("standard"):
        product = matrix_products.product(jnp.ones((1, k), jnp.bfloat16), jnp.ones((k, 1), jnp.float32))
    assert product.dtype == jnp.float32
    assert product.item() == k


@pytest.mark.parametrize(("n", "dots"), [(16, 0), (17, 1)])
def test_only_tiny_products_are_written_out(n, dots):
    lowered = jax.jit(matrix_products.product).lower(jnp.ones((8, 16)), jnp.ones((16, n)))
    assert matrix_products.TINY == 8 * 16 * 16
    assert lowered.as_text().count("dot_general") == dots


def test_a_symbolic_batch_is_never_tiny():
    """An exported network keeps its batch size open: the form can't depend on it."""
    (n,) = jax.export.symbolic_shape("n")
    x, W = jax.ShapeDtypeStruct((n, 2), jnp.float32), jax.ShapeDtypeStruct((2, 2), jnp.float32)
    assert "dot_general" in jax.export.export(jax.jit(matrix_products.product))(x, W).mlir_module()
