"""What sums up: reductions, products of matrices, convolutions, windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fnn.verify.proving import formulas as f
from fnn.verify.proving.arithmetic import is_whole, with_lost
from fnn.verify.proving.choices import extremes
from fnn.verify.proving.movement import View
from fnn.verify.proving.moving import taken
from fnn.verify.proving.run import Run, Value, Whole, rule
from fnn.verify.proving.tape import Node


@rule("reduce_sum", "reduce_prod", "reduce_and", "reduce_or")
def _reduce(run: Run, equation: Any, values: list[Any]) -> Value:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    axes = tuple(equation.params["axes"])
    if equation.primitive.name == "reduce_sum":
        return run.tape.write("sum", x, data=axes) if axes else x
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    rows = run.tape.write("view", x, data=View("transpose", (*kept, *axes)))
    return product_along(run, f.reshape(run.tape, rows, (*shape, math.prod(x.shape[axis] for axis in axes))))


def product_along(run: Run, rows: Node) -> Node:
    """The product of the last axis, by halves."""
    tape = run.tape
    while (n := rows.shape[-1]) > 1:
        left, right = (_part(run, rows, a, b) for a, b in ((0, n // 2), (n // 2, 2 * (n // 2))))
        pairs = f.mul(tape, left, right)
        rows = tape.write("concat", pairs, _part(run, rows, n - 1, n), data=len(rows.shape) - 1) if n % 2 else pairs
    return f.reshape(tape, rows, rows.shape[:-1]) if rows.shape[-1] else tape.const(np.ones(rows.shape[:-1]))


def _part(run: Run, x: Node, start: int, stop: int, axis: int = -1) -> Node:
    bounds = [(0, n, 1) for n in x.shape]
    bounds[axis] = (start, stop, 1)
    return run.tape.write("view", x, data=View("slice", tuple(bounds)))


@rule("cumsum", "cumprod")
def _cumulate(run: Run, equation: Any, values: list[Any]) -> Value:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    axis, backwards = equation.params["axis"], View("flip", (equation.params["axis"],))
    x = run.tape.write("view", x, data=backwards) if equation.params["reverse"] else x
    if equation.primitive.name == "cumsum":
        result = run.tape.write("cumsum", x, data=axis)
    else:
        parts = [_part(run, x, 0, 1, axis)]
        for i in range(1, x.shape[axis]):
            parts.append(f.mul(run.tape, parts[-1], _part(run, x, i, i + 1, axis)))
        result = run.tape.write("concat", *parts, data=axis) if len(parts) > 1 else parts[0]
    return run.tape.write("view", result, data=backwards) if equation.params["reverse"] else result


@rule("dot_general")
def _dot(run: Run, equation: Any, values: list[Any]) -> Value:
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    a, b = (_as_float(run, value) for value in values)
    (contract_a, contract_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    free = [
        [i for i in range(len(x.shape)) if i not in (*c, *t)]
        for x, c, t in ((a, contract_a, batch_a), (b, contract_b, batch_b))
    ]
    batch = [a.shape[i] for i in batch_a]
    k = math.prod(a.shape[i] for i in contract_a)
    left = _matrix(run, a, (*batch_a, *free[0], *contract_a), (*batch, math.prod(a.shape[i] for i in free[0]), k))
    right = _matrix(run, b, (*batch_b, *contract_b, *free[1]), (*batch, k, math.prod(b.shape[i] for i in free[1])))
    shape = (*batch, *(a.shape[i] for i in free[0]), *(b.shape[i] for i in free[1]))
    return f.reshape(run.tape, run.tape.write("matmul", left, right), shape)


def _as_float(run: Run, value: Value) -> Node:
    """An operand of a product; whole numbers are what they are."""
    if isinstance(value, Node):
        return value
    return with_lost(run, run.tape.const(np.asarray(value.value, float)), value.lost)


def _matrix(run: Run, x: Node, order: tuple[int, ...], shape: tuple[int, ...]) -> Node:
    if order != tuple(range(len(x.shape))):
        x = run.tape.write("view", x, data=View("transpose", order))
    return f.reshape(run.tape, x, shape)


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def windows(
    entries: np.ndarray, size: tuple, strides: tuple, padding: tuple, spread: tuple, window_spread: tuple
) -> np.ndarray:
    """Numbers of the entries in each window, (positions…, window…); −1 for padding.

    Args:
        entries: numbers of an array's entries.
        size: extent of a window, for each axis.
        strides: steps between positions.
        padding: (before, behind) for each axis; negative cuts off.
        spread: distance of neighbouring entries, more than 1 where holes lie between.
        window_spread: distance of neighbouring places of the window.
    """
    shape = [0 if n == 0 else (n - 1) * d + 1 for n, d in zip(entries.shape, spread, strict=True)]
    spaced = np.full(shape, -1)
    spaced[tuple(slice(None, None, d) for d in spread)] = entries
    spaced = np.pad(spaced, [(max(a, 0), max(b, 0)) for a, b in padding], constant_values=-1)
    cut = [slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(padding, spaced.shape, strict=True)]
    spaced = spaced[tuple(cut)]
    reach = tuple((k - 1) * d + 1 for k, d in zip(size, window_spread, strict=True))
    view = sliding_window_view(spaced, reach)
    steps = tuple(slice(None, None, s) for s in strides)
    return view[(*steps, *(slice(None, None, d) for d in window_spread))]


def _windows_of(equation: Any, x: Node, size: tuple) -> np.ndarray:
    parameters, ones = equation.params, (1,) * len(x.shape)
    spread = parameters.get("base_dilation") or ones
    window_spread = parameters.get("window_dilation") or ones
    padding = tuple(map(tuple, parameters["padding"]))
    found = windows(
        np.arange(x.size).reshape(x.shape), size, parameters["window_strides"], padding, spread, window_spread
    )
    return found.reshape(*found.shape[: len(x.shape)], -1)


@rule("reduce_window_sum", "reduce_window_max", "reduce_window_min", "reduce_window")
def _reduce_window(run: Run, equation: Any, values: list[Any]) -> Value:
    x = values[0]
    name = equation.primitive.name
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    if name == "reduce_window":
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: an operation of one's own")
    found = _windows_of(equation, x, equation.params["window_dimensions"])
    if name == "reduce_window_sum":
        return run.tape.write("sum", taken(run, x, found), data=(found.ndim - 1,))
    if (found < 0).all(-1).any():
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: windows of padding alone")
    best, lost = extremes(run, x, found, name.endswith("max"))
    return with_lost(run, taken(run, x, np.take_along_axis(found, best[..., None], -1)[..., 0]), lost)


@rule("select_and_scatter_add", "select_and_gather_add")
def _select_in_windows(run: Run, equation: Any, values: list[Any]) -> Value:
    source, x = values
    parameters = equation.params
    if not isinstance(x, Node):
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: selection among whole numbers")
    largest = parameters["select_prim"].name in ("ge", "gt")
    found = _windows_of(equation, x, parameters["window_dimensions"])
    if (found < 0).all(-1).any():
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: windows of padding alone")
    best, lost = extremes(run, x, found, largest)
    places = np.take_along_axis(found, best[..., None], -1)[..., 0]
    if equation.primitive.name == "select_and_gather_add":
        return with_lost(run, taken(run, source, places), lost)
    zeros = run.tape.const(np.zeros(x.shape))
    result = run.tape.write("scatter_add", zeros, source, data=places, key=places.tobytes())
    return (
        result if lost is None else run.unknown(equation.outvars[0].aval, f"{run.tape.place}: lost entries in windows")
    )


@rule("conv_general_dilated")
def _convolution(run: Run, equation: Any, values: list[Any]) -> Value:
    """A product of matrices: the entries in each window against the kernel."""
    x, kernel = (_as_float(run, value) for value in values)
    parameters, tape = equation.params, run.tape
    numbers, groups = parameters["dimension_numbers"], parameters["feature_group_count"]
    lhs, rhs, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    n, c = x.shape[lhs[0]], x.shape[lhs[1]]
    entries = np.arange(x.size).reshape(x.shape).transpose(lhs)  # (n, c, spatial…)
    space = len(lhs) - 2
    size = tuple(kernel.shape[axis] for axis in rhs[2:])
    found = windows(
        entries, (1, 1, *size), (1, 1, *parameters["window_strides"]), ((0, 0), (0, 0), *map(tuple,
        parameters["padding"])), (1, 1, *parameters["lhs_dilation"]), (1, 1, *parameters["rhs_dilation"]),
    )  # fmt: skip
    places = found.shape[2 : 2 + space]
    # each group of features, or of examples, meets its own kernels: (groups, examples places, features size)
    batches, o = parameters["batch_group_count"], kernel.shape[rhs[0]]
    n, split, places_all = n // batches, groups * batches, math.prod(places)
    found = found.reshape(batches, n, groups, c // groups, places_all, math.prod(size)).transpose(0, 2, 1, 4, 3, 5)
    left = taken(run, x, found.reshape(split, n * places_all, -1))
    right = tape.write("view", kernel, data=View("transpose", tuple(rhs)))  # (o, c/groups, size…)
    right = f.reshape(tape, right, (split, o // split, left.shape[-1]))
    right = tape.write("view", right, data=View("transpose", (0, 2, 1)))
    product = f.reshape(tape, tape.write("matmul", left, right), (split, n, *places, o // split))
    order = (1, 0, 2 + space, *range(2, 2 + space))
    product = f.reshape(tape, tape.write("view", product, data=View("transpose", order)), (n, o, *places))
    back = tuple(int(i) for i in np.argsort(out))
    return tape.write("view", product, data=View("transpose", back))
