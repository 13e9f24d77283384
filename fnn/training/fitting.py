"""`fit`: epochs, validation, early stopping, checkpoints and progress around the compiled epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike, check_optimizer
from fnn.training.divergence import TrainingDiverged
from fnn.training.early_stopping import EarlyStopping
from fnn.training.evaluation import Evaluation, Measured, measured
from fnn.training.identity import run_identity
from fnn.training.interruption import Press, at_once, finishing
from fnn.training.outcomes import Epoch, Fit, Run
from fnn.training.progress import reporter
from fnn.training.resuming import Checkpoints, KeptRun
from fnn.training.runners import Runner
from fnn.training.shards import SHARDS
from fnn.training.sources import Source, training_source, validation_data
from fnn.training.starting import Beginning
from fnn.training.steps import TrainState
from fnn.training.streaming import Batches
from fnn.validation import require_flag, require_function, require_path, require_whole

Callback = Callable[[TrainState, tuple[Epoch, ...]], Any]


_LOST = (
    "in process {} of {}. If it says that a connection was closed or a heartbeat missed, another process is lost; "
    "jax's own messages name it as a task. Start all of them again with the same checkpoint directory: the run goes on "
    "from its last checkpoint, on the same number of processes and devices or on another"
)


def fit(
    net: Network,
    train: tuple[ArrayLike, ArrayLike] | Batches,
    *,
    optimizer: OptimizerLike,
    epochs: int,
    batch_size: int | None = None,
    key: jax.Array | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    weights: ArrayLike | None = None,
    params: Params = None,
    state: State | None = None,
    start: Fit | TrainState | None = None,
    patience: int | None = None,
    tolerance: float = 0.0,
    callbacks: Iterable[Callback] = (),
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 1,
    progress: bool = True,
    mesh: jax.sharding.Mesh | None = None,
    shards: int = SHARDS,
) -> Fit:
    """Train a network.

    Data that fit on the device are moved there once and an epoch is one compiled call, which shuffles them. Larger data
    come as batches from the host, in the order in which they come.

    Args:
        net: the network.
        train: (x, y), x (n, *input_shape) and y as the loss takes them. Or batches: an iterable of (x, y) or (x, y,
            weights) that can be gone through once an epoch, or a function epoch -> iterable, with epochs from 1, such
            as lambda epoch: fnn.preprocessing.batches(jax.random.fold_in(key, epoch), x, y, 128).
        optimizer: any (init, update) pair, such as `fnn.momentum(0.1)`.
        epochs: passes over the data at most; with start= so many more.
        batch_size: examples a step; None where batches come from the host.
        key: random key; the same key gives the same result, bit for bit, on the same device and versions, whatever is
            shown, validated or saved on the way. With start= None keeps that of the run before.
        validation: (x, y) to evaluate after each epoch.
        weights: weight of each example, (n,), for (x, y); class_weights[y] weighs classes.
        params: parameters to start from; fresh ones by default.
        state: the layers' state that belongs to them, where layers have one, such as batch_norm's statistics.
        start: a result of `fit` or a `TrainState` to go on from, exactly: 3 epochs and 3 more are 6. The optimizer's
            numbers may be others, and rule from now on; one of another kind, whose state is another, starts with fresh
            memory, and the history says so.
        patience: stop after so many epochs without a smaller loss, and return the best parameters. The loss is that on
            the validation data where there are some, else the training loss.
        tolerance: how much smaller it has to be to count, in the loss's unit.
        callbacks: functions (train_state, history) -> anything, called after each epoch; a true answer stops training.
        checkpoint: a directory to save to, made if need be; a run that finds its own checkpoint there resumes from it
            and ends with exactly the parameters of an uninterrupted one.
        checkpoint_every: epochs between two checkpoints; the last epoch is always saved.
        progress: show a bar on a terminal, or print lines to a log file.
        mesh: devices to share the work, along one axis; data that `place` has spread over some need none. Each process
            passes its own rows. Rows that the shards can't share equally are filled up with rows of weight 0.
        shards: how many shards the rows are dealt out to there, part of the run: the same number gives the same result
            on any number of devices that divides it. The batch size is a multiple of it.

    Returns:
        A `Fit`: params, state, history (one `Epoch` each), the train state to go on from, and why training ended.
        Ctrl-C ends training too, after what is under way, with what has been learnt so far; pressed twice, at once.

    Raises:
        ValueError: data that don't fit the network, NaN or infinity in x; a checkpoint of another run; options that
            contradict each other.
        TrainingDiverged: a value that is not finite came up; its message says where and why.
        Exception: what a callback, a generator or a full disk raises.
            All errors of a run that has begun hold what was learnt before: `error.fit` is a `Fit`.
    """
    require_network("fit", net)
    check_optimizer(optimizer)
    progress = require_flag("fit expects progress", progress)
    epochs = require_whole("expected epochs as a whole number of at least 1", epochs)
    stopping = EarlyStopping(patience, tolerance)
    callbacks = _functions(callbacks)
    beginning = Beginning(net, optimizer, key, params, state, start)
    with finishing(aloud=progress) as press:
        beginning.check()
        epochs, kept = epochs + len(beginning.history), checkpoint is not None
        source = training_source(net, optimizer, train, batch_size, weights, epochs, mesh, shards, kept)
        validated = validation_data(net, validation, source.shards)
        keeper = _kept_run(beginning, source, validated, stopping, checkpoint, checkpoint_every)

        begun = partial(beginning.run, train, stopping, source.lay_out)
        run = (keeper and keeper.resumed(begun, stopping)) or begun()
        return _train(run, epochs, source.run_epoch, _measure_on(net, validated), callbacks, progress, keeper, press)


def _kept_run(
    beginning: Beginning,
    source: Source,
    validated: Measured | None,
    stopping: EarlyStopping,
    checkpoint: Any,
    every: Any,
) -> KeptRun | None:
    """What keeps a run in its directory and finds it there again."""
    every = require_whole("expected checkpoint_every of at least 1 epoch", every)
    if checkpoint is None:
        return None
    path = require_path("fit", checkpoint)
    stops = "none" if stopping.patience is None else f"with tolerance {float(stopping.tolerance)}"
    tells = {"batch_size": source.batch_size, "early stopping": stops}
    starts = {"params": beginning.params, "state": beginning.state, "start": beginning.before}
    data = source.data | starts | {"validation": validated and (validated.x, validated.y)}
    identity = run_identity(beginning.net, beginning.optimizer, beginning.run_key, data, **tells)
    return KeptRun(Checkpoints(path, identity), every, source)


def _measure_on(net: Network, data: Measured | None) -> Callable[[TrainState], Evaluation | None]:
    """What measures a train state on the validation data, if there are any."""
    if data is None:
        return lambda ts: None
    return lambda ts: measured(net, ts.params, data, ts.state)


def _train(
    run: Run,
    epochs: int,
    run_epoch: Runner,
    measure: Callable[[TrainState], Evaluation | None],
    callbacks: tuple[Callback, ...],
    progress: bool,
    kept: KeptRun | None,
    press: Press,
) -> Fit:
    """The loop over epochs, whatever an epoch is; every way out of it leaves what has been learnt."""
    try:
        with reporter(epochs, len(run.history), progress) as report:
            press.end()
            while not run.ended(epochs):
                number, began = len(run.history) + 1, time.perf_counter()
                last, loss, n = run_epoch(run.last, number)
                speed = n / (time.perf_counter() - began)
                run = run.advance(last, Epoch(number, loss, measure(last), speed))
                report(number, str(run.history[-1]))
                if not press.pressed and _asked_to_stop(run, callbacks):
                    run = run._replace(stopped="callback")
                if kept is not None:
                    kept.keep(run, run.ended(epochs))
                press.end()
    except KeyboardInterrupt as interrupt:
        return run._replace(last=getattr(interrupt, "train_state", run.last), stopped="interrupt").result()
    except Exception as error:  # divergence, a full disk, a callback or a generator that raises
        why = "divergence" if isinstance(error, TrainingDiverged) else "error"
        if jax.process_count() > 1:
            error.add_note(_LOST.format(jax.process_index(), jax.process_count()))
        error.fit = run._replace(last=getattr(error, "train_state", run.last), stopped=why).result()  # type: ignore
        raise
    return run.result()


def _functions(callbacks: Any) -> tuple[Callback, ...]:
    """Callbacks, looked at before the first epoch."""
    expected = "fit expects callbacks as a sequence of functions (train_state, history), such as [callback]"
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        kind = "one function" if callable(callbacks) else repr(callbacks)
        raise TypeError(f"{expected}, got {kind:.80}")
    return tuple(require_function(expected, callback, arguments=2) for callback in callbacks)


def _asked_to_stop(run: Run, callbacks: tuple[Callback, ...]) -> bool:
    with at_once():
        answers = [callback(run.last, run.history) for callback in callbacks]
    return any(answers)
