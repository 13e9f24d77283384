"""What was chosen for CPUs is chosen on CPUs only: programs lowered for other platforms hold none of it."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import fnn
from fnn.training.shuffling import permutation
from fnn.training.steps import training_epoch, training_step

OTHERS = ("cuda", "rocm", "tpu")
KEY = jax.random.key(0)
X, Y = jnp.ones((64, 6)), jnp.zeros(64, int)
NET = fnn.mlp(6, 8, 8, 3, precision="bfloat16")
OPTIMIZER = fnn.adam(0.1)
STATE = fnn.init_train_state(NET, OPTIMIZER, KEY)
SINGLE = "LayoutConstraint", "optimization_barrier"

# name: a function, its arguments, and what of a CPU's choices is in its program
PROGRAMS = {
    "rule": (NET.layer.bwd, (NET.layer.fwd(STATE.params, X, STATE.state, None)[1], jnp.ones((64, 3))), SINGLE),
    "step": (partial(training_step, NET, OPTIMIZER.update), (STATE, X, Y, None), SINGLE),
    "epoch": (partial(training_epoch, NET, OPTIMIZER.update, 16), (STATE, X, Y, None), (*SINGLE, "shift_left")),
    "many": (
        jax.vmap(partial(training_step, NET, OPTIMIZER.update), in_axes=(0, None, None, None)),
        (jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), STATE), X, Y, None),
        SINGLE,
    ),
    "order": (lambda key: permutation(key, 50), (KEY,), ("shift_left",)),
}


def lowered(function, arguments, platform):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def sorts(text):
    """How many arrays each sort of a program sorts: keys with their positions, or both in one integer."""
    return [
        line.split('"stablehlo.sort"(')[1].split(")")[0].count("%") for line in text.splitlines() if 'sort"(' in line
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_cpu_choices_are_gone_elsewhere(name):
    function, arguments, choices = PROGRAMS[name]
    single = [word for word in choices if word in SINGLE]
    here = lowered(function, arguments, "cpu")
    assert all(word in here for word in single)
    for platform in OTHERS:
        text = lowered(function, arguments, platform)
        assert not any(word in text for word in single), platform
        if "shift_left" in choices:
            assert set(sorts(here)) == {1}
            assert set(sorts(text)) == {2}, platform
