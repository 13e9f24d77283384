"""Calling somebody else's backward: NumPy or JAX, jitted or not, in float64 if it can and in float32 if not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from fnn.verify.gradient_trees import same_structure
from fnn.verify.oracles import UNITS, as_float64, is_float, is_key, precise
from fnn.verify.rounding import Moved, change_of, moved, random_signs

Tree = Any
_RUNS = 4  # with results moved


@dataclass(frozen=True, eq=False)
class Answer:
    """What a backward returned, as NumPy arrays, and how it behaved."""

    tree: Tree
    precision: str  # "float64", or "float32" where that is all it can do
    spread: tuple[float, ...]  # how far further calls with the same arguments differ, leaf by leaf
    changed: tuple[str, ...]  # arguments that it overwrote
    moved: Callable[
        [int], Tree
    ]  # the answer with everything moved by a unit in the last place, by the number of the run

    @property
    def leaves(self) -> list[np.ndarray]:
        """The leaves in float64."""
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(self.tree)]

    @cached_property
    def rounding(self) -> tuple[float, ...]:
        """What rounding does to the largest entry of each leaf in this very backward."""
        runs = [self.moved(k) for k in range(_RUNS)]
        return tuple(max(float(np.max(run[i], initial=0)) for run in runs) for i in range(len(self.leaves)))


def ask(backward: Callable, args: tuple, keywords: dict[str, Any]) -> Answer:
    """Call a backward three times, with fresh copies of the arguments.

    It is offered float64 arrays of the kinds that the caller used, then the other kind (NumPy for JAX and the reverse),
    then the same two in float32. If it takes float64 but answers in float32, it is asked again at the point rounded to
    float32, since it rounds its arguments anyway.

    Args:
        backward: (*args, **keywords) -> gradient.
        args: its arguments, any pytrees; integers and keys are passed as they are.
        keywords: further arguments.

    Returns:
        The answer.

    Raises:
        TypeError: the backward can't be called with these arguments.
        Exception: whatever the backward raised for the first kind of arrays, if it fails for all.
    """
    _check_signature(backward, args, keywords)
    failure: Exception | None = None
    for precision in ("float64", "float32"):
        for kind in (_as_given, _other_kind):
            try:
                answer = _ask(backward, args, keywords, precision, kind)
            except Exception as error:
                failure = failure or error
                continue
            if precision == "float64" and answer.precision == "float32":
                break
            return answer
    if failure is None:
        return _ask(backward, args, keywords, "float32", _as_given, given64=True)
    failure.add_note("raised by the backward under check, called with the arguments given to the checker")
    raise failure


def _check_signature(backward: Callable, args: tuple, keywords: dict) -> None:
    """Refuse a backward that can't be called with these arguments, before it is."""
    names = "".join(f" and {name}=" for name in keywords)
    try:
        signature = inspect.signature(backward)
        signature.bind(*args, **keywords)
    except ValueError:  # built-in functions tell nothing of themselves
        return
    except TypeError as error:
        raise TypeError(
            f"expected backward as a function of the same {len(args)} arguments as the loss{names}, got {backward!r}: "
            f"{error}; wrap it in a lambda that takes them all"
        ) from error


def _ask(backward: Callable, args: tuple, keywords: dict, precision: str, kind: Callable, given64: bool = False):
    if precision == "float64":
        return _call(backward, args, keywords, as_float64, kind, precision, precise)
    if given64:
        return _call(backward, args, keywords, lambda tree: as_float64(as_float32(tree)), kind, precision, precise)
    return _call(backward, args, keywords, as_float32, kind, precision, _in_float32)


@contextmanager
def _in_float32() -> Iterator[None]:
    with jax.enable_x64(False), jax.default_matmul_precision("highest"), jax.numpy_dtype_promotion("standard"):
        yield


def _call(
    backward: Callable, args: tuple, keywords: dict, make: Callable, kind: Callable, precision: str, scope: Callable
) -> Answer:
    def hand() -> tuple[tuple, dict]:
        return jax.tree.map(_copy, kind((args, keywords), make((args, keywords))))

    with scope():
        handed = hand()
        first = _to_numpy(backward(*handed[0], **handed[1]))
        changed = _changed(hand(), handed)
        others = []
        for _ in range(2):
            handed = hand()
            others.append(_to_numpy(backward(*handed[0], **handed[1])))
    dtypes = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(first)}
    precision = "float32" if "float32" in dtypes else precision

    def moved_answer(seed: int) -> list[np.ndarray]:
        with scope():
            return _moved(backward, hand(), UNITS[precision], seed, first)

    return Answer(first, precision, _spread(first, others), changed, moved_answer)


def _moved(backward: Callable, handed: tuple[tuple, dict], unit: float, seed: int, answer: Tree) -> list[np.ndarray]:
    """By how much an answer moves with every result in it; where it is not JAX, with its arguments."""
    try:
        run = jax.jit(moved(lambda args, keywords: backward(*args, **keywords)))
        return change_of(run(unit, random_signs(seed), *handed))
    except Exception:  # NumPy, or whatever else can't be traced
        random = np.random.default_rng(seed)

        def move(leaf: Any) -> Any:
            if not is_float(leaf):
                return leaf
            step = np.asarray(1 + 2 * unit * random.choice([-1.0, 1.0], np.shape(leaf)), np.asarray(leaf).dtype)
            return leaf * step

        args, keywords = jax.tree.map(lambda leaf: leaf if is_key(leaf) else move(leaf), handed)
        return change_of(jax.tree.map(Moved, answer, _to_numpy(backward(*args, **keywords))))


def _as_given(given: Tree, converted: Tree) -> Tree:
    """NumPy where the caller passed NumPy, JAX where JAX, Python's numbers where these."""
    return jax.tree.map(in_kind, given, converted)


def in_kind(given: Any, new: Any) -> Any:
    """A value as its author would hand it over.

    Args:
        given: what the caller passed in its place.
        new: the value; a number where a number was given.

    Returns:
        The value as a NumPy array, a number of NumPy's or Python's, or a JAX array.
    """
    if isinstance(given, np.ndarray):
        return _numpy(new)
    if isinstance(given, np.generic):
        return np.asarray(new)[()]
    if isinstance(given, int):
        return given
    return float(new) if isinstance(given, float) else _jax(new)


def _other_kind(given: Tree, converted: Tree) -> Tree:
    return jax.tree.map(lambda old, new: _jax(new) if isinstance(old, np.ndarray) else _numpy(new), given, converted)


def is_single(leaf: Any) -> bool:
    """Whether an array is float32, and can only be judged as such."""
    return getattr(leaf, "dtype", None) == np.float32


def _numpy(leaf: Any) -> Any:
    return leaf if is_key(leaf) else np.array(leaf)


def _jax(leaf: Any) -> Any:
    return jax.numpy.asarray(leaf)


def _copy(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _to_numpy(tree: Tree) -> Tree:
    return jax.tree.map(np.array, tree)


def _changed(before: Tree, after: Tree) -> tuple[str, ...]:
    """Which NumPy arguments a call has overwritten."""
    paths = jax.tree_util.tree_flatten_with_path(after)[0]
    return tuple(
        jax.tree_util.keystr(path[2:]) or f"argument {path[1].idx if hasattr(path[1], 'idx') else path[1]}"
        for (path, now), was in zip(paths, jax.tree.leaves(before), strict=True)
        if isinstance(now, np.ndarray) and not np.array_equal(now, was, equal_nan=is_float(now))
    )


def _spread(first: Tree, others: list[Tree]) -> tuple[float, ...]:
    """Largest difference between answers, leaf by leaf; infinite where structures, shapes or what is finite differ."""
    leaves = jax.tree.leaves(first)
    spread = [0.0] * len(leaves)
    for other in others:
        if not same_structure(first, other):
            return (float("inf"),) * max(1, len(leaves))
        pairs = zip(leaves, jax.tree.leaves(other), strict=True)
        spread = [max(old, _difference(a, b)) for old, (a, b) in zip(spread, pairs, strict=True)]
    return tuple(spread)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return float("inf")
    if a.dtype == object or np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)):
        return 0.0
    gap = np.abs(a.astype(np.complex128) - b)
    return float(np.max(np.where(np.isfinite(gap), gap, np.inf), initial=0.0))


def as_float32(tree: Tree) -> Tree:
    """The same tree with every floating-point leaf rounded to float32, as NumPy arrays; keys stay."""
    return jax.tree.map(_single, tree)


def _single(leaf: Any) -> Any:
    if is_float(leaf):
        return np.asarray(leaf, np.float32)
    return leaf if is_key(leaf) else np.asarray(leaf)
