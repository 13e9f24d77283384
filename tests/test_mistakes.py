"""Every mistake of the catalogue is caught and named; other mistakes are caught and never given a wrong name."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.verify.forward_pass import build_chain
from fnn.verify.matching import coinciding, explained
from fnn.verify.mistakes.catalogue import CATALOGUE, all_mutants, planted, planted_mutants
from fnn.verify.oracles import as_float64, precise

S, R = fnn.serial, fnn.residual
IMAGES = S(fnn.conv2d(3), fnn.relu, fnn.max_pool(2), fnn.conv2d(2, kernel=2, padding="VALID"), fnn.tanh)
BLOCK = R(S(fnn.dense(4), fnn.gelu, fnn.dense(5)))
NETS = {
    "relu": fnn.mlp(5, 4, 6, 3, penalty=fnn.l2(0.1)),
    "mixed": fnn.mlp(3, 4, 4, 2, activation=(fnn.sigmoid, fnn.elu(1.5)), loss=fnn.sigmoid_cross_entropy),
    "linear": fnn.mlp(4, 3, loss=fnn.half_mean_squared_error, penalty=fnn.l1(0.3)),
    "softmax-layer": fnn.network(S(fnn.flatten, fnn.dense(4), fnn.softmax), fnn.cross_entropy, input_shape=(3, 2)),
    "norms": fnn.network(
        S(fnn.dense(4), fnn.batch_norm(), fnn.prelu(), fnn.dropout(0.4), fnn.dense(4), fnn.layer_norm(), fnn.dense(3)),
        fnn.softmax_cross_entropy,
        input_shape=(5,),
    ),
    "skips": fnn.network(
        S(
            fnn.dense(5),
            R(S(fnn.dense(4), fnn.gelu, fnn.dense(5))),
            fnn.repeat(R(S(fnn.dense(5), fnn.tanh)), 2),
            fnn.dense(2),
        ),
        fnn.huber(0.8),
        input_shape=(5,),
    ),
    "images": fnn.network(
        S(IMAGES, fnn.average_pool(2), fnn.flatten, fnn.dense(3)), fnn.mean_squared_error, input_shape=(7, 6, 2)
    ),
}


def keywords_of(net):
    state = net.init_state()
    return {"key": jax.random.key(3)} | ({"state": state} if jax.tree.leaves(state) else {})


def mutants_of(net, point, keywords):
    with precise(), np.errstate(all="ignore"):
        params, x, y, keywords = as_float64((*point, keywords))
        return all_mutants(build_chain(net, params, x, y, keywords))


def in_float32(backward):
    """The same backward, as a kernel that knows float32 alone."""

    def single(params, x, y, **keywords):
        if np.asarray(x).dtype != np.float32:
            raise TypeError("float32 only")
        return jax.tree.map(np.float32, backward(params, x, y, **keywords))

    return single


@pytest.mark.parametrize("name", NETS)
def test_every_mistake_is_caught_and_named(name):
    """Every other mutant in float64, every sixth in float32 too; `examples/benchmark_checker.py` takes them all."""
    net = NETS[name]
    keywords = keywords_of(net)
    point = fnn.good_point(net, jax.random.key(5), state=keywords.get("state", ()), dropout_key=keywords["key"])
    assert fnn.check(net, *point, **keywords).ok
    mutants = {(m.mistake, m.where): m for m in mutants_of(net, point, keywords)}.values()
    for i, mutant in enumerate(list(mutants)[::2]):
        for wrap in (lambda f: f, in_float32)[: 2 if i % 3 == 0 else 1]:
            report = fnn.check(net, *point, wrap(planted_mutants(net, mutant)), **keywords)
            assert report.verdict == "WRONG", mutant.sentence
            assert [(c.mistake, c.where) for c in report.causes] == [(mutant.mistake, mutant.where)], mutant.sentence
            assert mutant.title.split(",")[0] in report.diagnosis


def test_the_nets_above_hold_every_mistake():
    held = set()
    for net in NETS.values():
        keywords = keywords_of(net)
        point = fnn.good_point(net, jax.random.key(5), state=keywords.get("state", ()), dropout_key=keywords["key"])
        held |= {mutant.mistake for mutant in mutants_of(net, point, keywords)}
        n = len(point.x)
        held |= {m.mistake for m in mutants_of(net, point, keywords | {"weights": jnp.arange(1.0, n + 1)})}
    assert held == {mistake.id for mistake in CATALOGUE}


# Mistakes of other kinds: caught, and never named with confidence


def tree(net, change):
    """Change the right gradient: (params, x, y, gradient) -> gradient."""
    backward = jax.jit(net.backward)
    return lambda params, x, y: change(params, x, y, backward(params, x, y))


def through(net, layer):
    """The gradient of the network with another layer in the place of its chain."""
    return jax.jit(fnn.network(layer, net.criterion, input_shape=net.input_shape).backward)


def _pair(activation, z):
    (a, _), _ = activation.fwd((), z, (), None)
    return a, (a, z)


NET = fnn.mlp(5, 4, 6, 3, activation=fnn.tanh)
BACKWARD = jax.jit(NET.backward)


def with_tanh(bwd):
    """NET with another backward for its tanh: (a, z, da) -> dz."""
    tanh = fnn.stateless("tanh", fnn.no_params, lambda _, z: _pair(fnn.tanh, z), lambda kept, da: ((), bwd(*kept, da)))
    return through(NET, S(fnn.dense(4), tanh, fnn.dense(6), tanh, fnn.dense(3)))


def at(i, **fields):
    """Change fields of one layer's gradient: each a function of its right value."""

    def change(params, x, y, grads):
        new = grads[i]._replace(**{name: f(getattr(grads[i], name)) for name, f in fields.items()})
        return (*grads[:i], new, *grads[i + 1 :])

    return tree(NET, change)


OUTSIDE = {
    "one entry wrong": at(0, W=lambda W: W.at[1, 2].mul(1.5)),
    "one row zero": at(2, W=lambda W: W.at[3].set(0)),
    "one column doubled": at(2, W=lambda W: W.at[:, 1].mul(2)),
    "rows rotated": at(2, W=lambda W: jnp.roll(W, 1, axis=0)),
    "columns reversed": at(4, W=lambda W: W[:, ::-1]),
    "bias shifted": at(0, b=lambda b: b + 0.01),
    "bias absolute": at(4, b=jnp.abs),
    "clipped": at(4, W=lambda W: jnp.clip(W, -0.05, 0.05)),
    "rounded to bfloat16": at(0, W=lambda W: W.astype(jnp.bfloat16).astype(W.dtype)),
    "factor 0.9": at(0, W=lambda W: 0.9 * W),
    "factor 1.001 everywhere": tree(NET, lambda p, x, y, g: jax.tree.map(lambda leaf: 1.001 * leaf, g)),
    "normalized to length 1": tree(
        NET,
        lambda p, x, y, g: jax.tree.map(lambda leaf: leaf / jnp.sqrt(sum((q**2).sum() for q in jax.tree.leaves(g))), g),
    ),
    "noise of 1e-4": tree(NET, lambda p, x, y, g: jax.tree.map(lambda v: v + 1e-4 * jnp.sin(1e4 * v), g)),
    "weight decay not in the loss": tree(NET, lambda p, x, y, g: jax.tree.map(lambda v, w: v + 1e-3 * w, g, p)),
    "ε added to the slope": with_tanh(lambda a, z, da: da * (1 - a * a + 1e-3)),
    "1 − a": with_tanh(lambda a, z, da: da * (1 - a)),
    "1 + a²": with_tanh(lambda a, z, da: da * (1 + a * a)),
    "slope of the batch mean": with_tanh(lambda a, z, da: da * (1 - a * a).mean(axis=0, keepdims=True)),
    "straight-through sign": with_tanh(lambda a, z, da: da * (jnp.abs(z) < 1)),
    "first unit skipped": with_tanh(lambda a, z, da: (da * (1 - a * a)).at[:, 0].set(0)),
    "gradient clipped at each layer": with_tanh(lambda a, z, da: jnp.clip(da * (1 - a * a), -0.02, 0.02)),
    "first two examples only": lambda p, x, y: BACKWARD(p, x[:2], y[:2]),
    "every other example": lambda p, x, y: BACKWARD(p, x[::2], y[::2]),
    "inputs doubled": lambda p, x, y: BACKWARD(p, 2 * x, y),
    "labels smoothed": lambda p, x, y: BACKWARD(p, x, fnn.smooth_labels(jnp.eye(3, dtype=x.dtype)[y], 0.1)),
    "weights a step ahead": lambda p, x, y: BACKWARD(
        jax.tree.map(lambda w, g: w - 0.1 * g, p, BACKWARD(p, x, y)), x, y
    ),
    "biases ignored in the forward pass": lambda p, x, y: BACKWARD(
        tuple(q._replace(b=0 * q.b) if q else q for q in p), x, y
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_mistakes_outside_the_catalogue_are_caught_and_not_misnamed(name):
    report = fnn.check(NET, *fnn.good_point(NET, jax.random.key(7)), OUTSIDE[name])
    assert report.verdict == "WRONG"
    assert report.causes == ()
    assert report.diagnosis.startswith("No known mistake gives these numbers.")


PAIRS = [
    (("mean-missing", "the loss (softmax_cross_entropy)"), ("activation-derivative-missing", "layers[1] (tanh)")),
    (("activation-derivative-missing", "layers[3] (tanh)"), ("bias-missing", "layers[0] (dense)")),
    (("dw-transposed", "layers[4] (dense)"), ("dx-transposed", "layers[2] (dense)")),
    (("factor-two", "the loss (softmax_cross_entropy)"), ("divided-by-outputs", "the loss (softmax_cross_entropy)")),
    (("softmax-axis", "the loss (softmax_cross_entropy)"), ("derivative-at-a", "layers[1] (tanh)")),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0][0]}+{pair[1][0]}")
def test_two_mistakes_at_once_are_both_named(pair):
    point = fnn.good_point(NET, jax.random.key(7))
    mutants = {(m.mistake, m.where): m for m in mutants_of(NET, point, {})}
    report = fnn.check(NET, *point, planted_mutants(NET, *(mutants[name] for name in pair)))
    assert {(c.mistake, c.where) for c in report.causes} == set(pair)
    assert "; and " in report.diagnosis


# Ambiguity


def test_causes_that_coincide_are_told_apart_elsewhere(key):
    """With n = c = 3 a missing 1/n and a factor c are the same number: the backward is asked again at another point."""
    net = fnn.mlp(4, 5, 3)
    params, x, y = net.init(key), jax.random.normal(key, (3, 4)), np.array([0, 1, 2])
    report = fnn.check(net, params, x, y, planted(net, "times-outputs"))
    assert [cause.mistake for cause in report.causes] == ["times-outputs"]
    assert report.alternatives == ()


def test_causes_that_can_not_be_told_apart_are_all_listed(key):
    net = fnn.mlp(4, 5, 3)
    params, x, y = net.init(key), jax.random.normal(key, (3, 4)), np.array([0, 1, 2])
    grads = planted(net, "times-outputs")(params, x, y)
    report = fnn.check(net, params, x, y, lambda *batch: grads)
    assert {cause.mistake for cause in (*report.causes, *report.alternatives)} >= {"times-outputs", "mean-missing"}
    assert report.diagnosis.startswith("either ")


def test_a_learning_rate_is_found_from_the_gradient(key):
    def mine(params, x, y):
        (W1, b1), _, (W2, b2) = params
        z1 = x @ W1.T + b1
        a1 = jnp.tanh(z1)
        dz2 = (jax.nn.softmax(a1 @ W2.T + b2) - jnp.eye(3)[y]) / len(x)
        dW2, db2 = dz2.T @ a1, dz2.sum(0)
        W2 = W2 - 0.37 * dW2  # too early
        dz1 = (dz2 @ W2) * (1 - a1**2)
        return fnn.DenseParams(dz1.T @ x, dz1.sum(0)), (), fnn.DenseParams(dW2, db2)

    net = fnn.mlp(4, 5, 3, activation=fnn.tanh)
    report = fnn.check(net, *fnn.good_point(net, key), mine)
    assert [cause.mistake for cause in report.causes] == ["weights-updated"]
    assert "with α = 0.37" in report.diagnosis


def test_planting_what_a_network_can_not_hold():
    net = fnn.mlp(4, 3)
    with pytest.raises(ValueError, match=r"expected a mistake that this network can hold, got wrong-layer.*one of "):
        planted(net, "wrong-layer")(*fnn.good_point(net, jax.random.key(0)))


def test_memory_does_not_grow_with_the_number_of_mutants(key):
    net = fnn.mlp(200, 64, 64, 64, 10)
    with precise():
        point = as_float64((net.init(key), jax.random.normal(key, (8, 200)), jnp.arange(8) % 10))
        chain = build_chain(net, *point, {})
        wrong = [1.01 * leaf for leaf in chain.gradient()]
        coinciding(chain)
        tracemalloc.start()
        coinciding(chain)
        assert explained(chain, wrong, 1e-9) is None
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(all_mutants(chain)) > 100
    assert peak < 10 * sum(leaf.nbytes for leaf in wrong)
