"""Measuring a network on data, and checking data before anything is trained on them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.layers.base import Params, State
from fnn.losses.base import Loss
from fnn.losses.targets import refuse_rows
from fnn.networks.arguments import require_call
from fnn.networks.network import Network
from fnn.storage.processes import fetched
from fnn.training.devices import filled_up, placed, require_one_process, shards_beside, shards_of
from fnn.training.metrics import accuracy, r2_score
from fnn.training.shards import Shards
from fnn.validation import on_host, require_whole


class Evaluation(NamedTuple):
    """How well a network does on some data."""

    loss: float  # mean over the examples, without the penalty
    accuracy: float | None  # share of right classes in [0, 1]; None for a regression
    r2: (
        float | None
    )  # coefficient of determination; None for a classifier, or where an output's targets are all the same

    def __str__(self) -> str:
        if self.accuracy is not None:
            return f"loss {self.loss:.4f}, accuracy {self.accuracy:.2%}"
        return f"loss {self.loss:.4f}" + ("" if self.r2 is None else f", R² {self.r2:.4f}")


def evaluate(
    net: Network,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    state: State = (),
    batch_size: int = 1000,
) -> Evaluation:
    """Measure a network on data: mean loss, and accuracy or R².

    Args:
        net: the network.
        params: its parameters.
        x: (n, *input_shape).
        y: targets, as the loss takes them. Where x and y lie on several devices, as `place` spreads them, each of them
            computes on its own rows.
        state: the layers' state, where they have one.
        batch_size: examples at a time, which bounds the memory.

    Returns:
        loss without the penalty; accuracy for classifiers, as `share_right` counts it; r2 for regressions whose
            targets vary and whose predictions are finite.

    Raises:
        ValueError: data that don't fit the network; a classifier's predictions that are NaN; a batch size below 1.
    """
    examples, targets, _ = require_call("evaluate", net, params, x, y, state=state)
    size = require_whole("expected batch_size as a whole number of at least 1", batch_size)
    shards = shards_of((examples, targets))
    if shards is None and jax.process_count() == 1:
        shards = shards_beside(params)
    return measured(net, params, laid_out(examples, targets, shards), state, size)


class Measured(NamedTuple):
    """Data as they lie to be measured on."""

    x: jax.Array
    y: jax.Array
    weights: jax.Array | None  # 0 for rows that only fill up
    shards: Shards | None

    def real(self) -> np.ndarray | slice:
        """Which rows are examples rather than there to fill up."""
        return slice(None) if self.weights is None else fetched(self.weights) > 0


def laid_out(x: Any, y: Any, shards: Shards | None) -> Measured:
    """Move data to the device, or to several.

    Args:
        x: (n, *input_shape).
        y: targets.
        shards: how they are to be dealt out, if they are; host arrays are filled up.
    """
    if shards is None:
        require_one_process("evaluate", x, y)
        return Measured(jnp.asarray(x), jnp.asarray(y), None, None)
    (x, y), weights = filled_up((x, y), None, shards)
    return Measured(*placed((x, y, weights), shards), shards)


def measured(net: Network, params: Params, data: Measured, state: State, batch_size: int = 1000) -> Evaluation:
    """As `evaluate`, on data that have been laid out.

    Args:
        net: the network.
        params: its parameters.
        data: from `laid_out`.
        state: the layers' state.
        batch_size: examples at a time.
    """
    x, y, weights, shards = data
    if shards is None:
        loss, predictions = _evaluated(net, min(batch_size, x.shape[0]), params, x, y, state)
        targets: Any = y
    else:
        _, (params, state) = shards.enter((params, state))
        with jax.set_mesh(shards.mesh):
            loss, predictions = _evaluated_on(net, batch_size, shards, params, x, y, weights, state)
        predictions, targets = fetched(predictions)[data.real()], fetched(y)[data.real()]
    if net.criterion.classifies:
        return Evaluation(float(loss), share_right(net.criterion, predictions, targets), None)
    constant = bool(np.any(np.ptp(np.asarray(targets), axis=0) == 0))
    defined = not constant and bool(np.isfinite(predictions).all())
    return Evaluation(float(loss), None, r2_score(predictions, targets) if defined else None)


def share_right(loss: Loss, predictions: ArrayLike, y: ArrayLike) -> float:
    """Share of right answers: one class an example, or one answer an output where each is a yes-or-no question.

    Args:
        loss: what the network was trained with.
        predictions: ŷ, (n, d_out).
        y: targets, as the loss takes them.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: as `fnn.accuracy`.
    """
    if loss.yes_or_no:
        return accuracy(np.asarray(predictions).reshape(-1), np.asarray(y).reshape(-1))
    return accuracy(predictions, y)


@partial(jax.jit, static_argnums=(0, 1))
def _evaluated(
    net: Network, batch_size: int, params: Params, x: jax.Array, y: jax.Array, state: State
) -> tuple[jax.Array, jax.Array]:
    """Loss and predictions, in one program: compiling is most of what measuring a small network takes."""
    whole = x.shape[0] // batch_size * batch_size
    batches = x[:whole].reshape(-1, batch_size, *x.shape[1:])
    z = jax.lax.map(lambda batch: net.logits(params, batch, state), batches)
    z = z.reshape(whole, *z.shape[2:])
    if whole < x.shape[0]:
        z = jnp.concatenate([z, net.logits(params, x[whole:], state)])
    return net.loss_at(state).fwd(z, y, None)[0], net.criterion.link(z)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _evaluated_on(
    net: Network,
    batch_size: int,
    shards: Shards,
    params: Params,
    x: jax.Array,
    y: jax.Array,
    weights: jax.Array | None,
    state: State,
) -> tuple[jax.Array, jax.Array]:
    """The same on several devices, each with the rows that it holds: a chunk has equally many rows of every shard."""
    each = x.shape[0] // shards.number
    size = min(each, max(1, batch_size // shards.number))
    order = jnp.broadcast_to(jnp.arange(each)[:, None], (each, shards.number))
    whole = each // size * size

    def logits(rows: jax.Array) -> jax.Array:
        z = net.logits(params, shards.take(x, rows), state)
        return z.reshape(shards.number, -1, *z.shape[1:])

    z = jnp.moveaxis(jax.lax.map(logits, order[:whole].reshape(-1, size, shards.number)), 0, 1)
    z = z.reshape(shards.number, whole, *z.shape[3:])
    if whole < each:
        z = jnp.concatenate([z, logits(order[whole:])], axis=1)
    z = z.reshape(-1, *z.shape[2:])
    return net.loss_at(state).fwd(z, y, weights)[0], net.criterion.link(z)


def check_data(net: Network, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> tuple[Any, Any, Any]:
    """Check a data set once, before training: as `Network.check_batch`, and that every feature is finite.

    Args:
        net: the network.
        x: (n, *input_shape).
        y: targets, as the loss takes them.
        weights: weight of each example, (n,), or None.

    Returns:
        x, y and weights as arrays.

    Raises:
        ValueError: says expected, received, remedy, and names rows.
    """
    examples, targets, shares = net.check_batch(x, y, weights)
    if on_host(examples) and np.issubdtype(examples.dtype, np.floating):
        refuse_rows(~np.isfinite(np.asarray(examples)), "features must be finite", "drop or repair these rows of x")
    return examples, targets, shares
