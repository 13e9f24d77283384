"""Formulas on the tape: exp, log, roots and powers, and all that is written with them.

Products, quotients, powers and roots under a root or a logarithm are taken apart, √(a b) = √|a| √|b|, as far as the
signs of the factors are known at this point; logarithms within an exponent are taken out, exp(h + r log u) = u^r exp
h. Either is an equation between functions wherever the shadow's signs hold; where it is not applied nothing is lost
but completeness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from fnn.verify.proving.movement import STRUCTURAL, View
from fnn.verify.proving.signs import is_never_negative, knows_sign
from fnn.verify.proving.tape import Node, Tape

_DEEPEST = 40  # how far products are followed
_HALF = Fraction(1, 2)
Factors = list[tuple[Node, Fraction]]


def shaped(tape: Tape, *nodes: Node) -> tuple[Node, ...]:
    """Give scalars the number of axes of the arrays that they meet."""
    ndim = max(len(node.shape) for node in nodes)
    return tuple(node if len(node.shape) == ndim else reshape(tape, node, (1,) * ndim) for node in nodes)


def reshape(tape: Tape, x: Node, shape: tuple[int, ...]) -> Node:
    """The same entries in another shape."""
    return x if x.shape == shape else tape.write("view", x, data=View("reshape", tuple(map(int, shape))))


def broadcast(tape: Tape, x: Node, shape: tuple[int, ...]) -> Node:
    """Repeat axes of size 1."""
    return x if x.shape == shape else tape.write("view", x, data=View("broadcast", tuple(map(int, shape))))


def add(tape: Tape, a: Node, b: Node) -> Node:
    """A + b."""
    a, b = sorted(shaped(tape, a, b), key=lambda node: node.number)
    return _folded(tape, "add", a, b) or tape.write("add", a, b)


def sub(tape: Tape, a: Node, b: Node) -> Node:
    """A − b."""
    a, b = shaped(tape, a, b)
    return _folded(tape, "sub", a, b) or tape.write("sub", a, b)


def mul(tape: Tape, a: Node, b: Node) -> Node:
    """A · b, entry by entry."""
    a, b = sorted(shaped(tape, a, b), key=lambda node: node.number)
    return _folded(tape, "mul", a, b) or tape.write("mul", a, b)


def div(tape: Tape, a: Node, b: Node) -> Node:
    """A / b."""
    return tape.write("div", *shaped(tape, a, b))


def neg(tape: Tape, x: Node) -> Node:
    """−x."""
    return tape.const(-x.value) if x.op == "const" and x.marks is None else tape.write("neg", x)


def _folded(tape: Tape, op: str, a: Node, b: Node) -> Node | None:
    """Arithmetic of whole numbers, done at once."""
    if a.op != "const" or b.op != "const" or a.marks is not None or b.marks is not None:
        return None
    value = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[op](a.value, b.value)
    whole = all((v == np.rint(v)).all() and (np.abs(v) < 2.0**52).all() for v in (a.value, b.value, value))
    return tape.const(value) if whole else None


def number(tape: Tape, value: float, like: Node) -> Node:
    """A number with as many axes as an array."""
    return tape.const(np.full((1,) * len(like.shape), value))


def scaled(tape: Tape, x: Node, factor: Fraction) -> Node:
    """X times a fraction whose numerator and denominator are doubles."""
    if factor == 1:
        return x
    top = (
        neg(tape, x)
        if factor.numerator == -1
        else x
        if factor.numerator == 1
        else mul(tape, x, number(tape, factor.numerator, x))
    )
    return top if factor.denominator == 1 else div(tape, top, number(tape, factor.denominator, x))


# ── products taken apart ─────────────────────────────────────────────────────────────────────────────────────────────
def magnitude(tape: Tape, x: Node, told: bool = True) -> Node:
    """|x| of a value with known signs; a sign that is not clear from the formula's domain is told."""
    negative = x.value < 0
    if x.op != "const" and told:
        tape.signs.append((tape.place, x))
    if not negative.any():
        return x
    if negative.all():
        return neg(tape, x)
    return tape.write("select", x, neg(tape, x), data=negative, key=(negative.shape, negative.tobytes()))


def factors(tape: Tape, x: Node, depth: int = _DEEPEST) -> Factors:
    """Write |x| as a product of powers |bᵢ|^rᵢ, as its steps show it; [(x, 1)] where they don't."""
    parts = _parts(tape, x, depth) if depth and x.marks is None else None
    if parts is None or any(base.marks is not None for base, _ in parts):
        return [(x, Fraction(1))]
    return parts


def _where_known(tape: Tape, x: Node, parts: Factors, apart: Node, whole: Node) -> Node:
    """What is taken apart, at the entries where x is positive and the signs of all factors are known."""
    known = x.value > 2 * x.bound()
    for base, _ in parts:
        known = known & knows_sign(base)
    if known.all():
        return apart
    return tape.write("select", whole, apart, data=known, key=(known.shape, known.tobytes())) if known.any() else whole


def _parts(tape: Tape, x: Node, depth: int) -> Factors | None:
    def inner(node: Node, exponent: Fraction) -> Factors:
        return [(base, r * exponent) for base, r in factors(tape, node, depth - 1)]

    one = Fraction(1)
    match x.op:
        case "mul":
            sides = [(x.args[0], one), (x.args[1], one)]
        case "div":
            sides = [(x.args[0], one), (x.args[1], -one)]
        case "power":
            sides = [(x.args[0], Fraction(x.data))]
        case "root":
            sides = [(x.args[0], _HALF)]
        case "cube_root":
            sides = [(x.args[0], Fraction(1, 3))]
        case "neg":
            sides = [(x.args[0], one)]
        case "view" | "take" if not (x.op == "take" and (x.data < 0).any()):
            below = factors(tape, x.args[0], depth - 1)
            if len(below) == 1 and below[0] == (x.args[0], one):
                return None
            key = x.data if x.op == "view" else (x.data.shape, x.data.tobytes())
            full = [(broadcast(tape, shaped(tape, base, x.args[0])[0], x.args[0].shape), r) for base, r in below]
            return [(tape.write(x.op, base, data=x.data, key=key), r) for base, r in full]
        case _:
            return None
    return [part for node, exponent in sides for part in inner(node, exponent)]


def _leaves_signs_open(parts: Factors) -> bool:
    """Whether a product that is positive leaves open which signs its factors have."""
    open_ = [r for base, r in _merged(parts) if not is_never_negative(base)]
    return len(open_) > 1 or any(r.numerator % 2 == 0 for r in open_)


def _merged(parts: Iterable[tuple[Node, Fraction]]) -> Factors:
    total: dict[int, tuple[Node, Fraction]] = {}
    for base, r in parts:
        total[base.number] = (base, total.get(base.number, (base, Fraction(0)))[1] + r)
    return [(base, r) for base, r in total.values() if r]


def product(tape: Tape, parts: Factors, like: Node, told: bool = True) -> Node:
    """∏ |bᵢ|^rᵢ."""
    result: Node | None = None
    for base, r in _merged(parts):
        term = power(tape, magnitude(tape, base, told), abs(r), taken_apart=True)
        if result is None:
            result = term if r > 0 else div(tape, number(tape, 1.0, term), term)
        else:
            result = (mul if r > 0 else div)(tape, result, term)
    result = number(tape, 1.0, like) if result is None else result
    return broadcast(tape, shaped(tape, result, like)[0], like.shape)


def power(tape: Tape, x: Node, r: Fraction, taken_apart: bool = False) -> Node:
    """X^r; for a fraction r, x is positive."""
    if r < 0:
        return div(tape, number(tape, 1.0, x), power(tape, x, -r, taken_apart))
    if r.denominator == 1:
        return number(tape, 1.0, x) if r == 0 else x if r == 1 else tape.write("power", x, data=int(r))
    if x.op == "exp":
        return exp(tape, scaled(tape, x.args[0], r))
    if r.denominator not in (2, 3):
        return exp(tape, scaled(tape, log(tape, x), r))
    if not taken_apart and (parts := factors(tape, x)) != [(x, 1)]:
        apart = product(tape, [(base, e * r) for base, e in parts], x, told=_leaves_signs_open(parts))
        return _where_known(tape, x, parts, apart, power(tape, x, r, taken_apart=True))
    whole, rest = divmod(r, 1)
    single = _root(tape, x) if rest.denominator == 2 else tape.write("cube_root", x)
    single = single if rest.numerator == 1 else mul(tape, single, single)
    return single if whole == 0 else mul(tape, power(tape, x, Fraction(whole)), single)


def _root(tape: Tape, x: Node) -> Node:
    if x.op == "const" and x.marks is None and x.size:
        root = np.sqrt(x.value)
        if all(
            Fraction(float(r)) ** 2 == Fraction(float(v))
            for r, v in {(r, v) for r, v in zip(root.flat, x.value.flat, strict=True)}
        ):
            return tape.const(root)
    return tape.write("root", x)


def root(tape: Tape, x: Node) -> Node:
    """√x."""
    return power(tape, x, _HALF)


# ── exp and log ──────────────────────────────────────────────────────────────────────────────────────────────────────
def log(tape: Tape, x: Node) -> Node:
    """Log x; taken apart where roots and exponentials are factors, whose logarithms are known."""
    if x.op in STRUCTURAL and not (x.op == "take" and (x.data < 0).any()) and _moves_roots(tape, x, 8):
        return _pushed(tape, x, log)
    parts = factors(tape, x)
    if all(base.op != "exp" and r.denominator == 1 for base, r in parts):
        return tape.write("log", x)
    total: Node | None = None
    told = _leaves_signs_open(parts)
    for base, r in _merged(parts):
        term = scaled(tape, base.args[0] if base.op == "exp" else tape.write("log", magnitude(tape, base, told)), r)
        total = term if total is None else add(tape, total, term)
    total = number(tape, 0.0, x) if total is None else total
    return _where_known(tape, x, parts, broadcast(tape, shaped(tape, total, x)[0], x.shape), tape.write("log", x))


def _pushed(tape: Tape, x: Node, function: Callable[[Tape, Node], Node]) -> Node:
    """A function of entries, applied before they are moved."""
    key = x.data if x.op in ("view", "concat") else (x.data.shape, x.data.tobytes())
    full = [broadcast(tape, shaped(tape, function(tape, arg), arg)[0], arg.shape) for arg in x.args]
    return tape.write(x.op, *full, data=x.data, key=key)


def _moves_roots(tape: Tape, x: Node, depth: int) -> bool:
    """Whether entries with roots or exponentials for factors are joined from several arrays."""
    if depth == 0:
        return False
    if x.op in ("view", "take", "select", "concat"):
        return all(arg.marks is None for arg in x.args) and any(_moves_roots(tape, arg, depth - 1) for arg in x.args)
    return any(base.op == "exp" or r.denominator != 1 for base, r in factors(tape, x))


def exp(tape: Tape, x: Node) -> Node:
    """Exp x; logarithms that are terms of x, with factors that are halves, become powers."""
    found = _logarithms(tape, x, _DEEPEST)
    if found is None:
        return tape.write("exp", x)
    terms, rest = found
    parts: Factors = list(terms)
    if rest is not None:
        parts.append((tape.write("exp", rest), Fraction(1)))
    return product(tape, parts, x, told=False)  # what has a logarithm is positive


def _logarithms(tape: Tape, x: Node, depth: int) -> tuple[Factors, Node | None] | None:
    """Write x as Σ rᵢ log uᵢ + rest; None where no term is a logarithm."""
    if depth == 0 or x.marks is not None:
        return None
    if x.op == "log":
        return [(x.args[0], Fraction(1))], None
    if x.op in ("add", "sub", "neg"):
        signs = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}[x.op]
        return _sum_of_logarithms(tape, x, signs, depth)
    if x.op in ("mul", "div"):
        return _multiple_of_logarithms(tape, x, depth)
    if x.op in ("select", "concat") and any(_logarithms(tape, arg, depth - 1) is not None for arg in x.args):
        return [(_pushed(tape, x, exp), Fraction(1))], None
    if x.op == "view" or (x.op == "take" and not (x.data < 0).any()):
        below = _logarithms(tape, x.args[0], depth - 1)
        if below is None:
            return None
        key = x.data if x.op == "view" else (x.data.shape, x.data.tobytes())

        def move(node: Node) -> Node:
            full = broadcast(tape, shaped(tape, node, x.args[0])[0], x.args[0].shape)
            return tape.write(x.op, full, data=x.data, key=key)

        return [(move(u), r) for u, r in below[0]], None if below[1] is None else move(below[1])
    return None


def _sum_of_logarithms(tape: Tape, x: Node, signs: tuple[int, ...], depth: int) -> tuple[Factors, Node | None] | None:
    found = [_logarithms(tape, arg, depth - 1) for arg in x.args]
    if all(f is None for f in found):
        return None
    terms: Factors = []
    rest: Node | None = None
    for sign, arg, part in zip(signs, x.args, found, strict=True):
        inner, left = ([], arg) if part is None else part
        terms += [(u, sign * r) for u, r in inner]
        if left is not None:
            signed = left if sign == 1 else neg(tape, left)
            rest = signed if rest is None else add(tape, rest, signed)
    return terms, rest


def _multiple_of_logarithms(tape: Tape, x: Node, depth: int) -> tuple[Factors, Node | None] | None:
    a, b = x.args
    a, b = (b, a) if x.op == "mul" and a.op == "const" else (a, b)
    while b.op == "view":
        b = b.args[0]
    if b.op != "const" or b.size == 0 or not (b.value == b.value.flat[0]).all() or b.marks is not None:
        return None
    found = _logarithms(tape, a, depth - 1)
    if found is None:
        return None
    factor = Fraction(float(b.value.flat[0])) if x.op == "mul" else 1 / Fraction(float(b.value.flat[0]))
    if any((r * factor).denominator > 3 or abs(r * factor) > 64 for _, r in found[0]):
        return None
    return [(u, r * factor) for u, r in found[0]], None if found[1] is None else scaled(tape, found[1], factor)
