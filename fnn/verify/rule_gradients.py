"""The gradient that a rule gives, as a function of the parts of its arguments and of what arrives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fnn.verify.gradient_trees import same_structure
from fnn.verify.oracles import is_float
from fnn.verify.rule_arguments import Arguments, real_leaves
from fnn.verify.rules import Rule

_KEPT = {"cache", "caches", "residuals", "residual", "res", "saved", "ctx", "context", "memory", "kept"}


def gradient_of(rule: Rule, arguments: Arguments) -> Callable:
    """The rule's own gradient as a function of the parts of its arguments and of what arrives.

    Args:
        rule: the rule.
        arguments: its arguments.

    Returns:
        (*parts, arriving) -> for every argument with a gradient its real leaves, as check_gradient wants them.
    """

    def by_jax(*parts: Any) -> Any:
        given = pulled(rule, arguments, parts, arguments.numbers)
        return given if len(arguments.numbers) > 1 else given[0]

    if rule.pair is None or rule.backward is None:
        return by_jax
    pair, hand, last = rule.pair, rule.backward, _cache_last(rule.backward)

    def by_hand(*parts: Any) -> Any:
        *own, arriving = parts
        args = arguments.together(own)
        outputs, cache = pair(*args)
        rest = iter(arriving)
        dy = jax.tree.map(lambda y: next(rest) if is_float(y) else 0 * y, outputs)
        given = hand(dy, cache) if last else hand(cache, dy)
        chosen = _by_argument(given, args, arguments)
        if chosen is None:
            return given
        return chosen if len(chosen) > 1 else chosen[0]

    return by_hand


def pulled(
    rule: Rule, arguments: Arguments, parts: Sequence[Any], numbers: tuple[int, ...], output: int | None = None
) -> tuple:
    """Gradients through a rule that JAX knows.

    Args:
        rule: the rule.
        arguments: its arguments.
        parts: their parts, and what arrives.
        numbers: the arguments that are differentiated; the others are constants.
        output: the only output that is used, if it is one.

    Returns:
        One gradient for each of those arguments.
    """
    *own, arriving = parts

    def outputs(*moved: Any) -> list:
        at = dict(zip(numbers, moved, strict=True))
        whole = [at.get(i, part) for i, part in enumerate(own[:-1])]
        made = real_leaves(rule.forward(*arguments.together([*whole, own[-1]])))
        return made if output is None else [made[output]]

    made, pull = jax.vjp(outputs, *(own[i] for i in numbers))
    dys = arriving if output is None else [arriving[output]]
    return pull([jnp.asarray(dy, y.dtype) for y, dy in zip(made, dys, strict=True)])


def _cache_last(backward: Callable) -> bool:
    """Whether a backward takes (dY, cache), as its arguments' names say; jax.custom_vjp's order is (cache, dY)."""
    try:
        names = [*inspect.signature(backward).parameters]
    except (TypeError, ValueError):
        return False
    return len(names) > 1 and names[1].lower() in _KEPT and names[0].lower() not in _KEPT


def _by_argument(given: Any, args: tuple, arguments: Arguments) -> tuple | None:
    """Gradients of the arguments that have one, out of what a backward returned; None if it is something else."""
    numbers = arguments.numbers
    if len(numbers) == 1 and same_structure(given, args[numbers[0]]):
        return arguments.reals_of((given,))
    if isinstance(given, tuple | list) and len(given) == len(args):
        return arguments.reals_of([given[i] for i in numbers])
    if isinstance(given, tuple | list) and len(given) == len(numbers):
        return arguments.reals_of(given)
    return arguments.reals_of((given,)) if len(numbers) == 1 else None


def returned_alone(rule: Rule, arguments: Arguments, arriving: tuple) -> tuple[str, ...]:
    """Where a pair's backward returns gradients of its first arguments alone, leave the others out.

    Args:
        rule: the rule.
        arguments: its arguments, which are restricted.
        arriving: what arrives.

    Returns:
        A note on the arguments that are not judged, if there are such.
    """
    numbers = arguments.numbers
    if rule.pair is None or len(numbers) < 2:
        return ()
    parts = arguments.parts()
    try:
        given = gradient_of(rule, arguments)(*parts, arriving)
    except Exception:  # whatever a backward raises is heard when it is judged
        return ()
    args = arguments.together(parts)
    if isinstance(given, tuple | list) and len(given) in (len(args), len(numbers)):
        return ()
    rows = list(given) if type(given) in (tuple, list) else [given]
    if len(rows) >= len(numbers) or not all(
        same_structure(row, args[i]) for row, i in zip(rows, numbers, strict=False)
    ):
        return ()
    left = ", ".join(arguments.names[i] for i in numbers[len(rows) :])
    arguments.restrict(numbers[: len(rows)])
    return (f"the backward returns no gradient of {left}, and none is judged",)
