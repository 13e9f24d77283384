"""Fetching the four MNIST files into a cache on this machine, checked against their published content."""

import contextlib
import gzip
import hashlib
import http.client
import os
import sys
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from fnn.datasets.whole_files import whole_file

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_CHUNK = 1 << 16  # bytes


class MnistFile(NamedTuple):
    """What is known of one published file, uncompressed: compressors differ, the content does not."""

    sha256: str  # of the whole file
    n_bytes: int  # of the whole file
    n_entries: int  # pixels or labels, a byte each; the header is not counted
    crc32_of_tenths: tuple[int, ...]  # of the entries, in ten equal parts by rows


# fmt: off
MNIST_FILES = {
    "train-images-idx3-ubyte": MnistFile(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016, 47_040_000,
        (0xDE38D069, 0x2576B87E, 0x538395C9, 0x7A5939FC, 0x4AEE0217,
         0x40B1ED07, 0x57BD3803, 0x98A5A359, 0x08486958, 0x2212922E),
    ),
    "train-labels-idx1-ubyte": MnistFile(
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008, 60_000,
        (0xB8905290, 0xF7D0415A, 0xE7B00F20, 0xEC9BF713, 0x358FBDB9,
         0x79966F7D, 0x861BC464, 0x209B44B9, 0x98F8EE96, 0xE18ACCA8),
    ),
    "t10k-images-idx3-ubyte": MnistFile(
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016, 7_840_000,
        (0x87AB9190, 0xC7AB7EBA, 0x231A7E3D, 0xFDF8CB1E, 0x1F217141,
         0x64A65DDC, 0x73AFAD27, 0xD24AE193, 0x30DF77BD, 0xC1412F08),
    ),
    "t10k-labels-idx1-ubyte": MnistFile(
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008, 10_000,
        (0xEC5A0558, 0x4C49C296, 0x4904D351, 0xBD4DE6EC, 0x49587F03,
         0x5E1D53ED, 0x05EA6AD1, 0x596436FF, 0xEECFDC0F, 0x98C5E01C),
    ),
}
# fmt: on


def cache_directory() -> Path:
    """Say where downloads are kept: $FNN_CACHE/mnist, or fnn/mnist in the user's cache folder.

    The cache folder is $XDG_CACHE_HOME if that is set, else ~/Library/Caches on macOS, %LOCALAPPDATA% on
    Windows and ~/.cache elsewhere.
    """
    if chosen := os.environ.get("FNN_CACHE"):
        return Path(chosen).expanduser() / "mnist"
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "fnn" / "mnist"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fnn" / "mnist"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "fnn" / "mnist"
    return Path.home() / ".cache" / "fnn" / "mnist"


def download_mnist(
    directory: str | os.PathLike | None = None,
    *,
    files: dict[str, MnistFile] = MNIST_FILES,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 20.0,
) -> Path:
    """Fetch those of the four files that are missing or damaged, from the first mirror that delivers.

    A file appears under its name only when it is complete and its SHA-256 is right, so an interrupted call
    loses at most the file it was fetching; call again to go on.

    Args:
        directory: where to put them; None is `cache_directory()`.
        files: name and content of what to fetch; NAME.gz is asked for.
        mirrors: addresses to put a name behind, tried in this order.
        timeout: seconds without an answer after which a mirror is given up.

    Returns:
        directory: it holds all files, as NAME.gz.

    Raises:
        ConnectionError: no mirror delivered some file; the message says how to go on by hand.
    """
    directory = cache_directory() if directory is None else Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    failures: dict[str, list[str]] = {}
    for name, file in files.items():
        destination = directory / f"{name}.gz"
        if not _is_intact(destination, file):
            reasons = _fetch_from_any(mirrors, destination, file, timeout)
            if reasons:
                failures[name] = reasons
    if failures:
        raise ConnectionError(_how_to_go_on(directory, failures, mirrors))
    return directory


def _fetch_from_any(mirrors: Sequence[str], destination: Path, file: MnistFile, timeout: float) -> list[str]:
    # Returns why each mirror failed, or nothing if one succeeded.
    reasons = []
    for mirror in mirrors:
        try:
            with whole_file(destination) as part:
                _fetch(mirror + destination.name, part, 2 * file.n_bytes, timeout)
                if damage := _damage(part, file):
                    raise ValueError(damage)
            return []
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons.append(f"{mirror} {error}")
    return reasons


def _fetch(url: str, part: IO[bytes], limit: int, timeout: float) -> None:
    from tqdm import tqdm  # here, so that importing fnn does not wait for it

    with contextlib.ExitStack() as stack:
        response = stack.enter_context(urllib.request.urlopen(url, timeout=timeout))
        total = int(response.headers.get("Content-Length") or 0) or None
        name = url.rpartition("/")[2].split(".")[0]
        bar = stack.enter_context(tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=None))
        # A mirror that sends more than the limit is sending something else: the check that follows says so.
        while part.tell() <= limit and (chunk := response.read(_CHUNK)):
            part.write(chunk)
            bar.update(len(chunk))


def _damage(stored: IO[bytes], file: MnistFile) -> str:
    # Says what is wrong with a compressed file, or nothing. Never expands more than the file should hold.
    digest, size, n_bytes = hashlib.sha256(), 0, stored.seek(0, os.SEEK_END)
    stored.seek(0)
    try:
        with gzip.open(stored) as stream:
            while size <= file.n_bytes and (chunk := stream.read(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"sent {n_bytes:,} bytes that are not an intact gzip file ({error})"
    if digest.hexdigest() != file.sha256:
        return f"sent other content: expected SHA-256 {file.sha256}, got {digest.hexdigest()}"
    return ""


def _is_intact(path: Path, file: MnistFile) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stored:
        return not _damage(stored, file)


def _how_to_go_on(directory: Path, failures: dict[str, list[str]], mirrors: Sequence[str]) -> str:
    tried = "\n".join(f"  {name}.gz: {reason}" for name, reasons in failures.items() for reason in reasons)
    names = ", ".join(f"{name}.gz" for name in failures)
    return (
        f"expected to download MNIST from one of {len(mirrors)} mirrors, got no intact copy of "
        f"{names}:\n{tried}\n"
        f"Call mnist(download=True) again when the network is back (intact files are kept); or fetch {names} "
        f"by hand and put them into {directory}, then call mnist(download=True), or mnist(directory=...) for "
        "any other folder that holds all four files; or use mnist(), a subset that needs no network."
    )
