"""What a function with a gradient by hand is, what a mistake in it is, and how the mistake is planted."""

from __future__ import annotations

import fnmatch
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Mistake(NamedTuple):
    """One slip of the pen: `new` stands in the backward's source where `old` should."""

    name: str
    old: str  # occurs once in the source of the backward and its helpers
    new: str
    kind: str  # a key of `KINDS`
    leaves: str  # the leaves that it spoils, all of them, separated by blanks, as "layers.0.* -layers.0.W2"
    about: tuple[str, ...]  # the expressions of the forward that it is about, any of which is a right place: a constant
    # factor or a missing path is the same mistake at every step of a chain without branches


class ByHand(NamedTuple):
    """A scalar function with its gradient by hand."""

    loss: Callable  # (*arguments) -> scalar, in JAX
    backward: Callable  # (*arguments) -> gradient with respect to the first argument
    arguments: Callable[[Any], tuple]  # NumPy generator -> arguments, float64
    helpers: tuple[Callable, ...] = ()  # what the backward calls and a mistake may sit in

    @property
    def name(self) -> str:
        """The name of the loss, by which mistakes are filed."""
        return self.loss.__name__


KINDS = {
    "factor": "a constant factor is missing, doubled or another one",
    "power": "a quantity enters with another power, σ for σ²",
    "sign": "the sign is wrong",
    "path": "a path is missing, or a branch is detached",
    "doubled": "a path is counted twice",
    "derivative": "the derivative of a step is missing, taken at its output or input, or of another function",
    "diagonal": "the diagonal stands for the full Jacobian",
    "transposed": "an operand or a result is transposed",
    "value": "another value of the same shape stands in the right one's place",
    "mask": "a mask or dropout is forgotten or applied where it does not belong",
    "reduction": "a sum stands for a mean or the other way round, or a sum is missing",
    "axis": "the wrong axis",
    "epsilon": "a small constant is misplaced or omitted",
    "overwritten": "contributions are overwritten where they should be added",
    "dropped": "one head, step, row or term of several is left out",
    "truncated": "the gradient does not flow back through time",
    "shift": "an index is off by one",
    "penalty": "a penalty is missing, halved, doubled, or laid on what it does not cover",
    "leaves": "finished gradients are swapped, permuted or of another quantity",
}


def source_of(function: ByHand) -> str:
    """The source that mistakes are edits of: the helpers' and the backward's."""
    return "\n\n".join(inspect.getsource(part) for part in (*function.helpers, function.backward))


def plant(function: ByHand, *mistakes: Mistake) -> Callable:
    """The backward as it would be with these slips in its source."""
    source = source_of(function)
    for mistake in mistakes:
        if (found := source.count(mistake.old)) != 1:
            raise ValueError(f"{function.name}, {mistake.name}: expected {mistake.old!r} once, found it {found} times")
        source = source.replace(mistake.old, mistake.new)
    namespace = dict(vars(sys.modules[function.backward.__module__]))
    exec(compile(source, f"<{function.name} with {[m.name for m in mistakes]}>", "exec"), namespace)
    return namespace[function.backward.__name__]


def lines_about(function: ByHand, mistake: Mistake) -> set[int]:
    """The lines where the expressions stand that a mistake is about: in the loss, else in what is written above it."""
    source, first = inspect.getsourcelines(function.loss)
    body = "".join(source)
    whole = "".join(inspect.getsourcelines(sys.modules[function.loss.__module__])[0][: first - 1])
    lines: set[int] = set()
    for expression in mistake.about:
        text, start = (body, first) if expression in body else (whole, 1)
        if text.count(expression) != 1:
            raise ValueError(f"{function.name}: {expression!r} stands in it {text.count(expression)} times, not once")
        before = text[: text.index(expression)].count("\n")
        lines |= set(range(start + before, start + before + expression.count("\n") + 1))
    return lines


def spoilt_leaves(mistake: Mistake, names: list[str]) -> set[str]:
    """The names among `names` of the leaves that a mistake spoils."""
    spoilt: set[str] = set()
    for pattern in mistake.leaves.split():
        matching = fnmatch.filter(names, pattern.lstrip("-"))
        spoilt = spoilt - set(matching) if pattern.startswith("-") else spoilt | set(matching)
    return spoilt


def leaf_names(function: ByHand, gradient: Any) -> list[str]:
    """The leaves' names as in the maths: W, layers.0.b, or the argument's own name where it is one array."""
    bare = next(iter(inspect.signature(function.loss).parameters))
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(gradient)[0]]
    return [jax.tree_util.keystr(path, simple=True, separator=".") or bare for path in paths]
