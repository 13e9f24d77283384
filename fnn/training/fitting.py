"""`fit`: epochs, validation, early stopping, checkpoints and progress around the compiled epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.networks.adapting import adapt, adapts
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike, check_optimizer
from fnn.training.divergence import TrainingDiverged
from fnn.training.early_stopping import EarlyStopping
from fnn.training.evaluation import Evaluation, check_data, evaluate
from fnn.training.progress import reporter
from fnn.training.resuming import Checkpoints, run_identity
from fnn.training.runners import Runner, on_device, streamed
from fnn.training.steps import TrainState, init_train_state
from fnn.training.streaming import Batches, check_source, is_streamed
from fnn.validation import require_flag, require_path, require_whole


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int  # from 1
    train_loss: float  # mean over the epoch's examples, each as its step saw it, penalty included
    validation: Evaluation | None  # after the epoch, where validation data was given
    examples_per_second: float

    def __str__(self) -> str:
        validation = "" if self.validation is None else f", validation {self.validation}"
        return f"train loss {self.train_loss:.4f}{validation}, {self.examples_per_second:,.0f} examples/s"


class Fit(NamedTuple):
    """What `fit` returns."""

    params: Params  # the best where patience was given, else the last
    state: State  # the layers' state that belongs to them
    history: tuple[Epoch, ...]
    train_state: TrainState  # the very last, to go on from
    stopped: str = "epochs"  # why training ended: "epochs", "patience", "callback", "interrupt"; on errors "error"


Callback = Callable[[TrainState, tuple[Epoch, ...]], Any]


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

    Returns:
        A `Fit`: params, state, history (one `Epoch` each), the train state to go on from, and why training ended.
        Ctrl-C ends training too, with what has been learnt so far.

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
    source = _source(net, optimizer, train, batch_size, weights, epochs)
    measure = _measure_on(net, validation)
    ts = _adapted(net, init_train_state(net, optimizer, key, params), train)
    run, kept = _Run(ts, () if patience is None else (ts.params, ts.state), stopping), None
    if checkpoint is not None:
        identity = run_identity(
            net, optimizer, source.shapes, weights is not None, source.batch_size, key, patience is not None
        )
        kept = Checkpoints(require_path("fit", checkpoint), identity)
        run = _resumed(run, kept)
    with reporter(epochs, len(run.history), progress) as report:
        return _train(run, epochs, source.run_epoch, measure, tuple(callbacks), report, kept, every)


def _adapted(net: Network, ts: TrainState, train: Any) -> TrainState:
    """The state before the first step, with the statistics of the training data that layers ask for."""
    if not adapts(net.layer):
        return ts
    if is_streamed(train):
        raise ValueError(
            "layers that take statistics of the training data expect train as (x, y), two arrays, got batches from the "
            "host; scale the batches with fnn.preprocessing.standardize instead"
        )
    return ts._replace(state=adapt(net, train[0]))


class _Run(NamedTuple):
    """What `fit` knows after an epoch; this is what a checkpoint holds."""

    last: TrainState
    best: tuple[Params, State] | tuple[()]  # () without patience
    stopping: EarlyStopping
    history: tuple[Epoch, ...] = ()
    stopped: str = ""  # why training ended, if neither all epochs nor patience ended it

    def ended(self, epochs: int) -> bool:
        return len(self.history) >= epochs or bool(self.stopped) or self.stopping.stop

    def advance(self, last: TrainState, epoch: Epoch) -> _Run:
        loss = epoch.train_loss if epoch.validation is None else epoch.validation.loss
        better = self.best and self.stopping.improves(loss)
        return self._replace(
            last=last,
            best=(last.params, last.state) if better else self.best,
            stopping=self.stopping.advance(loss),
            history=(*self.history, epoch),
        )

    def result(self) -> Fit:
        params, state = self.best or (self.last.params, self.last.state)
        stopped = self.stopped or ("patience" if self.stopping.stop else "epochs")
        return Fit(params, state, self.history, self.last, stopped)


def _train(
    run: _Run,
    epochs: int,
    run_epoch: Runner,
    measure: Callable[[TrainState], Evaluation | None],
    callbacks: tuple[Callback, ...],
    report: Callable[[int, str], None],
    kept: Checkpoints | None,
    every: int,
) -> Fit:
    """The loop over epochs, whatever an epoch is; every way out of it leaves what has been learnt."""
    try:
        while not run.ended(epochs):
            number, began = len(run.history) + 1, time.perf_counter()
            last, loss, n = run_epoch(run.last, number)
            speed = n / (time.perf_counter() - began)
            run = run.advance(last, Epoch(number, loss, measure(last), speed))
            report(number, str(run.history[-1]))
            answers = [callback(run.last, run.history) for callback in callbacks]
            if any(answers):
                run = run._replace(stopped="callback")
            if kept is not None and (run.ended(epochs) or number % every == 0):
                _keep(run, kept)
    except KeyboardInterrupt as interrupt:
        return run._replace(last=getattr(interrupt, "train_state", run.last), stopped="interrupt").result()
    except Exception as error:  # divergence, a full disk, a callback or a generator that raises
        why = "divergence" if isinstance(error, TrainingDiverged) else "error"
        error.fit = run._replace(last=getattr(error, "train_state", run.last), stopped=why).result()  # type: ignore
        raise
    return run.result()


def _keep(run: _Run, kept: Checkpoints) -> None:
    stopping = {"least": run.stopping.least, "mark": run.stopping.mark, "waited": run.stopping.waited}
    record = {"history": run.history, "stopping": stopping, "stopped": run.stopped}  # tuples become JSON's lists
    kept.write(len(run.history), (run.last, run.best), record)


def _resumed(start: _Run, kept: Checkpoints) -> _Run:
    def parse(record: dict[str, Any]) -> _Run:
        history = tuple(
            Epoch(epoch, loss, None if measured is None else Evaluation(*measured), speed)
            for epoch, loss, measured, speed in record["history"]
        )
        stopping = replace(start.stopping, **record["stopping"])
        return start._replace(stopping=stopping, history=history, stopped=str(record["stopped"]))

    found = kept.read((start.last, start.best), parse)
    if found is None:
        return start
    (last, best), run = found
    return run._replace(last=last, best=best)


class _Source(NamedTuple):
    """Training data that have been looked at, and how an epoch goes over them."""

    run_epoch: Runner
    shapes: Any  # shapes and dtypes, as JSON
    batch_size: int | None


def _source(net: Network, optimizer: OptimizerLike, train: Any, batch_size: Any, weights: Any, epochs: int) -> _Source:
    if is_streamed(train):
        if batch_size is not None or weights is not None:
            raise ValueError(
                f"with batch_size= or weights=, expected train as (x, y), two arrays, got {_kind(train)}; "
                "batches from the host have their own size and weights: drop batch_size and weights=, "
                "and let the iterable give (x, y, weights)"
            )
        check_source(train, epochs)
        return _Source(streamed(net, optimizer, train), "batches", None)
    x, y, weights = check_data(net, train[0], train[1], weights)
    shapes = [[list(part.shape), str(part.dtype)] for part in (x, y)]
    n = x.shape[0]
    expected = f"expected batch_size as a whole number from 1 to {n}, the number of examples"
    size = require_whole(expected, batch_size, most=n)
    x, y, weights = jax.tree.map(jnp.asarray, (x, y, weights))
    return _Source(on_device(net, optimizer, size, x, y, weights), shapes, size)


def _measure_on(net: Network, validation: Any) -> Callable[[TrainState], Evaluation | None]:
    """What measures a train state on the validation data, if there are any."""
    if validation is None:
        return lambda ts: None
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise ValueError(f"expected validation as (x, y), two arrays, got {_kind(validation)}")
    x, y = map(jnp.asarray, check_data(net, *validation)[:2])
    return lambda ts: evaluate(net, ts.params, x, y, state=ts.state)


def _kind(train: Any) -> str:
    if isinstance(train, tuple | list) and len(train) < 5:
        return f"a {type(train).__name__} of {', '.join(type(part).__name__ for part in train)}"
    return type(train).__name__
