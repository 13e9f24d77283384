"""Layers made of layers. `serial.bwd` is the chain rule: no network's backward is ever written twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, Residuals, Shape, State, is_empty, output_shape, require_layer
from fnn.recipes import recipe, rule_of
from fnn.validation import require_whole


@recipe
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
        require_layer("serial", layer, f" at position {i}")

    def init(key: jax.Array, shape: Shape) -> Params:
        params = []
        for i, (layer, layer_key) in enumerate(zip(layers, jax.random.split(key, len(layers)), strict=True)):
            with _located(i, layer):
                params.append(layer.init(layer_key, shape))
                shape = _shape_behind(layer, tuple(shape))
        return tuple(params)

    def init_state(shape: Shape) -> State:
        states = []
        for i, layer in enumerate(layers):
            with _located(i, layer):
                states.append(layer.init_state(shape))
                shape = _shape_behind(layer, tuple(shape))
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

    return Layer("serial", init, forward, fwd, bwd, init_state, layers, lambda children: serial(*children))


@recipe
def residual(layer: Layer) -> Layer:
    """Add what a layer computes to its input, y = x + f(x): a skip connection.

    Args:
        layer: f; its outputs have the shape of its inputs. A chain goes in as `serial(...)`.

    Returns:
        A layer with the parameters, state and residuals of f; nothing else is kept.

    Derivation:
        ∂y/∂x = I + ∂f/∂x, so

            ∂L/∂θ = dy · ∂f/∂θ        dx = dy + dy · ∂f/∂x

        where f's own backward computes ∂L/∂θ and the second term. The first term hands dy on as it is, whatever f does:
        through a chain of k such layers the gradient has a path of factor 1.

    Raises:
        TypeError: something that is not a layer.
        ValueError: f changes the shape of its input.

    References:
        He, Zhang, Ren and Sun, Deep residual learning for image recognition (2015), eq. 1.

    Examples:
        >>> import fnn
        >>> residual(fnn.relu).forward((), jax.numpy.array([[-1.0, 2.0]]))
        Array([[-1.,  4.]], dtype=float32)
    """
    require_layer("residual", layer)

    def init(key: jax.Array, shape: Shape) -> Params:
        params = layer.init(key, shape)
        _check_same("residual", layer, shape, output_shape(layer, params, shape))
        return params

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        y = layer.forward(params, x, state)
        _check_same("residual", layer, x.shape, y.shape)
        return x + y

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        (y, state), residuals = layer.fwd(params, x, state, key)
        _check_same("residual", layer, x.shape, y.shape)
        return (x + y, state), residuals

    def bwd(residuals, dy: jax.Array):
        dparams, dx = layer.bwd(residuals, dy)
        return dparams, dy + dx

    def rebuild(children: tuple[Layer, ...]) -> Layer:
        (child,) = children
        return residual(child)

    return Layer("residual", init, forward, fwd, bwd, layer.init_state, (layer,), rebuild)


class RepeatParams(NamedTuple):
    """Parameters of `repeat`; its gradient is another `RepeatParams`."""

    stacked: Params  # those of one layer, every leaf with a leading axis: (times, ...)


@recipe
def repeat(layer: Layer, times: int) -> Layer:
    """Chain a layer several times, each time with parameters of its own, compiled once whatever the depth.

    Args:
        layer: its outputs have the shape of its inputs. A block of several layers goes in as `serial(...)`.
        times: depth, at least 1.

    Returns:
        A layer with `RepeatParams(stacked)`: the parameters of the one layer with a leading axis (times, ...), entry i
        belonging to the i-th layer from the input. State and residuals are stacked likewise, but residuals that are
        parameters, such as the W of dense, are not stored again.

    Derivation:
        The chain rule of `serial`, as a loop: a_i = f(θ_i, a_{i−1}) for i = 1 … times, then backwards

            ∂L/∂θ_i = da_i · ∂f/∂θ (θ_i, a_{i−1})        da_{i−1} = da_i · ∂f/∂a (θ_i, a_{i−1})

        The forward loop carries a_i and stacks up the residuals; the backward loop runs over these in reverse, carries
        da_i and stacks up the gradients.

    Raises:
        TypeError: something that is not a layer.
        ValueError: times is not a positive whole number, or the layer changes the shape of its input.

    Examples:
        >>> import fnn
        >>> halve = repeat(fnn.rescale(0.5), 3)
        >>> halve.forward(halve.init(jax.random.key(0), (1,)), jax.numpy.array([[8.0]]))
        Array([[1.]], dtype=float32)
    """
    require_layer("repeat", layer)
    times = require_whole("repeat expects times as a whole number of at least 1", times)

    def init(key: jax.Array, shape: Shape) -> RepeatParams:
        params = jax.eval_shape(lambda key: layer.init(key, shape), key)
        _check_same("repeat", layer, shape, output_shape(layer, params, shape))
        return RepeatParams(jax.vmap(lambda key: layer.init(key, shape))(jax.random.split(key, times)))

    def init_state(shape: Shape) -> State:
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (times, *leaf.shape)), layer.init_state(shape))

    def forward(params: RepeatParams, x: jax.Array, state: State = ()) -> jax.Array:
        def step(a, layers):
            y = layer.forward(layers[0], a, layers[1])
            _check_same("repeat", layer, a.shape, y.shape)
            return y, None

        return jax.lax.scan(step, x, (params.stacked, state), length=times)[0]

    def fwd(params: RepeatParams, x: jax.Array, state: State, key: jax.Array | None):
        keys = None if key is None else jax.random.split(key, times)
        plan: list[Any] = []

        def step(a, layers):
            (y, new_state), residuals = layer.fwd(layers[0], a, layers[1], layers[2])
            _check_same("repeat", layer, a.shape, y.shape)
            plan[:], stored = _without_parameters(residuals, layers[0])
            return y, (new_state, stored)

        y, (state, stored) = jax.lax.scan(step, x, (params.stacked, state, keys), length=times)
        return (y, state), _with_parameters(plan, stored, params.stacked)

    def bwd(residuals, dy: jax.Array):
        def step(da, kept):
            dparams, dx = layer.bwd(kept, da)
            return dx, dparams

        dx, dparams = jax.lax.scan(step, dy, residuals, length=times, reverse=True)
        return RepeatParams(dparams), dx

    def rebuild(children: tuple[Layer, ...]) -> Layer:
        (child,) = children
        return repeat(child, times)

    return Layer("repeat", init, forward, fwd, bwd, init_state, (layer,), rebuild)


def plain(layer: Layer) -> Layer:
    """Look through layers that compute another one's mathematics in another form.

    Args:
        layer: any layer.
    """
    while layer.plain is not None:
        layer = layer.plain
    return layer


def is_chain(layer: Layer) -> bool:
    """Whether a layer is a chain: its parameters are a tuple with those of its children, one after the other.

    Args:
        layer: any layer.
    """
    return plain(layer).rebuild is not None and rule_of(plain(layer)) is serial


def is_loop(layer: Layer) -> bool:
    """Whether a layer repeats another with stacked parameters.

    Args:
        layer: any layer.
    """
    return plain(layer).rebuild is not None and rule_of(plain(layer)) is repeat


def _without_parameters(residuals: Residuals, params: Params) -> tuple[list[Any], list[jax.Array]]:
    """Split residuals into how to put them together again, and what of them is not a parameter."""
    position = {id(leaf): i for i, leaf in enumerate(jax.tree.leaves(params))}
    leaves, structure = jax.tree.flatten(residuals)
    origins = [position.get(id(leaf)) for leaf in leaves]
    return [structure, origins], [leaf for leaf, origin in zip(leaves, origins, strict=True) if origin is None]


def _with_parameters(plan: list[Any], stored: list[jax.Array], stacked: Params) -> Residuals:
    structure, origins = plan
    parameters, others = jax.tree.leaves(stacked), iter(stored)
    return jax.tree.unflatten(structure, [next(others) if o is None else parameters[o] for o in origins])


def _check_same(name: str, layer: Layer, shape: Shape, got: Shape) -> None:
    if tuple(shape) != tuple(got):
        raise ValueError(
            f"{name} expects a layer whose outputs have the shape of its inputs, got {layer!r}, which maps "
            f"{tuple(shape)} to {tuple(got)}; end it with a layer that leads back to that shape"
        )


@lru_cache(maxsize=4096)
def _shape_behind(layer: Layer, shape: Shape) -> Shape:
    """Shape of one output of a layer; remembered, or each chain within a chain would double the time of all inside."""
    params = jax.eval_shape(lambda key: layer.init(key, shape), jax.random.key(0))
    return output_shape(layer, params, shape)


@contextmanager
def _located(i: int, layer: Layer) -> Iterator[None]:
    """Say in which layer an error arose; nested chains add a line each."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in layers[{i}] ({layer.name})")
        raise
