"""A contribution that is turned, shifted, averaged or cut along an axis: variants that every site has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fnn.verify.paths.families import Site
from fnn.verify.paths.program import Program
from fnn.verify.paths.sweeps import Backward, Change
from fnn.verify.paths.variant import Variant

Own = Callable[[np.ndarray], np.ndarray]  # (b, *shape) -> the same shape


def reshaped(site: Site, program: Program) -> Iterator[Variant]:
    """The contribution transposed, reversed, shifted or averaged along an axis, or without some of its entries.

    Args:
        site: the site.
        program: the program at the point.

    Yields:
        The variants.
    """
    shape = program.shape(site.numbers[0])
    if any(program.shape(n) != shape for n in site.numbers):
        return
    if len(shape) > 1 and shape[-1] == shape[-2] and shape[-1] > 1:
        yield of_own("transposed", site, turned, 1.5, what="own")
    if site.level == 3:
        return
    for kind, f, cost, words in along_axes(shape):
        yield of_own(kind, site, f, cost, **words)
    if len(shape) == 4:
        for axes in ((2, 3), (0, 1), (1, 2)):
            yield of_own("reversed", site, partial(_reversed, axis=tuple(a + 1 for a in axes)), 1.8, axis=axes)


def of_own(kind: str, site: Site, f: Own, cost: float, **words: Any) -> Variant:
    """A variant that changes the contribution as it is."""

    def change(found: Backward, rows: Any, own: np.ndarray) -> np.ndarray:
        return f(own)

    def member(program: Program, i: int) -> Change:
        return change

    return Variant(kind, site, member, cost, words)


def along_axes(shape: tuple[int, ...]) -> Iterator[tuple[str, Own, float, dict]]:
    """What can be done along one axis: (kind, function, how far-fetched, words)."""
    for axis, n in enumerate(shape):
        if n < 2:
            continue
        at = axis + 1
        for step in (1, -1):
            yield "shifted", partial(_shifted, axis=at, step=step), 2.6, {"step": step, "axis": axis}
            yield "rolled", partial(_rolled, axis=at, step=step), 2.8, {"step": step, "axis": axis}
        yield "reversed", partial(_reversed, axis=at), 2.6, {"axis": axis}
        yield "averaged", partial(_averaged, axis=at), 2.7, {"axis": axis}
        yield "summed", partial(_averaged, axis=at, times=n), 2.7, {"axis": axis}
        yield "centred", partial(_centred, axis=at), 2.9, {"axis": axis}
        for i in sorted({0, n - 1}):
            yield "dropped", partial(_without, axis=at, i=i), 2.4, {"axis": axis, "index": i}
            yield "only", partial(_only, axis=at, i=i), 2.2, {"axis": axis, "index": i}


def turned(own: np.ndarray) -> np.ndarray:
    """The last two axes exchanged."""
    return own.swapaxes(-1, -2)


def _rolled(own: np.ndarray, axis: int, step: int) -> np.ndarray:
    return np.roll(own, step, axis)


def _shifted(own: np.ndarray, axis: int, step: int) -> np.ndarray:
    moved = np.roll(own, step, axis)
    edge = [slice(None)] * own.ndim
    edge[axis] = slice(0, 1) if step > 0 else slice(-1, None)
    moved[tuple(edge)] = 0
    return moved


def _reversed(own: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.flip(own, axis)


def _averaged(own: np.ndarray, axis: int, times: int = 1) -> np.ndarray:
    return times * np.broadcast_to(own.mean(axis=axis, keepdims=True), own.shape)


def _centred(own: np.ndarray, axis: int) -> np.ndarray:
    return own - own.mean(axis=axis, keepdims=True)


def _without(own: np.ndarray, axis: int, i: int) -> np.ndarray:
    out = np.array(own)
    out[(slice(None),) * axis + (i,)] = 0
    return out


def _only(own: np.ndarray, axis: int, i: int) -> np.ndarray:
    return own - _without(own, axis, i)
