"""Right gradients that look wrong: written in ways that a checker must not object to."""

import jax.numpy as jnp
import numpy as np


def attention_in_one_formula(p, x, target):
    """`one_head_attention` with the softmax's Jacobian written out for each row as diag(a) − a aᵀ."""
    q, k, v = x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]
    root = q.shape[1] ** 0.5
    a = jnp.exp(q @ k.T / root)
    a = np.asarray(a / a.sum(axis=1, keepdims=True))
    error = (a @ v @ p["Wo"] - target) / len(x)
    toward_context = error @ p["Wo"].T
    ds = (
        np.stack([(np.diag(row) - np.outer(row, row)) @ v @ d for row, d in zip(a, toward_context, strict=True)]) / root
    )
    return {"Wq": x.T @ ds @ k, "Wk": x.T @ ds.T @ q, "Wv": (a @ x).T @ toward_context, "Wo": (a @ v).T @ error}


UNUSUAL = (("one_head_attention", attention_in_one_formula),)
