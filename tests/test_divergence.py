"""Training that turns non-finite stops with the last good state, and says where it went wrong and why."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.training.divergence import diagnose
from fnn.training.steps import epoch_order

KEY = jax.random.key(0)
NET, SGD = fnn.mlp(4, 8, 3), fnn.sgd(0.1)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 50).astype(np.int32)


def diverge(net=NET, train=(X, Y), **options):
    defaults = {"optimizer": SGD, "epochs": 3, "batch_size": 8, "key": KEY, "progress": False}
    with pytest.raises(fnn.TrainingDiverged) as caught:
        fnn.fit(net, train, **{**defaults, **options})
    error = caught.value
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(error.fit.params))
    assert error.fit.stopped == "divergence"
    assert int(error.train_state.step) == error.divergence.step
    return error


def explode_at(step):
    """A learning rate that is small until it is enormous."""
    return fnn.sgd(lambda t: jnp.where(t < step, 0.1, 1e38))


@pytest.mark.parametrize("step", [0, 3, 6, 7, 12])
def test_the_learning_rate(step):
    """The update of one step is what overflows, or the step after it: both are found at their number."""
    error = diverge(optimizer=explode_at(step))
    assert error.divergence.step in (step, step + 1)
    assert "likely cause: the learning rate" in error.divergence.cause
    assert len(error.fit.history) == error.divergence.step // 7


@pytest.mark.parametrize("step", [2, 6])
def test_an_update_that_overflows_is_found_at_its_own_step(step):
    """Step 6 is the last of an epoch: all of its losses are finite, its parameters are not."""
    error = diverge(optimizer=fnn.sgd(lambda t: jnp.where(t < step, 0.1, jnp.inf)))
    assert error.divergence.step == step
    assert error.divergence.where.startswith("the updated parameter params[0].W")
    assert error.fit.history == ()


def test_the_state_is_that_before_the_bad_step():
    error = diverge(optimizer=explode_at(9))
    state, step = fnn.init_train_state(NET, explode_at(9), KEY), fnn.make_train_step(NET, explode_at(9))
    while int(state.step) < error.divergence.step:
        if int(state.step) % 7 == 0:
            order = epoch_order(state, 50)
        rows = order[8 * (int(state.step) % 7) :][:8]
        state, _ = step(state, X[rows], Y[rows])
    chex.assert_trees_all_close(error.train_state.params, state.params, rtol=1e-5)


def test_it_names_layer_unit_and_example():
    """One example whose second layer overflows at unit 2: hidden units are 1e25 for it and 0 for all others."""
    x = np.zeros((50, 1), np.float32)
    x[31] = 1.0
    params = jax.tree.map(jnp.zeros_like, fnn.mlp(1, 2, 3).init(KEY))
    params = (params[0]._replace(W=params[0].W + 1e25), (), params[2]._replace(W=params[2].W.at[2].set(1e25)))
    error = diverge(fnn.mlp(1, 2, 3), (x, Y), params=params, optimizer=fnn.sgd(0.0))
    found = error.divergence
    assert (found.where, found.unit, found.example) == ("the output of layers[2] (dense)", (2,), 31)
    assert found.value == np.inf
    order = list(np.asarray(epoch_order(fnn.init_train_state(NET, fnn.sgd(0.0), KEY), 50)))
    assert found.step == order.index(31) // 8
    for part in (f"at step {found.step}", "layers[2] (dense)", "is inf", "at unit 2", "for example 31"):
        assert part in str(error)


def test_the_scale_of_the_input():
    error = diverge(train=(X * np.float32(1e30), Y))
    assert "likely cause: the scale of the input, up to " in error.divergence.cause
    assert "standardize" in error.divergence.cause


def test_the_scale_of_the_targets():
    net = fnn.mlp(4, 8, 1, loss=fnn.mean_squared_error)
    error = diverge(net, (X, np.full((50, 1), 1e25, np.float32)))
    assert error.divergence.where == "the loss (mean_squared_error)"
    assert "likely cause: the scale of the targets" in error.divergence.cause


def test_starting_values():
    params = jax.tree.map(lambda p: p + 1e30, NET.init(KEY))
    error = diverge(params=params)
    assert error.divergence.step == 0
    assert "likely cause: the starting values" in error.divergence.cause


def test_a_gradient_that_is_not_finite_though_the_loss_is():
    """A user's rule with a slip in its backward."""
    slip = fnn.stateless("slip", fnn.no_params, lambda p, x: (x, x), lambda x, dy: ((), dy / (x - x)))
    net = fnn.network(fnn.serial(fnn.dense(5), slip, fnn.dense(3)), fnn.softmax_cross_entropy, input_shape=(4,))
    error = diverge(net)
    assert error.divergence.where == "the gradient that leaves layers[1] (slip)"
    assert error.divergence.step == 0


def test_labels_that_no_host_check_saw():
    """As on an accelerator, where labels are not read back: out of range, they make the loss NaN."""
    bad = jnp.asarray(Y).at[9].set(7)
    state = fnn.init_train_state(NET, SGD, KEY)
    found = diagnose(NET, SGD, state, jnp.asarray(X), bad, None, np.arange(50))
    assert found.where == "the loss (softmax_cross_entropy)"
    assert "likely cause: the labels: labels must be whole numbers from 0 to 2; got otherwise in row 9" in found.cause
    found = diagnose(NET, SGD, state, jnp.asarray(X).at[4, 1].set(jnp.nan), Y, None, np.arange(50) + 100)
    assert (found.where, found.example, found.unit) == ("the input x", 104, (1,))


def test_a_stream():
    def batches(epoch):
        for i in range(0, 48, 8):
            yield X[i : i + 8], Y[i : i + 8]

    error = diverge(train=batches, batch_size=None, optimizer=explode_at(8))
    assert error.divergence.step in (8, 9)
    assert "likely cause: the learning rate" in error.divergence.cause
    assert len(error.fit.history) == 1


def test_what_was_best_before_is_kept():
    error = diverge(optimizer=explode_at(15), patience=5)
    assert len(error.fit.history) == 2
    alone = fnn.fit(NET, (X, Y), optimizer=SGD, epochs=2, batch_size=8, key=KEY, patience=5, progress=False)
    chex.assert_trees_all_close(error.fit.params, alone.params, rtol=1e-5)
