"""Run by test_devices.py, in a process with eight simulated devices: the same runs on 1, 2, 4 and 8, told as JSON."""

import json
import os
import re
import sys
from functools import partial

from compiler import FLAGS

os.environ["NPROC"] = "16"  # eight devices starve the default thread pool of a small machine
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {FLAGS}"

import jax
import jax.numpy as jnp
import numpy as np

import fnn
from fnn.training.devices import shards_of
from fnn.training.steps import training_epoch

jax.config.update("jax_disable_most_optimizations", True)
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES, FEATURES = RNG.normal(size=(80, 4, 4, 2)), RNG.normal(size=(80, 6))
LABELS, WEIGHTS = RNG.integers(0, 3, 80), RNG.uniform(0.5, 2, 80)

conv = fnn.serial(fnn.conv2d(3), fnn.tanh, fnn.flatten, fnn.dense(3))
norm = fnn.serial(fnn.dense(8), fnn.batch_norm(), fnn.tanh, fnn.dense(3))
drop = fnn.serial(fnn.dense(8), fnn.tanh, fnn.dropout(0.3), fnn.dense(3))
loop = fnn.serial(fnn.dense(5), fnn.repeat(fnn.serial(fnn.dense(5), fnn.tanh), 3), fnn.dense(3))
every = fnn.serial(
    fnn.conv2d(3),
    fnn.batch_norm(),
    fnn.tanh,
    fnn.flatten,
    fnn.dense(5),
    fnn.repeat(fnn.serial(fnn.dense(5), fnn.tanh), 2),
    fnn.dropout(0.3),
    fnn.dense(3),
)
clipped = fnn.chain(fnn.clip_by_global_norm(0.5), fnn.sgd(0.1))


def network(layer, shape, **more):
    return fnn.network(layer, fnn.softmax_cross_entropy, input_shape=shape, **more)


# name: the network, its data, whether examples have weights, the optimizer, how far numbers may be apart
FEW = {
    "all of it": (network(every, (4, 4, 2), penalty=fnn.l2(1e-2)), IMAGES, True, clipped, 1e-5),
    "all of it in float64": (network(every, (4, 4, 2), penalty=fnn.l2(1e-2)), IMAGES, True, clipped, 1e-10),
    "muon in bfloat16": (fnn.mlp(6, 8, 8, 3, precision="bfloat16"), FEATURES, False, fnn.muon(0.02), 1e-3),
}
MANY = FEW | {
    name + suffix: (net, x, weighted, optimizer, within)
    for suffix, within in (("", 1e-5), (" in float64", 1e-10))
    for name, net, x, weighted, optimizer in (
        ("dense", fnn.mlp(6, 8, 3, activation=fnn.tanh), FEATURES, False, fnn.sgd(0.1)),
        ("conv2d", network(conv, (4, 4, 2)), IMAGES, False, fnn.sgd(0.1)),
        ("batch_norm", network(norm, (6,)), FEATURES, False, fnn.sgd(0.1)),
        ("dropout", network(drop, (6,)), FEATURES, False, fnn.sgd(0.1)),
        ("weights", fnn.mlp(6, 8, 3), FEATURES, True, fnn.sgd(0.1)),
        ("penalty", fnn.mlp(6, 8, 3, penalty=fnn.spectral_norm(1e-2)), FEATURES, False, fnn.sgd(0.1)),
        ("repeat", network(loop, (6,)), FEATURES, False, fnn.sgd(0.1)),
        ("clipping", fnn.mlp(6, 8, 3), FEATURES, False, clipped),
        ("muon", fnn.mlp(6, 8, 8, 3, activation=fnn.tanh), FEATURES, False, fnn.muon(0.02)),
    )
}


def over(devices, explicit=False):
    kinds = {} if explicit else {"axis_types": (jax.sharding.AxisType.Auto,)}
    return jax.make_mesh((devices,), ("examples",), devices=jax.devices()[:devices], **kinds)


def trained(name, devices):
    """Losses of three epochs, measures after each, parameters and state, as numbers."""
    net, x, weighted, optimizer, _ = MANY[name]
    double = name.endswith("float64")
    with jax.enable_x64(double):
        kind = np.float64 if double else np.float32
        x, weights = x.astype(kind), WEIGHTS.astype(kind) if weighted else None
        settings = {"optimizer": optimizer, "epochs": 3, "batch_size": 32, "key": KEY, "progress": False}
        fit = fnn.fit(net, (x, LABELS), weights=weights, validation=(x, LABELS), mesh=over(devices), **settings)
        told = [number for line in fit.history for number in (line.train_loss, line.validation.loss)]
        leaves = jax.tree.leaves((fit.params, fit.state))
        return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in (told, *leaves)])


def apart(name, devices):
    """The largest difference between one device and several, in units of what the case allows."""
    one, *others = (trained(name, n) for n in devices)
    return [float(np.abs(one - other).max() / MANY[name][-1]) for other in others]


def work():
    """Of one device in an epoch of 784-512-512-10: its flops a step, and what it exchanges with others."""
    net, optimizer = fnn.mlp(784, 512, 512, 10), fnn.sgd(0.1)
    x, y = jnp.zeros((512, 784)), jnp.zeros(512, jnp.int32)
    told = {}
    for devices in (1, 2, 8):
        data = fnn.place((x, y), over(devices))
        shards, ts = shards_of(data, 8).enter(fnn.init_train_state(net, optimizer, KEY))
        epoch = jax.jit(partial(training_epoch, net, optimizer.update, 128, rows=shards))
        with jax.set_mesh(shards.mesh):
            program = epoch.lower(ts, *data, None).compile()
        text = program.as_text()
        exchanged = re.findall(r"= .*? (all-[a-z-]+|reduce-scatter|collective-[a-z-]+)(?:-start)?\(", text)
        told[devices] = {"flops": program.cost_analysis()["flops"], "exchanged": exchanged}
    return told


def filled_up():
    """77 rows, which eight shards can't share: what they give, and what a network with batch_norm says."""
    x, y = FEATURES[:77].astype(np.float32), LABELS[:77]
    settings = {"epochs": 1, "batch_size": 40, "key": KEY, "progress": False, "mesh": over(4)}
    net = fnn.mlp(6, 8, 3)
    fit = fnn.fit(net, (x, y), validation=(x, y), optimizer=fnn.sgd(0.0), **settings)  # learns nothing
    alone = fnn.evaluate(net, jax.device_get(fit.params), x, y)
    try:
        fnn.fit(network(norm, (6,)), (x, y), optimizer=fnn.sgd(0.1), **settings)
    except ValueError as error:
        says = str(error)
    line = fit.history[0]
    gaps = [abs(number - alone.loss) for number in (line.train_loss, line.validation.loss)]
    return {"gap": max(gaps), "accuracy": [line.validation.accuracy, alone.accuracy], "says": says}


def explicit():
    """Axes as jax.make_mesh makes them, at sizes where products are products."""
    rows = jax.NamedSharding(over(4, explicit=True), jax.P("examples"))
    net, optimizer = fnn.mlp(50, 64, 3), fnn.adam(0.01)
    x, y = jnp.asarray(RNG.normal(size=(128, 50)), jnp.float32), jnp.arange(128) % 3
    step, state = fnn.make_train_step(net, optimizer), fnn.init_train_state(net, optimizer, KEY)
    expected, placed = step(state, x, y)[1], jax.device_put((x, y), rows)
    after, loss = step(state, *placed)
    with jax.set_mesh(rows.mesh):
        after, _ = fnn.make_train_epoch(net, optimizer, 64)(after, *placed)
    measured = fnn.evaluate(net, after.params, *placed), fnn.evaluate(net, after.params, np.asarray(x), np.asarray(y))
    return {
        "gap": abs(float(loss - expected)),
        "explicit": after.params[0].W.sharding.mesh == rows.mesh,
        "measured": abs(measured[0].loss - measured[1].loss),
    }


def ensembles():
    """fit_many with keys, with data, and with nothing spread over devices."""
    net, keys = fnn.mlp(6, 8, 3), jax.random.split(KEY, 8)
    data = FEATURES.astype(np.float32), LABELS
    settings = {"optimizer": fnn.sgd(0.1), "epochs": 2, "batch_size": 80, "validation": data, "progress": False}
    plain = fnn.fit_many(net, keys, data, **settings)
    by_keys = fnn.fit_many(net, fnn.place(keys, over(8)), data, **settings)
    by_rows = fnn.fit_many(net, keys, fnn.place(data, over(8)), **settings)
    return {
        "gap": [max_gap(plain.params, each.params) for each in (by_keys, by_rows)],
        "spread": by_keys.params[0].W.sharding.spec == jax.P("examples"),
        "each": by_keys.params[0].W.addressable_shards[0].data.shape[0],
    }


def rows_of_parameters():
    """Parameters whose rows are spread: moments lie as they do, and stay; the numbers are those of one device."""
    net, optimizer = fnn.mlp(6, 16, 8, activation=fnn.tanh), fnn.adam(0.01)
    data = fnn.place((FEATURES.astype(np.float32), LABELS), over(8))
    params = net.init(KEY)
    spread = jax.device_put(params, jax.NamedSharding(over(8), jax.P("examples")))
    settings = {"optimizer": optimizer, "epochs": 2, "batch_size": 40, "key": KEY, "progress": False}
    fit = fnn.fit(net, data, params=spread, **settings)
    same = fnn.fit(net, data, params=params, **settings)
    leaves = [leaf for leaf in jax.tree.leaves((fit.params, fit.train_state.opt_state)) if leaf.ndim]
    return {
        "gap": max_gap(fit.params, same.params),
        "stay": all(leaf.sharding.spec == jax.P("examples") for leaf in leaves),
    }


def diverging():
    """What a run says that meets a value which is not finite, on several devices."""
    x = FEATURES.astype(np.float32).copy()
    weights = np.ones(80, np.float32)
    settings = {"optimizer": fnn.sgd(1e30), "epochs": 9, "batch_size": 40, "key": KEY, "progress": False}
    try:
        fnn.fit(fnn.mlp(6, 8, 3), (x, LABELS), weights=weights, mesh=over(8), **settings)
    except fnn.TrainingDiverged as error:
        return str(error)


def max_gap(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


if __name__ == "__main__":
    devices, cases = ((1, 2, 4, 8), MANY) if "--whole" in sys.argv else ((1, 8), FEW)
    told = {name: apart(name, devices) for name in cases}
    others = (work, filled_up, explicit, ensembles, rows_of_parameters, diverging)
    print(json.dumps({"apart": told} | {function.__name__: function() for function in others}))
