"""Every rule of the table, compiled as users do, against central differences; and the differences themselves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES, drawn
from compiler import WHOLE

import fnn
from fnn.verify.oracles import DIFFERENCES, as_float64, precise

as_users_do = partial(jax.jit, compiler_options=WHOLE)


def assert_close(got, expected):
    """Leaf by leaf, relative to the largest gradient of the tree."""
    got, expected = jax.device_get((got, expected))
    largest = max((np.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(expected)), default=0)
    for mine, right in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert mine.shape == right.shape
        assert np.abs(mine - right).max(initial=0) <= DIFFERENCES * largest


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_layer(case, key):
    with precise():
        params, x, dy = as_float64(case.draw(key))
        state = as_float64(case.layer.init_state(case.shape))
        fwd, bwd = as_users_do(case.layer.fwd), as_users_do(case.layer.bwd)
        hand = bwd(fwd(params, x, state, key)[1], dy)
    differences = fnn.finite_differences(lambda at: (case.layer.fwd(*at, state, key)[0][0] * dy).sum(), (params, x))
    assert_close(hand, differences)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_loss(case, key):
    with precise():
        z, y, weights = case.draw(key)
        value, residuals = as_users_do(case.loss.fwd)(z, y, weights)
        hand = as_users_do(case.loss.bwd)(residuals, jnp.ones_like(value))
    assert_close(hand, fnn.finite_differences(lambda z: case.loss.fwd(z, y, weights)[0], z))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_penalty(penalty, key):
    with precise():
        params = as_float64(drawn(key, fnn.mlp(3, 4, 2).init))
        hand = as_users_do(penalty.gradient)(params)
    assert_close(hand, fnn.finite_differences(penalty.value, params))


def test_every_entry_of_every_leaf_in_float64():
    params = {"a": jnp.arange(3.0), "b": (jnp.ones((2, 2)), jnp.float32(4.0))}
    got = fnn.finite_differences(lambda p: (p["a"] ** 3).sum() + p["b"][0][0, 1] * p["b"][1] ** 2, params)
    np.testing.assert_allclose(got["a"], [0, 3, 12], atol=1e-9)
    np.testing.assert_allclose(got["b"][0], [[0, 16], [0, 0]], atol=1e-8)
    np.testing.assert_allclose(got["b"][1], 8, atol=1e-8)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(got)} == {"float64"}
    assert jnp.ones(1).dtype == jnp.float32  # the caller's settings are back


def test_large_and_small_parameters_get_steps_of_their_own_size():
    got = fnn.finite_differences(lambda v: (v * v).sum(), np.array([1e6, 1e-6]))
    np.testing.assert_allclose(got, [2e6, 2e-6], rtol=1e-4, atol=1e-3)


def test_numpy_functions():
    got = fnn.finite_differences(lambda v: float(np.sin(np.asarray(v)).sum()), np.array([0.0, 1.0]))
    np.testing.assert_allclose(got, np.cos([0.0, 1.0]), atol=1e-9)


def test_many_parameters_in_chunks():
    v = np.linspace(-1, 1, 5000)
    np.testing.assert_allclose(fnn.finite_differences(lambda v: (v**3).sum(), v), 3 * v**2, atol=1e-7)


def test_integer_parameters_are_refused():
    with pytest.raises(ValueError, match=r"expects floating-point parameters, got int.* at params\['k'\]; convert it"):
        fnn.finite_differences(lambda p: p["k"].sum(), {"k": np.arange(3)})


@pytest.mark.parametrize(
    ("f", "slope", "at"),
    [(jnp.sqrt, lambda w: 0.5 / np.sqrt(w), 1e-6), (lambda w: 1 / w, lambda w: -1 / w**2, 1e-4)],
    ids=["sqrt", "inverse"],
)
def test_steps_stay_where_a_function_is_defined(f, slope, at):
    point = np.array([at, 3 * at])
    np.testing.assert_allclose(fnn.finite_differences(lambda w: f(w).sum(), point), slope(point), rtol=1e-8)
