"""A rule as its author wrote it: a `jax.custom_vjp` or `jax.custom_jvp` function, or a plain (forward, backward) pair.

    Rule        how it is called forward and backward, and what to compare it with
    Arguments   which leaves of its arguments have a gradient, which are data, which are fixed
    Weighted    its reference as a scalar: outputs times an arriving gradient, summed

A rule maps arguments to outputs, a gradient check knows scalars: with a random arriving gradient dY the scalar
Σ dY ⊙ Y has exactly the gradient that the rule should hand back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.gradient_trees import same_structure
from fnn.verify.oracles import is_float, is_key

Tree = Any

_KEPT = {"cache", "caches", "residuals", "residual", "res", "saved", "ctx", "context", "memory", "kept"}


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
            f"backward) of functions, got {f!r}"
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


class Arguments:
    """Arguments in parts: reals that have a gradient, arrays of data, and what is fixed.

    Args:
        rule: the rule.
        args: its arguments.
    """

    def __init__(self, rule: Rule, args: tuple) -> None:
        self.leaves, self.tree = jax.tree.flatten(args)
        owners = [i for i, arg in enumerate(args) for _ in jax.tree.leaves(arg)]
        arrays = any(_is_array(leaf) and is_float(leaf) for leaf in self.leaves)
        self.sorts = [_sort(leaf, i in rule.fixed, arrays) for i, leaf in zip(owners, self.leaves, strict=True)]
        self.numbers = tuple(sorted({i for i, sort in zip(owners, self.sorts, strict=True) if sort == "real"}))
        self.count = len(args)
        self.names = [*rule.signature[: len(args)], *(f"argument_{i}" for i in range(len(rule.signature), len(args)))]

    def parts(self) -> tuple:
        """One for each argument, its reals or else its data; then the data beside reals."""
        reals, data = self._only("real"), self._only("data")
        own = [real if i in self.numbers else given for i, (real, given) in enumerate(zip(reals, data, strict=True))]
        return (*own, {i: data[i] for i in self.numbers})

    def together(self, parts: Sequence[Any]) -> tuple:
        """The arguments, from their parts."""
        *own, beside = parts
        reals = iter(jax.tree.leaves([own[i] for i in self.numbers]))
        data = iter(jax.tree.leaves([beside[i] if i in self.numbers else own[i] for i in range(self.count)]))
        at = {"real": reals, "data": data}
        leaves = [next(at[sort]) if sort in at else leaf for sort, leaf in zip(self.sorts, self.leaves, strict=True)]
        return jax.tree.unflatten(self.tree, leaves)

    def reals_of(self, trees: Sequence[Any]) -> tuple:
        """Of trees like the arguments with a gradient the real leaves."""
        kept = []
        for number, like, tree in zip(self.numbers, self._real_arguments(), trees, strict=True):
            whole = jax.tree.unflatten(self.tree, list(self.leaves))[number]
            kept.append(_pruned(tree, whole, like))
        return tuple(kept)

    def _real_arguments(self) -> list:
        reals = self._only("real")
        return [reals[i] for i in self.numbers]

    def _only(self, sort: str) -> tuple:
        """The arguments with None for all leaves that are of another sort."""
        kept = [leaf if s == sort else None for s, leaf in zip(self.sorts, self.leaves, strict=True)]
        return jax.tree.unflatten(self.tree, kept)


def _pruned(tree: Tree, whole: Tree, like: Tree) -> Tree:
    """A gradient in the shape of an argument without what it has for leaves that have none."""
    if same_structure(tree, like):
        return tree
    leaves = jax.tree.leaves(tree, is_leaf=lambda leaf: leaf is None)
    wanted = jax.tree.leaves(like, is_leaf=lambda leaf: leaf is None)
    if len(leaves) != len(wanted) or len(wanted) != len(jax.tree.leaves(whole)):
        return tree
    kept = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want is not None]
    return jax.tree.unflatten(jax.tree.structure(like), kept)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _sort(leaf: Any, fixed: bool, arrays: bool) -> str:
    """What a leaf is; numbers of Python are constants where there are arrays beside them."""
    if fixed or is_key(leaf):
        return "fixed"
    if _is_array(leaf):
        return "real" if is_float(leaf) else "data"
    return "real" if isinstance(leaf, float) and not arrays else "fixed"


class Weighted:
    """Σ dY ⊙ Y of a function's outputs, as a scalar function of the parts of its arguments and of dY.

    Args:
        f: (*args) -> outputs.
        arguments: its arguments.
        traced: whether JAX may trace and differentiate it.
    """

    def __init__(self, f: Callable, arguments: Arguments, traced: bool = True) -> None:
        self.f, self.arguments, self.traced = f, arguments, traced
        self.__name__ = getattr(f, "__name__", "function")
        names = [*dict.fromkeys([*arguments.names, "beside", "arriving"])]
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )

    def __call__(self, *parts: Any) -> Any:
        """The scalar, at (*parts, arriving)."""
        *own, arriving = parts
        if not self.traced:
            own = jax.tree.map(np.asarray, own)
        outputs = real_leaves(self.f(*self.arguments.together(own)))
        if not self.traced:
            return float(sum((np.asarray(y) * np.asarray(dy)).sum() for y, dy in zip(outputs, arriving, strict=True)))
        return sum(((y * dy).sum() for y, dy in zip(outputs, arriving, strict=True)), jnp.zeros(()))


def real_leaves(tree: Tree) -> list:
    """The leaves that have a gradient."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_float(leaf)]


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
