"""Many networks at once: one compiled call trains a network from several seeds, or with several settings.

All networks see the same batches in the same order. They differ in their starting parameters and in what their layers
draw, or in the numbers of their optimizers, which lie in its state. That is what makes it fast: the rows of a batch are
gathered once for all, and the first layer's products of all networks join into a single one, X Wᵀ with the rows of
every W under each other.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.networks.adapting import adapt, adapts
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike, check_optimizer, init_with_data, is_optimizer
from fnn.storage.processes import fetched
from fnn.training.compiling import STARTING, compiled
from fnn.training.devices import placed, require_one_process, shards_of, within
from fnn.training.evaluation import Measured, check_data, laid_out, share_right
from fnn.training.interruption import finishing
from fnn.training.progress import reporter
from fnn.training.shards import SHARDS, WHOLE, Dealing, Shards, batch_sizes
from fnn.training.steps import (
    TrainState,
    all_finite,
    epoch_order,
    first_state,
    over_batches,
    training_step,
)
from fnn.validation import is_key, require_whole


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
        keys: the key of each network, (k,).
        optimizers: the optimizer of each network, k of them.
    """

    net: Network
    params: Params
    state: State
    history: tuple[EnsembleEpoch, ...]
    train_state: TrainState
    keys: jax.Array
    optimizers: tuple[OptimizerLike, ...]

    def __len__(self) -> int:
        return len(self.optimizers)

    def member(self, i: int) -> tuple[Params, State]:
        """Parameters and state of network i alone, which was trained by optimizers[i] from keys[i]."""
        return jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))

    def forward(self, x: ArrayLike) -> jax.Array:
        """Predict: the average of what the networks predict, (n, d_out).

        Args:
            x: (n, *input_shape).
        """
        return _average(self.net, self.params, jnp.asarray(x), self.state)


def fit_many(
    net: Network,
    keys: jax.Array,
    train: tuple[ArrayLike, ArrayLike],
    *,
    optimizer: OptimizerLike | Sequence[OptimizerLike],
    epochs: int,
    batch_size: int,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    weights: ArrayLike | None = None,
    progress: bool = True,
    shards: int = SHARDS,
) -> Ensemble:
    """Train networks that differ in their seeds, in the numbers of their optimizers, or in both, in one compiled call.

    Args:
        net: the network.
        keys: k random keys, (k,), such as jax.random.split(key, k); a single one will do for several optimizers.
        train: (x, y), x (n, *input_shape) and y as the loss takes them; moved to the device once.
        optimizer: any (init, update) pair. Or a list of optimizers of one kind, which differ in numbers only, such as
            [fnn.adam(rate) for rate in (0.1, 0.03, 0.01)]; each of them trains a network from each key.
        epochs: passes over the data.
        batch_size: examples a step.
        validation: (x, y) to evaluate after each epoch.
        weights: weight of each example, (n,).
        progress: show a bar on a terminal, or print lines to a log file.
        shards: how many shards data are dealt out to that `place` has spread over devices. Placed keys spread the
            networks instead; each device then trains its own.

    Returns:
        An `Ensemble`, whose `optimizers` and `keys` say what its networks come from: all keys with the first optimizer,
        then all with the second, and so on. Its first network is, up to rounding, the one that `fit` trains from
        keys[0]; the others see the same batches.

    Raises:
        TypeError: something that is no optimizer.
        ValueError: data that don't fit the network, keys that are no vector of random keys, optimizers of several
            kinds, sizes below 1.
        ArithmeticError: a loss or parameter that is not finite; says in which networks. Among several optimizers some
            may diverge: a warning names them, and their losses are NaN from then on.

    Examples:
        >>> import fnn
        >>> x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
        >>> net, rates = fnn.mlp(2, 1, loss=fnn.mean_squared_error), (0.0, 0.05, 0.1)
        >>> settings = {"epochs": 5, "batch_size": 4, "progress": False}
        >>> sweep = fit_many(net, jax.random.key(0), (x, y), optimizer=[fnn.sgd(rate) for rate in rates], **settings)
        >>> sweep.optimizers[int(sweep.history[-1].train_loss.each.argmin())]
        fnn.sgd(0.1)
    """
    require_network("fit_many", net)
    if not isinstance(train, tuple | list) or len(train) != 2:
        raise ValueError(f"fit_many expects train as (x, y), two arrays, got {type(train).__name__}; pass (x, y)")
    members, starts = _crossed(optimizer, keys)
    epochs = require_whole("fit_many expects epochs as a whole number of at least 1", epochs)
    data = check_data(net, *train, weights)
    batch_size = _require_batch_size(batch_size, data[0].shape[0])
    states = _starting_states(net, members, starts, train)
    rows, members_over, states, data = _spread_out(states, keys, data, batch_size, shards)
    run = partial(_epoch, net, members[0].update, batch_size, rows or WHOLE, members_over or WHOLE)
    measured_on = None if validation is None else laid_out(*check_data(net, *validation)[:2], rows)
    history: list[EnsembleEpoch] = []
    finite = np.ones(len(members), bool)
    with finishing(aloud=progress) as press, reporter(epochs, 0, progress) as report:
        for number in range(1, epochs + 1):
            press.end()
            began = time.perf_counter()
            with within(members_over):
                states, losses, now = run(states, *data)
            finite = _still_finite(finite, fetched(now), number, members)
            speed = len(members) / (time.perf_counter() - began)
            loss, right = (None, None) if measured_on is None else _measure(net, states, finite, measured_on)
            trained = Spread(np.where(finite, fetched(losses).astype(np.float64), np.nan))
            history.append(EnsembleEpoch(number, trained, loss, right, speed))
            report(number, str(history[-1]))
    return Ensemble(net, states.params, states.state, tuple(history), states, starts, members)


def _starting_states(net: Network, members: tuple[OptimizerLike, ...], keys: jax.Array, train: Any) -> TrainState:
    inits = jax.tree.map(lambda *numbers: jnp.stack(numbers), *map(_numbers, members))
    states = _starting_program()(net, inits, keys)
    if not adapts(net):
        return states
    # All see the same data.
    return states._replace(state=jax.tree.map(lambda leaf: jnp.stack([leaf] * len(members)), adapt(net, *train)))


def _spread_out(
    states: TrainState, keys: Any, data: tuple, batch_size: int, shards: int
) -> tuple[Shards | None, Shards | None, TrainState, tuple]:
    """How rows and networks are dealt out to devices, if they are, and both where they then lie."""
    rows, networks = shards_of(data[:2], shards), shards_of(keys)
    if rows is not None:
        rows.check(data[0].shape[0], batch_size)
        return (rows, *rows.enter(states), placed(data, rows))
    if networks is None:
        require_one_process("fit_many", *data[:2])
        return None, None, states, jax.tree.map(jnp.asarray, data)
    return (None, *networks.enter(placed(states, networks)), jax.device_put(data, networks.everywhere))


def _require_batch_size(batch_size: Any, n: int) -> int:
    expected = f"expected batch_size as a whole number from 1 to {n}, the number of examples"
    return require_whole(expected, batch_size, most=n)


def _crossed(optimizer: Any, keys: Any) -> tuple[tuple[OptimizerLike, ...], jax.Array]:
    """The optimizer and the key of each network."""
    several = isinstance(optimizer, Sequence) and not is_optimizer(optimizer)
    optimizers = tuple(optimizer) if several else (optimizer,)
    if not optimizers:
        raise ValueError("fit_many expects at least one optimizer, got an empty list")
    for each in optimizers:
        check_optimizer(each)
        if each.update != optimizers[0].update:
            raise ValueError(
                f"fit_many expects optimizers of one kind, that differ in numbers only, got {optimizers[0]!r:.80} and "
                f"{each!r:.80}; train each kind in a call of its own (a decay of 0 is another kind than one above 0)"
            )
    if several and is_key(keys) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        keys = keys[None]
    if not (isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 1):
        received = f"{keys.dtype} {keys.shape}" if isinstance(keys, jax.Array) else type(keys).__name__
        raise ValueError(f"fit_many expects a vector of random keys, got {received}; pass jax.random.split(key, k)")
    if len(keys) < 1:
        raise ValueError("fit_many expects at least one key, got 0; pass jax.random.split(key, k)")
    members = tuple(each for each in optimizers for _ in range(len(keys)))
    return members, jnp.tile(keys, len(optimizers))


def _numbers(optimizer: OptimizerLike) -> Any:
    return jax.tree.map(jnp.asarray, init_with_data(optimizer))


def _first_states(net: Network, inits: Any, keys: jax.Array) -> TrainState:
    return jax.vmap(partial(first_state, net))(inits, keys)


@cache
def _starting_program() -> Callable:
    return compiled(_first_states, STARTING, static_argnums=0)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _epoch(
    net: Network, update: Callable, batch_size: int, rows: Dealing, spread: Dealing, states: TrainState, x, y, weights
):
    """An epoch of k networks over one order, that of the first."""
    order = epoch_order(jax.tree.map(lambda leaf: leaf[0], states), x.shape[0], rows)

    def step(states: TrainState, x, y, weights):
        states, losses = jax.vmap(lambda ts: training_step(net, update, ts, x, y, weights))(states)
        return spread.hold(states), losses

    states, losses = over_batches(step, states, order, batch_size, x, y, weights, rows=rows)
    sizes = batch_sizes(x.shape[0], batch_size, order, weights, rows)
    finite = jax.vmap(all_finite)((losses.T, states.params))
    return states, (losses * (sizes / sizes.sum())[:, None].astype(losses.dtype)).sum(axis=0), finite


def _measure(net: Network, states: TrainState, finite: np.ndarray, data: Measured) -> tuple[Spread, Spread | None]:
    losses, predictions = _evaluate(net, states.params, data.x, data.y, data.weights, states.state)
    loss = Spread(np.where(finite, fetched(losses).astype(np.float64), np.nan))
    if not net.criterion.classifies:
        return loss, None
    real = data.real()
    each, y = zip(finite, fetched(predictions)[:, real], strict=True), fetched(data.y)[real]
    return loss, Spread(np.array([share_right(net.criterion, p, y) if whole else np.nan for whole, p in each]))


@partial(jax.jit, static_argnums=0)
def _evaluate(net: Network, params: Params, x, y, weights, state: State):
    def one(params, state):
        z = net.logits(params, x, state)
        return net.loss_at(state).fwd(z, y, weights)[0], net.criterion.link(z)

    return jax.vmap(one)(params, state)


@partial(jax.jit, static_argnums=0)
def _average(net: Network, params: Params, x, state: State) -> jax.Array:
    return jax.vmap(lambda params, state: net.forward(params, x, state))(params, state).mean(axis=0)


def _still_finite(before: np.ndarray, now: np.ndarray, epoch: int, members: tuple[OptimizerLike, ...]) -> np.ndarray:
    """Which networks are finite; the others end the run, or are named where others of a sweep go on."""
    finite, new = before & now, np.flatnonzero(before & ~now)
    if not len(new):
        return finite
    message = (
        f"{len(new)} of {len(finite)} networks met a value that is not finite in epoch {epoch}, the first is number "
        f"{new[0]}, trained with {members[new[0]]!r:.80}; lower the learning rate, or train that one with fit, which "
        "says where and why"
    )
    if not finite.any() or all(member is members[0] for member in members):
        raise ArithmeticError(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)
    return finite
