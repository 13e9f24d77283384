"""Mistakes in the functions of `convolutions`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "causal_convolution": (
        Mistake(
            "taps-reversed",
            "        start = 2 * (kernel - 1 - k)\n        dW[k] +=",
            "        start = 2 * k\n        dW[k] +=",
            "leaves",
            "W",
            ('padded[start : start + t] @ p["W"][k]', "2 * (kernel - 1 - k)"),
        ),
        Mistake(
            "first-tap-left-out",
            "    for k in range(kernel):\n        start = 2 * (kernel - 1 - k)\n        dW[k]",
            "    for k in range(1, kernel):\n        start = 2 * (kernel - 1 - k)\n        dW[k]",
            "dropped",
            "W",
            ('padded[start : start + t] @ p["W"][k]', "2 * (kernel - 1 - k)"),
        ),
        Mistake(
            "all-taps-into-one",
            "dW[k] += padded",
            "dW[0] += padded",
            "leaves",
            "W",
            ('padded[start : start + t] @ p["W"][k]', "2 * (kernel - 1 - k)"),
        ),
        Mistake("input-of-tanh-in-readout", "dv = h.T @ dout", "dv = z.T @ dout", "value", "v", ('h @ p["v"]',)),
    ),
    "small_convnet": (
        Mistake(
            "overlaps-overwritten",
            "dx[:, rows, columns] += dz",
            "dx[:, rows, columns] = dz",
            "overwritten",
            "K1 b1",
            ('jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions)',),
        ),
        Mistake("relu-forgotten", "dz1 = da1 * (z1 > 0)", "dz1 = da1", "derivative", "K1 b1", ("jax.nn.relu(z1)",)),
        Mistake(
            "kernel-flipped",
            "dkernel[i, j] = np.einsum",
            "dkernel[-1 - i, -1 - j] = np.einsum",
            "leaves",
            "K1 K2",
            (
                'jax.lax.conv_general_dilated(x, p["K1"], (1, 1), "SAME", dimension_numbers=dimensions)',
                'jax.lax.conv_general_dilated(a1, p["K2"], (2, 2), "VALID", dimension_numbers=dimensions)',
            ),
        ),
        Mistake(
            "padding-on-one-side",
            "_, dK1 = convolve_backward(dz1, padded, K1, 1)",
            "_, dK1 = convolve_backward(dz1, np.roll(padded, (-1, -1), axis=(1, 2)), K1, 1)",
            "shift",
            "K1",
            ('jax.lax.conv_general_dilated(x, p["K1"], (1, 1), "SAME", dimension_numbers=dimensions)',),
        ),
        Mistake(
            "relu-of-gradient",
            "dz1 = da1 * (z1 > 0)",
            "dz1 = np.maximum(da1, 0)",
            "derivative",
            "K1 b1",
            ("jax.nn.relu(z1)",),
        ),
    ),
    "max_pooled": (
        Mistake(
            "to-all-in-window",
            "dwindows = winners * dpooled",
            "dwindows = np.ones_like(windows) * dpooled",
            "mask",
            "scale shift",
            ("jnp.max(windows, axis=(2, 4))",),
        ),
        Mistake(
            "average-of-window",
            "dwindows = winners * dpooled",
            "dwindows = np.ones_like(windows) * dpooled / 4",
            "derivative",
            "scale shift",
            ("jnp.max(windows, axis=(2, 4))",),
        ),
        Mistake(
            "to-the-smallest",
            "winners = windows == pooled",
            "winners = windows == windows.min(axis=(2, 4), keepdims=True)",
            "value",
            "scale shift",
            ("jnp.max(windows, axis=(2, 4))",),
        ),
        Mistake(
            "scale-without-input", "(dz * x).sum(axis=0)", "(dz * z).sum(axis=0)", "value", "scale", ('x * p["scale"]',)
        ),
        Mistake(
            "scale-averaged", "(dz * x).sum(axis=0)", "(dz * x).mean(axis=0)", "reduction", "scale", ('x * p["scale"]',)
        ),
    ),
    "average_pooled": (
        Mistake(
            "windows-side-by-side",
            "        dz[:, s : s + 3] += dpooled",
            "        dz[:, s : s + 2] += dpooled",
            "shift",
            "W u",
            ("jnp.mean(z[:, s : s + 3], axis=1)",),
        ),
        Mistake(
            "last-window-only",
            "dz[:, s : s + 3] += dpooled[:, i : i + 1]",
            "dz[:, s : s + 3] = (i == len(starts) - 1) * dpooled[:, i : i + 1]",
            "dropped",
            "W u",
            ("jnp.mean(z[:, s : s + 3], axis=1)",),
        ),
        Mistake(
            "mean-over-windows-forgotten",
            ", axis=1) / len(starts)",
            ", axis=1)",
            "reduction",
            "W u",
            (
                "jnp.mean(pooled, axis=1)",
                "0.5 * jnp.sum((last - y) ** 2) / x.shape[0]",
                "jnp.mean(z[:, s : s + 3], axis=1)",
            ),
        ),
        Mistake(
            "examples-not-averaged",
            "- y) / n",
            "- y)",
            "reduction",
            "W u",
            (
                "0.5 * jnp.sum((last - y) ** 2) / x.shape[0]",
                "jnp.mean(pooled, axis=1)",
                "jnp.mean(z[:, s : s + 3], axis=1)",
            ),
        ),
        Mistake(
            "gated-for-ungated",
            "dgate = (dz * h)",
            "dgate = (dz * z)",
            "value",
            "u",
            ('jnp.einsum("ntc,cd->ntd", x, p["W"]) * gate',),
        ),
        Mistake(
            "sigmoid-squared",
            "dgate * gate * (1 - gate)",
            "dgate * gate**2",
            "derivative",
            "u",
            ('jax.nn.sigmoid(p["u"])',),
        ),
    ),
}
