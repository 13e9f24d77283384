"""The forwards of a rule, before its backward is judged: its own, the one inside its derivative, the reference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.oracles import as_float64, is_float
from fnn.verify.rule_arguments import Arguments, real_leaves
from fnn.verify.rules import Rule

Tree = Any


class Forwards(NamedTuple):
    """What came of running them."""

    fault: str  # what keeps them from being one function; empty if nothing does
    outputs: list  # the rule's own, those that have a gradient
    single: bool  # whether the reference takes nothing but float32


def run_forwards(rule: Rule, arguments: Arguments, compare: bool) -> Forwards:
    """Run a rule's forward and what it is compared with.

    Args:
        rule: the rule.
        arguments: its arguments.
        compare: whether the reference is another function than the rule's forward.

    Returns:
        Their outputs, and what is wrong with them.

    Raises:
        ValueError: the rule has no outputs with a gradient.
        Exception: whatever the forward raises in float64, if it raises in float32 as well.
    """
    outputs, single = _run(rule.forward, arguments)
    if not outputs:
        raise ValueError(f"check_rule expects outputs of floating-point numbers, got {rule.name} without")
    within = _inside(rule, arguments, single)
    if within is not None and (fault := _differ(within, outputs, "the function itself", "the forward of its rule")):
        return Forwards(fault, outputs, single)
    if not compare:
        return Forwards("", outputs, single)
    right, single = _run(rule.reference, arguments)
    return Forwards(_differ(outputs, right, "the reference", "the forward"), outputs, single)


def _run(f: Callable, arguments: Arguments) -> tuple[list, bool]:
    """The real outputs in float64, or in float32 if that is all that a function takes."""
    given = arguments.parts()
    try:
        return real_leaves(f(*arguments.together(_like(as_float64(given), given)))), False
    except Exception:  # a kernel may insist on float32; if it does not, what it raised is heard
        try:
            return real_leaves(f(*arguments.together(_like(_single(given), given)))), True
        except Exception:
            pass
        raise


def _inside(rule: Rule, arguments: Arguments, single: bool) -> list | None:
    """The outputs as they are while JAX differentiates; None for a pair, or where that fails."""
    if rule.pair is not None:
        return None
    *own, beside = (_single if single else as_float64)(arguments.parts())
    numbers = arguments.numbers

    def outputs(*moved: Any) -> list:
        at = dict(zip(numbers, moved, strict=True))
        return real_leaves(rule.forward(*arguments.together([*(at.get(i, p) for i, p in enumerate(own)), beside])))

    try:
        return jax.vjp(outputs, *(own[i] for i in numbers))[0]
    except Exception:  # whatever it is, the backward will raise it when it is judged
        return None


def _single(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if is_float(x) else jnp.asarray(x), tree)


def _like(args: Tree, given: Tree) -> Tree:
    """NumPy arrays where the caller gave these."""
    return jax.tree.map(lambda x, old: np.array(x) if isinstance(old, np.ndarray) else x, args, given)


def _differ(outputs: list, right: list, whose: str, name: str) -> str:
    """How outputs differ from the right ones, in words; empty if they do not."""
    mine, other = [np.shape(y) for y in outputs], [np.shape(y) for y in right]
    if mine != other:
        return f"{name}'s outputs have the shapes {mine}, {whose}'s {other}"
    for number, (y, r) in enumerate(zip(outputs, right, strict=True)):
        allowed = max(1e-4, *(25 * float(jnp.finfo(np.asarray(leaf).dtype).eps) for leaf in (y, r)))
        y, r = np.asarray(y, np.float64), np.asarray(r, np.float64)
        off = np.where(np.isnan(y) & np.isnan(r), 0.0, np.abs(y - r))
        if not (off <= allowed * np.abs(r).max(initial=0) + 1e-12).all():
            worst = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), off.shape)
            at = f"output {number}" if len(outputs) > 1 else "the output"
            told = f"{at} at [{', '.join(map(str, worst))}]: {y[worst]:.6g}, expected {r[worst]:.6g}"
            return f"{name} differs from {whose}, {told}; gradients are compared where these agree"
    return ""
