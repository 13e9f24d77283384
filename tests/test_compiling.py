"""Compiler options never change a result, and one that the compiler does not know never breaks anything."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import pytest

import fnn
from fnn.training import compiling
from fnn.training.steps import training_epoch

UNKNOWN = {"xla_option_of_another_version": True}


def test_an_unknown_option_is_dropped():
    known = tuple(compiling.TRAINING.items())
    assert compiling.usable((*known, *UNKNOWN.items())) == compiling.usable(known)
    assert compiling.compiled(lambda x: 2 * x, UNKNOWN)(3.0) == 6.0


def test_another_platform_gets_no_cpu_option(monkeypatch):
    asked = []
    monkeypatch.setattr(compiling, "usable", lambda options: asked.append(options) or ())
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    double = compiling.compiled(lambda x: 2 * x, compiling.TRAINING)
    assert double(3.0) == 6.0  # compiled where jax compiles what lies nowhere yet
    assert not asked
    assert double(jnp.float32(3.0)) == 6.0  # lies on a CPU, whatever the default is
    assert asked


def test_options_reach_the_compiler():
    assert compiling.usable(tuple(compiling.TRAINING.items())), "this jaxlib no longer knows the option: measure anew"


def test_a_function_with_options_works_within_other_transformations():
    double = compiling.compiled(lambda x: 2 * x, compiling.TRAINING)
    assert jax.jit(double)(3.0) == 6.0
    assert jax.vmap(double)(jnp.ones(2)).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("n", [60, 64])
def test_float32_epochs_are_bit_identical_with_and_without_options(n, key):
    net, optimizer = fnn.mlp(6, 9, 4), fnn.momentum(0.1)
    x, y = jax.random.normal(key, (n, 6)), jax.random.randint(key, (n,), 0, 4)
    state = fnn.init_train_state(net, optimizer, key)
    plain = jax.jit(partial(training_epoch, net, optimizer.update, 16))(state, x, y, None)
    tuned = fnn.make_train_epoch(net, optimizer, 16)(state, x, y)
    chex.assert_trees_all_equal(plain[0].params, tuned[0].params)
    chex.assert_trees_all_equal(plain[1], tuned[1])


@pytest.mark.parametrize(
    ("widths", "precision", "examples", "elementwise"),
    [
        ((784, 128, 10), "float32", 32, False),
        ((784, 128, 10), "bfloat16", 32, True),
        ((784, 512, 512, 10), "bfloat16", 128, True),
        ((1024,) * 5, "bfloat16", 1024, False),
    ],
    ids=str,
)
def test_options_are_chosen_by_shape_and_precision(widths, precision, examples, elementwise):
    options = compiling.training_options(fnn.mlp(*widths, precision=precision), examples)
    assert options.keys() == (compiling.TRAINING.keys() | (compiling.ELEMENTWISE.keys() if elementwise else set()))
