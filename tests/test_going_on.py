"""`fit(start=...)` goes on exactly where a run has ended; `params=` and `state=` start from given ones."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fnn
from fnn.training.starting import carried_over

KEY = jax.random.key(5)
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
NET = fnn.network(
    fnn.serial(fnn.dense(4), fnn.batch_norm(), fnn.tanh, fnn.dropout(0.2), fnn.dense(2)),
    fnn.softmax_cross_entropy,
    input_shape=(3,),
)
ADAM = fnn.adam(0.02)


def fit(epochs, train=(X, Y), **options):
    settings = {"optimizer": ADAM, "batch_size": 8, "progress": False}
    return fnn.fit(NET, train, epochs=epochs, **(settings | options))


@pytest.fixture(scope="module")
def six():
    return fit(6, key=KEY, validation=(X, Y), patience=50)


@pytest.fixture(scope="module")
def three():
    return fit(3, key=KEY, validation=(X, Y), patience=50)


def assert_same(got, expected):
    chex.assert_trees_all_equal(got.train_state, expected.train_state)
    chex.assert_trees_all_equal((got.params, got.state), (expected.params, expected.state))
    assert [epoch[:3] for epoch in got.history] == [epoch[:3] for epoch in expected.history]


def test_three_and_three_are_six(six, three):
    on = {"validation": (X, Y), "patience": 50}
    assert_same(fit(3, start=three, **on), six)
    assert_same(fit(3, start=three, key=KEY, **on), six)
    again = fit(3, start=three.train_state, **on)
    chex.assert_trees_all_equal(again.train_state, six.train_state)
    assert [epoch.epoch for epoch in again.history] == [1, 2, 3]
    other = fit(3, start=three, key=jax.random.key(6), **on)
    assert not np.array_equal(other.params[0].W, six.params[0].W)


def test_three_and_three_are_six_of_a_stream():
    def batches(epoch):
        rows = np.random.default_rng(epoch).permutation(20)
        return [(X[rows[:10]], Y[rows[:10]]), (X[rows[10:]], Y[rows[10:]])]

    stream = {"train": batches, "batch_size": None}
    assert_same(fit(2, start=fit(2, key=KEY, **stream), **stream), fit(4, key=KEY, **stream))


def test_going_on_is_resumed_too(six, three, tmp_path):
    on = {"validation": (X, Y), "patience": 50, "start": three, "checkpoint": tmp_path}
    fit(1, **on)
    assert_same(fit(3, **on), six)
    with pytest.raises(ValueError, match=r"expected start .* arrays with content .*, got .* arrays with content"):
        fit(3, **(on | {"start": six}))


def test_other_numbers_rule_and_the_memory_stays(three):
    on = fit(1, start=three, optimizer=fnn.adam(0.0))
    chex.assert_trees_all_equal(on.params, three.train_state.params)
    assert float(on.train_state.opt_state.settings.rate) == 0
    assert int(on.train_state.opt_state.step) == int(on.train_state.step) == 12
    assert on.history[-1].note == ""


@pytest.mark.parametrize("optimizer", [fnn.momentum(0.01), optax.adam(0.01)], ids=["momentum", "optax"])
@jax.numpy_dtype_promotion("standard")  # optax's counts
def test_another_kind_starts_with_fresh_memory_and_the_history_says_so(optimizer, three):
    on = fit(2, start=three, optimizer=optimizer)
    assert on.history[3].note == "another optimizer, its memory starts anew"
    assert on.history[3].note in str(on.history[3])
    assert on.history[4].note == ""
    by_hand = three.train_state._replace(opt_state=optimizer.init(three.train_state.params))
    chex.assert_trees_all_equal(fit(2, start=by_hand, optimizer=optimizer).params, on.params)


@jax.numpy_dtype_promotion("standard")
def test_memory_is_carried_over_between_optimizers_of_one_kind():
    params = {"W": jnp.ones(2)}
    for old, new in [
        (fnn.adam(0.1), fnn.adam(0.2, beta1=0.8)),
        (
            fnn.chain(fnn.clip_by_global_norm(1.0), fnn.momentum(0.1)),
            fnn.chain(fnn.clip_by_global_norm(2.0), fnn.momentum(0.3)),
        ),
        (optax.adam(0.1), optax.adam(0.2)),
        (optax.inject_hyperparams(optax.adam)(0.1), optax.inject_hyperparams(optax.adam)(0.2)),
    ]:
        _, state = old.update(params, old.init(params), params)
        carried = carried_over(state, new.init(params))
        _, expected = new.update(params, new.init(params), params)
        chex.assert_trees_all_equal_structs(carried, expected)
        moments = [leaf for leaf in jax.tree.leaves(carried) if leaf.shape == (2,)]
        assert moments
        assert all((leaf != 0).all() for leaf in moments)
        settings = [getattr(part, "settings", None) for part in (carried, new.init(params))]
        chex.assert_trees_all_equal(*settings)
    for old, new in [
        (fnn.rmsprop(0.1), fnn.adagrad(0.1)),
        (fnn.sgd(0.1), fnn.adam(0.1)),
        (optax.sgd(0.1), fnn.sgd(0.1)),
    ]:
        assert carried_over(old.init(params), new.init(params)) is None


def test_patience_counts_on_and_the_best_is_kept():
    noise = {"validation": (X, 1 - Y), "optimizer": fnn.adam(0.05)}
    whole = fit(9, key=KEY, patience=4, **noise)
    assert (whole.stopped, len(whole.history) > 4) == ("patience", True)
    first = fit(len(whole.history) - 2, key=KEY, patience=4, **noise)
    assert_same(fit(5, start=first, patience=4, **noise), whole)
    more = fit(9, start=whole, patience=2, **noise)  # asked to go on, it waits anew
    assert len(more.history) > len(whole.history)


def test_params_with_their_state(three):
    """A network with statistics is as good after an epoch at rate 0 as before, up to a tenth of fresh statistics."""
    still = {"key": KEY, "optimizer": fnn.sgd(0.0)}
    run = fit(1, params=three.params, state=three.state, **still)
    chex.assert_trees_all_equal(run.params, three.params)
    again = fit(1, params=three.params, state=NET.init_state(), **still)
    assert not np.array_equal(again.state[1].mean, run.state[1].mean)
    refused = {
        r"expected params with the state of their layers.*pass state=result.state": {"params": three.params},
        "expects state= together with params=": {"state": three.state},
        "got both; start=result goes on": {"start": three, "params": three.params},
        "expected state of": {"params": three.params, "state": ()},
        "expects start as a result of fit or a TrainState, got tuple": {"start": three.params},
        "expected params of": {"start": fnn.init_train_state(fnn.mlp(3, 2), ADAM, KEY)},
        "expects a random key, got None": {"key": None},
    }
    for message, options in refused.items():
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            fit(1, **(still | {"key": KEY} | options))
        assert len(str(caught.value)) <= 300
    with pytest.raises(ValueError, match=r"state=result\.state"):
        fnn.init_train_state(NET, ADAM, KEY, three.params)
