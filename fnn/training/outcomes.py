"""What a training run leaves: a history of epochs, parameters, and a state to go on from."""

from __future__ import annotations

import math
from typing import NamedTuple

from fnn.layers.base import Params, State
from fnn.recipes.shown import page
from fnn.training.early_stopping import EarlyStopping
from fnn.training.evaluation import Evaluation
from fnn.training.steps import TrainState


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int  # from 1
    train_loss: float  # mean over the epoch's examples, each as its step saw it, penalty included
    validation: Evaluation | None  # after the epoch, where validation data was given
    examples_per_second: float
    note: str = ""  # what is different from this epoch on

    @property
    def judged(self) -> float:
        """The loss that early stopping looks at: on the validation data where there are some."""
        return self.train_loss if self.validation is None else self.validation.loss

    def __str__(self) -> str:
        validation = "" if self.validation is None else f", validation {self.validation}"
        note = f" ({self.note})" if self.note else ""
        return f"train loss {self.train_loss:.4f}{validation}, {self.examples_per_second:,.0f} examples/s{note}"


class Fit(NamedTuple):
    """What `fit` returns."""

    params: Params  # the best where patience was given, else the last
    state: State  # the layers' state that belongs to them
    history: tuple[Epoch, ...]
    train_state: TrainState  # the very last, to go on from
    stopped: str = "epochs"  # why training ended: "epochs", "patience", "callback", "interrupt"; on errors "error"

    def __str__(self) -> str:
        if not self.history:
            return f"Fit: no epoch, stopped by {self.stopped}; params, state, train_state"
        last, best = self.history[-1], min(self.history, key=_loss)
        lines = [f"Fit: {len(self.history)} epochs, stopped by {self.stopped}; params, state, history, train_state"]
        lines += [f"  last, epoch {last.epoch}: {last}"]
        lines += [f"  best, epoch {best.epoch}: {best}"] if best.epoch != last.epoch else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return page(str(self))


def _loss(epoch: Epoch) -> float:
    """What early stopping looks at; NaN is worse than any loss."""
    loss = epoch.train_loss if epoch.validation is None else epoch.validation.loss
    return math.inf if math.isnan(loss) else loss


class Run(NamedTuple):
    """What `fit` knows after an epoch; this is what a checkpoint holds."""

    last: TrainState
    best: tuple[Params, State] | tuple[()]  # () without patience
    stopping: EarlyStopping
    history: tuple[Epoch, ...] = ()
    note: str = ""  # what is different from the next epoch on
    stopped: str = ""  # why training ended, if neither all epochs nor patience ended it

    def ended(self, epochs: int) -> bool:
        """Whether nothing is left to do.

        Args:
            epochs: how many were asked for.
        """
        return len(self.history) >= epochs or bool(self.stopped) or self.stopping.stop

    def advance(self, last: TrainState, epoch: Epoch) -> Run:
        """Take one more epoch into account.

        Args:
            last: the state after it.
            epoch: its line of the history.
        """
        loss = epoch.judged
        better = self.best and self.stopping.improves(loss)
        return self._replace(
            last=last,
            best=(last.params, last.state) if better else self.best,
            stopping=self.stopping.advance(loss),
            history=(*self.history, epoch._replace(note=self.note)),
            note="",
        )

    def result(self) -> Fit:
        """What `fit` returns, whatever ended the run."""
        params, state = self.best or (self.last.params, self.last.state)
        stopped = self.stopped or ("patience" if self.stopping.stop else "epochs")
        return Fit(params, state, self.history, self.last, stopped)
