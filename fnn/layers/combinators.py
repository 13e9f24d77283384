"""Layers made of layers. `serial.bwd` is the chain rule: no network's backward is ever written twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from fnn.layers.base import Layer, Params, Shape, State, is_empty, output_shape


def serial(*layers: Layer) -> Layer:
    """Chain layers, y = f_k(… f_2(f_1(x))).

    Parameters and states are tuples with one entry a layer. The state is () where no layer has one.

    Args:
        *layers: the layers in the order in which data passes through them; none at all is the identity.

    Returns:
        A layer, so that chains nest.

    Derivation:
        With a_0 = x, a_i = f_i(θ_i, a_{i−1}) and the arriving gradient da_k = ∂L/∂a_k, the chain rule gives for
        i = k, …, 1

            ∂L/∂θ_i = da_i · ∂f_i/∂θ_i        da_{i−1} = da_i · ∂f_i/∂a_{i−1}

        and layer i's own backward computes both. Going from the last layer to the first, each da_i is computed once.

    Raises:
        TypeError: something that is not a layer.
        ValueError: from init, when a layer does not accept what the one before gives; says which.

    References:
        Rumelhart, Hinton and Williams, Learning representations by back-propagating errors (1986).

    Examples:
        >>> import fnn
        >>> serial(fnn.rescale(0.5), fnn.relu).forward(((), ()), jax.numpy.array([[-4.0, 4.0]]))
        Array([[0., 2.]], dtype=float32)
    """
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(
                f"serial expects layers, got {layer!r} at position {i}; "
                "pass fnn.relu rather than jax.nn.relu, and lift a rule of your own with fnn.stateless"
            )

    def init(key: jax.Array, shape: Shape) -> Params:
        params = []
        for i, (layer, layer_key) in enumerate(zip(layers, jax.random.split(key, len(layers)), strict=True)):
            with _located(i, layer):
                params.append(layer.init(layer_key, shape))
                shape = output_shape(layer, params[-1], shape)
        return tuple(params)

    def init_state(shape: Shape) -> State:
        states = []
        for i, layer in enumerate(layers):
            with _located(i, layer):
                states.append(layer.init_state(shape))
                params = jax.eval_shape(lambda key: layer.init(key, shape), jax.random.key(0))  # noqa: B023
                shape = output_shape(layer, params, shape)
        return () if all(map(is_empty, states)) else tuple(states)

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        for i, layer in enumerate(layers):
            with _located(i, layer):
                x = layer.forward(params[i], x, state[i] if state else ())
        return x

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        keys = [None] * len(layers) if key is None else jax.random.split(key, len(layers))
        states, residuals = [], []
        for i, layer in enumerate(layers):
            with _located(i, layer):
                (x, new_state), kept = layer.fwd(params[i], x, state[i] if state else (), keys[i])
            states.append(new_state)
            residuals.append(kept)
        return (x, tuple(states) if state else ()), tuple(residuals)

    def bwd(residuals, dy: jax.Array):
        dparams = []
        for layer, kept in zip(reversed(layers), reversed(residuals), strict=True):
            grads, dy = layer.bwd(kept, dy)
            dparams.append(grads)
        return tuple(reversed(dparams)), dy

    def refresh(params: Params, state: State) -> State:
        if not state:
            return ()
        return tuple(layer.refresh(p, s) for layer, p, s in zip(layers, params, state, strict=True))

    return Layer("serial", init, forward, fwd, bwd, init_state, refresh, layers, lambda children: serial(*children))


@contextmanager
def _located(i: int, layer: Layer) -> Iterator[None]:
    """Say in which layer an error arose; nested chains add a line each."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in layers[{i}] ({layer.name})")
        raise
