"""Right gradients that look wrong: written in ways that a checker must not object to."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .norms import EPS
from .recurrent import sigmoid


def attention_with_jacobians(p, x, target):
    """`one_head_attention` with the softmax's Jacobian diag(a) − a aᵀ written out row by row, not shifted."""
    q, k, v = x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]
    a = np.exp(np.asarray(q @ k.T) / q.shape[1] ** 0.5)
    a = a / a.sum(axis=1, keepdims=True)
    error = (a @ v @ p["Wo"] - target) / len(x)
    dcontext = np.asarray(error @ p["Wo"].T)
    jacobians = a[:, :, None] * np.eye(len(x)) - a[:, :, None] * a[:, None, :]
    ds = np.einsum("tij,jd,td->ti", jacobians, v, dcontext) * q.shape[1] ** -0.5
    return {"Wq": x.T @ (ds @ k), "Wk": (q.T @ ds @ x).T, "Wv": (a @ x).T @ dcontext, "Wo": (a @ v).T @ error}


def layer_norm_as_projection(p, y):
    """`layer_norm_regression` with dx as a product with one matrix a row: (I − 11ᵀ/d − x̂x̂ᵀ/d)/σ."""
    x = np.asarray(p["x"])
    n, d = x.shape
    std = np.sqrt(np.mean(x * x, axis=1) - np.mean(x, axis=1) ** 2 + EPS)[:, None]
    xhat = (x - x.mean(axis=1, keepdims=True)) / std
    delta = (xhat * p["gamma"] + p["beta"] - y) / n
    dx = [
        (np.eye(d) - 1 / d - np.outer(h, h) / d) @ (g * p["gamma"]) / s
        for h, g, s in zip(xhat, delta, std, strict=True)
    ]
    return {"x": np.stack(dx), "gamma": np.einsum("nd,nd->d", delta, xhat), "beta": np.ones(n) @ delta}


def rnn_by_sensitivities(p, x, y):
    """`vanilla_rnn` forward in time: ∂h_t/∂θ is carried along (real-time recurrent learning), nothing flows back."""
    names = ("Wx", "Wh", "b")
    h = np.zeros(len(p["b"]))
    sensitivity = {name: np.zeros((len(h), *np.shape(p[name]))) for name in names}
    grads: dict[str, Any] = {name: np.zeros(np.shape(value)) for name, value in p.items()}
    for x_t, y_t in zip(x, y, strict=True):
        direct = {"Wx": np.einsum("ij,k->ijk", np.eye(len(h)), x_t), "Wh": np.einsum("ij,k->ijk", np.eye(len(h)), h)}
        direct["b"] = np.eye(len(h))
        h = np.tanh(p["Wx"] @ x_t + p["Wh"] @ h + p["b"])
        error = p["Wy"] @ h + p["c"] - y_t
        for name in names:
            carried = np.tensordot(p["Wh"], sensitivity[name], axes=1) + direct[name]
            sensitivity[name] = (1 - h**2).reshape(-1, *[1] * (carried.ndim - 1)) * carried
            grads[name] += np.tensordot(error @ p["Wy"], sensitivity[name], axes=1)
        grads["Wy"] += error[:, None] * h
        grads["c"] += error
    return grads


def lstm_with_time_in_batch(p, x, y):
    """`lstm_classifier` with all dz kept and the weights' gradient as one product at the end."""
    units, steps = len(p["b"]) // 4, len(x)
    h, c, kept = np.zeros(units), np.zeros(units), []
    for x_t in x:
        seen = np.concatenate([x_t, h])
        i, f, o, g = np.split(np.asarray(p["W"] @ seen + p["b"]), 4)
        before, c = c, sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        kept.append((seen, i, f, o, g, before, c))
    delta = np.asarray(jax.nn.softmax(p["V"] @ h)) - (np.arange(len(p["V"])) == y)
    dh, dc, dz = p["V"].T @ delta, 0.0, np.zeros((steps, 4 * units))
    for t, (_, i, f, o, g, before, c) in reversed(list(enumerate(kept))):
        dc = dc + dh * sigmoid(o) / np.cosh(c) ** 2
        gates = [dc * np.tanh(g) / (2 + 2 * np.cosh(i)), dc * before / (2 + 2 * np.cosh(f))]
        dz[t] = np.concatenate([*gates, dh * np.tanh(c) / (2 + 2 * np.cosh(o)), dc * sigmoid(i) / np.cosh(g) ** 2])
        dh, dc = dz[t] @ p["W"][:, -units:], dc * sigmoid(f)
    return {"W": dz.T @ np.stack([entry[0] for entry in kept]), "b": np.ones(steps) @ dz, "V": np.outer(delta, h)}


def skip_gram_with_one_hot_rows(p, centre, context, negatives):
    """`skip_gram` with picked rows as products with one-hot matrices, where repeated rows add by themselves."""
    words = np.eye(len(p["V"]))
    centres, contexts, drawn_words = words[centre], words[context], words[negatives]
    v = centres @ p["V"]
    pull = -sigmoid(-np.sum(v * (contexts @ p["U"]), axis=1))
    push = sigmoid(np.einsum("nd,nkd->nk", v, drawn_words @ p["U"]))
    drawn = np.einsum("nk,nkw->nw", push, drawn_words) + pull[:, None] * contexts
    return {"V": centres.T @ drawn @ p["U"] / len(centre), "U": drawn.T @ v / len(centre)}


def dice_by_logarithm(z, mask):
    """`dice_loss` as −dice · d log dice, and σ' as 1/(4 cosh²(z/2))."""
    prob = np.tanh(np.asarray(z) / 2) / 2 + 0.5
    above = 2 * np.einsum("nhw,nhw->n", prob, mask)[:, None, None] + 1
    below = (prob + mask).sum(axis=(1, 2), keepdims=True) + 1
    return above / below * (1 / below - 2 * mask / above) / (4 * np.cosh(z / 2) ** 2) / len(z)


def hinge_one_example_at_a_time(W, x, y, reg):
    """`multiclass_hinge` as two loops with `if`, over gradients that start from the penalty."""
    dW = 2 * reg * np.array(W, dtype=float)
    for x_i, y_i in zip(np.asarray(x), np.asarray(y), strict=True):
        for j in range(dW.shape[1]):
            if j != y_i and x_i @ W[:, j] > x_i @ W[:, y_i] - 1:
                dW[:, j] += x_i / len(x)
                dW[:, y_i] -= x_i / len(x)
    return dW


def gaussian_process_by_eigenvectors(p, x, y):
    """`gaussian_process` in the basis where K is diagonal, each derivative a difference of two sums."""
    squared = np.sum(x**2, axis=1)[:, None] + np.sum(x**2, axis=1) - 2 * np.asarray(x @ x.T)
    kernel = np.exp(p["log_amplitude"] - squared / 2 * np.exp(-2 * p["log_length"]))
    values, vectors = np.linalg.eigh(kernel + np.exp(p["log_noise"]) * np.eye(len(x)))
    turned = vectors.T @ y / values
    changes = {"log_amplitude": kernel, "log_length": kernel * squared / np.exp(p["log_length"]) ** 2}
    changes["log_noise"] = np.exp(p["log_noise"]) * np.eye(len(x))
    turned_changes = {name: vectors.T @ change @ vectors for name, change in changes.items()}
    return {
        name: (np.sum(np.diag(change) / values) - turned @ change @ turned) / 2
        for name, change in turned_changes.items()
    }


def crf_by_differences_of_partitions(p, x, tags):
    """`crf_loss` with marginals from products of matrices, normalized at every step instead of in logarithms."""
    e, T = np.asarray(x @ p["W"]), np.exp(np.asarray(p["T"]))
    potential = np.exp(e)
    forward = [np.exp(p["start"]) * potential[0]]
    for now in potential[1:]:
        forward.append(forward[-1] @ T * now)
        forward[-1] = forward[-1] / forward[-1].sum()
    backward = [np.ones(len(T))]
    for now in potential[:0:-1]:
        backward.insert(0, T @ (now * backward[0]))
        backward[0] = backward[0] / backward[0].max()
    tagged = np.eye(len(T))[tags]
    marginals = np.stack([f * b / (f @ b) for f, b in zip(forward, backward, strict=True)])
    dT = -tagged[:-1].T @ tagged[1:]
    for f, now, b in zip(forward, potential[1:], backward[1:], strict=False):
        joint = f[:, None] * T * (now * b)
        dT += joint / joint.sum()
    return {"W": x.T @ (marginals - tagged), "T": dT, "start": marginals[0] - tagged[0]}


def poisson_by_forward_mode(p, X, counts, exposure):
    """`poisson_regression` by one Jacobian-vector product for each parameter, in JAX, exact all the same."""

    def loss(theta):
        log_rate = X @ theta[:-1] + theta[-1] + jnp.log(exposure)
        penalty = 0.1 * jnp.sum(jnp.hypot(theta[:-1], 0.1))
        return jnp.mean(jnp.exp(log_rate) - counts * log_rate) + penalty

    theta = jnp.concatenate([p["w"], jnp.reshape(p["b"], 1)])
    slopes = [jax.jvp(loss, (theta,), (direction,))[1] for direction in jnp.eye(len(theta), dtype=theta.dtype)]
    return {"w": jnp.stack(slopes[:-1]), "b": slopes[-1]}


def pool_by_sorting(p, x, y):
    """`max_pooled` with each window's maximum as the last of its sorted entries."""
    n, h, w = x.shape
    z = np.asarray(x * p["scale"] + p["shift"])
    windows = z.reshape(n, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, -1, 4)
    best = windows.argsort(axis=2)[:, :, -1:]
    features = np.take_along_axis(windows, best, axis=2)[:, :, 0]
    delta = (sigmoid(features @ p["v"]) - y) / n
    dwindows = np.zeros_like(windows)
    np.put_along_axis(dwindows, best, (delta[:, None] * p["v"])[:, :, None], axis=2)
    dz = dwindows.reshape(n, h // 2, w // 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(x.shape)
    return {"scale": np.einsum("nhw,nhw->hw", dz, x), "shift": np.add.reduce(dz), "v": delta @ features}


UNUSUAL = (
    ("one_head_attention", attention_with_jacobians),
    ("layer_norm_regression", layer_norm_as_projection),
    ("vanilla_rnn", rnn_by_sensitivities),
    ("lstm_classifier", lstm_with_time_in_batch),
    ("skip_gram", skip_gram_with_one_hot_rows),
    ("dice_loss", dice_by_logarithm),
    ("multiclass_hinge", hinge_one_example_at_a_time),
    ("gaussian_process", gaussian_process_by_eigenvectors),
    ("crf_loss", crf_by_differences_of_partitions),
    ("poisson_regression", poisson_by_forward_mode),
    ("max_pooled", pool_by_sorting),
)
