"""The kinks that layers and losses declare: which units sit on them, and the chain with another convention there.

Whether a gradient is right at a kink is settled by `choices`, for any function. Here kinks get the names that people
know them by, and a wrong gradient is compared with the catalogue under each of the usual conventions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from fnn.verify.chain import Chain, settle
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
