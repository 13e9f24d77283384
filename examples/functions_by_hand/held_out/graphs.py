"""Mistakes in the functions of `graphs`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "graph_convolution": (
        Mistake(
            "propagation-not-transposed",
            "dh = S.T @ dz",
            "dh = S @ dz",
            "transposed",
            "W0 b0",
            ('normalized @ h @ p["W1"]',),
        ),
        Mistake(
            "unnormalized",
            "dh = S.T @ dz",
            "dh = loops.T @ dz",
            "value",
            "W0 b0",
            ('normalized @ h @ p["W1"]', "loops / jnp.sqrt(degree[:, None] * degree[None, :])"),
        ),
        Mistake("not-propagated-back", "dh = S.T @ dz", "dh = dz", "path", "W0 b0", ('normalized @ h @ p["W1"]',)),
        Mistake(
            "features-not-propagated",
            "dW0 = (S @ x).T @ dpre",
            "dW0 = x.T @ dpre",
            "path",
            "W0",
            ('normalized @ x @ p["W0"]',),
        ),
        Mistake(
            "hidden-not-propagated",
            "dW1 = (S @ h).T @ dz",
            "dW1 = h.T @ dz",
            "path",
            "W1",
            ('normalized @ h @ p["W1"]',),
        ),
    ),
    "graph_attention": (
        Mistake("attention-only", "dg = alpha.T @ dm\n", "dg = 0\n", "path", "W", ("alpha @ g",)),
        Mistake(
            "attention-not-transposed", "dg = alpha.T @ dm\n", "dg = alpha @ dm\n", "transposed", "W", ("alpha @ g",)
        ),
        Mistake(
            "leaky-slope-forgotten",
            "dscores = de * slope",
            "dscores = de",
            "derivative",
            "W a c",
            ("jnp.where(scores > 0, scores, 0.2 * scores)",),
        ),
        Mistake(
            "elu-of-output",
            "np.where(m > 0, 1, np.exp(m))",
            "np.where(m > 0, 1, np.exp(h))",
            "derivative",
            "W a c",
            ("jnp.where(m > 0, m, jnp.exp(m) - 1)",),
        ),
        Mistake(
            "softmax-without-sum",
            "de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))",
            "de = alpha * (1 - alpha) * dalpha",
            "diagonal",
            "W a c",
            ("jax.nn.softmax(e, axis=1)",),
        ),
    ),
    "message_passing": (
        Mistake(
            "degree-forgotten",
            "dtotal = dstate / degree",
            "dtotal = dstate",
            "factor",
            "W",
            (
                "total / jnp.maximum(degree, 1)[:, None]",
                "jax.ops.segment_sum(messages, receivers, num_segments=n)",
                "jnp.tanh(",
            ),
        ),
        Mistake(
            "looked-up-at-sender",
            "dmessages = dtotal[receivers]",
            "dmessages = dtotal[senders]",
            "value",
            "W",
            ("jax.ops.segment_sum(messages, receivers, num_segments=n)",),
        ),
        Mistake(
            "ends-exchanged",
            "dW = joined.T @ dz",
            "dW = np.concatenate([x[receivers], x[senders]], axis=1).T @ dz",
            "value",
            "W",
            ("jnp.concatenate([x[senders], x[receivers]], axis=1)",),
        ),
        Mistake(
            "messages-overwritten",
            "np.add.at(total, receivers, messages)",
            "total[receivers] = messages",
            "overwritten",
            "V W w",
            ("jax.ops.segment_sum(messages, receivers, num_segments=n)",),
        ),
        Mistake(
            "last-edge-left-out",
            "dW = joined.T @ dz",
            "dW = joined[:-1].T @ dz[:-1]",
            "dropped",
            "W",
            ("jax.ops.segment_sum(messages, receivers, num_segments=n)", 'joined @ p["W"]'),
        ),
    ),
}
