"""Files that were damaged, or made to do harm, are refused in words; nothing that one says is imported."""

import hashlib
import json
import sys
import tracemalloc
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fnn
from fnn.storage.safetensors import pack, unpack

STATE = fnn.init_train_state(fnn.mlp(3, 4, 2), fnn.adam(0.1), jax.random.key(3))


class Pair(NamedTuple):
    one: object
    other: object


def damaged(path, content):
    """Load, and return the error; a damaged file must never load as another tree, nor allocate beyond its size."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name) as caught:
        fnn.load(path)
    return str(caught.value)


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "tree.safetensors"
    fnn.save(path, STATE, seed=0)
    whole = path.read_bytes()
    for cut in {len(whole) * i // 200 for i in range(200)}:
        assert "another copy" in damaged(path, whole[:cut])
    assert "damaged" in damaged(path, whole + b"\0")


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "tree.safetensors"
    fnn.save(path, STATE, seed=0)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for bit in rng.permutation(8 * len(whole))[:1000]:
        flipped = whole.copy()
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged(path, flipped.tobytes())
    for bit in range(8 * 96):  # the header's size, its marks, and the digest itself
        flipped = whole.copy()
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged(path, flipped.tobytes())


def test_a_lying_header_allocates_nothing(tmp_path):
    path = tmp_path / "tree.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b'{"__metadata__":{"fnn":"{\\"sha256\\":\\"' + b"0" * 80)
    tracemalloc.start()
    with pytest.raises(ValueError, match="is not an intact file of fnn"):
        fnn.load(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def forge(path, tree, change):
    """Change the description within a file and make its digest right again, as somebody might on purpose."""
    fnn.save(path, tree)
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    own = json.loads(header["__metadata__"]["fnn"])
    change(own, header)
    own["sha256"] = "0" * 64
    header["__metadata__"]["fnn"] = json.dumps(own).replace('"sha256": "', '"sha256":"')
    text = json.dumps(header, separators=(",", ":")).encode()
    raw = bytearray(len(text).to_bytes(8, "little") + text + raw[8 + size :])
    at = raw.index(b"0" * 64)
    raw[at : at + 64] = hashlib.sha256(raw).hexdigest().encode()
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda own, header: own.update(tree={"array": "nothing", "dtype": "float32", "key": None}),
        lambda own, header: own.update(tree=[]),
        lambda own, header: own.update(tree={"tuple": 3}),
        lambda own, header: own.update(tree={"array": "array", "dtype": "float99", "key": None}),
        lambda own, header: own.update(tree={"array": "array", "dtype": "float32", "key": "no such generator"}),
        lambda own, header: own.pop("tree"),
        lambda own, header: header["array"].update(shape=[1 << 40]),
        lambda own, header: header["array"].update(data_offsets=[0, 1 << 40]),
        lambda own, header: header["array"].update(dtype="F64"),
    ],
)
def test_a_forged_file_is_refused(change, tmp_path):
    path = tmp_path / "tree.safetensors"
    forge(path, jnp.ones(4), change=lambda own, header: None)
    chex.assert_trees_all_equal(fnn.load(path), jnp.ones(4))
    forge(path, jnp.ones(4), change)
    for like in (None, jnp.ones(4)):
        with pytest.raises(ValueError, match=path.name):
            fnn.load(path, like)


# what a file says about its tree


def refused(path, message, like=None):
    with pytest.raises(ValueError, match=message) as caught:
        fnn.load(path, like)
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    "name",
    [
        "sympy:Basic",
        "scipy.stats:norm",
        f"{__name__}:Pair",
        "builtins:tuple",
        "fnn:DenseParams.count",
        "fnn.x:Pair",
        ":",
    ],
)
def test_no_class_but_those_of_fnn_is_known_and_nothing_is_imported(name, tmp_path):
    path, tree = tmp_path / "pair.safetensors", Pair(jnp.ones(1), jnp.zeros(2))
    forge(path, tree, lambda own, header: own["tree"].update({"class": name}))
    modules = set(sys.modules)
    refused(path, "expected a NamedTuple of fnn's; .* pass like=")
    assert set(sys.modules) == modules
    chex.assert_trees_all_equal(fnn.load(path, like=tree), tree)


def test_a_class_with_other_fields_is_refused(tmp_path):
    path = tmp_path / "pair.safetensors"
    forge(path, Pair(jnp.ones(1), jnp.zeros(2)), lambda own, header: own["tree"].update({"class": "fnn.x:DenseParams"}))
    refused(path, "holds a DenseParams with fields one, other")


def test_a_class_that_moved_within_fnn_is_found(tmp_path):
    path, params = tmp_path / "params.safetensors", fnn.mlp(3, 2).init(jax.random.key(0))[0]
    forge(path, params, lambda own, header: own["tree"].update({"class": "fnn.layers:DenseParams"}))
    assert type(fnn.load(path)) is fnn.DenseParams


def test_whatever_fnn_returns_loads_without_like(tmp_path):
    params = fnn.mlp(3, 4, 2).init(jax.random.key(0))
    layers = (
        fnn.conv2d(2),
        fnn.conv2d(2, use_bias=False),
        fnn.prelu(),
        fnn.batch_norm(),
        fnn.layer_norm(),
        fnn.flatten,
    )
    net = fnn.network(
        fnn.serial(*layers, fnn.repeat(fnn.dense(18, use_bias=False), 2)), fnn.huber(), input_shape=(3, 3, 2)
    )
    makers = (fnn.sgd, fnn.momentum, fnn.rmsprop, fnn.adagrad, fnn.adam, fnn.adamw, fnn.lion, fnn.muon)
    optimizers = [make(0.1) for make in makers]
    optimizers += [fnn.chain(fnn.clip_by_global_norm(1.0), fnn.sgd(fnn.warmup_cosine(0.1, 2, 5)))]
    table = np.arange(6.0).reshape(3, 2)
    trees = {
        "states": [optimizer.init(params) for optimizer in optimizers],
        "network": (net.init(jax.random.key(1)), net.init_state()),
        "scalers": [fnn.preprocessing.standardize(table), fnn.preprocessing.min_max(table)],
        "examples": fnn.datasets.xor(),
        "run": STATE,
    }
    fnn.save(tmp_path / "trees", trees)
    loaded = fnn.load(tmp_path / "trees")
    assert jax.tree.structure(loaded) == jax.tree.structure(trees)
    chex.assert_trees_all_equal(loaded, trees)


def test_an_array_has_one_place(tmp_path):
    path, leaf = tmp_path / "tree.safetensors", {"array": "array", "dtype": "float32", "key": None}
    forge(path, jnp.ones(1 << 20), lambda own, header: own.update(tree={"list": [leaf] * 500}))
    tracemalloc.start()
    refused(path, "expected each of the file's 1 arrays in one place, got 500 places")
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()
    forge(path, [jnp.ones(2), jnp.ones(3)], lambda own, header: own["tree"]["list"].pop())
    refused(path, "expected each of the file's 2 arrays in one place, got 1 places")


def nested(depth):
    tree = {"none": True}
    for _ in range(depth):
        tree = {"tuple": [tree]}
    return tree


@pytest.mark.parametrize(
    "change",
    [
        lambda own, header: own.update(metadata=[1]),
        lambda own, header: own.update(metadata=None),
        lambda own, header: own.pop("metadata"),
        lambda own, header: own.pop("versions"),
        lambda own, header: own.update(versions="1.0"),
        lambda own, header: own.update(tree="tree"),
        lambda own, header: header["__metadata__"].update(more=3),
    ],
)
def test_forged_metadata_is_refused_in_words(change, tmp_path):
    path = tmp_path / "tree.safetensors"
    forge(path, jnp.ones(4), change)
    for read in (fnn.load, fnn.load_metadata):
        with pytest.raises(ValueError, match=r"is not a file of fnn.save: .*; use another copy"):
            read(path)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"class": 3, "fields": {}},
        {"class": "fnn.layers.dense:DenseParams", "fields": []},
        {"class": "fnn.layers.dense:DenseParams"},
        {"dict": [1]},
        {"dict": {"a": 1}},
        {"tuple": {"a": 1}},
        {"array": ["array"], "dtype": "float32", "key": None},
        {"array": "array", "dtype": "O", "key": None},
        {"array": "array", "dtype": "float64", "key": None},
        {"array": "array", "dtype": "f4,f4", "key": None},
        {"array": "array", "dtype": "bool", "key": None},
        {"array": "array", "dtype": ["float32"], "key": None},
        {"array": "array", "dtype": "uint32", "key": ["fry"]},
        {"array": "array", "dtype": "uint32", "key": "threefry2x32"},
        nested(300),
    ],
)
def test_a_forged_tree_is_refused_in_words(tree, tmp_path):
    path = tmp_path / "tree.safetensors"
    forge(path, jnp.ones(3), lambda own, header: own.update(tree=tree))
    for like in (None, jnp.ones(3)):
        with pytest.raises(ValueError, match=path.name):
            fnn.load(path, like)


# the format


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HOSTILE = {
    "nothing": b"",
    "no length": b"1234567",
    "a length beyond the file": raw({}, length=1 << 63),
    "no JSON": raw(b"{"),
    "no text": raw(b"\xff\xfe"),
    "a list": raw([]),
    "a number": raw(3),
    "lists without end": raw(b"[" * 100_000),
    "a number without end": raw(b"9" * 10_000),
    "one name twice": raw(b'{"a":' + json.dumps(entry([1], 0, 4)).encode() + b',"a":{}}', bytes(4)),
    "metadata of numbers": raw({"__metadata__": {"a": 1}}),
    "metadata that is a list": raw({"__metadata__": []}),
    "an array that is a list": raw({"a": []}),
    "no offsets": raw({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "offsets that are text": raw({"a": entry([1], "0", "4")}, bytes(4)),
    "offsets that are true": raw({"a": entry([1], False, 4)}, bytes(4)),
    "offsets backwards": raw({"a": entry([1], 4, 0)}, bytes(4)),
    "offsets below zero": raw({"a": entry([1], -4, 0)}, bytes(4)),
    "offsets beyond the file": raw({"a": entry([1 << 40], 0, 1 << 42)}, bytes(4)),
    "bytes twice": raw({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)),
    "bytes of two": raw({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, bytes(6)),
    "bytes of none": raw({"a": entry([1], 0, 4)}, bytes(5)),
    "a gap": raw({"a": entry([1], 4, 8)}, bytes(8)),
    "a shape too large": raw({"a": entry([3], 0, 4)}, bytes(4)),
    "a shape that multiplies to nothing": raw({"a": entry([1 << 40, 0, 1 << 40], 0, 0)}),
    "a shape that NumPy can't count": raw({"a": entry([1 << 70, 0], 0, 0)}),
    "a shape below zero": raw({"a": entry([-1, -1], 0, 4)}, bytes(4)),
    "a shape of fractions": raw({"a": entry([1.0], 0, 4)}, bytes(4)),
    "too many dimensions": raw({"a": entry([1] * 65, 0, 4)}, bytes(4)),
    "dimensions without end": raw({"a": entry([1 << 62] * 10_000, 0, 4)}, bytes(4)),
    "an unknown dtype": raw({"a": entry([1], 0, 4, "O")}, bytes(4)),
    "a dtype that is a list": raw({"a": entry([1], 0, 4, ["F32"])}, bytes(4)),
    "a truth of two": raw({"a": entry([1], 0, 1, "BOOL")}, b"\2"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_format_is_never_trusted(name):
    with pytest.raises(ValueError, match=r"expected .*, got ") as caught:
        unpack(HOSTILE[name])
    assert len(str(caught.value)) <= 300


def test_the_format_is_that_of_other_tools(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 2, (2, 3)).astype(name)
        for name in (
            "bool",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "float16",
            "uint32",
            "int32",
            "float32",
            "int64",
            "uint64",
        )
    }
    arrays |= {"float64": rng.normal(size=()), "none": np.zeros((0, 3), np.float32), "strided": np.arange(9.0)[::2].T}
    arrays["foreign"] = np.arange(3.0).astype(">f4")
    (tmp_path / "ours").write_bytes(pack({name: np.asarray(array) for name, array in arrays.items()}, {"by": "fnn"}))
    save_file({name: np.array(array) for name, array in arrays.items()}, tmp_path / "theirs", {"by": "other"})
    for got in (load_file(tmp_path / "ours"), unpack((tmp_path / "theirs").read_bytes())[1]):
        for name, array in arrays.items():
            np.testing.assert_array_equal(got[name], array)
            assert got[name].dtype == np.asarray(array).dtype.newbyteorder("=")
    assert unpack((tmp_path / "theirs").read_bytes())[0] == {"by": "other"}


# what is saved and never lost


def test_a_leaf_may_be_called_metadata(tmp_path):
    tree = {"__metadata__": jnp.ones(2), "": jnp.zeros(1), "fnn": jnp.ones(1)}
    fnn.save(tmp_path / "tree", tree)
    chex.assert_trees_all_equal(fnn.load(tmp_path / "tree"), tree)
    chex.assert_trees_all_equal(fnn.load(tmp_path / "tree", tree), tree)
    load_file(tmp_path / "tree")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (np.ma.masked_array([1.0, 2.0], [True, False]), "got a masked array, whose mask would be lost"),
        ({"x": [np.ma.masked_array([1.0, 2.0], [True, False])]}, r"expected x.0 as an array, got a masked array"),
        (np.array(["a"]), "expected an array of numbers"),
        (np.array([b"ab"]), "expected an array of numbers"),
        (np.zeros(2, "datetime64[s]"), "expected an array of numbers"),
        (np.zeros(2, [("a", np.int16), ("b", np.int16)]), "expected an array of numbers"),
        (np.zeros(2, complex), "expected an array of numbers, real ones"),
        (np.zeros(2, np.longdouble), "expected an array of numbers"),
    ],
)
def test_what_would_be_lost_is_not_saved(tree, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        fnn.save(tmp_path / "tree", tree)
    assert not list(tmp_path.iterdir())


def test_a_tree_without_end_is_not_saved(tmp_path):
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="got one that holds itself"):
        fnn.save(tmp_path / "tree", endless)


def test_files_of_older_versions_load(tmp_path):
    """They did not say what was NumPy's, wrote bfloat16 as bits, and had their classes in other modules."""
    bits = np.array([0x3F80, 0x4000], np.uint16)
    tree = {"params": fnn.DenseParams(jnp.ones((2, 3)), bits), "table": np.array([1 / 3])}

    def as_it_was(own, header):
        fields = own["tree"]["dict"]["params"]
        fields["class"] = "fnn.dense:DenseParams"
        fields["fields"]["b"]["dtype"] = "bfloat16"
        for leaf in (*fields["fields"].values(), own["tree"]["dict"]["table"]):
            del leaf["numpy"]

    forge(tmp_path / "old", tree, as_it_was)
    params, table = fnn.load(tmp_path / "old").values()
    assert isinstance(params, fnn.DenseParams)
    np.testing.assert_array_equal(params.b, jnp.array([1, 2], jnp.bfloat16))
    assert (type(params.W), type(table), table.dtype) == (type(jnp.ones(1)), np.ndarray, np.float64)


def test_metadata_is_not_overwritten(tmp_path):
    with pytest.raises(ValueError, match="save adds versions= itself, got 3; give it another name"):
        fnn.save(tmp_path / "tree", jnp.ones(1), versions=3)


@pytest.mark.parametrize("like", [1.0, {"a": 3}, [jnp.ones(1), "b"], fnn.mlp(3, 2), print])
def test_a_wrong_like_is_to_blame_not_the_file(like, tmp_path):
    fnn.save(tmp_path / "tree", {"a": jnp.ones(1)})
    with pytest.raises(TypeError, match=r"load expects like as a tree of arrays .*, got \w+ at") as caught:
        fnn.load(tmp_path / "tree", like)
    assert "not a file" not in str(caught.value)


RECIPES = {
    "a power": "fnn.network(fnn.dense(10**30), fnn.huber(), input_shape=(3,))",
    "more neurons than there is memory": f"fnn.network(fnn.dense({10**15}), fnn.huber(), input_shape=(3,))",
    "a loop without end": f"fnn.network(fnn.repeat(fnn.batch_norm(), {10**9}), fnn.huber(), input_shape=(3,))",
    "chains within chains": f"fnn.network({'fnn.serial(' * 60}fnn.dense(2){')' * 60}, fnn.huber(), input_shape=(3,))",
    "images beyond 32 bits": f"fnn.network(fnn.max_pool(2), fnn.huber(), input_shape=({10**9}, {10**9}, 1))",
    "a rule that is none": "fnn.network(fnn.stateless('a', fnn.no_params, fnn.no_params, fnn.no_params), fnn.huber(), "
    "input_shape=(3,))",
    "a number without end": "fnn.network(fnn.dense(2), fnn.huber(1e999), input_shape=(3,))",
    "a function that reads": "fnn.load('x')",
    "a call of a call": "fnn.dense(2)(3)",
    "a sign before text": "-'a'",
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_no_more_than_its_file_deserves(name, tmp_path):
    """Shapes are compared with what the file holds before anything is made of them."""
    path = tmp_path / "net"
    fnn.save(path, {"params": (), "state": ()}, network=RECIPES[name])
    tracemalloc.start()
    with pytest.raises(ValueError, match=path.name) as caught:
        fnn.load_network(path)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert len(str(caught.value)) < 500 + len(str(path))


def test_chains_within_chains_cost_each_layer_a_few_looks():
    """Once a chain within a chain doubled the time of all that is inside: 12 of them took minutes."""
    looks = []

    def fwd(params, x):
        looks.append(x.shape)
        return x, ()

    layer = fnn.stateless("counted", fnn.no_params, fwd, lambda _, dy: ((), dy))
    for _ in range(40):
        layer = fnn.serial(layer)
    fnn.network(layer, fnn.huber(), input_shape=(3,)).init_state()
    assert len(looks) < 200
