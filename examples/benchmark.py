"""How fast fnn trains, side by side with peers in one run: alternating rounds, medians, spread, ratios.

python examples/benchmark.py                    every measurement, every installed peer
python examples/benchmark.py --only epoch       those whose name contains "epoch"
python examples/benchmark.py --json FILE        the numbers as well

Compilation and warm-up stay outside, waiting for the result inside. Absolute times drift with the machine; the ratios
are what counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnn

ROUNDS = 7


class Bench(NamedTuple):
    """One measurement: contenders that do the same work."""

    name: str
    unit: str  # what one run of a contender takes
    make: Callable[[], dict[str, Callable[[], object]]]  # name -> run once and wait; the first is the reference


def epoch_benches() -> list[Bench]:
    """An epoch of the same scan by hand-derived rules and by jax.value_and_grad."""
    return [
        Bench("epoch 784-128-10 batch 32", "epoch", partial(epoch_contenders, (784, 128, 10), 32)),
        Bench("epoch 784-512-512-10 batch 128", "epoch", partial(epoch_contenders, (784, 512, 512, 10), 128)),
    ]


def epoch_contenders(widths: tuple[int, ...], batch_size: int) -> dict[str, Callable[[], object]]:
    """Contenders for one epoch over 60,000 images, random ones: their content does not change the time."""
    x, y = images(60_000)
    net, optimizer = digits_net(widths), fnn.sgd(0.1)
    start = fnn.init_train_state(net, optimizer, jax.random.key(0))
    hand = fnn.make_train_epoch(net, optimizer, batch_size)
    auto = autodiff_epoch(net, optimizer, batch_size)
    return {
        "fnn": lambda: jax.block_until_ready(hand(start, x, y)),
        "jax.value_and_grad, same scan": lambda: jax.block_until_ready(auto(start, x, y)),
    }


def autodiff_epoch(net: fnn.Network, optimizer: fnn.Optimizer, batch_size: int) -> Callable:
    """The epoch of `make_train_epoch`, with jax.value_and_grad in the place of the hand-derived gradient."""

    def step(x, y, ts, rows):
        loss, grads = jax.value_and_grad(net.loss)(ts.params, x[rows], y[rows])
        updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
        params = fnn.apply_updates(ts.params, updates)
        return ts._replace(params=params, opt_state=opt_state, step=ts.step + 1), loss

    @jax.jit
    def epoch(ts, x, y):
        order = jax.random.permutation(jax.random.fold_in(ts.key, ts.step), x.shape[0])
        whole = x.shape[0] // batch_size * batch_size
        ts, losses = jax.lax.scan(partial(step, x, y), ts, order[:whole].reshape(-1, batch_size))
        if whole < x.shape[0]:
            ts, last = step(x, y, ts, order[whole:])
            losses = jnp.append(losses, last)
        return ts, losses

    return epoch


def digits_net(widths: tuple[int, ...]) -> fnn.Network:
    """A relu network on uint8 images."""
    hidden = [layer for width in widths[1:-1] for layer in (fnn.dense(width), fnn.relu)]
    layer = fnn.serial(fnn.rescale(1 / 255), *hidden, fnn.dense(widths[-1]))
    return fnn.network(layer, fnn.softmax_cross_entropy, input_shape=widths[:1])


def images(n: int) -> tuple[jax.Array, jax.Array]:
    """Random uint8 "images" (n, 784) and labels (n,)."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, 784), dtype=np.uint8)
    return jnp.asarray(x), jnp.asarray(rng.integers(0, 10, n, dtype=np.int32))


def measure(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; the order alternates."""
    contenders = bench.make()
    for run in contenders.values():
        run()
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in names:
            start = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - start)
    return times


def report(bench: Bench, times: dict[str, list[float]]) -> None:
    """Print medians, the spread of the middle half, and each time over fnn's."""
    print(f"\n{bench.name}")
    reference = np.median(next(iter(times.values())))
    for name, seconds in times.items():
        low, median, high = np.percentile(seconds, [25, 50, 75])
        ratio = np.median(np.array(seconds) / np.array(next(iter(times.values()))))
        print(
            f"  {name:<34} {pretty(median):>10} a {bench.unit}   ({pretty(low)} to {pretty(high)})   "
            f"{median / reference:6.2f} × fnn   {ratio:6.2f} round by round"
        )


def pretty(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", default="", help="only measurements whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write the times in seconds as JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--quick", action="store_true", help="one measurement, two rounds, to see that everything works"
    )
    options = parser.parse_args()
    benches = [bench for bench in epoch_benches() if options.only in bench.name]
    if options.quick:
        benches, options.rounds = benches[:1], 2
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {jax.devices()[0].device_kind}, {processor()}")
    results = {}
    for bench in benches:
        results[bench.name] = measure(bench, options.rounds)
        report(bench, results[bench.name])
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


def processor() -> str:
    """Name of this machine's processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
