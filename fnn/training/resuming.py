"""Checkpoints of a training run: a directory with the last two, and how a run finds its own again."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from fnn.datasets.whole_files import remove_abandoned_parts
from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.recipes import expression
from fnn.storage.files import load, load_metadata, save

T = TypeVar("T")
_KEPT = 2
_NAME = re.compile(r"epoch-([0-9]{8,})\.safetensors")


def run_identity(
    net: Network,
    optimizer: OptimizerLike,
    data: Any,
    weighted: bool,
    batch_size: int | None,
    key: jax.Array,
    stops: bool,
) -> dict[str, Any]:
    """What makes a run this one and no other, as JSON: its recipes, and what they are fed with.

    Args:
        net: the network.
        optimizer: any (init, update) pair; functions of somebody's own count by name.
        data: shapes and dtypes of the data, or what else tells them apart.
        weighted: whether examples have weights.
        batch_size: examples a step, or None.
        key: the run's key.
        stops: whether there is early stopping.
    """
    return {
        "network": _without_addresses(expression(net)),
        "optimizer": _without_addresses(expression(optimizer)),
        "data": data,
        "weights": weighted,
        "batch_size": batch_size,
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
        "early stopping": stops,
    }


def _without_addresses(text: str) -> str:
    """The next process has the same functions elsewhere in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in a directory.

    Attributes:
        directory: made if need be.
        identity: from `run_identity`.
    """

    directory: str | os.PathLike
    identity: dict[str, Any]

    def write(self, epoch: int, tree: Any, record: dict[str, Any]) -> None:
        """Save a run after an epoch, then delete all but its last two checkpoints.

        Args:
            epoch: epochs made.
            tree: the arrays.
            record: what else to keep, as JSON.
        """
        folder = Path(self.directory)
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"epoch-{epoch:08d}.safetensors", tree, identity=self.identity, record=record)
        for old in _newest_first(folder)[_KEPT:]:
            old.unlink(missing_ok=True)
        remove_abandoned_parts(folder)  # of runs that were killed while writing

    def read(self, like: Any, parse: Callable[[dict[str, Any]], T]) -> tuple[Any, T] | None:
        """Find the newest intact checkpoint.

        Args:
            like: a tree with the structure, shapes and dtypes of the arrays.
            parse: what makes something of the record; what it can't read is no checkpoint.

        Returns:
            The arrays and what the record says, or None if there is no checkpoint.

        Raises:
            ValueError: the checkpoints are all damaged, or of another run.
        """
        damage = []
        for path in _newest_first(Path(self.directory)):
            try:
                found = load_metadata(path)
            except (ValueError, OSError) as error:
                damage.append(str(error))
                continue
            if not isinstance(found.get("record"), dict):
                damage.append(f"{path} is no checkpoint: expected the record of a run, got other metadata")
                continue
            _check_identity(path, self.identity, found.get("identity"))
            try:
                record = parse(found["record"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                damage.append(f"{path} is no checkpoint: expected the record of a run, got another ({error!r:.80})")
                continue
            tree = load(path, like)
            if damage:
                warnings.warn(f"{damage[0]}; resuming from {path.name} instead", RuntimeWarning, stacklevel=3)
            return tree, record
        if damage:
            raise ValueError(f"no intact checkpoint in {self.directory}: {'; '.join(damage)}; delete it to start anew")
        return None


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a folder; copies that somebody has made there under other names are none."""
    numbered = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("epoch-*.safetensors")]
    found = {path: int(match[1]) for path, match in numbered if match and path.is_file()}
    return sorted(found, key=found.__getitem__, reverse=True)


def _check_identity(path: Path, expected: dict[str, Any], received: Any) -> None:
    received = received if isinstance(received, dict) else {}
    missing = [name for name in expected if name not in received]
    if missing:
        raise ValueError(
            f"{path} was written by another version of fnn: expected a run that is known by its {missing[0]}, got one "
            f"known by {', '.join(received) or 'nothing'}; end that run with the version that began it, choose another "
            "checkpoint directory, or delete this one to start anew"
        )
    different = [name for name in expected if received[name] != expected[name]]
    if different:
        name = different[0]
        raise ValueError(
            f"{path} is of another run: expected {name} {expected[name]}, got {received[name]}; build the same network "
            "and optimizer as when it was saved, choose another checkpoint directory, or delete this one to start anew"
        )
