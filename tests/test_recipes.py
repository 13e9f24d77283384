"""A recipe knows how it was made: repr, equality, hash and pickle follow from the constructor and its arguments."""

import copy
import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES

import fnn
from fnn.recipes import arguments_of, rule_of


def square_fwd(params, x):
    return x * x, x


def square_bwd(x, dy):
    return (), 2 * x * dy


def network(layer, loss=fnn.mean_squared_error, **keywords):
    return fnn.network(layer, loss, input_shape=(3,), **keywords)


NETWORKS = {
    "mlp": fnn.mlp(3, 4, 2),
    "mlp-bfloat16": fnn.mlp(3, 4, 2, precision="bfloat16", activation=fnn.elu(0.5)),
    "penalty": network(fnn.dense(2, initializer=fnn.initializers.normal(0.1)), penalty=fnn.l2(1e-4)),
    "differentiable": fnn.differentiable(fnn.mlp(3, 2)),
    "huber": network(fnn.serial(fnn.dense(2, use_bias=False), fnn.dropout(0.5)), fnn.summed(fnn.huber(0.5))),
    "initializers": network(
        fnn.serial(
            fnn.dense(3, initializer=fnn.initializers.orthogonal),
            fnn.dense(2, initializer=fnn.initializers.constant(0.5)),
        )
    ),
}
BUILT_IN = (
    [pytest.param(case.layer, id=case.name) for case in LAYERS]
    + [pytest.param(case.loss, id=case.name) for case in LOSSES]
    + [pytest.param(penalty, id=repr(penalty)) for penalty in PENALTIES]
    + [pytest.param(net, id=name) for name, net in NETWORKS.items()]
)


@pytest.mark.parametrize("made", BUILT_IN)
def test_repr_is_the_expression_that_makes_it(made):
    again = eval(repr(made), {"fnn": fnn})
    assert again == made
    assert hash(again) == hash(made)
    assert repr(again) == repr(made)


@pytest.mark.parametrize("made", BUILT_IN)
def test_a_pickle_is_equal(made):
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (fnn.dense(np.int64(128)), "fnn.dense(128)"),
        (fnn.dense(n_out=2, use_bias=False), "fnn.dense(2, use_bias=False)"),
        (fnn.leaky_relu(), "fnn.leaky_relu()"),
        (fnn.leaky_relu(0.01), "fnn.leaky_relu()"),
        (fnn.leaky_relu(np.float64(0.1)), "fnn.leaky_relu(0.1)"),
        (fnn.conv2d(8, padding="VALID"), "fnn.conv2d(8, padding='VALID')"),
        (fnn.conv2d(8, [5, 5], 2), "fnn.conv2d(8, (5, 5), 2)"),
        (
            fnn.dense(2, initializer=fnn.initializers.xavier_normal),
            "fnn.dense(2, initializer=fnn.initializers.xavier_normal)",
        ),
        (
            fnn.stateless("square", fnn.no_params, square_fwd, square_bwd),
            "fnn.stateless('square', fnn.no_params, square_fwd, square_bwd)",
        ),
        (fnn.mlp(3, 2), "fnn.network(fnn.serial(fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))"),
        (replace(fnn.relu, name="mine"), "mine"),
    ],
    ids=str,
)
def test_repr(made, shown):
    assert repr(made) == shown


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (fnn.dense(3), fnn.dense(4)),
        (fnn.dense(3), fnn.dense(3, use_bias=False)),
        (fnn.leaky_relu(0.1), fnn.leaky_relu(0.2)),
        (fnn.relu, fnn.tanh),
        (fnn.relu, replace(fnn.relu, bwd=fnn.tanh.bwd)),
        (fnn.dense(3), replace(fnn.dense(3), name="dense")),
        (fnn.l1(0.1), fnn.l2(0.1)),
        (fnn.huber(1.0), fnn.huber(2.0)),
        (fnn.mlp(3, 2), fnn.mlp(3, 2, penalty=fnn.l2(0.1))),
        (fnn.mean_squared_error, fnn.half_mean_squared_error),
        (fnn.rescale(1), fnn.rescale(1.0)),  # an integer stays weak: another program
    ],
    ids=str,
)
def test_what_differs_is_not_equal(one, other):
    assert one != other
    assert len({one, other}) == 2


def test_functions_of_ones_own_count_by_identity():
    make = lambda bwd: fnn.stateless("square", fnn.no_params, square_fwd, bwd)  # noqa: E731
    assert make(square_bwd) == make(square_bwd)
    assert make(square_bwd) != make(lambda x, dy: ((), 2 * x * dy))


def test_a_decorated_constructor_takes_part():
    @fnn.recipe
    def block(width, activation=fnn.relu, *, times=1):
        return fnn.serial(*[fnn.dense(width), activation] * times)

    assert repr(block(8)) == "test_a_decorated_constructor_takes_part.<locals>.block(8)"
    assert block(8) == block(8, fnn.relu, times=1) != block(8, times=2)
    assert dict(block(8).made.arguments) == {"width": 8, "activation": fnn.relu, "times": 1}
    assert arguments_of(block(8)) == {"layers": (fnn.dense(8), fnn.relu)}
    assert rule_of(block(8)) is fnn.serial  # the walk goes into it as into any chain
    assert fnn.summary(network(block(8))).rows[0].layer == "layers[0] dense"
    assert block.__name__ == "block"


def test_a_decorated_function_that_makes_no_recipe():
    @fnn.recipe
    def wrong():
        return 3

    with pytest.raises(TypeError, match=r"expects wrong to return a layer, loss, .*, got int"):
        wrong()


@pytest.mark.parametrize(
    ("layer", "rule"),
    [
        (fnn.relu, fnn.relu),
        (fnn.leaky_relu(0.3), fnn.leaky_relu),
        (fnn.dense(3), fnn.dense),
        (replace(fnn.dense(3), bwd=square_bwd), fnn.dense),  # what its forward computes
        (replace(fnn.relu, bwd=square_bwd), fnn.relu),
        (fnn.scaled(fnn.huber(), 2.0), fnn.scaled),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),  # a function's address differs between processes
)
def test_rule(layer, rule):
    assert rule_of(layer) is rule or rule_of(layer) == rule


@pytest.mark.parametrize("name", ["layer_norm", "relu", "serial", "mixed_precision", "dropout"])
def test_a_name_is_no_rule(name):
    mine = fnn.stateless(name, fnn.no_params, square_fwd, square_bwd)
    assert rule_of(mine) is mine


def test_equal_networks_share_one_compiled_step(compilations):
    batch = jnp.ones((4, 5)), jnp.zeros(4, jnp.int32)
    make = lambda: fnn.mlp(5, 7, 3, activation=fnn.leaky_relu(0.2))  # noqa: E731
    params = make().init(jax.random.key(0))
    make().train_step(params, *batch, 0.1)
    assert compilations()
    make().train_step(params, *batch, 0.2)
    assert not compilations()


@pytest.mark.parametrize("thing", [fnn.relu, fnn.softmax_cross_entropy, fnn.flatten], ids=str)
def test_help_shows_the_rule_and_not_the_class(thing):
    import pydoc

    text = pydoc.render_doc(thing)
    assert f"{thing.name}_fwd" in text
    assert "Derivation" in text
    assert type(thing).__doc__.splitlines()[0] not in text
