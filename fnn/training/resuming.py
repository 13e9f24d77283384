"""Checkpoints of a training run: a directory with the last two, and how a run finds its own again."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax

from fnn.datasets.whole_files import remove_abandoned_parts
from fnn.storage.files import load, load_metadata, save
from fnn.training.early_stopping import EarlyStopping
from fnn.training.evaluation import Evaluation
from fnn.training.identity import different
from fnn.training.outcomes import Epoch, Run
from fnn.training.sources import Source

T = TypeVar("T")
_KEPT = 2
_NAME = re.compile(r"epoch-([0-9]{8,})\.safetensors")


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
        if jax.process_index():
            return  # process 0 keeps the directory
        for old in _newest_first(folder)[_KEPT:]:
            old.unlink(missing_ok=True)
        remove_abandoned_parts(folder)  # of runs that were killed while writing

    def read(self, like: Callable[[], Any], parse: Callable[[dict[str, Any]], T]) -> tuple[Any, T] | None:
        """Find the newest intact checkpoint.

        Args:
            like: makes a tree with the structure, shapes and dtypes of the arrays, where there is something to read.
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
            tree = load(path, like())
            if damage:
                warnings.warn(f"{damage[0]}; resuming from {path.name} instead", RuntimeWarning, stacklevel=3)
            return tree, record
        if damage:
            raise ValueError(f"no intact checkpoint in {self.directory}: {'; '.join(damage)}; delete it to start anew")
        return None


class KeptRun(NamedTuple):
    """A run that is kept on the way, and found again."""

    checkpoints: Checkpoints
    every: int  # epochs between two checkpoints
    source: Source

    def keep(self, run: Run, ended: bool) -> None:
        """Write a checkpoint after an epoch, where one is due.

        Args:
            run: what is known by now.
            ended: whether that was the last epoch.
        """
        epochs = len(run.history)
        if not ended and epochs % self.every:
            return
        stopping = {"least": run.stopping.least, "mark": run.stopping.mark, "waited": run.stopping.waited}
        batches = [self.source.seen[epoch] for epoch in sorted(self.source.seen)]
        record = {"history": run.history, "stopping": stopping, "stopped": run.stopped, "batches": batches}
        self.checkpoints.write(epochs, (run.last, run.best), record)  # tuples become JSON's lists

    def resumed(self, start: Callable[[], Run], stopping: EarlyStopping) -> Run | None:
        """The run as its newest intact checkpoint has it, or None if there is none.

        Args:
            start: makes the run before its first epoch.
            stopping: its early stopping before that.

        Raises:
            ValueError: the checkpoints are all damaged, or of another run.
        """
        begun = cache(start)
        found = self.checkpoints.read(lambda: (begun().last, begun().best), lambda record: _parsed(stopping, record))
        if found is None:
            return None
        (last, best), (known, batches) = found
        for epoch, (seen, now) in enumerate(zip(batches, self.source.first_batches(len(batches)), strict=True), 1):
            if seen != now:
                raise ValueError(
                    f"{self.checkpoints.directory} holds another run: expected epoch {epoch} to begin with a batch of "
                    f"{seen}, got {now}; pass a function epoch -> iterable that gives the same batches each time, or "
                    "go on from other ones in another directory"
                )
        self.source.seen.update(enumerate(batches, 1))
        return begun()._replace(last=last, best=best, note="", **known)


def _parsed(stopping: EarlyStopping, record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What a record says about a run, and its stream."""
    history = tuple(
        Epoch(epoch, loss, None if measured is None else Evaluation(*measured), speed, *note)
        for epoch, loss, measured, speed, *note in record["history"]
    )
    known = {"history": history, "stopping": replace(stopping, **record["stopping"]), "stopped": str(record["stopped"])}
    return known, list(map(str, record["batches"]))


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
    told = different(expected, received)
    if told:
        raise ValueError(
            f"{path} is of another run: {told}; pass what it was begun with, choose another checkpoint directory, or "
            "delete this one to start anew"
        )
