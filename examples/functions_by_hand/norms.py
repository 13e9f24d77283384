"""Normalization: by row, by root mean square, by batch, by group of channels."""

import jax.numpy as jnp
import numpy as np

from .planting import ByHand

EPS = 1e-2


def layer_norm_regression(p, y):
    """With x̂ = (x − μ)/√(σ² + ε) row by row, then γ x̂ + β; L = ½ Σ (γ x̂ + β − y)² / n, differentiated in x too."""
    x = p["x"]
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = jnp.sqrt(var + EPS)
    xhat = (x - mean) / std
    out = p["gamma"] * xhat + p["beta"]
    return 0.5 * jnp.sum((out - y) ** 2) / x.shape[0]


def layer_norm_regression_backward(p, y):
    """Differentiate `layer_norm_regression`, dx by the closed form with three terms."""
    x, gamma, beta = p["x"], p["gamma"], p["beta"]
    n = x.shape[0]
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    xhat = (x - mu) / std
    dout = (gamma * xhat + beta - y) / n
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    mean_term = dxhat.mean(axis=1, keepdims=True)
    var_term = xhat * (dxhat * xhat).mean(axis=1, keepdims=True)
    dx = (dxhat - mean_term - var_term) / std
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def layer_norm_arguments(random):
    """Four rows of width 5."""
    p = {
        "x": 2 * random.normal(size=(4, 5)) + 1,
        "gamma": 1 + 0.5 * random.normal(size=5),
        "beta": random.normal(size=5),
    }
    return p, random.normal(size=(4, 5))


def rms_norm_network(p, x, y):
    """With h = x W, then g h/rms(h) with rms = √(mean h² + ε), logits through V; binary cross-entropy, its mean."""
    h = x @ p["W"]
    ms = jnp.mean(h**2, axis=-1, keepdims=True)
    rms = jnp.sqrt(ms + EPS)
    normed = h / rms
    z = (p["g"] * normed) @ p["v"]
    return jnp.mean(jnp.logaddexp(0.0, z) - y * z)


def rms_norm_network_backward(p, x, y):
    """Differentiate `rms_norm_network` with respect to W, g and v."""
    W, g, v = p["W"], p["g"], p["v"]
    h = x @ W
    d = h.shape[-1]
    rms = np.sqrt((h**2).mean(axis=-1, keepdims=True) + EPS)
    normed = h / rms
    z = (g * normed) @ v
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    dv = (g * normed).T @ dz
    dscaled = np.outer(dz, v)
    dg = (dscaled * normed).sum(axis=0)
    dnormed = dscaled * g
    drms = -(dnormed * h).sum(axis=-1, keepdims=True) / rms**2
    dms = drms / (2 * rms)
    dh = dnormed / rms + dms * 2 * h / d
    return {"W": x.T @ dh, "g": dg, "v": dv}


def rms_norm_arguments(random):
    """Six examples of width 3, five hidden units."""
    p = {"W": random.normal(size=(3, 5)), "g": 1 + 0.5 * random.normal(size=5), "v": random.normal(size=5)}
    return p, random.normal(size=(6, 3)), random.integers(0, 2, 6).astype(float)


def batch_norm_network(p, x, y):
    """With z = x W normalized over the batch, ReLU of γ ẑ + β, a linear readout; L = mean over n of (a w − y)²."""
    z = x @ p["W"]
    mu = jnp.mean(z, axis=0)
    centered = z - mu
    var = jnp.mean(centered**2, axis=0)
    inv = 1 / jnp.sqrt(var + EPS)
    zhat = centered * inv
    a = jnp.maximum(p["gamma"] * zhat + p["beta"], 0)
    return jnp.mean((a @ p["w"] - y) ** 2)


def batch_norm_network_backward(p, x, y):
    """Differentiate `batch_norm_network` step by step, as the graph of the paper shows it."""
    n = x.shape[0]
    z = x @ p["W"]
    centered = z - z.mean(axis=0)
    var = (centered**2).mean(axis=0)
    inv = 1 / np.sqrt(var + EPS)
    zhat = centered * inv
    pre = p["gamma"] * zhat + p["beta"]
    a = np.maximum(pre, 0)
    delta = 2 * (a @ p["w"] - y) / n
    dw = a.T @ delta
    da = np.outer(delta, p["w"])
    dpre = da * (pre > 0)
    dgamma = np.sum(dpre * zhat, axis=0)
    dbeta = np.sum(dpre, axis=0)
    dzhat = dpre * p["gamma"]
    dinv = np.sum(dzhat * centered, axis=0)
    dvar = -0.5 * dinv * inv**3
    dcentered = dzhat * inv
    dcentered = dcentered + 2 * centered * dvar / n
    dmu = -dcentered.sum(axis=0)
    dz = dcentered + dmu / n
    dW = x.T @ dz
    return {"W": dW, "gamma": dgamma, "beta": dbeta, "w": dw}


def batch_norm_arguments(random):
    """Seven examples of width 3, four units."""
    p = {"W": random.normal(size=(3, 4)), "gamma": 1 + 0.3 * random.normal(size=4)}
    p |= {"beta": 0.5 * random.normal(size=4), "w": random.normal(size=4)}
    return p, random.normal(size=(7, 3)), random.normal(size=7)


def group_norm_images(p, y):
    """Images (n, h, w, c) normalized over pixels and half of the channels, tanh of γ x̂ + β; half the mean square."""
    x = p["x"]
    n, h, w, c = x.shape
    groups = x.reshape(n, h, w, 2, c // 2)
    mu = groups.mean(axis=(1, 2, 4), keepdims=True)
    var = groups.var(axis=(1, 2, 4), keepdims=True)
    xhat = ((groups - mu) / jnp.sqrt(var + EPS)).reshape(x.shape)
    out = jnp.tanh(xhat * p["gamma"] + p["beta"])
    return 0.5 * jnp.mean((out - y) ** 2)


def group_norm_images_backward(p, y):
    """Differentiate `group_norm_images` with respect to the images, γ and β."""
    x = p["x"]
    n, h, w, c = x.shape
    m = h * w * (c // 2)
    groups = x.reshape(n, h, w, 2, c // 2)
    mu = groups.mean(axis=(1, 2, 4), keepdims=True)
    std = np.sqrt(groups.var(axis=(1, 2, 4), keepdims=True) + EPS)
    ghat = (groups - mu) / std
    xhat = ghat.reshape(x.shape)
    out = np.tanh(xhat * p["gamma"] + p["beta"])
    dout = (out - y) / y.size
    dpre = dout * (1 - out**2)
    dgamma = (dpre * xhat).sum(axis=(0, 1, 2))
    dbeta = dpre.sum(axis=(0, 1, 2))
    dghat = (dpre * p["gamma"]).reshape(groups.shape)
    s1 = dghat.sum(axis=(1, 2, 4), keepdims=True)
    s2 = (dghat * ghat).sum(axis=(1, 2, 4), keepdims=True)
    dgroups = (m * dghat - s1 - ghat * s2) / (m * std)
    return {"x": dgroups.reshape(x.shape), "gamma": dgamma, "beta": dbeta}


def group_norm_arguments(random):
    """Two images of 3 × 2 pixels with four channels."""
    p = {"x": 2 * random.normal(size=(2, 3, 2, 4)), "gamma": 1 + 0.3 * random.normal(size=4)}
    return p | {"beta": 0.3 * random.normal(size=4)}, random.normal(size=(2, 3, 2, 4))


FUNCTIONS = (
    ByHand(layer_norm_regression, layer_norm_regression_backward, layer_norm_arguments),
    ByHand(rms_norm_network, rms_norm_network_backward, rms_norm_arguments),
    ByHand(batch_norm_network, batch_norm_network_backward, batch_norm_arguments),
    ByHand(group_norm_images, group_norm_images_backward, group_norm_arguments),
)
