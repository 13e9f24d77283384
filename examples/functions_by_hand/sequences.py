"""Recursions of probability: a Gaussian process, a Kalman filter, a linear-chain CRF."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def gaussian_process(p, x, y):
    """½ yᵀK⁻¹y + ½ log|K| + (n/2) log 2π with K = e^{a} exp(−‖xᵢ − xⱼ‖²/(2 e^{2l})) + e^{s} I, by Cholesky."""
    squared = jnp.sum((x[:, None] - x[None]) ** 2, axis=-1)
    kernel = jnp.exp(p["log_amplitude"]) * jnp.exp(-0.5 * squared / jnp.exp(2 * p["log_length"]))
    K = kernel + jnp.exp(p["log_noise"]) * jnp.eye(x.shape[0])
    L = jnp.linalg.cholesky(K)
    alpha = jax.scipy.linalg.cho_solve((L, True), y)
    fit = 0.5 * y @ alpha
    complexity = jnp.sum(jnp.log(jnp.diagonal(L)))
    return fit + complexity + 0.5 * x.shape[0] * np.log(2 * np.pi)


def gaussian_process_backward(p, x, y):
    """Differentiate `gaussian_process`: ∂/∂θ = ½ tr((K⁻¹ − ααᵀ) ∂K/∂θ)."""
    n = len(x)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    length2 = np.exp(2 * p["log_length"])
    noise = np.exp(p["log_noise"])
    kernel = np.exp(p["log_amplitude"]) * np.exp(-0.5 * squared / length2)
    K_inv = np.linalg.inv(kernel + noise * np.eye(n))
    alpha = K_inv @ y
    dK = 0.5 * (K_inv - np.outer(alpha, alpha))
    damplitude = np.sum(dK * kernel)
    dlength = np.sum(dK * kernel * squared) / length2
    dnoise = noise * np.trace(dK)
    return {"log_amplitude": damplitude, "log_length": dlength, "log_noise": dnoise}


def gaussian_process_arguments(random):
    """Seven points in the plane."""
    p = {"log_amplitude": np.float64(0.3), "log_length": np.float64(-0.2), "log_noise": np.float64(-1.0)}
    p = {name: value + 0.2 * random.normal() for name, value in p.items()}
    return p, random.normal(size=(7, 2)), random.normal(size=7)


def kalman_step(p, y, Q, R):
    """Predict m⁻ = A m, P⁻ = A P Aᵀ + Q; update with K = P⁻ Hᵀ S⁻¹; loss ½ vᵀS⁻¹v + ½ log|S| + ½ ‖m⁺‖²."""
    mean = p["A"] @ p["m"]
    cov = p["A"] @ p["P"] @ p["A"].T + Q
    innovation = y - p["H"] @ mean
    S = p["H"] @ cov @ p["H"].T + R
    S_inv = jnp.linalg.inv(S)
    gain = cov @ p["H"].T @ S_inv
    updated = mean + gain @ innovation
    nll = 0.5 * innovation @ S_inv @ innovation + 0.5 * jnp.linalg.slogdet(S)[1]
    return nll + 0.5 * jnp.sum(updated**2)


def kalman_step_backward(p, y, Q, R):
    """Differentiate `kalman_step` with respect to A, H, m and P."""
    A, H, m, P = p["A"], p["H"], p["m"], p["P"]
    mean, cov = A @ m, A @ P @ A.T + Q
    v = y - H @ mean
    S_inv = np.linalg.inv(H @ cov @ H.T + R)
    gain = cov @ H.T @ S_inv
    u = S_inv @ v
    dupdated = mean + gain @ v
    dgain = np.outer(dupdated, v)
    dv = gain.T @ dupdated + u
    dcov = dgain @ S_inv @ H
    dH = S_inv @ dgain.T @ cov
    dS = 0.5 * (S_inv - np.outer(u, u)) - gain.T @ dgain @ S_inv
    dH = dH + (dS + dS.T) @ H @ cov
    dcov = dcov + H.T @ dS @ H
    dH = dH - np.outer(dv, mean)
    dmean = dupdated - H.T @ dv
    dA = np.outer(dmean, m) + dcov @ A @ P.T + dcov.T @ A @ P
    return {"A": dA, "H": dH, "m": A.T @ dmean, "P": A.T @ dcov @ A}


def kalman_arguments(random):
    """Three states, two of which are observed; P and Q symmetric."""
    root = 0.5 * random.normal(size=(3, 3))
    p = {"A": 0.7 * random.normal(size=(3, 3)), "H": random.normal(size=(2, 3))}
    p |= {"m": random.normal(size=3), "P": root @ root.T + np.eye(3)}
    return p, random.normal(size=2), 0.3 * np.eye(3), 0.5 * np.eye(2)


def crf_loss(p, x, tags):
    """Linear chain: score = Σ_t e_t[y_t] + Σ_t T[y_{t−1}, y_t], e = X W; L = log Σ_y exp score(y) − score(tags)."""
    emissions = x @ p["W"]
    alpha = p["start"] + emissions[0]
    for t in range(1, x.shape[0]):
        alpha = jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]
    score = p["start"][tags[0]] + jnp.sum(emissions[jnp.arange(x.shape[0]), tags])
    score = score + jnp.sum(p["T"][tags[:-1], tags[1:]])
    return jax.nn.logsumexp(alpha) - score


def log_sum_exp(a, axis):
    """Log Σ exp a along an axis."""
    top = a.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(a - top).sum(axis=axis))


def crf_loss_backward(p, x, tags):
    """Differentiate `crf_loss` by the forward-backward recursion: expected counts less observed ones."""
    e, T = np.asarray(x @ p["W"]), np.asarray(p["T"])
    n, c = e.shape
    alpha, beta = np.zeros((n, c)), np.zeros((n, c))
    alpha[0] = p["start"] + e[0]
    for t in range(1, n):
        alpha[t] = log_sum_exp(alpha[t - 1][:, None] + T, axis=0) + e[t]
    for t in range(n - 2, -1, -1):
        beta[t] = log_sum_exp(T + e[t + 1] + beta[t + 1], axis=1)
    log_z = log_sum_exp(alpha[-1], axis=0)
    marginals = np.exp(alpha + beta - log_z)
    de = marginals.copy()
    de[np.arange(n), tags] -= 1
    dT = np.zeros((c, c))
    for t in range(1, n):
        dT += np.exp(alpha[t - 1][:, None] + T + e[t] + beta[t] - log_z)
        dT[tags[t - 1], tags[t]] -= 1
    dstart = marginals[0].copy()
    dstart[tags[0]] -= 1
    return {"W": x.T @ de, "T": dT, "start": dstart}


def crf_arguments(random):
    """Six steps of width 3, three tags of which one pair follows each other twice."""
    p = {"W": random.normal(size=(3, 3)), "T": random.normal(size=(3, 3)), "start": random.normal(size=3)}
    return p, random.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 1])


FUNCTIONS = (
    ByHand(gaussian_process, gaussian_process_backward, gaussian_process_arguments),
    ByHand(kalman_step, kalman_step_backward, kalman_arguments),
    ByHand(crf_loss, crf_loss_backward, crf_arguments, (log_sum_exp,)),
)
