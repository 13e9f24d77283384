"""A network in one file: what comes back is equal and predicts the same, and a file can't do anything else."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, PENALTIES

import fnn
from fnn.storage.expressions import made_from, unknown_names

KEY = jax.random.key(0)
IMAGES = fnn.network(
    fnn.serial(
        fnn.rescale(1 / 255), fnn.conv2d(2), fnn.batch_norm(), fnn.relu, fnn.max_pool(2), fnn.flatten, fnn.dense(3)
    ),
    fnn.softmax_cross_entropy,
    input_shape=(4, 4, 1),
    penalty=fnn.l2(1e-4),
)


@pytest.mark.parametrize("made", [*(c.layer for c in LAYERS), *(c.loss for c in LOSSES), *PENALTIES, IMAGES], ids=repr)
def test_text_makes_the_recipe_anew(made):
    assert made_from(repr(made)) == made
    assert unknown_names(repr(made)) == []


def test_a_network_comes_back_in_another_process(tmp_path):
    params, state = IMAGES.init(KEY), IMAGES.init_state()
    state = jax.tree.map(lambda s: s + 0.25, state)
    fnn.save_network(tmp_path / "net.safetensors", IMAGES, params, state=state, note="digits")
    x = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
    code = f"""
import numpy as np, fnn
net, params, state = fnn.load_network({str(tmp_path / "net.safetensors")!r})
print(net.forward(params, np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1), state).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    np.testing.assert_allclose(eval(done.stdout), IMAGES.forward(params, x, state), rtol=1e-6)
    net, *_ = fnn.load_network(tmp_path / "net.safetensors")
    assert net == IMAGES
    assert fnn.load_metadata(tmp_path / "net.safetensors")["note"] == "digits"


def cube_fwd(params, x):
    return x**3, x


def cube_bwd(x, dy):
    return (), 3 * x * x * dy


@fnn.recipe
def block(width):
    return fnn.serial(fnn.dense(width), fnn.activation("cube", cube_fwd, cube_bwd))


def test_rules_of_ones_own_are_handed_over(tmp_path):
    path = tmp_path / "net.safetensors"
    net = fnn.network(fnn.serial(block(4), fnn.dense(2)), fnn.mean_squared_error, input_shape=(3,))
    fnn.save_network(path, net, net.init(KEY))
    with pytest.raises(ValueError, match=r"names block, which is none of fnn's; hand it over, as layers=\{\"block\""):
        fnn.load_network(path)
    same, params, state = fnn.load_network(path, layers={"block": block})
    assert same == net
    assert state == ()
    jax.tree.map(np.testing.assert_array_equal, params, net.init(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "fnn.load('x')",
        "fnn.datasets.mnist()",
        "fnn.check",
        "fnn.save",
        "fnn.serial.__globals__",
        "fnn.dense(8).__class__",
        "fnn.dense(2 ** 9)",
        "[fnn.dense(8)]",
        "fnn.dense(*[8])",
        "fnn.dense(**{'n_out': 8})",
        "lambda: 3",
        "fnn.initializers.jax",
        "fnn.fit()",
        "fnn.recipe(print)",
        "(" * 500 + ")" * 500,
        "fnn.serial(" * 400 + ")" * 400,
        "",
        "fnn.dense(8",
    ],
    ids=lambda text: text[:30],
)
def test_nothing_else_is_done(text):
    with pytest.raises((ValueError, TypeError)):
        made_from(text)


def test_what_can_not_be_written_down_is_refused(tmp_path):
    net = fnn.network(
        fnn.serial(fnn.stateless("id", fnn.no_params, lambda _, x: (x, ()), cube_bwd), fnn.dense(1)),
        fnn.mean_squared_error,
        input_shape=(2,),
    )
    with pytest.raises(ValueError, match="define functions of your own at the top of a module"):
        fnn.save_network(tmp_path / "net.safetensors", net, net.init(KEY))


def test_what_does_not_belong_together_is_refused(tmp_path):
    path, params = tmp_path / "net.safetensors", IMAGES.init(KEY)
    with pytest.raises(ValueError, match=r"expected state of 2 arrays, got 0; pass state=net.init_state\(\)"):
        fnn.save_network(path, IMAGES, params)
    with pytest.raises(ValueError, match="another network"):
        fnn.save_network(path, fnn.mlp(3, 2), params)
    fnn.save(path, {"params": jnp.ones(3)})
    with pytest.raises(ValueError, match="holds no network"):
        fnn.load_network(path)
    fnn.save(path, {"params": jnp.ones(3), "state": ()}, network="fnn.mlp(3, 2)")
    with pytest.raises(ValueError, match=r"names fnn\.mlp, which is none"):
        fnn.load_network(path)
    fnn.save(path, {"params": jnp.ones(3), "state": ()}, network="fnn.dense(2)")
    with pytest.raises(ValueError, match="makes no network"):
        fnn.load_network(path)
