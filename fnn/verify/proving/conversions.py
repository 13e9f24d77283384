"""What conversions write: between floats nothing, to whole numbers what float64 decides."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.arithmetic import with_lost
from fnn.verify.proving.decisions import CannotTell, lost_of
from fnn.verify.proving.run import Run, Value, Whole, rule


@rule("convert_element_type", "reduce_precision", "bitcast_convert_type")
def _convert(run: Run, equation: Any, values: list[Any]) -> Value:
    """Between floats: the identity. To whole numbers: towards 0, decided by float64."""
    (x,) = values
    to = equation.outvars[0].aval.dtype
    if isinstance(x, Whole):
        if equation.primitive.name == "bitcast_convert_type" or (
            x.lost is not None and not jnp.issubdtype(to, jnp.floating)
        ):
            return run.by_jax(equation, values)[0]
        if jnp.issubdtype(to, jnp.floating):
            return with_lost(run, run.tape.const(np.asarray(x.value).astype(np.float64)), x.lost)
        return Whole(np.asarray(x.value).astype(to))
    if equation.primitive.name == "bitcast_convert_type":
        raise CannotTell(f"{run.tape.place}: the bits of a float")
    if jnp.issubdtype(to, jnp.floating):
        if x.varies and (
            equation.primitive.name == "reduce_precision"
            or to.itemsize < min(run.float_size, equation.invars[0].aval.dtype.itemsize)
        ):
            run.decisions.conversions[run.tape.place] = None
        return x
    if jnp.issubdtype(to, jnp.bool_):
        sign = run.decisions.compare(x, f.number(run.tape, 0.0, x), "equality")
        return Whole((sign != 0) | np.isnan(x.value), lost_of(x))
    whole, side = run.decisions.nearest_whole(x)
    truncated = np.where(whole > 0, whole - (side < 0), np.where(whole < 0, whole + (side > 0), whole))
    info = jnp.iinfo(to)
    if not (np.isfinite(truncated) & (truncated >= info.min) & (truncated <= info.max)).all():
        return run.unknown(equation.outvars[0].aval, f"{run.tape.place}: a float beyond the range of {to}")
    run.decisions.note(truncated)
    return Whole(truncated.astype(to), lost_of(x))
