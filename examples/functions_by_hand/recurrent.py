"""Recurrent networks, unrolled in time: vanilla, LSTM, GRU."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def sigmoid(z):
    """The logistic function."""
    return 1 / (1 + np.exp(-z))


def vanilla_rnn(p, x, y):
    """h_t = tanh(Wx x_t + Wh h_{t−1} + b), ŷ_t = Wy h_t + c; L = ½ Σ_t ‖ŷ_t − y_t‖², a loop over time."""
    h = jnp.zeros(p["Wh"].shape[0])
    total = 0.0
    for t in range(x.shape[0]):
        h = jnp.tanh(p["Wx"] @ x[t] + p["Wh"] @ h + p["b"])
        error = p["Wy"] @ h + p["c"] - y[t]
        total = total + 0.5 * jnp.sum(error**2)
    return total


def vanilla_rnn_backward(p, x, y):
    """Backpropagation through time for `vanilla_rnn`."""
    T, H = len(x), len(p["Wh"])
    h = np.zeros((T + 1, H))
    for t in range(T):
        h[t + 1] = np.tanh(p["Wx"] @ x[t] + p["Wh"] @ h[t] + p["b"])
    grads = {name: np.zeros(value.shape) for name, value in p.items()}
    dh_next = np.zeros(H)
    for t in reversed(range(T)):
        dy = p["Wy"] @ h[t + 1] + p["c"] - y[t]
        grads["Wy"] += np.outer(dy, h[t + 1])
        grads["c"] += dy
        dh = p["Wy"].T @ dy + dh_next
        draw = (1 - h[t + 1] ** 2) * dh
        grads["Wx"] += np.outer(draw, x[t])
        grads["Wh"] += np.outer(draw, h[t])
        grads["b"] += draw
        dh_next = p["Wh"].T @ draw
    return grads


def vanilla_arguments(random):
    """Five steps, inputs of width 3, four units, two outputs."""
    p = {"Wx": (4, 3), "Wh": (4, 4), "b": (4,), "Wy": (2, 4), "c": (2,)}
    p = {name: 0.6 * random.normal(size=shape) for name, shape in p.items()}
    return p, random.normal(size=(5, 3)), random.normal(size=(5, 2))


def lstm_classifier(p, x, y):
    """Gates i, f, o, candidate g of [x_t, h_{t−1}]; c_t = f c_{t−1} + i g, h_t = o tanh c_t; −log softmax(V h_T)_y."""

    def step(carry, x_t):
        h, c = carry
        z = p["W"] @ jnp.concatenate([x_t, h]) + p["b"]
        i, f, o, g = jnp.split(z, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    units = p["b"].shape[0] // 4
    (h, _), _ = jax.lax.scan(step, (jnp.zeros(units), jnp.zeros(units)), x)
    return -jax.nn.log_softmax(p["V"] @ h)[y]


def lstm_classifier_backward(p, x, y):
    """Backpropagation through time for `lstm_classifier`."""
    T, D = x.shape
    H = len(p["b"]) // 4
    h, c = np.zeros((T + 1, H)), np.zeros((T + 1, H))
    i, f, o, g = (np.zeros((T, H)) for _ in range(4))
    for t in range(T):
        z = p["W"] @ np.concatenate([x[t], h[t]]) + p["b"]
        i[t], f[t], o[t] = sigmoid(z[:H]), sigmoid(z[H : 2 * H]), sigmoid(z[2 * H : 3 * H])
        g[t] = np.tanh(z[3 * H :])
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
        h[t + 1] = o[t] * np.tanh(c[t + 1])
    logits = p["V"] @ h[T]
    dlogits = np.exp(logits - logits.max())
    dlogits /= dlogits.sum()
    dlogits[y] -= 1
    dV = np.outer(dlogits, h[T])
    dW, db = np.zeros(p["W"].shape), np.zeros(p["b"].shape)
    dh, dc = p["V"].T @ dlogits, np.zeros(H)
    for t in reversed(range(T)):
        tanh_c = np.tanh(c[t + 1])
        do = dh * tanh_c
        dc = dc + dh * o[t] * (1 - tanh_c**2)
        di = dc * g[t]
        dg = dc * i[t]
        df = dc * c[t]
        dz = np.concatenate(
            [di * i[t] * (1 - i[t]), df * f[t] * (1 - f[t]), do * o[t] * (1 - o[t]), dg * (1 - g[t] ** 2)]
        )
        dW += np.outer(dz, np.concatenate([x[t], h[t]]))
        db += dz
        dh = p["W"][:, D:].T @ dz
        dc = dc * f[t]
    return {"W": dW, "b": db, "V": dV}


def lstm_arguments(random):
    """Six steps, inputs of width 2, three units, four classes."""
    p = {"W": 0.7 * random.normal(size=(12, 5)), "b": 0.5 * random.normal(size=12), "V": random.normal(size=(4, 3))}
    return p, random.normal(size=(6, 2)), int(random.integers(4))


def gru_sequence(p, x, y):
    """r, u = σ(·), n = tanh(Wn x + bn + r Un h), h_t = (1 − u) n + u h_{t−1}; mean over t of (w h_t − y_t)²."""
    h = p["h0"]
    outputs = []
    for x_t in x:
        r = jax.nn.sigmoid(p["Wr"] @ x_t + p["Ur"] @ h)
        u = jax.nn.sigmoid(p["Wu"] @ x_t + p["Uu"] @ h)
        n = jnp.tanh(p["Wn"] @ x_t + p["bn"] + r * (p["Un"] @ h))
        h = (1 - u) * n + u * h
        outputs.append(p["w"] @ h)
    return jnp.mean((jnp.stack(outputs) - y) ** 2)


def gru_sequence_backward(p, x, y):
    """Backpropagation through time for `gru_sequence`, the first state included."""
    hs, gates = [p["h0"]], []
    for x_t in x:
        h = hs[-1]
        r = sigmoid(p["Wr"] @ x_t + p["Ur"] @ h)
        u = sigmoid(p["Wu"] @ x_t + p["Uu"] @ h)
        n = np.tanh(p["Wn"] @ x_t + p["bn"] + r * (p["Un"] @ h))
        hs.append((1 - u) * n + u * h)
        gates.append((r, u, n))
    g: dict[str, Any] = {name: np.zeros(np.shape(value)) for name, value in p.items()}
    dh = np.zeros(len(p["h0"]))
    for t in range(len(x) - 1, -1, -1):
        (r, u, n), h = gates[t], hs[t]
        dout = 2 * (p["w"] @ hs[t + 1] - y[t]) / len(x)
        g["w"] += dout * hs[t + 1]
        dh = dh + dout * p["w"]
        du = dh * (h - n) * u * (1 - u)
        dn = dh * (1 - u) * (1 - n**2)
        dr = dn * (p["Un"] @ h) * r * (1 - r)
        g["Wr"] += np.outer(dr, x[t])
        g["Ur"] += np.outer(dr, h)
        g["Wu"] += np.outer(du, x[t])
        g["Uu"] += np.outer(du, h)
        g["Wn"] += np.outer(dn, x[t])
        g["bn"] += dn
        g["Un"] += np.outer(dn * r, h)
        dh = dh * u + p["Ur"].T @ dr + p["Uu"].T @ du + p["Un"].T @ (dn * r)
    g["h0"] = dh
    return g


def gru_arguments(random):
    """Five steps, inputs of width 2, three units."""
    p = dict.fromkeys(("Wr", "Wu", "Wn"), (3, 2)) | dict.fromkeys(("Ur", "Uu", "Un"), (3, 3))
    p |= {"bn": (3,), "w": (3,), "h0": (3,)}
    return (
        {name: 0.8 * random.normal(size=s) for name, s in p.items()},
        random.normal(size=(5, 2)),
        random.normal(size=5),
    )


FUNCTIONS = (
    ByHand(vanilla_rnn, vanilla_rnn_backward, vanilla_arguments),
    ByHand(lstm_classifier, lstm_classifier_backward, lstm_arguments),
    ByHand(gru_sequence, gru_sequence_backward, gru_arguments),
)
