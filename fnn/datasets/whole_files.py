"""Files that appear under their name complete and on disk, or not at all, whoever else is writing there.

Content goes into a part first: a file beside the target with a name of its own, made exclusively, that the writer holds
locked until it has been renamed to the target. Rename is atomic, so readers see the old file or the new one. A part
that nobody holds locked was left by a process that was killed; only such parts are ever removed.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # on Windows, where parts are not locked and so those of killed processes stay
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.fnn-[0-9a-f]{32}\.part")
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when the block ends, and none if the block raises.

    Args:
        path: where; what was there before, if only a symbolic link, is replaced as a whole or not.

    Yields:
        A file to write to, and to read back from.

    Raises:
        OSError: it can't be written; nothing is left of it then.
    """
    path = Path(path)
    part, descriptor = _new_part(path.parent)
    try:
        # The lock belongs to what is open, so a second descriptor keeps it when the file is closed for the rename.
        held = os.dup(descriptor) if fcntl else None
        try:
            with open(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            if held is not None:
                os.close(held)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # the rename itself; not every system can open a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _new_part(folder: Path) -> tuple[Path, int]:
    """A part that no other thread, process or machine has, locked; and its descriptor."""
    while True:
        part = folder / f".fnn-{secrets.token_hex(16)}.part"
        descriptor = os.open(part, _NEW, 0o666)
        # Between the two calls somebody may have taken the part for one without an owner, and removed it.
        if fcntl is None or (_locked(descriptor) and os.fstat(descriptor).st_nlink):
            return part, descriptor
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody can hold one, and nobody may remove anything
        return True
    return True


def write_whole(path: str | os.PathLike, content: bytes | bytearray) -> None:
    """Write a file so that, whenever power or process ends, the old one or the new one is there, never a part.

    Args:
        path: where.
        content: what.

    Raises:
        OSError: it can't be written; what was there before still is.
    """
    with whole_file(path) as file:
        file.write(content)


def remove_abandoned_parts(folder: str | os.PathLike) -> None:
    """Remove what killed processes have left of `whole_file` in a folder; what somebody is writing stays.

    Args:
        folder: where to look.
    """
    for part in Path(folder).iterdir():
        if fcntl is None or not _PART.fullmatch(part.name):
            continue
        with suppress(OSError):  # gone or somebody else's, in either case not to be removed
            descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(descriptor)
