"""Proofs of gradients: a hand-derived backward against autodiff of its forward, as functions of everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Shape
from fnn.verify.arguments import require_functions, require_layer_at, require_point, require_scalar
from fnn.verify.oracles import precise, refuse_integers
from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.programs import custom_rules, linear_solves, without_custom_rules
from fnn.verify.proving.proof import CANNOT_TELL, Proof
from fnn.verify.proving.prove import proof_of
from fnn.verify.proving.run import equations_of

Tree = Any
_NOT_TRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
)


def prove_gradient(
    loss: Callable, backward: Callable, *args: Any, argnums: int = 0, key: Any = None, points: Any = 4
) -> Proof:
    """Prove a gradient equal to autodiff of its loss, for all values of the float arguments.

    Args:
        loss: (*args) -> scalar, in JAX. Custom derivative rules in it are taken out: what they wrap is differentiated.
        backward: (*args) -> gradient with respect to args[argnums], a pytree like it; traceable by JAX.
        *args: a point.
        argnums: number of the argument that the gradient is with respect to.
        key: where chance comes from, as for `prove`.
        points: as for `prove`.

    Returns:
        The proof; f is the backward, g is autodiff.

    Raises:
        TypeError: loss or backward is no function, or an argument neither a number nor an array.
        ValueError: args[argnums] holds integers, there is no such argument, or the loss is no scalar.

    Examples:
        >>> prove_gradient(lambda w: (w**2).sum(), lambda w: 2 * w, jnp.array([1.0, -2.0])).verdict
        'PROVED'
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    require_functions("prove_gradient", loss=loss, backward=backward)
    require_point("prove_gradient", args, numbers)
    for number in numbers:
        refuse_integers("prove_gradient", args[number])

    def autodiff(*args: Any) -> Tree:
        plain = without_custom_rules(loss, *args)
        return jax.grad(lambda *args: require_scalar("prove_gradient", plain(*args)), argnums)(*args)

    return _proved(backward, autodiff, args, loss, args, key, points)


def prove_layer(layer: Layer, shape: Shape, *, n: int = 3, key: Any = None, points: Any = 4) -> Proof:
    """Prove a layer's hand-derived backward equal to autodiff of its forward.

    That is for all parameters, inputs, states and arriving gradients; what a layer draws is drawn from one fixed key.

    Args:
        layer: the layer.
        shape: shape of one example.
        n: number of examples.
        key: where chance comes from, as for `prove`.
        points: as for `prove`.

    Returns:
        The proof; f is the backward, g is autodiff.

    Raises:
        TypeError: layer is no layer, or shape no tuple.
        ValueError: shape or n holds something else than whole numbers of at least 1.

    Examples:
        >>> import fnn
        >>> prove_layer(fnn.gelu, (3,)).verdict
        'PROVED'
    """
    layer, shape = require_layer_at("prove_layer", layer, shape, n)
    random, fixed = np.random.default_rng(0), jax.random.key(0)
    with precise():
        params = jax.jit(layer.init, static_argnums=1)(fixed, shape)
        params = jax.tree.map(lambda p: np.asarray(p) + 0.3 * random.normal(size=p.shape), params)
        state = jax.tree.map(lambda s: np.asarray(s) + 0.3 * random.random(s.shape), layer.init_state(shape))
        x = 1.5 * random.normal(size=(n, *shape))
        (y, _), _ = jax.eval_shape(layer.fwd, params, x, state, fixed)
        args = (params, x, state, random.normal(size=y.shape))

    def by_hand(params: Tree, x: Any, state: Tree, dy: Any) -> Tree:
        _, residuals = layer.fwd(params, x, state, fixed)
        return layer.bwd(residuals, dy)

    def output(params: Tree, x: Any, state: Tree) -> Any:
        return layer.fwd(params, x, state, fixed)[0][0]

    def autodiff(params: Tree, x: Any, state: Tree, dy: Any) -> Tree:
        plain = without_custom_rules(output, params, x, state)
        return jax.vjp(lambda params, x: plain(params, x, state), params, x)[1](dy)

    with precise():
        return _proved(by_hand, autodiff, args, output, args[:3], key, points)


def prove_rule(f: Callable, *args: Any, reference: Callable | None = None, key: Any = None, points: Any = 4) -> Proof:
    """Prove the derivative rule of a `jax.custom_vjp` function against autodiff of what it wraps, or of a reference.

    Values are compared as well as the gradients with respect to all float arguments, for all arriving gradients.

    Args:
        f: the function; jax.vjp of it runs the rule.
        *args: a point.
        reference: a function of the same arguments whose autodiff is trusted; by default what f wraps.
        key: where chance comes from, as for `prove`.
        points: as for `prove`.

    Returns:
        The proof; f is the rule, g is autodiff.

    Raises:
        TypeError: f is no function, or an argument neither a number nor an array.
        ValueError: f has no custom rule in it, and there is no reference.

    Examples:
        >>> square = jax.custom_vjp(lambda x: x * x)
        >>> square.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))
        >>> prove_rule(square, jnp.array([1.0, -2.0])).verdict
        'PROVED'
    """
    require_functions("prove_rule", f=f, **({} if reference is None else {"reference": reference}))
    require_point("prove_rule", args, range(len(args)))
    if reference is None and not custom_rules(f, *args):
        raise ValueError(
            "prove_rule expects a function with a jax.custom_vjp or jax.custom_jvp rule, got one without; "
            "compare it with another one by reference=, or by fnn.prove"
        )
    random = np.random.default_rng(0)
    like = [leaf for leaf in jax.tree.leaves(jax.eval_shape(f, *args)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    arriving = [random.normal(size=leaf.shape).astype(leaf.dtype) for leaf in like]

    def pulled(function: Callable, args: tuple, arriving: list) -> Tree:
        leaves, structure = jax.tree.flatten(args)
        floats = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]

        def of_floats(*values: Any) -> Any:
            filled = list(leaves)
            for i, value in zip(floats, values, strict=True):
                filled[i] = value
            results = jax.tree.leaves(function(*jax.tree.unflatten(structure, filled)))
            return [r for r in results if jnp.issubdtype(r.dtype, jnp.floating)]

        values, pull = jax.vjp(of_floats, *(jnp.asarray(leaves[i]) for i in floats))
        return values, pull([a.astype(v.dtype) for a, v in zip(arriving, values, strict=True)])

    def trusted(*args: Any) -> Any:
        return without_custom_rules(f if reference is None else reference, *args)(*args)

    return _proved(
        lambda args, arriving: pulled(f, args, arriving),
        lambda args, arriving: pulled(trusted, args, arriving),
        (args, arriving),
        f if reference is None else reference,
        args,
        key,
        points,
    )


def proof_of_gradient(
    loss: Callable, backward: Callable, args: tuple, argnums: int = 0, limit: int = 50_000
) -> Proof | None:
    """A proof where one is to be had at a price known beforehand: for the checkers.

    Args:
        loss: as for `prove_gradient`.
        backward: as for `prove_gradient`.
        args: a point.
        argnums: number of the argument that the gradient is with respect to.
        limit: the largest number of entries that all results of the traced loss's equations may have together.

    Returns:
        The proof, or None where the loss is larger than the limit, or one of the two can't be traced.
    """
    try:
        traced = jax.make_jaxpr(loss)(*args)
        size = sum(
            int(np.prod(v.aval.shape))
            for e in equations_of(traced.jaxpr)
            for v in e.outvars
            if hasattr(v.aval, "shape")
        )
        return None if size > limit else prove_gradient(loss, backward, *args, argnums=argnums, key=0)
    except Exception:  # a loss in NumPy, a backward with side effects: no proof, and no reason to fail
        return None


def _proved(
    f: Callable, g: Callable, args: tuple, forward: Callable, forward_args: tuple, key: Any, points: Any
) -> Proof:
    """Prove a gradient f equal to autodiff g of a forward, and what the forward's linear solves claim."""
    remarks = _remarks(forward, forward_args)
    try:
        claims = linear_solves(forward, *forward_args)
        if claims is not None:
            solved = proof_of(lambda *a: claims(*a)[0], lambda *a: claims(*a)[1], forward_args, key)
            if not solved.ok:
                return Proof(CANNOT_TELL, f"a linear solve with a rule of its own may not solve: {solved.says}")
        proof = proof_of(f, g, args, key, points, at_ties=False)
    except CannotTell as stop:
        return Proof(CANNOT_TELL, str(stop), notes=remarks)
    except _NOT_TRACEABLE as error:
        return Proof(CANNOT_TELL, f"JAX can't trace it: {str(error).splitlines()[0]}", notes=remarks)
    return replace(proof, notes=(*remarks, *proof.notes))


def _remarks(function: Callable, args: tuple) -> tuple[str, ...]:
    """What is not differentiated as it stands: custom rules, and what is held constant."""
    remarks = [
        f"differentiated through what {name} wraps, not by its own rule" for name in custom_rules(function, *args)
    ]
    held = [e for e in equations_of(jax.make_jaxpr(function)(*args).jaxpr) if e.primitive.name == "stop_gradient"]
    return (*remarks, "what stop_gradient holds constant is constant for autodiff as well") if held else tuple(remarks)
