"""`fit`: epochs, validation, early stopping, checkpoints and progress around the compiled epoch."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Params, State
from fnn.networks.network import Network
from fnn.optimizers.base import Optimizer
from fnn.training.divergence import TrainingDiverged
from fnn.training.evaluation import Evaluation, check_data, evaluate
from fnn.training.progress import reporter
from fnn.training.resuming import key_numbers, read_checkpoint, write_checkpoint
from fnn.training.runners import on_device, streamed
from fnn.training.steps import TrainState, check_optimizer, init_train_state
from fnn.training.streaming import Batches, check_source, is_streamed


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
    stopped: str = "epochs"  # why training ended: "epochs", "patience", "callback" or "interrupt"


Callback = Callable[[TrainState, tuple[Epoch, ...]], Any]


def fit(
    net: Network,
    train: tuple[jax.Array, jax.Array] | Batches,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    key: jax.Array,
    validation: tuple[jax.Array, jax.Array] | None = None,
    weights: jax.Array | None = None,
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
        TrainingDiverged: a value that is not finite came up; its message says where and why, its `fit` holds what was
            learnt before.
    """
    check_optimizer(optimizer)
    _check_options(epochs, patience, tolerance, checkpoint_every)
    run_epoch = _epoch_runner(net, optimizer, train, batch_size, weights, epochs)
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise ValueError(f"expected validation as (x, y), two arrays, got {_kind(validation)}")
        check_data(net, *validation)
        validation = (jnp.asarray(validation[0]), jnp.asarray(validation[1]))
    run = _start(init_train_state(net, optimizer, key, params), patience)
    identity = _identity(net, train, batch_size, key, patience)
    if checkpoint is not None:
        run = _resume(net, checkpoint, run, identity)
    with reporter(epochs, len(run.history), progress) as report:
        try:
            while len(run.history) < epochs and not run.stopped and not _out_of_patience(run, patience):
                number, began = len(run.history) + 1, time.perf_counter()
                last, loss, n = run_epoch(run.last, number)
                speed = n / (time.perf_counter() - began)
                measured = None if validation is None else evaluate(net, last.params, *validation, state=last.state)
                run = _advance(run, last, Epoch(number, loss, measured, speed), patience, tolerance)
                report(number, str(run.history[-1]))
                answers = [callback(run.last, run.history) for callback in callbacks]
                if any(answers):
                    run = run._replace(stopped="callback")
                ends = number == epochs or run.stopped or _out_of_patience(run, patience)
                if checkpoint is not None and (ends or number % checkpoint_every == 0):
                    _write(checkpoint, run, identity)
        except KeyboardInterrupt as interrupt:
            run = run._replace(last=getattr(interrupt, "train_state", run.last), stopped="interrupt")
        except TrainingDiverged as error:
            error.fit = _result(run._replace(last=error.train_state, stopped="divergence"), patience)
            raise
    return _result(run, patience)


class _Run(NamedTuple):
    """What `fit` knows after an epoch; this is what a checkpoint holds."""

    last: TrainState
    best: tuple[Params, State] | tuple[()]  # () without patience
    history: tuple[Epoch, ...] = ()
    best_loss: float = math.inf
    mark: float = math.inf  # the loss that has to be undercut by the tolerance before patience runs out
    waited: int = 0  # epochs since it was
    stopped: str = ""  # why training ended, if neither all epochs nor patience ended it


def _start(ts: TrainState, patience: int | None) -> _Run:
    return _Run(ts, () if patience is None else (ts.params, ts.state))


def _advance(run: _Run, last: TrainState, epoch: Epoch, patience: int | None, tolerance: float) -> _Run:
    loss = epoch.train_loss if epoch.validation is None else epoch.validation.loss
    run = run._replace(last=last, history=(*run.history, epoch), waited=run.waited + 1)
    if loss < run.best_loss:
        run = run._replace(best=() if patience is None else (last.params, last.state), best_loss=loss)
    if loss < run.mark - tolerance:
        run = run._replace(mark=loss, waited=0)
    return run


def _out_of_patience(run: _Run, patience: int | None) -> bool:
    return patience is not None and run.waited >= patience


def _result(run: _Run, patience: int | None) -> Fit:
    stopped = run.stopped or ("patience" if _out_of_patience(run, patience) else "epochs")
    params, state = run.best or (run.last.params, run.last.state)
    return Fit(params, state, run.history, run.last, stopped)


def _identity(net: Network, train: Any, batch_size: int | None, key: jax.Array, patience: int | None) -> dict:
    """What makes a checkpoint this run's: a run that differs in any of it must not go on from there."""
    data = "batches" if is_streamed(train) else [[list(part.shape), str(part.dtype)] for part in train]
    return {
        "network": repr(net),
        "data": data,
        "batch_size": None if batch_size is None else int(batch_size),
        "key": key_numbers(key),
        "early stopping": patience is not None,
    }


def _write(directory: str | os.PathLike, run: _Run, identity: dict) -> None:
    record = {
        "history": run.history,  # tuples, so JSON's lists
        "best_loss": run.best_loss,
        "mark": run.mark,
        "waited": run.waited,
        "stopped": run.stopped,
    }
    write_checkpoint(directory, len(run.history), (run.last, run.best), identity, record)


def _resume(net: Network, directory: str | os.PathLike, start: _Run, identity: dict) -> _Run:
    found = read_checkpoint(directory, (start.last, start.best), identity)
    if found is None:
        return start
    (last, best), record = found
    history = tuple(
        Epoch(epoch, loss, None if measured is None else Evaluation(*measured), speed)
        for epoch, loss, measured, speed in record.pop("history")
    )
    return _Run(last, best, history, **record)


def _epoch_runner(net: Network, optimizer: Optimizer, train: Any, batch_size: int | None, weights: Any, epochs: int):
    if is_streamed(train):
        if batch_size is not None or weights is not None:
            raise ValueError(
                f"with batch_size= or weights=, expected train as (x, y), two arrays, got {_kind(train)}; "
                "batches from the host have their own size and weights: drop batch_size and weights=, "
                "and let the iterable give (x, y, weights)"
            )
        check_source(train, epochs)
        return streamed(net, optimizer, train)
    check_data(net, train[0], train[1], weights)
    n = train[0].shape[0]
    if not isinstance(batch_size, Integral) or not 1 <= batch_size <= n:
        raise ValueError(
            f"expected batch_size as a whole number from 1 to {n}, the number of examples, got {batch_size!r}"
        )
    x, y = (jnp.asarray(part) for part in train)
    return on_device(net, optimizer, batch_size, x, y, None if weights is None else jnp.asarray(weights))


def _kind(train: Any) -> str:
    if isinstance(train, tuple | list) and len(train) < 5:
        return f"a {type(train).__name__} of {', '.join(type(part).__name__ for part in train)}"
    return type(train).__name__


def _check_options(epochs: int, patience: int | None, tolerance: float, checkpoint_every: int) -> None:
    if not isinstance(epochs, Integral) or epochs < 1:
        raise ValueError(f"expected epochs as a whole number of at least 1, got {epochs!r}")
    if patience is not None and patience < 1:
        raise ValueError(f"expected patience of at least 1 epoch, or None, got {patience}")
    if tolerance < 0 or (tolerance > 0 and patience is None):
        raise ValueError(
            f"expected a tolerance of at least 0 and patience= with it, got {tolerance} and patience={patience}"
        )
    if checkpoint_every < 1:
        raise ValueError(f"expected checkpoint_every of at least 1 epoch, got {checkpoint_every}")
