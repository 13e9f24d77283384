"""Files where there are several processes: what an array holds is known to all, and one of them writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec


def fetched(array: Any) -> np.ndarray:
    """An array's values in every process, wherever its parts lie; all processes have to ask for it.

    Args:
        array: NumPy's or JAX's.
    """
    return np.asarray(in_every_process(array))


def in_every_process(array: Any) -> Any:
    """The same array, held whole by every process if it is spread over several.

    Args:
        array: NumPy's or JAX's.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return array
    if not isinstance(array.sharding, NamedSharding):
        raise ValueError(
            f"expected an array over a mesh of devices, got one with {array.sharding}; put it there with "
            "jax.device_put(array, jax.NamedSharding(mesh, spec))"
        )
    everywhere = NamedSharding(array.sharding.mesh, PartitionSpec())
    return jax.jit(lambda array: array, out_shardings=everywhere)(array)


def laid_at(array: Any, at: NamedSharding) -> jax.Array:
    """An array over a mesh.

    Args:
        array: NumPy's or JAX's; over devices of several processes already, or the same in every process.
        at: how it is to lie.
    """
    if at.is_fully_addressable or (isinstance(array, jax.Array) and not array.is_fully_addressable):
        return jax.device_put(array, at)
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(laid_at(jax.random.key_data(array), at), impl=jax.random.key_impl(array))
    own = np.asarray(array)
    return jax.make_array_from_callback(own.shape, at, lambda part: own[part])


def by_the_first(write: Callable[[], None]) -> None:
    """Let process 0 write, and the others wait until it has.

    Args:
        write: what writes.

    Raises:
        Exception: what writing raises, in process 0.
        OSError: in the others.
    """
    if jax.process_count() == 1:
        return write()
    from jax.experimental import multihost_utils

    error: Exception | None = None
    if jax.process_index() == 0:
        try:
            write()
        except Exception as raised:
            error = raised
    written = multihost_utils.broadcast_one_to_all(np.asarray(error is None))
    if error is not None:
        raise error
    if not written:
        raise OSError("expected process 0 to write a file, it could not; its own error says why")
    return None
