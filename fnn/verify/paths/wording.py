"""Places and values in the user's words: the expression as it is written, and its line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.verify.paths.families import Site
from fnn.verify.paths.pool import ONE_FOR_ALL, Candidate
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.source import Place, Stack

_LONGEST = 90
_COPIES = {"broadcast_in_dim", "convert_element_type", "copy"}


def place_of(program: Program, site: Site) -> Place | None:
    """Where a site is in the user's code: its equation, or what first reads the value."""
    places = places_of(program, site)
    return places[0] if places else None


def places_of(program: Program, site: Site) -> list[Place]:
    """The place of an operand's equation; for a value those of all that read it."""
    kind, number, _ = site.places[0]
    if kind == "operand":
        stacks = [program.nodes[number].stack]
    else:
        stacks = [program.nodes[i].stack for i, _ in program.consumers().get(number, ())]
    chosen = [s.places[-1 if site.level == 3 and site.size <= 4 else 0] for s in stacks if s.places]
    return [*dict.fromkeys(chosen)]


def made_at(program: Program, number: int) -> str:
    """The expression that makes a value; where one line makes several, called from several places, the call."""
    origin = program.origin[number]
    if not isinstance(origin, Stack) or not origin.places:
        return value(program, number)
    calls = {o.places for o in program.origin if isinstance(o, Stack) and o.place == origin.place}
    return at(origin.places[-1] if len(calls) > 1 else origin.places[0])


def at(place: Place | None) -> str:
    """`expression` (line 15)."""
    if place is None:
        return "the forward"
    text = shortened(place.expression)
    return f"`{text}` (line {place.line})" if text else f"line {place.line}"


def shortened(text: str) -> str:
    """A long expression with its middle left out."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def value(program: Program, number: int) -> str:
    """A value as it is written, in backticks; a number as it is."""
    if number < 0:
        return "0"
    while program.maker[number] >= 0 and program.nodes[program.maker[number]].primitive in _COPIES:
        number = program.nodes[program.maker[number]].ins[0]  # a copy is known by what it is a copy of
    origin = program.origin[number]
    if isinstance(origin, Stack):
        return f"`{shortened(origin.place.expression)}`" if origin.place and origin.place.expression else "a value"
    array = program.values[number]
    if origin in ("literal", "constant"):
        return (
            f"{float(np.reshape(array, ())):.6g}"
            if np.size(array) == 1 and array.dtype.kind in "fiub"
            else "a constant"
        )
    return f"`{origin}`"


def first(candidate: Candidate) -> int:
    """A value of a candidate that stands for all."""
    return next((n for n in candidate.numbers[len(candidate.numbers) // 2 :] if n >= 0), candidate.numbers[0])


def shifted(candidate: Candidate) -> str:
    """Which turn of the loop a candidate is taken from."""
    told = {0: "", -1: " of the step before", 1: " of the step after", ONE_FOR_ALL: " of one call, for all of them,"}
    return told[candidate.shift]


def joined(words: Sequence[str]) -> str:
    """A, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_SLOPES = {
    "tanh": "1 − tanh²",
    "logistic": "σ (1 − σ)",
    "exp": "exp itself",
    "log": "one over its argument",
    "sqrt": "1/(2√)",
    "rsqrt": "−1/2 of its cube",
    "square": "2 times its argument",
    "abs": "the sign of its argument",
    "sin": "the cosine of its argument",
    "cos": "minus the sine of its argument",
}


def right_slope(program: Program, node: Node, k: int) -> str:
    """What the derivative of an elementwise equation is in operand k, in words."""
    if node.primitive == "mul":
        return value(program, node.ins[1 - k])
    if node.primitive == "div":
        under = value(program, node.ins[1])
        return f"1/{under}" if k == 0 else f"−{value(program, node.ins[0])}/{under}²"
    if node.primitive in ("add", "sub"):
        return "1" if k == 0 or node.primitive == "add" else "−1"
    if node.primitive == "integer_pow":
        p = node.eqn.params["y"]
        return f"{p} times the power {p - 1}"
    if node.primitive in ("max", "select_n", "min", "clamp"):
        return "the mask"
    return _SLOPES.get(node.primitive, "its derivative")


def step(program: Program, node: Node) -> str:
    """An equation's own name where it is one of several of a call: "the square in"."""
    names = {
        "integer_pow": "the power in",
        "square": "the square in",
        "sqrt": "the square root in",
        "exp": "the exponential in",
    }
    names |= {
        "log": "the logarithm in",
        "reduce_max": "the maximum in",
        "max": "the maximum in",
        "select_n": "the select in",
    }
    return f"{names[node.primitive]} " if node.primitive in names else ""


def functional(function: Any, text: str) -> str:
    """A function of a value, in words: 1 − `h`²."""
    return function.text.replace("{0}", text).replace("{}", text)
