"""Saving and loading: every tree comes back to the bit, and no damaged file ever becomes a wrong array."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

KEY = jax.random.key(3)
NET, MOMENTUM = fnn.mlp(3, 4, 2), fnn.momentum(0.1)
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)


def same(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    chex.assert_trees_all_equal(got, jax.tree.map(jnp.asarray, expected))
    chex.assert_trees_all_equal_dtypes(got, jax.tree.map(jnp.asarray, expected))


TREES = {
    "params": NET.init(KEY),
    "train state": fnn.init_train_state(NET, fnn.adam(), KEY),
    "nested": {"a": [fnn.DenseParams((jnp.ones(2), ()), None), {}], "b": (np.zeros((0, 3), np.float32),)},
    "one array": jnp.float32(3.5),
    "types": [jnp.ones(3, dtype) for dtype in ("bool", "int8", "uint8", "int32", "uint32", "float16", "bfloat16")],
    "keys": (jax.random.key(1), jax.random.split(jax.random.key(2), 3), jax.random.key(3, impl="rbg")),
    "extremes": jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45, 3.4e38], jnp.float32),
}


@pytest.mark.parametrize("name", TREES)
def test_comes_back_to_the_bit(name, tmp_path):
    tree = TREES[name]
    fnn.save(tmp_path / "tree.safetensors", tree)
    same(fnn.load(tmp_path / "tree.safetensors"), tree)
    same(fnn.load(tmp_path / "tree.safetensors", like=tree), tree)
    first = (tmp_path / "tree.safetensors").read_bytes()
    fnn.save(tmp_path / "tree.safetensors", tree)
    assert (tmp_path / "tree.safetensors").read_bytes() == first


def test_what_was_numpy_comes_back_as_numpy(tmp_path):
    path, table = tmp_path / "tree.safetensors", np.array([[1 / 3, 5.0], [2.0, 5.0]])
    scaler = fnn.preprocessing.standardize(table)
    fnn.save(path, {"params": NET.init(KEY), "scaler": scaler, "rows": np.arange(3) + 2**40})
    tree = fnn.load(path)
    assert type(tree["scaler"]) is type(scaler)
    for got, expected in zip(tree["scaler"], scaler, strict=True):
        assert type(got) is np.ndarray
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, expected)
        got[:] = 0  # nobody else's memory
    np.testing.assert_array_equal(tree["rows"], np.arange(3) + 2**40)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(tree["params"]))
    np.testing.assert_array_equal(fnn.load(path)["scaler"].mean, scaler.mean)
    like = {"params": NET.init(KEY), "scaler": scaler, "rows": np.zeros(3, int)}
    assert type(fnn.load(path, like)["rows"]) is np.ndarray


def test_float64_of_jax_needs_x64_to_come_back(tmp_path):
    path = tmp_path / "tree.safetensors"
    with jax.enable_x64(True):
        fnn.save(path, jnp.array([1 / 3]))
        assert fnn.load(path)[0] == 1 / 3
    with pytest.raises(ValueError, match=r"array is float64, which would lose precision: .* jax.enable_x64\(True\)"):
        fnn.load(path)


def test_metadata(tmp_path):
    fnn.save(tmp_path / "a", jnp.ones(2), seed=0, net=repr(NET), note='Zürich "π" "sha256":"', nested={"x": [1, None]})
    found = fnn.load_metadata(tmp_path / "a")
    assert found["versions"]["jax"] == jax.__version__
    assert found["net"] == repr(NET)
    assert (found["seed"], found["nested"], found["note"]) == (0, {"x": [1, None]}, 'Zürich "π" "sha256":"')


def test_other_tools_can_read_it(tmp_path):
    from safetensors.numpy import load_file

    fnn.save(tmp_path / "net.safetensors", NET.init(KEY))
    arrays = load_file(tmp_path / "net.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {
        "0.W": (4, 3),
        "0.b": (4,),
        "2.W": (2, 4),
        "2.b": (2,),
    }


def test_like_is_compared(tmp_path):
    path = tmp_path / "net.safetensors"
    fnn.save(path, NET.init(KEY))
    with pytest.raises(ValueError, match=r"\['4.W', '4.b'\] is missing and nothing is there besides"):
        fnn.load(path, like=fnn.mlp(3, 4, 2, 2).init(KEY))
    with pytest.raises(ValueError, match=r"holds 0.W as float32 \(4, 3\), expected float32 \(4, 5\)"):
        fnn.load(path, like=fnn.mlp(5, 4, 2).init(KEY))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"rate": 0.1}, "got float at rate; convert it with jnp.asarray, or put it into the metadata"),
        ({1: jnp.ones(1)}, "expected dictionaries with string keys"),
        ({"a": {"b": jnp.ones(1)}, "a.b": jnp.ones(1)}, "expected one array called a.b, got two"),
        (np.array(["text"]), "expected an array of numbers"),
        (np.array([None]), "expected an array of numbers"),
    ],
)
def test_trees_that_cannot_be_saved(tree, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        fnn.save(tmp_path / "tree", tree)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match="metadata that JSON can hold"):
        fnn.save(tmp_path / "tree", jnp.ones(1), layer=fnn.relu)


# runs


def fit(directory, **options):
    defaults = {"optimizer": MOMENTUM, "epochs": 6, "batch_size": 8, "key": KEY, "progress": False}
    return fnn.fit(NET, (X, Y), checkpoint=directory, **{**defaults, **options})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def assert_same_run(got, expected):
    chex.assert_trees_all_equal(got.train_state, expected.train_state)
    chex.assert_trees_all_equal(got.params, expected.params)
    assert [e[:3] for e in got.history] == [e[:3] for e in expected.history]


@pytest.mark.parametrize("options", [{}, {"validation": (X, Y), "patience": 50}], ids=["plain", "early stopping"])
@pytest.mark.parametrize("every", [1, 2, 4])
def test_a_resumed_run_is_the_uninterrupted_one(every, options, tmp_path):
    whole = fit(None, **options)
    for epochs in (3, 5, 6):
        run = fit(tmp_path, epochs=epochs, checkpoint_every=every, **options)
    assert_same_run(run, whole)
    assert names(tmp_path) == ["epoch-00000005.safetensors", "epoch-00000006.safetensors"]
    (tmp_path / f".fnn-{'0' * 32}.part").write_bytes(b"left by a kill")
    assert_same_run(fit(tmp_path, epochs=6, **options), whole)
    assert_same_run(fit(tmp_path, epochs=7, **options), fit(None, epochs=7, **options))
    assert names(tmp_path) == ["epoch-00000006.safetensors", "epoch-00000007.safetensors"]


def test_copies_that_somebody_keeps_are_left_alone_and_disturb_nothing(tmp_path):
    whole = fit(None)
    copies = ["epoch-00000001-mybest.safetensors", "epoch-best.safetensors", "epoch-99999999.safetensors.bak"]
    copies += [".epoch-00000003.safetensors.99.part", "best.safetensors"]
    fit(tmp_path, epochs=2)
    for i, name in enumerate(copies):
        (tmp_path / name).write_bytes((tmp_path / "epoch-00000001.safetensors").read_bytes() if i < 2 else b"mine")
    (tmp_path / "epoch-00000007.safetensors").mkdir()  # nor is a folder a checkpoint
    contents = {name: (tmp_path / name).read_bytes() for name in copies}
    assert_same_run(fit(tmp_path), whole)
    assert {name: (tmp_path / name).read_bytes() for name in copies} == contents
    kept = ["epoch-00000005.safetensors", "epoch-00000006.safetensors", "epoch-00000007.safetensors"]
    assert names(tmp_path) == sorted([*copies, *kept])


def test_a_file_of_other_metadata_is_no_checkpoint(tmp_path):
    whole = fit(tmp_path)
    own = fnn.load_metadata(tmp_path / "epoch-00000006.safetensors")["identity"]
    record = {"history": [[1, 2]], "stopping": {}, "stopped": ""}
    others = [{}, {"record": [1]}, {"identity": 3, "record": None}]
    others += [{"identity": own, "record": {}}, {"identity": own, "record": record}]
    for i, metadata in enumerate(others):
        fnn.save(tmp_path / f"epoch-0000001{i}.safetensors", whole.params, **metadata)
    with pytest.warns(RuntimeWarning, match="is no checkpoint: .*; resuming from epoch-00000006.safetensors"):
        assert_same_run(fit(tmp_path), whole)


def test_a_run_that_ended_early_stays_ended(tmp_path):
    run = fit(tmp_path, callbacks=[lambda ts, history: len(history) == 2])
    again = fit(tmp_path, callbacks=[lambda ts, history: False])
    assert again.stopped == run.stopped == "callback"
    assert_same_run(again, run)


def test_a_damaged_newest_file_falls_back_and_says_so(tmp_path):
    whole = fit(tmp_path)
    newest = tmp_path / "epoch-00000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match=r"00006.safetensors is damaged.*resuming from epoch-00000005.safetensors"):
        assert_same_run(fit(tmp_path), whole)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no intact checkpoint in .* delete it to start anew"):
        fit(tmp_path)


def test_a_function_of_one_s_own_lies_elsewhere_in_the_next_process(tmp_path):
    def run(epochs):
        def rate(step):
            return 0.1 / (1 + jnp.float32(step))

        init, update = fnn.sgd(rate)
        return fit(tmp_path, epochs=epochs, optimizer=fnn.chain(fnn.Optimizer(init, lambda *args: update(*args))))

    assert len(run(1).history) == 1
    assert len(run(2).history) == 2


def test_a_checkpoint_of_an_earlier_version_is_refused_in_words(tmp_path):
    """It knew neither its optimizer nor whether examples had weights, and its optimizer's state held no numbers."""
    run = fit(tmp_path, epochs=1)
    identity = {"network": repr(NET), "data": [[[20, 3], "float32"], [[20], "int32"]], "batch_size": 8, "key": [0, 3]}
    old = run.train_state._replace(opt_state=run.train_state.opt_state._replace(settings=()))
    record = {"history": run.history, "best_loss": 1.0, "mark": 1.0, "waited": 0, "stopped": ""}
    path = tmp_path / "epoch-00000001.safetensors"
    fnn.save(path, (old, ()), identity=identity, record=record)
    message = (
        "another version of fnn: expected a run that is known by its optimizer, got .* with the version that began it"
    )
    with pytest.raises(ValueError, match=message):
        fit(tmp_path)


def test_a_record_that_cannot_be_read_is_refused_in_words(tmp_path):
    run = fit(tmp_path, epochs=1)
    path = tmp_path / "epoch-00000001.safetensors"
    identity = fnn.load_metadata(path)["identity"]
    for record in ({}, {"history": [[1]], "stopping": {}, "stopped": ""}):
        fnn.save(path, (run.train_state, ()), identity=identity, record=record)
        with pytest.raises(ValueError, match=r"expected the record of a run.*delete it to start anew"):
            fit(tmp_path)
