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
from fnn.verify import answers, blind_spots, check, compare, diagnosis, kinks, matching, oracles
from fnn.verify.chain import Mutant
from fnn.verify.mistakes.catalogue import planted
from fnn.verify.report import OK

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


def spots():
    return len(fnn.check(NET, POINT.params, POINT.x[:1], POINT.y[:1]).blind_spots) > 0


def skip_last_leaf(evidence, got, tolerance):
    rows = [compare._judge(evidence, i, got[i], tolerance) for i in range(len(got))]
    return [*rows[:-1], replace(rows[-1], verdict=OK)]


def no_autodiff(evidence, i, got, tolerance):
    row = JUDGE(evidence, i, got, tolerance)
    return replace(row, verdict="WRONG" if row.difference_error > 1e-6 else OK)


JUDGE = compare._judge
LOOSE64, LOOSE32 = {"float64": 1e-5, "float32": 1e-5}, {"float64": 1e-9, "float32": 1e-2}
TIGHT32 = {"float64": 1e-9, "float32": 1e-9}
BROKEN = {
    "float64 tolerance loosened": (check, "TOLERANCE", LOOSE64, lambda: verdict(scaled(1 + 1e-8))),
    "float32 tolerance loosened": (check, "TOLERANCE", LOOSE32, lambda: verdict(single(scaled(1.001)))),
    "float32 tolerance tightened": (check, "TOLERANCE", TIGHT32, lambda: verdict(single(scaled(1 + 3e-6)))),
    "differences beyond what they can do": (compare, "DIFFERENCES", 1e-16, misled_autodiff),
    "differences never conclusive": (oracles.Slope, "conclusive", lambda self, tolerance: False, misled_autodiff),
    "autodiff dropped": (compare, "_judge", no_autodiff, lambda: verdict(scaled(1 + 1e-8))),
    "last leaf skipped": (check, "compare", skip_last_leaf, lambda: verdict(last_bias_wrong)),
    "structure not compared": (check, "structure_fault", lambda *_: None, lambda: verdict(as_list)),
    "second call not made": (answers, "_spread", lambda *_: 0.0, lambda: verdict(unstable())),
    "kinks not looked for": (diagnosis, "kinks_of", lambda *_: [], from_the_right),
    "kinks out of reach": (kinks, "_REACH", {"float64": -1.0}, from_the_right),
    "conventions at kinks forgotten": (kinks, "CONVENTIONS", {}, from_the_right),
    "free choice at kinks forgotten": (kinks, "_fitted", lambda *_: None, of_its_own),
    "catalogue emptied": (matching, "all_mutants", lambda chain: [], lambda: cause("sign")),
    "every cause fits": (matching, "miss_of", lambda *_: 0.5, lambda: cause("bias-missing")),
    "only the lowest step searched": (Mutant, "top", lambda self, chain: -1, lambda: cause("bias-missing")),
    "blind spots not looked for": (diagnosis, "blind_spots", lambda chain: (), spots),
    "nothing coincides": (blind_spots, "coinciding", lambda chain: [], spots),
}


@pytest.mark.parametrize("name", BROKEN)
def test_some_check_notices(name, monkeypatch):
    module, attribute, broken, outcome = BROKEN[name]
    right = outcome()
    monkeypatch.setattr(module, attribute, broken)
    assert outcome() != right
