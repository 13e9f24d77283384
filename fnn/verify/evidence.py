"""What the oracles say about one scalar function at one point, gathered only as far as it is asked for.

Three questions are put, each on the scale of one leaf:

    right       autodiff of the forward as it is computed, custom derivatives looked through (`rewriting`):
                independent of whatever hand and forward share. Where that can't be had, jax.grad as declared, which
                is not.
    rounding    what one unit in the last place of every result does to that gradient (`rounding`)
    slopes      central differences of the loss's own values: along every entry of a small leaf, along random Gaussian
                directions of a large one. Steps follow the entries' size and how far rounding moves the loss

The first costs two passes, the second some more where it is needed at all, the third four values a direction, and 24
where these do not settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.gradient_trees import leaf_names
from fnn.verify.oracles import (
    LADDER,
    NOISE_STEP,
    UNITS,
    Slope,
    as_float64,
    both_sides,
    noise_of,
    precise,
    slope_from_values,
    traceable,
)
from fnn.verify.rewriting import Traits, traits_of, without_rules
from fnn.verify.rounding import change_of, moved, random_signs

Tree = Any
Leaves = tuple[np.ndarray, ...]

EVERY_ENTRY = 64  # leaves up to this size are differenced entry by entry
_DIRECTIONS = 8  # along which larger ones are
_RUNS = 4  # with results moved
_LARGE = 100_000  # entries: such leaves are moved within the compiled program, and rounding is asked for once


@dataclass(frozen=True)
class Probe:
    """A direction within one leaf, and the slope of the loss along it."""

    v: np.ndarray  # shaped like the leaf
    slope: Slope
    size: float  # of its entries, those that are not 0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the oracles say about f at one point; leaves in tree order, in float64.

    Attributes:
        f: (params, *rest) -> scalar.
        params: the point, in float64.
        rest: further arguments.
        value: f there.
        names: of the leaves.
        right: the gradient by autodiff; by differences where f is not JAX.
        traits: what the traced forward is like; None where it is not JAX.
        independent: whether `right` owes nothing to a derivative that the forward declares.
        entries: where f is not JAX, the slopes along every entry of every leaf.
    """

    f: Callable
    params: Tree
    rest: tuple
    value: float
    names: tuple[str, ...]
    right: Leaves
    traits: Traits | None
    independent: bool
    entries: tuple[list[Probe], ...] = ()

    @property
    def by_autodiff(self) -> bool:
        """Whether autodiff has anything to say."""
        return self.traits is not None

    @property
    def declares_rules(self) -> bool:
        """Whether the forward declares derivatives of its own."""
        return self.traits is not None and self.traits.rules

    @cached_property
    def declared(self) -> Leaves:
        """The gradient that jax.grad gives, custom derivatives believed."""
        if not self.declares_rules:
            return self.right
        with precise():
            return _leaves(_value_and_grad(self.f, False, self.params, self.rest)[1])

    def rounding(self, precision: str) -> tuple[float, ...]:
        """What rounding does to the largest entry of each leaf that autodiff computes in a precision."""
        if self.traits is None:
            return (0.0,) * len(self.right)
        if precision not in self._known:
            of = (self.f, self.independent, UNITS[precision])
            with precise():
                runs = [change_of(_moved(*of, random_signs(k), self.params, self.rest)) for k in range(_RUNS)]
            self._known[precision] = tuple(
                max(float(np.max(leaf[np.isfinite(leaf)], initial=0)) for leaf in leaves)
                for leaves in zip(*runs, strict=True)
            )
        return self._known[precision]

    @cached_property
    def _known(self) -> dict[str, tuple[float, ...]]:
        return {}

    @cached_property
    def noise(self) -> float:
        """How far rounding moves a value of f, from high differences of values at points that are close together."""
        spacings = (NOISE_STEP,) if self.traits is None or self.traits.single else (NOISE_STEP, 1e-2 * NOISE_STEP)
        seeds = range(1 if sum(leaf.size for leaf in self.leaves) > 10 * _LARGE else 2)
        estimates = [self._noise(seed, spacing) for seed in seeds for spacing in spacings]
        finite = [estimate for estimate in estimates if np.isfinite(estimate)]
        floor = np.finfo(np.float64).eps * abs(self.value)
        near = (max if len(spacings) == 1 else min)(finite, default=floor)
        return max(floor, near) if self.traits else max(floor, near, self._jumps())

    def _jumps(self) -> float:
        """How far values jump that do not move at all near by, as those of float32; of what is smooth, 0."""
        once, twice = (max(self._noise(seed, spacing) for seed in range(2)) for spacing in (1e-5, 2e-5))
        # What is smooth grows by 2⁵ from one to the other; what is fast, as sin(10⁶ w), is larger than any rounding.
        return once if twice < 4 * once <= 4e-5 * abs(self.value) else 0.0

    def _noise(self, seed: int, spacing: float) -> float:
        random = np.random.default_rng(seed)
        moves = [random.normal(size=leaf.shape) * np.where(leaf, np.abs(leaf), _sizes(leaf)) for leaf in self.leaves]
        with precise():
            values = [
                self.at(dict(enumerate(leaf + k * spacing * v for leaf, v in zip(self.leaves, moves, strict=True))))
                for k in range(1, 9)
            ]
            return float(noise_of(np.array(values)))

    @cached_property
    def leaves(self) -> Leaves:
        """The parameters as NumPy arrays."""
        return _leaves(self.params)

    def way(self, seed: int) -> list[np.ndarray]:
        """A random direction for all leaves, in units of the size of each."""
        random = np.random.default_rng(seed)
        return [random.standard_normal(leaf.shape) * _sizes(leaf) for leaf in self.leaves]

    def at(self, moved_leaves: dict[int, np.ndarray]) -> float:
        """The value of f with some leaves of the parameters replaced. Call it in `precise`."""
        leaves, structure = jax.tree.flatten(self.params)
        for i, leaf in moved_leaves.items():
            leaves[i] = leaf if self.traits else jnp.asarray(leaf)
        params = jax.tree.unflatten(structure, leaves)
        with np.errstate(all="ignore"):
            return float(self.f(params, *self.rest) if self.traits is None else _value(self.f, params, self.rest))

    def slope(self, i: int, v: np.ndarray, expected: float, scale: float) -> Slope:
        """The slope of f along a direction within one leaf.

        Args:
            i: number of the leaf.
            v: the direction; its entries are of the size of those of the parameters.
            expected: what autodiff says, or NaN.
            scale: what size of slope is expected, to choose steps by.
        """
        leaf = self.leaves[i]

        def values(steps: Sequence[float]) -> np.ndarray:
            if self.traits is None or leaf.size < _LARGE:
                return np.array([self.value, *(self.at({i: leaf + t * v}) for t in both_sides(steps))])
            along = partial(_value_along, self.f, i, self.params, self.rest, jnp.asarray(v))
            return np.array([self.value, *map(float, map(along, both_sides(steps)))])

        with precise():
            # The smallest step at which rounding leaves eight digits, and twice that: enough for most.
            step = min(2.0**-6, max(2.0**-20, 1e8 * self.noise / scale)) if scale else 2.0**-6
            slope = slope_from_values(values((2 * step, step)), (2 * step, step), self.noise)
            agrees = self.independent and abs(slope.value - expected) <= 10 * slope.error
            if not slope.kinked and (agrees or slope.conclusive(1e-5 * scale)):
                return slope
            # Something is odd: a kink, a curve, noise, or autodiff. Every step from far to near is looked at.
            smallest = np.abs(leaf[v != 0]).min(initial=np.inf) / max(1e-300, float(np.abs(v).max(initial=0)))
            ladder = LADDER if smallest > LADDER[3] or smallest == 0 else _towards(smallest)
            return slope_from_values(values(ladder), ladder, self.noise)

    def probe(self, i: int, v: np.ndarray) -> Probe:
        """The slope along a direction whose entries are in units of the size of the leaf."""
        v = v * _sizes(self.leaves[i]).astype(v.dtype)
        size = float(np.sqrt(np.sum(np.square(v)) / max(1, np.count_nonzero(v))))
        if not self.by_autodiff:
            return Probe(v, self.slope(i, v, math.nan, 0.0), size)
        right = np.where(np.isfinite(self.right[i]), self.right[i], 0)
        along = right * v
        scale = max(float(np.linalg.norm(along)), float(np.abs(right).max(initial=0)) * size)
        return Probe(v, self.slope(i, v, float(along.sum()), scale), size)

    def probes(self, i: int) -> list[Probe]:
        """The slopes of a leaf: one an entry where it is small, else along random directions."""
        size, shape = self.leaves[i].size, self.leaves[i].shape
        if size <= EVERY_ENTRY:
            return [self.probe(i, unit(shape, entry)) for entry in np.ndindex(shape)]
        random = np.random.default_rng(i)
        return [self.probe(i, random.standard_normal(shape, np.float32)) for _ in range(_DIRECTIONS)]


def unit(shape: tuple[int, ...], entry: tuple[int, ...]) -> np.ndarray:
    """The direction of one entry."""
    v = np.zeros(shape)
    v[entry] = 1.0
    return v


def _sizes(leaf: np.ndarray) -> np.float64:
    """The typical size of a leaf's entries, which steps are taken in; 1 for zeros."""
    size = np.sqrt(np.mean(np.square(leaf))) if leaf.size else np.float64(1)
    return size if size and np.isfinite(size) else np.float64(1)


def _towards(smallest: float) -> list[float]:
    """A ladder that reaches down to parameters far smaller than the others of their leaf."""
    ratio = (LADDER[0] / (1e-4 * smallest)) ** (1 / (len(LADDER) - 1))
    return [LADDER[0] * max(4.0, ratio) ** -k for k in range(len(LADDER))]


def _leaves(tree: Tree) -> Leaves:
    return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(tree))


@partial(jax.jit, static_argnums=0)
def _value(f: Callable, params: Tree, rest: tuple) -> jax.Array:
    return f(params, *rest)


@partial(jax.jit, static_argnums=(0, 1))
def _value_along(f: Callable, i: int, params: Tree, rest: tuple, v: jax.Array, step: float) -> jax.Array:
    leaves, structure = jax.tree.flatten(params)
    leaves[i] = leaves[i] + step * v
    return f(jax.tree.unflatten(structure, leaves), *rest)


@partial(jax.jit, static_argnums=(0, 1))
def _value_and_grad(f: Callable, through: bool, params: Tree, rest: tuple) -> tuple[jax.Array, Tree]:
    return jax.value_and_grad(without_rules(f) if through else f)(params, *rest)


@partial(jax.jit, static_argnums=(0, 1))
def _moved(f: Callable, through: bool, unit: float, signs: jax.Array, params: Tree, rest: tuple) -> Tree:
    return moved(jax.grad(without_rules(f) if through else f))(unit, signs, params, *rest)


def gather(f: Callable, params: Tree, rest: tuple, prefix: str) -> Evidence:
    """Ask autodiff about f at one point; whatever else is asked for later is found out then.

    Args:
        f: (params, *rest) -> scalar; hashable, since what is compiled for it is kept.
        params: where the gradient is wanted.
        rest: further arguments.
        prefix: what the parameters are called in reports.

    Returns:
        The evidence.
    """
    with precise():
        params, rest = as_float64(params), as_float64(rest)
        names = leaf_names(params, prefix)
        if not traceable(f, params, *rest):
            known = Evidence(f, params, rest, math.nan, names, (), None, True)
            return _by_differences(replace(known, value=known.at({})))
        traits = traits_of(f, params, *rest)
        known = Evidence(f, params, rest, math.nan, names, (), traits, True)
        if traits.rules:
            try:
                value, right = _value_and_grad(f, True, params, rest)
                return replace(known, value=float(value), right=_leaves(right))
            except Exception:  # a loop without a length, a callback: what only a declared derivative gets through
                known = replace(known, independent=False)
        value, right = _value_and_grad(f, False, params, rest)
        return replace(known, value=float(value), right=_leaves(right))


def _by_differences(known: Evidence) -> Evidence:
    """Of a function that is not JAX every single entry is differenced."""
    shapes = [leaf.shape for leaf in known.leaves]
    entries = tuple(
        [known.probe(i, unit(shape, entry)) for entry in np.ndindex(shape)] if np.isfinite(known.value) else []
        for i, shape in enumerate(shapes)
    )
    right = (np.array([p.slope.value / p.size for p in probes]) for probes in entries)
    if not np.isfinite(known.value):
        return replace(known, right=tuple(np.full(shape, math.nan) for shape in shapes))
    return replace(known, right=tuple(r.reshape(s) for r, s in zip(right, shapes, strict=True)), entries=entries)
