"""What leaves are called: args[0]['Wq'] in full, dWq in a sentence."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax


def argument_names(loss: Callable, args: Sequence[Any]) -> list[str]:
    """Name the leaves of all arguments by the loss's own names, p["Wq"].

    Args:
        loss: the function.
        args: its arguments.

    Returns:
        One name a leaf.
    """
    try:
        known = [
            p.name
            for p in inspect.signature(loss).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        known = []
    names = []
    for i, arg in enumerate(args):
        first = known[i] if i < len(known) else f"args[{i}]"
        names += [
            first + jax.tree_util.keystr(path).replace("'", '"')
            for path, _ in jax.tree_util.tree_flatten_with_path(arg)[0]
        ]
    return names


def short_names(names: Sequence[str]) -> list[str]:
    """Name the gradients of leaves: dWq where that is the only Wq, dp["a"]["Wq"] otherwise.

    Args:
        names: the leaves' names.

    Returns:
        What their gradients are called.
    """
    last = [_last(name) for name in names]
    count = Counter(last)
    return [f"d{short}" if count[short] == 1 else f"d{name}" for name, short in zip(names, last, strict=True)]


def _last(name: str) -> str:
    if name.endswith('"]'):
        return name[:-2].rsplit('["', 1)[-1]
    if "." in name and not name.endswith("]"):
        return name.rsplit(".", 1)[-1]
    return name
