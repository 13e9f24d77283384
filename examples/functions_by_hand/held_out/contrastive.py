"""Mistakes in the functions of `contrastive`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "info_nce": (
        Mistake(
            "one-direction-only",
            "by_row - np.eye(n) + by_column - np.eye(n)",
            "by_row - np.eye(n)",
            "path",
            "A B log_scale",
            ("-0.5 * (jnp.mean(rows) + jnp.mean(columns))", "jnp.diagonal(jax.nn.log_softmax(similarity, axis=0))"),
        ),
        Mistake(
            "half-forgotten",
            "ds = 0.5 * (",
            "ds = (",
            "factor",
            "A B log_scale",
            ("-0.5 * (jnp.mean(rows) + jnp.mean(columns))",),
        ),
        Mistake(
            "not-transposed",
            "dv = ds.T @ u * scale",
            "dv = ds @ u * scale",
            "transposed",
            "B",
            ('u @ v.T * jnp.exp(p["log_scale"])',),
        ),
        Mistake(
            "norm-constant",
            "da = (du - u * (du * u).sum(axis=1, keepdims=True)) / norm_a",
            "da = du / norm_a",
            "path",
            "A",
            ("a / jnp.linalg.norm(a, axis=1, keepdims=True)",),
        ),
        Mistake(
            "softmax-over-rows-twice",
            "by_column = e / e.sum(axis=0, keepdims=True)",
            "by_column = e / e.sum(axis=1, keepdims=True)",
            "axis",
            "A B log_scale",
            ("jnp.diagonal(jax.nn.log_softmax(similarity, axis=0))",),
        ),
    ),
    "triplet_loss": (
        Mistake(
            "negative-left-out",
            "for x, h, dh in ((anchor, a, da), (positive, q, dq), (negative, r, dr)):",
            "for x, h, dh in ((anchor, a, da), (positive, q, dq)):",
            "dropped",
            "W b",
            ("jnp.sum((a - r) ** 2, axis=1)", "a, q, r = embed(anchor), embed(positive), embed(negative)"),
        ),
        Mistake(
            "anchor-sees-positive-only",
            "(2 * (a - q) - 2 * (a - r))",
            "2 * (a - q)",
            "path",
            "W b",
            ("jnp.sum((a - r) ** 2, axis=1)",),
        ),
        Mistake(
            "margin-forgotten",
            "(near - far + 1.0 > 0)",
            "(near - far > 0)",
            "mask",
            "W b",
            ("jnp.maximum(near - far + 1.0, 0)",),
        ),
        Mistake(
            "mean-over-active",
            "active = (near - far + 1.0 > 0)[:, None] / len(a)",
            "active = (near - far + 1.0 > 0)[:, None]\n    active = active / active.sum()",
            "reduction",
            "W b",
            ("jnp.mean(jnp.maximum(near - far + 1.0, 0))",),
        ),
        Mistake(
            "two-forgotten",
            "dq = -active * 2 * (a - q)",
            "dq = -active * (a - q)",
            "factor",
            "W b",
            ("jnp.sum((a - q) ** 2, axis=1)",),
        ),
    ),
    "multiclass_hinge": (
        Mistake(
            "right-class-left-out",
            "    dscores[np.arange(n), y] = -dscores.sum(axis=1)\n",
            "",
            "path",
            "W",
            ("scores[jnp.arange(n), y]", "jnp.maximum(scores - correct + 1, 0)"),
        ),
        Mistake(
            "right-class-once",
            "= -dscores.sum(axis=1)",
            "= -1",
            "reduction",
            "W",
            ("scores[jnp.arange(n), y]", "jnp.maximum(scores - correct + 1, 0)"),
        ),
        Mistake(
            "not-averaged", "x.T @ dscores / n", "x.T @ dscores", "reduction", "W", ("jnp.sum(margins * others) / n",)
        ),
        Mistake("penalty-missing", "dW + 2 * reg * W", "dW", "penalty", "W", ("reg * jnp.sum(W**2)",)),
        Mistake(
            "sign-of-right-class",
            "= -dscores.sum(axis=1)",
            "= dscores.sum(axis=1)",
            "sign",
            "W",
            ("scores[jnp.arange(n), y]", "jnp.maximum(scores - correct + 1, 0)"),
        ),
    ),
    "siamese_pairs": (
        Mistake(
            "one-side-only",
            "dW = de1.T @ x1 + de2.T @ x2",
            "dW = de1.T @ x1",
            "path",
            "W",
            ('x1 @ p["W"].T, x2 @ p["W"].T',),
        ),
        Mistake(
            "both-sides-same-sign", "ddifference, -ddifference", "ddifference, ddifference", "sign", "W", ("(e1 - e2)",)
        ),
        Mistake(
            "far-pairs-unclipped",
            "gap = np.maximum(margin - distance, 0)",
            "gap = margin - distance",
            "mask",
            "W log_margin",
            ('jnp.maximum(jnp.exp(p["log_margin"]) - distance, 0)',),
        ),
        Mistake(
            "halves-forgotten",
            "ddistance = (same",
            "ddistance = 2 * (same",
            "factor",
            "W",
            ("jnp.mean(same * 0.5 * distance**2 + (1 - same) * 0.5 * gap**2)",),
        ),
    ),
}
