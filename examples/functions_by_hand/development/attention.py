"""Mistakes in the functions of `attention`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "one_head_attention": (
        Mistake(
            "no-root-d",
            "    ds = ds / np.sqrt(d)\n",
            "",
            "factor",
            "Wk Wq",
            ("jnp.sqrt(q.shape[1])", "attention @ v", "jax.nn.softmax(scores, axis=1)"),
        ),
        Mistake(
            "d-for-root-d",
            "ds = ds / np.sqrt(d)",
            "ds = ds / d",
            "factor",
            "Wk Wq",
            ("jnp.sqrt(q.shape[1])", "attention @ v", "jax.nn.softmax(scores, axis=1)"),
        ),
        Mistake(
            "softmax-diagonal",
            "ds = a * (da - (da * a).sum(axis=1, keepdims=True))",
            "ds = a * (1 - a) * da",
            "diagonal",
            "Wk Wq",
            ("jax.nn.softmax(scores, axis=1)",),
        ),
        Mistake(
            "value-for-context", "dWo = context.T @ dout", "dWo = v.T @ dout", "value", "Wo", ('context @ p["Wo"]',)
        ),
        Mistake(
            "swapped-query-key",
            '{"Wq": x.T @ dq, "Wk": x.T @ dk',
            '{"Wq": x.T @ dk, "Wk": x.T @ dq',
            "leaves",
            "Wk Wq",
            ('x @ p["Wq"]', 'x @ p["Wk"]', "q @ k.T"),
        ),
    ),
    "causal_multi_head": (
        Mistake(
            "keys-not-transposed",
            "dk[i] = ds.T @ q[i]",
            "dk[i] = ds @ q[i]",
            "transposed",
            "Wqkv bqkv",
            ('jnp.einsum("htd,hsd->hts", q, k)',),
        ),
        Mistake(
            "width-for-head-width",
            "ds = np.where(visible, ds, 0) / np.sqrt(d)",
            "ds = np.where(visible, ds, 0) / np.sqrt(x.shape[1])",
            "factor",
            "Wqkv bqkv",
            (
                "jnp.sqrt(q.shape[-1])",
                'jnp.einsum("hts,hsd->htd", attention, v)',
                "jax.nn.softmax(scores, axis=-1)",
                "jnp.where(visible, scores, -1e9)",
            ),
        ),
        Mistake("mean-left-out", "    dlogits /= t\n", "", "reduction", "U Wo Wqkv bqkv", ("-jnp.mean(",)),
        Mistake(
            "order-of-parts",
            "[join_heads(dq), join_heads(dk), join_heads(dv)]",
            "[join_heads(dk), join_heads(dq), join_heads(dv)]",
            "leaves",
            "Wqkv bqkv",
            ("jnp.split(qkv, 3, axis=1)", 'jnp.einsum("htd,hsd->hts", q, k)'),
        ),
        Mistake(
            "softmax-diagonal",
            "(da - np.sum(da * a[i], axis=-1, keepdims=True))",
            "(da - da * a[i])",
            "diagonal",
            "Wqkv bqkv",
            ("jax.nn.softmax(scores, axis=-1)",),
        ),
    ),
    "cross_attention": (
        Mistake(
            "dropout-scale-forgotten",
            "grad_dropped * keep / 0.8",
            "grad_dropped * keep",
            "factor",
            "Wk Wq",
            (
                "attention * keep / 0.8",
                "dropped @ v",
                "jax.nn.softmax(scores, axis=-1)",
                "jnp.where(present[None, :], scores, -jnp.inf)",
                "k.shape[1] ** -0.5",
            ),
        ),
        Mistake(
            "padding-forgotten",
            "jnp.where(present[None, :], q @ k.T * scale, -jnp.inf)",
            "q @ k.T * scale",
            "mask",
            "Wk Wq Wv",
            ("jnp.where(present[None, :], scores, -jnp.inf)",),
        ),
        Mistake(
            "divided-by-rows",
            "/ y.size",
            "/ len(y)",
            "factor",
            "Wk Wq Wv",
            ("jnp.mean((y - target) ** 2)", "jnp.tanh(dropped @ v)"),
        ),
        Mistake(
            "softmax-slope-forgotten",
            "attention * (grad_attention - inner)",
            "grad_attention - inner",
            "derivative",
            "Wk Wq",
            ("jax.nn.softmax(scores, axis=-1)",),
        ),
    ),
    "additive_attention": (
        Mistake(
            "tanh-forgotten", "dz = dhidden * (1 - hidden**2)", "dz = dhidden", "derivative", "U W", ("jnp.tanh(",)
        ),
        Mistake(
            "mean-over-keys",
            "np.outer(dz.sum(axis=0), query)",
            "np.outer(dz.mean(axis=0), query)",
            "reduction",
            "W",
            ('p["W"] @ query',),
        ),
        Mistake(
            "uniform-for-alpha",
            "dC = np.outer(residual, context)",
            "dC = np.outer(residual, keys.mean(axis=0))",
            "value",
            "C",
            ('p["C"] @ context',),
        ),
        Mistake(
            "twice-the-residual",
            'residual = p["C"] @ context - target',
            'residual = 2 * (p["C"] @ context - target)',
            "factor",
            "C U W v",
            ("0.5 * jnp.sum(",),
        ),
    ),
}
