"""Schedules: functions of the step that give the learning rate; pure arithmetic, so they live inside the compiled step.

A schedule takes the number of updates made so far, 0 at the first, as a Python int or an int32 scalar. Any other
function of that kind will do as well.

    optimizer = fnn.adam(fnn.warmup_cosine(1e-3, warmup=500, steps=10_000))
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from fnn.optimizers.base import Schedule


def constant_schedule(rate: float) -> Schedule:
    """The same learning rate at every step.

    Args:
        rate: learning rate α.

    Returns:
        step -> α.
    """
    return lambda step: jnp.full((), rate, jnp.result_type(float))


def step_decay(rate: float, factor: float = 0.1, every: int = 1000) -> Schedule:
    """Multiply the rate by a factor after every so many steps, α_t = α factor^⌊t / every⌋.

    Args:
        rate: α at the start.
        factor: above 0, such as 0.1 or 0.5.
        every: steps between two drops, at least 1.

    Returns:
        step -> α_t.

    Raises:
        ValueError: factor is not above 0, or every is below 1.

    Examples:
        >>> schedule = step_decay(1.0, factor=0.5, every=10)
        >>> [float(schedule(step)) for step in (0, 9, 10, 20)]
        [1.0, 1.0, 0.5, 0.25]
    """
    _check(factor > 0, "step_decay", "a factor above 0", factor)
    _check(every >= 1, "step_decay", "every of at least 1 step", every)
    return lambda step: rate * factor ** jnp.floor(_float(step) / every)


def exponential_decay(rate: float, factor: float = 0.1, every: int = 1000) -> Schedule:
    """Let the rate fall by a factor over every so many steps, smoothly, α_t = α factor^(t / every).

    Args:
        rate: α at the start.
        factor: above 0, such as 0.1.
        every: steps over which the rate falls by the factor, at least 1.

    Returns:
        step -> α_t.

    Raises:
        ValueError: factor is not above 0, or every is below 1.

    Examples:
        >>> float(exponential_decay(1.0, factor=0.25, every=10)(5))
        0.5
    """
    _check(factor > 0, "exponential_decay", "a factor above 0", factor)
    _check(every >= 1, "exponential_decay", "every of at least 1 step", every)
    return lambda step: rate * factor ** (_float(step) / every)


def cosine_decay(rate: float, steps: int, final: float = 0.0) -> Schedule:
    """Let the rate fall along half a cosine, α_t = final + ½ (α − final)(1 + cos(π t / steps)), then stay at final.

    Args:
        rate: α at the start.
        steps: steps until the rate is final, at least 1.
        final: rate at the end and after it.

    Returns:
        step -> α_t.

    Raises:
        ValueError: steps is below 1.

    References:
        Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts (2017), eq. 5, one period.

    Examples:
        >>> schedule = cosine_decay(1.0, steps=100)
        >>> [round(float(schedule(step)), 6) for step in (0, 50, 100, 500)]
        [1.0, 0.5, 0.0, 0.0]
    """
    _check(steps >= 1, "cosine_decay", "steps of at least 1", steps)

    def schedule(step: jax.Array) -> jax.Array:
        done = jnp.minimum(_float(step) / steps, 1)
        return final + 0.5 * (rate - final) * (1 + jnp.cos(math.pi * done))

    return schedule


def warmup_cosine(rate: float, warmup: int, steps: int, final: float = 0.0) -> Schedule:
    """Climb from near 0 to the rate in a straight line, α_t = α (t + 1) / (warmup + 1), then fall along half a cosine.

    Args:
        rate: α at the top, reached at step `warmup`.
        warmup: steps of the climb, at least 0; the first step already moves, by α / (warmup + 1).
        steps: steps in all, more than warmup.
        final: rate at the end and after it.

    Returns:
        step -> α_t.

    Raises:
        ValueError: warmup is below 0, or steps not above it.

    References:
        Goyal et al., Accurate, large minibatch SGD (2017), section 2.2, for the climb.

    Examples:
        >>> schedule = warmup_cosine(1.0, warmup=3, steps=103)
        >>> [round(float(schedule(step)), 6) for step in (0, 1, 3, 53, 103)]
        [0.25, 0.5, 1.0, 0.5, 0.0]
    """
    _check(warmup >= 0, "warmup_cosine", "warmup of at least 0 steps", warmup)
    _check(steps > warmup, "warmup_cosine", f"more steps than the {warmup} of the warm-up", steps)
    fall = cosine_decay(rate, steps - warmup, final)

    def schedule(step: jax.Array) -> jax.Array:
        t = _float(step)
        return jnp.where(t < warmup, rate * (t + 1) / (warmup + 1), fall(t - warmup))

    return schedule


def _float(step: jax.Array) -> jax.Array:
    return jnp.asarray(step).astype(jnp.result_type(float))


def _check(holds: bool, name: str, expected: str, received: float) -> None:
    if not holds:
        raise ValueError(f"{name} expects {expected}, got {received}")
