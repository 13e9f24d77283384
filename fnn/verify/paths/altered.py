"""Gradients of another forward: whoever recomputes the forward may forget a mask there, or misplace an epsilon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fnn.verify.paths.evaluate import evaluate
from fnn.verify.paths.families import key_of
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.slopes import elementwise
from fnn.verify.paths.sweeps import backward
from fnn.verify.paths.variant import Finish, Variant

_MOST = 40  # equations that are left out in turn
_FEW = 4  # distinct values of data, each of which is tried for all
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
    # forgotten masks and constants first, then forgotten terms
    for members in sorted(families.values(), key=lambda m: len(program.nodes[m[0]].active))[:_MOST]:
        node = program.nodes[members[0]]
        if len(node.active) > 1:
            yield from _without_a_term(program, node, members)
            continue
        words = {"node": members[0], "others": [i for i in node.ins if not program.active[i]]}
        yield Variant("left out", None, None, 1.7, words, _rerun(members, _skipped))
        yield from _one_for_all(program, node, members)
        if node.primitive in ("add", "sub") and _reader(program, node) is not None:
            yield Variant("later", None, None, 1.7, words, _rerun(members, _skipped, later=True))


def _joins_data(program: Program, node: Node) -> bool:
    """Whether an equation joins an active operand of its own shape with data or a term, and so could be forgotten."""
    if node.primitive in ("add", "sub") and len(node.active) == 2:
        return True
    if node.primitive not in _JOINING or len(node.active) != 1:
        return False
    return program.shape(node.ins[node.active[0]]) == program.shape(node.outs[0])


def _without_a_term(program: Program, node: Node, members: list[int]) -> Iterator[Variant]:
    """A sum whose value is computed without one of its terms, which still gets its gradient."""
    for k in (0, 1):
        if program.shape(node.ins[1 - k]) == program.shape(node.outs[0]):
            words = {"node": members[0], "others": [node.ins[k]]}
            yield Variant("left out", None, None, 1.9, words, _rerun(members, partial(_shortened, term=k)))


def _one_for_all(program: Program, node: Node, members: list[int]) -> Iterator[Variant]:
    """A product with data of a few distinct values, weights of classes say, with one of them for every entry."""
    k = 1 - node.active[0]
    if node.primitive not in ("mul", "div") or np.size(program.values[node.ins[k]]) < 2:
        return
    distinct = np.unique(np.asarray(program.values[node.ins[k]], np.float64))
    for value in distinct if 1 < len(distinct) <= _FEW else ():
        words = {"node": members[0], "others": [node.ins[k]], "value": value}
        yield Variant("one for all", None, None, 1.8, words, _rerun(members, partial(_constant, k=k, value=value)))


def _reader(program: Program, node: Node) -> Node | None:
    """The one elementwise equation of one operand that reads a value: the root in √(v + ε)."""
    readers = program.consumers().get(node.outs[0], ())
    if len(readers) != 1:
        return None
    reader = program.nodes[readers[0][0]]
    return reader if elementwise(reader.primitive) and len(reader.ins) == 1 else None


Edit = Callable[[Node, list[Any]], Node]  # writes an equation's value, and returns the equation as it is differentiated


def _skipped(node: Node, values: list[Any]) -> Node:
    """The active operand as it is."""
    active = node.ins[node.active[0]]
    values[node.outs[0]] = values[active]
    return replace(node, primitive="same", ins=(active,), active=(0,))


def _shortened(node: Node, values: list[Any], term: int) -> Node:
    """The sum without a term, whose path is kept."""
    left = values[node.ins[1 - term]]
    values[node.outs[0]] = -left if node.primitive == "sub" and term == 0 else left
    return replace(node, notes={})


def _constant(node: Node, values: list[Any], k: int, value: float) -> Node:
    """The product with a number in the place of an operand."""
    values.append(np.full(np.shape(values[node.ins[k]]), value))
    ins = tuple(len(values) - 1 if j == k else i for j, i in enumerate(node.ins))
    values[node.outs[0]] = evaluate(node.eqn, [values[i] for i in ins])[0]
    return replace(node, ins=ins, notes={})


def _rerun(members: list[int], edit: Edit, later: bool = False) -> Finish:
    """Run the forward on with some equations edited, or moved behind the one that reads them; then backward."""
    edited = frozenset(members)

    def finish(program: Program, leaves: list[np.ndarray]) -> list[np.ndarray]:
        values = list(program.values)
        nodes: list[Node] = []
        moved: dict[int, Node] = {}
        for node in program.nodes:
            if node.index in edited:
                nodes.append(edit(node, values))
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
