"""Mistakes in the functions of `transformers`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "two_blocks": (
        Mistake(
            "mlp-residual-missing",
            'dx = dx + normalize_backward(dscaled * layer["g2"], middle)',
            'dx = normalize_backward(dscaled * layer["g2"], middle)',
            "path",
            "E P layers.1.Wk layers.1.Wo layers.1.Wq layers.1.Wv layers.1.g1 layers.0.*",
            ('x + hidden @ layer["W2"]',),
        ),
        Mistake(
            "attention-residual-missing",
            'dx = dx + normalize_backward(dnormed * layer["g1"], x)',
            'dx = normalize_backward(dnormed * layer["g1"], x)',
            "path",
            "E P layers.0.*",
            ('x + attend(layer, layer["g1"] * normalize(x))',),
        ),
        Mistake(
            "gelu-product-rule",
            "return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * c * (1 + 3 * 0.044715 * z**2)",
            "return 0.5 * (1 + t)",
            "derivative",
            "E P layers.0.* layers.1.* -layers.1.W2",
            ('jax.nn.gelu((layer["g2"] * normalize(x)) @ layer["W1"] + layer["b1"])',),
        ),
        Mistake(
            "values-forgotten-in-input",
            ' + dk @ layer["Wk"].T + dv @ layer["Wv"].T',
            ' + dk @ layer["Wk"].T',
            "path",
            "E P layers.1.g1 layers.0.*",
            ('x @ layer["Wv"]',),
        ),
        Mistake(
            "gain-forgotten",
            'normalize_backward(dnormed * layer["g1"], x)',
            "normalize_backward(dnormed, x)",
            "path",
            "E P layers.0.*",
            ('layer["g1"] * normalize(x)',),
        ),
        Mistake(
            "norm-at-wrong-place",
            'normalize_backward(dscaled * layer["g2"], middle)',
            'normalize_backward(dscaled * layer["g2"], x)',
            "value",
            "E P layers.1.Wk layers.1.Wo layers.1.Wq layers.1.Wv layers.1.g1 layers.0.*",
            (
                'layer["g2"] * normalize(x)',
                "(x - x.mean(axis=-1, keepdims=True)) / jnp.sqrt(x.var(axis=-1, keepdims=True) + 1e-3)",
            ),
        ),
        Mistake(
            "layers-in-reverse",
            "layers[::-1]",
            "layers",
            "leaves",
            "layers.0.* layers.1.*",
            ('for layer in p["layers"]',),
        ),
    ),
    "rotary_attention": (
        Mistake(
            "not-turned-back-for-keys",
            "dk_plain = rotate(dk, -sin)",
            "dk_plain = dk",
            "path",
            "Wk",
            (
                "jnp.concatenate([u * cos - v * sin, u * sin + v * cos], axis=1)",
                'rotate(x @ p["Wq"]), rotate(x @ p["Wk"])',
                "jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]), axis=1)",
            ),
        ),
        Mistake(
            "root-forgotten",
            "keepdims=True)) / root",
            "keepdims=True))",
            "factor",
            "Wk Wq",
            (
                "jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]), axis=1)",
                'a @ (x @ p["Wv"])',
                'rotate(x @ p["Wq"]), rotate(x @ p["Wk"])',
            ),
        ),
        Mistake(
            "root-for-keys-twice",
            "ds @ k, ds.T @ q",
            "ds @ k, ds.T @ q / root",
            "factor",
            "Wk",
            (
                "jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]), axis=1)",
                'a @ (x @ p["Wv"])',
                'rotate(x @ p["Wq"]), rotate(x @ p["Wk"])',
            ),
        ),
        Mistake(
            "softmax-over-queries",
            "np.sum(da * a, axis=1, keepdims=True)",
            "np.sum(da * a, axis=0, keepdims=True)",
            "axis",
            "Wk Wq",
            ("jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[1]), axis=1)",),
        ),
        Mistake(
            "attention-not-transposed", "dv = a.T @ dout", "dv = a @ dout", "transposed", "Wv", ('a @ (x @ p["Wv"])',)
        ),
    ),
    "gated_experts": (
        Mistake(
            "gate-branch-without-swish",
            "db = dhidden * a * s",
            "db = dhidden * a",
            "path",
            "B",
            ("a * jax.nn.sigmoid(a) * b",),
        ),
        Mistake(
            "gate-forgotten-for-experts",
            "dexperts = gate[:, :, None] * dy[:, None, :]",
            "dexperts = np.ones_like(gate)[:, :, None] * dy[:, None, :]",
            "path",
            "A B C",
            ('jnp.einsum("ne,neo->no", gate, experts)',),
        ),
        Mistake(
            "branches-exchanged",
            '"A": np.einsum("nd,neh->edh", x, da),\n        "B": np.einsum("nd,neh->edh", x, db)',
            '"A": np.einsum("nd,neh->edh", x, db),\n        "B": np.einsum("nd,neh->edh", x, da)',
            "leaves",
            "A B",
            ("a * jax.nn.sigmoid(a) * b",),
        ),
        Mistake(
            "first-expert-only",
            'dC = np.einsum("neh,neo->eho", hidden, dexperts)',
            'dC = np.einsum("neh,neo->eho", hidden, dexperts)\n    dC[1:] = 0',
            "dropped",
            "C",
            ('jnp.einsum("neh,eho->neo", hidden, p["C"])',),
        ),
        Mistake(
            "not-averaged",
            "- y) / len(x)",
            "- y)",
            "reduction",
            "A B C G",
            ("0.5 * jnp.sum((output - y) ** 2) / x.shape[0]",),
        ),
    ),
}
