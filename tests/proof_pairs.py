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
# equal but where values tie
ne(
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


# ── equal ones that were written down before the prover was tuned, and looked at last ──
eq(
    "linear attention",
    lambda q, k, v: (jnp.exp(q) @ jnp.exp(k).T * jnp.tril(jnp.ones((5, 5)))) @ v,
    lambda q, k, v: jnp.einsum("tij,ti->tj", jnp.cumsum(jnp.exp(k)[:, :, None] * v[:, None, :], 0), jnp.exp(q)),
    T5,
    K5,
    V5,
)
eq(
    "alibi",
    lambda q, k, v: nn.softmax(q @ k.T - 0.5 * jnp.abs(jnp.arange(5)[:, None] - jnp.arange(5))) @ v,
    lambda q, k, v: (lambda e: (e @ v) / e.sum(1)[:, None])(
        jnp.exp(q @ k.T) * jnp.exp(-0.5 * jnp.abs(jnp.arange(5)[:, None] - jnp.arange(5)))
    ),
    T5,
    K5,
    V5,
)
eq(
    "attn sink",
    lambda q, k, v: (lambda s: (jnp.exp(s) / (1 + jnp.exp(s).sum(1, keepdims=True))) @ v)(q @ k.T),
    lambda q, k, v: nn.softmax(jnp.concatenate([q @ k.T, jnp.zeros((5, 1))], 1))[:, :5] @ v,
    T5,
    K5,
    V5,
)
eq(
    "gqa",
    lambda q, k, v: jnp.stack([nn.softmax(q[:, 2 * i : 2 * i + 2] @ k[:, :2].T) @ v[:, :2] for i in range(2)]),
    lambda q, k, v: jnp.einsum(
        "hts,sd->htd", nn.softmax(jnp.einsum("thd,sd->hts", q.reshape(5, 2, 2), k[:, :2])), v[:, :2]
    ),
    T5,
    K5,
    V5,
)
eq(
    "rope shift",
    lambda t, a, b: jnp.cos(t + 1.0) * a - jnp.sin(t + 1.0) * b,
    lambda t, a, b: jnp.cos(1.0) * (jnp.cos(t) * a - jnp.sin(t) * b) - jnp.sin(1.0) * (jnp.sin(t) * a + jnp.cos(t) * b),
    X,
    Y,
    P,
)
eq(
    "block softmax",
    lambda x: nn.softmax(x, axis=1),
    lambda x: (
        lambda m1, m2, s1, s2, m: (
            jnp.concatenate([jnp.exp(x[:, :2] - m), jnp.exp(x[:, 2:] - m)], 1)
            / (s1 * jnp.exp(m1 - m) + s2 * jnp.exp(m2 - m))
        )
    )(
        *(
            lambda a, b: (
                a,
                b,
                jnp.exp(x[:, :2] - a).sum(1, keepdims=True),
                jnp.exp(x[:, 2:] - b).sum(1, keepdims=True),
                jnp.maximum(a, b),
            )
        )(x[:, :2].max(1, keepdims=True), x[:, 2:].max(1, keepdims=True))
    ),
    X,
)


def bn(x, g, b):
    return g * (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-3) + b


eq(
    "bn folded",
    bn,
    lambda x, g, b: (lambda s: x * s + (b - x.mean(0) * s))(g * lax.rsqrt(x.var(0) + 1e-3)),
    X,
    B,
    n(31, 4),
)
eq(
    "bn bwd",
    lambda x, g, b, d: (lambda h, r: (g * r * (d - d.mean(0) - h * (d * h).mean(0)), (d * h).sum(0), d.sum(0)))(
        (x - x.mean(0)) * lax.rsqrt(x.var(0) + 1e-3), lax.rsqrt(x.var(0) + 1e-3)
    ),
    lambda x, g, b, d: jax.vjp(bn, x, g, b)[1](d),
    X,
    B,
    n(31, 4),
    Y,
)
eq(
    "group norm",
    lambda x: (lambda h: ((h - h.mean(-1, keepdims=True)) * lax.rsqrt(h.var(-1, keepdims=True) + 1e-5)).reshape(3, 4))(
        x.reshape(3, 2, 2)
    ),
    lambda x: jnp.concatenate(
        [
            (h - h.mean(1, keepdims=True))
            / jnp.sqrt(((h - h.mean(1, keepdims=True)) ** 2).mean(1, keepdims=True) + 1e-5)
            for h in (x[:, :2], x[:, 2:])
        ],
        1,
    ),
    X,
)
eq(
    "weight norm grad",
    jax.grad(lambda v, g: (g * v / jnp.linalg.norm(v)).sum() * 1.0, argnums=0),
    lambda v, g: (lambda r, u: g / r * (jnp.ones_like(v) - u * u.sum()))(jnp.linalg.norm(v), v / jnp.linalg.norm(v)),
    X,
    jnp.float32(1.3),
)
eq(
    "ln then scale invariance",
    lambda x: (x - x.mean(1, keepdims=True)) / jnp.std(x, axis=1, keepdims=True),
    lambda x: (lambda y: (y - y.mean(1, keepdims=True)) / jnp.std(y, axis=1, keepdims=True))(3 * x + 2),
    X,
)
eq("l2 pool", lambda x: jnp.sqrt((x**2).sum(1)), lambda x: jnp.linalg.norm(x, axis=1), X)
eq(
    "lstm split gates",
    lambda h, c, x, W, U: lstm((h, c), x, W, U)[1],
    lambda h, c, x, W, U: (
        lambda z: nn.sigmoid(z[4:6]) * jnp.tanh(nn.sigmoid(z[2:4]) * c + nn.sigmoid(z[:2]) * jnp.tanh(z[6:]))
    )(jnp.concatenate([W, U], 1) @ jnp.concatenate([x, h])),
    n(32, 2),
    n(33, 2),
    n(34, 4),
    n(12, 8, 4),
    n(13, 8, 2),
)
eq(
    "ssm scan vs assoc",
    lambda a, b: lax.scan(lambda h, ab: (ab[0] * h + ab[1], ab[0] * h + ab[1]), jnp.zeros(4), (a, b))[1],
    lambda a, b: lax.associative_scan(lambda a, r: (a[0] * r[0], a[1] * r[0] + r[1]), (a, b))[1],
    X,
    Y,
)
eq(
    "ema closed",
    lambda x: lax.scan(lambda m, v: (0.5 * m + 0.5 * v, None), jnp.zeros(4), x)[0],
    lambda x: 0.125 * x[0] + 0.25 * x[1] + 0.5 * x[2],
    X,
)
eq(
    "gru bwd",
    lambda h, x, d: jax.vjp(lambda h: (1 - nn.sigmoid(x)) * h + nn.sigmoid(x) * jnp.tanh(h * x), h)[1](d)[0],
    lambda h, x, d: d * ((1 - nn.sigmoid(x)) + nn.sigmoid(x) * x * (1 - jnp.tanh(h * x) ** 2)),
    X,
    Y,
    P,
)
eq(
    "smooth ce",
    lambda z: -(nn.log_softmax(z) * (nn.one_hot(lab, 4) * 0.9 + 0.025)).sum(1).mean(),
    lambda z: (nn.logsumexp(z, axis=1) - 0.9 * z[jnp.arange(3), lab] - 0.025 * z.sum(1)).mean(),
    X,
)
eq("hinge", lambda z: jnp.maximum(0, 1 - z).sum(), lambda z: nn.relu(1 - z).sum(), X)
eq(
    "triplet",
    lambda a, p, m: nn.relu(((a - p) ** 2).sum(1) - ((a - m) ** 2).sum(1) + 1).sum(),
    lambda a, p, m: jnp.maximum(0, (2 * a * (m - p) + p * p - m * m).sum(1) + 1).sum(),
    X,
    Y,
    P,
)
eq(
    "infonce grad",
    jax.grad(lambda z: -jnp.diag(nn.log_softmax(z @ z.T)).sum()),
    lambda z: (lambda d: d @ z + d.T @ z)(nn.softmax(z @ z.T) - jnp.eye(3)),
    X,
)
eq(
    "student t",
    lambda x, s: 1.5 * jnp.log1p((x / s) ** 2 / 2) + jnp.log(s),
    lambda x, s: 1.5 * jnp.log(2 * s * s + x * x) - 1.5 * jnp.log(2.0) - 2 * jnp.log(s),
    X,
    P,
)
eq("poisson", lambda e, y: (jnp.exp(e) - y * e).sum(), lambda e, y: -(y * jnp.log(jnp.exp(e)) - jnp.exp(e)).sum(), X, P)
eq(
    "dice",
    lambda p, y: 1 - 2 * (p * y).sum() / (p.sum() + y.sum()),
    lambda p, y: (p.sum() + y.sum() - 2 * (p * y).sum()) / (p.sum() + y.sum()),
    P,
    Q,
)
eq("softplus beta", lambda x: nn.softplus(2 * x) / 2, lambda x: jnp.logaddexp(2 * x, 0) / 2, X)
eq(
    "huber forms",
    lambda e: jnp.where(jnp.abs(e) < 1, 0.5 * e * e, jnp.abs(e) - 0.5),
    lambda e: (lambda c: c * (jnp.abs(e) - 0.5 * c))(jnp.minimum(jnp.abs(e), 1)),
    X,
)
eq(
    "mish",
    lambda x: x * jnp.tanh(nn.softplus(x)),
    lambda x: x * ((1 + jnp.exp(x)) ** 2 - 1) / ((1 + jnp.exp(x)) ** 2 + 1),
    X,
)
im2, ker2 = n(15, 1, 6, 6, 2), n(16, 3, 3, 2, 3)


def cv(x, k, s=1, p="VALID", **kw):
    return lax.conv_general_dilated(x, k, (s, s), p, dimension_numbers=("NHWC", "HWIO", "NHWC"), **kw)


eq("conv stride", lambda x, k: cv(x, k, 2), lambda x, k: cv(x, k)[:, ::2, ::2], im2, ker2)
eq(
    "conv dilated",
    lambda x, k: cv(x, k, rhs_dilation=(2, 2)),
    lambda x, k: cv(x, jnp.zeros((5, 5, 2, 3)).at[::2, ::2].set(k)),
    im2,
    ker2,
)
eq(
    "depthwise",
    lambda x, k: cv(x, k, feature_group_count=2),
    lambda x, k: jnp.concatenate([cv(x[..., i : i + 1], k[..., i : i + 1]) for i in range(2)], -1),
    im2,
    n(35, 3, 3, 1, 2),
)
eq(
    "conv transpose",
    lambda d, k: lax.conv_transpose(d, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")),
    lambda d, k: cv(jnp.pad(d, ((0, 0), (2, 2), (2, 2), (0, 0))), k),
    n(36, 1, 3, 3, 2),
    ker2,
)
eq("1x1", lambda x, k: cv(x, k), lambda x, k: x @ k[0, 0], im2, n(37, 1, 1, 2, 3))
eq(
    "conv bwd x",
    lambda x, k, d: jax.vjp(lambda x: cv(x, k), x)[1](d)[0],
    lambda x, k, d: cv(jnp.pad(d, ((0, 0), (2, 2), (2, 2), (0, 0))), k[::-1, ::-1].swapaxes(2, 3)),
    im2,
    ker2,
    n(38, 1, 4, 4, 3),
)
eq(
    "nchw",
    lambda x, k: cv(x, k),
    lambda x, k: lax.conv_general_dilated(x.transpose(0, 3, 1, 2), k.transpose(3, 2, 0, 1), (1, 1), "VALID").transpose(
        0, 2, 3, 1
    ),
    im2,
    ker2,
)
eq(
    "avg pool as conv",
    lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME") / 9,
    lambda x: cv(x, jnp.ones((3, 3, 1, 2)) / 9, p="SAME", feature_group_count=2),
    im2,
)
eq("diff squares", lambda x, y: (x - y) * (x + y), lambda x, y: x * x - y * y, X, Y)
eq("partial fractions", lambda x: 1 / (x * x - 1), lambda x: 0.5 * (1 / (x - 1) - 1 / (x + 1)), P + 2)
eq("log1p expm1", lambda x: jnp.log1p(jnp.expm1(x)), lambda x: x, P)
eq("double angle", lambda x: jnp.cos(2 * x), lambda x: 1 - 2 * jnp.sin(x) ** 2, X)
eq("tan", lambda x: jnp.tan(x) * jnp.cos(x), lambda x: jnp.sin(x), X)
eq("atanh tanh", lambda x: jnp.arctanh(jnp.tanh(x)), lambda x: x, X)
eq("pow log", lambda a, b: a**b, lambda a, b: jnp.exp(b * jnp.log(a)), P, Y)
eq("cbrt", lambda a: jnp.cbrt(a) ** 3, lambda a: a, X)
eq("rsqrt", lambda a: a * lax.rsqrt(a), lambda a: jnp.sqrt(a), P)
eq("hypot scale", lambda x, y: jnp.sqrt(x * x + y * y) * 2, lambda x, y: jnp.sqrt((2 * x) ** 2 + (2 * y) ** 2), X, Y)
eq("geom mean", lambda a: jnp.exp(jnp.log(a).mean(1)), lambda a: jnp.prod(a, 1) ** 0.25, P)
eq("erf odd", lambda x: lax.erfc(x) + lax.erfc(-x), lambda x: jnp.full_like(x, 2.0), X)
eq(
    "vandermonde",
    lambda x: (x[0] - x[1]) * (x[0] - x[2]) * (x[1] - x[2]),
    lambda x: x[0] ** 2 * (x[1] - x[2]) - x[1] ** 2 * (x[0] - x[2]) + x[2] ** 2 * (x[0] - x[1]),
    X,
)
eq("woodbury", lambda a: 1 / (1 + a @ a) * a, lambda a: jnp.linalg.solve(jnp.eye(3) + jnp.outer(a, a), a), n(39, 3))
eq(
    "logdet",
    lambda a: jnp.linalg.slogdet(a @ a.T + jnp.eye(3))[1],
    lambda a: 2 * jnp.log(jnp.diag(jnp.linalg.cholesky(a @ a.T + jnp.eye(3)))).sum(),
    n(40, 3, 3),
)
eq("vmap dot", lambda x, y: jax.vmap(jnp.dot)(x, y), lambda x, y: (x * y).sum(1), X, Y)
eq(
    "segment sum",
    lambda x: jax.ops.segment_sum(x, jnp.array([0, 1, 0]), 2),
    lambda x: jnp.stack([x[0] + x[2], x[1]]),
    X,
)
eq(
    "gather scatter",
    lambda x: jnp.zeros(4).at[jnp.array([3, 1, 1])].add(x[:, 0]),
    lambda x: jnp.stack([0 * x[0, 0], x[1, 0] + x[2, 0], 0 * x[0, 0], x[0, 0]]),
    X,
)
eq("custom jvp relu", jax.grad(lambda x: nn.relu(x).sum()), lambda x: jnp.where(x > 0, 1.0, 0.0), X)
eq(
    "hessian",
    jax.hessian(lambda x: (nn.sigmoid(x)).sum()),
    lambda x: jnp.diag((lambda s: s * (1 - s) * (1 - 2 * s))(nn.sigmoid(x))),
    S,
)
eq(
    "remat",
    jax.grad(lambda x: jax.checkpoint(lambda x: jnp.sin(jnp.tanh(x)))(x).sum()),
    jax.grad(lambda x: jnp.sin(jnp.tanh(x)).sum()),
    X,
)
eq(
    "fori poly",
    lambda x: lax.fori_loop(0, 5, lambda i, a: a * x + i, jnp.zeros_like(x)),
    lambda x: ((x + 2) - 1) * 0 + x**3 + 2 * x * x + 3 * x + 4,
    X,
)
eq(
    "cond",
    lambda x: lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: x * 3, x),
    lambda x: jnp.where(x.sum() > 0, x + x, x * 3),
    X,
)
# ── different ones likewise ──
ne(
    "rope wrong",
    lambda t, a, b: jnp.cos(t) * a - jnp.sin(t) * b,
    lambda t, a, b: jnp.cos(t) * a + jnp.sin(t) * b,
    X,
    Y,
    P,
)
ne(
    "attn missing row",
    lambda q, k, v: nn.softmax(q @ k.T) @ v,
    lambda q, k, v: nn.softmax(q @ k.T) @ v.at[4].set(0),
    T5,
    K5,
    V5,
)
ne(
    "attn -1e9 vs inf rows",
    lambda q, k, v: nn.softmax(jnp.where(causal & (jnp.arange(5)[:, None] > 0), q @ k.T, -jnp.inf)) @ v,
    lambda q, k, v: nn.softmax(jnp.where(causal & (jnp.arange(5)[:, None] > 0), q @ k.T, -1e9)) @ v,
    T5,
    K5,
    V5,
)
ne(
    "softmax grad diag",
    lambda z, d: jax.vjp(nn.softmax, z)[1](d)[0],
    lambda z, d: (lambda p: p * (1 - p) * d)(nn.softmax(z)),
    X,
    Y,
)
ne("softmax temp 1+1e-11", lambda z: nn.softmax(z), lambda z: nn.softmax(z * (1 + 1e-11)), X)
ne("softmax temp ulp", lambda z: nn.softmax(z), lambda z: nn.softmax(z * (1 + 2.0**-52)), X)
ne("exp base", lambda x: jnp.exp(x), lambda x: 2.718281828459045**x, X)
ne("bn biased", bn, lambda x, g, b: g * (x - x.mean(0)) / jnp.sqrt(x.var(0, ddof=1) + 1e-3) + b, X, B, n(31, 4))
ne(
    "bn stop",
    lambda x, d: jax.vjp(lambda x: (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-3), x)[1](d)[0],
    lambda x, d: jax.vjp(lambda x: (x - lax.stop_gradient(x.mean(0))) / jnp.sqrt(x.var(0) + 1e-3), x)[1](d)[0],
    X,
    Y,
)
ne("rms eps", lambda x: x * lax.rsqrt((x * x).mean() + 1e-6), lambda x: x * lax.rsqrt((x * x).mean() + 1e-7), X)
ne("rms eps e-16", lambda x: x * lax.rsqrt((x * x).mean() + 1e-16), lambda x: x * lax.rsqrt((x * x).mean() + 2e-16), X)
ne("adam eps place", lambda m, v: m / (jnp.sqrt(v) + 1e-8), lambda m, v: m / jnp.sqrt(v + 1e-16), X, P)
ne("adam b2", lambda g: 0.999 * g + 0.001 * g * g, lambda g: 0.999 * g + 0.0010000000001 * g * g, X)
ne(
    "lstm gates swapped",
    lambda h, c, x, W, U: lstm((h, c), x, W, U)[1],
    lambda h, c, x, W, U: lstm((h, c), x, W[jnp.array([2, 3, 0, 1, 4, 5, 6, 7])], U)[1],
    n(32, 2),
    n(33, 2),
    n(34, 4),
    n(12, 8, 4),
    n(13, 8, 2),
)
ne(
    "scan reverse",
    lambda x: lax.scan(lambda h, r: (jnp.tanh(h + r), None), jnp.zeros(4), x)[0],
    lambda x: lax.scan(lambda h, r: (jnp.tanh(h + r), None), jnp.zeros(4), x, reverse=True)[0],
    X,
)
ne(
    "truncated bptt",
    jax.grad(lambda x: lax.scan(lambda h, r: (jnp.tanh(h + r), None), jnp.zeros(4), x)[0].sum()),
    jax.grad(lambda x: lax.scan(lambda h, r: (jnp.tanh(lax.stop_gradient(h) + r), None), jnp.zeros(4), x)[0].sum()),
    X,
)
ne("mean vs sum", lambda x: x.mean(), lambda x: x.sum() / 11, X)
ne(
    "ce shift label",
    lambda z: -nn.log_softmax(z)[jnp.arange(3), lab].sum(),
    lambda z: -nn.log_softmax(z)[jnp.arange(3), lab + 1].sum(),
    X,
)
ne(
    "label smooth",
    lambda z: -(nn.log_softmax(z) * 0.9).sum(),
    lambda z: -(nn.log_softmax(z) * 0.9).sum() + 1e-14 * z.sum(),
    X,
)
ne("bce clip", lambda p: -jnp.log(jnp.clip(p, 1e-7, 1)), lambda p: -jnp.log(p), P / 5)
ne(
    "huber delta",
    lambda e: jnp.where(jnp.abs(e) <= 1, e * e / 2, jnp.abs(e) - 0.5),
    lambda e: jnp.where(jnp.abs(e) <= 1.0001, e * e / 2, jnp.abs(e) - 0.5),
    X,
)
ne("huber no branch", lambda e: jnp.where(jnp.abs(e) <= 50, e * e / 2, 50 * jnp.abs(e) - 1250), lambda e: e * e / 2, X)
ne("conv flipped", lambda x, k: cv(x, k), lambda x, k: cv(x, k[::-1]), im2, ker2)
ne("conv pad", lambda x, k: cv(x, k, p="SAME"), lambda x, k: cv(x, k, p=((2, 0), (1, 1))), im2, ker2)
ne(
    "max pool grad avg",
    jax.grad(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID").sum()),
    lambda x: jnp.ones_like(x) / 4,
    im2,
)
ne(
    "max pool init 0",
    lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    lambda x: jnp.maximum(lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), 0),
    jnp.abs(im2),
)
ne("sqrt sum sign", lambda x, y: jnp.sqrt((x - y) ** 2), lambda x, y: x - y, X, Y)
ne(
    "hidden sqrt expanded neg",
    lambda x, y: x + 1e-18 * jnp.sqrt(x * x - 2 * x * y + y * y),
    lambda x, y: x + 1e-18 * (x - y),
    X,
    Y,
)
ne(
    "hidden nested root",
    lambda x: x + 1e-18 * jnp.sqrt(3 + 2 * jnp.sqrt(2.0) + 0 * x),
    lambda x: x + 1e-18 * (jnp.sqrt(2.0) - 1),
    X,
)
ne("cbrt square", lambda x: jnp.cbrt(x * x) ** 1.5, lambda x: x, X)
ne("abs cube", lambda x: jnp.abs(x) ** 3, lambda x: x**3, X)
ne("hidden cube", lambda x: x + 1e-19 * jnp.abs(x) ** 3, lambda x: x + 1e-19 * x**3, X)
ne("atan2 half plane", lambda x, y: jnp.arctan2(y, x), lambda x, y: jnp.arctan(y / x), X, Y)
ne("asin sin", lambda x: jnp.arcsin(jnp.sin(3 * x)), lambda x: 3 * x, X)
ne("log exp branch", lambda x: jnp.log(jnp.abs(jnp.sin(x))), lambda x: 0.5 * jnp.log(1 - jnp.cos(x) ** 2) + 1e-17, X)
ne("mod", lambda x: jnp.mod(x, 1.0), lambda x: x - jnp.trunc(x), X)
ne("sign zero", lambda x: jnp.sign(x), lambda x: x / (jnp.abs(x) + 1e-20), X)
ne("clip grad", jax.grad(lambda x: jnp.clip(x, -1, 1).sum()), lambda x: jnp.ones_like(x), X / 10)
ne("relu grad at 1e-6", lambda x, d: jnp.where(x > 0, d, 0.0), lambda x, d: jnp.where(x > -1e-6, d, 0.0), X, Y)
ne("argmin", lambda x: jnp.argmin(x, 1), lambda x: jnp.argmax(x, 1), X)
ne("sort desc", lambda x: jnp.sort(x, 1), lambda x: -jnp.sort(-x, 1)[:, ::-1] + 1e-17 * x, X)
ne("topk", lambda x: lax.top_k(x, 2)[0], lambda x: jnp.sort(x, 1)[:, :2], X)
ne("cumsum excl", lambda x: jnp.cumsum(x, 1), lambda x: jnp.cumsum(x, 1) - x, X)
ne("int div", lambda x: x * (7 // 2), lambda x: x * 3.5, X)
ne(
    "fill",
    lambda x: x.at[jnp.array([5])].get(mode="fill", fill_value=0.0) + x[0],
    lambda x: x[jnp.array([4])] + x[0],
    S,
)
ne(
    "dup scatter set",
    lambda x: jnp.zeros(3).at[jnp.array([0, 0])].set(x[:2]),
    lambda x: jnp.zeros(3).at[jnp.array([0, 0])].add(x[:2]),
    S,
)
ne("pi", lambda x: x * 3.141592653589793, lambda x: x * 3.1415926535897927, X)
ne("e-notation", lambda x: x * 1e-5, lambda x: x * 1.0000000000000001e-05 * (1 + 2.0**-52), X)
ne(
    "loops",
    lambda x: lax.fori_loop(0, 5, lambda i, a: a * 0.5 + x, x),
    lambda x: lax.fori_loop(0, 6, lambda i, a: a * 0.5 + x, x),
    X,
)
ne(
    "newton sqrt",
    lambda a: lax.fori_loop(0, 8, lambda i, y: 0.5 * (y + a / y), jnp.ones_like(a)),
    lambda a: jnp.sqrt(a),
    P,
)
ne("tanh approx", lambda x: jnp.tanh(20 + x * x), lambda x: jnp.ones_like(x), X)
ne("saturated", lambda x: nn.sigmoid(40 + x * x), lambda x: nn.sigmoid(41 + x * x), X)
ne("underflow", lambda x: jnp.exp(-800 - x * x), lambda x: 0 * x, X)
ne("complex", lambda x: jnp.real(jnp.exp(1j * x)), lambda x: jnp.imag(jnp.exp(1j * x)), X)
ne("weak dtype", lambda x: (x > 0).astype(jnp.int32), lambda x: (x > 0).astype(jnp.float32), X)

# ── small differences hidden beside large numbers, branches that are hard to reach ──
ne("thr y", lambda x, y: jnp.where(x > 0, x, 0), lambda x, y: jnp.where(x > 1e-8 * y, x, 0), X, Y)
ne("floor", lambda x: jnp.floor(x), lambda x: jnp.floor(x + 1e-13), X)
ne("argsort", lambda x: x[0, jnp.argsort(x[0])[0]], lambda x: x[0, jnp.argsort(x[0] + 1e-10 * jnp.arange(4.0))[0]], X)
ne("clip 1e30", lambda x: jnp.clip(x, -1e30, 1e30), lambda x: x, X)
ne("clip 1e200", lambda x: jnp.where(jnp.abs(x) > 1e36, 0.0, x), lambda x: x, X)
ne("cond", lambda x: lax.cond(x.sum() > 1e6, lambda x: x * 2, lambda x: x, x), lambda x: x, X)
ne(
    "newton while",
    lambda a: lax.while_loop(lambda y: jnp.abs(y * y - a).max() > 1e-10, lambda y: 0.5 * (y + a / y), jnp.ones_like(a)),
    lambda a: lax.fori_loop(0, 6, lambda i, y: 0.5 * (y + a / y), jnp.ones_like(a)),
    P,
)
ne(
    "while same rounds",
    lambda x: lax.while_loop(lambda c: c[1].sum() > 1.0, lambda c: (c[0] + 1, c[1] * 0.5), (0, x))[1],
    lambda x: x * 0.5**3,
    P,
)
ne("isfinite", lambda x: jnp.where(jnp.isfinite(jnp.exp(x)), x, 0), lambda x: x + 1e-18, X)
ne("exp half log sq", lambda x: jnp.exp(0.5 * jnp.log(x * x)), lambda x: x, P)
ne("sqrt sq pos", lambda x: jnp.sqrt(x**2), lambda x: x, P)
ne("max -5", lambda x: jnp.maximum(x, -5.0), lambda x: x, P)
ne("xy", lambda x, y: jnp.where(x * y > 1e4, 0, x), lambda x, y: x, X, Y)
ne("pow 2+", lambda x: x**2.0000000000000004, lambda x: x**2, P)
ne(".1+.2", lambda x: x * (0.1 + 0.2), lambda x: x * 0.3, X)
ne("shape", lambda x: x.sum(), lambda x: x.sum(keepdims=True), X)
ne("list tuple", lambda x: [x], lambda x: (x,), X)
ne("lgamma", lambda x: lax.lgamma(x + 1), lambda x: lax.lgamma(x) + jnp.log(x) * (1 + 1e-14), P)
ne("sinc", lambda x: jnp.sin(x) / x, lambda x: jnp.sin(x) / (x + 1e-30), X)
ne("round even", lambda x: jnp.round(x), lambda x: jnp.floor(x + 0.5), jnp.array([0.5, 1.5, 2.5]))
ne("mod sign", lambda x: jnp.mod(x, 2.0), lambda x: jnp.fmod(x, 2.0), X)
ne("relu2", lambda x: nn.relu(x) ** 2, lambda x: x * nn.relu(x) * (1 + 1e-13), X)
ne("max of three", lambda x: jnp.max(x, 1), lambda x: jnp.maximum(x[:, 0], x[:, 1]), X)
ne("softmax masked len", lambda x: nn.softmax(x)[:, :3], lambda x: nn.softmax(x[:, :3]), X)
ne(
    "grad stop",
    jax.grad(lambda x: (nn.softmax(x) ** 2).sum()),
    jax.grad(lambda x: (nn.softmax(x) * lax.stop_gradient(nn.softmax(x))).sum()),
    X,
)
ne("logit clip", lambda p: jnp.log(p / (1 - p)), lambda p: jnp.log(p / (1 - p + 1e-12)), P / 5)
ne("var one pass wrong", lambda x: x.var(1), lambda x: (x**2).mean(1) - x.mean(1) ** 2 * (1 - 1e-12), X)
ne("sum order minus one", lambda x: x.sum(), lambda x: x.reshape(-1)[:-1].sum(), X)
ne("tanh vs clip", lambda x: jnp.tanh(1e3 * x), lambda x: jnp.sign(x), X)
ne("hidden sin", lambda x: x + 1e-22 * jnp.sin(x), lambda x: x + 1e-22 * jnp.cos(x), X)
ne("hidden exp", lambda x: x + 1e-22 * jnp.exp(x + 1), lambda x: x + 1e-22 * jnp.exp(x) * 2.718281828459045, X)
ne("hidden erf", lambda x: x + 1e-22 * lax.erf(x), lambda x: x + 1e-22 * lax.erf(2 * x), X)
ne("hidden sort", lambda x: x + 1e-22 * jnp.sort(x, 1), lambda x: x + 1e-22 * jnp.sort(-x, 1), X)
ne("hidden log", lambda x: x + 1e-22 * jnp.log(x * 2), lambda x: x + 1e-22 * (jnp.log(x) + 0.6931471805599), P)
ne(
    "hidden sqrt sum",
    lambda x, y: x + 1e-22 * jnp.sqrt(x + y),
    lambda x, y: x + 1e-22 * (jnp.sqrt(x) + jnp.sqrt(y)),
    P,
    Q,
)
ne(
    "hidden sign product",
    lambda x, y: 1 + 1e-22 * jnp.sqrt((x + 2 * y) * (x + 2 * y)),
    lambda x, y: 1 + 1e-22 * (x + 2 * y),
    X,
    Y,
)
ne(
    "hidden sign det",
    lambda x, y: 1 + 1e-22 * jnp.sqrt(x[0] * x[0] * y[0] * y[0] + 2 * x[0] * y[0] * x[1] * y[1] + (x[1] * y[1]) ** 2),
    lambda x, y: 1 + 1e-22 * (x[0] * y[0] + x[1] * y[1]),
    X,
    Y,
)
ne(
    "hidden norm sign",
    lambda x: 1 + 1e-22 * jnp.linalg.norm(x - 1) ** 2 / jnp.linalg.norm(1 - x),
    lambda x: 1 - 1e-22 * jnp.linalg.norm(x - 1),
    X,
)
ne("hidden cosh sign", lambda x: 1 + 1e-22 * jnp.sqrt(jnp.cosh(x) ** 2 - 1), lambda x: 1 + 1e-22 * jnp.sinh(x), X)
ne("hidden trig sign", lambda x: 1 + 1e-22 * jnp.sqrt(1 - jnp.cos(x) ** 2), lambda x: 1 + 1e-22 * jnp.sin(x), X)
ne(
    "hidden half angle",
    lambda x: 1 + 1e-22 * jnp.sqrt((1 + jnp.cos(x)) / 2),
    lambda x: 1 + 1e-22 * jnp.cos(x / 2),
    4 * X,
)
ne(
    "hidden nested",
    lambda x: 1 + 1e-22 * jnp.sqrt(jnp.sqrt((x * x - 1) ** 2)),
    lambda x: 1 + 1e-22 * jnp.sqrt(jnp.abs(1 - x * x) + 1e-30),
    X,
)
ne("hidden atan", lambda x: 1 + 1e-22 * jnp.arctan2(x, -1.0), lambda x: 1 + 1e-22 * jnp.arctan(-x), X)
ne("hidden clip", lambda x: 1 + 1e-22 * jnp.clip(x, -1, 1), lambda x: 1 + 1e-22 * x, X / 3)
ne("hidden relu", lambda x: 1 + 1e-22 * nn.relu(x), lambda x: 1 + 1e-22 * x, P)
ne(
    "hidden gelu",
    lambda x: 1 + 1e-22 * nn.gelu(x, approximate=True),
    lambda x: 1 + 1e-22 * nn.gelu(x, approximate=False),
    X,
)
ne(
    "chol sign",
    lambda a: jnp.linalg.cholesky(a @ a.T + jnp.eye(3)),
    lambda a: -jnp.linalg.cholesky(a @ a.T + jnp.eye(3)),
    n(22, 3, 3),
)
ne("inv vs adj", lambda a: jnp.linalg.inv(a), lambda a: a.T, n(23, 3, 3))
ne("det sign", lambda a: jnp.abs(jnp.linalg.det(a)), lambda a: jnp.linalg.det(a), n(19, 3, 3))
ne(
    "hidden absdet",
    lambda a: 1 + 1e-22 * jnp.exp(jnp.linalg.slogdet(a)[1]),
    lambda a: 1 + 1e-22 * jnp.linalg.det(a),
    -n(19, 3, 3),
)
# equal
eq(
    "double where",
    lambda x: jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), 0.0),
    lambda x: jnp.where(x <= 0, 0.0, jnp.log(jnp.maximum(x, 1e-30))),
    X,
)
eq("relu sum", lambda x: nn.relu(x) - nn.relu(-x), lambda x: x, X)
eq("softsign grad", jax.grad(lambda x: nn.soft_sign(x).sum()), lambda x: 1 / (1 + jnp.abs(x)) ** 2, X)
eq("hard tanh", nn.hard_tanh, lambda x: jnp.minimum(jnp.maximum(x, -1), 1), X)
eq(
    "selu grad",
    jax.grad(lambda x: nn.selu(x).sum()),
    lambda x: 1.0507009873554805 * jnp.where(x > 0, 1.0, 1.6732632423543772 * jnp.exp(x)),
    X,
)
eq("celu", nn.celu, lambda x: jnp.maximum(x, 0) + jnp.minimum(0, jnp.exp(x) - 1), X)
eq("glu", nn.glu, lambda x: x[:, :2] / (1 + jnp.exp(-x[:, 2:])), X)
eq("logmeanexp", lambda x: nn.logsumexp(x, axis=1) - jnp.log(4.0), lambda x: jnp.log(jnp.exp(x).mean(1)), X)
eq(
    "softmax jac",
    lambda x: jax.jacfwd(nn.softmax)(x[0]),
    lambda x: (lambda p: jnp.diag(p) - jnp.outer(p, p))(nn.softmax(x[0])),
    X,
)
eq(
    "hvp",
    lambda x, v: jax.jvp(jax.grad(lambda x: (jnp.tanh(x) ** 2).sum()), (x,), (v,))[1],
    lambda x, v: (lambda t: v * (2 * (1 - t * t) ** 2 - 4 * t * t * (1 - t * t)))(jnp.tanh(x)),
    X,
    Y,
)
eq(
    "mahalanobis",
    lambda x, a: x @ jnp.linalg.solve(a @ a.T + jnp.eye(3), x),
    lambda x, a: (lambda y: y @ y)(
        jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(a @ a.T + jnp.eye(3)), x, lower=True)
    ),
    n(41, 3),
    n(22, 3, 3),
)
eq(
    "batchnorm inference fold",
    lambda x, m, v, g: (x - m) / jnp.sqrt(v + 1e-5) * g,
    lambda x, m, v, g: (lambda s: x * s - m * s)(g / jnp.sqrt(v + 1e-5)),
    X,
    Y[0],
    P[0],
    Q[0],
)
eq("polyval", lambda x: jnp.polyval(jnp.array([1.0, 2.0, 3.0]), x), lambda x: (x + 1) ** 2 + 2, X)
eq("cumsum diff", lambda x: jnp.diff(jnp.cumsum(x, 1), axis=1), lambda x: x[:, 1:], X)
eq("tril matmul", lambda x: jnp.tril(jnp.ones((3, 3))) @ x, lambda x: jnp.cumsum(x, 0), X)
eq(
    "pad conv",
    lambda x: jnp.convolve(x, jnp.array([1.0, -1.0]), "same"),
    lambda x: x - jnp.concatenate([jnp.zeros(1), x[:-1]]),
    S,
)
eq("roll", lambda x: jnp.roll(x, 1, 1), lambda x: x[:, jnp.array([3, 0, 1, 2])], X)
eq(
    "kron",
    lambda a, b: jnp.trace(jnp.kron(a[:2, :2], b[:2, :2])),
    lambda a, b: jnp.trace(a[:2, :2]) * jnp.trace(b[:2, :2]),
    X,
    Y,
)
eq("sigmoid log odds", lambda p: nn.sigmoid(jnp.log(p / (1 - p))), lambda p: p, P / 5)
eq("expit sum", lambda x: nn.sigmoid(x) + nn.sigmoid(-x), lambda x: jnp.ones_like(x), X)
eq(
    "tanh add",
    lambda x, y: jnp.tanh(x + y),
    lambda x, y: (jnp.tanh(x) + jnp.tanh(y)) / (1 + jnp.tanh(x) * jnp.tanh(y)),
    X,
    Y,
)
eq("cos sum", lambda x, y: jnp.cos(x) * jnp.cos(y), lambda x, y: 0.5 * (jnp.cos(x + y) + jnp.cos(x - y)), X, Y)
eq(
    "weighted ce",
    lambda z, w: (w * -nn.log_softmax(z)[:, 0]).sum() / w.sum(),
    lambda z, w: jnp.average(nn.logsumexp(z, axis=1) - z[:, 0], weights=w),
    X,
    P[:, 0],
)
# equal but where values tie: each has a subgradient of its own there
ne("mae grad", jax.grad(lambda x, y: jnp.abs(x - y).mean()), lambda x, y: jnp.sign(x - y) / 12, X, Y)
eq(
    "smooth l1",
    lambda e: jnp.where(jnp.abs(e) < 0.5, e * e, jnp.abs(e) - 0.25),
    lambda e: (lambda a: jnp.where(a < 0.5, a * a, a - 0.25))(jnp.abs(e)),
    X,
)
eq("quantile loss", lambda e: jnp.maximum(0.9 * e, -0.1 * e), lambda e: jnp.where(e > 0, 0.9 * e, -0.1 * e), X)
eq(
    "minmax norm",
    lambda x: (x - x.min()) / (x.max() - x.min()),
    lambda x: (lambda s: (x - s[0]) / (s[-1] - s[0]))(jnp.sort(x.reshape(-1))),
    X,
)
eq("logsigmoid", nn.log_sigmoid, lambda x: -jnp.logaddexp(0.0, -x), X)
eq(
    "swiglu grad",
    lambda x, y, d: jax.vjp(lambda x, y: nn.silu(x) * y, x, y)[1](d),
    lambda x, y, d: (lambda s: (d * y * (s + x * s * (1 - s)), d * x * s))(nn.sigmoid(x)),
    X,
    Y,
    P,
)
eq(
    "qk norm attn",
    lambda q, k: nn.softmax(
        (q / jnp.linalg.norm(q, axis=1, keepdims=True)) @ (k / jnp.linalg.norm(k, axis=1, keepdims=True)).T
    ),
    lambda q, k: nn.softmax((q @ k.T) / (jnp.linalg.norm(q, axis=1)[:, None] * jnp.linalg.norm(k, axis=1)[None])),
    X,
    Y,
)


# found by attacks
ONE_ROW = n(50, 5)
IMAGES = n(51, 6, 2, 2)[None, :, :, :]
eq(
    "dot product attention",
    lambda q, k, v: nn.dot_product_attention(q, k, v),
    lambda q, k, v: jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(2.0)), v),
    IMAGES,
    IMAGES + 1,
    IMAGES * 2,
)
eq(
    "a linear recurrence as a convolution",
    lambda x: lax.scan(lambda h, t: (0.5 * h + t,) * 2, 0.0, x)[1],
    lambda x: jnp.convolve(x, 0.5 ** jnp.arange(5.0))[:5],
    ONE_ROW,
)
eq("asinh", jnp.arcsinh, lambda x: jnp.log(x + jnp.sqrt(x * x + 1)), P)
eq(
    "an orthogonal rest",
    lambda u, t: u @ (t - (t @ u) / (u @ u) * u),
    lambda u, t: 0 * u[0],
    ONE_ROW,
    ONE_ROW[::-1] + 1,
)
eq(
    "hinge loss of classes",
    lambda z: jnp.maximum(0, 1 + z - z[:, :1])[:, 1:].sum(),
    lambda z: nn.relu(z[:, 1:] - (z[:, :1] - 1)).sum(),
    X,
)
FAR = jnp.array([0, 0, 500, 0, 0.0])
ne("top_k, one far", lambda x: lax.top_k(x + FAR, 1)[0][0], lambda x: x[2] + 500, ONE_ROW)
ne("argmax, one far", lambda x: x[jnp.argmax(x + FAR)], lambda x: x[2], ONE_ROW)
ne("cummax, one far", lambda x: lax.cummax(x + FAR[::-1]), lambda x: lax.cummax(x).at[2:].set(x[2] + 500), ONE_ROW)
ne("median, far apart", lambda x: jnp.median(x[:3] + 1e4 * jnp.array([-1, 0, 1])), lambda x: x[1], ONE_ROW)
ne("a sign of a determinant", lambda x: jnp.linalg.slogdet(x + 30 * jnp.eye(4))[0], lambda x: 1.0 + 0 * x[0, 0], W)
ne(
    "pivots in order",
    lambda x: jax.scipy.linalg.lu_factor(x + 100 * jnp.eye(4))[1],
    lambda x: jnp.arange(4, dtype=jnp.int32) + (0 * x[0, 0]).astype(jnp.int32),
    W,
)
ne("a prediction's rank", lambda x: jnp.argsort(-x), lambda x: jnp.argsort(x)[::-1], ONE_ROW)
ne("below and up to", lambda x: jnp.searchsorted(jnp.array([0.0, 1.0]), x), lambda x: jnp.searchsorted(
    jnp.array([0.0, 1.0]), x, side="right"), ONE_ROW)  # fmt: skip
ne("a sum that is compared", lambda x: jnp.where(x[0] + x[1] >= x[2], 1.0, 0.0), lambda x: jnp.where(
    x[0] + x[1] > x[2], 1.0, 0.0), X)  # fmt: skip
ne("infinite where it overflows", lambda x: jnp.where(jnp.isinf(jnp.exp(x)), 0.0, x), lambda x: x, X)
ne("whole numbers that wrap", lambda x: x * jnp.prod(jnp.arange(1, 15)), lambda x: x * 87178291200.0, ONE_ROW)
ne("bits", lambda x: lax.bitcast_convert_type(x, jnp.int32), lambda x: x.astype(jnp.int32), X)
ne("the gradient of a maximum where it ties", jax.grad(lambda x: jnp.maximum(x, 0).sum()), lambda x: jnp.where(
    x > 0, 1.0, 0.0), X)  # fmt: skip
