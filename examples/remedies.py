"""Remedies for vanishing and exploding gradients, each one trained: a verdict a row.

python examples/remedies.py                gradients and losses of twenty deep networks, and remedies.png in out/

Every network has twelve equal blocks in its middle and learns three spiral arms for 300 steps, once with the rate 0.01
and once with 0.1; the better run counts. The weights' variance is gain / fan-in: gain 1 is Xavier's, 2 He's.
"""

import argparse
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import fnn
from fnn.initializers import zeros

WIDTH = 16
XAVIER, HE = 1.0, 2.0
TOO_LARGE = WIDTH * (2 / WIDTH) ** 0.5  # He's standard deviation √(2/n), taken for a variance
RATES = (0.01, 0.1)


class Row(NamedTuple):
    """A network, how its weights are drawn, and how it is trained."""

    net: fnn.Network
    gain: float
    optimizer: Callable = fnn.sgd


def chain(depth: int, g: fnn.Layer, norm: fnn.Layer = fnn.identity, wrap=lambda block: block, penalty=None):
    """A deep network of equal blocks dense → norm → activation, each one wrapped, between two dense layers."""
    block = wrap(fnn.serial(fnn.dense(WIDTH, initializer=zeros), norm, g))
    first, last = fnn.dense(WIDTH, initializer=zeros), fnn.dense(3, initializer=zeros)
    layers = fnn.serial(first, fnn.repeat(block, depth), last)  # compiled once, whatever the depth
    return fnn.network(layers, fnn.softmax_cross_entropy, input_shape=(2,), penalty=penalty)


def vanishing(depth: int) -> dict[str, Row]:
    """Many sigmoids, and what may help them."""
    return {
        "sigmoid": Row(chain(depth, fnn.sigmoid), XAVIER),
        "residual(...)": Row(chain(depth, fnn.sigmoid, wrap=fnn.residual), XAVIER),
        "layer_norm": Row(chain(depth, fnn.sigmoid, fnn.layer_norm()), XAVIER),
        "batch_norm": Row(chain(depth, fnn.sigmoid, fnn.batch_norm()), XAVIER),
        "tanh": Row(chain(depth, fnn.tanh), XAVIER),
        "relu, xavier_normal": Row(chain(depth, fnn.relu), XAVIER),
        "relu, he_normal": Row(chain(depth, fnn.relu), HE),
        "leaky_relu": Row(chain(depth, fnn.leaky_relu(0.1)), HE),
        "prelu": Row(chain(depth, fnn.prelu()), HE),
        "elu": Row(chain(depth, fnn.elu()), HE),
        "swish": Row(chain(depth, fnn.swish), HE),
    }


def exploding(depth: int) -> dict[str, Row]:
    """Relu layers with weights that are too large, and what may help them."""
    return {
        "relu, too large": Row(chain(depth, fnn.relu), TOO_LARGE),
        "clip_by_global_norm": Row(chain(depth, fnn.relu), TOO_LARGE, clipped),
        "layer_norm": Row(chain(depth, fnn.relu, fnn.layer_norm()), TOO_LARGE),
        "batch_norm": Row(chain(depth, fnn.relu, fnn.batch_norm()), TOO_LARGE),
        "residual(...)": Row(chain(depth, fnn.relu, wrap=fnn.residual), TOO_LARGE),
        "l1": Row(chain(depth, fnn.relu, penalty=fnn.l1(0.001)), TOO_LARGE),
        "l2": Row(chain(depth, fnn.relu, penalty=fnn.l2(0.01)), TOO_LARGE),
        "spectral_norm": Row(chain(depth, fnn.relu, penalty=fnn.spectral_norm(0.01)), TOO_LARGE),
    }


def clipped(rate: float):
    """Gradient descent on gradients that are shortened to length 1."""
    return fnn.chain(fnn.clip_by_global_norm(1.0), fnn.sgd(rate))


def start(row: Row):
    """Parameters with weights of variance gain / fan-in; the rest as the network has it."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if getattr(path[-1], "name", "") != "W":
            return leaf
        return jnp.asarray(rng.normal(0, (row.gain / leaf.shape[-1]) ** 0.5, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, row.net.init(jax.random.key(0)))


def train(row: Row, x: jax.Array, y: jax.Array, steps: int) -> tuple[np.ndarray, float]:
    """The loss of every step, of the better of two rates; ‖∂L/∂W‖ of the first block over the last one's, at first."""
    state = row.net.init_state()  # batch_norm's running statistics, which training does not look at

    def descend(carry, _):
        params, memory = carry
        loss, grads = row.net.loss_and_grad(params, x, y, state=state)
        updates, memory = row.optimizer(RATES[0]).update(grads, memory, params)
        return (fnn.apply_updates(params, updates), memory), (loss, blocks(grads))

    run = jax.jit(lambda carry: jax.lax.scan(descend, carry, length=steps)[1])
    begin = start(row)
    runs = [run((begin, row.optimizer(rate).init(begin))) for rate in RATES]
    losses, gradients = min(runs, key=lambda run: np.nan_to_num(run[0][-1], nan=np.inf))
    norms = np.linalg.norm(gradients[0], axis=(1, 2))
    return np.asarray(losses), norms[0] / norms[-1]


def blocks(params) -> jax.Array:
    """The weights of the equal blocks, or their gradients, one behind the other: (depth, d_out, d_in)."""
    return max(jax.tree.leaves(params[1].stacked), key=jnp.ndim)


def verdict(losses: np.ndarray) -> str:
    """What became of it; guessing among three classes costs log 3 = 1.1 nats."""
    if not np.isfinite(losses[-1]):
        return "diverges"
    least = losses.min()
    return "learns" if least < 0.3 else "learns nothing" if least > 1 else "learns a little"


def draw(curves: dict[str, np.ndarray], path: pathlib.Path) -> None:
    """A panel a network: its loss by step."""
    rows = -(-len(curves) // 5)
    fig = Figure(figsize=(11, 1.7 * rows + 0.4), layout="constrained")
    panels = iter(fig.subplots(rows, 5, sharex=True, sharey=True, squeeze=False).flat)
    for (name, losses), ax in zip(curves.items(), panels, strict=False):
        ax.plot(losses, color="#0072B2" if verdict(losses) == "learns" else "#D55E00", linewidth=1.2)
        ax.set_title(f"{name}\n{verdict(losses)}", fontsize=9)
        ax.set_ylim(0, 1.5)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in panels:
        ax.axis("off")
    fig.supxlabel("step", fontsize=9)
    fig.supylabel("loss (nats)", fontsize=9)
    fig.savefig(path, dpi=100)


def main() -> None:
    """Try every remedy, then ask the library for a diagnosis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="three blocks, a few steps and two remedies of each kind")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    depth, steps, shown, began = 12, 300, None, time.perf_counter()
    if options.quick:
        depth, steps, shown = 3, 20, 2

    x, y = fnn.datasets.spirals(jax.random.key(0), 150, classes=3, turns=0.5)
    x, y, curves = jnp.asarray(x / x.std(axis=0)), jnp.asarray(y), {}
    print(f"{depth} blocks                first/last gradient      loss at first    at best   verdict")
    for problem, rows in (("vanishing", vanishing(depth)), ("exploding", exploding(depth))):
        for name, row in [*rows.items()][:shown]:
            losses, ratio = train(row, x, y, steps)
            curves[f"{name} ({problem})"] = losses
            numbers = f"{ratio:20.2g} {losses[0]:18.3g} {losses.min():10.2g}"
            print(f"  {name:<20} {numbers}   {verdict(losses)}")
    draw(curves, options.out / "remedies.png")

    print("\nfnn.flow names symptom and remedy; of eight sigmoid layers it says:")
    net = fnn.mlp(2, *[WIDTH] * 8, 3, activation=fnn.sigmoid, initializer=fnn.initializers.xavier_normal)
    for finding in fnn.flow(net, jax.jit(net.init)(jax.random.key(0)), x, y).findings:
        print(f"  {finding.symptom} at {finding.layer}: {finding.evidence};\n    {finding.remedy}")
    print(f"picture: {options.out / 'remedies.png'}; {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
