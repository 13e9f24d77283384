"""Three networks small enough to differentiate on paper, each formula beside jax.grad.

python examples/by_hand.py                 two layers in eight lines, a 3-2-1 network, three neurons with one input
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

import fnn


def compare(name: str, by_hand: ArrayLike, by_jax: jax.Array) -> None:
    """Print how far a formula and jax.grad are apart, relative to the largest entry."""
    by_hand = jnp.asarray(by_hand)
    error = jnp.abs(by_hand - by_jax).max() / jnp.abs(by_jax).max()
    print(f"  {name:<46} {by_hand.shape!s:<8} differs from jax.grad by {error:.0e}")


def two_layers() -> None:
    """Binary classification with two sigmoid layers: the eight gradients, with examples as columns and as rows."""
    layers = fnn.serial(fnn.dense(3), fnn.sigmoid, fnn.dense(1), fnn.sigmoid)
    net = fnn.network(layers, fnn.binary_cross_entropy, input_shape=(2,))
    params, x = net.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (5, 2))
    y = jnp.array([[0], [1], [1], [0], [1]])
    columns = fnn.explain(net, params, x, y, layout="column")
    print(columns, "\n")
    by_jax = jax.grad(net.loss)(params, x, y)
    for number, layer in ((1, by_jax[0]), (2, by_jax[2])):
        compare(f"dW{number} of the column layout", columns[f"dW{number}"], layer.W)
        compare(f"dW{number} of the row layout", fnn.explain(net, params, x, y)[f"dW{number}"], layer.W)


def three_two_one(out: pathlib.Path) -> None:
    """One example through 3-2-1: ∂L/∂W2 = (W3ᵀ ∘ g'(z2)) (a3 − y) a1ᵀ is an outer product, (2×1)(1×3)."""
    net = fnn.mlp(3, 2, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy)
    params = ((W2, b2), _, (W3, b3)) = net.init(jax.random.key(2))
    a1, y = jnp.array([[0.5], [-1.0], [2.0]]), jnp.array([[1.0]])
    z2 = W2 @ a1 + b2[:, None]
    a2 = fnn.tanh(z2)
    a3 = fnn.sigmoid(W3 @ a2 + b3[:, None])
    (dW2, db2), _, (dW3, _) = jax.grad(net.loss)(params, a1.T, y)
    print("\nOne example through 3-2-1. (a3 − y) is ∂L/∂z3, the derivative of the sigmoid included.")
    compare("dW3 = (a3 − y) a2ᵀ", (a3 - y) @ a2.T, dW3)
    compare("dW2 = (W3ᵀ ∘ g'(z2)) (a3 − y) a1ᵀ", (W3.T * fnn.tanh.derivative(z2)) @ (a3 - y) @ a1.T, dW2)
    compare("db2 = (W3ᵀ ∘ g'(z2)) (a3 − y)", ((W3.T * fnn.tanh.derivative(z2)) @ (a3 - y))[:, 0], db2)
    fnn.plots.network_diagram(net, params, path=out / "three_two_one.png")
    print(f"  picture: {out / 'three_two_one.png'}")


def three_neurons() -> None:
    """One input, three sigmoid neurons, J = 1/2n Σ (aᵢ − yᵢ)² over the n = 3 neurons: ∂J/∂aᵢ = (aᵢ − yᵢ) / n."""
    loss = fnn.scaled(fnn.half_mean_squared_error, 1 / 3)
    net = fnn.network(fnn.serial(fnn.dense(3), fnn.sigmoid), loss, input_shape=(1,))
    params = (fnn.DenseParams(jnp.array([[0.5], [-1.0], [2.0]]), jnp.array([0.1, 0.2, -0.3])), ())
    x, y = jnp.array([[0.8]]), jnp.array([[1.0, 0.0, 0.5]])
    z = x @ params[0].W.T + params[0].b
    a = fnn.sigmoid(z)
    dz = (a - y) / 3 * fnn.sigmoid.derivative(z)
    (dW, db), _ = jax.grad(net.loss)(params, x, y)
    print("\nThree neurons, one input: z, a and the gradients", *(jnp.round(v, 4) for v in (z[0], a[0], dz[0])))
    compare("∂J/∂wᵢ = (aᵢ − yᵢ)/n · σ'(zᵢ) · x", dz.T * x, dW)
    compare("∂J/∂bᵢ = (aᵢ − yᵢ)/n · σ'(zᵢ)", dz[0], db)
    forgotten = (a - y) * fnn.sigmoid.derivative(z)
    print(f"  without the 1/n every entry is {(forgotten / db).mean():.4f} times too large")


def main() -> None:
    """Work through all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same; it is quick anyway")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", True)
    two_layers()
    three_two_one(options.out)
    three_neurons()


if __name__ == "__main__":
    main()
