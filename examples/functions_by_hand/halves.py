"""Which half a mistake belongs to, and which two are planted together: drawn once, function by function, by name."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

from .planting import ByHand, Mistake, plant


def development_half(function: str, names: Iterable[str]) -> set[str]:
    """The names of a function's mistakes that fall to development; the others are held out."""
    order, draw = sorted(names), random.Random(function)
    draw.shuffle(order)
    return set(order[: (len(order) + draw.randrange(2)) // 2])


def pair_of(function: ByHand, mistakes: tuple[Mistake, ...]) -> tuple[Mistake, Mistake]:
    """Two mistakes whose edits do not touch each other, about different expressions of the forward if possible."""
    pairs = list(combinations(mistakes, 2))
    random.Random(function.name).shuffle(pairs)
    for pair in sorted(pairs, key=lambda pair: bool(set(pair[0].about) & set(pair[1].about))):
        try:
            plant(function, *pair)
        except ValueError:  # the second edit finds its text changed by the first
            continue
        return pair
    raise ValueError(f"{function.name}: expected two mistakes that can stand side by side, found none in this half")
