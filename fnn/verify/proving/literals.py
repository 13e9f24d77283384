"""Literals: exact doubles by default; as a second reading the decimal that was written, or a constant such as √(2/π).

A reading is an assumption, "PROVED if 0.1 = 1/10", and is printed. A constant is read from the double that is nearest
to it, or that a few float64 operations make of it, √(2π) as `math.sqrt(2 * math.pi)`, and from no other;
0.3333333333333333 is a decimal and not 1/3. Two literals that
would be read as one number are both left as they are: what lies one unit in the last place apart is never merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from fnn.verify.proving.fields import Element, Fields, Residues
from fnn.verify.proving.roots import square_root

if TYPE_CHECKING:
    from fnn.verify.proving.worlds import Worlds

_RADICANDS = (1, 2, 3, 5, 6, 7, 10, 15)
_PRIMES = (2, 3, 5, 7)
_LARGEST_PART = (
    64  # of numerators and denominators in front of a named constant: 12 bits against the 52 that have to fit
)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
_DIGITS = Context(prec=50)


@dataclass(frozen=True)
class Reading:
    """A number r √m π^(k/2), or r log c.

    Attributes:
        factor: r.
        radicand: m, squarefree.
        half_powers_of_pi: k.
        log_of: c, or None.
    """

    factor: Fraction
    radicand: int = 1
    half_powers_of_pi: int = 0
    log_of: Fraction | None = None

    def __str__(self) -> str:
        parts = []
        if self.radicand != 1:
            parts.append(f"√{self.radicand}")
        if self.half_powers_of_pi:
            whole, half = divmod(abs(self.half_powers_of_pi), 2)
            pi = "".join((("π" if whole == 1 else f"π^{whole}") if whole else "", "√π" if half else ""))
            parts.append(
                pi if self.half_powers_of_pi > 0 else f"1/{pi}" if "π" not in pi[1:-1] or pi == "√π" else f"1/({pi})"
            )
        if self.log_of is not None:
            parts.append(f"ln({self.log_of})")
        if not parts:
            return str(self.factor)
        return " · ".join(([] if self.factor == 1 else [str(self.factor)]) + parts)


def decimal_of(value: float) -> Reading | None:
    """The shortest decimal that rounds to a number; None where that is the number itself."""
    written = Fraction(repr(value))
    return None if written == Fraction(value) else Reading(written)


def constant_of(value: float, others: Iterable[float]) -> Reading | None:
    """A well-known constant that a number stands for: r √m π^(k/2) with a short r, a logarithm of a literal.

    Args:
        value: the number.
        others: the literals that occur beside it.
    """
    if not 1e-3 < abs(value) < 1e3 or Fraction(value).denominator < 2**30:
        return None
    for k in (0, 1, -1, 2, -2, -3, -4):
        for m in _RADICANDS:
            r = Fraction(value / (math.sqrt(m) * math.pi ** (k / 2))).limit_denominator(_LARGEST_PART)
            if (k, m) != (0, 1) and r and abs(r.numerator) <= _LARGEST_PART:
                reading = Reading(r, m, k)
                if value in _doubles(reading):
                    return reading
    for c in {abs(other) for other in others if 0 < abs(other) < 1e6 and abs(other) != 1} | {2.0, 10.0}:
        r = Fraction(value / math.log(c)).limit_denominator(8)
        if r and value in _doubles(reading := Reading(r, log_of=Fraction(repr(c)))):
            return reading
    return None


def _doubles(reading: Reading) -> set[float]:
    """The double nearest to what is read, computed with fifty digits, and those that float64 arithmetic gives."""
    d, r, m, k = _DIGITS, reading.factor, reading.radicand, reading.half_powers_of_pi
    exact = d.divide(Decimal(r.numerator), Decimal(r.denominator))
    if (c := reading.log_of) is not None:
        exact = d.multiply(exact, d.ln(d.divide(Decimal(c.numerator), Decimal(c.denominator))))
        return {float(exact), float(r) * math.log(c)}
    root = d.sqrt(_PI)
    exact = d.multiply(exact, d.sqrt(Decimal(m)))
    for _ in range(abs(k)):
        exact = d.multiply(exact, root) if k > 0 else d.divide(exact, root)
    sign, square = math.copysign(1, r), r * r * m
    parts = [math.sqrt(float(square) * math.pi**k), abs(r) * math.sqrt(m * math.pi**k)]
    if square.numerator == 1:  # 1 / √(2π)
        parts.append(1 / math.sqrt(square.denominator * math.pi**-k))
    return {float(exact), *(float(sign * part) for part in parts)}


def without_conflicts(
    readings: dict[float, Reading], literals: Iterable[float]
) -> tuple[dict[float, Reading], list[tuple]]:
    """Leave literals alone that would be merged: two that are read as one number, or as another literal.

    Returns:
        The readings that are left, and the pairs that were in conflict.
    """
    known: dict[Reading, float] = {Reading(Fraction(v)): v for v in literals if v not in readings}
    conflicts, bad = [], set()
    for value, reading in readings.items():
        if reading in known:
            conflicts.append((known[reading], value))
            bad |= {reading}
        known[reading] = value
    return {v: r for v, r in readings.items() if r not in bad}, conflicts


# ── residues ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def exact_residues(fields: Fields, values: np.ndarray) -> Residues:
    """Doubles as what they are, m 2^e.

    Args:
        fields: one field a world.
        values: finite numbers, (k,).

    Returns:
        (worlds, k).
    """
    mantissas, exponents = np.frexp(values)
    whole = np.abs(mantissas * 2.0**53).astype(np.uint64)
    places, which = np.unique(exponents.astype(int) - 53, return_inverse=True)
    table = np.array([[pow(2, int(e), int(p)) for e in places] for p in fields.p], np.uint64).reshape(len(fields.p), -1)
    residues = fields.times(whole[None] % fields.p[:, None], table[:, which.reshape(-1)])
    return np.where(values < 0, fields.minus(np.zeros_like(residues), residues), residues)


def read_residue(worlds: Worlds, level: int, reading: Reading) -> Element:
    """A reading in every world, coordinates of shape (worlds,); logarithms are steps of the tape instead."""
    fields = worlds.fields[level]
    result: Element = (_fraction(fields, reading.factor),)
    for prime in _PRIMES:
        if reading.radicand % prime == 0:
            result = fields.multiply(result, square_root(fields, (_fraction(fields, Fraction(prime)),)))
    pi = (worlds.root_of_pi[level],)
    for _ in range(abs(reading.half_powers_of_pi)):
        result = fields.multiply(result, pi if reading.half_powers_of_pi > 0 else fields.inverse(pi))
    return result


def _fraction(fields: Fields, value: Fraction) -> Residues:
    return np.array([value.numerator * pow(value.denominator, -1, int(p)) % int(p) for p in fields.p], np.uint64)
