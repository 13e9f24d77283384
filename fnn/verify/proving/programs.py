"""Programs to be compared: traced in float64, with whole numbers and keys fixed, and compiled for the guard."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from fnn.verify.oracles import precise
from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.run import CALLS, equations_of, float_dtypes, where_of

Tree = Any
_LEVEL = "xla_backend_optimization_level"


@dataclass(frozen=True)
class Arguments:
    """Arguments with their floats taken out.

    Attributes:
        leaves: all leaves; floats are what varies.
        structure: the tree.
        floats: numbers of the leaves that are floats.
        names: what the float leaves are called, "args[0].W".
    """

    leaves: tuple[Any, ...]
    structure: Any
    floats: tuple[int, ...]
    names: tuple[str, ...]

    def filled(self, values: Sequence[Any]) -> tuple:
        """The arguments with other floats."""
        leaves = list(self.leaves)
        for number, value in zip(self.floats, values, strict=True):
            leaves[number] = value
        return jax.tree.unflatten(self.structure, leaves)

    def point(self) -> list[np.ndarray]:
        """The floats as they were given, in float64."""
        return [np.asarray(self.leaves[i], np.float64) for i in self.floats]


def arguments_of(args: tuple) -> Arguments:
    """Take the floats out of arguments.

    Raises:
        TypeError: a leaf is neither a number nor an array; complex numbers.
    """
    paths, structure = jax.tree.flatten_with_path(args)
    leaves: list[Any] = []
    floats: list[int] = []
    names: list[str] = []
    for path, leaf in paths:
        if not isinstance(leaf, bool | int | float | np.ndarray | np.generic | jax.Array):
            raise TypeError(
                f"prove expects arguments that are pytrees of arrays and numbers, got {leaf!r} in "
                f"args{jax.tree_util.keystr(path)}; close over what is none: prove(lambda x: f(x, {leaf!r}), ...)"
            )
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(f"prove expects real numbers, got {dtype}; pass real and imaginary parts apart")
        if jnp.issubdtype(dtype, jnp.floating):
            floats.append(len(leaves))
            names.append(f"args{jax.tree_util.keystr(path)}")
        leaves.append(leaf)
    return Arguments(tuple(leaves), structure, tuple(floats), tuple(names))


@dataclass(frozen=True)
class Program:
    """One of the two functions.

    Attributes:
        name: "f" or "g", as the verdict calls it.
        jaxpr: traced in float64; its arguments are the float leaves.
        structure: tree of the result.
        shapes: shape and dtype of each leaf as the arguments' own dtypes give it.
        leaves: names of the leaves of the result.
        own: traced as it stands, with the arguments' own dtypes and the caller's settings.
        narrow: whether whole numbers have 32 bits there where none are asked for.
        agree: what the compiled program may differ by from its formula, of the largest entry: 1e-9, or more where it
            computes in float32 as its arguments do.
        concrete: what was computed of whole numbers and keys, see `fnn.verify.proving.run.Run`.
    """

    name: str
    jaxpr: Any
    structure: Any
    shapes: tuple[tuple[tuple[int, ...], Any], ...]
    leaves: tuple[str, ...]
    own: Any
    narrow: bool
    agree: float
    concrete: dict = field(default_factory=dict)


def trace(name: str, function: Callable, arguments: Arguments) -> Program:
    """Trace a function in float64, with the whole numbers and keys of its arguments fixed.

    Args:
        name: what the verdict calls it.
        function: any function that JAX can trace.
        arguments: its arguments.
    """
    own, shapes = jax.make_jaxpr(lambda *floats: function(*arguments.filled(floats)), return_shape=True)(
        *(_own(arguments, i) for i in arguments.floats)
    )
    paths, structure = jax.tree.flatten_with_path(shapes)

    def of_floats(*floats: Any) -> list[Any]:
        return [jnp.asarray(leaf) for leaf in jax.tree.leaves(function(*arguments.filled(floats)))]

    with precise(), jax.numpy_dtype_promotion("standard"):
        jaxpr = jax.make_jaxpr(of_floats)(*(jnp.asarray(x) for x in arguments.point()))
    return Program(
        name,
        jaxpr,
        structure,
        tuple((leaf.shape, leaf.dtype) for _, leaf in paths),
        tuple(jax.tree_util.keystr(path) for path, _ in paths),
        own.jaxpr,
        not jax.config.read("jax_enable_x64"),
        _agreement(own, jaxpr),
    )


def _agreement(own: Any, traced: Any) -> float:
    """1e-9; 1e-4 where float32 is asked for and everything is in float32 as it stands, so that nothing is narrowed."""
    narrowest = [min((d.itemsize for d in float_dtypes(trace.jaxpr)), default=8) for trace in (own, traced)]
    given = min((v.aval.dtype.itemsize for v in own.jaxpr.invars), default=8)
    return 1e-4 if narrowest == [4, 4] and given == 4 else 1e-9


def _own(arguments: Arguments, i: int) -> Any:
    leaf = arguments.leaves[i]
    return leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)


class Compiled:
    """Both programs as one compiled function, in float64: what the guard compares.

    Args:
        programs: f and g.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        functions = [core.jaxpr_as_fun(program.jaxpr) for program in programs]
        # compiled without optimizations, which take longer than what is computed here
        self._both = jax.jit(lambda *floats: [f(*floats) for f in functions], compiler_options={_LEVEL: 0})

    def __call__(self, point: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """The leaves of both results at a point."""
        with precise():
            return [[_on_host(leaf) for leaf in side] for side in self._both(*(jnp.asarray(x) for x in point))]


def _on_host(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf).astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else np.asarray(leaf)


# ── what the trace says about a function ─────────────────────────────────────────────────────────────────────────────
def custom_rules(function: Callable, *args: Any) -> tuple[str, ...]:
    """Names of the custom derivative rules in a function, with their lines."""
    rules = [e for e in equations_of(jax.make_jaxpr(function)(*args).jaxpr) if _is_rule(e)]
    return tuple(dict.fromkeys(map(_rule_name, rules)))


def without_custom_rules(function: Callable, *args: Any) -> Callable:
    """A function with the custom derivative rules in it removed: what they wrap is called instead.

    Args:
        function: any function.
        *args: its arguments.

    Returns:
        A function of the same arguments.

    Raises:
        CannotTell: a rule can't be removed.
    """
    traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    if not any(map(_is_rule, equations_of(traced.jaxpr))):
        return function
    structure = jax.tree.structure(shape)

    def plain(*args: Any) -> Any:
        leaves = jax.tree.leaves(args)
        results = _replayed(traced.jaxpr, traced.consts, leaves)
        return jax.tree.unflatten(structure, results)

    if left := custom_rules(plain, *args):
        raise CannotTell(f"{left[0]} has a derivative rule of its own that can't be taken out")
    return plain


def _is_rule(equation: Any) -> bool:
    """Whether an equation says itself what its derivative is."""
    name = equation.primitive.name
    return (name.startswith("custom_") and "call" in name) or name == "linear_call"


def _rule_name(equation: Any) -> str:
    inner = equation.params.get("call_jaxpr") or equation.params.get("fun_jaxpr")
    debug_info = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
    told = equation.params.get("name") or getattr(debug_info, "func_name", "a rule")
    return f"{told} at {where_of(equation)}"


def linear_solves(function: Callable, *args: Any) -> Callable | None:
    """What linear solves with a rule of their own claim, as a function of the same arguments; None without any.

    Args:
        function: any function.
        *args: its arguments.

    Returns:
        (*args) -> (left sides, right sides) of A x = b and Aᵀ y = b, for all solves: equal if the rules are right.

    Raises:
        CannotTell: there is one within a loop or a branch.
    """
    rules = equations_of(jax.make_jaxpr(function)(*args).jaxpr)
    count = sum(e.primitive.name == "custom_linear_solve" for e in rules)
    if not count:
        return None

    def claims(*args: Any) -> tuple[list[Any], list[Any]]:
        traced = jax.make_jaxpr(function)(*args)
        sides: list[tuple[Any, Any]] = []
        _replayed(traced.jaxpr, traced.consts, jax.tree.leaves(args), sides)
        return [left for left, _ in sides], [right for _, right in sides]

    if len(jax.eval_shape(claims, *args)[0]) < count:
        raise CannotTell("a linear solve with a rule of its own within a loop or a branch")
    return claims


def _claims(parameters: dict[str, Any], values: list[Any]) -> Iterator[tuple[Any, Any]]:
    """A x and b, Aᵀ y and b, with what the equation calls solutions x and y."""
    lengths, jaxprs = parameters["const_lengths"], parameters["jaxprs"]
    ends = list(itertools.accumulate(lengths))
    consts = [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    right = values[ends[-1] :]

    def called(jaxpr: Any, held: list[Any], operands: list[Any]) -> list[Any]:
        return _replayed(getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", []), [*held, *operands])

    pairs = [(jaxprs.matvec, consts[0], jaxprs.solve, consts[2])]
    if jaxprs.transpose_solve is not None:
        pairs.append((jaxprs.vecmat, consts[1], jaxprs.transpose_solve, consts[3]))
    for product, held, solve, held_by_solve in pairs:
        yield from zip(called(product, held, called(solve, held_by_solve, right)), right, strict=True)


def _replayed(
    jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], sides: list[tuple[Any, Any]] | None = None
) -> list[Any]:
    """Evaluate a jaxpr with custom rules replaced by what they wrap, in loops and branches as well.

    Args:
        jaxpr: the program.
        consts: its constants.
        args: its arguments.
        sides: where both sides of what linear solves claim are put, if anywhere.
    """
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values, parameters, name = [read(atom) for atom in equation.invars], equation.params, equation.primitive.name
        inner = next((parameters[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in parameters), None)
        if name == "custom_linear_solve" and sides is not None:
            sides += _claims(parameters, values)
        if inner is not None and (name in CALLS or _is_rule(equation)):
            results = _replayed(getattr(inner, "jaxpr", inner), getattr(inner, "consts", []), values, sides)
        else:
            results = equation.primitive.bind(*values, **{key: _stripped(value) for key, value in parameters.items()})
            results = results if equation.primitive.multiple_results else [results]
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _stripped(value: Any) -> Any:
    """The bodies of loops and branches without custom rules."""
    if isinstance(value, tuple) and any(isinstance(v, core.ClosedJaxpr) for v in value):
        parts = tuple(map(_stripped, value))
        return type(value)(*parts) if hasattr(value, "_fields") else parts
    if not isinstance(value, core.ClosedJaxpr):
        return value
    if not any(map(_is_rule, equations_of(value.jaxpr))):
        return value
    arguments = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in value.jaxpr.invars]
    return jax.make_jaxpr(lambda *args: _replayed(value.jaxpr, value.consts, args))(*arguments)
