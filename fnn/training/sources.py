"""What `fit` is fed with: data on the device or batches from the host, looked at before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.normalization import batch_norm_bwd
from fnn.layers.walk import everything, places
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.training.devices import filled_up, is_spread, placed, require_one_process, shards_of
from fnn.training.evaluation import Measured, check_data, laid_out
from fnn.training.runners import Runner, on_device, streamed
from fnn.training.shards import SHARDS, Shards, shards_over
from fnn.training.steps import TrainState
from fnn.training.streaming import check_source, first_batches, is_streamed
from fnn.validation import require_whole


class Source(NamedTuple):
    """Training data that have been looked at, and how an epoch goes over them."""

    run_epoch: Runner
    data: dict[str, Any]  # arrays by name, or what they are, for the run's identity
    batch_size: int | None
    seen: dict[int, str]  # of a stream, the fingerprint of the first batch of each epoch that was run
    first_batches: Callable[[int], list[str]]  # those of epochs 1 to so many, as the stream gives them now
    shards: Shards | None = None  # how arrays are dealt out to several devices

    def lay_out(self, ts: TrainState) -> TrainState:
        """A train state where the data lie.

        Args:
            ts: the state.
        """
        return ts if self.shards is None else self.shards.enter(ts)[1]


def training_source(
    net: Network,
    optimizer: OptimizerLike,
    train: Any,
    batch_size: Any,
    weights: Any,
    epochs: int,
    mesh: Any = None,
    shards: int = SHARDS,
    kept: bool = False,
) -> Source:
    """Look at training data, and move them to the device if they are arrays.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        train: (x, y), or batches.
        batch_size: examples a step, for arrays.
        weights: weight of each example, (n,), for arrays, or None.
        epochs: how often they are gone through.
        mesh: devices to spread arrays over, or None.
        shards: how many logical shards they are dealt out to there.
        kept: whether the first batches of a stream are to be known again.

    Returns:
        The source.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    if is_streamed(train):
        if batch_size is not None or weights is not None:
            raise ValueError(
                f"with batch_size= or weights=, expected train as (x, y), two arrays, got {_kind(train)}; "
                "batches from the host have their own size and weights: drop batch_size and weights=, "
                "and let the iterable give (x, y, weights)"
            )
        check_source(train, epochs)
        seen: dict[int, str] = {}
        told = dict.fromkeys(("x", "y", "weights"), "in batches") | {"shards": "none"}
        runner = streamed(net, optimizer, train, seen if kept else None)
        return Source(runner, told, None, seen, lambda epochs: first_batches(net, train, epochs))
    x, y, weights = check_data(net, train[0], train[1], weights)
    n = x.shape[0]
    expected = f"expected batch_size as a whole number from 1 to {n}, the number of examples"
    size = require_whole(expected, batch_size, most=n)
    dealt = shards_of((x, y), shards) if mesh is None else shards_over(mesh, shards)
    if dealt is None:
        require_one_process("fit", x, y)
        x, y, weights = jax.tree.map(jnp.asarray, (x, y, weights))
    else:
        x, y, weights = _dealt_out(net, x, y, weights, size, dealt)
    runner = on_device(net, optimizer, size, x, y, weights, dealt)
    data = {"x": x, "y": y, "weights": weights, "shards": "none" if dealt is None else str(dealt.number)}
    return Source(runner, data, size, {}, lambda epochs: [], dealt)


def _dealt_out(net: Network, x: Any, y: Any, weights: Any, batch_size: int, shards: Shards) -> tuple[Any, Any, Any]:
    """Training data on the devices that hold the shards, filled up with rows of weight 0."""
    (more, targets), given = filled_up((x, y), weights, shards)
    if len(more) > len(x) and any(place.layer.bwd is batch_norm_bwd for place in places(net.layer, everything)):
        raise ValueError(
            f"expected rows in a multiple of {shards.number} shards, got {len(x)}: batch_norm's statistics would count "
            f"the {len(more) - len(x)} rows that fill up; leave {len(x) % shards.number} out, or choose shards="
        )
    shards.check(len(more) * (1 if is_spread(more) else jax.process_count()), batch_size)
    return placed((more, targets, given), shards)


def validation_data(net: Network, validation: Any, shards: Shards | None = None) -> Measured | None:
    """Look at validation data, and move them to the device, or to several.

    Args:
        net: the network.
        validation: (x, y), or None.
        shards: how the training data are dealt out, if they are.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    if validation is None:
        return None
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise ValueError(f"expected validation as (x, y), two arrays, got {_kind(validation)}")
    x, y, _ = check_data(net, *validation)
    return laid_out(x, y, shards or shards_of((x, y)))


def _kind(train: Any) -> str:
    if isinstance(train, tuple | list) and len(train) < 5:
        return f"a {type(train).__name__} of {', '.join(type(part).__name__ for part in train)}"
    return type(train).__name__
