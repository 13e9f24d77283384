"""Degrees of what is compared: they bound how often different formulas agree by chance.

A rational function that is not 0 vanishes at a random point of F_p with a probability of at most its degree / p
(Schwartz and Zippel), the degree being that of its numerator once all denominators are multiplied out. Exponentials,
logarithms, roots and functions without laws count as unknowns of their own, of degree 1, and the degrees of their
arguments are added up, since arguments that differ may agree by chance as well.

Two bounds are computed, and the smaller one is taken: with the denominators of each entry multiplied out for itself,
which grows with every sum, and with one common denominator for all entries that ever occur.
"""

from __future__ import annotations

import math

import numpy as np

from fnn.verify.proving.tape import Node

_FRESH = frozenset({"exp", "log", "root", "cube_root", "sin", "cos", "unknown"})
_TWO_SIDED = frozenset({"exp", "sin", "cos"})  # their inverse is of the same kind: exp(−x) = 1 / exp x
Fraction = tuple[float, float]  # degrees of numerator and denominator
Common = tuple[float, dict[int, float]]  # degree of the numerator; powers of the denominators, by number of node


def degree_of(used: list[Node], compared: list[Node]) -> float:
    """Bound the degree of the differences of what is compared.

    Args:
        used: the nodes that matter, in order.
        compared: those that are compared.

    Returns:
        The degree, infinite where it is beyond all fields.
    """
    return min(_entry_by_entry(used, compared), _with_common_denominators(used, compared))


def _entry_by_entry(used: list[Node], compared: list[Node]) -> float:
    degrees: dict[int, Fraction] = {}
    extra = 0.0
    for node in used:
        below = [degrees[arg.number] for arg in node.args]
        degrees[node.number] = _fraction(node, below)
        if node.op in _FRESH:
            extra += max(max(d) for d in below)
    top = max((degrees[node.number] for node in compared), key=max, default=(0.0, 0.0))
    return _finite(sum(top) + extra)


def _fraction(node: Node, below: list[Fraction]) -> Fraction:
    match node.op:
        case "const":
            return _of_constant(node), 0.0
        case "var":
            return 2.0, 0.0  # drawn as ±s²
        case "add" | "sub":
            (a, b), (c, d) = below
            return max(a + d, c + b), b + d
        case "mul":
            return below[0][0] + below[1][0], below[0][1] + below[1][1]
        case "div":
            return below[0][0] + below[1][1], below[0][1] + below[1][0]
        case "power":
            return below[0][0] * node.data, below[0][1] * node.data
        case "matmul":
            a, b = below[0][0] + below[1][0], below[0][1] + below[1][1]
            return _summed(a, b, node.args[0].shape[-1])
        case "sum" | "cumsum" | "scatter_add":
            a, b = max(a for a, _ in below), max(b for _, b in below)
            return _summed(a, b, node.args[-1].size // (max(node.size, 1) if node.op == "sum" else 1) + 1)
        case op if op in _FRESH:
            return 1.0, 1.0 if op in _TWO_SIDED else 0.0
        case _:
            return max(a for a, _ in below), max(b for _, b in below)


def _summed(numerator: float, denominator: float, terms: int) -> Fraction:
    return numerator + max(terms - 1, 0) * denominator, max(terms, 1) * denominator


def _with_common_denominators(used: list[Node], compared: list[Node]) -> float:
    degrees: dict[int, Common] = {}
    weights: dict[int, float] = {}  # degree of the product of all entries of what was divided by
    extra = 0.0
    for node in used:
        below = [degrees[arg.number] for arg in node.args]
        degrees[node.number] = _common(node, below, weights)
        if node.op in _FRESH:
            extra += max(n + _weight(powers, weights) for n, powers in below)
    ends = [degrees[node.number] for node in compared]
    if not ends:
        return 0.0
    powers = _largest([p for _, p in ends])
    return _finite(max(_over(end, powers, weights) for end in ends) + _weight(powers, weights) + extra)


def _common(node: Node, below: list[Common], weights: dict[int, float]) -> Common:
    match node.op:
        case "const":
            return _of_constant(node), {}
        case "var":
            return 2.0, {}
        case "mul" | "matmul":
            (a, p), (b, q) = below
            return a + b, {key: p.get(key, 0.0) + q.get(key, 0.0) for key in p | q}
        case "div":
            return _common_quotient(node, below, weights)
        case "power":
            n, powers = below[0]
            return n * node.data, {key: power * node.data for key, power in powers.items()}
        case op if op in _FRESH:
            if op not in _TWO_SIDED:
                return 1.0, {}
            weights[node.number] = float(node.size)
            return 1.0 + node.size, {node.number: 1.0}
        case _:
            powers = _largest([p for _, p in below])
            return max(_over(d, powers, weights) for d in below), powers


def _common_quotient(node: Node, below: list[Common], weights: dict[int, float]) -> Common:
    """P / D over Q / E is P E / (D Q), with the product of all entries of Q for a denominator."""
    (a, p), (b, q) = below
    divisor = node.args[1]
    while divisor.op == "view":
        divisor = divisor.args[0]
    key = -1 - divisor.number  # as a divisor; an exponential may be a denominator by itself as well
    weights[key] = b * divisor.size
    numerator = a + _weight(q, weights) + max(divisor.size - 1, 0) * b
    return numerator, p | {key: p.get(key, 0.0) + 1.0}


def _largest(all_powers: list[dict[int, float]]) -> dict[int, float]:
    return {key: max(p.get(key, 0.0) for p in all_powers) for key in set().union(*all_powers)}


def _over(own: Common, powers: dict[int, float], weights: dict[int, float]) -> float:
    """Degree of a numerator brought to larger powers of the denominators."""
    n, mine = own
    return n + sum((power - mine.get(key, 0.0)) * weights[key] for key, power in powers.items())


def _weight(powers: dict[int, float], weights: dict[int, float]) -> float:
    return sum(power * weights[key] for key, power in powers.items())


def _of_constant(node: Node) -> float:
    """0 for whole numbers that no prime of a chain divides; other literals count as unknowns."""
    v = np.where(np.isfinite(node.value), node.value, 0.0)
    return 0.0 if node.size < 10**6 and ((v % 1 == 0) & (abs(v) < 10**6)).all() else 1.0


def _finite(degree: float) -> float:
    return degree if math.isfinite(degree) else math.inf
