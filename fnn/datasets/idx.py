"""The IDX file format: arrays of any type and number of dimensions, plain or gzip-compressed.

A file is two zero bytes, one byte naming the type, one byte counting the dimensions, each dimension's size as
a big-endian 32-bit number, and then the entries, row-major and big-endian. Nothing in it is trusted: the
sizes are compared with what the file can hold before anything is allocated, and memory grows only with bytes
that have really been read.
"""

import gzip
import io
import math
import os
import struct
import sys
import zlib

import numpy as np

from fnn.datasets.whole_files import write_whole
from fnn.validation import as_numbers, require_path

_TYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_RATIO = 1032  # DEFLATE: no input expands further
_CHUNK = 1 << 20  # bytes


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file into an array of the file's type and shape, in the machine's byte order.

    Compression is recognised by content, not by name. A compressed file carries a checksum, so damage
    anywhere in it is an error; a plain file carries none, so there only damage to its header or its length
    can be noticed.

    Args:
        path: an IDX file, plain or gzip-compressed.

    Returns:
        array: uint8, int8, int16, int32, float32 or float64, with as many dimensions as the file has;
            writable.

    Raises:
        ValueError: the file is not IDX, is truncated, too long or damaged, or its header promises more than
            it holds.
        OSError: the file cannot be opened or read.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_idx(folder + "/two.idx", np.array([[1, 2, 3], [4, 5, 6]], np.int16))
        ...     read_idx(folder + "/two.idx")
        array([[1, 2, 3], [4, 5, 6]], dtype=int16)
    """
    path = require_path("read_idx", path)
    with open(path, "rb") as file:
        stored = os.fstat(file.fileno()).st_size
        if file.peek(2)[:2] != _GZIP_MAGIC:
            return _read(file, path, stored, compressed=False)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, path, stored, compressed=True)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path} is damaged: expected an intact gzip file, got {stored:,} bytes of which "
                f"decompression says {str(error)!r}; copy or download the file again"
            ) from error


def _read(stream: io.BufferedIOBase, path, stored: int, *, compressed: bool) -> np.ndarray:
    dtype, shape = _read_header(stream, path)
    size = math.prod(shape) * dtype.itemsize  # a Python int: never overflows
    header = 4 + 4 * len(shape)
    _check_promise(path, shape, dtype, header + size, stored, compressed=compressed)
    # One byte more than promised: it shows a file that is too long, and reaching the end makes gzip compare
    # its checksum.
    data = _read_at_most(stream, size + 1)
    if len(data) != size:
        received = "more" if len(data) > size else f"{len(data):,}"
        raise ValueError(
            f"{path}: expected {size:,} bytes after the header for shape {shape} of {dtype.name}, got "
            f"{received}; the file is damaged or not IDX, copy or download it again"
        )
    return _as_array(data, dtype, shape, path)


def _read_header(stream: io.BufferedIOBase, path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = bytes(_read_at_most(stream, 4))
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        codes = ", ".join(f"{code:02x}" for code in _TYPES)
        raise ValueError(
            f"{path} is not an IDX file: expected it to start with 00 00, a type code ({codes}) and the "
            f"number of dimensions, got {magic.hex(' ') or 'an empty file'}; check that it is the file you "
            "mean"
        )
    sizes = bytes(_read_at_most(stream, 4 * magic[3]))
    if len(sizes) < 4 * magic[3]:
        raise ValueError(
            f"{path} is truncated: expected {magic[3]} dimension sizes of 4 bytes each in the header, "
            f"got {len(sizes)} bytes; copy or download the file again"
        )
    return _TYPES[magic[2]], struct.unpack(f">{magic[3]}I", sizes)


def _check_promise(path, shape, dtype, promised: int, stored: int, *, compressed: bool) -> None:
    possible = _LARGEST_RATIO * stored if compressed else stored
    if promised > possible or (not compressed and promised < stored):
        holds = f"{stored:,} compressed bytes, at most {possible:,} bytes" if compressed else f"{stored:,} bytes"
        raise ValueError(
            f"{path}: expected {promised:,} bytes, as its header says shape {shape} of {dtype.name}, but it "
            f"holds {holds}; the file is truncated, too long or damaged: copy or download it again"
        )


def _read_at_most(stream: io.BufferedIOBase, limit: int) -> bytearray:
    data = bytearray()
    while len(data) < limit and (chunk := stream.read(min(_CHUNK, limit - len(data)))):
        data += chunk
    return data


def _as_array(data: bytearray, dtype: np.dtype, shape: tuple[int, ...], path) -> np.ndarray:
    try:
        array: np.ndarray = np.ndarray(shape, dtype, buffer=data)
    except ValueError as error:  # more dimensions than NumPy has, or empty with sizes that it cannot index
        raise ValueError(
            f"{path}: expected a shape that a NumPy array can have, got {len(shape)} dimensions {shape} "
            f"({error}); the file is damaged or made for another program"
        ) from error
    if sys.byteorder == "little":
        array.byteswap(inplace=True)
    return array.view(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write an array as an IDX file, gzip-compressed if the name ends in .gz.

    The file appears under its name only when it is complete.

    Args:
        path: where to write.
        array: uint8, int8, int16, int32, float32 or float64, any shape with sizes below 2³².

    Raises:
        ValueError: IDX has no such type, or no such size.
    """
    path, array = require_path("write_idx", path), np.asarray(as_numbers("array", array))
    dtype = array.dtype.newbyteorder(">")
    codes = [code for code, known in _TYPES.items() if known == dtype]
    if not codes:
        names = ", ".join(known.name for known in _TYPES.values())
        raise ValueError(
            f"write_idx expects an array of one of {names}, got {array.dtype}; convert it with array.astype(...)"
        )
    if max(array.shape, default=0) >= 1 << 32:
        raise ValueError(f"write_idx expects sizes below 2**32, got shape {array.shape}; write several files")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, codes[0], array.ndim, *array.shape)
    content = header + array.astype(dtype).tobytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    write_whole(path, content)
