"""Negative log-likelihoods: a mixture, a learned variance, a variational autoencoder, Student's t."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand

LOG_2PI = np.log(2 * np.pi)


def gaussian_mixture(p, x):
    """−(1/n) Σ log Σ_k π_k N(x; μ_k, diag σ_k²), with π = softmax(a) and σ = exp(s)."""
    log_pi = jax.nn.log_softmax(p["a"])
    sigma = jnp.exp(p["s"])
    z = (x[:, None, :] - p["mu"]) / sigma
    log_normal = -0.5 * jnp.sum(z**2, axis=2) - jnp.sum(p["s"], axis=1) - 0.5 * x.shape[1] * LOG_2PI
    return -jnp.mean(jax.nn.logsumexp(log_pi + log_normal, axis=1))


def gaussian_mixture_backward(p, x):
    """Differentiate `gaussian_mixture` through the responsibilities r."""
    n, d = x.shape
    pi = np.exp(p["a"] - np.max(p["a"]))
    pi = pi / pi.sum()
    sigma = np.exp(p["s"])
    z = (x[:, None, :] - p["mu"]) / sigma
    log_joint = np.log(pi) - 0.5 * (z**2).sum(axis=2) - p["s"].sum(axis=1) - 0.5 * d * LOG_2PI
    r = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    r = r / r.sum(axis=1, keepdims=True)
    da = pi - r.mean(axis=0)
    dmu = -np.einsum("nk,nkd->kd", r, z / sigma) / n
    ds = -np.einsum("nk,nkd->kd", r, z**2 - 1) / n
    return {"a": da, "mu": dmu, "s": ds}


def mixture_arguments(random):
    """Eight points in the plane, three components."""
    p = {"a": random.normal(size=3), "mu": random.normal(size=(3, 2)), "s": 0.3 * random.normal(size=(3, 2))}
    return p, random.normal(size=(8, 2))


def heteroscedastic(p, x, y):
    """One hidden layer gives mean and log-variance: mean over n of ½ (log σ² + (y − μ)²/σ²)."""
    h = jnp.tanh(x @ p["W1"] + p["b1"])
    mean = h @ p["wm"] + p["bm"]
    log_var = h @ p["wv"] + p["bv"]
    return jnp.mean(0.5 * (log_var + (y - mean) ** 2 * jnp.exp(-log_var)))


def heteroscedastic_backward(p, x, y):
    """Differentiate `heteroscedastic`: two heads on one trunk."""
    n = len(y)
    h = np.tanh(x @ p["W1"] + p["b1"])
    mean = h @ p["wm"] + p["bm"]
    log_var = h @ p["wv"] + p["bv"]
    precision = np.exp(-log_var)
    dmean = -(y - mean) * precision / n
    dlog_var = 0.5 * (1 - (y - mean) ** 2 * precision) / n
    dwm, dbm = h.T @ dmean, dmean.sum()
    dwv, dbv = h.T @ dlog_var, dlog_var.sum()
    dh = np.outer(dmean, p["wm"]) + np.outer(dlog_var, p["wv"])
    dz = dh * (1 - h**2)
    return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "wm": dwm, "bm": dbm, "wv": dwv, "bv": dbv}


def heteroscedastic_arguments(random):
    """Seven examples of width 2, four hidden units."""
    p = {"W1": random.normal(size=(2, 4)), "b1": random.normal(size=4), "wm": random.normal(size=4)}
    p |= {"bm": np.float64(0.1), "wv": 0.5 * random.normal(size=4), "bv": np.float64(-0.3)}
    return p, random.normal(size=(7, 2)), random.normal(size=7)


def negative_elbo(p, x, noise):
    """VAE: q = N(μ, diag e^{λ}), z = μ + e^{λ/2} ε, Bernoulli decoder; reconstruction + KL(q ‖ N(0, I)), mean."""
    h = jnp.maximum(x @ p["We"], 0)
    mu, log_var = h @ p["Wmu"], h @ p["Wvar"]
    z = mu + jnp.exp(0.5 * log_var) * noise
    logits = z @ p["Wd"] + p["bd"]
    reconstruction = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=1)
    kl = -0.5 * jnp.sum(1 + log_var - mu**2 - jnp.exp(log_var), axis=1)
    return jnp.mean(reconstruction + kl)


def negative_elbo_backward(p, x, noise):
    """Differentiate `negative_elbo` with the noise held fixed."""
    n = len(x)
    h = np.maximum(x @ p["We"], 0)
    mu, log_var = h @ p["Wmu"], h @ p["Wvar"]
    std = np.exp(0.5 * log_var)
    z = mu + std * noise
    logits = z @ p["Wd"] + p["bd"]
    dlogits = (1 / (1 + np.exp(-logits)) - x) / n
    dWd, dbd = z.T @ dlogits, dlogits.sum(axis=0)
    dz = dlogits @ p["Wd"].T
    dmu = dz + mu / n
    dlog_var = dz * noise * 0.5 * std
    dlog_var = dlog_var + 0.5 * (np.exp(log_var) - 1) / n
    dWmu, dWvar = h.T @ dmu, h.T @ dlog_var
    dh = dmu @ p["Wmu"].T + dlog_var @ p["Wvar"].T
    dWe = x.T @ (dh * (h > 0))
    return {"We": dWe, "Wmu": dWmu, "Wvar": dWvar, "Wd": dWd, "bd": dbd}


def elbo_arguments(random):
    """Six examples of four bits, five hidden units, two latent ones."""
    p = {"We": (4, 5), "Wmu": (5, 2), "Wvar": (5, 2), "Wd": (2, 4), "bd": (4,)}
    p = {name: 0.7 * random.normal(size=shape) for name, shape in p.items()}
    return p, random.integers(0, 2, (6, 4)).astype(float), random.normal(size=(6, 2))


def student_regression(p, x, y):
    """Robust regression, r = (y − X w)/σ: mean of ½ (ν + 1) log(1 + r²/ν) + log σ, ν = 4, σ = softplus(ρ)."""
    sigma = jax.nn.softplus(p["rho"])
    r = (y - x @ p["w"]) / sigma
    return jnp.mean(2.5 * jnp.log(1 + r**2 / 4) + jnp.log(sigma))


def student_regression_backward(p, x, y):
    """Differentiate `student_regression` with respect to w and ρ."""
    sigma = np.log1p(np.exp(p["rho"]))
    r = (y - x @ p["w"]) / sigma
    n = len(y)
    dr = 5 * r / (4 + r**2) / n
    dw = -x.T @ dr / sigma
    dsigma = -np.sum(dr * r) / sigma
    dsigma = dsigma + 1 / sigma
    drho = dsigma / (1 + np.exp(-p["rho"]))
    return {"w": dw, "rho": drho}


def student_arguments(random):
    """Nine examples of width 3."""
    p = {"w": random.normal(size=3), "rho": np.float64(0.4)}
    return p, random.normal(size=(9, 3)), 2 * random.normal(size=9)


FUNCTIONS = (
    ByHand(gaussian_mixture, gaussian_mixture_backward, mixture_arguments),
    ByHand(heteroscedastic, heteroscedastic_backward, heteroscedastic_arguments),
    ByHand(negative_elbo, negative_elbo_backward, elbo_arguments),
    ByHand(student_regression, student_regression_backward, student_arguments),
)
