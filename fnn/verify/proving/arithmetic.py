"""What arithmetic and the functions of a real variable write on the tape, entry by entry."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fnn.verify.proving import formulas as f
from fnn.verify.proving.decisions import lost_of
from fnn.verify.proving.run import Run, Value, Whole, rule
from fnn.verify.proving.signs import is_positive
from fnn.verify.proving.tape import Node


def is_whole(values: list[Any]) -> bool:
    """Whether all operands are concrete."""
    return all(isinstance(value, Whole) for value in values)


@rule("add", "add_any", "sub", "mul", "max", "min", "div", "neg", "square", "integer_pow", "abs", "sign", "rem", "pow")
def _arithmetic(run: Run, equation: Any, values: list[Any]) -> Value:
    name = equation.primitive.name
    if is_whole(values):
        return _whole_arithmetic(run, equation, values)
    return _FLOATS[name](run, equation, *values)


def _whole_arithmetic(run: Run, equation: Any, values: list[Any]) -> Value:
    quick = {
        "add": np.add,
        "add_any": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
    }
    operation = quick.get(equation.primitive.name)
    if operation is None or any(v.lost is not None for v in values):
        return run.by_jax(equation, values)[0]
    with np.errstate(over="ignore"):
        return Whole(np.asarray(operation(*(v.value for v in values)), equation.outvars[0].aval.dtype))


def _integer_power(run: Run, equation: Any, x: Node) -> Node:
    # The power 0 is the number 1, one for all entries: JAX writes it where it differentiates a square twice.
    return f.broadcast(run.tape, f.power(run.tape, x, Fraction(equation.params["y"])), x.shape)


def _pow(run: Run, equation: Any, x: Value, y: Value) -> Node:
    tape = run.tape
    shape = equation.outvars[0].aval.shape
    if isinstance(y, Whole):
        y = tape.const(np.asarray(run.concrete(y, "an exponent"), float))
    if isinstance(x, Whole):
        x = tape.const(np.asarray(run.concrete(x, "a base"), float))
    exponents = y if y.op == "const" else y.args[0] if y.op == "view" and y.args[0].op == "const" else None
    if exponents is not None and exponents.marks is None and exponents.size and np.ptp(exponents.value) == 0:
        r = Fraction(float(exponents.value.flat[0]))
        if r.denominator <= 2 or is_positive(x):
            return f.broadcast(tape, f.shaped(tape, f.power(tape, x, r), y)[0], shape)
    if exponents is not None and exponents.marks is None and exponents.size:
        several = np.unique(exponents.value)
        if len(several) <= _MOST_EXPONENTS and (several == np.rint(several)).all() and np.abs(several).max() <= 64:
            return _to_whole_powers(run, x, y, several, shape)
    if not is_positive(x):
        return tape.lost(shape, f"{tape.place}: a base that may not be positive, to a power that is not a fixed one")
    return f.exp(tape, f.mul(tape, y, f.broadcast(tape, f.shaped(tape, f.log(tape, x), y)[0], y.shape or x.shape)))


def _to_whole_powers(run: Run, x: Node, y: Node, several: np.ndarray, shape: tuple[int, ...]) -> Node:
    """Powers with exponents that are whole numbers, entry by entry: γ to the power of 0, 1, 2."""
    tape = run.tape
    base = f.broadcast(tape, f.shaped(tape, x, y)[0], shape)
    result = f.power(tape, base, Fraction(float(several[0])))
    for exponent in several[1:]:
        here = np.broadcast_to(y.value == exponent, shape)
        result = chosen(run, result, f.power(tape, base, Fraction(float(exponent))), here)
    return f.broadcast(tape, result, shape)


def _abs(run: Run, equation: Any, x: Node) -> Node:
    tape = run.tape
    zero = f.number(tape, 0.0, x)
    sign = run.decisions.compare(x, zero)
    return chosen(run, x, f.neg(tape, x), sign < 0)


def _sign(run: Run, equation: Any, x: Node) -> Node:
    sign = run.decisions.compare(x, f.number(run.tape, 0.0, x))
    value = np.where(np.isnan(x.value), np.nan, sign.astype(float))
    return with_lost(run, run.tape.const(value), lost_of(x))


def _extreme(run: Run, equation: Any, a: Node, b: Node) -> Node:
    a, b = f.shaped(run.tape, a, b)
    sign = run.decisions.compare(a, b)
    takes_b = sign < 0 if equation.primitive.name == "max" else sign > 0
    with np.errstate(invalid="ignore"):
        takes_b = np.where(np.isnan(b.value), True, np.where(np.isnan(a.value), False, takes_b))
    return with_lost(run, chosen(run, a, b, takes_b), lost_of(a, b))


def chosen(run: Run, a: Node, b: Node, takes_b: np.ndarray) -> Node:
    """One of two arrays, entry by entry."""
    a, b = f.shaped(run.tape, a, b)
    shape = np.broadcast_shapes(a.shape, b.shape, takes_b.shape)
    if not takes_b.any() and a.shape == shape:
        return a
    if takes_b.all() and b.shape == shape:
        return b
    takes_b = np.broadcast_to(takes_b, shape)
    return run.tape.write("select", a, b, data=takes_b, key=(shape, takes_b.tobytes()))


def with_lost(run: Run, x: Node, lost: np.ndarray | None) -> Node:
    """The array without the entries that are lost, each for its reason."""
    if lost is None or not lost.any():
        return x
    lost = np.broadcast_to(lost, x.shape)
    for mark in np.unique(lost[lost > 0]):
        x = chosen(run, x, run.tape.lost(x.shape, run.reason_of(int(mark))), lost == mark)
    return x


def _remainder(run: Run, equation: Any, a: Node, b: Node) -> Node:
    tape = run.tape
    quotient = f.div(tape, a, b)
    whole, side = run.decisions.nearest_whole(quotient)
    truncated = np.where(whole > 0, whole - (side < 0), np.where(whole < 0, whole + (side > 0), whole))
    run.decisions.note(truncated)
    return with_lost(run, f.sub(tape, a, f.mul(tape, tape.const(truncated), b)), lost_of(quotient))


_FLOATS: dict[str, Any] = {
    "add": lambda run, _, a, b: f.add(run.tape, a, b),
    "add_any": lambda run, _, a, b: f.add(run.tape, a, b),
    "sub": lambda run, _, a, b: f.sub(run.tape, a, b),
    "mul": lambda run, _, a, b: f.mul(run.tape, a, b),
    "div": lambda run, _, a, b: f.div(run.tape, a, b),
    "neg": lambda run, _, x: f.neg(run.tape, x),
    "square": lambda run, _, x: f.power(run.tape, x, Fraction(2)),
    "max": _extreme,
    "min": _extreme,
    "integer_pow": _integer_power,
    "pow": _pow,
    "abs": _abs,
    "sign": _sign,
    "rem": _remainder,
}


_MOST_EXPONENTS = 32


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _one(run: Run, x: Node) -> Node:
    return f.number(run.tape, 1.0, x)


def _exp_of_minus_magnitude(run: Run, x: Node, factor: float) -> tuple[Node, np.ndarray]:
    """Exp(−factor |x|), which never overflows, and where x is negative: no branch, both sides are one function."""
    negative = np.asarray(x.value < 0)
    towards = chosen(run, f.neg(run.tape, x), x, negative)
    return f.exp(run.tape, f.scaled(run.tape, towards, Fraction(factor))), negative


def _tanh(run: Run, x: Node) -> Node:
    tape = run.tape
    e, negative = _exp_of_minus_magnitude(run, x, 2)  # tanh x = (1 − e) / (1 + e), and its negative on the other side
    quotient = f.div(tape, f.sub(tape, _one(run, x), e), f.add(tape, _one(run, x), e))
    return chosen(run, quotient, f.neg(tape, quotient), negative)


def _logistic(run: Run, x: Node) -> Node:
    tape = run.tape
    e, negative = _exp_of_minus_magnitude(run, x, 1)
    share = f.div(tape, _one(run, x), f.add(tape, _one(run, x), e))
    return chosen(run, share, f.mul(tape, e, share), negative)


def _halves_of_exp(run: Run, x: Node) -> tuple[Node, Node]:
    half = f.number(run.tape, 0.5, x)
    return f.mul(run.tape, half, f.exp(run.tape, x)), f.mul(run.tape, half, f.exp(run.tape, f.neg(run.tape, x)))


def _atanh(run: Run, x: Node) -> Node:
    tape = run.tape
    quotient = f.div(tape, f.add(tape, _one(run, x), x), f.sub(tape, _one(run, x), x))
    return f.mul(tape, f.number(tape, 0.5, x), f.log(tape, quotient))


def _tan(run: Run, x: Node) -> Node:
    return f.div(run.tape, run.tape.write("sin", x), run.tape.write("cos", x))


def _asinh(run: Run, x: Node) -> Node:
    """Log(|x| + √(x² + 1)), and its negative on the other side: no branch, both are one function."""
    tape, negative = run.tape, np.asarray(x.value < 0)
    size = chosen(run, x, f.neg(tape, x), negative)
    root = f.root(tape, f.add(tape, f.power(tape, x, Fraction(2)), _one(run, x)))
    result = f.log(tape, f.add(tape, size, root))
    return chosen(run, result, f.neg(tape, result), negative)


def _acosh(run: Run, x: Node) -> Node:
    tape = run.tape
    root = f.root(tape, f.sub(tape, f.power(tape, x, Fraction(2)), _one(run, x)))
    return f.log(tape, f.add(tape, x, root))


def _log1p(run: Run, x: Node) -> Node:
    return f.log(run.tape, f.add(run.tape, _one(run, x), x))


def _expm1(run: Run, x: Node) -> Node:
    return f.sub(run.tape, f.exp(run.tape, x), _one(run, x))


def _erfc(run: Run, x: Node) -> Node:
    return f.sub(run.tape, _one(run, x), run.tape.write("unknown", x, data="erf"))


def _exp2(run: Run, x: Node) -> Node:
    return f.exp(
        run.tape,
        f.mul(run.tape, x, f.broadcast(run.tape, f.log(run.tape, f.number(run.tape, 2.0, x)), (1,) * len(x.shape))),
    )


def _one_minus_square(run: Run, x: Node) -> Node:
    return f.sub(run.tape, _one(run, x), f.power(run.tape, x, Fraction(2)))


def _log2(run: Run, x: Node) -> Node:
    two = f.broadcast(run.tape, f.log(run.tape, f.number(run.tape, 2.0, x)), (1,) * len(x.shape))
    return f.div(run.tape, f.log(run.tape, x), two)


def _rsqrt(run: Run, x: Node) -> Node:
    return f.div(run.tape, _one(run, x), f.root(run.tape, x))


_FUNCTIONS: dict[str, Any] = {
    "exp": lambda run, x: f.exp(run.tape, x),
    "log": lambda run, x: f.log(run.tape, x),
    "log1p": _log1p,
    "expm1": _expm1,
    "exp2": _exp2,
    "tanh": _tanh,
    "logistic": _logistic,
    "sinh": lambda run, x: f.sub(run.tape, *_halves_of_exp(run, x)),
    "cosh": lambda run, x: f.add(run.tape, *_halves_of_exp(run, x)),
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "sin": lambda run, x: run.tape.write("sin", x),
    "cos": lambda run, x: run.tape.write("cos", x),
    "tan": _tan,
    "erfc": _erfc,
    "one_minus_square": _one_minus_square,
    "log2": _log2,
    "sqrt": lambda run, x: f.root(run.tape, x),
    "rsqrt": _rsqrt,
    "cbrt": lambda run, x: run.tape.write("cube_root", x),
}
_NO_LAWS = ("erf", "erf_inv", "lgamma", "digamma", "asin", "acos", "atan", "bessel_i0e", "bessel_i1e")
_NO_LAWS_OF_SEVERAL = ("atan2", "polygamma", "igamma", "igammac", "zeta", "regularized_incomplete_beta")


@rule(*_FUNCTIONS, *_NO_LAWS, *_NO_LAWS_OF_SEVERAL)
def _function(run: Run, equation: Any, values: list[Any]) -> Node:
    name = equation.primitive.name
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](run, values[0])
    return run.tape.write("unknown", *f.shaped(run.tape, *values), data=name)


@rule("polynomial")
def _polynomial(run: Run, equation: Any, values: list[Any]) -> Value:
    """Horner's rule, coefficients from the lowest degree on."""
    x, *coefficients = values
    if any(isinstance(value, Whole) for value in values):
        return run.by_jax(equation, values)[0]
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = f.add(run.tape, f.mul(run.tape, total, x), coefficient)
    return f.broadcast(run.tape, f.shaped(run.tape, total, x)[0], equation.outvars[0].aval.shape)
