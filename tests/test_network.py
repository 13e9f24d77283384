"""The whole-model functions: any depth, mixed activations, the compiled step and its promises."""

import ast
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn


@pytest.fixture
def problem(key):
    net = fnn.mlp(3, 5, 2, activation=fnn.tanh, penalty=fnn.l2(0.1))
    x = jax.random.normal(key, (6, 3))
    return net, net.init(key), x, jnp.array([0, 1, 1, 0, 1, 0])


def test_parameters_are_immutable_and_repeatable(problem, key):
    net, params, *_ = problem
    chex.assert_trees_all_equal(params, net.init(key))
    with pytest.raises(AttributeError):
        params[0].W = 0
    assert [leaf.shape for leaf in jax.tree.leaves(params)] == [(5, 3), (5,), (2, 5), (2,)]


def test_forward_composes_layers_as_the_notes_write_it(problem):
    """Ŷ = softmax(W² g(W¹ x + b¹) + b²), rows for columns."""
    net, (first, _, last), x, _ = problem
    hidden = jnp.tanh(x @ first.W.T + first.b)
    np.testing.assert_allclose(net.forward((first, (), last), x), jax.nn.softmax(hidden @ last.W.T + last.b), rtol=1e-6)


def test_no_hidden_layer_is_a_linear_model(key):
    net = fnn.mlp(3, 1, loss=fnn.sigmoid_cross_entropy)
    params = net.init(key)
    x = jax.random.normal(key, (4, 3))
    np.testing.assert_allclose(net.forward(params, x), jax.nn.sigmoid(x @ params[0].W.T + params[0].b), rtol=1e-6)


def test_each_hidden_layer_may_have_its_own_activation(key):
    net = fnn.mlp(2, 3, 4, 5, activation=(fnn.sigmoid, fnn.leaky_relu(0.2)))
    assert [layer.name for layer in net.layer.children] == ["dense", "sigmoid", "dense", "leaky_relu", "dense"]


def test_loss_and_grad_is_loss_and_backward(problem):
    net, params, x, y = problem
    value, grads = net.loss_and_grad(params, x, y)
    assert value == net.loss(params, x, y)
    chex.assert_trees_all_equal(grads, net.backward(params, x, y))


def test_loss_is_criterion_plus_penalty(problem):
    net, params, x, y = problem
    expected = net.criterion(net.logits(params, x), y) + net.penalty.value(params)
    np.testing.assert_allclose(net.loss(params, x, y), expected, rtol=1e-6)


def test_train_step_is_gradient_descent(problem):
    """θ ← θ − α ∇L(θ), and the loss is the one before the step."""
    net, params, x, y = problem
    new, value = net.train_step(params, x, y, 0.3)
    np.testing.assert_allclose(value, net.loss(params, x, y), rtol=1e-6)
    expected = jax.tree.map(lambda p, g: p - 0.3 * g, params, net.backward(params, x, y))
    chex.assert_trees_all_close(new, expected, rtol=1e-6, atol=1e-7)


def test_train_step_compiles_once_whatever_the_learning_rate_is(key):
    traces = []

    def counted_fwd(params, x):
        traces.append(x.shape)
        return x, ()

    counter = fnn.stateless("counter", fnn.no_params, counted_fwd, lambda _, dy: ((), dy))
    net = fnn.network(fnn.serial(fnn.dense(2), counter), fnn.softmax_cross_entropy, input_shape=(3,))
    params, x, y = net.init(key), jnp.ones((4, 3)), jnp.zeros(4, jnp.int32)
    net.train_step(params, x, y, 0.5)
    assert traces.count((4, 2)) == 1
    for rate in (0.1, 1, np.float32(0.1), np.float64(0.2), jnp.float32(0.3), jnp.asarray(0.4), np.array(1)):
        net.train_step(params, x, y, rate)
    assert traces.count((4, 2)) == 1
    net.train_step(params, x[:2], y[:2], 0.1)
    assert traces.count((2, 2)) == 1


def test_train_step_leaves_its_arguments_valid(problem):
    net, params, x, y = problem
    before = jax.tree.map(np.array, params)
    rate = jnp.float32(0.1)
    for _ in range(2):
        net.train_step(params, x, y, rate)
    chex.assert_trees_all_equal(jax.tree.map(np.array, params), before)
    assert not x.is_deleted()
    assert not rate.is_deleted()


def test_train_step_works_under_vmap_scan_and_a_traced_rate(problem):
    net, params, x, y = problem
    rates = jnp.array([0.1, 0.5])
    many, _ = jax.vmap(lambda rate: net.train_step(params, x, y, rate))(rates)
    one, _ = net.train_step(params, x, y, 0.5)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], many), one, rtol=1e-6, atol=1e-7)
    scanned, _ = jax.lax.scan(lambda p, rate: net.train_step(p, x, y, rate), params, rates)
    step, _ = net.train_step(net.train_step(params, x, y, 0.1)[0], x, y, 0.5)
    chex.assert_trees_all_close(scanned, step, rtol=1e-5, atol=1e-6)


def test_eager_equals_compiled(problem):
    net, params, x, y = problem
    for function in (net.forward, net.loss, net.backward, net.loss_and_grad):
        arguments = (params, x) if function == net.forward else (params, x, y)
        chex.assert_trees_all_close(jax.jit(function)(*arguments), function(*arguments), rtol=1e-5, atol=1e-6)


def test_per_example_gradients_by_vmap_average_to_the_batch_gradient(problem):
    net, params, x, y = problem
    each = jax.vmap(lambda x, y: net.backward(params, x[None], y[None]))(x, y)
    mean = jax.tree.map(lambda g: g.mean(axis=0), each)
    chex.assert_trees_all_close(mean, net.backward(params, x, y), rtol=1e-5, atol=1e-6)


def test_float64_stays_float64(key):
    with jax.enable_x64(True):
        net = fnn.mlp(3, 4, 2)
        params = net.init(key)
        x, y = jnp.ones((2, 3)), jnp.array([0, 1])
        new, value = net.train_step(params, x, y, 0.1)
        assert {leaf.dtype for leaf in jax.tree.leaves((params, new, value))} == {np.dtype("float64")}


def test_images_stay_uint8_until_the_compiled_step(key):
    net = fnn.network(
        fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(4, 4)
    )
    x = np.full((3, 4, 4), 250, np.uint8)
    params = net.init(key)
    value = net.loss(params, x, jnp.array([0, 1, 0]))
    as_floats = fnn.network(fnn.serial(fnn.flatten, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(4, 4))
    expected = as_floats.loss(params[1:], (x / 255).astype(np.float32), jnp.array([0, 1, 0]))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_an_image_network_passes_the_checker(key):
    """Layers without parameters come first: what is below all parameters needs no gradient, and gets none."""
    layer = fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(5), fnn.relu, fnn.dense(3))
    net = fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(4, 4))
    x = jax.random.randint(key, (6, 4, 4), 0, 256).astype(jnp.uint8)
    y = jnp.arange(6) % 3
    fnn.check(net, net.init(key), x, y).assert_ok()


def test_no_autodiff_outside_verify():
    """The rule of the house: jax.grad is the oracle, never the engine; only `differentiable` hands rules to it."""
    engine = {"grad", "value_and_grad", "vjp", "jvp", "linearize", "jacfwd", "jacrev", "hessian", "custom_vjp"}
    package = pathlib.Path(fnn.__file__).parent
    for file in package.rglob("*.py"):
        if {"verify", "inspection"} & set(file.parts) or file.name == "lifting.py":
            continue
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & engine, f"{file.name} uses {names & engine}"


def test_summary_counts_what_is_there():
    """h₁ (d + 1) and h₂ (h₁ + 1) parameters, as S4 counts them."""
    table = fnn.summary(fnn.mlp(7, 5, 3))
    assert [row.count for row in table.rows] == [5 * (7 + 1), 0, 3 * (5 + 1)]
    assert table.count == fnn.count_params(fnn.mlp(7, 5, 3).init(jax.random.key(0))) == 58
    assert str(table).splitlines()[-1].split() == ["loss", "softmax_cross_entropy", "total", "58"]


def test_theta_has_the_order_of_the_notes():
    """w₁₁ w₁₂ w₁₃ w₂₁ … w₄₃ b₁ … b₄, then layer 2: 26 numbers for 3-4-2."""
    first = fnn.DenseParams(jnp.arange(12.0).reshape(4, 3), 12 + jnp.arange(4.0))
    second = fnn.DenseParams(16 + jnp.arange(8.0).reshape(2, 4), 24 + jnp.arange(2.0))
    theta = fnn.flatten_params((first, (), second))
    np.testing.assert_array_equal(theta, np.arange(26))
    chex.assert_trees_all_equal(fnn.unflatten_params(theta, (first, (), second)), (first, (), second))


def test_gradient_descent_on_theta_equals_descent_on_params(problem):
    net, params, x, y = problem
    theta = fnn.flatten_params(params)
    slope = fnn.flatten_params(net.backward(params, x, y))
    new, _ = net.train_step(params, x, y, 0.2)
    chex.assert_trees_all_close(fnn.unflatten_params(theta - 0.2 * slope, params), new, rtol=1e-6, atol=1e-7)
