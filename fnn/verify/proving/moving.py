"""What moves entries: views, concatenation, padding, gathers, scatters.

Where an index decides, JAX itself is asked: the primitive is run on the *numbers* of the entries, and what comes out
says where each entry comes from, with JAX's own rules for indices out of bounds.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fnn.verify.proving import formulas as f
from fnn.verify.proving.arithmetic import chosen, is_whole, with_lost
from fnn.verify.proving.decisions import lost_of
from fnn.verify.proving.movement import View
from fnn.verify.proving.run import Run, Value, Whole, rule
from fnn.verify.proving.tape import Node


def moved_by(run: Run, value: Value, view: View) -> Value:
    """Rearrange floats or concrete numbers."""
    if isinstance(value, Node):
        return run.tape.write("view", value, data=view)
    array = value.value
    if not isinstance(array, np.ndarray):
        raise TypeError("keys are moved by JAX")
    return Whole(view.apply(array), None if value.lost is None else view.apply(value.lost))


@rule("reshape", "squeeze", "transpose", "broadcast_in_dim", "slice", "rev")
def _view(run: Run, equation: Any, values: list[Any]) -> Value:
    (x, *_) = values
    if isinstance(x, Whole) and not isinstance(x.value, np.ndarray):
        return run.by_jax(equation, values[:1])[0]
    shape, parameters = equation.outvars[0].aval.shape, equation.params
    match equation.primitive.name:
        case "reshape" | "squeeze":
            return moved_by(run, x, View("reshape", tuple(shape)))
        case "transpose":
            return moved_by(run, x, View("transpose", tuple(parameters["permutation"])))
        case "rev":
            return moved_by(run, x, View("flip", tuple(parameters["dimensions"])))
        case "slice":
            steps = parameters["strides"] or (1,) * len(shape)
            bounds = zip(parameters["start_indices"], parameters["limit_indices"], steps, strict=True)
            return moved_by(run, x, View("slice", tuple(bounds)))
        case _:
            old = x.value.shape
            axes = dict(zip(parameters["broadcast_dimensions"], old, strict=True))
            widened = tuple(axes.get(axis, 1) for axis in range(len(shape)))
            x = x if widened == old else moved_by(run, x, View("reshape", widened))
            return x if widened == tuple(shape) else moved_by(run, x, View("broadcast", tuple(shape)))


@rule(
    "copy",
    "copy_p",
    "stop_gradient",
    "optimization_barrier",
    "layout_constraint",
    "sharding_constraint",
    "name",
    "device_put",
    "reshard",
    "pvary",
    "pcast",
    "mesh_cast",
)
def _same(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    return values


@rule("concatenate")
def _concatenate(run: Run, equation: Any, values: list[Any]) -> Value:
    axis = equation.params["dimension"]
    return joined(run, values, axis)


def joined(run: Run, values: list[Any], axis: int) -> Value:
    """Arrays one after the other along an axis."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], Node):
        return run.tape.write("concat", *values, data=axis)
    marks = None
    if any(v.lost is not None for v in values):
        marks = np.concatenate([np.zeros(v.value.shape, np.int16) if v.lost is None else v.lost for v in values], axis)
    join = np.concatenate if isinstance(values[0].value, np.ndarray) else jnp.concatenate
    return Whole(join([v.value for v in values], axis), marks)


@rule("stack")
def _stack(run: Run, equation: Any, values: list[Any]) -> Value:
    axis, shape = equation.params["axis"], list(values[0].value.shape)
    shape.insert(axis, 1)
    if any(isinstance(v, Whole) and not isinstance(v.value, np.ndarray) for v in values):
        return run.by_jax(equation, values)[0]
    return joined(run, [moved_by(run, v, View("reshape", tuple(shape))) for v in values], axis)


@rule("split")
def _split(run: Run, equation: Any, values: list[Any]) -> list[Value]:
    (x,) = values
    axis, start, parts = equation.params["axis"], 0, []
    for size in equation.params["sizes"]:
        bounds = [(0, n, 1) for n in x.value.shape]
        bounds[axis] = (start, start + size, 1)
        parts.append(moved_by(run, x, View("slice", tuple(bounds))))
        start += size
    return parts


@rule("iota")
def _iota(run: Run, equation: Any, values: list[Any]) -> Value:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    counted = np.broadcast_to(
        np.arange(shape[axis]).reshape(*[-1 if i == axis else 1 for i in range(len(shape))]), shape
    )
    return run.constant(counted.astype(equation.outvars[0].aval.dtype))


def taken(run: Run, x: Node, places: np.ndarray) -> Node:
    """Entries by number; 0 where the number is negative."""
    places = np.array(places, np.int64, order="C")
    return run.tape.write("take", x, data=places, key=(places.shape, places.tobytes()))


def numbers_of(shape: tuple[int, ...]) -> np.ndarray:
    """1, 2, …, the numbers of the entries of an array."""
    return np.arange(1, int(np.prod(shape)) + 1).reshape(shape)


@rule("pad", "gather", "dynamic_slice")
def _from_one(run: Run, equation: Any, values: list[Any]) -> Value:
    """Each entry comes from one entry of the first operand, or from none: then it is the fill value."""
    x, *others = values
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    name, parameters = equation.primitive.name, dict(equation.params)
    if isinstance(x, Whole):
        raise TypeError(f"{name} of whole numbers with floats")
    entries = numbers_of(x.shape)
    if name == "pad":
        places = np.asarray(lax.pad(entries, np.int64(0), parameters["padding_config"]))
        fill = f.broadcast(run.tape, f.reshape(run.tape, others[0], (1,) * len(places.shape)), places.shape)
        return chosen(run, taken(run, x, places - 1), fill, places == 0)
    index = [run.concrete(other, "an index") for other in others]
    if name == "dynamic_slice":
        starts = [int(np.clip(i, 0, n - m)) for i, n, m in zip(index, x.shape, parameters["slice_sizes"], strict=True)]
        bounds = tuple((s, s + m, 1) for s, m in zip(starts, parameters["slice_sizes"], strict=True))
        return moved_by(run, x, View("slice", bounds))
    value = parameters["fill_value"]
    fill_value = np.nan if value is None else float(value)
    places = np.asarray(
        equation.primitive.bind(jnp.asarray(entries), jnp.asarray(index[0]), **parameters | {"fill_value": 0})
    )
    fill = f.broadcast(run.tape, run.tape.const(np.full((1,) * places.ndim, fill_value)), places.shape)
    return chosen(run, taken(run, x, places - 1), fill, places == 0)


@rule("dynamic_update_slice")
def _update_slice(run: Run, equation: Any, values: list[Any]) -> Value:
    x, update, *starts = values
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    corner = [int(run.concrete(s, "an index")) for s in starts]
    corner = [int(np.clip(i, 0, n - m)) for i, n, m in zip(corner, x.shape, update.shape, strict=True)]
    places = np.full(x.shape, 0)
    inside = tuple(slice(i, i + m) for i, m in zip(corner, update.shape, strict=True))
    places[inside] = numbers_of(update.shape)
    return chosen(run, x, taken(run, update, places - 1), places > 0)


# ── scatters ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@rule("scatter", *(f"scatter{dash}{how}" for dash in "-_" for how in ("add", "sub", "mul", "min", "max")))
def _scatter(run: Run, equation: Any, values: list[Any]) -> Value:
    x, indices, updates = values
    if is_whole(values):
        return run.by_jax(equation, values)[0]
    tape, name = run.tape, equation.primitive.name.replace("-", "_")
    targets = targets_of(equation, x.shape, run.concrete(indices, "an index"), updates.shape)
    if name in ("scatter_add", "scatter_sub"):
        updates = updates if name == "scatter_add" else f.neg(tape, updates)
        return tape.write("scatter_add", x, updates, data=targets, key=targets.tobytes())
    # what is known: where each update goes. One after the other, as long as several meet at one place
    flat = targets.reshape(-1)
    result, left = x, np.flatnonzero(flat >= 0)
    if name == "scatter" and len(np.unique(flat[left])) < left.size and not _agree(updates, flat, left):
        return tape.lost(x.shape, f"{tape.place}: several updates of one entry, in no order")
    while left.size:
        _, first = np.unique(flat[left], return_index=True)
        now = left[first]
        places = np.zeros(x.size, np.int64)
        places[flat[now]] = now + 1
        places = places.reshape(x.shape)
        update = taken(run, updates, places - 1)
        result = chosen(run, result, _met(run, name, result, update, places > 0), places > 0)
        left = np.setdiff1d(left, now)
    return with_lost(run, result, lost_of(x))


def _agree(updates: Node, flat: np.ndarray, left: np.ndarray) -> bool:
    """Whether all updates are one number, so that their order does not matter."""
    return updates.op == "const" and len(np.unique(updates.value.reshape(-1)[left])) == 1


def _met(run: Run, name: str, old: Node, update: Node, there: np.ndarray) -> Node:
    if name == "scatter":
        return update
    if name == "scatter_mul":
        return f.mul(run.tape, old, update)
    update = chosen(run, old, update, there)
    sign = run.decisions.compare(old, update)
    return chosen(run, old, update, sign < 0 if name == "scatter_max" else sign > 0)


def targets_of(equation: Any, shape: tuple[int, ...], indices: np.ndarray, updates: tuple[int, ...]) -> np.ndarray:
    """Number of the entry that each update goes to, −1 for those that are dropped: a gather from the same places."""
    numbers, mode = equation.params["dimension_numbers"], equation.params["mode"]
    inserted, batching = numbers.inserted_window_dims, numbers.operand_batching_dims
    window = iter([updates[axis] for axis in numbers.update_window_dims])
    sizes = tuple(1 if axis in inserted or axis in batching else next(window) for axis in range(len(shape)))
    gathered = lax.GatherDimensionNumbers(
        offset_dims=numbers.update_window_dims,
        collapsed_slice_dims=inserted,
        start_index_map=numbers.scatter_dims_to_operand_dims,
        operand_batching_dims=batching,
        start_indices_batching_dims=numbers.scatter_indices_batching_dims,
    )
    mode = lax.GatherScatterMode.FILL_OR_DROP if mode in (None, lax.GatherScatterMode.FILL_OR_DROP) else mode
    places = lax.gather(jnp.asarray(numbers_of(shape)), jnp.asarray(indices), gathered, sizes, mode=mode, fill_value=0)
    return np.asarray(jax.device_get(places)) - 1
