"""Where an equation was written: the line of the user's file and the very expression, from the equation's source info.

JAX keeps with every equation the Python frames that led to it. Those inside JAX, NumPy and fnn's checker tell which of
several equations of one call it is; the innermost of the others is the place to speak of. A function traced on its own
(jit, scan) starts its frames anew: they are put in front of those of its caller.
"""

from __future__ import annotations

import linecache
import os
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

import jax
import numpy as np

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = tuple(os.path.dirname(os.path.abspath(str(module.__file__))) + os.sep for module in (jax, np))
_CHECKER = os.path.dirname(os.path.dirname(_HERE)) + os.sep


class Place(NamedTuple):
    """One call in the user's code."""

    code: CodeType
    offset: int  # of the instruction within the code

    @property
    def file(self) -> str:
        """The file."""
        return self.code.co_filename

    @property
    def line(self) -> int:
        """The line on which the expression starts."""
        return _span(self.code, self.offset)[0]

    @property
    def expression(self) -> str:
        """The expression as it is written; empty where the source can't be read."""
        return _expression(self.code, self.offset)


class Stack(NamedTuple):
    """How an equation was reached."""

    places: tuple[Place, ...]  # in the user's code, innermost first
    inner: tuple  # the frames of libraries below the innermost place, with the primitive

    @property
    def place(self) -> Place | None:
        """The innermost place in the user's code."""
        return self.places[0] if self.places else None


def stack_of(eqn: Any, outer: Stack | None) -> Stack:
    """Read the frames of an equation.

    Args:
        eqn: an equation of a jaxpr.
        outer: the stack of the equation whose inner program holds this one.

    Returns:
        Its stack.
    """
    inner: list[tuple] = [(eqn.primitive.name,)]
    places: list[Place] = []
    traceback = eqn.source_info.traceback
    codes, offsets = traceback.raw_frames() if traceback is not None else ((), ())
    for code, offset in zip(codes, offsets, strict=True):
        if code.co_filename.startswith(_HERE):
            break  # from here outward it is who asks, not the forward
        if code.co_filename.startswith((*_LIBRARIES, _CHECKER)):
            if not places:
                inner.append((code.co_filename, code.co_firstlineno, offset))
        else:
            places.append(Place(code, offset))
    if outer is None:
        return Stack(tuple(places), tuple(inner))
    within = tuple(inner) if places else (*inner, *outer.inner)
    return Stack((*places, *outer.places), within)


@lru_cache(maxsize=4096)
def _span(code: CodeType, offset: int) -> tuple[int, int, int, int]:
    """First and last line, first and last column (bytes) of an instruction's source."""
    for i, position in enumerate(code.co_positions()):
        if 2 * i == offset:
            line, end, column, until = position
            return (line or code.co_firstlineno, end or line or 0, column or 0, until or 0)
    return (code.co_firstlineno, 0, 0, 0)


@lru_cache(maxsize=4096)
def _expression(code: CodeType, offset: int) -> str:
    line, end, column, until = _span(code, offset)
    rows = [linecache.getline(code.co_filename, i).encode() for i in range(line, end + 1)]
    if not rows or not until:
        return ""
    rows[-1] = rows[-1][:until]
    rows[0] = rows[0][column:]
    return " ".join(b" ".join(row.strip() for row in rows).decode(errors="replace").split())
