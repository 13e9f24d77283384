"""Numbers that this program holds: sizes of axes, literals, numbers computed from them. Only these are named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fnn.verify.oracles import is_key
from fnn.verify.paths.program import Program
from fnn.verify.paths.source import Stack

_FORMS: tuple[tuple[Callable[[float], float], str, float], ...] = (
    (lambda c: c, "{}", 0.6),
    (lambda c: 1 / c, "1/({})", 0.6),
    (lambda c: c**2, "({})²", 1.2),
    (lambda c: c**-2, "1/({})²", 1.2),
    (lambda c: 2 * c, "2 × {}", 1.2),
    (lambda c: c / 2, "1/2 × {}", 1.2),
    (lambda c: 2 / c, "2/({})", 1.2),
    (lambda c: 0.5 / c, "1/(2 × {})", 1.2),
)


class Constants:
    """The numbers of a program, to recognise a factor by."""

    def __init__(self, program: Program, names: list[str]) -> None:
        self.named: dict[float, str] = {}
        self.sizes = sorted({size for _, size in _sizes(program, names) if size > 1})
        self.holder: dict[float, int] = {}  # number of the value that holds it
        for number, origin in enumerate(program.origin):
            value = program.values[number]
            if origin in names and np.size(value) == 1 and not program.active[number] and not is_key(value):
                self._add(float(np.reshape(value, ())), f"`{origin}`", number)
        for name, value in _sizes(program, names):
            self._add(float(value), f"{value}, {name}")
        for number, origin in enumerate(program.origin):
            value = program.values[number]
            if program.active[number] or not isinstance(value, np.ndarray) or value.dtype.kind not in "fi":
                continue
            if value.size != 1:
                continue
            told = origin.place.expression if isinstance(origin, Stack) and origin.place else ""
            if origin in ("literal", "constant") or told:
                self._add(float(value.reshape(())), f"`{told}`" if told else f"{float(value.reshape(())):.6g}", number)

    def _add(self, value: float, name: str, number: int = -1) -> None:
        if number >= 0 and self.holder.get(abs(value), 0) < 0:  # a size that the program divides by, as a mean does
            self.holder[abs(value)] = number
        if math.isfinite(value) and value != 0 and abs(value) != 1 and abs(value) not in self.named:
            self.named[abs(value)] = name
            self.holder[abs(value)] = number

    def name(self, factor: float, tolerance: float = 1e-8) -> tuple[str, float] | None:
        """Name a factor.

        Args:
            factor: the number.
            tolerance: relative.

        Returns:
            What it is in this program and how far-fetched that is; None if it is no constant of it.
        """
        size = abs(factor)
        if math.isclose(size, 1, rel_tol=tolerance):
            return "", 0.0
        for simple, text in ((2.0, "2"), (0.5, "1/2")):
            if math.isclose(size, simple, rel_tol=tolerance):
                return text, 0.3
        for value, name in self.named.items():
            held = self.holder[value] >= 0
            for power, form, far in _FORMS if held else _FORMS[:2]:
                if math.isclose(size, power(value), rel_tol=tolerance):
                    return _told(form, name), far - 0.2 * held
        return self._ratio(size, tolerance)

    def holder_of(self, factor: float) -> int:
        """The value that holds a factor, or one times 2 or 1/2; −1 if none does."""
        for value, number in self.holder.items():
            if number >= 0 and any(math.isclose(abs(factor), form(value), rel_tol=1e-5) for form, _, _ in _FORMS):
                return number
        return -1

    def exact(self, factor: float) -> float:
        """The factor with all digits, where it is a constant, its inverse or square, or one times 2 or 1/2."""
        for value in self.named:
            for power, _, _ in _FORMS:
                if math.isclose(power(value), abs(factor), rel_tol=1e-5):
                    return math.copysign(power(value), factor)
        whole = [v for v in self.named if v == int(v) and v < 1e6]
        ratios = (math.copysign(a / b, factor) for a in whole for b in whole)
        return next((r for r in ratios if math.isclose(r, factor, rel_tol=1e-5)), factor)

    def _ratio(self, size: float, tolerance: float) -> tuple[str, float] | None:
        whole = [v for v in self.named if v == int(v) and v < 1e6]
        for a in whole:
            for b in whole:
                if a != b and math.isclose(size, a / b, rel_tol=tolerance):
                    return _told("{}", self.named[a]) + " by " + _told("{}", self.named[b]), 2.0
        return None


def _told(form: str, name: str) -> str:
    """A number in its form, and what it is: 1/6, 6 being axis 0 of x."""
    number, _, what = name.partition(", ")
    simple = form.replace("({})", "{}") if number.isdecimal() else form
    return f"{simple.format(number)}, {number} being {what}" if what else simple.format(name)


def _sizes(program: Program, names: list[str]) -> Iterator[tuple[str, int]]:
    """Sizes of axes: of the arguments, then of what is computed; then numbers of entries, and sizes less one."""
    leaves = [i for i, origin in enumerate(program.origin) if isinstance(origin, str) and origin in names]
    for number in leaves:
        for axis, size in enumerate(np.shape(program.values[number])):
            yield f"axis {axis} of {program.origin[number]}", size
    shapes = {program.shape(out) for node in program.nodes for out in node.outs}
    for shape in sorted(shapes):
        for size in shape:
            yield "an axis", size
    for shape in sorted(shapes):
        yield "the number of entries", int(np.prod(shape))
        if len(shape) > 2:
            yield "two axes", int(np.prod(shape[:2]))
            yield "two axes", int(np.prod(shape[-2:]))
            yield "axes after the first", int(np.prod(shape[1:]))
    for number in leaves:
        for axis, size in enumerate(np.shape(program.values[number])):
            yield f"axis {axis} of {program.origin[number]} less one", size - 1
