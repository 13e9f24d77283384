"""What makes a training run this one and no other: its recipes, the functions in them, its key and its data.

A checkpoint holds this as JSON, and a run resumes only from a checkpoint that has the same. How long a run is, who
watches it, and where its arrays lie are no part of it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from fnn.networks.network import Network
from fnn.optimizers.base import OptimizerLike
from fnn.recipes import Recipe, expression
from fnn.training.fingerprints import fingerprint

_SHOWN = 50  # characters of a long difference that a message shows


def run_identity(
    net: Network, optimizer: OptimizerLike, key: jax.Array | None, data: dict[str, Any], **settings: Any
) -> dict[str, Any]:
    """What makes a run this one, as JSON.

    Args:
        net: the network.
        optimizer: any (init, update) pair.
        key: the run's key.
        data: what it is fed with and starts from, by name: arrays, trees of them, None; or text that says what it is.
        **settings: numbers and words.
    """
    told = {name: value if isinstance(value, str) else fingerprint(value) for name, value in data.items()}
    return {
        "network": _without_addresses(expression(net)),
        "optimizer": _without_addresses(expression(optimizer)),
        "functions": sorted(set(_functions((net, optimizer), set()))),
        "key": None if key is None else np.asarray(jax.random.key_data(key)).ravel().tolist(),
        **told,
        **settings,
    }


def different(expected: dict[str, Any], received: dict[str, Any]) -> str:
    """Name what tells two runs apart.

    Args:
        expected: identity of the run that is called for.
        received: identity of another, with the same names.

    Returns:
        Text for a message, "" where nothing does.
    """
    names = [name for name in expected if received[name] != expected[name]]
    if not names:
        return ""
    name, *others = names
    wanted, found = _apart(str(expected[name]), str(received[name]))
    more = f" ({', '.join(others)} differ too)" if others else ""
    return f"expected {name} {wanted}, got {found}{more}"


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two texts as they are, or where they differ if they are long."""
    if max(len(one), len(other)) <= _SHOWN:
        return one, other
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, same - _SHOWN // 3)
    cut = "…" if start else ""
    parts = (text[start : start + _SHOWN] + ("…" if len(text) > start + _SHOWN else "") for text in (one, other))
    first, second = (cut + part for part in parts)
    return first, second


def _without_addresses(text: str) -> str:
    """The next process has the same functions elsewhere in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _functions(value: Any, seen: set[int]) -> Iterator[str]:
    """The functions of somebody's own in a recipe or an optimizer: by module and name, and what they hold on to.

    A learning rate may be hidden in a closure, as optax does, or in the text of a lambda, so numbers in both count.
    """
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, functools.partial):  # jax.tree_util.Partial is one
        parts: Any = (value.func, value.args, value.keywords)
    elif inspect.isfunction(value) or hasattr(value, "__wrapped__"):
        function = inspect.unwrap(value)
        if getattr(function, "__module__", "").partition(".")[0] != "fnn" or function.__closure__:
            yield _described(function)
        parts = _held(function)
    elif isinstance(value, Recipe) and value.made is not None:
        parts = (value.made.constructor, *(argument for _, argument in value.made.arguments))
    elif isinstance(value, tuple | list):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif (
        callable(value) and not inspect.isroutine(value) and not isinstance(value, type) and hasattr(value, "__dict__")
    ):
        parts = vars(value).values()  # an object that is called: what it was made with
        yield f"{type(value).__module__}.{type(value).__qualname__}({', '.join(_numbers(tuple(parts)))})"
    else:
        return
    for part in parts:
        yield from _functions(part, seen)


def _held(function: Any) -> list[Any]:
    """What a function holds on to: closure and default values."""
    cells = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # a name that has no value yet
            continue
    defaults = (getattr(function, "__defaults__", None) or (), getattr(function, "__kwdefaults__", None) or {})
    return [*cells, *defaults[0], *defaults[1].values()]


def _described(function: Any) -> str:
    code = getattr(function, "__code__", None)
    constants = [] if code is None else list(_constants(code))
    numbers = ", ".join([*constants, *_numbers(tuple(_held(function)))])
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
    return f"{name}[{numbers}]"


def _constants(code: Any) -> Iterator[str]:
    """Numbers that are written in a function, and in functions within it; words there are docstrings and names."""
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _constants(constant)
        else:
            each = constant if isinstance(constant, tuple) else (constant,)
            yield from _numbers([entry for entry in each if not isinstance(entry, str)])


def _numbers(values: Any) -> Iterator[str]:
    """Numbers, words and arrays among what a function holds on to, one within another."""
    for value in values:
        if isinstance(value, bool | int | float | complex | str | np.generic):
            yield repr(value)
        elif isinstance(value, np.ndarray | jax.Array) and not isinstance(value, jax.core.Tracer):
            yield _of_array(value)
        elif isinstance(value, tuple | dict):
            yield from _numbers(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, Recipe):
            yield _without_addresses(expression(value))


def _of_array(value: Any) -> str:
    try:
        return fingerprint(value)
    except (TypeError, ValueError):  # objects, text: no numbers
        return type(value).__name__
