"""The guard: compiled programs are compared with each other and with what is on the tape, before anything is proved."""

from __future__ import annotations

import numpy as np

from fnn.verify.proving.decisions import marks_of
from fnn.verify.proving.run import Whole
from fnn.verify.proving.tape import Node

AGREE = 1e-9  # what counts as rounding, of the largest entry


def largest(sides: list[list[np.ndarray]]) -> float:
    """The largest finite number in any result."""
    floats = [v for side in sides for v in side if v.dtype.kind == "f"]
    return max((float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in floats), default=0.0)


def disagreement(f: np.ndarray, g: np.ndarray, least: float = 0.0, agree: float = AGREE) -> tuple[int, ...] | None:
    """The first entry in which two compiled programs disagree, by 1e-9 of the largest one."""
    if f.dtype.kind != "f" or g.dtype.kind != "f":
        wrong = np.asarray(f != g)
    else:
        with np.errstate(invalid="ignore"):
            size = np.abs(f[np.isfinite(f)]).max(initial=least)
            wrong = ~((np.abs(f - g) <= agree * size) | (f == g) | (np.isnan(f) & np.isnan(g)))
    return tuple(int(k) for k in np.argwhere(wrong)[0]) if wrong.any() else None


def follows(compiled: np.ndarray, result: Node | Whole, agree: float) -> bool:
    """Whether a compiled leaf is what the tape says, within its error."""
    if isinstance(result, Whole):
        return not isinstance(result.value, np.ndarray) or bool((compiled == result.value).all())
    numbers = marks_of(result) == 0
    if (np.isnan(compiled) != np.isnan(result.value)).any():
        return False
    with np.errstate(invalid="ignore"):
        size = np.abs(result.value[numbers]).max(initial=0.0)
        near = np.abs(compiled - result.value) <= 8 * result.bound() + agree * size
    return bool((near | ~numbers).all())
