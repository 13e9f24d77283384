"""Check a backward pass of your own: found, named, located, mended.

    python examples/verify_your_gradient.py

Three stories. A two-layer network written by hand in NumPy has a mistake in it, which the checker names. The same
network's intermediates are traced to the first wrong line. And a real bug is enacted anew: the squared-loss gradient of
scikit-learn's MLPRegressor, too large by the number of outputs for several years (scikit-learn issue 8349).
"""

from __future__ import annotations

import argparse

import jax
import numpy as np

import fnn


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

    print("1. A backward pass with a slip in it\n")
    report = fnn.check(net, params, x, y, backward=my_backward)
    print(report, end="\n\n")
    assert report.causes[0].mistake == "activation-derivative-missing"

    print("2. The same, line by line: each is judged by what it makes of the line before\n")
    trace = fnn.trace(net, params, x, y, steps=my_steps(params, x, y))
    print(trace, end="\n\n")
    assert trace.first_wrong == "dZ1"

    print("3. Mended\n")
    mended = fnn.check(net, params, x, y, backward=lambda *args: my_backward(*args, mended=True))
    print(mended, end="\n\n")
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

    print("4. A real bug: MLPRegressor with several outputs (scikit-learn issue 8349)\n")
    report = fnn.check(net, params, x, y, backward=sklearn_backward)
    print(report, end="\n\n")
    assert report.causes[0].mistake == "times-outputs"

    print("5. Divided by the number of outputs as well\n")
    mended = fnn.check(net, params, x, y, backward=lambda *args: sklearn_backward(*args, mended=True))
    print(f"{mended.verdict}: largest error {max(leaf.error for leaf in mended.leaves):.0e}")
    mended.assert_ok()


def main():
    """Tell the three stories."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same; it takes seconds anyway")
    parser.parse_args()
    planted_bug()
    real_bug()


if __name__ == "__main__":
    main()
