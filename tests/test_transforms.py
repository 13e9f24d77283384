"""Every rule under every transformation of JAX: jit, vmap, scan, checkpoint, jax.grad of the lifted layer, a mesh."""

from dataclasses import replace
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES, scatter
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import fnn

every_layer = pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)


def forward_and_back(layer, shape, key):
    """Training pass and hand-derived backward as one function of arrays: (params, x, dy) -> (y, state), dparams, dx."""
    state = layer.init_state(shape)

    def run(params, x, dy):
        out, residuals = layer.fwd(params, x, state, key)
        return out, layer.bwd(residuals, dy)

    return run


def assert_close(got, expected, tolerance=1e-5):
    """Equal up to rounding, relative to the largest entry of the tree."""
    got, expected = jax.device_get((got, expected))
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    largest = max((np.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(expected)), default=0)
    chex.assert_trees_all_close(got, expected, rtol=0, atol=tolerance * max(float(largest), 1e-30))


@cache
def compiled(layer, shape):
    """`forward_and_back` as one program for all tests; they share the key too."""
    return jax.jit(forward_and_back(layer, shape, jax.random.key(0)))


def twice(tree, factor=0.9):
    """Two of everything, stacked: the tree, and the tree times a factor."""
    return jax.tree.map(lambda leaf: np.stack([leaf, factor * leaf]), jax.device_get(tree))


@every_layer
def test_compiled_equals_eager(case, key):
    point = case.draw(key)
    assert_close(compiled(case.layer, case.shape)(*point), forward_and_back(case.layer, case.shape, key)(*point))


@every_layer
def test_vmap_and_scan_equal_a_loop(case, key):
    stacked = twice(case.draw(key))
    run = forward_and_back(case.layer, case.shape, key)
    each = [compiled(case.layer, case.shape)(*jax.tree.map(lambda leaf, i=i: leaf[i], stacked)) for i in range(2)]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(each))

    @jax.jit
    def both(stacked):
        return jax.vmap(run)(*stacked), jax.lax.scan(lambda _, at: (None, run(*at)), None, stacked)[1]

    for got in both(stacked):
        assert_close(got, expected)


def pullback(layer, state, key):
    def run(params, x, dy):
        return jax.vjp(lambda params, x: layer.fwd(params, x, state, key)[0][0], params, x)[1](dy)

    return run


@every_layer
def test_autodiff_of_the_lifted_layer_runs_the_hand_rule(case, key):
    """The rule is tripled, so that only running it can give three times the gradient; under checkpoint as well."""
    params, x, dy = case.draw(key)
    state = case.layer.init_state(case.shape)
    tripled = replace(case.layer, bwd=lambda kept, dy: jax.tree.map(lambda g: 3 * g, case.layer.bwd(kept, dy)))
    lifted = fnn.differentiable(tripled)
    saving = replace(lifted, fwd=jax.checkpoint(lifted.fwd))
    _, hand = compiled(case.layer, case.shape)(params, x, dy)
    expected = jax.tree.map(lambda g: 3 * np.asarray(g), hand)

    @jax.jit
    def both(*point):
        return pullback(lifted, state, key)(*point), pullback(saving, state, key)(*point)

    for got in both(params, x, dy):
        assert_close(got, expected)


@every_layer
@pytest.mark.parametrize("axes", ["automatic", "explicit"])
def test_a_sharded_batch_gives_what_one_device_gives(case, axes, key):
    """Two devices hold half of the examples each; what sums or averages over examples must see them all."""
    run = forward_and_back(case.layer, case.shape, key)
    params, x, dy = replace(case, n=2 * case.n).draw(key)
    expected = compiled(case.layer, case.shape)(params, x, dy)
    kind = AxisType.Explicit if axes == "explicit" else AxisType.Auto
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        rows, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        params = jax.device_put(params, whole)
        x, dy = jax.device_put((x, dy), rows)
        out, (dparams, dx) = jax.block_until_ready(jax.jit(run)(params, x, dy))
        if axes == "explicit":
            assert all(jax.typeof(leaf).sharding.spec[0] == "data" for leaf in (out[0], dx))
            assert jax.tree.all(jax.tree.map(lambda g, p: jax.typeof(g) == jax.typeof(p), dparams, params))
    assert_close(*jax.device_get(((out, (dparams, dx)), expected)))


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_losses_lifted(case, key):
    z, y, weights = case.draw(key)
    value, residuals = case.loss.fwd(z, y, weights)
    expected = value, case.loss.bwd(residuals, jnp.ones_like(value))
    tripled = replace(case.loss, bwd=lambda kept, dvalue: 3 * case.loss.bwd(kept, dvalue))
    lifted = fnn.differentiable(tripled)
    got = jax.jit(jax.value_and_grad(lambda z: lifted.fwd(z, y, weights)[0]))(z)
    assert_close(got, (expected[0], 3 * expected[1]))


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_losses_of_a_sharded_batch(case, key):
    def run(z, y, weights):
        value, residuals = case.loss.fwd(z, y, weights)
        return value, case.loss.bwd(residuals, jnp.ones_like(value))

    point = replace(case, n=4).draw(key)
    expected = jax.jit(run)(*point)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        point = jax.device_put(point, NamedSharding(mesh, PartitionSpec("data")))
        got = jax.block_until_ready(jax.jit(run)(*point))
    assert_close(*jax.device_get((got, expected)))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_penalties_lifted(penalty, key):
    params = fnn.mlp(3, 4, 2).init(key)
    tripled = replace(penalty, gradient=lambda params: jax.tree.map(lambda g: 3 * g, penalty.gradient(params)))
    got = jax.jit(jax.grad(lambda params: 2 * fnn.differentiable(tripled).value(params)))(params)
    assert_close(got, jax.tree.map(lambda g: 6 * g, penalty.gradient(params)))


# ── a network with everything ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def everything(key):
    """uint8 images, convolution, statistics, chance, depth, and a penalty."""
    block = fnn.residual(fnn.serial(fnn.dense(8), fnn.layer_norm(), fnn.prelu(), fnn.dropout(0.2)))
    layer = fnn.serial(
        fnn.rescale(1 / 255),
        fnn.conv2d(2),
        fnn.batch_norm(),
        fnn.relu,
        fnn.max_pool(2),
        fnn.flatten,
        fnn.repeat(block, 3),
        fnn.dense(3),
    )
    net = fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(4, 4, 1), penalty=fnn.spectral_norm(0.1))
    x = np.asarray(jax.random.randint(key, (6, 4, 4, 1), 0, 256), np.uint8)
    keywords = {"state": net.init_state(), "key": key, "weights": jnp.linspace(0.5, 1.5, 6)}
    return net, scatter(key, jax.jit(net.init)(key)), x, np.array([0, 1, 2, 2, 1, 0]), keywords


def test_a_whole_network_lifted(everything):
    net, params, x, y, keywords = everything
    lifted = fnn.differentiable(net)
    hand = jax.jit(net.backward)(params, x, y, **keywords)
    assert_close(jax.jit(jax.grad(lifted.loss))(params, x, y, **keywords), hand)
    assert_close(jax.jit(lifted.backward)(params, x, y, **keywords), hand)
    plain = jax.jit(jax.grad(net.loss))(params, x, y, **keywords)
    assert_close(hand, plain)
    value, expected = (jax.jit(net.loss)(params, x, y, **keywords) for net in (lifted, net))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_gradient_of_the_gradient(key):
    """jax.grad differentiates the hand-derived backward itself: Hessians agree with those of the plain forward."""
    with jax.enable_x64(True):
        net = fnn.network(
            fnn.serial(fnn.dense(3), fnn.tanh, fnn.layer_norm(), fnn.dense(2)),
            fnn.softmax_cross_entropy,
            input_shape=(2,),
        )
        params, x, y = scatter(key, net.init(key)), jax.random.normal(key, (4, 2)), np.array([0, 1, 1, 0])
        lifted = fnn.differentiable(net)
        expected = jax.jit(jax.hessian(net.loss))(params, x, y)
        assert_close(jax.jit(jax.jacrev(jax.grad(lifted.loss)))(params, x, y), expected, 1e-9)
        assert_close(jax.jit(jax.hessian(lifted.loss))(params, x, y), expected, 1e-9)
        assert_close(jax.jit(jax.jacfwd(net.backward))(params, x, y), expected, 1e-9)


def test_lifted_layers_are_used_like_plain_ones(key):
    relu = fnn.differentiable(fnn.relu)
    np.testing.assert_array_equal(relu(jnp.array([-1.0, 2.0])), [0, 2])
    np.testing.assert_array_equal(relu.derivative(jnp.array([-1.0, 0.0, 2.0])), [0, 0, 1])
    assert jax.grad(relu)(0.0) == 0
    rescale = fnn.differentiable(fnn.rescale(0.5))  # pixels are integers and have no gradient
    net = fnn.network(fnn.serial(rescale, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))
    x, y = np.arange(6, dtype=np.uint8).reshape(2, 3), np.array([0, 1])
    params = net.init(key)
    assert_close(jax.grad(net.loss)(params, x, y), net.backward(params, x, y))
    chain = fnn.differentiable(fnn.serial(fnn.dense(3), fnn.tanh))
    rebuilt = chain.rebuild(
        (
            fnn.serial(
                fnn.dense(3), fnn.stateless("odd", fnn.no_params, lambda _, x: (x, ()), lambda _, dy: ((), 7 * dy))
            ),
        )
    )
    x = jnp.ones((1, 3))
    params = rebuilt.init(key, (3,))
    np.testing.assert_allclose(jax.grad(lambda p: rebuilt.forward(p, x).sum())(params)[0].b, [7, 7, 7])


def test_where_there_is_no_hand_rule_the_error_says_so(everything, key):
    net, params, x, y, keywords = everything
    lifted = fnn.differentiable(net)
    swish = fnn.differentiable(fnn.swish)
    for forward_mode in (lambda: jax.jvp(swish, (1.0,), (1.0,)), lambda: jax.jacfwd(swish)(1.0)):
        with pytest.raises(
            TypeError, match=r"differentiable\(fnn.swish\).*reverse mode.*use it without `differentiable`"
        ):
            forward_mode()
    with pytest.raises(TypeError, match="forward-mode"):  # JAX's own words
        jax.jvp(jax.jit(swish), (1.0,), (1.0,))

    def of(**changed):
        return lifted.loss(params, x, y, **(keywords | changed))

    with pytest.raises(TypeError, match="no hand-derived gradient with respect to targets or example weights"):
        jax.grad(lambda weights: of(weights=weights))(keywords["weights"])
    with pytest.raises(TypeError, match="no hand-derived gradient with respect to its state"):
        jax.grad(lambda state: of(state=state))(keywords["state"])
    with pytest.raises(ValueError, match="evaluates otherwise") as caught:
        jax.grad(lambda params: lifted.forward(params, x, keywords["state"]).sum())(params)
    assert "belongs to the training pass" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="needs a random key") as caught:
        jax.grad(lambda x: fnn.differentiable(fnn.dropout(0.5)).forward((), x).sum())(jnp.ones((2, 2)))
    assert "belongs to the training pass" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="expects a layer, a loss, a penalty or a network, got <function"):
        fnn.differentiable(lambda x: x)


def test_comparing_a_lifted_layer_with_itself_is_not_enough_for_the_checker():
    """Autodiff of a lifted layer is the hand rule; central differences are not."""
    wrong = fnn.stateless("square", fnn.no_params, lambda _, x: (x * x, x), lambda x, dy: ((), x * dy))
    assert fnn.check_layer(fnn.differentiable(wrong), (2,)).verdict == "WRONG"


def test_the_hand_backward_of_everything_on_two_devices(everything):
    net, params, x, y, keywords = everything
    expected = jax.jit(net.value_and_grads)(params, x, y, **keywords)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        rows, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        spread = {**keywords, "weights": jax.device_put(keywords["weights"], rows)}
        spread["state"], params = jax.device_put((keywords["state"], params), whole)
        x, y = jax.device_put((x, y), rows)
        got = jax.block_until_ready(jax.jit(net.value_and_grads)(params, x, y, **spread))
    assert_close(*jax.device_get((got, expected)))
