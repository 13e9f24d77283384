"""Any rule: whether its backward is the derivative of its forward, however JAX or its author calls it.

First the forwards are compared, where there are two. Then the backward is judged as every gradient is, for a random
arriving gradient, and what is wrong is named on the reference's line (`functions`). A rule that passes is called in the
other ways in which it will be: with another arriving gradient, for one output or one argument alone, which leaves zeros
symbolic, compiled, and mapped over examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.arguments import require_leaf
from fnn.verify.functions import check_gradient
from fnn.verify.oracles import as_float64, is_float, precise
from fnn.verify.report import OK, WRONG, Deviation, Report
from fnn.verify.rule_arguments import Arguments, Weighted
from fnn.verify.rule_calls import called_otherwise, first_line
from fnn.verify.rule_forwards import run_forwards
from fnn.verify.rule_gradients import gradient_of, returned_alone
from fnn.verify.rules import Rule, rule_of

Tree = Any

_SHORT = {"bf16": ("bfloat16", 2.0**-8), "f16": ("float16", 2.0**-11), "f32": ("float32", 2.0**-24)}
_UNIT = 2.0**-53


def check_rule(f: Any, *args: Any, reference: Callable | None = None) -> Report:
    """Compare a rule's backward with autodiff of the function that it is declared for, or of a plain reference.

    For whoever writes `jax.custom_vjp`: takes the decorated function itself, as it is called. Every argument that has a
    gradient is judged, for random arriving gradients; a wrong one is named on the line of the reference. A rule that is
    right by itself is also called with one output or one argument alone (where zeros are symbolic), under `jax.jit`
    and under `jax.vmap`.

    Args:
        f: a function decorated with `jax.custom_vjp` or `jax.custom_jvp`, or one that calls such; or a pair
            (forward, backward) in JAX or NumPy, with forward(*args) -> (outputs, cache) and backward(cache, dY) or
            backward(dY, cache) -> gradients, one for each argument or for each one that has a gradient. Which order it
            is, the names of the backward's parameters say; a first parameter is the cache if none is called so.
        *args: the arguments, pytrees. Arrays of floating-point numbers have a gradient; integers, functions, numbers of
            Python beside arrays, and what `nondiff_argnums` lists have none.
        reference: (*args) -> outputs, in plain JAX, where the forward can't be differentiated (a kernel, a callback) or
            was written for speed; the two forwards are compared first. Without one, a forward that can't be
            differentiated is compared with central differences alone. A gradient that is left out on purpose, None for
            an array, is left out of the reference by `jax.lax.stop_gradient`.

    Returns:
        The report. Its leaves are args[0], args[1], …; call its `assert_ok()` in a test.

    Raises:
        TypeError: f is neither a function nor a pair of functions.
        ValueError: there is no rule in f and no reference, or no argument has a gradient.

    Examples:
        >>> @jax.custom_vjp
        ... def cube(x):
        ...     return x**3
        >>> cube.defvjp(lambda x: (x**3, x), lambda x, dy: (3 * x**2 * dy,))
        >>> check_rule(cube, np.array([1.0, -2.0])).verdict
        'OK'
        >>> cube.defvjp(lambda x: (x**3, x), lambda x, dy: (2 * x**2 * dy,))
        >>> check_rule(cube, np.array([1.0, -2.0])).verdict
        'WRONG'
    """
    rule = rule_of(f, reference)
    arguments = Arguments(rule, args)
    subject = f"rule of {rule.name}"
    with precise():
        _refuse(f, rule, arguments, reference)
        parts = arguments.parts()
        forwards = run_forwards(rule, arguments, reference is not None)
        if forwards.fault:
            return _wrong(subject, forwards.fault)
        arriving = _arriving(forwards.outputs, 0, parts)
        backward = gradient_of(rule, arguments)
        silent = returned_alone(rule, arguments, arriving)
        parts = arguments.parts()
        loss = Weighted(rule.reference, arguments, single=forwards.single)
        if not _differentiable(loss, (*parts, arriving), arguments.numbers):
            loss = Weighted(rule.reference, arguments, traced=False, single=forwards.single)
        coarse = _coarse(backward, (*parts, arriving))
    chosen = arguments.numbers if len(arguments.numbers) > 1 else arguments.numbers[0]
    judged = _rounded(backward) if coarse else backward
    try:
        report = check_gradient(loss, judged, *parts, arriving, argnums=chosen)
    except (TypeError, ValueError) as error:
        return _wrong(subject, f"the backward can't be used: {first_line(error)}")
    report = _allowed(replace(report, subject=subject, notes=(*report.notes, *silent)), coarse)
    if not report.ok or rule.pair is not None:
        return report
    unit = max(_UNIT if report.precision == "float64" else _SHORT["f32"][1], coarse[1] if coarse else 0.0)
    with _scope(report.precision):
        found = called_otherwise(rule, arguments, _at((*parts, arriving), report.precision), unit)
    faults = [call.sentence for call in found if call.wrong]
    report = replace(report, notes=(*report.notes, *(call.sentence for call in found if not call.wrong)))
    return replace(report, verdict=WRONG, findings=tuple(map(Deviation, faults))) if faults else report


def _refuse(f: Any, rule: Rule, arguments: Arguments, reference: Callable | None) -> None:
    """Say in words what can't be checked."""
    for leaf, sort in zip(arguments.leaves, arguments.sorts, strict=True):
        if sort != "fixed":
            require_leaf("check_rule", leaf, "one of its arguments")
    if not arguments.numbers:
        raise ValueError(
            f"check_rule expects an argument of floating-point numbers, got {arguments.count} without; "
            "what has a gradient is an array such as np.array([1.0])"
        )
    if reference is None and rule.pair is None and rule.reference is f and not _declares(f, arguments):
        raise ValueError(
            f"check_rule expects a function with a custom derivative in it, got {rule.name}, which JAX "
            "differentiates by itself; decorate it with jax.custom_vjp, or pass (forward, backward) or reference="
        )


def _wrong(subject: str, sentence: str) -> Report:
    return Report(WRONG, subject, "float64", (), findings=(Deviation(sentence),))


def _declares(f: Callable, arguments: Arguments) -> bool:
    """Whether a function calls others that have a custom derivative."""
    leaves, tree = jax.tree.flatten(arguments.parts())
    program = jax.make_jaxpr(lambda *moved: f(*arguments.together(jax.tree.unflatten(tree, moved))))(*leaves)
    return "custom_vjp_call" in str(program) or "custom_jvp_call" in str(program)


def _arriving(outputs: list, seed: int, parts: Tree) -> tuple:
    """A random arriving gradient, of the kind of arrays that the caller uses."""
    random = np.random.default_rng(seed)
    numpy = any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(parts))
    made = (np.asarray(random.normal(size=np.shape(y))) for y in outputs)
    return tuple(dy if numpy else jnp.asarray(dy) for dy in made)


def _differentiable(loss: Callable, parts: tuple, numbers: tuple[int, ...]) -> bool:
    """Whether JAX can differentiate the reference."""
    try:
        jax.eval_shape(jax.grad(loss, argnums=numbers), *as_float64(parts))
    except Exception:  # NumPy, a callback, a kernel, a loop without an end: each has an error of its own
        return False
    return True


def _coarse(backward: Callable, parts: tuple) -> tuple[str, float] | None:
    """The least precise numbers that a rule computes with when it is given float64, if JAX can tell; their unit."""
    try:
        program = str(jax.make_jaxpr(backward)(*as_float64(parts)))
    except Exception:  # NumPy, or a rule that fails: it will be heard when it is called
        return None
    found = [_SHORT[name] for name in re.findall(r"\b(bf16|f16|f32)\[", program)]
    return max(found, key=lambda row: row[1], default=None)


def _rounded(backward: Callable) -> Callable:
    """A backward that computes with less than float64, and is judged by that."""

    def single(*parts: Any) -> Tree:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), backward(*parts))

    return single


def _allowed(report: Report, coarse: tuple[str, float] | None) -> Report:
    """Judge a rule that computes in half precision by what that allows, and say so."""
    if coarse is None:
        return report
    name, unit = coarse
    note = f"the rule computes with {name} in it, in a residual perhaps: it is right to {unit:.0e} at best"
    report = replace(report, notes=(*report.notes, note))
    within = bool(report.leaves) and all(leaf.error <= 50 * unit for leaf in report.leaves)
    if report.ok or name == "float32" or not within:
        return report
    leaves = tuple(replace(leaf, verdict=OK, reason=f"rounded to {name}") for leaf in report.leaves)
    return replace(report, verdict=OK, leaves=leaves, findings=(), alternatives=())


def _scope(precision: str) -> AbstractContextManager:
    if precision == "float64":
        return precise()
    scope = ExitStack()
    scope.enter_context(jax.enable_x64(False))
    scope.enter_context(jax.default_matmul_precision("highest"))
    scope.enter_context(jax.numpy_dtype_promotion("standard"))
    return scope


def _at(parts: tuple, precision: str) -> tuple:
    dtype = jnp.float64 if precision == "float64" else jnp.float32
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if is_float(leaf) else jnp.asarray(leaf), parts)
