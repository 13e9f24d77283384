"""Every intermediate of the chain under the notes' names, and the first step at which a derivation goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from fnn.inspection.intermediates import Link, backward_links, forward_links
from fnn.networks.arguments import require_call, settled
from fnn.recipes.shown import Shown
from fnn.verify.answers import is_single
from fnn.verify.chain import Chain
from fnn.verify.forward_pass import build_chain, slope_of
from fnn.verify.locate import constants_of, describe
from fnn.verify.oracles import TOLERANCE, as_float64, precise

RIGHT, WRONG, FOLLOWS, NOT_GIVEN = "right", "WRONG", "follows", "–"


@dataclass(frozen=True)
class TraceStep:
    """One intermediate: what it is, and how yours compares."""

    name: str  # "dZ1"
    formula: str  # "dA1 ⊙ g'(Z1)"
    shape: tuple[int, ...]
    error: float  # of yours against the right value, relative to its largest entry; NaN if not given
    given: float  # the same against what follows from your previous values
    verdict: str  # "right", "WRONG", "follows" (wrong only because an earlier one is) or "–"
    note: str = ""


@dataclass(frozen=True, repr=False)
class Trace(Shown):
    """What `trace` returns: a mapping from names to values that prints as a table.

    Attributes:
        values: every intermediate by name, in order: forward, then backward.
        steps: one row each.
        first_wrong: name of the first wrong step, or None.
    """

    values: Mapping[str, np.ndarray]
    steps: tuple[TraceStep, ...]
    first_wrong: str | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __str__(self) -> str:
        checked = any(step.verdict != NOT_GIVEN for step in self.steps)
        cells: list[tuple[str, ...]] = [("step", "formula", "shape")]
        if checked:
            cells[0] += ("error", "given yours", "verdict")
        for step in self.steps:
            row: tuple[str, ...] = (step.name, step.formula, str(step.shape))
            if checked:
                row += (_number(step.error), _number(step.given), step.verdict)
            cells.append(row)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        wrong = [step for step in self.steps if step.verdict == WRONG]
        if wrong:
            lines = [
                f"first wrong step: {wrong[0].name}",
                *(f"  {step.name}: {step.note}" for step in wrong),
                "",
                *lines,
            ]
        return "\n".join(lines)


def _number(error: float) -> str:
    return NOT_GIVEN if error != error else f"{error:.0e}"


def trace(
    net: Any,
    params: Any,
    x: Any,
    y: Any,
    steps: Mapping[str, Any] | None = None,
    *,
    state: Any = (),
    key: jax.Array | None = None,
    weights: Any = None,
) -> Trace:
    """Lay open every intermediate of a network's forward and backward pass, and compare yours with them.

    Names are the notes': Z1 leaves the first dense layer, A1 the activation behind it, dZ1 = ∂L/∂Z1. The last A is Ŷ,
    the output activation that belongs to the loss, so a two-layer network has dA2, dZ2, dW2, db2, dA1, dZ1, dW1, db1.
    Penalties are left out: they are no part of the chain.

    Args:
        net: a Network.
        params: its parameters.
        x: batch of examples.
        y: targets.
        steps: your own values by these names, any subset, rows or columns as examples; each is judged twice: against
            the right value, and against what follows from the values you had before it. The tolerance is that of
            float32 where these, params or x are float32, else that of float64.
        state: the layers' state, where they have one.
        key: random key, where a layer draws.
        weights: weight of each example.

    Returns:
        The trace, a mapping from names to float64 arrays; print it.

    Raises:
        ValueError: a name that this network does not have, or a value of the wrong shape.

    Examples:
        >>> import fnn
        >>> net = fnn.mlp(2, 3, 1, activation=fnn.sigmoid, loss=fnn.sigmoid_cross_entropy)
        >>> params, x, y = net.init(jax.random.key(0)), np.ones((4, 2)), np.ones((4, 1))
        >>> [name for name in fnn.trace(net, params, x, y) if name.startswith("d")]
        ['dA2', 'dZ2', 'dW2', 'db2', 'dA1', 'dZ1', 'dW1', 'db1']
    """
    x, y, weights = require_call("trace", net, params, x, y, state=state, key=key, weights=weights)
    net = settled(net, state)
    single = any(is_single(leaf) for leaf in jax.tree.leaves((dict(steps or {}), params, x)))
    given = {"state": state, "key": key, "weights": weights}
    keywords = {name: value for name, value in given.items() if value is not None and jax.tree.leaves(value)}
    with precise(), np.errstate(all="ignore"):
        params, x, y, keywords = as_float64((params, x, y, keywords))
        chain = build_chain(net, params, x, y, keywords)
        forward, backward = list(forward_links(chain)), list(backward_links(chain))
        values = _follow(chain, forward, {}) | _follow(chain, backward, {})
        yours = _adopt(steps or {}, values)
        believed = _follow(chain, forward, yours)
        bent = _with_forward(chain, forward, believed) if any(name in yours for name in believed) else chain
        believed |= _follow(bent, backward, yours)
        tolerance = TOLERANCE["float32" if single else "float64"]
        rows = [_judge(chain, link, values, yours, believed, tolerance) for link in forward]
        rows += [_judge(bent, link, values, yours, believed, tolerance) for link in backward]
    wrong = next((row.name for row in rows if row.verdict == WRONG), None)
    return Trace(values, tuple(rows), wrong)


def _follow(chain: Chain, links: list[Link], yours: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The value of every link: yours where given, else what follows from the one before."""
    values: dict[str, np.ndarray] = {}
    for link in links:
        source = None if link.source is None else values[link.source]
        values[link.name] = yours[link.name] if link.name in yours else link.follow(chain, source)
    return values


def _with_forward(chain: Chain, links: list[Link], believed: Mapping[str, np.ndarray]) -> Chain:
    """The chain with other forward values, for judging a backward pass that was built on them."""
    steps, inputs = [], chain.steps[0].record.x
    for link, step in zip(links, chain.steps, strict=False):
        record = step.record._replace(x=inputs, y=believed[link.name])
        slope = step.slope
        if slope is not None:
            slope = np.asarray(slope_of(step.layer, record.params, inputs))
        steps.append(replace(step, record=record, slope=slope))
        inputs = believed[link.name]
    return replace(chain, steps=tuple(steps), z=inputs, predictions=believed[links[-1].name])


def _adopt(steps: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Your values in the library's layout.

    Raises:
        ValueError: an unknown name or an impossible shape.
    """
    yours = {}
    for name, value in steps.items():
        if name not in values:
            raise ValueError(f"steps: expected names among {', '.join(values)}, got {name!r}; rename it")
        value, right = np.asarray(value, np.float64), values[name]
        if value.shape != right.shape and value.ndim == 2 and value.T.shape == right.shape:
            value = value.T
        if value.shape != right.shape and value.size == right.size and 1 in value.shape:
            value = value.reshape(right.shape)
        if value.shape != right.shape:
            raise ValueError(
                f"steps: expected {name} of shape {right.shape}, or transposed with examples in columns, "
                f"got {value.shape}; bias gradients are summed over examples"
            )
        yours[name] = value
    return yours


def _judge(
    chain: Chain,
    link: Link,
    values: Mapping[str, np.ndarray],
    yours: Mapping[str, np.ndarray],
    believed: Mapping[str, np.ndarray],
    tolerance: float,
) -> TraceStep:
    right = values[link.name]
    row = TraceStep(link.name, link.formula, right.shape, np.nan, np.nan, NOT_GIVEN)
    if link.name not in yours:
        return row
    source = None if link.source is None else believed[link.source]
    mine, follows = yours[link.name], link.follow(chain, source)
    error, given = _error(mine, right), _error(mine, follows)
    verdict = RIGHT if error <= tolerance else FOLLOWS if given <= tolerance else WRONG
    note = _note(chain, link, mine, follows, source, tolerance) if verdict == WRONG else ""
    return replace(row, error=error, given=given, verdict=verdict, note=note)


def _error(got: np.ndarray, right: np.ndarray) -> float:
    scale = float(np.abs(right).max(initial=0)) or 1.0
    error = float(np.abs(got - right).max(initial=0)) / scale
    return error if error == error else np.inf


def _note(chain: Chain, link: Link, mine: np.ndarray, follows: np.ndarray, source: Any, tolerance: float) -> str:
    for mutant, value in link.mutants(chain, source) if link.mutants else ():
        if _error(value, follows) > tolerance and _error(mine, value) <= tolerance:
            return mutant.sentence
    return f"should be {link.formula}; yours {describe(mine, follows, None, constants_of(chain), of='value')}"
