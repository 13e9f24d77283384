"""A run resumes from its own checkpoints alone: whatever makes it another run is named, whatever does not is not asked.

One run is made for each kind of source; all others find its checkpoint, and are refused before anything is compiled.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import fnn
from fnn.training.fingerprints import fingerprint

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (12, 4, 4, 1)).astype(np.uint8)
TARGETS = RNG.normal(size=(12, 1)).astype(np.float32)
WEIGHTS = np.linspace(0.5, 2.0, 12, dtype=np.float32)
OTHER_TARGETS = TARGETS[::-1].copy()


def network(
    *,
    factor=1 / 255,
    width=2,
    padding="SAME",
    momentum=0.9,
    slope=0.01,
    window=2,
    rate=0.25,
    delta=1.0,
    loss=None,
    penalty=None,
    initializer=fnn.initializers.he_normal,
):
    layers = (
        fnn.rescale(factor),
        fnn.conv2d(width, 3, padding=padding, initializer=initializer),
        fnn.batch_norm(momentum),
        fnn.leaky_relu(slope),
        fnn.max_pool(window),
        fnn.flatten,
        fnn.dropout(rate),
        fnn.dense(1),
    )
    return fnn.network(fnn.serial(*layers), loss or fnn.huber(delta), input_shape=(4, 4, 1), penalty=penalty)


def fit(directory, net=None, **options):
    settings = {"optimizer": fnn.adam(0.01), "epochs": 1, "batch_size": 4, "key": KEY, "progress": False}
    settings |= {"train": (IMAGES, TARGETS), "validation": (IMAGES[:4], TARGETS[:4]), "weights": WEIGHTS}
    settings |= {"checkpoint": directory} | options
    return fnn.fit(net or network(), settings.pop("train"), **settings)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    fit(directory)
    return directory


def changed(array, at=(0,)):
    array = array.copy()
    array[at] += 1
    return array


def swapped(array):
    return array[[1, 0, *range(2, len(array))]]


SCHEDULE = fnn.step_decay(0.01, 0.5, 10)
OTHER_NETWORKS = {
    "rescale's factor": network(factor=1 / 256),
    "a convolution's width": network(width=3),
    "a convolution's padding": network(padding="VALID"),
    "an initializer": network(initializer=fnn.initializers.lecun_normal),
    "batch_norm's momentum": network(momentum=0.99),
    "leaky_relu's slope": network(slope=0.02),
    "max_pool's window": network(window=(2, 1)),
    "dropout's rate": network(rate=0.5),
    "huber's delta": network(delta=2.0),
    "another loss": network(loss=fnn.mean_squared_error),
    "a penalty": network(penalty=fnn.l2(1e-4)),
}
OTHER_OPTIMIZERS = {
    "a rate": (fnn.adam(0.01), fnn.adam(0.02)),
    "a share": (fnn.adam(0.01), fnn.adam(0.01, beta1=0.8)),
    "a schedule": (fnn.adam(0.01), fnn.adam(SCHEDULE)),
    "a schedule's numbers": (fnn.adam(SCHEDULE), fnn.adam(fnn.step_decay(0.01, 0.5, 11))),
    "adamw for adam": (fnn.adam(0.01), fnn.adamw(0.01)),
    "adagrad for rmsprop": (fnn.rmsprop(0.01), fnn.adagrad(0.01)),
    "nesterov for momentum": (fnn.momentum(0.01), fnn.momentum(0.01, nesterov=True)),
    "clipping": (fnn.sgd(0.01), fnn.chain(fnn.clip_by_value(1.0), fnn.sgd(0.01))),
    "a lambda's number": (fnn.sgd(lambda step: 0.01), fnn.sgd(lambda step: 0.02)),
    "a number that a function holds": tuple(
        fnn.sgd(functools.partial(lambda rate, step: rate, r)) for r in (0.01, 0.02)
    ),
}
OTHERS = {
    "x": {"train": (changed(IMAGES), TARGETS)},
    "y": {"train": (IMAGES, changed(TARGETS))},
    "y, permuted": {"train": (IMAGES, swapped(TARGETS))},
    "x, permuted": {"train": (swapped(IMAGES), TARGETS)},
    "x and y, fewer": {"train": (IMAGES[:8], TARGETS[:8]), "weights": WEIGHTS[:8]},
    "x, of another type": {"train": (IMAGES.astype(np.float32), TARGETS)},
    "weights": {"weights": changed(WEIGHTS)},
    "weights, none": {"weights": None},
    "validation": {"validation": (changed(IMAGES[:4]), TARGETS[:4])},
    "validation, its targets": {"validation": (IMAGES[:4], swapped(TARGETS[:4]))},
    "validation, none": {"validation": None},
    "batch_size": {"batch_size": 3},
    "key": {"key": jax.random.key(4)},
    "early stopping": {"patience": 3},
    "x, from the host": {"train": [(IMAGES[:4], TARGETS[:4])], "weights": None, "batch_size": None},
}


def refused(directory, match, net=None, **options):
    with pytest.raises(ValueError, match=match) as caught:
        fit(directory, net, **options)
    message = str(caught.value).replace(str(directory), "runs")
    assert len(message) <= 300, message
    assert "of another run: expected" in message or "holds another run: expected" in message


@pytest.mark.parametrize("what", OTHER_NETWORKS)
def test_another_network_is_another_run(what, begun):
    refused(begun, "expected network ", OTHER_NETWORKS[what])


@pytest.mark.parametrize("what", OTHER_OPTIMIZERS)
def test_another_optimizer_is_another_run(what, tmp_path):
    net, data = fnn.mlp(1, 1, loss=fnn.mean_squared_error), (TARGETS, TARGETS)
    settings = {"train": data, "validation": None, "weights": None, "batch_size": 12}
    one, other = OTHER_OPTIMIZERS[what]
    fit(tmp_path, net, optimizer=one, **settings)
    refused(tmp_path, "expected (optimizer|functions) ", net, optimizer=other, **settings)


@pytest.mark.parametrize("what", OTHERS)
def test_other_data_and_settings_are_another_run(what, begun):
    refused(begun, f"expected {what.split(',')[0].split(' and ')[0]} ", **OTHERS[what])


def test_all_that_differs_is_named(begun):
    with pytest.raises(ValueError, match=r"expected key \[0, 4\], got \[0, 3\] \(y, batch_size differ too\)"):
        fit(begun, key=jax.random.key(4), batch_size=3, train=(IMAGES, OTHER_TARGETS))


def test_params_to_start_from_are_part_of_a_run(tmp_path):
    net = fnn.mlp(1, 1, loss=fnn.mean_squared_error)
    settings = {"train": (TARGETS, TARGETS), "validation": None, "weights": None, "batch_size": 12}
    one, other = net.init(jax.random.key(1)), net.init(jax.random.key(2))
    fit(tmp_path, net, params=one, **settings)
    refused(tmp_path, "expected params .* arrays with content .*, got 2 arrays with", net, params=other, **settings)
    refused(tmp_path, "expected params none, got", net, **settings)
    fit(tmp_path, net, params=jax.tree.map(np.asarray, one), **settings)


def test_what_is_no_part_of_a_run(begun, tmp_path):
    """How long it is, who watches it, and where and how its arrays lie."""
    whole = fit(None, epochs=3)
    for file in begun.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    run = fit(tmp_path, epochs=2, progress=True, callbacks=[lambda ts, history: None], checkpoint_every=5)
    assert len(run.history) == 2
    wide = (np.asfortranarray(IMAGES), TARGETS.astype(np.float64))
    for options in (
        {"train": wide, "weights": WEIGHTS.astype(np.float64).tolist()},
        {"train": tuple(map(jnp.asarray, (IMAGES, TARGETS))), "validation": [IMAGES[:4], TARGETS[:4].tolist()]},
    ):
        again = fit(tmp_path, epochs=2, **options)
        chex.assert_trees_all_equal(again.params, run.params)
    chex.assert_trees_all_equal(fit(tmp_path, epochs=3).train_state, whole.train_state)


def test_data_dealt_out_to_shards_are_another_run(begun):
    mesh = jax.make_mesh((2,), ("rows",))
    spread = [jax.device_put(array, NamedSharding(mesh, PartitionSpec("rows"))) for array in (IMAGES, TARGETS)]
    with pytest.raises(ValueError, match="expected shards 4, got none"):
        fit(begun, train=tuple(spread), shards=4)


# streams


def stream(seed=0, from_epoch=1):
    def batches(epoch):
        rng = np.random.default_rng([epoch, seed if epoch >= from_epoch else 0])
        for _ in range(2):
            rows = rng.permutation(12)[:4]
            yield IMAGES[rows], TARGETS[rows]

    return batches


STREAMED = {"weights": None, "batch_size": None, "validation": None}


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stream")
    return directory, fit(directory, train=stream(), epochs=3, **STREAMED)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_other_batches_from_the_host_are_another_run(epoch, streamed):
    directory, run = streamed
    refused(directory, f"expected epoch {epoch} to begin with", train=stream(1, epoch), epochs=3, **STREAMED)
    again = fit(directory, train=stream(1, from_epoch=4), epochs=3, **STREAMED)
    chex.assert_trees_all_equal(again.train_state, run.train_state)


def test_an_iterable_resumes_where_it_is_the_same_in_each_epoch(tmp_path):
    batches = list(stream()(1))
    fit(tmp_path, train=batches, epochs=1, **STREAMED)
    whole = fit(None, train=batches, epochs=2, **STREAMED)
    chex.assert_trees_all_equal(fit(tmp_path, train=batches, epochs=2, **STREAMED).train_state, whole.train_state)
    refused(tmp_path, "pass a function epoch -> iterable", train=batches[::-1], epochs=2, **STREAMED)
    refused(tmp_path, "expected x integers .*, got in batches", epochs=2)


# fingerprints


def test_a_fingerprint_is_of_content_and_place():
    table = RNG.normal(size=(6, 5)).astype(np.float32)
    prints = {fingerprint(table), fingerprint(table.T), fingerprint(table.reshape(5, 6)), fingerprint(swapped(table))}
    prints |= {fingerprint(swapped(table.T).T), fingerprint(table.reshape(-1)), fingerprint(-table)}
    prints |= {fingerprint(np.nextafter(table, np.float32(9))), fingerprint([table]), fingerprint([table, table])}
    assert len(prints) == 9  # one array in a list is that array
    assert fingerprint(table) == fingerprint(table.astype(np.float64)) == fingerprint(jnp.asarray(table))
    assert fingerprint(np.zeros(3)) == fingerprint(-np.zeros(3))
    labels = np.arange(5)
    assert fingerprint(labels) == fingerprint(labels.astype(np.uint8)) == fingerprint(labels.astype(np.int32))
    assert fingerprint(None) == fingerprint(()) == "none"


def test_one_entry_among_many_changes_a_fingerprint():
    zeros = np.zeros((64, 8), np.uint8)
    alone = np.zeros((512, 64, 8), np.uint8)
    alone.reshape(512, 512)[np.arange(512), np.arange(512)] = 1
    assert len({fingerprint(each) for each in (zeros, *alone)}) == 513
