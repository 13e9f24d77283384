"""`adapt`: states that are statistics of the training data, taken before the first step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.layers.base import State
from fnn.layers.rescaling import statistics_of
from fnn.layers.theta import count_params
from fnn.layers.walk import Path, Place, everything, part_of, places
from fnn.losses.targets import refuse_rows
from fnn.networks.acceptance import check_examples, check_targets
from fnn.networks.arguments import require_network
from fnn.networks.network import Network
from fnn.validation import on_host


def adapt(net: Network, x: ArrayLike, y: ArrayLike | None = None) -> State:
    """Take the statistics that a network needs of its training data: `standardize_inputs`, `standardize_targets`.

    `fit` does so itself before its first step; loops of your own start with this state.

    Args:
        net: the network.
        x: the training data, (n, *input_shape).
        y: their targets, where the network scales them.

    Returns:
        state: that before the first step, with the statistics in it; `net.init_state()` for a network that takes none.

    Raises:
        ValueError: x or y do not fit the network or are not finite, or y is missing; a layer that takes statistics
            stands behind one that learns, or within another than a chain.

    Stability:
        Sums are taken in float64, whatever the type of x.

    Examples:
        >>> import fnn
        >>> net = fnn.network(fnn.serial(fnn.standardize_inputs(), fnn.dense(1)), fnn.huber(), input_shape=(1,))
        >>> print(adapt(net, [[10.0], [30.0]])[0].std)
        [10.]
    """
    examples = check_examples(x, require_network("adapt", net).input_shape)
    state = net.init_state()
    if not adapts(net):
        return state
    if net.targets is not None:
        if y is None:
            raise ValueError("a network that scales its targets expects adapt(net, x, y), got no y; pass the targets")
        state = (*state[:-1], statistics_of(check_targets(y, len(examples), net.criterion, net.outputs)))
    if on_host(examples) and np.issubdtype(examples.dtype, np.floating):
        refuse_rows(~np.isfinite(np.asarray(examples)), "features must be finite", "drop or repair these rows of x")
    for place in _up_to_the_last(net):
        known: State = ()
        if place.layer.adapt is not None:
            known = place.layer.adapt(examples)
            state = _with(state, place.path, known)
        examples = place.layer.forward((), jnp.asarray(examples), known)
    return state


def adapts(net: Network) -> bool:
    """Whether a network takes statistics of the training data.

    Args:
        net: the network.
    """
    return net.targets is not None or any(place.layer.adapt for place in places(net.layer, everything))


def _up_to_the_last(net: Network) -> list[Place]:
    """The layers that data pass until all statistics are taken: no other place, and nothing that training changes."""
    chain, inner = list(places(net.layer)), list(places(net.layer, everything))
    takers = [i for i, place in enumerate(chain) if place.layer.adapt is not None]
    if sum(place.layer.adapt is not None for place in inner) > len(takers):
        raise ValueError(
            "adapt expects layers that take statistics of the data in the network's chain, got one within another "
            "layer; put standardize_inputs() first in fnn.serial(...)"
        )
    if not takers or takers == [0]:
        return chain[: len(takers)]
    params = jax.eval_shape(net.init, jax.random.key(0))
    for place in chain[: takers[-1]]:
        if count_params(part_of(params, place.path)):
            raise ValueError(
                "adapt expects layers that take statistics of the data in front of all that learn, got "
                f"{chain[takers[-1]].name} behind {place.name}; put standardize_inputs() first, or take batch_norm() "
                "there"
            )
    return chain[: takers[-1] + 1]


def _with(state: Any, path: Path, new: State) -> Any:
    """The state of a chain with another part at a place."""
    if not path:
        return new
    i = path[0]
    return (*state[:i], _with(state[i], path[1:], new), *state[i + 1 :])
