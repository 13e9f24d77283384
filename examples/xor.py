"""Exclusive or: what a hidden layer is for. A straight line gets half of it right, four hidden neurons all of it.

python examples/xor.py                     trains both, saves their decision boundaries and the network to out/
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp

import fnn


def main() -> None:
    """Train with and without a hidden layer on the four points, then on noisy ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the pictures")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    x, y = fnn.datasets.xor()
    noisy = fnn.datasets.xor(jax.random.key(1), 200, noise=0.15)
    networks = {
        "linear": fnn.mlp(2, 1, loss=fnn.sigmoid_cross_entropy),
        "hidden": fnn.mlp(2, 4, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy),
    }
    for name, net in networks.items():
        result = fnn.fit(
            net,
            (x, y[:, None]),
            optimizer=fnn.momentum(0.3),
            epochs=200 if options.quick else 500,
            batch_size=4,
            key=jax.random.key(0),
            progress=False,
        )
        print(f"{name}: {fnn.summary(net).count} parameters")
        print(f"  four points: {fnn.evaluate(net, result.params, x, y[:, None])}")
        for point, answer, probability in zip(x, y, net.forward(result.params, x)[:, 0], strict=True):
            print(f"    {int(point[0])} xor {int(point[1])} = {answer}: p = {probability:.3f}")
        print(f"  200 noisy ones: {fnn.evaluate(net, result.params, noisy.x, noisy.y[:, None])}")
        fnn.plots.decision_boundary(net, result.params, *noisy, path=options.out / f"xor_{name}.png")
    print(f"The best that a line can do is p = ½ everywhere, a loss of ln 2 = {jnp.log(2):.4f} nats.")
    fnn.plots.network_diagram(net, result.params, path=options.out / "xor_network.png")
    print(f"pictures: xor_linear.png, xor_hidden.png, xor_network.png in {options.out}/")


if __name__ == "__main__":
    main()
