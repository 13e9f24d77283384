"""Write a layer of your own: a forward, its gradient by hand, one call to check it, and a network that uses it.

The layer is the gated linear unit of Dauphin et al. (2017): y = u ⊙ σ(v), where u and v are the halves of the input.

python examples/custom_layer.py            the check of the right rule, the check of a wrong one, and spirals told apart
"""

import argparse

import jax
import jax.numpy as jnp

import fnn


# ── the layer: a rule of two functions, lifted by `stateless` ───────────────────────────────────────────────────────
def gate_fwd(params, x):
    """Gate one half of x = (u, v) by the other, y = u ⊙ σ(v); keep what the backward reads."""
    u, v = jnp.split(x, 2, axis=1)
    s = jax.nn.sigmoid(v)
    return u * s, (u, s)


def gate_bwd(residuals, dy):
    """∂y/∂u = σ(v) and ∂y/∂v = u σ(v) (1 − σ(v)); there are no parameters."""
    u, s = residuals
    return (), jnp.concatenate([dy * s, dy * u * s * (1 - s)], axis=1)


gate = fnn.stateless("gate", fnn.no_params, gate_fwd, gate_bwd)


# ── a slip that everybody makes once: 1 − σ forgotten ────────────────────────────────────────────────────────────────
def slip_bwd(residuals, dy):
    """The second half lacks the factor 1 − σ(v)."""
    u, s = residuals
    return (), jnp.concatenate([dy * s, dy * u * s], axis=1)


def main() -> None:
    """Check the layer, check its slip, train a network with it."""
    epochs = read_options()
    print(fnn.check_layer(gate, (6,)))
    print()
    slip = fnn.stateless("gate with a slip", fnn.no_params, gate_fwd, slip_bwd)
    print(fnn.check_layer(slip, (6,)))
    print()

    train, test = (fnn.datasets.spirals(jax.random.key(seed), 500, classes=3, turns=1.5) for seed in (0, 1))
    layer = fnn.serial(fnn.dense(64), gate, fnn.dense(64), gate, fnn.dense(3))
    net = fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(2,))
    result = fnn.fit(
        net, train, optimizer=fnn.adam(0.01), epochs=epochs, batch_size=50, key=jax.random.key(2), progress=False
    )
    print(f"three spirals, with gates for activations, on new points: {fnn.evaluate(net, result.params, *test)}")
    fnn.check(net, result.params, test.x[:32], test.y[:32]).assert_ok()


def read_options() -> int:
    """Read the command line; the number of epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two epochs only")
    return 2 if parser.parse_args().quick else 60


if __name__ == "__main__":
    main()
