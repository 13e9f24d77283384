"""Recognize handwritten digits by convolution: train a small network, draw the kernels it learnt, check its gradient.

python examples/digits_cnn.py                  10,000 images from the package: at least 97.5 % of 2,000 test images
python examples/digits_cnn.py --data DIR       all 60,000, from a folder with the four IDX files: at least 99 %
"""

import argparse
import pathlib

import jax
import numpy as np

import fnn


def main() -> None:
    """Train, evaluate, draw, check."""
    options = read_options()
    train, test = (with_channel(part) for part in fnn.datasets.mnist(options.data))
    if options.quick:
        train = fnn.datasets.Examples(train.x[:500], train.y[:500])
        test = fnn.datasets.Examples(test.x[:200], test.y[:200])
    net = network()
    print(fnn.summary(net))

    steps = options.epochs * -(-len(train.x) // options.batch_size)
    result = fnn.fit(
        net,
        train,
        validation=test,
        optimizer=fnn.adamw(fnn.warmup_cosine(3e-3, steps // 10, steps), weight_decay=0.5),
        epochs=options.epochs,
        batch_size=options.batch_size,
        key=jax.random.key(options.seed),
    )
    print(f"test: {fnn.evaluate(net, result.params, *test, state=result.state)}")

    draw(net, result, test, options.out)
    few = test.x[:4], test.y[:4]
    report = fnn.check(net, result.params, *few, state=result.state, key=jax.random.key(options.seed))
    report.assert_ok()
    print(
        f"the trained network's hand gradient equals jax.grad: in {report.precision}, no entry of "
        f"{fnn.count_params(result.params):,} differs by more than {max(leaf.error for leaf in report.leaves):.1e} "
        "of the largest"
    )


def network() -> fnn.Network:
    """Two blocks of convolution, normalization, relu and pooling, then dropout and ten logits."""
    return fnn.network(
        fnn.serial(
            fnn.random_shift(1),  # images a pixel up or down, left or right: more to learn from
            fnn.rescale(1 / 255),
            *block(16, kernel=5),
            *block(32, kernel=3),
            fnn.flatten,
            fnn.dropout(0.3),
            fnn.dense(10),
        ),
        fnn.softmax_cross_entropy,
        input_shape=(28, 28, 1),
    )


def block(channels: int, kernel: int) -> list[fnn.Layer]:
    """Convolution without bias, which batch_norm would take away again; half the width and height."""
    return [fnn.conv2d(channels, kernel, use_bias=False), fnn.batch_norm(), fnn.relu, fnn.max_pool(2)]


def with_channel(part: fnn.datasets.Examples) -> fnn.datasets.Examples:
    """Grey images (n, 28, 28) as images with one channel, (n, 28, 28, 1)."""
    return fnn.datasets.Examples(part.x[..., None], part.y)


def draw(net: fnn.Network, result: fnn.Fit, test: fnn.datasets.Examples, out: pathlib.Path) -> None:
    """Save three pictures of the trained network."""
    out.mkdir(parents=True, exist_ok=True)
    predictions = np.concatenate(
        [net.forward(result.params, x, result.state) for x in np.array_split(test.x, -(-len(test.x) // 1000))]
    )
    pictures = {
        "kernels": fnn.plots.weights(result.params, (5, 5), columns=8),
        "misclassified": fnn.plots.misclassified(test.x[..., 0], test.y, predictions),
        "loss_curves": fnn.plots.loss_curves(result.history),
    }
    for name, figure in pictures.items():
        figure.savefig(out / f"{name}.png")
    print(f"pictures in {out}/: {', '.join(pictures)}")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", metavar="DIR", help="folder with the four MNIST files; the package's subset by default"
    )
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the pictures")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one epoch on 500 images, to see that everything works")
    options = parser.parse_args()
    if options.quick:
        options.epochs = 1
    return options


if __name__ == "__main__":
    main()
