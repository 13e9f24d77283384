"""Run by test_processes.py, several times at once: one process of several, each with some devices.

Arguments: its number, how many processes, devices of each, a free port, a folder, and what to do.
"""

import json
import os
import pathlib
import signal
import sys

from compiler import FLAGS

os.environ["NPROC"] = "4"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={sys.argv[3]} {FLAGS}"

import jax
import numpy as np

import fnn

rank, processes, devices, port, folder, what = (*map(int, sys.argv[1:5]), pathlib.Path(sys.argv[5]), sys.argv[6])
jax.config.update("jax_disable_most_optimizations", True)
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, rank, heartbeat_timeout_seconds=10)

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(80, 6)).astype(np.float32), RNG.integers(0, 3, 80)
mine = slice(rank * 80 // processes, (rank + 1) * 80 // processes)
net = fnn.network(
    fnn.serial(fnn.dense(8), fnn.batch_norm(), fnn.tanh, fnn.dropout(0.2), fnn.dense(3)),
    fnn.softmax_cross_entropy,
    input_shape=(6,),
)
settings = {"optimizer": fnn.momentum(0.1), "batch_size": 40, "key": KEY}


def trained(epochs, **more):
    data = fnn.place((X[mine], Y[mine]))
    kept = {"checkpoint": folder / "run"}
    return fnn.fit(net, data, validation=data, epochs=epochs, **(settings | kept | more))


def numbers(fit):
    lines = [number for line in fit.history for number in (line.train_loss, line.validation.loss)]
    return [*lines, *(float(n) for leaf in jax.tree.leaves(fit.params) for n in np.ravel(leaf))]


def refused(run):
    try:
        run()
    except ValueError as error:
        return str(error)


def killed(ts, history):
    """The last process dies after an epoch."""
    if len(history) == 2 and rank == processes - 1:
        os.kill(os.getpid(), signal.SIGKILL)


def said():
    """What a process says to wrong calls, and to a run that diverges."""
    host = X[mine], Y[mine]
    diverged = ""
    try:
        data = fnn.place(host)
        fnn.fit(fnn.mlp(6, 8, 3), data, epochs=9, **(settings | {"optimizer": fnn.sgd(1e30)}))
    except fnn.TrainingDiverged as error:
        diverged = str(error)
    return {
        "fit": refused(lambda: fnn.fit(net, host, epochs=1, **settings)),
        "batches": refused(lambda: fnn.fit(net, [host], epochs=1, optimizer=fnn.sgd(0.1), key=KEY)),
        "evaluate": refused(lambda: fnn.evaluate(net, net.init(KEY), *host, state=net.init_state())),
        "diverged": diverged,
    }


if what == "run":
    trained(1)
    told = {"resumed": numbers(trained(3)), **said()}
if what == "killed":
    trained(6, callbacks=[killed])
if what == "alone":
    told = {"fresh": numbers(trained(3, checkpoint=None)), "resumed": numbers(trained(3))}
(folder / f"{what}-{rank}.json").write_text(json.dumps(told))
