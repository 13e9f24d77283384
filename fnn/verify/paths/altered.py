"""Gradients of another forward: whoever recomputes the forward may forget a mask there, or misplace an epsilon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fnn.verify.paths.evaluate import evaluate
from fnn.verify.paths.families import key_of
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.slopes import elementwise
from fnn.verify.paths.sweeps import backward
from fnn.verify.paths.variant import Finish, Variant

_MOST = 40  # equations that are left out in turn
_JOINING = {"select_n", "add", "sub", "mul", "div", "max", "min", "clamp", "stop_gradient"}


def altered(program: Program) -> Iterator[Variant]:
    """Variants in which one line of the forward is left out, or comes one step later, and everything after it runs on.

    Args:
        program: the program at the point.

    Yields:
        The variants; their gradient is that of the altered forward.
    """
    families: dict[Any, list[int]] = {}
    for node in program.nodes:
        if _joins_data(program, node):
            families.setdefault(key_of(node.stack, 2), []).append(node.index)
    for members in list(families.values())[:_MOST]:
        node = program.nodes[members[0]]
        words = {"node": members[0], "name": node.primitive, "others": [i for i in node.ins if not program.active[i]]}
        yield Variant("left out", None, None, 1.7, words, _rerun(frozenset(members), later=False))
        if node.primitive in ("add", "sub") and _reader(program, node) is not None:
            yield Variant("later", None, None, 1.7, words, _rerun(frozenset(members), later=True))


def _joins_data(program: Program, node: Node) -> bool:
    """Whether an equation joins an active operand of its own shape with data, and so could be forgotten."""
    if node.primitive not in _JOINING or len(node.active) != 1:
        return False
    return program.shape(node.ins[node.active[0]]) == program.shape(node.outs[0])


def _reader(program: Program, node: Node) -> Node | None:
    """The one elementwise equation of one operand that reads a value: the root in √(v + ε)."""
    readers = program.consumers().get(node.outs[0], ())
    if len(readers) != 1:
        return None
    reader = program.nodes[readers[0][0]]
    return reader if elementwise(reader.primitive) and len(reader.ins) == 1 else None


def _rerun(members: frozenset[int], later: bool) -> Finish:
    """Run the forward on without some equations, or each moved behind the one that reads it; then backward."""

    def finish(program: Program, leaves: list[np.ndarray]) -> list[np.ndarray]:
        values = list(program.values)
        nodes: list[Node] = []
        moved: dict[int, Node] = {}
        for node in program.nodes:
            if node.index in members:
                active = node.ins[node.active[0]]
                values[node.outs[0]] = values[active]
                nodes.append(replace(node, primitive="same", ins=(active,), active=(0,)))
                reader = _reader(program, node) if later else None
                if reader is not None:
                    moved[reader.index] = node
                continue
            made = _evaluated(node, [values[i] for i in node.ins])
            for out, value in zip(node.outs, made, strict=True):
                values[out] = value
            nodes.append(replace(node, notes=node.notes if node.eqn is None else {}))
            if node.index in moved:
                _put_behind(moved[node.index], nodes, values)
        return [g[0] for g in backward(replace(program, values=values, nodes=nodes, _readers=None)).gradient()]

    return finish


def _evaluated(node: Node, xs: list[Any]) -> list[Any]:
    if node.eqn is not None:
        return evaluate(node.eqn, xs)
    return [xs[0][node.notes["turn"]]] if "turn" in node.notes else [np.stack(xs)]


def _put_behind(term: Node, nodes: list[Node], values: list[Any]) -> None:
    """Let the last equation write a new value, to which the term is added under the old number."""
    last, number = nodes[-1], len(values)
    values.append(values[last.outs[0]])
    nodes[-1] = replace(last, outs=(number,))
    data = [values[i] for k, i in enumerate(term.ins) if k not in term.active]
    values[last.outs[0]] = values[number] + data[0] if term.primitive == "add" else values[number] - data[0]
    nodes.append(Node(-1, "same", None, (number,), last.outs, (0,), last.stack))
