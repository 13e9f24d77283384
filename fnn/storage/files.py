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
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.storage.trees import Leaf, decode, encode, leaf_names

_MARK = b'\\"sha256\\":\\"'  # where the digest stands in the header: a JSON text within a JSON text
_BLANK = "0" * 64  # what stands there while the digest is computed


def save(path: str | os.PathLike, tree: Any, **metadata: Any) -> None:
    """Save a pytree of arrays, such as params or a train state; what was there before is replaced as a whole or not.

    Args:
        path: file to write, usually NAME.safetensors.
        tree: tuples, lists, dictionaries with string keys and NamedTuples of arrays; random keys are arrays too.
        **metadata: whatever JSON can hold, such as seed=0 or net=repr(net); `load_metadata` returns it.

    Raises:
        TypeError: a leaf that is no array, a node of another kind, or metadata that JSON cannot hold.
        ImportError: safetensors is not installed.

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
    arrays: dict[str, np.ndarray] = {}
    structure = encode(tree, arrays)
    try:
        own = json.dumps({"sha256": _BLANK, "versions": _versions(), "tree": structure, "metadata": metadata})
    except (TypeError, ValueError) as error:
        raise TypeError(f"save expects metadata that JSON can hold, got {metadata!r} ({error})") from error
    raw = bytearray(safetensors().save(arrays, {"fnn": own.replace('"sha256": "', '"sha256":"', 1)}))
    start = raw.index(_MARK) + len(_MARK)
    raw[start : start + len(_BLANK)] = hashlib.sha256(raw).hexdigest().encode()
    write_durably(Path(path), raw)


def load(path: str | os.PathLike, like: Any = None) -> Any:
    """Load a pytree that `save` wrote.

    NamedTuples come back as the classes they were, provided that the modules that define them have been imported:
    nothing is imported, and no code is run, because a file says so.

    Args:
        path: file to read.
        like: a pytree with the structure, shapes and dtypes that are expected, such as fresh params; anything else in
            the file is an error. None takes the structure from the file.

    Returns:
        The tree, its leaves jax arrays.

    Raises:
        ValueError: the file is truncated, damaged, not from `save`, or does not hold what `like` describes.
        OSError: it cannot be read.
        ImportError: safetensors is not installed.
    """
    own, arrays = _read(Path(path))
    try:
        if like is None:
            return decode(own["tree"], lambda leaf: _restore(leaf, arrays))
        stored: dict[str, Leaf] = {}
        decode(own["tree"], lambda leaf: stored.setdefault(leaf.name, leaf), known_classes_only=False)
        return _restore_like(like, stored, arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        raise ValueError(f"{path} is not a file of fnn.save: its structure cannot be read ({error!r})") from error


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
    own, _ = _read(Path(path))
    return {**own["metadata"], "versions": own["versions"]}


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The header's own JSON and the arrays of a file, once its digest has been found right."""
    raw = bytearray(path.read_bytes())
    header = int.from_bytes(raw[:8], "little")
    start = raw.find(_MARK, 8, 8 + min(header, len(raw))) + len(_MARK)
    if len(raw) < 8 or header > len(raw) - 8 or start < len(_MARK):
        raise ValueError(
            f"{path} is not an intact file of fnn.save: expected a safetensors header with a SHA-256, got "
            f"{len(raw):,} bytes without one; it is truncated, damaged or from elsewhere: use another copy"
        )
    expected = bytes(raw[start : start + len(_BLANK)])
    raw[start : start + len(_BLANK)] = _BLANK.encode()
    received = hashlib.sha256(raw).hexdigest().encode()
    if expected != received:
        raise ValueError(
            f"{path} is damaged: expected content with SHA-256 {expected.decode('ascii', 'replace')}, got "
            f"{received.decode()}; use another copy"
        )
    try:
        own = json.loads(json.loads(raw[8 : 8 + header])["__metadata__"]["fnn"])
        return own, safetensors().load(bytes(raw))
    except ImportError:
        raise
    except Exception as error:  # its digest is right, so somebody made it so
        raise ValueError(f"{path} is not a file of fnn.save: {error}") from error


def _restore(leaf: Leaf, arrays: dict[str, np.ndarray]) -> jax.Array:
    array = arrays[leaf.name]
    if leaf.key is not None:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=leaf.key)
    dtype = jnp.dtype(leaf.dtype)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(
            f"{leaf.name} is {dtype}, which would lose precision: expected 64-bit types to be enabled; "
            "load within jax.enable_x64(True)"
        )
    return jnp.asarray(array.view(dtype) if array.dtype != dtype else array)


def _restore_like(like: Any, stored: dict[str, Leaf], arrays: dict[str, np.ndarray]) -> Any:
    names, leaves, structure = leaf_names(like)
    if set(names) != set(stored):
        missing, extra = sorted(set(names) - set(stored)), sorted(set(stored) - set(names))
        raise ValueError(
            f"the file holds another tree: expected what `like` has, but {missing or 'nothing'} is missing and "
            f"{extra or 'nothing'} is there besides; build the same network and optimizer as when it was saved"
        )
    restored = [_restore(stored[name], arrays) for name in names]
    for name, leaf, array in zip(names, leaves, restored, strict=True):
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"the file holds {name} as {array.dtype} {array.shape}, expected {leaf.dtype} {leaf.shape}; "
                "build the same network and optimizer as when it was saved"
            )
    return jax.tree.unflatten(structure, restored)


def write_durably(path: Path, content: bytes | bytearray) -> None:
    """Write a file so that, whenever power or process ends, the old one or the new one is there, never a part.

    Args:
        path: where.
        content: what.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    with suppress(OSError):  # the rename itself; not every system can open a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _versions() -> dict[str, str]:
    try:
        own = importlib.metadata.version("fnn")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return {"fnn": own, "jax": jax.__version__}


def safetensors() -> Any:
    """The module safetensors.numpy, imported when it is needed.

    Raises:
        ImportError: says how to install it.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving and loading need safetensors: pip install 'fnn[checkpoints]'") from error
    return safetensors.numpy
