"""What runs other programs: jit, custom rules, rematerialization, scan, while, cond."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.movement import View
from fnn.verify.proving.moving import joined, moved_by
from fnn.verify.proving.run import CALLS, Run, Value, Whole, equations_of, rule
from fnn.verify.proving.tape import Node
from fnn.verify.rewriting import parts_of_scan


@rule(*CALLS, "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
def _call(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    parameters = equation.params
    inner = next(parameters[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in parameters)
    if _is_gaussian(parameters, inner):
        (x,) = values
        return [f.exp(run.tape, f.neg(run.tape, f.mul(run.tape, x, x)))]
    if equation.primitive.name in ("jit", "pjit") and values and all(isinstance(v, Whole) for v in values):
        return run.by_jax(equation, values)  # keys and whole numbers alone: what it draws is concrete
    return run.closed(inner, values) if hasattr(inner, "consts") else run.open(inner, [], values)


def _is_gaussian(parameters: dict[str, Any], inner: Any) -> bool:
    """Whether this is JAX's own exp(−x²), the derivative of erf: by bits and a polynomial, so as not to lose digits."""
    body = getattr(inner, "jaxpr", inner)
    if getattr(body.debug_info, "func_name", "") != "exp_neg_sq":
        return False
    names = {e.primitive.name for e in equations_of(body)}
    return {"bitcast_convert_type", "polynomial", "exp"} <= names


@rule("scan")
def _scan(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    parameters = equation.params
    count, carried = parts_of_scan(parameters)
    consts, carry, stacked = values[:count], values[count : count + carried], values[count + carried :]
    length = parameters["length"]
    order = range(length - 1, -1, -1) if parameters["reverse"] else range(length)
    outputs: dict[int, list[Value]] = {}
    for i in order:
        results = run.closed(parameters["jaxpr"], [*consts, *carry, *(_entry(run, x, i) for x in stacked)])
        carry, outputs[i] = results[:carried], results[carried:]
    ys = (
        [_stacked(run, [outputs[i][j] for i in range(length)]) for j in range(len(equation.outvars) - carried)]
        if length
        else []
    )
    if not length:
        ys = [run.constant(np.zeros(v.aval.shape, v.aval.dtype)) for v in equation.outvars[carried:]]
    return [*carry, *ys]


def _entry(run: Run, x: Value, i: int) -> Value:
    if isinstance(x, Whole) and not isinstance(x.value, np.ndarray):
        return Whole(x.value[i])
    shape = x.value.shape
    row = moved_by(run, x, View("slice", ((i, i + 1, 1), *((0, n, 1) for n in shape[1:]))))
    return moved_by(run, row, View("reshape", shape[1:]))


def _stacked(run: Run, rows: list[Value]) -> Value:
    if isinstance(rows[0], Node):
        return joined(run, [f.reshape(run.tape, row, (1, *row.shape)) for row in rows if isinstance(row, Node)], 0)
    return joined(
        run, [Whole(r.value[None], None if r.lost is None else r.lost[None]) for r in rows if isinstance(r, Whole)], 0
    )


@rule("while")
def _while(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    parameters = equation.params
    first, second = parameters["cond_nconsts"], parameters["body_nconsts"]
    of_condition, of_body, carry = values[:first], values[first : first + second], values[first + second :]
    while True:
        outer, run.decisions.in_condition = run.decisions.in_condition, True
        (goes_on,) = run.closed(parameters["cond_jaxpr"], [*of_condition, *carry])
        run.decisions.in_condition = outer
        if not isinstance(goes_on, Whole) or goes_on.value.shape != ():
            raise CannotTell(f"a loop whose condition is an array, {run.tape.place}")
        if not bool(run.concrete(goes_on, "a loop's condition")):
            return carry
        carry = run.closed(parameters["body_jaxpr"], [*of_body, *carry])


@rule("platform_index")
def _platform_index(run: Run, equation: Any, values: list[Any]) -> Value:
    """Where programs differ from platform to platform: as on a CPU, which is where proofs are made."""
    platforms = equation.params["platforms"]
    on_cpu = [number for number, names in enumerate(platforms) if names is None or "cpu" in names]
    return run.constant(np.asarray(on_cpu[0], np.int32))


@rule("cond")
def _cond(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    index, *operands = values
    branches = equation.params["branches"]
    chosen = int(np.clip(int(run.concrete(index, "a branch")), 0, len(branches) - 1))
    run.decisions.note(np.array([chosen]))
    return run.closed(branches[chosen], operands)
