"""A derivation as data: lines of symbol = formula with shapes and values, which print as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_WHY = """\
why ⊙: an activation works entry by entry, so each z moves its own a and nothing else: the chain rule is one product an
entry, between arrays of one shape. A matrix product sums over its inner axis; it stands where many paths meet: over the
examples in dW, over the neurons of the next layer in dA."""


@dataclass(frozen=True)
class Line:
    """One line of an explanation: symbol = formula, with shapes and the value on this data."""

    part: str  # "forward" or "backward"
    symbol: str  # "Z1", "dW2", ...
    formula: str  # "X W1ᵀ + b1"; "" for what is given
    shapes: str  # "(4×3)(3×2) + (2) → (4×2)"
    value: np.ndarray  # in the explanation's layout

    @property
    def norm(self) -> float:
        """Root of the sum of squares of the value."""
        return float(np.linalg.norm(np.asarray(self.value, np.float64)))


@dataclass(frozen=True, repr=False)
class Explanation:
    """What `explain` returns: steps as data, in the order in which they are computed; prints as a derivation."""

    title: str
    layout: str
    steps: tuple[Line, ...]

    def __getitem__(self, symbol: str) -> np.ndarray:
        """Value of a symbol, such as explanation["dW1"]."""
        for step in self.steps:
            if step.symbol == symbol:
                return step.value
        raise KeyError(f"{symbol!r} is none of {', '.join(step.symbol for step in self.steps)}")

    def __str__(self) -> str:
        lines = [_equation(step) for step in self.steps]
        widths = max(map(len, lines)), max(len(step.shapes) for step in self.steps)
        text, part = [self.title], ""
        for line, step in zip(lines, self.steps, strict=True):
            if step.part != part:
                part = step.part
                text += ["", f"{part:<{widths[0]}}   {'shapes':<{widths[1]}}   {'norm':>9}"]
            text.append(f"{line:<{widths[0]}}   {step.shapes:<{widths[1]}}   {step.norm:>9.4g}")
        why = ["", _WHY] if any("⊙" in step.formula for step in self.steps) else []
        return "\n".join(text + why)

    def __repr__(self) -> str:
        return str(self)


def _equation(step: Line) -> str:
    return f"{step.symbol} = {step.formula}" if step.formula else step.symbol
