"""Pairs of programs for the prover: equal ones that it should prove, different ones that it must never prove."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn


class Pair(NamedTuple):
    name: str
    f: Any
    g: Any
    args: tuple


def n(seed, *s):
    return jnp.asarray(np.random.default_rng(seed).normal(size=s), jnp.float32)


X = n(1, 3, 4)
Y = n(2, 3, 4)
W = n(3, 4, 4)
V = n(4, 4, 2)
B = n(5, 4)
P = jnp.abs(X) + 0.2
Q = jnp.abs(Y) + 0.3
S = n(6, 5)
T5 = n(7, 5, 4)
EQUAL: list = []
DIFFERENT: list = []


def eq(name, f, g, *args):
    EQUAL.append(Pair(name, f, g, args))


def ne(name, f, g, *args):
    DIFFERENT.append(Pair(name, f, g, args))


# attention
def att(q, k, v, mask=None, scale=None):
    s = q @ k.T * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        s = jnp.where(mask, s, -jnp.inf)
    return nn.softmax(s) @ v


causal = jnp.tril(jnp.ones((5, 5), bool))


def att_naive(q, k, v, mask=None):
    s = jnp.exp(q @ k.T / 2.0)
    if mask is not None:
        s = s * mask
    return (s @ v) / s.sum(1, keepdims=True)


K5, V5 = n(8, 5, 4), n(9, 5, 4)
eq("attention", att, att_naive, T5, K5, V5)
eq(
    "attention causal",
    lambda q, k, v: att(q, k, v, causal),
    lambda q, k, v: att_naive(q, k, v, causal.astype(q.dtype)),
    T5,
    K5,
    V5,
)


def online(q, k, v):
    def step(c, kv):
        m, total, o = c
        k, v = kv
        s = q @ k / 2.0
        m2 = jnp.maximum(m, s)
        a = jnp.exp(m - m2)
        p = jnp.exp(s - m2)
        return (m2, total * a + p, o * a[:, None] + p[:, None] * v), None

    m = q @ k[0] / 2.0
    (_, total, o), _ = lax.scan(
        step, (m, jnp.ones(q.shape[0]), jnp.broadcast_to(v[0], (q.shape[0], v.shape[1]))), (k[1:], v[1:])
    )
    return o / total[:, None]


eq("flash attention", att, online, T5, K5, V5)


def att_grad_hand(q, k, v, do):
    p = nn.softmax(q @ k.T / 2.0)
    dv = p.T @ do
    dp = do @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True)) / 2.0
    return ds @ k, ds.T @ q, dv


eq("attention grad", att_grad_hand, lambda q, k, v, do: jax.vjp(att, q, k, v)[1](do), T5, K5, V5, n(10, 5, 4))
eq(
    "multi head",
    lambda x, w: jnp.einsum(
        "hts,shd->thd",
        nn.softmax(jnp.einsum("thd,shd->hts", (x @ w).reshape(5, 2, 2), x.reshape(5, 2, 2))),
        x.reshape(5, 2, 2),
    ).reshape(5, 4),
    lambda x, w: jnp.concatenate(
        [
            nn.softmax((x @ w)[:, 2 * i : 2 * i + 2] @ x[:, 2 * i : 2 * i + 2].T) @ x[:, 2 * i : 2 * i + 2]
            for i in range(2)
        ],
        1,
    ),
    T5,
    W,
)


# norms
def ln(x, g, b, eps=1e-5):
    m = x.mean(-1, keepdims=True)
    v = ((x - m) ** 2).mean(-1, keepdims=True)
    return g * (x - m) / jnp.sqrt(v + eps) + b


eq(
    "ln var forms",
    lambda x, g, b: ln(x, g, b),
    lambda x, g, b: (
        g
        * (x - x.mean(-1, keepdims=True))
        * lax.rsqrt((x * x).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2 + 1e-5)
        + b
    ),
    X,
    B,
    n(11, 4),
)


def ln_bwd(x, g, b, dy):
    m = x.mean(-1, keepdims=True)
    r = lax.rsqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5)
    h = (x - m) * r
    d = dy * g
    return r * (d - d.mean(-1, keepdims=True) - h * (d * h).mean(-1, keepdims=True)), (dy * h).sum(0), dy.sum(0)


eq("ln bwd", ln_bwd, lambda x, g, b, dy: jax.vjp(ln, x, g, b)[1](dy), X, B, n(11, 4), Y)


def rms(x, g):
    return x * g * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)


eq(
    "rms bwd",
    lambda x, g, dy: (lambda r: (r * dy * g - x * r**3 * (dy * g * x).mean(-1, keepdims=True), (dy * x * r).sum(0)))(
        lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    ),
    lambda x, g, dy: jax.vjp(rms, x, g)[1](dy),
    X,
    B,
    Y,
)
eq(
    "two lns",
    lambda x, g, b: ln(ln(x, g, b), g, b),
    lambda x, g, b: (lambda h: g * (h - h.mean(-1, keepdims=True)) * lax.rsqrt(h.var(-1, keepdims=True) + 1e-5) + b)(
        ln(x, g, b)
    ),
    X,
    B,
    n(11, 4),
)
eq(
    "l2 normalize",
    lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True),
    lambda x: x * lax.rsqrt(jnp.sum(x * x, 1, keepdims=True)),
    X,
)
eq(
    "cosine",
    lambda x, y: (x * y).sum(1) / (jnp.linalg.norm(x, axis=1) * jnp.linalg.norm(y, axis=1)),
    lambda x, y: (x / jnp.linalg.norm(x, axis=1, keepdims=True) * y / jnp.linalg.norm(y, axis=1, keepdims=True)).sum(1),
    X,
    Y,
)


# recurrent
def lstm(c, x, W, U):
    h, s = c
    i, f, o, g = jnp.split(W @ x + U @ h, 4)
    s = nn.sigmoid(f) * s + nn.sigmoid(i) * jnp.tanh(g)
    h = nn.sigmoid(o) * jnp.tanh(s)
    return (h, s), h


eq(
    "lstm scan",
    lambda xs, W, U: lax.scan(lambda c, x: lstm(c, x, W, U), (jnp.zeros(2), jnp.zeros(2)), xs)[1],
    lambda xs, W, U: (lambda a: jnp.stack([a[0][1], a[1][1], a[2][1]]))(
        [c for c in [lstm((jnp.zeros(2), jnp.zeros(2)), xs[0], W, U)] for c in [c, lstm(c[0], xs[1], W, U)]]
        + [lstm(lstm(lstm((jnp.zeros(2), jnp.zeros(2)), xs[0], W, U)[0], xs[1], W, U)[0], xs[2], W, U)]
    ),
    X,
    n(12, 8, 4),
    n(13, 8, 2),
)


def gru(h, x, W, U):
    z, r = nn.sigmoid(x @ W), nn.sigmoid(h @ U)
    return (1 - z) * h + z * jnp.tanh(x @ W + (r * h) @ U)


eq(
    "gru forms",
    gru,
    lambda h, x, W, U: (lambda z, r: h + z * (jnp.tanh(x @ W + (r * h) @ U) - h))(
        1 / (1 + jnp.exp(-x @ W)), 1 - nn.sigmoid(-(h @ U))
    ),
    X,
    Y,
    W,
    n(14, 4, 4),
)
eq("tanh from sigmoid", jnp.tanh, lambda x: 2 * nn.sigmoid(2 * x) - 1, X)
eq(
    "rnn grad",
    lambda xs, U: jax.grad(lambda U: lax.scan(lambda h, x: (jnp.tanh(U @ h + x), None), jnp.zeros(4), xs)[0].sum())(U),
    lambda xs, U: jax.grad(lambda U: jnp.tanh(U @ jnp.tanh(U @ jnp.tanh(xs[0]) + xs[1]) + xs[2]).sum())(U),
    X,
    W,
)
# losses
lab = jnp.array([0, 2, 1])
eq(
    "ce",
    lambda z: -nn.log_softmax(z)[jnp.arange(3), lab].mean(),
    lambda z: (jnp.log(jnp.exp(z).sum(1)) - z[jnp.arange(3), lab]).sum() / 3,
    X,
)
eq(
    "ce grad",
    jax.grad(lambda z: -nn.log_softmax(z)[jnp.arange(3), lab].mean()),
    lambda z: (nn.softmax(z) - nn.one_hot(lab, 4)) / 3,
    X,
)
eq(
    "bce",
    lambda z, y: (nn.softplus(z) - z * y).mean(),
    lambda z, y: -(y * nn.log_sigmoid(z) + (1 - y) * nn.log_sigmoid(-z)).mean(),
    X,
    P / 5,
)
eq(
    "bce clip form",
    lambda z, y: (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).sum(),
    lambda z, y: (nn.softplus(z) - z * y).sum(),
    X,
    Y,
)
eq(
    "focal",
    lambda z: ((1 - nn.sigmoid(z)) ** 2 * nn.softplus(-z)).sum(),
    lambda z: -(nn.sigmoid(-z) ** 2 * jnp.log(nn.sigmoid(z))).sum(),
    X,
)
eq(
    "kl",
    lambda a, b: (nn.softmax(a) * (nn.log_softmax(a) - nn.log_softmax(b))).sum(),
    lambda a, b: (nn.softmax(a) * jnp.log(nn.softmax(a) / nn.softmax(b))).sum(),
    X,
    Y,
)
eq(
    "gauss nll",
    lambda x, m, s: (0.5 * ((x - m) / s) ** 2 + jnp.log(s) + 0.5 * jnp.log(2 * jnp.pi)).sum(),
    lambda x, m, s: -jnp.log(jnp.exp(-0.5 * ((x - m) / s) ** 2) / (s * jnp.sqrt(2 * jnp.pi))).sum(),
    X,
    Y,
    P,
)
eq(
    "gauss kl",
    lambda m, ls: 0.5 * (jnp.exp(2 * ls) + m**2 - 1 - 2 * ls).sum(),
    lambda m, ls: (-ls + (jnp.exp(ls) ** 2 + m * m) / 2 - 0.5).sum(),
    X,
    Y,
)
eq("logsumexp shift", lambda z: nn.logsumexp(z + 3.0, axis=1), lambda z: nn.logsumexp(z, axis=1) + 3.0, X)
eq(
    "entropy",
    lambda z: -(nn.softmax(z) * nn.log_softmax(z)).sum(1),
    lambda z: nn.logsumexp(z, axis=1) - (nn.softmax(z) * z).sum(1),
    X,
)
eq(
    "log cosh",
    lambda x: jnp.log(jnp.cosh(x)),
    lambda x: jnp.abs(x) + jnp.log1p(jnp.exp(-2 * jnp.abs(x))) - jnp.log(2.0),
    X,
)
# conv
im, ker = n(15, 1, 5, 5, 1), n(16, 3, 3, 1, 2)


def conv(x, k):
    return lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


eq(
    "conv shifts",
    conv,
    lambda x, k: sum(x[:, i : i + 3, j : j + 3] * k[i, j, 0] for i in range(3) for j in range(3)),
    im,
    ker,
)
eq(
    "conv same pad",
    lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),
    lambda x, k: conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), k),
    im,
    ker,
)
eq(
    "conv grad",
    lambda x, k, d: jax.vjp(conv, x, k)[1](d)[1],
    lambda x, k, d: jnp.stack(
        [jnp.stack([jnp.einsum("nabc,nabo->co", x[:, i : i + 3, j : j + 3], d) for j in range(3)]) for i in range(3)]
    ),
    im,
    ker,
    n(17, 1, 3, 3, 2),
)
eq(
    "avg pool",
    lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4,
    lambda x: x[:, :4, :4].reshape(1, 2, 2, 2, 2, 1).mean((2, 4)),
    im,
)
eq(
    "max pool grad",
    jax.grad(lambda x: (lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") ** 2).sum()),
    jax.grad(lambda x: (x[:, :4, :4].reshape(1, 2, 2, 2, 2, 1).max((2, 4)) ** 2).sum()),
    im,
)
eq(
    "1d conv fft-free",
    lambda a, b: jnp.convolve(a, b),
    lambda a, b: jnp.stack([sum(a[i] * b[j - i] for i in range(5) if 0 <= j - i < 4) for j in range(8)]),
    S,
    B,
)
# algebra
eq("cube", lambda x, y: (x + y) ** 3, lambda x, y: x**3 + 3 * x * x * y + 3 * x * y * y + y**3, X, Y)
eq("det2", lambda x: jnp.exp(x[:, 0]) * jnp.exp(x[:, 1]), lambda x: jnp.exp(x[:, 0] + x[:, 1]), X)
eq("log mul", lambda a, b: jnp.log(a * b), lambda a, b: jnp.log(a) + jnp.log(b), P, Q)
eq("pow", lambda a: a**1.5, lambda a: a * jnp.sqrt(a), P)
eq("sqrt mul", lambda a, b: jnp.sqrt(a * b), lambda a, b: jnp.sqrt(a) * jnp.sqrt(b), P, Q)
eq("swish", lambda x: x * nn.sigmoid(x), lambda x: x / 2 * (1 + jnp.tanh(x / 2)), X)
eq("sin2", lambda x: jnp.sin(x) ** 2 + jnp.cos(x) ** 2, lambda x: jnp.ones_like(x), X)
eq(
    "rot",
    lambda t, x: jnp.stack([jnp.cos(t) * x - jnp.sin(t) * x, jnp.sin(t) * x + jnp.cos(t) * x]),
    lambda t, x: jnp.stack([x * jnp.cos(t), x * jnp.sin(t)]) + jnp.stack([-x * jnp.sin(t), x * jnp.cos(t)]),
    X,
    Y,
)
eq("sinh", lambda x: jnp.sinh(x) * jnp.cosh(x), lambda x: jnp.sinh(2 * x) / 2, X)
eq("max abs", lambda x, y: jnp.maximum(x, y), lambda x, y: (x + y + jnp.abs(x - y)) / 2, X, Y)
eq("sort sum", lambda x: jnp.sort(x, 1)[:, ::-1].cumsum(1)[:, -1], lambda x: x.sum(1), X)
eq(
    "softmax grad",
    lambda z, d: jax.vjp(nn.softmax, z)[1](d)[0],
    lambda z, d: (lambda p: p * d - p * (p * d).sum(1, keepdims=True))(nn.softmax(z)),
    X,
    Y,
)
eq(
    "gelu tanh grad",
    jax.grad(lambda x: nn.gelu(x).sum()),
    lambda x: (lambda t: 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x))(
        jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    ),
    X,
)
eq("elu", lambda x: nn.elu(x), lambda x: jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0)) - 1), X)
eq("cumprod", lambda x: jnp.cumprod(x, 1)[:, -1], lambda x: jnp.prod(x, 1), X)
eq("einsum assoc", lambda a, b, c: (a @ b) @ c, lambda a, b, c: a @ (b @ c), X, W, V)
eq("trace cyclic", lambda a, b: jnp.trace(a @ b.T), lambda a, b: (a * b).sum(), X, Y)
eq(
    "inverse2",
    lambda a: jnp.linalg.inv(a),
    lambda a: jnp.array([[a[1, 1], -a[0, 1]], [-a[1, 0], a[0, 0]]]) / (a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]),
    n(18, 2, 2) + 2 * jnp.eye(2),
)
eq("det3", lambda a: jnp.linalg.det(a), lambda a: a[0] @ jnp.cross(a[1], a[2]), n(19, 3, 3))
eq("solve", lambda a, b: a @ jnp.linalg.solve(a, b), lambda a, b: b, n(20, 3, 3) + 3 * jnp.eye(3), n(21, 3))
eq(
    "cholesky",
    lambda a: (lambda low: low @ low.T)(jnp.linalg.cholesky(a @ a.T + jnp.eye(3))),
    lambda a: a @ a.T + jnp.eye(3),
    n(22, 3, 3),
)
# different
ne("attention scale", att, lambda q, k, v: att(q, k, v, scale=1 / 4), T5, K5, V5)
ne(
    "mask 0",
    lambda q, k, v: att(q, k, v, causal),
    lambda q, k, v: nn.softmax(jnp.where(causal, q @ k.T / 2.0, 0.0)) @ v,
    T5,
    K5,
    V5,
)
ne(
    "mask -1e9 vs -30",
    lambda q, k, v: nn.softmax(jnp.where(causal, q @ k.T / 2.0, -1e9)) @ v,
    lambda q, k, v: nn.softmax(jnp.where(causal, q @ k.T / 2.0, -30.0)) @ v,
    T5,
    K5,
    V5,
)
ne(
    "mask off by one",
    lambda q, k, v: att(q, k, v, causal),
    lambda q, k, v: att(q, k, v, jnp.tril(jnp.ones((5, 5), bool), 1)),
    T5,
    K5,
    V5,
)
ne("softmax axis", lambda x: nn.softmax(x, 0), lambda x: nn.softmax(x, 1), X)
ne("eps", lambda x, g, b: ln(x, g, b), lambda x, g, b: ln(x, g, b, 1.1e-5), X, B, n(11, 4))
ne("eps tiny", lambda x, g, b: ln(x, g, b), lambda x, g, b: ln(x, g, b, 1e-5 * (1 + 1e-9)), X, B, n(11, 4))
ne("eps outside", lambda x: x / (jnp.sqrt(x * x.mean()) + 1e-8), lambda x: x / jnp.sqrt(x * x.mean() + 1e-8), P)
ne("ddof", lambda x: x.var(1), lambda x: x.var(1, ddof=1), X)
ne("1+1e-12", lambda x: x * (1 + 1e-12), lambda x: x, X)
ne("1+1e-13", lambda x: jnp.sin(x) * (1 + 1e-13), lambda x: jnp.sin(x), X)
ne("1+1e-15", lambda x: x * (1 + 1e-15), lambda x: x, X)
ne("add 1e-20", lambda x: x + 1e-20, lambda x: x, X)
ne("add 1e-300", lambda x: x + 1e-300, lambda x: x, X)
ne("sqrt7x", lambda x: jnp.sqrt((7 * x) ** 2), lambda x: 7 * x, X)
ne(
    "hidden root sign",
    lambda x, y: y + 1e-20 * jnp.sqrt(x * x + 2 * x * y + y * y),
    lambda x, y: y + 1e-20 * (x + y),
    X,
    Y,
)
ne("hidden root sign 2", lambda x, y: y + 1e-20 * jnp.sqrt((7 * x) ** 2), lambda x, y: y + 1e-20 * 7 * x, X, Y)
ne("hidden abs", lambda x, y: y + 1e-20 * jnp.abs(x), lambda x, y: y + 1e-20 * x, X, Y)
ne("log sq", lambda x: jnp.log(x * x), lambda x: 2 * jnp.log(x), X)
ne("exp log", lambda x: jnp.exp(jnp.log(x)), lambda x: x, X)
ne("hidden log", lambda x, y: y + 1e-20 * jnp.log(jnp.abs(x)), lambda x, y: y + 1e-20 * jnp.log(x * x), X, Y)
ne("inf", lambda x: x + jnp.inf, lambda x: x, X)
ne("inf inf", lambda x: x + jnp.inf, lambda x: x - jnp.inf, X)
ne("1/(x-x)", lambda x: 1 / (x - x), lambda x: 0 * x, X)
ne("x/x at 0", lambda x: x / x, lambda x: jnp.ones_like(x), jnp.array([0.0, 1.0, 2.0]))
ne("max nan", lambda y: jnp.maximum(y, jnp.nan), lambda y: y, X)
ne("where nan", lambda x: jnp.where(x > 0, x, jnp.nan), lambda x: jnp.where(x > 0, x, 0), X)
ne("tree", lambda x: x, lambda x: (x, 2 * x), X)
ne("dtype", lambda x: x.astype(jnp.bfloat16), lambda x: x, X)
ne(
    "int 2^53",
    lambda i: jnp.int32(2**30) + i[0].astype(jnp.int32) * 0 + 1,
    lambda i: jnp.int32(2**30) + i[0].astype(jnp.int32) * 0,
    S,
)
ne("take oob", lambda x: jnp.take(x, 7) + x, lambda x: x[0] + x, S)
ne("take clip", lambda x: x.at[7].get(mode="clip"), lambda x: x.at[7].get(mode="fill", fill_value=0), S)
ne("scatter drop", lambda x: x.at[7].add(1.0), lambda x: x.at[4].add(1.0), S)
ne("float cast", lambda x: jnp.where(x.astype(jnp.bfloat16) == x, 1.0, 0.0), lambda x: jnp.ones_like(x), X)
ne("ulp", lambda x: x * 0.1, lambda x: x * float(np.nextafter(0.1, 1)), X)
ne("ulp cancel", lambda x: (x * (1 + 2.0**-52) - x) * 2.0**52, lambda x: 0 * x, X)
ne("sqrt2 literal", lambda x: x * 0.55448734602, lambda x: x * (39207 / 99997 * math.sqrt(2) * (1 + 1e-15)), X)
ne("relu6", nn.relu6, nn.relu, X)
ne("clip100", lambda x: x * jnp.minimum(1, 100 / jnp.linalg.norm(x)), lambda x: x, X)
ne("thresholds", lambda x: jnp.where(x > 0, x, 0), lambda x: jnp.where(x > 1e-3, x, 0), X)
ne("thresholds tiny", lambda x: jnp.where(x > 0, x, 0), lambda x: jnp.where(x > 1e-12, x, 0), X)
ne("absorption", lambda x, y: jnp.where(y + 1e-30 * x > y, x, 0), lambda x, y: 0 * x, X, Y)
ne(
    "while count",
    lambda x: lax.while_loop(lambda c: c[0] < jnp.abs(x).sum(), lambda c: (c[0] + 1, c[1] * 0.5), (0.0, x))[1],
    lambda x: x * 0.5**7,
    X,
)
ne("exp1/log", lambda x: jnp.exp(1 / jnp.log(x * x + 2)), lambda x: jnp.ones_like(x), X)
ne("softmax/log t", lambda z: nn.softmax(z / jnp.log(3.0)), lambda z: jnp.full_like(z, 0.25), X)
ne(
    "argmax",
    lambda x: nn.one_hot(jnp.argmax(x, 1), 4),
    lambda x: nn.one_hot(jnp.argmax(x + 0.01 * jnp.arange(4.0), 1), 4),
    X,
)
ne("leaky", lambda x: nn.leaky_relu(x, 0.01), nn.relu, P)
ne("erf", lambda x: jnp.where(x > 0, lax.erf(x), -lax.erf(-x)), lambda x: jnp.tanh(x * 1.202), X)
ne("ignored arg", lambda x, y: x + 0 * y, lambda x, y: x + 1e-25 * y, X, Y)
ne(
    "random",
    lambda x: x * jax.random.normal(jax.random.key(0), x.shape),
    lambda x: x * jax.random.normal(jax.random.key(1), x.shape),
    X,
)
ne("cosine no clip", lambda x: jnp.arccos(jnp.clip(x, -1, 1)), lambda x: jnp.arccos(x), X / 3)
ne("floor", lambda x: jnp.floor(x), lambda x: jnp.round(x - 0.5 + 1e-7), X)
ne("int trunc", lambda x: x.astype(jnp.int32), lambda x: jnp.floor(x).astype(jnp.int32), X)

ne("argmax 1e-9", lambda x, y: x[0, jnp.argmax(x[0])], lambda x, y: x[0, jnp.argmax(x[0] + 1e-9 * y[0])], X, Y)
eq("argsort", lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), lambda x: jnp.sort(x, 1), X)
eq("max sort", lambda x: x.max(1), lambda x: jnp.sort(x, 1)[:, -1], X)
eq("median3", lambda x: jnp.median(x[:, :3], axis=1), lambda x: x[:, :3].sum(1) - x[:, :3].max(1) - x[:, :3].min(1), X)
eq("top2", lambda x: lax.top_k(x, 2)[0].sum(1), lambda x: jnp.sort(x, 1)[:, -2:].sum(1), X)
