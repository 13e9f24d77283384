"""A whole network in one file: its recipe as text, its parameters and its state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax

from fnn.layers.base import Params, State
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.storage.expressions import made_from, unknown_names
from fnn.storage.files import load, load_metadata, save


def save_network(path: str | os.PathLike, net: Network, params: Params, *, state: State = (), **metadata: Any) -> None:
    """Save a network ready to predict: recipe, parameters and state in one file without any code.

    Args:
        path: file to write, usually NAME.safetensors.
        net: the network; rules of your own are written by name, and handed over again to `load_network`.
        params: its parameters.
        state: the layers' state, where they have one.
        **metadata: whatever JSON can hold; `load_metadata` returns it.

    Raises:
        ValueError: parameters or a state of another network, a missing state, a part that has no name.

    Examples:
        >>> import tempfile, fnn
        >>> net = fnn.mlp(3, 4, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_network(folder + "/net.safetensors", net, net.init(jax.random.key(0)))
        ...     same, params, state = load_network(folder + "/net.safetensors")
        >>> same == net
        True
    """
    require_network("save_network", net).check_params(params)
    net.check_state(state)
    unknown_names(repr(net))
    save(path, {"params": params, "state": state}, network=repr(net), **metadata)


def load_network(path: str | os.PathLike, layers: Mapping[str, Any] | None = None) -> tuple[Network, Params, State]:
    """Load a network that `save_network` wrote, in any process.

    Args:
        path: file to read.
        layers: constructors, layers and functions of your own, by the names that `repr(net)` calls them.

    Returns:
        net, params, state: `net.forward(params, x, state)` predicts.

    Raises:
        ValueError: the file is damaged, holds no network, or names what is neither fnn's nor in `layers`; the numbers
            don't belong to the network.
        OSError: it cannot be read.
    """
    if layers is not None and not (isinstance(layers, Mapping) and all(isinstance(name, str) for name in layers)):
        raise TypeError(
            f"load_network expects layers as a dictionary from names, got {layers!r:.80}; as {{'mine': mine}}"
        )
    text = load_metadata(path).get("network")
    if not isinstance(text, str):
        raise ValueError(f"{path} holds no network; load arrays with fnn.load, and save networks with fnn.save_network")
    try:
        net = made_from(text, layers)
    except Exception as error:  # a file's recipe may break any rule of any constructor
        raise ValueError(f"{path} holds a recipe that makes no network: {error!s:.200}") from error
    if not isinstance(net, Network):
        raise ValueError(f"{path} holds {text:.80}, which makes no network")
    like = {"params": jax.eval_shape(net.init, jax.random.key(0)), "state": jax.eval_shape(net.init_state)}
    tree = load(path, like)
    return net, tree["params"], tree["state"]
