"""`fit`: what a run returns, when it stops, what it shows, and that nothing on the way changes its result."""

import sys

import chex
import jax
import numpy as np
import pytest

import fnn
from fnn.training.steps import epoch_order

NET, MOMENTUM, STILL = fnn.mlp(4, 8, 3), fnn.momentum(0.1), fnn.sgd(0.0)
KEY = jax.random.key(7)


def draw(n=50):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (np.abs(x).sum(axis=1) * 0.6).astype(np.int32) % 3


X, Y = draw()


def fit(**options):
    defaults = {"optimizer": MOMENTUM, "epochs": 4, "batch_size": 8, "key": KEY, "progress": False}
    train = options.pop("train", (X, Y))
    return fnn.fit(NET, train, **{**defaults, **options})


@pytest.fixture(scope="module")
def plain():
    return fit()


# what it returns


def test_the_same_key_gives_the_same_bytes_whatever_happens_on_the_way(plain, tmp_path):
    same = fit(progress=True, validation=(X, Y), callbacks=[lambda ts, history: None], checkpoint=tmp_path)
    chex.assert_trees_all_equal(same.train_state, plain.train_state)
    assert [epoch.train_loss for epoch in same.history] == [epoch.train_loss for epoch in plain.history]
    other = fit(key=jax.random.key(8))
    assert not np.array_equal(other.params[0].W, plain.params[0].W)


def test_the_loss_is_averaged_by_example(plain):
    """The last batch has 2 of 50 examples and counts 2/50, penalty and order apart."""
    epoch = fnn.make_train_epoch(NET, MOMENTUM, 8)
    state, losses = epoch(fnn.init_train_state(NET, MOMENTUM, KEY), X, Y)
    right = np.average(np.asarray(losses, np.float64), weights=[8] * 6 + [2])
    np.testing.assert_allclose(plain.history[0].train_loss, right, rtol=1e-12)
    assert int(state.step) == 7


def test_every_example_counts_once():
    """One epoch with a learning rate of 0 measures the loss on all the data."""
    run = fit(optimizer=STILL, epochs=1)
    np.testing.assert_allclose(run.history[0].train_loss, NET.loss(run.params, X, Y), rtol=1e-6)
    order = epoch_order(fnn.init_train_state(NET, STILL, KEY), 50)
    assert sorted(np.asarray(order)) == list(range(50))


def test_weights_are_the_weights_of_examples():
    weights = np.where(Y == 1, 3.0, 0.5).astype(np.float32)
    run = fit(optimizer=STILL, epochs=1, weights=weights)
    np.testing.assert_allclose(run.history[0].train_loss, NET.loss(run.params, X, Y, weights=weights), rtol=1e-6)


def test_a_batch_of_masked_examples_changes_nothing():
    """Only 5 examples count, so that some batches hold none of them."""
    weights = np.zeros(50, np.float32)
    weights[:5] = 1
    run = fit(epochs=1, optimizer=STILL, weights=weights)
    np.testing.assert_allclose(run.history[0].train_loss, NET.loss(run.params, X[:5], Y[:5]), rtol=1e-6)
    run = fit(epochs=40, weights=weights)
    assert fnn.evaluate(NET, run.params, X[:5], Y[:5]).accuracy == 1.0


def test_it_learns_and_evaluates(plain):
    run = fit(epochs=60, validation=(X, Y))
    assert run.history[-1].validation.accuracy == 1.0
    assert fnn.evaluate(NET, run.params, X, Y) == run.history[-1].validation
    assert run.stopped == plain.stopped == "epochs"
    assert [epoch.epoch for epoch in plain.history] == [1, 2, 3, 4]


def test_params_to_start_from():
    params = NET.init(jax.random.key(3))
    run = fit(params=params, optimizer=STILL, epochs=1)
    chex.assert_trees_all_equal(run.params, params)


def test_arguments_stay_as_they_are():
    x, params = X.copy(), NET.init(KEY)
    before = jax.tree.map(np.array, params)
    fit(train=(x, Y), params=params)
    chex.assert_trees_all_equal(params, before)
    np.testing.assert_array_equal(x, X)


def test_lists_are_data():
    run = fit(train=(X.tolist(), Y.tolist()), validation=(X.tolist(), Y.tolist()), weights=[1.0] * 50, epochs=1)
    chex.assert_trees_all_equal(run.params, fit(epochs=1, weights=np.ones(50, np.float32)).params)
    assert fnn.evaluate(NET, run.params, X.tolist(), Y.tolist()) == run.history[0].validation
    assert np.isfinite(fit(train=[X.tolist(), Y.tolist()], epochs=1).history[0].train_loss)


def test_streams_share_programs(compilations):
    for programs_are_there in (False, True):
        rate = 0.2 if programs_are_there else 0.1
        fnn.fit(fnn.mlp(4, 8, 3), in_order, optimizer=fnn.adam(rate), epochs=2, key=KEY, progress=False)
        assert (compilations() == 0) == programs_are_there


# when it stops


def test_patience_returns_the_best_on_the_validation_data():
    """Training labels say nothing about these validation labels, so the validation loss soon rises."""
    noise = np.random.default_rng(1).integers(0, 3, 50).astype(np.int32)
    run = fit(epochs=200, optimizer=fnn.momentum(0.3), validation=(X, noise), patience=5)
    losses = [epoch.validation.loss for epoch in run.history]
    assert run.stopped == "patience"
    assert len(losses) == int(np.argmin(losses)) + 1 + 5
    assert fnn.evaluate(NET, run.params, X, noise).loss == min(losses)
    assert fnn.evaluate(NET, run.train_state.params, X, noise).loss == losses[-1]


def test_tolerance_on_the_training_loss_is_a_convergence_criterion():
    run = fit(epochs=500, patience=3, tolerance=0.01)
    losses = np.array([epoch.train_loss for epoch in run.history])
    assert run.stopped == "patience"
    assert 10 < len(losses) < 500
    assert losses[-4] - losses[-3:].min() <= 0.01
    assert len(fit(epochs=500, patience=3).history) > len(losses)
    exact = fit(epochs=len(losses), patience=500)
    assert fnn.evaluate(NET, run.params, X, Y).loss == fnn.evaluate(NET, exact.params, X, Y).loss


def test_callbacks_see_the_run_and_can_stop_it():
    seen = []

    def record(train_state, history):
        seen.append((int(train_state.step), len(history)))

    run = fit(epochs=9, callbacks=[record, lambda ts, history: len(history) == 3, record])
    assert seen == [(7, 1), (7, 1), (14, 2), (14, 2), (21, 3), (21, 3)]
    assert run.stopped == "callback"
    assert len(run.history) == 3


def test_ctrl_c_returns_what_has_been_learnt():
    def press(train_state, history):
        if len(history) == 2:
            raise KeyboardInterrupt

    run = fit(callbacks=[press])
    assert run.stopped == "interrupt"
    chex.assert_trees_all_equal(run.params, fit(epochs=2).params)


def test_ctrl_c_within_a_stream_keeps_the_steps_made():
    def batches(epoch):
        for i in range(0, 48, 8):
            if epoch == 2 and i == 32:
                raise KeyboardInterrupt
            yield X[i : i + 8], Y[i : i + 8]

    run = fit(train=batches, batch_size=None)
    assert run.stopped == "interrupt"
    assert len(run.history) == 1
    assert 6 < int(run.train_state.step) <= 10


def test_a_callback_that_raises_leaves_the_run_on_the_error():
    def fail(train_state, history):
        if len(history) == 2:
            raise RuntimeError("the disk of somebody else")

    with pytest.raises(RuntimeError, match="somebody else") as caught:
        fit(callbacks=[fail])
    run, exact = caught.value.fit, fit(epochs=2)
    assert (run.stopped, len(run.history)) == ("error", 2)
    chex.assert_trees_all_equal(run.train_state, exact.train_state)
    chex.assert_trees_all_equal(run.params, exact.params)


def test_a_generator_that_raises_leaves_the_steps_made_on_the_error():
    def batches(epoch):
        for i in range(0, 48, 8):
            if epoch == 2 and i == 32:
                raise OSError("the file has gone")
            yield X[i : i + 8], Y[i : i + 8]

    with pytest.raises(OSError, match="has gone") as caught:
        fit(train=batches, batch_size=None)
    run = caught.value.fit
    assert (run.stopped, len(run.history)) == ("error", 1)
    assert 6 < int(run.train_state.step) <= 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))


@pytest.mark.parametrize("fails", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_the_run_on_the_error(fails, tmp_path, monkeypatch):
    fit(epochs=2, checkpoint=tmp_path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fails, full)
    with pytest.raises(OSError, match="No space left") as caught:
        fit(checkpoint=tmp_path)
    run = caught.value.fit
    assert (run.stopped, len(run.history)) == ("error", 3)
    monkeypatch.undo()
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == ["epoch-00000001", "epoch-00000002"]
    chex.assert_trees_all_equal(fit(checkpoint=tmp_path).params, fit().params)


# batches from the host


def in_order(epoch=1, size=8):
    for i in range(0, len(X), size):
        yield X[i : i + size], Y[i : i + size]


def by_hand(batches, epochs):
    state = fnn.init_train_state(NET, MOMENTUM, KEY)
    step = fnn.make_train_step(NET, MOMENTUM)
    for _ in range(epochs):
        for batch in batches():
            state, _ = step(state, *batch)
    return state


@pytest.mark.parametrize("source", [in_order, list(in_order())], ids=["function", "list"])
def test_batches_from_the_host_train_as_the_steps_do(source):
    run = fit(train=source, batch_size=None, epochs=2)
    chex.assert_trees_all_close(run.train_state.params, by_hand(in_order, 2).params, rtol=1e-5, atol=1e-6)
    assert int(run.train_state.step) == 14


def test_the_loss_of_a_stream_is_averaged_by_example_and_weight():
    weights = np.linspace(0.5, 2.0, len(X)).astype(np.float32)

    def weighted(epoch):
        for i in range(0, len(X), 8):
            yield X[i : i + 8], Y[i : i + 8], weights[i : i + 8]

    run = fit(train=in_order, batch_size=None, epochs=1, optimizer=STILL)
    np.testing.assert_allclose(run.history[0].train_loss, NET.loss(run.params, X, Y), rtol=1e-6)
    run = fit(train=weighted, batch_size=None, epochs=1, optimizer=STILL)
    np.testing.assert_allclose(run.history[0].train_loss, NET.loss(run.params, X, Y, weights=weights), rtol=1e-6)


def test_a_generator_may_fill_the_same_memory_again():
    memory = np.empty(256 + 64, np.uint8)
    aligned = memory[-memory.ctypes.data % 64 :]  # where jax would rather look at host memory than copy it
    buffer_x, buffer_y = aligned[:128].view(np.float32).reshape(8, 4), aligned[128:160].view(np.int32)

    def reused(epoch):
        for i in range(0, 48, 8):
            buffer_x[:], buffer_y[:] = X[i : i + 8], Y[i : i + 8]
            yield buffer_x, buffer_y

    def fresh(epoch):
        for i in range(0, 48, 8):
            yield X[i : i + 8], Y[i : i + 8]

    chex.assert_trees_all_equal(
        fit(train=reused, batch_size=None).train_state, fit(train=fresh, batch_size=None).train_state
    )


def test_a_memory_mapped_file(tmp_path):
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    batches = [(x[i : i + 8], Y[i : i + 8]) for i in range(0, len(X), 8)]
    mapped = fit(train=batches, batch_size=None, epochs=2)
    chex.assert_trees_all_equal(mapped.train_state, fit(train=in_order, batch_size=None, epochs=2).train_state)


# what it shows


def test_plain_lines_in_a_log_file(capsys):
    fit(progress=True, validation=(X, Y))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4: train loss ")
    assert "validation loss" in lines[0]
    assert "accuracy" in lines[0]
    assert "\r" not in "".join(lines)
    fit(epochs=200, batch_size=50, progress=True)
    assert len(capsys.readouterr().err.splitlines()) <= 51


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit(progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "train loss" in shown
    fit()
    assert capsys.readouterr().err == ""


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "expected epochs as a whole number of at least 1, got 0"),
        ({"patience": 0}, "expected patience of at least 1 epoch"),
        ({"tolerance": 0.1}, "and patience= with it"),
        ({"tolerance": -0.1, "patience": 3}, "expected a tolerance of at least 0"),
        ({"checkpoint_every": 0}, "expected checkpoint_every of at least 1"),
        ({"checkpoint_every": 1.5}, "expected checkpoint_every of at least 1 epoch, got 1.5"),
        ({"patience": True}, "expected patience of at least 1 epoch, or None, got True"),
        ({"patience": 2.0}, "expected patience of at least 1 epoch, or None, got 2.0"),
        ({"tolerance": float("nan"), "patience": 3}, "expected a tolerance of at least 0.*got nan"),
        ({"epochs": True}, "expected epochs as a whole number of at least 1, got True"),
        ({"key": 0}, r"expects a random key, got 0; pass jax.random.key\(0\)"),
        ({"key": jax.random.split(KEY)}, "expects a random key, got"),
        ({"optimizer": 0.1}, "expected an optimizer such as fnn.momentum"),
        ({"batch_size": None}, "expected batch_size as a whole number from 1 to 50"),
        ({"batch_size": 51}, "expected batch_size as a whole number from 1 to 50, the number of examples, got 51"),
        ({"weights": np.ones(3)}, r"weights: expected one an example, shape \(50,\), got \(3,\)"),
        ({"weights": -np.ones(50)}, "weights must be finite and at least 0; got otherwise in row 0"),
        ({"train": (np.full((50, 4), np.nan, np.float32), Y)}, "features must be finite"),
        ({"train": (X, Y + 3)}, "labels must be whole numbers from 0 to 2"),
        ({"validation": (X, Y + 3)}, "labels must be whole numbers from 0 to 2"),
        ({"train": in_order}, "batches from the host have their own size and weights"),
        ({"train": in_order(), "batch_size": None}, "which can be gone through once; pass a function epoch"),
        ({"train": 3, "batch_size": None}, "expected training data as"),
        ({"train": [], "batch_size": None}, "expected at least one batch in epoch 1, got none"),
        ({"train": lambda epoch: [X], "batch_size": None}, r"expected \(x, y\) or \(x, y, weights\), got ndarray"),
    ],
)
def test_errors(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(**options)


def test_an_error_within_a_stream_names_the_batch():
    def batches(epoch):
        yield X[:8], Y[:8]
        yield X[8:16], Y[8:16] - 5

    with pytest.raises(ValueError, match="labels must be whole numbers") as caught:
        fit(train=batches, batch_size=None)
    assert "in batch 1 of the epoch" in caught.value.__notes__


@pytest.mark.parametrize(
    "callbacks", [None, 3, print, [1], [lambda: 0]], ids=["none", "number", "one", "no-function", "of-nothing"]
)
def test_callbacks_are_looked_at_before_the_first_epoch(callbacks):
    with pytest.raises(TypeError, match=r"fit expects callbacks as a sequence of functions .* got "):
        fit(callbacks=callbacks)
