"""What is trained around a model: distillation, low-rank adapters, a clipped policy, ranking, a tuned penalty."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def distillation(params, x, teacher, y):
    """Hinton: ½ CE(softmax(z), y) + ½ T² KL(softmax(t/T) ‖ softmax(z/T)) with z = x W + b and T = 3, mean over n."""
    W, b = params
    z = x @ W + b
    hard = -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(x.shape[0]), y])
    log_p = jax.nn.log_softmax(teacher / 3.0)
    log_q = jax.nn.log_softmax(z / 3.0)
    soft = jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=1))
    return 0.5 * hard + 0.5 * 9.0 * soft


def distillation_backward(params, x, teacher, y):
    """Differentiate `distillation` with respect to W and b."""
    W, b = params
    n = x.shape[0]
    z = x @ W + b
    dhard = (jax.nn.softmax(z) - jax.nn.one_hot(y, z.shape[1])) / n
    q = jax.nn.softmax(z / 3.0)
    p = jax.nn.softmax(teacher / 3.0)
    dsoft = (q - p) / 3.0 / n
    dz = 0.5 * dhard + 0.5 * 9.0 * dsoft
    return x.T @ dz, jnp.sum(dz, axis=0)


def distillation_arguments(random):
    """Six examples of width 3, four classes."""
    params = (random.normal(size=(3, 4)), random.normal(size=4))
    return params, random.normal(size=(6, 3)), 2 * random.normal(size=(6, 4)), random.integers(0, 4, 6)


class Adapter(NamedTuple):
    """A low-rank update of a frozen matrix, with a magnitude for each output."""

    A: jax.Array  # (rank, d_in)
    B: jax.Array  # (d_out, rank)
    m: jax.Array  # (d_out,)


def adapted_layer(adapter, W, x, y):
    """DoRA: V = W + (α/r) B A with α = 8, rows of V scaled to length m; relu, then ½ Σ (·)²/n; W is frozen."""
    V = W + 8.0 / adapter.A.shape[0] * adapter.B @ adapter.A
    length = jnp.sqrt(jnp.sum(V**2, axis=1, keepdims=True))
    scaled = adapter.m[:, None] * V / length
    h = jnp.maximum(x @ scaled.T, 0)
    return 0.5 * jnp.sum((h - y) ** 2) / x.shape[0]


def adapted_layer_backward(adapter, W, x, y):
    """Differentiate `adapted_layer` with respect to the adapter."""
    A, B, m = adapter
    scale = 8.0 / A.shape[0]
    V = W + scale * B @ A
    length = jnp.sqrt(jnp.sum(V**2, axis=1, keepdims=True))
    unit = V / length
    pre = x @ (m[:, None] * unit).T
    h = jnp.maximum(pre, 0)
    dh = (h - y) / x.shape[0]
    dpre = jnp.where(pre > 0, dh, 0.0)
    dscaled = dpre.T @ x
    dm = jnp.sum(dscaled * unit, axis=1)
    dunit = dscaled * m[:, None]
    dV = (dunit - unit * jnp.sum(dunit * unit, axis=1, keepdims=True)) / length
    dB = scale * dV @ A.T
    dA = scale * B.T @ dV
    return Adapter(dA, dB, dm)


def adapter_arguments(random):
    """Five examples of width 4, three outputs, rank 2."""
    adapter = Adapter(0.5 * random.normal(size=(2, 4)), 0.3 * random.normal(size=(3, 2)), random.uniform(0.5, 1.5, 3))
    return adapter, random.normal(size=(3, 4)), random.normal(size=(5, 4)), random.normal(size=(5, 3))


def clipped_policy(p, states, actions, old_log_probs, advantages):
    """PPO: −mean min(ρ A, clip(ρ, 0.8, 1.2) A) − 0.01 · mean entropy, with ρ = π/π_old and π = softmax(s W + b)."""
    log_pi = jax.nn.log_softmax(states @ p["W"] + p["b"])
    chosen = log_pi[jnp.arange(actions.shape[0]), actions]
    ratio = jnp.exp(chosen - old_log_probs)
    surrogate = jnp.minimum(ratio * advantages, jnp.clip(ratio, 0.8, 1.2) * advantages)
    entropy = -jnp.sum(jnp.exp(log_pi) * log_pi, axis=1)
    return -jnp.mean(surrogate) - 0.01 * jnp.mean(entropy)


def clipped_policy_backward(p, states, actions, old_log_probs, advantages):
    """Differentiate `clipped_policy`; where the clipped branch is the smaller one and is flat, nothing flows."""
    n = len(actions)
    z = np.asarray(states @ p["W"] + p["b"])
    log_pi = z - z.max(axis=1, keepdims=True)
    log_pi = log_pi - np.log(np.exp(log_pi).sum(axis=1, keepdims=True))
    pi = np.exp(log_pi)
    ratio = np.exp(log_pi[np.arange(n), actions] - old_log_probs)
    clipped = np.clip(ratio, 0.8, 1.2)
    active = np.asarray(ratio * advantages <= clipped * advantages, float)
    dchosen = -active * advantages * ratio / n
    dz = dchosen[:, None] * (np.eye(z.shape[1])[actions] - pi)
    entropy = -(pi * log_pi).sum(axis=1, keepdims=True)
    dz = dz + 0.01 * pi * (log_pi + entropy) / n
    return {"W": states.T @ dz, "b": dz.sum(axis=0)}


def policy_arguments(random):
    """Nine steps, states of width 3, three actions."""
    p = {"W": 0.5 * random.normal(size=(3, 3)), "b": 0.3 * random.normal(size=3)}
    states, actions = random.normal(size=(9, 3)), random.integers(0, 3, 9)
    return p, states, actions, np.log(random.uniform(0.2, 0.5, 9)), random.normal(size=9)


def pairwise_ranking(p, users, liked, other):
    """BPR: −Σ log σ(s(u, i) − s(u, j)) + 0.02 (‖U_u‖² + ‖V_i‖² + ‖V_j‖²) over triples, s = U_u · V_i + c_i."""
    u, i, j = p["U"][users], p["V"][liked], p["V"][other]
    margin = jnp.sum(u * (i - j), axis=1) + p["c"][liked] - p["c"][other]
    decay = 0.02 * (jnp.sum(u**2) + jnp.sum(i**2) + jnp.sum(j**2))
    return jnp.sum(jax.nn.softplus(-margin)) + decay


def pairwise_ranking_backward(p, users, liked, other):
    """Differentiate `pairwise_ranking`: the items of a triple are pulled opposite ways."""
    U, V, c = (np.asarray(p[name]) for name in "UVc")
    dU, dV, dc = np.zeros(U.shape), np.zeros(V.shape), np.zeros(c.shape)
    for u, i, j in zip(users, liked, other, strict=True):
        margin = U[u] @ (V[i] - V[j]) + c[i] - c[j]
        g = -1 / (1 + np.exp(margin))
        dU[u] += g * (V[i] - V[j]) + 0.04 * U[u]
        dV[i] += g * U[u] + 0.04 * V[i]
        dV[j] += -g * U[u] + 0.04 * V[j]
        dc[i] += g
        dc[j] -= g
    return {"U": dU, "V": dV, "c": dc}


def ranking_arguments(random):
    """Seven triples of four users and five items."""
    p = {"U": random.normal(size=(4, 3)), "V": random.normal(size=(5, 3)), "c": random.normal(size=5)}
    return p, np.array([0, 0, 1, 2, 2, 3, 1]), np.array([0, 1, 1, 2, 0, 4, 3]), np.array([2, 2, 0, 4, 1, 1, 0])


def tuned_ridge(p, X, y, X_val, y_val):
    """Weights w = (ZᵀZ + e^s I)⁻¹Zᵀy on scaled columns Z = X ⊙ e^d; L = ½ mean (Z_val w − y_val)², in s and d."""
    scale = jnp.exp(p["d"])
    Z, Z_val = X * scale, X_val * scale
    H = Z.T @ Z + jnp.exp(p["s"]) * jnp.eye(X.shape[1])
    w = jnp.linalg.solve(H, Z.T @ y)
    return 0.5 * jnp.mean((Z_val @ w - y_val) ** 2)


def tuned_ridge_backward(p, X, y, X_val, y_val):
    """Differentiate `tuned_ridge` by the implicit function theorem: H dw = dZᵀy − dH w."""
    scale = np.exp(p["d"])
    Z, Z_val = X * scale, X_val * scale
    H = Z.T @ Z + np.exp(p["s"]) * np.eye(len(scale))
    w = np.linalg.solve(H, Z.T @ y)
    error = (Z_val @ w - y_val) / len(y_val)
    dw = Z_val.T @ error
    v = np.linalg.solve(H, dw)
    ds = -np.exp(p["s"]) * v @ w
    dZ = np.outer(y, v) - np.outer(Z @ v, w) - np.outer(Z @ w, v)
    dZ_val = np.outer(error, w)
    dscale = (dZ * X).sum(axis=0) + (dZ_val * X_val).sum(axis=0)
    return {"s": ds, "d": dscale * scale}


def ridge_arguments(random):
    """Eight examples to fit, five to validate, three columns."""
    p = {"s": np.float64(0.3), "d": 0.4 * random.normal(size=3)}
    return p, random.normal(size=(8, 3)), random.normal(size=8), random.normal(size=(5, 3)), random.normal(size=5)


FUNCTIONS = (
    ByHand(distillation, distillation_backward, distillation_arguments),
    ByHand(adapted_layer, adapted_layer_backward, adapter_arguments),
    ByHand(clipped_policy, clipped_policy_backward, policy_arguments),
    ByHand(pairwise_ranking, pairwise_ranking_backward, ranking_arguments),
    ByHand(tuned_ridge, tuned_ridge_backward, ridge_arguments),
)
