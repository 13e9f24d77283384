"""Kinks: where a function has no derivative, every subgradient is a right answer.

Units that sit on a kink of their activation (relu at z = 0), and errors that sit on a kink of the loss, may each take
any value between the two one-sided derivatives. A gradient is accepted if some choice of these values gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from fnn.verify.chain import Chain, Leaves, settle
from fnn.verify.forward_pass import slope_of

_REACH = {"float64": 1e-12, "float32": 1e-6}  # within this part of the largest |z|, rounding decides the side
_slope = jax.jit(slope_of, static_argnums=0)
_SIDE = 1e-6  # how far from a kink the one-sided derivatives are taken


@dataclass(frozen=True)
class Kink:
    """The units of one step, or of the loss, that sit on a kink."""

    step: int | None  # number of the step; None for the loss
    label: str
    at: np.ndarray  # bools, shaped like z
    left: np.ndarray  # derivative from the left: g'(z), or ∂L/∂Z for the loss
    right: np.ndarray

    def __str__(self) -> str:
        rows = np.flatnonzero(self.at.any(axis=tuple(range(1, self.at.ndim))))
        shown = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
        return f"{int(self.at.sum())} of {self.at.size} units of {self.label} sit on a kink, in examples {shown}"


def kinks_of(chain: Chain, precision: str) -> list[Kink]:
    """Find what sits on a kink at this point.

    Args:
        chain: the network at the point.
        precision: "float64" or "float32", whose rounding decides what is near.

    Returns:
        One entry for each step, and one for the loss, with any such unit.
    """
    kinks = _all(chain, _REACH[precision])
    return [kink for kink in kinks if not np.array_equal(kink.left, kink.right)]


def _all(chain: Chain, reach: float) -> Iterator[Kink]:
    for k, step in enumerate(chain.steps):
        if step.slope is not None and step.layer.kinks:
            z = step.record.x
            near = [np.abs(z - kink) <= reach * max(1e-3, np.abs(z).max(initial=0)) for kink in step.layer.kinks]
            at = np.any(near, axis=0)
            if not at.any():
                continue
            left, right = (
                np.where(at, np.asarray(_slope(step.layer, step.record.params, z + side)), step.slope)
                for side in (-_SIDE, _SIDE)
            )
            yield Kink(k, step.label, at, left, right)
    if chain.net.criterion.kink is not None:
        at = np.asarray(chain.net.criterion.kink(chain.z, chain.y)) <= reach * max(1e-3, np.abs(chain.z).max())
        if not at.any():
            return
        sides = [
            np.asarray(_dz(chain.net.criterion, chain.z + np.where(at, side, 0), chain.y, chain.weights))
            for side in (-_SIDE, _SIDE)
        ]
        yield Kink(None, f"the loss ({chain.net.criterion.name})", at, *sides)


@partial(jax.jit, static_argnums=0)
def _dz(criterion: Any, z: jax.Array, y: jax.Array, weights: Any) -> jax.Array:
    return jax.grad(lambda z: criterion.fwd(z, y, weights)[0])(z)


def bent(chain: Chain, kinks: list[Kink], share: float) -> Chain:
    """The same chain with another convention at its kinks.

    Args:
        chain: the network at the point.
        kinks: what sits on a kink.
        share: 0 takes the derivative from the left, 1 that from the right, ½ their mean.

    Returns:
        The chain, with its gradient computed anew.
    """
    steps, dz = list(chain.steps), chain.dz
    for kink in kinks:
        slope = kink.left + share * (kink.right - kink.left)
        if kink.step is None:
            dz = np.where(kink.at, slope, dz)
        else:
            steps[kink.step] = replace(steps[kink.step], slope=slope)
    return settle(replace(chain, steps=tuple(steps), dz=dz))


CONVENTIONS = {"the derivative from the left": 0.0, "the derivative from the right": 1.0, "the mean of both sides": 0.5}


def convention_of(chain: Chain, kinks: list[Kink], answer: Leaves, tolerance: float) -> str | None:
    """Name the choice at the kinks that gives an answer, or None if none is found.

    Args:
        chain: the network at the point.
        kinks: what sits on a kink.
        answer: the gradient that was returned.
        tolerance: relative to the largest gradient.

    Returns:
        "the derivative from the right", ... or "a choice of its own for each unit".
    """
    for name, share in CONVENTIONS.items():
        if _agree(bent(chain, kinks, share).gradient(), answer, tolerance):
            return name
    return "a choice of its own for each unit" if _agree(_fitted(chain, kinks, answer), answer, tolerance) else None


def _agree(expected: Leaves | None, answer: Leaves, tolerance: float) -> bool:
    if expected is None:
        return False
    largest = max((float(np.abs(leaf).max(initial=0)) for leaf in expected), default=0.0)
    return all(np.abs(a - b).max(initial=0) <= tolerance * largest for a, b in zip(answer, expected, strict=True))


def _fitted(chain: Chain, kinks: list[Kink], answer: Leaves) -> Leaves | None:
    """The subgradient nearest to an answer, solved from the output down.

    Derivation:
        With dA given, dZ = dA ⊙ (left + t ⊙ (right − left)) for unknown t in [0, 1] at the kinks. Neuron o of the
        dense layer below has dW[o] = Σ_i dz[i, o] x_i and db[o] = Σ_i dz[i, o]: linear in its t, solved by least
        squares around ½ and cut to [0, 1].
    """
    at = {kink.step: kink for kink in kinks}
    dy, leaves = chain.dz, dict(enumerate(chain.penalty))
    if None in at:
        if not chain.steps or not chain.steps[-1].is_dense:
            return None
        dy = _solve(chain, len(chain.steps) - 1, at[None], np.ones_like(chain.dz), answer)
    for k in reversed(range(len(chain.steps))):
        step = chain.steps[k]
        if k in at:
            if k == 0 or not chain.steps[k - 1].is_dense:
                return None
            dy = _solve(chain, k - 1, at[k], dy, answer)
            continue
        grads, dy = chain.pull(k, dy)
        for i, leaf in enumerate(jax.tree.leaves(grads)):
            leaves[step.first + i] = leaves[step.first + i] + np.asarray(leaf)
    return [leaves[i] for i in range(len(leaves))]


def _solve(chain: Chain, k: int, kink: Kink, dy: np.ndarray, answer: Leaves) -> np.ndarray:
    """DZ that leaves a kinked activation above dense step k, chosen to meet the answer there."""
    step = chain.steps[k]
    x = np.concatenate([step.record.x, np.ones((chain.n, 1))], axis=1)
    parts = [answer[i] - chain.penalty[i] for i in range(step.first, step.first + step.count)]
    wanted = np.concatenate([parts[0], parts[1][:, None]], axis=1) if len(parts) == 2 else parts[0]
    x = x if len(parts) == 2 else x[:, :-1]
    dz = dy * (kink.left + kink.right) / 2
    spread = dy * (kink.right - kink.left)
    for unit in np.flatnonzero(kink.at.any(axis=0)):
        rows = np.flatnonzero(kink.at[:, unit])
        missing = wanted[unit] - dz[:, unit] @ x
        t = np.linalg.lstsq((x[rows] * spread[rows, unit, None]).T, missing, rcond=None)[0]
        dz[rows, unit] += np.clip(t, -0.5, 0.5) * spread[rows, unit]
    return dz


def reachable(chain: Chain, kinks: list[Kink], answer: Leaves, tolerance: float) -> list[bool]:
    """Say of each leaf whether the kinks could be all that sets it apart from the right gradient.

    The contributions of kinked units are sampled at random corners of the set of subgradients; what lies within twice
    their spread might be reached by some choice.

    Args:
        chain: the network at the point.
        kinks: what sits on a kink.
        answer: the gradient that was returned.
        tolerance: relative to the largest gradient.

    Returns:
        One bool a leaf.
    """
    random = np.random.default_rng(0)
    shares = [0.0, 1.0, *(random.integers(0, 2, kinks[0].at.shape[0]) for _ in range(6))]
    corners = [bent(chain, kinks, _by_row(share)).gradient() for share in shares]
    largest = max((float(np.abs(leaf).max(initial=0)) for leaf in corners[0]), default=0.0)
    within = []
    for i, leaf in enumerate(answer):
        values = np.stack([corner[i] for corner in corners])
        low, high = values.min(axis=0), values.max(axis=0)
        slack = 0.5 * (high - low) + tolerance * largest
        within.append(bool(((leaf >= low - slack) & (leaf <= high + slack)).all()))
    return within


def _by_row(share: Any) -> Any:
    """One choice for each example."""
    return share if np.ndim(share) == 0 else np.asarray(share, float)[:, None]
