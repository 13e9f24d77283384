"""Training: one step, and one epoch in one compiled call; `fnn.training.fitting` repeats epochs and reports.

Everything that changes travels in a `TrainState`, an immutable pytree: a step maps one to the next. The key of step s
is fold_in(key, s), so a run depends on its key and on nothing else. What is compiled is known by its structure (the
network, the optimizer's update, the batch size): equal networks and optimizers that differ in numbers share programs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.layers.matrix_products import TINY
from fnn.layers.theta import count_params
from fnn.networks.arguments import require_network
from fnn.networks.expectations import check_tree, expected_of
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike, apply_updates, check_optimizer, first_step, init_with_data
from fnn.training.compiling import STARTING, compiled, training_options
from fnn.training.devices import run_where_rows_lie, shards_of
from fnn.training.shards import SHARDS, WHOLE, Dealing
from fnn.validation import require_key, require_whole

Carry = TypeVar("Carry")
Step = Callable[..., tuple[Any, jax.Array]]  # (train_state, x, y, weights=None)
_SHUFFLE = 0x73687566  # "shuf": what folds a step's key into the key that shuffles the epoch starting there


class TrainState(NamedTuple):
    """Everything that a training run carries from step to step."""

    params: Params  # θ
    state: State  # what layers remember; () for most networks
    opt_state: Any  # what the optimizer remembers
    key: jax.Array  # the run's key, the same from first step to last
    step: jax.Array  # number of steps made, int32 scalar


def init_train_state(
    net: Network, optimizer: OptimizerLike, key: jax.Array, params: Params = None, state: State | None = None
) -> TrainState:
    """Start a training run.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        key: random key for the parameters, the shuffling and the layers that draw.
        params: parameters to start from instead of fresh ones.
        state: the layers' state that belongs to them, where layers have one; `net.init_state()` is the untrained one.

    Returns:
        The state before the first step.

    Raises:
        TypeError: key is no random key, or optimizer no (init, update) pair.
        ValueError: params are those of another network, or come without the state that belongs to them.
    """
    require_network("init_train_state", net)
    key = require_key("init_train_state", key)
    check_optimizer(optimizer)
    if params is None:
        return _starting_program()(net, init_with_data(optimizer), key)
    net.check_params(params)
    if state is None and net.has_state:
        raise ValueError(
            "expected params with the state of their layers, such as batch_norm's statistics, got params alone; pass "
            "state=result.state too, or state=net.init_state() for parameters that were never trained"
        )
    state = net.init_state() if state is None else state
    net.check_state(state)
    # Not compiled, so that what is made like params also lies where they lie on a mesh.
    return TrainState(params, state, optimizer.init(params), jax.random.split(key)[1], first_step())


def first_state(net: Network, init_optimizer: Partial, key: jax.Array) -> TrainState:
    """The state before the first step as a pure function, not compiled.

    Args:
        net: the network.
        init_optimizer: the optimizer's init with its numbers, as `init_with_data` gives it.
        key: random key.
    """
    init_key, run_key = jax.random.split(key)
    params = net.init(init_key)
    return TrainState(params, net.init_state(), init_optimizer(params), run_key, first_step())


@cache
def _starting_program() -> Callable:
    """One program: one for each little array would take longer than the first epoch of a small network."""
    return compiled(first_state, STARTING, static_argnums=0)


def make_train_step(net: Network, optimizer: OptimizerLike) -> Step:
    """Compile one training step of a network with an optimizer.

    Args:
        net: the network.
        optimizer: any (init, update) pair, of this library or with optax's signature.

    Returns:
        step(train_state, x, y, weights=None) -> (train_state, loss), compiled once a shape; its arguments stay valid.
        The devices that hold a batch, as `place` spreads it, each work on their own rows.

    Examples:
        >>> import fnn
        >>> net, optimizer = fnn.mlp(2, 1, loss=fnn.mean_squared_error), fnn.sgd(0.1)
        >>> state = init_train_state(net, optimizer, jax.random.key(0))
        >>> state, loss = make_train_step(net, optimizer)(state, jnp.ones((4, 2)), jnp.ones((4, 1)))
        >>> int(state.step)
        1
    """
    require_network("make_train_step", net)
    check = _state_checker(net, optimizer)
    program = cache(partial(_step_program, net, optimizer.update))

    def step(ts: TrainState, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None):
        check(ts)
        batch = net.check_batch(x, y, weights)
        return run_where_rows_lie(partial(program, batch[0].shape[0]), shards_of(batch), ts, batch)

    return step


def _state_checker(net: Network, optimizer: OptimizerLike) -> Callable[[Any], None]:
    """What refuses a train state of another network or optimizer, or something else than one."""
    check_optimizer(optimizer)
    like = expected_of(jax.eval_shape(lambda key: optimizer.init(net.init(key)), jax.random.key(0)))

    def check(ts: Any) -> None:
        if not isinstance(ts, TrainState):
            found = isinstance(getattr(ts, "train_state", None), TrainState)
            remedy = "pass its .train_state" if found else "make one with fnn.init_train_state"
            raise TypeError(f"expected a TrainState, got {type(ts).__name__}; {remedy}")
        net.check_params(ts.params)
        net.check_state(ts.state)
        check_tree("opt_state", ts.opt_state, like, "make it with this optimizer's init, or fnn.init_train_state")

    return check


@lru_cache(maxsize=64)
def _step_program(net: Network, update: Callable, examples: int, rows: Dealing) -> Callable:
    return compiled(partial(training_step, net, update, rows=rows), training_options(net, examples))


def make_train_epoch(net: Network, optimizer: OptimizerLike, batch_size: int, *, shards: int = SHARDS) -> Step:
    """Compile one epoch: every example once, in a fresh random order, in one call without return to Python.

    Data stay on the device as they are, images as uint8 for instance; each batch is gathered inside the scan. The last
    batch is smaller where the batch size does not divide n, and is trained on like the others. Data that lie on several
    devices, as `place` spreads them, stay where they are: each device shuffles and works on its own rows.

    Args:
        net: the network.
        optimizer: any (init, update) pair, of this library or with optax's signature.
        batch_size: examples a step; over several devices a multiple of the shards.
        shards: how many shards placed data are dealt out to; the same number gives the same result on any devices.

    Returns:
        epoch(train_state, x, y, weights=None) -> (train_state, losses), losses (steps,) in the order of the steps; its
        arguments stay valid.

    Raises:
        ValueError: a batch size below 1; from epoch, one larger than the data, or that the shards don't divide.
    """
    require_network("make_train_epoch", net)
    check = _state_checker(net, optimizer)
    batch_size = require_whole("expected batch_size as a whole number of at least 1", batch_size)
    program = partial(_epoch_program, net, optimizer.update, batch_size)

    def epoch(ts: TrainState, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None):
        check(ts)
        data = net.check_batch(x, y, weights)
        n = data[0].shape[0]
        if batch_size > n:
            raise ValueError(f"batch_size {batch_size} is larger than the data, {n} examples; use at most that many")
        dealt = shards_of(data, shards)
        if dealt is not None:
            dealt.check(n, batch_size)
        return run_where_rows_lie(program, dealt, ts, data)

    return epoch


@lru_cache(maxsize=64)
def _epoch_program(net: Network, update: Callable, batch_size: int, rows: Dealing) -> Callable:
    return compiled(partial(training_epoch, net, update, batch_size, rows=rows), training_options(net, batch_size))


def epoch_order(ts: TrainState, n: int, rows: Dealing = WHOLE) -> jax.Array:
    """Order in which the epoch that starts at a train state visits n examples: a permutation, fixed by key and step.

    Args:
        ts: the state before the epoch's first step.
        n: number of examples.
        rows: how they are dealt out.

    Returns:
        Row numbers, (n,); of shards, those within each, (n / shards, shards).
    """
    return rows.order(jax.random.fold_in(jax.random.fold_in(ts.key, ts.step), _SHUFFLE), n)


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a pytree is finite, as a bool on the device."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all() if leaves else jnp.array(True)


def training_step(
    net: Network, update: Callable, ts: TrainState, x, y, weights, *, rows: Dealing = WHOLE
) -> tuple[TrainState, jax.Array]:
    """One step as a pure function, not compiled.

    Args:
        net: the network.
        update: the optimizer's.
        ts: the state before the step.
        x: the step's batch.
        y: its targets.
        weights: its weights, or None.
        rows: where all these lie.

    Returns:
        (train_state, loss).
    """
    key = jax.random.fold_in(ts.key, ts.step)
    loss, grads, state = net.value_and_grads(ts.params, x, y, state=ts.state, key=key, weights=weights)
    updates, opt_state = update(grads, ts.opt_state, ts.params)
    params = apply_updates(ts.params, updates)
    return rows.hold(TrainState(params, state, opt_state, ts.key, ts.step + 1)), loss


def training_epoch(
    net: Network, update: Callable, batch_size: int, ts: TrainState, x, y, weights, *, rows: Dealing = WHOLE
):
    """One epoch as a pure function, not compiled.

    Args:
        net: the network.
        update: the optimizer's.
        batch_size: examples a step.
        ts: the state before the first step.
        x: the data, (n, *input_shape).
        y: targets.
        weights: weight of each example, (n,), or None.
        rows: how they are dealt out.

    Returns:
        (train_state, losses), losses (steps,).
    """
    # A loop of tiny steps spends a tenth of its time on being a loop; of more steps at once XLA repeats parts.
    unroll = 2 if batch_size * count_params(ts.params) <= TINY else 1
    step, order = partial(training_step, net, update, rows=rows), epoch_order(ts, x.shape[0], rows)
    return over_batches(step, ts, order, batch_size, x, y, weights, rows=rows, unroll=unroll)


def over_batches(
    step: Callable[..., tuple[Carry, jax.Array]],
    carry: Carry,
    order: jax.Array,
    batch_size: int,
    x: jax.Array,
    y: jax.Array,
    weights: jax.Array | None,
    *,
    rows: Dealing = WHOLE,
    unroll: int = 1,
) -> tuple[Carry, jax.Array]:
    """Take a step with each batch of an epoch: the one loop that trains, whatever a step is.

    Args:
        step: (carry, x, y, weights) of a batch -> (carry, loss).
        carry: what the first step starts from.
        order: from `epoch_order`.
        batch_size: examples a step; the last batch has what is left over.
        x: the data, (n, *input_shape).
        y: targets.
        weights: weight of each example, (n,), or None.
        rows: how the data are dealt out.
        unroll: steps that are written out in each turn of the loop.

    Returns:
        What the last step left, and the losses, (steps, *shape of one).
    """
    each = rows.rows_a_step(batch_size)
    whole = order.shape[0] // each * each

    def on(carry: Carry, chosen: jax.Array) -> tuple[Carry, jax.Array]:
        return step(carry, *(None if array is None else rows.take(array, chosen) for array in (x, y, weights)))

    batches = order[:whole].reshape(-1, each, *order.shape[1:])
    carry, losses = jax.lax.scan(on, carry, batches, unroll=unroll)
    if whole < order.shape[0]:
        carry, last = on(carry, order[whole:])
        losses = jnp.concatenate([losses, last[None]])
    return carry, losses
