"""Loops over layers, laid out: the same gradient, and mistakes in their body are named like any other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.verify.forward_pass import build_chain
from fnn.verify.laying_out import laid_out, rolled
from fnn.verify.mistakes.catalogue import all_mutants, planted, planted_mutants
from fnn.verify.oracles import as_float64, precise

S, R = fnn.serial, fnn.residual
NESTED = fnn.network(
    S(
        fnn.dense(4),
        fnn.repeat(S(R(S(fnn.dense(4), fnn.tanh)), fnn.dropout(0.3), fnn.repeat(fnn.dense(4), 2), fnn.batch_norm()), 3),
        fnn.dense(2),
    ),
    fnn.softmax_cross_entropy,
    input_shape=(5,),
    penalty=fnn.l2(0.1),
)


def net_with(body, times=3):
    return fnn.network(
        S(fnn.dense(4), fnn.gelu, fnn.repeat(R(body), times), fnn.dense(2)), fnn.huber(0.8), input_shape=(3,)
    )


def test_the_gradient_is_the_same(key):
    x, y = jax.random.normal(key, (6, 5)), jnp.arange(6) % 2
    with precise():
        arguments = as_float64((NESTED.init(key), x, y, {"state": NESTED.init_state(), "key": key}))
        params, x, y, keywords = arguments
        chain = build_chain(NESTED, *arguments, unroll=True)
        assert len(chain.steps) == 2 + 3 * 8
        gradient = jax.tree.unflatten(jax.tree.structure(chain.params), chain.gradient())
        expected = NESTED.backward(params, x, y, **keywords)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), rolled(gradient), expected)
        jax.tree.map(np.testing.assert_array_equal, rolled(laid_out(NESTED.layer, params)), params)


def test_mistakes_in_the_body_are_named(key):
    net = net_with(S(fnn.dense(4), fnn.sigmoid))
    point = fnn.good_point(net, key)
    with precise():
        mutants = all_mutants(build_chain(net, *as_float64((*point, {})), unroll=True))
    inside = [mutant for mutant in mutants if ".passes[" in mutant.where]
    assert {mutant.where.split(" ")[0] for mutant in inside} >= {
        "layers[2].passes[0][1]",
        "layers[2].passes[1][0]",
        "layers[2].passes[:][1]",
    }
    for mutant in inside[::5]:
        report = fnn.check(net, *point, planted_mutants(net, mutant))
        assert [(c.mistake, c.where) for c in report.causes] == [(mutant.mistake, mutant.where)], mutant.sentence


def test_a_rule_that_is_wrong_in_every_pass_is_one_mistake(key):
    forgetful = fnn.stateless(
        "sigmoid", fnn.no_params, lambda _, z: (fnn.sigmoid(z), fnn.sigmoid(z)), lambda a, da: ((), da)
    )
    net, mine = net_with(S(fnn.dense(4), fnn.sigmoid)), net_with(S(fnn.dense(4), forgetful))
    report = fnn.check(net, *fnn.good_point(net, key), backward=mine.backward)
    assert report.diagnosis.startswith("activation derivative missing at layers[2].passes[:][1] (sigmoid)")
    assert report.diagnosis.endswith("and so in each of the 3 passes")


def test_a_loop_of_one_pass(key):
    net = net_with(S(fnn.dense(4), fnn.tanh), times=1)
    report = fnn.check(net, *fnn.good_point(net, key), planted(net, "bias-missing", "layers[2].passes[0][0] (dense)"))
    assert [cause.where for cause in report.causes] == ["layers[2].passes[0][0] (dense)"]


def test_what_is_said_of_every_pass_holds_for_every_pass(key):
    """A body of two dense layers has mistakes that can't be made in the first or the last pass."""
    net = net_with(S(fnn.dense(4), fnn.tanh, fnn.dense(4)))
    with precise():
        mutants = all_mutants(build_chain(net, *as_float64((*fnn.good_point(net, key), {})), unroll=True))
    together = [mutant for mutant in mutants if "passes[:]" in mutant.where]
    assert together
    assert all(mutant.sentence.endswith("each of the 3 passes") for mutant in together)
    assert all(len(mutant.steps) == 3 for mutant in together)


def test_loops_that_the_checker_can_not_see_into_are_one_layer(key):
    """Within somebody's combinator, or under another name; and a layer that is called repeat but is none."""
    loop = fnn.repeat(fnn.dense(4), 2)
    wrapped = fnn.Layer("wrapped", loop.init, loop.forward, loop.fwd, loop.bwd, loop.init_state, (loop,))
    impostor = replace(fnn.dense(4), name="repeat")
    for layer in (wrapped, replace(loop, name="blocks"), impostor):
        net = fnn.network(S(fnn.dense(4), layer, fnn.dense(2)), fnn.huber(), input_shape=(3,))
        point = net.init(key), jax.random.normal(key, (4, 3)), jnp.ones((4, 2))
        report = fnn.check(net, *point, lambda *batch, net=net: jax.tree.map(jnp.sin, net.backward(*batch)))
        assert report.verdict == "WRONG"


def test_it_can_be_planted_by_name(key):
    net = net_with(S(fnn.dense(4), fnn.tanh))
    point = fnn.good_point(net, key)
    backward = planted(net, "activation-derivative-missing", "layers[2].passes[1][1] (tanh)")
    assert fnn.check(net, *point, backward=backward).causes[0].where == "layers[2].passes[1][1] (tanh)"
    with pytest.raises(ValueError, match=r"sign at the loss"):
        planted(net, "sign", "nowhere")(*point)


def test_a_long_loop_is_located(key):
    net = fnn.network(S(fnn.dense(3), fnn.repeat(fnn.dense(3), 100), fnn.dense(2)), fnn.huber(), input_shape=(3,))
    params, x, y = net.init(key), jax.random.normal(key, (4, 3)), jnp.ones((4, 2))

    def backward(params, x, y):
        first, loop, last = net.backward(params, x, y)
        W = loop.stacked.W.at[40].multiply(3)
        return first, fnn.RepeatParams(loop.stacked._replace(W=W)), last

    report = fnn.check(net, params, x, y, backward=backward)
    assert report.verdict == "WRONG"
    assert not report.causes
    assert "layers[1].stacked.W" in report.diagnosis
