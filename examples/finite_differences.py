"""Finite differences: how exact they can be, what they cost, and how far one comes by training with them.

python examples/finite_differences.py      error against step and cost against parameters; a picture to out/
"""

import argparse
import pathlib
import time

import jax
import jax.numpy as jnp

import fnn


def problem(*widths: int):
    """A network and sixteen random examples, in the precision that is switched on."""
    net = fnn.mlp(*widths, activation=fnn.tanh)
    x = jax.random.normal(jax.random.key(1), (16, widths[0]))
    return net, jax.jit(net.init)(jax.random.key(0)), x, jnp.arange(16) % widths[-1]


def seconds(function, *args, repeat: int = 20) -> float:
    """Median time of a call of a compiled function."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[repeat // 2]


def main() -> None:
    """Error, cost, training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="smaller networks")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    axes, file = None, options.out / "finite_differences.png"
    for wide in (False, True):
        with jax.enable_x64(wide):
            net, params, x, y = problem(4, 8, 3)
            grads = jax.jit(net.backward)(params, x, y)
            figure = fnn.plots.gradient_check_steps(lambda p: net.loss(p, x, y), params, grads, ax=axes, path=file)  # noqa: B023
            axes = figure.axes[0]
    print("error of a slope by central differences with the best of all steps; theory says ε^(1/3), 5e-3 and 6e-6:")
    print("  " + "\n  ".join(name for name in axes.get_legend_handles_labels()[1] if "least" in name))

    print("\ncost: a hand gradient is worth a few values of the loss, whatever P; central differences take 2P of them")
    for widths in ((4, 8, 3),) if options.quick else ((4, 8, 3), (32, 64, 10), (128, 256, 10)):
        net, params, x, y = problem(*widths)
        loss, by_hand = seconds(jax.jit(net.loss), params, x, y), seconds(jax.jit(net.backward), params, x, y)
        count = fnn.count_params(params)
        print(f"  P = {count:6,}: hand {by_hand / loss:.1f} losses of {1e6 * loss:.0f} µs, differences {2 * count:,}")

    steps = 1 if options.quick else 5
    print(f"\ntraining 2-4-1 on two moons, {steps} steps of α = 1 from one start: differences do train, slowly")
    net = fnn.mlp(2, 4, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy)
    x, labels = fnn.datasets.moons(jax.random.key(0), 100)
    y = labels[:, None]
    slow = fast = jax.jit(net.init)(jax.random.key(0))
    for _ in range(steps):
        slope = fnn.finite_differences(lambda p: net.loss(p, x, y), slow)
        slow = jax.tree.map(lambda p, g: p - g.astype(p.dtype), slow, slope)
        fast, _ = net.train_step(fast, x, y, 1.0)
    print(f"  by differences: {fnn.evaluate(net, slow, x, y)}\n  by hand:        {fnn.evaluate(net, fast, x, y)}")
    print(f"picture: {file}")


if __name__ == "__main__":
    main()
