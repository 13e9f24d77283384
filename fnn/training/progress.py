"""Progress of a training run: a bar on a terminal and in a notebook, plain lines in a log file."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax

_LINES = 50  # a log file gets no more than about so many lines, however many epochs there are


@contextmanager
def reporter(total: int, done: int, show: bool) -> Iterator[Callable[[int, str], None]]:
    """Open a report on standard error for as long as a run takes.

    Args:
        total: epochs in all.
        done: epochs behind us already.
        show: False reports nothing.

    Returns:
        A context manager; within it, report(epoch, text) says what came out of an epoch, counted from 1.
    """
    if not show or jax.process_index():  # of several processes one speaks
        yield lambda epoch, text: None
    elif sys.stderr.isatty() or _in_notebook():
        with _bar(total, done) as report:
            yield report
    else:
        yield lambda epoch, text: _line(epoch, total, text)


@contextmanager
def _bar(total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    with warnings.catch_warnings():  # without ipywidgets, tqdm warns and draws with letters in a notebook too
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # here, so that importing fnn does not wait for it

    with tqdm(total=total, initial=done, unit="epoch", dynamic_ncols=True) as bar:

        def report(epoch: int, text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        yield report


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which passes a bar on though it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


def _line(epoch: int, total: int, text: str) -> None:
    if epoch % max(1, total // _LINES) == 0 or epoch in (1, total):
        print(f"epoch {epoch:>{len(str(total))}}/{total}: {text}", file=sys.stderr, flush=True)
