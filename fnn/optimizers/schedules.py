"""Schedules: functions of the step that give the learning rate; pure arithmetic, so they live inside the compiled step.

A schedule takes the number of updates made so far, 0 at the first, as a Python int or an array of whole numbers, in
which it counts exactly. Any other function of that kind will do as well.

    optimizer = fnn.adam(fnn.warmup_cosine(1e-3, warmup=500, steps=10_000))

Within an optimizer a schedule is two things: its rule is structure, its numbers are in the optimizer's state. So
another top rate, or other steps, compile nothing anew. Of a function of one's own, all is structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.optimizers.base import Number, as_data, setting
from fnn.recipes import Recipe, recipe
from fnn.validation import require_whole, scalar

_MOST_STEPS = 2**31 - 1  # of an int32 counter: a period beyond it never ends


@dataclass(frozen=True, eq=False, repr=False)
class Schedule(Recipe):
    """A learning rate that changes with the step, called as schedule(step) -> α.

    Attributes:
        rule: (numbers as arrays, step) -> α.
        numbers: a pytree of numbers.
    """

    rule: Callable[[Any, jax.Array], jax.Array]
    numbers: Any

    def __call__(self, step: ArrayLike) -> jax.Array:
        """Compute the rate at a step.

        Args:
            step: number of updates made so far, or an array of such numbers.

        Returns:
            α, `result_type(float)`, of the step's shape.
        """
        step = jnp.asarray(step)
        small = jnp.issubdtype(step.dtype, jnp.integer) and step.dtype.itemsize < 4  # in which a period might not fit
        return _rate(self.rule, self.numbers, step.astype(jnp.int32 if small else step.dtype))


@partial(jax.jit, static_argnums=0)
def _rate(rule: Callable, numbers: Any, step: jax.Array) -> jax.Array:
    """One program with the numbers behind a barrier: compiled as constants they would give other last bits."""
    return rule(jax.lax.optimization_barrier(as_data(numbers)), step)


Rate = Number | Schedule | Callable[[jax.Array], ArrayLike]


def rate_of(name: str, learning_rate: Rate) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """Part a learning rate into a rule, which is structure, and numbers, which are data.

    Args:
        name: the optimizer, for errors.
        learning_rate: a number of at least 0, a schedule, or a function step -> number.

    Returns:
        rule: (numbers as arrays, step) -> α, scalar; equal for rates that differ in numbers only.
        numbers: a pytree.

    Raises:
        TypeError, ValueError: something else, a negative rate, one that is not finite.
    """
    if isinstance(learning_rate, Schedule):
        return learning_rate.rule, learning_rate.numbers
    if callable(learning_rate):
        return OwnRate(learning_rate), ()
    return _constant_rate, setting(f"{name} expects a learning rate of at least 0, or a schedule", learning_rate)


@dataclass(frozen=True, eq=False, repr=False)
class OwnRate(Recipe):
    """The rule of a schedule that somebody wrote as a function: it has no numbers, and is equal to itself."""

    function: Callable[[jax.Array], ArrayLike]

    def __call__(self, numbers: Any, step: jax.Array) -> jax.Array:
        """Ask the function for the rate at a step."""
        rate = self.function(step)
        if np.shape(rate) != () or not (isinstance(rate, jax.Array) or scalar(rate) is not None):
            raise TypeError(
                f"expected the learning rate's schedule to return one number, got {rate!r:.80}; see fnn.cosine_decay"
            )
        known = None if isinstance(rate, jax.Array) else scalar(rate)  # a constant; what is computed may not be known
        if known is not None and not 0 <= known < math.inf:
            raise ValueError(
                f"expected the learning rate's schedule to return at least 0, got {known}; see fnn.cosine_decay"
            )
        return jnp.asarray(rate).astype(jnp.result_type(float))


@recipe
def constant_schedule(rate: Number) -> Schedule:
    """The same learning rate at every step.

    Args:
        rate: learning rate α.

    Returns:
        step -> α.

    Raises:
        TypeError, ValueError: rate is no number of at least 0.
    """
    return Schedule(_constant_rate, _top("constant_schedule", rate))


def _constant_rate(rate: jax.Array, step: jax.Array) -> jax.Array:
    return jnp.broadcast_to(rate, jnp.shape(step))


class DecayNumbers(NamedTuple):
    """Numbers of `step_decay` and `exponential_decay`."""

    rate: jax.Array
    factor: jax.Array
    every: jax.Array


@recipe
def step_decay(rate: Number, factor: Number = 0.1, every: int = 1000) -> Schedule:
    """Multiply the rate by a factor after every so many steps, α_t = α factor^⌊t / every⌋.

    Args:
        rate: α at the start.
        factor: above 0, such as 0.1 or 0.5.
        every: steps between two drops, at least 1; counted in whole numbers, so that no drop comes late.

    Returns:
        step -> α_t.

    Raises:
        TypeError, ValueError: rate is no number of at least 0, factor none above 0, or every no whole number from 1 on.

    Examples:
        >>> schedule = step_decay(1.0, factor=0.5, every=10)
        >>> [float(schedule(step)) for step in (0, 9, 10, 20)]
        [1.0, 1.0, 0.5, 0.25]
    """
    return Schedule(_step_rate, _decay("step_decay", rate, factor, every))


def _step_rate(numbers: DecayNumbers, step: jax.Array) -> jax.Array:
    return numbers.rate * numbers.factor ** _float(step // _like(numbers.every, step))


@recipe
def exponential_decay(rate: Number, factor: Number = 0.1, every: int = 1000) -> Schedule:
    """Let the rate fall by a factor over every so many steps, smoothly, α_t = α factor^(t / every).

    Args:
        rate: α at the start.
        factor: above 0, such as 0.1.
        every: steps over which the rate falls by the factor, at least 1.

    Returns:
        step -> α_t.

    Raises:
        TypeError, ValueError: rate is no number of at least 0, factor none above 0, or every no whole number from 1 on.

    Examples:
        >>> float(exponential_decay(1.0, factor=0.25, every=10)(5))
        0.5
    """
    return Schedule(_exponential_rate, _decay("exponential_decay", rate, factor, every))


def _exponential_rate(numbers: DecayNumbers, step: jax.Array) -> jax.Array:
    return numbers.rate * numbers.factor ** (_float(step) / _float(numbers.every))


def _decay(name: str, rate: Number, factor: Number, every: int) -> DecayNumbers:
    share = setting(f"{name} expects a factor above 0", factor, lambda factor: factor > 0)
    return DecayNumbers(_top(name, rate), share, _steps(f"{name} expects every of at least 1 step", every))


class CosineNumbers(NamedTuple):
    """Numbers of `cosine_decay`."""

    fall: jax.Array  # α − final
    steps: jax.Array
    final: jax.Array


@recipe
def cosine_decay(rate: Number, steps: int, final: Number = 0.0) -> Schedule:
    """Let the rate fall along half a cosine, α_t = final + ½ (α − final)(1 + cos(π t / steps)), then stay at final.

    Args:
        rate: α at the start.
        steps: steps until the rate is final, at least 1.
        final: rate at the end and after it.

    Returns:
        step -> α_t.

    Stability:
        ½ (1 + cos(π u)) = sin²(½ π (1 − u)), and 1 − u is 0 at the end without rounding: small rates are as exact as
        large ones.

    Raises:
        TypeError, ValueError: a rate is no number of at least 0, or steps no whole number from 1 on.

    References:
        Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts (2017), eq. 5, one period.

    Examples:
        >>> schedule = cosine_decay(1.0, steps=100)
        >>> [round(float(schedule(step)), 6) for step in (0, 50, 100, 500)]
        [1.0, 0.5, 0.0, 0.0]
    """
    whole = _steps("cosine_decay expects steps of at least 1", steps)
    return Schedule(_cosine_rate, _cosine("cosine_decay", rate, whole, final))


def _cosine_rate(numbers: CosineNumbers, step: jax.Array) -> jax.Array:
    steps = _like(numbers.steps, step)
    left = _float(steps - jnp.minimum(step, steps)) / _float(steps)
    return numbers.final + numbers.fall * jnp.sin(math.pi / 2 * left) ** 2


def _cosine(name: str, rate: Number, steps: Any, final: Number) -> CosineNumbers:
    last = setting(f"{name} expects a final rate of at least 0", final)
    return CosineNumbers(_top(name, rate) - last, steps, last)


class WarmupNumbers(NamedTuple):
    """Numbers of `warmup_cosine`."""

    slope: jax.Array  # α / (warmup + 1)
    warmup: jax.Array
    after: CosineNumbers


@recipe
def warmup_cosine(rate: Number, warmup: int, steps: int, final: Number = 0.0) -> Schedule:
    """Climb from near 0 to the rate in a straight line, α_t = α (t + 1) / (warmup + 1), then fall along half a cosine.

    Args:
        rate: α at the top, reached at step `warmup`.
        warmup: steps of the climb, at least 0; the first step already moves, by α / (warmup + 1).
        steps: steps in all, more than warmup.
        final: rate at the end and after it.

    Returns:
        step -> α_t.

    Raises:
        TypeError, ValueError: a rate is no number of at least 0, warmup no whole number from 0 on, or steps none above
            it.

    References:
        Goyal et al., Accurate, large minibatch SGD (2017), section 2.2, for the climb.

    Examples:
        >>> schedule = warmup_cosine(1.0, warmup=3, steps=103)
        >>> [round(float(schedule(step)), 6) for step in (0, 1, 3, 53, 103)]
        [0.25, 0.5, 1.0, 0.5, 0.0]
    """
    climb = _steps("warmup_cosine expects warmup of at least 0 steps", warmup, least=0)
    whole = _steps(f"warmup_cosine expects more steps than the {climb} of the warm-up", steps, least=climb + 1)
    after, top = _cosine("warmup_cosine", rate, whole - climb, final), _top("warmup_cosine", rate)
    return Schedule(_warmup_rate, WarmupNumbers(top / (climb + 1), climb, after))


def _warmup_rate(numbers: WarmupNumbers, step: jax.Array) -> jax.Array:
    warmup = _like(numbers.warmup, step)
    falling = _cosine_rate(numbers.after, jnp.maximum(step, warmup) - warmup)
    return jnp.where(step < warmup, numbers.slope * _float(step + 1), falling)


def _top(name: str, rate: Number) -> Any:
    return setting(f"{name} expects a learning rate of at least 0", rate)


def _steps(expected: str, steps: int, least: int = 1) -> Any:
    return min(require_whole(expected, steps, least=least), _MOST_STEPS)


def _float(step: jax.Array) -> jax.Array:
    return step.astype(jnp.result_type(float))


def _like(count: Any, step: jax.Array) -> jax.Array:
    return count.astype(step.dtype)
