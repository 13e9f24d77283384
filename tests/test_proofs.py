"""Proofs: what is equal is proved, what is different never, and the word means what it says."""

import hashlib
import math
import os
import random
import secrets
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES, scatter
from proof_pairs import DIFFERENT, EQUAL

import fnn
from fnn.verify.proving.cell import judge, run_both
from fnn.verify.proving.programs import arguments_of, trace

ALL = os.environ.get("FNN_WHOLE") == "1"  # every row of every table, as .ci/run has it; else a sample


@pytest.fixture(autouse=True)
def _usual_promotion():
    """Pairs are written as users write them."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(autouse=True)
def _repeatable(request, monkeypatch):
    """One seed a test instead of the system's randomness, so that a failure can be seen again."""
    if "afresh" in request.node.name:
        return
    seed = int.from_bytes(hashlib.sha256(request.node.name.encode()).digest()[:7], "big")
    monkeypatch.setattr(secrets, "randbits", lambda bits: seed)


def sample(table, every):
    return table if ALL else table[::every]


def named(table, every=1):
    return pytest.mark.parametrize("row", sample(table, every), ids=lambda row: row.name)


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@named(EQUAL, 7)
def test_equal(row):
    fnn.prove(row.f, row.g, *row.args).assert_proved()


@named(DIFFERENT, 5)
def test_different(row):
    assert fnn.prove(row.f, row.g, *row.args).verdict != "PROVED"


X = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)), jnp.float32)
Y = jnp.asarray(np.random.default_rng(2).normal(size=(3, 4)), jnp.float32)


def test_a_program_that_alone_asks_whether_numbers_are_finite_is_told():
    """Equal as formulas, but one overflows where the other looks out for it."""

    def carefully(a):
        return jax.lax.scan(lambda c, r: (jnp.logaddexp(c, jnp.roll(c, 1)) + r, None), a[0], a[1:])[0]

    def plainly(a):
        once = (jnp.exp(a[0]) + jnp.roll(jnp.exp(a[0]), 1)) * jnp.exp(a[1])
        return jnp.log((once + jnp.roll(once, 1)) * jnp.exp(a[2]))

    proof = fnn.prove(carefully, plainly, X)
    assert proof.verdict == "CANNOT TELL"
    assert "whether numbers are finite" in str(proof)


HOLES = {
    "a tag dropped": (lambda x: jnp.exp(1 / jnp.log(x * x + 2)), jnp.ones_like),
    "softmax of z / log t": (lambda x: jax.nn.softmax(x / jnp.log(3.0)), lambda x: jnp.full_like(x, 0.25)),
    "infinity": (lambda x: x + jnp.inf, lambda x: x),
    "one over nothing": (lambda x: 1 / (x - x), lambda x: 0 * x),
    "maximum with NaN": (lambda x: jnp.maximum(x, jnp.nan), lambda x: x),
    "outside of the domain": (lambda x: jnp.exp(jnp.log(x)), lambda x: x),
    "logarithm of a square": (lambda x: jnp.log(x * x), lambda x: 2 * jnp.log(x)),
    "another tree": (lambda x: x, lambda x: (x, 2 * x)),
    "another dtype": (lambda x: x.astype(jnp.bfloat16), lambda x: x),
    "large integers": (lambda x: x.astype(jnp.int32) * 0 + 2**30 + 1, lambda x: x.astype(jnp.int32) * 0 + 2**30),
    "beyond the end": (lambda x: jnp.take(x[:, 0], 9, mode="fill"), lambda x: x[0, 0]),
    "a cast as the identity": (lambda x: jnp.where(x.astype(jnp.bfloat16) == x, 1.0, 0.0), jnp.ones_like),
    "literals side by side": (lambda x: x * 0.1, lambda x: x * float(np.nextafter(0.1, 1))),
    "what rounds away": (lambda x: (x * (1 + 2.0**-52) - x) * 2.0**52, lambda x: 0 * x),
    "a sign by luck": (lambda x: jnp.sqrt((7 * x) ** 2), lambda x: 7 * x),
    "a sign by luck, hidden": (lambda x: 1 + 1e-20 * jnp.sqrt(x * x + 2 * x + 1), lambda x: 1 + 1e-20 * (x + 1)),
    "relu6": (jax.nn.relu6, jax.nn.relu),
    "clipping at 100": (lambda x: x * jnp.minimum(1, 100 / jnp.linalg.norm(x)), lambda x: x),
    "thresholds": (lambda x: jnp.where(x > 0, x, 0), lambda x: jnp.where(x > 1e-3, x, 0)),
    "thresholds, closer": (lambda x: jnp.where(x > 0, x, 0), lambda x: jnp.where(x > 1e-30, x, 0)),
    "absorption": (lambda x: jnp.where(1 + 1e-30 * x > 1, x, 0), lambda x: 0 * x),
    "a loop that data ends": (
        lambda x: jax.lax.while_loop(lambda c: c[0] < abs(x).sum(), lambda c: (c[0] + 1, c[1] / 2), (0.0, x))[1],
        lambda x: x / 2**9,
    ),
    "ties broken elsewhere": (
        lambda x: x[0, jnp.argmax(x[0])],
        lambda x: x[0, jnp.argmax(x[0] + 1e-9 * x[1])],
    ),
    "an argument ignored": (lambda x: x, lambda x: x + 1e-25 * x[::-1]),
    "removable": (lambda x: x / x, jnp.ones_like),
    "other draws": (
        lambda x: x * jax.random.normal(jax.random.key(0), x.shape),
        lambda x: x * jax.random.normal(jax.random.key(1), x.shape),
    ),
    "thresholds of entries": (
        lambda x: jnp.maximum(x[0], jnp.array([-1e3, 0.0, 0.0, 1e3])),
        lambda x: jnp.stack([x[0, 0], jnp.maximum(x[0, 1], 0), jnp.maximum(x[0, 2], 0), 1e3 + 0 * x[0, 3]]),
    ),
    "above, and not below": (lambda x: jnp.where(x > 0, 1.0, 0.0), lambda x: jnp.where(x >= 0, 1.0, 0.0)),
    "one number": (lambda x: jnp.where(x == 3.0, 7.0, x), lambda x: x),
    "where two entries meet": (lambda x: jnp.where(x[0] == x[1], 7.0, x[0]), lambda x: x[0]),
    "the last of the largest": (lambda x: jnp.argmax(x[0]), lambda x: 3 - jnp.argmax(x[0, ::-1])),
    "what overflows": (lambda x: jnp.where(jnp.isfinite(jnp.exp(x)), x, 0.0), lambda x: x),
    "the largest of far ones": (lambda x: jnp.stack([x[0, 0] + 1e3, x[0, 1]]).max(), lambda x: x[0, 0] + 1e3),
    "the order of far ones": (
        lambda x: jnp.sort(jnp.stack([x[0, 0], x[0, 1] + 1e3]))[0],
        lambda x: x[0, 0],
    ),
    "a pivot": (
        lambda x: jax.scipy.linalg.lu_factor(x[:, :3] + 100 * jnp.eye(3))[0][0, 0],
        lambda x: x[0, 0] + 100,
    ),
    "32 bits": (lambda x: x * (jnp.arange(4) * 10**9), lambda x: x * jnp.arange(4) * 1e9),
    "another program in float64": (lambda x: x * (1.0 if x.dtype == jnp.float64 else 2.0), lambda x: x),
    "a number of the dtype": (lambda x: x + jnp.finfo(x.dtype).eps, lambda x: x + 2.0**-52),
    "almost ln 2": (lambda x: x * jnp.log(2.0), lambda x: x * 0.6931471805599452),
    "almost √2": (lambda x: x * jnp.sqrt(2.0), lambda x: x * 1.414213562373095),
    "a third": (lambda x: x / 3, lambda x: x * 0.3333333333333333),
    "integer overflow": (lambda x: (x[0] > 0) * jnp.int32(2**31 - 1) + 1, lambda x: (x[0] > 0) * jnp.int32(2**30) * 2),
}


@pytest.mark.parametrize("hole", HOLES)
def test_hole(hole):
    f, g = HOLES[hole]
    x = X.at[0, 0].set(0.0) if hole == "removable" else X
    assert fnn.prove(f, g, x).verdict != "PROVED"


def test_primes_are_drawn_afresh():
    first, second = (fnn.prove(lambda x: x + x, lambda x: 2 * x, X) for _ in range(2))
    assert first.seed != second.seed
    product = math.prod((2**31 - 1, 2**61 - 1, 4294967291))
    assert fnn.prove(lambda x: x * float(product), lambda x: 0 * x, X).verdict == "DIFFERENT"


# ── the library's own rules ──────────────────────────────────────────────────────────────────────────────────────────
@named(LAYERS, 5)
def test_layer(row):
    fnn.prove_layer(row.layer, row.shape, n=row.n).assert_proved()


@named(LOSSES, 4)
def test_loss(row, key):
    z, y, weights = row.draw(key)

    def loss(z, weights):
        return row.loss.fwd(z, y, weights)[0]

    def backward(z, weights):
        value, residuals = row.loss.fwd(z, y, weights)
        return row.loss.bwd(residuals, jnp.ones_like(value))

    fnn.prove_gradient(loss, backward, z, weights).assert_proved()


@named(PENALTIES)
def test_penalty(row, key):
    fnn.prove_gradient(row.value, row.gradient, scatter(key, fnn.mlp(3, 4, 2).init(key))).assert_proved()


NETWORKS = {
    "relu": fnn.mlp(4, 5, 3, penalty=fnn.l2(0.1)),
    "tanh": fnn.mlp(4, 5, 3, activation=fnn.tanh),
    "gelu": fnn.mlp(3, 4, 2, activation=fnn.gelu, loss=fnn.sigmoid_cross_entropy),
    "squares": fnn.mlp(3, 4, 4, 2, activation=fnn.swish, loss=fnn.half_mean_squared_error, penalty=fnn.l1(0.3)),
}


@pytest.mark.parametrize("name", sample(list(NETWORKS), 2))
def test_network(name, key):
    net = NETWORKS[name]
    x = jax.random.normal(key, (6, *net.input_shape))
    y = net.forward(net.init(key), x)
    y = jnp.arange(6) % 3 if name in ("relu", "tanh") else jnp.where(y > 0, 0.75, 0.25)
    params = scatter(key, net.init(key))
    fnn.prove_gradient(
        lambda params, x: net.loss(params, x, y), lambda params, x: net.backward(params, x, y), params, x
    ).assert_proved()


def test_repeat_against_its_layers_one_by_one(key):
    layer = fnn.residual(fnn.serial(fnn.dense(3), fnn.tanh))
    loop = fnn.repeat(layer, 3)
    params, x = scatter(key, loop.init(key, (3,))), jax.random.normal(key, (4, 3))

    def one_by_one(params, x):
        for i in range(3):
            x = layer.forward(jax.tree.map(lambda leaf, i=i: leaf[i], params.stacked), x)
        return x

    fnn.prove(loop.forward, one_by_one, params, x).assert_proved()


def test_columns_of_mixed_precision_against_rows(key):
    chain = fnn.serial(fnn.dense(4), fnn.relu, fnn.dense(5), fnn.relu, fnn.dense(2))
    columns = fnn.mixed_precision(chain)
    params, x, dy = scatter(key, chain.init(key, (3,))), jax.random.normal(key, (4, 3)), jax.random.normal(key, (4, 2))

    def both(layer, params, x, dy):
        (y, _), residuals = layer.fwd(params, x, layer.init_state((3,)), None)
        return y, layer.bwd(residuals, dy)

    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, x, dy))
        fnn.prove(lambda *args: both(columns, *args), lambda *args: both(chain, *args), *exact).assert_proved()


@pytest.mark.parametrize("part", range(4))
def test_lifted_layers(part, key):
    """jax.vjp of what `differentiable` returns is the layer's own backward, which `test_layer` proves."""
    for row in sample(LAYERS[part::4], 3):
        lifted, state = fnn.differentiable(row.layer), row.layer.init_state(row.shape)
        params, x, dy = row.draw(key)

        def by_autodiff(params, x, dy, row=row, lifted=lifted, state=state):
            return jax.vjp(lambda params, x: lifted.fwd(params, x, state, jax.random.key(0))[0][0], params, x)[1](dy)

        def by_hand(params, x, dy, row=row, state=state):
            return row.layer.bwd(row.layer.fwd(params, x, state, jax.random.key(0))[1], dy)

        proof = fnn.prove(by_autodiff, by_hand, params, x, dy)
        assert proof.ok, f"{row.name}: {proof}"


@pytest.mark.parametrize("part", range(2))
def test_lifted_losses(part, key):
    for row in sample(LOSSES[part::2], 2):
        lifted = fnn.differentiable(row.loss)
        z, y, weights = row.draw(key)

        def by_autodiff(z, lifted=lifted, y=y, weights=weights):
            return jax.grad(lambda z: lifted.fwd(z, y, weights)[0])(z)

        def by_hand(z, row=row, y=y, weights=weights):
            value, residuals = row.loss.fwd(z, y, weights)
            return row.loss.bwd(residuals, jnp.ones_like(value))

        proof = fnn.prove(by_autodiff, by_hand, z)
        assert proof.ok, f"{row.name}: {proof}"


def test_lifted_penalties_and_networks(key):
    net = fnn.mlp(3, 4, 2, penalty=fnn.l2(0.1))
    params, x, y = scatter(key, net.init(key)), jax.random.normal(key, (4, 3)), jnp.arange(4) % 2
    lifted = fnn.differentiable(net)
    fnn.prove(jax.grad(lambda p: lifted.loss(p, x, y)), lambda p: net.backward(p, x, y), params).assert_proved()
    penalty = fnn.differentiable(fnn.l2(0.3))
    fnn.prove(jax.grad(penalty.value), fnn.l2(0.3).gradient, params).assert_proved()


def test_lift_against_autodiff_of_the_plain_layer(key):
    lifted, plain = fnn.differentiable(fnn.layer_norm()), fnn.layer_norm()
    params, x = scatter(key, plain.init(key, (4,))), jax.random.normal(key, (2, 4))

    def gradient(layer):
        return jax.grad(lambda params, x: (layer.forward(params, x) ** 2).sum(), argnums=(0, 1))

    fnn.prove(gradient(lifted), gradient(plain), params, x).assert_proved()


def test_residual_against_its_sum(key):
    inner = fnn.serial(fnn.dense(3), fnn.tanh)
    layer = fnn.residual(inner)
    params, x = scatter(key, layer.init(key, (3,))), jax.random.normal(key, (4, 3))
    fnn.prove(layer.forward, lambda params, x: x + inner.forward(params, x), params, x).assert_proved()


def test_a_step_of_fit_many_is_a_step_for_each(key):
    net, optimizer = fnn.mlp(3, 4, 2), fnn.adam(0.01)
    params = jax.vmap(net.init)(jax.random.split(key, 2))
    x, y = jax.random.normal(key, (4, 3)), jnp.arange(4) % 2

    def step(params, x):
        updates, _ = optimizer.update(net.backward(params, x, y), optimizer.init(params), params)
        return fnn.apply_updates(params, updates)

    def singly(params, x):
        members = [step(jax.tree.map(lambda leaf, i=i: leaf[i], params), x) for i in range(2)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)

    fnn.prove(jax.vmap(step, in_axes=(0, None)), singly, params, x).assert_proved()


# ── optimizers against their papers ──────────────────────────────────────────────────────────────────────────────────
def _momentum(g, p, v):
    v = 0.9 * v + g
    return -0.1 * v, v


def _nesterov(g, p, v):
    v = 0.9 * v + g
    return -0.1 * (0.9 * v + g), v


def _rmsprop(g, p, v):
    v = 0.9 * v + (1 - 0.9) * g**2
    return -0.1 * g / (jnp.sqrt(v) + 1e-8), v


def _adagrad(g, p, v):
    v = v + g**2
    return -0.1 * g / (jnp.sqrt(v) + 1e-8), v


def _adam(g, p, m, v):
    m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
    t = 4
    return -0.1 * (m / (1 - jnp.asarray(0.9) ** t)) / (jnp.sqrt(v / (1 - jnp.asarray(0.999) ** t)) + 1e-8), m, v


def _adamw(g, p, m, v):
    update, m, v = _adam(g, p, m, v)
    return update - 0.1 * 0.02 * p, m, v


def _lion(g, p, m):
    return -0.1 * (jnp.sign(0.9 * m + (1 - 0.9) * g) + 0.05 * p), 0.99 * m + (1 - 0.99) * g


def _clipped(g, p):
    largest = jnp.abs(g).max()  # compared in units of it: two comparisons that are equal as formulas are one
    norm = jnp.sqrt(((g / largest) ** 2).sum())
    return (jnp.where(norm > 1.5 / largest, g * 1.5 / (norm * largest), g),)


PAPERS = {
    "sgd": (fnn.sgd(0.1), lambda g, p: (-0.1 * g,)),
    "momentum": (fnn.momentum(0.1), _momentum),
    "nesterov": (fnn.momentum(0.1, nesterov=True), _nesterov),
    "rmsprop": (fnn.rmsprop(0.1), _rmsprop),
    "adagrad": (fnn.adagrad(0.1), _adagrad),
    "adam": (fnn.adam(0.1), _adam),
    "adamw": (fnn.adamw(0.1, weight_decay=0.02), _adamw),
    "lion": (fnn.lion(0.1, weight_decay=0.05), _lion),
    "clip_by_value": (fnn.clip_by_value(0.5), lambda g, p: (jnp.maximum(-0.5, jnp.minimum(g, 0.5)),)),
    "clip_by_global_norm": (fnn.clip_by_global_norm(1.5), _clipped),
}


def _placed(leaf, is_moment, known):
    """A moment at any value, the fourth step; settings as they are."""
    if is_moment:
        return next(known)
    return jnp.asarray(3, leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.integer) else leaf


@pytest.mark.parametrize("name", PAPERS)
def test_optimizer_is_its_paper(name):
    optimizer, paper = PAPERS[name]
    draw = np.random.default_rng(0).normal
    p, g = ({"W": jnp.asarray(draw(size=(2, 3)))} for _ in range(2))
    like_p = [leaf.shape == p["W"].shape for leaf in jax.tree.leaves(optimizer.init(p))]
    moments = [jnp.asarray(np.abs(draw(size=p["W"].shape))) for is_moment in like_p if is_moment]

    def ours(g, p, moments):
        known = iter(moments)
        start, structure = jax.tree.flatten(optimizer.init(p))  # here, so that its numbers are those of float64
        state = jax.tree.unflatten(structure, [_placed(leaf, m, known) for leaf, m in zip(start, like_p, strict=True)])
        update, state = optimizer.update(g, state, p)
        after = [leaf for leaf, is_moment in zip(jax.tree.leaves(state), like_p, strict=True) if is_moment]
        return [update["W"], *after]

    def theirs(g, p, moments):
        return list(paper(g["W"], p["W"], *moments))

    fnn.prove(ours, theirs, g, p, moments).assert_proved()


def _newton_schulz(d):
    """The quintic iteration of Muon's page on a wide matrix, d / ‖d‖ first, lengths in units of the largest entry."""
    a, b, c = 3.4445, -4.7750, 2.0315
    largest = jnp.abs(d).max()
    x = d / largest
    x = x / jnp.sqrt((x * x).sum())
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


def test_muon_is_its_page():
    """M ← β M + G, θ ← θ − α (√max(1, d_out / d_in) NS(G + β M) + λ θ) for hidden matrices, SGD for the last one."""
    optimizer = fnn.muon(0.02, 0.9, 0.05, rest=fnn.sgd(0.1))
    draw = np.random.default_rng(0).normal
    like = {
        "1": fnn.DenseParams(draw(size=(2, 3)), draw(size=2)),
        "2": fnn.DenseParams(draw(size=(1, 2)), draw(size=1)),
    }
    p, g = (jax.tree.map(lambda leaf: jnp.asarray(draw(size=leaf.shape)), like) for _ in range(2))
    m = jnp.asarray(draw(size=(2, 3)))

    def ours(g, p, m):
        start = optimizer.init(p)
        state = start._replace(m=jax.tree.map(lambda _: m, start.m))
        updates, state = optimizer.update(g, state, p)
        return updates, jax.tree.leaves(state.m)

    def theirs(g, p, m):
        m = 0.9 * m + g["1"].W
        hidden = -0.02 * (_newton_schulz(g["1"].W + 0.9 * m) + 0.05 * p["1"].W)
        updates = jax.tree.map(lambda leaf: -0.1 * leaf, g)
        return updates | {"1": updates["1"]._replace(W=hidden)}, [m]

    fnn.prove(ours, theirs, g, p, m).assert_proved()


STEPS = np.arange(0, 13, 3, dtype=np.int32)


def _half_cosine(fall, final, t, steps):
    """Final + (α − final) (1 + cos(π t / T)) / 2, which is 1 − cos of what is left, for whoever does not know π."""
    left = (steps - np.minimum(t, steps)) / steps
    return final + fall * (1 - jnp.cos(math.pi * left)) / 2


SCHEDULES = {
    "constant": (fnn.constant_schedule(0.1), lambda n: jnp.broadcast_to(n, STEPS.shape)),
    "step": (fnn.step_decay(0.1, 0.5, 4), lambda n: n.rate * jnp.stack([n.factor ** int(t // 4) for t in STEPS])),
    "exponential": (fnn.exponential_decay(0.1, 0.5, 4), lambda n: n.rate * n.factor ** (STEPS / 4)),
    "cosine": (fnn.cosine_decay(0.1, 9, 0.02), lambda n: _half_cosine(n.fall, n.final, STEPS, 9)),
    "warmup": (
        fnn.warmup_cosine(0.1, 4, 11, 0.02),
        lambda n: jnp.where(
            STEPS < 4, n.slope * (STEPS + 1), _half_cosine(n.after.fall, n.after.final, np.maximum(STEPS, 4) - 4, 7)
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_its_formula(name):
    """For all rates and factors, at some steps."""
    schedule, formula = SCHEDULES[name]

    def ours(numbers):
        return schedule.rule(jax.tree.map(jnp.asarray, numbers), jnp.asarray(STEPS))

    fnn.prove(ours, formula, schedule.numbers).assert_proved()


def test_chain_is_one_after_the_other():
    both = fnn.chain(fnn.clip_by_value(0.5), fnn.momentum(0.1))
    g, p = (jnp.asarray(np.random.default_rng(i).normal(size=(2, 3))) for i in range(2))

    def theirs(g, p):
        return -0.1 * jnp.clip(g, -0.5, 0.5)

    fnn.prove(lambda g, p: both.update(g, both.init(p), p)[0], theirs, g, p).assert_proved()


# ── wrong variants ───────────────────────────────────────────────────────────────────────────────────────────────────
def _swapped(leaf):
    flat = leaf.reshape(-1)
    return jnp.concatenate([flat[1:2], flat[:1], flat[2:]]).reshape(leaf.shape)


WRONG = {
    "1 + 1e-12": lambda leaf: leaf * (1 + 1e-12),
    "1 - 1e-13": lambda leaf: leaf * (1 - 1e-13),
    "negated": lambda leaf: -leaf,
    "one entry lost": lambda leaf: leaf.at[(0,) * leaf.ndim].set(0.0),
    "two entries swapped": _swapped,
    "shifted by 1e-9": lambda leaf: leaf + 1e-9,
    "shifted by 1e-20": lambda leaf: leaf + 1e-20,
    "off by one": lambda leaf: jnp.roll(leaf, 1, axis=-1),
    "its positive part": lambda leaf: jnp.where(leaf > -1e-3, leaf, 0.0),
}
VARIANTS = [(row, name) for row in LAYERS for name in WRONG]


@pytest.mark.parametrize(("row", "wrong"), sample(VARIANTS, 41), ids=lambda value: getattr(value, "name", value))
def test_wrong_variant(row, wrong, key):
    """Never proved; unless it changes nothing, as where the gradient is 0."""

    def bwd(residuals, dy):
        dparams, dx = row.layer.bwd(residuals, dy)
        return dparams, WRONG[wrong](dx)

    proof = fnn.prove_layer(replace(row.layer, bwd=bwd), row.shape, n=row.n)
    params, x, dy = row.draw(key)
    _, residuals = row.layer.fwd(params, x, row.layer.init_state(row.shape), jax.random.key(0))
    _, dx = row.layer.bwd(residuals, dy)
    assert proof.verdict != "PROVED" or (WRONG[wrong](dx) == dx).all()


# ── how likely an error is ───────────────────────────────────────────────────────────────────────────────────────────
CHANCES = {
    "a difference": (lambda x, y: x - y, lambda x, y: 0 * x),
    "a power": (lambda x, y: x**16, lambda x, y: y**16),
    "exponentials": (lambda x, y: jnp.exp(x), lambda x, y: jnp.exp(y)),
    "exponentials within": (lambda x, y: jnp.exp(jnp.exp(x)), lambda x, y: jnp.exp(jnp.exp(y))),
    "products in exponents": (lambda x, y: jnp.exp(x * x) * jnp.exp(x), lambda x, y: jnp.exp(x * y)),
    "a sum of exponentials": (lambda x, y: jnp.exp(x * x) + jnp.exp(x), lambda x, y: jnp.exp(x * y) + jnp.exp(y)),
    "logarithms": (lambda x, y: jnp.log(x), lambda x, y: jnp.log(y)),
}


@pytest.mark.parametrize("name", CHANCES)
def test_errors_are_as_rare_as_the_bound_says(name):
    """In small fields different formulas agree often enough to be counted."""
    f, g = CHANCES[name]
    args = (jnp.full(2000, 0.7), jnp.full(2000, 0.4))
    arguments = arguments_of(args)
    cell = run_both((trace("f", f, arguments), trace("g", g, arguments)), arguments.point())
    agree, bound = agreements(cell, worlds=20, bits=9.0)
    assert agree <= 1.3 * bound + 1e-3


def agreements(cell, worlds, bits):
    """Share of entries that agree in one small world, and the bound on it."""
    from fnn.verify.proving.levels import highest, level_of, needs_of
    from fnn.verify.proving.primes import draw_chain
    from fnn.verify.proving.worlds import Worlds

    pair, source = (cell.results[0][0], cell.results[1][0]), random.Random(1)
    needs = needs_of(cell.tape, [pair])
    chains = [draw_chain(source, needs.length, bits) for _ in range(worlds)]
    level = level_of(highest(cell.tape), pair)
    kept = {}
    Worlds(chains, source, {}).run(
        cell.tape, needs, lambda node, at, element: kept.update({node.number: element[0]}) if at == level else None
    )
    agree = (kept[pair[0].number] == kept[pair[1].number]).mean()
    return agree, max(2 ** -needs.bits(chain.primes[-1]) for chain in chains)


def test_what_the_bound_takes_for_unknowns_is_said():
    """Without exponentials, logarithms and roots the bound is a theorem."""
    theorem = fnn.prove(lambda x: (x + 1) ** 2 / x, lambda x: x + 2 + 1 / x, X)
    assert theorem.ok
    assert not theorem.unknowns
    assert "unknowns" not in str(theorem)
    proof = fnn.prove(lambda x: jnp.exp(x) * jnp.sqrt(x * x + 1), lambda x: jnp.sqrt(1 + x * x) / jnp.exp(-x), X)
    assert proof.unknowns == ("exponentials", "roots")
    assert "2^-6" in str(proof)
    assert "exponentials and roots taken for unknowns" in str(proof)


def test_worlds_are_as_many_as_the_bound_takes():
    proof = fnn.prove(
        lambda x: jax.nn.standardize(x),
        lambda x: (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5),
        X,
    )
    assert proof.ok
    assert proof.worlds >= 60  # a root of a sum: its sign is a coin, one bit a world
    assert proof.error < -60
    arguments = arguments_of((X,))
    cell = run_both(
        (trace("f", jnp.sin, arguments), trace("g", lambda x: 2 * jnp.sin(x / 2) * jnp.cos(x / 2), arguments)),
        arguments.point(),
    )
    judgement = judge(cell, random.Random(0), {})
    assert judgement.difference is None
    assert judgement.bits >= 60


# ── what a proof says ────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_a_proof_prints():
    proof = fnn.prove(lambda x: jax.nn.softplus(x) - x, lambda x: jax.nn.softplus(-x), X, key=7)
    assert str(proof).startswith("PROVED: f and g are one function")
    assert "key=7" in str(proof)
    assert proof.entries == 12
    assert proof.ok
    assert fnn.prove(lambda x: jax.nn.softplus(x) - x, lambda x: jax.nn.softplus(-x), X, key=7) == proof


def test_a_difference_has_a_witness():
    proof = fnn.prove(lambda x: {"a": x, "b": 2 * x}, lambda x: {"a": x, "b": x * 2.000000000002}, X)
    assert proof.verdict == "DIFFERENT"
    assert proof.witness.leaf == "['b']"
    assert proof.witness.f != proof.witness.g
    with pytest.raises(AssertionError, match="DIFFERENT"):
        proof.assert_proved()


def test_assumptions_are_printed():
    proof = fnn.prove(lambda x: x * 0.1 * 10, lambda x: x, X)
    assert proof.assumptions == ("0.1 = 1/10",)
    gelu = fnn.prove_layer(fnn.gelu, (3,))
    assert any("√π" in assumption for assumption in gelu.assumptions)


def test_what_was_not_seen_is_named():
    proof = fnn.prove(lambda x: jnp.minimum(jnp.sin(x) ** 2, 2.0), lambda x: jnp.minimum(jnp.sin(x) ** 2, 2.0), X)
    assert proof.verdict == "PROVED"
    assert "min at" in proof.one_sided[0]
    alone = fnn.prove(lambda x: jnp.minimum(jnp.sin(x) ** 2, 2.0), lambda x: jnp.sin(x) ** 2, X)
    assert alone.verdict == "CANNOT TELL"


def test_a_primitive_without_a_reading_is_named():
    proof = fnn.prove(lambda x: jnp.linalg.eigvalsh(x.T @ x).sum(), lambda x: (x * x).sum(), X)
    assert proof.verdict == "CANNOT TELL"
    assert "eigh" in proof.says


def test_right_as_a_formula_but_unstable():
    z = jnp.array([1000.0, 0.0])
    proof = fnn.prove(lambda z: jnp.log(jnp.exp(z).sum()), jax.nn.logsumexp, z)
    assert proof.verdict == "CANNOT TELL"
    assert "unstable here" in proof.says


# ── gradients and rules ──────────────────────────────────────────────────────────────────────────────────────────────
def test_a_custom_rule_is_compared_with_what_it_wraps():
    @jax.custom_vjp
    def swish(x):
        return x * jax.nn.sigmoid(x)

    swish.defvjp(
        lambda x: (swish(x), x), lambda x, d: (d * (jax.nn.sigmoid(x) + x * jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)),)
    )
    fnn.prove_rule(swish, X).assert_proved()
    wrong = jax.custom_vjp(lambda x: x * jax.nn.sigmoid(x))
    wrong.defvjp(lambda x: (wrong(x), x), lambda x, d: (d * jax.nn.sigmoid(x),))
    assert fnn.prove_rule(wrong, X).verdict == "DIFFERENT"
    assert fnn.prove_rule(wrong, X, reference=jax.nn.silu).verdict == "DIFFERENT"
    with pytest.raises(ValueError, match="without; compare it with another one by reference="):
        fnn.prove_rule(jnp.sin, X)


def test_autodiff_goes_through_what_custom_rules_wrap():
    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (cube(x), x), lambda x, d: (d * 7,))
    proof = fnn.prove_gradient(lambda x: cube(x).sum(), lambda x: 3 * x * x, X)
    assert proof.ok
    assert "by its own rule" in proof.notes[0]
    assert fnn.prove_gradient(lambda x: cube(x).sum(), lambda x: 0 * x + 7, X).verdict == "DIFFERENT"


def test_a_backward_in_numpy_is_not_proved():
    proof = fnn.prove_gradient(lambda x: (x * x).sum(), lambda x: 2 * np.asarray(x), X)
    assert proof.verdict == "CANNOT TELL"
    assert "trace" in proof.says


def _solved_wrongly(b):
    return jax.lax.custom_linear_solve(lambda x: x / 2, b, lambda _, b: 2 * b, lambda _, b: 3 * b)


def _root_wrongly(a):
    return jax.lax.custom_root(lambda x: x * x - a, jnp.ones_like(a), lambda f, x: jnp.sqrt(a), lambda g, y: y / 7.0)


def _linear_wrongly(x):
    return jax.custom_derivatives.linear_call(lambda _, x: 2 * x, lambda _, x: 3 * x, (), x)


RULES_WITHIN = {
    "a solve": (_solved_wrongly, 3.0),
    "a root": (_root_wrongly, 1 / 7.0),
    "a linear function": (_linear_wrongly, 3.0),
    "a solve under jit": (jax.jit(_solved_wrongly), 3.0),
}


@pytest.mark.parametrize("name", RULES_WITHIN)
def test_a_wrong_rule_within_a_loss_is_not_adopted(name):
    function, slope = RULES_WITHIN[name]
    positive = jnp.abs(X) + 1
    proof = fnn.prove_gradient(lambda x: function(x).sum(), lambda x: jnp.full_like(x, slope), positive)
    assert proof.verdict != "PROVED"


def test_a_rule_under_remat_and_vmap_is_taken_out():
    @jax.custom_vjp
    def sine(x):
        return jnp.sin(x)

    sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, d: (d * (jnp.cos(x) + 1),))

    def loss(x):
        return jax.jit(jax.checkpoint(jax.vmap(sine)))(x).sum()

    assert fnn.prove_gradient(loss, lambda x: jnp.cos(x) + 1, X).verdict == "DIFFERENT"
    fnn.prove_gradient(loss, jnp.cos, X).assert_proved()


def test_solves_of_jax_solve():
    def loss(x):
        return jnp.trace(jnp.linalg.inv(x.T @ x + jnp.eye(2)))

    def backward(x):
        inverse = jnp.linalg.inv(x.T @ x + jnp.eye(2))
        return -2 * x @ inverse @ inverse

    fnn.prove_gradient(loss, backward, X[:, :2]).assert_proved()


def test_arguments_are_arrays():
    with pytest.raises(TypeError, match="close over what is none"):
        fnn.prove(lambda x, name: x, lambda x, name: x, X, "a name")
    with pytest.raises(TypeError, match="real and imaginary parts apart"):
        fnn.prove(lambda x: x, lambda x: x, X + 1j)


def test_a_proof_for_the_checkers_is_limited_by_size():
    from fnn.verify.proving.gradients import proof_of_gradient

    proof = proof_of_gradient(lambda x: (x * x).sum(), lambda x: 2 * x, (X,))
    assert proof.verdict == "PROVED"
    assert proof_of_gradient(lambda x: (x * x).sum(), lambda x: 2 * x, (X,), limit=10) is None
    assert proof_of_gradient(lambda x: np.sum(np.asarray(x)), lambda x: 2 * x, (X,)) is None
