"""A rule as its author wrote it: a `jax.custom_vjp` or `jax.custom_jvp` function, or a plain (forward, backward) pair.

rules            how it is called forward and backward, and what to compare it with
rule_arguments   which leaves of its arguments have a gradient, which are data; its reference as a scalar
rule_forwards    the forwards, which must agree before gradients can
rule_gradients   the gradient that it gives, as a function of arguments and of what arrives
rule_calls       the other ways in which it will be called
custom_rules     the check
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

Tree = Any


@dataclass(frozen=True)
class Rule:
    """A forward, its backward, and what both are compared with."""

    name: str
    forward: Callable  # (*args) -> outputs
    backward: Callable | None  # (cache, dY) or (dY, cache) -> gradients; None: JAX knows it
    pair: Callable | None  # (*args) -> outputs, cache
    reference: Callable  # (*args) -> outputs, whose derivative is the right one
    fixed: frozenset[int]  # numbers of arguments that count as constants

    @property
    def signature(self) -> list[str]:
        """The names of the arguments, as far as they are known."""
        for f in (self.forward if self.pair is None else self.pair, self.reference):
            try:
                known = inspect.signature(f).parameters.values()
            except (TypeError, ValueError):
                continue
            return [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return []


def rule_of(f: Any, reference: Callable | None) -> Rule:
    """Take a rule apart.

    Args:
        f: a function with a custom derivative, or a pair.
        reference: what to compare it with; None for the function that the derivative was declared for.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(f, tuple) and len(f) == 2 and all(map(callable, f)):
        forward, backward = f
        name = getattr(forward, "__name__", repr(forward))
        return Rule(name, _Outputs(forward), backward, forward, reference or _Outputs(forward), frozenset())
    if not callable(f):
        raise TypeError(
            "check_rule expects a function decorated with jax.custom_vjp or jax.custom_jvp, or a pair (forward, "
            f"backward) of functions, got {f!r:.80}"
        )
    declared = f
    while not isinstance(declared, jax.custom_vjp | jax.custom_jvp) and hasattr(declared, "__wrapped__"):
        declared = declared.__wrapped__
    name = getattr(f, "__name__", repr(f))
    if isinstance(declared, jax.custom_vjp | jax.custom_jvp):
        fixed = frozenset(int(number) for number in declared.nondiff_argnums)
        return Rule(name, f, None, None, reference or inspect.unwrap(declared), fixed)
    return Rule(name, f, None, None, reference or f, frozenset())


@dataclass(frozen=True)
class _Outputs:
    """A forward without its cache."""

    forward: Callable

    @property
    def __name__(self) -> str:
        return getattr(self.forward, "__name__", repr(self.forward))

    def __call__(self, *args: Any) -> Any:
        return self.forward(*args)[0]
