"""Losses of one's own on a small model: focal, Huber, Dice, smoothed labels."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def focal_loss(p, x, y):
    """−(1/n) Σ α_t (1 − p_t)^γ log p_t with γ = 2, α = ¼ for y = 1 and ¾ for y = 0, on top of a linear model."""
    logits = x @ p["w"] + p["b"]
    prob = jax.nn.sigmoid(logits)
    pt = jnp.where(y == 1, prob, 1 - prob)
    alpha = jnp.where(y == 1, 0.25, 0.75)
    return -jnp.mean(alpha * (1 - pt) ** 2.0 * jnp.log(pt))


def focal_loss_backward(p, x, y):
    """Differentiate `focal_loss`: a factor that falls and a logarithm that rises, by the product rule."""
    prob = 1 / (1 + np.exp(-(x @ p["w"] + p["b"])))
    pt = np.where(y == 1, prob, 1 - prob)
    alpha = np.where(y == 1, 0.25, 0.75)
    modulating = 2 * (1 - pt) * np.log(pt)
    logarithm = (1 - pt) ** 2 / pt
    dpt = alpha * (modulating - logarithm) / len(y)
    dprob = np.where(y == 1, dpt, -dpt)
    dlogits = dprob * prob * (1 - prob)
    return {"w": x.T @ dlogits, "b": dlogits.sum()}


def focal_arguments(random):
    """Eight examples of width 3."""
    p = {"w": random.normal(size=3), "b": np.float64(0.2)}
    return p, random.normal(size=(8, 3)), np.array([1, 0, 0, 1, 0, 0, 1, 0])


def huber_network(p, x, y):
    """With r = V relu(W x + b) − y: ½ r² where |r| ≤ δ, else δ (|r| − ½ δ), δ = 0.7; summed, mean over n."""
    hidden = jnp.maximum(x @ p["W"].T + p["b"], 0)
    r = hidden @ p["V"].T - y
    small = jnp.abs(r) <= 0.7
    loss = jnp.where(small, 0.5 * r**2, 0.7 * (jnp.abs(r) - 0.5 * 0.7))
    return jnp.mean(jnp.sum(loss, axis=1))


def huber_network_backward(p, x, y):
    """Differentiate `huber_network`."""
    n = len(x)
    pre = x @ p["W"].T + p["b"]
    hidden = np.maximum(pre, 0)
    r = hidden @ p["V"].T - y
    dr = np.where(np.abs(r) <= 0.7, r, 0.7 * np.sign(r)) / n
    dV = dr.T @ hidden
    dhidden = dr @ p["V"]
    dpre = dhidden * (pre > 0)
    dW = dpre.T @ x
    db = dpre.sum(axis=0)
    return {"W": dW, "b": db, "V": dV}


def huber_arguments(random):
    """Six examples of width 3, five hidden units, two outputs."""
    p = {"W": random.normal(size=(5, 3)), "b": 0.3 * random.normal(size=5), "V": 0.6 * random.normal(size=(2, 5))}
    return p, random.normal(size=(6, 3)), random.normal(size=(6, 2))


def dice_loss(z, mask):
    """1 − (2 Σ p m + s) / (Σ p + Σ m + s) for each image with p = σ(z), s = 1, then the mean over images."""
    prob = jax.nn.sigmoid(z)
    overlap = jnp.sum(prob * mask, axis=(1, 2))
    total = jnp.sum(prob, axis=(1, 2)) + jnp.sum(mask, axis=(1, 2))
    dice = (2 * overlap + 1) / (total + 1)
    return jnp.mean(1 - dice)


def dice_loss_backward(z, mask):
    """Differentiate `dice_loss` with respect to the logits, by the quotient rule."""
    prob = 1 / (1 + np.exp(-z))
    overlap = (prob * mask).sum(axis=(1, 2), keepdims=True)
    total = prob.sum(axis=(1, 2), keepdims=True) + mask.sum(axis=(1, 2), keepdims=True)
    numerator, denominator = 2 * overlap + 1, total + 1
    ddice = -1 / len(z)
    dprob = ddice * (2 * mask * denominator - numerator) / denominator**2
    return dprob * prob * (1 - prob)


def dice_arguments(random):
    """Three images of 4 × 5 pixels."""
    return random.normal(size=(3, 4, 5)), (random.uniform(size=(3, 4, 5)) < 0.4).astype(float)


def smoothed_cross_entropy(p, x, y):
    """Targets (1 − s) onehot + s/c with s = 0.1; mean over n of −Σ target log softmax(z/T), T = exp(log T) learned."""
    z = x @ p["W"] + p["b"]
    temperature = jnp.exp(p["log_t"])
    log_probs = jax.nn.log_softmax(z / temperature)
    c = z.shape[1]
    target = 0.9 * jax.nn.one_hot(y, c) + 0.1 / c
    return -jnp.mean(jnp.sum(target * log_probs, axis=1))


def smoothed_cross_entropy_backward(p, x, y):
    """Differentiate `smoothed_cross_entropy` with respect to W, b and the logarithm of the temperature."""
    z = x @ p["W"] + p["b"]
    n, c = z.shape
    temperature = np.exp(p["log_t"])
    scaled = z / temperature
    probs = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    target = np.full((n, c), 0.1 / c)
    target[np.arange(n), y] += 0.9
    dscaled = (probs - target) / n
    dz = dscaled / temperature
    dtemperature = -np.sum(dscaled * z) / temperature**2
    dlog_t = dtemperature * temperature
    return {"W": x.T @ dz, "b": dz.sum(axis=0), "log_t": dlog_t}


def smoothed_arguments(random):
    """Six examples of width 3, four classes."""
    p = {"W": random.normal(size=(3, 4)), "b": random.normal(size=4), "log_t": np.float64(0.4)}
    return p, random.normal(size=(6, 3)), random.integers(0, 4, 6)


FUNCTIONS = (
    ByHand(focal_loss, focal_loss_backward, focal_arguments),
    ByHand(huber_network, huber_network_backward, huber_arguments),
    ByHand(dice_loss, dice_loss_backward, dice_arguments),
    ByHand(smoothed_cross_entropy, smoothed_cross_entropy_backward, smoothed_arguments),
)
