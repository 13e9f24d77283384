"""The interpreter: a traced program is run once in float64, and what it computes is written on the tape.

Floats are nodes of the tape. Whole numbers, truth values and random keys are concrete: they are computed as JAX
computes them, by JAX itself where NumPy could do it otherwise, and never become unknowns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

from fnn.verify.proving import formulas
from fnn.verify.proving.decisions import CannotTell, Decisions
from fnn.verify.proving.tape import LOST, Node, Tape


class Whole(NamedTuple):
    """Concrete numbers: integers, truth values, keys.

    Attributes:
        value: a NumPy array, or a JAX array of keys.
        lost: int16 like value, the reason where an entry hangs on what is lost; None where none does.
    """

    value: Any
    lost: np.ndarray | None = None


CALLS = frozenset(
    ["jit", "pjit", "closed_call", "core_call", "core_closed_call", "call", "remat", "remat2", "checkpoint"]
)  # they run another program, no more
Value = Node | Whole
Rule = Callable[["Run", Any, list[Any]], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register what a primitive writes on the tape: (run, equation, values) -> value, or values."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Run:
    """One program at one point.

    Attributes:
        tape: what it is written on.
        decisions: what float64 decided on the way.
        steps: number of equations run, loops unrolled.
        exchanged: whether the second best is chosen in place of the best, and orders begin with their last: to see
            whether a result hangs on what is chosen.

    What JAX computed of concrete numbers is kept in the dictionary that is handed in, for the next point. Literals that
    are to be read as r ln c are handed in as {literal: (r, c)}. `narrow` says that the caller computes whole numbers
    with 32 bits where none are asked for: what does not fit into these is lost here.
    """

    def __init__(
        self,
        tape: Tape,
        program: str,
        most_steps: int,
        concrete: dict | None = None,
        logarithms: dict[float, tuple[Fraction, Fraction]] | None = None,
        *,
        narrow: bool = False,
        exchanged: bool = False,
        meets: Collection[tuple] = (),
    ) -> None:
        self.tape, self.decisions = tape, Decisions(tape, program, meets)
        self._concrete = {} if concrete is None else concrete
        self._logarithms = logarithms or {}
        self.steps, self.most_steps = 0, most_steps
        self._narrow, self.exchanged = narrow, exchanged
        self.float_size = 4 if narrow else 8  # bytes of the caller's floats

    def closed(self, closed: Any, values: Sequence[Value]) -> list[Value]:
        """Run a jaxpr with its constants."""
        return self.open(closed.jaxpr, [self.constant(c) for c in closed.consts], values)

    def open(self, jaxpr: Any, consts: Sequence[Value], values: Sequence[Value]) -> list[Value]:
        """Run a jaxpr.

        Args:
            jaxpr: the program.
            consts: values of its constants.
            values: values of its arguments.

        Returns:
            Its results.
        """
        known: dict[Any, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *values], strict=True))

        def read(atom: Any) -> Value:
            return (
                self.constant(atom.val, getattr(atom.aval, "dtype", None))
                if isinstance(atom, core.Literal)
                else known[atom]
            )

        outer = self.decisions.equation
        for i, equation in enumerate(jaxpr.eqns):
            self.decisions.equation = (*outer, i)
            results = self._step(equation, [read(atom) for atom in equation.invars])
            if self._narrow:
                results = [self._within_32_bits(r) if isinstance(r, Whole) else r for r in results]
            if any(r.value.shape != v.aval.shape for r, v in zip(results, equation.outvars, strict=True)):
                raise CannotTell(f"{self.tape.place}: a result of another shape than JAX's")
            known.update(zip(equation.outvars, results, strict=True))
        self.decisions.equation = outer
        return [read(atom) for atom in jaxpr.outvars]

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A literal or an array closed over."""
        dtype = getattr(value, "dtype", dtype)
        if jnp.issubdtype(dtype, jax.dtypes.extended):
            return Whole(value)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise CannotTell("complex numbers")
        if jnp.issubdtype(dtype, jnp.floating):
            array = np.asarray(value).astype(np.float64)
            if array.ndim == 0 and float(array) in self._logarithms:
                r, c = self._logarithms[float(array)]
                return formulas.scaled(self.tape, formulas.log(self.tape, self.tape.const(float(c))), r)
            return self.tape.const(array)
        return Whole(np.asarray(value, dtype))

    def _step(self, equation: Any, values: list[Value]) -> list[Value]:
        name = equation.primitive.name
        self.steps += 1
        if self.steps > self.most_steps:
            raise CannotTell(f"more than {self.most_steps} steps, loops unrolled")
        self.tape.place = f"{name} at {where_of(equation) or 'an unknown line'}"
        is_call = any(key in equation.params for key in ("jaxpr", "call_jaxpr", "branches", "body_jaxpr"))
        if not is_call and any(jnp.issubdtype(v.aval.dtype, jnp.complexfloating) for v in equation.outvars):
            raise CannotTell(f"{self.tape.place}: complex numbers")
        if name in RULES:
            try:
                results = RULES[name](self, equation, values)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, NotImplementedError) as error:
                raise CannotTell(f"{self.tape.place}: no reading of this form ({error})") from error
            return list(results) if isinstance(results, list | tuple) and not isinstance(results, Whole) else [results]
        if all(isinstance(value, Whole) for value in values) and not _has_floats(equation):
            return self.by_jax(equation, values)
        reason = f"{self.tape.place}: no algebraic reading of this primitive"
        return [self.unknown(variable.aval, reason) for variable in equation.outvars]

    def _within_32_bits(self, whole: Whole) -> Whole:
        value = whole.value
        if not isinstance(value, np.ndarray) or value.dtype != np.int64 or not value.size:
            return whole
        outside = (value > 2**31 - 1) | (value < -(2**31))
        if not outside.any():
            return whole
        reason = f"{self.tape.place}: a whole number beyond 32 bits, where it wraps around without jax_enable_x64"
        known = np.zeros(value.shape, np.int16) if whole.lost is None else whole.lost
        return Whole(value, np.where(outside & (known == 0), self.tape.reason(reason), known).astype(np.int16))

    def unknown(self, aval: Any, reason: str) -> Value:
        """A result of which nothing is known."""
        if jnp.issubdtype(aval.dtype, jnp.floating):
            return self.tape.lost(aval.shape, reason)
        if jnp.issubdtype(aval.dtype, jnp.integer) or aval.dtype == bool:
            return Whole(np.zeros(aval.shape, aval.dtype), np.full(aval.shape, self.tape.reason(reason), np.int16))
        raise CannotTell(reason)

    def by_jax(self, equation: Any, values: list[Value]) -> list[Value]:
        """Compute concrete numbers with the primitive itself."""
        lost = max(
            (int(v.lost.max(initial=0)) for v in values if isinstance(v, Whole) and v.lost is not None), default=0
        )
        if lost:
            return [self.unknown(variable.aval, self.reason_of(lost)) for variable in equation.outvars]
        arguments = [v.value for v in values]
        known = all(isinstance(a, np.ndarray) for a in arguments)
        name = (id(equation), *((a.dtype, a.shape, a.tobytes()) for a in arguments)) if known else None
        if name not in self._concrete:
            results = _evaluated(equation, arguments)
            if name is None:
                return [self.constant(result) for result in results]
            self._concrete[name] = (equation, results)  # the equation is kept, so that its id stays its own
        return [self.constant(result) for result in self._concrete[name][1]]

    def reason_of(self, mark: int) -> str:
        """Why an entry is lost."""
        return self.tape.reasons[mark - LOST]

    def concrete(self, value: Value, use: str) -> np.ndarray:
        """Numbers that steer the program, which must be known.

        Raises:
            CannotTell: they hang on something lost.
        """
        if not isinstance(value, Whole):
            raise CannotTell(f"{use} hangs on floats, {self.tape.place}")
        if value.lost is not None and value.lost.any():
            raise CannotTell(f"{use} hangs on what is lost: {self.reason_of(int(value.lost.max()))}")
        return value.value


def _evaluated(equation: Any, arguments: list[Any]) -> list[Any]:
    sub = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
    if equation.primitive.name in ("jit", "pjit") and sub is not None:
        results = jax.jit(core.jaxpr_as_fun(sub))(*arguments)
    else:
        results = equation.primitive.bind(*map(jnp.asarray, arguments), **equation.params)
        results = results if equation.primitive.multiple_results else [results]
    return [r if jnp.issubdtype(r.dtype, jax.dtypes.extended) else np.asarray(r) for r in results]


def where_of(equation: Any) -> str:
    """File and line of an equation, as JAX recorded it."""
    told = source_info_util.summarize(equation.source_info)
    return told.rsplit("/", 1)[-1].split(" (")[0]


def equations_of(jaxpr: Any) -> list[Any]:
    """All equations of a program, those of its subprograms included."""
    found = []
    for equation in jaxpr.eqns:
        found.append(equation)
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    found += equations_of(inner)
    return found


def float_dtypes(jaxpr: Any) -> set[Any]:
    """The dtypes of all floats that a program computes."""
    variables = [v for equation in equations_of(jaxpr) for v in equation.outvars if hasattr(v.aval, "dtype")]
    return {v.aval.dtype for v in variables if jnp.issubdtype(v.aval.dtype, jnp.floating)}


def _has_floats(equation: Any) -> bool:
    """Whether a subprogram without arguments of its own computes with floats, to be read as formulas."""
    return any(jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars)
