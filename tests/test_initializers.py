"""Starting values have the variances that their papers state, over fan_in and fan_out of any weight array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn import initializers

VARIANCE = {
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "xavier_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
}


@pytest.mark.parametrize("name", VARIANCE)
@pytest.mark.parametrize(("shape", "fans"), [((300, 200), (200, 300)), ((40, 5, 5, 60), (1500, 1000))], ids=str)
def test_mean_and_variance(name, shape, fans, key):
    """Over 60,000 draws the sample variance is off by about 0.6 %, the mean by 0.004 deviations."""
    W = np.asarray(getattr(initializers, name)(key, shape), np.float64)
    expected = VARIANCE[name](*fans)
    assert abs(W.var() / expected - 1) < 0.03
    assert abs(W.mean()) < 0.02 * np.sqrt(expected)


@pytest.mark.parametrize(("name", "bound"), [("xavier_uniform", np.sqrt(6 / 500)), ("he_uniform", np.sqrt(6 / 200))])
def test_uniform_bounds(name, bound, key):
    W = np.abs(getattr(initializers, name)(key, (300, 200)))
    assert 0.999 * bound < W.max() <= bound


@pytest.mark.parametrize("shape", [(5, 5), (7, 4), (4, 7), (6, 2, 2, 3)], ids=str)
def test_orthogonal_rows_or_columns(shape, key):
    with jax.enable_x64(True):
        W = initializers.orthogonal(key, shape)
        assert W.shape == shape
        flat = np.asarray(W).reshape(shape[0], -1)
        gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)


def test_orthogonal_is_not_the_same_matrix_twice(key):
    a, b = (initializers.orthogonal(k, (4, 4)) for k in jax.random.split(key))
    assert np.abs(a - b).max() > 0.1


def test_simple_ones(key):
    assert initializers.zeros(key, (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert initializers.constant(0.5)(key, (2,)).tolist() == [0.5, 0.5]
    assert abs(np.std(initializers.normal(3.0)(key, (10_000,))) - 3) < 0.1


@pytest.mark.parametrize("x64", [False, True])
def test_dtype_follows_x64(x64, key):
    with jax.enable_x64(x64):
        for name in [*VARIANCE, "zeros", "orthogonal"]:
            assert getattr(initializers, name)(key, (2, 2)).dtype == jnp.result_type(float)
        assert initializers.constant(1)(key, (2, 2)).dtype == jnp.result_type(float)


@pytest.mark.parametrize("shape", [(7, 5), (64, 300)], ids=str)
@pytest.mark.parametrize("name", sorted(VARIANCE))
def test_the_same_bits_within_jit_as_without(name, shape, key):
    initializer = getattr(initializers, name)
    np.testing.assert_array_equal(jax.jit(initializer, static_argnums=1)(key, shape), initializer(key, shape))


def test_a_run_starts_with_what_init_gives(key):
    net = fnn.mlp(30, 20, 10)
    started = fnn.init_train_state(net, fnn.adam(), key).params
    for mine, expected in zip(
        jax.tree.leaves(started), jax.tree.leaves(net.init(jax.random.split(key)[0])), strict=True
    ):
        np.testing.assert_array_equal(mine, expected)
