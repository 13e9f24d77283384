"""Check a backward pass of your own: found, named, located, mended.

    python examples/verify_your_gradient.py

Four stories. Attention, differentiated by hand with two slips, first as a plain backward in NumPy, then as a
`jax.custom_vjp`: each slip is named on the line of the forward. A two-layer network written by hand in NumPy has a
mistake in it, which the checker names. The same network's intermediates are traced to the first wrong line. And a real
bug is enacted anew: the squared-loss gradient of scikit-learn's MLPRegressor, too large by the number of outputs for
several years (scikit-learn issue 8349).
"""

from __future__ import annotations

import argparse
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnn

# A function that is no network: attention


def attention(q, k, v):
    """Every query looks at every key, and gets the values' mean by how much they match."""
    scores = q @ k.T / jnp.sqrt(q.shape[-1])
    weights = jax.nn.softmax(scores, axis=-1)
    return weights @ v


def attention_loss(p, x):
    """How far what one head says is from what it hears."""
    return jnp.mean((attention(x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]) - x) ** 2)


def attention_backward(p, x, *, mended=False):
    """Differentiate `attention_loss` with respect to the weights. Two lines are wrong."""
    q, k, v = x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]
    weights = softmax(q @ k.T / np.sqrt(q.shape[-1]))
    dy = 2 * (weights @ v - x) / x.size
    dweights, dv = dy @ v.T, weights.T @ dy
    dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
    dscores = dscores / np.sqrt(q.shape[-1]) if mended else dscores  # the first slip: the scale is forgotten
    dq, dk = dscores @ k, dscores.T @ q
    dv = dv if mended else dv / len(x)  # the second: a mean over the examples that the forward has not
    return {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv}


def kept_attention(q, k, v):
    """The forward of the rule: the outputs, and what its backward needs."""
    weights = jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[-1]), axis=-1)
    return weights @ v, (q, k, v, weights)


def pull_attention(kept, dy, *, mended=False):
    """The backward of the rule, with the slips that it had in NumPy."""
    q, k, v, weights = kept
    dweights = dy @ v.T
    dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
    dscores = dscores / jnp.sqrt(q.shape[-1]) if mended else dscores
    dv = weights.T @ dy
    return dscores @ k, dscores.T @ q, dv if mended else dv / len(v)


def attention_rule(pull):
    """`attention` with a derivative of its own."""
    rule = jax.custom_vjp(attention)
    rule.defvjp(kept_attention, pull)
    return rule


def tell(title, report):
    """Print one chapter."""
    print(f"{title}\n\n{report}\n")


def attention_with_two_bugs(out):
    """Both ways to write a gradient by hand, and both slips named in each."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 4))
    p = {name: random.normal(size=(4, 4)) for name in ("Wq", "Wk", "Wv")}

    report = fnn.check_gradient(attention_loss, attention_backward, p, x)
    tell("1. Attention with two slips, a gradient in NumPy", report)
    assert "jnp.sqrt(q.shape[-1])" in report.causes[0].where
    fnn.check_gradient(attention_loss, partial(attention_backward, mended=True), p, x).assert_ok()
    right = jax.tree.map(jnp.asarray, attention_backward(p, x, mended=True))
    picture = out / "verify_your_gradient.png"
    fnn.plots.gradient_check_steps(partial(attention_loss, x=x), jax.tree.map(jnp.asarray, p), right, path=picture)
    print(f"Central differences of it, by their step: {picture}\n")

    q, k, v = (random.normal(size=(6, 4)) for _ in range(3))
    report = fnn.check_rule(attention_rule(pull_attention), q, k, v)
    tell("2. The same as a jax.custom_vjp: check_rule takes the decorated function itself", report)
    assert "jnp.sqrt(q.shape[-1])" in report.causes[0].where
    mended = fnn.check_rule(attention_rule(partial(pull_attention, mended=True)), q, k, v)
    tell("3. Mended, and called under jit and vmap as well", mended)
    mended.assert_ok()


# A network


def softmax(z):
    """Row by row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def my_backward(params, x, y, *, mended=False):
    """A network 6-5-4 with tanh, softmax and cross-entropy, differentiated by hand. One line is wrong."""
    (W1, b1), _, (W2, b2) = params
    n = len(x)
    a1 = np.tanh(x @ W1.T + b1)
    p = softmax(a1 @ W2.T + b2)
    dz2 = (p - np.eye(4)[y]) / n
    da1 = dz2 @ W2
    dz1 = da1 * (1 - a1**2) if mended else da1  # the slip: the derivative of tanh is forgotten
    return fnn.DenseParams(dz1.T @ x, dz1.sum(0)), (), fnn.DenseParams(dz2.T @ a1, dz2.sum(0))


def my_steps(params, x, y):
    """The same lines, each kept under the name that the notes give it."""
    (W1, b1), _, (W2, b2) = params
    a1 = np.tanh(x @ W1.T + b1)
    dz2 = (softmax(a1 @ W2.T + b2) - np.eye(4)[y]) / len(x)
    da1 = dz2 @ W2
    dz1 = da1
    return {"dZ2": dz2, "dW2": dz2.T @ a1, "dA1": da1, "dZ1": dz1, "dW1": dz1.T @ x, "db1": dz1.sum(0)}


def planted_bug():
    """Check, read, mend, check again."""
    net = fnn.mlp(6, 5, 4, activation=fnn.tanh)
    params, x, y = jax.tree.map(np.asarray, fnn.good_point(net, jax.random.key(0)))

    report = fnn.check(net, params, x, y, backward=my_backward)
    tell("4. A backward pass with a slip in it", report)
    assert report.causes[0].mistake == "activation-derivative-missing"

    trace = fnn.trace(net, params, x, y, steps=my_steps(params, x, y))
    tell("5. The same, line by line: each is judged by what it makes of the line before", trace)
    assert trace.first_wrong == "dZ1"

    mended = fnn.check(net, params, x, y, backward=lambda *args: my_backward(*args, mended=True))
    tell("6. Mended", mended)
    mended.assert_ok()


def sklearn_backward(params, x, y, *, mended=False):
    """MLPRegressor's gradient of ((y − ŷ)²).mean() / 2 + α/2 ΣW²/n, enacted in NumPy.

    The loss is a mean over examples *and* outputs, but the gradient was divided by the number of examples alone.
    """
    (W1, b1), _, (W2, b2) = params
    n, outputs = y.shape
    h = np.maximum(x @ W1.T + b1, 0)
    delta = h @ W2.T + b2 - y
    if mended:
        delta = delta / outputs
    delta_h = delta @ W2 * (h > 0)
    return fnn.DenseParams(delta_h.T @ x / n, delta_h.sum(0) / n), (), fnn.DenseParams(delta.T @ h / n, delta.mean(0))


def real_bug():
    """Lbfgs needs loss and gradient to fit together; with several outputs they did not, and it stopped early."""
    outputs = 5
    loss = fnn.scaled(fnn.half_mean_squared_error, 1 / outputs)
    net = fnn.mlp(6, 8, outputs, loss=loss)
    params, x, y = jax.tree.map(np.asarray, fnn.good_point(net, jax.random.key(1)))

    report = fnn.check(net, params, x, y, backward=sklearn_backward)
    tell("7. A real bug: MLPRegressor with several outputs (scikit-learn issue 8349)", report)
    assert report.causes[0].mistake == "times-outputs"

    mended = fnn.check(net, params, x, y, backward=lambda *args: sklearn_backward(*args, mended=True))
    error = max(leaf.error for leaf in mended.leaves)
    tell("8. Divided by the number of outputs as well", f"{mended.verdict}: largest error {error:.0e}")
    mended.assert_ok()


def main():
    """Tell the four stories."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same; it takes seconds anyway")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    attention_with_two_bugs(options.out)
    planted_bug()
    real_bug()


if __name__ == "__main__":
    main()
