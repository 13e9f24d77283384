"""Many devices: arrays that lie over a mesh by their rows, and programs that run where they lie.

`fnn.training.shards` says how rows are dealt out. Meshes as `jax.make_mesh` makes them have explicit axes, which ask
every operation to say how its result is spread. Programs here run over the same devices with automatic axes, where
rules written for one device hold as they are; arrays are looked at through the other mesh, without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from fnn.training.shards import SHARDS, WHOLE, Dealing, Shards, shards_over

Tree = TypeVar("Tree")


def place(tree: Tree, mesh: Mesh | None = None, *, shards: int = SHARDS) -> Tree:
    """Spread arrays over devices by their rows: `fit` and its relatives then share the work.

    Args:
        tree: arrays with examples as rows, such as (x, y); for `fit_many` also random keys. Where there are several
            processes, each hands over its own rows, equally many, and gets the arrays of all.
        mesh: a mesh with one axis; by default all devices of all processes.
        shards: how many logical shards the rows are to be dealt out to; their number must divide that of the rows.

    Returns:
        The same tree of arrays over the mesh.

    Raises:
        ValueError: rows that don't divide; a mesh with several axes, or with more devices than shards.

    Examples:
        >>> x, y = place((np.ones((16, 3), np.float32), np.zeros(16, np.int32)))
        >>> x.sharding.spec[0]
        'examples'
    """
    found = shards_over(default_mesh() if mesh is None else mesh, shards)
    own = shards // jax.process_count()
    for leaf in jax.tree.leaves(tree):
        n = np.shape(leaf)[0] if np.ndim(leaf) else 0
        if n == 0 or n % own:
            raise ValueError(
                f"place expects rows in a multiple of {own}, which {shards} shards share, got shape {np.shape(leaf)}; "
                f"leave {n % own} rows out, choose shards=, or hand the arrays as they are to fit(mesh=...), which "
                "fills up with rows of weight 0"
            )
    return jax.tree.map(lambda leaf: _spread(leaf, found), tree)


def default_mesh() -> Mesh:
    """All devices of all processes along one axis."""
    return Mesh(np.asarray(jax.devices()), ("examples",))


def shards_of(tree: Any, count: int | None = None) -> Shards | None:
    """How arrays lie over a mesh by their rows, if they do.

    Args:
        tree: arrays.
        count: how many logical shards there are to be; None for one a device.

    Returns:
        The shards, or None for arrays that have not been placed.

    Raises:
        ValueError: devices or rows that don't divide.
    """
    for leaf in jax.tree.leaves(tree):
        place = getattr(leaf, "sharding", None)
        if not isinstance(leaf, jax.core.Tracer) and isinstance(place, NamedSharding) and len(place.spec):
            axis = place.spec[0]
            if isinstance(axis, tuple) and len(axis) == 1:
                axis = axis[0]
            if isinstance(axis, str):
                return shards_over(place.mesh, count or place.mesh.shape[axis], axis)
    return None


def shards_beside(tree: Any) -> Shards | None:
    """Shards for data that go with parameters, one for each device of the mesh that these lie on.

    Args:
        tree: parameters.

    Returns:
        The shards, or None for parameters on one device, or on a mesh with several axes.
    """
    for leaf in jax.tree.leaves(tree):
        place = getattr(leaf, "sharding", None)
        if not isinstance(leaf, jax.core.Tracer) and isinstance(place, NamedSharding) and place.mesh.size > 1:
            return shards_over(place.mesh, place.mesh.size) if len(place.mesh.axis_names) == 1 else None
    return None


def placed(arrays: Tree, shards: Shards) -> Tree:
    """Arrays spread by rows as shards say, wherever they were; rows must divide.

    Args:
        arrays: the tree.
        shards: where to.
    """
    return jax.tree.map(lambda leaf: _spread(leaf, shards), arrays)


def filled_up(arrays: tuple, weights: Any, shards: Shards) -> tuple[tuple, Any]:
    """Arrays with as many rows as the shards can share: copies of the first row, of weight 0, come behind.

    Args:
        arrays: (n, ...) each; each process has its own rows.
        weights: weight of each example, (n,), or None.
        shards: who is to share.

    Returns:
        The arrays and their weights, None where there were none and nothing is missing.
    """
    n = arrays[0].shape[0]
    spare = -n % (shards.number if is_spread(arrays[0]) else shards.number // jax.process_count())
    if not spare:
        return arrays, weights
    if is_spread(arrays[0]):
        shards.check(n, shards.number)
    given = np.ones(n, np.float32) if weights is None else np.asarray(weights)
    on_host = map(np.asarray, arrays)
    copies = [np.concatenate([array, np.repeat(array[:1], spare, axis=0)]) for array in on_host]
    return tuple(copies), np.concatenate([given, np.zeros(spare, given.dtype)])


def is_spread(array: Any) -> bool:
    """Whether an array lies on devices of several processes.

    Args:
        array: NumPy's or JAX's.
    """
    return isinstance(array, jax.Array) and not array.is_fully_addressable


def require_one_process(who: str, *arrays: Any) -> None:
    """Refuse arrays of one process where there are several: each would silently work on its own.

    Args:
        who: who expects them, for the message.
        *arrays: what was received.

    Raises:
        ValueError: they are not spread over all processes.
    """
    if jax.process_count() > 1 and not all(map(is_spread, arrays)):
        raise ValueError(
            f"{who} expects arrays of all {jax.process_count()} processes, got some of process {jax.process_index()} "
            "alone; each process passes its own rows through fnn.place, or hands them to fit(mesh=...)"
        )


def run_where_rows_lie(program: Callable[[Dealing], Callable], shards: Shards | None, ts: Any, data: tuple) -> Any:
    """Run a step or an epoch on the devices that hold its data.

    Args:
        program: what makes a compiled function (train_state, x, y, weights) for such rows.
        shards: how the data lie; None for one device.
        ts: the train state, which is laid over the same devices.
        data: x, y and weights.

    Returns:
        What the program returns, on the caller's own mesh.
    """
    if shards is None:
        return program(WHOLE)(ts, *data)
    given = data[0].sharding.mesh
    shards, ts = shards.enter(ts)
    with jax.set_mesh(shards.mesh):
        result = program(shards)(ts, *placed(data, shards))
    if given == shards.mesh:
        return result
    return jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(given, leaf.sharding.spec)), result)


def within(shards: Shards | None) -> AbstractContextManager:
    """The mesh in which a program runs, whatever mesh is set around it.

    Args:
        shards: how its arrays are dealt out, if they are.
    """
    return nullcontext() if shards is None else jax.set_mesh(shards.mesh)


def _spread(leaf: Any, shards: Shards) -> jax.Array:
    if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, NamedSharding(shards.mesh, leaf.sharding.spec))
    if jax.process_count() == 1:
        return jax.device_put(leaf, shards.rows)
    return jax.make_array_from_process_local_data(shards.rows, np.asarray(leaf))
