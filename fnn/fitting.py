"""`fit`: epochs, validation, early stopping and progress around the compiled epoch; `evaluate` measures the result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from fnn.layers.base import Params, State
from fnn.metrics import accuracy, r2_score
from fnn.network import Network, on_host
from fnn.targets import refuse_rows
from fnn.training import TrainState, init_train_state, make_train_epoch
from fnn.updates import Optimizer


class Evaluation(NamedTuple):
    """How well a network does on some data."""

    loss: float  # mean over the examples, without the penalty
    accuracy: float | None  # share of right classes in [0, 1]; None for a regression
    r2: float | None  # coefficient of determination; None for a classifier

    def __str__(self) -> str:
        if self.accuracy is not None:
            return f"loss {self.loss:.4f}, accuracy {self.accuracy:.2%}"
        return f"loss {self.loss:.4f}, R² {self.r2:.4f}"


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int  # from 1
    train_loss: float  # mean over the epoch's examples, each as its step saw it, penalty included
    validation: Evaluation | None  # after the epoch, where validation data was given
    examples_per_second: float


class Fit(NamedTuple):
    """What `fit` returns."""

    params: Params  # the best on the validation data where patience was given, else the last
    state: State  # the layers' state that belongs to them
    history: tuple[Epoch, ...]
    train_state: TrainState  # the very last, to go on from


def fit(
    net: Network,
    train: tuple[jax.Array, jax.Array],
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    key: jax.Array,
    validation: tuple[jax.Array, jax.Array] | None = None,
    params: Params = None,
    patience: int | None = None,
    progress: bool = True,
) -> Fit:
    """Train a network on data that fit on the device, one compiled call an epoch.

    Args:
        net: the network.
        train: (x, y), x (n, *input_shape) and y as the loss takes them; moved to the device once.
        optimizer: any (init, update) pair, such as `fnn.momentum(0.1)`.
        epochs: passes over the data at most.
        batch_size: examples a step.
        key: random key; the same key gives the same result, bit for bit, on the same device and versions.
        validation: (x, y) to evaluate after each epoch.
        params: parameters to start from; fresh ones by default.
        patience: stop after so many epochs without a smaller validation loss, and return the best parameters.
        progress: show a progress bar with loss, validation accuracy and speed.

    Returns:
        A `Fit`: params, state, history (one `Epoch` each) and the train state to go on from.

    Raises:
        ValueError: data that don't fit the network, NaN or infinity in x, patience without validation data.
    """
    if patience is not None and validation is None:
        raise ValueError("patience watches the validation loss: pass validation=(x, y) as well, or drop patience")
    check_data(net, *train)
    x, y = (jnp.asarray(part) for part in train)
    if validation is not None:
        check_data(net, *validation)
        validation = tuple(jnp.asarray(part) for part in validation)  # type: ignore[assignment]
    run_epoch = make_train_epoch(net, optimizer, batch_size)
    last = best = init_train_state(net, optimizer, key, params)
    history: list[Epoch] = []
    best_loss, best_epoch = np.inf, 0
    with _bar(epochs, progress) as bar:
        for number in range(1, epochs + 1):
            start = time.perf_counter()
            last, losses = run_epoch(last, x, y)
            train_loss = _mean_loss(np.asarray(losses), len(x), batch_size)
            speed = len(x) / (time.perf_counter() - start)
            measured = None if validation is None else evaluate(net, last.params, *validation, state=last.state)
            history.append(Epoch(number, train_loss, measured, speed))
            _show(bar, history[-1])
            if measured is not None and measured.loss < best_loss:
                best, best_loss, best_epoch = last, measured.loss, number
            if patience is not None and number - best_epoch >= patience:
                break
    chosen = last if patience is None else best
    return Fit(chosen.params, chosen.state, tuple(history), last)


def evaluate(
    net: Network,
    params: Params,
    x: jax.Array,
    y: jax.Array,
    *,
    state: State = (),
    batch_size: int = 1000,
) -> Evaluation:
    """Measure a network on data: mean loss, and accuracy or R².

    Args:
        net: the network.
        params: its parameters.
        x: (n, *input_shape).
        y: targets, as the loss takes them.
        state: the layers' state, where they have one.
        batch_size: examples at a time, which bounds the memory.

    Returns:
        loss without the penalty; accuracy for classifiers, r2 for regressions.

    Raises:
        ValueError: data that don't fit the network; predictions that are NaN.
    """
    net.check_batch(x, y)
    y = jnp.asarray(y)
    z = _all_logits(net, min(batch_size, x.shape[0]), params, jnp.asarray(x), state)
    loss = float(net.criterion.fwd(z, y, None)[0])
    if net.criterion.classifies:
        return Evaluation(loss, accuracy(net.criterion.link(z), y), None)
    constant = bool(np.any(np.ptp(np.asarray(y), axis=0) == 0))
    return Evaluation(loss, None, None if constant else r2_score(net.criterion.link(z), y))


@partial(jax.jit, static_argnums=(0, 1))
def _all_logits(net: Network, batch_size: int, params: Params, x: jax.Array, state: State) -> jax.Array:
    whole = x.shape[0] // batch_size * batch_size
    batches = x[:whole].reshape(-1, batch_size, *x.shape[1:])
    z = jax.lax.map(lambda batch: net.logits(params, batch, state), batches)
    z = z.reshape(whole, *z.shape[2:])
    return z if whole == x.shape[0] else jnp.concatenate([z, net.logits(params, x[whole:], state)])


def check_data(net: Network, x: jax.Array, y: jax.Array) -> None:
    """Check a data set once, before training: as `Network.check_batch`, and that every feature is finite.

    Args:
        net: the network.
        x: (n, *input_shape).
        y: targets, as the loss takes them.

    Raises:
        ValueError: says expected, received, remedy, and names rows.
    """
    net.check_batch(x, y)
    if on_host(x) and np.issubdtype(x.dtype, np.floating):
        refuse_rows(~np.isfinite(np.asarray(x)), "features must be finite", "drop or repair these rows of x")


def _mean_loss(losses: np.ndarray, n: int, batch_size: int) -> float:
    """Mean over examples: the last batch counts with its own size."""
    sizes = np.full(len(losses), batch_size)
    sizes[-1] = n - batch_size * (len(losses) - 1)
    return float(np.average(losses, weights=sizes))


@contextmanager
def _bar(epochs: int, progress: bool) -> Iterator[tqdm]:
    with tqdm(total=epochs, disable=not progress, unit="epoch", dynamic_ncols=True) as bar:
        yield bar


def _show(bar: tqdm, epoch: Epoch) -> None:
    parts = [f"train loss {epoch.train_loss:.4f}"]
    if epoch.validation is not None:
        parts.append(f"validation {epoch.validation}")
    parts.append(f"{epoch.examples_per_second:,.0f} examples/s")
    bar.set_postfix_str(", ".join(parts), refresh=False)
    bar.update()
