"""Traced programs run anew, with some of their equations done otherwise.

A JAX function is traced to a list of equations (`jax.make_jaxpr`) and these are evaluated one by one, those of jitted
functions, loops and branches included, while a visitor may take any equation into its own hands. Three uses:

    without_rules   custom derivatives and stop_gradient are looked through: what is differentiated is the forward
                    itself, whatever derivative its author declared for it
    `rounding`      every result is moved by one unit in the last place
    `shares`        units on a kink get the derivative of either side

A run costs what the function costs; memory is that of the function without reuse of buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, DebugInfo, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

Values = list[Any]
Visitor = Callable[[JaxprEqn, Values], "Values | None"]  # None leaves the equation as it is

_RULES = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2", *_RULES)
LOOPS = ("scan", "while", "cond")
_BLOCKS = "stop_gradient"
_ALONE = DebugInfo("evaluate", "one equation", None, None)


def same(value: Any) -> Any:
    """Give back what is given."""
    return value


class Way(NamedTuple):
    """How a program is run.

    Attributes:
        visit: (equation, values of its operands) -> its results, or None where they are to be computed as always.
        unroll: whether to run loops of known length pass by pass, so that every pass is shown, and to show nothing of
            other loops and branches.
        wrap: gives values that enter or leave a loop the form that the visitor gives its results.
    """

    visit: Visitor
    unroll: bool = False
    wrap: Callable[[Any], Any] = same


def evaluate(program: ClosedJaxpr, args: Sequence[Any], way: Way) -> Values:
    """Run a traced program, with every equation shown to a visitor first.

    Args:
        program: from `jax.make_jaxpr`.
        args: its arguments, flat.
        way: how to run it.

    Returns:
        Its results, flat.
    """
    values: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    values.update(zip(program.jaxpr.invars, args, strict=True))

    def read(operand: Any) -> Any:
        return operand.val if _is_literal(operand) else values[operand]

    for equation in program.jaxpr.eqns:
        operands = [read(operand) for operand in equation.invars]
        results = way.visit(equation, operands)
        if results is None:
            results = as_always(equation, operands, way)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(result) for result in program.jaxpr.outvars]


def as_always(equation: JaxprEqn, operands: Values, way: Way | None = None) -> Values:
    """Compute an equation's results.

    Args:
        equation: the equation.
        operands: their values.
        way: how to run what it calls; None runs it as it is.
    """
    name, params = equation.primitive.name, equation.params
    if way is not None and name in CALLS:
        return evaluate(body_of(equation), operands, way)
    if way is not None and name == "scan":
        return (_passes if way.unroll else _scan)(params, operands, way)
    if way is not None and name == "while" and not way.unroll:
        return _while(params, operands, way)
    if way is not None and name == "cond" and not way.unroll:
        branches = [_called(branch, way) for branch in params["branches"]]
        return list(jax.lax.switch(operands[0], branches, *map(way.wrap, operands[1:])))
    given = {op: value for op, value in zip(equation.invars, operands, strict=True) if not _is_literal(op)}
    names: Any = list(given)
    alone = Jaxpr((), names, equation.outvars, [equation], equation.effects, _ALONE)
    return list(jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values()))


def _is_literal(operand: Any) -> bool:
    return isinstance(operand, Literal)


def _called(program: ClosedJaxpr, way: Way) -> Callable:
    return lambda *operands: tuple(map(way.wrap, evaluate(program, operands, way)))


def body_of(equation: JaxprEqn) -> ClosedJaxpr:
    """The program that a call runs."""
    params = equation.params
    body = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
    return ClosedJaxpr(body, ()) if isinstance(body, Jaxpr) else body


def parts_of_scan(params: dict[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are constants and how many are carried: JAX 0.12 keeps trees in place of numbers."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)


def _scan(params: dict[str, Any], operands: Values, way: Way) -> Values:
    first, carried = parts_of_scan(params)
    last = first + carried
    operands = list(map(way.wrap, operands))
    fixed = operands[:first]

    def body(carry: Values, x: Values) -> tuple[Values, Values]:
        results = list(map(way.wrap, evaluate(params["jaxpr"], [*fixed, *carry, *x], way)))
        return results[: last - first], results[last - first :]

    carry, ys = jax.lax.scan(
        body, operands[first:last], operands[last:], length=params["length"], reverse=params["reverse"]
    )
    return [*carry, *ys]


def _passes(params: dict[str, Any], operands: Values, way: Way) -> Values:
    """A loop of known length without the loop."""
    first, carried = parts_of_scan(params)
    last = first + carried
    operands = list(map(way.wrap, operands))
    fixed, carry, xs = operands[:first], operands[first:last], operands[last:]
    kept: list[Values] = []
    for t in sorted(range(params["length"]), reverse=params["reverse"]):
        of_pass = [jax.tree.map(lambda leaf, t=t: leaf[t], x) for x in xs]
        results = list(map(way.wrap, evaluate(params["jaxpr"], [*fixed, *carry, *of_pass], way)))
        carry, kept = results[: last - first], [*kept, results[last - first :]]
    kept = kept[::-1] if params["reverse"] else kept
    return [*carry, *(jax.tree.map(lambda *leaves: jnp.stack(leaves), *ys) for ys in zip(*kept, strict=True))]


def _while(params: dict[str, Any], operands: Values, way: Way) -> Values:
    first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    operands = list(map(way.wrap, operands))
    return jax.lax.while_loop(
        lambda carry: evaluate(condition, [*operands[:first], *carry], way)[0],
        lambda carry: list(map(way.wrap, evaluate(body, [*operands[first:last], *carry], way))),
        operands[last:],
    )


def equations_of(program: ClosedJaxpr) -> Iterator[JaxprEqn]:
    """Every equation of a program, those of its calls, loops and branches included."""
    for equation in program.jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from equations_of(inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ()))


def _is_program(value: Any) -> bool:
    return isinstance(value, ClosedJaxpr | Jaxpr)


class Traits(NamedTuple):
    """What a traced forward is like."""

    rules: bool  # declares derivatives of its own: custom_jvp, custom_vjp, stop_gradient
    single: bool  # computes some of it in less than float64
    names: frozenset[str]  # of its primitives


def traits_of(f: Callable, *args: Any) -> Traits:
    """Look a function over.

    Args:
        f: a JAX function.
        *args: its arguments in float64, or their shapes.
    """
    program = jax.make_jaxpr(f)(*args)
    names = frozenset(equation.primitive.name for equation in equations_of(program))
    return Traits(bool(names & {*_RULES, _BLOCKS}), float_dtypes(program) != {np.dtype(np.float64)}, names)


def without_rules(f: Callable) -> Callable:
    """The same function, to be differentiated as it is computed: custom derivatives and stop_gradient are ignored.

    Args:
        f: (*args) -> one array, in JAX.

    Returns:
        A function of the same arguments and value.
    """

    def look_through(equation: JaxprEqn, operands: Values) -> Values | None:
        return operands if equation.primitive.name == _BLOCKS else None

    return lambda *args: evaluate(jax.make_jaxpr(f)(*args), jax.tree.leaves(args), Way(look_through))[0]


def float_dtypes(program: ClosedJaxpr) -> set[Any]:
    """The floating-point types that a program computes in."""
    variables = [*program.jaxpr.invars, *(v for equation in equations_of(program) for v in equation.outvars)]
    dtypes = {dtype_of(variable) for variable in variables}
    return {dtype for dtype in dtypes if dtype is not None and jnp.issubdtype(dtype, jnp.floating)}


def dtype_of(variable: Any) -> Any:
    """The type of a variable's numbers; None for what has none."""
    return getattr(variable.aval, "dtype", None)
