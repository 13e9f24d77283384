"""Variants that depend on what the equation is: products, gathers, maxima, and what arrives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fnn.verify.paths.axes import wrong_axes
from fnn.verify.paths.derivatives import index_maps, pull
from fnn.verify.paths.families import Site
from fnn.verify.paths.grid import ONE, product
from fnn.verify.paths.joints import exchanged, subsets
from fnn.verify.paths.pool import Candidate, Pool
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.reshaped import Own, along_axes, reshaped, turned
from fnn.verify.paths.slopes import elementwise
from fnn.verify.paths.sweeps import Backward, Change, operands, results
from fnn.verify.paths.variant import Variant, arriving

Member = Callable[[Program, int], Change]
_PULLED = {
    "dot_general",
    "gather",
    "reduce_sum",
    "broadcast_in_dim",
}  # linear: another cotangent is pulled through them


def explicit(site: Site, found: Backward, pool: Pool) -> Iterator[Variant]:
    """All variants of a site that are not a cotangent times a function.

    Args:
        site: the site.
        found: the backward pass so far.
        pool: the program's values.

    Yields:
        The variants.
    """
    program = found.program
    yield from reshaped(site, program)
    yield from exchanged(site, found)
    if site.kind == "value":
        yield from subsets(site, found)
    else:
        yield from _of_equation(site, found, pool, program.nodes[site.places[0][1]])
    yield from _elsewhere(site, found, pool)


def _of_equation(site: Site, found: Backward, pool: Pool, node: Node) -> Iterator[Variant]:
    program = found.program
    if node.primitive == "dot_general":
        yield from _product(site, node, program, pool)
    if node.primitive in ("gather", "dynamic_slice"):
        yield from _overwritten(site)
        yield from _other_rows(site, node, program)
    if node.primitive in ("reduce_max", "reduce_min"):
        yield from _maxima(site)
    if node.primitive == "reduce_sum":
        yield from wrong_axes(site, found, pool)
    if node.primitive == "cumsum":
        yield Variant("cumulated forwards", site, _cumulated(site), 1.2)
    if elementwise(node.primitive):
        nothing = Candidate((-1,) * len(site.places))
        yield product(site, "arriving", ONE, nothing, program.shape(node.outs[0]), 1.05)
    if node.primitive in ("max", "select_n", "clamp"):
        yield Variant("mask of the gradient", site, _own_mask(site), 1.8)


def _product(site: Site, node: Node, program: Program, pool: Pool) -> Iterator[Variant]:
    """Operands of a matrix product: ȳ turned or cut, the other operand transposed or another value."""
    k = site.places[0][2]
    out = program.shape(node.outs[0])
    if len(out) > 1 and out[-1] == out[-2]:
        yield Variant("transposed", site, _pulled(site, turn=turned), 1.2, {"what": "arriving"})
    for kind, f, cost, words in along_axes(out):
        yield Variant(kind, site, _pulled(site, turn=f), cost, words)
    other = program.shape(node.ins[1 - k])
    turned_shape = (*other[:-2], other[-1], other[-2]) if len(other) > 1 else None
    size = int(np.prod(other)) + int(np.prod(out))
    for candidate in pool.beside(site, lambda shape: shape in (other, turned_shape), size):
        for flip in (False, True):
            if program.shape(next(n for n in candidate.numbers if n >= 0)) == (turned_shape if flip else other):
                same = candidate.numbers == tuple(program.nodes[p[1]].ins[1 - k] for p in site.places)
                if same and not flip:
                    continue
                words = {"candidate": candidate, "flip": flip, "same": same}
                cost = (1.2 if same else 1.7) + (0.3 if flip and not same else 0) + 0.2 * abs(candidate.shift)
                yield Variant("other operand", site, _pulled(site, other=candidate, flip=flip), cost, words)


def _pulled(site: Site, turn: Own | None = None, other: Candidate | None = None, flip: bool = False) -> Member:
    """The equation's own backward, with what arrives turned, or with another value for the other operand."""

    def member(program: Program, i: int) -> Change:
        node, k = program.nodes[site.places[i][1]], site.places[i][2]
        xs = operands(program, node)
        if other is not None:
            number = other.numbers[i]
            value = np.zeros(np.shape(xs[1 - k])) if number < 0 else np.asarray(program.values[number], np.float64)
            xs[1 - k] = value.swapaxes(-1, -2) if flip and number >= 0 else value

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            dy = arriving(found, program, site.places[i], rows)
            return pull(node, k, [turn(dy) if turn else dy], xs, results(program, node))

        return change

    return member


def _cumulated(site: Site) -> Member:
    """A cumulative sum whose gradient is summed in the direction of the forward."""

    def member(program: Program, i: int) -> Change:
        node = program.nodes[site.places[i][1]]
        axis, back = node.eqn.params["axis"] + 1, node.eqn.params["reverse"]

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            dy = arriving(found, program, site.places[i], rows)
            return np.flip(np.cumsum(np.flip(dy, axis), axis), axis) if back else np.cumsum(dy, axis)

        return change

    return member


def _elsewhere(site: Site, found: Backward, pool: Pool) -> Iterator[Variant]:
    """The cotangent of another value where this one's should arrive: whole steps are left out that way."""
    program = found.program
    shape = program.shape(site.numbers[0])
    node = program.nodes[site.places[0][1]] if site.kind == "operand" else None
    pulled = node is not None and node.primitive in _PULLED
    needed = program.shape(node.outs[0]) if node is not None and pulled else shape
    own = tuple(program.nodes[p[1]].outs[0] for p in site.places) if pulled else site.numbers
    for candidate in pool.cotangents(site, lambda other: other == needed, found):
        if candidate.numbers != own:
            cost = 1.8 + 0.2 * abs(candidate.shift)
            change = _redirected(site, candidate, pulled, of_value=False)
            yield Variant("another cotangent", site, change, cost, {"candidate": candidate})
    if pulled and not site.nested:
        for candidate in pool.beside(site, lambda other: other == needed, int(np.prod(needed))):
            change = _redirected(site, candidate, pulled, of_value=True)
            yield Variant("value for cotangent", site, change, 2.1, {"candidate": candidate})


def _redirected(site: Site, candidate: Candidate, pulled: bool, of_value: bool) -> Member:
    def member(program: Program, i: int) -> Change:
        node, k = program.nodes[site.places[i][1]] if pulled else None, site.places[i][2]
        number = candidate.numbers[i]

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            dy = found.arriving.get(number) if number >= 0 else None
            if of_value and number >= 0:
                dy = np.broadcast_to(program.values[number], (found.batch, *program.shape(number)))
            if dy is None:
                return np.zeros_like(own)
            if node is None:
                return dy[rows]
            return pull(node, k, [dy[rows]], operands(program, node), results(program, node))

        return change

    return member


def _overwritten(site: Site) -> Iterator[Variant]:
    """Rows that an index picks several times get one of their contributions instead of the sum."""
    for index in (-1, 0):

        def member(program: Program, i: int, index: int = index) -> Change:
            node, k = program.nodes[site.places[i][1]], site.places[i][2]

            def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
                dy = arriving(found, program, site.places[i], rows)
                where = index_maps(node, k, operands(program, node))[0]
                valid = np.flatnonzero(where >= 0)
                valid = valid if index == -1 else valid[::-1]
                out = np.zeros((len(dy), int(np.prod(own.shape[1:]))))
                out[:, where[valid]] = dy.reshape(len(dy), -1)[:, valid]
                return out.reshape(own.shape)

            return change

        yield Variant("rows overwritten", site, member, 1.0 if index == -1 else 1.4, {"index": index})


def _other_rows(site: Site, node: Node, program: Program) -> Iterator[Variant]:
    """Another index of the same size picks the rows."""
    if node.primitive != "gather" or len(site.places) > 1:
        return
    picked = np.asarray(program.values[node.ins[1]])
    for number, value in enumerate(program.values):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.size != picked.size:
            continue
        if np.array_equal(value.reshape(-1), picked.reshape(-1)) or number == node.ins[1]:
            continue

        def member(program: Program, i: int, number: int = number) -> Change:
            node, k = program.nodes[site.places[i][1]], site.places[i][2]
            xs = operands(program, node)
            xs[1] = np.asarray(program.values[number], xs[1].dtype).reshape(xs[1].shape)

            def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
                dy = arriving(found, program, site.places[i], rows)
                return pull(node.at_other_operands(), k, [dy], xs, results(program, node))

            return change

        yield Variant("other rows", site, member, 1.6, {"number": number})


def _maxima(site: Site) -> Iterator[Variant]:
    """A maximum whose gradient goes to every entry, to all in equal parts, or to the smallest."""
    for which, cost in (("every entry", 1.2), ("all entries in equal parts", 1.4), ("the other extreme", 1.5)):

        def member(program: Program, i: int, which: str = which) -> Change:
            node = program.nodes[site.places[i][1]]
            axes = tuple(node.eqn.params["axes"])
            x = program.values[node.ins[0]]
            hit = np.ones(x.shape)
            if which == "all entries in equal parts":
                hit = hit / np.prod([x.shape[a] for a in axes])
            if which == "the other extreme":
                other = np.min if node.primitive == "reduce_max" else np.max
                hit = (x == other(x, axis=axes, keepdims=True)) * 1.0

            def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
                dy = arriving(found, program, site.places[i], rows)
                return np.expand_dims(dy, tuple(a + 1 for a in axes)) * hit

            return change

        yield Variant("maximum", site, member, cost, {"which": which})


def _own_mask(site: Site) -> Member:
    """Where the gradient itself is positive, instead of where its argument is."""

    def member(program: Program, i: int) -> Change:
        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            dy = arriving(found, program, site.places[i], rows)
            return dy * (dy > 0) if dy.shape == own.shape else own

        return change

    return member
