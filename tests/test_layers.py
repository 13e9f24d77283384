"""Normalization, dropout, prelu, convolution, pooling, skip connections and depth: values, laws, kinks, errors.

The NumPy functions here are second implementations, written from the formulas with loops, of what the library does with
a few array operations.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import scatter

import fnn
from fnn.losses.penalties import top_singular_vectors


@pytest.fixture
def _float64():
    with jax.enable_x64(True):
        yield


FWD = jax.jit(lambda layer, *arguments: layer.fwd(*arguments), static_argnums=0)
BWD = jax.jit(lambda layer, *arguments: layer.bwd(*arguments), static_argnums=0)


def train(layer, params, x, key=None):
    """Training pass of a layer in its starting state: y, new state, and a function that pulls dy back."""
    (y, state), residuals = FWD(layer, params, x, layer.init_state(x.shape[1:]), key)
    return y, state, lambda dy: BWD(layer, residuals, dy)


# ── normalization ───────────────────────────────────────────────────────────────────────────────────────────────────


def standardize_by_loops(groups, epsilon):
    """Each row is what shares one mean."""
    rows = []
    for row in groups:
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        rows.append([(value - mean) / (variance + epsilon) ** 0.5 for value in row])
    return np.array(rows)


def standardize_jacobian(row, epsilon):
    """∂x̂_k/∂x_j by the quotient rule, entry by entry."""
    m, mean = len(row), np.mean(row)
    s = np.sqrt(np.mean((row - mean) ** 2) + epsilon)
    jacobian = np.zeros((m, m))
    for k in range(m):
        for j in range(m):
            d_s = (row[j] - mean) / (m * s)
            jacobian[k, j] = (((k == j) - 1 / m) * s - (row[k] - mean) * d_s) / s**2
    return jacobian


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_normalization_by_loops(name, key):
    layer = getattr(fnn, name)(epsilon=0.01)
    params = scatter(key, layer.init(key, (3,)))
    x, dy = jax.random.normal(key, (2, 5, 3))
    y, _, pull = train(layer, params, x)
    dparams, dx = pull(dy)
    turn = np.transpose if name == "batch_norm" else np.asarray
    x_hat = turn(standardize_by_loops(turn(x), 0.01))
    np.testing.assert_allclose(y, params.scale * x_hat + params.shift, rtol=1e-12)
    np.testing.assert_allclose(dparams.scale, (dy * x_hat).sum(axis=0), rtol=1e-11)
    np.testing.assert_allclose(dparams.shift, dy.sum(axis=0), rtol=1e-12)
    d_hat = turn(dy * params.scale)
    expected = [standardize_jacobian(row, 0.01).T @ d for row, d in zip(turn(x), d_hat, strict=True)]
    np.testing.assert_allclose(dx, turn(np.array(expected)), rtol=1e-9, atol=1e-12)


def test_batch_norm_makes_mean_0_and_variance_1_of_each_feature(key):
    layer = fnn.batch_norm()
    x = 100 + 5 * jax.random.normal(key, (64, 4, 4, 3)) * jnp.array([1.0, 2, 3])
    y, state, _ = train(layer, layer.init(key, (4, 4, 3)), x)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(state.mean, 0.1 * x.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(state.variance, 0.9 + 0.1 * np.var(x, axis=(0, 1, 2), ddof=1), rtol=1e-4)


def test_running_statistics_become_those_of_the_data(key):
    layer = fnn.batch_norm(momentum=0.8)
    params, state = layer.init(key, (2,)), layer.init_state((2,))
    x = 3 + 2 * jax.random.normal(key, (50, 2))
    step = jax.jit(lambda state: layer.fwd(params, x, state, None)[0][1])
    for _ in range(60):
        state = step(state)
    np.testing.assert_allclose(state.mean, x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(state.variance, np.var(x, axis=0, ddof=1), rtol=1e-4)
    # evaluation: one example at a time, the same whatever else is in the batch
    y = layer.forward(params, x, state)
    np.testing.assert_allclose(layer.forward(params, x[:1], state), y[:1], rtol=1e-6)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(y.var(axis=0), 49 / 50, rtol=1e-3)


def test_statistics_never_enter_the_parameters(key):
    layer = fnn.serial(fnn.dense(3), fnn.batch_norm())
    assert fnn.count_params(layer.init(key, (2,))) == 2 * 3 + 3 + 2 * 3
    assert fnn.count_params(layer.init_state((2,))) == 2 * 3


@pytest.mark.usefixtures("_float64")
def test_a_bias_in_front_of_batch_norm_has_gradient_0_and_the_check_is_not_fooled(key):
    net = fnn.network(
        fnn.serial(fnn.dense(4), fnn.batch_norm(), fnn.tanh, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,)
    )
    params = scatter(key, net.init(key))
    x, y = jax.random.normal(key, (6, 3)), np.array([0, 1, 1, 0, 1, 0])
    grads = net.backward(params, x, y, state=net.init_state())
    assert np.abs(grads[0].b).max() < 1e-15
    assert np.abs(grads[0].W).max() > 1e-3
    fnn.check(net, params, x, y, state=net.init_state()).assert_ok()

    def wrong(params, x, y, **keywords):
        grads = net.backward(params, x, y, **keywords)
        return (grads[0]._replace(b=grads[0].b + 0.01), *grads[1:])

    report = fnn.check(net, params, x, y, backward=wrong, state=net.init_state())
    assert report.verdict == "WRONG"
    assert "layers[0]" in report.diagnosis


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_normalization_ignores_offsets_and_scales(name, key):
    """x and 3x + 1000 look alike, as long as ε does not matter; gradients in x are orthogonal to both changes."""
    layer = getattr(fnn, name)()
    params = layer.init(key, (8,))
    x, dy = jax.random.normal(key, (2, 16, 8))
    y, _, pull = train(layer, params, x)
    np.testing.assert_allclose(train(layer, params, 3 * x + 1000)[0], y, atol=2e-3)
    axis = 0 if name == "batch_norm" else 1
    _, dx = pull(dy)
    np.testing.assert_allclose(dx.sum(axis=axis), 0, atol=1e-5)
    np.testing.assert_allclose((dx * x).sum(axis=axis), 0, atol=1e-3)


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_normalization_of_extremes(name, key):
    layer = getattr(fnn, name)()
    params = layer.init(key, (4,))
    for x in (
        jnp.full((4, 4), 1e4),
        1e4 * jnp.sign(jax.random.normal(key, (4, 4))),
        1e-20 * jnp.eye(4),
        jnp.zeros((4, 4)),
    ):
        y, _, pull = train(layer, params, x)
        assert jnp.isfinite(y).all()
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(pull(jnp.ones_like(y))))
    np.testing.assert_array_equal(train(layer, params, jnp.full((4, 4), 1e4))[0], 0)
    assert jnp.isnan(train(layer, params, jnp.full((4, 4), jnp.nan))[0]).all()


def test_the_variance_takes_two_passes():
    """At 10,000 ± 1, mean(x²) − mean(x)² in float32 is off by several units."""
    x = 10_000 + jnp.array([[-1.0], [1.0], [-1.0], [1.0]])
    layer = fnn.batch_norm()
    y, state, _ = train(layer, layer.init(jax.random.key(0), (1,)), x)
    np.testing.assert_allclose(y, x - 10_000, rtol=1e-5)
    np.testing.assert_allclose(state.variance, 0.9 + 0.1 * 4 / 3, rtol=1e-6)


# ── dropout ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_keeps_the_mean(rate, key):
    """E[y] = x: within five standard errors of 40,000 draws; the share of zeros likewise."""
    x = jnp.full((200, 200), 2.0)
    y, _, _ = train(fnn.dropout(rate), (), x, key)
    error = 5 * np.sqrt(rate / (1 - rate) / x.size)
    assert abs(float(y.mean()) / 2 - 1) <= error
    assert abs(float((y == 0).mean()) - rate) <= 5 * np.sqrt(rate * (1 - rate) / x.size)
    np.testing.assert_allclose(y[y != 0], 2 / (1 - rate), rtol=1e-6)


def test_dropout_passes_gradients_where_it_passed_values(key):
    x = jax.random.normal(key, (5, 7))
    y, _, pull = train(fnn.dropout(0.5), (), x, key)
    _, dx = pull(jnp.ones_like(y))
    np.testing.assert_array_equal(dx, np.where(np.asarray(y) == 0, 0, 2))


def test_one_key_gives_one_mask_in_any_precision_and_layers_differ(key):
    layer = fnn.dropout(0.5)
    draw = lambda key: np.asarray(train(layer, (), jnp.ones((4, 32)), key)[0])  # noqa: E731
    first = draw(key)
    np.testing.assert_array_equal(first, draw(key))
    assert (first != draw(jax.random.key(1))).any()
    with jax.enable_x64(True):
        np.testing.assert_array_equal(first, draw(key))
    for chain in (fnn.serial(layer, layer), fnn.repeat(layer, 2)):
        params = chain.init(key, (32,))
        y, _, _ = train(chain, params, jnp.ones((4, 32)), key)
        share = float((np.asarray(y) != 0).mean())
        assert 0.1 < share < 0.4  # a quarter survives two masks; half would, were they the same


def test_dropout_of_infinities_drops_them():
    x = jnp.array([[jnp.inf, jnp.nan] * 50])
    y, _, pull = train(fnn.dropout(0.5), (), x, jax.random.key(0))
    assert 0 < int((y == 0).sum()) < 100
    assert jnp.isfinite(pull(jnp.ones_like(y))[1]).all()


def test_evaluation_is_deterministic_and_needs_no_key(key):
    x = jax.random.normal(key, (3, 4))
    np.testing.assert_array_equal(fnn.dropout(0.9).forward((), x), x)
    net = fnn.network(
        fnn.serial(fnn.dense(5), fnn.dropout(0.5), fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(4,)
    )
    params = net.init(key)
    np.testing.assert_array_equal(net.forward(params, x), net.forward(params, x))


# ── prelu ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prelu_by_hand():
    params = fnn.PreluParams(jnp.array([0.5, -2.0]))
    z = jnp.array([[-4.0, -1.0], [3.0, 0.0]])
    y, _, pull = train(fnn.prelu(), params, z)
    np.testing.assert_array_equal(y, [[-2, 2], [3, 0]])
    dparams, dz = pull(jnp.array([[1.0, 10.0], [100.0, 1000.0]]))
    np.testing.assert_array_equal(dparams.slope, [-4, -10])
    np.testing.assert_array_equal(dz, [[0.5, -20], [100, -2000]])  # at the kink, the slope from the left


def test_prelu_survives_extremes_and_shows_nan():
    params = fnn.PreluParams(jnp.array([0.25]))
    for size in (1e4, 1e30):
        y, _, pull = train(fnn.prelu(), params, jnp.array([[-size], [size]]))
        np.testing.assert_allclose(y, [[-size / 4], [size]], rtol=1e-6)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(pull(jnp.ones_like(y))))
    assert jnp.isnan(train(fnn.prelu(), params, jnp.full((1, 1), jnp.nan))[0]).all()


def test_prelu_is_leaky_relu_with_a_slope_of_its_own(key):
    z = jax.random.normal(key, (5, 3))
    params = fnn.prelu(0.1).init(key, (3,))
    np.testing.assert_allclose(fnn.prelu().forward(params, z), fnn.leaky_relu(0.1)(z), rtol=1e-6)


# ── convolution ─────────────────────────────────────────────────────────────────────────────────────────────────────


def convolve_by_loops(x, W, stride, padding):
    """y[n, a, b, o] as seven nested loops, and for each term which entries of x and W it multiplies."""
    (n, h, w, _), (c_out, kh, kw, c_in) = x.shape, W.shape
    (top, bottom), (left, right) = padding
    rows, columns = (h + top + bottom - kh) // stride[0] + 1, (w + left + right - kw) // stride[1] + 1
    y, terms = np.zeros((n, rows, columns, c_out)), []
    for at in np.ndindex(n, rows, columns, c_out, kh, kw, c_in):
        e, a, b, o, i, j, c = at
        u, v = stride[0] * a + i - top, stride[1] * b + j - left
        if 0 <= u < h and 0 <= v < w:
            y[e, a, b, o] += x[e, u, v, c] * W[o, i, j, c]
            terms.append(((e, a, b, o), (e, u, v, c), (o, i, j, c)))
    return y, terms


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "around"),
    [
        ((5, 6, 2), (3, 3), 1, "SAME", ((1, 1), (1, 1))),
        ((5, 6, 1), (3, 2), (2, 3), "SAME", ((1, 1), (0, 0))),
        ((6, 6, 1), (3, 3), 2, "SAME", ((0, 1), (0, 1))),
        ((7, 5, 2), (2, 3), (3, 1), "VALID", ((0, 0), (0, 0))),
        ((4, 4, 1), (2, 2), 2, ((3, 0), (1, 2)), ((3, 0), (1, 2))),
        ((3, 3, 1), (1, 1), 1, "SAME", ((0, 0), (0, 0))),
        ((5, 5, 1), (1, 1), 3, "SAME", ((0, 0), (0, 0))),
    ],
    ids=str,
)
def test_convolution_by_loops(shape, kernel, stride, padding, around, key):
    layer = fnn.conv2d(2, kernel, stride, padding)
    params = scatter(key, layer.init(key, shape))
    x = jax.random.normal(key, (2, *shape))
    expected, terms = convolve_by_loops(x, params.W, (stride, stride) if isinstance(stride, int) else stride, around)
    y, _, pull = train(layer, params, x)
    np.testing.assert_allclose(y, expected + params.b, rtol=1e-12, atol=1e-12)
    dy = np.array(jax.random.normal(key, y.shape))
    dparams, dx = pull(jnp.asarray(dy))
    dW_expected, dx_expected = np.zeros(params.W.shape), np.zeros(x.shape)
    x, W = np.asarray(x), np.asarray(params.W)
    for at_y, at_x, at_W in terms:
        dW_expected[at_W] += dy[at_y] * x[at_x]
        dx_expected[at_x] += dy[at_y] * W[at_W]
    np.testing.assert_allclose(dparams.W, dW_expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dx, dx_expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dparams.b, dy.sum(axis=(0, 1, 2)), rtol=1e-12)


def test_a_kernel_of_one_pixel_is_dense_on_channels(key):
    layer = fnn.conv2d(4, kernel=1)
    params = scatter(key, layer.init(key, (3, 2, 5)))
    x = jax.random.normal(key, (2, 3, 2, 5))
    pixels = fnn.dense(4).forward(fnn.DenseParams(params.W[:, 0, 0], params.b), x.reshape(-1, 5))
    np.testing.assert_allclose(layer.forward(params, x).reshape(-1, 4), pixels, rtol=1e-5)


def test_a_kernel_of_the_image_s_size_is_dense_on_images(key):
    layer = fnn.conv2d(4, kernel=(3, 2), padding="VALID")
    params = scatter(key, layer.init(key, (3, 2, 5)))
    x = jax.random.normal(key, (2, 3, 2, 5))
    flat = fnn.dense(4).forward(fnn.DenseParams(params.W.reshape(4, -1), params.b), x.reshape(2, -1))
    np.testing.assert_allclose(layer.forward(params, x)[:, 0, 0], flat, rtol=1e-5, atol=1e-5)


def test_convolution_moves_with_the_image(key):
    """Shift the image and the output shifts: the law that gives convolutions their name."""
    layer = fnn.conv2d(2, padding="VALID", use_bias=False)
    params = layer.init(key, (8, 8, 1))
    x = jax.random.normal(key, (1, 8, 8, 1))
    shifted = jnp.roll(x, 1, axis=1)
    np.testing.assert_allclose(
        layer.forward(params, shifted)[:, 1:], layer.forward(params, x)[:, :-1], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("h", "stride"), [(28, 1), (28, 2), (7, 2), (5, 3), (1, 2)])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_same_padding_gives_as_many_pixels_as_strides_start(h, stride, k):
    layer = fnn.conv2d(1, kernel=k, stride=stride)
    y = jax.eval_shape(layer.forward, layer.init(jax.random.key(0), (h, h, 1)), jnp.zeros((1, h, h, 1)))
    assert y.shape == (1, -(-h // stride), -(-h // stride), 1)


def test_kernels_have_the_fan_of_their_window(key):
    W = fnn.conv2d(64, kernel=5).init(key, (28, 28, 16)).W
    np.testing.assert_allclose(W.var(), 2 / (5 * 5 * 16), rtol=0.05)


# ── pooling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize(
    ("shape", "window"), [((4, 6, 2), 2), ((5, 7, 1), (2, 3)), ((3, 3, 2), 3), ((4, 4, 1), 1)], ids=str
)
def test_pooling_by_loops(name, shape, window, key):
    layer = getattr(fnn, name)(window)
    x = np.asarray(jax.random.normal(key, (2, *shape)))
    kh, kw = (window, window) if isinstance(window, int) else window
    y, _, pull = train(layer, (), jnp.asarray(x))
    dy = np.asarray(jax.random.normal(key, y.shape))
    _, dx = pull(jnp.asarray(dy))
    expected, dx_expected = np.zeros(y.shape), np.zeros(x.shape)
    for e, a, b, c in np.ndindex(*y.shape):
        cells = [(e, kh * a + i, kw * b + j, c) for i in range(kh) for j in range(kw)]
        entries = [x[cell] for cell in cells]
        if name == "max_pool":
            expected[e, a, b, c] = max(entries)
            dx_expected[cells[entries.index(max(entries))]] += dy[e, a, b, c]
        else:
            expected[e, a, b, c] = sum(entries) / len(entries)
            for cell in cells:
                dx_expected[cell] += dy[e, a, b, c] / len(cells)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, dx_expected, rtol=1e-6, atol=1e-7)


def test_ties_go_to_the_first_in_reading_order():
    """As autodiff of the forward has it; dark corners of images are full of them."""
    x = jnp.array([[0.0, 5, 5, 1], [5, 5, 2, 2]]).reshape(1, 2, 4, 1)
    layer = fnn.max_pool(2)
    y, _, pull = train(layer, (), x)
    dy = jnp.array([10.0, 20]).reshape(y.shape)
    _, dx = pull(dy)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 10, 20, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(jax.vjp(lambda x: layer.forward((), x), x)[1](dy)[0], dx)
    dark = jnp.zeros((1, 4, 4, 1))
    _, _, pull = train(layer, (), dark)
    np.testing.assert_array_equal(pull(jnp.ones((1, 2, 2, 1)))[1][0, :, :, 0], np.tile([[1, 0], [0, 0]], (2, 2)))


def test_large_windows_find_their_place(key):
    """More than 256 places do not fit a byte."""
    for size in (16, 17):
        x = jax.random.normal(key, (1, size, 2 * size, 1))
        y, _, pull = train(fnn.max_pool(size), (), x)
        _, dx = pull(jnp.ones_like(y))
        np.testing.assert_array_equal(np.sort(np.asarray(x)[np.asarray(dx) == 1]), np.sort(np.asarray(y).ravel()))


def test_many_windows_find_their_place(key):
    x = jax.random.normal(key, (1, 3, 900, 1))
    y, _, pull = train(fnn.max_pool(3), (), x)
    largest = np.asarray(x)[np.asarray(pull(jnp.ones_like(y))[1]) == 1]
    np.testing.assert_array_equal(np.sort(largest), np.sort(np.asarray(y).ravel()))


def test_pooling_of_extremes():
    x = jnp.array([-1e4, -1e30, 1e30, jnp.nan, -jnp.inf, -jnp.inf, -jnp.inf, -jnp.inf]).reshape(1, 1, 8, 1)
    y = fnn.max_pool((1, 4)).forward((), x)
    assert jnp.isnan(y[0, 0, 0, 0])
    assert y[0, 0, 1, 0] == -jnp.inf
    assert fnn.max_pool((1, 2)).forward((), x)[0, 0, 0, 0] == -1e4
    assert jnp.isnan(fnn.average_pool((1, 4)).forward((), x)[0, 0, 0, 0])


# ── residual and repeat ─────────────────────────────────────────────────────────────────────────────────────────────


def test_residual_adds_a_path_of_factor_one(key):
    """A branch of zeros changes neither values nor the gradient that passes."""
    layer = fnn.residual(fnn.dense(3, initializer=fnn.initializers.zeros))
    x, dy = jax.random.normal(key, (2, 4, 3))
    y, _, pull = train(layer, layer.init(key, (3,)), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(pull(dy)[1], dy)


def unrolled(params, times):
    """The parameters of `repeat` as those of a chain."""
    return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], params.stacked) for i in range(times))


def test_repeat_is_a_chain_with_parameters_of_its_own(key):
    block = fnn.serial(fnn.dense(3), fnn.batch_norm(), fnn.tanh)
    repeated, chain = fnn.repeat(block, 4), fnn.serial(*[block] * 4)
    params = scatter(key, repeated.init(key, (3,)))
    x, dy = jax.random.normal(key, (2, 5, 3))
    y, state, pull = train(repeated, params, x)
    y_chain, states, pull_chain = train(chain, unrolled(params, 4), x)
    (dparams, dx), (dparams_chain, dx_chain) = pull(dy), pull_chain(dy)
    np.testing.assert_allclose(y, y_chain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, dx_chain, rtol=1e-4, atol=1e-6)
    for got, expected in zip(unrolled(dparams, 4), dparams_chain, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, expected)
    for i in range(4):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6), state, states[i])
    evaluated = repeated.forward(params, x, state)
    np.testing.assert_allclose(evaluated, chain.forward(unrolled(params, 4), x, states), rtol=1e-4, atol=1e-6)


def test_layers_of_a_repeat_start_out_different(key):
    W = fnn.repeat(fnn.dense(3), 5).init(key, (3,)).stacked.W
    assert len({float(v) for v in W[:, 0, 0]}) == 5


def test_repeat_does_not_store_parameters_among_its_residuals(key):
    """100 layers of dense keep their 100 inputs; W is there already."""
    layer = fnn.repeat(fnn.serial(fnn.dense(64), fnn.tanh), 100)
    params = layer.init(key, (64,))
    closed = jax.make_jaxpr(lambda params, x: layer.fwd(params, x, (), None)[1])(params, jnp.ones((2, 64)))
    new = {v for v in closed.jaxpr.outvars if v not in closed.jaxpr.invars}
    assert sum(v.aval.size for v in new) == 100 * 2 * (2 * 64)


def test_combinators_are_rebuilt_over_other_children():
    layer = fnn.serial(fnn.residual(fnn.tanh), fnn.repeat(fnn.serial(fnn.dense(2), fnn.tanh), 3))
    assert repr(layer) == "fnn.serial(fnn.residual(fnn.tanh), fnn.repeat(fnn.serial(fnn.dense(2), fnn.tanh), 3))"
    assert [repr(child.rebuild((fnn.relu,))) for child in layer.children] == [
        "fnn.residual(fnn.relu)",
        "fnn.repeat(fnn.relu, 3)",
    ]
    params = layer.children[1].rebuild((fnn.dense(2),)).init(jax.random.key(0), (2,))
    assert params.stacked.W.shape == (3, 2, 2)
    assert jax.tree.map(jnp.shape, fnn.repeat(fnn.batch_norm(), 3).init_state((2,))) == fnn.BatchNormState(
        (3, 2), (3, 2)
    )
    assert fnn.repeat(fnn.tanh, 3).init_state((2,)) == ()


def deep(skip, depth=100):
    """The same block over and over, with a skip connection around it or without."""
    small = fnn.dense(16, initializer=fnn.initializers.normal(0.05))
    block = fnn.serial(fnn.layer_norm(), fnn.dense(16), fnn.relu, small)
    layer = fnn.serial(fnn.repeat(fnn.residual(block) if skip else block, depth), fnn.dense(2))
    return fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(16,))


def gradient_norms(net, key):
    """Norm of the gradient of each of the 100 layers' first W."""
    params = net.init(key)
    x, y = jax.random.normal(key, (32, 16)), jax.random.randint(key, (32,), 0, 2)
    value, grads = jax.jit(net.loss_and_grad)(params, x, y)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    W = np.asarray(grads[0].stacked[1].W, np.float64)
    assert W.shape == (100, 16, 16)
    return np.sqrt((W**2).sum(axis=(1, 2)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_skip_connections_keep_gradients_through_100_layers(seed):
    """Layer 1's gradient is within ten times of layer 100's with them; without them it is not, it vanishes."""
    key = jax.random.key(seed)
    with_skip, without = gradient_norms(deep(skip=True), key), gradient_norms(deep(skip=False), key)
    assert 0.1 < with_skip[0] / with_skip[-1] < 10
    assert without[0] / without[-1] < 0.1
    assert with_skip.min() > 0.05 * with_skip.max()


@pytest.mark.parametrize("compiled", [False, True])
def test_compiling_does_not_grow_with_depth(compiled, key):
    """The program for 100 layers has the size of that for 2: both loops are loops."""

    def size(depth):
        net = deep(skip=True, depth=depth)
        params = net.init(key)
        lowered = jax.jit(net.loss_and_grad).lower(params, jnp.ones((4, 16)), np.zeros(4, np.int32))
        return len((lowered.compile() if compiled else lowered).as_text().splitlines())

    assert abs(size(100) - size(2)) <= 0.05 * size(2)


# ── spectral norm ───────────────────────────────────────────────────────────────────────────────────────────────────


def svd(W):
    u, s, v = np.linalg.svd(np.asarray(W, np.float64).reshape(len(W), -1))
    return s, np.outer(u[:, 0], v[0]).reshape(W.shape)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (40, 30), (1, 7), (7, 1), (1, 1), (4, 3, 3, 2)], ids=str)
def test_spectral_norm_is_the_largest_singular_value(shape, key):
    W = jax.random.normal(key, shape)
    s, outer = svd(W)
    penalty = fnn.spectral_norm(0.7)
    np.testing.assert_allclose(penalty.value({"W": W}), 0.7 * s[0], rtol=1e-12)
    np.testing.assert_allclose(penalty.gradient({"W": W})["W"], 0.7 * outer, atol=1e-9 * s[0])
    through_svd = jax.grad(lambda W: 0.7 * jnp.linalg.svd(W.reshape(len(W), -1), compute_uv=False)[0])(W)
    np.testing.assert_allclose(penalty.gradient({"W": W})["W"], through_svd, atol=1e-9)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6, 1e-12, 0.0])
def test_spectral_norm_where_the_largest_two_are_close(gap):
    """Training brings σ₁ and σ₂ together. The value is right at any gap, the direction as far as it is defined."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(2))
    s = np.array([1.0, 1 - gap, *np.linspace(0.9, 0.1, 10)])
    W = jnp.asarray((u * s) @ v.T)
    penalty = fnn.spectral_norm(1.0)
    np.testing.assert_allclose(penalty.value({"W": W}), 1, rtol=1e-9)
    gradient = penalty.gradient({"W": W})["W"]
    np.testing.assert_allclose(np.linalg.norm(gradient), 1, rtol=1e-12)
    np.testing.assert_allclose((gradient * W).sum(), 1, rtol=1e-9)  # σ grows at rate 1 along W: any subgradient does
    if gap >= 1e-6:
        np.testing.assert_allclose(gradient, np.outer(u[:, 0], v[:, 0]), atol=1e-9)


def test_spectral_norm_of_extremes():
    penalty = fnn.spectral_norm(1.0)
    for W in (jnp.zeros((3, 2)), jnp.full((3, 2), 1e30), jnp.full((2, 3), 1e-30), jnp.eye(3), jnp.eye(3)[:, ::-1]):
        assert jnp.isfinite(penalty.value({"W": W}))
        assert jnp.isfinite(penalty.gradient({"W": W})["W"]).all()
        assert jnp.isfinite(jax.grad(penalty.value)({"W": W})["W"]).all()
    assert penalty.value({"W": jnp.zeros((3, 2))}) == 0
    assert not penalty.gradient({"W": jnp.zeros((3, 2))})["W"].any()
    np.testing.assert_allclose(penalty.value({"W": jnp.eye(3)}), 1, rtol=1e-6)
    np.testing.assert_allclose(penalty.value({"W": jnp.full((3, 2), 1e30)}), 1e30 * 6**0.5, rtol=1e-6)
    assert jnp.isnan(penalty.value({"W": jnp.full((2, 2), jnp.nan)}))
    rows_that_cancel = jnp.array([[1.0, -1.0], [-1.0, 1.0]])  # a start of ones would stay 0
    np.testing.assert_allclose(penalty.value({"W": rows_that_cancel}), 2, rtol=1e-6)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    "penalty", [fnn.l1(0.3), fnn.l2(0.3), fnn.spectral_norm(0.3)], ids=lambda penalty: penalty.name
)
def test_penalties_take_each_layer_of_a_repeat_by_itself(penalty, key):
    block = fnn.serial(fnn.conv2d(2), fnn.repeat(fnn.conv2d(2, 1), 2))
    layer, chain = fnn.serial(fnn.repeat(block, 3), fnn.flatten, fnn.dense(2)), []
    params = layer.init(key, (2, 2, 2))
    for conv, inner in unrolled(params[0], 3):
        chain += [conv, *unrolled(inner, 2)]
    chain.append(params[2])
    np.testing.assert_allclose(penalty.value(params), penalty.value(chain), rtol=1e-12)
    slopes, expected = penalty.gradient(params), penalty.gradient(chain)
    flat = [g for conv, inner in unrolled(slopes[0], 3) for g in (conv, *unrolled(inner, 2))] + [slopes[2]]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), flat, expected)


def test_training_with_spectral_norm_bounds_it(key):
    net = fnn.mlp(3, 8, 2, penalty=fnn.spectral_norm(0.3))
    params = net.init(key)
    x, y = jax.random.normal(key, (16, 3)), jax.random.randint(key, (16,), 0, 2)
    before = net.penalty.value(params)
    for _ in range(50):
        params, _ = net.train_step(params, x, y, 0.1)
    assert net.penalty.value(params) < 0.8 * before
    u, v = top_singular_vectors(params[0].W)
    np.testing.assert_allclose(u @ params[0].W @ v, svd(params[0].W)[0][0], rtol=1e-5)


# ── state and key through a network ─────────────────────────────────────────────────────────────────────────────────

NET = fnn.network(
    fnn.serial(fnn.dense(4), fnn.batch_norm(), fnn.relu, fnn.dropout(0.4), fnn.dense(2)),
    fnn.softmax_cross_entropy,
    input_shape=(3,),
)
PARAMS = NET.init(jax.random.key(0))
X = np.asarray(jax.random.normal(jax.random.key(1), (6, 3)))
Y = np.array([0, 1, 1, 0, 1, 0])
BOTH = {"state": NET.init_state(), "key": jax.random.key(2)}


def test_train_step_returns_the_new_state_and_leaves_the_old_one(key):
    before = jax.tree.map(np.array, BOTH["state"])
    params, value, state = NET.train_step(PARAMS, X, Y, 0.1, **BOTH)
    assert jnp.isfinite(value)
    assert (state[1].mean != before[1].mean).all()
    jax.tree.map(np.testing.assert_array_equal, BOTH["state"], before)
    again, same, _ = NET.train_step(PARAMS, X, Y, 0.1, **BOTH)
    assert same == value
    jax.tree.map(np.testing.assert_array_equal, again, params)
    other, _, _ = NET.train_step(PARAMS, X, Y, 0.1, state=BOTH["state"], key=key)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(params), strict=True))


def test_a_network_without_state_or_chance_takes_both_and_ignores_them(key):
    net = fnn.mlp(3, 2)
    params = net.init(key)
    assert net.init_state() == ()
    np.testing.assert_array_equal(net.loss(params, X, Y, state=(), key=key), net.loss(params, X, Y))


def test_fit_threads_state_and_key(key):
    fitted = fnn.fit(NET, (X, Y), optimizer=fnn.sgd(0.1), epochs=3, batch_size=4, key=key, progress=False)
    assert (fitted.state[1].mean != 0).all()
    result = fnn.evaluate(NET, fitted.params, X, Y, state=fitted.state)
    assert 0 <= result.accuracy <= 1


def test_a_whole_network_is_checked_with_state_and_key():
    fnn.check(NET, scatter(jax.random.key(3), PARAMS), X, Y, **BOTH).assert_ok()


def init(layer, shape):
    return lambda: layer.init(jax.random.key(0), shape)


IMAGE = jnp.ones((2, 4, 4, 1))
NORM = fnn.NormParams(jnp.ones(3), jnp.zeros(3))
ERRORS = {
    "no state": (
        lambda: NET.loss(PARAMS, X, Y, key=BOTH["key"]),
        r"expected state of 2 arrays, got 0.*state=net.init_state\(\)",
    ),
    "no state in a step": (
        lambda: NET.train_step(PARAMS, X, Y, 0.1, key=BOTH["key"]),
        r"pass state=net.init_state\(\)",
    ),
    "no state in evaluation": (lambda: NET.forward(PARAMS, X), r"expected state of 2 arrays, got 0"),
    "no state in evaluation, the layer alone": (
        lambda: NET.layer.forward(PARAMS, X, ()),
        r"batch_norm needs its state",
    ),
    "no key": (
        lambda: NET.loss(PARAMS, X, Y, state=BOTH["state"]),
        r"needs a random key in training: pass key=jax.random",
    ),
    "no key in a step": (lambda: NET.train_step(PARAMS, X, Y, 0.1, state=BOTH["state"]), r"dropout needs a random key"),
    "no key in a repeat": (
        lambda: fnn.repeat(fnn.dropout(0.5), 2).fwd(fnn.RepeatParams(()), jnp.ones((1, 2)), (), None),
        r"dropout needs a random key",
    ),
    "batch of one": (
        lambda: fnn.batch_norm().fwd(NORM, jnp.ones((1, 3)), fnn.batch_norm().init_state((3,)), None),
        r"at least 2 values.*\(1, 3\); use a batch size that leaves no last batch of 1, or layer_norm",
    ),
    "batch_norm of other width": (
        lambda: fnn.batch_norm().forward(NORM, jnp.ones((2, 4)), fnn.batch_norm().init_state((3,))),
        r"\(n, \.\.\., 3\), got \(2, 4\)",
    ),
    "layer_norm of other width": (lambda: fnn.layer_norm().forward(NORM, jnp.ones((2, 4))), r"\(n, \.\.\., 3\)"),
    "layer_norm of one example": (lambda: fnn.layer_norm().forward(NORM, jnp.ones(3)), r"pass x\[None\]"),
    "layer_norm of integers": (
        lambda: fnn.layer_norm().forward(NORM, jnp.ones((2, 3), int)),
        r"got int32; put rescale",
    ),
    "layer_norm of numbers": (init(fnn.layer_norm(), ()), r"at least one axis"),
    "batch_norm of numbers": (lambda: fnn.batch_norm().init_state(()), r"at least one axis"),
    "momentum": (lambda: fnn.batch_norm(1.0), r"momentum in \[0, 1\), got 1.0"),
    "epsilon": (lambda: fnn.batch_norm(epsilon=0.0), r"batch_norm expects an epsilon above 0, got 0"),
    "epsilon of layer_norm": (lambda: fnn.layer_norm(epsilon=-1.0), r"layer_norm expects an epsilon above 0"),
    "rate": (lambda: fnn.dropout(1.0), r"rate in \[0, 1\), the probability of dropping an entry, got 1.0"),
    "negative rate": (lambda: fnn.dropout(-0.1), r"\[0, 1\)"),
    "dropout of integers": (
        lambda: fnn.dropout(0.5).fwd((), jnp.ones((2, 2), jnp.uint8), (), jax.random.key(0)),
        r"dropout expects floating-point x, got uint8",
    ),
    "prelu of numbers": (init(fnn.prelu(), ()), r"at least one axis"),
    "prelu of other width": (
        lambda: fnn.prelu().forward(fnn.PreluParams(jnp.ones(3)), jnp.ones((2, 4))),
        r"got \(2, 4\)",
    ),
    "kernels": (lambda: fnn.conv2d(0), r"whole number of at least 1, got 0"),
    "kernel": (lambda: fnn.conv2d(1, kernel=(3, 0)), r"conv2d expects kernel as a whole.*got \(3, 0\)"),
    "kernel of three": (lambda: fnn.conv2d(1, kernel=(3, 3, 3)), r"or a pair"),
    "stride": (lambda: fnn.conv2d(1, stride=0.5), r"conv2d expects stride as a whole.*got 0.5"),
    "padding": (lambda: fnn.conv2d(1, padding="same"), r"'SAME', 'VALID' or.*got 'same'"),
    "padding of one number": (lambda: fnn.conv2d(1, padding=1), r"\(\(top, bottom\), \(left, right\)\).*got 1"),
    "padding of two numbers": (lambda: fnn.conv2d(1, padding=(1, 1)), r"got \(1, 1\)"),
    "padding below zero": (lambda: fnn.conv2d(1, padding=((0, -1), (0, 0))), r"got \(\(0, -1\), \(0, 0\)\)"),
    "images without channels": (init(fnn.conv2d(1), (28, 28)), r"\(h, w, c\), got \(28, 28\).*x\[\.\.\., None\]"),
    "kernel larger than image": (init(fnn.conv2d(1, 5, padding="VALID"), (4, 4, 1)), r"size \(5, 5\).*padding='SAME'"),
    "conv2d of other channels": (
        lambda: fnn.conv2d(1).forward(fnn.conv2d(1).init(jax.random.key(0), (4, 4, 2)), IMAGE),
        r"\(n, h, w, 2\), got \(2, 4, 4, 1\)",
    ),
    "conv2d of integers": (
        lambda: fnn.conv2d(1).forward(fnn.conv2d(1).init(jax.random.key(0), (4, 4, 1)), IMAGE.astype(jnp.uint8)),
        r"conv2d expects floating-point x, got uint8; put rescale",
    ),
    "pool of integers": (lambda: fnn.max_pool(2).forward((), IMAGE.astype(jnp.uint8)), r"got uint8; put rescale"),
    "window": (lambda: fnn.max_pool(0), r"max_pool expects window as a whole"),
    "window larger than image": (lambda: fnn.average_pool(5).forward((), IMAGE), r"at least one window \(5, 5\)"),
    "pool behind flatten": (init(fnn.max_pool(2), (16,)), r"\(n, h, w, c\).*before flatten"),
    "residual that changes the shape": (
        init(fnn.residual(fnn.dense(4)), (3,)),
        r"dense\(4\), which maps \(3,\) to \(4,\)",
    ),
    "residual that would broadcast": (
        lambda: fnn.residual(fnn.dense(1)).forward(fnn.DenseParams(jnp.ones((1, 3)), jnp.ones(1)), jnp.ones((2, 3))),
        r"maps \(2, 3\) to \(2, 1\)",
    ),
    "residual that would broadcast in training": (
        lambda: fnn.residual(fnn.dense(1)).fwd(
            fnn.DenseParams(jnp.ones((1, 3)), jnp.ones(1)), jnp.ones((2, 3)), (), None
        ),
        r"maps \(2, 3\) to \(2, 1\)",
    ),
    "residual of a function": (lambda: fnn.residual(jnp.tanh), r"residual expects a layer.*fnn.stateless"),
    "repeat that changes the shape": (init(fnn.repeat(fnn.dense(4), 2), (3,)), r"repeat expects a layer whose outputs"),
    "repeat with other parameters": (
        lambda: fnn.repeat(fnn.dense(1), 2).forward(
            fnn.RepeatParams(fnn.DenseParams(jnp.ones((2, 1, 3)), jnp.ones((2, 1)))), jnp.ones((2, 3))
        ),
        r"maps \(2, 3\) to \(2, 1\)",
    ),
    "repeat with other parameters in training": (
        lambda: fnn.repeat(fnn.dense(1), 2).fwd(
            fnn.RepeatParams(fnn.DenseParams(jnp.ones((2, 1, 3)), jnp.ones((2, 1)))), jnp.ones((2, 3)), (), None
        ),
        r"maps \(2, 3\) to \(2, 1\)",
    ),
    "repeat of nothing": (lambda: fnn.repeat(fnn.relu, 0), r"times as a whole number of at least 1, got 0"),
    "repeat of a function": (lambda: fnn.repeat(jnp.tanh, 2), r"repeat expects a layer"),
    "spectral norm of a vector": (lambda: fnn.spectral_norm(1.0).value({"W": jnp.ones(3)}), r"\(d_out, \.\.\., d_in\)"),
    "negative spectral norm": (lambda: fnn.spectral_norm(-1.0), r"at least 0, got -1"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_message(name):
    call, message = ERRORS[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
