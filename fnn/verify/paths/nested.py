"""Variants where one turn of a loop lies behind another: their effects multiply, so they are run and not screened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fnn.verify.paths.explicit import explicit
from fnn.verify.paths.families import Site
from fnn.verify.paths.grid import FUNCTIONS, ONE, product
from fnn.verify.paths.pool import Candidate, Pool, broadcasts
from fnn.verify.paths.program import Program
from fnn.verify.paths.slopes import elementwise
from fnn.verify.paths.source import Stack
from fnn.verify.paths.sweeps import Backward, Change
from fnn.verify.paths.variant import Variant, scaled

_SLOPES = {"tanh": ("1 − {}²",), "logistic": ("{} (1 − {})",), "max": ("[{} > 0]",)}
_ACTIVATIONS = {"[{} > 0]", "1 − tanh² {}", "σ({})", "σ({0}) (1 − σ({0}))"}  # slopes of one at its input
_PRODUCTS = {"mul", "div"}


def nested(site: Site, base: Backward, pool: Pool) -> Iterator[Variant]:
    """The variants of a site within a loop that are worth a pass each.

    Args:
        site: the site.
        base: the backward pass so far.
        pool: the program's values.

    Yields:
        The variants.
    """
    program = base.program
    missing = 1.0 if site.kind == "value" or len(base.parts.get(site.numbers[0], ())) > 1 else 1.15
    yield scaled(site, 0.0, "missing", missing)
    yield scaled(site, -1.0, "sign", 1.2)
    yield scaled(site, 2.0, "doubled", 1.5, name="2")
    yield scaled(site, 0.5, "times", 1.8, name="1/2", held=True)
    yield from explicit(site, base, pool)
    if site.kind == "operand" and len(site.places) > 1:
        yield Variant("summed on", site, _summed_on(site), 1.4)
    yield from _composite(site, base, pool, program)
    if site.kind == "operand":
        yield from _slopes(site, base, pool, program)


def _summed_on(site: Site) -> Callable[[Program, int], Change]:
    """What one step hands back is added to what the step after it handed back, instead of taking its place."""

    def member(program: Program, i: int) -> Change:
        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            if i + 1 == len(site.places):
                return own
            _, node, k = site.places[i + 1]
            parts = found.parts.get(site.numbers[i + 1], ())
            return own + sum((p[rows] for n, j, p in parts if (n, j) == (node, k)), np.zeros_like(own))

        return change

    return member


def _composite(site: Site, base: Backward, pool: Pool, program: Program) -> Iterator[Variant]:
    """A step of several equations, one call of the user's, with another function's slope at its input or output."""
    if site.kind == "operand":
        places = [program.nodes[site.places[0][1]].stack.place]
    else:
        places = [program.nodes[i].stack.place for i, _ in program.consumers().get(site.numbers[0], ())]
    shape = program.shape(site.numbers[0])
    here = Candidate(site.numbers)
    for candidate in pool.cotangents(site, shape.__eq__, base):
        origin = program.origin[candidate.numbers[0]]
        if candidate.shift or not isinstance(origin, Stack) or origin.place not in places:
            continue
        for function in FUNCTIONS:
            known = function.text in _ACTIVATIONS
            yield product(site, candidate, function, here, shape, 1.3 if known else 1.6)
            yield product(site, candidate, function, candidate, shape, 1.6)


def _slopes(site: Site, base: Backward, pool: Pool, program: Program) -> Iterator[Variant]:
    """Slopes that are missing, of another function, or at another value."""
    node = program.nodes[site.places[0][1]]
    shape = program.shape(node.outs[0])
    if not elementwise(node.primitive) or node.primitive in ("add", "sub", "neg", "convert_element_type", "copy"):
        return
    nothing = Candidate((-1,) * len(site.places))
    yield product(site, "arriving", ONE, nothing, shape, 1.05)
    own = [Candidate(tuple(program.nodes[p[1]].ins[j] for p in site.places)) for j in range(len(node.ins))]
    own.append(Candidate(tuple(program.nodes[p[1]].outs[0] for p in site.places)))
    for candidate in own:
        if np.size(program.values[candidate.numbers[0]]) < 2 or program.values[candidate.numbers[0]].dtype.kind != "f":
            continue
        for function in FUNCTIONS:
            yield product(site, "arriving", function, candidate, shape, 1.0)
        for function in FUNCTIONS[:1] + FUNCTIONS[4:9]:
            if program.shape(candidate.numbers[0]) == program.shape(site.numbers[0]):
                yield product(site, "own", function, candidate, program.shape(site.numbers[0]), 1.6)
    natural = ("{}",) if node.primitive in _PRODUCTS else _SLOPES.get(node.primitive, ())
    for candidate in pool.beside(site, broadcasts(shape), int(np.prod(shape))):
        for function in FUNCTIONS:
            if function.text in natural:
                yield product(site, "arriving", function, candidate, shape, 1.1)
