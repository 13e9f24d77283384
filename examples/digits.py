"""Recognize handwritten digits: train 784-128-10 on MNIST, look at what it learnt, check its gradient.

python examples/digits.py                  10,000 images from the package: seconds, at least 95 % of 2,000 test images
python examples/digits.py --data DIR       all 60,000, from a folder with the four IDX files: at least 98 % of 10,000
"""

import argparse
import pathlib

import jax
import numpy as np

import fnn

BATCH_SIZE = 64


def main() -> None:
    """Train, evaluate, draw, check."""
    options = read_options()
    train, test = fnn.datasets.mnist(options.data)
    if options.quick:
        train = fnn.datasets.Examples(train.x[:2000], train.y[:2000])
    print(f"{len(train.x):,} training and {len(test.x):,} test images of 28 × 28 pixels")

    net = fnn.network(
        fnn.serial(fnn.rescale(1 / 255), fnn.flatten, fnn.dense(128), fnn.relu, fnn.dense(10)),
        fnn.softmax_cross_entropy,
        input_shape=(28, 28),
        penalty=fnn.l2(2e-4),
    )
    print(fnn.summary(net))

    steps = options.epochs * -(-len(train.x) // BATCH_SIZE)
    result = fnn.fit(
        net,
        train,
        validation=test,
        optimizer=fnn.momentum(fnn.warmup_cosine(0.1, steps // 10, steps), nesterov=True),
        epochs=options.epochs,
        batch_size=BATCH_SIZE,
        key=jax.random.key(options.seed),
    )
    print(f"test: {fnn.evaluate(net, result.params, *test)}")

    draw(net, result, test, options.out)
    report = fnn.check(net, result.params, test.x[:64], test.y[:64])
    report.assert_ok()
    print(
        f"the trained network's hand gradient equals jax.grad: in {report.precision}, no entry of "
        f"{fnn.count_params(result.params):,} differs by more than {max(leaf.error for leaf in report.leaves):.1e} "
        "of the largest"
    )


def draw(net: fnn.Network, result: fnn.Fit, test: fnn.datasets.Examples, out: pathlib.Path) -> None:
    """Save four pictures of the trained network."""
    out.mkdir(parents=True, exist_ok=True)
    predictions = np.asarray(net.forward(result.params, test.x))
    pictures = {
        "loss_curves": fnn.plots.loss_curves(result.history),
        "confusion_matrix": fnn.plots.confusion_matrix(fnn.confusion_matrix(predictions, test.y)),
        "misclassified": fnn.plots.misclassified(test.x, test.y, predictions),
        "weights": fnn.plots.weights(result.params, (28, 28)),
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one epoch on 2,000 images, to see that everything works")
    options = parser.parse_args()
    if options.quick:
        options.epochs = 1
    return options


if __name__ == "__main__":
    main()
