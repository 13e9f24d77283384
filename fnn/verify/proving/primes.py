"""Chains of primes p₀ > p₁ > … with pᵢ₊₁ | pᵢ − 1, drawn at random: what makes exp a homomorphism of finite fields.

Every prime is 7 modulo 8. So −1 has no square root modulo p, which lets a field know a positive half (the squares),
and 2 has one. Products of two residues fit into 64 bits without a sign.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

_LARGEST = 2**32 - 1
BOTTOM_BITS = {1: 31.9, 2: 28.5, 3: 25.5, 4: 22.5}  # where the last prime of a chain starts, by the chain's length
LONGEST = max(BOTTOM_BITS)


@dataclass(frozen=True)
class Chain:
    """One world's primes, from the top (outputs) to the bottom, with a generator of order pᵢ₊₁ modulo each pᵢ."""

    primes: tuple[int, ...]
    generators: tuple[int, ...]  # one fewer than primes


def draw_chain(
    source: random.Random, length: int, bits: float | None = None, cubes: bool = False, squares: bool = False
) -> Chain:
    """Draw a chain of primes.

    Args:
        source: where chance comes from.
        length: number of primes, 1 to `LONGEST`.
        bits: size of the last prime, as log₂; the largest that fits by default. Smaller ones are for measuring errors.
        cubes: let every residue have exactly one cube root, which needs p ≡ 2 modulo 3.
        squares: let 3 and 5 be squares as 2 is, so that √9x = 3√x; not in long chains, where such primes are rare.

    Returns:
        The chain.
    """
    low = 2 ** ((bits or BOTTOM_BITS[length]) - 0.6)
    small = (3, 5) if squares and length <= 2 else ()
    while True:
        start = source.randrange(int(low), int(min(1.5 * low, _LARGEST)))
        if not _suits(start, cubes, small):
            continue
        primes = [start]
        while len(primes) < length:
            # what is known: the last prime suits; now one above it of which it divides p − 1
            steps = [2 + 8 * i for i in range(24 if small else 6)]
            above = [k * primes[-1] + 1 for k in source.sample(steps, len(steps))]
            found = [p for p in above if p <= _LARGEST and _suits(p, cubes, small)]
            if not found:
                break
            primes.append(found[0])
        if len(primes) == length:
            primes.reverse()
            return Chain(tuple(primes), tuple(_element_of_order(source, p, q) for p, q in pairwise(primes)))


def _suits(p: int, cubes: bool, squares: tuple[int, ...]) -> bool:
    fits = p % 8 == 7 and (not cubes or p % 3 == 2) and all(pow(n, (p - 1) // 2, p) == 1 for n in squares)
    return fits and is_prime(p)


def _element_of_order(source: random.Random, p: int, q: int) -> int:
    while True:
        element = pow(source.randrange(2, p), (p - 1) // q, p)
        if element != 1:
            return element


@lru_cache(maxsize=65536)
def is_prime(n: int) -> bool:
    """Whether a number below 2⁶⁴ is prime: Miller and Rabin's test with bases that leave no exception there."""
    if n < 2:
        return False
    small = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if any(n % p == 0 for p in small):
        return n in small
    d = (n - 1) >> (s := ((n - 1) & -(n - 1)).bit_length() - 1)
    return all(_passes(n, base, d, s) for base in small)


def _passes(n: int, base: int, d: int, s: int) -> bool:
    x = pow(base, d, n)
    if x in (1, n - 1):
        return True
    return any((x := x * x % n) == n - 1 for _ in range(s - 1))


def powers(base: np.ndarray, count: int, p: np.ndarray) -> np.ndarray:
    """The first powers of one residue a world, 1, b, b², …, by doubling.

    Args:
        base: (worlds,).
        count: how many.
        p: primes, (worlds,).

    Returns:
        (worlds, count).
    """
    table, step, modulus = np.ones((len(base), 1), np.uint64), base[:, None], p[:, None]
    for _ in range(math.ceil(math.log2(max(count, 2)))):
        table = np.concatenate([table, table * step % modulus], axis=1)
        step = step * step % modulus
    return table[:, :count]
