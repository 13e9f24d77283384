"""Gradients at other data: whoever recomputes the forward may forget a line of what is done to the data, or mistake it.

Equations that no parameter reaches leave nothing but their values, so the whole program is run anew: without one of
those equations, or with labels turned over, shifted by one, or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fnn.verify.paths.program import Program
from fnn.verify.paths.sweeps import backward
from fnn.verify.paths.variant import Finish, Variant

_MOST = 24  # equations of data that are left out in turn


def recomputed(program: Program) -> Iterator[Variant]:
    """Variants of what a program does with its data.

    Args:
        program: the program at the point, which can be run again.

    Yields:
        The variants; their gradient is that of the program at other data.
    """
    if "again" not in program.notes:
        return
    for number, (ins, stack) in enumerate(program.inert[:_MOST]):
        words: dict[str, Any] = {"place": stack.place, "others": list(ins[1:])}
        yield Variant("data left out", None, None, 1.9, words, _run_again(skip=number))
    for leaf, origin in enumerate(program.origin[: program.arguments]):
        value = program.values[leaf]
        if program.active[leaf] or not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            continue
        for what, _ in _changes(value):
            words = {"place": _first_place(program, leaf), "leaf": origin, "what": what}
            yield Variant("other data", None, None, 2.0, words, _run_again(leaf=leaf, what=what))


def _changes(value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What data can be mistaken for."""
    if value.size < 2:
        return
    if np.isin(value, (0, 1)).all():
        yield "turned over, 0 for 1 and 1 for 0", (1 - value.astype(np.float64)).astype(value.dtype)
        yield "1 everywhere", np.ones_like(value)
    if value.dtype.kind == "f":
        yield "0 everywhere, left out", np.zeros_like(value)
    if len(value) > 1:
        yield "off by one: that of the entry before", np.roll(value, 1, axis=0)
        yield "off by one: that of the entry after", np.roll(value, -1, axis=0)


def _first_place(program: Program, leaf: int) -> Any:
    """Where a parameter's path first meets what is made of a leaf."""
    made = {leaf}
    for number, ins in program.made_of.items():
        if made & set(ins):
            made.add(number)
    stacks = (node.stack for node in program.nodes if node.eqn is not None and made & set(node.ins))
    return next((stack.place for stack in stacks), None)


def _run_again(skip: int = -1, leaf: int = -1, what: str = "") -> Finish:
    def finish(program: Program, leaves: list[np.ndarray]) -> list[np.ndarray]:
        changed = dict(_changes(program.values[leaf])) if leaf >= 0 else {}
        other = program.notes["again"](skip, {leaf: changed[what]} if what in changed else {})
        return [g[0] for g in backward(other).gradient()]

    return finish
