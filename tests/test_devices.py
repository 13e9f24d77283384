"""Training on many devices: the same numbers on any number of them, and the work shared. One process tries them all."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import fnn

ROOT = pathlib.Path(fnn.__file__).parents[1]
TESTS = pathlib.Path(__file__).parent
WHOLE = bool(os.environ.get("FNN_WHOLE"))
KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
Y = np.arange(48) % 2


@pytest.fixture(scope="module")
def told():
    """What eight_devices.py says."""
    path = os.pathsep.join([str(ROOT), str(TESTS)])
    command = [sys.executable, str(TESTS / "eight_devices.py"), *(["--whole"] if WHOLE else [])]
    run = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=900 if WHOLE else 300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def test_the_same_numbers_on_one_device_and_on_several(told):
    assert len(told["apart"]) == (21 if WHOLE else 3)
    for name, apart in told["apart"].items():
        assert max(apart) <= 1, (name, apart)


def test_devices_share_the_work_and_exchange_one_sum_a_step(told):
    whole = told["work"].pop("1")
    assert whole["exchanged"] == []
    for devices, one in told["work"].items():
        assert one["flops"] <= 1.1 / int(devices) * whole["flops"]
        assert one["exchanged"] == ["all-reduce"]


def test_rows_that_fill_up_count_in_no_loss_and_no_measure(told):
    filled = told["filled_up"]
    assert filled["gap"] < 1e-6
    assert filled["accuracy"][0] == filled["accuracy"][1]
    assert "batch_norm's statistics would count the 3 rows that fill up; leave 5 out" in filled["says"]


def test_explicit_axes_are_taken_and_given_back(told):
    assert told["explicit"] == {
        "gap": pytest.approx(0, abs=1e-6),
        "explicit": True,
        "measured": pytest.approx(0, abs=1e-6),
    }


def test_networks_or_rows_of_an_ensemble_over_devices(told):
    ensembles = told["ensembles"]
    assert max(ensembles["gap"]) < 1e-5
    assert ensembles["spread"]
    assert ensembles["each"] == 1  # each of eight devices holds one network


def test_parameters_in_rows_stay_where_they_lie(told):
    assert told["rows_of_parameters"]["gap"] < 1e-5
    assert told["rows_of_parameters"]["stay"]


def test_divergence_on_several_devices_is_told_as_on_one(told):
    assert "at step 1 the output of layers[2] (dense) is inf at unit 0 for example" in told["diverging"]
    assert "likely cause: the learning rate" in told["diverging"]


def mesh(devices=2):
    return jax.sharding.Mesh(np.asarray(jax.devices()[:devices]), ("examples",))


def test_place_spreads_rows_over_all_devices():
    x, y = fnn.place((X, Y))
    assert x.sharding.spec == jax.P("examples")
    assert {shard.data.shape for shard in y.addressable_shards} == {(24,)}
    np.testing.assert_array_equal(x, X)


SETTINGS = {"optimizer": fnn.sgd(0.1), "epochs": 2, "batch_size": 16, "key": KEY, "progress": False}


def test_a_run_resumes_on_another_number_of_devices(tmp_path):
    net = fnn.mlp(3, 4, 2)
    whole = fnn.fit(net, (X, Y), mesh=mesh(2), **SETTINGS | {"epochs": 4})
    fnn.fit(net, (X, Y), mesh=mesh(2), checkpoint=tmp_path, **SETTINGS)
    for devices in (2, 1):
        resumed = fnn.fit(net, (X, Y), mesh=mesh(devices), checkpoint=tmp_path, **SETTINGS | {"epochs": 4})
        assert len(resumed.params[0].W.sharding.device_set) == devices
        for got, expected in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(whole.params), strict=True):
            np.testing.assert_allclose(got, expected, atol=0 if devices == 2 else 1e-6, rtol=0)
        (tmp_path / "epoch-00000004.safetensors").unlink()
    with pytest.raises(ValueError, match="expected shards 4, got 8"):
        fnn.fit(net, (X, Y), mesh=mesh(2), shards=4, checkpoint=tmp_path, **SETTINGS)


def test_batches_from_the_host_may_be_placed():
    net = fnn.mlp(3, 4, 2)
    batches = [(X[:16], Y[:16]), (X[16:32], Y[16:32])]
    settings = {"optimizer": fnn.adam(0.1), "epochs": 2, "key": KEY, "progress": False}
    one, two = fnn.fit(net, batches, **settings), fnn.fit(net, [fnn.place(batch) for batch in batches], **settings)
    assert one.history[-1].train_loss == pytest.approx(two.history[-1].train_loss, abs=1e-6)
    assert len(two.params[0].W.sharding.device_set) == 2


def test_spread_parameters_are_loaded_to_where_they_lay(tmp_path):
    net, rows = fnn.mlp(3, 4, 2), jax.NamedSharding(mesh(), jax.P("examples"))
    params = jax.device_put(net.init(KEY), rows)
    fnn.save(tmp_path / "params.safetensors", params)
    found = fnn.load(tmp_path / "params.safetensors", like=params)
    assert all(leaf.sharding == rows for leaf in jax.tree.leaves(found))
    np.testing.assert_array_equal(found[0].W, params[0].W)
    settings = SETTINGS | {"params": params, "checkpoint": tmp_path / "run", "optimizer": fnn.adam(0.1)}
    fnn.fit(net, fnn.place((X, Y)), **settings)
    again = fnn.fit(net, fnn.place((X, Y)), **settings | {"epochs": 3})
    assert again.params[0].W.sharding.spec == jax.P("examples")


WRONG = {
    "rows": (
        lambda: fnn.place(X[:44]),
        "place expects rows in a multiple of 8, which 8 shards share, got shape (44, 3)",
    ),
    "no rows": (lambda: fnn.place(np.float32(1)), "got shape ()"),
    "no mesh": (lambda: fnn.place(X, 2), "expected a mesh of devices, got int"),
    "axes": (
        lambda: fnn.place(X, jax.make_mesh((2, 1), ("a", "b"), devices=jax.devices()[:2])),
        "expected a mesh with one axis, got axes ('a', 'b')",
    ),
    "shards": (lambda: fnn.place(X, mesh(), shards=3), "expected shards in a multiple of the 2 devices, got 3"),
    "batch": (
        lambda: fnn.fit(fnn.mlp(3, 2), fnn.place((X, Y)), **SETTINGS | {"batch_size": 20}),
        "expected batch_size in a multiple of 8 shards, got 20; take 16",
    ),
    "epoch": (
        lambda: fnn.make_train_epoch(fnn.mlp(3, 2), fnn.sgd(0.1), 15, shards=5)(
            fnn.init_train_state(fnn.mlp(3, 2), fnn.sgd(0.1), KEY), *fnn.place((X, Y))
        ),
        "expected shards in a multiple of the 2 devices, got 5",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_shared_is_refused_with_the_remedy(what):
    wrong, says = WRONG[what]
    with pytest.raises((TypeError, ValueError)) as refused:
        wrong()
    assert says in str(refused.value)
