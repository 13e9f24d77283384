"""What the compiler makes of the rules: no more products and convolutions than autodiff, no more memory in between."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LayerCase
from compiler import WHOLE

import fnn

# Large enough that products are products: tiny ones are written out by `product`.
LARGE = [
    LayerCase("dense", fnn.dense(64), (32,), n=16),
    LayerCase("linear", fnn.dense(64, use_bias=False), (32,), n=16),
    LayerCase("conv2d", fnn.conv2d(8), (12, 12, 4), n=4),
    LayerCase("conv2d-strided", fnn.conv2d(8, kernel=5, stride=2, use_bias=False), (12, 12, 4), n=4),
    LayerCase("mlp", fnn.serial(fnn.dense(64), fnn.relu, fnn.dense(48), fnn.tanh, fnn.dense(32)), (32,), n=16),
    LayerCase("swish", fnn.serial(fnn.dense(64), fnn.swish, fnn.dense(32)), (32,), n=16),
    LayerCase("normalized", fnn.serial(fnn.dense(64), fnn.batch_norm(), fnn.relu, fnn.dropout(0.2)), (32,), n=16),
    LayerCase("images", fnn.serial(fnn.conv2d(8), fnn.batch_norm(), fnn.relu, fnn.max_pool(2)), (12, 12, 4), n=4),
    LayerCase(
        "residual", fnn.residual(fnn.serial(fnn.layer_norm(), fnn.dense(48), fnn.relu, fnn.dense(32))), (32,), n=16
    ),
    LayerCase("repeat", fnn.repeat(fnn.residual(fnn.serial(fnn.dense(32), fnn.tanh)), 5), (32,), n=16),
]

_PRODUCT = re.compile(r"\s(?:dot|convolution)\(|custom_call_target=\"[^\"]*(?:matmul|conv|dot)[^\"]*\"")


def products(function, *args):
    """Matrix products and convolutions in the compiled program, those inside loops and fusions included."""
    return len(_PRODUCT.findall(jax.jit(function, compiler_options=WHOLE).lower(*args).compile().as_text()))


def hand_and_autodiff(case, key):
    """The training pass with its backward, once by hand and once by jax.vjp of its forward."""
    state = case.layer.init_state(case.shape)

    def forward(params, x):
        return case.layer.fwd(params, x, state, key)[0][0]

    def hand(params, x, dy):
        (y, _), residuals = case.layer.fwd(params, x, state, key)
        return y, case.layer.bwd(residuals, dy)

    def autodiff(params, x, dy):
        y, pull = jax.vjp(forward, params, x)
        return y, pull(dy)

    return hand, autodiff


@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_no_more_products_than_autodiff(case, key):
    point = case.draw(key)
    hand, autodiff = (products(function, *point) for function in hand_and_autodiff(case, key))
    assert 0 < hand <= autodiff


def test_products_are_counted(key):
    """dense takes three products, a convolution three convolutions; four of either are seen as four."""
    x = jnp.ones((64, 64))
    chain = lambda x, k: jnp.sin(x @ chain(x, k - 1)) if k else x  # noqa: E731
    assert [products(lambda x, k=k: chain(x, k), x) for k in (1, 3, 4)] == [1, 3, 4]
    for case in LARGE[0], LARGE[2]:
        hand, _ = hand_and_autodiff(case, key)
        assert products(hand, *case.draw(key)) == 3


def kept_bytes(forward, params, x):
    """Bytes of the arrays that live from forward to backward, each counted once.

    Not counted are parameters, which live anyway, and the output, which is the next layer's input.
    """
    jaxpr = jax.make_jaxpr(forward)(params, x).jaxpr
    parameters, output = jaxpr.invars[: len(jax.tree.leaves(params))], jaxpr.outvars[0]
    arrays = {v for v in jaxpr.outvars if not hasattr(v, "val")} - {*parameters, output}
    return sum(v.aval.size * v.aval.dtype.itemsize for v in arrays)


@pytest.mark.parametrize("case", [*LAYERS, *LARGE], ids=lambda case: case.name)
def test_no_more_memory_between_the_passes_than_autodiff(case, key):
    params, x, _ = case.draw(key)
    state = case.layer.init_state(case.shape)

    def hand(params, x):
        (y, _), residuals = case.layer.fwd(params, x, state, key)
        return y, residuals

    def autodiff(params, x):
        return jax.vjp(lambda params, x: case.layer.fwd(params, x, state, key)[0][0], params, x)

    assert kept_bytes(hand, params, x) <= kept_bytes(autodiff, params, x)


def test_relu_keeps_its_output_max_pool_a_byte_dropout_a_byte(key):
    x = jnp.ones((8, 4, 4, 2))
    sizes = {}
    for layer in (fnn.relu, fnn.max_pool(2), fnn.average_pool(2), fnn.dropout(0.5), fnn.rescale(2.0)):
        (y, _), residuals = layer.fwd((), x, (), key)
        sizes[layer.name] = sum(leaf.nbytes for leaf in jax.tree.leaves(residuals) if leaf is not y)
    assert sizes == {"relu": 0, "max_pool": y.size // 4, "average_pool": 0, "dropout": y.size, "rescale": 0}


def test_a_backward_costs_about_two_forwards(key):
    """Floating-point operations of the compiled dense chain: forward once, backward twice that at most."""
    case = LARGE[4]
    params, x, dy = case.draw(key)
    hand, _ = hand_and_autodiff(case, key)

    def flops(function, *args):
        return jax.jit(function, compiler_options=WHOLE).lower(*args).compile().cost_analysis()["flops"]

    assert flops(hand, params, x, dy) <= 3.2 * flops(case.layer.forward, params, x)
    assert np.isfinite(flops(hand, params, x, dy))
