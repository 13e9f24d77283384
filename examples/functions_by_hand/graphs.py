"""Graphs: convolution, attention, messages along an edge list."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def graph_convolution(p, A, x, y, labelled):
    """Kipf and Welling: Â = D^{−½}(A + I)D^{−½}, Z = Â relu(Â X W0) W1; cross-entropy over the labelled nodes, mean."""
    loops = A + jnp.eye(A.shape[0])
    degree = jnp.sum(loops, axis=1)
    normalized = loops / jnp.sqrt(degree[:, None] * degree[None, :])
    h = jnp.maximum(normalized @ x @ p["W0"] + p["b0"], 0)
    z = normalized @ h @ p["W1"]
    log_probs = jax.nn.log_softmax(z, axis=1)
    picked = log_probs[jnp.arange(A.shape[0]), y]
    return -jnp.sum(labelled * picked) / jnp.sum(labelled)


def graph_convolution_backward(p, A, x, y, labelled):
    """Differentiate `graph_convolution`; Â is symmetric only if A is, and here it is not."""
    n = len(A)
    loops = A + np.eye(n)
    degree = loops.sum(axis=1)
    S = loops / np.sqrt(np.outer(degree, degree))
    pre = S @ x @ p["W0"] + p["b0"]
    h = np.maximum(pre, 0)
    z = S @ h @ p["W1"]
    probs = np.exp(z - z.max(axis=1, keepdims=True))
    probs = probs / probs.sum(axis=1, keepdims=True)
    dz = (probs - np.eye(z.shape[1])[y]) * labelled[:, None] / labelled.sum()
    dW1 = (S @ h).T @ dz
    dh = S.T @ dz @ p["W1"].T
    dpre = dh * (pre > 0)
    dW0 = (S @ x).T @ dpre
    db0 = dpre.sum(axis=0)
    return {"W0": dW0, "b0": db0, "W1": dW1}


def graph_convolution_arguments(random):
    """Six nodes on a directed graph, features of width 3, four hidden units, three classes, four labels."""
    A = np.zeros((6, 6))
    A[[0, 0, 1, 2, 3, 4, 5, 5], [1, 2, 3, 0, 4, 5, 0, 2]] = 1
    p = {"W0": random.normal(size=(3, 4)), "b0": 0.3 * random.normal(size=4), "W1": random.normal(size=(4, 3))}
    return p, A, random.normal(size=(6, 3)), random.integers(0, 3, 6), np.array([1, 1, 0, 1, 0, 1], float)


def graph_attention(p, adjacency, x, target):
    """GAT: e_ij = leaky(a·W x_i + c·W x_j) on edges, α = softmax_j(e), h_i = elu(Σ_j α_ij W x_j); ½ mean square."""
    g = x @ p["W"]
    scores = (g @ p["a"])[:, None] + (g @ p["c"])[None, :]
    e = jnp.where(scores > 0, scores, 0.2 * scores)
    e = jnp.where(adjacency > 0, e, -1e9)
    alpha = jax.nn.softmax(e, axis=1)
    m = alpha @ g
    h = jnp.where(m > 0, m, jnp.exp(m) - 1)
    return 0.5 * jnp.mean((h - target) ** 2)


def graph_attention_backward(p, adjacency, x, target):
    """Differentiate `graph_attention`: W x is looked at from three sides."""
    g = x @ p["W"]
    scores = (g @ p["a"])[:, None] + (g @ p["c"])[None, :]
    slope = np.where(scores > 0, 1.0, 0.2)
    e = np.where(adjacency > 0, slope * scores, -1e9)
    alpha = np.exp(e - e.max(axis=1, keepdims=True))
    alpha = alpha / alpha.sum(axis=1, keepdims=True)
    m = alpha @ g
    h = np.where(m > 0, m, np.exp(m) - 1)
    dh = (h - target) / h.size
    dm = dh * np.where(m > 0, 1, np.exp(m))
    dalpha = dm @ g.T
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
    dscores = de * slope
    dsource = dscores.sum(axis=1)
    dtarget = dscores.sum(axis=0)
    dg = alpha.T @ dm
    dg = dg + np.outer(dsource, p["a"])
    dg = dg + np.outer(dtarget, p["c"])
    return {"W": x.T @ dg, "a": g.T @ dsource, "c": g.T @ dtarget}


def graph_attention_arguments(random):
    """Five nodes with loops, features of width 3, two hidden units."""
    adjacency = np.eye(5)
    adjacency[[0, 0, 1, 2, 3, 4, 2], [1, 3, 2, 4, 0, 1, 0]] = 1
    p = {"W": random.normal(size=(3, 2)), "a": random.normal(size=2), "c": random.normal(size=2)}
    return p, adjacency, random.normal(size=(5, 3)), random.normal(size=(5, 2))


def message_passing(p, x, senders, receivers, y):
    """Messages tanh(W [x_s; x_r]) along edges, added at the receiver, over its degree; readout over nodes; squared."""
    n = x.shape[0]
    joined = jnp.concatenate([x[senders], x[receivers]], axis=1)
    messages = jnp.tanh(joined @ p["W"])
    total = jax.ops.segment_sum(messages, receivers, num_segments=n)
    degree = jax.ops.segment_sum(jnp.ones(senders.shape[0]), receivers, num_segments=n)
    state = x @ p["V"] + total / jnp.maximum(degree, 1)[:, None]
    readout = jnp.sum(state, axis=0)
    return 0.5 * (readout @ p["w"] - y) ** 2


def message_passing_backward(p, x, senders, receivers, y):
    """Differentiate `message_passing`: what was added at a receiver is looked up there."""
    n = len(x)
    joined = np.concatenate([x[senders], x[receivers]], axis=1)
    messages = np.tanh(joined @ p["W"])
    total = np.zeros((n, messages.shape[1]))
    np.add.at(total, receivers, messages)
    degree = np.maximum(np.bincount(receivers, minlength=n), 1)[:, None]
    state = x @ p["V"] + total / degree
    readout = state.sum(axis=0)
    dout = readout @ p["w"] - y
    dw = dout * readout
    dstate = np.ones((n, 1)) * (dout * p["w"])
    dV = x.T @ dstate
    dtotal = dstate / degree
    dmessages = dtotal[receivers]
    dz = dmessages * (1 - messages**2)
    dW = joined.T @ dz
    return {"W": dW, "V": dV, "w": dw}


def message_arguments(random):
    """Five nodes of width 2, eight edges, messages of width 3."""
    senders, receivers = np.array([0, 1, 2, 3, 4, 0, 2, 3]), np.array([1, 2, 1, 1, 0, 3, 0, 0])
    p = {"W": random.normal(size=(4, 3)), "V": random.normal(size=(2, 3)), "w": random.normal(size=3)}
    return p, random.normal(size=(5, 2)), senders, receivers, np.float64(0.7)


FUNCTIONS = (
    ByHand(graph_convolution, graph_convolution_backward, graph_convolution_arguments),
    ByHand(graph_attention, graph_attention_backward, graph_attention_arguments),
    ByHand(message_passing, message_passing_backward, message_arguments),
)
