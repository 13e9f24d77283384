"""Numbers that 32 bits don't hold: converted with care or refused in words, never wrapped, eager and compiled alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

KEY = jax.random.key(0)
LINE = fnn.network(fnn.dense(1), fnn.mean_squared_error, input_shape=(1,))
PARAMS = LINE.init(KEY)
STAMPS = fnn.network(fnn.serial(fnn.rescale(1e-12), fnn.dense(1)), fnn.mean_squared_error, input_shape=(1,))
X = np.ones((2, 1), np.float32)
BIG = 3_000_000_000


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_large_targets_are_the_numbers_they_are(dtype):
    y = np.full((2, 1), BIG, dtype)
    assert fnn.mean_squared_error(jnp.full((2, 1), BIG, jnp.float32), y) == 0
    assert fnn.mean_squared_error([[float(BIG)]], [[BIG]]) == 0
    expected = float(LINE.loss(PARAMS, X, y.astype(np.float32)))
    assert float(LINE.loss(PARAMS, X, y)) == expected
    assert float(LINE.train_step(PARAMS, X, y, 0.0)[1]) == pytest.approx(expected, rel=1e-6)
    assert float(LINE.loss(PARAMS, X, np.full((2, 1), -BIG))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("net", [LINE, STAMPS], ids=["dense", "rescale"])
@pytest.mark.parametrize(
    "x", [np.full((2, 1), 1_700_000_000_000), np.full((2, 1), -BIG), np.full((2, 1), 2**63, np.uint64)]
)
def test_large_features_are_refused(net, x):
    params = net.init(KEY)
    for call in (
        lambda: net.forward(params, x),
        lambda: net.loss(params, x, X),
        lambda: net.train_step(params, x, X, 0.1),
    ):
        with pytest.raises(ValueError, match=r"expected x as numbers that 32 bits hold, got u?int64 from .*astype"):
            call()


def test_features_that_fit_are_taken_in_any_width():
    params, x = STAMPS.init(KEY), np.array([[2**31 - 1], [-(2**31)]])
    expected = STAMPS.forward(params, x.astype(np.float32))
    np.testing.assert_allclose(STAMPS.forward(params, x), expected, rtol=1e-6)
    with jax.enable_x64(True):
        wide = np.array([[1_700_000_000_000]])
        assert float(fnn.network(fnn.rescale(1e-12), fnn.huber(), input_shape=(1,)).forward((), wide)[0, 0]) == 1.7


def test_bytes_in_foreign_order_are_the_numbers_they_are():
    x, y = np.linspace(-1, 1, 4, dtype=np.float32)[:, None], np.array([[1.5], [2.0], [-3.0], [BIG]])
    foreign = [array.astype(array.dtype.newbyteorder()) for array in (x, y, np.arange(1.0, 5.0))]
    assert LINE.loss(PARAMS, *foreign[:2], weights=foreign[2]) == LINE.loss(PARAMS, x, y, weights=np.arange(1.0, 5.0))
    assert (LINE.forward(PARAMS, foreign[0]) == LINE.forward(PARAMS, x)).all()
    assert LINE.train_step(PARAMS, *foreign[:2], 0.1)[1] == LINE.train_step(PARAMS, x, y, 0.1)[1]
    assert fnn.r2_score(foreign[1] / 2, foreign[1]) == fnn.r2_score(y / 2, y)
    np.testing.assert_array_equal(
        fnn.preprocessing.standardize(foreign[0]).apply(foreign[0]), fnn.preprocessing.standardize(x).apply(x)
    )


def test_large_labels_are_no_classes():
    net = fnn.mlp(1, 2)
    for call in (net.loss, lambda *arguments: net.train_step(*arguments, 0.1)):
        with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 1"):
            call(net.init(KEY), X, np.array([0, 2**32]))
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 2"):
        fnn.softmax_cross_entropy(jnp.ones((1, 3)), np.array([2**32]))


def test_large_whole_weights_weigh():
    weights = np.array([BIG, BIG * 3])
    z, y = jnp.array([[0.0], [1.0]]), jnp.zeros((2, 1))
    assert float(fnn.mean_squared_error(z, y, weights)) == pytest.approx(0.75)
    assert float(LINE.loss(PARAMS, X, X, weights=weights)) == pytest.approx(float(LINE.loss(PARAMS, X, X)))
    LINE.train_step(PARAMS, X, X, 0.1, weights=weights)


@pytest.mark.parametrize(
    "weights",
    [[3e38, 3e38], [1e-44, 1e-44], [1e308, 1e308], [1e39, 0.0]],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_whose_sum_is_lost_are_refused(weights, dtype):
    with np.errstate(over="ignore"):
        weights = np.array(weights, dtype)
    message = r"a sum from 1.2e-38 to 3.4e\+38, as float32 holds it, got .*divide them by their mean|finite"
    for call in (
        lambda: fnn.mean_squared_error(X, X, weights),
        lambda: LINE.loss(PARAMS, X, X, weights=weights),
        lambda: LINE.train_step(PARAMS, X, X, 0.1, weights=weights),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_sum_that_overflows_unseen_is_never_a_loss_of_zero():
    value = jax.jit(fnn.mean_squared_error.fwd)(jnp.ones((2, 1)), jnp.zeros((2, 1)), jnp.full(2, 3e38))[0]
    assert np.isnan(value)
    masked = jax.jit(fnn.mean_squared_error.fwd)(jnp.ones((2, 1)), jnp.zeros((2, 1)), jnp.zeros(2))[0]
    assert masked == 0


def test_targets_that_are_infinite_in_float32_are_refused():
    with pytest.raises(ValueError, match="targets must be finite; got otherwise in row 1"):
        LINE.loss(PARAMS, X, np.array([[1.0], [1e39]]))
    with jax.enable_x64(True):
        assert fnn.mean_squared_error(np.array([[1e39]]), np.array([[1e39]])) == 0


@pytest.mark.parametrize("value", [0.1, 1e-300, 0.0, 1e300])
def test_r2_of_equal_targets_is_not_defined(value):
    with pytest.raises(ValueError, match="targets are all the same"):
        fnn.r2_score(np.zeros((7, 1)), np.full((7, 1), value))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e200])
def test_r2_has_no_unit(scale):
    y = np.array([[1.0], [2.0], [3.0]])
    assert fnn.r2_score(scale * np.array([[1.0], [2.0], [6.0]]), scale * y) == pytest.approx(-3.5)
    assert fnn.r2_score(scale * y, scale * y) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_r2_of_what_is_not_finite_is_refused(bad):
    y = np.array([[1.0], [2.0]])
    with pytest.raises(ValueError, match="predictions that are finite"):
        fnn.r2_score(np.array([[1.0], [bad]]), y)
    with pytest.raises(ValueError, match="y that are finite"):
        fnn.r2_score(y, np.array([[1.0], [bad]]))


def fit(train, **named):
    settings = {"optimizer": fnn.sgd(0.0), "epochs": 1, "key": KEY, "progress": False}
    return fnn.fit(LINE, train, **(settings | named))


@pytest.mark.parametrize("how", ["arrays", "lists", "stream"])
def test_training_takes_numbers_as_the_loss_does(how):
    y = np.full((2, 1), BIG)
    train = {"arrays": (X, y), "lists": (X.tolist(), y.tolist()), "stream": [(X, y)]}[how]
    run = fit(train, batch_size=None if how == "stream" else 2, validation=(X, y))
    expected = float(LINE.loss(run.params, X, y.astype(np.float32)))
    assert run.history[0].train_loss == pytest.approx(expected, rel=1e-6)
    assert run.history[0].validation.loss == pytest.approx(expected, rel=1e-6)
    assert fnn.evaluate(LINE, run.params, X, y).loss == pytest.approx(expected, rel=1e-6)
    many = fnn.fit_many(
        LINE, jax.random.split(KEY, 2), (X, y), optimizer=fnn.sgd(0.0), epochs=1, batch_size=2, progress=False
    )
    assert many.history[0].train_loss.each[0] == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("train", [(X * BIG * 10**3).astype(int), X], ids=["features", "weights"])
def test_training_refuses_what_would_be_lost(train):
    x, weights = (train, None) if train.dtype == int else (X, np.full(2, 3e38))
    with pytest.raises(ValueError, match=r"expected x as numbers that 32 bits hold|weights: expected a sum from"):
        fit((x, X), batch_size=2, weights=weights)
    with pytest.raises(ValueError, match=r"expected x as numbers that 32 bits hold|weights: expected a sum from"):
        fit([(x, X, np.ones(2) if weights is None else weights)])


def test_predictions_that_overflow_have_a_loss_but_no_r2():
    params = PARAMS._replace(W=jnp.full((1, 1), 3e38))
    assert fnn.evaluate(LINE, params, X * [[1], [2]], X * [[1], [2]]).r2 is None
