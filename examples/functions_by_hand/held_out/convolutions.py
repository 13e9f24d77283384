"""Mistakes in the functions of `convolutions`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "causal_convolution": (
        Mistake(
            "off-by-one-step",
            "dW[k] += padded[start : start + t].T",
            "dW[k] += padded[max(start - 1, 0) :][:t].T",
            "shift",
            "W",
            ('padded[start : start + t] @ p["W"][k]', "2 * (kernel - 1 - k)"),
        ),
        Mistake(
            "dilation-forgotten",
            "        start = 2 * (kernel - 1 - k)\n        dW[k] +=",
            "        start = kernel - 1 - k\n        dW[k] +=",
            "shift",
            "W",
            ('padded[start : start + t] @ p["W"][k]', "2 * (kernel - 1 - k)"),
        ),
        Mistake("tanh-forgotten", "dz = dh * (1 - h**2)", "dz = dh", "derivative", "W b", ("jnp.tanh(",)),
        Mistake("tanh-of-input", "dz = dh * (1 - h**2)", "dz = dh * (1 - z**2)", "derivative", "W b", ("jnp.tanh(",)),
        Mistake(
            "not-averaged",
            "dout = 2 / t * (h",
            "dout = 2 * (h",
            "reduction",
            "W b v",
            ('jnp.mean((h @ p["v"] - y) ** 2)',),
        ),
    ),
    "small_convnet": (
        Mistake(
            "kernel-axes-exchanged",
            "dz @ kernel[i, j].T",
            "dz @ kernel[j, i].T",
            "transposed",
            "K1 b1",
            ('jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions)',),
        ),
        Mistake(
            "bias-over-examples-only",
            "dz1.sum(axis=(0, 1, 2))",
            "dz1.mean(axis=(1, 2)).sum(axis=0)",
            "reduction",
            "b1",
            ('p["b1"]',),
        ),
        Mistake(
            "before-relu-for-after",
            "da1, dK2 = convolve_backward(dz2, a1, K2, 2)",
            "da1, dK2 = convolve_backward(dz2, z1, K2, 2)",
            "value",
            "K2",
            (
                'jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions)',
                "jax.nn.relu(z1)",
            ),
        ),
        Mistake(
            "scores-not-averaged",
            "- y) / len(y)",
            "- y)",
            "reduction",
            "K1 K2 b1 b2",
            ("0.5 * jnp.mean(", "jnp.sum(z2, axis=(1, 2, 3))"),
        ),
        Mistake(
            "last-kernel-row-left-out",
            "for i in range(kernel.shape[0]):",
            "for i in range(kernel.shape[0] - 1):",
            "dropped",
            "K1 K2 b1",
            (
                'jax.lax.conv_general_dilated(x, p["K1"], (1, 1), "SAME", dimension_numbers=dimensions)',
                'jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions)',
            ),
        ),
    ),
    "max_pooled": (
        Mistake(
            "winner-of-row-only",
            "winners = windows == pooled",
            "winners = windows == windows.max(axis=4, keepdims=True)",
            "axis",
            "scale shift",
            ("jnp.max(windows, axis=(2, 4))",),
        ),
        Mistake(
            "sigmoid-without-target",
            "(1 / (1 + np.exp(-logits)) - y) / n",
            "1 / (1 + np.exp(-logits)) / n",
            "dropped",
            "scale shift v",
            ("jax.nn.softplus(logits) - y * logits",),
        ),
        Mistake(
            "sign-of-sigmoid",
            "np.exp(-logits)",
            "np.exp(logits)",
            "sign",
            "scale shift v",
            ("jax.nn.softplus(logits)",),
        ),
        Mistake(
            "shift-of-first-example", '"shift": dz.sum(axis=0)', '"shift": dz[0]', "dropped", "shift", ('p["shift"]',)
        ),
        Mistake(
            "windows-transposed",
            "dpooled = dfeatures.reshape(pooled.shape)",
            "dpooled = dfeatures.reshape(n, w // 2, 1, h // 2, 1).transpose(0, 3, 2, 1, 4)",
            "transposed",
            "scale shift",
            ("pooled.reshape(n, -1)",),
        ),
    ),
    "average_pooled": (
        Mistake(
            "overlaps-overwritten",
            "dz[:, s : s + 3] += dpooled",
            "dz[:, s : s + 3] = dpooled",
            "overwritten",
            "W u",
            ("jnp.mean(z[:, s : s + 3], axis=1)",),
        ),
        Mistake(
            "window-not-averaged",
            "dpooled[:, i : i + 1] / 3",
            "dpooled[:, i : i + 1]",
            "reduction",
            "W u",
            (
                "jnp.mean(z[:, s : s + 3], axis=1)",
                "0.5 * jnp.sum((last - y) ** 2) / x.shape[0]",
                "jnp.mean(pooled, axis=1)",
            ),
        ),
        Mistake(
            "window-one-later",
            "        dz[:, s : s + 3] += dpooled",
            "        dz[:, s + 1 : s + 4] += dpooled",
            "shift",
            "W u",
            ("jnp.mean(z[:, s : s + 3], axis=1)",),
        ),
        Mistake(
            "gate-forgotten", "dh = dz * gate", "dh = dz", "path", "W", ('jnp.einsum("ntc,cd->ntd", x, p["W"]) * gate',)
        ),
        Mistake("gradient-of-gate", '"u": du}', '"u": dgate}', "leaves", "u", ('jax.nn.sigmoid(p["u"])',)),
    ),
}
