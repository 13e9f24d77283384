"""Pytrees as JSON: tuples, lists, dictionaries and NamedTuples in, the same out, by names and never by running code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_STORABLE = "?bhilqBHILQefd"  # NumPy types that a file holds as they are; of others, such as bfloat16, the bits
_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


class Leaf(NamedTuple):
    """One array of a stored tree."""

    name: str  # its path, as "params.0.W"
    dtype: str
    key: str | None = None  # for random keys, the generator


def encode(tree: Any, arrays: dict[str, np.ndarray], path: tuple[str, ...] = ()) -> dict:
    """Describe a tree as JSON and collect its arrays.

    Args:
        tree: the tree.
        arrays: filled with the arrays by name.
        path: where in a larger tree it stands.

    Returns:
        What `decode` reads.

    Raises:
        TypeError: a leaf that is no array, a node of another kind, or two arrays of one name.
    """
    if tree is None:
        return {"none": True}
    if isinstance(tree, dict):
        if not all(isinstance(key, str) for key in tree):
            raise TypeError(
                f"expected dictionaries with string keys, got {list(tree)} at {'.'.join(path) or 'the top'}"
            )
        return {"dict": {key: encode(value, arrays, (*path, key)) for key, value in sorted(tree.items())}}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        fields = {name: encode(getattr(tree, name), arrays, (*path, name)) for name in tree._fields}
        return {"class": f"{type(tree).__module__}:{type(tree).__qualname__}", "fields": fields}
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [encode(value, arrays, (*path, str(i))) for i, value in enumerate(tree)]}
    return _encode_leaf(tree, arrays, ".".join(path) or "array")


def _encode_leaf(leaf: Any, arrays: dict[str, np.ndarray], name: str) -> dict:
    if not isinstance(leaf, jax.Array | np.ndarray):
        raise TypeError(
            f"expected arrays in tuples, lists, dictionaries and NamedTuples, got {type(leaf).__name__} at {name}; "
            "convert it with jnp.asarray, or put it into the metadata"
        )
    if name in arrays:
        raise TypeError(f"expected one array called {name}, got two; a key that holds a dot can cause that")
    key = None
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        key, leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
    array = np.asarray(leaf, order="C")
    dtype = array.dtype
    if dtype.char not in _STORABLE:
        if dtype.itemsize not in _BITS or dtype.hasobject:
            raise TypeError(f"expected an array of numbers, got {dtype} at {name}")
        array = array.view(_BITS[dtype.itemsize])
    arrays[name] = array
    return {"array": name, "dtype": dtype.name, "key": key}


def decode(node: dict, leaf: Callable[[Leaf], Any], known_classes_only: bool = True) -> Any:
    """Build a tree from what `encode` returned.

    Args:
        node: the description.
        leaf: description of an array -> what to put there.
        known_classes_only: False replaces NamedTuples by plain tuples, whose classes need not be known.

    Returns:
        The tree.

    Raises:
        ValueError: a NamedTuple whose class is not known, or has other fields.
        KeyError, TypeError, AttributeError: the description is none of `encode`.
    """
    kind = next(iter(node))
    if kind == "none":
        return None
    if kind == "dict":
        return {key: decode(value, leaf, known_classes_only) for key, value in node["dict"].items()}
    if kind in ("tuple", "list"):
        values = [decode(value, leaf, known_classes_only) for value in node[kind]]
        return tuple(values) if kind == "tuple" else values
    if kind == "class":
        values = [decode(value, leaf, known_classes_only) for value in node["fields"].values()]
        return tuple.__new__(_named_tuple(node) if known_classes_only else tuple, values)
    return leaf(Leaf(node["array"], node["dtype"], node["key"]))


def _named_tuple(node: dict) -> type:
    """Find a NamedTuple among what has been imported; nothing is imported because a file says so."""
    module, _, name = node["class"].partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    is_tuple = isinstance(found, type) and issubclass(found, tuple)
    if not is_tuple or list(getattr(found, "_fields", ())) != list(node["fields"]):
        raise ValueError(
            f"the file holds a {name} with fields {list(node['fields'])}, expected to find that class in {module}; "
            "import that module first, or pass like= with a tree of the same structure"
        )
    return found


def leaf_names(tree: Any) -> tuple[list[str], list, Any]:
    """Names of a tree's arrays, as `encode` gives them, with the arrays and the structure.

    Args:
        tree: any pytree.

    Returns:
        names, leaves and structure, in the order of the leaves.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "array" for path, _ in leaves]
    return names, [leaf for _, leaf in leaves], structure
