"""Mistakes in the functions of `norms`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "layer_norm_regression": (
        Mistake(
            "variance-term-missing",
            "(dxhat - mean_term - var_term) / std",
            "(dxhat - mean_term) / std",
            "path",
            "x",
            ("x.var(axis=1, keepdims=True)", "jnp.sqrt(var + EPS)", "(x - mean) / std"),
        ),
        Mistake(
            "variance-term-over-variance",
            "var_term = xhat *",
            "var_term = (x - mu) *",
            "power",
            "x",
            ("jnp.sqrt(var + EPS)", "(x - mean) / std"),
        ),
        Mistake("gamma-forgotten", "dxhat = dout * gamma", "dxhat = dout", "path", "x", ('p["gamma"] * xhat',)),
        Mistake(
            "gamma-of-raw-input",
            "dgamma = (dout * xhat)",
            "dgamma = (dout * x)",
            "value",
            "gamma",
            ('p["gamma"] * xhat',),
        ),
        Mistake(
            "beta-averaged",
            "dbeta = dout.sum(axis=0)",
            "dbeta = dout.mean(axis=0)",
            "reduction",
            "beta",
            ('p["beta"]',),
        ),
        Mistake(
            "sign-of-variance-term",
            "- mean_term - var_term",
            "- mean_term + var_term",
            "sign",
            "x",
            ("x.var(axis=1, keepdims=True)", "jnp.sqrt(var + EPS)", "(x - mean) / std"),
        ),
    ),
    "rms_norm_network": (
        Mistake(
            "root-without-half",
            "dms = drms / (2 * rms)",
            "dms = drms / rms",
            "factor",
            "W",
            ("jnp.sqrt(ms + EPS)", "h / rms", "jnp.mean(h**2, axis=-1, keepdims=True)", "h**2"),
        ),
        Mistake("quotient-first-power", "keepdims=True) / rms**2", "keepdims=True) / rms", "power", "W", ("h / rms",)),
        Mistake(
            "sign-of-quotient",
            "drms = -(dnormed",
            "drms = (dnormed",
            "sign",
            "W",
            ("h / rms", "jnp.sqrt(ms + EPS)", "jnp.mean(h**2, axis=-1, keepdims=True)", "h**2"),
        ),
        Mistake("normed-for-raw", "drms = -(dnormed * h)", "drms = -(dnormed * normed)", "value", "W", ("h / rms",)),
        Mistake(
            "gain-forgotten-in-readout",
            "dv = (g * normed).T @ dz",
            "dv = normed.T @ dz",
            "value",
            "v",
            ('(p["g"] * normed) @ p["v"]',),
        ),
        Mistake(
            "epsilon-forgotten", "keepdims=True) + EPS)", "keepdims=True))", "epsilon", "W g v", ("jnp.sqrt(ms + EPS)",)
        ),
    ),
    "batch_norm_network": (
        Mistake(
            "mean-path-missing",
            "dz = dcentered + dmu / n",
            "dz = dcentered",
            "path",
            "W",
            ("jnp.mean(z, axis=0)", "z - mu"),
        ),
        Mistake(
            "variance-path-missing",
            "    dcentered = dcentered + 2 * centered * dvar / n\n",
            "",
            "path",
            "W",
            ("jnp.mean(centered**2, axis=0)", "jnp.sqrt(var + EPS)", "centered * inv", "1 / jnp.sqrt(var + EPS)"),
        ),
        Mistake(
            "relu-of-output-gradient",
            "dpre = da * (pre > 0)",
            "dpre = da * (da > 0)",
            "derivative",
            "W beta gamma",
            ("jnp.maximum(",),
        ),
        Mistake(
            "relu-forgotten", "dpre = da * (pre > 0)", "dpre = da", "derivative", "W beta gamma", ("jnp.maximum(",)
        ),
        Mistake(
            "mean-gradient-not-shared",
            "dz = dcentered + dmu / n",
            "dz = dcentered + dmu",
            "reduction",
            "W",
            ("jnp.mean(z, axis=0)",),
        ),
    ),
    "group_norm_images": (
        Mistake(
            "statistics-per-pixel",
            "s1 = dghat.sum(axis=(1, 2, 4), keepdims=True)",
            "s1 = dghat.sum(axis=4, keepdims=True)",
            "axis",
            "x",
            ("groups.mean(axis=(1, 2, 4), keepdims=True)", "(groups - mu) / jnp.sqrt(var + EPS)"),
        ),
        Mistake(
            "count-without-width",
            "m = h * w * (c // 2)",
            "m = h * (c // 2)",
            "factor",
            "x",
            (
                "groups.mean(axis=(1, 2, 4), keepdims=True)",
                "groups.var(axis=(1, 2, 4), keepdims=True)",
                "(groups - mu) / jnp.sqrt(var + EPS)",
            ),
        ),
        Mistake(
            "tanh-of-normalized",
            "dpre = dout * (1 - out**2)",
            "dpre = dout * (1 - xhat**2)",
            "derivative",
            "beta gamma x",
            ("jnp.tanh(",),
        ),
        Mistake("variance-for-std", "/ (m * std)", "/ (m * std**2)", "power", "x", ("jnp.sqrt(var + EPS)",)),
    ),
}
