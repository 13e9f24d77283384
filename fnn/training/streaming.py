"""Batches from the host: data larger than the device, read from files or generated, checked and sent ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from fnn.networks.network import Network
from fnn.training.devices import require_one_process
from fnn.training.evaluation import check_data
from fnn.training.fingerprints import fingerprint
from fnn.training.interruption import at_once
from fnn.validation import scalar

_END = object()  # what no generator gives
Batches = Iterable[tuple] | Callable[[int], Iterable[tuple]]


def is_streamed(train: Any) -> bool:
    """Whether training data come batch by batch, rather than as one pair (x, y) of arrays or lists of numbers.

    Args:
        train: what `fit` got.
    """
    return not (isinstance(train, tuple | list) and len(train) == 2 and all(map(_is_array_like, train)))


def _is_array_like(part: Any) -> bool:
    if not isinstance(part, list):
        return hasattr(part, "shape")
    while isinstance(part, list | tuple) and part:
        part = part[0]
    return scalar(part) is not None


def check_source(train: Batches, epochs: int) -> None:
    """Refuse a source that cannot be gone through once an epoch.

    Args:
        train: what `fit` got.
        epochs: how often it is gone through.

    Raises:
        TypeError: it cannot be iterated at all.
        ValueError: it is a generator, which is empty after one epoch.
    """
    if callable(train):
        return
    if not isinstance(train, Iterable):
        raise TypeError(
            f"expected training data as (x, y), as an iterable of batches (x, y), or as a function epoch -> iterable, "
            f"got {type(train).__name__}"
        )
    if iter(train) is train and epochs > 1:
        raise ValueError(
            f"expected batches for {epochs} epochs, got {type(train).__name__}, which can be gone through once; "
            "pass a function epoch -> iterable that makes a new one each time"
        )


def host_batches(net: Network, train: Batches, epoch: int) -> Iterator[tuple]:
    """Go through one epoch's batches: each is checked, and sent to the device while the one before is worked on.

    Args:
        net: the network.
        train: an iterable of (x, y) or (x, y, weights), or a function of the epoch's number, from 1, that returns one.
        epoch: number of the epoch, from 1.

    Returns:
        (x, y, weights or None, size): arrays on the device, and how much the batch counts: the number of its examples,
        or the sum of their weights.

    Raises:
        ValueError: a batch that does not fit the network, or no batch at all; says which.
    """
    ahead = None
    for number, batch in enumerate(_batches(train, epoch)):
        sent = _send(net, batch, number)
        if ahead is not None:
            yield ahead
        ahead = sent
    if ahead is None:
        raise _empty(epoch)
    yield ahead


def first_batches(net: Network, train: Batches, epochs: int) -> list[str]:
    """Fingerprints of the first batch of each epoch, by which a run knows its stream again.

    Args:
        net: the network.
        train: as `host_batches` takes it. A function is asked for each epoch; an iterable, which does not know which
            epoch it is gone through for, is the same in all.
        epochs: how many.

    Raises:
        ValueError: as `host_batches`.
    """
    if callable(train):
        return [_first_batch(net, train, epoch) for epoch in range(1, epochs + 1)]
    return [_first_batch(net, train, 1)] * epochs


def _first_batch(net: Network, train: Batches, epoch: int) -> str:
    for batch in _batches(train, epoch):
        return fingerprint(_send(net, batch, 0)[:3])
    raise _empty(epoch)


def _batches(train: Batches, epoch: int) -> Iterator[Any]:
    """An epoch's batches as they come; Ctrl-C ends whatever makes them."""
    with at_once():
        source = iter(train(epoch) if callable(train) else train)
    while True:
        with at_once():
            batch = next(source, _END)
        if batch is _END:
            return
        yield batch


def _empty(epoch: int) -> ValueError:
    return ValueError(
        f"expected at least one batch in epoch {epoch}, got none; "
        "pass a list, or a function epoch -> iterable that makes a new generator each time"
    )


def _send(net: Network, batch: tuple, number: int) -> tuple:
    try:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise ValueError(f"expected (x, y) or (x, y, weights), got {type(batch).__name__}")
        x, y, weights = check_data(net, *(*batch, None)[:3])
        require_one_process("fit", x, y)
    except Exception as error:
        error.add_note(f"in batch {number} of the epoch")
        raise
    size = len(x) if weights is None else float(np.sum(np.asarray(weights, np.float64)))
    return _copied(x), _copied(y), None if weights is None else _copied(weights), size


def _copied(array: Any) -> jax.Array:
    """An array on the device; a host array is copied first, since a generator may fill its memory again."""
    return array if isinstance(array, jax.Array) else jax.device_put(np.array(array))
