"""What solves systems of equations: LU and Cholesky factors, triangular systems, written out row by row.

Which rows are exchanged float64 decides, as in the program itself; solutions do not hang on it, but the factors do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.movement import View
from fnn.verify.proving.moving import joined, taken
from fnn.verify.proving.run import Run, Value, Whole, rule
from fnn.verify.proving.tape import Node

_LARGEST = 64  # rows of a matrix: the work written down grows with their square


def _each_matrix(run: Run, arrays: list[Node], one: Callable[..., Any]) -> list[Any]:
    """Apply a function of matrices to each of a stack of them."""
    batch = arrays[0].shape[:-2]
    if not batch:
        return [one(*arrays)]
    count = int(np.prod(batch))
    flat = [f.reshape(run.tape, a, (count, *a.shape[-2:])) for a in arrays]
    return [
        one(
            *(f.reshape(run.tape, _part(run, a, (i, i + 1), *[(0, n) for n in a.shape[1:]]), a.shape[1:]) for a in flat)
        )
        for i in range(count)
    ]


def _stack(run: Run, parts: list[Node], shape: tuple[int, ...]) -> Node:
    if len(parts) == 1:
        return f.reshape(run.tape, parts[0], shape)
    rows = joined(run, [f.reshape(run.tape, p, (1, *p.shape)) for p in parts], 0)
    assert isinstance(rows, Node)
    return f.reshape(run.tape, rows, shape)


def _part(run: Run, x: Node, *bounds: tuple[int, int]) -> Node:
    return run.tape.write("view", x, data=View("slice", tuple((a, b, 1) for a, b in bounds)))


def _too_large(run: Run, equation: Any, n: int) -> list[Value] | None:
    if n <= _LARGEST:
        return None
    return [run.unknown(v.aval, f"{run.tape.place}: more than {_LARGEST} rows") for v in equation.outvars]


@rule("cholesky")
def _cholesky(run: Run, equation: Any, values: list[Any]) -> Any:
    (a,) = values
    if not isinstance(a, Node) or a.marks is not None:
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: entries that are no numbers")
    return _too_large(run, equation, a.shape[-1]) or _stack(
        run, _each_matrix(run, [a], lambda m: _factor(run, m)), a.shape
    )


def _factor(run: Run, a: Node) -> Node:
    """L with L Lᵀ = A, column by column: what is left of A loses l lᵀ each time."""
    tape, n = run.tape, a.shape[0]
    columns, left = [], a
    for j in range(n):
        pivot = f.root(tape, _part(run, left, (0, 1), (0, 1)))
        column = f.div(tape, _part(run, left, (0, n - j), (0, 1)), pivot)
        top = tape.const(np.zeros((j, 1)))
        columns.append(tape.write("concat", top, column, data=0) if j else column)
        if j + 1 < n:
            below = _part(run, column, (1, n - j), (0, 1))
            square = tape.write("matmul", below, tape.write("view", below, data=View("transpose", (1, 0))))
            left = f.sub(tape, _part(run, left, (1, n - j), (1, n - j)), square)
    return tape.write("concat", *columns, data=1) if n > 1 else columns[0]


@rule("lu")
def _lu(run: Run, equation: Any, values: list[Any]) -> Any:
    (a,) = values
    if not isinstance(a, Node) or a.marks is not None or len(a.shape) != 2:
        return [
            run.unknown(v.aval, f"{run.tape.place}: a stack of matrices, or entries that are no numbers")
            for v in equation.outvars
        ]
    return _too_large(run, equation, max(a.shape)) or _eliminated(run, equation, a)


def _eliminated(run: Run, equation: Any, a: Node) -> list[Value]:
    """Gauss's elimination; the pivot is the entry of largest magnitude, the first of several."""
    tape, (rows, columns) = run.tape, a.shape
    order, pivots = np.arange(rows), []
    done: list[Node] = []  # finished rows of U with the factors of L in front
    factors: Node | None = None
    left = a
    for k in range(min(rows, columns)):
        sizes = np.abs(left.value[:, 0])
        place = int(sizes.argmax())
        if run.exchanged and (sizes > 0).sum() > 1:
            place = int(np.argsort(sizes, kind="stable")[-2])
        run.decisions.chose(np.arange(rows - k) == place, np.full(rows - k, rows - k > 1), left.number)
        pivots.append(k + place)
        exchange = np.arange(rows - k)
        exchange[[0, place]] = exchange[[place, 0]]
        order[k:] = order[k:][exchange]
        left = _rows(run, left, exchange)
        factors = None if factors is None else _rows(run, factors, exchange)
        first = _part(run, left, (0, 1), (0, columns - k))
        done.append(
            first if factors is None else tape.write("concat", _part(run, factors, (0, 1), (0, k)), first, data=1)
        )
        if k + 1 == rows:
            break
        new = f.div(tape, _part(run, left, (1, rows - k), (0, 1)), _part(run, first, (0, 1), (0, 1)))
        old = None if factors is None else _part(run, factors, (1, rows - k), (0, k))
        factors = new if old is None else tape.write("concat", old, new, data=1)
        if k + 1 == columns:
            done.append(factors)
            break
        product = tape.write("matmul", new, _part(run, first, (0, 1), (1, columns - k)))
        left = f.sub(tape, _part(run, left, (1, rows - k), (1, columns - k)), product)
    run.decisions.note(order)
    result = tape.write("concat", *done, data=0) if len(done) > 1 else done[0]
    return [result, Whole(np.array(pivots, np.int32)), Whole(order.astype(equation.outvars[2].aval.dtype))]


def _rows(run: Run, x: Node, order: np.ndarray) -> Node:
    return taken(run, x, np.arange(x.size).reshape(x.shape)[order])


@rule("triangular_solve")
def _triangular_solve(run: Run, equation: Any, values: list[Any]) -> Any:
    a, b = values
    if not isinstance(a, Node) or not isinstance(b, Node):
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: whole numbers")
    p = equation.params
    solved = _each_matrix(run, [a, b], lambda a, b: _solved(run, a, b, p))
    return _too_large(run, equation, a.shape[-1]) or _stack(run, solved, b.shape)


def _solved(run: Run, a: Node, b: Node, parameters: dict[str, Any]) -> Node:
    """X with A X = B: one row after the other, from the corner where A has one entry."""
    tape = run.tape
    turned = View("transpose", (1, 0))
    if not parameters["left_side"]:  # X A = B is Aᵀ Xᵀ = Bᵀ
        other = parameters | {"left_side": True, "transpose_a": not parameters["transpose_a"]}
        return tape.write("view", _solved(run, a, tape.write("view", b, data=turned), other), data=turned)
    lower = parameters["lower"] != bool(parameters["transpose_a"])
    a = tape.write("view", a, data=turned) if parameters["transpose_a"] else a
    n, m = a.shape[0], b.shape[1]
    rows: dict[int, Node] = {}
    for i in range(n) if lower else range(n - 1, -1, -1):
        row = _part(run, b, (i, i + 1), (0, m))
        for j, known in rows.items():
            row = f.sub(tape, row, f.mul(tape, _part(run, a, (i, i + 1), (j, j + 1)), known))
        rows[i] = row if parameters["unit_diagonal"] else f.div(tape, row, _part(run, a, (i, i + 1), (i, i + 1)))
    return tape.write("concat", *(rows[i] for i in range(n)), data=0) if n > 1 else rows[0]


@rule("custom_linear_solve")
def _linear_solve(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    """The solver is run as it stands; that it solves is not taken for granted."""
    lengths, jaxprs = equation.params["const_lengths"], equation.params["jaxprs"]
    start = lengths.matvec + lengths.vecmat
    consts, right = values[start : start + lengths.solve], values[sum(lengths) :]
    return (
        run.closed(jaxprs.solve, [*consts, *right])
        if hasattr(jaxprs.solve, "consts")
        else run.open(jaxprs.solve, [], [*consts, *right])
    )
