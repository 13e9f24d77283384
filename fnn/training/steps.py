"""Training: one step, and one epoch in one compiled call; `fnn.fitting` repeats epochs and reports.

Everything that changes travels in a `TrainState`, an immutable pytree: a step maps one to the next. The key of step s
is fold_in(key, s), so a run depends on its key and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Params, State
from fnn.layers.matrix_products import TINY
from fnn.layers.theta import count_params
from fnn.networks.network import Network
from fnn.optimizers.base import Optimizer, apply_updates
from fnn.training.compiling import compiled, training_options
from fnn.training.shuffling import permutation

_SHUFFLE = 0x73687566  # "shuf": what folds a step's key into the key that shuffles the epoch starting there


class TrainState(NamedTuple):
    """Everything that a training run carries from step to step."""

    params: Params  # θ
    state: State  # what layers remember; () for most networks
    opt_state: Any  # what the optimizer remembers
    key: jax.Array  # the run's key, the same from first step to last
    step: jax.Array  # number of steps made, int32 scalar


def init_train_state(net: Network, optimizer: Optimizer, key: jax.Array, params: Params = None) -> TrainState:
    """Start a training run.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        key: random key for the parameters, the shuffling and the layers that draw.
        params: parameters to start from instead of fresh ones.

    Returns:
        The state before the first step.

    Raises:
        TypeError: key is no random key, or optimizer no (init, update) pair.
        ValueError: params are those of another network.
    """
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"expected key as a random key, got {key!r}; pass jax.random.key(0)")
    check_optimizer(optimizer)
    if params is not None:
        net.check_params(params)
    if params is None:
        return _first_state(net, optimizer.init, key)
    # Not compiled, so that what is made like params also lies where they lie on a mesh.
    return TrainState(
        params, net.init_state(), optimizer.init(params), jax.random.split(key)[1], jnp.zeros((), jnp.int32)
    )


@partial(jax.jit, static_argnums=(0, 1))
def _first_state(net: Network, init_optimizer: Callable, key: jax.Array) -> TrainState:
    """One program: one for each little array would take longer than the first epoch of a small network."""
    init_key, run_key = jax.random.split(key)
    params = net.init(init_key)
    return TrainState(params, net.init_state(), init_optimizer(params), run_key, jnp.zeros((), jnp.int32))


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no (init, update) pair, such as a learning rate or a constructor that was not called.

    Args:
        optimizer: what should be an optimizer.

    Raises:
        TypeError: says what would be one.
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(f"expected an optimizer such as fnn.momentum(0.1), got {optimizer!r}")


def make_train_step(net: Network, optimizer: Optimizer) -> Callable:
    """Compile one training step of a network with an optimizer.

    Args:
        net: the network.
        optimizer: any (init, update) pair, of this library or with optax's signature.

    Returns:
        step(train_state, x, y, weights=None) -> (train_state, loss), compiled once a shape; its arguments stay valid.

    Examples:
        >>> import fnn
        >>> net, optimizer = fnn.mlp(2, 1, loss=fnn.mean_squared_error), fnn.sgd(0.1)
        >>> state = init_train_state(net, optimizer, jax.random.key(0))
        >>> state, loss = make_train_step(net, optimizer)(state, jnp.ones((4, 2)), jnp.ones((4, 1)))
        >>> int(state.step)
        1
    """

    @cache
    def compiled_for(examples: int) -> Callable:
        return compiled(partial(training_step, net, optimizer), training_options(net, examples))

    def step(ts: TrainState, x: jax.Array, y: jax.Array, weights: jax.Array | None = None):
        net.check_batch(x, y, weights)
        return compiled_for(x.shape[0])(ts, x, y, weights)

    return step


def make_train_epoch(net: Network, optimizer: Optimizer, batch_size: int) -> Callable:
    """Compile one epoch: every example once, in a fresh random order, in one call without return to Python.

    Data stay on the device as they are, images as uint8 for instance; each batch is gathered inside the scan. The last
    batch is smaller where the batch size does not divide n, and is trained on like the others.

    Args:
        net: the network.
        optimizer: any (init, update) pair, of this library or with optax's signature.
        batch_size: examples a step.

    Returns:
        epoch(train_state, x, y, weights=None) -> (train_state, losses), losses (steps,) in the order of the steps; its
        arguments stay valid.

    Raises:
        ValueError: a batch size below 1; from epoch, one larger than the data.
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"expected batch_size as a whole number of at least 1, got {batch_size!r}")
    run = compiled(partial(training_epoch, net, optimizer, batch_size), training_options(net, batch_size))

    def epoch(ts: TrainState, x: jax.Array, y: jax.Array, weights: jax.Array | None = None):
        net.check_batch(x, y, weights)
        if batch_size > x.shape[0]:
            raise ValueError(
                f"batch_size {batch_size} is larger than the data, {x.shape[0]} examples; use at most that many"
            )
        return run(ts, x, y, weights)

    return epoch


def epoch_order(ts: TrainState, n: int) -> jax.Array:
    """Order in which the epoch that starts at a train state visits n examples: a permutation, fixed by key and step.

    Args:
        ts: the state before the epoch's first step.
        n: number of examples.

    Returns:
        Row numbers, (n,).
    """
    return permutation(jax.random.fold_in(jax.random.fold_in(ts.key, ts.step), _SHUFFLE), n)


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a pytree is finite, as a bool on the device."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all() if leaves else jnp.array(True)


def training_step(net: Network, optimizer: Optimizer, ts: TrainState, x, y, weights):
    """One step as a pure function, not compiled.

    Returns:
        (train_state, loss).
    """
    key = jax.random.fold_in(ts.key, ts.step)
    loss, grads, state = net.value_and_grads(ts.params, x, y, state=ts.state, key=key, weights=weights)
    updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
    params = apply_updates(ts.params, updates)
    return TrainState(params, state, opt_state, ts.key, ts.step + 1), loss


def training_epoch(net: Network, optimizer: Optimizer, batch_size: int, ts: TrainState, x, y, weights):
    """One epoch as a pure function, not compiled.

    Returns:
        (train_state, losses), losses (steps,).
    """
    order = epoch_order(ts, x.shape[0])
    whole = x.shape[0] // batch_size * batch_size

    def step(ts: TrainState, rows: jax.Array):
        return training_step(net, optimizer, ts, x[rows], y[rows], None if weights is None else weights[rows])

    # A loop of tiny steps spends up to a sixth of its time on being a loop.
    unroll = 8 if batch_size * count_params(ts.params) <= TINY else 1
    ts, losses = jax.lax.scan(step, ts, order[:whole].reshape(-1, batch_size), unroll=unroll)
    if whole < x.shape[0]:
        ts, last = step(ts, order[whole:])
        losses = jnp.append(losses, last)
    return ts, losses


def batch_sizes(n: int, batch_size: int, order: jax.Array | None = None, weights: jax.Array | None = None) -> jax.Array:
    """How much each batch of an epoch counts in its mean loss: its examples, or the sum of their weights.

    Args:
        n: examples in all.
        batch_size: examples a step.
        order: row numbers (n,), as `epoch_order` gives them; needed with weights only.
        weights: weight of each example, (n,), or None.

    Returns:
        (steps,).
    """
    spare = -n % batch_size
    each = jnp.ones(n) if weights is None else weights[order].astype(jnp.result_type(float))
    return jnp.pad(each, (0, spare)).reshape(-1, batch_size).sum(axis=1)
