"""Where paths meet or part: some of them lost, written over one another, or exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from fnn.verify.paths.derivatives import pull
from fnn.verify.paths.families import Site, key_of
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.sweeps import Backward, Change, operands, results
from fnn.verify.paths.variant import Variant

Member = Callable[[Program, int], Change]
_SLICES = {"slice", "dynamic_slice", "gather"}


def subsets(site: Site, found: Backward) -> Iterator[Variant]:
    """Of the paths that meet at a value only some arrive: one alone, all but one, those before or after some point.

    Args:
        site: a value.
        found: the backward pass so far.

    Yields:
        The variants.
    """
    program = found.program
    groups: list[Any] = []
    for number in site.numbers:
        for node, k, _ in found.parts.get(number, ()):
            group = _group(program, node, k)
            if group not in groups:
                groups.append(group)
    count = len(groups)
    chosen: set[frozenset[int]] = set()
    if count > 1:
        for i in range(count):
            chosen |= {frozenset({i}), frozenset(range(count)) - {i}, frozenset(range(i)), frozenset(range(i, count))}
    for subset in sorted(chosen - {frozenset(), frozenset(range(count))}, key=lambda s: (len(s), sorted(s))):
        kept = frozenset(groups[i] for i in subset)
        lost = [groups[i] for i in range(count) if i not in subset]
        yield Variant("kept", site, _keeper(site, kept), 1.3 + 0.05 * count, {"lost": lost, "kept": [*kept]})
    if any(len(found.parts.get(n, ())) > count for n in site.numbers):
        for index in (0, -1):
            yield Variant("overwritten", site, _one_of(site, index), 1.6, {"index": index})
        repeated = [
            g
            for g in groups
            if any(sum(_group(program, n, k) == g for n, k, _ in found.parts.get(i, ())) > 1 for i in site.numbers)
        ]
        for group in repeated if count > 1 else ():
            for index in (0, -1):
                yield Variant("overwritten", site, _one_of(site, index, group), 1.7, {"index": index})


def _group(program: Program, node: int, k: int) -> Any:
    """Equations of one line are one group; a loop's rows, stacked, are one too."""
    if node < 0:
        return ("result", 0)
    return (key_of(program.nodes[node].stack, 2), 0 if program.nodes[node].primitive == "turns of a loop" else k)


def _keeper(site: Site, kept: frozenset) -> Member:
    def member(program: Program, i: int) -> Change:
        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            parts = found.parts.get(site.numbers[i], ())
            return sum((p[rows] for n, k, p in parts if _group(program, n, k) in kept), np.zeros_like(own))

        return change

    return member


def _one_of(site: Site, index: int, only: Any = None) -> Member:
    """Of the parts that come from equations of one line only the first or the last to be written; of no other line."""

    def member(program: Program, i: int) -> Change:
        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            last: dict = {}
            parts = found.parts.get(site.numbers[i], ())
            for n, k, p in parts if index == -1 else reversed(parts):
                group = _group(program, n, k)
                if only is None or group == only:
                    last[group] = p[rows]
            return sum(last.values(), np.zeros_like(own))

        return change

    return member


def exchanged(site: Site, found: Backward) -> Iterator[Variant]:
    """Two of the slices of a value, or two of its products, whose gradients are exchanged.

    Args:
        site: a value that is read in slices, or the operand of a split.
        found: the backward pass so far.

    Yields:
        The variants, one for each two slices of one shape.
    """
    program = found.program
    if len(site.places) > 1:
        return
    for a, b in combinations(_slices_of(program, site)[:6], 2):
        if program.shape(a[1]) == program.shape(b[1]):
            yield Variant("exchanged", site, _exchanger(a, b), 1.5, {"slices": (a[1], b[1])})
    read = [(program.nodes[i], k) for i, k in program.consumers().get(site.numbers[0], ())]
    products = [(node, node.outs[0], k) for node, k in read if node.primitive == "dot_general"][:5]
    for (p, out, i), (q, other, j) in combinations(products, 2):
        if site.kind == "value" and program.shape(out) == program.shape(other) and p.stack.place != q.stack.place:
            change = _exchanger((p, out), (q, other), (i, j))
            yield Variant("exchanged", site, change, 1.7, {"slices": (out, other)})


def _slices_of(program: Program, site: Site) -> list[tuple[Node, int]]:
    """(equation, its output) for each slice of a value."""
    readers = program.consumers().get(site.numbers[0], ())
    nodes = [program.nodes[i] for i, _ in readers if program.nodes[i].primitive in (*_SLICES, "split")]
    return [(node, out) for node in nodes for out in node.outs]


def _exchanger(a: tuple[Node, int], b: tuple[Node, int], ks: tuple[int, int] = (0, 0)) -> Member:
    def member(program: Program, i: int) -> Change:
        def back(found: Backward, rows: Any, slice_: tuple[Node, int], of: int, k: int) -> np.ndarray:
            node, out = program.nodes[slice_[0].index], slice_[1]
            dy = found.arriving.get(of)
            full = np.zeros((found.batch, *program.shape(of)))[rows] if dy is None else dy[rows]
            dys = [full if o == out else None for o in node.outs]
            return pull(node, k, dys, operands(program, node), results(program, node))

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            right = back(found, rows, a, a[1], ks[0]) + back(found, rows, b, b[1], ks[1])
            return own - right + back(found, rows, a, b[1], ks[0]) + back(found, rows, b, a[1], ks[1])

        return change

    return member
