"""Convolution in one and two dimensions, pooling by maximum and by average."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def causal_convolution(p, x, y):
    """y_t = b + Σ_k W_k x_{t−2k}, dilated by 2 and zero before the start, then tanh and a readout; mean square."""
    kernel, t = p["W"].shape[0], x.shape[0]
    padded = jnp.concatenate([jnp.zeros((2 * (kernel - 1), x.shape[1])), x])
    z = p["b"]
    for k in range(kernel):
        start = 2 * (kernel - 1 - k)
        z = z + padded[start : start + t] @ p["W"][k]
    h = jnp.tanh(z)
    return jnp.mean((h @ p["v"] - y) ** 2)


def causal_convolution_backward(p, x, y):
    """Differentiate `causal_convolution` with respect to the taps, the bias and the readout."""
    kernel, t = len(p["W"]), len(x)
    padded = np.concatenate([np.zeros((2 * (kernel - 1), x.shape[1])), x])
    z = np.zeros((t, p["W"].shape[2])) + p["b"]
    for k in range(kernel):
        start = 2 * (kernel - 1 - k)
        z = z + padded[start : start + t] @ p["W"][k]
    h = np.tanh(z)
    dout = 2 / t * (h @ p["v"] - y)
    dv = h.T @ dout
    dh = dout[:, None] * p["v"]
    dz = dh * (1 - h**2)
    dW = np.zeros(p["W"].shape)
    for k in range(kernel):
        start = 2 * (kernel - 1 - k)
        dW[k] += padded[start : start + t].T @ dz
    db = dz.sum(axis=0)
    return {"W": dW, "b": db, "v": dv}


def causal_arguments(random):
    """Nine steps of two channels, three taps into four channels."""
    p = {"W": random.normal(size=(3, 2, 4)), "b": random.normal(size=4), "v": random.normal(size=4)}
    return p, random.normal(size=(9, 2)), random.normal(size=9)


def small_convnet(p, x, y):
    """Two convolutions (n, h, w, c), SAME, then VALID with stride 2, ReLU between, summed up; half the mean square."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    z1 = jax.lax.conv_general_dilated(x, p["K1"], (1, 1), "SAME", dimension_numbers=dimensions) + p["b1"]
    a1 = jax.nn.relu(z1)
    z2 = jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions) + p["b2"]
    score = jnp.sum(z2, axis=(1, 2, 3))
    return 0.5 * jnp.mean((score - y) ** 2)


def convolve(x, kernel, stride):
    """Convolution without padding, by a loop over the kernel's positions."""
    kh, kw = kernel.shape[:2]
    h, w = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    z = np.zeros((len(x), h, w, kernel.shape[3]))
    for i in range(kh):
        for j in range(kw):
            z += x[:, i : i + stride * h : stride, j : j + stride * w : stride] @ kernel[i, j]
    return z


def convolve_backward(dz, x, kernel, stride):
    """Gradients of `convolve` with respect to x and the kernel."""
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    h, w = dz.shape[1:3]
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            rows, columns = slice(i, i + stride * h, stride), slice(j, j + stride * w, stride)
            dkernel[i, j] = np.einsum("nhwc,nhwd->cd", x[:, rows, columns], dz)
            dx[:, rows, columns] += dz @ kernel[i, j].T
    return dx, dkernel


def small_convnet_backward(p, x, y):
    """Differentiate `small_convnet` with respect to both kernels and biases."""
    padded = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    K1, K2 = np.asarray(p["K1"]), np.asarray(p["K2"])
    z1 = convolve(padded, K1, 1) + p["b1"]
    a1 = np.maximum(z1, 0)
    z2 = convolve(a1, K2, 2) + p["b2"]
    dscore = (z2.sum(axis=(1, 2, 3)) - y) / len(y)
    dz2 = np.broadcast_to(np.reshape(dscore, (-1, 1, 1, 1)), z2.shape)
    da1, dK2 = convolve_backward(dz2, a1, K2, 2)
    dz1 = da1 * (z1 > 0)
    _, dK1 = convolve_backward(dz1, padded, K1, 1)
    return {"K1": dK1, "b1": dz1.sum(axis=(0, 1, 2)), "K2": dK2, "b2": dz2.sum(axis=(0, 1, 2))}


def convnet_arguments(random):
    """Two images of 5 × 6 pixels with two channels, then three, then two."""
    p = {"K1": random.normal(size=(3, 3, 2, 3)), "b1": 0.3 * random.normal(size=3)}
    p |= {"K2": 0.5 * random.normal(size=(3, 3, 3, 2)), "b2": 0.3 * random.normal(size=2)}
    return p, random.normal(size=(2, 5, 6, 2)), random.normal(size=2)


def max_pooled(p, x, y):
    """Windows of 2 × 2 of x ⊙ scale + shift, their maximum, a logistic readout; mean cross-entropy over n."""
    n, h, w = x.shape
    z = x * p["scale"] + p["shift"]
    windows = z.reshape(n, h // 2, 2, w // 2, 2)
    pooled = jnp.max(windows, axis=(2, 4))
    logits = pooled.reshape(n, -1) @ p["v"]
    return jnp.mean(jax.nn.softplus(logits) - y * logits)


def max_pooled_backward(p, x, y):
    """Differentiate `max_pooled` with respect to scale and shift, given for each pixel, and to the readout."""
    n, h, w = x.shape
    z = x * p["scale"] + p["shift"]
    windows = z.reshape(n, h // 2, 2, w // 2, 2)
    pooled = windows.max(axis=(2, 4), keepdims=True)
    features = pooled.reshape(n, -1)
    logits = features @ p["v"]
    dlogits = (1 / (1 + np.exp(-logits)) - y) / n
    dv = features.T @ dlogits
    dfeatures = np.outer(dlogits, p["v"])
    dpooled = dfeatures.reshape(pooled.shape)
    winners = windows == pooled
    dwindows = winners * dpooled
    dz = dwindows.reshape(z.shape)
    return {"scale": (dz * x).sum(axis=0), "shift": dz.sum(axis=0), "v": dv}


def max_pooled_arguments(random):
    """Five images of 4 × 6 pixels."""
    p = {"scale": random.normal(size=(4, 6)), "shift": random.normal(size=(4, 6)), "v": random.normal(size=6)}
    return p, random.normal(size=(5, 4, 6)), random.integers(0, 2, 5).astype(float)


def average_pooled(p, x, y):
    """Overlapping windows of three, stride two, averaged along time; a gate σ(u) on each channel; ½ Σ (·)² / n."""
    gate = jax.nn.sigmoid(p["u"])
    z = jnp.einsum("ntc,cd->ntd", x, p["W"]) * gate
    pooled = jnp.stack([jnp.mean(z[:, s : s + 3], axis=1) for s in range(0, x.shape[1] - 2, 2)], axis=1)
    last = jnp.mean(pooled, axis=1)
    return 0.5 * jnp.sum((last - y) ** 2) / x.shape[0]


def average_pooled_backward(p, x, y):
    """Differentiate `average_pooled` with respect to W and u; positions that two windows share get both."""
    gate = 1 / (1 + np.exp(-p["u"]))
    h = np.einsum("ntc,cd->ntd", x, p["W"])
    z = h * gate
    n, steps, _ = z.shape
    starts = range(0, steps - 2, 2)
    pooled = np.stack([z[:, s : s + 3].mean(axis=1) for s in starts], axis=1)
    dlast = (pooled.mean(axis=1) - y) / n
    dpooled = np.repeat(dlast[:, None], len(starts), axis=1) / len(starts)
    dz = np.zeros(z.shape)
    for i, s in enumerate(starts):
        dz[:, s : s + 3] += dpooled[:, i : i + 1] / 3
    dgate = (dz * h).sum(axis=(0, 1))
    du = dgate * gate * (1 - gate)
    dh = dz * gate
    dW = np.einsum("ntc,ntd->cd", x, dh)
    return {"W": dW, "u": du}


def average_pooled_arguments(random):
    """Four series of seven steps and two channels, three channels out."""
    p = {"W": random.normal(size=(2, 3)), "u": random.normal(size=3)}
    return p, random.normal(size=(4, 7, 2)), random.normal(size=(4, 3))


FUNCTIONS = (
    ByHand(causal_convolution, causal_convolution_backward, causal_arguments),
    ByHand(small_convnet, small_convnet_backward, convnet_arguments, (convolve, convolve_backward)),
    ByHand(max_pooled, max_pooled_backward, max_pooled_arguments),
    ByHand(average_pooled, average_pooled_backward, average_pooled_arguments),
)
