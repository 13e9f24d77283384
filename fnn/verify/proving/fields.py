"""Arithmetic in many finite fields at once: F_p for one prime a world, and the square roots that F_p lacks.

An array of residues has the worlds as its first axis. An element of an extension is a tuple of 2ᵈ such arrays, its
coordinates, where None stands for zeros: the tower is F_p, F_p[i] with i² = −1, then one root more each time,

    level d:  (a, b) = a + b X_d     X_1² = −1,   X_2² = t + i (not a square),   X_{d+1}² = X_d

X_d is never a square of its level, since −1 is one from level 1 on and the norm of X_d is −X_{d−1}. Elements that lie
in F_p stay there and cost no more than residues.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Residues = np.ndarray  # uint64, (worlds, ...)
Element = tuple[Residues | None, ...]
Product = Callable[[Residues, Residues], Residues]

DEEPEST = 3  # extensions of degree 2³ at most


class Fields:
    """One field for each world.

    Attributes:
        p: the primes, (worlds,), all 3 modulo 4.
        zero_divisions: worlds in which something was divided by zero, and got zero.
    """

    def __init__(self, primes: np.ndarray) -> None:
        self.p = primes.astype(np.uint64)
        self.zero_divisions = np.zeros(len(primes), bool)
        self._t: Residues | None = None

    def modulus(self, like: Residues) -> Residues:
        """The primes, shaped to meet an array of residues."""
        return self.p.reshape(-1, *[1] * (like.ndim - 1))

    # ── residues ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def plus(self, a: Residues, b: Residues) -> Residues:
        """Add residues."""
        total = a + b
        return np.minimum(total, total - self.modulus(total))  # a negative difference wraps to a huge number

    def minus(self, a: Residues, b: Residues) -> Residues:
        """Subtract residues."""
        difference = a - b
        return np.minimum(difference, difference + self.modulus(difference))

    def times(self, a: Residues, b: Residues) -> Residues:
        """Multiply residues."""
        product = a * b
        return product % self.modulus(product)

    def matmul(self, a: Residues, b: Residues) -> Residues:
        """Multiply matrices of residues, exactly: halves of 16 bits as float64, whose sums stay below 2⁵³."""
        halves = [((x >> np.uint64(16)).astype(float), (x & np.uint64(0xFFFF)).astype(float)) for x in (a, b)]
        (a1, a0), (b1, b0) = halves
        low, high = a0 @ b0, a1 @ b1
        middle = (a0 @ b1).astype(np.uint64) + (a1 @ b0).astype(np.uint64)
        p, sixteen = self.modulus(low), np.uint64(16)
        result = (high.astype(np.uint64) % p << sixteen) + middle
        return ((result % p << sixteen) + low.astype(np.uint64)) % p

    def total(self, a: Residues, axes: tuple[int, ...]) -> Residues:
        """Sum over axes, counted without the worlds; up to 2³² residues fit into 64 bits."""
        total = a.sum(axis=tuple(axis + 1 for axis in axes), dtype=np.uint64)
        return total % self.modulus(total)

    def cumulate(self, a: Residues, axis: int) -> Residues:
        """Running sums along an axis, counted without the worlds."""
        total = a.cumsum(axis=axis + 1, dtype=np.uint64)
        return total % self.modulus(total)

    def raise_to(self, a: Residues, exponents: np.ndarray) -> Residues:
        """Powers with one exponent a world, by squaring."""
        result = np.ones_like(a)
        bits = exponents.astype(np.uint64)
        one = np.uint64(1)
        for _ in range(int(bits.max()).bit_length()):
            chosen = ((bits & one) == one).reshape(self.modulus(a).shape)
            result = np.where(chosen, self.times(result, a), result)
            bits = bits >> one
            a = self.times(a, a)
        return result

    def is_square(self, a: Residues) -> np.ndarray:
        """Whether residues are squares, and not 0."""
        return self.raise_to(a, (self.p - np.uint64(1)) // np.uint64(2)) == 1

    def inverse_residue(self, a: Residues) -> Residues:
        """1 / a; 0 for 0, which is remembered. One power for all entries, three products for each."""
        flat = a.reshape(len(a), -1)
        zeros = flat == 0
        if zeros.any():
            self.zero_divisions |= zeros.any(axis=1)
            flat = np.where(zeros, np.uint64(1), flat)
        return np.where(zeros, np.uint64(0), self._inverses(flat)).reshape(a.shape)

    def _inverses(self, flat: Residues) -> Residues:
        count = flat.shape[1]
        if count <= 2:
            return self.raise_to(flat, self.p - np.uint64(2))
        half = count // 2
        left, right = flat[:, :half], flat[:, half : 2 * half]
        pairs = self._inverses(np.concatenate([self.times(left, right), flat[:, 2 * half :]], axis=1))
        both = pairs[:, :half]
        return np.concatenate([self.times(both, right), self.times(both, left), pairs[:, half:]], axis=1)

    # ── elements of extensions ───────────────────────────────────────────────────────────────────────────────────────
    def add(self, x: Element, y: Element) -> Element:
        """Add elements."""
        return self._each(self.plus, x, y)

    def subtract(self, x: Element, y: Element) -> Element:
        """Subtract elements."""
        return self._each(self.minus, x, y)

    def negate(self, x: Element) -> Element:
        """−x."""
        return tuple(None if a is None else self.minus(np.zeros_like(a), a) for a in x)

    def _each(self, operation: Product, x: Element, y: Element) -> Element:
        size = max(len(x), len(y))
        shape = np.broadcast_shapes(*(a.shape for a in (*x, *y) if a is not None))
        result: list[Residues | None] = []
        for a, b in zip(_padded(x, size), _padded(y, size), strict=True):
            if a is None and b is None:
                result.append(None)
            else:
                none = np.zeros((len(self.p), *[1] * (len(shape) - 1)), np.uint64)
                result.append(operation(none if a is None else a, none if b is None else b))
        return tuple(result)

    def multiply(self, x: Element, y: Element, product: Product | None = None) -> Element:
        """Multiply elements; with a bilinear product of residues, such as that of matrices, its extension."""
        product = product or self.times
        x, y = _trimmed(x), _trimmed(y)
        size = max(len(x), len(y))
        if size == 1:
            return (None,) if x[0] is None or y[0] is None else (product(x[0], y[0]),)
        (a, b), (c, d) = _halves(x, size), _halves(y, size)
        parts: list[Element | None] = [None, None]
        for low_high, left, right, wraps in ((0, a, c, False), (0, b, d, True), (1, a, d, False), (1, b, c, False)):
            if _is_zero(left) or _is_zero(right):
                continue
            term = self.multiply(left, right, product)
            term = self._times_generator(term, size // 2) if wraps else term
            known = parts[low_high]
            parts[low_high] = term if known is None else self.add(known, term)
        return _joined(parts[0], parts[1], size // 2)

    def _times_generator(self, x: Element, size: int) -> Element:
        """Multiply by the square of the root that is adjoined above elements with this many coordinates."""
        if size == 1:
            return self.negate(x)
        one = np.ones((len(self.p), *[1] * (_some(x).ndim - 1)), np.uint64)
        if size == 2:
            return self.multiply(x, (self.shift().reshape(one.shape), one))
        return self.multiply(x, (*[None] * (size // 2), one, *[None] * (size // 2 - 1)))

    def shift(self) -> Residues:
        """T, (worlds,): the smallest for which t + i is no square, that is t² + 1 is none modulo p."""
        if self._t is None:
            found = np.zeros_like(self.p)
            for t in range(1, 200):
                square = np.full_like(self.p, t * t + 1) % self.p
                found = np.where((found == 0) & ~self.is_square(square), np.uint64(t), found)
            self._t = found
        return self._t

    def inverse(self, x: Element) -> Element:
        """1 / x; 0 for 0."""
        x = _trimmed(x)
        if len(x) == 1:
            return (self.inverse_residue(_some(x)),)
        a, b = _halves(x, len(x))
        inverse = self.inverse(self.norm(x))
        size = len(x) // 2
        low = None if _is_zero(a) else self.multiply(a, inverse)
        return _joined(low, self.multiply(self.negate(b), inverse), size)

    def norm(self, x: Element) -> Element:
        """A² − b² X² of a + b X, one level below."""
        a, b = _halves(x, len(x))
        square = self._times_generator(self.multiply(b, b), len(x) // 2)
        return self.negate(square) if _is_zero(a) else self.subtract(self.multiply(a, a), square)


def coordinates(x: Element, size: int) -> list[Residues]:
    """All coordinates of an element as arrays, zeros written out."""
    shape = np.broadcast_shapes(*(a.shape for a in x if a is not None))
    return [np.zeros(shape, np.uint64) if a is None else np.broadcast_to(a, shape) for a in _padded(x, size)]


def _padded(x: Element, size: int) -> Element:
    return x + (None,) * (size - len(x))


def _halves(x: Element, size: int) -> tuple[Element, Element]:
    x = _padded(x, size)
    return x[: size // 2], x[size // 2 :]


def _joined(low: Element | None, high: Element | None, size: int) -> Element:
    return _padded(low or (None,), size) + _padded(high or (None,), size)


def _trimmed(x: Element) -> Element:
    while len(x) > 1 and _is_zero(x[len(x) // 2 :]):
        x = x[: len(x) // 2]
    return x


def _is_zero(x: Element) -> bool:
    return all(a is None for a in x)


def _some(x: Element) -> Residues:
    return next(a for a in x if a is not None)
