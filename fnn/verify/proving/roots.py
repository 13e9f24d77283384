"""Square roots in the tower of fields: every element of one level has its root one level above, at the latest.

Which of two roots ±r? A field has no order. Here it is the one whose first coordinate that is not 0 is a square
modulo p (−1 is none, so exactly one of the two qualifies). That makes √(m² u) = m √u whenever m is a square modulo p,
and the variables are drawn so that positive ones are squares. For sums it is a coin that falls anew in each world: a
world with such roots proves one bit, see `fnn.verify.proving.worlds`.
"""

from __future__ import annotations

import numpy as np

from fnn.verify.proving.fields import Element, Fields, Residues, coordinates


def square_root(fields: Fields, x: Element) -> Element:
    """The root of an element, in as many coordinates where all entries have one there, else in twice as many.

    Args:
        fields: the fields, one a world.
        x: any element.

    Returns:
        r with r² = x.
    """
    flat = coordinates(x, len(x))
    holds, root = _root_within(fields, flat)
    if holds.all():
        return _oriented(fields, root)
    # what is known: where x has no root, x / X² has one for the next generator X; so the root is that times X
    size = len(x)
    above = fields.inverse(_generator(fields, size, flat[0].ndim))
    _, other = _root_within(fields, coordinates(fields.multiply(tuple(flat), above), size))
    low = [np.where(holds, r, np.uint64(0)) for r in root]
    high = [np.where(holds, np.uint64(0), r) for r in other]
    return _oriented(fields, low + high)


def _generator(fields: Fields, size: int, ndim: int) -> Element:
    """The element whose root the next level adjoins."""
    shape = (len(fields.p), *[1] * (ndim - 1))
    one = np.ones(shape, np.uint64)
    if size == 1:
        return (fields.p.reshape(shape) - np.uint64(1),)
    if size == 2:
        return (fields.shift().reshape(shape), one)
    return (*[None] * (size // 2), one, *[None] * (size // 2 - 1))


def _root_within(fields: Fields, x: list[Residues]) -> tuple[np.ndarray, list[Residues]]:
    """Where a root exists among elements with as many coordinates, and that root; 0 elsewhere."""
    if len(x) == 1:
        candidate = fields.raise_to(x[0], (fields.p + np.uint64(1)) // np.uint64(4))
        holds = fields.times(candidate, candidate) == x[0]
        return holds, [np.where(holds, candidate, np.uint64(0))]
    half = len(x) // 2
    a, b = x[:half], x[half:]
    inner = _root_of_subfield(fields, a)
    if not any(c.any() for c in b):
        return np.ones(a[0].shape, bool), inner
    # what is known: b ≠ 0 somewhere. There r = u + v X with u² = (a ± n) / 2, n² = a² − b² X² and v = b / (2 u)
    norm = coordinates(fields.norm(tuple(x)), half)
    holds, n = _root_within(fields, norm)
    two = fields.inverse((np.full((len(fields.p), *[1] * (a[0].ndim - 1)), 2, np.uint64),))
    candidates = [fields.multiply(operation(tuple(a), tuple(n)), two) for operation in (fields.add, fields.subtract)]
    (first, u), (_, other) = (_root_within(fields, coordinates(c, half)) for c in candidates)
    u = [np.where(first, c, d) for c, d in zip(u, other, strict=True)]
    zero = np.all([c == 0 for c in b], axis=0)
    twice = [
        np.where(zero & (i == 0), np.uint64(1), c)
        for i, c in enumerate(coordinates(fields.add(tuple(u), tuple(u)), half))
    ]
    v = coordinates(fields.multiply(tuple(b), fields.inverse(tuple(twice))), half)
    root = [*u, *v]
    return holds | zero, [np.where(zero, p, np.where(holds, q, np.uint64(0))) for p, q in zip(inner, root, strict=True)]


def _root_of_subfield(fields: Fields, a: list[Residues]) -> list[Residues]:
    """The root, in twice as many coordinates, of an element that lies one level below: there always is one."""
    holds, root = _root_within(fields, a)
    if holds.all():
        return root + [np.zeros_like(root[0]) for _ in root]
    above = fields.inverse(_generator(fields, len(a), a[0].ndim))
    _, other = _root_within(fields, coordinates(fields.multiply(tuple(a), above), len(a)))
    low = [np.where(holds, r, np.uint64(0)) for r in root]
    return low + [np.where(holds, np.uint64(0), r) for r in other]


def _oriented(fields: Fields, root: list[Residues]) -> Element:
    """Of ±r the one whose first coordinate that is not 0 is a square."""
    first = root[0]
    for coordinate in root[1:]:
        first = np.where(first == 0, coordinate, first)
    turned = ~fields.is_square(first) & (first != 0)
    return tuple(np.where(turned, fields.minus(np.zeros_like(r), r), r) for r in root)
