"""Mistakes in the functions of `contrastive`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "info_nce": (
        Mistake(
            "identity-once",
            "by_row - np.eye(n) + by_column - np.eye(n)",
            "by_row + by_column - np.eye(n)",
            "dropped",
            "A B log_scale",
            (
                "-0.5 * (jnp.mean(rows) + jnp.mean(columns))",
                "jnp.diagonal(jax.nn.log_softmax(similarity, axis=1))",
                "jnp.diagonal(jax.nn.log_softmax(similarity, axis=0))",
            ),
        ),
        Mistake(
            "scale-forgotten-on-one-side",
            "dv = ds.T @ u * scale",
            "dv = ds.T @ u",
            "factor",
            "B",
            ('u @ v.T * jnp.exp(p["log_scale"])',),
        ),
        Mistake(
            "norm-forgotten",
            "(dv * v).sum(axis=1, keepdims=True)) / norm_b",
            "(dv * v).sum(axis=1, keepdims=True))",
            "power",
            "B",
            ("b / jnp.linalg.norm(b, axis=1, keepdims=True)",),
        ),
        Mistake(
            "raw-for-normalized",
            "du - u * (du * u).sum",
            "du - a * (du * u).sum",
            "value",
            "A",
            ("a / jnp.linalg.norm(a, axis=1, keepdims=True)",),
        ),
        Mistake(
            "scale-for-its-logarithm",
            "dlog_scale = np.sum(ds * s)",
            "dlog_scale = np.sum(ds * s) / scale",
            "leaves",
            "log_scale",
            ('u @ v.T * jnp.exp(p["log_scale"])',),
        ),
    ),
    "triplet_loss": (
        Mistake(
            "sign-of-negative",
            "dr = active * 2",
            "dr = -active * 2",
            "sign",
            "W b",
            ("jnp.sum((a - r) ** 2, axis=1)", "a, q, r = embed(anchor), embed(positive), embed(negative)", "jnp.tanh("),
        ),
        Mistake("weights-overwritten", "dW += x.T @ dz", "dW = x.T @ dz", "overwritten", "W", ('x @ p["W"]',)),
        Mistake(
            "all-triplets-active",
            "(near - far + 1.0 > 0)[:, None] / len(a)",
            "np.ones((len(a), 1)) / len(a)",
            "mask",
            "W b",
            ("jnp.maximum(near - far + 1.0, 0)",),
        ),
        Mistake(
            "tanh-of-anchor-for-all", "dz = dh * (1 - h**2)", "dz = dh * (1 - a**2)", "value", "W b", ("jnp.tanh(",)
        ),
        Mistake("tanh-slope-forgotten", "dz = dh * (1 - h**2)", "dz = dh", "derivative", "W b", ("jnp.tanh(",)),
    ),
    "multiclass_hinge": (
        Mistake("penalty-halved", "dW + 2 * reg * W", "dW + reg * W", "penalty", "W", ("reg * jnp.sum(W**2)",)),
        Mistake(
            "penalty-averaged", "dW + 2 * reg * W", "dW + 2 * reg * W / n", "penalty", "W", ("reg * jnp.sum(W**2)",)
        ),
        Mistake(
            "margins-for-indicators",
            "(margins > 0).astype(float)",
            "np.maximum(margins, 0)",
            "derivative",
            "W",
            ("jnp.maximum(scores - correct + 1, 0)",),
        ),
        Mistake(
            "right-class-counted",
            "    margins[np.arange(n), y] = 0\n",
            "",
            "mask",
            "W",
            ("margins * others", "1 - jax.nn.one_hot(y, W.shape[1])"),
        ),
    ),
    "siamese_pairs": (
        Mistake(
            "sign-of-others",
            "same * distance - (1 - same) * gap",
            "same * distance + (1 - same) * gap",
            "sign",
            "W",
            (
                'jnp.maximum(jnp.exp(p["log_margin"]) - distance, 0)',
                "jnp.mean(same * 0.5 * distance**2 + (1 - same) * 0.5 * gap**2)",
                "jnp.sqrt(jnp.sum((e1 - e2) ** 2, axis=1) + 1e-6)",
            ),
        ),
        Mistake(
            "distance-forgotten",
            "* difference / distance[:, None]",
            "* difference",
            "derivative",
            "W",
            ("jnp.sqrt(jnp.sum((e1 - e2) ** 2, axis=1) + 1e-6)",),
        ),
        Mistake(
            "square-of-distance",
            "* difference / distance[:, None]",
            "* difference / distance[:, None] ** 2",
            "power",
            "W",
            ("jnp.sqrt(jnp.sum((e1 - e2) ** 2, axis=1) + 1e-6)",),
        ),
        Mistake(
            "margin-for-its-logarithm",
            '"log_margin": dmargin * margin',
            '"log_margin": dmargin',
            "leaves",
            "log_margin",
            ('jnp.exp(p["log_margin"])',),
        ),
        Mistake(
            "labels-exchanged",
            "same * distance - (1 - same) * gap",
            "(1 - same) * distance - same * gap",
            "value",
            "W",
            ("jnp.mean(same * 0.5 * distance**2 + (1 - same) * 0.5 * gap**2)",),
        ),
    ),
}
