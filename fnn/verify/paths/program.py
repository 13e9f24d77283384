"""A forward as a flat list of equations at one point: jit, custom rules and branches opened, loops unrolled.

The program is run while it is read, so that loops end when they end and branches are the ones taken. Equations that
no differentiated leaf reaches leave only their values. What the derivative of an equation is, `derivatives` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.extend as jex
import numpy as np

from fnn.verify.paths.evaluate import evaluate
from fnn.verify.paths.source import Stack, stack_of
from fnn.verify.rewriting import parts_of_scan

MOST_NODES = 20_000  # equations, loops unrolled, that are still studied


class TooLong(Exception):
    """The program has more equations than are studied."""


@dataclass(eq=False)
class Node:
    """One equation with a derivative, at one turn of its loops."""

    index: int
    primitive: str  # its name
    eqn: Any
    ins: tuple[int, ...]  # numbers of the values it reads
    outs: tuple[int, ...]
    active: tuple[int, ...]  # the operands that a differentiated leaf reaches
    stack: Stack
    notes: dict = field(default_factory=dict)  # what its derivative keeps: index maps, Jacobians

    def at_other_operands(self) -> Node:
        """The same equation without what was kept for its own operands."""
        return replace(self, notes={})


@dataclass(eq=False)
class Program:
    """The equations at one point."""

    values: list[Any] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)
    origin: list[Any] = field(default_factory=list)  # Stack of the equation that made a value, or the name of a leaf
    maker: list[int] = field(default_factory=list)  # number of the node that made it, −1 if none
    nodes: list[Node] = field(default_factory=list)
    leaves: tuple[int, ...] = ()  # the differentiated leaves' values
    result: int = -1
    _readers: dict[int, list[tuple[int, int]]] | None = None  # once the program is complete
    scalars: dict = field(default_factory=dict)  # literal -> number of its value
    notes: dict = field(default_factory=dict)  # what is worked out once: the right gradient, how to run it again
    arguments: int = 0  # how many of the first values are leaves of arguments
    inert: list[tuple[tuple[int, ...], Stack]] = field(default_factory=list)  # what joins data: operands, where
    skip: int = -1  # the one of these that is left out
    made_of: dict[int, tuple[int, ...]] = field(default_factory=dict)  # for a value of data those it is made of

    def add(self, value: Any, origin: Any, active: bool = False, maker: int = -1) -> int:
        """Append a value and return its number."""
        self.values.append(value if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended) else np.asarray(value))
        self.active.append(active)
        self.origin.append(origin)
        self.maker.append(maker)
        return len(self.values) - 1

    def shape(self, number: int) -> tuple[int, ...]:
        """Shape of a value."""
        return self.values[number].shape

    def consumers(self) -> dict[int, list[tuple[int, int]]]:
        """For every active value the (node, operand) that read it, in order."""
        if self._readers is None:
            self._readers = self._all_readers()
        return self._readers

    def _all_readers(self) -> dict[int, list[tuple[int, int]]]:
        readers: dict[int, list[tuple[int, int]]] = {}
        for node in self.nodes:
            for k in node.active:
                readers.setdefault(node.ins[k], []).append((node.index, k))
        return readers


def run(
    closed: Any, arrays: Sequence[Any], names: Sequence[str], differentiated: Sequence[bool], skip: int = -1
) -> Program:
    """Run a traced scalar function at a point and write down its equations; call it in `precise`.

    Args:
        closed: what `jax.make_jaxpr` returned.
        arrays: the leaves of all arguments.
        names: what the leaves are called.
        differentiated: which leaves the gradient is with respect to.
        skip: an equation among `Program.inert` that hands its first operand on.

    Returns:
        The program.

    Raises:
        TooLong: it has more than `MOST_NODES` equations.
    """
    program = Program(arguments=len(names), skip=skip)
    ins = [program.add(a, name, d) for a, name, d in zip(arrays, names, differentiated, strict=True)]
    program.leaves = tuple(i for i, d in zip(ins, differentiated, strict=True) if d)
    outs = _inside(program, closed, ins, None)
    program.result = outs[0]
    return program


def _inside(program: Program, closed: Any, ins: Sequence[int], outer: Stack | None) -> list[int]:
    """Run one jaxpr on values by number."""
    jaxpr, consts = (closed.jaxpr, closed.consts) if hasattr(closed, "consts") else (closed, ())
    numbers = dict(zip(jaxpr.invars, ins, strict=True))
    for var, const in zip(jaxpr.constvars, consts, strict=True):
        numbers[var] = program.add(const if hasattr(const, "dtype") else np.asarray(const), "constant")
    for eqn in jaxpr.eqns:
        given = [_literal(program, v) if isinstance(v, jex.core.Literal) else numbers[v] for v in eqn.invars]
        made = _equation(program, eqn, given, stack_of(eqn, outer))
        numbers.update(zip(eqn.outvars, made, strict=True))
    return [_literal(program, v) if isinstance(v, jex.core.Literal) else numbers[v] for v in jaxpr.outvars]


def _literal(program: Program, literal: Any) -> int:
    value = np.asarray(literal.val, literal.aval.dtype)
    key = (str(value.dtype), value.tobytes(), value.shape)
    if key not in program.scalars:
        program.scalars[key] = program.add(value, "literal")
    return program.scalars[key]


def _equation(program: Program, eqn: Any, ins: list[int], stack: Stack) -> list[int]:
    """Open what holds a program of its own; evaluate everything else."""
    name = eqn.primitive.name
    if name in _OPENED and (any(program.active[i] for i in ins) or not _draws(eqn)):
        return _OPENED[name](program, eqn, ins, stack)
    active = tuple(k for k, i in enumerate(ins) if program.active[i] and _is_real(program.values[i]))
    values = evaluate(eqn, [program.values[i] for i in ins])
    if not active and name in _JOINING and _is_real(values[0]) and program.shape(ins[0]) == values[0].shape:
        values = [program.values[ins[0]]] if len(program.inert) == program.skip else values
        program.inert.append((tuple(ins), stack))
    if not active or name in _FLAT:
        origin = program.origin[ins[0]] if name in _COPIES else stack  # a copy is known by what it is a copy of
        return [_data(program, value, origin, ins) for value in values]
    if len(program.nodes) >= MOST_NODES:
        raise TooLong(f"more than {MOST_NODES} equations")
    index = len(program.nodes)
    outs = [program.add(v, stack, _is_real(v), index) for v in values]
    program.nodes.append(Node(index, name, eqn, tuple(ins), tuple(outs), active, stack))
    return outs


def _data(program: Program, value: Any, origin: Any, ins: Sequence[int]) -> int:
    """Append a value that no differentiated leaf reaches."""
    number = program.add(value, origin)
    program.made_of[number] = tuple(ins)
    return number


_COPIES = {"convert_element_type", "broadcast_in_dim", "reshape", "copy"}
_JOINING = {"add", "sub", "mul", "div", "max", "min"}
_FLAT = {"stop_gradient", "sign", "floor", "ceil", "round"}  # their derivative is 0 wherever there is one


def _is_real(value: Any) -> bool:
    return jax.numpy.issubdtype(value.dtype, jax.numpy.floating)


def _draws(eqn: Any) -> bool:
    """Whether an inner program makes random numbers: it is evaluated as a whole."""
    inner = [*eqn.invars, *eqn.outvars]
    if any(jax.dtypes.issubdtype(v.aval.dtype, jax.dtypes.extended) for v in inner if hasattr(v.aval, "dtype")):
        return True
    text = str(eqn.params.get("jaxpr", eqn.params.get("call_jaxpr", "")))
    return "threefry" in text or "random_bits" in text


def _open_call(key: str) -> Any:
    def opened(program: Program, eqn: Any, ins: list[int], stack: Stack) -> list[int]:
        return _inside(program, eqn.params[key], ins, stack)

    return opened


def _open_cond(program: Program, eqn: Any, ins: list[int], stack: Stack) -> list[int]:
    branches = eqn.params["branches"]
    taken = int(np.clip(int(program.values[ins[0]]), 0, len(branches) - 1))
    return _inside(program, branches[taken], ins[1:], stack)


def _open_while(program: Program, eqn: Any, ins: list[int], stack: Stack) -> list[int]:
    p = eqn.params
    conds, bodies = ins[: p["cond_nconsts"]], ins[p["cond_nconsts"] : p["cond_nconsts"] + p["body_nconsts"]]
    carry = ins[p["cond_nconsts"] + p["body_nconsts"] :]
    while bool(program.values[_inside(program, p["cond_jaxpr"], [*conds, *carry], stack)[0]]):
        carry = _inside(program, p["body_jaxpr"], [*bodies, *carry], stack)
        if len(program.values) > 10 * MOST_NODES:
            raise TooLong("a while loop does not end soon")
    return carry


def _open_scan(program: Program, eqn: Any, ins: list[int], stack: Stack) -> list[int]:
    p = eqn.params
    if p["length"] * len(p["jaxpr"].eqns) > MOST_NODES:
        raise TooLong(f"a loop of {p['length']} turns")
    first, carried = parts_of_scan(p)
    consts, carry, sliced = ins[:first], ins[first : first + carried], ins[first + carried :]
    turns = range(p["length"])
    rows: list[list[int]] = []
    for t in reversed(turns) if p["reverse"] else turns:
        here = [_pick(program, i, t, stack) for i in sliced]
        outs = _inside(program, p["jaxpr"], [*consts, *carry, *here], stack)
        carry = outs[:carried]
        rows.append(outs[carried:])
    if p["reverse"]:
        rows.reverse()
    stacked = [_stack_rows(program, list(column), stack) for column in zip(*rows, strict=True)]
    return [*carry, *stacked]


def _pick(program: Program, number: int, turn: int, stack: Stack) -> int:
    """Row `turn` of an array that a loop runs over."""
    value, active = program.values[number][turn], program.active[number]
    at = Stack(stack.places, ("turn", *stack.inner))
    return _artificial(program, "turn of a loop", [number], value, active, at, {"turn": turn})


def _stack_rows(program: Program, rows: list[int], stack: Stack) -> int:
    """The rows that a loop gave, as one array."""
    value = np.stack([program.values[i] for i in rows])
    active = any(program.active[i] for i in rows)
    return _artificial(
        program, "turns of a loop", rows, value, active, Stack(stack.places, ("turns", *stack.inner)), {}
    )


def _artificial(program: Program, name: str, ins: list[int], value: Any, active: bool, at: Stack, notes: dict) -> int:
    """Append what a loop does beside its body: a row picked, rows stacked."""
    if not active:
        return _data(program, value, at, ins)
    index = len(program.nodes)
    out = program.add(value, at, True, index)
    operands = tuple(k for k, i in enumerate(ins) if program.active[i])
    program.nodes.append(Node(index, name, None, tuple(ins), (out,), operands, at, notes))
    return out


_OPENED = {
    "jit": _open_call("jaxpr"),
    "pjit": _open_call("jaxpr"),
    "closed_call": _open_call("call_jaxpr"),
    "core_call": _open_call("call_jaxpr"),
    "remat2": _open_call("jaxpr"),
    "checkpoint": _open_call("jaxpr"),
    "remat": _open_call("jaxpr"),
    "custom_jvp_call": _open_call("call_jaxpr"),
    "custom_vjp_call": _open_call("call_jaxpr"),
    "custom_vjp_call_jaxpr": _open_call("fun_jaxpr"),
    "cond": _open_cond,
    "while": _open_while,
    "scan": _open_scan,
}
