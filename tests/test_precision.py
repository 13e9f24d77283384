"""Mixed precision: exact in float64, within bfloat16's rounding in float32, and no transposed left operand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import drawn, generator, normal
from compiler import WHOLE
from test_gradients import assert_same_gradient

import fnn

BOUND = 0.05  # of the largest gradient; the worst of 300 random draws was 0.041, the median below 0.009

LAYERS = {
    "one dense": fnn.dense(4),
    "chain": fnn.serial(fnn.dense(9), fnn.relu, fnn.dense(8), fnn.tanh, fnn.dense(4)),
    "smooth chain": fnn.serial(fnn.dense(9), fnn.swish, fnn.dense(8), fnn.tanh, fnn.dense(4)),
    "without bias": fnn.serial(fnn.dense(9, use_bias=False), fnn.swish, fnn.dense(4, use_bias=False)),
    "activations at the ends": fnn.serial(fnn.tanh, fnn.dense(9), fnn.elu(1.0), fnn.dense(4), fnn.sigmoid),
    "something that needs rows inside": fnn.serial(
        fnn.dense(9), fnn.softplus, fnn.dense(7), fnn.softmax, fnn.dense(6), fnn.gelu, fnn.dense(4)
    ),
    "residual and repeated": fnn.serial(
        fnn.dense(7),
        fnn.residual(fnn.serial(fnn.tanh, fnn.dense(7))),
        fnn.repeat(fnn.serial(fnn.dense(7), fnn.swish), 2),
        fnn.dense(4),
    ),
    "residual between rows": fnn.serial(
        fnn.layer_norm(), fnn.residual(fnn.serial(fnn.dense(9), fnn.swish, fnn.dense(6))), fnn.dense(4)
    ),
    "chains in chains": fnn.serial(
        fnn.dense(9), fnn.serial(fnn.sigmoid, fnn.dense(8), fnn.softplus), fnn.serial(fnn.dense(5)), fnn.dense(4)
    ),
}


SMOOTH = [name for name in LAYERS if name != "chain"]  # at a kink, rounding may put a unit on the other side


@pytest.fixture(params=LAYERS)
def pair(request):
    """A network and the same one in mixed precision."""
    layer = LAYERS[request.param]
    make = lambda layer: fnn.network(layer, fnn.half_mean_squared_error, input_shape=(6,))  # noqa: E731
    return make(layer), make(fnn.mixed_precision(layer))


def draw(net, key, n=16):
    rng = generator(key)
    return drawn(key, net.init), normal(rng, n, 6), normal(rng, n, 4)


@pytest.mark.parametrize("n", [1, 5])
def test_in_float64_it_is_the_same_function_with_the_same_gradient(pair, n, key):
    plain, mixed = pair
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        batch = draw(plain, key, n)
        run = jax.jit(lambda *batch: (plain.forward(*batch[:2]), jax.grad(plain.loss)(*batch)))
        run_mixed = jax.jit(
            lambda *batch: (mixed.forward(*batch[:2]), mixed.backward(*batch), jax.grad(mixed.loss)(*batch))
        )
        y, expected = run(*batch)
        y_mixed, by_hand, by_machine = run_mixed(*batch)
        np.testing.assert_allclose(y_mixed, y, rtol=1e-12, atol=1e-14)
        assert_same_gradient(by_hand, expected, 1e-9)
        assert_same_gradient(by_machine, expected, 1e-9)


@pytest.mark.parametrize("pair", SMOOTH, indirect=True)
def test_in_float32_it_agrees_to_the_precision_of_bfloat16(pair, key):
    plain, mixed = pair
    backward, rounded = jax.jit(plain.backward), jax.jit(mixed.backward)
    for seed in range(5):
        batch = draw(plain, jax.random.fold_in(key, seed))
        assert_same_gradient(rounded(*batch), backward(*batch), BOUND)
    assert_same_gradient(mixed.backward(*batch), backward(*batch), BOUND)  # not compiled as a whole


def test_parameters_gradients_and_losses_stay_float32(pair, key):
    _, mixed = pair
    params, x, y = draw(mixed, key)
    value, grads = mixed.loss_and_grad(params, x, y)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, value, grads))} == {np.dtype("float32")}


def test_it_really_rounds(key):
    """Else the bound above would hold for nothing at all."""
    plain, mixed = fnn.mlp(6, 9, 4), fnn.mlp(6, 9, 4, precision="bfloat16")
    params, x, _ = draw(plain, key)
    difference = np.abs(plain.logits(params, x) - mixed.logits(params, x)).max()
    assert 1e-4 < difference < 0.1


@pytest.mark.parametrize("widths", [(784, 128, 10), (784, 512, 512, 10), (64, 64, 64, 64)], ids=str)
def test_every_product_is_one_of_bfloat16_numbers_with_no_transposed_left_operand(widths, key):
    """The AMX rule, read off the compiled step: bfloat16 operands, the left one contracted over its last axis.

    Where the compiler can't have it so, it turns the operands to float32 before it multiplies, and says nothing.
    """
    net = fnn.mlp(*widths, precision="bfloat16")
    params = jax.eval_shape(net.init, key)
    x, y = jax.ShapeDtypeStruct((128, widths[0]), jnp.float32), jax.ShapeDtypeStruct((128,), jnp.int32)
    compiled = jax.jit(net.loss_and_grad, compiler_options=WHOLE).lower(params, x, y).compile().as_text()
    products = []
    for computation in compiled.split("\n\n"):
        for left, right, axis in re.findall(r" dot\((%\S+), (%\S+)\).*lhs_contracting_dims=\{(\d)\}", computation):
            kinds = [re.search(rf"{name} = (\w+)\[", computation)[1] for name in (left, right)]
            products.append((*kinds, axis))
    assert len(products) == 3 * (len(widths) - 1) - 1
    assert set(products) == {("bf16", "bf16", "1")}


def test_it_works_under_vmap_and_scan(key):
    net = fnn.mlp(6, 9, 4, loss=fnn.half_mean_squared_error, precision="bfloat16")
    params, x, y = draw(net, key)
    each = jax.jit(jax.vmap(lambda x, y: net.backward(params, x[None], y[None])))(x, y)
    mean = jax.tree.map(lambda g: g.mean(axis=0), each)
    assert_same_gradient(mean, net.backward(params, x, y), BOUND)
    many = jax.jit(jax.vmap(net.init))(jax.random.split(key, 3))
    losses = jax.jit(jax.vmap(net.loss, in_axes=(0, None, None)))(many, x, y)
    one = net.loss(jax.tree.map(lambda leaf: leaf[1], many), x, y)
    np.testing.assert_allclose(losses[1], one, rtol=1e-2)


def test_the_combinator_shares_parameters_with_its_layer(key):
    plain, mixed = fnn.mlp(6, 9, 4), fnn.mlp(6, 9, 4, precision="bfloat16")
    for mine, same in zip(jax.tree.leaves(plain.init(key)), jax.tree.leaves(mixed.init(key)), strict=True):
        np.testing.assert_array_equal(mine, same)


def test_a_rule_of_the_user_s_own_is_not_replaced(key):
    """Only fnn's own dense rule has another form; one that is called dense stays what it is."""
    own = fnn.stateless("dense", fnn.no_params, lambda p, x: (2 * x, ()), lambda _, dy: ((), 2 * dy))
    layer = fnn.mixed_precision(fnn.serial(own, fnn.relu, own))
    np.testing.assert_array_equal(layer.forward(((), (), ()), jnp.ones((1, 3))), 4)


def test_unknown_precision():
    with pytest.raises(ValueError, match='"float32" or "bfloat16", got \'float16\''):
        fnn.mlp(3, 2, precision="float16")


def test_training_in_bfloat16_learns_as_well(key):
    x, y = fnn.datasets.moons(key, 400)
    scores = []
    for precision in ("float32", "bfloat16"):
        net = fnn.mlp(2, 32, 32, 2, precision=precision)
        result = fnn.fit(net, (x, y), optimizer=fnn.momentum(0.1), epochs=20, batch_size=32, key=key, progress=False)
        scores.append(fnn.evaluate(net, result.params, x, y).accuracy)
    assert min(scores) > 0.95
