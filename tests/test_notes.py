"""Every number of the five teaching notes that this library grew from, and what is right where a note is wrong."""

import importlib.util
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import scatter
from compiler import WHOLE

import fnn

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def close(actual, expected, rtol=1e-12, atol=1e-14):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# ── neurons, layers, layouts ────────────────────────────────────────────────────────────────────────────────────────


def test_a_single_neuron():
    """z = Σ wᵢ xᵢ + b, a = σ(z): ½·2 − 1·3 + 1 = −1."""
    neuron = fnn.DenseParams(jnp.array([[0.5, -1.0]]), jnp.array([1.0]))
    z = fnn.dense(1).forward(neuron, jnp.array([[2.0, 3.0]]))
    close(z, [[-1]])
    close(fnn.sigmoid(z), [[1 / (1 + math.e)]])


def test_without_a_bias_zero_inputs_give_zero_pre_activations():
    """It is the bias that lets a neuron fire on zeros, not its absence."""
    zeros = jnp.zeros((1, 3))
    z = fnn.dense(2, use_bias=False).forward(fnn.LinearParams(jnp.full((2, 3), 7.0)), zeros)
    close(z, [[0, 0]])
    close(fnn.sigmoid(z), [[0.5, 0.5]])
    close(fnn.relu(z), [[0, 0]])
    close(fnn.tanh(z), [[0, 0]])
    close(fnn.dense(2).forward(fnn.DenseParams(jnp.full((2, 3), 7.0), jnp.array([1.0, -2.0])), zeros), [[1, -2]])


def test_forward_is_the_nested_composition(key):
    """A⁽ᴸ⁾ = σ_L(W_L … σ₁(W₁ X + b₁) … + b_L), another activation in each layer, examples as columns."""
    net = fnn.mlp(3, 4, 5, 2, activation=(fnn.tanh, fnn.relu))
    params, x = scatter(key, net.init(key)), jax.random.normal(key, (6, 3))
    (W1, b1), _, (W2, b2), _, (W3, b3) = jax.tree.map(np.asarray, params)
    A1 = np.tanh(W1 @ np.asarray(x).T + b1[:, None])
    A2 = np.maximum(0, W2 @ A1 + b2[:, None])
    Z3 = W3 @ A2 + b3[:, None]
    Y = np.exp(Z3) / np.exp(Z3).sum(axis=0)
    close(net.forward(params, x).T, Y)
    shown = fnn.explain(net, params, x, jnp.zeros(6, jnp.int32), "column")
    for symbol, value in {"A1": A1, "A2": A2, "Z3": Z3, "Ŷ": Y}.items():
        close(shown[symbol], value)


@pytest.mark.parametrize(("d", "h1", "h2"), [(3, 4, 2), (784, 128, 10), (1, 1, 1)])
def test_parameter_counts(d, h1, h2):
    """h₁ (d + 1) in the first layer, h₂ (h₁ + 1) in the second."""
    rows = fnn.summary(fnn.mlp(d, h1, h2)).rows
    assert [row.count for row in rows] == [h1 * (d + 1), 0, h2 * (h1 + 1)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_network_without_activations_is_a_linear_model(depth, key):
    """ŷ = W_L … W₁ x, the gradient's share of each layer included."""
    net = fnn.mlp(*[3] * depth, 2, activation=fnn.identity, loss=fnn.mean_squared_error)
    params, x = net.init(key), jax.random.normal(key, (5, 3))
    product = np.linalg.multi_dot([*(layer.W for layer in params[::-2]), np.eye(3)])
    close(net.forward(params, x), x @ product.T)


def test_theta_of_a_3_4_2_network_entry_by_entry():
    """w₁₁⁽¹⁾ w₁₂⁽¹⁾ w₁₃⁽¹⁾ w₂₁⁽¹⁾ … w₄₃⁽¹⁾ b₁⁽¹⁾ … b₄⁽¹⁾ w₁₁⁽²⁾ … w₂₄⁽²⁾ b₁⁽²⁾ b₂⁽²⁾: 26 numbers."""

    def weight(layer, row, column):
        return 1000 * layer + 10 * row + column

    def bias(layer, row):
        return 1000 * layer + 500 + row

    W1 = [[weight(1, row, column) for column in (1, 2, 3)] for row in (1, 2, 3, 4)]
    W2 = [[weight(2, row, column) for column in (1, 2, 3, 4)] for row in (1, 2)]
    b1, b2 = [bias(1, row) for row in (1, 2, 3, 4)], [bias(2, row) for row in (1, 2)]
    params = tuple(fnn.DenseParams(jnp.array(W, float), jnp.array(b, float)) for W, b in ((W1, b1), (W2, b2)))
    expected = [1011, 1012, 1013, 1021, 1022, 1023, 1031, 1032, 1033, 1041, 1042, 1043, 1501, 1502, 1503, 1504]
    expected += [2011, 2012, 2013, 2014, 2021, 2022, 2023, 2024, 2501, 2502]
    theta = fnn.flatten_params((params[0], (), params[1]))
    assert theta.tolist() == expected
    assert len(expected) == fnn.count_params(fnn.mlp(3, 4, 2).init(jax.random.key(0))) == 26


# ── losses ──────────────────────────────────────────────────────────────────────────────────────────────────────────

P = [[0.1, 0.5, 0.2, 0.2], [0.3, 0.4, 0.2, 0.1], [0.2, 0.3, 0.4, 0.1]]
Y = [[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]


def test_the_worked_cross_entropy():
    p, y = jnp.array(P), jnp.array(Y)
    close(fnn.cross_entropy(p, y), 0.9378035722533454, rtol=1e-15)
    each = [fnn.cross_entropy(p[i : i + 1], y[i : i + 1]) for i in range(3)]
    close(each, [0.6931472, 1.2039728, 0.9162907], rtol=1e-7)
    assert fnn.accuracy(p, y) == 2 / 3


def test_squared_errors_in_both_of_their_scalings():
    """(1/n) Σ over examples, and (1/2n) Σ over the n neurons of one layer."""
    a, y = jnp.array([[0.3, 0.6, 0.4]]), jnp.array([[0.0, 1.0, 0.5]])
    over_examples, over_neurons = fnn.mean_squared_error, fnn.scaled(fnn.half_mean_squared_error, 1 / 3)
    close(over_examples(a.T, y.T), (0.09 + 0.16 + 0.01) / 3)
    close(over_neurons(a, y), (0.09 + 0.16 + 0.01) / 6)


def test_the_summed_log_likelihood_is_n_times_the_mean():
    z, y = jnp.array([[0.5], [-1.0], [2.0]]), jnp.array([[1.0], [0.0], [0.0]])
    p = jax.nn.sigmoid(z)
    likelihood = -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p)).sum()
    close(fnn.summed(fnn.sigmoid_cross_entropy)(z, y), likelihood)
    close(fnn.sigmoid_cross_entropy(z, y), likelihood / 3)
    close(fnn.binary_cross_entropy(p, y), likelihood / 3)


def test_a_float32_sigmoid_reaches_its_limits_and_the_losses_do_not_mind():
    """The ranges ]0, 1[ and ]−1, 1[ are those of real numbers: float32 gets to 1 near z = 17, to 0 near −104."""
    z = jnp.array([17.0, -104.0], jnp.float32)
    assert fnn.sigmoid(z).tolist() == [1.0, 0.0]
    assert jax.jit(fnn.tanh, compiler_options=WHOLE)(z).tolist() == [1.0, -1.0]
    wrong = fnn.sigmoid_cross_entropy(z[:, None], jnp.array([[0], [1]]))
    close(wrong, (17 + 104) / 2, rtol=1e-6)


def test_the_softmax_gradient_is_p_times_the_row_sum_minus_y():
    """P − Y holds for rows that sum to 1 only: a row of zeros has gradient 0, a row that counts twice 2P − Y."""
    z = jnp.array([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0], [3.0, 1.0, 2.0]])
    y = jnp.array([[0.0, 1, 0], [0, 0, 0], [0, 2, 0]])
    value, residuals = fnn.softmax_cross_entropy.fwd(z, y, None)
    dz = fnn.softmax_cross_entropy.bwd(residuals, jnp.ones_like(value))
    p = fnn.softmax(z)
    close(dz, jnp.stack([p[0] - y[0], 0 * p[1], 2 * p[2] - y[2]]) / 3)
    close(dz, jax.grad(lambda z: fnn.softmax_cross_entropy.fwd(z, y, None)[0])(z))


# ── gradient descent ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.1, 0.0345876), (0.5, 0.0), (1.0, 3.0), (1.1, 115.01)], ids="rate={}".format
)
def test_descent_on_a_bowl_follows_its_closed_form(rate, expected):
    """x_k = (1 − 2α)ᵏ x₀ for f = x² + y²: it converges for 0 < α < 1 only, oscillates at 1, diverges above."""
    points = example("gradient_descent").descend(lambda p: 2 * p, [3.0, -2.0], rate, 20)
    factors = (1 - 2 * rate) ** np.arange(21)
    close(points, np.outer(factors, [3.0, -2.0]), rtol=1e-12, atol=1e-15)
    assert points[-1, 0] == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize(("start", "end"), [(0.0, -math.pi / 2), (3.0, 4.712389), (math.pi / 2, math.pi / 2)])
def test_descent_on_the_sine_ends_where_its_start_says(start, end):
    points = example("gradient_descent").descend(jnp.cos, start, 0.1, 1000)
    close(points[-1], end, rtol=1e-7)
    if start == math.pi / 2:
        assert (points == start).all()  # a maximum is stationary as well


def test_the_surface_of_the_third_animation():
    descent = example("gradient_descent")
    for point in jnp.array([[0.5, 0.5], [1.0, -0.7], [-1.2, 1.1]]):
        close(descent.surface_gradient(point), jax.grad(lambda p: descent.surface(*p))(point))
        close(descent.surface_gradient(point), fnn.finite_differences(lambda p: descent.surface(*p), point), rtol=1e-8)
    end = descent.descend(descent.surface_gradient, [0.5, 0.5], 0.05, 500)[-1]
    close(end, [2.2017867, 1.6870605], rtol=1e-7)
    close(descent.surface(*end), -1.0, rtol=1e-9)


def test_the_gradient_is_the_direction_of_steepest_ascent():
    """Of 360 unit directions none increases f faster than ∇f, and that one does so by ‖∇f‖ a unit of length."""
    descent = example("gradient_descent")
    point, h = np.array([1.0, -0.7]), 1e-6
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gradient = np.asarray(descent.surface_gradient(jnp.array(point)))
    steepest = gradient / np.linalg.norm(gradient)
    rise = np.array([float(descent.surface(*(point + h * d)) - descent.surface(*point)) / h for d in directions])
    along = float(descent.surface(*(point + h * steepest)) - descent.surface(*point)) / h
    close(along, np.linalg.norm(gradient), rtol=1e-4)
    assert rise.max() <= along + 1e-5
    assert abs(directions[rise.argmax()] @ steepest - 1) < 1e-3


def test_finite_differences_train_like_the_gradient_by_hand(key):
    """2P values of the loss instead of one pass back, and the same steps to eight digits."""
    net = fnn.mlp(2, 3, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy)
    x, labels = fnn.datasets.moons(key, 30)
    x, y = x.astype(float), labels[:, None]
    slow = fast = net.init(key)
    for _ in range(3):
        slow = jax.tree.map(lambda p, g: p - 0.1 * g, slow, fnn.finite_differences(lambda p: net.loss(p, x, y), slow))
        fast, _ = net.train_step(fast, x, y, 0.1)
    close(fnn.flatten_params(slow), fnn.flatten_params(fast), rtol=1e-8, atol=1e-10)


# ── gradients worked by hand ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two_layers(key):
    """Two sigmoid layers and binary cross-entropy on probabilities, h₂ = 2 outputs, so that Σ over outputs matters."""
    layer = fnn.serial(fnn.dense(3), fnn.sigmoid, fnn.dense(2), fnn.sigmoid)
    net = fnn.network(layer, fnn.binary_cross_entropy, input_shape=(4,))
    x = jax.random.normal(key, (5, 4))
    return net, scatter(key, net.init(key)), x, (x[:, :2] > 0.3).astype(float)


@jax.jit
def eight_gradients(params, x, y):
    """By the notes' formulas and by jax.grad of what follows each of them, symbol by symbol."""
    (W1, b1), _, (W2, b2), _ = params
    X, Y, n = x.T, y.T, 5  # the notes' columns

    def loss_of(A2):
        return -(Y * jnp.log(A2) + (1 - Y) * jnp.log(1 - A2)).sum() / n

    def sigma(Z):
        return 1 / (1 + jnp.exp(-Z))

    Z1 = W1 @ X + b1[:, None]
    A1 = sigma(Z1)
    Z2 = W2 @ A1 + b2[:, None]
    A2 = sigma(Z2)
    dZ2 = (A2 - Y) / n
    dZ1 = (W2.T @ dZ2) * A1 * (1 - A1)
    formulas = {
        "dA2": (A2 - Y) / (A2 * (1 - A2)) / n,
        "dZ2": dZ2,
        "dW2": dZ2 @ A1.T,
        "db2": dZ2.sum(axis=1, keepdims=True),
        "dA1": W2.T @ dZ2,
        "dZ1": dZ1,
        "dW1": dZ1 @ X.T,
        "db1": dZ1.sum(axis=1, keepdims=True),
    }

    def from_Z1(Z1):
        return from_A1(sigma(Z1))

    def from_A1(A1, W2=W2, b2=b2[:, None]):
        return loss_of(sigma(W2 @ A1 + b2))

    by_jax = {
        "dA2": jax.grad(loss_of)(A2),
        "dZ2": jax.grad(lambda Z: loss_of(sigma(Z)))(Z2),
        "dW2": jax.grad(from_A1, 1)(A1, W2, b2[:, None]),
        "db2": jax.grad(from_A1, 2)(A1, W2, b2[:, None]),
        "dA1": jax.grad(from_A1)(A1),
        "dZ1": jax.grad(from_Z1)(Z1),
        "dW1": jax.grad(lambda W: from_Z1(W @ X + b1[:, None]))(W1),
        "db1": jax.grad(lambda b: from_Z1(W1 @ X + b))(b1[:, None]),
    }
    return formulas, by_jax


@pytest.mark.parametrize("layout", ["row", "column"])
def test_the_eight_gradients_of_two_sigmoid_layers(two_layers, layout):
    """dA2, dZ2, dW2, db2, dA1, dZ1, dW1, db1: by the notes' formulas, put right, and by jax.grad of what follows."""
    net, params, x, y = two_layers
    shown = fnn.explain(net, params, x, y, layout)
    formulas, by_jax = eight_gradients(params, x, y)
    for symbol, formula in formulas.items():
        turned = layout == "row" and not symbol.startswith("dW")
        value = shown[symbol].reshape(formula.T.shape).T if turned else shown[symbol]
        close(value, formula, rtol=1e-10)
        close(value, by_jax[symbol], rtol=1e-10)


def test_the_3_2_1_network():
    """∂L/∂W2 (2×3) = (W3ᵀ ∘ g'(z2)) (a3 − y) a1ᵀ, and a3 − y is ∂L/∂z3, not ∂L/∂a3."""
    net = fnn.mlp(3, 2, 1, activation=fnn.sigmoid, loss=fnn.sigmoid_cross_entropy)
    params = net.init(jax.random.key(3))
    (W2, b2), _, (W3, b3) = params
    a1, y = jnp.array([[0.5], [-1.0], [2.0]]), 1.0
    z2 = W2 @ a1 + b2[:, None]
    a2 = 1 / (1 + jnp.exp(-z2))
    z3 = W3 @ a2 + b3[:, None]
    a3 = 1 / (1 + jnp.exp(-z3))
    grads = net.backward(params, a1.T, jnp.array([[y]]))
    close(grads[2].W, (a3 - y) @ a2.T)  # (1×1)(1×2), where the note forgets the transpose
    close(grads[0].W, (W3.T * a2 * (1 - a2)) @ (a3 - y) @ a1.T)
    assert grads[0].W.shape == (2, 3)
    close(jax.grad(lambda z: fnn.sigmoid_cross_entropy(z, jnp.array([[y]])))(z3), a3 - y)
    assert not np.allclose(jax.grad(lambda a: fnn.binary_cross_entropy(a, jnp.array([[y]])))(a3), a3 - y)


def test_three_neurons_with_the_one_over_n_that_the_note_forgets():
    """J = 1/2n Σ (aᵢ − yᵢ)² has ∂J/∂aᵢ = (aᵢ − yᵢ)/n: exactly a third of what the note says for n = 3."""
    a, y = jnp.array([[0.8, 0.1, 0.4]]), jnp.array([[0.5, 0.5, 0.5]])
    loss = fnn.scaled(fnn.half_mean_squared_error, 1 / 3)
    value, residuals = loss.fwd(a, y, None)
    da = loss.bwd(residuals, jnp.ones_like(value))
    close(da, [[0.1, -0.4 / 3, -0.1 / 3]])
    close(da, fnn.finite_differences(lambda a: loss(a, y), a), rtol=1e-8)
    close((a - y) / da, [[3, 3, 3]])

    net = fnn.network(fnn.serial(fnn.dense(3), fnn.sigmoid), loss, input_shape=(1,))
    params = (fnn.DenseParams(jnp.array([[0.5], [-1.0], [2.0]]), jnp.array([0.1, 0.2, -0.3])), ())
    x = jnp.array([[0.8]])
    out = jax.nn.sigmoid(x @ params[0].W.T + params[0].b)
    dz = (out - y) / 3 * out * (1 - out)
    grads = net.backward(params, x, y)[0]
    close(grads.b, dz[0])
    close(grads.W, dz.T * x)


def test_the_four_loops_agree_with_the_matrices(two_layers):
    net, params, x, y = two_layers
    layer = fnn.serial(*net.layer.children[:-1])
    fused = fnn.network(layer, fnn.sigmoid_cross_entropy, input_shape=(4,))
    by_loops = fnn.flatten_params(fnn.backward_by_loops(fused, params[:-1], x, y))
    close(by_loops, fnn.flatten_params(fused.backward(params[:-1], x, y)), rtol=1e-10)
    close(by_loops, fnn.flatten_params(net.backward(params, x, y)), rtol=1e-10)


# ── logistic regression ─────────────────────────────────────────────────────────────────────────────────────────────


def test_logistic_regression_is_the_network_without_hidden_layer(key):
    """On overlapping classes gradient descent and Newton's method find one minimum."""
    regression = example("logistic_regression")
    net = fnn.mlp(2, 1, loss=fnn.sigmoid_cross_entropy)
    x, labels = fnn.datasets.blobs(key, 200, classes=2, spread=1.5, radius=1.0)
    x = x.astype(float)
    ((W, b),) = regression.train(net, x, labels[:, None], 1000, 0.5)
    exact = regression.newton(np.asarray(x), np.asarray(labels))
    assert np.abs(np.append(W[0], b) - exact).max() < 1e-6
    gradient = net.backward((fnn.DenseParams(jnp.array(exact[None, :2]), jnp.array(exact[2:])),), x, labels[:, None])
    assert np.abs(fnn.flatten_params(gradient)).max() < 1e-12


def test_separable_classes_have_no_minimum():
    """Points −1 and 1, w from 0: each step adds σ(−w), so e^w + w grows by about 1 a step and w for ever, as ln t."""
    net = fnn.network(fnn.serial(fnn.dense(1, use_bias=False)), fnn.sigmoid_cross_entropy, input_shape=(1,))
    x, y = jnp.array([[-1.0], [1.0]]), jnp.array([[0], [1]])

    @jax.jit
    def descend(steps):
        start = (fnn.LinearParams(jnp.zeros((1, 1))),)
        return jax.lax.fori_loop(0, steps, lambda _, p: net.train_step(p, x, y, 1.0)[0], start)

    weights = [float(descend(steps)[0].W[0, 0]) for steps in (100, 1000, 20_000)]
    assert weights[0] < weights[1] < weights[2]
    for w, steps in zip(weights, (100, 1000, 20_000), strict=True):
        assert math.exp(w) + w - 1 == pytest.approx(steps, rel=0.05)


# ── initialization ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0])
def test_neurons_that_start_alike_stay_alike(value, key):
    """Both hidden units compute relu(αx₁ + αx₂), now and for ever, to the last bit."""
    net = fnn.mlp(2, 2, 2, initializer=fnn.initializers.constant(value))
    params, x = net.init(key), jax.random.normal(key, (20, 2))
    close(fnn.explain(net, params, x, jnp.arange(20) % 2)["A1"][:, 0], jax.nn.relu(value * x.sum(axis=1)))
    for _ in range(30):
        params, _ = net.train_step(params, x, jnp.arange(20) % 2, 0.3)
        assert (params[0].W[0] == params[0].W[1]).all()
        assert params[0].b[0] == params[0].b[1]


@pytest.mark.parametrize(
    ("depth", "c", "expected"), [(10, 1.5, 38.443), (10, 0.5, 0.00195), (50, 1.5, 4.25e8), (50, 0.5, 1.78e-15)]
)
def test_linear_layers_multiply(depth, c, expected):
    """ŷ = W_L c^(L−1) x for W₁ = … = W_{L−1} = c·I: it explodes for 1.5 and vanishes for 0.5, back as forward."""
    net = fnn.mlp(*[2] * depth, 1, activation=fnn.identity, loss=fnn.half_mean_squared_error)
    last = fnn.DenseParams(jnp.array([[1.0, 0.0]]), jnp.zeros(1))
    hidden = fnn.DenseParams(c * jnp.eye(2), jnp.zeros(2))
    params = (*[hidden, ()] * (depth - 1), last)
    y_hat = net.forward(params, jnp.ones((1, 2)))
    close(y_hat, [[c ** (depth - 1)]])
    assert float(y_hat[0, 0]) == pytest.approx(expected, rel=2e-3)
    first = net.backward(params, jnp.ones((1, 2)), y_hat - 1)[0]
    close(first.b, [c ** (depth - 2), 0])


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (fnn.initializers.lecun_normal, 1 / 300),
        (fnn.initializers.xavier_normal, 2 / (300 + 400)),
        (fnn.initializers.xavier_uniform, 2 / (300 + 400)),
        (fnn.initializers.he_normal, 2 / 300),
        (fnn.initializers.he_uniform, 2 / 300),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_initializers_have_the_stated_variance(initializer, variance, key):
    """Xavier 1/n_in or 2/(n_in + n_out), He 2/n_in: variances, and of the fan-in."""
    W = np.asarray(initializer(key, (400, 300)))
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) < 4 * math.sqrt(variance / W.size)
    if "uniform" in initializer.__name__:
        assert np.abs(W).max() <= math.sqrt(3 * variance)
        assert np.abs(W).max() > 0.999 * math.sqrt(3 * variance)


def deep_pass(g, initializer, key):
    net = fnn.mlp(*[128] * 21, 10, activation=g, initializer=initializer)
    x = jax.random.normal(key, (100, 128))
    shown = fnn.explain(net, net.init(key), x, jnp.arange(100) % 10)
    return [shown[f"A{k}"] for k in (1, 10, 20)]


@pytest.mark.parametrize(
    ("g", "initializer", "expected"),
    [
        (fnn.relu, fnn.initializers.he_normal, (0.83, 0.79, 0.83)),
        (fnn.relu, fnn.initializers.normal((2 / 128) ** 0.25), (2.3, 4.6e4, 1.8e9)),  # √(2/n) taken for a variance
        (fnn.relu, fnn.initializers.xavier_normal, (0.58, 0.03, 0.001)),
        (fnn.tanh, fnn.initializers.xavier_normal, (0.63, 0.22, 0.16)),
    ],
    ids=["relu-he", "relu-std-for-variance", "relu-xavier", "tanh-xavier"],
)
def test_spread_of_activations_through_twenty_layers(g, initializer, expected, key):
    """One draw differs from another by a factor that grows with depth; the orders of magnitude stay."""
    for A, std in zip(deep_pass(g, initializer, key), expected, strict=True):
        assert std / 4 < A.std() < std * 4


def test_xavier_behind_sigmoids_loses_the_input(key):
    """Sigmoid outputs have mean ½, so the rule's assumption fails: units stop depending on the example at all."""
    spread = [A.std(axis=0).mean() for A in deep_pass(fnn.sigmoid, fnn.initializers.xavier_normal, key)]
    for actual, expected in zip(spread, (0.21, 4.6e-7, 2.4e-13), strict=True):
        assert expected / 3 < actual < expected * 3


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_gradients_are_bounded_by_the_layers_between_them_and_the_loss(scale, key):
    """‖∂L/∂Zˡ‖ ≤ ‖∂L/∂Zᴸ‖ · ∏ₖ₌ₗ₊₁ᴸ ‖Wᵏ‖ max|φ'(Zᵏ⁻¹)|: layers above l, and at most."""
    net = fnn.mlp(4, 6, 5, 6, 3, activation=fnn.tanh)
    params = jax.tree.map(lambda leaf: scale * leaf, scatter(key, net.init(key)))
    shown = fnn.explain(net, params, jax.random.normal(key, (8, 4)), jnp.arange(8) % 3)
    bound = np.linalg.norm(shown["dZ4"])
    for k in (4, 3, 2):
        slope = 1 - np.tanh(shown[f"Z{k - 1}"]) ** 2
        bound *= np.linalg.norm(params[2 * k - 2].W, 2) * slope.max()
        actual = np.linalg.norm(shown[f"dZ{k - 1}"])
        assert 0 < actual <= bound * (1 + 1e-12)


@pytest.mark.parametrize("remedy", ["residual(...)", "batch_norm", "tanh", "relu, he_normal", "swish"])
def test_remedies_lift_the_gradient_of_the_first_layer(remedy, key):
    """Twelve sigmoids leave less than 1e-5 of the gradient; each remedy leaves at least a hundred times as much."""
    remedies = example("remedies")
    rows = remedies.vanishing(12)
    x, y = jax.random.normal(key, (50, 2)), jnp.arange(50) % 3

    def first_over_last(row):
        grads = jax.jit(row.net.backward)(remedies.start(row), x, y, state=row.net.init_state())
        W = remedies.blocks(grads)
        return np.linalg.norm(W[0]) / np.linalg.norm(W[-1])

    without = first_over_last(rows["sigmoid"])
    assert without < 1e-5
    assert first_over_last(rows[remedy]) > 100 * without
