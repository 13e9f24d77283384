"""Checkpoints of a training run: a directory with the last two, and how a run finds its own again."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fnn.datasets.whole_files import remove_abandoned_parts
from fnn.storage.files import load, load_metadata, save

_KEPT = 2
_NAME = re.compile(r"epoch-([0-9]{8,})\.safetensors")


def write_checkpoint(directory: str | os.PathLike, epoch: int, tree: Any, identity: dict, record: dict) -> None:
    """Save a run after an epoch, then delete all but its last two checkpoints.

    Args:
        directory: made if need be.
        epoch: epochs made.
        tree: the arrays.
        identity: what makes it this run and no other, as JSON.
        record: what else to keep, as JSON.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / f"epoch-{epoch:08d}.safetensors", tree, identity=identity, record=record)
    for old in _newest_first(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    remove_abandoned_parts(folder)  # of runs that were killed while writing


def read_checkpoint(directory: str | os.PathLike, like: Any, identity: dict) -> tuple[Any, dict] | None:
    """Find the newest intact checkpoint of a run.

    Args:
        directory: where `write_checkpoint` put them.
        like: a tree with the structure, shapes and dtypes of the arrays.
        identity: what makes it this run.

    Returns:
        The arrays and the record, or None if there is no checkpoint.

    Raises:
        ValueError: the checkpoints are all damaged, or of another run.
    """
    damage = []
    for path in _newest_first(Path(directory)):
        try:
            found = load_metadata(path)
        except (ValueError, OSError) as error:
            damage.append(str(error))
            continue
        if not isinstance(found.get("record"), dict):
            damage.append(f"{path} is no checkpoint: expected the record of a run, got other metadata")
            continue
        _check_identity(path, identity, found.get("identity"))
        tree = load(path, like)
        if damage:
            warnings.warn(f"{damage[0]}; resuming from {path.name} instead", RuntimeWarning, stacklevel=3)
        return tree, found["record"]
    if damage:
        raise ValueError(f"no intact checkpoint in {directory}: {'; '.join(damage)}; delete it to start anew")
    return None


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a folder; copies that somebody has made there under other names are none."""
    numbered = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("epoch-*.safetensors")]
    found = {path: int(match[1]) for path, match in numbered if match and path.is_file()}
    return sorted(found, key=found.__getitem__, reverse=True)


def _check_identity(path: Path, expected: dict, received: Any) -> None:
    received = received if isinstance(received, dict) else {}
    different = [name for name in expected if received.get(name) != expected[name]]
    if different:
        name = different[0]
        raise ValueError(
            f"{path} is of another run: expected {name} {expected[name]}, got {received.get(name)}; "
            "choose another checkpoint directory, or delete this one to start anew"
        )


def key_numbers(key: jax.Array) -> list[int]:
    """A random key as numbers that JSON can hold."""
    return np.asarray(jax.random.key_data(key)).ravel().tolist()
