"""fit_many: each network is the one that training alone gives, and together they are what their average says."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.training.steps import epoch_order

NET, ADAM = fnn.mlp(4, 8, 3), fnn.adam(0.01)
KEYS = jax.random.split(jax.random.key(0), 3)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 30).astype(np.int32)


@pytest.fixture(scope="module")
def ensemble():
    return fit_many(validation=(X, Y))


def fit_many(**options):
    defaults = {"optimizer": ADAM, "epochs": 2, "batch_size": 8, "progress": False}
    return fnn.fit_many(NET, options.pop("keys", KEYS), options.pop("train", (X, Y)), **{**defaults, **options})


def test_the_first_network_is_that_of_fit(ensemble):
    alone = fnn.fit(NET, (X, Y), optimizer=ADAM, epochs=2, batch_size=8, key=KEYS[0], progress=False)
    params, _ = ensemble.member(0)
    chex.assert_trees_all_close(params, alone.params, rtol=1e-4, atol=1e-6)
    for many, one in zip(ensemble.history, alone.history, strict=True):
        np.testing.assert_allclose(many.train_loss.each[0], one.train_loss, rtol=1e-5)


def test_every_network_sees_the_first_one_s_batches(ensemble):
    """Network 2, trained alone with its own starting parameters and the first one's order."""
    step, state = fnn.make_train_step(NET, ADAM), fnn.init_train_state(NET, ADAM, KEYS[2])
    first = fnn.init_train_state(NET, ADAM, KEYS[0])
    for _ in range(2):
        order = epoch_order(first._replace(step=state.step), 30)
        for i in range(0, 30, 8):
            state, _ = step(state, X[order[i : i + 8]], Y[order[i : i + 8]])
    chex.assert_trees_all_close(ensemble.member(2)[0], state.params, rtol=1e-4, atol=1e-6)
    assert ensemble.train_state.step.tolist() == [8, 8, 8]


def test_metrics_are_mean_and_standard_deviation(ensemble):
    evaluations = [fnn.evaluate(NET, ensemble.member(i)[0], X, Y) for i in range(3)]
    last = ensemble.history[-1]
    np.testing.assert_allclose(last.validation_loss.each, [e.loss for e in evaluations], rtol=1e-5)
    np.testing.assert_allclose(last.validation_accuracy.each, [e.accuracy for e in evaluations], rtol=1e-6)
    np.testing.assert_allclose(last.validation_loss.mean, np.mean([e.loss for e in evaluations]), rtol=1e-5)
    np.testing.assert_allclose(last.validation_loss.std, np.std([e.loss for e in evaluations], ddof=1), rtol=1e-4)
    assert str(last.train_loss) == f"{last.train_loss.mean:.4f} ± {last.train_loss.std:.4f}"


def test_its_forward_is_the_average(ensemble):
    each = [NET.forward(ensemble.member(i)[0], X) for i in range(3)]
    np.testing.assert_allclose(ensemble.forward(X), np.mean(each, axis=0), rtol=1e-5, atol=1e-7)
    assert len(ensemble) == 3
    assert ensemble.params[0].W.shape == (3, 8, 4)


def test_it_repeats_and_weighs():
    chex.assert_trees_all_equal(fit_many().params, fit_many().params)
    weights = np.linspace(0, 2, 30).astype(np.float32)
    run = fit_many(optimizer=fnn.sgd(0.0), epochs=1, weights=weights)
    for i in range(3):
        expected = NET.loss(run.member(i)[0], X, Y, weights=weights)
        np.testing.assert_allclose(run.history[0].train_loss.each[i], expected, rtol=1e-5)


RATES = (0.03, 0.01, 0.003)
SWEEP = [fnn.adam(rate) for rate in RATES]


@pytest.fixture(scope="module")
def sweep():
    return fit_many(keys=KEYS[0], optimizer=SWEEP, validation=(X, Y))


def test_a_sweep_says_what_its_networks_come_from(sweep):
    assert sweep.optimizers == tuple(SWEEP)
    assert len(sweep) == 3
    np.testing.assert_array_equal(jax.random.key_data(sweep.keys), [jax.random.key_data(KEYS[0])] * 3)


def test_a_sweep_crossed_with_keys(sweep):
    both = fit_many(keys=KEYS[:2], optimizer=SWEEP)
    assert len(both) == 6
    assert both.optimizers == tuple(each for each in SWEEP for _ in range(2))
    numbers = jax.random.key_data(both.keys)
    np.testing.assert_array_equal(numbers, np.tile(jax.random.key_data(KEYS[:2]), (3, 1)))
    for i in range(3):
        chex.assert_trees_all_close(both.member(2 * i)[0], sweep.member(i)[0], rtol=1e-4, atol=1e-6)


def test_another_sweep_compiles_nothing(compilations):
    settings = [
        [fnn.adamw(rate, weight_decay=decay) for rate, decay in zip(RATES, decays, strict=True)]
        for decays in ((0.1, 0.2, 0.3), (0.3, 1e-30, 1e-3))
    ]
    first = fit_many(keys=KEYS[0], optimizer=settings[0], validation=(X, Y))
    assert compilations()
    again = fit_many(keys=KEYS[0], optimizer=settings[1], validation=(X, Y))
    assert compilations() == 0
    assert not np.array_equal(again.params[0].W, first.params[0].W)


def test_one_of_a_sweep_may_diverge():
    with pytest.warns(RuntimeWarning, match=r"1 of 2 networks .* epoch 1, .* number 1, trained with fnn.sgd\(1e\+38\)"):
        run = fit_many(keys=KEYS[0], optimizer=[fnn.sgd(0.1), fnn.sgd(1e38)], validation=(X, Y))
    last = run.history[-1]
    for spread in (last.train_loss, last.validation_loss, last.validation_accuracy):
        assert np.isfinite(spread.each).tolist() == [True, False]


def test_numbers_in_lists():
    expected = fit_many(epochs=1, validation=(X, Y), weights=np.ones(30, np.float32))
    lists = fit_many(train=(X.tolist(), Y.tolist()), epochs=1, validation=(X.tolist(), Y.tolist()), weights=[1.0] * 30)
    chex.assert_trees_all_equal(lists.params, expected.params)
    np.testing.assert_array_equal(lists.history[0].validation_loss.each, expected.history[0].validation_loss.each)


def test_regression_has_no_accuracy(capsys):
    net = fnn.mlp(4, 1, loss=fnn.mean_squared_error)
    options = {"optimizer": ADAM, "epochs": 1, "batch_size": 30}
    run = fnn.fit_many(net, KEYS[:1], (X, X[:, :1]), validation=(X, X[:, :1]), **options)
    assert run.history[0].validation_accuracy is None
    assert run.history[0].train_loss.std == 0.0
    assert "validation loss" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": jax.random.key(0)}, r"expects a vector of random keys.*jax.random.split\(key, k\)"),
        ({"keys": jnp.zeros(3)}, "expects a vector of random keys"),
        ({"epochs": 0}, "fit_many expects epochs as a whole number of at least 1, got 0"),
        ({"batch_size": 31}, "from 1 to 30, the number of examples, got 31"),
        ({"train": (X, Y + 1)}, "labels must be whole numbers from 0 to 2"),
        ({"batch_size": 7.5}, "from 1 to 30, the number of examples, got 7.5"),
        ({"keys": KEYS[:0]}, "at least one key, got 0"),
        ({"optimizer": []}, "at least one optimizer, got an empty list"),
        ({"optimizer": [fnn.sgd(0.1), 0.1]}, "expected an optimizer such as fnn.momentum"),
        ({"optimizer": [fnn.sgd(0.1), fnn.adam(0.1)]}, r"of one kind, .* got fnn.sgd\(0.1\) and fnn.adam\(0.1\)"),
        ({"optimizer": [fnn.adamw(weight_decay=0.0), fnn.adamw()]}, "a decay of 0 is another kind"),
        ({"optimizer": fnn.sgd(1e38)}, r"3 of 3 networks met a value that is not finite in epoch 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises((ValueError, TypeError, ArithmeticError), match=message):
        fit_many(**options)
