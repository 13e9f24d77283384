"""The checker itself, broken on purpose: each part that is taken out of it is missed by some check.

A checker that can't fail proves nothing. Every row breaks one part and names a small check whose outcome changes; the
tests of the checker hold the right outcomes.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.verify import answers, blind_spots, check, choices, compare, diagnosis, evidence, matching, one_sided, oracles
from fnn.verify.chain import Mutant
from fnn.verify.mistakes.catalogue import planted
from fnn.verify.report import KINKED, OK

NET = fnn.mlp(4, 5, 3)
POINT = fnn.good_point(NET, jax.random.key(0))


def verdict(backward, point=POINT, net=NET):
    return fnn.check(net, *point, backward).verdict


def scaled(factor):
    return lambda *args: jax.tree.map(lambda g: factor * g, NET.backward(*args))


def last_bias_wrong(*args):
    grads = NET.backward(*args)
    return (*grads[:2], grads[2]._replace(b=2 * grads[2].b))


def misled_autodiff():
    """A loss whose custom derivative lies, and a backward that believes it."""

    @jax.custom_jvp
    def square(z):
        return z**2

    square.defjvp(lambda primals, tangents: (square(*primals), 3 * primals[0] * tangents[0]))
    return fnn.check_gradient(lambda v: square(v).sum(), lambda v: 3 * v, jnp.array([1.0, 2.0])).verdict


def single(backward):
    def in_float32(params, x, y):
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return jax.tree.map(np.float32, backward(params, x, y))

    return in_float32


def as_list(*args):
    return list(scaled(1)(*args))


def unstable():
    """Right at the first call and wrong at the second."""
    seen = []
    return lambda *args: scaled(1 + len(seen))(*args) if seen.append(0) is None and len(seen) == 2 else scaled(1)(*args)


def kinked(relu):
    net = fnn.mlp(4, 5, 3)
    params, x, y = net.init(jax.random.key(1)), POINT.x.at[2].set(0), POINT.y

    def loss(p, x, y):
        return fnn.softmax_cross_entropy(relu(x @ p[0].W.T + p[0].b) @ p[2].W.T + p[2].b, y)

    report = fnn.check(net, params, x, y, jax.grad(loss))
    return report.verdict, report.notes


def from_the_right():
    return kinked(lambda z: jnp.where(z >= 0, z, 0))


def of_its_own():
    return kinked(lambda z: jnp.where(z > 0, z, 0.3 * jnp.where(z == 0, z, 0)))


def cause(mistake):
    report = fnn.check(NET, *POINT, planted(NET, mistake))
    return [c.mistake for c in report.causes]


def cause_at_one_point(mistake):
    """The cause of numbers that are the same wherever they are asked for: no second point can refute it."""
    gradient = planted(NET, mistake)(*POINT)
    return [c.mistake for c in fnn.check(NET, *POINT, lambda *_: gradient).causes]


def spots():
    return len(fnn.check(NET, POINT.params, POINT.x[:1], POINT.y[:1]).blind_spots) > 0


def gradient_verdict(loss, gradient, at):
    return fnn.check_gradient(loss, lambda *_: np.array(gradient, float), np.array(at, float)).verdict


def cube(w):
    return (w**3).sum()


def small_leaf():
    """A leaf 10⁻⁷ times as large as the other, with its sign wrong."""
    loss = lambda p: (p["a"] ** 2).sum() + 1e-7 * (p["b"] ** 2).sum()  # noqa: E731
    at = {"a": np.ones(2), "b": np.array([1.0, 2.0])}
    return fnn.check_gradient(loss, lambda p: {"a": 2 * p["a"], "b": -2e-7 * p["b"]}, at).verdict


def shared_rule():
    """A derivative that hand and forward share is off by 10⁻⁷, which no slope shows."""
    cubes = jax.custom_vjp(lambda w: w**3)
    cubes.defvjp(lambda w: (w**3, w), lambda w, d: (3 * (1 + 1e-7) * d * w**2,))
    at = np.array([1.0, 2.0])
    return gradient_verdict(lambda w: cubes(w).sum(), 3 * (1 + 1e-7) * at**2, at)


def found_by_slopes():
    """Right by bisection, which autodiff can't see through: only the loss's own values take its side."""

    def root(a):
        def halve(_, bounds):
            middle = sum(bounds) / 2
            return jnp.where(middle**2 > a, bounds[0], middle), jnp.where(middle**2 > a, middle, bounds[1])

        return jax.lax.fori_loop(0, 60, halve, (0 * a, 0 * a + 9))[0].sum()

    return gradient_verdict(root, [0.25, 1 / 6], [4.0, 9.0])


def unheard(f, derivative):
    """A function behind a loop without a length, which only a declared derivative gets autodiff through."""
    lifted = jax.custom_vjp(lambda w: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, f(w)), (0, w))[1])
    lifted.defvjp(lambda w: (f(w), w), lambda w, d: (d * derivative(w),))
    return lambda w: lifted(w).sum()


def not_independent():
    """What is declared is all that autodiff knows: differences decide."""
    return gradient_verdict(unheard(lambda w: w**3, lambda w: 3 * w**2), [3.0, 12.0], [1.0, 2.0])


def two_of_thirty():
    """Two entries are wrong by 1 and −1 in a gradient that the forward declares and nobody else knows."""
    at, (v, w) = np.linspace(1, 2, 30), two_directions((30,))
    first, second = np.flatnonzero((v == v[0]) & (w == w[0]))[:2]
    off = np.eye(30)[first] - np.eye(30)[second]
    return gradient_verdict(unheard(lambda w: w**2, lambda w: 2 * w + off), 2 * at + off, at)


def two_directions(shape):
    random = np.random.default_rng(0)
    return [random.choice([-1.0, 1.0], shape) for _ in range(2)]


def probes_of_two(self, i):
    return [self.probe(i, v) for v in two_directions(self.leaves[i].shape)]


def near_kink():
    return gradient_verdict(lambda w: jnp.maximum(w[0] - w[1], 0), [0.5, -0.5], [1 + 1e-9, 1.0])


def not_joint():
    return gradient_verdict(lambda w: jnp.abs(w.sum()), [0.5, -0.5], [0.0, 0.0])


def outside():
    return gradient_verdict(lambda w: jnp.abs(w).sum(), [2.5, 1.0], [0.0, 0.3])


def numpy_outside():
    return gradient_verdict(lambda w: float(np.abs(w).sum()), [2.5, 1.0], [0.0, 0.3])


def share_of_its_own():
    return gradient_verdict(lambda w: jnp.abs(w).sum(), [0.1, -0.3], [0.0, 0.0])


def zero_leaf(gradient):
    """A leaf that is 0 but for rounding."""

    def loss(p):
        z = p["w"] + p["b"]
        return jnp.sin(z - z.mean()).sum() + 1e3 * jnp.square(z - z.mean()).sum()

    at = {"w": np.linspace(-1, 1.3, 5), "b": np.array([0.3])}
    with oracles.precise():
        right = jax.tree.map(np.asarray, jax.grad(loss)(jax.tree.map(jnp.asarray, at)))
    return fnn.check_gradient(loss, lambda p: right | {"b": np.array([gradient])}, at).verdict


def in_single():
    """A loss that computes in float32, its exact gradient and a wrong one."""
    loss = lambda w: (jnp.asarray(w, jnp.float32) ** 3).sum()  # noqa: E731
    at = np.array([0.7, -1.3, 0.4])
    return [gradient_verdict(loss, factor * 3 * at**2, at) for factor in (1, 1.001)]


def by_subtraction():
    """σ(z) − 1 by subtraction rounds where autodiff of softplus does not."""
    loss = lambda w: jnp.log1p(jnp.exp(-w)).sum()  # noqa: E731
    return fnn.check_gradient(loss, lambda w: 1 / (1 + jnp.exp(-w)) - 1, np.array([22.0, 21.0])).verdict


def noisy():
    random = np.random.default_rng(0)
    return fnn.check_gradient(
        cube, lambda w: 3 * np.asarray(w) ** 2 + 1e-6 * random.normal(size=2), np.array([1.0, 2.0])
    ).verdict


def noisy_numpy():
    single = lambda w: float((np.asarray(w, np.float32) ** 2).sum())  # noqa: E731
    return fnn.check_gradient(single, lambda w: 2 * w, np.array([0.7, -1.3, 0.4])).verdict


def near_the_edge():
    return gradient_verdict(lambda w: float(np.sqrt(w).sum()), [0.5 * 1e-9**-0.5, 0.25], [1e-9, 4.0])


def twelve_times():
    """Twelve times the gradient at n = 6 is neither a missing 1/n nor a factor 2."""
    point = fnn.good_point(NET, jax.random.key(0))
    batch = jnp.tile(point.x, (2, 1))[:6], jnp.tile(point.y, 2)[:6]
    return fnn.check(NET, point.params, *batch, scaled(12)).causes


def skip_last_leaf(evidence, answer):
    rows = [compare._judge(evidence, answer, i) for i in range(len(evidence.right))]
    return [*rows[:-1], replace(rows[-1], verdict=OK)]


def accept_kinks(evidence, answer, rows, kinks):
    return tuple(replace(row, verdict=OK) if row.reason == KINKED else row for row in rows), ""


def of_the_tree(evidence, answer, i):
    return 1e-6 * max(float(np.abs(leaf).max(initial=0)) for leaf in evidence.right)


VALUE_AND_GRAD = evidence._value_and_grad


def believing(f, through, params, rest):
    return VALUE_AND_GRAD(f, False, params, rest)


LOOSE64, LOOSE32 = {"float64": 1e-5, "float32": 1e-5}, {"float64": 1e-9, "float32": 1e-2}
TIGHT32 = {"float64": 1e-9, "float32": 1e-9}
NO_ROUNDING = property(lambda self: (0.0,) * len(self.leaves))
BROKEN = {
    "float64 tolerance loosened": (compare, "TOLERANCE", LOOSE64, lambda: verdict(scaled(1 + 1e-8))),
    "float32 tolerance loosened": (compare, "TOLERANCE", LOOSE32, lambda: verdict(single(scaled(1.001)))),
    "the scale of the tree": (compare, "limit_of", of_the_tree, small_leaf),
    "rounding not measured": (evidence.Evidence, "rounding", lambda self, _: (0.0,) * 9, lambda: zero_leaf(2e-14)),
    "rounding of float32 not measured": (evidence.Evidence, "rounding", lambda self, _: (0.0,) * 9, in_single),
    "all the tree's rounding for each leaf": (evidence.Evidence, "rounding", lambda self, _: (1.0,) * 9, in_single),
    "rounding a thousand times too wide": (compare, "MARGIN", 1e6, lambda: zero_leaf(1e-9)),
    "the backward's rounding not measured": (answers.Answer, "rounding", NO_ROUNDING, by_subtraction),
    "noise taken for rounding": (answers, "_difference", lambda *_: 0.0, noisy),
    "custom derivatives believed": (evidence, "_value_and_grad", believing, shared_rule),
    "slopes never conclusive": (compare._Leaf, "tells", lambda self, probe: False, not_independent),
    "slopes take no side": (compare, "_says", lambda *_: "no", found_by_slopes),
    "slopes take every side": (compare, "_says", lambda *_: "yes", lambda: verdict(scaled(1 + 1e-8))),
    "two directions of two signs": (evidence.Evidence, "probes", probes_of_two, two_of_thirty),
    "last leaf skipped": (check, "compare", skip_last_leaf, lambda: verdict(last_bias_wrong)),
    "structure not compared": (check, "structure_fault", lambda *_: None, lambda: verdict(as_list)),
    "further calls not made": (answers, "_difference", lambda *_: 0.0, lambda: verdict(unstable())),
    "noise not measured": (evidence.Evidence, "noise", 0.0, noisy_numpy),
    "steps of one size": (evidence, "_towards", lambda smallest: oracles.LADDER, near_the_edge),
    "kinks pardon everything": (check, "settle", accept_kinks, not_joint),
    "kinks not looked for": (choices, "_find", lambda e, _: choices.Kinks(e, (None,)), from_the_right),
    "kinks far away": (choices, "MARGIN", 1e18, near_kink),
    "conventions at kinks forgotten": (choices, "_CONVENTIONS", {0.0: "the derivative from the left"}, from_the_right),
    "free choice at kinks forgotten": (choices, "_by_steps", lambda *_: None, share_of_its_own),
    "shares beyond both sides": (choices, "_NEAR", 2.0, outside),
    "slopes beyond both sides": (one_sided, "_NEAR", 2.0, numpy_outside),
    "catalogue emptied": (matching, "all_mutants", lambda chain: [], lambda: cause("sign")),
    "every cause fits": (matching, "miss_of", lambda *_: 0.5, lambda: cause_at_one_point("bias-missing")),
    "only the lowest step searched": (Mutant, "top", lambda self, chain: -1, lambda: cause("bias-missing")),
    "no second point": (diagnosis, "_asked_again", lambda match, question: match, twelve_times),
    "blind spots not looked for": (diagnosis, "blind_spots", lambda chain: (), spots),
    "nothing coincides": (blind_spots, "coinciding", lambda chain: [], spots),
}


@pytest.mark.parametrize("name", BROKEN)
def test_some_check_notices(name, monkeypatch):
    module, attribute, broken, outcome = BROKEN[name]
    right = outcome()
    monkeypatch.setattr(module, attribute, broken)
    assert outcome() != right
