"""Random functions of residues: equal arguments give equal values, others give values that have nothing in common.

They stand for erf, lgamma and whatever else obeys no law that is known here. A value hangs on the residues of all
worlds together, so two arguments that agree in one world by chance are still told apart.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fnn.verify.proving.fields import Element, Fields, Residues, coordinates

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class RandomFunctions:
    """As many random functions as there are names.

    Args:
        salt: what makes them others in each proof.
    """

    def __init__(self, salt: int) -> None:
        self._salt = salt

    def value(self, name: str, fields: Fields, args: list[Element], shape: tuple[int, ...]) -> Residues:
        """A random residue for each entry of the arguments.

        Args:
            name: which function.
            fields: where the values lie.
            args: elements of shape (worlds, ...).
            shape: (worlds, ...) of the result.
        """
        start = hashlib.blake2b(f"{name} {self._salt}".encode(), digest_size=8).digest()
        state = np.full(shape[1:], np.uint64(int.from_bytes(start, "little")), np.uint64)
        for arg in args:
            for number, c in enumerate(arg):
                if c is None:
                    continue
                new = state
                for world in c:
                    new = _mixed(new ^ (world + _MIX[0] * np.uint64(number + 1)))
                state = np.where((c == 0).all(axis=0), state, new)  # zeros written out count as those that are not
            state = _mixed(state + _MIX[1])
        numbers = np.arange(1, len(fields.p) + 1, dtype=np.uint64) * _MIX[0]
        drawn = _mixed(state[None] + numbers.reshape(-1, *[1] * state.ndim))
        return drawn % fields.modulus(drawn)

    def of_either_sign(self, name: str, fields: Fields, x: Element) -> tuple[Residues, np.ndarray]:
        """A random function of ±x, and where −x stood for x; the first world decides."""
        flat = coordinates(x, len(x))
        first = flat[0][0]
        for c in flat[1:]:
            first = np.where(first == 0, c[0], first)
        turned = first > fields.p[0] // np.uint64(2)
        oriented = tuple(np.where(turned, fields.minus(np.zeros_like(c), c), c) for c in flat)
        return self.value(name, fields, [oriented], flat[0].shape), turned


def zeros(x: Element) -> np.ndarray:
    """Entries that are 0 in every world."""
    return np.all([c == 0 for c in coordinates(x, len(x))], axis=(0, 1))


def _mixed(state: Any) -> Any:
    state = (state ^ (state >> np.uint64(30))) * _MIX[1]
    state = (state ^ (state >> np.uint64(27))) * _MIX[2]
    return state ^ (state >> np.uint64(31))
