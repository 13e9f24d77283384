"""The order of an epoch is that of jax.random.permutation, however it is found."""

import jax
import numpy as np
import pytest

from fnn.training.shuffling import permutation


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000, 4096, 4097, 65536, 65537, 2**21, 2**21 + 1])
def test_it_is_the_permutation_of_jax(n):
    """Powers of two and their neighbours change how many bits are left for a digit, and so the number of passes."""
    key = jax.random.key(n)
    ours, theirs = jax.jit(permutation, static_argnums=1)(key, n), jax.random.permutation(key, n)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_each_network_of_an_ensemble_has_its_own(key):
    keys = jax.random.split(key, 3)
    orders = jax.vmap(lambda key: permutation(key, 100))(keys)
    for key, order in zip(keys, orders, strict=True):
        np.testing.assert_array_equal(order, jax.random.permutation(key, 100))


def test_with_x64_it_is_the_same_in_64_bits(key):
    with jax.enable_x64():
        order = permutation(key, 1000)
        assert order.dtype == np.int64
    np.testing.assert_array_equal(order, permutation(key, 1000))
