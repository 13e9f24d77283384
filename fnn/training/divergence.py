"""When training meets a value that is not finite: which step, layer, unit and example, and the likely cause.

A compiled epoch only says that something went wrong. The epoch is then replayed from its start, one step at a time, up
to the first bad step, and that step is taken apart layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.walk import visits
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.storage.processes import in_every_process
from fnn.training.steps import TrainState, all_finite, training_step

_LARGE = 1e4  # features and targets beyond this are more likely at fault than the learning rate


class Divergence(NamedTuple):
    """Where a training step went wrong first."""

    step: int  # steps made before it
    where: str  # "the output of layers[2] (dense)"
    value: float  # NaN or an infinity
    unit: tuple[int, ...]  # position within an example or a parameter
    example: int | None  # row of the data; None for what belongs to no single example
    cause: str  # the likely one, and its remedy

    def __str__(self) -> str:
        row = "" if self.example is None else f" for example {self.example}"
        unit = f" at unit {', '.join(map(str, self.unit))}" if self.unit else ""
        return f"at step {self.step} {self.where} is {self.value}{unit}{row}; {self.cause}"


class TrainingDiverged(ArithmeticError):
    """Training stopped at a value that is not finite; what was learnt before is kept.

    Attributes:
        train_state: the state before the bad step: all its numbers are finite.
        divergence: where, and why.
        fit: a `Fit` with that state and the history of the epochs before, where `fit` was running.
    """

    def __init__(self, train_state: TrainState, divergence: Divergence):
        super().__init__(f"training diverged: {divergence}. train_state holds the state before that step")
        self.train_state = train_state
        self.divergence = divergence
        self.fit: Any = None


def diagnose(
    net: Network, optimizer: OptimizerLike, ts: TrainState, x: jax.Array, y: jax.Array, weights: Any, rows: np.ndarray
) -> Divergence | None:
    """Take one training step apart and find the first value in it that is not finite.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        ts: the state before the step.
        x: the step's batch, (n, *input_shape).
        y: its targets.
        weights: its weights, (n,), or None.
        rows: the batch's row numbers in the data, (n,).

    Returns:
        Where and why, or None if everything is finite.
    """
    for where, array, per_example, cause in _values(net, optimizer, ts, x, y, weights):
        bad = ~np.isfinite(np.asarray(array, np.float64))
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            example = int(rows[first[0]]) if per_example else None
            unit = first[1:] if per_example else first
            return Divergence(int(ts.step), where, float(np.asarray(array)[first]), unit, example, cause)
    return None


def _values(
    net: Network, optimizer: OptimizerLike, ts: TrainState, x, y, weights
) -> Iterator[tuple[str, Any, bool, str]]:
    """All values of a step in the order of their computation: name, array, whether rows are examples, likely cause."""
    overflow = _likely_cause(ts, x, y)
    yield "the input x", x, True, "likely cause: the input; fnn.audit(x, y) lists such rows, drop or repair them"
    if jnp.issubdtype(jnp.asarray(y).dtype, jnp.inexact):
        yield "the target y", y, True, "likely cause: the labels; fnn.audit(x, y) lists such rows, drop or repair them"
    if weights is not None:
        yield "the weight", weights, True, "likely cause: the weights; they must be finite and at least 0"
    for path, leaf in jax.tree_util.tree_leaves_with_path(ts.params):
        yield f"the parameter params{jax.tree_util.keystr(path)}", leaf, False, "likely cause: the starting values"
    key = jax.random.fold_in(ts.key, ts.step)
    passes = visits(net.layer, ts.params, x, ts.state, key)
    for each in passes:
        yield f"the output of {each.name}", each.y, True, overflow
    z = passes[-1].y if passes else x
    criterion = net.loss_at(ts.state)
    value, kept = criterion.fwd(z, jnp.asarray(y), weights)
    yield f"the loss ({net.criterion.name})", value, False, _cause_of_loss(net, y, overflow)
    dy = criterion.bwd(kept, jnp.ones_like(value))
    yield f"the gradient of {net.criterion.name}", dy, True, overflow
    for each in reversed(passes):
        grads, dy = each.layer.bwd(each.residuals, dy)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
            name = f"{each.where}{jax.tree_util.keystr(path)} ({each.layer.name})"
            yield f"the gradient of {name}", leaf, False, overflow
        yield f"the gradient that leaves {each.name}", dy, True, overflow
    after, loss = training_step(net, optimizer.update, ts, x, y, weights)
    yield "the loss with its penalty", loss, False, overflow
    for path, leaf in jax.tree_util.tree_leaves_with_path(after.params):
        yield f"the updated parameter params{jax.tree_util.keystr(path)}", leaf, False, overflow


def _likely_cause(ts: TrainState, x, y) -> str:
    """What makes finite numbers overflow: data of a wild scale, parameters that have grown, or bad starting values."""
    features, targets, weights = (_largest(tree) for tree in (x, y, ts.params))
    if features > _LARGE:
        return (
            f"likely cause: the scale of the input, up to {features:.3g}; "
            "scale it, as fnn.preprocessing.standardize(x).apply(x) does"
        )
    if targets > _LARGE:
        return f"likely cause: the scale of the targets, up to {targets:.3g}; scale them to about 1"
    if int(ts.step) == 0:
        return f"likely cause: the starting values, parameters up to {weights:.3g}; use another initializer"
    return (
        f"likely cause: the learning rate; parameters have grown to {weights:.3g} by then: "
        "lower the rate, warm up, or chain clip_by_global_norm in front of the optimizer"
    )


def _cause_of_loss(net: Network, y, otherwise: str) -> str:
    try:
        net.criterion.validate(np.asarray(y), net.outputs)
    except ValueError as error:
        return f"likely cause: the labels: {error}"
    return otherwise


def _largest(tree: Any) -> float:
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return max((float(np.abs(leaf).max(initial=0)) for leaf in leaves), default=0.0)


def replay(
    net: Network, optimizer: OptimizerLike, ts: TrainState, x, y, weights, batches: list[np.ndarray], last: int
) -> TrainingDiverged:
    """Repeat an epoch step by step up to its first bad step, and say what went wrong there.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        ts: the state before the epoch.
        x: the data, (n, *input_shape).
        y: targets.
        weights: weight of each example, (n,), or None.
        batches: row numbers of each batch, in the order of the steps.
        last: number of the step, within the epoch, at which the epoch's losses were not finite any more.

    Returns:
        The error to raise.
    """

    @jax.jit
    def step(ts: TrainState, x, y, weights, rows: jax.Array):
        after, loss = training_step(net, optimizer.update, ts, *_batch(x, y, weights, rows))
        return after, all_finite((loss, after.params))

    for number, rows in enumerate(batches):
        after, finite = step(ts, x, y, weights, rows)
        if not finite or number == last:
            break
        ts = after
    x, y, weights = jax.tree.map(in_every_process, _batch(x, y, weights, rows))
    return diverged(net, optimizer, ts, x, y, weights, rows)


def _batch(x, y, weights, rows) -> tuple:
    return x[rows], y[rows], None if weights is None else weights[rows]


def diverged(
    net: Network, optimizer: OptimizerLike, ts: TrainState, x, y, weights, rows: np.ndarray
) -> TrainingDiverged:
    """The error for a step that was seen to go wrong.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        ts: the state before the step.
        x: the step's batch.
        y: its targets.
        weights: its weights, or None.
        rows: the batch's row numbers in the data, (n,).

    Returns:
        The error to raise.
    """
    found = diagnose(net, optimizer, ts, x, y, weights, rows)
    if found is None:
        cause = f"it is finite when repeated layer by layer; {_likely_cause(ts, x, y)}"
        found = Divergence(int(ts.step), "the loss", float("nan"), (), None, cause)
    return TrainingDiverged(ts, found)
