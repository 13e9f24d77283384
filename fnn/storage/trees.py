"""Pytrees as JSON: tuples, lists, dictionaries and NamedTuples in, the same out, by names and never by running code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.storage.processes import fetched
from fnn.storage.safetensors import METADATA
from fnn.validation import as_array

# Types of which a file holds the bits, as whole numbers of the same size; the others it holds as they are.
_BITS = {np.dtype(dtype).name: np.dtype(dtype) for dtype in (jnp.int4, jnp.uint4, jnp.float8_e4m3fn, jnp.float8_e5m2)}
_AS_THEY_ARE = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
_AS_THEY_ARE += [np.dtype(dtype) for dtype in ("bool", "float16", "float32", "float64", jnp.bfloat16)]
_DTYPES = _BITS | {dtype.name: dtype for dtype in _AS_THEY_ARE}


class Leaf(NamedTuple):
    """One array of a stored tree."""

    name: str  # its path, as "params.0.W"
    dtype: str
    key: str | None = None  # for random keys, the generator
    numpy: bool | None = None  # whether it was NumPy's rather than JAX's; None where a file of an older version is mute


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
        ValueError: a masked array.
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
    return _encode_leaf(tree, arrays, _name(".".join(path)))


def _name(path: str) -> str:
    return {"": "array", METADATA: f"array.{METADATA}"}.get(path, path)


def _encode_leaf(leaf: Any, arrays: dict[str, np.ndarray], name: str) -> dict:
    if not isinstance(leaf, jax.Array | np.ndarray):
        raise TypeError(
            f"expected arrays in tuples, lists, dictionaries and NamedTuples, got {type(leaf).__name__} at {name}; "
            "convert it with jnp.asarray, or put it into the metadata"
        )
    if name in arrays:
        raise TypeError(f"expected one array called {name}, got two; a key that holds a dot can cause that")
    key, numpy = None, isinstance(leaf, np.ndarray)
    leaf = as_array(name, leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        key, leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
    array = fetched(leaf)
    array = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    if array.dtype != _DTYPES.get(array.dtype.name):
        raise TypeError(
            f"expected an array of numbers, real ones, got {array.dtype} at {name}; split or encode it first"
        )
    arrays[name] = array.view(np.uint8) if array.dtype.name in _BITS else array
    return {"array": name, "dtype": array.dtype.name, "key": key, "numpy": numpy}


def decode(node: dict, leaf: Callable[[Leaf], Any], classes: bool = True) -> Any:
    """Build a tree from what `encode` returned.

    Args:
        node: the description.
        leaf: description of an array -> what to put there.
        classes: whether NamedTuples become what they were, rather than plain tuples.

    Returns:
        The tree.

    Raises:
        ValueError: a NamedTuple that is none of fnn's, or has other fields.
        KeyError, TypeError, AttributeError, StopIteration: the description is none of `encode`.
    """
    kind = next(iter(node))
    if kind == "none":
        return None
    if kind == "dict":
        return {key: decode(value, leaf, classes) for key, value in node["dict"].items()}
    if kind in ("tuple", "list"):
        values = [decode(value, leaf, classes) for value in node[kind]]
        return tuple(values) if kind == "tuple" else values
    if kind == "class":
        values = [decode(value, leaf, classes) for value in node["fields"].values()]
        return tuple.__new__(_named_tuple(node) if classes else tuple, values)
    return leaf(Leaf(node["array"], node["dtype"], node["key"], node.get("numpy")))


def _named_tuple(node: dict) -> type:
    """The NamedTuple of that name among fnn's own; a file can't name any other, and nothing is imported for it."""
    module, _, name = node["class"].partition(":")
    found = fnn_classes().get(name) if module.partition(".")[0] == "fnn" else None
    if list(getattr(found, "_fields", ())) != list(node["fields"]):
        raise ValueError(
            f"the file holds a {name:.80} with fields {', '.join(node['fields']):.80}, expected a NamedTuple of fnn's; "
            "for one of your own, or of another version, pass like= with a tree of the same structure"
        )
    return found  # type: ignore[return-value]


def fnn_classes() -> dict[str, type]:
    """The NamedTuples that fnn itself defines, by name: wherever they stood when a file was written."""
    modules = [module for name, module in sys.modules.items() if name.startswith("fnn.")]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()  # without `getattr`, which may import
        if isinstance(value, type) and value.__bases__ == (tuple,) and value.__module__ == module.__name__
    }


def stored_leaves(node: dict, arrays: dict[str, np.ndarray]) -> list[Leaf]:
    """The leaves that a description names, each with an array of its own.

    Args:
        node: from `encode`.
        arrays: what a file holds, by name.

    Raises:
        ValueError: an array that is missing, used twice or not at all.
    """
    leaves: list[Leaf] = []
    decode(node, leaves.append, classes=False)
    names = sorted(leaf.name for leaf in leaves)
    if names != sorted(arrays):
        raise ValueError(f"expected each of the file's {len(arrays)} arrays in one place, got {len(names)} places")
    return leaves


def restore(leaf: Leaf, array: np.ndarray, numpy: bool | None = None) -> jax.Array | np.ndarray:
    """The array of a leaf, as it was.

    Args:
        leaf: its description.
        array: what the file holds.
        numpy: whether it is to be NumPy's; by default, as it was when it was saved.

    Raises:
        ValueError: a description that does not fit the array; 64 bits that JAX is not set to keep.
    """
    if leaf.key is not None:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=leaf.key)
    dtype = _DTYPES.get(leaf.dtype)
    bits = leaf.dtype == "bfloat16" and array.dtype == np.uint16  # as older versions wrote it
    if dtype is None or not (bits or array.dtype == (np.uint8 if leaf.dtype in _BITS else dtype)):
        raise ValueError(f"expected {leaf.name} as {leaf.dtype:.80}, got {array.dtype}")
    wide = jax.dtypes.canonicalize_dtype(dtype) != dtype
    if numpy or (numpy is None and (leaf.numpy or (leaf.numpy is None and wide))):
        return np.array(array.view(dtype))
    if wide:
        raise ValueError(
            f"{leaf.name} is {dtype}, which would lose precision: expected 64-bit types to be enabled; "
            "load within jax.enable_x64(True)"
        )
    return jnp.asarray(array.view(dtype))


def names_of_arrays(tree: Any) -> tuple[list[str], list, Any]:
    """Names of a tree's arrays, as `encode` gives them, with the arrays and the structure.

    Args:
        tree: any pytree.

    Returns:
        names, leaves and structure, in the order of the leaves.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [_name(jax.tree_util.keystr(path, simple=True, separator=".")) for path, _ in leaves]
    return names, [leaf for _, leaf in leaves], structure
