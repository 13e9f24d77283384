"""Early stopping as a value: the losses seen so far, and whether training may go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fnn.validation import require_number, require_whole


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after so many epochs without a loss that is smaller by more than a tolerance.

    Attributes:
        patience: epochs to wait; None never stops.
        tolerance: how much smaller a loss has to be to count, in its unit.
        least: the smallest loss so far.
        mark: the loss that has to be undercut by the tolerance.
        waited: epochs since it was.

    Raises:
        TypeError, ValueError: patience is no whole number from 1 on, or tolerance no number of at least 0, or given
            without patience.

    Examples:
        >>> stopping = EarlyStopping(patience=2)
        >>> [(stopping := stopping.advance(loss)).stop for loss in (3.0, 1.0, 2.0, 1.0)]
        [False, False, False, True]
    """

    patience: int | None = None
    tolerance: float = 0.0
    least: float = math.inf
    mark: float = math.inf
    waited: int = 0

    def __post_init__(self) -> None:
        if self.patience is not None:
            require_whole("expected patience of at least 1 epoch, or None", self.patience)
        tolerance = require_number(
            "expected a tolerance of at least 0 and patience= with it", self.tolerance, lambda tolerance: tolerance >= 0
        )
        if tolerance > 0 and self.patience is None:
            raise ValueError(
                f"expected a tolerance of at least 0 and patience= with it, got {tolerance} and patience=None"
            )

    def improves(self, loss: float) -> bool:
        """Whether a loss is smaller than all before it.

        Args:
            loss: after an epoch.
        """
        return loss < self.least

    def advance(self, loss: float) -> EarlyStopping:
        """Take one more epoch into account; one whose loss is NaN was waited for in vain.

        Args:
            loss: after that epoch.
        """
        counts = loss < self.mark - self.tolerance
        return replace(
            self,
            least=loss if self.improves(loss) else self.least,
            mark=loss if counts else self.mark,
            waited=0 if counts else self.waited + 1,
        )

    def anew(self) -> EarlyStopping:
        """The same, as patient as at first."""
        return replace(self, waited=0)

    @property
    def stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience
