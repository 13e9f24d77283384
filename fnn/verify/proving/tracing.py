"""Programs that are others in float64 than in the dtypes of their arguments.

The proof is about what JAX traces in float64. A function may ask for the dtype of its arguments, or for settings, and
do something else there: `jnp.finfo(x.dtype).eps` is another number. Its trace with the arguments' own dtypes has to
have the same equations with the same literals, but for their rounding. Literals that are others are allowed where both
programs have them. Random numbers are drawn otherwise in float64, so that programs with draws are not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from fnn.verify.proving.programs import Program
from fnn.verify.proving.run import equations_of, where_of

_WITHOUT = frozenset({"convert_element_type"})
_DRAWS = ("random_", "threefry")
_CUT = ("min", 11.0, 28.0)  # JAX 0.12 cuts |x| in e^(−x²), the derivative of erf, where that is 0: by dtype


def differently_traced(programs: tuple[Program, Program]) -> str | None:
    """A sentence that names what is another thing in float64, in one program only; None if nothing is.

    Args:
        programs: f and g.
    """
    changed = []
    for program in programs:
        if [v.aval.shape for v in program.own.outvars] != [aval.shape for aval in program.jaxpr.out_avals]:
            return f"{program.name} has results of another shape in float64, in which it is traced"
        found: Counter[tuple[float, float]] = Counter()
        for difference in _differences(program):
            if isinstance(difference, str):
                return difference
            found[difference] += 1
        changed.append(set(found))
    one_sided = changed[0] ^ changed[1]
    if not one_sided:
        return None
    own, traced = min(one_sided)
    name = programs[0].name if (own, traced) in changed[0] else programs[1].name
    return f"{name} has the number {own!r} with its arguments' dtypes and {traced!r} in float64, in which it is traced"


def _differences(program: Program) -> Iterator[tuple[float, float] | str]:
    traces = [
        [e for e in equations_of(j) if e.primitive.name not in _WITHOUT] for j in (program.own, program.jaxpr.jaxpr)
    ]
    if any(e.primitive.name.startswith(_DRAWS) for e in traces[0]):
        return
    for own, traced in zip_longest(*traces):
        if own is None or traced is None or own.primitive.name != traced.primitive.name:
            place = where_of(traced or own) or "an unknown line"
            yield f"{program.name} is another program in float64 than with its arguments' dtypes, {place}"
            return
        for mine, other in zip(_numbers(own), _numbers(traced), strict=False):
            if not _is_rounding(*mine, other[0]) and (own.primitive.name, mine[0], other[0]) != _CUT:
                yield mine[0], other[0]


def _numbers(equation: Any) -> list[tuple[float, float]]:
    """The scalar float literals of an equation, each with the unit in the last place of 1 at its dtype."""
    literals = [
        (atom.val, getattr(atom.aval, "dtype", None)) for atom in equation.invars if isinstance(atom, core.Literal)
    ]
    floats = [(v, d) for v, d in literals if d is not None and jnp.issubdtype(d, jnp.floating) and not np.shape(v)]
    return [(float(value), float(jnp.finfo(dtype).eps)) for value, dtype in floats]


def _is_rounding(own: float, unit: float, traced: float) -> bool:
    if own == traced or (np.isnan(own) and np.isnan(traced)):
        return True
    return bool(abs(own - traced) <= 2 * unit * abs(traced))
