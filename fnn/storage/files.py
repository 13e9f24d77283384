"""Saving pytrees of arrays, and loading them without trusting the file.

A file is in the safetensors format, which other tools can read: named arrays and a header, no code. The header also
holds, as JSON, the structure of the tree, the caller's metadata and a SHA-256 of the whole file, so that one flipped
bit anywhere is an error rather than a wrong number. A file appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from fnn.datasets.whole_files import write_whole
from fnn.storage.processes import by_the_first, laid_at
from fnn.storage.safetensors import pack, unpack
from fnn.storage.trees import Leaf, decode, encode, names_of_arrays, restore, stored_leaves
from fnn.validation import require_path

_MARK = b'\\"sha256\\":\\"'  # where the digest stands in the header: a JSON text within a JSON text
_BLANK = b"0" * 64  # what stands there while the digest is computed


def save(path: str | os.PathLike, tree: Any, **metadata: Any) -> None:
    """Save a pytree of arrays, such as params or a train state; what was there before is replaced as a whole or not.

    Where there are several processes, all of them call it: each gives what it holds, process 0 writes, the others wait.

    Args:
        path: file to write, usually NAME.safetensors.
        tree: tuples, lists, dictionaries with string keys and NamedTuples of arrays, JAX's or NumPy's; random keys are
            arrays too.
        **metadata: whatever JSON can hold, such as seed=0 or net=repr(net); `load_metadata` returns it.

    Raises:
        TypeError: a leaf that is no array, a node of another kind, or metadata that JSON cannot hold.
        ValueError: a masked array; metadata called "versions", which `load_metadata` adds.

    Examples:
        >>> import tempfile, fnn
        >>> params = fnn.mlp(3, 2).init(jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(folder + "/net.safetensors", params, seed=0)
        ...     same = load(folder + "/net.safetensors")
        ...     load_metadata(folder + "/net.safetensors")["seed"]
        0
        >>> bool((same[0].W == params[0].W).all())
        True
    """
    path = require_path("save", path)
    if "versions" in metadata:
        raise ValueError(f"save adds versions= itself, got {metadata['versions']!r:.80}; give it another name")
    arrays: dict[str, np.ndarray] = {}
    try:
        structure = encode(tree, arrays)
    except RecursionError as error:
        raise TypeError("save expects a tree of arrays, got one that holds itself; leave that part out") from error
    try:
        own = json.dumps({"sha256": _BLANK.decode(), "versions": _versions(), "tree": structure, "metadata": metadata})
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"save expects metadata that JSON can hold, got {metadata!r:.80} ({error})") from error
    by_the_first(lambda: write_whole(path, _sealed(own, arrays)))


def _sealed(own: str, arrays: dict[str, np.ndarray]) -> bytearray:
    """The bytes of a file, with their digest in the header."""
    raw = pack(arrays, {"fnn": own.replace('"sha256": "', '"sha256":"', 1)})
    start = raw.index(_MARK) + len(_MARK)
    raw[start : start + len(_BLANK)] = hashlib.sha256(raw).hexdigest().encode()
    return raw


def load(path: str | os.PathLike, like: Any = None) -> Any:
    """Load a pytree that `save` wrote.

    NamedTuples of fnn come back as what they were. Those of your own come back through `like`: no file can name a class
    or a module, nothing is imported and no code is run because a file says so.

    Args:
        path: file to read.
        like: a pytree with the structure, shapes and dtypes that are expected, such as fresh params; anything else in
            the file is an error. None takes the structure from the file.

    Returns:
        The tree, its leaves JAX's arrays where JAX's were saved and NumPy's where NumPy's were, or as in `like`: arrays
        that are spread over a mesh there are spread in the same way.

    Raises:
        ValueError: the file is truncated, damaged, not from `save`, or does not hold what `like` describes.
        TypeError: `like` has leaves that are no arrays.
        OSError: the file cannot be read.
    """
    path = require_path("load", path)
    expected = None if like is None else _expected(like)
    own, arrays = _read(path)
    try:
        stored = {leaf.name: leaf for leaf in stored_leaves(own["tree"], arrays)}
        if expected is None:
            return decode(own["tree"], lambda leaf: restore(leaf, arrays[leaf.name]))
        return _restore_like(expected, stored, arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        raise ValueError(f"{path} is not a file of fnn.save: its structure cannot be read ({error!r:.80})") from error


def load_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Read what `save` was told about a file.

    Args:
        path: file to read; all of it is checked.

    Returns:
        The metadata, and under "versions" those of fnn and jax that wrote the file.

    Raises:
        ValueError: the file is truncated, damaged, or not from `save`.
        OSError: it cannot be read.
    """
    own, _ = _read(require_path("load_metadata", path))
    return {**own["metadata"], "versions": own["versions"]}


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The header's own JSON and the arrays of a file, once its digest has been found right."""
    raw = path.read_bytes()
    header = int.from_bytes(raw[:8], "little")
    start = raw.find(_MARK, 8, 8 + min(header, len(raw))) + len(_MARK)
    end = start + len(_BLANK)
    if len(raw) < 8 or header > len(raw) - 8 or start < len(_MARK):
        raise ValueError(
            f"{path} is not an intact file of fnn.save: expected a safetensors header with a SHA-256, got "
            f"{len(raw):,} bytes without one; it is truncated, damaged or from elsewhere: use another copy"
        )
    digest = hashlib.sha256(raw[:start] + _BLANK)
    digest.update(memoryview(raw)[end:])
    if raw[start:end] != digest.hexdigest().encode():
        raise ValueError(
            f"{path} is damaged: expected content with SHA-256 {raw[start:end].decode('ascii', 'replace')}, got "
            f"{digest.hexdigest()}; use another copy"
        )
    # The digest is right: from here on, what is wrong was made so.
    try:
        metadata, arrays = unpack(raw)
        own = json.loads(metadata["fnn"])
        if not all(isinstance(own[part], dict) for part in ("tree", "metadata", "versions")):
            raise ValueError("expected a tree, metadata and versions, got something else")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is not a file of fnn.save: {error!s:.160}; use another copy") from error
    return own, arrays


def _expected(like: Any) -> tuple[dict[str, Any], Any]:
    """The leaves of `like` by the names that `save` would give them, and its structure."""
    names, leaves, structure = names_of_arrays(like)
    for name, leaf in zip(names, leaves, strict=True):
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
            raise TypeError(
                f"load expects like as a tree of arrays or of their shapes, got {type(leaf).__name__} at {name}; pass "
                "fresh params, or leave like= out"
            )
    if len(set(names)) < len(names):
        raise TypeError("load expects like with one array a name, got two; a key that holds a dot can cause that")
    return dict(zip(names, leaves, strict=True)), structure


def _restore_like(expected: tuple[dict[str, Any], Any], stored: dict[str, Leaf], arrays: dict[str, np.ndarray]) -> Any:
    leaves, structure = expected
    if set(leaves) != set(stored):
        missing, extra = _listed(set(leaves) - set(stored)), _listed(set(stored) - set(leaves))
        raise ValueError(
            f"the file holds another tree: expected what `like` has, but {missing} is missing and {extra} is there "
            "besides; build the same network and optimizer as when it was saved"
        )
    restored = []
    for name, leaf in leaves.items():
        array = restore(stored[name], arrays[name], numpy=isinstance(leaf, np.ndarray))
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"the file holds {name} as {array.dtype} {array.shape}, expected {leaf.dtype} {leaf.shape}; "
                "build the same network and optimizer as when it was saved"
            )
        lies = getattr(leaf, "sharding", None)
        restored.append(laid_at(array, lies) if isinstance(lies, NamedSharding) else array)
    return jax.tree.unflatten(structure, restored)


def _listed(names: set[str]) -> str:
    shown = sorted(names)[:4]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{shown!s:.120}{more}" if names else "nothing"


def _versions() -> dict[str, str]:
    try:
        own = importlib.metadata.version("fnn")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return {"fnn": own, "jax": jax.__version__}
