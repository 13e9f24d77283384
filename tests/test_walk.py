"""One walk through a tree of layers: places without data, visits with values, the same tree of other layers."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS

import fnn
from fnn.layers.unrolling import unrolled
from fnn.layers.walk import chains, combinators, everything, last_layer, outline, places, rebuilt, uses, visits

KEY = jax.random.key(0)
DEPTH = [case for case in LAYERS if case.name.startswith(("repeat", "serial"))]


@pytest.fixture(autouse=True)
def _exactly():
    with jax.enable_x64(True):
        yield


TREE = fnn.serial(
    fnn.flatten,
    fnn.serial(fnn.dense(4), fnn.relu),
    fnn.residual(fnn.serial(fnn.dense(4), fnn.tanh)),
    fnn.repeat(fnn.serial(fnn.dense(4), fnn.tanh), 3),
    fnn.dense(2),
)


@pytest.mark.parametrize(
    ("opens", "expected"),
    [
        (chains, "layers[0] layers[1][0] layers[1][1] layers[2] layers[3] layers[4]"),
        (combinators, "layers[0] layers[1][0] layers[1][1] layers[2][0] layers[2][1] layers[3] layers[4]"),
        (
            everything,
            "layers[0] layers[1][0] layers[1][1] layers[2][0] layers[2][1] layers[3][0] layers[3][1] layers[4]",
        ),
    ],
    ids=["chains", "combinators", "everything"],
)
@pytest.mark.parametrize(
    "form", [lambda layer: layer, fnn.mixed_precision, fnn.differentiable], ids=["plain", "bf16", "diff"]
)
def test_places(opens, expected, form):
    assert [place.where for place in places(form(TREE), opens)] == expected.split()


def test_visits_hold_what_passes_through():
    params, x = TREE.init(KEY, (2, 3)), jax.random.normal(KEY, (5, 2, 3))
    found = visits(TREE, params, x)
    assert [visit.name for visit in found][:2] == ["layers[0] (flatten)", "layers[1][0] (dense)"]
    for before, after in pairwise(found):
        np.testing.assert_array_equal(before.y, after.x)
    np.testing.assert_array_equal(found[-1].y, TREE.forward(params, x))
    assert found[1].params is params[1][0]


def test_loops_are_stacked_or_laid_out():
    params, x = TREE.init(KEY, (2, 3)), jax.random.normal(KEY, (5, 2, 3))
    stacked = {visit.where: visit for visit in visits(TREE, params, x, opens=everything)}
    assert stacked["layers[3][0]"].x.shape == (3, 5, 4)
    laid_out = {visit.where: visit for visit in visits(TREE, params, x, opens=everything, unroll=True)}
    for t in range(3):
        visit = laid_out[f"layers[3].passes[{t}][0]"]
        np.testing.assert_allclose(visit.y, stacked["layers[3][0]"].y[t], rtol=1e-9)
        np.testing.assert_array_equal(visit.params.W, params[3].stacked[0].W[t])


@pytest.mark.parametrize("case", DEPTH, ids=lambda case: case.name)
def test_unrolled_gives_the_same_numbers(case):
    params, x, dy = case.draw(KEY)
    state, flat = case.layer.init_state(case.shape), unrolled(case.layer)
    (y, new), kept = case.layer.fwd(params, x, state, KEY)
    (y2, new2), kept2 = flat.fwd(params, x, state, KEY)
    one, other = (y, new, case.layer.bwd(kept, dy)), (y2, new2, flat.bwd(kept2, dy))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), one, other)


def test_a_loop_in_a_constructor_of_ones_own_is_a_loop():
    @fnn.recipe
    def deep(width):
        return fnn.repeat(fnn.dense(width), 2)

    params = deep(3).init(KEY, (3,))
    assert len(visits(deep(3), params, jnp.ones((1, 3)), opens=everything, unroll=True)) == 2


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_rebuilding_of_the_same_layers_changes_nothing(case):
    assert rebuilt(case.layer, lambda place: place.layer) == case.layer


def test_a_combinator_of_ones_own_takes_part_through_children_and_rebuild():
    """Two branches added up: the walk knows nothing of how their parameters are kept."""

    def branches(one, other):
        def init(key, shape):
            return {"other": other.init(key, shape), "one": one.init(key, shape)}

        def fwd(params, x, state, key):
            (a, _), kept = one.fwd(params["one"], x, (), key)
            (b, _), kept_too = other.fwd(params["other"], x, (), key)
            return (a + b, state), {"z": kept, "a": kept_too}

        def bwd(kept, dy):
            grads, dx = one.bwd(kept["z"], dy)
            grads_too, dx_too = other.bwd(kept["a"], dy)
            return {"one": grads, "other": grads_too}, dx + dx_too

        def forward(params, x, state=()):
            return fwd(params, x, (), None)[0][0]

        return fnn.Layer(
            "branches", init, forward, fwd, bwd, children=(one, other), rebuild=lambda children: branches(*children)
        )

    layer = fnn.serial(branches(fnn.dense(3), fnn.serial(fnn.dense(3), fnn.relu)), fnn.dense(1))
    net = fnn.network(layer, fnn.mean_squared_error, input_shape=(2,))
    params, x = net.init(KEY), jax.random.normal(KEY, (4, 2))
    found = {visit.where: visit for visit in visits(layer, params, x, opens=combinators)}
    assert list(found) == ["layers[0].children[0]", "layers[0].children[1][0]", "layers[0].children[1][1]", "layers[1]"]
    assert found["layers[0].children[0]"].params is params[0]["one"]
    fnn.check(net, params, x, jnp.ones((4, 1))).assert_ok()
    assert [row.layer for row in fnn.summary(net).rows] == ["layers[0] branches", "layers[1] dense"]
    assert [row.layer for row in fnn.flow(net, params, x, jnp.ones((4, 1))).rows] == [
        "layers[0] (branches)",
        "layers[1] (dense)",
    ]


def test_outline_computes_nothing(compilations):
    found = outline(fnn.serial(fnn.conv2d(4), fnn.batch_norm(), fnn.flatten, fnn.dense(2)), (6, 6, 1))
    assert [visit.y.shape for visit in found] == [(2, 6, 6, 4), (2, 6, 6, 4), (2, 144), (2, 2)]
    assert not compilations()


def test_questions():
    assert last_layer(fnn.mixed_precision(TREE)) == fnn.dense(2)
    assert uses(fnn.serial(fnn.residual(fnn.mixed_precision(fnn.dense(2)))), fnn.mixed_precision)
    assert not uses(TREE, fnn.mixed_precision)
    assert uses(fnn.differentiable(TREE), fnn.repeat)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_is_lost_with_bfloat16(precision):
    """Diagram, histograms, loops and summary give for both what they give for float32."""
    one, net = fnn.mlp(3, 4, 2), fnn.mlp(3, 4, 2, precision=precision)
    params, x, y = one.init(KEY), jax.random.normal(KEY, (5, 3)), jnp.arange(5) % 2
    assert fnn.summary(net) == fnn.summary(one)
    jax.tree.map(np.testing.assert_array_equal, *(fnn.backward_by_loops(each, params, x, y) for each in (net, one)))
    for draw in (fnn.plots.network_diagram, lambda *a: fnn.plots.activation_histograms(*a, x)):
        texts = [
            [text.get_text() for ax in draw(each, params).axes for text in (*ax.texts, ax.title)] for each in (net, one)
        ]
        assert texts[0] == texts[1]
    assert replace(net.layer, name="other").plain == one.layer or precision == "float32"
