"""A user's own layer may be called anything: it is checked, traced, explained, drawn, exported and refused as his."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

NAMES = ["layer_norm", "batch_norm", "max_pool", "conv2d", "dropout", "serial", "mixed_precision", "relu", "flatten"]
KEY = jax.random.key(0)
X, Y = jax.random.normal(KEY, (5, 3)), jnp.arange(5) % 2


def cube_fwd(params, x):
    return x + 0.1 * x**3, x


def cube_bwd(x, dy):
    return (), dy * (1 + 0.3 * x * x)


def forgetful_bwd(x, dy):
    return (), dy


def make(name, bwd=cube_bwd):
    own = fnn.stateless(name, fnn.no_params, cube_fwd, bwd)
    return fnn.network(fnn.serial(fnn.dense(4), own, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))


@pytest.fixture(scope="module")
def params():
    return make("mine").init(KEY)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_checked(name, params):
    fnn.check(make(name), params, X, Y).assert_ok()
    wrong = fnn.check(make(name, forgetful_bwd), params, X, Y)
    assert wrong.verdict == "WRONG"
    assert "layers[1]" in str(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_traced_and_explained(name, params):
    values = fnn.trace(make(name), params, X, Y)
    assert f"d{name}1" in values.values
    assert f"{name}(Z1)" in str(fnn.explain(make(name), params, X, Y))
    np.testing.assert_allclose(values["dW1"], make(name).backward(params, X, Y)[0].W, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_flows(name, params):
    row = fnn.flow(make(name), params, X, Y).rows[1]
    assert row.layer == f"layers[1] ({name})"
    assert row.dead is None


@pytest.mark.parametrize("name", NAMES)
def test_it_is_exported_and_refused(name, params, tmp_path):
    net = make(name)
    fnn.to_torch(tmp_path / "net.safetensors", net, params)
    again, _ = fnn.from_torch(tmp_path / "net.safetensors", net)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, again, params))
    assert "stablehlo" in fnn.export_stablehlo(net, params)
    with pytest.raises(ValueError, match=f"know dense layers and elementwise activations behind them, got {name}"):
        fnn.backward_by_loops(net, params, X, Y)
    with pytest.raises(ValueError, match=f"draws dense layers and activations, got {name}"):
        fnn.plots.network_diagram(net, params)


@pytest.mark.parametrize("name", NAMES)
def test_its_histograms_and_summary(name, params):
    assert fnn.summary(make(name)).rows[1].layer == f"layers[1] {name}"
    titles = [ax.get_title() for ax in fnn.plots.activation_histograms(make(name), params, X).axes]
    assert f"layers[1] {name}" in titles


def test_parameters_like_denses_do_not_make_a_dense_layer():
    """A layer of one's own may keep its numbers in DenseParams and compute something else with them."""

    def fwd(params, x):
        return jnp.tanh(x @ params.W.T) + params.b, (params, x)

    def bwd(residuals, dy):
        params, x = residuals
        dz = dy * (1 - jnp.tanh(x @ params.W.T) ** 2)
        return fnn.DenseParams(dz.T @ x, dy.sum(0)), dz @ params.W

    own = fnn.stateless("dense", fnn.dense(4).init, fwd, bwd)
    net = fnn.network(fnn.serial(own, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))
    params = net.init(KEY)
    fnn.check(net, params, X, Y).assert_ok()
    assert "Z1 = X W1ᵀ" not in str(fnn.explain(net, params, X, Y))
    with pytest.raises(ValueError, match="got dense"):
        fnn.backward_by_loops(net, params, X, Y)


def test_an_activation_of_ones_own():
    """Declared elementwise with its kinks, it is treated as a built-in: its missing derivative is named."""

    def relu6_fwd(params, z):
        return jnp.where(z <= 0, 0, jnp.where(z < 6, z, 6)), z

    def relu6_bwd(z, da):
        return (), jnp.where((z > 0) & (z < 6), da, 0)

    relu6 = fnn.activation("relu6", relu6_fwd, relu6_bwd, kinks=(0.0, 6.0))
    net = fnn.mlp(3, 6, 2, activation=relu6)
    params = net.init(KEY)
    fnn.check(net, params, X, Y).assert_ok()
    broken = fnn.mlp(3, 6, 2, activation=replace(relu6, bwd=lambda z, da: ((), da)))
    report = fnn.check(broken, params, X, Y)
    assert "activation derivative missing at layers[1] (relu6)" in report.diagnosis
    drowned = (params[0]._replace(b=params[0].b.at[2].set(-100.0)), *params[1:])
    assert fnn.flow(net, drowned, X, Y).rows[1].dead >= 1
    at_a_kink = fnn.check(net, jax.tree.map(jnp.zeros_like, params), X, Y)
    assert any("relu6" in kink for kink in at_a_kink.kinks)
    assert fnn.backward_by_loops(net, params, X, Y)[0].W.shape == (6, 3)
    assert repr(relu6).startswith("fnn.activation('relu6', ")


def poisson_fwd(z, y, weights):
    share = jnp.full(z.shape[0], 1 / z.shape[0], z.dtype) if weights is None else weights / weights.sum()
    return (share * (jnp.exp(z) - y * z).sum(axis=1)).sum(), (z, y, share)


def poisson_bwd(residuals, dvalue):
    z, y, share = residuals
    return (dvalue * share)[:, None] * (jnp.exp(z) - y)


def test_a_loss_of_ones_own_with_any_link():
    poisson = fnn.Loss("poisson", jnp.exp, poisson_fwd, poisson_bwd)
    net = fnn.network(fnn.serial(fnn.dense(4), fnn.tanh, fnn.dense(1)), poisson, input_shape=(3,))
    params, y = net.init(KEY), jnp.arange(5.0)[:, None]
    fnn.check(net, params, X, y).assert_ok()
    halved = fnn.check(net, params, X, y, lambda *batch: jax.tree.map(lambda g: g / 2, net.backward(*batch)))
    assert "factor 2 missing" in halved.diagnosis
    values = fnn.trace(net, params, X, y)
    np.testing.assert_allclose(values["dA2"] * values["A2"], values["dZ2"], rtol=1e-6)
    assert "exp(Z2)" in str(fnn.explain(net, params, X, y))
    assert np.isfinite(fnn.evaluate(net, params, X, y).loss)
    assert "exp" in fnn.plots.network_diagram(net, params).axes[0].texts[-1].get_text()


def test_a_multi_label_loss_of_ones_own_counts_every_answer():
    own = replace(fnn.sigmoid_cross_entropy, name="own", validate=lambda y, outputs: None)
    net = fnn.network(fnn.dense(2), own, input_shape=(3,))
    params = net.init(KEY)
    p = np.asarray(net.forward(params, X))
    y = np.stack([p[:, 0] > 0.5, p[:, 1] <= 0.5], axis=1).astype(np.float32)
    assert fnn.evaluate(net, params, X, y).accuracy == 0.5
