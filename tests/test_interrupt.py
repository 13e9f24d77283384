"""Ctrl-C ends `fit` with a result from its first moment on, and the process ends cleanly, while a program compiles too.

The suite presses a few times; FNN_PRESSES=30 python -m pytest tests/test_interrupt.py is the long version.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

import fnn
from fnn.training.evaluation import measured
from fnn.training.interruption import at_once, finishing

PRESSES = int(os.environ.get("FNN_PRESSES", "2"))
SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import jax, numpy as np, fnn
x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 0).astype(np.int32)
train = (lambda epoch: ((x[i : i + 32], y[i : i + 32]) for i in (0, 32))) if {streamed} else (x, y)
net, optimizer, key = fnn.mlp(2, 16, 2), fnn.adam(), jax.random.key(1)
print("ready", flush=True)
run = fnn.fit(net, train, optimizer=optimizer, epochs=10**7, batch_size={size}, key=key, validation=(x, y),
              progress=False)
print(run.stopped, len(run.history) < 10**7, bool(np.isfinite(run.params[0].W).all()), flush=True)
"""


@pytest.fixture(autouse=True)
def _listening():
    """A shell starts what it sends to the background deaf to Ctrl-C; these tests are to be heard there too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("press", range(PRESSES))
def test_a_process_that_is_interrupted_ends_with_a_result(press):
    script = SCRIPT.format(streamed=press % 2, size=None if press % 2 else 32)
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as run:
        assert run.stdout.readline() == "ready\n"
        time.sleep(random.Random(press).uniform(0, 1.5))
        run.send_signal(signal.SIGINT)
        try:
            out, err = run.communicate(timeout=200)
        finally:
            run.kill()
    assert (run.returncode, out, err) == (0, "interrupt True True\n", "")


X = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
NET, SGD, KEY = fnn.mlp(2, 1, loss=fnn.mean_squared_error), fnn.sgd(0.1), jax.random.key(0)


def fit(train=(X, X[:, :1]), batch_size=8, **options):
    settings = {"optimizer": SGD, "epochs": 4, "key": KEY, "progress": False, "batch_size": batch_size}
    return fnn.fit(NET, train, **(settings | options))


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_what_is_under_way_is_finished_and_kept(tmp_path, monkeypatch, capsys):
    """Pressed while the second epoch is measured: it counts, its checkpoint is written, callbacks are not called."""
    counted, seen = [], []

    def pressed(*args):
        counted.append(1)
        if len(counted) == 2:
            press()
        return measured(*args)

    monkeypatch.setattr("fnn.training.fitting.measured", pressed)
    options = {"validation": (X, X[:, :1]), "checkpoint": tmp_path}
    run = fit(callbacks=[lambda ts, history: seen.append(len(history))], progress=True, **options)
    assert "finishing what is under way; Ctrl-C again ends it at once" in capsys.readouterr().err
    assert (run.stopped, len(run.history), seen) == ("interrupt", 2, [1])
    assert (tmp_path / "epoch-00000002.safetensors").exists()
    chex.assert_trees_all_equal(fit(**options).train_state, fit().train_state)


def test_before_the_first_epoch(monkeypatch):
    start = fnn.init_train_state

    def pressed(*args):
        press()
        return start(*args)

    monkeypatch.setattr("fnn.training.starting.init_train_state", pressed)
    run = fit()
    assert (run.stopped, run.history) == ("interrupt", ())
    chex.assert_trees_all_equal(run.train_state, start(NET, SGD, KEY))


def test_a_generator_and_a_callback_are_ended_at_once():
    reached = []

    def batches(epoch):
        yield X[:8], X[:8, :1]
        press()
        reached.append("the next line of a generator")

    run = fit(train=batches, batch_size=None)
    assert (run.stopped, run.history, int(run.train_state.step)) == ("interrupt", (), 0)  # one batch is sent ahead

    def callback(ts, history):
        press()
        reached.append("the next line of a callback")

    run = fit(callbacks=[callback])
    assert (run.stopped, len(run.history)) == ("interrupt", 1)
    assert not reached


def test_a_step_of_a_stream_is_finished(monkeypatch):
    """Pressed while the third batch is looked at, when the second has been sent and the first is worked on."""
    check, looked = fnn.networks.network.Network.check_batch, []

    def pressed(*args):
        looked.append(len(looked))
        if len(looked) == 3:
            press()
        return check(*args)

    monkeypatch.setattr("fnn.networks.network.Network.check_batch", pressed)
    run = fit(train=[(X[i : i + 8], X[i : i + 8, :1]) for i in (0, 8, 16)] * 2, batch_size=None)
    assert (run.stopped, run.history, len(looked)) == ("interrupt", (), 3)
    assert int(run.train_state.step) <= 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))


def test_pressed_twice_it_ends_at_once_and_the_handler_is_as_before():
    def twice():
        with finishing():
            press()
            press()
            pytest.fail("still going on")

    def in_code_of_somebody_else():
        with finishing(), at_once():
            press()
            pytest.fail("still going on")

    for pressed in (twice, in_code_of_somebody_else):
        with pytest.raises(KeyboardInterrupt):
            pressed()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_exception_that_is_lost_in_a_destructor_is_remembered(monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: lost.append(unraisable.exc_type))

    class Destroyed:
        def __del__(self):
            press()

    def batches(epoch):
        yield X[:8], X[:8, :1]
        if epoch == 2:
            Destroyed()  # pressed in there

    run = fit(train=batches, batch_size=None)
    assert lost == [KeyboardInterrupt]
    assert (run.stopped, len(run.history)) == ("interrupt", 2)


def test_somebody_else_s_handler_and_other_threads_are_left_alone():
    pressed = []
    signal.signal(signal.SIGINT, lambda *arguments: pressed.append(1))
    try:
        with finishing() as noted:
            press()
        assert (pressed, noted.pressed) == ([1], False)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(fit(epochs=1)))
    thread.start()
    thread.join()
    assert runs[0].stopped == "epochs"
