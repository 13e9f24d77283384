"""What comparisons, selections, rounding and sorting write: float64 decides, the tape gets what was chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.arithmetic import chosen, is_whole, with_lost
from fnn.verify.proving.decisions import lost_of, unordered
from fnn.verify.proving.movement import CONTRACTIONS, STRUCTURAL
from fnn.verify.proving.run import Run, Value, Whole, rule
from fnn.verify.proving.tape import NAN, Node

_OUTCOMES = {
    "eq": lambda sign: sign == 0,
    "ne": lambda sign: sign != 0,
    "lt": lambda sign: sign < 0,
    "le": lambda sign: sign <= 0,
    "gt": lambda sign: sign > 0,
    "ge": lambda sign: sign >= 0,
}


@rule(*_OUTCOMES)
def _compare(run: Run, equation: Any, values: list[Any]) -> Value:
    if is_whole(values):
        if any(v.lost is not None for v in values) or not isinstance(values[0].value, np.ndarray):
            return run.by_jax(equation, values)[0]
        names = {
            "eq": "equal",
            "ne": "not_equal",
            "lt": "less",
            "le": "less_equal",
            "gt": "greater",
            "ge": "greater_equal",
        }
        return Whole(getattr(np, names[equation.primitive.name])(values[0].value, values[1].value))
    a, b = f.shaped(run.tape, *values)
    name = equation.primitive.name
    for x, other in ((a, b), (b, a)):
        if x is other or (not other.varies and np.isinf(other.value).all()):
            _asks_for_a_number(run, x)
    sign = run.decisions.compare(a, b, "equality" if name in ("eq", "ne") else "order")
    outcome = np.where(unordered(a, b), name == "ne", _OUTCOMES[name](sign))
    run.decisions.note(outcome)
    return Whole(outcome, lost_of(a, b))


@rule("is_finite")
def _is_finite(run: Run, equation: Any, values: list[Any]) -> Value:
    """Numbers are finite: what overflows in float64 is lost, not infinite."""
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    _asks_for_a_number(run, x)
    return Whole(np.isfinite(x.value), lost_of(x))


def _asks_for_a_number(run: Run, x: Node) -> None:
    """Keep that it is asked whether a value is infinite or NaN: that it is none is taken for granted."""
    if x.varies:
        run.decisions.taken_for_granted[run.tape.place] = None
        if _overflows_easily(x):
            run.decisions.finite[x.number] = run.tape.place


_SMALL_POWER = 4
_HARMLESS = STRUCTURAL | CONTRACTIONS | {"var", "const", "add", "sub", "neg", "mul", "div", "root"}


def _overflows_easily(x: Node) -> bool:
    """Whether more than sums, products and quotients lead to a number: exp overflows at 710, they at 10¹⁵⁰."""
    seen, open_ = {x.number}, [x]
    while open_:
        node = open_.pop()
        if node.op not in _HARMLESS and not (node.op == "power" and node.data <= _SMALL_POWER):
            return True
        open_ += [arg for arg in node.args if arg.number not in seen]
        seen |= {arg.number for arg in node.args}
    return False


@rule("select_n")
def _select(run: Run, equation: Any, values: list[Any]) -> Value:
    which, *cases = values
    if not isinstance(which, Whole):
        raise TypeError("select_n by floats")
    index = np.broadcast_to(np.asarray(which.value).astype(np.int64), cases[0].value.shape)
    lost = None if which.lost is None or not which.lost.any() else np.broadcast_to(which.lost, index.shape)
    if isinstance(cases[0], Whole):
        marks = None if lost is None else np.array(lost)
        for i, case in enumerate(cases):
            if case.lost is not None:
                marks = np.where((index == i) & (case.lost > 0), case.lost, 0 if marks is None else marks)
        return Whole(np.choose(np.clip(index, 0, len(cases) - 1), [c.value for c in cases]), marks)
    run.decisions.note(index.astype(np.int8))
    result = cases[0]
    for i, case in enumerate(cases[1:], start=1):
        result = chosen(run, result, case, index == i)
    return with_lost(run, result, lost)


@rule("clamp")
def _clamp(run: Run, equation: Any, values: list[Any]) -> Value:
    low, x, high = values
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    tape = run.tape
    low, high = (f.broadcast(tape, f.shaped(tape, bound, x)[0], x.shape) for bound in (low, high))
    below, above = run.decisions.compare(x, low) < 0, run.decisions.compare(x, high) > 0
    return with_lost(run, chosen(run, chosen(run, x, low, below), high, above), lost_of(low, x, high))


@rule("floor", "ceil", "round")
def _round(run: Run, equation: Any, values: list[Any]) -> Value:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    name = equation.primitive.name
    if name == "round":
        shifted = f.add(run.tape, x, f.number(run.tape, 0.5, x))  # decided at the halves
        whole, side = run.decisions.nearest_whole(shifted)
        result = whole - (side < 0)
        even = int(equation.params["rounding_method"]) == 1
        tie = side == 0
        result = np.where(tie, np.where((result % 2 == 0) if even else (result > 0), result, result - 1), result)
    else:
        whole, side = run.decisions.nearest_whole(x)
        result = whole - (side < 0) if name == "floor" else whole + (side > 0)
    run.decisions.note(result)
    return with_lost(run, run.tape.const(result), lost_of(x))


@rule("and", "or", "not", "xor")
def _logic(run: Run, equation: Any, values: list[Any]) -> Value:
    if equation.primitive.name == "not" or values[0].value.dtype != bool:
        if all(v.lost is None for v in values):
            names = {"and": np.bitwise_and, "or": np.bitwise_or, "not": np.bitwise_not, "xor": np.bitwise_xor}
            return Whole(names[equation.primitive.name](*(v.value for v in values)))
        return (
            Whole(np.bitwise_not(values[0].value), values[0].lost)
            if len(values) == 1
            else run.by_jax(equation, values)[0]
        )
    a, b = values
    operation = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[equation.primitive.name]
    result = operation(a.value, b.value)
    if a.lost is None and b.lost is None:
        return Whole(result)
    lost_a, lost_b = (np.zeros(result.shape, np.int16) if v.lost is None else v.lost for v in values)
    # one side may settle the outcome whatever the other is: False and …, True or …
    settles = {"and": lambda v, lost: ~v & (lost == 0), "or": lambda v, lost: v & (lost == 0)}.get(
        equation.primitive.name
    )
    settled = settles(a.value, lost_a) | settles(b.value, lost_b) if settles else np.zeros(result.shape, bool)
    return Whole(result, np.where(settled, 0, np.maximum(lost_a, lost_b)).astype(np.int16))


# ── extremes and order along an axis ─────────────────────────────────────────────────────────────────────────────────
@rule("reduce_max", "reduce_min", "argmax", "argmin")
def _reduce_extreme(run: Run, equation: Any, values: list[Any]) -> Value:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    name, axes = equation.primitive.name, tuple(equation.params["axes"])
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    order = np.arange(x.size).reshape(x.shape).transpose(*kept, *axes)
    rows = order.reshape(*[x.shape[axis] for axis in kept], -1)
    best, lost = extremes(run, x, rows, name.endswith("max"))
    if name.startswith("reduce"):
        picked = np.take_along_axis(rows, best[..., None], -1)[..., 0]
        result = run.tape.write("take", x, data=picked, key=(picked.shape, picked.tobytes()))
        return with_lost(run, result, lost)
    return Whole(best.astype(equation.outvars[0].aval.dtype), lost)


def extremes(run: Run, x: Node, rows: np.ndarray, largest: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Where each row has its extreme entry, the first of several.

    Args:
        run: the program.
        x: the array.
        rows: numbers of its entries, the last axis is searched; −1 for none.
        largest: whether the largest or the smallest is meant.

    Returns:
        The places along the last axis, and where they are lost.
    """
    flat = np.append(x.value.reshape(-1), -np.inf if largest else np.inf)
    values = flat[rows]
    marks = np.append(np.zeros(x.size, np.int16) if x.marks is None else x.marks.reshape(-1), np.int16(0))[rows]
    ranked = np.where(np.isnan(values), np.inf if largest else -np.inf, values)
    best = (ranked.argmax if largest else ranked.argmin)(axis=-1)
    best = _second_best(ranked, best, largest) if run.exchanged else best
    best = np.where((marks == NAN).any(-1), (marks == NAN).argmax(-1), best)
    # what is known: an extreme entry. Every other one either is decided to lie below it, or equals it as a formula
    winner = np.take_along_axis(rows, best[..., None], -1)
    pairs = np.stack(np.broadcast_arrays(rows, winner))
    present = pairs[0] >= 0
    taken = [run.tape.write("take", x, data=p, key=(p.shape, p.tobytes())) for p in pairs]
    sign = run.decisions.compare(taken[0], taken[1], "choice", (pairs[0] == pairs[1]) | ~present)
    ties = (sign == 0) & present
    best = np.where((marks == NAN).any(-1), best, ties.argmax(-1))
    run.decisions.note(best)
    others = present & np.isfinite(values) & (pairs[0] != pairs[1]) & (sign != 0)
    run.decisions.chose(ties.astype(np.int16), (present & others.any(-1, keepdims=True) & np.isfinite(values)))
    lost = np.where(marks >= 4, marks, 0).max(-1) if x.marks is not None else None
    return best, lost if lost is not None and lost.any() else None


def _second_best(ranked: np.ndarray, best: np.ndarray, largest: bool) -> np.ndarray:
    """The best of the other numbers in each row, where there is one."""
    others = ranked.copy()
    np.put_along_axis(others, best[..., None], -np.inf if largest else np.inf, -1)
    second = (others.argmax if largest else others.argmin)(axis=-1)
    there = np.isfinite(np.take_along_axis(others, second[..., None], -1)[..., 0])
    return np.where(there, second, best)


@rule("sort")
def _sort(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    axis, count = equation.params["dimension"], equation.params["num_keys"]
    keys = values[:count]
    if is_whole(values):
        return run.by_jax(equation, values)
    first = keys[0]
    if count != 1 or (isinstance(first, Node) and first.marks is not None):
        return [
            run.unknown(v.aval, f"{run.tape.place}: several keys, or keys that are no numbers")
            for v in equation.outvars
        ]
    order = np.argsort(first.value, axis=axis, kind="stable")
    if isinstance(first, Node):
        order = _settled_order(run, first, order, axis)
    return [_along(run, value, order, axis) for value in values]


def _settled_order(run: Run, key: Node, order: np.ndarray, axis: int) -> np.ndarray:
    """Neighbours in the order are decided, or equal as formulas and then in their first order."""
    order = np.roll(order, 1, axis) if run.exchanged else order  # turned around, the middle would stay
    entries = np.take_along_axis(np.arange(key.size).reshape(key.shape), order, axis)
    moved = np.moveaxis(entries, axis, -1)
    taken = [
        run.tape.write("take", key, data=p, key=(p.shape, p.tobytes()))
        for p in (moved[..., :-1].copy(), moved[..., 1:].copy())
    ]
    sign = run.decisions.compare(taken[0], taken[1], "choice")
    group = np.concatenate([np.zeros((*sign.shape[:-1], 1), int), (sign != 0).cumsum(-1)], axis=-1)
    places = np.moveaxis(order, axis, -1)
    again = np.lexsort((places, group), axis=-1)
    settled = np.moveaxis(np.take_along_axis(places, again, -1), -1, axis)
    run.decisions.note(settled)
    ranks = np.argsort(settled, axis=axis, kind="stable")
    run.decisions.chose(ranks, np.full(ranks.shape, ranks.shape[axis] > 1))
    return settled


def _along(run: Run, value: Value, order: np.ndarray, axis: int) -> Value:
    entries = np.take_along_axis(np.arange(order.size).reshape(order.shape), order, axis)
    if isinstance(value, Node):
        return run.tape.write("take", value, data=entries, key=(entries.shape, entries.tobytes()))
    return Whole(
        np.take_along_axis(value.value, order, axis),
        None if value.lost is None else np.take_along_axis(value.lost, order, axis),
    )


@rule("top_k")
def _top_k(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)
    if x.marks is not None:
        return [run.unknown(v.aval, f"{run.tape.place}: entries that are no numbers") for v in equation.outvars]
    axis = equation.params.get("axis", len(x.shape) - 1) % len(x.shape)
    order = _settled_order(run, f.neg(run.tape, x), np.argsort(-x.value, axis=axis, kind="stable"), axis)
    places = np.take(order, np.arange(equation.params["k"]), axis=axis)
    entries = np.take_along_axis(np.arange(x.size).reshape(x.shape), places, axis)
    result = run.tape.write("take", x, data=entries, key=(entries.shape, entries.tobytes()))
    return [result, Whole(places.astype(equation.outvars[1].aval.dtype))]


@rule("cummax", "cummin")
def _cumulative_extreme(run: Run, equation: Any, values: list[Any]) -> Value:
    (x,) = values
    if isinstance(x, Whole):
        return run.by_jax(equation, values)[0]
    axis = equation.params["axis"]
    length = x.shape[axis]
    entries = np.moveaxis(np.arange(x.size).reshape(x.shape), axis, -1)
    window = np.arange(length) <= np.arange(length)[:, None]
    if equation.params["reverse"]:
        window = window.T
    rows = np.where(window, entries[..., None, :], -1)
    best, lost = extremes(run, x, rows, equation.primitive.name == "cummax")
    picked = np.moveaxis(np.take_along_axis(rows, best[..., None], -1)[..., 0], -1, axis)
    result = run.tape.write("take", x, data=picked, key=(picked.shape, picked.tobytes()))
    return with_lost(run, result, None if lost is None else np.moveaxis(lost, -1, axis))
