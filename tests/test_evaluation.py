"""What `evaluate` measures, for each kind of target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

X = np.array([[1.0], [-1.0], [2.0]], np.float32)


def identity_net(outputs, loss):
    """Logits are x in every column."""
    net = fnn.mlp(1, outputs, loss=loss)
    return net, (fnn.DenseParams(jnp.ones((outputs, 1)), jnp.zeros(outputs)),)


def test_each_yes_or_no_answer_counts():
    """Two outputs, three examples: logits 1, −1, 2 answer yes, no, yes in both columns; four of six are right."""
    net, params = identity_net(2, fnn.sigmoid_cross_entropy)
    y = np.array([[1, 1], [0, 1], [1, 0]])
    assert fnn.evaluate(net, params, X, y).accuracy == pytest.approx(4 / 6)


def test_a_target_that_is_a_chance_counts_as_the_likelier_answer():
    net, params = identity_net(1, fnn.sigmoid_cross_entropy)
    y = np.array([[0.9], [0.2], [0.8]], np.float32)
    assert fnn.evaluate(net, params, X, y).accuracy == 1


@pytest.mark.parametrize("n", [1, 3])
def test_targets_that_are_all_the_same_have_no_r2(n):
    net, params = identity_net(1, fnn.mean_squared_error)
    measured = fnn.evaluate(net, params, X[:n], np.ones((n, 1), np.float32))
    assert measured.r2 is None
    assert str(measured) == f"loss {measured.loss:.4f}"


def test_a_fit_goes_on_where_validation_targets_are_all_the_same():
    net, _ = identity_net(1, fnn.mean_squared_error)
    y = np.ones((3, 1), np.float32)
    settings = {"optimizer": fnn.sgd(0.1), "epochs": 2, "batch_size": 2, "key": jax.random.key(0), "progress": False}
    assert len(fnn.fit(net, (X, y), validation=(X, y), **settings).history) == 2


def test_numpy_numbers_are_whole_numbers(tmp_path):
    net = fnn.mlp(1, np.int64(3), 2)
    settings = {"optimizer": fnn.sgd(0.1), "key": jax.random.key(0), "progress": False, "checkpoint": tmp_path}
    result = fnn.fit(net, (X, np.array([0, 1, 0])), epochs=np.int64(1), batch_size=np.int64(2), **settings)
    assert len(result.history) == 1
