"""Ctrl-C while a program is compiled or runs: it is finished first, and what it gives is kept.

JAX compiles and computes in threads of its own. Ctrl-C makes the main thread leave them behind; where the process then
ends while they are at work, they reach for what is gone already, and it dies of a segmentation fault. So Ctrl-C waits
until they are done; pressed again, it does not. Code of somebody else's, which may never be done, it ends at once.

Python calls the handler between any two steps of its own, in a destructor or a callback of the garbage collector too,
where an exception is lost. So it is always remembered as well, and looked at between the steps of a run.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Press:
    """Whether Ctrl-C was pressed.

    Attributes:
        aloud: whether to say so on standard error.
        pressed: whether it was.
    """

    aloud: bool = False
    pressed: bool = False

    def note(self, number: int, frame: Any) -> None:
        """Remember it; what handles the signal."""
        self.end()
        self.pressed = True
        if self.aloud:
            print("\nfinishing what is under way; Ctrl-C again ends it at once", file=sys.stderr, flush=True)

    def stop(self, number: int, frame: Any) -> None:
        """Remember it, and end at once; where an exception is lost, as in a destructor, the next step ends.

        Raises:
            KeyboardInterrupt: always.
        """
        self.pressed = True
        raise KeyboardInterrupt

    def end(self) -> None:
        """End now what was to be finished first.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def finishing(aloud: bool = False) -> Iterator[Press]:
    """Note Ctrl-C in a block rather than to end it; pressed twice, it ends the block.

    Nothing changes outside of the main thread, within another such block, and where somebody else handles the signal.

    Args:
        aloud: whether to say on standard error what happens.

    Returns:
        A context manager; who goes through its steps calls `end` of its `Press` between them.
    """
    press, before = Press(aloud), signal.getsignal(signal.SIGINT)
    if not _on_main_thread() or (before is not signal.default_int_handler and not _ends_at_once(before)):
        yield press
        return
    signal.signal(signal.SIGINT, press.note)
    try:
        yield press
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def at_once() -> Iterator[None]:
    """Within `finishing`, a block that Ctrl-C does end: a generator or a callback of somebody else's.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed before, or is now.
    """
    handler = signal.getsignal(signal.SIGINT)
    press = getattr(handler, "__self__", None)
    if not isinstance(press, Press) or _ends_at_once(handler) or not _on_main_thread():
        yield
        return
    press.end()
    signal.signal(signal.SIGINT, press.stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, press.note)


def _ends_at_once(handler: Any) -> bool:
    return getattr(handler, "__func__", None) is Press.stop


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
