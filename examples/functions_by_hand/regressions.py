"""Generalized linear models and basis functions: logistic, Poisson, ordinal; radial basis."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def sigmoid(z):
    """The logistic function."""
    return 1 / (1 + np.exp(-z))


def logistic_regression(p, X, y, C):
    """Mean over n of log(1 + e^{−s z}) with s = ±1 and z = X w + b, plus ‖w‖²/(2 C n); b is not penalized."""
    z = X @ p["w"] + p["b"]
    sign = 2 * y - 1
    data = jnp.mean(jnp.log1p(jnp.exp(-sign * z)))
    return data + jnp.sum(p["w"] ** 2) / (2 * C * X.shape[0])


def logistic_regression_backward(p, X, y, C):
    """Differentiate `logistic_regression`; with labels 0 and 1 the residual is σ(z) − y."""
    m = X.shape[0]
    h = sigmoid(X @ p["w"] + p["b"])
    error = h - y
    dw = X.T @ error / m + p["w"] / (C * m)
    db = error.sum() / m
    return {"w": dw, "b": db}


def logistic_arguments(random):
    """Nine examples of width 4."""
    p = {"w": random.normal(size=4), "b": np.float64(-0.4)}
    return p, random.normal(size=(9, 4)), random.integers(0, 2, 9).astype(float), 0.7


def poisson_regression(p, X, counts, exposure):
    """Rates λ = exposure · exp(X w + b); mean over n of λ − k log λ, plus 0.1 Σ √(w² + 0.01), a smooth |w|."""
    log_rate = X @ p["w"] + p["b"] + jnp.log(exposure)
    rate = jnp.exp(log_rate)
    sparse = 0.1 * jnp.sum(jnp.sqrt(p["w"] ** 2 + 0.01))
    return jnp.mean(rate - counts * log_rate) + sparse


def poisson_regression_backward(p, X, counts, exposure):
    """Differentiate `poisson_regression`."""
    n = len(counts)
    eta = X @ p["w"] + p["b"]
    rate = exposure * np.exp(eta)
    residual = (rate - counts) / n
    dw = X.T @ residual
    dw = dw + 0.1 * p["w"] / np.sqrt(p["w"] ** 2 + 0.01)
    return {"w": dw, "b": np.sum(residual)}


def poisson_arguments(random):
    """Eight counts, three regressors, exposures of their own."""
    p = {"w": 0.5 * random.normal(size=3), "b": np.float64(0.2)}
    return p, random.normal(size=(8, 3)), random.poisson(2, 8).astype(float), random.uniform(0.5, 2, 8)


def ordinal_regression(p, x, y):
    """Cumulative logits P(y ≤ k) = σ(θ_k − x·w) with θ = cumsum of (d_0, e^{d_1}, …); −mean log P(y = y_i)."""
    steps = jnp.concatenate([p["d"][:1], jnp.exp(p["d"][1:])])
    theta = jnp.cumsum(steps)
    s = x @ p["w"]
    below = jax.nn.sigmoid(theta[None] - s[:, None])
    n = x.shape[0]
    edges = jnp.concatenate([jnp.zeros((n, 1)), below, jnp.ones((n, 1))], axis=1)
    prob = edges[jnp.arange(n), y + 1] - edges[jnp.arange(n), y]
    return -jnp.mean(jnp.log(prob))


def ordinal_regression_backward(p, x, y):
    """Differentiate `ordinal_regression` with respect to w and the thresholds' steps d."""
    steps = np.concatenate([p["d"][:1], np.exp(p["d"][1:])])
    theta = np.cumsum(steps)
    n, k = len(x), len(theta)
    below = sigmoid(theta[None] - (x @ p["w"])[:, None])
    edges = np.concatenate([np.zeros((n, 1)), below, np.ones((n, 1))], axis=1)
    upper, lower = edges[np.arange(n), y + 1], edges[np.arange(n), y]
    dprob = -1 / (upper - lower) / n
    dedges = np.zeros((n, k + 2))
    dedges[np.arange(n), y + 1] += dprob
    dedges[np.arange(n), y] -= dprob
    dlogit = dedges[:, 1:-1] * below * (1 - below)
    dw = -x.T @ dlogit.sum(axis=1)
    dtheta = dlogit.sum(axis=0)
    dsteps = np.cumsum(dtheta[::-1])[::-1]
    dd = dsteps * np.concatenate([np.ones(1), steps[1:]])
    return {"w": dw, "d": dd}


def ordinal_arguments(random):
    """Nine examples of width 3, four grades."""
    p = {"w": 0.7 * random.normal(size=3), "d": np.array([-1.0, 0.1, 0.3]) + 0.2 * random.normal(size=3)}
    return p, random.normal(size=(9, 3)), np.array([0, 1, 2, 3, 1, 2, 0, 3, 2])


def rbf_network(p, x, y):
    """φ_ij = exp(−β_j ‖x_i − c_j‖²), ŷ = φ w + b; L = ½ Σ (ŷ − y)²/n, in centres, widths and weights."""
    difference = x[:, None, :] - p["c"][None]
    squared = jnp.sum(difference**2, axis=2)
    phi = jnp.exp(-p["beta"] * squared)
    output = phi @ p["w"] + p["b"]
    return 0.5 * jnp.sum((output - y) ** 2) / x.shape[0]


def rbf_network_backward(p, x, y):
    """Differentiate `rbf_network`."""
    difference = x[:, None, :] - p["c"][None]
    squared = (difference**2).sum(axis=2)
    phi = np.exp(-p["beta"] * squared)
    error = (phi @ p["w"] + p["b"] - y) / len(x)
    dw = phi.T @ error
    db = error.sum()
    dphi = error[:, None] * p["w"]
    dbeta = -np.sum(dphi * phi * squared, axis=0)
    dsquared = -dphi * phi * p["beta"]
    dc = -2 * np.einsum("nk,nkd->kd", dsquared, difference)
    return {"c": dc, "beta": dbeta, "w": dw, "b": db}


def rbf_arguments(random):
    """Seven points in the plane, four centres."""
    p = {"c": random.normal(size=(4, 2)), "beta": random.uniform(0.3, 1, 4)}
    p |= {"w": random.normal(size=4), "b": np.float64(0.5)}
    return p, random.normal(size=(7, 2)), random.normal(size=7)


FUNCTIONS = (
    ByHand(logistic_regression, logistic_regression_backward, logistic_arguments),
    ByHand(poisson_regression, poisson_regression_backward, poisson_arguments),
    ByHand(ordinal_regression, ordinal_regression_backward, ordinal_arguments),
    ByHand(rbf_network, rbf_network_backward, rbf_arguments),
)
