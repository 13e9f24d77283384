"""What `fit` is fed with: data on the device or batches from the host, looked at before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.training.evaluation import check_data
from fnn.training.runners import Runner, on_device, streamed
from fnn.training.streaming import check_source, first_batches, is_streamed
from fnn.validation import require_whole


class Source(NamedTuple):
    """Training data that have been looked at, and how an epoch goes over them."""

    run_epoch: Runner
    data: dict[str, Any]  # arrays by name, or what they are, for the run's identity
    batch_size: int | None
    seen: dict[int, str]  # of a stream, the fingerprint of the first batch of each epoch that was run
    first_batches: Callable[[int], list[str]]  # those of epochs 1 to so many, as the stream gives them now


def training_source(
    net: Network, optimizer: OptimizerLike, train: Any, batch_size: Any, weights: Any, epochs: int
) -> Source:
    """Look at training data, and move them to the device if they are arrays.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        train: (x, y), or batches.
        batch_size: examples a step, for arrays.
        weights: weight of each example, (n,), for arrays, or None.
        epochs: how often they are gone through.

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
        told = dict.fromkeys(("x", "y", "weights"), "in batches")
        runner = streamed(net, optimizer, train, seen)
        return Source(runner, told, None, seen, lambda epochs: first_batches(net, train, epochs))
    x, y, weights = check_data(net, train[0], train[1], weights)
    n = x.shape[0]
    expected = f"expected batch_size as a whole number from 1 to {n}, the number of examples"
    size = require_whole(expected, batch_size, most=n)
    x, y, weights = jax.tree.map(jnp.asarray, (x, y, weights))
    runner = on_device(net, optimizer, size, x, y, weights)
    return Source(runner, {"x": x, "y": y, "weights": weights}, size, {}, lambda epochs: [])


def validation_data(net: Network, validation: Any) -> tuple[jax.Array, jax.Array] | None:
    """Look at validation data, and move them to the device.

    Args:
        net: the network.
        validation: (x, y), or None.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    if validation is None:
        return None
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise ValueError(f"expected validation as (x, y), two arrays, got {_kind(validation)}")
    x, y, _ = check_data(net, *validation)
    return jnp.asarray(x), jnp.asarray(y)


def _kind(train: Any) -> str:
    if isinstance(train, tuple | list) and len(train) < 5:
        return f"a {type(train).__name__} of {', '.join(type(part).__name__ for part in train)}"
    return type(train).__name__
