"""State dicts for PyTorch and StableHLO for everybody: both must compute what the network computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fnn

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def linear(arrays, name, x):
    """nn.Linear, as its documentation defines it."""
    return x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]


def draw(net):
    params = net.init(KEY)
    return jax.tree.map(lambda p: p + 0.1 * jax.random.normal(KEY, p.shape), params)


def test_a_state_dict_has_the_names_and_the_meaning_of_a_sequential(tmp_path):
    net = fnn.mlp(5, 4, 3)
    params, x = draw(net), RNG.normal(size=(6, 5)).astype(np.float32)
    fnn.to_torch(tmp_path / "net.safetensors", net, params)
    arrays = load_file(tmp_path / "net.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {
        "0.weight": (4, 5),
        "0.bias": (4,),
        "2.weight": (3, 4),
        "2.bias": (3,),
    }
    z = linear(arrays, "2", np.maximum(linear(arrays, "0", x), 0))
    np.testing.assert_allclose(net.logits(params, x), z, rtol=1e-5, atol=1e-6)
    same, state = fnn.from_torch(tmp_path / "net.safetensors", net)
    jax.tree.map(np.testing.assert_array_equal, same, params)
    assert jax.tree.structure(same) == jax.tree.structure(params)
    assert state == ()


def test_chains_within_chains_prefixes_and_layers_without_bias(tmp_path):
    inner = fnn.serial(fnn.dense(4, use_bias=False), fnn.tanh)
    net = fnn.network(fnn.serial(fnn.flatten, inner, fnn.dense(3)), fnn.softmax_cross_entropy, input_shape=(2, 3))
    params = draw(net)
    fnn.to_torch(tmp_path / "net", net, params, prefix="model.")
    assert sorted(load_file(tmp_path / "net")) == ["model.1.0.weight", "model.2.bias", "model.2.weight"]
    same, _ = fnn.from_torch(tmp_path / "net", net, prefix="model.")
    jax.tree.map(np.testing.assert_array_equal, same, params)
    assert jax.tree.structure(same) == jax.tree.structure(params)


def test_a_flattened_image_is_put_into_the_order_of_channels_first(tmp_path):
    net = fnn.network(fnn.serial(fnn.flatten, fnn.dense(4)), fnn.softmax_cross_entropy, input_shape=(3, 2, 5))
    params, x = draw(net), RNG.normal(size=(6, 3, 2, 5)).astype(np.float32)
    fnn.to_torch(tmp_path / "net", net, params)
    channels_first = x.transpose(0, 3, 1, 2).reshape(6, -1)
    z = linear(load_file(tmp_path / "net"), "1", channels_first)
    np.testing.assert_allclose(net.logits(params, x), z, rtol=1e-5, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, fnn.from_torch(tmp_path / "net", net)[0], params)


def convolve(arrays, name, x):
    """nn.Conv2d with stride 1 and padding 1, entry by entry: images and kernels have their channels first."""
    kernel, (n, _, h, w) = arrays[f"{name}.weight"], x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    z = np.zeros((n, len(kernel), h, w))
    for i in range(3):
        for j in range(3):
            z += np.einsum("nchw,oc->nohw", padded[:, :, i : i + h, j : j + w], kernel[:, :, i, j])
    return z + arrays[f"{name}.bias"][:, None, None]


def test_a_convolutional_network(tmp_path):
    """Kernels, a slope a channel, running statistics, and dense columns behind a flattened image."""
    layers = (fnn.conv2d(3), fnn.prelu(), fnn.batch_norm(), fnn.flatten, fnn.dropout(0.5), fnn.dense(2))
    net = fnn.network(fnn.serial(*layers), fnn.softmax_cross_entropy, input_shape=(4, 5, 2))
    params, x = draw(net), RNG.normal(size=(6, 4, 5, 2)).astype(np.float32)
    state = jax.tree.map(lambda s: s + 0.3, net.init_state())
    fnn.to_torch(tmp_path / "net", net, params, state=state)
    arrays = load_file(tmp_path / "net")
    each = {name: array[:, None, None] for name, array in arrays.items() if array.ndim == 1}
    z = convolve(arrays, "0", x.transpose(0, 3, 1, 2))
    z = np.where(z > 0, z, each["1.weight"] * z)
    z = (z - each["2.running_mean"]) / np.sqrt(each["2.running_var"] + 1e-5) * each["2.weight"] + each["2.bias"]
    z = linear(arrays, "5", z.reshape(6, -1))
    np.testing.assert_allclose(net.logits(params, x, state), z, rtol=1e-4, atol=1e-5)
    assert arrays["2.num_batches_tracked"] == 0
    same = fnn.from_torch(tmp_path / "net", net)
    jax.tree.map(np.testing.assert_array_equal, same, (params, state))
    assert jax.tree.structure(same) == jax.tree.structure((params, state))


def test_mixed_precision_changes_no_names(tmp_path):
    net = fnn.mlp(5, 4, 3)
    rounded = fnn.network(fnn.mixed_precision(net.layer), fnn.softmax_cross_entropy, input_shape=(5,))
    fnn.to_torch(tmp_path / "net", rounded, rounded.init(KEY))
    jax.tree.map(np.testing.assert_array_equal, fnn.from_torch(tmp_path / "net", net)[0], net.init(KEY))


def test_other_number_types_are_converted(tmp_path):
    net = fnn.mlp(2, 1, loss=fnn.mean_squared_error)
    save_file({"0.weight": np.array([[1, 2]], np.float64), "0.bias": np.array([3], np.float16)}, tmp_path / "net")
    (layer,), _ = fnn.from_torch(tmp_path / "net", net)
    assert layer.W.dtype == layer.b.dtype == jnp.float32
    np.testing.assert_array_equal(net.logits((layer,), jnp.ones((1, 2))), [[6.0]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"0.weight": np.ones((3, 2), np.float32)},
            r"is not of this network: layers\[0\] \(dense\) lacks 0.bias; build",
        ),
        (
            {"0.weight": np.ones((2, 3), np.float32), "0.bias": np.ones(3, np.float32)},
            r"layers\[0\] \(dense\) expects 0.weight of shape \(3, 2\), got \(2, 3\); build the same layers",
        ),
        (
            {
                name: np.ones(shape, np.float32)
                for name, shape in {"0.weight": (3, 2), "0.bias": 3, "1.bias": 3}.items()
            },
            r"no layer takes 1.bias of shape \(3,\); build the same layers",
        ),
        ({"0.weight": np.ones((3, 2), bool), "0.bias": np.ones(3, np.float32)}, "holds 0.weight as bool, expected"),
    ],
)
def test_state_dicts_that_do_not_fit(arrays, message, tmp_path):
    save_file(arrays, tmp_path / "net")
    with pytest.raises(ValueError, match=message):
        fnn.from_torch(tmp_path / "net", fnn.mlp(2, 3))


def test_damaged_files(tmp_path):
    path, net = tmp_path / "net", fnn.mlp(2, 3)
    fnn.to_torch(path, net, net.init(KEY))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="is no intact safetensors file"):
            fnn.from_torch(path, net)
    path.write_bytes((1 << 50).to_bytes(8, "little") + whole[8:])
    with pytest.raises(ValueError, match="is no intact safetensors file"):
        fnn.from_torch(path, net)


def test_layers_without_a_counterpart(tmp_path):
    own = fnn.stateless("own", lambda key, shape: jnp.ones(2), lambda p, x: (x * p, ()), lambda r, dy: (dy, dy))
    net = fnn.network(fnn.serial(own), fnn.softmax_cross_entropy, input_shape=(2,))
    with pytest.raises(ValueError, match=r"no module of a torch.nn.Sequential is like 0.own; write .* fnn.save"):
        fnn.to_torch(tmp_path / "net", net, net.init(KEY))
    bare = fnn.network(fnn.dense(2), fnn.softmax_cross_entropy, input_shape=(2,))
    with pytest.raises(ValueError, match=r"wrap it in fnn.serial"):
        fnn.to_torch(tmp_path / "net", bare, bare.init(KEY))
    assert not list(tmp_path.iterdir())


def test_every_layer_that_does_not_match_is_named(tmp_path):
    """Other widths behind a flattened image, where features change their order."""
    layers = (fnn.conv2d(3), fnn.relu, fnn.flatten, fnn.dense(2))
    net = fnn.network(fnn.serial(*layers), fnn.softmax_cross_entropy, input_shape=(4, 5, 2))
    other = fnn.network(fnn.serial(*layers[:-1], fnn.dense(4)), fnn.softmax_cross_entropy, input_shape=(3, 3, 1))
    fnn.to_torch(tmp_path / "net", net, net.init(KEY))
    with pytest.raises(ValueError, match=r"\(conv2d\) expects 0.weight .*\(dense\) expects 3.weight .*3.bias"):
        fnn.from_torch(tmp_path / "net", other)
    with pytest.raises(ValueError, match="expected params of"):
        fnn.to_torch(tmp_path / "other", other, net.init(KEY))
    normed = fnn.network(fnn.serial(fnn.batch_norm(), fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))
    with pytest.raises(ValueError, match="expected state of"):
        fnn.to_torch(tmp_path / "other", normed, normed.init(KEY))


def test_layer_norm_on_images_is_another_one_there(tmp_path):
    layers = (fnn.conv2d(3), fnn.layer_norm(), fnn.flatten, fnn.layer_norm(), fnn.dense(2))
    net = fnn.network(fnn.serial(*layers), fnn.softmax_cross_entropy, input_shape=(4, 5, 2))
    with pytest.raises(ValueError, match=r"layers\[1\] \(layer_norm\) acts on the channels .* use batch_norm"):
        fnn.to_torch(tmp_path / "net", net, net.init(KEY))


# StableHLO


def test_stablehlo_takes_batches_of_any_size_and_holds_the_parameters(tmp_path):
    net = fnn.mlp(3, 2)
    params = (fnn.DenseParams(jnp.arange(6.0).reshape(2, 3) + 0.25, jnp.array([7.5, 8.5])),)
    text = fnn.export_stablehlo(net, params, tmp_path / "net.mlir")
    assert (tmp_path / "net.mlir").read_text() == text
    signature = next(line for line in text.splitlines() if "@main" in line)
    assert "tensor<?x3xf32>" in signature
    assert "tensor<?x2xf32>" in signature
    assert "dense<[7.500000e+00, 8.500000e+00]>" in text
    assert "2.500000e-01, 1.250000e+00, 2.250000e+00" in text
    assert "stablehlo.exponential" in text


def test_stablehlo_of_images_of_whole_numbers():
    layers = fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(2))
    net = fnn.network(layers, fnn.softmax_cross_entropy, input_shape=(4, 4))
    text = fnn.export_stablehlo(net, net.init(KEY), dtype=jnp.uint8, platforms=("cpu", "cuda"))
    assert "tensor<?x4x4xui8>" in text
    assert "_platform_index" in text


def test_stablehlo_runs_with_jax_alone_for_batches_of_any_size(tmp_path):
    layers = fnn.serial(fnn.rescale(1 / 255), fnn.conv2d(2), fnn.batch_norm(), fnn.relu, fnn.flatten, fnn.dense(3))
    net = fnn.network(layers, fnn.softmax_cross_entropy, input_shape=(4, 4, 1))
    params, state = draw(net), jax.tree.map(lambda s: s + 0.3, net.init_state())
    fnn.export_stablehlo(net, params, tmp_path / "net.mlir", state=state, dtype=jnp.uint8)
    predict = fnn.load_stablehlo(tmp_path / "net.mlir")
    for n in (1, 5):
        x = RNG.integers(0, 255, (n, 4, 4, 1), dtype=np.uint8)
        np.testing.assert_allclose(predict(x), net.forward(params, x, state), rtol=1e-5)
    with pytest.raises(ValueError, match="shape"):
        predict(x[:, :3])


MODULES = {
    "no text": (b"\xff\xfe", "is no text of StableHLO"),
    "another text": (b"hello", "holds no function of one batch: expected one that fnn.export_stablehlo wrote"),
    "two platforms": (("cpu", "cuda"), "for a single platform"),
    "damaged": ("stablehlo.dot_general", "is no intact StableHLO"),
    "a call": (
        "stablehlo.custom_call @shape_assertion",
        "calls somebody_else, expected a module that computes by itself",
    ),
}


@pytest.mark.parametrize("case", MODULES)
def test_stablehlo_that_is_refused(case, tmp_path):
    content, message = MODULES[case]
    net, path = fnn.mlp(2, 3), tmp_path / "net.mlir"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, tuple):
        fnn.export_stablehlo(net, net.init(KEY), path, platforms=content)
    else:
        new = "stablehlo.custom_call @somebody_else" if "call" in content else "nonsense"
        path.write_text(fnn.export_stablehlo(net, net.init(KEY)).replace(content, new))
    with pytest.raises(ValueError, match=message):
        fnn.load_stablehlo(path)
