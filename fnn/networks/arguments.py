"""What every function that takes a network, its parameters and data has to refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fnn.layers.base import State
from fnn.networks.network import Network
from fnn.recipes import expression
from fnn.validation import require_key


def require_network(who: str, net: Any) -> Network:
    """Refuse what is no network, such as a layer or parameters.

    Args:
        who: who expects it, for the message.
        net: what was received.

    Returns:
        The network.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(net, Network):
        raise TypeError(f"{who} expects a network, got {expression(net):.80}; make one with fnn.mlp or fnn.network")
    return net


def require_call(
    who: str, net: Any, params: Any, x: Any, y: Any, *, state: Any = (), key: Any = None, weights: Any = None
) -> tuple[Any, Any, Any]:
    """Refuse arguments that `net.loss` would not take.

    Args:
        who: who expects them, for the message.
        net: what should be a network.
        params: its parameters.
        x: (n, *input_shape).
        y: targets, one row an example.
        state: the layers' state, where they have one.
        key: random key, where a layer draws.
        weights: weight of each example, (n,), or None.

    Returns:
        x, y and weights as arrays.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    require_network(who, net).check_params(params)
    net.check_state(state)
    if key is not None:
        require_key(who, key)
    return net.check_batch(x, y, weights)


def settled(net: Network, state: State) -> Network:
    """The same network with the statistics of its targets as constants of its loss: what reads a loss alone takes it.

    Args:
        net: the network.
        state: its layers' state.
    """
    return net if net.targets is None else replace(net, criterion=net.loss_at(state), targets=None)
