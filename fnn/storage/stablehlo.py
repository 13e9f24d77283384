"""A trained network for other runtimes: its forward as StableHLO, the language that XLA compilers read.

What `export_stablehlo` writes needs no fnn. `load_stablehlo` runs it with jax alone: the module's text is put into the
place of that of an exported function with the same arguments, so that jax checks shapes and fixes the batch's size.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax.extend.mlir.dialects import stablehlo
from jax.typing import ArrayLike

from fnn.datasets.whole_files import write_whole
from fnn.layers.base import Params, State
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.validation import as_numbers, require_dtype, require_path

_DTYPES = {"i1": "bool", "bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64"}
_DTYPES |= {f"{mark}i{size}": f"{mark and 'u'}int{size}" for mark in ("", "u") for size in (8, 16, 32, 64)}
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


def load_stablehlo(path: str | os.PathLike) -> Callable[[ArrayLike], jax.Array]:
    """Load a module that `export_stablehlo` wrote for one platform, to run it with jax: no network is needed.

    A module is a program, though one that can only compute: what calls functions outside of it is refused.

    Args:
        path: file to read.

    Returns:
        x (n, *input_shape) -> ŷ, for batches of any size, compiled once for each.

    Raises:
        ValueError: the file holds no such module, one for several platforms, or one that calls other functions.
        OSError: it cannot be read.

    Examples:
        >>> import tempfile, fnn
        >>> net = fnn.mlp(3, 2)
        >>> params, x = net.init(jax.random.key(0)), jnp.ones((5, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = export_stablehlo(net, params, folder + "/net.mlir")
        ...     predict = load_stablehlo(folder + "/net.mlir")
        >>> bool(jnp.allclose(predict(x), net.forward(params, x)))
        True
    """
    path = require_path("load_stablehlo", path)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text of StableHLO; expected a file of fnn.export_stablehlo") from error
    like, result = _signature(path, text)
    strange = set(re.findall(r"custom_call\s*@(\w+)", text)) - {"shape_assertion"}
    if strange:
        raise ValueError(f"{path} calls {', '.join(sorted(strange))}, expected a module that computes by itself")
    try:
        module = stablehlo.serialize_portable_artifact_str(text, stablehlo.get_current_version())
    except Exception as error:  # what the parser raises differs from version to version
        raise ValueError(f"{path} is no intact StableHLO ({error!s:.160}); use another copy") from error
    form = jax.export.export(
        jax.jit(lambda x: jnp.zeros((x.shape[0], *result.shape[1:]), result.dtype) + _zero(x, result))
    )
    call = jax.jit(dataclasses.replace(form(like), mlir_module_serialized=module).call)
    return lambda x: call(jnp.asarray(as_numbers("x", x), like.dtype))


def _zero(x: jax.Array, like: Any) -> jax.Array:
    return x.sum().astype(like.dtype)


def _signature(path: Any, text: str) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """What a module takes and gives, for n examples."""
    heads = [line for line in text.splitlines() if "func.func public @main" in line]
    found = [types.split("x") for types in re.findall(r"tensor<([^>]*)>", heads[0])] if len(heads) == 1 else []
    whole = all(dims[-1] in _DTYPES and all(re.fullmatch(r"[0-9]+", each) for each in dims[1:-1]) for dims in found)
    if len(found) != 2 or not whole or any(dims[0] != "?" for dims in found):
        raise ValueError(
            f"{path} holds no function of one batch: expected one that fnn.export_stablehlo wrote for a single "
            f"platform, got {heads[0].strip() if heads else 'no function'!s:.120}; export it with platforms=('cpu',)"
        )
    (n,) = jax.export.symbolic_shape("n")
    one, other = (jax.ShapeDtypeStruct((n, *map(int, dims[1:-1])), jnp.dtype(_DTYPES[dims[-1]])) for dims in found)
    return one, other
