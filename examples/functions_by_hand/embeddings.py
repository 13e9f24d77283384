"""Rows of matrices: factorization, word2vec, bags of embeddings, tied embeddings."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def sigmoid(z):
    """The logistic function."""
    return 1 / (1 + np.exp(-z))


def factorization(p, users, items, ratings, reg):
    """r̂ = μ + b_u + c_i + U_u · V_i; L = ½ Σ (r̂ − r)² + λ/2 (‖U‖² + ‖V‖²), biases not penalized."""
    u, v = p["U"][users], p["V"][items]
    predicted = p["mu"] + p["b"][users] + p["c"][items] + jnp.sum(u * v, axis=1)
    penalty = 0.5 * reg * (jnp.sum(p["U"] ** 2) + jnp.sum(p["V"] ** 2))
    return 0.5 * jnp.sum((predicted - ratings) ** 2) + penalty


def factorization_backward(p, users, items, ratings, reg):
    """Differentiate `factorization`; users and items repeat, hence np.add.at."""
    U, V = p["U"], p["V"]
    error = p["mu"] + p["b"][users] + p["c"][items] + (U[users] * V[items]).sum(axis=1) - ratings
    dU, dV = np.array(reg * U), np.array(reg * V)
    db, dc = np.zeros(len(U)), np.zeros(len(V))
    np.add.at(dU, users, error[:, None] * V[items])
    np.add.at(dV, items, error[:, None] * U[users])
    np.add.at(db, users, error)
    np.add.at(dc, items, error)
    return {"U": dU, "V": dV, "b": db, "c": dc, "mu": error.sum()}


def factorization_arguments(random):
    """Ten ratings of five users for six items, two factors."""
    p = {"U": random.normal(size=(5, 2)), "V": random.normal(size=(6, 2)), "mu": np.float64(0.3)}
    p |= {"b": random.normal(size=5), "c": random.normal(size=6)}
    users, items = np.array([0, 0, 1, 1, 2, 2, 3, 4, 4, 0]), np.array([0, 1, 1, 2, 3, 0, 4, 5, 1, 5])
    return p, users, items, random.normal(size=10), 0.1


def skip_gram(p, centre, context, negatives):
    """−Σ log σ(v_c · u_o) − Σ_k log σ(−v_c · u_k) over pairs and their negative samples, over the number of pairs."""
    v = p["V"][centre]
    positive = jnp.sum(v * p["U"][context], axis=1)
    negative = jnp.einsum("nd,nkd->nk", v, p["U"][negatives])
    return -(jnp.sum(jax.nn.log_sigmoid(positive)) + jnp.sum(jax.nn.log_sigmoid(-negative))) / centre.shape[0]


def skip_gram_backward(p, centre, context, negatives):
    """Differentiate `skip_gram`; the same word is drawn as a negative more than once."""
    V, U = p["V"], p["U"]
    n = len(centre)
    v, u, w = V[centre], U[context], U[negatives]
    dpositive = (sigmoid((v * u).sum(axis=1)) - 1) / n
    dnegative = sigmoid(np.einsum("nd,nkd->nk", v, w)) / n
    dv = dpositive[:, None] * u + np.einsum("nk,nkd->nd", dnegative, w)
    du = dpositive[:, None] * v
    dw = dnegative[:, :, None] * v[:, None, :]
    dV, dU = np.zeros_like(V), np.zeros_like(U)
    np.add.at(dV, centre, dv)
    np.add.at(dU, context, du)
    np.add.at(dU, negatives, dw)
    return {"V": dV, "U": dU}


def skip_gram_arguments(random):
    """Five pairs out of a vocabulary of seven, three negatives each, some of them twice."""
    p = {"V": random.normal(size=(7, 3)), "U": random.normal(size=(7, 3))}
    centre, context = np.array([0, 1, 1, 2, 5]), np.array([1, 0, 2, 1, 3])
    return p, centre, context, np.array([[3, 4, 4], [5, 6, 3], [6, 6, 0], [0, 4, 5], [2, 2, 2]])


def bag_of_words(p, words, present, y):
    """The mean of the embeddings of the words that are present, then softmax(W e + b); mean cross-entropy."""
    rows = p["E"][words] * present[:, :, None]
    counts = jnp.sum(present, axis=1, keepdims=True)
    bag = jnp.sum(rows, axis=1) / counts
    logits = bag @ p["W"].T + p["b"]
    picked = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


def bag_of_words_backward(p, words, present, y):
    """Differentiate `bag_of_words` with respect to E, W and b."""
    E, W, b = p["E"], p["W"], p["b"]
    n = len(words)
    counts = present.sum(axis=1, keepdims=True)
    bag = (E[words] * present[:, :, None]).sum(axis=1) / counts
    logits = bag @ W.T + b
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = probs / probs.sum(axis=1, keepdims=True)
    dlogits = (probs - np.eye(len(b))[y]) / n
    dW = dlogits.T @ bag
    db = dlogits.sum(axis=0)
    dbag = dlogits @ W / counts
    dE = np.zeros(E.shape)
    for i in range(n):
        for j in range(words.shape[1]):
            dE[words[i, j]] += dbag[i] * present[i, j]
    return {"E": dE, "W": dW, "b": db}


def bag_arguments(random):
    """Three documents of up to four words out of six; 0 is padding and a word as well."""
    p = {"E": random.normal(size=(6, 3)), "W": random.normal(size=(4, 3)), "b": random.normal(size=4)}
    words = np.array([[1, 2, 2, 5], [3, 0, 0, 0], [4, 1, 1, 0]])
    present = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], float)
    return p, words, present, random.integers(0, 4, 3)


def tied_language_model(p, words):
    """h_t = tanh(A e(w_t) + P_t), next word by softmax(E h_t): one matrix E at both ends; mean cross-entropy."""
    inputs, targets = words[:-1], words[1:]
    e = p["E"][inputs]
    h = jnp.tanh(e @ p["A"].T + p["P"])
    logits = h @ p["E"].T
    log_probs = logits - jax.nn.logsumexp(logits, axis=1, keepdims=True)
    return -jnp.mean(log_probs[jnp.arange(targets.shape[0]), targets])


def tied_language_model_backward(p, words):
    """Differentiate `tied_language_model`: what reaches E as input and as output is added."""
    E, A = p["E"], p["A"]
    inputs, targets = words[:-1], words[1:]
    steps = len(targets)
    e = E[inputs]
    h = np.tanh(e @ A.T + p["P"])
    logits = h @ E.T
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dlogits = probs.copy()
    dlogits[np.arange(steps), targets] -= 1
    dlogits /= steps
    dE = dlogits.T @ h
    dh = dlogits @ E
    dz = dh * (1 - h * h)
    dA = dz.T @ e
    de = dz @ A
    np.add.at(dE, inputs, de)
    return {"E": dE, "A": dA, "P": dz}


def tied_arguments(random):
    """Seven words out of five, width 3, a learned position for each of the six steps."""
    p = {"E": random.normal(size=(5, 3)), "A": random.normal(size=(3, 3)), "P": random.normal(size=(6, 3))}
    return p, np.array([0, 2, 2, 1, 4, 2, 3])


FUNCTIONS = (
    ByHand(factorization, factorization_backward, factorization_arguments),
    ByHand(skip_gram, skip_gram_backward, skip_gram_arguments),
    ByHand(bag_of_words, bag_of_words_backward, bag_arguments),
    ByHand(tied_language_model, tied_language_model_backward, tied_arguments),
)
