"""Traps for the checker: gradients that are wrong where it is hard to see, and right ones that look wrong.

Each row knows its verdict. Where CANNOT TELL is right it says why; a row may allow it next to OK or WRONG where the
forward's own arithmetic decides, but never the opposite verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OK, WRONG, OPEN = "OK", "WRONG", "CANNOT TELL"


@dataclass(frozen=True)
class Trap:
    name: str
    loss: Callable
    backward: Callable
    args: tuple
    verdict: str
    why: str = ""  # it can't be told
    keywords: dict = field(default_factory=dict)
    says: str = ""  # a part of the printed report


def given(gradient: Any) -> Callable:
    """A backward that returns these numbers, whatever it is asked: of an array, or of a dict of arrays."""
    if isinstance(gradient, dict):
        return lambda *args: {name: np.array(leaf, np.float64) for name, leaf in gradient.items()}
    return lambda *args: np.array(gradient, np.float64)


W = np.array([0.7, -1.3, 0.4, 2.1, -0.6])
V = np.array([0.3, -0.8, 1.7])


def stops(x):
    return x * jax.lax.stop_gradient(x)


def ruled(function: Callable, derivative: Callable) -> Callable:
    """A function with a derivative of its author's own."""
    lifted = jax.custom_vjp(function)
    lifted.defvjp(lambda x: (function(x), x), lambda x, d: (d * derivative(x),))
    return lifted


def ruled_forward(function: Callable, derivative: Callable) -> Callable:
    """The same with custom_jvp."""
    lifted = jax.custom_jvp(function)
    lifted.defjvp(lambda x, t: (function(x[0]), derivative(x[0]) * t[0]))
    return lifted


cube_right = ruled(lambda x: x**3, lambda x: 3 * x**2)
cube_wrong = ruled(lambda x: x**3, lambda x: 2 * x**2)
cube_wrong_jvp = ruled_forward(lambda x: x**3, lambda x: 2 * x**2)
far = ruled(lambda x: 1e10 + x**2, lambda x: 3 * x)
fast = ruled(lambda x: 1e-7 * jnp.sin(1e7 * x), lambda x: 1.5 * jnp.cos(1e7 * x))
fast_right = ruled(lambda x: 1e-7 * jnp.sin(1e7 * x), lambda x: jnp.cos(1e7 * x))
stable = ruled(lambda x: jnp.log(1 + jnp.exp(x)), jax.nn.sigmoid)  # its own autodiff is NaN for large x
solved = ruled(  # x with x³ + x = a, by bisection, which autodiff can't see through
    lambda a: jax.lax.fori_loop(0, 60, lambda i, bounds: _halved(bounds, a), (a * 0 - 9, a * 0 + 9))[0],
    lambda a: 1 / (3 * _root(a) ** 2 + 1),
)


def _halved(bounds, a):
    middle = (bounds[0] + bounds[1]) / 2
    above = middle**3 + middle > a
    return jnp.where(above, bounds[0], middle), jnp.where(above, middle, bounds[1])


def _root(a):
    x = 0 * a
    for _ in range(60):
        x = x - (x**3 + x - a) / (3 * x**2 + 1)
    return x


def two_entries_off(x):
    """Of 30 entries of a derivative two are off by 1 and by −1."""
    return 2 * x + jnp.zeros(30).at[7].set(1.0).at[19].set(-1.0)


thirty = ruled(lambda x: x**2, two_entries_off)


def sum_of(f: Callable) -> Callable:
    return _SUMS.setdefault(f, lambda w: f(w).sum())


_SUMS: dict[Callable, Callable] = {}
LONG = np.random.default_rng(0).normal(size=300)


def shared_rules():
    """Forward and hand share a derivative, or the forward declares one of its own."""
    thirty_w = np.random.default_rng(1).normal(size=30)
    rows = [
        ("cube-shared-wrong", cube_wrong, 2 * W**2, W, WRONG),
        ("cube-shared-wrong-jvp", cube_wrong_jvp, 2 * W**2, W, WRONG),
        ("cube-declared-wrong-hand-right", cube_wrong, 3 * W**2, W, OK),
        ("cube-declared-right", cube_right, 3 * W**2, W, OK),
        ("cube-declared-right-hand-wrong", cube_right, 3.001 * W**2, W, WRONG),
        ("far-away-shared", far, 3 * W, W, WRONG),
        ("far-away-right", far, 2 * W, W, OK),
        ("fast-shared", fast, 1.5 * np.cos(1e7 * V), V, WRONG),
        ("fast-right", fast_right, np.cos(1e7 * V), V, OK),
        ("two-of-thirty", thirty, np.asarray(two_entries_off(thirty_w)), thirty_w, WRONG),
        ("two-of-thirty-right", thirty, 2 * thirty_w, thirty_w, OK),
        ("stable-rule", stable, 1 / (1 + np.exp(-np.array([-2.0, 3.0, 500.0]))), np.array([-2.0, 3.0, 500.0]), OK),
        ("stable-rule-wrong", stable, [0.2, 0.95, 1.0], np.array([-2.0, 3.0, 500.0]), WRONG),
        ("bisection", solved, 1 / (3 * _root(V) ** 2 + 1), V, OK),
        ("bisection-wrong", solved, 1 / (2 * _root(V) ** 2 + 1), V, WRONG),
        ("stopped", stops, W, W, WRONG),
        ("stopped-right", stops, 2 * W, W, OK),
        ("stopped-square", lambda x: x * jax.lax.stop_gradient(x) ** 2, W**2, W, WRONG),
        ("softmax-stops-at-its-maximum", lambda x: jax.nn.softmax(x) ** 2, None, W, OK),
        ("long-shared-wrong", cube_wrong, 2 * LONG**2, LONG, WRONG),
        ("long-declared-right", cube_right, 3 * LONG**2, LONG, OK),
        ("long-one-entry", cube_right, 3 * LONG**2 + 1e-6 * np.eye(300)[123], LONG, WRONG),
        ("relu-of-jax-at-0", jax.nn.relu, [0.0, 1, 0], np.array([0.0, 2, -1]), OK),
        ("relu-of-jax-at-0-too-much", jax.nn.relu, [3.0, 1, 0], np.array([0.0, 2, -1]), WRONG),
    ]
    for name, f, gradient, at, verdict in rows:
        if gradient is None:
            with jax.enable_x64(True):
                gradient = np.asarray(jax.grad(sum_of(f))(jnp.asarray(at)))
        yield Trap(f"rule/{name}", sum_of(f), given(gradient), (at,), verdict)


def behind_a_relu(x, w):
    """One all-zero example and zero biases: a kink in b, none in w."""
    z = x @ w["W"] + w["b"]
    a = jax.lax.select(z <= 0, jnp.zeros_like(z), z)
    return stops(a).sum() + a.sum()


def kinks():
    """At a kink a choice of subgradients, beside it none."""
    zero, tiny = np.zeros(3), 1e-6 * np.array([1.0, -1, 1])
    absolute, relu = sum_of(jnp.abs), sum_of(lambda w: jnp.maximum(w, 0))
    coupled = lambda w: jnp.abs(w[:-1] - w[-1]).sum() + (w**2).sum()  # noqa: E731
    together = lambda w: jnp.abs(w.sum())  # noqa: E731
    cancels = lambda w: (jnp.maximum(w, 0) - 0.25 * w + jnp.log1p(jnp.exp(-jnp.abs(w)))).sum()  # noqa: E731
    leaky = sum_of(lambda w: jnp.where(w > 0, w, 0.1 * w))
    clipped = sum_of(lambda w: jnp.clip(w, -1, 1))
    smooth = sum_of(lambda w: jnp.where(w > 0, w**2, 0))
    largest = lambda w: jnp.max(w) + (w**2).sum()  # noqa: E731
    hinge = lambda w: jnp.maximum(1 - w @ np.array([1.0, 0, 2]), 0)  # noqa: E731
    product = lambda w: jnp.abs(w[0]) * jnp.abs(w[1]) + w[2]  # noqa: E731
    x = np.array([[1.0, 2, -1], [0, 0, 0]])
    at = {"W": np.array([[0.5, 1.0], [1.0, -0.3], [0.2, 0.4]]), "b": np.zeros(2)}
    z = np.maximum(x @ at["W"], 0)
    once, twice = (factor * z + (z > 0) for factor in (1, 2))
    masked = partial(behind_a_relu, x)
    zeros = np.array([0.0, 0.3, 0])
    rows = [
        ("stopped-behind-relu", masked, {"W": x.T @ once, "b": once.sum(0)}, at, WRONG),
        ("stopped-behind-relu-right", masked, {"W": x.T @ twice, "b": twice.sum(0)}, at, OK),
        ("stopped-behind-relu-from-the-right", masked, {"W": x.T @ twice, "b": twice.sum(0) + 1}, at, OK),
        ("abs-at-0", absolute, [1, 0.3, -1], zero, OK),
        ("abs-at-0-beyond", absolute, [5, 0.3, -1], zero, WRONG),
        ("abs-near-0", absolute, [0.0, 0, 0], tiny, WRONG),
        ("abs-near-0-right", absolute, np.sign(tiny), tiny, OK),
        ("abs-half-at-kinks", absolute, [0.5, 1, -0.5], zeros, OK),
        ("abs-other-entry-wrong", absolute, [0.5, 1 + 1e-7, -0.5], zeros, WRONG),
        ("abs-other-entry-sign", absolute, [0.5, -1, -0.5], zeros, WRONG),
        ("relu-nearly-at-0", relu, [0.5, 0.5, 0.5], np.array([1e-9, 1e-9, 1e-9]), WRONG),
        ("relu-nearly-at-0-right", relu, [1.0, 1, 1], np.array([1e-9, 1e-9, 1e-9]), OK),
        ("relu-left", relu, [0.0, 1, 0], zeros, OK),
        ("relu-right", relu, [1.0, 1, 1], zeros, OK),
        ("relu-mean", relu, [0.5, 1, 0.5], zeros, OK),
        ("relu-each-its-own", relu, [0.1, 1, 0.9], zeros, OK),
        ("relu-far-outside", relu, [0.1, 1, 2.9], zeros, WRONG),
        ("coupled-corner", coupled, [1, -1, 0], zero, OK),
        ("coupled-inside", coupled, [0.5, 0.5, -1], zero, OK),
        ("coupled-not-joint", coupled, [1, 1, 0], zero, WRONG),
        ("coupled-far", coupled, [4, 0, -4], zero, WRONG),
        ("one-kink-for-all", together, [0.5, 0.5, 0.5], zero, OK),
        ("one-kink-for-all-not-joint", together, [0.5, -0.5, 0.5], zero, WRONG),
        ("kinks-that-cancel", cancels, [0.25, 0.25, 0.25], zero, OK),
        ("kinks-that-cancel-autodiff", cancels, [-0.25, -0.25, -0.25], zero, WRONG),
        ("leaky-left", leaky, [0.1, 1, 0.1], zeros, OK),
        ("leaky-below", leaky, [-1.0, 1, 0.1], zeros, WRONG),
        ("clip-at-its-bounds", clipped, [0.0, 1, 1], np.array([1.0, 0.3, -1]), OK),
        ("clip-wrong-side", clipped, [0.0, 1, -1.5], np.array([1.0, 0.3, -1]), WRONG),
        ("no-kink-where-slopes-agree", smooth, [0, 0.6, 0], zeros, OK),
        ("no-kink-where-slopes-agree-wrong", smooth, [0.3, 0.6, 0], zeros, WRONG),
        ("largest-of-a-tie", largest, [1.0 + 2, 2, 0], np.array([1.0, 1, 0]), OK),
        ("largest-shared", largest, [0.5 + 2, 0.5 + 2, 0], np.array([1.0, 1, 0]), OK),
        ("largest-counted-twice", largest, [1.0 + 2, 1 + 2, 0], np.array([1.0, 1, 0]), WRONG),
        ("hinge-on-its-edge", hinge, [-0.3, 0, -0.6], np.array([1.0, 5, 0]), OK),
        ("hinge-on-its-edge-wrong", hinge, [-0.3, 0.1, -0.6], np.array([1.0, 5, 0]), WRONG),
        ("product-of-kinks", product, [0.0, 0, 1], zero, OK),
        ("product-of-kinks-wrong", product, [0.0, 0, 2], zero, WRONG),
    ]
    for name, f, gradient, point, verdict in rows:
        yield Trap(f"kink/{name}", f, given(gradient), (point,), verdict)


def sizes(p):
    return sum(10.0**k * jnp.sin(p[f"{k}"]).sum() for k in (-12, -7, 0, 6, 12))


def scales():
    """Every leaf is judged on its own scale."""
    point = {f"{k}": W + 0.01 * k for k in (-12, -7, 0, 6, 12)}
    right = {f"{k}": 10.0**k * np.cos(point[f"{k}"]) for k in (-12, -7, 0, 6, 12)}
    yield Trap("scale/right", sizes, given(right), (point,), OK)
    for k in ("-12", "-7", "0", "6", "12"):
        yield Trap(f"scale/sign-of-1e{k}", sizes, given({**right, k: -right[k]}), (point,), WRONG)
        off = right[k] * (1 + 1e-8 * np.eye(5)[2])
        yield Trap(f"scale/entry-of-1e{k}", sizes, given({**right, k: off}), (point,), WRONG)
        single = {key: np.float32(-leaf if key == k else leaf) for key, leaf in right.items()}
        yield Trap(f"scale/single-sign-of-1e{k}", sizes, lambda p, g=single: g, (point,), WRONG)
    yield Trap("scale/single-right", sizes, lambda p: _single_sizes(p), (point,), OK)
    two = lambda p: (p["a"] ** 2).sum() + 1e-7 * (p["b"] ** 2).sum()  # noqa: E731
    at = {"a": W, "b": V}
    yield Trap("scale/small-sign", two, lambda p: {"a": 2 * p["a"], "b": -2e-7 * p["b"]}, (at,), WRONG)
    yield Trap("scale/small-right", two, lambda p: {"a": 2 * p["a"], "b": 2e-7 * p["b"]}, (at,), OK)
    many = np.random.default_rng(2).normal(size=12_000)
    entry = 1e-6 * np.abs(many).max() * np.eye(1, 12_000, 777)[0]
    squares = sum_of(jnp.square)
    yield Trap("scale/one-of-12000", squares, given(2 * many + 2 * entry), (many,), WRONG)
    yield Trap("scale/all-of-12000", squares, given(2 * many), (many,), OK)
    unused = lambda p: (p["a"] ** 2).sum() + 0 * p["b"].sum()  # noqa: E731
    yield Trap("scale/true-zero", unused, given({"a": 2 * W, "b": np.zeros(3)}), (at,), OK)
    yield Trap("scale/true-zero-as-1e-8", unused, given({"a": 2 * W, "b": [0, 1e-8, 0]}), (at,), WRONG)
    centred = lambda w: jnp.sin(w - w.mean()).sum() + jnp.square(w - w.mean()).sum() * 1e3  # noqa: E731
    shifted = lambda p: centred(p["w"] + p["b"])  # noqa: E731
    point = {"w": W, "b": np.array([0.3])}
    with jax.enable_x64(True):
        exact = jax.tree.map(np.asarray, jax.grad(shifted)(jax.tree.map(jnp.asarray, point)))
    yield Trap("scale/zero-but-for-rounding", shifted, given({**exact, "b": [2e-14]}), (point,), OK)
    yield Trap("scale/not-zero", shifted, given({**exact, "b": [1e-9]}), (point,), WRONG)


def _single_sizes(p):
    return {k: np.float32(10.0 ** int(k)) * np.cos(np.asarray(leaf, np.float32)) for k, leaf in p.items()}


def saturated(w):
    """Cross-entropy of sigmoids that are 1 to fifteen digits."""
    return jnp.logaddexp(0.0, w).sum() - w.sum()


def arithmetic():
    """Forwards and backwards in NumPy, in float32, near the edge of where a function is defined."""
    numpy = [
        ("sin", lambda w: float(np.sin(1e4 * w).sum()), 1e4 * np.cos(1e4 * V), V),
        ("log-near-0", lambda w: float(np.log(w).sum()), 1 / np.array([1e-7, 2e-7]), np.array([1e-7, 2e-7])),
        ("sqrt-near-0", lambda w: float(np.sqrt(w).sum()), 0.5 / np.sqrt([1e-6, 4.0]), np.array([1e-6, 4.0])),
        ("inverse", lambda w: float((1 / w).sum()), -1 / np.array([1e-4, 2.0]) ** 2, np.array([1e-4, 2.0])),
        ("cube", lambda w: float((w**3).sum()), 3 * W**2, W),
        ("offset", lambda w: float(1e6 + (w**3).sum()), 3 * W**2, W),
        ("tiny", lambda w: float(1e-30 * (w**3).sum()), 3e-30 * W**2, W),
        ("abs", lambda w: float(np.abs(w).sum()), np.sign(1e-6 * V), 1e-6 * V),
        ("dot", lambda w: float(np.tanh(w @ np.ones(5)) ** 2), None, W),
    ]
    for name, f, gradient, at in numpy:
        if gradient is None:
            t = np.tanh(at.sum())
            gradient = 2 * t * (1 - t**2) * np.ones(5)
        yield Trap(f"numpy/{name}", f, given(gradient), (at,), OK)
        wrong = gradient + 1e-3 * np.abs(gradient).max() * np.eye(len(at))[-1]
        yield Trap(f"numpy/{name}-wrong", f, given(wrong), (at,), WRONG)
    unused = lambda w: float(w[0] ** 2 + 0 * w[1])  # noqa: E731
    yield Trap("numpy/true-zero-as-1e-8", unused, given([2.0, 1e-8]), (np.array([1.0, 3.0]),), WRONG)
    single = lambda w: float((np.asarray(w, np.float32) ** 2).sum())  # noqa: E731
    yield Trap("numpy/in-float32", single, lambda w: 2 * w, (W,), OK)
    yield Trap("numpy/in-float32-wrong", single, lambda w: 2.1 * w, (W,), WRONG)
    mixed = lambda w: float(np.square(np.asarray(w, np.float32)).sum()) + float(np.square(w).sum())  # noqa: E731
    yield Trap("numpy/partly-in-float32", mixed, lambda w: 4 * w, (W,), OK, "its values are noise at every small step")
    yield Trap("numpy/kink", lambda w: float(np.abs(w).sum()), given([1, 0.3, -1]), (np.zeros(3),), OK)
    yield Trap("numpy/kink-beyond", lambda w: float(np.abs(w).sum()), given([1, 1.6, -1]), (np.zeros(3),), WRONG)

    rounded = lambda w: (jnp.asarray(w, jnp.float32) ** 3).sum()  # noqa: E731
    yield Trap("float32/loss", rounded, lambda w: 3 * w**2, (W,), OK)
    yield Trap("float32/loss-wrong", rounded, lambda w: 3.001 * w**2, (W,), WRONG)
    deep = lambda w: jnp.sin(jnp.asarray(w, jnp.float32) * 30).sum() * 1e3  # noqa: E731
    yield Trap("float32/cancelling-loss", deep, lambda w: 3e4 * np.cos(30 * np.asarray(w)), (W,), OK)
    cube = sum_of(lambda w: w**3)
    yield Trap("float32/backward", cube, lambda w: np.float32(3) * np.asarray(w, np.float32) ** 2, (W,), OK)
    yield Trap("float32/backward-wrong", cube, lambda w: np.float32(3.003) * np.float32(w) ** 2, (W,), WRONG)
    yield Trap("float32/bfloat16-inside", cube, lambda w: np.float64(jnp.asarray(3 * w**2, jnp.bfloat16)), (W,), WRONG)

    for name, at in (("30", np.array([30.0, 2.0])), ("300", np.array([300.0, 30.0]))):
        sigma = 1 / (1 + np.exp(-at))
        why = "1 − σ keeps two digits there: rounding decides" if name == "300" else ""
        yield Trap(f"saturated/{name}", saturated, given(-np.exp(-at) / (1 + np.exp(-at))), (at,), OK, why)
        yield Trap(f"saturated/{name}-by-subtraction", saturated, lambda w: 1 / (1 + np.exp(-w)) - 1, (at,), OK, why)
        yield Trap(f"saturated/{name}-wrong", saturated, given(1.01 * (sigma - 1)), (at,), WRONG, why)
    alone = np.array([32.0, 33.0])
    why = "1 − σ keeps two digits there: rounding decides"
    yield Trap("saturated/all", saturated, lambda w: jax.nn.sigmoid(w) - 1, (alone,), OK, why)
    yield Trap("saturated/all-sign", saturated, given(np.exp(-alone)), (alone,), WRONG)
    for name, f, g, at in (
        ("sqrt", jnp.sqrt, lambda w: 0.5 / np.sqrt(w), np.array([1e-6, 1e-12, 3.0])),
        ("log", jnp.log, lambda w: 1 / w, np.array([1e-7, 1e-3, 3.0])),
        ("inverse", lambda w: 1 / w, lambda w: -1 / w**2, np.array([1e-4, 1e-2, 3.0])),
        ("power", lambda w: w**2.5, lambda w: 2.5 * w**1.5, np.array([1e-4, 1e-2, 3.0])),
        ("sin", lambda w: jnp.sin(1e4 * w), lambda w: 1e4 * np.cos(1e4 * w), V),
    ):
        yield Trap(f"edge/{name}", sum_of(f), given(g(at)), (at,), OK)
        wrong = g(at) * (1 + 1e-6 * (np.abs(g(at)) == np.abs(g(at)).max()))
        yield Trap(f"edge/{name}-wrong", sum_of(f), given(wrong), (at,), WRONG)
    root = sum_of(jnp.sqrt)
    yield Trap("edge/sqrt-at-0", root, given([1.0, 0.5]), (np.array([0.0, 1.0]),), OPEN, "its slope at 0 is infinite")
    inverse = sum_of(lambda w: 1 / w)
    yield Trap("edge/infinite", inverse, given([1.0, -1]), (np.array([0.0, 1.0]),), OPEN, "the loss is infinite there")


class Flaky:
    """Another answer at every so many calls."""

    def __init__(self, every: int, change: Callable):
        self.calls, self.every, self.change = itertools.count(1), every, change

    def __call__(self, w):
        right = 3 * np.asarray(w) ** 2
        return self.change(right) if next(self.calls) % self.every == 0 else right


def overwriting(w):
    gradient = 3 * w**2
    w *= 0.5
    return gradient


@jax.tree_util.register_dataclass
@dataclass
class Pair:
    first: Any
    second: Any


def conduct():
    """What a backward does besides computing, and what it returns."""
    cube = sum_of(lambda w: w**3)
    right = lambda w: 3 * w**2  # noqa: E731
    random = np.random.default_rng(3)
    rows = [
        ("jitted", jax.jit(right), OK, ""),
        ("numpy", lambda w: 3 * np.asarray(w) ** 2, OK, ""),
        ("list-of-numbers", lambda w: [3 * x**2 for x in w], WRONG, "expected a pytree like the parameters"),
        ("nan-every-second-call", Flaky(2, lambda g: g * np.nan), WRONG, "not deterministic"),
        ("nan-every-third-call", Flaky(3, lambda g: g * np.nan), WRONG, "not deterministic"),
        ("wrong-every-second-call", Flaky(2, lambda g: 2 * g), WRONG, "not deterministic"),
        ("another-shape-every-second-call", Flaky(2, lambda g: g[:2]), WRONG, "not deterministic"),
        ("noise", lambda w: 3 * np.asarray(w) ** 2 + 1e-6 * random.normal(size=5), WRONG, "not deterministic"),
        ("nan", lambda w: 3 * w**2 * np.array([1, 1, np.nan, 1, 1]), WRONG, "not finite"),
        ("infinite", lambda w: 3 * w**2 * np.array([1, 1, np.inf, 1, 1]), WRONG, "not finite"),
        ("complex", lambda w: 3 * w**2 + 0j, WRONG, "expected real numbers"),
        ("integers", lambda w: np.asarray(3 * w**2).astype(int), WRONG, "has dtype int64"),
        ("none", lambda w: None, WRONG, "lacks"),
        ("overwriting", overwriting, OK, "changed argument 0 in place"),
        ("column", lambda w: 3 * w[:, None] ** 2, WRONG, "reshape it"),
        ("scalar", lambda w: (3 * w**2).sum(), WRONG, "has shape ()"),
    ]
    for name, backward, verdict, says in rows:
        yield Trap(f"conduct/{name}", cube, backward, (W,), verdict, says=says)

    trees = {
        "dict": ({"a": W, "b": V}, lambda t: (t["a"], t["b"])),
        "list": ([W, V], lambda t: (t[0], t[1])),
        "none": ({"a": W, "b": None, "c": V}, lambda t: (t["a"], t["c"])),
        "dataclass": (Pair(W, V), lambda t: (t.first, t.second)),
        "nested": ((Pair([W], {"x": V}),), lambda t: (t[0].first[0], t[0].second["x"])),
        "scalar": ((np.float64(0.3), np.array([0.7])), lambda t: t),
        "empty": ((W, np.zeros((0, 3))), lambda t: (t[0], t[1])),
    }
    for name, (tree, parts) in trees.items():
        loss = lambda t, parts=parts: sum(jnp.sin(leaf).sum() for leaf in parts(t))  # noqa: E731
        cosines = lambda t: jax.tree.map(np.cos, t)  # noqa: E731
        yield Trap(f"tree/{name}", loss, cosines, (tree,), OK)
        yield Trap(f"tree/{name}-wrong", loss, lambda t: _spoilt(jax.tree.map(np.cos, t)), (tree,), WRONG)
    plus = lambda t, k: jnp.sin(t["a"]).sum() * k[1]  # noqa: E731
    yield Trap("tree/integers-beside", plus, lambda t, k: {"a": np.cos(t["a"]) * k[1]}, ({"a": W}, np.arange(3)), OK)


def _spoilt(tree):
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, [np.asarray(leaf) * (1 - 2e-8 * (i == 0)) for i, leaf in enumerate(leaves)])


def words():
    """Wrong causes that were once named."""
    one = sum_of(lambda w: w**2)
    yield Trap("words/one-entry", one, given([2.47]), (np.array([1.0]),), WRONG, says="is 2.47, should be 2")
    yield Trap("words/nearly-1", one, given(2 * W * (1 + 1e-7)), (W,), WRONG, says="right to 1e-06")
    yield Trap("words/nearly-1-visibly", one, given(2 * W * (1 + 2e-5)), (W,), WRONG, says="(1 + 2e-05) times")
    decayed = lambda w: jnp.sin(w).sum() + 0.05 * (w**2).sum()  # noqa: E731
    for name, factor, says in (("missing", 0, "lacks 0.1"), ("halved", 0.5, "lacks 0.05"), ("doubled", 2, "has 0.1")):
        gradient = np.cos(W) + 0.1 * factor * W
        yield Trap(f"words/penalty-{name}", decayed, given(gradient), (W,), WRONG, says=f"{says} times the parameter")


NORMAL = np.random.default_rng(77).normal
MATRIX, SHIFT, POINT = NORMAL(size=(6, 4)), NORMAL(size=6), NORMAL(size=4)


def recurrent(w, xs):
    def step(h, x):
        h = jnp.tanh(w["U"] @ h + w["W"] @ x)
        return h, h

    return (jax.lax.scan(step, jnp.zeros(3), xs)[1] ** 2).sum()


def unseen():
    """Rows that were written before anybody knew how they would be judged."""
    at, end = POINT, np.eye(4)[3]
    sine = ruled(jnp.sin, lambda x: jnp.cos(x) * (1 + 3e-7))
    weights, waves = np.arange(1.0, 5), np.cos(at) * np.arange(1, 5)
    first, zero, four = MATRIX[np.argmax(MATRIX @ at)], np.zeros(4), np.ones(4)
    largest, ordered = np.eye(4)[np.argmax(at)], np.array([3.0, 1, 2])
    squares = lambda w: 0.5 * ((jnp.asarray(MATRIX) @ w - SHIFT) ** 2).sum()  # noqa: E731
    slopes = MATRIX.T @ (MATRIX @ at - SHIFT)
    huber = lambda w: jnp.where(jnp.abs(w) < 1, 0.5 * w * w, jnp.abs(w) - 0.5).sum()  # noqa: E731
    knots, norm = np.array([1.0, -1.0, 0.3, 2.0]), lambda w: jnp.sqrt((w**2).sum())
    ranked = lambda w: jnp.max(w @ jnp.asarray(MATRIX.T)) + jnp.sort(w)[-1]  # noqa: E731
    far, chances = np.array([1000.0, 1000, -1000, 999]), np.exp(np.array([0.0, 0, -2000, -1]))
    chances = chances / chances.sum()
    cases = lambda w: jax.lax.cond(w[0] > 0, lambda v: (v**2).sum(), lambda v: (v**3).sum(), w)  # noqa: E731
    both = lambda w: jnp.maximum(w, 0).sum() - jnp.maximum(-w, 0).sum()  # noqa: E731
    small = lambda w: (jnp.abs(w) * 1e-9).sum() + (w[0] - 1) ** 2  # noqa: E731
    clipped, at_clips = sum_of(lambda w: jnp.clip(w, 0.0, 6.0)), np.array([0.0, 6, 3, 7])
    pooled = lambda w: jax.lax.reduce_window(w, -jnp.inf, jax.lax.max, (2,), (2,), "VALID").sum()  # noqa: E731
    tied, offset = np.array([2.0, 2, 1, 3]), lambda w: 1e8 + jnp.sin(w).sum()
    guarded = sum_of(lambda w: jnp.where(w == 0, 1.0, jnp.sin(w) / jnp.where(w == 0, 1.0, w)))
    rows = [
        ("squares", squares, slopes, at, OK),
        ("squares-one-entry", squares, slopes + 1e-7 * np.abs(slopes).max() * end, at, WRONG),
        ("huber-at-knots", huber, np.clip(knots, -1, 1), knots, OK),
        ("huber-at-knots-wrong", huber, [0.5, -1, 0.3, 1], knots, WRONG),
        ("norm", norm, at / np.linalg.norm(at), at, OK),
        ("norm-near-0", norm, at / np.linalg.norm(at), 1e-8 * at, OK),
        ("norm-near-0-with-epsilon", norm, 1e-8 * at / (1e-8 * np.linalg.norm(at) + 1e-10), 1e-8 * at, WRONG),
        ("norm-at-0", norm, zero, zero, OK),
        ("norm-at-0-outside", norm, 2 * four, zero, WRONG),
        ("ranked", ranked, first + largest, at, OK),
        ("ranked-wrong", ranked, first + np.roll(largest, 1), at, WRONG),
        ("logsumexp-far", jax.nn.logsumexp, chances, far, OK),
        ("logsumexp-far-wrong", jax.nn.logsumexp, chances * (1 + 1e-6 * np.eye(4)[1]), far, WRONG),
        ("logsumexp-far-sign", jax.nn.logsumexp, chances * (1 - 2 * end), far, WRONG),
        ("sine-declared-wrong", lambda w: (sine(w) * weights).sum(), waves, at, OK),
        ("sine-shared", lambda w: (sine(w) * weights).sum(), waves * (1 + 3e-7), at, WRONG),
        ("branch", cases, 2 * np.abs(at), np.abs(at), OK),
        ("branch-of-the-other", cases, 3 * at**2, np.abs(at), WRONG),
        ("relus-cancel", both, four, zero, OK),
        ("relus-cancel-wrong", both, zero, zero, WRONG),
        ("small-kinks", small, [-2.0, 5e-10, 0, 0], zero, OK),
        ("small-kinks-beyond", small, [-2.0, 5e-9, 0, 0], zero, WRONG),
        ("clip", clipped, [0.0, 1, 1, 0], at_clips, OK),
        ("clip-wrong", clipped, [0.0, 1, 1, 1e-3], at_clips, WRONG),
        ("pool-second-of-a-tie", pooled, [0.0, 1, 0, 1], tied, OK),
        ("pool-both-of-a-tie", pooled, [1.0, 1, 0, 1], tied, WRONG),
        ("median", jnp.median, [0.0, 0, 1], ordered, OK),
        ("median-wrong", jnp.median, [0.0, 1, 0], ordered, WRONG),
        ("offset", offset, np.cos(at), at, OK),
        ("offset-wrong", offset, np.cos(at) * (1 + 1e-8), at, WRONG),
        ("guarded", guarded, [0.0, 0], np.zeros(2), OK),
        ("guarded-wrong", guarded, [0.1, 0], np.zeros(2), WRONG),
    ]
    for name, f, gradient, point, verdict in rows:
        yield Trap(f"unseen/{name}", f, given(gradient), (point,), verdict)
    yield from unseen_arithmetic()


def unseen_arithmetic():
    """The same of losses in NumPy and float32, and of a loop."""
    at, why = POINT, "the loss's values are known to nine digits, and float32's to seven"
    soft, slopes = lambda w: float(np.log1p(np.exp(w)).sum() * 1e-5), 1e-5 / (1 + np.exp(-at))
    yield Trap("unseen/numpy-softplus", soft, given(slopes), (at,), OK)
    yield Trap("unseen/numpy-softplus-wrong", soft, given(slopes * (1 + 1e-4 * np.eye(4)[1])), (at,), WRONG)
    offset = lambda w: float(1e8 + np.sin(w).sum())  # noqa: E731
    yield Trap("unseen/numpy-offset", offset, given(np.cos(at)), (at,), OK, why)
    yield Trap("unseen/numpy-offset-wrong", offset, given(np.cos(at) * (1 + 1e-4)), (at,), WRONG, why)
    tanh, saturated = lambda w: float(np.tanh(np.asarray(w, np.float32)).sum()), np.array([3.0, 7, -12])
    yield Trap("unseen/numpy-float32", tanh, given(1 - np.tanh(saturated) ** 2), (saturated,), OK, why)
    single = lambda w: jnp.tanh(jnp.asarray(w, jnp.float32) @ jnp.asarray(MATRIX.T, jnp.float32)).sum()  # noqa: E731
    right = (1 - np.tanh(MATRIX @ at) ** 2) @ MATRIX
    yield Trap("unseen/float32", single, given(right), (at,), OK)
    yield Trap("unseen/float32-wrong", single, given(right * (1 + 1e-3)), (at,), WRONG)
    half = lambda w: np.cos(w).astype(np.float16)  # noqa: E731
    yield Trap("unseen/float16-backward", sum_of(jnp.sin), half, (at,), WRONG, says="float16")
    point, xs = {"U": NORMAL(size=(3, 3)), "W": NORMAL(size=(3, 2))}, NORMAL(size=(7, 2))
    with jax.enable_x64(True):
        loop = jax.tree.map(np.asarray, jax.grad(recurrent)(jax.tree.map(jnp.asarray, point), jnp.asarray(xs)))
    wrong = {**loop, "U": loop["U"] * (1 + 1e-7 * np.eye(3)[1])}
    yield Trap("unseen/loop", recurrent, lambda w, xs: loop, (point, xs), OK)
    yield Trap("unseen/loop-wrong", recurrent, lambda w, xs: wrong, (point, xs), WRONG)
    point = {"a": NORMAL(size=3), "b": 1e-9 * NORMAL(size=3)}
    mixed = lambda p: (jnp.exp(p["a"]) * jnp.sin(p["b"] * 1e9)).sum()  # noqa: E731
    e, s, c = np.exp(point["a"]), np.sin(point["b"] * 1e9), np.cos(point["b"] * 1e9)
    yield Trap("unseen/small-parameters", mixed, given({"a": e * s, "b": 1e9 * e * c}), (point,), OK)
    off = 1e9 * e * c * np.array([1, 1, 1 + 1e-7])
    yield Trap("unseen/small-parameters-wrong", mixed, given({"a": e * s, "b": off}), (point,), WRONG)


TRAPS = [*shared_rules(), *kinks(), *scales(), *arithmetic(), *conduct(), *words(), *unseen()]
