"""Recipes as text and back: constructor calls with literal arguments, parsed, never evaluated.

A recipe's repr is the expression that makes it. `made_from` reads such a text as a tree of calls, and knows only three
kinds of names: `fnn.X` where X is a constructor or a constant, `fnn.initializers.X`, and what the caller hands over. No
other name, attribute, operator or call means anything, so a file can't make a process do more than build layers.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from fnn.recipes import Recipe, is_constructor

_LONGEST = 1 << 20  # characters: a text beyond this is no recipe of a network


def made_from(text: str, own: Mapping[str, Any] | None = None) -> Any:
    """Make what a text describes.

    Args:
        text: a recipe's repr.
        own: constructors, layers and functions of the user's own by the names that the text calls them.

    Returns:
        The recipe.

    Raises:
        ValueError: the text is no such expression; an unknown name, with the remedy.

    Examples:
        >>> made_from("fnn.serial(fnn.dense(8), fnn.leaky_relu(0.1))")
        fnn.serial(fnn.dense(8), fnn.leaky_relu(0.1))
    """
    if len(text) > _LONGEST:
        raise ValueError(f"expected a recipe of at most {_LONGEST:,} characters, got {len(text):,}")
    try:
        tree = ast.parse(text, mode="eval")
        return _made(tree.body, own or {})
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"expected a recipe such as fnn.dense(8), got {text:.80}; {type(error).__name__}") from error


def _made(node: ast.expr, own: Mapping[str, Any]) -> Any:
    """Values for literals and tuples of them, the named object for a name, the result for a call of a constructor."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value  # type: ignore[operator]
    if isinstance(node, ast.Tuple):
        return tuple(_made(element, own) for element in node.elts)
    if isinstance(node, ast.Call):
        function = _named(node.func, own)
        if not is_constructor(function) and ast.unparse(node.func) not in own:
            raise ValueError(f"expected a call of a constructor, got {ast.unparse(node.func)}(...)")
        args = [_made(argument, own) for argument in node.args]
        return function(*args, **{str(word.arg): _made(word.value, own) for word in node.keywords})
    if isinstance(node, ast.Name | ast.Attribute):
        return _named(node, own)
    raise ValueError(f"expected constructor calls with literal arguments, got {ast.unparse(node):.80}")


def _named(node: ast.expr, own: Mapping[str, Any]) -> Any:
    name = ast.unparse(node)
    if name in own:
        return own[name]
    module, _, word = name.rpartition(".")
    if module in ("fnn", "fnn.initializers") and word in sys.modules[module].__all__:
        found = getattr(sys.modules[module], word)
        starting_value = module == "fnn.initializers" and inspect.isfunction(found)
        if isinstance(found, Recipe) or is_constructor(found) or starting_value or name == "fnn.no_params":
            return found
    raise ValueError(f'the recipe names {name}, which is none of fnn\'s; hand it over, as layers={{"{name}": ...}}')


def unknown_names(text: str) -> list[str]:
    """The names in a recipe that a reader will have to hand over, in order.

    Args:
        text: a recipe's repr.

    Raises:
        ValueError: a part that has no name at all, such as a lambda or what was changed with `dataclasses.replace`.
    """
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except SyntaxError as error:
        raise ValueError(
            f"expected a recipe that can be written down, got {text:.120}; define functions of your own at the top of "
            "a module, and decorate constructors with fnn.recipe"
        ) from error
    inside = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    names = [
        ast.unparse(node) for node in nodes if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inside
    ]
    return [name for name in dict.fromkeys(names) if not name.startswith("fnn.")]
