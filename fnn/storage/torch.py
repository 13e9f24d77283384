"""Weights to PyTorch and back, as state dicts in safetensors files.

A chain of fnn layers is a torch.nn.Sequential: layer i's arrays are called "i.weight" and "i.bias", those of a chain
within a chain "i.j.weight". On the other side the file is loaded with

    model.load_state_dict(safetensors.torch.load_file(path))

and a file of torch.save, a pickle, which nothing here reads, comes over by torch itself:

    safetensors.torch.save_file(torch.load("net.pt", weights_only=True), path)

Dense weights are (d_out, d_in) in both. Kernels are (c_out, kh, kw, c_in) here and (c_out, c_in, kh, kw) there, images
(h, w, c) here and (c, h, w) there; where such an image is flattened, the columns of the dense layer behind are put into
the other order, so that both networks compute the same.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.datasets.whole_files import write_whole
from fnn.layers.base import Params, State
from fnn.layers.combinators import is_chain
from fnn.layers.convolution import conv2d
from fnn.layers.dense import dense
from fnn.layers.normalization import batch_norm, layer_norm
from fnn.layers.rectifiers import prelu
from fnn.layers.rescaling import flatten
from fnn.layers.walk import outline, part_of
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.recipes import rule_of
from fnn.storage.safetensors import pack, unpack
from fnn.validation import require_path

_PARAMS: dict[Any, dict[str, str]] = {  # by rule: what torch calls a module's arrays
    dense: {"W": "weight", "b": "bias"},
    conv2d: {"W": "weight", "b": "bias"},
    layer_norm: {"scale": "weight", "shift": "bias"},
    batch_norm: {"scale": "weight", "shift": "bias"},
    prelu: {"slope": "weight"},
}
_STATE = {"mean": "running_mean", "variance": "running_var"}
_COUNT = "num_batches_tracked"  # what torch's BatchNorm keeps besides; nothing here reads it
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


def to_torch(path: str | os.PathLike, net: Network, params: Params, *, state: State = (), prefix: str = "") -> None:
    """Save parameters as the state dict of the torch.nn.Sequential that mirrors a network.

    Args:
        path: file to write, usually NAME.safetensors.
        net: the network.
        params: its parameters.
        state: the layers' state, where they have one (the running statistics of batch_norm).
        prefix: what to put in front of every name, such as "layers.".

    Raises:
        ValueError: parameters or a state of another network; a layer with parameters that no torch module in a
            Sequential has, or that acts on another axis there, as layer_norm on images does.
    """
    path = require_path("to_torch", path)
    require_network("to_torch", net).check_params(params)
    net.check_state(state)
    arrays: dict[str, np.ndarray] = {}
    for slot in _slots(net, prefix):
        for tree, names in ((params, slot.names), (state, _STATE)):
            own = part_of(tree, slot.path)
            for field in getattr(own, "_fields", ()):
                arrays[slot.prefix + names[field]] = slot.outward(field, np.asarray(getattr(own, field)))
        if "mean" in getattr(own, "_fields", ()):
            arrays[slot.prefix + _COUNT] = np.zeros((), np.int64)
    write_whole(path, pack(arrays, {}))


def from_torch(path: str | os.PathLike, net: Network, *, prefix: str = "") -> tuple[Params, State]:
    """Load the state dict of the torch.nn.Sequential that mirrors a network.

    Args:
        path: a safetensors file, as safetensors.torch.save_file(model.state_dict(), path) writes it.
        net: the network; its layers say which names and shapes to expect.
        prefix: what stands in front of every name.

    Returns:
        params and state; numbers are converted to the network's dtype.

    Raises:
        ValueError: names are missing or left over or shapes differ, layer by layer; the file is damaged, or a layer
            has no counterpart.
        OSError: the file cannot be read.
    """
    path = require_path("from_torch", path)
    require_network("from_torch", net)
    arrays = _read(path)
    params, state = jax.eval_shape(net.init, jax.random.key(0)), net.init_state()
    slots = _slots(net, prefix)
    _check_match(path, arrays, slots, params, state)
    for slot in slots:
        params = _filled(arrays, slot, params, slot.names)
        state = _filled(arrays, slot, state, _STATE)
    return params, state


def _check_match(path, arrays: dict[str, np.ndarray], slots: list[_Slot], params: Any, state: Any) -> None:
    """Compare names and shapes with what the network has, layer by layer, before any number is looked at."""
    faults, expected = [], set()
    for slot in slots:
        for tree, names in ((params, slot.names), (state, _STATE)):
            own = part_of(tree, slot.path)
            for field in getattr(own, "_fields", ()):
                name, like = slot.prefix + names[field], getattr(own, field)
                shape = slot.outward(field, np.broadcast_to(np.zeros((), bool), like.shape)).shape
                expected.add(name)
                if name not in arrays:
                    faults.append(f"{slot.where} lacks {name}")
                elif arrays[name].shape != shape:
                    faults.append(f"{slot.where} expects {name} of shape {shape}, got {arrays[name].shape}")
        expected.add(slot.prefix + _COUNT)
    faults += [f"no layer takes {name} of shape {arrays[name].shape}" for name in sorted(set(arrays) - expected)]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(
            f"{path} is not of this network: {'; '.join(faults[:5])}{more}; build the same layers, or pass prefix="
        )


class _Slot(NamedTuple):
    """A layer with arrays, and how features lie in front of it."""

    where: str  # "layers[2] (dense)"
    path: tuple[int, ...]  # its position in nested tuples of params and state
    prefix: str
    names: dict[str, str]  # torch's, of its parameters
    order: np.ndarray | None  # behind a flattened image: position here of each feature there

    def outward(self, field: str, array: np.ndarray) -> np.ndarray:
        """An array as torch has it: kernels with channels first, inputs in torch's order."""
        if array.ndim == 4:
            return array.transpose(0, 3, 1, 2)
        return array if self.order is None or field == "b" else array[..., self.order]

    def inward(self, field: str, array: np.ndarray) -> np.ndarray:
        """The reverse of `outward`."""
        if array.ndim == 4:
            return array.transpose(0, 2, 3, 1)
        return array if self.order is None or field == "b" else array[..., np.argsort(self.order)]


def _slots(net: Network, prefix: str) -> list[_Slot]:
    if not is_chain(net.layer):  # a single layer is a Sequential of one
        raise ValueError(f"expected a network made of serial(...), got {net.layer!r}; wrap it in fnn.serial")
    slots, order = [], None
    for visit in outline(net.layer, net.input_shape):
        own, layer = visit.params, visit.layer
        name = f"{prefix}{'.'.join(map(str, visit.path))}."
        if rule_of(layer) in _PARAMS:
            if rule_of(layer) is layer_norm and len(visit.x.shape) == 4:
                raise ValueError(
                    f"{visit.name} acts on the channels of images, which torch has first, where its LayerNorm acts on "
                    "the last axes: no module of a Sequential computes the same; use batch_norm, or flatten before it"
                )
            slots.append(_Slot(visit.name, visit.path, name, _PARAMS[rule_of(layer)], order))
            order = None if hasattr(own, "W") else order
        elif jax.tree.leaves(own):
            raise ValueError(
                f"no module of a torch.nn.Sequential is like {name}{layer.name}; write its parameters with fnn.save"
            )
        elif layer == flatten and len(visit.x.shape) == 4:
            shape = visit.x.shape[1:]
            order = np.arange(math.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
    return slots


def _put(tree: Any, path: tuple[int, ...], value: Any) -> Any:
    if not path:
        return value
    return (*tree[: path[0]], _put(tree[path[0]], path[1:], value), *tree[path[0] + 1 :])


def _filled(arrays: dict[str, np.ndarray], slot: _Slot, tree: Any, names: dict[str, str]) -> Any:
    """The tree with one layer's arrays in their places; as it was where that layer has none."""
    own = part_of(tree, slot.path)
    fields = getattr(own, "_fields", ())
    inward = {field: slot.inward(field, arrays[slot.prefix + names[field]]) for field in fields}
    values = {field: jnp.asarray(array.astype(getattr(own, field).dtype)) for field, array in inward.items()}
    return _put(tree, slot.path, own._replace(**values)) if values else tree


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        _, arrays = unpack(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no intact safetensors file ({error}); use another copy") from error
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"{path} holds {name} as {array.dtype}, expected one of {', '.join(_DTYPES)}")
    return arrays
