"""The other ways in which a rule is called than for its gradient at one point, each compared with that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.rule_arguments import Arguments, real_leaves
from fnn.verify.rule_gradients import gradient_of, pulled
from fnn.verify.rules import Rule

Tree = Any


class Call(NamedTuple):
    """What came of calling a rule in some way."""

    sentence: str
    wrong: bool  # or else a remark


def called_otherwise(rule: Rule, arguments: Arguments, parts: tuple, unit: float) -> list[Call]:
    """Call a rule whose gradient is right in the other ways in which it will be called.

    Args:
        rule: the rule; JAX knows its backward.
        arguments: its arguments.
        parts: their parts and what arrives, JAX arrays of the precision to compare in.
        unit: of the least precise numbers that the rule computes with.

    Returns:
        What is wrong, and what is worth a remark.
    """
    *own, first = parts
    random = np.random.default_rng(1)
    second = tuple(jnp.asarray(random.normal(size=dy.shape), dy.dtype) for dy in first)
    case = _Case(rule, arguments, own, first, second, unit)
    return [*case.linear(), *case.in_parts(), *case.compiled(), *case.mapped()]


class _Case(NamedTuple):
    """A rule at a point, with two arriving gradients."""

    rule: Rule
    arguments: Arguments
    own: list
    first: tuple
    second: tuple
    unit: float

    def gradient(self, arriving: tuple) -> Any:
        """The gradient as it was judged."""
        return gradient_of(self.rule, self.arguments)(*self.own, arriving)

    def value(self, reals: tuple) -> list:
        """The outputs."""
        at = dict(zip(self.arguments.numbers, reals, strict=True))
        own = [at.get(i, part) for i, part in enumerate(self.own[:-1])]
        return real_leaves(self.rule.forward(*self.arguments.together([*own, self.own[-1]])))

    @property
    def reals(self) -> tuple:
        """The arguments that have a gradient."""
        return tuple(self.own[i] for i in self.arguments.numbers)

    def linear(self) -> Iterator[Call]:
        """A gradient is linear in what arrives."""
        right = jax.tree.map(lambda a, b: a + 2 * b, self.gradient(self.first), self.gradient(self.second))
        both = tuple(a + 2 * b for a, b in zip(self.first, self.second, strict=True))
        yield from self.compared("for the sum of two arriving gradients", lambda: self.gradient(both), right)

    def in_parts(self) -> Iterator[Call]:
        """One output or one argument alone: what does not count is a symbolic zero for JAX."""
        parts = (*self.own, self.first)
        numbers = self.arguments.numbers
        for n in range(len(self.first)) if len(self.first) > 1 else ():
            alone = tuple(dy if i == n else jnp.zeros_like(dy) for i, dy in enumerate(self.first))

            def used(n: int = n) -> Any:
                return pulled(self.rule, self.arguments, parts, numbers, n)

            yield from self.compared(f"when output {n} alone is used", used, self.gradient(alone))
        right = self.gradient(self.first) if len(numbers) > 1 else ()
        for number, wanted in zip(numbers, right, strict=False):

            def moved(number: int = number) -> Any:
                return pulled(self.rule, self.arguments, parts, (number,))

            name = self.arguments.names[number]
            yield from self.compared(f"when {name} alone is differentiated", moved, wanted)

    def compiled(self) -> Iterator[Call]:
        """Under jit."""

        def run() -> Any:
            return jax.jit(gradient_of(self.rule, self.arguments))(*self.own, self.first)

        def plain() -> Any:
            return jax.jit(self.value)(self.reals)

        yield from self.compared("under jax.jit", run, self.gradient(self.first), plain)

    def mapped(self) -> Iterator[Call]:
        """Under vmap, all arguments or the first alone with an axis of two points."""
        random = np.random.default_rng(2)
        beside = jax.tree.map(lambda x: x * jnp.asarray(1 + 0.1 * random.uniform(-1, 1, x.shape), x.dtype), self.reals)
        numbers = self.arguments.numbers

        def one(reals: tuple, arriving: tuple) -> Any:
            at = dict(zip(numbers, reals, strict=True))
            own = [at.get(i, part) for i, part in enumerate(self.own[:-1])]
            return gradient_of(self.rule, self.arguments)(*own, self.own[-1], arriving)

        arriving = jax.tree.map(lambda *rows: jnp.stack(rows), self.first, self.second)
        for how, many in (("under jax.vmap", len(numbers)), ("under jax.vmap over the first argument", 1)):
            if how != "under jax.vmap" and many == len(numbers):
                continue
            axes = tuple(0 if i < many else None for i in range(len(numbers)))
            second = tuple(b if i < many else a for i, (a, b) in enumerate(zip(self.reals, beside, strict=True)))
            pairs = zip(self.reals, second, axes, strict=True)
            given = tuple(jax.tree.map(lambda *r: jnp.stack(r), a, b) if axis == 0 else a for a, b, axis in pairs)
            rows = one(self.reals, self.first), one(second, self.second)
            right = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

            def run(given: tuple = given, axes: tuple = axes) -> Any:
                return jax.vmap(one, (axes, 0))(given, arriving)

            def plain(given: tuple = given, axes: tuple = axes) -> Any:
                return jax.vmap(self.value, (axes,))(given)

            yield from self.compared(how, run, right, plain)

    def compared(self, how: str, run: Callable, right: Tree, plain: Callable | None = None) -> Iterator[Call]:
        """One way to call, against what it should give; it may fail where the function itself fails so."""
        try:
            got = jax.tree.leaves(run())
        except Exception as error:  # whatever a rule may raise
            fails = plain is not None and _raises(plain)
            which = "the function itself" if fails else "the backward"
            yield Call(f"{how} {which} raises {first_line(error)}", not fails)
            return
        for a, b in zip(got, jax.tree.leaves(right), strict=True):
            a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
            off, scale = np.abs(a - b).max(initial=0), np.abs(b).max(initial=0)
            if not off <= _allowance(self.unit) * scale + 1e-12:
                told = f"it differs by {off:.3g} where the largest entry is {scale:.3g}"
                yield Call(f"{how} the backward gives another gradient: {told}", True)
                return


def _allowance(unit: float) -> float:
    """How far two ways to compute may be apart, by the precision they compute in."""
    return 1e-9 if unit < 1e-12 else 2000 * unit if unit < 1e-6 else 25 * unit


def _raises(call: Callable) -> bool:
    try:
        call()
    except Exception:  # whatever a function may raise
        return True
    return False


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
