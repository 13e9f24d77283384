"""Logistic regression is the network without a hidden layer: the same minimum as Newton's method finds.

python examples/logistic_regression.py     compares the two, and shows why separable data have no minimum at all
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

import fnn


def newton(x: np.ndarray, y: np.ndarray, steps: int = 20) -> np.ndarray:
    """Maximize the Bernoulli likelihood by iteratively reweighted least squares; returns (w, b)."""
    X, beta = np.column_stack([x, np.ones(len(x))]), np.zeros(x.shape[1] + 1)
    for _ in range(steps):
        p = 1 / (1 + np.exp(-X @ beta))
        beta += np.linalg.solve(X.T * (p * (1 - p)) @ X, X.T @ (y - p))
    return beta


def train(net: fnn.Network, x: ArrayLike, y: ArrayLike, steps: int, learning_rate: float):
    """Full-batch gradient descent from zero, by the network's own compiled step."""
    params = jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0)))
    for _ in range(steps):
        params, _ = net.train_step(params, x, y, learning_rate)
    return params


def main() -> None:
    """Compare on overlapping classes, then look at separable ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps on the separable data")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", True)

    net = fnn.mlp(2, 1, loss=fnn.sigmoid_cross_entropy)
    x, labels = fnn.datasets.blobs(jax.random.key(1), 200, classes=2, spread=1.5, radius=1.0)
    x, y = x.astype(float), labels[:, None]
    ((W, b),) = params = train(net, x, y, 2000, 0.5)
    found, exact = np.append(W[0], b), newton(np.asarray(x), np.asarray(labels))
    print("overlapping classes    w₁           w₂           b")
    print("  gradient descent ", *(f"{value:12.8f}" for value in found))
    print("  Newton's method  ", *(f"{value:12.8f}" for value in exact))
    print(f"  largest difference {np.abs(found - exact).max():.1e}; {fnn.evaluate(net, params, x, y)}")
    fnn.plots.decision_boundary(net, params, x, y, path=options.out / "logistic_regression.png")

    print("\nseparable classes: every larger w has a smaller loss, so the weights never arrive")
    apart, sides = jnp.array([[-1.0, 0.5], [-2.0, -1.0], [1.0, -0.5], [2.0, 1.0]]), jnp.array([[0], [0], [1], [1]])
    for steps in (100, 1000) if options.quick else (100, 1000, 10_000):
        params = train(net, apart, sides, steps, 0.5)
        loss = net.loss(params, apart, sides)
        print(f"  after {steps:6,} steps: ‖w‖ = {jnp.linalg.norm(params[0].W):.3f}, loss {loss:.6f} nats")
    kept = fnn.mlp(2, 1, loss=fnn.sigmoid_cross_entropy, penalty=fnn.l2(0.01))
    for steps in (1000, 2000):
        norm = jnp.linalg.norm(train(kept, apart, sides, steps, 0.5)[0].W)
        print(f"  after {steps:6,} steps with l2(0.01): ‖w‖ = {norm:.3f}; a penalty brings a minimum back")
    print(f"picture: {options.out / 'logistic_regression.png'}")


if __name__ == "__main__":
    main()
