"""Attention: one head, several heads under a causal mask, with padding and dropout, additive."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def one_head_attention(p, x, target):
    """O = softmax(QKᵀ/√d) V Wo with Q, K, V = X Wq, X Wk, X Wv; L = 1/(2n) Σ (O − T)²."""
    q = x @ p["Wq"]
    k = x @ p["Wk"]
    v = x @ p["Wv"]
    scores = q @ k.T / jnp.sqrt(q.shape[1])
    attention = jax.nn.softmax(scores, axis=1)
    context = attention @ v
    out = context @ p["Wo"]
    return jnp.sum((out - target) ** 2) / (2 * x.shape[0])


def one_head_attention_backward(p, x, target):
    """Differentiate `one_head_attention` with respect to the four matrices."""
    n, d = x.shape[0], p["Wq"].shape[1]
    q, k, v = x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]
    scores = q @ k.T / np.sqrt(d)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    context = a @ v
    dout = (context @ p["Wo"] - target) / n
    dWo = context.T @ dout
    dcontext = dout @ p["Wo"].T
    dv = a.T @ dcontext
    da = dcontext @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True))
    ds = ds / np.sqrt(d)
    dq = ds @ k
    dk = ds.T @ q
    return {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv, "Wo": dWo}


def one_head_arguments(random):
    """Five tokens of width 4, a head of width 3."""
    p = {"Wq": (4, 3), "Wk": (4, 3), "Wv": (4, 3), "Wo": (3, 4)}
    p = {name: 0.7 * random.normal(size=shape) for name, shape in p.items()}
    return p, random.normal(size=(5, 4)), random.normal(size=(5, 4))


def split_heads(x, heads):
    """(t, heads·d) → (heads, t, d)."""
    return x.reshape(x.shape[0], heads, -1).transpose(1, 0, 2)


def join_heads(x):
    """(heads, t, d) → (t, heads·d)."""
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def causal_multi_head(p, x, y):
    """Two heads that see the past only, a residual connection, then the next token's cross-entropy, its mean over t."""
    t = x.shape[0]
    qkv = x @ p["Wqkv"] + p["bqkv"]
    q, k, v = (split_heads(part, 2) for part in jnp.split(qkv, 3, axis=1))
    scores = jnp.einsum("htd,hsd->hts", q, k) / jnp.sqrt(q.shape[-1])
    visible = jnp.tril(jnp.ones((t, t), bool))
    scores = jnp.where(visible, scores, -1e9)
    attention = jax.nn.softmax(scores, axis=-1)
    heads = jnp.einsum("hts,hsd->htd", attention, v)
    h = x + join_heads(heads) @ p["Wo"]
    logits = h @ p["U"]
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(t), y])


def causal_multi_head_backward(p, x, y):
    """Differentiate `causal_multi_head` with respect to the projections, their bias and the output matrix."""
    t = x.shape[0]
    qkv = x @ p["Wqkv"] + p["bqkv"]
    q, k, v = (split_heads(part, 2) for part in np.split(np.asarray(qkv), 3, axis=1))
    d = q.shape[-1]
    visible = np.tril(np.ones((t, t), bool))
    scores = np.where(visible, np.einsum("htd,hsd->hts", q, k) / np.sqrt(d), -1e9)
    a = np.asarray(jax.nn.softmax(scores, axis=-1))
    joined = join_heads(np.einsum("hts,hsd->htd", a, v))
    h = x + joined @ p["Wo"]
    dlogits = np.array(jax.nn.softmax(h @ p["U"]))
    dlogits[np.arange(t), y] -= 1
    dlogits /= t
    dU = h.T @ dlogits
    dh = dlogits @ p["U"].T
    dWo = joined.T @ dh
    dheads = split_heads(np.asarray(dh @ p["Wo"].T), 2)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for i in range(2):
        dv[i] = a[i].T @ dheads[i]
        da = dheads[i] @ v[i].T
        ds = a[i] * (da - np.sum(da * a[i], axis=-1, keepdims=True))
        ds = np.where(visible, ds, 0) / np.sqrt(d)
        dq[i] = ds @ k[i]
        dk[i] = ds.T @ q[i]
    dqkv = np.concatenate([join_heads(dq), join_heads(dk), join_heads(dv)], axis=1)
    return {"Wqkv": x.T @ dqkv, "bqkv": dqkv.sum(axis=0), "Wo": dWo, "U": dU}


def causal_arguments(random):
    """Five tokens of width 4, two heads of width 2, six words."""
    p = {"Wqkv": (4, 12), "bqkv": (12,), "Wo": (4, 4), "U": (4, 6)}
    p = {name: 0.8 * random.normal(size=shape) for name, shape in p.items()}
    return p, random.normal(size=(5, 4)), random.integers(0, 6, 5)


def cross_attention(p, x, memory, present, keep, target):
    """X asks, M answers where `present`, attention is dropped out by `keep` and divided by 0.8; mean squared error."""
    q = x @ p["Wq"]
    k = memory @ p["Wk"]
    v = memory @ p["Wv"]
    scores = q @ k.T * k.shape[1] ** -0.5
    scores = jnp.where(present[None, :], scores, -jnp.inf)
    attention = jax.nn.softmax(scores, axis=-1)
    dropped = attention * keep / 0.8
    y = jnp.tanh(dropped @ v)
    return jnp.mean((y - target) ** 2)


def cross_attention_backward(p, x, memory, present, keep, target):
    """Differentiate `cross_attention` with respect to the three projections."""
    q, k, v = x @ p["Wq"], memory @ p["Wk"], memory @ p["Wv"]
    scale = k.shape[1] ** -0.5
    scores = jnp.where(present[None, :], q @ k.T * scale, -jnp.inf)
    attention = jax.nn.softmax(scores, axis=-1)
    dropped = attention * keep / 0.8
    y = jnp.tanh(dropped @ v)
    grad_y = 2 * (y - target) / y.size
    grad_context = grad_y * (1 - y**2)
    grad_v = dropped.T @ grad_context
    grad_dropped = grad_context @ v.T
    grad_attention = grad_dropped * keep / 0.8
    inner = jnp.sum(grad_attention * attention, axis=-1, keepdims=True)
    grad_scores = attention * (grad_attention - inner)
    grad_q = grad_scores @ k * scale
    grad_k = grad_scores.T @ q * scale
    return {"Wq": x.T @ grad_q, "Wk": memory.T @ grad_k, "Wv": memory.T @ grad_v}


def cross_arguments(random):
    """Four questions, six memories of which one is padding."""
    p = {name: 0.7 * random.normal(size=(5, 3)) for name in ("Wq", "Wk", "Wv")}
    x, memory = random.normal(size=(4, 5)), random.normal(size=(6, 5))
    present = np.array([True, True, True, False, True, True])
    keep = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0], [1, 1, 1, 0, 1, 1]], float)
    return p, x, memory, present, keep, random.normal(size=(4, 3))


def additive_attention(p, query, keys, target):
    """Bahdanau: e_j = vᵀ tanh(W s + U h_j), α = softmax(e), c = Σ α_j h_j; L = ½‖C c − target‖²."""
    hidden = jnp.tanh(p["W"] @ query + keys @ p["U"].T)
    energies = hidden @ p["v"]
    alpha = jax.nn.softmax(energies)
    context = alpha @ keys
    return 0.5 * jnp.sum((p["C"] @ context - target) ** 2)


def additive_attention_backward(p, query, keys, target):
    """Differentiate `additive_attention` with respect to W, U, v and C."""
    hidden = np.tanh(p["W"] @ query + keys @ p["U"].T)
    energies = hidden @ p["v"]
    alpha = np.exp(energies - energies.max())
    alpha = alpha / alpha.sum()
    context = alpha @ keys
    residual = p["C"] @ context - target
    dC = np.outer(residual, context)
    dcontext = p["C"].T @ residual
    dalpha = keys @ dcontext
    denergies = alpha * (dalpha - alpha @ dalpha)
    dv = hidden.T @ denergies
    dhidden = np.outer(denergies, p["v"])
    dz = dhidden * (1 - hidden**2)
    dW = np.outer(dz.sum(axis=0), query)
    dU = dz.T @ keys
    return {"W": dW, "U": dU, "v": dv, "C": dC}


def additive_arguments(random):
    """A query of width 3, five keys of width 4, four hidden units."""
    p = {"W": (4, 3), "U": (4, 4), "v": (4,), "C": (2, 4)}
    p = {name: random.normal(size=shape) for name, shape in p.items()}
    return p, random.normal(size=3), random.normal(size=(5, 4)), random.normal(size=2)


FUNCTIONS = (
    ByHand(one_head_attention, one_head_attention_backward, one_head_arguments),
    ByHand(causal_multi_head, causal_multi_head_backward, causal_arguments),
    ByHand(cross_attention, cross_attention_backward, cross_arguments),
    ByHand(additive_attention, additive_attention_backward, additive_arguments),
)
