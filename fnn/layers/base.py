"""What a layer is: a static recipe made of pure functions.

A *rule* is two module-level pure functions that stand next to each other, a forward and its hand-derived backward:

    rule_fwd(params, x) -> (y, residuals)
    rule_bwd(residuals, dy) -> (dparams, dx)

A *layer* wraps a rule, and the Python numbers that it needs, in a frozen dataclass. Parameters, states, residuals and
gradients are data (pytrees of arrays) and flow through jit; a layer is a recipe and never does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from fnn.recipes import Recipe, expression, lift_recipe
from fnn.validation import require_function

Params = Any  # an immutable pytree of arrays
State = Any  # likewise; () for a layer that has none
Residuals = Any  # whatever the backward reads, as a pytree of arrays
Shape = tuple[int, ...]


def is_empty(tree: State) -> bool:
    """Whether a state is (), that of a layer without one."""
    return isinstance(tree, tuple) and len(tree) == 0


def no_params(key: jax.Array, shape: Shape) -> Params:
    """Initialize a layer that learns nothing: its parameters are ()."""
    return ()


def no_state(shape: Shape) -> State:
    """Initialize a layer that remembers nothing: its state is ()."""
    return ()


@dataclass(frozen=True, eq=False, repr=False)
class Layer(Recipe):
    """A layer as the functions that use it, and facts about itself as data.

    Attributes:
        name: what the layer is, as the reports call it ("dense", "relu", ...).
        init: (key, shape) -> params, where shape is that of ONE example.
        forward: (params, x, state=()) -> y. Evaluation: deterministic, no residuals, no new state.
        fwd: (params, x, state, key) -> ((y, new_state), residuals). Training.
        bwd: (residuals, dy) -> (dparams, dx); dparams has the structure of params.
        init_state: shape -> state; () for every layer but those that remember (batch_norm).
        children: the layers that a combinator is made of, in order.
        rebuild: children -> the same combinator over other children; None for a layer that has none.
        elementwise: whether y depends on x entry by entry, as in every activation but softmax.
        kinks: inputs at which an elementwise layer has no derivative, such as (0.0,) for relu.
        plain: the layer whose mathematics this one computes in another form (bfloat16 products, jax.grad by
            hand-derived rules), with the same parameters; None for all others.
        adapt: x -> state, for a layer whose state is statistics of the training data, taken before the first step, as
            `standardize_inputs` does; None for all others.
    """

    name: str
    init: Callable[[jax.Array, Shape], Params]
    forward: Callable[..., jax.Array]
    fwd: Callable[[Params, jax.Array, State, jax.Array | None], tuple[tuple[jax.Array, State], Residuals]]
    bwd: Callable[[Residuals, jax.Array], tuple[Params, jax.Array]]
    init_state: Callable[[Shape], State] = no_state
    children: tuple[Layer, ...] = ()
    rebuild: Callable[[tuple[Layer, ...]], Layer] | None = None
    elementwise: bool = False
    kinks: tuple[float, ...] = ()
    plain: Layer | None = None
    adapt: Callable[[Any], State] | None = None

    def _unmade(self) -> str:
        inner = ", ".join(map(repr, self.children))
        return f"{self.name}({inner})" if self.children else self.name


@lift_recipe
def stateless(
    name: str,
    init: Callable[[jax.Array, Shape], Params],
    fwd: Callable[[Params, jax.Array], tuple[jax.Array, Residuals]],
    bwd: Callable[[Residuals, jax.Array], tuple[Params, jax.Array]],
) -> Layer:
    """Lift a rule, which knows neither key nor state, to a layer.

    Args:
        name: what the layer is called in reports and errors.
        init: (key, shape of one example) -> params; `no_params` for a layer without any.
        fwd: (params, x) -> (y, residuals).
        bwd: (residuals, dy) -> (dparams, dx), derived by hand from fwd.

    Returns:
        The layer. Its evaluation pass is fwd without the residuals.

    Examples:
        >>> import jax.numpy as jnp
        >>> square = stateless("square", no_params, lambda _, x: (x * x, x), lambda x, dy: ((), 2 * x * dy))
        >>> square.forward((), jnp.array([[3.0]]))
        Array([[9.]], dtype=float32)
        >>> square.bwd(jnp.array([[3.0]]), jnp.array([[1.0]]))
        ((), Array([[6.]], dtype=float32))
    """
    if not isinstance(name, str):
        raise TypeError(
            f"stateless expects a name first, got {name!r:.80}; as stateless('square', fnn.no_params, fwd, bwd)"
        )
    forms = ("init", init, "(key, shape) -> params"), ("fwd", fwd, "(params, x) -> (y, residuals)")
    for which, rule, form in (*forms, ("bwd", bwd, "(residuals, dy) -> (dparams, dx)")):
        require_function(f"stateless expects {which} as a function {form}", rule, arguments=2)
    return Layer(name, init, *lift(fwd), bwd)


def require_layer(who: str, layer: Any, where: str = "") -> Layer:
    """Refuse what is no layer: a function of jax.nn, a constructor that was not called, a list.

    Args:
        who: who expects it, for the message.
        layer: what was received.
        where: among several, " at position 1".

    Returns:
        The layer.

    Raises:
        TypeError: anything else.
    """
    if isinstance(layer, Layer):
        return layer
    remedy = "pass fnn.relu rather than jax.nn.relu, and lift a rule of your own with fnn.stateless or fnn.activation"
    if isinstance(layer, list | tuple):
        remedy = "chain several with fnn.serial(...)"
    elif inspect.isfunction(layer) and layer.__module__.startswith("fnn."):
        remedy = f"call it, as fnn.{layer.__name__}(...)"
    raise TypeError(f"{who} expects a layer, got {expression(layer):.80}{where}; {remedy}")


def lift(fwd: Callable[[Params, jax.Array], tuple[jax.Array, Residuals]]) -> tuple[Callable, Callable]:
    """Turn a rule's forward into a layer's two passes, evaluation and training."""

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        return fwd(params, x)[0]

    def training(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        y, residuals = fwd(params, x)
        return (y, state), residuals

    return forward, training


def require_floating(name: str, x: jax.Array) -> None:
    """Refuse integers, which most layers would round to or wrap around in.

    Args:
        name: the layer that speaks.
        x: its input.

    Raises:
        ValueError: x holds integers or bools.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{name} expects floating-point x, got {x.dtype}; "
            "put rescale(1 / 255) first for images, or convert with x.astype('float32')"
        )


def require_fields(who: str, params: Any, *fields: str) -> None:
    """Refuse parameters that are not those of a layer, such as the tuple of a whole chain.

    Args:
        who: the layer that speaks.
        params: what was received.
        *fields: what has to be in it.

    Raises:
        TypeError: something is not.
    """
    if any(not hasattr(params, field) for field in fields):
        raise TypeError(
            f"{who} expects its own parameters, with {' and '.join(fields)}, got {type(params).__name__}; for a chain "
            "of layers call the chain"
        )


def output_shape(layer: Layer, params: Params, shape: Shape) -> Shape:
    """Shape of one output for one input of the given shape, found without computing anything.

    Args:
        layer: any layer.
        params: its parameters, as arrays or as shapes.
        shape: shape of one example, without the batch axis.

    Returns:
        The shape of one output, without the batch axis.

    Raises:
        ValueError: the layer does not accept inputs of this shape.
    """
    x = jax.ShapeDtypeStruct((1, *shape), jnp.result_type(float))
    state = jax.eval_shape(lambda: layer.init_state(shape))
    return jax.eval_shape(layer.forward, params, x, state).shape[1:]
