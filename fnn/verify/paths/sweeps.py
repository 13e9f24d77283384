"""The two passes over a program: cotangents backward, tangents forward, many at a time.

The backward pass takes changes: at chosen places the contribution of an equation, or what is collected at a value,
is replaced, in chosen rows of the batch. That is how a mistake's gradient is predicted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn.verify.paths.derivatives import pull, push
from fnn.verify.paths.program import Node, Program

Rows = slice | np.ndarray
Change = Callable[["Backward", Rows, np.ndarray], np.ndarray]  # (pass, rows, right contribution) -> another
Place = tuple[str, int, int]  # ("operand", node, k), or ("value", number, 0): what is collected there


@dataclass(eq=False)
class Backward:
    """What a backward pass found."""

    program: Program
    batch: int
    arriving: dict[int, np.ndarray] = field(default_factory=dict)  # value -> cotangent, (batch, *shape)
    parts: dict[int, list[tuple[int, int, np.ndarray]]] = field(default_factory=dict)  # value -> contributions

    def total(self, number: int) -> np.ndarray | None:
        """The cotangent collected at a value so far."""
        rows = self.parts.get(number)
        if not rows:
            return None
        total = rows[0][2]
        for _, _, part in rows[1:]:
            total = total + part
        return total

    def gradient(self) -> list[np.ndarray]:
        """The cotangents of the leaves, (batch, *shape)."""
        return [self.arriving.get(i, np.zeros((self.batch, *self.program.shape(i)))) for i in self.program.leaves]


def operands(program: Program, node: Node) -> list[Any]:
    """Values of a node's operands."""
    return [program.values[i] for i in node.ins]


def results(program: Program, node: Node) -> list[Any]:
    """Values of a node's outputs."""
    return [program.values[i] for i in node.outs]


def backward(
    program: Program,
    batch: int = 1,
    changes: Mapping[Place, Sequence[tuple[Rows, Change]]] | None = None,
) -> Backward:
    """Run the backward pass.

    Args:
        program: the program at the point.
        batch: how many passes at a time.
        changes: what to replace, where and in which rows of the batch.

    Returns:
        The pass, with every cotangent and every contribution.
    """
    changes = changes or {}
    found = Backward(program, batch)
    result = program.result
    found.parts[result] = [(-1, 0, np.ones((batch, *program.shape(result))))]
    for node in reversed(program.nodes):
        dys = [_collect(found, number, changes) for number in node.outs]
        if all(d is None for d in dys):
            continue
        xs, ys = operands(program, node), results(program, node)
        for k in node.active:
            made = pull(node, k, dys, xs, ys)
            for rows, change in changes.get(("operand", node.index, k), ()):
                made = np.array(made) if made.base is not None or not made.flags.writeable else made
                made[rows] = change(found, rows, made[rows])
            found.parts.setdefault(node.ins[k], []).append((node.index, k, made))
    for number in program.leaves:
        _collect(found, number, changes)
    return found


def _collect(found: Backward, number: int, changes: Mapping) -> np.ndarray | None:
    """Sum the contributions to a value, and replace the sum where that is asked."""
    total = found.total(number)
    if total is None:
        return None
    for rows, change in changes.get(("value", number, 0), ()):
        total = np.array(total)
        total[rows] = change(found, rows, total[rows])
    found.arriving[number] = total
    return total


@dataclass(eq=False)
class Tangents:
    """Tangents of one value: along the directions of the leaves that reach it."""

    leaves: tuple[int, ...]  # numbers of the leaves, ascending
    rows: np.ndarray  # (leaves, directions, *shape)


def tangents(program: Program, directions: Sequence[np.ndarray]) -> dict[int, Tangents]:
    """Run the tangent pass along directions of each leaf on its own.

    Args:
        program: the program at the point.
        directions: for each leaf (d, *shape).

    Returns:
        For every active value its tangents.
    """
    found: dict[int, Tangents] = {
        number: Tangents((leaf,), np.asarray(v)[None])
        for leaf, (number, v) in enumerate(zip(program.leaves, directions, strict=True))
    }
    for node in program.nodes:
        xs, ys = operands(program, node), results(program, node)
        for k in node.active:
            given = found.get(node.ins[k])
            if given is None:
                continue
            count, many = given.rows.shape[:2]
            made = push(node, k, given.rows.reshape(count * many, *given.rows.shape[2:]), xs, ys)
            for number, rows in zip(node.outs, made, strict=True):
                if program.active[number]:
                    part = Tangents(given.leaves, rows.reshape(count, many, *rows.shape[1:]))
                    found[number] = _joined(found[number], part) if number in found else part
    return found


def _joined(a: Tangents, b: Tangents) -> Tangents:
    """Add tangents that come from other leaves."""
    if a.leaves == b.leaves:
        return Tangents(a.leaves, a.rows + b.rows)
    leaves = tuple(sorted({*a.leaves, *b.leaves}))
    rows = np.zeros((len(leaves), *a.rows.shape[1:]))
    for part in (a, b):
        rows[[leaves.index(i) for i in part.leaves]] += part.rows
    return Tangents(leaves, rows)
