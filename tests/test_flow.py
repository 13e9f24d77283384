"""flow: norms against jax.grad, the bound, the largest stable rate against gradient descent itself, and each remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.initializers import normal, xavier_normal
from fnn.inspection.signal_flow import _rows

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 16)).astype(np.float32)
Y = RNG.integers(0, 3, 40).astype(np.int32)


def deep(activation, initializer, depth=8):
    return fnn.mlp(16, *[16] * depth, 3, activation=activation, initializer=initializer)


HEALTHY, SHALLOW = deep(fnn.relu, fnn.initializers.he_normal, depth=4), deep(fnn.tanh, xavier_normal, depth=1)


def measure(net, params=None, **options):
    return fnn.flow(net, net.init(KEY) if params is None else params, X, Y, **options)


def test_norms_are_those_of_autodiff():
    net = fnn.mlp(16, 8, 3, activation=fnn.tanh)
    params = net.init(KEY)
    rows = measure(net, params).rows
    z1 = X @ params[0].W.T + params[0].b
    a1 = jnp.tanh(z1)
    z2 = a1 @ params[2].W.T + params[2].b
    loss = fnn.softmax_cross_entropy
    expected = [
        jax.grad(lambda z: loss(jnp.tanh(z) @ params[2].W.T + params[2].b, Y))(z1),
        jax.grad(lambda a: loss(a @ params[2].W.T + params[2].b, Y))(a1),
        jax.grad(lambda z: loss(z, Y))(z2),
    ]
    np.testing.assert_allclose([row.gradient for row in rows], [np.linalg.norm(g) for g in expected], rtol=1e-5)
    grads = jax.grad(net.loss)(params, X, Y)
    for row, layer in ((rows[0], grads[0]), (rows[2], grads[2])):
        np.testing.assert_allclose(row.weight_gradient, np.hypot(*map(np.linalg.norm, layer)), rtol=1e-5)
    np.testing.assert_allclose([row.mean for row in rows], [z.mean() for z in (z1, a1, z2)], atol=1e-6)
    np.testing.assert_allclose([row.spread for row in rows], [z.std(axis=0).mean() for z in (z1, a1, z2)], rtol=1e-5)
    gains = [np.linalg.norm(params[0].W, 2), (1 - a1**2).max(), np.linalg.norm(params[2].W, 2)]
    np.testing.assert_allclose([row.gain for row in rows], gains, rtol=1e-5)


@pytest.mark.parametrize("activation", [fnn.sigmoid, fnn.tanh, fnn.relu, fnn.swish], ids=lambda a: a.name)
def test_the_bound_holds_and_is_the_product_behind_a_layer(activation):
    net = deep(activation, normal(0.4), depth=2)
    rows = _rows(net, net.init(KEY), jnp.asarray(X), jnp.asarray(Y), (), None, None)
    for row, behind in zip(rows, range(1, len(rows) + 1), strict=True):
        assert row.gradient <= row.bound * (1 + 1e-5)
        product = rows[-1].gradient * np.prod([later.gain for later in rows[behind:]])
        np.testing.assert_allclose(row.bound, product, rtol=1e-4)


def test_the_bound_is_reached_by_a_linear_network_of_rank_one():
    net = fnn.mlp(1, 1, 1, 1, activation=fnn.identity, loss=fnn.mean_squared_error)
    flow = fnn.flow(net, net.init(KEY), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    np.testing.assert_allclose([row.gradient for row in flow.rows], [row.bound for row in flow.rows], rtol=1e-6)


def test_a_layer_of_unknown_kind_gets_its_gain_by_power_iteration():
    A = jnp.asarray(RNG.normal(size=(16, 16)), jnp.float32)
    own = fnn.stateless("own", fnn.no_params, lambda p, x: (x @ A, ()), lambda r, dy: ((), dy @ A.T))
    net = fnn.network(fnn.serial(own, fnn.dense(3)), fnn.softmax_cross_entropy, input_shape=(16,))
    np.testing.assert_allclose(measure(net).rows[0].gain, np.linalg.norm(A, 2), rtol=1e-2)


# the largest stable learning rate


def quadratic():
    net = fnn.mlp(16, 1, loss=fnn.half_mean_squared_error)
    design = np.concatenate([X, np.ones((40, 1), np.float32)], axis=1).astype(np.float64)
    return net, X[:, :1] * 2, np.linalg.eigvalsh(design.T @ design / 40).max()


def test_curvature_is_the_hessian_s():
    net, y, largest = quadratic()
    flow = fnn.flow(net, net.init(KEY), X, y)
    np.testing.assert_allclose(flow.largest_eigenvalue, largest, rtol=1e-3)
    np.testing.assert_allclose(flow.stable_rate, 2 / largest, rtol=1e-3)


@pytest.mark.parametrize(("share", "converges"), [(0.97, True), (1.03, False)])
def test_gradient_descent_converges_below_it_and_diverges_above(share, converges):
    net, y, _ = quadratic()
    params = net.init(KEY)
    rate, before = share * fnn.flow(net, params, X, y).stable_rate, float(net.loss(params, X, y))
    for _ in range(300):
        params, loss = net.train_step(params, X, y, rate)
    assert (float(loss) < before) == converges
    assert converges == (float(loss) < 1.0)


def test_curvature_of_a_network_against_the_whole_hessian():
    net = fnn.mlp(2, 2, activation=fnn.tanh)
    params, x, y = net.init(KEY), X[:, :2], Y % 2
    loss = jax.jit(jax.hessian(lambda theta: net.loss(fnn.unflatten_params(theta, params), x, y)))
    hessian = loss(fnn.flatten_params(params))
    largest = np.linalg.eigvalsh(np.asarray(hessian, np.float64)).max()
    np.testing.assert_allclose(fnn.flow(net, params, x, y).largest_eigenvalue, largest, rtol=1e-2)


def test_curvature_where_the_largest_eigenvalue_is_not_the_largest_in_size():
    """A loss that is −2 a² + ½ b² in its two parameters: λ is 1, though −4 is larger in size."""

    def saddle_fwd(z, y, weights):
        return (-2 * z[:, 0] ** 2 + 0.5 * z[:, 1] ** 2).sum(), z

    def saddle_bwd(z, dvalue):
        return dvalue * jnp.stack([-4 * z[:, 0], z[:, 1]], axis=1)

    loss = fnn.Loss("saddle", fnn.identity, saddle_fwd, saddle_bwd)
    net = fnn.network(fnn.dense(2, use_bias=False), loss, input_shape=(1,))
    flow = fnn.flow(net, net.init(KEY), np.ones((1, 1), np.float32), np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(flow.largest_eigenvalue, 1.0, rtol=1e-4)


# symptoms and remedies


def symptoms(flow):
    return [finding.symptom for finding in flow.findings]


def test_a_healthy_network_has_no_findings():
    flow = measure(HEALTHY)
    assert flow.findings == ()


def test_vanishing_gradients_and_constant_outputs_of_deep_sigmoids():
    flow = measure(deep(fnn.sigmoid, xavier_normal))
    assert symptoms(flow)[:2] == ["vanishing", "constant"]
    assert "residual(...)" in flow.findings[0].remedy
    assert flow.rows[0].gradient < 1e-4 * flow.rows[-1].gradient


def test_exploding_gradients():
    flow = measure(deep(fnn.relu, normal(2.0), depth=5))
    assert symptoms(flow)[0] == "exploding"
    assert "clip_by_global_norm" in flow.findings[0].remedy


def test_dead_units_are_counted():
    net = fnn.mlp(16, 8, 3)
    params = net.init(KEY)
    params = (params[0]._replace(b=params[0].b.at[:3].set(-100.0)), *params[1:])
    flow = measure(net, params)
    assert flow.rows[1].dead == 3
    assert symptoms(flow) == ["dying"]
    assert "3 of 8 units" in flow.findings[0].evidence
    assert "leaky_relu, prelu or elu" in flow.findings[0].remedy
    assert "3/8" in str(flow)
    net = fnn.mlp(16, 8, 3, activation=fnn.leaky_relu())
    assert _rows(net, params, jnp.asarray(X), jnp.asarray(Y), (), None, None)[1].dead == 0


def test_saturation():
    assert "saturated" in symptoms(measure(SHALLOW, jax.tree.map(lambda p: 20 * p, SHALLOW.init(KEY))))


def test_symmetry():
    flow = measure(SHALLOW, jax.tree.map(lambda p: jnp.full_like(p, 0.1), SHALLOW.init(KEY)))
    assert symptoms(flow)[-1] == "symmetric"
    assert "draw weights at random" in flow.findings[-1].remedy


# data that prints, on images too, and errors


def test_it_prints_as_a_table():
    text = str(measure(HEALTHY))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "mean", "spread", "dead", "gain", "‖∂L/∂Z‖", "bound", "‖∂L/∂θ‖"]
    assert lines[2].startswith("layers[0] (dense)")
    assert lines[-1] == "nothing vanishes, explodes or is dead"
    assert all(len(line) <= 120 for line in lines[:5])


def test_images_of_whole_numbers():
    layers = fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(3))
    net = fnn.network(layers, fnn.softmax_cross_entropy, input_shape=(4, 4))
    flow = fnn.flow(net, net.init(KEY), RNG.integers(0, 256, (40, 4, 4)).astype(np.uint8), Y)
    assert len(flow.rows) == 3
    assert np.isfinite(flow.stable_rate)


def test_data_are_checked():
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 2"):
        fnn.flow(fnn.mlp(16, 3), fnn.mlp(16, 3).init(KEY), X, Y + 1)
