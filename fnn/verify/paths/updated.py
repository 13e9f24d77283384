"""A parameter that has been updated already: the backward reads W − η dW where it should read W.

The other operand of a product is a parameter, turned or cut perhaps. With its gradient in its place the contribution is
linear in η, which can be read off the directions like any other factor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fnn.verify.paths.derivatives import moves, pull, push
from fnn.verify.paths.families import Site
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.sweeps import Backward, Change, backward, operands, results
from fnn.verify.paths.variant import Variant, arriving


def updated(
    site: Site, survey: Survey, base: Backward, matrices: list[np.ndarray], missing: np.ndarray, rows_left: np.ndarray
) -> Iterator[tuple[Variant, np.ndarray]]:
    """Read the size of the step off the directions.

    Args:
        site: operand of a product.
        survey: what is known.
        base: the backward pass so far.
        matrices: tangents of the operand along the directions, at each place.
        missing: what the site should contribute beyond what it does, along the directions, (leaves, directions).
        rows_left: which of the leaves are to be explained; one of few entries would fit any step.

    Yields:
        Variants, and what they add along the directions, (leaves × directions,).
    """
    program = survey.program
    if site.kind != "operand" or program.nodes[site.places[0][1]].primitive not in ("dot_general", "mul"):
        return
    leaf = _parameter(program, program.nodes[site.places[0][1]].ins[1 - site.places[0][2]])
    if leaf < 0:
        return
    along = np.zeros(len(matrices[0]))
    for i, matrix in enumerate(matrices):
        along = along + matrix @ _of_gradient(site, program, i)(base, slice(None), np.zeros(1)).reshape(-1)
    rows = along.reshape(missing.shape)
    for row in np.flatnonzero(rows_left & (np.abs(rows).max(axis=1) > 0)):
        step = -float((missing[row] * rows[row]).sum() / (rows[row] ** 2).sum())
        if abs(step) > 1e-9 and np.abs(step * rows[row] + missing[row]).max() <= 1e-5 * np.abs(missing[row]).max():
            yield Variant("updated", site, _stepped(site, step), 2.0, {"step": step, "leaf": leaf}), -step * along
            return


def _parameter(program: Program, number: int) -> int:
    """The leaf that a value is a copy of, its entries moved or times a constant; −1 if it is none."""
    while number not in program.leaves:
        node = program.nodes[program.maker[number]]
        if program.maker[number] < 0 or len(node.active) > 1 or not _keeps(node):
            return -1
        number = node.ins[node.active[0]]
    return program.leaves.index(number)


def _keeps(node: Node) -> bool:
    """Whether an equation moves entries or multiplies them by constants."""
    return (
        moves(node.primitive) or node.primitive in ("mul", "neg") or (node.primitive == "div" and node.active == (0,))
    )


def _moved(program: Program, number: int, gradient: np.ndarray) -> np.ndarray:
    """A leaf's gradient where a copy of the leaf stands, its entries moved alike."""
    if number in program.leaves:
        return gradient
    node = program.nodes[program.maker[number]]
    k = node.active[0]
    inner = _moved(program, node.ins[k], gradient)
    return push(node, k, inner[None], operands(program, node), results(program, node))[node.outs.index(number)][0]


def _of_gradient(site: Site, program: Program, i: int) -> Change:
    """The contribution with the parameter's gradient in the place of the parameter."""
    node, k = program.nodes[site.places[i][1]], site.places[i][2]
    if "right" not in program.notes:
        program.notes["right"] = [g[0] for g in backward(program).gradient()]
    xs = operands(program, node)
    leaf = _parameter(program, node.ins[1 - k])
    xs[1 - k] = _moved(program, node.ins[1 - k], program.notes["right"][leaf])

    def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
        dy = arriving(found, program, site.places[i], rows)
        return pull(node, k, [dy], xs, results(program, node))

    return change


def _stepped(site: Site, step: float) -> Any:
    def member(program: Program, i: int) -> Change:
        of_gradient = _of_gradient(site, program, i)

        def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
            return own - step * of_gradient(found, rows, own)

        return change

    return member
