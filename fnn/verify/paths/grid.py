"""Elementwise variants, screened by the thousand: a cotangent times a function of any value of the program.

What a site should receive is ȳ times a slope. Written by hand it may become ȳ alone (the slope is missing), ȳ times the
slope of another function, or at another value, or the right contribution times or over something (a power too many, a
mask or a γ forgotten). All are bilinear in the cotangent and the function of the value, so that one matrix product
gives the effect of all of them on all directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fnn.verify.paths.derivatives import unbroadcast
from fnn.verify.paths.families import Site
from fnn.verify.paths.pool import Candidate, Pool, aligned, broadcasts
from fnn.verify.paths.program import Program
from fnn.verify.paths.slopes import elementwise
from fnn.verify.paths.sweeps import Backward, Change
from fnn.verify.paths.variant import Variant, arriving


class Function(NamedTuple):
    """A function that stands in a backward pass."""

    text: str  # with {} for the value
    of: Callable[[np.ndarray], np.ndarray]
    cost: float


def _logistic(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


FUNCTIONS = (
    Function("{}", lambda u: u, 0.0),
    Function("1 − {}", lambda u: 1 - u, 0.4),
    Function("1 − {}²", lambda u: 1 - u * u, 0.2),
    Function("{} (1 − {})", lambda u: u * (1 - u), 0.2),
    Function("1/{}", lambda u: 1 / u, 0.2),
    Function("{}²", lambda u: u * u, 0.3),
    Function("1/{}²", lambda u: 1 / (u * u), 0.4),
    Function("√{}", lambda u: np.sqrt(u), 0.4),
    Function("1/√{}", lambda u: 1 / np.sqrt(u), 0.4),
    Function("1/{}³", lambda u: u**-3.0, 0.6),
    Function("[{} > 0]", lambda u: (u > 0) * 1.0, 0.3),
    Function("sign {}", lambda u: np.sign(u), 0.4),
    Function("exp {}", lambda u: np.exp(u), 0.4),
    Function("1 − tanh² {}", lambda u: 1 - np.tanh(u) ** 2, 0.3),
    Function("σ({})", _logistic, 0.4),
    Function("σ({0}) (1 − σ({0}))", lambda u: _logistic(u) * (1 - _logistic(u)), 0.3),
    Function("cos {}", lambda u: np.cos(u), 0.5),
    Function("sin {}", lambda u: np.sin(u), 0.5),
    Function("1/(1 + {})", lambda u: 1 / (1 + u), 0.5),
)
Base = str | Candidate  # the contribution as it is, what arrives, or the cotangent of another value
ONE = Function("1", lambda u: np.ones_like(u), 0.0)


_MOST_COTANGENTS = 24
_PLAIN = 0.2  # functions so plain that they are tried with every cotangent


def grid_of(site: Site, found: Backward, pool: Pool, rows: Callable[[int], np.ndarray]) -> Iterator[tuple]:
    """Screen all elementwise variants at a site.

    Args:
        site: the site; none of its members lies behind another.
        found: the backward pass as it is so far.
        pool: the program's values.
        rows: (place of the site) -> its tangents, (directions, size).

    Yields:
        (what the variants contribute along the directions, (variants, directions); how to build one, with a factor).
    """
    for shape, bases in _bases_by_shape(site, found, pool).items():
        weights = [_weights(site, found, base, shape, rows) for base in bases]
        for base, weight in zip(bases, weights, strict=True):
            if base == "arriving":
                nothing = Candidate((-1,) * len(site.places))
                build = partial(product, site, base, ONE, nothing, shape, 1.05)
                yield weight.sum(axis=1)[None], lambda _, c, build=build: build(c)
        candidates = pool.beside(site, broadcasts(shape), int(np.prod(shape)))
        if not candidates:
            continue
        stacked = np.array([_stacked(found.program, c, shape) for c in candidates])
        computed = np.array([any(found.program.active[n] for n in c.numbers if n >= 0) for c in candidates])
        alike = computed & (stacked == stacked[:, :1]).all(axis=1)  # a number that is computed from parameters
        alone = sum(not isinstance(base, Candidate) for base in bases)  # these come first
        for function in FUNCTIONS:
            many = len(bases) if function.cost <= _PLAIN else alone
            if not many:
                continue
            with np.errstate(all="ignore"):
                made = function.of(stacked)
            made[~np.isfinite(made)] = 0
            made[(made == made[:, :1]).all(axis=1) & ~alike] = np.nan  # a constant factor, told as such elsewhere
            along = (made @ np.concatenate(weights[:many]).T).reshape(len(candidates), many, -1)
            for j, base in enumerate(bases[:many]):
                yield along[:, j], _builder(site, base, function, candidates, shape)


def bare_weights(site: Site, found: Backward, rows: Callable[[int], np.ndarray]) -> Iterator[np.ndarray]:
    """What a product with an array of data contributes along the directions with 1 in the array's place.

    Args:
        site: the site; none of its members lies behind another.
        found: the backward pass as it is so far.
        rows: (place of the site) -> its tangents, (directions, size).

    Yields:
        (directions,), once if the site is an operand of such a product.
    """
    if site.kind != "operand":
        return
    program, k = found.program, site.places[0][2]
    node = program.nodes[site.places[0][1]]
    if node.primitive not in ("mul", "div") or len(node.active) > 1 or np.size(program.values[node.ins[1 - k]]) < 2:
        return
    shape = program.shape(node.outs[0])
    if all(program.nodes[p[1]].outs[0] in found.arriving for p in site.places):
        yield _weights(site, found, "arriving", shape, rows).sum(axis=1)


def _builder(site: Site, base: Base, function: Function, candidates: list[Candidate], shape: tuple) -> Callable:
    cost = 2.2 if isinstance(base, Candidate) else 1.1 if base == "arriving" else 1.6
    return lambda i, c: product(site, base, function, candidates[i], shape, cost, c)


def _bases_by_shape(site: Site, found: Backward, pool: Pool) -> dict[tuple[int, ...], list[Base]]:
    """The cotangents that can be multiplied: the contribution as it is, the arriving one, another value's."""
    bases: dict[tuple[int, ...], list[Base]] = {}
    shape = found.program.shape(site.numbers[0])
    if any(found.program.shape(n) != shape for n in site.numbers):
        return {}
    bases[shape] = ["own"]
    if site.kind == "operand":
        nodes = [found.program.nodes[p[1]] for p in site.places]
        outs = {found.program.shape(n.outs[0]) for n in nodes}
        if len(outs) == 1 and elementwise(nodes[0].primitive) and all(n.outs[0] in found.arriving for n in nodes):
            bases.setdefault(outs.pop(), []).append("arriving")
    for wide in bases:
        others = pool.cotangents(site, wide.__eq__, found)[:_MOST_COTANGENTS]
        bases[wide] += [c for c in others if c.numbers != site.numbers]
    return bases


def _weights(
    site: Site, found: Backward, base: Base, shape: tuple[int, ...], rows: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Tangents times the cotangent, (directions, entries of all places)."""
    wide = []
    for i, number in enumerate(site.numbers):
        if isinstance(base, Candidate):
            given = found.arriving.get(base.numbers[i])
            cotangent = np.zeros(shape) if given is None else given[0]
        elif base == "arriving":
            cotangent = found.arriving[found.program.nodes[site.places[i][1]].outs[0]][0]
        else:
            own = own_of(found, site, i)
            cotangent = np.zeros(found.program.shape(number)) if own is None else own
        wide.append(_wide(rows(i), found.program.shape(number), cotangent))
    return np.concatenate(wide, axis=1)


def own_of(found: Backward, site: Site, i: int) -> np.ndarray | None:
    """What the place should receive, and does without this change."""
    kind, node, k = site.places[i]
    number = site.numbers[i]
    if kind == "value":
        total = found.total(number)
        return None if total is None else total[0]
    for at, operand, part in found.parts.get(number, ()):
        if (at, operand) == (node, k):
            return part[0]
    return None


def _wide(rows: np.ndarray, shape: tuple[int, ...], base: np.ndarray) -> np.ndarray:
    """Tangents of an operand, repeated to the shape of the cotangent and multiplied by it."""
    form = (len(rows), *(1,) * (base.ndim - len(shape)), *shape)
    return (rows.reshape(form) * base).reshape(len(rows), -1)


def _stacked(program: Program, candidate: Candidate, shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([_value(program, n, shape).reshape(-1) for n in candidate.numbers])


def _value(program: Program, number: int, shape: tuple[int, ...]) -> np.ndarray:
    if number < 0:
        return np.zeros(shape)
    fitted = aligned(np.asarray(program.values[number], np.float64), shape)
    return np.zeros(shape) if fitted is None else fitted


def product(
    site: Site,
    base: Base,
    function: Function,
    candidate: Candidate,
    shape: tuple[int, ...],
    cost: float,
    times: float = 1.0,
) -> Variant:
    """The variant: cotangent times function of a value, summed to the operand's shape."""
    other = base if isinstance(base, Candidate) else None

    def member(program: Program, i: int) -> Change:
        with np.errstate(all="ignore"):
            factor = function.of(_value(program, candidate.numbers[i], shape))
        factor = np.where(np.isfinite(factor), factor, 0.0)

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            if other is not None:
                given = found.arriving.get(other.numbers[i])
                dy = np.zeros((found.batch, *shape))[rows] if given is None else given[rows]
            else:
                dy = own if base == "own" else arriving(found, program, site.places[i], rows)
            return unbroadcast(times * dy * factor, own.shape[1:])

        return change

    words = {"base": base, "function": function, "candidate": candidate, "times": times}
    cost += 0.0 if times == 1 else 0.5
    kind = "slope missing" if function is ONE else "factor" if base == "own" else "another slope"
    return Variant(kind, site, member, cost + function.cost + 0.2 * abs(candidate.shift), words)
