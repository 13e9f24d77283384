"""How fast fnn trains, side by side with its peers in one run: alternating rounds, medians, spread, ratios.

python examples/benchmark.py                    every measurement, every installed peer
python examples/benchmark.py --only epoch       those whose name contains "epoch"
python examples/benchmark.py --json FILE        the times as well

Compilation and warm-up stay outside the clock, waiting for the result inside. Absolute times drift with the machine;
ratios of rounds that ran side by side do not. Peers (pip install torch flax optax equinox scikit-learn) are optional;
one that is not there is reported as missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import benchmark_peers as peers
import jax
import jax.numpy as jnp
import numpy as np

import fnn
from fnn.training.compiling import TRAINING, compiled
from fnn.training.steps import epoch_order

Run = Callable[[], object]
DIGITS = (784, 128, 10), (784, 512, 512, 10)
SHORT = 0.1  # seconds


class Bench(NamedTuple):
    """One measurement: contenders that do the same work."""

    name: str
    unit: str  # what one run is, or what the number counts
    make: Callable[[], dict[str, Callable[[], Run]]]  # name -> maker of a contender; the first is the reference
    rounds: int = 7


def benches() -> list[Bench]:
    """Everything that is measured, the quick ones first."""
    return [
        Bench("epoch 784-128-10 batch 32", "epoch", partial(epoch, DIGITS[0], 32)),
        Bench("epoch 784-512-512-10 batch 128", "epoch", partial(epoch, DIGITS[1], 128), 5),
        Bench("step 1024x4 batch 1024", "8 steps", wide_steps, 5),
        Bench("tiny 2-8-1 batch 4", "2,000 steps", tiny),
        Bench("ensemble of 64, 784-32-10 batch 32", "64 × 160 steps", ensemble, 3),
        Bench("trace and lower 784-128-128-10", "tracing", tracing),
        Bench("product 1024x1024x1024", "product", products, 15),
    ]


def epoch(widths: tuple[int, ...], batch_size: int) -> dict[str, Callable[[], Run]]:
    """An epoch over 60,000 images, random ones: their content does not change the time."""
    x, y = images(60_000, widths[0])
    return {
        "fnn": lambda: hand(widths, batch_size, x, y),
        "fnn bfloat16": lambda: hand(widths, batch_size, x, y, "bfloat16"),
        "jax.value_and_grad, same scan": lambda: autodiff(widths, batch_size, x, y),
        "flax + optax, loop of jitted steps": lambda: peers.flax_epoch(widths, batch_size, x, y),
        "equinox + optax, loop of jitted steps": lambda: peers.equinox_epoch(widths, batch_size, x, y),
        "torch eager": lambda: peers.torch_epoch(widths, batch_size, x, y),
        "torch autocast bfloat16": lambda: peers.torch_epoch(widths, batch_size, x, y, "autocast"),
        "torch.compile": lambda: peers.torch_epoch(widths, batch_size, x, y, "compiled"),
        "scikit-learn": lambda: peers.sklearn_epoch(widths, batch_size, x, y),
    }


def wide_steps() -> dict[str, Callable[[], Run]]:
    """Eight steps of a network whose matrices fill the machine."""
    widths, batch_size = (1024,) * 5, 1024
    x, y = images(8 * batch_size, widths[0])
    return {
        "fnn bfloat16": lambda: hand(widths, batch_size, x, y, "bfloat16"),
        "fnn": lambda: hand(widths, batch_size, x, y),
        "jax.value_and_grad": lambda: autodiff(widths, batch_size, x, y),
        "jax.value_and_grad bfloat16": lambda: autodiff(widths, batch_size, x, y, rounded=True),
        "torch eager": lambda: peers.torch_epoch(widths, batch_size, x, y),
        "torch autocast bfloat16": lambda: peers.torch_epoch(widths, batch_size, x, y, "autocast"),
    }


def tiny() -> dict[str, Callable[[], Run]]:
    """XOR by 2-8-1, sigmoids and squared loss, in steps whose losses are all kept."""
    steps = 2000
    x, labels = map(np.asarray, fnn.datasets.xor())
    x, y = x.astype(np.float32), labels[:, None].astype(np.float32)
    net = fnn.network(
        fnn.serial(fnn.dense(8), fnn.sigmoid, fnn.dense(1), fnn.sigmoid), fnn.mean_squared_error, input_shape=(2,)
    )

    def ours() -> Run:
        optimizer = fnn.sgd(0.5)
        state = fnn.init_train_state(net, optimizer, jax.random.key(0))
        step = fnn.make_train_step(net, optimizer)
        run = compiled(lambda state, x, y: jax.lax.scan(lambda s, _: step(s, x, y), state, length=steps), TRAINING)
        return lambda: jax.block_until_ready(run(state, x, y))

    return {
        "fnn, steps in a scan": ours,
        "numpy": lambda: peers.numpy_tiny(x, y, steps),
        "torch eager": lambda: peers.torch_tiny(x, y, steps),
    }


def ensemble() -> dict[str, Callable[[], Run]]:
    """64 small networks, 160 steps each."""
    widths, batch_size, k, epochs = (784, 32, 10), 32, 64, 4
    x, y = images(40 * batch_size, widths[0])
    keys = jax.random.split(jax.random.key(0), k)

    def ours(precision: str = "float32") -> Run:
        net = digits_net(widths, precision)
        settings = {"optimizer": fnn.sgd(0.05), "epochs": epochs, "batch_size": batch_size}
        return lambda: jax.block_until_ready(fnn.fit_many(net, keys, (x, y), progress=False, **settings).params)

    return {
        "fnn.fit_many": ours,
        "fnn.fit_many bfloat16": lambda: ours("bfloat16"),
        "torch one by one": lambda: peers.torch_ensemble(widths, batch_size, x, y, k, epochs, vmapped=False),
        "torch.func.vmap": lambda: peers.torch_ensemble(widths, batch_size, x, y, k, epochs, vmapped=True),
    }


def tracing() -> dict[str, Callable[[], Run]]:
    """From Python to HLO, before anything is compiled: by hand and by autodiff."""
    widths = (784, 128, 128, 10)
    x, y = jax.ShapeDtypeStruct((32, 784), jnp.float32), jax.ShapeDtypeStruct((32,), jnp.int32)

    def lower(transform: Callable) -> Run:
        net = fnn.mlp(*widths)
        params = jax.eval_shape(net.init, jax.random.key(0))
        # A new function each time, or jax would remember the trace.
        return lambda: jax.jit(lambda *arguments: transform(net)(*arguments)).lower(params, x, y)

    return {
        "fnn": lambda: lower(lambda net: net.loss_and_grad),
        "jax.value_and_grad": lambda: lower(lambda net: jax.value_and_grad(net.loss)),
    }


def products() -> dict[str, Callable[[], Run]]:
    """What the machine's matrix units give: the ceiling of everything above."""
    m, k, n = 1024, 1024, 1024

    def ours(dtype) -> Run:
        a, b = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
        multiply = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
        return lambda: jax.block_until_ready(multiply(a, b))

    return {
        "jax float32": lambda: ours(jnp.float32),
        "jax bfloat16": lambda: ours(jnp.bfloat16),
        "torch float32": lambda: peers.torch_product(m, k, n, "float32"),
        "torch bfloat16": lambda: peers.torch_product(m, k, n, "bfloat16"),
    }


def hand(widths, batch_size: int, x, y, precision: str = "float32") -> Run:
    """An epoch with hand-derived gradients, through the library's ordinary API."""
    net, optimizer = digits_net(widths, precision), fnn.sgd(0.05)
    state = fnn.init_train_state(net, optimizer, jax.random.key(0))
    run_epoch = fnn.make_train_epoch(net, optimizer, batch_size)
    x, y = jnp.asarray(x), jnp.asarray(y)
    return lambda: jax.block_until_ready(run_epoch(state, x, y))


def autodiff(widths, batch_size: int, x, y, rounded: bool = False) -> Run:
    """The epoch of `make_train_epoch` with jax.value_and_grad in the place of the hand-derived gradient."""
    optimizer = fnn.sgd(0.05)
    net = digits_net(widths)
    state = fnn.init_train_state(net, optimizer, jax.random.key(0))

    def loss(params, x, y):
        return rounded_loss(params, x, y) if rounded else net.loss(params, x, y)

    def step(x, y, ts, rows):
        value, grads = jax.value_and_grad(loss)(ts.params, x[rows], y[rows])
        updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
        params = fnn.apply_updates(ts.params, updates)
        return ts._replace(params=params, opt_state=opt_state, step=ts.step + 1), value

    @jax.jit
    def run_epoch(ts, x, y):
        order = epoch_order(ts, x.shape[0])
        whole = x.shape[0] // batch_size * batch_size
        ts, losses = jax.lax.scan(partial(step, x, y), ts, order[:whole].reshape(-1, batch_size))
        if whole < x.shape[0]:
            ts, last = step(x, y, ts, order[whole:])
            losses = jnp.append(losses, last)
        return ts, losses

    x, y = jnp.asarray(x), jnp.asarray(y)
    return lambda: jax.block_until_ready(run_epoch(state, x, y))


def rounded_loss(params, x, y):
    """The usual way to bfloat16 in JAX: round both operands, multiply into float32, let autodiff do the rest."""
    a = x.astype(jnp.float32) / 255
    for layer in params[1:]:
        if layer:
            z = jnp.matmul(a.astype(jnp.bfloat16), layer.W.T.astype(jnp.bfloat16), preferred_element_type=jnp.float32)
            z = z + layer.b
            a = jax.nn.relu(z)
    return fnn.softmax_cross_entropy(z, y)


def digits_net(widths: tuple[int, ...], precision: str = "float32") -> fnn.Network:
    """A relu network on uint8 images."""
    body = fnn.mlp(*widths, precision=precision).layer
    layers = (fnn.rescale(1 / 255), *body.children) if precision == "float32" else (fnn.rescale(1 / 255), body)
    return fnn.network(fnn.serial(*layers), fnn.softmax_cross_entropy, input_shape=widths[:1])


def images(n: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 images (n, pixels) and labels (n,)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, pixels), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.int32)


def measure(bench: Bench, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Seconds of each contender in each round, in an order that alternates; and those that are missing.

    Runs that are over in no time are repeated within a round: waking the processor up is not what is to be measured.
    """
    contenders, repeats, missing = {}, {}, []
    for name, make in bench.make().items():
        try:
            contenders[name] = make()
            contenders[name]()
            start = time.perf_counter()
            contenders[name]()
            repeats[name] = 1 + int(SHORT / (time.perf_counter() - start))
        except ImportError as error:
            missing.append(f"{name} (no {error.name})")
            contenders.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 == 0 else list(reversed(contenders)):
            start = time.perf_counter()
            for _ in range(repeats[name]):
                contenders[name]()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return times, missing


def report(bench: Bench, times: dict[str, list[float]], missing: list[str]) -> None:
    """Print medians, the spread of the middle half, and the median of each round's ratio to the reference."""
    reference = np.array(next(iter(times.values())))
    print(f"\n{bench.name}: time of one {bench.unit}, and how many times the first")
    for name, seconds in times.items():
        low, median, high = np.percentile(seconds, [25, 50, 75])
        ratio = np.median(np.array(seconds) / reference)
        print(f"  {name:<38} {pretty(median):>8}  ({pretty(low)} to {pretty(high)})  {ratio:8.2f} ×")
    if missing:
        print(f"  missing: {', '.join(missing)}")


def report_memory() -> None:
    """Print the peak temporary memory of one gradient of a deep relu network, as the compiler plans it."""
    widths = (784, *(1024,) * 8, 10)
    x, y = jax.ShapeDtypeStruct((4096, 784), jnp.float32), jax.ShapeDtypeStruct((4096,), jnp.int32)
    net, rounded = fnn.mlp(*widths), fnn.mlp(*widths, precision="bfloat16")
    params = jax.eval_shape(net.init, jax.random.key(0))
    functions = {
        "jax.value_and_grad": jax.value_and_grad(net.loss),
        "fnn": net.loss_and_grad,
        "fnn bfloat16": rounded.loss_and_grad,
    }
    print("\nmemory: temporary, of one gradient of 784-(8 × 1024)-10 relu, batch 4096")
    sizes = {
        name: getattr(jax.jit(function).lower(params, x, y).compile().memory_analysis(), "temp_size_in_bytes", 0)
        for name, function in functions.items()
    }
    for name, size in sizes.items():
        print(f"  {name:<38} {size / 1e6:6.0f} MB  {size / sizes['jax.value_and_grad']:.2f} ×")


def report_ceiling(results: dict[str, dict[str, list[float]]]) -> None:
    """Print how near the wide network comes to the rate of a bare matrix product."""
    steps, bare = results.get("step 1024x4 batch 1024"), results.get("product 1024x1024x1024")
    if not steps or not bare:
        return
    print(
        "\nceiling: share of the bare product's rate, 11 products of 1024³ a step (dX of the first layer is not needed)"
    )
    for name, product in (("fnn", "jax float32"), ("fnn bfloat16", "jax bfloat16")):
        share = 11 * 8 * np.median(bare[product]) / np.median(steps[name])
        rate = 2 * 1024**3 / np.median(bare[product]) / 1e9
        print(f"  {name:<38} {share:6.0%} of {rate:,.0f} GFLOP/s")


def pretty(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def processor() -> str:
    """Name of this machine's processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", default="", help="only measurements whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write the times in seconds as JSON")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short measurement, to see that everything works")
    options = parser.parse_args()
    chosen = [bench for bench in benches() if options.only in bench.name]
    if options.quick:
        chosen, options.rounds = [bench for bench in benches() if bench.name.startswith("trace")], 2
    devices = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    print(f"fnn {fnn.__version__}, jax {jax.__version__}, Python {platform.python_version()}, {devices}, {processor()}")
    results = {}
    for bench in chosen:
        times, missing = measure(bench, options.rounds or bench.rounds)
        results[bench.name] = times
        report(bench, times, missing)
    if options.only in "memory" and not options.quick:
        report_memory()
    report_ceiling(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
