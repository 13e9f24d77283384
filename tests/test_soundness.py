"""The checker's word holds: no trap that is wrong is called OK, none that is right WRONG."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES
from traps import OK, TRAPS, WRONG

import fnn
from fnn.verify.oracles import as_float64, precise

WHOLE = os.environ.get("FNN_WHOLE") == "1"
QUICK = [trap for i, trap in enumerate(TRAPS) if WHOLE or i % 4 == 0]


def test_names_differ_and_there_are_enough():
    assert len({trap.name for trap in TRAPS}) == len(TRAPS)
    assert len(TRAPS) >= 200


@pytest.mark.parametrize("trap", QUICK, ids=lambda trap: trap.name)
def test_traps(trap):
    report = fnn.check_gradient(trap.loss, trap.backward, *trap.args, **trap.keywords)
    assert report.verdict in ({trap.verdict, "CANNOT TELL"} if trap.why else {trap.verdict}), report
    assert trap.says in str(report), report


# Every rule of the library, at a random point and on its kinks, with an error in one random entry of one random leaf


def layer_point(case, at_kinks):
    """A layer as a scalar function with its gradient by hand; at kinks every other input is 0."""
    layer, key = case.layer, jax.random.key(0)
    params, x, dy = case.draw(key)
    x = jnp.asarray(x).at[::2].set(0.0) if at_kinks else x
    state = layer.init_state(case.shape)

    def loss(at, dy, state, key):
        return (layer.fwd(*at, state, key)[0][0] * dy).sum()

    def backward(at, dy, state, key):
        return layer.bwd(layer.fwd(*at, state, key)[1], dy)

    return loss, jax.jit(backward), ((params, x), dy, state, key)


def loss_point(case, at_kinks):
    z, y, weights = case.draw(jax.random.key(0))
    z, y = jnp.asarray(z), jnp.asarray(y)
    if at_kinks and not case.on_probabilities and y.shape == z.shape:
        z = z.at[::2].set(y[::2].astype(z.dtype))

    def loss(z, y, weights):
        return case.loss.fwd(z, y, weights)[0]

    def backward(z, y, weights):
        value, residuals = case.loss.fwd(z, y, weights)
        return case.loss.bwd(residuals, jnp.ones_like(value))

    return loss, jax.jit(backward), (z, y, weights)


RULES = [(case, layer_point) for case in LAYERS] + [(case, loss_point) for case in LOSSES]
RULES = [(case, draw, at_kinks) for case, draw in RULES for at_kinks in (False, True)]
CHOSEN = RULES if WHOLE else RULES[5::13]


@pytest.mark.parametrize(
    ("case", "draw", "at_kinks"), CHOSEN, ids=[f"{c.name}-{'at-kinks' if k else 'off-kinks'}" for c, _, k in CHOSEN]
)
def test_rules(case, draw, at_kinks):
    loss, backward, args = draw(case, at_kinks)
    report = fnn.check_gradient(loss, backward, *args)
    assert report.verdict == OK, report
    with precise():
        leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, backward(*as_float64(args))))
    random = np.random.default_rng(0)
    for size in (1e-8, 1e-6, 1e-3, 1.0) if of_some_size(leaves) else ():
        chosen = int(random.choice(of_some_size(leaves)))
        wrong = np.array(leaves[chosen])
        entry = tuple(random.integers(0, d) for d in wrong.shape)
        wrong[entry] += size * np.abs(wrong).max() * random.choice([-1, 1])
        spoilt = jax.tree.unflatten(structure, [*leaves[:chosen], wrong, *leaves[chosen + 1 :]])
        report = fnn.check_gradient(loss, lambda *_, spoilt=spoilt: spoilt, *args)
        assert report.verdict == WRONG or within_a_kink(report, at_kinks, size), (size, entry, report)


def of_some_size(leaves):
    """Leaves that are not 0 but for rounding, as the bias in front of batch_norm is."""
    largest = [np.abs(leaf).max(initial=0) for leaf in leaves]
    return [i for i, size in enumerate(largest) if size > 1e-9 * max(largest)]


def within_a_kink(report, at_kinks, size):
    """An error in the gradient of a unit on its kink may be another subgradient, if it is large enough to be seen."""
    return at_kinks and report.verdict != WRONG and any("kink" in leaf.reason for leaf in report.leaves)
