"""The corpus of hand-written gradients: right where it says so, wrong where and only where it says so."""

import jax
import numpy as np
import pytest
from benchmark_functions import WORDS, is_about, mentioned_leaves
from functions_by_hand import FUNCTIONS, mistakes_of
from functions_by_hand.halves import development_half, pair_of
from functions_by_hand.planting import KINDS, Mistake, leaf_names, lines_about, plant, spoilt_leaves
from functions_by_hand.unusual import UNUSUAL

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
HALVES = {half: mistakes_of(half) for half in ("development", "held_out")}


@pytest.fixture(scope="module", params=FUNCTIONS, ids=lambda function: function.name)
def case(request):
    """A function, its arguments and its gradient by autodiff in float64."""
    function = request.param
    arguments = function.arguments(np.random.default_rng(0))
    with jax.enable_x64(True):
        return (
            function,
            arguments,
            jax.tree.map(np.asarray, jax.jit(jax.grad(function.loss), compiler_options=QUICKLY)(*arguments)),
        )


def errors(function, gradient, right):
    """The largest error of each leaf, relative to its largest entry."""
    assert jax.tree.structure(gradient) == jax.tree.structure(right)
    pairs = zip(leaf_names(function, right), jax.tree.leaves(gradient), jax.tree.leaves(right), strict=True)
    return {name: np.abs(np.asarray(mine) - its).max() / np.abs(its).max() for name, mine, its in pairs}


def test_right_gradients_agree_with_autodiff(case):
    function, arguments, right = case
    unusual = [backward for name, backward in UNUSUAL if name == function.name]
    with jax.enable_x64(True):
        for backward in (function.backward, *unusual):
            assert max(errors(function, backward(*arguments), right).values()) < 1e-9, backward.__name__


def test_mistakes_spoil_the_leaves_that_they_name_and_no_others(case):
    function, arguments, right = case
    with jax.enable_x64(True):
        for mistake in HALVES["development"][function.name] + HALVES["held_out"][function.name]:
            found = errors(function, plant(function, mistake)(*arguments), right)
            spoilt = spoilt_leaves(mistake, list(found))
            assert {name for name, error in found.items() if error > 1e-6} == spoilt, mistake
            assert all(error < 1e-9 for name, error in found.items() if name not in spoilt), mistake


def test_mistakes_are_about_lines_of_the_forward():
    for function in FUNCTIONS:
        for mistake in HALVES["development"][function.name] + HALVES["held_out"][function.name]:
            assert lines_about(function, mistake)
            assert mistake.kind in KINDS


def test_halves_are_as_drawn():
    for function in FUNCTIONS:
        names = {half: [mistake.name for mistake in every[function.name]] for half, every in HALVES.items()}
        together = names["development"] + names["held_out"]
        assert len(together) == len(set(together)) >= 7
        assert set(names["development"]) == development_half(function.name, together)
        for every in HALVES.values():
            assert len(pair_of(function, every[function.name])) == 2


def test_there_are_enough_of_them():
    assert len(FUNCTIONS) >= 50
    assert sum(len(mistakes) for every in HALVES.values() for mistakes in every.values()) >= 500
    assert set(WORDS) == set(KINDS)


def test_leaves_are_read_out_of_a_sentence():
    names = ["W", "gamma", "b"]
    assert mentioned_leaves("args[0]['W'] differs", names) == {"W"}
    assert mentioned_leaves("dW and dγ are 2 times too large: `b / n` (line 3); db is right", names) == {"W", "gamma"}
    assert mentioned_leaves("db1 lacks a path", names) == set()
    assert mentioned_leaves("args[0] is 2 times the right gradient", ["z"]) == {"z"}


def test_places_are_read_out_of_a_sentence():
    function = FUNCTIONS[0]
    mistake = Mistake("no-root-d", "", "", "factor", "Wq Wk", ("jnp.sqrt(q.shape[1])",))
    (line,) = lines_about(function, mistake)
    assert is_about(f"the division (line {line}) is missing", function, mistake)
    assert is_about("the division by `jnp.sqrt(q.shape[1])` is missing", function, mistake)
    assert is_about(f"the division (line {line + 1}) is missing", function, mistake) is False
    assert is_about("dWq differs", function, mistake) is None
