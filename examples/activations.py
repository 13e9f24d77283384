"""Activation functions and their derivatives: the graphs, the steepest slope of each, and where float32 saturates.

python examples/activations.py             prints a table, saves activations.png to out/
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp

import fnn

ACTIVATIONS = (fnn.identity, fnn.sigmoid, fnn.tanh, fnn.relu, fnn.leaky_relu(0.1), fnn.elu(), fnn.swish, fnn.gelu)


def main() -> None:
    """Tabulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="the same; it is quick anyway")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    z = jnp.linspace(-6, 6, 2401)
    print("activation   g(−1)    g(1)  g'(−1)   g'(0)   g'(1)  largest g'  differs from jax.grad by")
    for g in ACTIVATIONS:
        by_jax = jax.vmap(jax.grad(lambda z, g=g: g.forward((), z)))(z)
        difference = jnp.abs(g.derivative(z) - by_jax).max()
        values, slopes = g(jnp.array([-1.0, 1.0])), g.derivative(jnp.array([-1.0, 0.0, 1.0]))
        numbers = " ".join(f"{number:7.4f}" for number in (*values, *slopes))
        print(f"{g.name:<10} {numbers} {g.derivative(z).max():11.4f}  {difference:.0e}")

    print("\nsigmoid' is at most ¼, so ten sigmoids in a row shrink a gradient by at least 4¹⁰ = 1,048,576.")
    print(f"tanh is a scaled and shifted sigmoid: |tanh(z) − (2σ(2z) − 1)| ≤ {gap(z):.0e}.")
    print(f"In float32 σ(17) is {fnn.sigmoid(jnp.float32(17)):.8f}: its log(1 − a) is −inf, so losses take logits.")
    p = fnn.softmax(jnp.array([[1.0, 2.0, 3.0], [1001.0, 1002.0, 1003.0]]))
    print(f"softmax ignores shifts: {p[0].round(6)} and {p[1].round(6)}, each with sum {p.sum(axis=1)}.")

    fnn.plots.activation_functions(*ACTIVATIONS, fnn.softplus, fnn.softmax, path=options.out / "activations.png")
    print(f"picture: {options.out / 'activations.png'}")


def gap(z: jax.Array) -> jax.Array:
    """Largest difference between tanh(z) and 2σ(2z) − 1."""
    return jnp.abs(fnn.tanh(z) - (2 * fnn.sigmoid(2 * z) - 1)).max()


if __name__ == "__main__":
    main()
