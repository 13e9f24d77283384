"""Four roads to one gradient, side by side: loops, hand, autodiff, differences."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from fnn.inspection.loops import backward_by_loops
from fnn.layers.theta import count_params
from fnn.networks.arguments import require_call, settled
from fnn.recipes.shown import Shown
from fnn.verify.oracles import DIFFERENCES, TOLERANCE, as_float64, finite_differences, precise

Tree = Any
_TURNS = 20  # runs of each compiled gradient, the quickest of which counts


@dataclass(frozen=True)
class Road:
    """One way to the gradient."""

    name: str
    error: float  # largest deviation from autodiff, relative to the largest gradient; NaN if this road is closed
    seconds: float  # of a run after compilation, the quickest of several where it is compiled
    passes: int  # forward passes over the whole batch
    note: str = ""


@dataclass(frozen=True, repr=False)
class Agreement(Shown):
    """What `agree` returns; prints as a table."""

    roads: tuple[Road, ...]

    @property
    def ok(self) -> bool:
        """Whether all roads that are open lead to the same gradient."""
        return all(not road.error > _limit(road.name) for road in self.roads)

    def __str__(self) -> str:
        cells = [("gradient by", "error", "seconds", "forward passes", "")]
        for road in self.roads:
            if road.error != road.error:
                cells.append((road.name, "–", "–", "–", road.note))
            else:
                cells.append((road.name, f"{road.error:.0e}", f"{road.seconds:.2g}", f"{road.passes:,}", road.note))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _limit(name: str) -> float:
    return DIFFERENCES if name == "central differences" else TOLERANCE["float64"]


def agree(net: Any, params: Tree, x: Any, y: Any, **keywords: Any) -> Agreement:
    """Compute a gradient in four independent ways, in float64, and tabulate how well they agree and what they cost.

    Args:
        net: a Network; the four loops take dense layers and elementwise activations only.
        params: its parameters.
        x: batch of examples.
        y: targets.
        **keywords: state, key and weights, as `net.loss` takes them.

    Returns:
        The table: explicit loops, hand-derived backward, jax.grad, central differences.
    """
    x, y, _ = require_call("agree", net, params, x, y, **keywords)
    net = settled(net, keywords.get("state", ()))
    with precise():
        params, x, y, keywords = as_float64((params, x, y, keywords))

        def loss(params: Tree) -> jax.Array:
            return net.loss(params, x, y, **keywords)

        automatic = jax.jit(jax.grad(loss))
        hand = jax.jit(lambda params: net.backward(params, x, y, **keywords))
        seconds, (by_hand, right) = _race((hand, automatic), params)
        loops = partial(backward_by_loops, net, params, x, y, weights=keywords.get("weights"))
        differences = partial(finite_differences, loss, params)
        return Agreement(
            (
                _road("four loops", loops, right, 1),
                replace(_road("hand", lambda: by_hand, right, 1), seconds=seconds[0]),
                replace(_road("autodiff", lambda: right, right, 1), seconds=seconds[1]),
                _road("central differences", differences, right, 4 * count_params(params)),
            )
        )


def _race(functions: Sequence[Callable], params: Tree) -> tuple[list[float], list[Tree]]:
    """The least time of each, warm and by turns, so that none runs on a machine that is busier; and what they gave."""
    grads = [jax.block_until_ready(f(params)) for f in functions]
    seconds = [math.inf] * len(functions)
    for _ in range(_TURNS):
        for i, f in enumerate(functions):
            start = time.perf_counter()
            jax.block_until_ready(f(params))
            seconds[i] = min(seconds[i], time.perf_counter() - start)
    return seconds, grads


def _road(name: str, gradient: Callable, right: Tree, passes: int) -> Road:
    start = time.perf_counter()
    try:
        grads = jax.block_until_ready(gradient())
    except ValueError as error:
        return Road(name, float("nan"), float("nan"), 0, str(error).split("; ")[0])
    seconds = time.perf_counter() - start
    leaves = zip(jax.tree.leaves(grads), jax.tree.leaves(right), strict=True)
    largest = max((float(np.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(right)), default=0.0) or 1.0
    return Road(name, max(float(np.abs(a - b).max(initial=0)) for a, b in leaves) / largest, seconds, passes)
