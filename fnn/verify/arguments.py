"""What the checkers and the proofs refuse before anything is traced: what is no function, layer, shape or number.

A point is made of pytrees, and None within it stands for nothing, as in JAX. Leaves are arrays, numbers and keys; what
the gradient is with respect to has something in it, and a loss has one number as its value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Shape, require_layer
from fnn.recipes import expression
from fnn.validation import require_function, require_key, require_whole

Tree = Any


def require_leaf(who: str, leaf: Any, where: str) -> None:
    """Refuse a leaf that is neither an array, nor a number, nor a key.

    Args:
        who: who expects it, for the message.
        leaf: what was received.
        where: its place, for the message.

    Raises:
        TypeError: text, functions, objects, sparse matrices.
        ValueError: a masked array, whose mask would be lost.
    """
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(
            f"{who} expects arrays, got a masked array at {where}, whose mask would be lost; fill it with "
            ".filled(value), or leave the rows out"
        )
    if _is_numeric(leaf):
        return
    shown = f"an array of {leaf.dtype}" if isinstance(leaf, np.ndarray) else f"{expression(leaf):.60}"
    raise TypeError(
        f"{who} expects arguments that are pytrees of arrays and numbers, got {shown} at {where:.60}; "
        "close over what is none, as lambda x: f(x, option)"
    )


def _is_numeric(leaf: Any) -> bool:
    if isinstance(leaf, bool | int | float | complex):
        return True
    if not (hasattr(leaf, "__array__") or hasattr(leaf, "__jax_array__")):
        return False
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if not isinstance(dtype, np.dtype):  # keys, and arrays of other libraries
        return True
    return dtype == np.bool_ or bool(jnp.issubdtype(dtype, np.number))


def require_leaves(who: str, tree: Tree, name: str) -> None:
    """Refuse a tree with a leaf as `require_leaf` does.

    Args:
        who: who expects it, for the message.
        tree: what was received.
        name: what it is called there.

    Raises:
        TypeError, ValueError: as `require_leaf`.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        require_leaf(who, leaf, f"{name}{jax.tree_util.keystr(path)}")


def require_point(who: str, args: tuple, numbers: Sequence[int]) -> None:
    """Refuse a point with a leaf as `require_leaf` does, or with nothing where a function is varied.

    Args:
        who: who expects it, for the message.
        args: the arguments.
        numbers: which of them vary; one at least has to be something.

    Raises:
        TypeError: they are all None, or there is another leaf.
        ValueError: a masked array, or there is no such argument.
    """
    require_leaves(who, args, "args")
    count = len(args)
    if any(not -count <= number < count for number in numbers):
        raise ValueError(f"{who} expects argnums from 0 to {count - 1} for {count} arguments, got {tuple(numbers)}")
    if numbers and all(args[number] is None for number in numbers):
        raise TypeError(f"{who} expects a pytree of floating-point arrays, got None; pass one such as np.ones(3)")


def require_functions(who: str, **functions: Any) -> None:
    """Refuse what can't be called.

    Args:
        who: who expects it, for the message.
        functions: what was received, by the name of the argument.

    Raises:
        TypeError: anything else.
    """
    for name, function in functions.items():
        require_function(f"{who} expects {name} as a function of the arguments", function)


def require_scalar(who: str, value: Any) -> Any:
    """Refuse an array where a loss has one number as its value.

    Args:
        who: who expects it, for the message.
        value: what the loss returned.

    Returns:
        The value.

    Raises:
        ValueError: it has axes.
    """
    axes = value.shape if isinstance(value, jax.Array | np.ndarray) else ()
    if axes and not (isinstance(value, np.ndarray) and value.size == 1):
        raise ValueError(f"{who} expects a loss with one number as its value, got one of shape {axes}; sum it")
    return value


def require_layer_at(who: str, layer: Any, shape: Any, n: Any) -> tuple[Layer, Shape]:
    """Refuse what is no layer, no shape of an example, no number of examples.

    Args:
        who: who expects them, for the message.
        layer: what should be a layer.
        shape: what should be the shape of one example.
        n: what should be the number of examples.

    Returns:
        The layer and the shape, as a tuple of Python's numbers.

    Raises:
        TypeError, ValueError: anything else.
    """
    require_layer(who, layer)
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
        raise TypeError(f"{who} expects shape as a tuple, got {shape!r:.80}; as (3,) for vectors of 3 numbers")
    expected = f"{who} expects shape as whole numbers of at least 1, such as (3,)"
    sizes = tuple(require_whole(expected, size, within=shape) for size in shape)
    require_whole(f"{who} expects n as a whole number of at least 1", n)
    return layer, sizes


def require_call(who: str, net: Any, params: Tree, x: Any, y: Any, keywords: dict[str, Any]) -> None:
    """Refuse what is no network, and what its loss would not take.

    Args:
        who: who expects it, for the message.
        net: what should be a network; it stands above this package, and is known by what it can do.
        params: its parameters.
        x: batch of examples.
        y: targets.
        keywords: state, key and weights, where they are given.

    Raises:
        TypeError, ValueError: says expected, received, remedy.
    """
    known: list[Callable | None] = [
        getattr(net, name, None) for name in ("loss", "backward", "check_params", "check_state", "check_batch")
    ]
    if isinstance(net, type) or not all(map(callable, known)):
        raise TypeError(f"{who} expects a network, got {expression(net):.80}; make one with fnn.mlp or fnn.network")
    net.check_params(params)
    net.check_state(keywords.get("state", ()))
    require_leaves(who, params, "params")
    require_leaves(who, keywords, "")
    if "key" in keywords:
        require_key(who, keywords["key"])
    net.check_batch(x, y, keywords.get("weights"))
