"""check_rule: right rules pass in every way they are called, wrong ones are named on the reference's line."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

Q, K, V = np.random.default_rng(0).normal(size=(3, 4, 3))


def declared(function, fwd, bwd, **options):
    """A jax.custom_vjp function."""
    rule = jax.custom_vjp(function, **options)
    rule.defvjp(fwd, bwd)
    return rule


def attention(q, k, v, causal):
    s = q @ k.T / jnp.sqrt(q.shape[-1])
    if causal:
        s = jnp.where(jnp.tril(jnp.ones(s.shape, bool)), s, -1e9)
    return jax.nn.softmax(s, axis=-1) @ v


def attention_fwd(q, k, v, causal):
    s = q @ k.T / jnp.sqrt(q.shape[-1])
    if causal:
        s = jnp.where(jnp.tril(jnp.ones(s.shape, bool)), s, -1e9)
    p = jax.nn.softmax(s, axis=-1)
    return p @ v, (q, k, v, p)


def attention_bwd(causal, kept, dy, scale=True, diagonal=False):
    q, k, v, p = kept
    dp = dy @ v.T
    ds = p * (1 - p) * dp if diagonal else p * (dp - (dp * p).sum(-1, keepdims=True))
    ds = ds / jnp.sqrt(q.shape[-1]) if scale else ds
    return ds @ k, ds.T @ q, p.T @ dy


def custom_attention(bwd=attention_bwd):
    return declared(attention, attention_fwd, bwd, nondiff_argnums=(3,))


def test_a_right_rule_with_arguments_that_are_not_differentiated():
    report = fnn.check_rule(custom_attention(), Q, K, V, True)
    report.assert_ok()
    assert [leaf.name for leaf in report.leaves] == ["args[0]", "args[1]", "args[2]"]
    assert "rule of attention" in str(report)


@pytest.mark.parametrize(
    ("slip", "expression"),
    [
        ({"scale": False}, "the division by `jnp.sqrt(q.shape[-1])` in `q @ k.T / jnp.sqrt(q.shape[-1])`"),
        ({"diagonal": True}, "stands for the full Jacobian of `jax.nn.softmax(s, axis=-1)`"),
    ],
    ids=["scale", "diagonal"],
)
def test_a_mistake_is_named_on_the_line_of_the_forward(slip, expression):
    report = fnn.check_rule(custom_attention(partial(attention_bwd, **slip)), Q, K, V, False)
    assert report.verdict == "WRONG"
    assert expression in report.diagnosis
    assert "dq and dk" in report.diagnosis
    assert "dv" not in report.diagnosis


def test_a_plain_reference_where_the_forward_cannot_be_differentiated():
    def on_host(x, w):
        return jax.pure_callback(lambda x, w: np.tanh(x @ w), jax.ShapeDtypeStruct((4, 2), x.dtype), x, w)

    def fwd(x, w):
        y = on_host(x, w)
        return y, (x, w, y)

    def bwd(kept, dy, power=2):
        x, w, y = kept
        dz = dy * (1 - y**power)
        return dz @ w.T, x.T @ dz

    def reference(x, w):
        return jnp.tanh(x @ w)

    w = V.T[:, :2]
    report = fnn.check_rule(declared(on_host, fwd, bwd), Q, w, reference=reference)
    report.assert_ok()
    assert any("under jax.vmap the function itself raises" in note for note in report.notes)
    fnn.check_rule(declared(on_host, fwd, bwd), Q, w).assert_ok()  # by central differences
    wrong = fnn.check_rule(declared(on_host, fwd, partial(bwd, power=1)), Q, w, reference=reference)
    assert wrong.verdict == "WRONG"
    assert "`jnp.tanh(x @ w)`" in wrong.diagnosis
    other = fnn.check_rule(declared(on_host, fwd, bwd), Q, w, reference=lambda x, w: jnp.tanh(x @ w) + 0.01 * w.sum())
    assert other.verdict == "WRONG"
    assert "the forward differs from the reference, the output at [" in other.diagnosis


class Cell(NamedTuple):
    h: jax.Array
    c: jax.Array


def test_trees_in_and_out_and_integers():
    def embed(table, cell, words):
        rows = table["E"][words]
        return Cell(h=jnp.sin(rows) * cell.c, c=rows + cell.h), words.sum()

    def fwd(table, cell, words):
        return embed(table, cell, words), (table, cell, words)

    def bwd(kept, arriving, repeated=True):
        table, cell, words = kept
        dy, rows = arriving[0], table["E"][words]
        drows = dy.h * cell.c * jnp.cos(rows) + dy.c
        at = jnp.zeros_like(table["E"]).at[words]
        return {"E": at.add(drows) if repeated else at.set(drows)}, Cell(h=dy.c, c=dy.h * jnp.sin(rows)), None

    words = np.array([1, 0, 1])
    table, cell = {"E": Q}, Cell(K[:3], V[:3])
    fnn.check_rule(declared(embed, fwd, bwd), table, cell, words).assert_ok()
    report = fnn.check_rule(declared(embed, fwd, partial(bwd, repeated=False)), table, cell, words)
    assert "dE: rows that are picked repeatedly are overwritten" in report.diagnosis
    assert '`table["E"][words]`' in report.diagnosis


def product_rule(when_zero):
    """x y and x + y with symbolic zeros; `when_zero` stands in for what arrives at an output that is not used."""

    def both(x, y):
        return x * y, x + y

    def fwd(x, y):
        return both(x.value, y.value), (x.value, y.value)

    def bwd(kept, arriving):
        x, y = kept
        given = [isinstance(d, jax.custom_derivatives.SymbolicZero) for d in arriving]
        dp, ds = (when_zero * jnp.ones(x.shape) if zero else d for zero, d in zip(given, arriving, strict=True))
        return dp * y + ds, dp * x + ds

    rule = jax.custom_vjp(both)
    rule.defvjp(fwd, bwd, symbolic_zeros=True)
    return rule


def test_symbolic_zeros():
    fnn.check_rule(product_rule(0.0), Q, K).assert_ok()
    report = fnn.check_rule(product_rule(1.0), Q, K)
    assert report.verdict == "WRONG"
    assert "when output 0 alone is used the backward gives another gradient" in report.diagnosis


def test_a_backward_must_be_linear_in_what_arrives():
    def double(x):
        return 2 * x

    for limit, verdict in ((100.0, "OK"), (3.0, "WRONG")):
        rule = declared(double, lambda x: (2 * x, None), lambda _, dy, limit=limit: (jnp.clip(2 * dy, -limit, limit),))
        report = fnn.check_rule(rule, np.array([0.5, 1.5, 2.5]))
        assert report.verdict == verdict
    assert "for the sum of two arriving gradients the backward gives another gradient" in report.diagnosis


def test_a_rule_that_goes_wrong_under_vmap():
    def centred(x):
        return x - jnp.mean(x)

    def fwd(x):
        return centred(x), None

    @jax.custom_batching.custom_vmap
    def back(dy):
        return dy - jnp.mean(dy)

    @back.def_vmap
    def _(size, batched, dy):
        return dy - jnp.mean(dy), True  # over the batch as well

    report = fnn.check_rule(declared(centred, fwd, lambda _, dy: (back(dy),)), np.array([1.0, 2.0, 4.0]))
    assert report.verdict == "WRONG"
    assert "under jax.vmap the backward gives another gradient" in report.diagnosis


def test_custom_jvp():
    def softplus(x, beta):
        return jnp.logaddexp(beta * x, 0.0) / beta

    for wrong in (False, True):
        rule = jax.custom_jvp(softplus, nondiff_argnums=(1,))

        @rule.defjvp
        def _(beta, primals, tangents, wrong=wrong):
            (x,), (t,) = primals, tangents
            return softplus(x, beta), jax.nn.sigmoid(x if wrong else beta * x) * t

        report = fnn.check_rule(rule, np.array([0.3, -1.2, 2.0]), 2.0)
        assert report.verdict == ("WRONG" if wrong else "OK")
    jitted = jax.jit(rule, static_argnums=1)
    assert fnn.check_rule(jitted, np.array([0.3, -1.2, 2.0]), 2.0).verdict == "WRONG"


def test_a_function_that_calls_a_rule():
    square = declared(lambda x: x**2, lambda x: (x**2, x), lambda x, dy: (x * dy,))

    def energy(x):
        return jnp.sum(square(x))

    report = fnn.check_rule(energy, np.array([1.0, -2.0]))
    assert report.verdict == "WRONG"


def test_residuals_of_less_precision_are_told():
    def fwd(x):
        return jnp.sin(x), x.astype(jnp.bfloat16)

    rule = declared(jnp.sin, fwd, lambda x, dy: ((dy * jnp.cos(x)).astype(dy.dtype),))
    report = fnn.check_rule(rule, np.array([0.3, 1.1, -2.0]))
    report.assert_ok()
    assert any("bfloat16" in note for note in report.notes)
    wrong = declared(jnp.sin, fwd, lambda x, dy: ((dy * jnp.cos(x) / 2).astype(dy.dtype),))
    assert fnn.check_rule(wrong, np.array([0.3, 1.1, -2.0])).verdict == "WRONG"


def test_a_forward_that_takes_nothing_but_float32():
    def kernel(x):
        assert x.dtype == jnp.float32
        return jnp.tanh(x)

    for wrong in (False, True):
        rule = declared(
            kernel, lambda x: (kernel(x), x), lambda x, dy, wrong=wrong: (dy * (1 - kernel(x) ** (2 - wrong)),)
        )
        report = fnn.check_rule(rule, Q.astype(np.float32))
        assert report.verdict == ("WRONG" if wrong else "OK")
        assert report.precision == "float32"


def test_the_forward_within_a_rule_is_the_function():
    rule = declared(jnp.sin, lambda x: (1.1 * jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),))
    report = fnn.check_rule(rule, Q)
    assert report.verdict == "WRONG"
    assert "the forward of its rule differs from the function itself, the output at [" in report.diagnosis


# A pair with its cache


def affine_forward(x, w, b):
    assert isinstance(x, np.ndarray)  # a NumPy function gets NumPy arrays
    z = x @ w + b
    return np.maximum(z, 0), (x, w, z)


def affine_backward(dout, cache):
    x, w, z = cache
    dz = dout * (z > 0)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def affine(x, w, b):
    return jax.nn.relu(x @ w + b)


def test_a_pair_in_numpy():
    w, b = V.T[:, :2], np.array([0.2, -0.9])
    fnn.check_rule((affine_forward, affine_backward), Q, w, b).assert_ok()
    fnn.check_rule((affine_forward, affine_backward), Q, w, b, reference=affine).assert_ok()

    def forgetful(dout, cache):
        x, w, _ = cache
        return dout @ w.T, x.T @ dout, dout.sum(axis=0)

    report = fnn.check_rule((affine_forward, forgetful), Q, w, b, reference=affine)
    assert report.verdict == "WRONG"
    assert "`jax.nn.relu(x @ w + b)`" in report.diagnosis
    assert "mask is forgotten" in report.diagnosis


def test_a_pair_that_has_no_gradient_of_its_data():
    def forward(p, x):
        h = np.tanh(x @ p["W"])
        return (h**2).sum(), {"h": h, "x": x}

    def backward(dout, cache):
        return {"W": cache["x"].T @ (2 * dout * cache["h"] * (1 - cache["h"] ** 2))}

    report = fnn.check_rule((forward, backward), {"W": K.T[:, :2]}, Q)
    report.assert_ok()
    assert "the backward returns no gradient of x, and none is judged" in report.notes


def test_a_pair_of_this_library():
    params = fnn.DenseParams(W=Q, b=K[:, 0])

    def fwd(params, x):
        return x @ params.W.T + params.b, (params, x)

    def bwd(residuals, dz):
        params, x = residuals
        return fnn.DenseParams(W=dz.T @ x, b=dz.mean(axis=0)), dz @ params.W

    report = fnn.check_rule((fwd, bwd), params, V)
    assert report.verdict == "WRONG"
    assert report.diagnosis.startswith("db is 0.25 times the right one")


# Wrong calls, in words


def times(x, y):
    return x * y


def test_what_is_no_rule_is_refused():
    with pytest.raises(TypeError, match=r"check_rule expects a function decorated .* got 3"):
        fnn.check_rule(3, Q)
    with pytest.raises(ValueError, match=r"a custom derivative in it, got times, which JAX differentiates by itself"):
        fnn.check_rule(times, Q, K)
    with pytest.raises(ValueError, match=r"expects an argument of floating-point numbers, got 1 without"):
        fnn.check_rule(custom_attention(), np.array([1, 2]))
    with pytest.raises(ValueError, match=r"expects outputs of floating-point numbers"):
        fnn.check_rule(declared(lambda x: x > 0, lambda x: (x > 0, None), lambda _, dy: (None,)), Q)


def test_a_backward_of_the_wrong_form_is_wrong_in_words():
    rule = declared(times, lambda x, y: (x * y, (x, y)), lambda kept, dy: (dy * kept[1],))
    report = fnn.check_rule(rule, Q, K)
    assert report.verdict == "WRONG"
    assert "the backward can't be used: TypeError: Custom VJP" in report.diagnosis
    with_reference = fnn.check_rule(rule, Q, K, reference=lambda x, y: (x * y).sum())
    assert "the forward's outputs have the shapes [(4, 3)], the reference's [()]" in with_reference.diagnosis
