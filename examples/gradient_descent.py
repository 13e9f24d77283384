"""Gradient descent on functions that can be followed by hand: x², sin x and a surface, with a film of each.

python examples/gradient_descent.py        prints closed forms beside the descents, saves three films to out/
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import fnn


def descend(gradient, start, rate: float, steps: int) -> np.ndarray:
    """Follow θ ← θ − α ∇f(θ) and return every point, the start included."""
    init, update = fnn.sgd(rate)

    def step(carry, _):
        x, state = carry
        updates, state = update(gradient(x), state, x)
        x = fnn.apply_updates(x, updates)
        return (x, state), x

    start = jnp.asarray(start, float)
    _, points = jax.lax.scan(step, (start, init(start)), length=steps)
    return np.concatenate([start[None], points])


def surface(x, y):
    """f(x, y) = sin(½x² − ¼y² + 3) · cos(2x + 1 − e^y)."""
    return jnp.sin(x**2 / 2 - y**2 / 4 + 3) * jnp.cos(2 * x + 1 - jnp.exp(y))


def surface_gradient(point):
    """∇f by hand: with u = ½x² − ¼y² + 3 and v = 2x + 1 − e^y, the product and the chain rule."""
    x, y = point
    u, v = x**2 / 2 - y**2 / 4 + 3, 2 * x + 1 - jnp.exp(y)
    f_x = x * jnp.cos(u) * jnp.cos(v) - 2 * jnp.sin(u) * jnp.sin(v)
    f_y = -y / 2 * jnp.cos(u) * jnp.cos(v) + jnp.exp(y) * jnp.sin(u) * jnp.sin(v)
    return jnp.stack([f_x, f_y])


def main() -> None:
    """Descend, compare with what the formulas say, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the films")
    parser.add_argument("--quick", action="store_true", help="films of a few frames")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", True)
    frames = 3 if options.quick else 30

    print("f(x, y) = x² + y², ∇f = (2x, 2y): each coordinate is (1 − 2α)ᵏ times its start; only 0 < α < 1 converges")
    for rate in (0.1, 0.5, 1.0, 1.1):
        x, y = descend(lambda p: 2 * p, [3.0, -1.0], rate, 20)[-1]
        factor = (1 - 2 * rate) ** 20
        print(f"  α = {rate}: after 20 steps ({x:.7g}, {y:.7g}), closed form ({3 * factor:.7g}, {0 - factor:.7g})")

    print("f(x) = sin x, f'(x) = cos x: where it ends depends on where it starts")
    for start, end in ((0, "−π/2 = −1.570796"), (3, "3π/2 = 4.712389"), (np.pi / 2, "a maximum: it never moves")):
        print(f"  from {start:.6g}: {descend(jnp.cos, start, 0.1, 500)[-1]:.6f} ({end})")

    print("f(x, y) = sin(½x² − ¼y² + 3) cos(2x + 1 − e^y): the hand gradient beside jax.grad")
    for point in ([0.5, 0.5], [1.0, -0.7], [-1.2, 1.1]):
        by_hand = surface_gradient(jnp.array(point))
        by_jax = jax.grad(lambda p: surface(*p))(jnp.array(point))
        print(f"  at {point}: ({by_hand[0]:.6f}, {by_hand[1]:.6f}) and ({by_jax[0]:.6f}, {by_jax[1]:.6f})")
    path = descend(surface_gradient, [0.5, 0.5], 0.05, 500)
    x, y = path[-1]
    print(f"  from (0.5, 0.5), α = 0.05, 500 steps: ({x:.7f}, {y:.7f}), f = {surface(x, y):.6f}")

    wave = "f(x, y) = sin(½x² − ¼y² + 3) cos(2x + 1 − e^y)"
    every = 300 // frames
    films = {
        "square.gif": ("f(x) = x²", lambda x: x**2, descend(lambda x: 2 * x, 3, 0.1, frames), (-3.5, 3.5), 1),
        "sine.gif": ("f(x) = sin x", jnp.sin, descend(jnp.cos, 3, 0.3, frames), (-2, 6.5), 1),
        "surface.gif": (wave, surface, path[:300:every], ((-1, 3), (-1, 2.2)), every),
    }
    for name, (title, f, points, bounds, each) in films.items():
        fnn.plots.animate_descent(f, points, options.out / name, bounds=bounds, title=title, every=each)
    print(f"films: {', '.join(films)} in {options.out}/")


if __name__ == "__main__":
    main()
