"""A rule's arguments in parts, and its reference as a scalar function of them.

A rule maps arguments to outputs, a gradient check knows scalars: with a random arriving gradient dY the scalar
Σ dY ⊙ Y has exactly the gradient that the rule should hand back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.gradient_trees import same_structure
from fnn.verify.oracles import is_float, is_key
from fnn.verify.rules import Rule

Tree = Any


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
        self._owners = owners
        self.numbers = tuple(sorted({i for i, sort in zip(owners, self.sorts, strict=True) if sort == "real"}))
        self.count = len(args)
        self.names = [*rule.signature[: len(args)], *(f"argument_{i}" for i in range(len(rule.signature), len(args)))]

    def restrict(self, numbers: tuple[int, ...]) -> None:
        """Take the reals of all other arguments as data."""
        rows = zip(self._owners, self.sorts, strict=True)
        self.sorts = ["data" if sort == "real" and i not in numbers else sort for i, sort in rows]
        self.numbers = numbers

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
        single: whether it takes nothing but float32.
    """

    def __init__(self, f: Callable, arguments: Arguments, traced: bool = True, single: bool = False) -> None:
        self.f, self.arguments, self.traced, self.single = f, arguments, traced, single
        self._compiled: Callable | None = jax.jit(self._outputs)
        self.__name__ = getattr(f, "__name__", "function")
        names = [*dict.fromkeys([*arguments.names, "beside", "arriving"])]
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        )

    def __call__(self, *parts: Any) -> Any:
        """The scalar, at (*parts, arriving)."""
        *own, arriving = parts
        if self.traced:
            outputs = self._outputs(own)
            return sum(((y * dy).sum() for y, dy in zip(outputs, arriving, strict=True)), jnp.zeros(()))
        rows = zip(self._numbers(jax.tree.map(np.asarray, own)), arriving, strict=True)
        return float(sum((np.asarray(y, np.float64) * np.asarray(dy)).sum() for y, dy in rows))

    def _outputs(self, own: Sequence[Any]) -> list:
        if self.single:
            own = jax.tree.map(lambda x: x.astype(np.float32) if is_float(x) else x, own)
        return real_leaves(self.f(*self.arguments.together(own)))

    def _numbers(self, own: Sequence[Any]) -> list:
        """The outputs at numbers, compiled if that can be."""
        if self._compiled is not None:
            try:
                return self._compiled(own)
            except Exception:  # NumPy, or what else does not trace: from now on as it is
                self._compiled = None
        return self._outputs(own)


def real_leaves(tree: Tree) -> list:
    """The leaves that have a gradient."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_float(leaf)]
