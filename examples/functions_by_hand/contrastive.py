"""Losses that compare: InfoNCE, triplets, the multi-class hinge, Siamese pairs."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def info_nce(p, x, y):
    """Two views, rows of unit length, S = u vᵀ/τ, both directions: ½ (CE(S, diagonal) + CE(Sᵀ, diagonal)); CLIP's."""
    a, b = x @ p["A"], y @ p["B"]
    u = a / jnp.linalg.norm(a, axis=1, keepdims=True)
    v = b / jnp.linalg.norm(b, axis=1, keepdims=True)
    similarity = u @ v.T * jnp.exp(p["log_scale"])
    rows = jnp.diagonal(jax.nn.log_softmax(similarity, axis=1))
    columns = jnp.diagonal(jax.nn.log_softmax(similarity, axis=0))
    return -0.5 * (jnp.mean(rows) + jnp.mean(columns))


def info_nce_backward(p, x, y):
    """Differentiate `info_nce` with respect to both projections and the logarithm of the scale."""
    n = len(x)
    a, b = x @ p["A"], y @ p["B"]
    norm_a = np.sqrt((a**2).sum(axis=1, keepdims=True))
    norm_b = np.sqrt((b**2).sum(axis=1, keepdims=True))
    u, v = a / norm_a, b / norm_b
    scale = np.exp(p["log_scale"])
    s = u @ v.T * scale
    e = np.exp(s - s.max())
    by_row = e / e.sum(axis=1, keepdims=True)
    by_column = e / e.sum(axis=0, keepdims=True)
    ds = 0.5 * (by_row - np.eye(n) + by_column - np.eye(n)) / n
    dlog_scale = np.sum(ds * s)
    du = ds @ v * scale
    dv = ds.T @ u * scale
    da = (du - u * (du * u).sum(axis=1, keepdims=True)) / norm_a
    db = (dv - v * (dv * v).sum(axis=1, keepdims=True)) / norm_b
    return {"A": x.T @ da, "B": y.T @ db, "log_scale": dlog_scale}


def info_nce_arguments(random):
    """Five pairs, of widths 4 and 3, projected to width 3."""
    p = {"A": random.normal(size=(4, 3)), "B": random.normal(size=(3, 3)), "log_scale": np.float64(0.7)}
    return p, random.normal(size=(5, 4)), random.normal(size=(5, 3))


def triplet_loss(p, anchor, positive, negative):
    """Mean over triplets of max(0, ‖f(a) − f(p)‖² − ‖f(a) − f(n)‖² + m) with f(x) = tanh(x W + b), m = 1."""

    def embed(x):
        return jnp.tanh(x @ p["W"] + p["b"])

    a, q, r = embed(anchor), embed(positive), embed(negative)
    near = jnp.sum((a - q) ** 2, axis=1)
    far = jnp.sum((a - r) ** 2, axis=1)
    return jnp.mean(jnp.maximum(near - far + 1.0, 0))


def triplet_loss_backward(p, anchor, positive, negative):
    """Differentiate `triplet_loss`: three embeddings share one matrix."""
    a = np.tanh(anchor @ p["W"] + p["b"])
    q = np.tanh(positive @ p["W"] + p["b"])
    r = np.tanh(negative @ p["W"] + p["b"])
    near = ((a - q) ** 2).sum(axis=1)
    far = ((a - r) ** 2).sum(axis=1)
    active = (near - far + 1.0 > 0)[:, None] / len(a)
    da = active * (2 * (a - q) - 2 * (a - r))
    dq = -active * 2 * (a - q)
    dr = active * 2 * (a - r)
    dW, db = np.zeros(p["W"].shape), np.zeros(p["b"].shape)
    for x, h, dh in ((anchor, a, da), (positive, q, dq), (negative, r, dr)):
        dz = dh * (1 - h**2)
        dW += x.T @ dz
        db += dz.sum(axis=0)
    return {"W": dW, "b": db}


def triplet_arguments(random):
    """Six triplets of width 4, embedded into three dimensions."""
    p = {"W": 0.7 * random.normal(size=(4, 3)), "b": 0.5 * random.normal(size=3)}
    return p, random.normal(size=(6, 4)), random.normal(size=(6, 4)), random.normal(size=(6, 4))


def multiclass_hinge(W, x, y, reg):
    """SVM: (1/n) Σ_i Σ_{j≠y_i} max(0, s_j − s_{y_i} + 1) + λ ‖W‖², S = X W."""
    n = x.shape[0]
    scores = x @ W
    correct = scores[jnp.arange(n), y][:, None]
    margins = jnp.maximum(scores - correct + 1, 0)
    others = 1 - jax.nn.one_hot(y, W.shape[1])
    return jnp.sum(margins * others) / n + reg * jnp.sum(W**2)


def multiclass_hinge_backward(W, x, y, reg):
    """Differentiate `multiclass_hinge`: each violated margin pulls at two columns."""
    n = x.shape[0]
    scores = np.asarray(x @ W)
    correct = scores[np.arange(n), y][:, None]
    margins = scores - correct + 1
    margins[np.arange(n), y] = 0
    dscores = (margins > 0).astype(float)
    dscores[np.arange(n), y] = -dscores.sum(axis=1)
    dW = x.T @ dscores / n
    return dW + 2 * reg * W


def hinge_arguments(random):
    """Eight examples of width 3, four classes."""
    return random.normal(size=(3, 4)), random.normal(size=(8, 3)), np.array([0, 1, 2, 3, 1, 0, 2, 2]), 0.05


def siamese_pairs(p, x1, x2, same):
    """D = ‖W x₁ − W x₂‖; same pairs cost ½ D², others ½ max(0, m − D)², log m learned; mean over pairs."""
    e1, e2 = x1 @ p["W"].T, x2 @ p["W"].T
    distance = jnp.sqrt(jnp.sum((e1 - e2) ** 2, axis=1) + 1e-6)
    gap = jnp.maximum(jnp.exp(p["log_margin"]) - distance, 0)
    return jnp.mean(same * 0.5 * distance**2 + (1 - same) * 0.5 * gap**2)


def siamese_pairs_backward(p, x1, x2, same):
    """Differentiate `siamese_pairs` with respect to W and the logarithm of the margin."""
    W, margin = p["W"], np.exp(p["log_margin"])
    difference = x1 @ W.T - x2 @ W.T
    distance = np.sqrt((difference**2).sum(axis=1) + 1e-6)
    gap = np.maximum(margin - distance, 0)
    ddistance = (same * distance - (1 - same) * gap) / len(same)
    ddifference = ddistance[:, None] * difference / distance[:, None]
    de1, de2 = ddifference, -ddifference
    dW = de1.T @ x1 + de2.T @ x2
    dmargin = np.sum((1 - same) * gap) / len(same)
    return {"W": dW, "log_margin": dmargin * margin}


def siamese_arguments(random):
    """Nine pairs of width 3, embedded into two dimensions, three of them of one kind."""
    same = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0], float)
    p = {"W": 0.7 * random.normal(size=(2, 3)), "log_margin": np.float64(0.5)}
    return p, random.normal(size=(9, 3)), random.normal(size=(9, 3)), same


FUNCTIONS = (
    ByHand(info_nce, info_nce_backward, info_nce_arguments),
    ByHand(triplet_loss, triplet_loss_backward, triplet_arguments),
    ByHand(multiclass_hinge, multiclass_hinge_backward, hinge_arguments),
    ByHand(siamese_pairs, siamese_pairs_backward, siamese_arguments),
)
