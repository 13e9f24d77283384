"""Equal recipes share compiled programs, and so do optimizers that differ in numbers only."""

import jax
import numpy as np
import pytest

import fnn

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


def train(optimizer, **changed):
    net = fnn.mlp(3, 5, 2, activation=fnn.leaky_relu(0.2), penalty=fnn.l2(1e-4))  # made afresh each time
    settings = {"epochs": 2, "batch_size": 16, "key": KEY, "validation": (X, Y), "progress": False}
    return fnn.fit(net, (X, Y), optimizer=optimizer, **(settings | changed))


PAIRS = {
    "equal": (lambda: fnn.adam(0.1), lambda: fnn.adam(0.1)),
    "sgd": (lambda: fnn.sgd(0.1), lambda: fnn.sgd(0.03)),
    "momentum": (lambda: fnn.momentum(0.1, 0.9), lambda: fnn.momentum(0.03, 0.5)),
    "rmsprop": (lambda: fnn.rmsprop(0.1), lambda: fnn.rmsprop(0.03, 0.8, 1e-6)),
    "adagrad": (lambda: fnn.adagrad(0.1), lambda: fnn.adagrad(0.03, 1e-6)),
    "adam": (lambda: fnn.adam(0.1), lambda: fnn.adam(0.03, 0.8, 0.99, 1e-6)),
    "adamw": (lambda: fnn.adamw(0.1), lambda: fnn.adamw(0.03, weight_decay=0.1)),
    "lion": (lambda: fnn.lion(0.1), lambda: fnn.lion(0.03, weight_decay=0.2)),
    "muon": (lambda: fnn.muon(0.1), lambda: fnn.muon(0.03, 0.9)),
    "cosine": (lambda: fnn.sgd(fnn.cosine_decay(0.1, 50)), lambda: fnn.sgd(fnn.cosine_decay(0.2, 70))),
    "steps": (lambda: fnn.sgd(fnn.step_decay(0.1, 0.5, 5)), lambda: fnn.sgd(fnn.step_decay(0.2, 0.3, 7))),
    "warmup": (lambda: fnn.adam(fnn.warmup_cosine(0.1, 5, 50)), lambda: fnn.adam(fnn.warmup_cosine(0.2, 7, 60))),
    "clipped": (
        lambda: fnn.chain(fnn.clip_by_global_norm(1.0), fnn.sgd(0.1)),
        lambda: fnn.chain(fnn.clip_by_global_norm(2.0), fnn.sgd(0.03)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_other_numbers_compile_nothing(name, compilations):
    first, second = PAIRS[name]
    train(first())
    compilations()
    one = train(second())
    assert not compilations()
    other = train(second(), key=jax.random.key(1))
    assert not compilations()
    assert one.history[-1].train_loss != other.history[-1].train_loss


def test_another_structure_is_another_program():
    assert fnn.momentum(0.1).update != fnn.momentum(0.1, nesterov=True).update
    assert fnn.adamw(0.1).update != fnn.adamw(0.1, weight_decay=0.0).update
    assert fnn.sgd(0.1).update != fnn.sgd(fnn.cosine_decay(0.1, 50)).update
    assert fnn.adam(0.1).update == fnn.adam(0.2).update


def test_a_sweep_gives_what_single_fits_give():
    rates = (0.3, 0.03)
    net = fnn.mlp(3, 5, 2)
    settings = {"epochs": 3, "batch_size": 16, "progress": False}
    sweep = fnn.fit_many(net, KEY, (X, Y), optimizer=[fnn.adam(rate) for rate in rates], **settings)
    for i, rate in enumerate(rates):
        alone = fnn.fit(net, (X, Y), optimizer=fnn.adam(rate), key=KEY, **settings)
        pairs = zip(jax.tree.leaves(sweep.member(i)[0]), jax.tree.leaves(alone.params), strict=True)
        for got, expected in pairs:
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
