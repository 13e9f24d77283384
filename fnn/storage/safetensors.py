"""The safetensors format, which other tools read and write as well: named arrays behind a header, and no code.

A file is the length of the header (8 bytes, little-endian), the header (JSON) and the bytes of the arrays in a row:

    {"__metadata__": {name: text, ...}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}

Nothing in a file is trusted: each number of the header is compared with the bytes that are there, every byte belongs to
exactly one array, and arrays are views of the bytes, so that reading takes no memory besides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import jax.numpy as jnp
import numpy as np

METADATA = "__metadata__"  # the one name that no array can have
_DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype("bool"),
    "BF16": np.dtype(jnp.bfloat16),
    **{f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "UI" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MOST_DIMENSIONS = 64  # of NumPy's arrays


def pack(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytearray:
    """Arrays and texts as the content of a file.

    Args:
        arrays: by name, in any order of bytes and strides.
        metadata: texts by name; they stand first in the file.

    Raises:
        KeyError: a dtype that the format does not have.
    """
    # The largest entries first, so that each array begins at a multiple of its entries' size.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        array, begin = arrays[name], end
        end += array.nbytes
        dtype = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    raw = bytearray(len(text).to_bytes(8, "little") + text)
    for name in names:
        raw += arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False).tobytes()
    return raw


def unpack(raw: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The texts and arrays in the content of a file.

    Args:
        raw: the content.

    Returns:
        metadata: texts by name; arrays: by name, views of `raw` that can't be written to.

    Raises:
        ValueError: the content is none of this format.
    """
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > len(raw) - 8:
        raise ValueError(f"expected a safetensors header, got {len(raw):,} bytes without one")
    try:
        header = json.loads(raw[8 : 8 + length], object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected a safetensors header, got no JSON ({error!s:.120})") from error
    metadata = header.pop(METADATA, {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("expected a safetensors header with texts as its metadata, got something else")
    data, begun = memoryview(raw)[8 + length :], 0
    arrays: dict[str, np.ndarray] = {}
    # In the order of their bytes each array has to begin where the one before has ended.
    for name, entry in sorted(header.items(), key=lambda item: _offsets(*item)):
        begin, end = _offsets(name, entry)
        if begin != begun or end > len(data):
            raise ValueError(f"expected {name} to begin at byte {begun} of {len(data):,}, got bytes {begin} to {end}")
        arrays[name], begun = _array(name, entry, data[begin:end]), end
    if begun != len(data):
        raise ValueError(f"expected {begun:,} bytes of arrays, got {len(data):,}")
    return metadata, arrays


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("each name has to be there once")
    return found


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"expected {name:.80} with the offsets of its bytes, got {entry!r:.80}")
    return offsets[0], offsets[1]


def _array(name: str, entry: dict[str, Any], data: memoryview) -> np.ndarray:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"expected {name:.80} as one of {', '.join(_DTYPES)}, got {dtype!r:.80}")
    if not _whole_numbers(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"expected {name:.80} with a shape, got {shape!r:.80}")
    if math.prod(shape) * _DTYPES[dtype].itemsize != len(data):
        raise ValueError(f"expected {name:.80} of shape {shape!r:.80} as {dtype}, got {len(data):,} bytes")
    if dtype == "BOOL" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise ValueError(f"expected {name:.80} as zeros and ones, got other bytes")
    try:
        return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
    except (OverflowError, ValueError) as error:  # no entries, but sizes beyond what NumPy counts to
        raise ValueError(f"expected {name:.80} with a shape that an array can have, got {shape!r:.80}") from error


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
