"""Every hand-derived backward equals jax.vjp of its forward: float64, random parameters, inputs and cotangents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES, drawn, generator, normal

import fnn

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}


def assert_same_gradient(got, expected, tolerance):
    """Structure, shape, dtype and every entry, relative to the largest gradient of the tree."""
    got, expected = jax.device_get((got, expected))
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    largest = max((np.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(expected)), default=0)
    for mine, right in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert mine.shape == right.shape
        assert mine.dtype == right.dtype
        assert np.abs(mine - right).max(initial=0) <= tolerance * largest


@pytest.fixture(params=["float64", "float32"])
def precision(request):
    with jax.enable_x64(request.param == "float64"), jax.default_matmul_precision("highest"):
        yield TOLERANCE[request.param]


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_layer(case, precision, key):
    params, x, dy = case.draw(key)
    state = case.layer.init_state(case.shape)

    def plain(params, x):
        return case.layer.fwd(params, x, state, key)[0][0]

    @jax.jit
    def both(params, x, dy):
        _, residuals = case.layer.fwd(params, x, state, key)
        return case.layer.bwd(residuals, dy), jax.vjp(plain, params, x)[1](dy)

    assert_same_gradient(*both(params, x, dy), precision)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_loss(case, precision, key):
    @jax.jit
    def both(z, y, weights):
        value, pull = jax.vjp(lambda z: case.loss.fwd(z, y, weights)[0], z)
        dvalue = jnp.asarray(1.7, value.dtype)
        _, residuals = case.loss.fwd(z, y, weights)
        return case.loss.bwd(residuals, dvalue), pull(dvalue)[0]

    assert_same_gradient(*both(*case.draw(key)), precision)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_penalty(penalty, precision, key):
    params = drawn(key, fnn.mlp(3, 4, 2).init)
    both = jax.jit(lambda params: (penalty.gradient(params), jax.grad(penalty.value)(params)))
    assert_same_gradient(*both(params), precision)


def both_gradients(net):
    """By hand and by autodiff, in one program."""

    def both(*batch, **keywords):
        return net.backward(*batch, **keywords), jax.grad(net.loss)(*batch, **keywords)

    return jax.jit(both)


@pytest.mark.parametrize("widths", [(3, 2), (1, 1), (4, 5, 3), (3, 4, 1, 5, 2)], ids=str)
@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("penalty", [None, *PENALTIES], ids=str)
def test_network(widths, n, penalty, precision, key):
    net = fnn.mlp(*widths, activation=fnn.swish, penalty=penalty)
    params, rng = drawn(key, net.init), generator(key)
    x, y = normal(rng, n, widths[0]), rng.integers(0, widths[-1], n, dtype=np.int32)
    weights = np.linspace(0.5, 1.5, n, dtype=x.dtype)
    assert_same_gradient(*both_gradients(net)(params, x, y, weights=weights), precision)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_network_with_every_loss(case, precision, key):
    _, y, weights = case.draw(key)
    link = (fnn.softmax if case.outputs > 1 else fnn.sigmoid,) if case.on_probabilities else ()
    layer = fnn.serial(fnn.dense(5), fnn.tanh, fnn.dense(case.outputs), *link)
    net = fnn.network(layer, case.loss, input_shape=(3,))
    params, x = drawn(key, net.init), normal(generator(key), case.n, 3)
    assert_same_gradient(*both_gradients(net)(params, x, y, weights=weights), precision)
