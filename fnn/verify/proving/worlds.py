"""Worlds: the tape computed in finite fields, on random elements; equal formulas give equal residues.

One world is a chain of primes, one residue a prime (a level), and random values for all variables. Several worlds are
computed at once, as the first axis of every array. exp at level i is ωᵢ to the power of the argument's residue at
level i + 1, log at level i the discrete logarithm of the argument's residue at level i − 1; sin and cos are (t ∓ 1/t)
/ 2i and / 2 for t = ωᶜˣ with a random c in place of i; erf and the like are random functions of the argument's
residues, the same for equal ones.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np

from fnn.verify.proving.fields import DEEPEST, Element, Fields, Residues, coordinates
from fnn.verify.proving.hashing import RandomFunctions, zeros
from fnn.verify.proving.levels import DOWN, Needs
from fnn.verify.proving.literals import Reading, exact_residues, read_residue
from fnn.verify.proving.logarithms import exponential, logarithm
from fnn.verify.proving.movement import moved
from fnn.verify.proving.primes import Chain
from fnn.verify.proving.roots import square_root
from fnn.verify.proving.tape import Node, Tape

_ODD = frozenset({"erf", "erf_inv", "asin", "atan", "asinh"})


class Worlds:
    """Several worlds, computed side by side.

    Attributes:
        fields: for each level the fields of all worlds.
    """

    def __init__(self, chains: list[Chain], source: random.Random, readings: dict[float, Reading]) -> None:
        self.fields = [Fields(np.array(primes, np.uint64)) for primes in zip(*(c.primes for c in chains), strict=True)]
        self.generators = [np.array(g, np.uint64) for g in zip(*(c.generators for c in chains), strict=True)]
        self.readings = readings
        self._random = np.random.default_rng(source.getrandbits(128))
        self._functions = RandomFunctions(source.getrandbits(64))
        self._weights = [
            [np.ones_like(f.p), *(self._draw(f, (1,))[:, 0] for _ in range(2**DEEPEST - 1))] for f in self.fields
        ]
        self._turn = [self._draw(f, (1,)) for f in self.fields]
        self.root_of_pi = [self._draw(f, (1,))[:, 0] for f in self.fields]
        self._variables: dict[tuple[int, int], Residues] = {}

    def _draw(self, fields: Fields, shape: tuple[int, ...]) -> Residues:
        """Residues other than 0."""
        like = np.zeros((len(fields.p), *shape), np.uint64)
        drawn = self._random.integers(0, 2**63, like.shape, dtype=np.int64).astype(np.uint64)
        return drawn % (fields.modulus(like) - np.uint64(1)) + np.uint64(1)

    def zero_divisions(self) -> np.ndarray:
        """Worlds in which something was divided by 0 on the way."""
        return np.any([f.zero_divisions for f in self.fields], axis=0)

    def run(self, tape: Tape, needs: Needs, visit: Callable[[Node, int, Element], None]) -> None:
        """Compute what is needed.

        Args:
            tape: the steps.
            needs: which of them, at which levels.
            visit: called with each result (node, level, element) before it may be forgotten.
        """
        left = Counter[tuple[int, int]]()
        sources: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for node in tape.nodes:
            for level in needs.levels.get(node.number, ()):
                sources[node.number, level] = [
                    (arg.number, self._level_of_argument(node, level, needs)) for arg in node.args
                ]
                left.update(sources[node.number, level])
        known: dict[tuple[int, int], Element] = {}
        for node in tape.nodes:
            for level in needs.levels.get(node.number, ()):
                own = sources[node.number, level]
                with np.errstate(over="ignore"):
                    element = self._compute(node, level, [known[key] for key in own], [key[1] for key in own])
                    visit(node, level, element)
                known[node.number, level] = element
                for key in own:
                    left[key] -= 1
                    if not left[key]:
                        known.pop(key, None)

    def _level_of_argument(self, node: Node, level: int, needs: Needs) -> int:
        if node.op == "log":
            return level - 1
        return level + 1 if node.op in DOWN and level + 1 in needs.levels[node.args[0].number] else level

    def _compute(self, node: Node, level: int, args: list[Element], levels: list[int]) -> Element:
        fields = self.fields[level]
        match node.op:
            case "var":
                return (self._variable(node, level),)
            case "const":
                return self._constant(node, level)
            case "add":
                return fields.add(*args)
            case "sub":
                return fields.subtract(*args)
            case "mul":
                return fields.multiply(args[0], args[1])
            case "div":
                return fields.multiply(args[0], fields.inverse(args[1]))
            case "neg":
                return fields.negate(args[0])
            case "power":
                return _power(fields, args[0], node.data)
            case "matmul":
                return fields.multiply(args[0], args[1], fields.matmul)
            case "sum":
                return tuple(None if c is None else fields.total(c, node.data) for c in args[0])
            case "cumsum":
                return tuple(None if c is None else fields.cumulate(c, node.data) for c in args[0])
            case "scatter_add":
                return _scattered(fields, args, node)
            case "view" | "take" | "concat" | "select":
                return _moved(node, args)
            case "exp" | "sin" | "cos":
                return self._periodic(node.op, level, args[0], levels[0])
            case "log":
                return self._log(level, args[0])
            case "root":
                return self._root(level, args[0])
            case "cube_root":
                return self._cube_root(level, args[0])
            case _:
                return (self._unknown(str(node.data), level, args, node.shape),)

    def _variable(self, node: Node, level: int) -> Residues:
        """±s² for a random s, with the sign of the shadow: positive variables are squares, see `roots`."""
        key = (node.data[0], level)
        if key not in self._variables:
            fields = self.fields[level]
            s = self._draw(fields, node.shape)
            square = fields.times(s, s)
            self._variables[key] = np.where(node.value < 0, fields.minus(np.zeros_like(square), square), square)
        return self._variables[key]

    def _constant(self, node: Node, level: int) -> Element:
        value = np.where(np.isfinite(node.value), node.value, 0.0)
        distinct, places = np.unique(value, return_inverse=True)
        elements: list[Element] = [(exact_residues(self.fields[level], distinct),)]
        for i, number in enumerate(distinct.tolist()):
            if number in self.readings:
                element = read_residue(self, level, self.readings[number])
                single = tuple(None if c is None else c[:, None] for c in element)
                mask = np.arange(distinct.size) == i
                size = max(len(single), len(elements[0]))
                merged = zip(coordinates(elements[0], size), coordinates(single, size), strict=True)
                elements[0] = tuple(np.where(mask, new, old) for old, new in merged)
        places = places.reshape(node.shape)
        return tuple(c if c is None else c[:, places] for c in elements[0])

    def exponent(self, x: Element, level: int) -> Residues:
        """A random linear function of an element's coordinates: all that exp sees of it, and what is compared.

        Elements of extensions that differ have the same image once in p; log exp x is the image of x, not x itself.
        """
        fields = self.fields[level]
        total: Residues | None = None
        for weight, c in zip(self._weights[level], x, strict=False):
            if c is not None:
                term = fields.times(weight.reshape(fields.modulus(c).shape), c)
                total = term if total is None else fields.plus(total, term)
        assert total is not None
        return total

    def _periodic(self, op: str, level: int, x: Element, level_of_x: int) -> Element:
        fields = self.fields[level]
        if level_of_x == level:  # below the last prime: a random function with f(−x) = 1 / f(x)
            hashed, turned = self._functions.of_either_sign(f"{'exp' if op == 'exp' else 'turn'} {level}", fields, x)
            t = np.where(turned, fields.inverse_residue(hashed), hashed)
            t = np.where(zeros(x), np.uint64(1), t)
        else:
            e = self.exponent(x, level_of_x)
            if op != "exp":
                e = self.fields[level_of_x].times(e, self._turn[level_of_x].reshape(fields.modulus(e).shape))
            t = exponential(fields, self.generators[level], e)
        if op == "exp":
            return (t,)
        back = fields.inverse_residue(t)
        half = fields.inverse_residue(np.full_like(fields.modulus(t), 2))
        if op == "cos":
            return (fields.times(half, fields.plus(t, back)),)
        return None, fields.times(half, fields.minus(back, t))

    def _log(self, level: int, u: Element) -> Element:
        below = level - 1
        flat = coordinates(u, len(u))
        within = np.all([c == 0 for c in flat[1:]], axis=(0, 1)) if len(flat) > 1 else np.ones(flat[0].shape[1:], bool)
        if (flat[0] == 0).any():
            self.fields[below].zero_divisions |= (flat[0] == 0).reshape(len(flat[0]), -1).any(axis=1)
        base = np.where(within, flat[0], np.uint64(1))
        known = logarithm(self.fields[below], self.generators[below], self.fields[level].p, base)
        if within.all():
            return (known,)
        return (np.where(within, known, self._functions.value(f"log {level}", self.fields[level], [u], flat[0].shape)),)

    def _root(self, level: int, x: Element) -> Element:
        root = square_root(self.fields[level], x)
        if len(root) <= 2**DEEPEST:
            return root
        return (self._functions.value(f"root {level}", self.fields[level], [x], coordinates(x, 1)[0].shape),)

    def _cube_root(self, level: int, x: Element) -> Element:
        fields = self.fields[level]
        if len(x) > 1 and any(c is not None and c.any() for c in x[1:]):
            return (self._functions.value(f"cube_root {level}", fields, [x], coordinates(x, 1)[0].shape),)
        thirds = np.array([pow(3, -1, int(p) - 1) for p in fields.p], np.uint64)
        return (fields.raise_to(coordinates(x, 1)[0], thirds),)

    # ── functions without laws ───────────────────────────────────────────────────────────────────────────────────────
    def _unknown(self, name: str, level: int, args: list[Element], shape: tuple[int, ...]) -> Residues:
        fields = self.fields[level]
        if name not in _ODD:
            return self._functions.value(f"{name} {level}", fields, args, (len(fields.p), *shape))
        value, turned = self._functions.of_either_sign(f"{name} {level}", fields, args[0])
        value = np.where(turned, fields.minus(np.zeros_like(value), value), value)
        return np.where(zeros(args[0]), np.uint64(0), value)

    def fingerprint(self, level: int, x: Element, shadow: np.ndarray) -> np.ndarray:
        """One number for each entry, the same for x and −x; 0 for constants, which are what their shadow is.

        Args:
            level: where x lives.
            x: any element.
            shadow: its values in float64.
        """
        image = np.broadcast_to(self.exponent(x, level), (len(self.fields[level].p), *shadow.shape))
        hashed, _ = self._functions.of_either_sign(f"sign {level}", self.fields[level], (image,))
        both = (hashed[0] ^ (hashed[-1] << np.uint64(32))) | np.uint64(1)
        distinct, places = np.unique(np.where(np.isfinite(shadow), shadow, 0.0), return_inverse=True)
        exact = exact_residues(self.fields[level], distinct)[:, places.reshape(shadow.shape)]
        return np.where((image == exact).all(axis=0), np.uint64(0), both)


def _power(fields: Fields, x: Element, n: int) -> Element:
    result: Element | None = None
    while n:
        if n & 1:
            result = x if result is None else fields.multiply(result, x)
        n >>= 1
        x = fields.multiply(x, x) if n else x
    assert result is not None
    return result


def _moved(node: Node, args: list[Element]) -> Element:
    """A structural step on every coordinate."""
    size = max(map(len, args))
    if len(args) == 1:
        return tuple(None if c is None else moved(node.op, [c], node.data, lead=1) for c in args[0])
    result: list[Residues | None] = []
    for i in range(size):
        parts = [arg[i] if i < len(arg) else None for arg in args]
        if all(part is None for part in parts):
            result.append(None)
            continue
        worlds = next(len(part) for part in parts if part is not None)
        shapes = [(worlds, *arg.shape) for arg in node.args]
        filled = [
            np.zeros(s, np.uint64) if p is None else np.broadcast_to(p, s) for p, s in zip(parts, shapes, strict=True)
        ]
        result.append(moved(node.op, filled, node.data, lead=1))
    return tuple(result)


def _scattered(fields: Fields, args: list[Element], node: Node) -> Element:
    """Add updates up at their targets: halves of 16 bits are counted exactly in float64."""
    targets = node.data.reshape(-1)
    kept = targets >= 0
    result: list[Residues | None] = []
    for c in args[1]:
        if c is None:
            result.append(None)
            continue
        flat = np.broadcast_to(c, (len(c), *node.data.shape)).reshape(len(c), -1)[:, kept]
        sums = []
        for row in flat:
            low, high = (
                np.bincount(targets[kept], half.astype(float), node.size).astype(np.uint64)
                for half in (row & np.uint64(0xFFFF), row >> np.uint64(16))
            )
            sums.append((low, high))
        low, high = (np.stack(half).reshape(len(c), *node.shape) for half in zip(*sums, strict=True))
        modulus = fields.modulus(low)
        result.append((((high % modulus) << np.uint64(16)) + low) % modulus)
    return fields.add(args[0], tuple(result))
