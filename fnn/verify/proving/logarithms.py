"""Powers of ω and logarithms to the base ω, in the subgroup of prime order q of F_p.

log u is the exponent e with ωᵉ = u^((p − 1) / q), up to the constant factor (p − 1) / q which is taken out: so log u
v = log u + log v for all u and v, and log ωᵉ = e. It is found by baby steps and giant steps, in about √(q n) steps
for n logarithms.
"""

from __future__ import annotations

import numpy as np

from fnn.verify.proving.fields import Fields, Residues
from fnn.verify.proving.primes import powers

_SHIFT = 15  # exponents are read in two digits of this many bits, and a rest


def exponential(fields: Fields, generators: np.ndarray, exponents: Residues) -> Residues:
    """ωᵉ, with one table of powers for each digit of the exponents.

    Args:
        fields: F_p for each world.
        generators: ω, (worlds,).
        exponents: e below the order of ω, (worlds, ...).

    Returns:
        Residues of the same shape.
    """
    flat = exponents.reshape(len(exponents), -1)
    mask, base, result = np.uint64((1 << _SHIFT) - 1), generators.astype(np.uint64), None
    while result is None or flat.any():
        table = powers(base, 1 << _SHIFT, fields.p)
        digits = np.take_along_axis(table, (flat & mask).astype(np.int64), axis=1)
        result = digits if result is None else fields.times(result, digits)
        flat = flat >> np.uint64(_SHIFT)
        base = table[:, -1] * base % fields.p
    return result.reshape(exponents.shape)


def logarithm(fields: Fields, generators: np.ndarray, orders: np.ndarray, values: Residues) -> Residues:
    """The discrete logarithm of each value to the base ω, as the module's docstring defines it; 0 for 0.

    Args:
        fields: F_p for each world.
        generators: ω, (worlds,).
        orders: the prime order q of ω, (worlds,).
        values: (worlds, ...).

    Returns:
        Residues modulo q, of the same shape.
    """
    flat = values.reshape(len(values), -1)
    result = np.zeros_like(flat)
    for w, (p, q, omega) in enumerate(zip(fields.p.tolist(), orders.tolist(), generators.tolist(), strict=True)):
        cofactor = (p - 1) // q
        one = Fields(np.array([p], np.uint64))
        projected = one.raise_to(flat[w : w + 1], np.array([cofactor], np.uint64))[0]
        found = _logarithms(one, int(omega), q, projected)
        result[w] = found * np.uint64(pow(cofactor, -1, q)) % np.uint64(q)
    return np.where(flat == 0, np.uint64(0), result).reshape(values.shape)


def _logarithms(field: Fields, omega: int, q: int, values: np.ndarray) -> np.ndarray:
    """Find e = i + B j with ω^i = u ω^(−B j): all ω^i are known and sorted, j is tried one after the other."""
    babies = int(np.clip(np.sqrt(float(q) * (100 + values.size)), 2**12, 2**21))  # a step costs as much as 100 values
    p = int(field.p[0])
    table = powers(np.array([omega], np.uint64), babies, field.p)[0]
    order = np.argsort(table)
    table = table[order]
    giant = np.uint64(pow(omega, -babies, p))
    result, open_ = np.zeros(values.size, np.uint64), np.flatnonzero(values)
    current = values[open_]
    for j in range(-(-q // babies) + 1):
        if not open_.size:
            return result
        place = np.minimum(np.searchsorted(table, current), babies - 1)
        hit = table[place] == current
        result[open_[hit]] = order[place[hit]].astype(np.uint64) + np.uint64(babies * j)
        open_, current = open_[~hit], current[~hit] * giant % np.uint64(p)
    return result
