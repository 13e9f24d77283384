"""Transformers: two whole blocks, rotary positions, a gated feed-forward layer, a soft mixture of experts."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def normalize(x):
    """(x − mean)/√(var + ε) row by row."""
    return (x - x.mean(axis=-1, keepdims=True)) / jnp.sqrt(x.var(axis=-1, keepdims=True) + 1e-3)


def attend(layer, x):
    """Causal attention with one head."""
    q, k, v = x @ layer["Wq"], x @ layer["Wk"], x @ layer["Wv"]
    scores = q @ k.T / jnp.sqrt(k.shape[-1])
    scores = jnp.where(jnp.tri(x.shape[0], dtype=bool), scores, -1e9)
    return jax.nn.softmax(scores, axis=-1) @ v @ layer["Wo"]


def two_blocks(p, tokens, targets):
    """From E[tokens] + P, twice x ← x + attend(g₁ norm x), x ← x + gelu(g₂ norm x · W₁ + b₁) W₂; mean cross-entropy."""
    x = p["E"][tokens] + p["P"]
    for layer in p["layers"]:
        x = x + attend(layer, layer["g1"] * normalize(x))
        hidden = jax.nn.gelu((layer["g2"] * normalize(x)) @ layer["W1"] + layer["b1"])
        x = x + hidden @ layer["W2"]
    logits = normalize(x) @ p["U"]
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.mean(log_probs[jnp.arange(tokens.shape[0]), targets])


def softmax(z):
    """Row by row."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def normalize_backward(dy, x):
    """Pull dy back through `normalize`."""
    std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-3)
    xhat = (x - x.mean(axis=-1, keepdims=True)) / std
    return (dy - dy.mean(axis=-1, keepdims=True) - xhat * (dy * xhat).mean(axis=-1, keepdims=True)) / std


def attend_backward(dy, layer, x):
    """Pull dy back through `attend`: the layer's gradients and dx."""
    q, k, v = x @ layer["Wq"], x @ layer["Wk"], x @ layer["Wv"]
    d = k.shape[-1]
    visible = np.tri(len(x), dtype=bool)
    a = softmax(np.where(visible, q @ k.T / np.sqrt(d), -1e9))
    dmixed = dy @ layer["Wo"].T
    da = dmixed @ v.T
    ds = a * (da - (da * a).sum(axis=-1, keepdims=True)) / np.sqrt(d)
    dq, dk, dv = ds @ k, ds.T @ q, a.T @ dmixed
    grads = {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv, "Wo": (a @ v).T @ dy}
    return grads, dq @ layer["Wq"].T + dk @ layer["Wk"].T + dv @ layer["Wv"].T


def gelu_slope(z):
    """The derivative of gelu's tanh form, ½ z (1 + tanh(c (z + 0.044715 z³))) with c = √(2/π)."""
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * c * (1 + 3 * 0.044715 * z**2)


def two_blocks_backward(p, tokens, targets):
    """Differentiate `two_blocks` with respect to everything that is learned."""
    x = np.asarray(p["E"])[tokens] + p["P"]
    cache = []
    for layer in p["layers"]:
        middle = x + attend(layer, layer["g1"] * normalize(x))
        z = (layer["g2"] * normalize(middle)) @ layer["W1"] + layer["b1"]
        cache.append((x, np.asarray(middle), np.asarray(z)))
        x = np.asarray(middle + jax.nn.gelu(z) @ layer["W2"])
    n = len(tokens)
    dlogits = (softmax(np.asarray(normalize(x) @ p["U"])) - np.eye(p["U"].shape[1])[targets]) / n
    dU = normalize(x).T @ dlogits
    dx = normalize_backward(np.asarray(dlogits @ p["U"].T), x)
    layers = []
    for layer, (x, middle, z) in zip(reversed(p["layers"]), reversed(cache), strict=True):
        dhidden = dx @ layer["W2"].T
        dz = np.asarray(dhidden * gelu_slope(z))
        scaled = layer["g2"] * normalize(middle)
        grads = {"W2": jax.nn.gelu(z).T @ dx, "W1": scaled.T @ dz, "b1": dz.sum(axis=0)}
        dscaled = dz @ layer["W1"].T
        grads["g2"] = (dscaled * normalize(middle)).sum(axis=0)
        dx = dx + normalize_backward(dscaled * layer["g2"], middle)
        more, dnormed = attend_backward(dx, layer, layer["g1"] * normalize(x))
        grads["g1"] = (dnormed * normalize(x)).sum(axis=0)
        dx = dx + normalize_backward(dnormed * layer["g1"], x)
        layers.append(grads | more)
    dE = np.zeros(p["E"].shape)
    np.add.at(dE, tokens, dx)
    return {"E": dE, "P": dx, "layers": layers[::-1], "U": dU}


def two_blocks_arguments(random):
    """Five tokens out of six, width 4, six hidden units."""
    sizes = {"Wq": (4, 4), "Wk": (4, 4), "Wv": (4, 4), "Wo": (4, 4), "W1": (4, 6), "b1": (6,), "W2": (6, 4)}
    layers = [{name: 0.6 * random.normal(size=size) for name, size in sizes.items()} for _ in range(2)]
    layers = [layer | {name: 1 + 0.3 * random.normal(size=4) for name in ("g1", "g2")} for layer in layers]
    p = {"E": random.normal(size=(6, 4)), "P": random.normal(size=(5, 4)), "layers": layers}
    return p | {"U": random.normal(size=(4, 6))}, np.array([0, 3, 3, 1, 5]), np.array([3, 3, 1, 5, 2])


def rotary_attention(p, x, angles, y):
    """Queries and keys turned by their position, (u, v) ↦ (u cos − v sin, u sin + v cos), then attention; ½ Σ (·)²."""

    def rotate(z):
        u, v = jnp.split(z, 2, axis=1)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        return jnp.concatenate([u * cos - v * sin, u * sin + v * cos], axis=1)

    q, k = rotate(x @ p["Wq"]), rotate(x @ p["Wk"])
    a = jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]), axis=1)
    return 0.5 * jnp.sum((a @ (x @ p["Wv"]) - y) ** 2)


def rotary_attention_backward(p, x, angles, y):
    """Differentiate `rotary_attention`: the gradient is turned back."""
    cos, sin = np.cos(angles), np.sin(angles)

    def rotate(z, sin):
        u, v = np.split(np.asarray(z), 2, axis=1)
        return np.concatenate([u * cos - v * sin, u * sin + v * cos], axis=1)

    q, k, v = rotate(x @ p["Wq"], sin), rotate(x @ p["Wk"], sin), x @ p["Wv"]
    root = np.sqrt(q.shape[1])
    a = softmax(q @ k.T / root)
    dout = a @ v - y
    dv = a.T @ dout
    da = dout @ v.T
    ds = a * (da - np.sum(da * a, axis=1, keepdims=True)) / root
    dq, dk = ds @ k, ds.T @ q
    dq_plain = rotate(dq, -sin)
    dk_plain = rotate(dk, -sin)
    return {"Wq": x.T @ dq_plain, "Wk": x.T @ dk_plain, "Wv": x.T @ dv}


def rotary_arguments(random):
    """Five tokens of width 3, a head of width 4 with two angles."""
    p = {name: 0.7 * random.normal(size=(3, 4)) for name in ("Wq", "Wk", "Wv")}
    angles = np.arange(5)[:, None] * np.array([1.0, 0.3])
    return p, random.normal(size=(5, 3)), angles, random.normal(size=(5, 4))


def gated_experts(p, x, y):
    """SwiGLU experts under a soft gate: ŷ = Σ_e softmax(x G)_e · (swish(x A_e) ⊙ x B_e) C_e; ½ Σ (ŷ − y)²/n."""
    gate = jax.nn.softmax(x @ p["G"], axis=1)
    a = jnp.einsum("nd,edh->neh", x, p["A"])
    b = jnp.einsum("nd,edh->neh", x, p["B"])
    hidden = a * jax.nn.sigmoid(a) * b
    experts = jnp.einsum("neh,eho->neo", hidden, p["C"])
    output = jnp.einsum("ne,neo->no", gate, experts)
    return 0.5 * jnp.sum((output - y) ** 2) / x.shape[0]


def gated_experts_backward(p, x, y):
    """Differentiate `gated_experts` with respect to the gate and the experts."""
    gate = softmax(x @ p["G"])
    a, b = np.einsum("nd,edh->neh", x, p["A"]), np.einsum("nd,edh->neh", x, p["B"])
    s = 1 / (1 + np.exp(-a))
    hidden = a * s * b
    experts = np.einsum("neh,eho->neo", hidden, p["C"])
    dy = (np.einsum("ne,neo->no", gate, experts) - y) / len(x)
    dgate = np.einsum("no,neo->ne", dy, experts)
    dexperts = gate[:, :, None] * dy[:, None, :]
    dC = np.einsum("neh,neo->eho", hidden, dexperts)
    dhidden = np.einsum("neo,eho->neh", dexperts, p["C"])
    db = dhidden * a * s
    da = dhidden * b * (s + a * s * (1 - s))
    dlogits = gate * (dgate - (gate * dgate).sum(axis=1, keepdims=True))
    return {
        "G": x.T @ dlogits,
        "A": np.einsum("nd,neh->edh", x, da),
        "B": np.einsum("nd,neh->edh", x, db),
        "C": dC,
    }


def gated_arguments(random):
    """Six examples of width 3, two experts of four hidden units, two outputs."""
    p = {"G": (3, 2), "A": (2, 3, 4), "B": (2, 3, 4), "C": (2, 4, 2)}
    p = {name: 0.8 * random.normal(size=size) for name, size in p.items()}
    return p, random.normal(size=(6, 3)), random.normal(size=(6, 2))


FUNCTIONS = (
    ByHand(
        two_blocks,
        two_blocks_backward,
        two_blocks_arguments,
        (softmax, normalize_backward, attend_backward, gelu_slope),
    ),
    ByHand(rotary_attention, rotary_attention_backward, rotary_arguments),
    ByHand(gated_experts, gated_experts_backward, gated_arguments),
)
