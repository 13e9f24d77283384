"""A derivation as data: lines of symbol = formula with shapes and values, which print as a table.

The table shows numbers where a reader can follow them with a pencil, on networks and batches with few entries a line,
and the parameters that they are computed from; of larger ones it shows norms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fnn.recipes.shown import Shown

_WHY = """\
why ⊙: an activation works entry by entry, so each z moves its own a and nothing else: the chain rule is one product an
entry, between arrays of one shape. A matrix product sums over its inner axis; it stands where many paths meet: over the
examples in dW, over the neurons of the next layer in dA."""

_FEW = 16  # entries a line, at most, where numbers are printed


@dataclass(frozen=True)
class Line:
    """One line of an explanation: symbol = formula, with shapes and the value on this data."""

    part: str  # "parameters", "forward" or "backward"
    symbol: str  # "Z1", "dW2", ...
    formula: str  # "X W1ᵀ + b1"; "" for what is given
    shapes: str  # "(4×3)(3×2) + (2) → (4×2)"
    value: np.ndarray  # in the explanation's layout

    @property
    def norm(self) -> float:
        """Root of the sum of squares of the value."""
        return float(np.linalg.norm(np.asarray(self.value, np.float64)))


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """What `explain` returns: steps as data, in the order in which they are computed; prints as a derivation.

    Attributes:
        title: the network and the number of examples.
        layout: "row" or "column".
        steps: the forward pass, then the backward pass.
        parameters: W and b of each dense layer, in the same layout.
    """

    title: str
    layout: str
    steps: tuple[Line, ...]
    parameters: tuple[Line, ...] = ()

    def __getitem__(self, symbol: str) -> np.ndarray:
        """Value of a symbol, such as explanation["dW1"]."""
        for step in self.steps:
            if step.symbol == symbol:
                return step.value
        raise KeyError(f"{symbol!r} is none of {', '.join(step.symbol for step in self.steps)}")

    def __str__(self) -> str:
        tiny = all(step.value.size <= _FEW and step.value.ndim <= 2 for step in self.steps + self.parameters)
        shown = (*self.parameters, *self.steps) if tiny else self.steps
        widths = max(len(_equation(step)) for step in shown), max(len(step.shapes) for step in shown)
        text, part = [self.title], ""
        for step in shown:
            if step.part != part:
                part = step.part
                text += ["", _row(widths, part, "shapes", "value" if tiny else "     norm")]
            first, *more = _numbers(step.value) if tiny else [f"{step.norm:>9.4g}"]
            text += [_row(widths, _equation(step), step.shapes, first), *(_row(widths, "", "", row) for row in more)]
        why = ["", _WHY] if any("⊙" in step.formula for step in self.steps) else []
        return "\n".join(text + why)


def _row(widths: tuple[int, int], *cells: str) -> str:
    return f"{cells[0]:<{widths[0]}}   {cells[1]:<{widths[1]}}   {cells[2]}".rstrip()


def _numbers(value: np.ndarray) -> list[str]:
    """A line for each row of the array, all entries equally wide."""
    rows = [[f"{entry:.4g}" for entry in row] for row in np.atleast_2d(np.asarray(value, np.float64)) + 0.0]
    width = max((len(entry) for row in rows for entry in row), default=0)
    return ["  ".join(entry.rjust(width) for entry in row) for row in rows] or [""]


def _equation(step: Line) -> str:
    return f"{step.symbol} = {step.formula}" if step.formula else step.symbol
