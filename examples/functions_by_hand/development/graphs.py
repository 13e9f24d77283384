"""Mistakes in the functions of `graphs`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "graph_convolution": (
        Mistake(
            "labels-mask-forgotten",
            " * labelled[:, None] / labelled.sum()",
            " / labelled.sum()",
            "mask",
            "W0 W1 b0",
            ("-jnp.sum(labelled * picked) / jnp.sum(labelled)",),
        ),
        Mistake(
            "over-all-nodes",
            "/ labelled.sum()",
            "/ n",
            "factor",
            "W0 W1 b0",
            (
                "-jnp.sum(labelled * picked) / jnp.sum(labelled)",
                "log_probs[jnp.arange(A.shape[0]), y]",
                "jax.nn.log_softmax(z, axis=1)",
            ),
        ),
        Mistake("relu-forgotten", "dpre = dh * (pre > 0)", "dpre = dh", "derivative", "W0 b0", ("jnp.maximum(",)),
        Mistake(
            "bias-propagated", "db0 = dpre.sum(axis=0)", "db0 = (S.T @ dpre).sum(axis=0)", "value", "b0", ('p["b0"]',)
        ),
        Mistake(
            "degree-for-its-root",
            "S = loops / np.sqrt(np.outer(degree, degree))",
            "S = loops / degree[:, None]",
            "power",
            "W0 W1 b0",
            ("loops / jnp.sqrt(degree[:, None] * degree[None, :])",),
        ),
    ),
    "graph_attention": (
        Mistake(
            "aggregation-only",
            '    dg = dg + np.outer(dsource, p["a"])\n    dg = dg + np.outer(dtarget, p["c"])\n',
            "",
            "path",
            "W",
            ('(g @ p["a"])[:, None] + (g @ p["c"])[None, :]',),
        ),
        Mistake(
            "source-side-missing",
            '    dg = dg + np.outer(dsource, p["a"])\n',
            "",
            "path",
            "W",
            ('(g @ p["a"])[:, None] + (g @ p["c"])[None, :]',),
        ),
        Mistake(
            "sides-exchanged",
            "dsource = dscores.sum(axis=1)\n    dtarget = dscores.sum(axis=0)",
            "dsource = dscores.sum(axis=0)\n    dtarget = dscores.sum(axis=1)",
            "axis",
            "W a c",
            ('(g @ p["a"])[:, None] + (g @ p["c"])[None, :]',),
        ),
        Mistake(
            "relu-for-leaky",
            "dscores = de * slope",
            "dscores = de * (scores > 0)",
            "derivative",
            "W a c",
            ("jnp.where(scores > 0, scores, 0.2 * scores)",),
        ),
        Mistake(
            "elu-without-exp",
            "np.where(m > 0, 1, np.exp(m))",
            "(m > 0)",
            "derivative",
            "W a c",
            ("jnp.where(m > 0, m, jnp.exp(m) - 1)",),
        ),
        Mistake(
            "aggregated-for-own-features",
            '"a": g.T @ dsource',
            '"a": m.T @ dsource',
            "value",
            "a",
            ('(g @ p["a"])[:, None] + (g @ p["c"])[None, :]',),
        ),
    ),
    "message_passing": (
        Mistake(
            "tanh-forgotten", "dz = dmessages * (1 - messages**2)", "dz = dmessages", "derivative", "W", ("jnp.tanh(",)
        ),
        Mistake(
            "all-nodes-averaged",
            "dstate = np.ones((n, 1)) *",
            "dstate = np.ones((n, 1)) / n *",
            "reduction",
            "V W",
            ("jnp.sum(state, axis=0)", 'readout @ p["w"]'),
        ),
        Mistake("first-node-only", "dV = x.T @ dstate", "dV = x[:1].T @ dstate[:1]", "dropped", "V", ('x @ p["V"]',)),
        Mistake(
            "two-left-over",
            'dout = readout @ p["w"] - y',
            'dout = 2 * (readout @ p["w"] - y)',
            "factor",
            "V W w",
            ("0.5 * (readout",),
        ),
        Mistake(
            "messages-for-state",
            "dw = dout * readout",
            "dw = dout * total.sum(axis=0)",
            "value",
            "w",
            ('readout @ p["w"]',),
        ),
    ),
}
