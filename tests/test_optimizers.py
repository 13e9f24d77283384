"""Optimizers against NumPy float64 transcriptions of their papers, and in both directions of drop-in use."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.optimizers.clipping import global_norm
from fnn.optimizers.orthogonal import hidden_weights, newton_schulz
from fnn.training.steps import init_train_state

STEPS = 20


class Leaves(NamedTuple):
    W: jax.Array
    b: jax.Array


# Each transcription: (θ, gradients of all steps, whether θ is a weight matrix) -> θ after the last step.


def sgd(theta, grads, is_weight):
    for g in grads:
        theta = theta - 0.1 * g
    return theta


def momentum(theta, grads, is_weight, nesterov=False):
    v = np.zeros_like(theta)
    for g in grads:
        v = 0.8 * v + g
        theta = theta - 0.1 * (0.8 * v + g if nesterov else v)
    return theta


def nesterov(theta, grads, is_weight):
    return momentum(theta, grads, is_weight, nesterov=True)


def rmsprop(theta, grads, is_weight):
    v = np.zeros_like(theta)
    for g in grads:
        v = 0.7 * v + 0.3 * g**2
        theta = theta - 0.1 * g / (np.sqrt(v) + 1e-3)
    return theta


def adagrad(theta, grads, is_weight):
    v = np.zeros_like(theta)
    for g in grads:
        v = v + g**2
        theta = theta - 0.1 * g / (np.sqrt(v) + 1e-3)
    return theta


def adam(theta, grads, is_weight, decay=0.0):
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(grads, start=1):
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.95**t)
        theta = theta - 0.1 * (m_hat / (np.sqrt(v_hat) + 1e-3) + decay * theta)
    return theta


def adamw(theta, grads, is_weight):
    return adam(theta, grads, is_weight, decay=0.3 if is_weight else 0.0)


def lion(theta, grads, is_weight):
    m = np.zeros_like(theta)
    for g in grads:
        theta = theta - 0.1 * (np.sign(0.8 * m + 0.2 * g) + (0.3 if is_weight else 0.0) * theta)
        m = 0.9 * m + 0.1 * g
    return theta


def muon(theta, grads, is_weight):
    if not is_weight:
        return sgd(theta, grads, is_weight)
    m = np.zeros_like(theta)
    for g in grads:
        m = 0.8 * m + g
        X = g + 0.8 * m
        X = X / np.linalg.norm(X)
        for _ in range(5):
            X = 3.4445 * X - 4.7750 * X @ X.T @ X + 2.0315 * X @ X.T @ X @ X.T @ X
        scale = np.sqrt(max(1, theta.shape[0] / theta.shape[1]))
        theta = theta - 0.1 * (scale * X + 0.3 * theta)
    return theta


CASES = {
    "sgd": (fnn.sgd(0.1), sgd),
    "momentum": (fnn.momentum(0.1, 0.8), momentum),
    "nesterov": (fnn.momentum(0.1, 0.8, nesterov=True), nesterov),
    "rmsprop": (fnn.rmsprop(0.1, 0.7, 1e-3), rmsprop),
    "adagrad": (fnn.adagrad(0.1, 1e-3), adagrad),
    "adam": (fnn.adam(0.1, 0.8, 0.95, 1e-3), adam),
    "adamw": (fnn.adamw(0.1, 0.8, 0.95, 1e-3, weight_decay=0.3), adamw),
    "lion": (fnn.lion(0.1, 0.8, 0.9, weight_decay=0.3), lion),
    "muon": (fnn.muon(0.1, 0.8, 0.3, rest=fnn.sgd(0.1), mask=lambda p: Leaves(True, False)), muon),
}


OTHER_NUMBERS = {
    "sgd": fnn.sgd(0.03),
    "momentum": fnn.momentum(0.03, 0.0),
    "nesterov": fnn.momentum(0.2, 0.99, nesterov=True),
    "rmsprop": fnn.rmsprop(0.2, 0.0, 0.0),
    "adagrad": fnn.adagrad(0.2, 0.0),
    "adam": fnn.adam(0.0, 0.0, 0.5, 1e-6),
    "adamw": fnn.adamw(0.2, 0.0, 0.5, 1e-6, weight_decay=0.01),
    "lion": fnn.lion(0.2, 0.0, 0.5, weight_decay=3.0),
    "muon": fnn.muon(0.2, 0.0, 0.5, rest=fnn.sgd(0.3), mask=CASES["muon"][0].update.structure[-1]),
    "chain": fnn.chain(fnn.clip_by_global_norm(2.0), fnn.clip_by_value(3.0), fnn.sgd(fnn.step_decay(0.2, 0.3, 7))),
}
CHAIN = fnn.chain(fnn.clip_by_global_norm(1.0), fnn.clip_by_value(1.0), fnn.sgd(fnn.step_decay(0.1)))
KINDS = {name: optimizer for name, (optimizer, _) in CASES.items()} | {"chain": CHAIN}


def draw(shape=(5, 3)):
    rng = np.random.default_rng(0)
    params = Leaves(rng.normal(size=shape), rng.normal(size=shape[0]))
    grads = [Leaves(rng.normal(size=shape), rng.normal(size=shape[0])) for _ in range(STEPS)]
    return params, grads


def run(optimizer, params, grads):
    state = optimizer.init(params)
    for g in grads:
        updates, state = jax.jit(optimizer.update)(g, state, params)
        params = fnn.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_equals_the_paper(name, precision, tolerance):
    optimizer, transcription = CASES[name]
    shape = (3, 5) if name == "lion" else (5, 3)
    params, grads = draw(shape)
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        got = run(optimizer, *jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), (params, grads)))
        assert {leaf.dtype.name for leaf in got} == {precision}
    for i, leaf in enumerate(got):
        right = transcription(params[i], [g[i] for g in grads], is_weight=i == 0)
        np.testing.assert_allclose(leaf, right, rtol=0, atol=tolerance * np.abs(right).max())


@pytest.mark.parametrize("name", CASES)
def test_keeps_structure_and_dtype_under_jit(name):
    optimizer, _ = CASES[name]
    params = Leaves(jnp.ones((4, 3), jnp.bfloat16), jnp.ones(4, jnp.bfloat16))
    state = optimizer.init(params)
    updates, after = jax.jit(optimizer.update)(params, state, params)
    assert jax.tree.map(lambda u: (u.shape, u.dtype), updates) == jax.tree.map(lambda p: (p.shape, p.dtype), params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.map(lambda s: (s.shape, s.dtype), after) == jax.tree.map(lambda s: (s.shape, s.dtype), state)


def test_float32_moments_survive_beta_close_to_one():
    """1 − 0.999 is off by 1e-5 where 0.999 has been rounded to float32 first."""
    init, update = fnn.adam(1.0, epsilon=0.0)
    g = jnp.array([3.0])
    updates, _ = update(g, init(g))
    np.testing.assert_allclose(updates, [-1.0], rtol=3e-7)


@pytest.mark.parametrize("name", ["rmsprop", "adagrad", "adam", "adamw", "lion", "muon"])
def test_a_gradient_of_zero_moves_nothing_to_nan(name):
    optimizer = getattr(fnn, name)()
    params = fnn.mlp(3, 4, 2).init(jax.random.key(0))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_decay_leaves_biases_alone():
    params = fnn.mlp(3, 4, 2).init(jax.random.key(0))
    params = jax.tree.map(jnp.ones_like, params)
    for optimizer in (fnn.adamw(0.1, weight_decay=0.5), fnn.lion(0.1, weight_decay=0.5), fnn.muon(0.1)):
        updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
        assert all(np.all(layer.W < 0) for layer in (updates[0], updates[2]))
        assert all(np.all(layer.b == 0) for layer in (updates[0], updates[2]))


def test_decay_that_finds_nothing_says_so():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    optimizer = fnn.adamw(0.1)
    with pytest.raises(ValueError, match="no parameter is called W; pass mask="):
        optimizer.update(params, optimizer.init(params), params)
    optimizer = fnn.adamw(0.1, mask=lambda tree: jax.tree.map(lambda p: p.ndim > 1, tree))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -1e-3, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)


@pytest.mark.parametrize("optimizer", [fnn.adamw(), fnn.muon(), fnn.lion(weight_decay=0.1)])
def test_decay_without_params_says_so(optimizer):
    params = fnn.mlp(3, 4, 2).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"update\(grads, state, params\)"):
        optimizer.update(params, optimizer.init(params))


# hyper-parameters are data


@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_no_part_of_update(name):
    one, other = KINDS[name], OTHER_NUMBERS[name]
    assert one != other
    assert one.update == other.update
    assert hash(one.update) == hash(other.update)
    assert jax.tree.structure(one.init) == jax.tree.structure(other.init)


def test_what_changes_the_equations_is_part_of_update():
    def fall(step):
        return 0.1 / (step + 1)

    mask = CASES["muon"][0].update.structure[-1]
    kinds = [
        *KINDS.values(),
        fnn.adamw(mask=mask),
        fnn.lion(weight_decay=0.0),
        fnn.muon(),
        fnn.muon(steps=3),
        fnn.muon(weight_decay=0.0),
        fnn.muon(rest=fnn.sgd()),
        *map(fnn.momentum, (fnn.step_decay(0.1), fnn.exponential_decay(0.1), fnn.cosine_decay(0.1, 9), fall)),
        fnn.momentum(fnn.warmup_cosine(0.1, 2, 9)),
        fnn.chain(fnn.clip_by_value(1.0), fnn.sgd()),
    ]
    assert len({optimizer.update for optimizer in kinds}) == len(kinds)
    assert fnn.momentum(fall).update == fnn.momentum(fall, 0.5).update
    assert fnn.adamw(weight_decay=0.0).update == fnn.adam().update  # the same equations
    assert fnn.sgd(fnn.constant_schedule(0.1)).update == fnn.sgd(0.2).update


@pytest.mark.parametrize("name", KINDS)
def test_equal_by_value_and_written_as_made(name):
    optimizer = KINDS[name]
    constructor, arguments = optimizer.made.constructor, dict(optimizer.made.arguments)
    again = constructor(*arguments.pop("optimizers", ()), **arguments)
    assert again == optimizer
    assert hash(again) == hash(optimizer)
    assert again is not optimizer
    if name != "muon":  # its mask is a function of this file
        assert eval(repr(optimizer), {"fnn": fnn}) == optimizer


def test_repr():
    assert repr(fnn.adam(0.1)) == "fnn.adam(0.1)"
    assert repr(fnn.momentum(nesterov=True)) == "fnn.momentum(nesterov=True)"
    assert repr(CHAIN) == (
        "fnn.chain(fnn.clip_by_global_norm(1.0), fnn.clip_by_value(1.0), fnn.sgd(fnn.step_decay(0.1)))"
    )
    assert fnn.adam(np.float64(0.1)) == fnn.adam(0.1) != fnn.adam(0.2)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_numbers_are_in_the_state(precision):
    with jax.enable_x64(precision == "float64"):
        state = fnn.adamw(fnn.warmup_cosine(1e-3, 2, 9, 1e-4), weight_decay=0.3).init(jnp.ones(2))
        settings = state.settings
        assert {leaf.dtype.name for leaf in jax.tree.leaves(settings)} == {precision, "int32"}
        np.testing.assert_array_equal(settings.beta2, np.array([0.999, 1 - 0.999, np.log(0.999)], precision))
        np.testing.assert_array_equal(settings.decay, np.array(0.3, precision))
        assert (int(settings.rate.warmup), int(settings.rate.after.steps)) == (2, 7)


def test_a_number_in_the_state_can_be_changed_on_the_way():
    init, update = fnn.sgd(0.1)
    state = init(jnp.ones(2))
    state = state._replace(settings=state.settings._replace(rate=jnp.float32(0.5)))
    np.testing.assert_allclose(update(jnp.ones(2), state)[0], -0.5)


def test_one_program_serves_all_numbers(compilations):
    params, grads = draw()
    params, grads = (jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree) for tree in (params, grads[0]))
    step = jax.jit(fnn.adam(0.1).update)
    step(grads, fnn.adam(0.1).init(params), params)
    compilations()
    for optimizer in (fnn.adam(0.1), fnn.adam(0.03), fnn.adam(0.2, 0.5, 0.7, 1e-3)):
        jax.jit(optimizer.update)(grads, optimizer.init(params), params)
    assert compilations() == 0


def test_a_sweep_is_a_vmap():
    """Also where the numbers are traced, as within somebody's own vmap."""
    g = jnp.array([1.0, -2.0])

    def after_two(rate, beta):
        init, update = fnn.momentum(rate, beta)
        first, state = update(g, init(g))
        return first + update(g, state)[0]

    got = jax.vmap(after_two)(jnp.array([0.1, 0.2]), jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(got, [-0.1 * 2 * g, -0.2 * 2.5 * g], rtol=1e-6)


# muon


def test_newton_schulz_keeps_singular_vectors_and_evens_out_singular_values():
    G = jax.random.normal(jax.random.key(0), (6, 9))
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    for matrix, u, vt in ((G, U, Vt), (G.T, Vt.T, U.T), (1e30 * G, U, Vt)):
        s = u.T @ np.asarray(jax.jit(newton_schulz)(matrix)) @ vt.T
        np.testing.assert_allclose(s, np.diag(np.diag(s)), atol=1e-5)
        assert np.all((np.diag(s) > 0.65) & (np.diag(s) < 1.25))
    np.testing.assert_array_equal(newton_schulz(jnp.zeros((3, 2))), 0)


def test_muon_takes_hidden_matrices_only():
    params = fnn.mlp(5, 4, 3, 2).init(jax.random.key(0))
    mask = hidden_weights(params)
    assert [mask[i].W for i in (0, 2, 4)] == [True, True, False]
    assert not any(mask[i].b for i in (0, 2, 4))
    state = fnn.muon().init(params)
    assert [leaf.shape for leaf in jax.tree.leaves(state.m)] == [(4, 5), (3, 4)]
    assert [leaf.shape for leaf in jax.tree.leaves(state.rest.m)] == [(4,), (3,), (2, 3), (2,)]


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 2, 3, 5), (3, 4, 2, 2, 5)])
def test_muon_sees_stacks_as_layers_and_kernels_as_matrices(shape):
    """Each layer of a stack, each kernel as (c_out, rest), gets what it would get alone."""
    optimizer = fnn.muon(1.0, 0.0, 0.0, mask=lambda tree: jax.tree.map(lambda leaf: True, tree))
    grads = jax.random.normal(jax.random.key(0), shape)
    updates, _ = jax.jit(optimizer.update)(grads, optimizer.init(grads), grads)
    layers = zip(updates, grads, strict=True) if len(shape) % 2 else [(updates, grads)]
    for update, g in layers:
        matrix = g.reshape(4, -1)
        right = -np.sqrt(max(1, 4 / matrix.shape[1])) * jax.jit(newton_schulz)(matrix)
        np.testing.assert_allclose(update.reshape(4, -1), right, atol=1e-5)


# clipping


def once(transformation, g):
    return transformation.update(g, transformation.init(g))[0]


def test_chain_clips_before_it_steps():
    optimizer = fnn.chain(fnn.clip_by_value(1.0), fnn.clip_by_global_norm(1.0), fnn.sgd(0.5))
    g = jnp.array([30.0, -40.0, 0.0])
    updates, state = optimizer.update(g, optimizer.init(g), g)
    np.testing.assert_allclose(updates, [-0.5 / np.sqrt(2), 0.5 / np.sqrt(2), 0], rtol=1e-6)
    assert int(state[2].step) == 1


def test_short_gradients_are_not_clipped():
    g = {"a": jnp.array([0.3]), "b": jnp.array([0.4, 0.0])}
    clipped = once(fnn.clip_by_global_norm(1.0), g)
    jax.tree.map(np.testing.assert_array_equal, clipped, g)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_clipping_neither_hides_nor_spreads_what_is_not_finite(bad):
    g = {"a": jnp.array([1.0, bad]), "b": jnp.array([1e3])}
    clipped = once(fnn.clip_by_global_norm(1.0), g)
    jax.tree.map(np.testing.assert_array_equal, clipped, g)
    value = once(fnn.clip_by_value(5.0), jnp.array([jnp.nan, 9.0]))
    np.testing.assert_array_equal(value, [np.nan, 5.0])


@pytest.mark.parametrize("size", [0.0, 1e-37, 1e-30, 1e19, 1e30, 3e38])
def test_clipping_is_right_at_every_size(size):
    g = jnp.array([size, size, 0.0, -size], jnp.float32)
    clipped = once(fnn.clip_by_global_norm(1.0), g)
    length = np.linalg.norm(np.asarray(g, np.float64))
    np.testing.assert_allclose(clipped, np.asarray(g, np.float64) * min(1, 1 / length if length else 1), rtol=1e-5)
    if length < 3e38:
        np.testing.assert_allclose(global_norm(g), length, rtol=1e-5)


# drop-in use, both ways


class ForeignState(NamedTuple):
    count: jax.Array
    trace: tuple


def foreign_optimizer():
    """A stand-in with optax's signature to the letter: momentum with decay, which needs params, and extra arguments."""

    class GradientTransformationExtraArgs(NamedTuple):
        init: object
        update: object

    def init(params):
        return ForeignState(jnp.zeros([], jnp.int32), (jax.tree.map(jnp.zeros_like, params),))

    def update(updates, state, params=None, **extra_args):
        trace = jax.tree.map(lambda g, t, p: g + 0.9 * t + 0.1 * p, updates, state.trace[0], params)
        return jax.tree.map(lambda t: -0.1 * t, trace), ForeignState(state.count + 1, (trace,))

    return GradientTransformationExtraArgs(init, update)


def test_any_object_with_init_and_update_trains():
    net, optimizer = fnn.mlp(4, 8, 2), foreign_optimizer()
    x, y = jax.random.normal(jax.random.key(1), (20, 4)), jnp.arange(20) % 2
    start = init_train_state(net, optimizer, jax.random.key(0))
    state, _ = fnn.make_train_step(net, optimizer)(start, x, y)
    grads = jax.jit(net.backward)(start.params, x, y)
    right = jax.tree.map(lambda p, g: p - 0.1 * (g + 0.1 * p), start.params, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state.params, right)
    assert isinstance(state.opt_state, ForeignState)
    assert int(state.opt_state.count) == 1
    chained = fnn.chain(fnn.clip_by_global_norm(1.0), optimizer)
    state = init_train_state(net, chained, jax.random.key(0))
    state, _ = fnn.make_train_epoch(net, chained, 8)(state, x, y)
    assert int(state.step) == 3


@pytest.mark.parametrize("name", CASES)
def test_ours_runs_in_a_foreign_loop(name):
    """As optax's own loops call it: positional arguments, two results, pytrees of any kind, inside jit."""
    optimizer, _ = CASES[name]
    init, update = optimizer  # unpacks as a pair
    params = Leaves(jnp.ones((2, 3)), jnp.ones(2))

    @jax.jit
    def loop(params):
        def body(carry, _):
            params, state = carry
            updates, state = update(params, state, params)
            return (jax.tree.map(lambda p, u: p + u, params, updates), state), ()

        return jax.lax.scan(body, (params, init(params)), length=3)[0][0]

    assert all(np.isfinite(leaf).all() for leaf in loop(params))


# with optax itself, where it is installed


def test_optax_s_optimizers_train_here():
    optax = pytest.importorskip("optax")
    net, theirs = fnn.mlp(4, 8, 2), optax.adam(0.01)
    x, y = jax.random.normal(jax.random.key(1), (20, 4)), jnp.arange(20) % 2
    options = {"epochs": 3, "batch_size": 8, "key": jax.random.key(0), "progress": False}
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic needs it
        got = fnn.fit(net, (x, y), optimizer=fnn.chain(fnn.clip_by_value(10.0), theirs), **options).params
    right = fnn.fit(net, (x, y), optimizer=fnn.adam(0.01), **options).params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, right)


@pytest.mark.parametrize("name", KINDS)
def test_ours_train_within_optax(name):
    optax = pytest.importorskip("optax")
    params, grads = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), draw())
    ours = KINDS[name]
    both = optax.chain(optax.scale(2.0), optax.apply_if_finite(ours, 3))
    state, alone = both.init(params), ours.init(params)
    theta = expected = params
    for g in grads[:3]:
        updates, state = jax.jit(both.update)(g, state, theta)
        theta = optax.apply_updates(theta, updates)
        updates, alone = jax.jit(ours.update)(jax.tree.map(lambda g: 2 * g, g), alone, expected)
        expected = fnn.apply_updates(expected, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), theta, expected)


# errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.sgd(-0.1), "sgd expects a learning rate of at least 0, or a schedule, got -0.1"),
        (lambda: fnn.adam(float("nan")), "adam expects a learning rate"),
        (lambda: fnn.momentum(0.1, beta=1.0), r"momentum expects beta in \[0, 1\), got 1.0"),
        (lambda: fnn.adam(beta2=1.0), r"adam expects beta2 in \[0, 1\)"),
        (lambda: fnn.adamw(weight_decay=-1.0), "adamw expects a weight decay of at least 0"),
        (lambda: fnn.lion(beta1=-0.1), r"lion expects beta1 in \[0, 1\)"),
        (lambda: fnn.muon(steps=0), "at least 1 Newton–Schulz step"),
        (lambda: fnn.muon(rest=fnn.sgd), "expected an optimizer such as"),
        (lambda: fnn.momentum(nesterov=1), "momentum expects nesterov as True or False, got 1"),
        (lambda: fnn.sgd(True), "sgd expects a learning rate"),
        (lambda: fnn.sgd(jnp.ones(2)), "sgd expects a learning rate"),
        (lambda: fnn.clip_by_global_norm(0.0), "expects max_norm above 0"),
        (lambda: fnn.clip_by_value(float("nan")), "expects a limit above 0"),
        (lambda: fnn.chain(fnn.sgd), "chain expects optimizers"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_updates_must_match_the_parameters():
    params = Leaves(jnp.ones((2, 3)), jnp.ones(2))
    with pytest.raises(ValueError, match="must be the same tree"):
        fnn.apply_updates(params, {"W": params.W, "b": params.b})
    with pytest.raises(ValueError, match=r"expected an update of shape \(2, 3\), like its parameter, got \(3,\)"):
        fnn.apply_updates(params, Leaves(jnp.ones(3), params.b))
