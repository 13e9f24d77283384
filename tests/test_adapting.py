"""Scaling that belongs to the model: statistics of the training data as the network's state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

SCALED = fnn.network(
    fnn.serial(fnn.standardize_inputs(), fnn.dense(3), fnn.tanh, fnn.dense(1)), fnn.huber(), input_shape=(2,)
)
SETTINGS = {"optimizer": fnn.adam(0.01), "epochs": 2, "batch_size": 8, "key": jax.random.key(0), "progress": False}


def table(n=16):
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(5e3, 1e2, n), rng.normal(0, 1e-3, n)], axis=1)
    return x, ((x[:, :1] - 5e3) / 1e2 + x[:, 1:] * 1e3).astype(np.float32)


def test_statistics_are_those_of_the_training_data_in_float64():
    x, _ = table()
    mean, std = fnn.adapt(SCALED, x)[0]
    np.testing.assert_array_equal(mean, x.mean(axis=0).astype(np.float32))
    np.testing.assert_array_equal(std, x.std(axis=0).astype(np.float32))


def test_a_constant_feature_is_shifted_to_0_and_integers_are_taken():
    state = fnn.adapt(SCALED, np.array([[3, 7], [5, 7]]))
    y = fnn.standardize_inputs().forward((), jnp.array([[5, 8]]), state[0])
    assert y.tolist() == [[1, 1]]


def test_fit_takes_the_statistics_and_training_leaves_them_alone():
    x, y = table()
    result = fnn.fit(SCALED, (x, y), **SETTINGS)
    expected = fnn.adapt(SCALED, x)
    jax.tree.map(np.testing.assert_array_equal, result.state, expected)
    assert result.history[-1].train_loss < 1.5
    settings = {name: value for name, value in SETTINGS.items() if name != "key"}
    both = fnn.fit_many(SCALED, jax.random.split(jax.random.key(0), 2), (x, y), **settings)
    jax.tree.map(np.testing.assert_array_equal, both.member(1)[1], expected)


def test_gradients_by_hand_are_right_with_the_statistics(key):
    x, y = table()
    params, state = SCALED.init(key), fnn.adapt(SCALED, x)
    assert fnn.check(SCALED, params, x.astype(np.float32), y, state=state).verdict == "OK"
    layer, dy = fnn.standardize_inputs(), jnp.arange(32.0).reshape(16, 2)
    x = jnp.asarray(x, jnp.float32)
    (_, same), residuals = layer.fwd((), x, state[0], None)
    assert same is state[0]
    expected = jax.vjp(lambda x: layer.forward((), x, state[0]), x)[1](dy)[0]
    np.testing.assert_allclose(layer.bwd(residuals, dy)[1], expected, rtol=1e-6)


def test_statistics_behind_layers_that_do_not_learn(key):
    net = fnn.network(
        fnn.serial(fnn.rescale(2.0), fnn.flatten, fnn.standardize_inputs(), fnn.dense(1)),
        fnn.huber(),
        input_shape=(1, 2),
    )
    state = fnn.adapt(net, np.array([[[1, 2]], [[3, 6]]]))
    assert state[2].mean.tolist() == [4, 8]
    assert state[2].std.tolist() == [2, 4]


def test_a_network_without_statistics_keeps_its_first_state():
    assert fnn.adapt(fnn.mlp(2, 1), np.ones((3, 2))) == ()


def test_the_model_in_a_file_scales_as_in_training(tmp_path):
    x, y = table()
    result = fnn.fit(SCALED, (x, y), **SETTINGS)
    fnn.save_network(tmp_path / "net.safetensors", SCALED, result.params, state=result.state)
    net, params, state = fnn.load_network(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(net.forward(params, x, state), SCALED.forward(result.params, x, result.state))


BEHIND = fnn.network(fnn.serial(fnn.dense(2), fnn.standardize_inputs()), fnn.huber(), input_shape=(2,))
WITHIN = fnn.network(fnn.residual(fnn.standardize_inputs()), fnn.huber(), input_shape=(2,))
REFUSED = {
    "behind one that learns": (lambda x, y: fnn.adapt(BEHIND, x), "got layers.1. .standardize_inputs. behind layers.0"),
    "within another": (lambda x, y: fnn.adapt(WITHIN, x), "got one within another layer; put standardize_inputs"),
    "no examples": (lambda x, y: fnn.adapt(SCALED, x[:0]), "at least one example"),
    "not finite": (lambda x, y: fnn.adapt(SCALED, x * np.nan), "features must be finite"),
    "no state": (lambda x, y: fnn.standardize_inputs().forward((), x), "needs its state, a Standardizer, got tuple"),
    "another shape": (
        lambda x, y: fnn.standardize_inputs().forward((), x[:, :1], fnn.adapt(SCALED, x)[0]),
        "expects x of shape",
    ),
    "a stream": (
        lambda x, y: fnn.fit(SCALED, [(x, y)], **SETTINGS | {"batch_size": None}),
        "got batches from the host",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call(*table())


# Targets

VALUES = fnn.network(
    fnn.serial(fnn.standardize_inputs(), fnn.dense(3), fnn.tanh, fnn.dense(1)),
    fnn.huber(0.5),
    input_shape=(2,),
    targets=fnn.standardize_targets(),
)
PLAIN = fnn.network(
    fnn.serial(fnn.standardize_inputs(), fnn.dense(3), fnn.tanh, fnn.dense(1)), fnn.huber(0.5), input_shape=(2,)
)


def prices(n=16):
    x, y = table(n)
    return x, (5e4 * y + 3e6).astype(np.float32)


def test_the_loss_is_that_of_standardized_targets_and_predictions_are_in_their_unit(key):
    x, y = prices()
    state, params = fnn.adapt(VALUES, x, y), PLAIN.init(key)
    mean, std = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
    z = PLAIN.forward(params, x, (*state[:1], (), (), ()))
    np.testing.assert_allclose(VALUES.forward((*params, ()), x, state), mean + std * z, rtol=1e-6)
    expected = PLAIN.loss(params, x, (y - mean) / std, state=(*state[:1], (), (), ()))
    np.testing.assert_allclose(VALUES.loss((*params, ()), x, y, state=state), expected, rtol=1e-5)


def test_the_tools_read_a_network_that_scales_its_targets(key):
    x, y = prices(8)
    x = x.astype(np.float32)
    params, state = VALUES.init(key), fnn.adapt(VALUES, x, y)
    report = fnn.check(VALUES, params, x, y, state=state)
    assert report.verdict == "OK", report
    assert fnn.agree(VALUES, params, x, y, state=state).ok
    assert fnn.trace(VALUES, params, x, y, state=state)["dZ1"].shape == (8, 3)
    assert fnn.explain(VALUES, params, x, y, state=state)["dZ1"].shape == (8, 3)
    assert fnn.flow(VALUES, params, x, y, state=state).rows


def test_regression_on_any_scale_end_to_end(tmp_path):
    x, y = prices(64)
    result = fnn.fit(VALUES, (x, y), validation=(x, y), **SETTINGS | {"epochs": 80, "optimizer": fnn.adam(0.03)})
    assert result.history[-1].validation.r2 > 0.9
    evaluation = fnn.evaluate(VALUES, result.params, x, y, state=result.state)
    assert evaluation == result.history[-1].validation
    predicted = VALUES.forward(result.params, x, result.state)
    assert abs(float(predicted.mean()) - 3e6) < 1e5
    fnn.save_network(tmp_path / "net.safetensors", VALUES, result.params, state=result.state)
    net, params, state = fnn.load_network(tmp_path / "net.safetensors")
    assert net == VALUES
    assert repr(net).endswith("targets=fnn.standardize_targets())")
    np.testing.assert_array_equal(net.forward(params, x, state), predicted)
    settings = {name: value for name, value in SETTINGS.items() if name != "key"}
    many = fnn.fit_many(VALUES, jax.random.split(jax.random.key(0), 2), (x, y), validation=(x, y), **settings)
    assert (many.history[-1].validation_loss.each < 2).all()


def test_a_run_that_diverges_says_where():
    x, y = prices()
    with pytest.raises(fnn.TrainingDiverged, match=r"the output of layers.4. .target_units. is -inf"):
        fnn.fit(VALUES, (x, y), **SETTINGS | {"optimizer": fnn.sgd(1e38), "epochs": 5})


REFUSED_TARGETS = {
    "of a classifier": (
        lambda: fnn.network(fnn.dense(2), fnn.softmax_cross_entropy, input_shape=(2,), targets=VALUES.targets),
        ValueError,
        "expects a loss of values, such as fnn.mean_squared_error, got fnn.softmax_cross_entropy; leave targets= out",
    ),
    "something else": (
        lambda: fnn.network(fnn.dense(2), fnn.huber(), input_shape=(2,), targets=True),
        TypeError,
        "expects targets as fnn.standardize_targets.., or None, got True",
    ),
    "no targets": (lambda: fnn.adapt(VALUES, table()[0]), ValueError, "expects adapt.net, x, y., got no y"),
    "no state": (
        lambda: VALUES.layer.children[-1].forward((), jnp.ones((2, 1))),
        ValueError,
        "standardize_targets needs its state, a Standardizer, got tuple",
    ),
}


@pytest.mark.parametrize("case", REFUSED_TARGETS)
def test_targets_refused(case):
    call, kind, message = REFUSED_TARGETS[case]
    with pytest.raises(kind, match=message):
        call()
