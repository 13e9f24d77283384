"""Epochs as `fit` runs them: one compiled call over data on the device, or one compiled step a batch from the host.

A runner maps (train_state, number of the epoch) to (train_state, mean loss, number of examples). Neither waits for the
device after every step to see whether all is well: the compiled epoch says so once at its end, and the stream looks at
a step's result when the next ones are already on their way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache, lru_cache, partial

import jax
import numpy as np

from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.storage.processes import fetched
from fnn.training.compiling import compiled, training_options
from fnn.training.devices import run_where_rows_lie, shards_of
from fnn.training.divergence import diverged, replay
from fnn.training.fingerprints import fingerprint
from fnn.training.shards import WHOLE, Dealing, Shards, batch_sizes
from fnn.training.steps import TrainState, all_finite, epoch_order, training_epoch, training_step
from fnn.training.streaming import Batches, host_batches

Runner = Callable[[TrainState, int], tuple[TrainState, float, int]]
_AHEAD = 2  # steps that may be under way before the oldest is looked at


class Interrupted(KeyboardInterrupt):
    """Ctrl-C within an epoch, with the state that its last step left.

    Attributes:
        train_state: that state.
    """

    def __init__(self, train_state: TrainState):
        super().__init__("interrupted")
        self.train_state = train_state


def on_device(
    net: Network, optimizer: OptimizerLike, batch_size: int, x, y, weights, shards: Shards | None = None
) -> Runner:
    """Run epochs over data that lie on the device, or on several, each as one compiled call.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        batch_size: examples a step.
        x: (n, *input_shape).
        y: targets.
        weights: weight of each example, (n,), or None.
        shards: how they are dealt out to several devices, if they are.

    Returns:
        The runner; it raises TrainingDiverged.
    """
    program = partial(_epoch_program, net, optimizer.update, batch_size)
    rows = WHOLE if shards is None else shards
    each = rows.rows_a_step(batch_size)

    def run(ts: TrainState, number: int):
        after, losses, sizes, finite = run_where_rows_lie(program, shards, ts, (x, y, weights))
        losses = np.asarray(losses)
        if not finite:
            n = x.shape[0]
            order = fetched(jax.jit(epoch_order, static_argnums=(1, 2))(ts, n, rows))
            batches = [rows.numbers(order[i : i + each], n) for i in range(0, len(order), each)]
            raise replay(net, optimizer, ts, x, y, weights, batches, _first_bad(losses))
        return after, float(np.average(losses.astype(np.float64), weights=np.asarray(sizes))), x.shape[0]

    return run


def _first_bad(losses: np.ndarray) -> int:
    """Number of the first loss that is not finite, or of the last, whose update then was at fault."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) if len(bad) else len(losses) - 1


@lru_cache(maxsize=64)  # a second fit with an equal network and an optimizer of its kind compiles nothing
def _epoch_program(net: Network, update: Callable, batch_size: int, rows: Dealing) -> Callable:
    return compiled(partial(_watched_epoch, net, update, batch_size, rows), training_options(net, batch_size))


def _watched_epoch(net: Network, update: Callable, batch_size: int, rows: Dealing, ts: TrainState, x, y, weights):
    after, losses = training_epoch(net, update, batch_size, ts, x, y, weights, rows=rows)
    order = None if weights is None else epoch_order(ts, x.shape[0], rows)
    sizes = batch_sizes(x.shape[0], batch_size, order, weights, rows)
    return after, losses, sizes, all_finite((losses, after.params))


def streamed(net: Network, optimizer: OptimizerLike, batches: Batches, seen: dict[int, str] | None = None) -> Runner:
    """Run epochs over batches from the host, a compiled step each; each shape of a batch is compiled once.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        batches: as `host_batches` takes them.
        seen: where to note the fingerprint of each epoch's first batch, or None.

    Returns:
        The runner; it raises TrainingDiverged, and Interrupted for KeyboardInterrupt. Whatever else goes wrong, such as
        in a generator, takes the state after the last step that is known to be finite with it, as `train_state`.
    """
    program = cache(partial(_step_program, net, optimizer.update))

    def run(ts: TrainState, number: int):
        under_way: deque = deque()
        totals = np.zeros(2)
        n = 0

        def settle() -> None:
            before, (x, y, weights), size, loss, finite = under_way.popleft()
            if not finite:
                raise diverged(net, optimizer, before, x, y, weights, np.arange(len(x)))
            totals[:] += (size * float(loss), size)

        try:
            for *batch, size in host_batches(net, batches, number):
                if seen is not None and not n:
                    seen[number] = fingerprint(batch)
                own = partial(program, len(batch[0]))
                after, loss, finite = run_where_rows_lie(own, shards_of(batch), ts, tuple(batch))
                under_way.append((ts, batch, size, loss, finite))
                ts, n = after, n + len(batch[0])
                if len(under_way) > _AHEAD:
                    settle()
            while under_way:
                settle()
        except KeyboardInterrupt as interrupt:
            raise Interrupted(under_way[0][0] if under_way else ts) from interrupt
        except Exception as error:
            if not hasattr(error, "train_state"):
                error.train_state = under_way[0][0] if under_way else ts  # type: ignore[attr-defined]
            raise
        return ts, totals[0] / totals[1], n

    return run


@lru_cache(maxsize=64)
def _step_program(net: Network, update: Callable, examples: int, rows: Dealing) -> Callable:
    return compiled(partial(_watched_step, net, update, rows), training_options(net, examples))


def _watched_step(net: Network, update: Callable, rows: Dealing, ts: TrainState, x, y, weights):
    after, loss = training_step(net, update, ts, x, y, weights, rows=rows)
    return after, loss, all_finite((loss, after.params))
