"""Where a run starts: fresh, from given parameters, or where another one has ended.

Going on is exact: parameters, the layers' state, the optimizer's memory, the key and the number of steps are those that
the run before has left, so three epochs and three more are six. What the optimizer remembers of gradients is kept as
long as it is one of the same kind; its numbers are always those of the optimizer that is passed now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Params, State
from fnn.networks.adapting import adapt, adapts
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.training.early_stopping import EarlyStopping
from fnn.training.outcomes import Epoch, Fit, Run
from fnn.training.steps import TrainState, init_train_state
from fnn.training.streaming import is_streamed
from fnn.validation import is_key, require_key

_NUMBERS = ("settings", "hyperparams")  # where states keep numbers: this library's, optax's inject_hyperparams


class Beginning(NamedTuple):
    """What a run starts from."""

    net: Network
    optimizer: OptimizerLike
    key: Any
    params: Params  # to start from, or None
    state: State | None  # that of the layers, or None
    start: Any  # a `Fit` or a `TrainState` to go on from, or None

    @property
    def before(self) -> TrainState | None:
        """The train state to go on from, None for a run that starts anew."""
        return self.start.train_state if isinstance(self.start, Fit) else self.start

    @property
    def history(self) -> tuple[Epoch, ...]:
        """The epochs that were made before."""
        return self.start.history if isinstance(self.start, Fit) else ()

    @property
    def run_key(self) -> jax.Array | None:
        """The key as it was passed; None for a run that goes on with the one before's.

        Raises:
            TypeError: it is none.
        """
        return None if self.start is not None and self.key is None else require_key("fit", self.key)

    def check(self) -> None:
        """Refuse what no run can start from.

        Raises:
            TypeError, ValueError: says expected, received, remedy.
        """
        if self.start is None:
            if self.state is not None and self.params is None:
                kind = type(self.state).__name__
                raise ValueError(f"fit expects state= together with params=, got {kind} alone; pass both, or none")
            return
        if self.params is not None or self.state is not None:
            raise ValueError("fit expects start= or params=, got both; start=result goes on with what result has")
        ts = self.before
        if not isinstance(ts, TrainState):
            raise TypeError(
                f"fit expects start as a result of fit or a TrainState, got {type(self.start).__name__}; for "
                "parameters pass params= and, where layers have one, state="
            )
        self.net.check_params(ts.params)
        self.net.check_state(ts.state)
        if not is_key(ts.key) or jnp.shape(ts.step) != ():
            raise ValueError("fit expects start with one key, got others; of one of many pass params= and state=")

    def run(self, train: Any, stopping: EarlyStopping, lay_out: Callable[[TrainState], TrainState]) -> Run:
        """The run before its first epoch.

        Args:
            train: the training data, of which layers may take statistics.
            stopping: early stopping from now on.
            lay_out: what puts a train state to where the data lie.
        """
        if self.before is not None:
            return self._going_on(self.before, stopping, lay_out)
        ts = init_train_state(self.net, self.optimizer, require_key("fit", self.key), self.params, self.state)
        if self.params is None:
            ts = _adapted(self.net, ts, train)
        ts = lay_out(ts)
        return Run(ts, () if stopping.patience is None else (ts.params, ts.state), stopping)

    def _going_on(self, ts: TrainState, stopping: EarlyStopping, lay_out: Callable[[TrainState], TrainState]) -> Run:
        fresh = self.optimizer.init(ts.params)
        opt_state = carried_over(ts.opt_state, fresh)
        note = "another optimizer, its memory starts anew" if opt_state is None else ""
        key = ts.key if self.run_key is None else jax.random.split(self.run_key)[1]
        returned = jax.tree.leaves(self.start.params)
        last_returned = all(a is b for a, b in zip(returned, jax.tree.leaves(ts.params), strict=True))
        ts = lay_out(ts._replace(opt_state=fresh if opt_state is None else opt_state, key=key))
        best: Any = () if stopping.patience is None else (ts.params, ts.state)
        run = Run(ts, best, stopping, self.history, note=note)
        if not best or not self.history:
            return run
        # Early stopping goes on as well where the best parameters are still at hand.
        waited = stopping
        for epoch in self.history:
            waited = waited.advance(epoch.judged)
        if waited.waited and last_returned:
            return run._replace(stopping=stopping.advance(self.history[-1].judged))
        waited = waited.anew() if self.start.stopped == "patience" else waited
        return run._replace(stopping=waited, best=(self.start.params, self.start.state))


def _adapted(net: Network, ts: TrainState, train: Any) -> TrainState:
    """The state before the first step, with the statistics of the training data that layers ask for."""
    if not adapts(net):
        return ts
    if is_streamed(train):
        raise ValueError(
            "a network that takes statistics of the training data expects train as (x, y), two arrays, got batches "
            "from the host; scale the batches with fnn.preprocessing.standardize instead"
        )
    return ts._replace(state=adapt(net, *train))


def carried_over(old: Any, new: Any) -> Any:
    """An optimizer's memory with the numbers of a new one.

    Args:
        old: state of the optimizer before.
        new: state that the new optimizer starts with.

    Returns:
        A state like `new`: its numbers, and everything else from `old`; None where these are of different kinds.
    """
    try:
        return _carried(old, new)
    except _OtherKind:
        return None


class _OtherKind(Exception):
    """Two states of optimizers do not belong to one kind."""


def _carried(old: Any, new: Any) -> Any:
    if type(old) is not type(new):
        if hasattr(old, "shape") and hasattr(new, "shape") and (old.shape, old.dtype) == (new.shape, new.dtype):
            return old
        raise _OtherKind
    fields = getattr(new, "_fields", None)
    if fields is not None:
        numbers = [name for name in fields if name in _NUMBERS]
        if any(type(getattr(old, name)) is not type(getattr(new, name)) for name in numbers):
            raise _OtherKind
        kept = {name: _carried(getattr(old, name), getattr(new, name)) for name in fields if name not in numbers}
        return new._replace(**kept)
    if isinstance(new, tuple | list | dict) and len(old) != len(new):
        raise _OtherKind
    if isinstance(new, tuple | list):
        return type(new)(map(_carried, old, new))
    if isinstance(new, dict):
        if old.keys() != new.keys():
            raise _OtherKind
        return {name: _carried(old[name], new[name]) for name in new}
    if hasattr(new, "shape") and (old.shape, old.dtype) != (new.shape, new.dtype):
        raise _OtherKind
    return old
