"""Many networks at once: one compiled call trains a network from several seeds, and averages what they predict.

All networks see the same batches in the same order. They differ in their starting parameters and in what their layers
draw. That is what makes it fast: the rows of a batch are gathered once for all, and the first layer's products of all
networks join into a single one, X Wᵀ with the rows of every W under each other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Params, State
from fnn.networks.network import Network
from fnn.optimizers.base import Optimizer
from fnn.training.evaluation import check_data, share_right
from fnn.training.progress import reporter
from fnn.training.steps import TrainState, all_finite, batch_sizes, epoch_order, init_train_state, training_step


class Spread(NamedTuple):
    """A number for each network, with mean and standard deviation."""

    each: np.ndarray  # (k,)

    @property
    def mean(self) -> float:
        """Mean over the networks."""
        return float(self.each.mean())

    @property
    def std(self) -> float:
        """Standard deviation over the networks, with k − 1 in the denominator; 0 for a single one."""
        return float(self.each.std(ddof=1)) if len(self.each) > 1 else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.std:.4f}"


class EnsembleEpoch(NamedTuple):
    """One line of the history of `fit_many`."""

    epoch: int  # from 1
    train_loss: Spread  # mean over the epoch's examples, for each network
    validation_loss: Spread | None  # where validation data was given
    validation_accuracy: Spread | None  # and the network classifies
    networks_per_second: float  # epochs of single networks

    def __str__(self) -> str:
        text = f"train loss {self.train_loss}"
        if self.validation_loss is not None:
            text += f", validation loss {self.validation_loss}"
        if self.validation_accuracy is not None:
            text += f", accuracy {self.validation_accuracy}"
        return f"{text}, {self.networks_per_second:,.1f} network epochs/s"


@dataclass(frozen=True)
class Ensemble:
    """What `fit_many` returns.

    Attributes:
        net: the network that all k are copies of.
        params: parameters, each leaf with k in front.
        state: the layers' state, likewise.
        history: one `EnsembleEpoch` each.
        train_state: everything, to go on from; k in front of each leaf.
    """

    net: Network
    params: Params
    state: State
    history: tuple[EnsembleEpoch, ...]
    train_state: TrainState

    def __len__(self) -> int:
        return self.train_state.step.shape[0]

    def member(self, i: int) -> tuple[Params, State]:
        """Parameters and state of network i alone."""
        return jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))

    def forward(self, x: jax.Array) -> jax.Array:
        """Predict: the average of what the networks predict, (n, d_out).

        Args:
            x: (n, *input_shape).
        """
        return _average(self.net, self.params, jnp.asarray(x), self.state)


def fit_many(
    net: Network,
    keys: jax.Array,
    train: tuple[jax.Array, jax.Array],
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    validation: tuple[jax.Array, jax.Array] | None = None,
    weights: jax.Array | None = None,
    progress: bool = True,
) -> Ensemble:
    """Train k networks that differ in their seeds, in one compiled call an epoch.

    Args:
        net: the network.
        keys: k random keys, (k,), such as jax.random.split(key, k).
        train: (x, y), x (n, *input_shape) and y as the loss takes them; moved to the device once.
        optimizer: any (init, update) pair.
        epochs: passes over the data.
        batch_size: examples a step.
        validation: (x, y) to evaluate after each epoch.
        weights: weight of each example, (n,).
        progress: show a bar on a terminal, or print lines to a log file.

    Returns:
        An `Ensemble`. Its first network is, up to rounding, the one that `fit` trains from keys[0]; the others see the
        same batches.

    Raises:
        ValueError: data that don't fit the network, keys that are no vector of random keys, sizes below 1.
        ArithmeticError: a loss or parameter that is not finite; says in which networks.
    """
    _check(keys, epochs, batch_size, train)
    check_data(net, train[0], train[1], weights)
    x, y = (jnp.asarray(part) for part in train)
    weights = None if weights is None else jnp.asarray(weights)
    if validation is not None:
        check_data(net, *validation)
        validation = (jnp.asarray(validation[0]), jnp.asarray(validation[1]))
    optimizer = Optimizer(optimizer.init, optimizer.update)
    states = jax.vmap(partial(init_train_state, net, optimizer))(keys)
    history: list[EnsembleEpoch] = []
    with reporter(epochs, 0, progress) as report:
        for number in range(1, epochs + 1):
            began = time.perf_counter()
            after, losses, finite = _epoch(net, optimizer, batch_size, states, x, y, weights)
            _check_finite(np.asarray(finite), number)
            states, speed = after, len(keys) / (time.perf_counter() - began)
            loss, right = (None, None) if validation is None else _measure(net, states, *validation)
            history.append(EnsembleEpoch(number, Spread(np.asarray(losses, np.float64)), loss, right, speed))
            report(number, str(history[-1]))
    return Ensemble(net, states.params, states.state, tuple(history), states)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _epoch(net: Network, optimizer: Optimizer, batch_size: int, states: TrainState, x, y, weights):
    """`fnn.training.training_epoch` for k networks over one order: that of the first."""
    n = x.shape[0]
    order = epoch_order(jax.tree.map(lambda leaf: leaf[0], states), n)
    whole = n // batch_size * batch_size

    def step(states: TrainState, rows: jax.Array):
        batch = (x[rows], y[rows], None if weights is None else weights[rows])
        return jax.vmap(lambda ts: training_step(net, optimizer, ts, *batch))(states)

    states, losses = jax.lax.scan(step, states, order[:whole].reshape(-1, batch_size))
    if whole < n:
        states, last = step(states, order[whole:])
        losses = jnp.concatenate([losses, last[None]])
    sizes = batch_sizes(n, batch_size, order, weights)
    finite = jax.vmap(all_finite)((losses.T, states.params))
    return states, (losses * (sizes / sizes.sum())[:, None].astype(losses.dtype)).sum(axis=0), finite


def _measure(net: Network, states: TrainState, x, y) -> tuple[Spread, Spread | None]:
    losses, predictions = _evaluate(net, states.params, x, y, states.state)
    loss = Spread(np.asarray(losses, np.float64))
    if not net.criterion.classifies:
        return loss, None
    return loss, Spread(np.array([share_right(net.criterion, p, y) for p in np.asarray(predictions)]))


@partial(jax.jit, static_argnums=0)
def _evaluate(net: Network, params: Params, x, y, state: State):
    def one(params, state):
        z = net.logits(params, x, state)
        return net.criterion.fwd(z, y, None)[0], net.criterion.link(z)

    return jax.vmap(one)(params, state)


@partial(jax.jit, static_argnums=0)
def _average(net: Network, params: Params, x, state: State) -> jax.Array:
    return jax.vmap(lambda params, state: net.forward(params, x, state))(params, state).mean(axis=0)


def _check(keys: jax.Array, epochs: int, batch_size: int, train: tuple) -> None:
    if not (isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 1):
        received = f"{keys.dtype} {keys.shape}" if isinstance(keys, jax.Array) else type(keys).__name__
        raise ValueError(f"fit_many expects a vector of random keys, got {received}; pass jax.random.split(key, k)")
    if len(keys) < 1 or epochs < 1:
        raise ValueError(f"fit_many expects at least one key and one epoch, got {len(keys)} and {epochs}")
    n = train[0].shape[0]
    if not isinstance(batch_size, int) or not 1 <= batch_size <= n:
        raise ValueError(
            f"expected batch_size as a whole number from 1 to {n}, the number of examples, got {batch_size!r}"
        )


def _check_finite(finite: np.ndarray, epoch: int) -> None:
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ArithmeticError(
            f"{len(bad)} of {len(finite)} networks met a value that is not finite in epoch {epoch}, the first is "
            f"number {bad[0]}; lower the learning rate, or train that one with fit, which says where and why"
        )
