"""A trained network for other runtimes: its forward as StableHLO, the language that XLA compilers read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from fnn.datasets.whole_files import write_whole
from fnn.layers.base import Params, State
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.validation import require_dtype, require_path

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_stablehlo(
    net: Network,
    params: Params,
    path: str | os.PathLike | None = None,
    *,
    state: State = (),
    dtype: Any = None,
    platforms: Sequence[str] = ("cpu",),
) -> str:
    """Write a network's forward as a StableHLO module in text, its parameters inside, for batches of any size.

    The module's function takes x (n, *input_shape) and returns ŷ; for several platforms, the number of the one in
    use stands in front of x.

    Args:
        net: the network.
        params: its parameters, which become constants of the module.
        path: file to write, usually NAME.mlir; None writes none.
        state: the layers' state, where they have one.
        dtype: of x; floating point by default, jnp.uint8 for images in front of `rescale`.
        platforms: where it is to run: "cpu", "cuda", "rocm", "tpu".

    Returns:
        The text of the module.

    Raises:
        TypeError, ValueError: what is no network, or its parameters are another's; unknown platforms.

    Examples:
        >>> import fnn
        >>> net = fnn.mlp(3, 2)
        >>> text = export_stablehlo(net, net.init(jax.random.key(0)))
        >>> "tensor<?x3xf32>" in text and "stablehlo.dot_general" in text
        True
    """
    require_network("export_stablehlo", net)
    if not isinstance(platforms, tuple | list) or not platforms or not set(platforms) <= set(_PLATFORMS):
        raise ValueError(
            f"export_stablehlo expects platforms as a tuple of {', '.join(_PLATFORMS)}, got {platforms!r:.80}; as "
            '("cpu",)'
        )
    file = None if path is None else require_path("export_stablehlo", path)
    dtype = jnp.result_type(float) if dtype is None else require_dtype("export_stablehlo", dtype)
    (n,) = jax.export.symbolic_shape("n")
    x = jax.ShapeDtypeStruct((n, *net.input_shape), dtype)
    forward = jax.jit(lambda x: net.forward(params, x, state))
    text = jax.export.export(forward, platforms=tuple(platforms))(x).mlir_module()
    if file is not None:
        write_whole(file, text.encode())
    return text
