"""Remedies for vanishing and exploding gradients, each tried on the same twenty layers.

python examples/remedies.py                a table of gradient norms, a diagnosis, and remedies.png in out/
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp

import fnn
from fnn.initializers import constant, he_normal, normal, xavier_normal

WIDTH = 64
TOO_LARGE = normal((2 / WIDTH) ** 0.25)  # He's standard deviation √(2/n), taken for a variance


def chain(
    depth: int, g: fnn.Layer, initializer, norm: fnn.Layer = fnn.identity, wrap=lambda layer: layer
) -> fnn.Network:
    """A deep network of equal blocks dense → norm → activation, each one wrapped, and a last dense layer."""
    block = wrap(fnn.serial(fnn.dense(WIDTH, initializer=initializer), norm, g))
    layer = fnn.serial(fnn.repeat(block, depth), fnn.dense(10))  # compiled once, whatever the depth
    return fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(WIDTH,))


def vanishing(depth: int) -> dict[str, fnn.Network]:
    """Twenty sigmoids, and what helps them."""
    return {
        "sigmoid": chain(depth, fnn.sigmoid, xavier_normal),
        "residual(...)": chain(depth, fnn.sigmoid, xavier_normal, wrap=fnn.residual),
        "layer_norm": chain(depth, fnn.sigmoid, xavier_normal, fnn.layer_norm()),
        "tanh": chain(depth, fnn.tanh, xavier_normal),
        "relu, he_normal": chain(depth, fnn.relu, he_normal),
        "leaky_relu": chain(depth, fnn.leaky_relu(0.1), he_normal),
        "elu": chain(depth, fnn.elu(), he_normal),
        "swish": chain(depth, fnn.swish, he_normal),
    }


def exploding(depth: int) -> dict[str, fnn.Network]:
    """Relu layers with weights that are too large, and what helps them."""
    return {
        "relu, too large": chain(depth, fnn.relu, TOO_LARGE),
        "he_normal": chain(depth, fnn.relu, he_normal),
        "layer_norm": chain(depth, fnn.relu, TOO_LARGE, fnn.layer_norm()),
        "batch_norm": chain(depth, fnn.relu, TOO_LARGE, fnn.batch_norm()),
    }


def gradient(net: fnn.Network, x: jax.Array, y: jax.Array, params=None):
    """The parameters that a network starts with, and its gradient there."""
    params = jax.jit(net.init)(jax.random.key(0)) if params is None else params
    return params, jax.jit(net.backward)(params, x, y, state=net.init_state())


def show(name: str, grads) -> None:
    """Print the norm of the gradient in the first block, in the middle one and in the last."""
    leaves = jax.tree.leaves(grads[0].stacked)  # each with a leading axis, one entry a block
    norms = jnp.sqrt(sum((leaf.reshape(len(leaf), -1) ** 2).sum(axis=1) for leaf in leaves))
    print(f"  {name:<24}" + "".join(f"{norm:12.2g}" for norm in (norms[0], norms[len(norms) // 2], norms[-1])))


def main() -> None:
    """Try every remedy, then ask the library for a diagnosis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="four layers instead of twenty, and fewer remedies")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    depth = 4 if options.quick else 20

    x, y = jax.random.normal(jax.random.key(1), (200, WIDTH)), jnp.arange(200) % 10
    print(f"‖∂L/∂θ‖ of {depth} blocks                 first      middle        last")
    curves = {}
    shown = 2 if options.quick else None
    for name, net in [*vanishing(depth).items()][:shown]:
        _, curves[name] = gradient(net, x, y)
        show(name, curves[name])
    print("")
    for name, net in [*exploding(depth).items()][:shown]:
        params, grads = gradient(net, x, y)
        show(name, grads)
        if name == "relu, too large":
            clip = fnn.clip_by_global_norm(1.0)
            show("clip_by_global_norm(1)", clip.update(grads, clip.init(params), params)[0])
            for penalty in (fnn.l2(1.0), fnn.spectral_norm(1.0)):
                small = params
                for _ in range(50):
                    small = jax.tree.map(lambda p, g: p - 0.02 * g, small, penalty.gradient(small))
                show(f"after 50 steps of {penalty.name}", gradient(net, x, y, small)[1])
    fnn.plots.gradient_norms(*curves.values(), labels=list(curves), path=options.out / "remedies.png")

    print("\nfnn.flow names symptom and remedy; of four sigmoid layers with constant weights it says:")
    net = fnn.mlp(WIDTH, *[8] * 4, 10, activation=fnn.sigmoid, initializer=constant(0.1))
    for finding in fnn.flow(net, jax.jit(net.init)(jax.random.key(0)), x, y).findings:
        print(f"  {finding.symptom} at {finding.layer}: {finding.evidence};\n    {finding.remedy}")
    print(f"picture: {options.out / 'remedies.png'}")


if __name__ == "__main__":
    main()
