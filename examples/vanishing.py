"""Vanishing and exploding gradients: what the first weights do to signals that pass through twenty layers.

python examples/vanishing.py               three demonstrations with numbers, and vanishing.png in out/
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp

import fnn
from fnn.initializers import constant, he_normal, normal, xavier_normal

CASES = {
    "sigmoid, Xavier": (fnn.sigmoid, xavier_normal),
    "tanh, Xavier": (fnn.tanh, xavier_normal),
    "relu, Xavier": (fnn.relu, xavier_normal),
    "relu, He": (fnn.relu, he_normal),
    "relu, variance √(2/n)": (
        fnn.relu,
        normal((2 / 128) ** 0.25),
    ),  # He's standard deviation √(2/n), taken for a variance
    "leaky relu, He": (fnn.leaky_relu(0.1), he_normal),
}


def symmetry() -> None:
    """Neurons that start alike stay alike, whatever the constant."""
    net = fnn.mlp(2, 3, 1, loss=fnn.sigmoid_cross_entropy, initializer=constant(0.5))
    x, labels = fnn.datasets.moons(jax.random.key(0), 100)
    params = net.init(jax.random.key(0))
    for _ in range(100):
        params, loss = net.train_step(params, x, labels[:, None], 0.5)
    rows = params[0].W
    print(f"Constant start: after 100 steps (loss {loss:.3f}) the three neurons have the weights {rows[0]}, {rows[1]},")
    print(f"  {rows[2]}: equal to the last bit, {bool((rows == rows[0]).all())}. One neuron would have done as well.")


def powers() -> None:
    """Without activations the layers multiply: 1.5·I explodes, 0.5·I vanishes."""
    print("Linear layers W = c·I, all but the last: x = 1 comes out as c^(L−1)")
    for depth in (10, 50):
        net = fnn.mlp(*[2] * depth, activation=fnn.identity, loss=fnn.mean_squared_error)
        for c in (1.5, 0.5):
            params = jax.tree.map(jnp.zeros_like, net.init(jax.random.key(0)))
            params = tuple(layer and layer._replace(W=c * jnp.eye(2)) for layer in params)
            print(f"  L = {depth}: c = {c}: {net.logits(params, jnp.ones((1, 2)))[0, 0]:.6g}, {c ** (depth - 1):.6g}")


def deep(depth: int, path: pathlib.Path) -> None:
    """How much of the input, and of the gradient, is left in each layer of a deep network."""
    x = jax.random.normal(jax.random.key(1), (200, 128))
    y = jnp.arange(200) % 10
    shown = (1, depth // 2, depth)
    print(f"Spread of the activations of a unit over the examples, and size of the gradient, in layers {shown}")
    gradients = {}
    for name, (g, initializer) in CASES.items():
        net = fnn.mlp(128, *[128] * depth, 10, activation=g, initializer=initializer)
        params = net.init(jax.random.key(0))
        pass_ = fnn.explain(net, params, x, y)
        spread = "  ".join(f"{pass_[f'A{k}'].std(axis=0).mean():8.2g}" for k in shown)
        norms = "  ".join(f"{jnp.linalg.norm(pass_[f'dW{k}']):8.2g}" for k in shown)
        print(f"  {name:<21}  {spread}   |  {norms}")
        gradients[name] = net.backward(params, x, y)
    fnn.plots.gradient_norms(*gradients.values(), labels=list(gradients), path=path)


def main() -> None:
    """Show all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="six layers instead of twenty")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", True)
    symmetry()
    powers()
    deep(6 if options.quick else 20, options.out / "vanishing.png")
    print(f"picture: {options.out / 'vanishing.png'}")


if __name__ == "__main__":
    main()
