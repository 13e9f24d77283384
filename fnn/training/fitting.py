"""`fit`: epochs, validation, early stopping, checkpoints and progress around the compiled epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.typing import ArrayLike

from fnn.layers.base import Params
from fnn.networks.adapting import adapt, adapts
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
from fnn.training.steps import TrainState, init_train_state
from fnn.training.streaming import Batches, is_streamed
from fnn.validation import require_flag, require_key, require_path, require_whole

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
    key: jax.Array,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    weights: ArrayLike | None = None,
    params: Params = None,
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
        epochs: passes over the data at most.
        batch_size: examples a step; None where batches come from the host.
        key: random key; the same key gives the same result, bit for bit, on the same device and versions, whatever is
            shown, validated or saved on the way.
        validation: (x, y) to evaluate after each epoch.
        weights: weight of each example, (n,), for (x, y); class_weights[y] weighs classes.
        params: parameters to start from; fresh ones by default.
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
    every = require_whole("expected checkpoint_every of at least 1 epoch", checkpoint_every)
    stopping = EarlyStopping(patience, tolerance)
    with finishing(aloud=progress) as press:
        source = training_source(
            net, optimizer, train, batch_size, weights, epochs, mesh, shards, checkpoint is not None
        )
        validated = validation_data(net, validation, source.shards)

        def start() -> Run:
            ts = source.lay_out(_adapted(net, init_train_state(net, optimizer, key, params), train))
            return Run(ts, () if patience is None else (ts.params, ts.state), stopping)

        kept, known = None, None
        if checkpoint is not None:
            data = {"params": params, "validation": validated and (validated.x, validated.y)}
            identity = _identity(net, optimizer, key, source, data, stopping)
            kept = KeptRun(Checkpoints(require_path("fit", checkpoint), identity), every, source)
            known = kept.resumed(start, stopping)
        return _train(
            known or start(), epochs, source.run_epoch, _measure_on(net, validated), callbacks, progress, kept, press
        )


def _identity(net: Network, optimizer: OptimizerLike, key: Any, source: Source, data: Any, stopping: EarlyStopping):
    stops = "none" if stopping.patience is None else f"with tolerance {float(stopping.tolerance)}"
    tells = {"batch_size": source.batch_size, "early stopping": stops}
    return run_identity(net, optimizer, require_key("fit", key), source.data | data, **tells)


def _adapted(net: Network, ts: TrainState, train: Any) -> TrainState:
    """The state before the first step, with the statistics of the training data that layers ask for."""
    if not adapts(net):
        return ts
    if is_streamed(train):
        raise ValueError(
            "a network that takes statistics of the training data expects train as (x, y), two arrays, got batches "
            "from the host; scale the batches with fnn.preprocessing.standardize instead"
        )
    return ts._replace(state=adapt(net, *train))


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
    callbacks: Iterable[Callback],
    progress: bool,
    kept: KeptRun | None,
    press: Press,
) -> Fit:
    """The loop over epochs, whatever an epoch is; every way out of it leaves what has been learnt."""
    callbacks = tuple(callbacks)
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


def _asked_to_stop(run: Run, callbacks: tuple[Callback, ...]) -> bool:
    with at_once():
        answers = [callback(run.last, run.history) for callback in callbacks]
    return any(answers)
