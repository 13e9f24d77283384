"""`differentiable`: let jax.grad run the hand-derived rules.

Training needs none of this: `net.backward` calls the rules itself. It is for code that is built around `jax.grad`,
where a layer, a loss or a whole network of this library is one part among others.

Nothing that compares a hand-derived gradient with autodiff may use it: both sides would run the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from fnn.layers.base import Layer, Params, State, is_empty
from fnn.losses.base import Loss
from fnn.losses.penalties import Penalty
from fnn.networks.network import Network
from fnn.recipes import recipe

T = TypeVar("T", bound=Layer | Loss | Penalty | Network)


@recipe
def differentiable(of: T) -> T:
    """Make jax.grad run the hand-derived backward of a layer, a loss, a penalty or a whole network.

    What comes back is used like what went in, gives the same values, and composes with jit, vmap, scan, checkpoint and
    with jax.grad once more, which differentiates the hand-derived backward itself.

    Args:
        of: a layer (also one made of others, or an activation), a loss, a penalty, or a network, which becomes one of
            differentiable parts: then `jax.grad(net.loss)` is `net.backward`.

    Returns:
        The same kind of object. The gradient of a layer with respect to its state, and of its new state and residuals,
        is not defined by its rule: the first is refused, the others count as constants.

    Raises:
        TypeError: something else; in use, forward mode (jax.jvp, jax.jacfwd), for which there is no hand-derived rule
            (under jit the message is JAX's own); or a gradient with respect to targets, example weights or states.
        ValueError: in use, the gradient of an evaluation that differs from the training pass (batch_norm, dropout), to
            which the hand-derived backward belongs.

    Examples:
        >>> import fnn
        >>> sigmoid = differentiable(fnn.sigmoid)
        >>> float(jax.grad(sigmoid)(0.0)), float(jax.grad(jax.grad(sigmoid))(0.0))  # σ'(0) = ¼, σ''(0) = 0
        (0.25, 0.0)
    """
    lifts: dict[type, Callable] = {Layer: _layer, Loss: _loss, Penalty: _penalty, Network: _network}
    for kind, lift in lifts.items():
        if isinstance(of, kind):
            return lift(of)
    raise TypeError(f"differentiable expects a layer, a loss, a penalty or a network, got {of!r}")


def _network(net: Network) -> Network:
    penalty = None if net.penalty is None else _penalty(net.penalty)
    return replace(net, layer=_layer(net.layer), criterion=_loss(net.criterion), penalty=penalty)


def _layer(layer: Layer) -> Layer:
    def training_fwd(params, x, state, key):
        _refuse(layer, "its state", state)
        params, x, state, key = _values((params, x, state, key))
        out = layer.fwd(params, x, state, key)
        return out, (out[1], _like(x))

    def training_bwd(kept, cotangents):
        residuals, x_like = kept
        (dy, _), _ = cotangents
        dparams, dx = layer.bwd(residuals, _array(dy))
        return dparams, _tangent(dx, x_like), None, None

    def evaluation_fwd(params, x, state):
        params, x, state = _values((params, x, state))
        try:
            if not is_empty(state):
                raise ValueError(f"{layer!r} evaluates otherwise than it trains")
            (y, _), residuals = layer.fwd(params, x, (), None)
        except ValueError as error:
            error.add_note(
                "while differentiating the evaluation pass: the hand-derived backward belongs to the training pass; "
                "differentiate that one (.fwd, or Network.loss, with state= and key=), or the layer without "
                "`differentiable`"
            )
            raise
        return y, (residuals, _like(x))

    def evaluation_bwd(kept, dy):
        residuals, x_like = kept
        dparams, dx = layer.bwd(residuals, _array(dy))
        return dparams, _tangent(dx, x_like), None

    training = _with_rule(layer, layer.fwd, training_fwd, training_bwd)
    evaluation = _with_rule(layer, layer.forward, evaluation_fwd, evaluation_bwd)

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return evaluation(params, x, state)

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        (y, new_state), residuals = training(params, x, state, key)
        return (y, jax.lax.stop_gradient(new_state)), jax.lax.stop_gradient(residuals)

    return replace(
        layer,
        forward=forward,
        fwd=fwd,
        children=(layer,),
        rebuild=lambda children: differentiable(children[0]),
        plain=layer,
    )


def _loss(loss: Loss) -> Loss:
    def rule_fwd(z, y, weights):
        _refuse(loss, "targets or example weights", (y, weights))
        out = loss.fwd(*_values((z, y, weights)))
        return out, out[1]

    def rule_bwd(residuals, cotangents):
        return loss.bwd(residuals, _array(cotangents[0])), None, None

    with_rule = _with_rule(loss, loss.fwd, rule_fwd, rule_bwd)

    def fwd(z: jax.Array, y: jax.Array, weights: jax.Array | None):
        value, residuals = with_rule(z, y, weights)
        return value, jax.lax.stop_gradient(residuals)

    return replace(loss, fwd=fwd)


def _penalty(penalty: Penalty) -> Penalty:
    def rule_fwd(params):
        params = _values(params)
        return penalty.value(params), params

    def rule_bwd(params, dvalue):
        return (jax.tree.map(lambda slope: _array(dvalue) * slope, penalty.gradient(params)),)

    return replace(penalty, value=_with_rule(penalty, penalty.value, rule_fwd, rule_bwd))


def _with_rule(owner: Any, f: Callable, fwd: Callable, bwd: Callable) -> Callable:
    """Attach a rule to a function, and an explanation to forward mode."""
    with_rule = jax.custom_vjp(f)
    with_rule.defvjp(fwd, bwd, symbolic_zeros=True)

    def call(*args):
        try:
            return with_rule(*args)
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise TypeError(
                f"differentiable({owner!r}) runs a hand-derived backward, which is reverse mode: jax.grad, jax.vjp, "
                "jax.jacrev, and jax.hessian on top; for forward mode (jax.jvp, jax.jacfwd) use it without "
                "`differentiable`"
            ) from error

    return call


def _refuse(owner: Any, what: str, primals: Any) -> None:
    """Refuse to be differentiated with respect to what the rule knows no gradient of: 0 would be a silent lie."""
    if any(primal.perturbed for primal in jax.tree.leaves(primals)):
        raise TypeError(
            f"differentiable({owner!r}) has no hand-derived gradient with respect to {what}; put jax.lax.stop_gradient "
            "around them, or use it without `differentiable`"
        )


def _values(primals: Any) -> Any:
    return jax.tree.map(lambda primal: primal.value, primals)


def _array(cotangent: Any) -> jax.Array:
    return jnp.zeros(cotangent.shape, cotangent.dtype) if isinstance(cotangent, SymbolicZero) else cotangent


def _like(x: jax.Array) -> jax.Array:
    """An empty array that remembers a dtype."""
    return jnp.zeros(0, x.dtype)


def _tangent(dx: jax.Array, x_like: jax.Array) -> jax.Array | None:
    """Integers, such as the pixels that `rescale` takes, have no gradient."""
    return dx if jnp.issubdtype(x_like.dtype, jnp.floating) else None
