"""From symptom to remedy: what the rows of a `flow` say is wrong, and what helps.

The table is the one that textbooks give for vanishing, exploding and dying; each entry here has a threshold and names
what to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_FADES = 1e-3  # gradient in front over gradient at the end, below which it has vanished
_GROWS = 1e3  # above which it has exploded
_DEAD = 0.2  # share of a layer's units
_FLAT = 0.5  # share of an activation's entries whose slope is below 0.05
_STILL = 1e-3  # spread of a layer over the largest spread before it, below which the input no longer matters


@dataclass(frozen=True)
class FlowRow:
    """One layer of a flow.

    Attributes:
        layer: "layers[2] (dense)".
        units: size of its output's last axis.
        mean: of its output.
        spread: standard deviation of a unit over the examples, averaged over units.
        twins: whether all its units are the same, though it has parameters of its own.
        dead: units whose slope is 0 for every example; None for what is no elementwise activation.
        flat: share of entries whose slope is below 0.05; None likewise.
        gain: ‖J‖, the most by which its backward can lengthen a gradient.
        gradient: ‖∂L/∂Z‖ at its output.
        bound: what the gains of the layers behind it allow for that.
        weight_gradient: ‖∂L/∂θ‖ of its parameters; None without any.
    """

    layer: str
    units: int
    mean: float
    spread: float
    twins: bool
    dead: int | None
    flat: float | None
    gain: float
    gradient: float
    bound: float
    weight_gradient: float | None

    def cells(self) -> tuple[str, ...]:
        """The row as a table shows it."""
        dead = "" if self.dead is None else f"{self.dead}/{self.units}"
        weights = "" if self.weight_gradient is None else f"{self.weight_gradient:.3g}"
        numbers = (f"{self.gain:.3g}", f"{self.gradient:.3g}", f"{self.bound:.3g}", weights)
        return (self.layer, f"{self.mean:.3g}", f"{self.spread:.3g}", dead, *numbers)


@dataclass(frozen=True)
class Symptom:
    """A symptom with its remedy."""

    symptom: str  # "vanishing", "exploding", "dying", "saturated", "constant" or "symmetric"
    layer: str  # where it shows most
    evidence: str  # in numbers
    remedy: str

    def __str__(self) -> str:
        return f"{self.symptom} at {self.layer}: {self.evidence}; {self.remedy}"


def findings(rows: Sequence[FlowRow]) -> tuple[Symptom, ...]:
    """Compare the rows of a flow with the textbook symptoms.

    Args:
        rows: from the first layer to the last.

    Returns:
        What was found, the worst first.
    """
    if not rows:
        return ()
    found = [*_gradients(rows), *_dead(rows), *_constant(rows), *_saturated(rows), *_symmetric(rows)]
    return tuple(found)


def _gradients(rows: Sequence[FlowRow]):
    first = next((row for row in rows if row.weight_gradient is not None), rows[0])
    if rows[-1].gradient == 0:
        return
    ratio = first.gradient / rows[-1].gradient
    evidence = f"‖∂L/∂Z‖ is {first.gradient:.2g} there and {rows[-1].gradient:.2g} at the last layer"
    if ratio < _FADES:
        yield Symptom(
            "vanishing",
            first.layer,
            evidence,
            "put layers into residual(...), use activations that do not saturate (relu, leaky_relu, prelu, elu, swish) "
            "and initialize with he_normal, or tanh with xavier_normal, or add batch_norm",
        )
    if ratio > _GROWS:
        yield Symptom(
            "exploding",
            first.layer,
            evidence,
            "initialize with he_normal or xavier_normal, add layer_norm or batch_norm, or chain clip_by_global_norm in "
            "front of the optimizer",
        )


def _dead(rows: Sequence[FlowRow]):
    worst = max(rows, key=_dead_share)
    if _dead_share(worst) >= _DEAD:
        yield Symptom(
            "dying",
            worst.layer,
            f"{worst.dead} of {worst.units} units have slope 0 for every example and learn nothing",
            "use leaky_relu, prelu or elu, or lower the learning rate",
        )


def _dead_share(row: FlowRow) -> float:
    return (row.dead or 0) / row.units


def _saturated(rows: Sequence[FlowRow]):
    smooth = [row for row in rows if "relu" not in row.layer]
    worst = max(smooth, key=_flat_share, default=None)
    if worst is not None and _flat_share(worst) > _FLAT:
        yield Symptom(
            "saturated",
            worst.layer,
            f"the slope is below 0.05 at {_flat_share(worst):.0%} of its entries",
            "scale the input, initialize with xavier_normal, put layer_norm in front, or use relu, elu or swish",
        )


def _flat_share(row: FlowRow) -> float:
    return row.flat or 0.0


def _constant(rows: Sequence[FlowRow]):
    largest = 0.0
    for row in rows:
        if largest > 0 and row.spread < _STILL * largest:
            yield Symptom(
                "constant",
                row.layer,
                f"its outputs differ by {row.spread:.2g} between examples, where earlier ones differ by {largest:.2g}",
                "the input no longer matters behind it: initialize with he_normal for relu, use tanh or relu instead "
                "of sigmoid, or add residual(...) or batch_norm",
            )
            return
        largest = max(largest, row.spread)


def _symmetric(rows: Sequence[FlowRow]):
    for row in rows[:-1]:
        if row.twins:
            yield Symptom(
                "symmetric",
                row.layer,
                f"its {row.units} units are equal and get equal gradients, so they stay equal",
                "draw weights at random, as he_normal does; zeros and constants are for biases",
            )
            return
