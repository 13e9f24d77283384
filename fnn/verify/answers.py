"""Calling somebody else's backward: NumPy or JAX, jitted or not, in float64 if it can and in float32 if not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fnn.verify.compare import as_float32
from fnn.verify.gradient_trees import same_structure
from fnn.verify.oracles import as_float64, is_float, is_key, precise

Tree = Any


@dataclass(frozen=True)
class Answer:
    """What a backward returned, as NumPy arrays, and how it behaved."""

    tree: Tree
    precision: str  # "float64", or "float32" where that is all it can do
    repeats: bool  # a second call with the same arguments gave the same
    spread: float  # largest difference between the two calls
    changed: tuple[str, ...]  # arguments that it overwrote


def ask(backward: Callable, args: tuple, keywords: dict[str, Any]) -> Answer:
    """Call a backward twice, with fresh copies of the arguments.

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
        with precise():
            return _twice(backward, args, keywords, lambda: as_float64((args, keywords)), kind, precision)
    if given64:
        with precise():
            return _twice(backward, args, keywords, lambda: as_float64(as_float32((args, keywords))), kind, precision)
    with jax.enable_x64(False), jax.default_matmul_precision("highest"), jax.numpy_dtype_promotion("standard"):
        return _twice(backward, args, keywords, lambda: as_float32((args, keywords)), kind, precision)


def _twice(backward: Callable, args: tuple, keywords: dict, make: Callable, kind: Callable, precision: str) -> Answer:
    handed_args, handed_keywords = kind((args, keywords), make())
    before = jax.tree.map(_copy, (handed_args, handed_keywords))
    first = _to_numpy(backward(*handed_args, **handed_keywords))
    changed = _changed(before, (handed_args, handed_keywords))
    second = _to_numpy(backward(*before[0], **before[1]))
    spread = _spread(first, second)
    dtypes = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(first)}
    return Answer(first, "float32" if "float32" in dtypes else precision, spread == 0, spread, changed)


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


def _spread(first: Tree, second: Tree) -> float:
    """Largest difference between two answers; infinite where their structures or shapes differ."""
    if not same_structure(first, second):
        return float("inf")
    spread = 0.0
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.dtype == object or np.array_equal(a, b, equal_nan=is_float(a)):
            continue
        spread = max(spread, float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0)))
    return spread
