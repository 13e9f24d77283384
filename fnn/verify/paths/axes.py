"""Sums over the wrong axis: what a sum hands back is summed along another axis, or along all, on its way there.

A forward that reduces and repeats (softmax, a mean, a norm) has in its backward a sum along the same axis, and keepdims
lets another axis go unnoticed. The path runs from an equation E that repeats a small value, through equations on small
values, to the reduction R. There the contribution is m ⊙ Σ w, with w the cotangents at E and m the slopes on the way;
the wrong one is m/f ⊙ Σ' (w ⊙ f), where f is the factor that the derivation has moved out of the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fnn.verify.paths.families import Site
from fnn.verify.paths.pool import Candidate, Pool, aligned
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.slopes import elementwise, slope_of
from fnn.verify.paths.sweeps import Backward, Change, operands, results
from fnn.verify.paths.variant import Variant

_RESHAPES = {"broadcast_in_dim", "reshape", "expand_dims", "squeeze", "convert_element_type", "copy"}


class Way(NamedTuple):
    """From a reduction R up to the equation E that repeats what it gave."""

    steps: tuple[tuple[int, int], ...]  # (node, operand) after R, up to and with E


def wrong_axes(site: Site, found: Backward, pool: Pool) -> Iterator[Variant]:
    """The variants of a reduction.

    Args:
        site: operand 0 of a sum.
        found: the backward pass so far.
        pool: the program's values.

    Yields:
        Variants for each way up, each other axis and each factor moved out of the sum.
    """
    program = found.program
    ways = [_ways(program, program.nodes[place[1]]) for place in site.places]
    shape = program.shape(site.numbers[0])
    axes = tuple(program.nodes[site.places[0][1]].eqn.params["axes"])
    if len(shape) < 2:
        return
    near = {n for w in ways[0] for n in _small_values(program, w, shape)}
    small = [c for c in pool.beside(site, lambda other: _is_small(other, shape), 1) if near & set(c.numbers)]
    for number in range(min(len(w) for w in ways)):
        for axis in (*(a for a in range(len(shape)) if (a,) != axes), None):
            for power in (0, 1, -1):
                for moved in small if power else [None]:
                    chosen = [w[number] for w in ways]
                    words = {"axis": axis, "moved": moved}
                    for mean in (False, True):
                        change = _changer(site, chosen, axes, axis, moved, power, mean)
                        yield Variant("wrong axis", site, change, 1.5 + 0.1 * abs(power) + 0.1 * mean, words)


def _small_values(program: Program, way: Way, shape: tuple[int, ...]) -> set[int]:
    """The small values on the way, and those that what it ends in is multiplied or divided by next."""
    nodes = [program.nodes[index] for index, _ in way.steps]
    found = {i for node in nodes for i in (*node.ins, *node.outs)}
    readers = program.consumers()
    for _ in range(2):
        nodes = [program.nodes[i] for node in nodes[-1:] for out in node.outs for i, _ in readers.get(out, ())]
        found |= {i for node in nodes for i in node.ins}
    return {i for i in found if _is_small(program.shape(i), shape)}


def _is_small(other: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return int(np.prod(other)) < int(np.prod(shape)) and aligned(np.empty(other, np.bool_), shape) is not None


def _ways(program: Program, reduction: Node) -> list[Way]:
    """Follow what a reduction gives, through small values, to where it meets the full shape again."""
    full = program.shape(reduction.ins[0])
    readers = program.consumers()
    ways: list[Way] = []
    front: list[tuple[int, tuple]] = [(reduction.outs[0], ())]
    while front and len(ways) < 4:
        number, steps = front.pop(0)
        for index, k in readers.get(number, ()):
            node = program.nodes[index]
            if not elementwise(node.primitive) and node.primitive not in _RESHAPES:
                continue
            if elementwise(node.primitive) and program.shape(node.outs[0]) == full:
                ways.append(Way((*steps, (index, k))))
            elif np.prod(program.shape(node.outs[0])) < np.prod(full) and len(steps) < 8:
                front.append((node.outs[0], (*steps, (index, k))))
            elif node.primitive == "broadcast_in_dim" and len(steps) < 8:
                ways.append(Way((*steps, (index, k))))
    return ways


def _changer(
    site: Site, ways: list[Way], axes: tuple, axis: Any, moved: Candidate | None, power: int, mean: bool
) -> Any:
    def member(program: Program, i: int) -> Change:
        reduction = program.nodes[site.places[i][1]]
        shape = program.shape(reduction.ins[0])
        factor = np.ones(shape)
        if moved is not None:
            with np.errstate(all="ignore"):
                fitted = aligned(np.asarray(program.values[moved.numbers[i]], np.float64), shape)
                factor = factor if fitted is None else fitted ** float(power)
        small = _slopes_between(program, ways[i], shape)
        along = tuple(range(1, len(shape) + 1)) if axis is None else (axis + 1,)
        count = np.prod([shape[a] for a in axes]) / np.prod([shape[a - 1] for a in along]) if mean else 1.0

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            arrived = _at_the_top(found, program, ways[i], shape, rows)
            if arrived is None:
                return own
            right = arrived.sum(axis=tuple(a + 1 for a in axes), keepdims=True) * small
            with np.errstate(all="ignore"):
                wrong = (arrived * factor).sum(axis=along, keepdims=True) * small / factor
            return own - right + count * np.where(np.isfinite(wrong), wrong, 0.0)

        return change

    return member


def _slopes_between(program: Program, way: Way, shape: tuple[int, ...]) -> np.ndarray:
    """Product of the slopes of the small equations, repeated to the full shape."""
    made = np.ones(shape)
    for index, k in way.steps[:-1]:
        node = program.nodes[index]
        if elementwise(node.primitive):
            slope = np.asarray(slope_of(node.eqn, k, operands(program, node), results(program, node)[0]), np.float64)
            fitted = aligned(slope, shape)
            made = made * (1.0 if fitted is None else fitted)
    return made


def _at_the_top(found: Backward, program: Program, way: Way, shape: tuple[int, ...], rows: Any) -> np.ndarray | None:
    """Cotangents at the equation that repeats, before they are summed."""
    index, k = way.steps[-1]
    node = program.nodes[index]
    dy = found.arriving.get(node.outs[0])
    if dy is None:
        return None
    if not elementwise(node.primitive):
        return dy[rows]
    xs = operands(program, node)
    slope = np.asarray(slope_of(node.eqn, k, xs, results(program, node)[0]), np.float64)
    return dy[rows] * slope
