"""Schedules: their formulas, and that a changing rate never compiles anything again."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.training.steps import init_train_state

FORMULAS = {
    "constant": (fnn.constant_schedule(0.3), lambda t: 0.3),
    "step": (fnn.step_decay(0.3, 0.5, 7), lambda t: 0.3 * 0.5 ** (t // 7)),
    "exponential": (fnn.exponential_decay(0.3, 0.5, 7), lambda t: 0.3 * 0.5 ** (t / 7)),
    "cosine": (
        fnn.cosine_decay(0.3, 20, 0.1),
        lambda t: 0.1 + 0.2 * 0.5 * (1 + math.cos(math.pi * min(t, 20) / 20)),
    ),
    "warmup": (
        fnn.warmup_cosine(0.3, 5, 25, 0.1),
        lambda t: 0.3 * (t + 1) / 6 if t < 5 else 0.2 + 0.1 * math.cos(math.pi * min(t - 5, 20) / 20),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_its_formula_on_every_kind_of_step(name):
    schedule, formula = FORMULAS[name]
    for t in range(30):
        for step in (t, jnp.asarray(t, jnp.int32)):
            rate = jnp.asarray(schedule(step))
            assert rate.dtype == jnp.float32
            assert rate.shape == ()
            np.testing.assert_allclose(rate, formula(t), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(13)), formula(13), rtol=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_float64(name):
    schedule, formula = FORMULAS[name]
    with jax.enable_x64(True):
        rate = jnp.asarray(schedule(jnp.int32(13)))
        assert rate.dtype == jnp.float64
        np.testing.assert_allclose(rate, formula(13), rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_never_compiles_again(name):
    traces = []

    def counted(step):
        traces.append(step)
        return FORMULAS[name][0](step)

    net, optimizer = fnn.mlp(2, 2), fnn.momentum(counted)
    step, state = fnn.make_train_step(net, optimizer), init_train_state(net, optimizer, jax.random.key(0))
    for _ in range(4):
        state, _ = step(state, jnp.ones((3, 2)), jnp.zeros(3, jnp.int32))
    assert len(traces) == 1


def test_an_optimizer_follows_its_schedule():
    optimizer = fnn.sgd(fnn.step_decay(0.1, 0.5, 1))
    params = g = jnp.ones(2)
    state = optimizer.init(params)
    for rate in (0.1, 0.05, 0.025):
        updates, state = optimizer.update(g, state, params)
        np.testing.assert_allclose(updates, -rate, rtol=1e-6)


SCHEDULES = {
    "constant": fnn.constant_schedule(0.3),
    "step": fnn.step_decay(0.3, 0.7, 41),
    "exponential": fnn.exponential_decay(0.3, 0.1, 997),
    "cosine": fnn.cosine_decay(0.3, 7919, 1e-5),
    "warmup": fnn.warmup_cosine(0.3, 509, 9973),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_eager_equals_jit_at_every_step(name):
    """All at once, and one after the other as a training loop asks for them."""
    schedule, steps = SCHEDULES[name], jnp.arange(10_000)
    together, alone = schedule(steps), [schedule(step) for step in range(0, 10_000, 499)]
    one = jax.jit(schedule)
    np.testing.assert_array_equal(together, one(steps))
    np.testing.assert_array_equal(alone, [one(step) for step in range(0, 10_000, 499)])
    one_by_one = jax.jit(lambda steps: jax.lax.map(schedule, steps))(steps)
    np.testing.assert_allclose(one_by_one, together, rtol=1e-5, atol=0)


def test_drops_come_at_their_step_for_every_period():
    periods = np.arange(1, 2001)

    def around(every):
        rule, numbers = fnn.step_decay(1.0, 0.5, 1).rule, fnn.step_decay(1.0, 0.5, 1).numbers
        data = jax.tree.map(jnp.asarray, numbers)._replace(every=every)
        return rule(data, jnp.stack([every - 1, every, 3 * every - 1, 3 * every]))

    got = jax.jit(jax.vmap(around))(jnp.asarray(periods, jnp.int32))
    np.testing.assert_array_equal(got, np.broadcast_to([1, 0.5, 0.25, 0.125], got.shape))
    for every in (41, 47, 55, 61, 82, 1973):
        schedule = fnn.step_decay(1.0, 0.5, every)
        rates = jax.jit(schedule)(jnp.array([every - 1, every, 7 * every]))
        np.testing.assert_array_equal(rates, [1, 0.5, 0.5**7])
        assert schedule(np.uint8(3)) == 1


def test_a_very_long_period_never_ends():
    assert fnn.step_decay(1.0, 0.5, 10**12)(2**31 - 2) == 1


def test_small_rates_near_the_end_are_exact():
    schedule = fnn.cosine_decay(1.0, 10_000)
    steps = np.arange(9_000, 10_001)
    right = np.sin(np.pi / 2 * (10_000 - steps) / 10_000) ** 2
    np.testing.assert_allclose(schedule(steps), right, rtol=1e-6, atol=0)


def test_schedules_are_recipes():
    for schedule in SCHEDULES.values():
        assert eval(repr(schedule), {"fnn": fnn}) == schedule
        assert len({schedule, eval(repr(schedule), {"fnn": fnn})}) == 1
    assert fnn.cosine_decay(0.1, 9) != fnn.cosine_decay(0.1, 8)
    assert repr(fnn.warmup_cosine(0.3, 5, 25, 0.1)) == "fnn.warmup_cosine(0.3, 5, 25, 0.1)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.step_decay(0.1, 0.0), "step_decay expects a factor above 0, got 0.0"),
        (lambda: fnn.step_decay(0.1, 0.5, 0), "every of at least 1 step, got 0"),
        (lambda: fnn.exponential_decay(0.1, -1.0), "exponential_decay expects a factor above 0"),
        (lambda: fnn.exponential_decay(0.1, 0.5, 0), "every of at least 1 step"),
        (lambda: fnn.cosine_decay(0.1, 0), "cosine_decay expects steps of at least 1, got 0"),
        (lambda: fnn.warmup_cosine(0.1, -1, 5), "warmup of at least 0 steps"),
        (lambda: fnn.warmup_cosine(0.1, 5, 5), "more steps than the 5 of the warm-up, got 5"),
        (lambda: fnn.step_decay(0.1, 0.5, 2.5), "every of at least 1 step, got 2.5"),
        (lambda: fnn.cosine_decay(-0.1, 5), "cosine_decay expects a learning rate of at least 0, got -0.1"),
        (lambda: fnn.cosine_decay(0.1, 5, float("nan")), "a final rate of at least 0, got nan"),
        (lambda: fnn.constant_schedule(-1), "constant_schedule expects a learning rate of at least 0, got -1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
