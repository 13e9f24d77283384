"""The compiled step and epoch: what they compute, that they repeat, and that every optimizer learns to read digits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.training.shards import batch_sizes
from fnn.training.steps import epoch_order

KEY = jax.random.key(0)
NET, ADAM = fnn.mlp(4, 8, 3, penalty=fnn.l2(0.01)), fnn.adam(0.01)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(22, 4)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 3, 22), jnp.int32)


def test_a_step_is_gradient_update_and_count():
    start = fnn.init_train_state(NET, ADAM, KEY)
    state, loss = fnn.make_train_step(NET, ADAM)(start, X, Y)
    value, grads = jax.jit(NET.loss_and_grad)(start.params, X, Y)
    updates, opt_state = jax.jit(ADAM.update)(grads, start.opt_state, start.params)
    chex.assert_trees_all_close(state.params, fnn.apply_updates(start.params, updates), rtol=1e-5, atol=1e-7)
    chex.assert_trees_all_close(state.opt_state, opt_state, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(loss, value, rtol=1e-6)
    assert (int(start.step), int(state.step)) == (0, 1)
    chex.assert_trees_all_equal(state.key, start.key)


def test_an_epoch_is_its_steps_in_order():
    """The last, smaller batch included; 22 examples in batches of 8 are 3 steps."""
    start = fnn.init_train_state(NET, ADAM, KEY)
    weights = jnp.linspace(0.5, 2, 22)
    state, losses = fnn.make_train_epoch(NET, ADAM, 8)(start, X, Y, weights)
    order, step, by_hand = epoch_order(start, 22), fnn.make_train_step(NET, ADAM), start
    expected = []
    for i in range(0, 22, 8):
        rows = order[i : i + 8]
        by_hand, loss = step(by_hand, X[rows], Y[rows], weights[rows])
        expected.append(loss)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    chex.assert_trees_all_close(state.params, by_hand.params, rtol=1e-4, atol=1e-6)
    assert int(state.step) == 3
    np.testing.assert_allclose(batch_sizes(22, 8), [8, 8, 6])
    np.testing.assert_allclose(batch_sizes(22, 8, order, weights).sum(), weights.sum(), rtol=1e-6)


def test_every_epoch_has_an_order_of_its_own_and_the_same_run_repeats():
    epoch = fnn.make_train_epoch(NET, ADAM, 8)
    start = fnn.init_train_state(NET, ADAM, KEY)
    one, _ = epoch(start, X, Y)
    chex.assert_trees_all_equal(epoch(start, X, Y)[0], one)
    orders = [np.asarray(epoch_order(state, 22)) for state in (start, one)]
    assert not np.array_equal(*orders)
    assert all(sorted(order) == list(range(22)) for order in orders)


def test_nothing_is_compiled_twice():
    traces = []
    layer = fnn.stateless("seen", fnn.no_params, lambda p, x: (traces.append(1) or x, ()), lambda r, dy: ((), dy))
    net = fnn.network(fnn.serial(fnn.dense(3), layer), fnn.softmax_cross_entropy, input_shape=(4,))
    step, state = fnn.make_train_step(net, ADAM), fnn.init_train_state(net, ADAM, KEY)
    traces.clear()
    for _ in range(3):
        state, _ = step(state, X, Y)
    assert len(traces) == 1
    options = {"optimizer": ADAM, "epochs": 2, "batch_size": 11, "progress": False}
    fnn.fit(net, (X, Y), key=KEY, **options)
    traces.clear()
    fnn.fit(net, (X, Y), key=jax.random.key(1), **options)
    assert traces == []


def test_equal_networks_and_optimizers_share_steps_and_epochs(compilations):
    def train(rate):
        net, optimizer = fnn.mlp(4, 7, 3), fnn.momentum(rate)
        state = fnn.init_train_state(net, optimizer, KEY)
        fnn.make_train_step(net, optimizer)(state, X, Y)
        return fnn.make_train_epoch(net, optimizer, 8)(state, X, Y)[0].params[0].W

    first = train(0.1)
    assert compilations()
    assert not np.array_equal(train(0.2), first)
    assert compilations() == 0


def test_numbers_given_as_lists_or_by_numpy():
    step, state = fnn.make_train_step(NET, ADAM), fnn.init_train_state(NET, ADAM, KEY)
    expected, _ = step(state, X, Y)
    chex.assert_trees_all_equal(step(state, X.tolist(), Y.tolist())[0], expected)
    epochs = [fnn.make_train_epoch(NET, ADAM, size)(state, X, Y)[0].params for size in (8, np.int64(8))]
    chex.assert_trees_all_equal(*epochs)


def test_one_batch_is_overfitted():
    step, state = fnn.make_train_step(fnn.mlp(4, 32, 3), ADAM), fnn.init_train_state(fnn.mlp(4, 32, 3), ADAM, KEY)
    for _ in range(400):
        state, loss = step(state, X, Y)
    assert float(loss) < 0.01


def test_float64_trains_in_float64():
    with jax.enable_x64(True):
        x = jnp.asarray(np.asarray(X, np.float64))
        state = fnn.init_train_state(NET, ADAM, jax.random.key(0))
        state, losses = fnn.make_train_epoch(NET, ADAM, 8)(state, x, Y)
        assert losses.dtype == jnp.float64
        assert {leaf.dtype.name for leaf in jax.tree.leaves((state.params, state.opt_state.m))} == {"float64"}


@pytest.mark.parametrize(("batch_size", "message"), [(0, "at least 1, got 0"), (2.0, "got 2.0"), (23, "larger than")])
def test_batch_sizes_that_make_no_sense(batch_size, message):
    with pytest.raises(ValueError, match=message):
        fnn.make_train_epoch(NET, ADAM, batch_size)(fnn.init_train_state(NET, ADAM, KEY), X, Y)


EPOCHS = {"sgd": 10, "momentum": 6, "rmsprop": 6, "adagrad": 6, "adam": 6, "adamw": 6, "lion": 10, "muon": 2}


@pytest.mark.parametrize("name", EPOCHS)
def test_every_optimizer_reads_digits_with_its_defaults(name):
    train, test = fnn.datasets.mnist()
    layers = fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(128), fnn.relu, fnn.dense(10))
    net = fnn.network(layers, fnn.softmax_cross_entropy, input_shape=(28, 28))
    run = fnn.fit(
        net, train, optimizer=getattr(fnn, name)(), epochs=EPOCHS[name], batch_size=32, key=KEY, progress=False
    )
    assert fnn.evaluate(net, run.params, *test).accuracy >= 0.94


def test_optimizer_state_lies_where_given_parameters_lie(key):
    """Parameters spread over a mesh would not fit on one device, nor would moments of their size."""
    net, mesh = fnn.mlp(2, 4, 2), jax.make_mesh((2,), ("model",), devices=jax.devices()[:2])
    params = jax.device_put(net.init(key), jax.NamedSharding(mesh, jax.P("model")))
    state = fnn.init_train_state(net, fnn.adam(), key, params)
    for p, m in zip(jax.tree.leaves(params), jax.tree.leaves(state.opt_state.m), strict=True):
        assert m.sharding.is_equivalent_to(p.sharding, p.ndim)
