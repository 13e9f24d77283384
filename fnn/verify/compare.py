"""Comparing a gradient with the oracles: structure, shape and dtype first, then every value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from fnn.verify.oracles import (
    DIFFERENCES,
    Slope,
    as_float64,
    finite_differences,
    is_float,
    is_key,
    precise,
    slope_from_values,
    steps_along,
    traceable,
    values_along,
)
from fnn.verify.report import CANNOT_TELL, OK, WRONG, LeafReport

Tree = Any


@dataclass(frozen=True)
class Evidence:
    """What the oracles say about one scalar function at one point; leaves in tree order, in float64."""

    value: float
    names: tuple[str, ...]
    right: tuple[np.ndarray, ...]  # autodiff; central differences where the function is not JAX
    directions: tuple[tuple[np.ndarray, ...], ...]  # for each leaf, arrays of ±1/√size
    slopes: tuple[tuple[Slope, ...], ...]  # for each leaf, the derivative along these
    rounding: float  # error of autodiff in float32, relative to the largest gradient
    by_autodiff: bool = True

    @property
    def largest(self) -> float:
        """Largest gradient of the tree, against which every error is measured."""
        return max((float(np.abs(leaf).max(initial=0)) for leaf in self.right), default=0.0)


def leaf_names(tree: Tree, prefix: str) -> tuple[str, ...]:
    """Name of each leaf: prefix and path, `layers[2].W`.

    Args:
        tree: any pytree.
        prefix: name of the whole.

    Returns:
        One name a leaf, in tree order.
    """
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return tuple((prefix + jax.tree_util.keystr(path)).lstrip(".") for path, _ in paths)


@partial(jax.jit, static_argnums=0)
def _value_and_grad(f: Callable, params: Tree, rest: tuple) -> tuple[Any, Tree]:
    return jax.value_and_grad(f)(params, *rest)


@partial(jax.jit, static_argnums=0)
def _values_along(f: Callable, params: Tree, rest: tuple, direction: Tree) -> jax.Array:
    return values_along(lambda p: f(p, *rest), params, direction)


def gather(f: Callable, params: Tree, rest: tuple, prefix: str, *, float32: bool = False) -> Evidence:
    """Ask every oracle about f at one point.

    Args:
        f: (params, *rest) -> scalar; hashable, since what is compiled for it is kept.
        params: where the gradient is wanted.
        rest: further arguments.
        prefix: what the parameters are called in reports.
        float32: whether to measure what float32 rounding does to this function's gradient.

    Returns:
        The evidence.
    """
    with precise():
        params, rest = as_float64(params), as_float64(rest)
        by_autodiff = traceable(f, params, *rest)
        if by_autodiff:
            value, right = _value_and_grad(f, params, rest)
        else:
            value, right = f(params, *rest), finite_differences(lambda p: f(p, *rest), params)
        right = tuple(np.asarray(leaf) for leaf in jax.tree.leaves(right))
        directions = _directions(right) if by_autodiff else ((),) * len(right)
        slopes = _slopes(f, params, rest, directions)
    rounding = _rounding(f, params, rest, right) if float32 and by_autodiff else 0.0
    return Evidence(float(value), leaf_names(params, prefix), right, directions, slopes, rounding, by_autodiff)


def _directions(leaves: tuple[np.ndarray, ...]) -> tuple[tuple[np.ndarray, ...], ...]:
    """Directions of length 1, ±1/√size at every entry of one leaf: two a leaf, one where there are many leaves."""
    random = np.random.default_rng(0)
    count = 2 if len(leaves) <= 20 else 1
    return tuple(
        tuple(random.choice([-1.0, 1.0], leaf.shape) / math.sqrt(max(1, leaf.size)) for _ in range(count))
        for leaf in leaves
    )


def _slopes(f: Callable, params: Tree, rest: tuple, directions: Any) -> tuple[tuple[Slope, ...], ...]:
    along = slope_along(f, params, rest)
    return tuple(tuple(along(i, v) for v in vs) for i, vs in enumerate(directions))


def slope_along(f: Callable, params: Tree, rest: tuple) -> Callable[[int, np.ndarray], Slope]:
    """A function that measures the slope of f within one leaf.

    Args:
        f: (params, *rest) -> scalar, in JAX or NumPy.
        params: the point.
        rest: further arguments.

    Returns:
        (number of the leaf, direction shaped like it) -> slope.
    """
    with precise():
        params, rest = as_float64(params), as_float64(rest)
        compiled = traceable(f, params, *rest)
    leaves, structure = jax.tree.flatten(params)
    zeros = [np.zeros(leaf.shape) for leaf in leaves]

    def along(i: int, v: np.ndarray) -> Slope:
        direction = jax.tree.unflatten(structure, [*zeros[:i], v, *zeros[i + 1 :]])
        with precise():
            if compiled:
                return slope_from_values(np.asarray(_values_along(f, params, rest, direction)))
            moved = (jax.tree.map(lambda p, v, t=t: p + t * v, params, direction) for t in steps_along())
            return slope_from_values(np.array([float(f(point, *rest)) for point in moved]))

    return along


def _rounding(f: Callable, params: Tree, rest: tuple, right: tuple[np.ndarray, ...]) -> float:
    """Largest error of autodiff when it runs in float32, relative to the largest gradient."""
    with jax.enable_x64(False), jax.default_matmul_precision("highest"), jax.numpy_dtype_promotion("standard"):
        rounded = as_float32((params, rest))
        _, got = _value_and_grad(f, *rounded)
    largest = max((float(np.abs(leaf).max(initial=0)) for leaf in right), default=0.0)
    errors = [
        float(np.abs(np.asarray(g, np.float64) - r).max(initial=0))
        for g, r in zip(jax.tree.leaves(got), right, strict=True)
    ]
    return max(errors, default=0.0) / largest if largest else 0.0


def as_float32(tree: Tree) -> Tree:
    """The same tree with every floating-point leaf rounded to float32, as NumPy arrays; keys stay."""
    return jax.tree.map(_single, tree)


def _single(leaf: Any) -> Any:
    if is_float(leaf):
        return np.asarray(leaf, np.float32)
    return leaf if is_key(leaf) else np.asarray(leaf)


def compare(evidence: Evidence, got: Sequence[np.ndarray], tolerance: float) -> list[LeafReport]:
    """Judge a gradient leaf by leaf.

    A leaf that agrees with autodiff and, where they are conclusive, with central differences is OK. Where the two
    oracles contradict each other the loss's own values decide: autodiff can be misled by a custom derivative or by a
    tie of max and abs.

    Args:
        evidence: what the oracles say.
        got: the leaves to judge, of the right shapes.
        tolerance: relative to the largest gradient.

    Returns:
        One row a leaf.
    """
    return [_judge(evidence, i, got[i], tolerance) for i in range(len(got))]


def _judge(evidence: Evidence, i: int, got: np.ndarray, tolerance: float) -> LeafReport:
    right, scale = evidence.right[i], evidence.largest or 1.0
    got = np.asarray(got, np.float64)
    deviation = np.abs(got - right)
    error = float(np.max(deviation, initial=0)) / scale
    if not evidence.by_autodiff:
        tolerance = max(tolerance, DIFFERENCES)
    misses = _misses(evidence, i, got, max(DIFFERENCES, tolerance))
    fits = not error > tolerance and np.isfinite(got).all()
    verdict, reason = (OK, "") if fits else (WRONG, "")
    if misses and fits and any(miss.beyond for miss in misses):
        verdict, reason = WRONG, "equals autodiff but not the slope of the loss's own values"
    elif misses and not fits and not any(miss.beyond for miss in misses):
        if any(miss.beyond for miss in _misses(evidence, i, right, DIFFERENCES)):
            verdict, reason = OK, "equals the slope of the loss's values; autodiff errs here"
        elif error <= DIFFERENCES:
            reason = (
                f"right to {DIFFERENCES:.0e}, but not to the {tolerance:.0e} that rounding allows: "
                "float32 numbers in it, differences for derivatives, or a small constant such as ε"
            )
    if not np.isfinite(right).all():
        verdict, reason = CANNOT_TELL, "the right gradient itself is not finite at this point"
    worst = None
    if not fits and deviation.size:
        index = np.unravel_index(int(np.argmax(np.where(np.isnan(deviation), np.inf, deviation))), deviation.shape)
        worst = tuple(int(k) for k in index), float(got[index]), float(right[index])
    return LeafReport(
        name=evidence.names[i],
        shape=right.shape,
        error=error if evidence.by_autodiff else math.nan,
        difference_error=max((m.error for m in misses), default=math.nan) if evidence.by_autodiff else error,
        cosine=_cosine(got, right),
        norm_ratio=_ratio(float(np.linalg.norm(got)), float(np.linalg.norm(right))),
        worst=worst,
        verdict=verdict,
        reason=reason,
    )


@dataclass(frozen=True)
class _Miss:
    error: float
    beyond: bool  # by more than tolerance and the estimate's own error


def _misses(evidence: Evidence, i: int, got: np.ndarray, tolerance: float) -> list[_Miss]:
    """How far a leaf is from the differences along each direction in which these are conclusive."""
    scale, misses = evidence.largest or 1.0, []
    for v, slope in zip(evidence.directions[i], evidence.slopes[i], strict=True):
        if slope.conclusive(DIFFERENCES * scale):
            error = abs(float((got * v).sum()) - slope.value)
            misses.append(_Miss(error / scale, not error <= tolerance * scale + 10 * slope.error))
    return misses


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return _ratio(float((a * b).sum()), float(np.linalg.norm(a) * np.linalg.norm(b)))


def _ratio(a: float, b: float) -> float:
    if b == 0:
        return 1.0 if a == 0 else math.inf
    return float(a / b)
