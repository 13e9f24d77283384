"""The oracles: four loops, slopes along directions, and a float64 scope of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LOSSES, scatter

import fnn
from fnn.verify import oracles
from fnn.verify.oracles import precise, slope_from_values, values_along


def point(net, key, n=4):
    x = jax.random.normal(key, (n, *net.input_shape))
    return scatter(key, net.init(key)), x


def assert_same(loops, net, params, *batch, **keywords):
    expected = oracles.autodiff(lambda p: net.loss(p, *batch, **keywords), params)
    assert jax.tree.structure(loops) == jax.tree.structure(params)
    for mine, right in zip(jax.tree.leaves(loops), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "activation",
    [fnn.sigmoid, fnn.tanh, fnn.relu, fnn.swish, fnn.gelu, fnn.softplus, fnn.identity, fnn.leaky_relu(0.2), fnn.elu()],
    ids=lambda activation: activation.name,
)
def test_loops_with_every_activation(activation, key):
    net = fnn.mlp(3, 4, 3, 2, activation=activation)
    params, x = point(net, key)
    y = jnp.array([0, 1, 1, 0])
    assert_same(fnn.backward_by_loops(net, params, x, y), net, params, x, y)


@pytest.mark.parametrize("case", [c for c in LOSSES if not c.on_probabilities], ids=lambda case: case.name)
def test_loops_with_every_loss(case, key):
    net = fnn.mlp(3, 4, case.outputs, activation=fnn.tanh, loss=case.loss, penalty=fnn.l2(0.3))
    params, x = point(net, key, case.n)
    _, y, weights = case.draw(key)
    loops = fnn.backward_by_loops(net, params, x, y, weights=weights)
    assert_same(loops, net, params, x, y, weights=weights)


@pytest.mark.parametrize("penalty", [fnn.l1(0.2), fnn.Penalty("cube", 1.0, lambda p: p[0].W.sum() ** 3, None)], ids=str)
def test_loops_with_penalties(penalty, key):
    if penalty.gradient is None:
        penalty = fnn.Penalty("cube", 1.0, penalty.value, jax.grad(penalty.value))
    net = fnn.mlp(3, 2, loss=fnn.mean_squared_error, penalty=penalty)
    params, x = point(net, key)
    y = jax.random.normal(key, (4, 2))
    assert_same(fnn.backward_by_loops(net, params, x, y), net, params, x, y)


def test_loops_through_flatten_nesting_and_layers_without_bias(key):
    inner = fnn.serial(fnn.dense(3, use_bias=False), fnn.tanh, fnn.sigmoid)
    net = fnn.network(fnn.serial(fnn.flatten, inner, fnn.dense(2)), fnn.mean_squared_error, input_shape=(2, 2))
    params, x = point(net, key)
    y = jax.random.normal(key, (4, 2))
    assert_same(fnn.backward_by_loops(net, params, x, y), net, params, x, y)


def test_loops_refuse_what_they_do_not_know(key):
    net = fnn.network(fnn.serial(fnn.dense(2), fnn.softmax), fnn.cross_entropy, input_shape=(3,))
    with pytest.raises(ValueError, match=r"dense layers and elementwise activations behind them, got softmax; compare"):
        fnn.backward_by_loops(net, *point(net, key), jnp.array([0, 1, 1, 0]))


def test_the_scope_gives_the_settings_back():
    with jax.enable_x64(False), jax.default_matmul_precision("bfloat16"), jax.numpy_dtype_promotion("strict"):
        with precise():
            assert jnp.ones(1).dtype == jnp.float64
            assert jax.config.jax_default_matmul_precision == "highest"
        assert jnp.ones(1).dtype == jnp.float32
        assert jax.config.jax_default_matmul_precision == "bfloat16"
        assert jax.config.jax_numpy_dtype_promotion == "strict"


def slope_of(f, at=0.0):
    with precise():
        return slope_from_values(np.asarray(values_along(f, jnp.asarray(at), jnp.ones(()))))


@pytest.mark.parametrize("f", [jnp.sin, jnp.exp, lambda t: jnp.sin(30 * t), lambda t: 1e3 * t + 1e4], ids=range(4))
def test_slopes_are_as_good_as_they_say(f):
    slope = slope_of(f, 0.3)
    with precise():
        right = float(jax.grad(f)(0.3))
    assert abs(slope.value - right) <= 1e-8 * abs(right)
    assert abs(slope.value - right) <= 10 * slope.error
    assert slope.conclusive(1e-6 * abs(right))


@pytest.mark.parametrize("at", [0.0, 1e-12, -1e-9])
def test_slopes_notice_kinks_however_near(at):
    assert not slope_of(jnp.abs, at).conclusive(1e-6)


def test_slopes_see_past_a_kink_that_is_not_near():
    slope = slope_of(lambda t: jnp.abs(t - 1e-3))
    assert slope.conclusive(1e-6)
    assert slope.value == pytest.approx(-1, abs=1e-8)
