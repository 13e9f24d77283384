"""How a slope that is missing or another one is told, and a factor too many or too few."""

from __future__ import annotations

import numpy as np

from fnn.verify.paths.evaluate import canonical
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.wording import first, functional, made_at, right_slope, shifted, step, value
from fnn.verify.paths.words import Words


def slope_missing(w: Words) -> str:
    """An operand or a derivative that the backward has not."""
    if w.node.primitive in ("mul", "div"):
        what = value(w.program, w.node.ins[1 - w.k])
        sort = "factor" if w.node.primitive == "mul" else "division by"
        data = w.node.ins[1 - w.k]
        known = not w.program.active[data] and np.size(w.program.values[data]) > 1
        mask = ", a mask or scale" if known else ""
        times = w.variant.words.get("times", 1.0)
        instead = f", {times:g} stands in place of it" if mask else _factor(w)
        return f"{w.wrong}: the {sort} {what}{mask} in {w.where} is missing in the derivative{instead}{w.turns}"
    if w.node.primitive in ("select_n", "max", "clamp", "min"):
        said = f"the derivative of {step(w.program, w.node)}{w.where} is missing: its mask is forgotten"
    else:
        said = (
            f"the derivative of {step(w.program, w.node)}{w.where}, {right_slope(w.program, w.node, w.k)}, is missing"
        )
    return f"{w.wrong}: {said}{_factor(w)}{w.turns}"


def _factor(w: Words) -> str:
    times = w.variant.words.get("times", 1.0)
    return "" if times == 1 else f", with the factor {times:g}"


def another_slope(w: Words) -> str:
    """Another function's derivative, or at another value."""
    candidate, function, base = w["candidate"], w["function"], w["base"]
    u = value(w.program, first(candidate))
    taken = functional(function, u) + shifted(candidate)
    if not isinstance(base, str):
        return _composite(w, taken)
    if w.node.primitive in ("add", "sub", "neg"):
        return other_factor(w)
    right = right_slope(w.program, w.node, w.k)
    term = _omitted(w.program, w.node.ins[w.k], first(candidate))
    if term:
        omitted = f"as {taken}{_factor(w)}, {term} left out"
        return f"{w.wrong}: the derivative of {step(w.program, w.node)}{w.where} is taken {omitted}{w.turns}"
    out = value(w.program, w.node.outs[0])
    at_output = u == out and right != taken and w.node.primitive not in ("mul", "div")
    told = " (taken at the output)" if at_output else ""
    power = ", another power" if any(sign in function.text for sign in ("²", "³", "/", "√")) else ""
    return (
        f"{w.wrong}: the derivative of {step(w.program, w.node)}{w.where} is taken as {taken}{told} "
        f"instead of {right}{power}{_factor(w)}{w.turns}"
    )


def _composite(w: Words, taken: str) -> str:
    """A whole step, of several equations, whose derivative is one factor."""
    number = first(w["base"])
    later = made_at(w.program, number)
    if "(1 −" in taken:
        return f"{w.wrong}: the diagonal {taken} stands for the full Jacobian of {later}{_factor(w)}{w.turns}"
    return f"{w.wrong}: the derivative of {later} is taken as {taken}{_factor(w)}{w.turns}"


def other_factor(w: Words) -> str:
    """A value too many or too few in a product."""
    candidate, function = w["candidate"], w["function"]
    u = value(w.program, first(candidate)) + shifted(candidate)
    taken = functional(function, value(w.program, first(candidate))) + shifted(candidate)
    if function.text == "1/{}":
        said = f"the factor {u}: it is missing in the derivative of {w.where}"
        return f"{w.leaves} {w.lack} {said}, another power of it{_factor(w)}{w.turns}"
    said = f"{taken} as a factor too many in the derivative of {w.where}"
    product = _instead_of_other(w, u) if function.text == "{}" else ""
    return f"{w.leaves} {w.have} {said}: another power of it{product}{_factor(w)}{w.turns}"


def _instead_of_other(w: Words, taken: str) -> str:
    """A factor of what a product hands back, told of the product's other operand where it can stand there."""
    if w.variant.site is None or w.variant.site.kind != "operand" or w.node.primitive != "dot_general":
        return ""
    xs = [np.asarray(w.program.values[i]) for i in w.node.ins]
    _, _, (_, left, _, right) = canonical(w.node.eqn.params, xs[0], xs[1])
    if np.prod((left, right)[w.k]) > 1:
        return ""
    other = value(w.program, w.node.ins[1 - w.k])
    return f", so that {taken} times {other} stands in place of {other}"


def _omitted(program: Program, read: int, taken: int) -> str:
    """The data that a value has been shifted by, if it was taken as it was before; empty otherwise."""
    if taken < 0 or program.maker[read] < 0:
        return ""
    maker: Node = program.nodes[program.maker[read]]
    if maker.primitive not in ("add", "sub") or len(maker.active) != 1 or maker.ins[maker.active[0]] != taken:
        return ""
    number = maker.ins[1 - maker.active[0]]
    sort = "the small constant" if np.size(program.values[number]) == 1 else "the term"
    return f"{sort} {value(program, number)}"
