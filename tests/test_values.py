"""What no gradient check can see: worked numbers, kinks, extremes and laws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LOSSES

import fnn

ELEMENTWISE = [
    fnn.identity,
    fnn.sigmoid,
    fnn.tanh,
    fnn.relu,
    fnn.swish,
    fnn.gelu,
    fnn.softplus,
    fnn.leaky_relu(0.1),
    fnn.elu(1.5),
]

# value and derivative at −1 and 2, worked from the formulas with e, erf and nothing else
E = math.e
PHI = {z: 0.5 * (1 + math.erf(z / math.sqrt(2))) for z in (-1, 2)}
DENSITY = {z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (-1, 2)}
S = {z: 1 / (1 + math.exp(-z)) for z in (-1, 2)}
TABLE = {
    "identity": ((-1, 2), (1, 1)),
    "sigmoid": ((S[-1], S[2]), (S[-1] * (1 - S[-1]), S[2] * (1 - S[2]))),
    "tanh": ((math.tanh(-1), math.tanh(2)), (1 - math.tanh(1) ** 2, 1 - math.tanh(2) ** 2)),
    "relu": ((0, 2), (0, 1)),
    "swish": ((-S[-1], 2 * S[2]), (S[-1] * (1 - (1 - S[-1])), S[2] * (1 + 2 * (1 - S[2])))),
    "gelu": ((-PHI[-1], 2 * PHI[2]), (PHI[-1] - DENSITY[-1], PHI[2] + 2 * DENSITY[2])),
    "softplus": ((math.log(1 + 1 / E), math.log(1 + E**2)), (S[-1], S[2])),
    "leaky_relu": ((-0.1, 2), (0.1, 1)),
    "elu": ((1.5 * (1 / E - 1), 2), (1.5 / E, 1)),
}


@pytest.mark.parametrize("g", ELEMENTWISE, ids=lambda g: g.name)
def test_worked_numbers(g):
    with jax.enable_x64(True):
        z = jnp.array([-1.0, 2.0])
        values, slopes = TABLE[g.name]
        np.testing.assert_allclose(g(z), values, rtol=1e-12, atol=0)
        np.testing.assert_allclose(g.derivative(z), slopes, rtol=1e-12, atol=0)


@pytest.mark.parametrize("g", [*ELEMENTWISE, fnn.softmax], ids=lambda g: g.name)
@pytest.mark.parametrize("size", [1e4, 1e2, 50.0])
def test_extremes_are_finite(g, size):
    z = jnp.array([[-size, size, 0.0, -0.0]])
    (a, _), residuals = g.fwd((), z, (), None)
    _, dz = g.bwd(residuals, jnp.ones_like(a))
    assert jnp.isfinite(a).all()
    assert jnp.isfinite(dz).all()
    assert jnp.isfinite(jax.grad(lambda z: g.forward((), z).sum())(z)).all()


@pytest.mark.parametrize("g", [*ELEMENTWISE, fnn.softmax], ids=lambda g: g.name)
def test_nan_is_never_hidden(g):
    assert jnp.isnan(g(jnp.array([[jnp.nan, 1.0]]))[0, 0])


@pytest.mark.parametrize("g", [*ELEMENTWISE, fnn.softmax], ids=lambda g: g.name)
def test_integers_count_as_floats(g):
    np.testing.assert_array_equal(g(np.array([-1, 2])), g(np.array([-1.0, 2.0], np.float32)))


def test_limits():
    big = jnp.array([-1e4, 1e4])
    np.testing.assert_array_equal(fnn.sigmoid(big), [0, 1])
    np.testing.assert_array_equal(fnn.tanh(big), [-1, 1])
    np.testing.assert_array_equal(fnn.swish(big), [0, 1e4])
    np.testing.assert_array_equal(fnn.gelu(big), [0, 1e4])
    np.testing.assert_array_equal(fnn.softplus(big), [0, 1e4])
    np.testing.assert_array_equal(fnn.elu(1.5)(big), [-1.5, 1e4])


def test_gelu_keeps_its_relative_precision_far_to_the_left():
    """½ (1 + erf(z/√2)) cancels there: at z = −10 it gives exactly 0 in float64."""
    with jax.enable_x64(True):
        z = -10.0
        expected = z * 0.5 * math.erfc(-z / math.sqrt(2))
        np.testing.assert_allclose(fnn.gelu(jnp.array(z)), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("g", "slope"),
    [(fnn.relu, 0.0), (fnn.leaky_relu(0.1), 0.1), (fnn.elu(1.5), 1.5), (fnn.elu(1.0), 1.0)],
    ids=lambda v: getattr(v, "name", v),
)
def test_derivative_at_the_kink_is_the_left_one(g, slope):
    zero = jnp.zeros(1)
    assert g.derivative(zero)[0] == jnp.float32(slope)
    assert jax.grad(lambda z: g.forward((), z).sum())(zero)[0] == jnp.float32(slope)


def test_tanh_is_a_scaled_and_shifted_sigmoid(key):
    z = jax.random.normal(key, (50,))
    np.testing.assert_allclose(fnn.tanh(z), 2 * fnn.sigmoid(2 * z) - 1, rtol=0, atol=3e-7)


def test_softmax_is_a_distribution_and_ignores_shifts(key):
    with jax.enable_x64(True):
        z = 3 * jax.random.normal(key, (5, 7))
        p = fnn.softmax(z)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(fnn.softmax(z + 123.0), p, rtol=1e-12)
        _, dz = fnn.softmax.bwd(p, jax.random.normal(key, p.shape))
        np.testing.assert_allclose(dz.sum(axis=1), 0, rtol=0, atol=1e-15)  # because shifts change nothing


def test_softmax_of_very_different_logits():
    np.testing.assert_array_equal(fnn.softmax(jnp.array([[1000.0, 0.0, -1000.0]])), [[1, 0, 0]])


def test_softmax_has_no_elementwise_derivative():
    with pytest.raises(TypeError, match="softmax_bwd"):
        fnn.softmax.derivative(jnp.ones((1, 3)))


# ── losses ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cross_entropy_of_the_notes():
    """S0's worked example: −⅓ (ln .5 + ln .3 + ln .4), term by term and on average."""
    P = [[0.1, 0.5, 0.2, 0.2], [0.3, 0.4, 0.2, 0.1], [0.2, 0.3, 0.4, 0.1]]
    with jax.enable_x64(True):
        p, y = jnp.array(P), jnp.array([1, 0, 2])
        assert float(fnn.cross_entropy(p, y)) == pytest.approx(0.9378035722533454, rel=1e-15)
        each = [float(fnn.cross_entropy(p[i : i + 1], y[i : i + 1])) for i in range(3)]
        assert each == pytest.approx([math.log(2), -math.log(0.3), -math.log(0.4)], rel=1e-15)
        one_hot = jnp.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
        assert float(fnn.cross_entropy(p, one_hot)) == float(fnn.cross_entropy(p, y))
        logits = jnp.log(p) + 5.0
        assert float(fnn.softmax_cross_entropy(logits, y)) == pytest.approx(0.9378035722533454, rel=1e-14)


def test_losses_by_hand():
    z, y = jnp.array([[1.0, 2.0], [3.0, 0.0]]), jnp.array([[0.0, 2.0], [1.0, 4.0]])  # errors 1, 0; 2, −4
    assert float(fnn.mean_squared_error(z, y)) == (1 + 4 + 16) / 2
    assert float(fnn.half_mean_squared_error(z, y)) == (1 + 4 + 16) / 4
    assert float(fnn.mean_absolute_error(z, y)) == (1 + 2 + 4) / 2
    assert float(fnn.huber(2.0)(z, y)) == (0.5 + 2 + 2 * (4 - 1)) / 2
    assert float(fnn.summed(fnn.mean_squared_error)(z, y)) == 21
    assert float(fnn.scaled(fnn.mean_squared_error, 0.5)(z, y)) == 21 / 4
    assert float(fnn.sigmoid_cross_entropy(jnp.zeros((3, 2)), jnp.ones((3, 2)))) == pytest.approx(2 * math.log(2))
    assert float(fnn.binary_cross_entropy(jnp.full((1, 1), 0.25), jnp.ones((1, 1)))) == pytest.approx(math.log(4))


def test_weights_replace_repetition(key):
    """Weight 2 is the same as the example twice; weight 0 as leaving it out."""
    z = jax.random.normal(key, (3, 4))
    y = jnp.array([0, 3, 1])
    twice = fnn.softmax_cross_entropy(z[jnp.array([0, 0, 1])], y[jnp.array([0, 0, 1])])
    weighted = fnn.softmax_cross_entropy(z, y, jnp.array([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(weighted, twice, rtol=1e-6)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_weights_of_one_change_nothing(case, key):
    z, y, _ = case.draw(key)
    np.testing.assert_allclose(case.loss(z, y, jnp.ones(case.n)), case.loss(z, y), rtol=1e-6)


@pytest.mark.parametrize("case", [case for case in LOSSES if not case.on_probabilities], ids=lambda case: case.name)
@pytest.mark.parametrize("sign", [1, -1])
def test_losses_survive_logits_of_ten_thousand(case, sign, key):
    z, y, weights = case.draw(key)
    z = sign * 1e4 * jnp.sign(z)
    value, residuals = case.loss.fwd(z, y, weights)
    assert jnp.isfinite(value)
    assert jnp.isfinite(case.loss.bwd(residuals, jnp.ones_like(value))).all()
    assert jnp.isfinite(jax.grad(lambda z: case.loss.fwd(z, y, weights)[0])(z)).all()


def test_binary_cross_entropy_at_zero_logits():
    """Where every logistic regression starts, and where the usual stable formula has a wrong derivative."""
    z, y = jnp.zeros((1, 1)), jnp.zeros((1, 1))
    assert float(jax.grad(fnn.sigmoid_cross_entropy.fwd, has_aux=True)(z, y, None)[0][0, 0]) == 0.5
    value, residuals = fnn.sigmoid_cross_entropy.fwd(z, y, None)
    assert float(fnn.sigmoid_cross_entropy.bwd(residuals, jnp.ones_like(value))[0, 0]) == 0.5


def test_softmax_gradient_rows_sum_to_zero(key):
    z, y, _ = LOSSES[0].draw(key)
    _, residuals = fnn.softmax_cross_entropy.fwd(z, y, None)
    np.testing.assert_allclose(fnn.softmax_cross_entropy.bwd(residuals, jnp.float32(1)).sum(axis=1), 0, atol=1e-7)


def test_a_row_of_zeros_has_gradient_zero(key):
    """P − Y would not be zero there; P · Σy − y is (a masked example, an all-zero target)."""
    z = jax.random.normal(key, (2, 3))
    y = jnp.array([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    value, residuals = fnn.softmax_cross_entropy.fwd(z, y, None)
    dz = fnn.softmax_cross_entropy.bwd(residuals, jnp.ones_like(value))
    np.testing.assert_array_equal(dz[0], 0)
    p = fnn.softmax(z)
    np.testing.assert_allclose(dz[1], (2 * p[1] - y[1]) / 2, rtol=1e-6)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_makes_a_compiled_loss_nan(label):
    value, dz = jax.value_and_grad(lambda z: fnn.softmax_cross_entropy.fwd(z, jnp.array([0, label]), None)[0])(
        jnp.ones((2, 3))
    )
    assert jnp.isnan(value)
    assert jnp.isnan(dz[1]).all()


@pytest.mark.parametrize(
    ("dtype", "label", "valid"),
    [
        ("uint8", 200, True),
        ("uint8", 40, True),  # as 40 + 256 in one byte
        ("int8", 40, True),
        ("int8", -1, False),
        ("int8", 100, True),
        ("int32", 300, False),
        ("uint32", 2**32 - 1, False),
        ("int64", 2**32, False),  # 0, had its upper half been lost
        ("uint64", 2**63, False),
        ("int64", 299, True),
    ],
)
def test_labels_of_every_width_are_counted_without_wrapping(dtype, label, valid):
    """300 classes are more than a byte can tell apart: neither labels nor classes may wrap around."""
    with jax.enable_x64():
        y = jnp.array([0, label]).astype(dtype) if dtype != "uint64" else jnp.array([0, label], "uint64")
        value, residuals = fnn.softmax_cross_entropy.fwd(jnp.zeros((2, 300), jnp.float32), y, None)
        dz = fnn.softmax_cross_entropy.bwd(residuals, jnp.ones_like(value))
    if valid:
        np.testing.assert_allclose(value, np.log(300), rtol=1e-6)
        assert [np.flatnonzero(row < 0).tolist() for row in np.asarray(dz)] == [[0], [label]]
    else:
        assert jnp.isnan(value)
        assert jnp.isnan(dz[1]).all()


def test_certain_and_wrong_is_infinite_certain_and_right_is_zero():
    p, y = jnp.array([[0.0, 1.0]]), jnp.array([[0.0, 1.0]])
    assert float(fnn.cross_entropy(p, y)) == 0
    assert float(fnn.cross_entropy(p, 1 - y)) == jnp.inf
    assert float(fnn.binary_cross_entropy(p, y)) == 0
    assert float(fnn.binary_cross_entropy(p, 1 - y)) == jnp.inf
    for loss in (fnn.cross_entropy, fnn.binary_cross_entropy):
        _, residuals = loss.fwd(p, y, None)
        assert jnp.isfinite(loss.bwd(residuals, jnp.float32(1))).all()
        assert jnp.isfinite(jax.grad(lambda p, loss=loss: loss.fwd(p, y, None)[0])(p)).all()


def test_gradients_at_the_kinks_of_losses():
    zero = jnp.zeros((1, 1))
    for loss in (fnn.mean_absolute_error, fnn.huber(1.0)):
        value, residuals = loss.fwd(zero, zero, None)
        assert loss.bwd(residuals, jnp.ones_like(value))[0, 0] == 0


def test_smoothed_labels_keep_their_sum():
    y = np.eye(4, dtype=np.float32)[[0, 2]]
    smooth = fnn.smooth_labels(jnp.asarray(y), 0.1)
    np.testing.assert_allclose(smooth.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(smooth[0], [0.925, 0.025, 0.025, 0.025], rtol=1e-6)


def test_links_turn_logits_into_predictions(key):
    z = jax.random.normal(key, (2, 3))
    np.testing.assert_array_equal(fnn.softmax_cross_entropy.link(z), fnn.softmax(z))
    np.testing.assert_array_equal(fnn.sigmoid_cross_entropy.link(z), fnn.sigmoid(z))
    np.testing.assert_array_equal(fnn.mean_squared_error.link(z), z)


# ── penalties ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_penalties_by_hand_and_never_on_biases():
    params = (fnn.DenseParams(jnp.array([[1.0, -2.0]]), jnp.array([5.0])), (), fnn.LinearParams(jnp.array([[3.0]])))
    assert float(fnn.l1(0.5).value(params)) == 0.5 * 6
    assert float(fnn.l2(0.5).value(params)) == 0.25 * 14
    slopes = fnn.l2(0.5).gradient(params)
    np.testing.assert_array_equal(slopes[0].W, [[0.5, -1.0]])
    np.testing.assert_array_equal(slopes[0].b, [0])
    np.testing.assert_array_equal(fnn.l1(0.5).gradient(params)[0].W, [[0.5, -0.5]])
