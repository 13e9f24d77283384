"""Points at which two programs are run: near the one given, with the same signs, farther away, and where values tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Point = list[np.ndarray]


def drawn(random: np.random.Generator, given: Point, spread: float) -> Point:
    """A random point like the given one.

    What is positive stays so, what lies in (0, 1) stays there; anything else is drawn around its own size.

    Args:
        random: where chance comes from.
        given: the leaves of the given point.
        spread: how far away; 1 is as far as the entries are large.
    """
    return [_leaf(random, leaf, spread) for leaf in given]


def _leaf(random: np.random.Generator, leaf: np.ndarray, spread: float) -> np.ndarray:
    noise = random.normal(size=leaf.shape)
    finite = leaf[np.isfinite(leaf)]
    if not finite.size:
        return leaf.copy()
    size = float(np.sqrt(np.mean(finite * finite))) or 1.0
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high > 0:
        start = np.where(leaf > 0, leaf, size * np.abs(random.normal(size=leaf.shape)) + 1e-3 * size)
        if high < 1:
            odds = start / (1 - start) * np.exp(spread * noise)
            return np.where(np.isfinite(leaf), odds / (1 + odds), leaf)
        return np.where(np.isfinite(leaf), start * np.exp(0.5 * spread * noise), leaf)
    if high <= 0 and low < 0:
        return -_leaf(random, -leaf, spread)
    near = leaf * (1 + 0.1 * noise) if spread < 0.5 else size * (noise + spread * random.normal(size=leaf.shape))
    return np.where(np.isfinite(leaf), np.where(near == 0, 0.1 * size * noise, near), leaf)


def moderate(given: Point) -> Point:
    """A point with the signs of the given one, and entries of size 1."""
    return [
        np.where(np.isfinite(leaf), np.sign(leaf) * np.abs(leaf / (np.abs(leaf).max(initial=0.0) or 1.0)), leaf)
        for leaf in given
    ]


def elsewhere(random: np.random.Generator, given: Point) -> list[Point]:
    """Two points without regard to the signs of the given one."""
    return [[-leaf for leaf in drawn(random, given, 1.0)], [random.normal(size=leaf.shape) for leaf in given]]


def farther(random: np.random.Generator, given: Point) -> Iterator[Point]:
    """Points in search of branches not seen: other sizes, other signs, all leaves together and each by itself."""
    scales = (30.0, 1e3, 1e-3, 1e6, 1e-6, 1e12, 2.0**110)
    for scale in scales:
        yield [scale * leaf for leaf in drawn(random, given, 1.0)]
    yield [-leaf for leaf in drawn(random, given, 1.0)]
    for i in range(len(given) if 1 < len(given) <= 8 else 0):
        for scale in (-1.0, *scales[:4]):
            yield [scale * leaf if i == j else leaf for j, leaf in enumerate(drawn(random, given, 1.0))]
    for scale in (1.0, 10.0, 100.0) * 8:
        yield [scale * random.normal(size=leaf.shape) for leaf in given]


def tied(random: np.random.Generator, given: Point, literals: Sequence[float]) -> Iterator[Point]:
    """Points at which comparisons tie: few different numbers, 0 and the literals of the programs among them.

    Args:
        random: where chance comes from.
        given: the leaves of the given point; what is never negative there stays so, shares stay below 1.
        literals: numbers that entries may be compared with.
    """
    compared = (*literals[:16], 0.0, 1.0)
    for numbers in ((0.0,), (1.0,), *3 * ((-1.0, 0.0, 1.0), (0.0, 1.0, 2.0), (-0.5, 0.5, 1.5), compared)):
        yield [_of_few(random, leaf, np.array(numbers)) for leaf in given]


def _of_few(random: np.random.Generator, leaf: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    finite = leaf[np.isfinite(leaf)]
    if finite.size and finite.min() >= 0:
        numbers = np.clip(np.abs(numbers), 0, 1) if finite.max() <= 1 else np.abs(numbers)
    return np.where(np.isfinite(leaf), random.choice(numbers, leaf.shape), leaf)
