"""Importing fnn is cheap: no pictures, no data, no compilation; and what it offers is what the design names."""

import os
import subprocess
import sys

import pytest

import fnn


def in_a_fresh_process(code):
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_brings_no_pictures():
    modules = in_a_fresh_process("import sys, fnn; print(' '.join(sys.modules))").split()
    assert "fnn" in modules
    assert "matplotlib" not in modules


def test_import_compiles_nothing_and_starts_no_device():
    code = "import jax._src.xla_bridge as bridge, fnn; print(len(bridge._backends))"
    assert in_a_fresh_process(code).strip() == "0"


def test_a_compilation_cache_is_used_when_asked_for(tmp_path):
    code = f"""
import jax, jax.numpy as jnp, fnn
fnn.use_compilation_cache({os.fspath(tmp_path)!r})
net = fnn.mlp(2, 3, 2)
net.train_step(net.init(jax.random.key(0)), jnp.ones((4, 2)), jnp.zeros(4, jnp.int32), 0.1)
"""
    in_a_fresh_process(code)
    assert any(tmp_path.iterdir())


NAMES = """
    dense layer_norm batch_norm dropout conv2d max_pool average_pool flatten prelu rescale serial residual repeat
    differentiable Layer stateless
    identity sigmoid tanh relu swish gelu softplus softmax leaky_relu elu
    softmax_cross_entropy sigmoid_cross_entropy mean_squared_error half_mean_squared_error mean_absolute_error huber
    cross_entropy binary_cross_entropy Loss smooth_labels
    l1 l2 spectral_norm initializers mlp network Network
    flatten_params unflatten_params count_params summary
    sgd momentum rmsprop adagrad adam adamw lion muon chain clip_by_global_norm clip_by_value apply_updates
    constant_schedule step_decay exponential_decay cosine_decay warmup_cosine
    TrainState make_train_step make_train_epoch fit fit_many evaluate
    accuracy confusion_matrix r2_score
    check check_gradient check_layer trace agree explain flow finite_differences backward_by_loops
    prove prove_gradient prove_layer prove_rule Proof
    datasets preprocessing audit save load to_torch from_torch export_stablehlo plots
"""
INITIALIZERS = "zeros constant normal xavier_normal xavier_uniform he_normal he_uniform lecun_normal orthogonal"


@pytest.mark.parametrize("name", NAMES.split())
def test_public_name(name):
    assert hasattr(fnn, name)


@pytest.mark.parametrize("name", INITIALIZERS.split())
def test_initializer_name(name):
    assert hasattr(fnn.initializers, name)
