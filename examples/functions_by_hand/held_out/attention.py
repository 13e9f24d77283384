"""Mistakes in the functions of `attention`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "one_head_attention": (
        Mistake(
            "no-1-over-n",
            "target) / n",
            "target)",
            "factor",
            "Wk Wo Wq Wv",
            ("jnp.sum((out - target) ** 2) / (2 * x.shape[0])",),
        ),
        Mistake(
            "softmax-sum-over-queries",
            "(da * a).sum(axis=1, keepdims=True)",
            "(da * a).sum(axis=0, keepdims=True)",
            "axis",
            "Wk Wq",
            ("jax.nn.softmax(scores, axis=1)",),
        ),
        Mistake("scores-not-transposed", "dk = ds.T @ q", "dk = ds @ q", "transposed", "Wk", ("q @ k.T",)),
        Mistake(
            "attention-not-transposed",
            "dv = a.T @ dcontext",
            "dv = a @ dcontext",
            "transposed",
            "Wv",
            ("attention @ v",),
        ),
        Mistake("query-for-key", "dq = ds @ k", "dq = ds @ q", "value", "Wq", ("q @ k.T",)),
    ),
    "causal_multi_head": (
        Mistake(
            "one-head-only",
            "for i in range(2):",
            "for i in range(1):",
            "dropped",
            "Wqkv bqkv",
            ('jnp.einsum("htd,hsd->hts", q, k)', 'jnp.einsum("hts,hsd->htd", attention, v)', "split_heads(part, 2)"),
        ),
        Mistake(
            "value-gradient-overwritten",
            "dv[i] = a[i].T",
            "dv[0] = a[i].T",
            "overwritten",
            "Wqkv bqkv",
            ('jnp.einsum("hts,hsd->htd", attention, v)',),
        ),
        Mistake(
            "residual-left-out-of-output-matrix",
            "dU = h.T @ dlogits",
            "dU = (h - x).T @ dlogits",
            "value",
            "U",
            ('h @ p["U"]',),
        ),
        Mistake("mean-of-bias", "dqkv.sum(axis=0)", "dqkv.mean(axis=0)", "reduction", "bqkv", ('p["bqkv"]',)),
        Mistake(
            "mask-forgotten",
            'scores = np.where(visible, np.einsum("htd,hsd->hts", q, k) / np.sqrt(d), -1e9)',
            'scores = np.einsum("htd,hsd->hts", q, k) / np.sqrt(d)',
            "mask",
            "U Wo Wqkv bqkv",
            ("jnp.where(visible, scores, -1e9)",),
        ),
    ),
    "cross_attention": (
        Mistake(
            "keep-forgotten",
            "grad_dropped * keep / 0.8",
            "grad_dropped / 0.8",
            "mask",
            "Wk Wq",
            ("attention * keep / 0.8",),
        ),
        Mistake(
            "dropout-not-in-value-gradient",
            "grad_v = dropped.T",
            "grad_v = attention.T",
            "value",
            "Wv",
            ("dropped @ v",),
        ),
        Mistake(
            "scale-for-query-only",
            "grad_k = grad_scores.T @ q * scale",
            "grad_k = grad_scores.T @ q",
            "factor",
            "Wk",
            ("k.shape[1] ** -0.5",),
        ),
        Mistake("tanh-at-wrong-power", "(1 - y**2)", "(1 - y)", "derivative", "Wk Wq Wv", ("jnp.tanh(dropped @ v)",)),
        Mistake(
            "inner-before-dropout",
            "inner = jnp.sum(grad_attention * attention,",
            "inner = jnp.sum(grad_dropped * attention,",
            "value",
            "Wk Wq",
            ("jax.nn.softmax(scores, axis=-1)",),
        ),
    ),
    "additive_attention": (
        Mistake(
            "one-key-for-query",
            "np.outer(dz.sum(axis=0), query)",
            "np.outer(dz[-1], query)",
            "dropped",
            "W",
            ('p["W"] @ query',),
        ),
        Mistake(
            "softmax-without-inner",
            "alpha * (dalpha - alpha @ dalpha)",
            "alpha * dalpha",
            "diagonal",
            "U W v",
            ("jax.nn.softmax(energies)",),
        ),
        Mistake(
            "sign-of-inner",
            "(dalpha - alpha @ dalpha)",
            "(dalpha + alpha @ dalpha)",
            "sign",
            "U W v",
            ("jax.nn.softmax(energies)",),
        ),
        Mistake(
            "key-matrix-transposed", "dU = dz.T @ keys", "dU = keys.T @ dz", "transposed", "U", ('keys @ p["U"].T',)
        ),
    ),
}
