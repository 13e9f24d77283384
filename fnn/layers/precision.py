"""Mixed precision: products of bfloat16 numbers, everything else in float32.

Matrix units multiply bfloat16 numbers several times as fast as float32 ones and add the products up in float32. So the
operands of each product are rounded to bfloat16 (8 significant bits, the range of float32) just before it, and
parameters, sums, activations, losses, gradients and updates stay float32. Between forward and backward, activations are
kept as bfloat16: half the memory.

**The form of the products.** On CPUs, XLA reaches the bfloat16 units only where the left operand of a product is not
transposed, that is where its contracted axis is the last one. With examples as rows, dW = dZᵀ X breaks that rule, and
autodiff can write nothing else. A hand-derived backward can: between the first and the last dense layer of a chain,
examples are *columns*, A (d, n), and a dense layer reads

    Z  = W A + b     (d_out, n)     left operand W,  contracted over its last axis d_in
    dW = dZ Aᵀ       (d_out, d_in)  left operand dZ, contracted over its last axis n
    dA = Wᵀ dZ       (d_in, n)      left operand Wᵀ, laid out anew in memory

The first layer takes rows, Z = W Xᵀ contracting the last axes of both, and the last one turns Z back to rows and dZ to
columns. A compiler likes to fold a transposition into the product beside it, which would transpose the left operand
after all: an optimization barrier behind the product keeps that from happening to Z and dX. For the left operands Wᵀ
and dZ a barrier is not enough, since to the compiler a transposition is the same memory read in another order; a
constraint on their layout has them written anew, which takes a twentieth of the product's time.

With float64 parameters nothing is rounded: the same rules, exact, are what `fnn.check` compares with autodiff.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from fnn.layers.base import Layer, Params, State, require_layer
from fnn.layers.combinators import serial
from fnn.layers.dense import DenseParams, LinearParams, check_params, check_rows, dense_bwd, linear_bwd
from fnn.layers.elementwise import Activation
from fnn.recipes import recipe, rule_of


@recipe
def mixed_precision(layer: Layer) -> Layer:
    """Run a layer with bfloat16 products: same parameters, same shapes, same gradient up to bfloat16's rounding.

    Dense layers are rounded wherever they are, within chains and within other combinators; every other layer computes
    in float32 as before. Each factor of a product is off by at most 2⁻⁹ of itself; the gradient of a few smooth layers
    is then off by less than 1 % of its largest entry in most cases, by less than 5 % in all tested ones. A unit that
    rounding carries across a kink, such as relu's, changes the gradient by that unit's whole share.

    Args:
        layer: any layer, usually the chain of a whole network.

    Returns:
        A layer with the parameters and the state of `layer`.

    References:
        Micikevicius et al., Mixed precision training (2018); Kalamkar et al., A study of bfloat16 for deep learning
        training (2019).

    Examples:
        >>> import fnn
        >>> layer = mixed_precision(fnn.serial(fnn.dense(4), fnn.relu, fnn.dense(2)))
        >>> layer.forward(layer.init(jax.random.key(0), (3,)), jnp.ones((5, 3))).dtype
        dtype('float32')
    """
    require_layer("mixed_precision", layer)
    return replace(
        _rounded(layer),
        name="mixed_precision",
        children=(layer,),
        rebuild=lambda children: mixed_precision(children[0]),
        plain=layer,
    )


def _rounded(layer: Layer) -> Layer:
    """The layer with every dense layer in it rounded; rows in, rows out."""
    if _is_dense(layer):
        return _dense(layer, rows_in=True, rows_out=True)
    if rule_of(layer) is serial:
        return _starting_like(layer, serial(*_rounded_chain(layer.children)))
    if layer.rebuild is not None:
        return _starting_like(layer, layer.rebuild(tuple(map(_rounded, layer.children))))
    return layer


def _starting_like(layer: Layer, other: Layer) -> Layer:
    """The other layer with this one's starting values: shapes are those of rows, whatever happens in between."""
    return replace(other, init=layer.init, init_state=layer.init_state)


def _rounded_chain(layers: tuple[Layer, ...]) -> list[Layer]:
    """A chain in which examples are columns from the first dense layer to the last, as far as the layers allow."""
    result: list[Layer] = []
    run: list[Layer] = []
    for layer in [*layers, None]:
        if layer is not None and _takes_columns(layer):
            run.append(layer)
            continue
        dense = [i for i, member in enumerate(run) if _is_dense(member)]
        for i, member in enumerate(run):
            inside = bool(dense) and dense[0] <= i <= dense[-1] and len(dense) > 1
            result.append(_columns(member, i == dense[0], i == dense[-1]) if inside else _rounded(member))
        result += [] if layer is None else [_rounded(layer)]
        run = []
    return result


def _is_dense(layer: Layer) -> bool:
    return layer.bwd in (dense_bwd, linear_bwd)  # by rule, not by name: a rule of the user's own stays what it is


def _takes_columns(layer: Layer) -> bool:
    """Whether a layer can work on examples that are columns: it treats entries alike, or consists of such layers."""
    if layer.children:
        return layer.rebuild is not None and all(map(_takes_columns, layer.children))
    return _is_dense(layer) or (isinstance(layer, Activation) and layer.elementwise)


def _columns(layer: Layer, first: bool = False, last: bool = False) -> Layer:
    """The layer on examples that are columns, (d, n) -> (d', n); the first takes rows, the last gives rows."""
    if _is_dense(layer):
        return _dense(layer, rows_in=first, rows_out=last)
    if layer.children and layer.rebuild is not None:
        return _starting_like(layer, layer.rebuild(tuple(map(_columns, layer.children))))
    return _compressed(layer)


def _compressed(activation: Layer) -> Layer:
    """An activation that keeps its residuals as bfloat16; where they are its output, the next product's operand."""

    def fwd(params: Params, z: jax.Array, state: State, key: jax.Array | None):
        out, residuals = activation.fwd(params, z, state, key)
        return out, jax.tree.map(_round, residuals)

    def bwd(residuals, da: jax.Array):
        return activation.bwd(jax.tree.map(lambda kept: kept.astype(da.dtype), residuals), da)

    return replace(activation, fwd=fwd, bwd=bwd)


def _dense(layer: Layer, *, rows_in: bool, rows_out: bool) -> Layer:
    """A dense layer with rounded products, in the form that the module's docstring derives."""
    has_bias = layer.bwd is dense_bwd

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return fwd(params, x, state, None)[0][0]

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        check_params(params)
        if rows_in:
            check_rows(x, params.W.shape[1])
        W16, x16 = _round(params.W), _round(x)
        z = _product(W16, x16, 1, 1 if rows_in else 0)
        z = z + params.b[:, None] if has_bias else z
        return (_to_rows(z) if rows_out else z, state), (W16, x16)

    def bwd(residuals, dz: jax.Array):
        W16, x16 = residuals
        db = dz.sum(axis=0 if rows_out else 1)
        dz16 = _to_columns(_round(dz)) if rows_out else _round(dz)
        dW = _product(dz16, x16, 1, 0 if rows_in else 1)
        dx = _product(_to_columns(W16), dz16, 1, 0)
        return DenseParams(dW, db) if has_bias else LinearParams(dW), _to_rows(dx) if rows_in else dx

    return Layer(layer.name, layer.init, forward, fwd, bwd)


def _to_rows(a: jax.Array) -> jax.Array:
    """Transpose a product so that a CPU's compiler does not fold the transposition back into it."""
    return jax.lax.platform_dependent(a, cpu=lambda a: jax.lax.optimization_barrier(a).T, default=jnp.transpose)


def _to_columns(a: jax.Array) -> jax.Array:
    """Transpose the left operand of a product, and have it written to a CPU's memory in that order."""
    rows_first = Layout(major_to_minor=(0, 1))
    return jax.lax.platform_dependent(a, cpu=lambda a: with_layout_constraint(a.T, rows_first), default=jnp.transpose)


def _round(x: jax.Array) -> jax.Array:
    """Round float32 to bfloat16; leave anything else, float64 above all, as it is."""
    return x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x


def _product(left: jax.Array, right: jax.Array, left_axis: int, right_axis: int) -> jax.Array:
    """Contract one axis of each operand, adding up in float32 whatever the operands are."""
    wide = jnp.float32 if left.dtype == jnp.bfloat16 else left.dtype
    dimensions = (((left_axis,), (right_axis,)), ((), ()))
    return jax.lax.dot_general(left, right, dimensions, preferred_element_type=wide)
