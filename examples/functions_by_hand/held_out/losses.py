"""Mistakes in the functions of `losses`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "focal_loss": (
        Mistake(
            "sign-of-modulating",
            "modulating - logarithm",
            "-modulating - logarithm",
            "sign",
            "b w",
            ("-jnp.mean(alpha * (1 - pt) ** 2.0 * jnp.log(pt))",),
        ),
        Mistake(
            "sign-for-negatives",
            "np.where(y == 1, dpt, -dpt)",
            "dpt",
            "sign",
            "b w",
            ("jnp.where(y == 1, prob, 1 - prob)",),
        ),
        Mistake(
            "alpha-forgotten",
            "dpt = alpha * (modulating",
            "dpt = (modulating",
            "path",
            "b w",
            ("-jnp.mean(alpha * (1 - pt) ** 2.0 * jnp.log(pt))", "jnp.where(y == 1, 0.25, 0.75)"),
        ),
        Mistake("bias-averaged", '"b": dlogits.sum()', '"b": dlogits.mean()', "reduction", "b", ('p["b"]',)),
    ),
    "huber_network": (
        Mistake(
            "no-delta-outside",
            "0.7 * np.sign(r))",
            "np.sign(r))",
            "factor",
            "V W b",
            ("jnp.where(small, 0.5 * r**2, 0.7 * (jnp.abs(r) - 0.5 * 0.7))",),
        ),
        Mistake(
            "squared-everywhere",
            "np.where(np.abs(r) <= 0.7, r, 0.7 * np.sign(r))",
            "r",
            "path",
            "V W b",
            ("jnp.where(small, 0.5 * r**2, 0.7 * (jnp.abs(r) - 0.5 * 0.7))", "jnp.abs(r) <= 0.7"),
        ),
        Mistake(
            "threshold-on-one-side",
            "np.where(np.abs(r) <= 0.7,",
            "np.where(r <= 0.7,",
            "mask",
            "V W b",
            ("jnp.where(small, 0.5 * r**2, 0.7 * (jnp.abs(r) - 0.5 * 0.7))", "jnp.abs(r) <= 0.7"),
        ),
        Mistake(
            "mean-over-outputs-too",
            "np.sign(r)) / n",
            "np.sign(r)) / r.size",
            "factor",
            "V W b",
            ("jnp.mean(jnp.sum(loss, axis=1))",),
        ),
    ),
    "dice_loss": (
        Mistake(
            "smoothing-forgotten-below",
            "2 * overlap + 1, total + 1",
            "2 * overlap + 1, total",
            "epsilon",
            "z",
            ("(2 * overlap + 1) / (total + 1)",),
        ),
        Mistake(
            "not-averaged-over-images", "ddice = -1 / len(z)", "ddice = -1", "reduction", "z", ("jnp.mean(1 - dice)",)
        ),
        Mistake(
            "all-images-in-one",
            "(prob * mask).sum(axis=(1, 2), keepdims=True)",
            "(prob * mask).sum(keepdims=True)",
            "axis",
            "z",
            ("jnp.sum(prob * mask, axis=(1, 2))", "(2 * overlap + 1) / (total + 1)"),
        ),
        Mistake(
            "gradient-of-probabilities",
            "return dprob * prob * (1 - prob)",
            "return dprob",
            "leaves",
            "z",
            ("jax.nn.sigmoid(z)",),
        ),
    ),
    "smoothed_cross_entropy": (
        Mistake(
            "hard-targets",
            "    target[np.arange(n), y] += 0.9\n",
            "    target[:] = np.eye(c)[y]\n",
            "value",
            "W b log_t",
            ("0.9 * jax.nn.one_hot(y, c) + 0.1 / c",),
        ),
        Mistake(
            "smoothing-over-others",
            "np.full((n, c), 0.1 / c)",
            "np.full((n, c), 0.1 / (c - 1))",
            "factor",
            "W b log_t",
            ("0.9 * jax.nn.one_hot(y, c) + 0.1 / c",),
        ),
        Mistake(
            "first-power-of-temperature",
            "/ temperature**2",
            "/ temperature",
            "power",
            "log_t",
            ("jax.nn.log_softmax(z / temperature)",),
        ),
        Mistake(
            "mean-over-classes-too",
            "dscaled = (probs - target) / n",
            "dscaled = (probs - target) / (n * c)",
            "factor",
            "W b log_t",
            ("-jnp.mean(jnp.sum(target * log_probs, axis=1))",),
        ),
    ),
}
