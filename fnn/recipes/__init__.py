"""Recipes: static objects that know how they were made.

A layer, a loss, a penalty, an optimizer, a schedule, an initializer or a network is a *recipe*: functions and numbers,
no arrays. What makes one is an ordinary function with the decorator `recipe`, and the object remembers that function
and the arguments. From this one fact follow

    repr        the expression that makes it, with every argument that is not its default
    == and hash by value, so that equal recipes share compiled programs
    pickle      by making it anew
    rule_of     what it is: the constructor, or the constant itself; built-ins are recognised by this, never by a name

A recipe that no decorated function made, or that `dataclasses.replace` has changed, is identified by its parts;
functions count by identity.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R", bound="Recipe")


class Making(NamedTuple):
    """How a recipe was made."""

    constructor: Callable | None  # the decorated function; None for a constant, such as fnn.relu
    arguments: tuple[tuple[str, Any], ...]  # all of them by name, defaults included
    name: str = ""  # of a constant, in the package
    before: Making | None = None  # where a decorated function returned what another one had made

    @property
    def is_lift(self) -> bool:
        """Whether the constructor takes any rule, and so does not say what it made."""
        return getattr(self.constructor, "lifts", False)


class Recipe:
    """Base of all that knows how it was made; immutable, and either a dataclass or a named tuple."""

    made: Making | None = None  # no field: a changed copy is not what its original's constructor makes

    def __repr__(self) -> str:
        if self.made is None:
            return self._unmade()
        return _call(self.made) if self.made.constructor else f"fnn.{self.made.name}"

    def _unmade(self) -> str:
        """What to show where no expression is known."""
        return f"{type(self).__name__}({', '.join(map(expression, _parts(self)))})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(self) is type(other) and hash(self) == hash(other) and _key(self) == _key(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        known = self.__dict__.get("_hash")
        if known is None:
            known = hash(_key(self))
            object.__setattr__(self, "_hash", known)
        return known

    def __reduce__(self) -> Any:
        if self.made is None:
            return type(self), _parts(self)
        if self.made.constructor is None:
            return _constant, (self.made.name,)
        return _made_anew, (self.made.constructor, self.made.arguments)


def recipe(constructor: Callable[P, R]) -> Callable[P, R]:
    """Let what a function makes remember the function and its arguments.

    What constructors of your own return then has a `repr` that makes it, is equal where constructor and arguments are,
    shares compiled programs, and can be written to files.

    Args:
        constructor: returns a recipe, such as `fnn.stateless(...)`, `fnn.serial(...)` or `fnn.Loss(...)`, and makes
            the same one from the same arguments.

    Returns:
        The function, with a memory.

    Raises:
        TypeError: in use, where it returns something else.

    Examples:
        >>> import fnn
        >>> @fnn.recipe
        ... def block(width, activation=fnn.relu):
        ...     return fnn.serial(fnn.dense(width), activation)
        >>> block(8), block(8) == block(8, fnn.relu), block(8) == block(9)
        (block(8), True, False)
    """
    if not callable(constructor):
        raise TypeError(f"recipe expects a function that makes a layer, a loss or the like, got {constructor!r:.80}")
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def make(*args: P.args, **kwargs: P.kwargs) -> R:
        value = constructor(*args, **kwargs)
        if not isinstance(value, Recipe):
            raise TypeError(
                f"@fnn.recipe expects {constructor.__name__} to return a layer, loss, penalty, optimizer or network, "
                f"got {type(value).__name__}; return what fnn.stateless, fnn.serial or fnn.Loss gives"
            )
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = tuple((name, canonical(argument)) for name, argument in bound.arguments.items())
        return _remembering(value, Making(make, arguments, before=value.made))

    make.is_recipe = True  # type: ignore[attr-defined]
    return make


def is_constructor(value: Any) -> bool:
    """Whether a value is a function that `recipe` decorates."""
    return inspect.isfunction(value) and hasattr(value, "is_recipe")


def lift_recipe(constructor: Callable[P, R]) -> Callable[P, R]:
    """`recipe` for functions that make a recipe of any rule: they don't say what it is, `rule_of` looks past them.

    Args:
        constructor: such as `fnn.stateless`.
    """
    make = recipe(constructor)
    make.lifts = True  # type: ignore[attr-defined]
    return make


def constant(name: str, value: R, *rules: Callable) -> R:
    """Give a recipe that needs no arguments the public name by which it is known, and the words of its rules.

    Args:
        name: its name in the package.
        value: the recipe.
        *rules: the functions that it consists of; `help` shows their docstrings.

    Returns:
        The recipe; its repr is fnn.name.
    """
    value = _remembering(value, Making(None, (), name))
    text = "\n\n".join(f"{rule.__name__}: {inspect.getdoc(rule)}" for rule in rules if rule.__doc__)
    object.__setattr__(value, "__doc__", text or type(value).__doc__)
    return value


def rule_of(of: Any) -> Any:
    """What a recipe is, whatever it is called: its constructor, or the constant itself.

    Args:
        of: any recipe.

    Returns:
        What tables are keyed by: the function that made it, as `fnn.leaky_relu`, the first one where a function returns
        what another had made; the constant, as `fnn.relu`; the recipe itself where only a lift such as `fnn.stateless`
        made it, or nothing did. A copy with another backward still is what its forward computes.
    """
    making = _defining(of)
    if making is None:
        return of
    return _constant(making.name) if making.constructor is None else making.constructor


def arguments_of(of: Any) -> dict[str, Any]:
    """The arguments of the function that `rule_of` names, by name, defaults included; {} where it names none.

    Args:
        of: any recipe.
    """
    making = _defining(of)
    return {} if making is None else dict(making.arguments)


def _defining(of: Any) -> Making | None:
    """The first making that says what a recipe is; that of its forward where the recipe itself was changed."""
    found, making = None, getattr(of, "made", None) or getattr(getattr(of, "fwd", None), "making", None)
    while making is not None:
        found = found if making.is_lift else making
        making = making.before
    return found


def expression(value: Any) -> str:
    """Write a value as the expression that makes it, as far as there is one."""
    if isinstance(value, Recipe):
        return repr(value)
    if isinstance(value, tuple) and type(value) is tuple:
        inner = ", ".join(map(expression, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if inspect.isroutine(value):
        return _name_of(value)
    return repr(value)


def canonical(value: Any) -> Any:
    """One form for what means the same as an argument: NumPy's scalars are Python's, lists are tuples.

    Args:
        value: an argument.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.shape == ()):
        return value.item()
    if type(value) in (list, tuple):
        return tuple(map(canonical, value))
    return value


def _remembering(value: R, making: Making) -> R:
    """A copy with a memory: constants are shared, and are to stay what they are."""
    copied = type(value)(*_parts(value))
    object.__setattr__(copied, "made", making)
    forward = getattr(copied, "fwd", None)
    if inspect.isfunction(forward) and getattr(getattr(forward, "making", None), "is_lift", True):
        forward.making = making  # type: ignore[attr-defined]
    return copied


def _parts(of: Any) -> tuple:
    if isinstance(of, tuple):
        return tuple(of)
    return tuple(getattr(of, field.name) for field in dataclasses.fields(of) if field.init)


def _key(of: Recipe) -> Any:
    """What decides about equality: the constructor and its arguments, or the parts."""
    if of.made is None or of.made.constructor is None:
        return tuple(map(_hashable, _parts(of)))
    return of.made.constructor, tuple((name, _hashable(value)) for name, value in of.made.arguments)


class _Same(NamedTuple):
    """An argument that can't be hashed counts by identity; held, so that its number is not given to another."""

    number: int
    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return self.number


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return tuple(map(_hashable, value)) if type(value) is tuple else _Same(id(value), value)
    # 1, 1.0 and True are equal to Python but not to a program that is compiled for them.
    return (type(value), value) if isinstance(value, int | float) else value


def _call(making: Making) -> str:
    """The call, with arguments by position as long as none before was left out."""
    constructor: Any = making.constructor
    given, by_position = dict(making.arguments), True
    words: list[str] = []
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name not in given:
            continue
        value = given[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            words += map(expression, value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            words += [f"{key}={expression(each)}" for key, each in value.items()]
        elif parameter.default is not parameter.empty and _hashable(canonical(parameter.default)) == _hashable(value):
            by_position = False
        elif by_position and parameter.kind is not parameter.KEYWORD_ONLY:
            words.append(expression(value))
        else:
            words.append(f"{name}={expression(value)}")
    return f"{_name_of(constructor)}({', '.join(words)})"


def _name_of(function: Any) -> str:
    """The public name of what the package exports, the qualified name of anything else."""
    name = getattr(function, "__name__", repr(function))
    for module in ("fnn", "fnn.initializers"):
        if getattr(sys.modules.get(module), name, None) is function:
            return f"{module}.{name}"
    return getattr(function, "__qualname__", name)


def _constant(name: str) -> Any:
    return getattr(importlib.import_module("fnn"), name)


def _made_anew(constructor: Callable, arguments: tuple[tuple[str, Any], ...]) -> Any:
    """Call a constructor with its arguments by name, *args and **kwargs where it has them."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    given = dict(arguments)
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name not in given:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += given[name]
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs.update(given[name])
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = given[name]
        else:
            args.append(given[name])
    return constructor(*args, **kwargs)
