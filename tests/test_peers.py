"""Optimizers of optax in fnn and ours in code for optax: one signature to the letter. Needs the extra `peers`."""

from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

NET = fnn.mlp(3, 4, 2)
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 2

if find_spec("optax"):
    import optax

    PAIRS = {
        "sgd": (fnn.sgd(0.1), optax.sgd(0.1)),
        "momentum": (fnn.momentum(0.1, 0.9), optax.sgd(0.1, momentum=0.9)),
        "nesterov": (fnn.momentum(0.1, 0.9, nesterov=True), optax.sgd(0.1, momentum=0.9, nesterov=True)),
        "adam": (fnn.adam(0.01), optax.adam(0.01)),
        "adamw": (
            fnn.adamw(0.01, weight_decay=0.1),
            optax.adamw(0.01, weight_decay=0.1, mask=fnn.weight_mask),
        ),
        "lion": (fnn.lion(0.01, weight_decay=0.1), optax.lion(0.01, weight_decay=0.1, mask=fnn.weight_mask)),
        "clipped": (
            fnn.chain(fnn.clip_by_global_norm(0.1), fnn.sgd(0.1)),
            optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)),
        ),
    }

    @pytest.mark.parametrize("name", PAIRS)
    def test_both_train_alike_in_fit(name):
        settings = {"epochs": 3, "batch_size": 4, "key": jax.random.key(0), "progress": False}
        with jax.numpy_dtype_promotion("standard"):
            ours, theirs = (fnn.fit(NET, (X, Y), optimizer=each, **settings).params for each in PAIRS[name])
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("name", PAIRS)
    def test_ours_in_code_that_is_written_for_optax(name):
        ours, theirs = PAIRS[name]
        params = NET.init(jax.random.key(0))

        @jax.jit
        def step(params, state, x, y):
            grads = NET.backward(params, x, y)
            updates, state = optax.with_extra_args_support(ours).update(grads, state, params)
            return optax.apply_updates(params, updates), state

        with jax.numpy_dtype_promotion("standard"):
            state = ours.init(params)
            chained = optax.chain(optax.identity(), ours)
            updates, _ = chained.update(NET.backward(params, X, Y), chained.init(params), params)
            after, _ = step(params, state, X, Y)
            expected, _ = theirs.update(NET.backward(params, X, Y), theirs.init(params), params)
        for one, other in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(after))
