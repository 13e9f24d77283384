"""Mistakes in the functions of `norms`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "layer_norm_regression": (
        Mistake(
            "mean-term-missing",
            "(dxhat - mean_term - var_term) / std",
            "(dxhat - var_term) / std",
            "path",
            "x",
            ("x.mean(axis=1, keepdims=True)", "(x - mean) / std"),
        ),
        Mistake(
            "variance-for-std",
            "(dxhat - mean_term - var_term) / std",
            "(dxhat - mean_term - var_term) / (var + EPS)",
            "power",
            "x",
            ("jnp.sqrt(var + EPS)", "(x - mean) / std"),
        ),
        Mistake(
            "epsilon-outside-root",
            "std = np.sqrt(var + EPS)\n    xhat = (x - mu) / std",
            "std = np.sqrt(var) + EPS\n    xhat = (x - mu) / std",
            "epsilon",
            "beta gamma x",
            ("jnp.sqrt(var + EPS)",),
        ),
        Mistake(
            "mean-over-rows",
            "mean_term = dxhat.mean(axis=1, keepdims=True)",
            "mean_term = dxhat.mean(axis=0, keepdims=True)",
            "axis",
            "x",
            ("x.mean(axis=1, keepdims=True)", "(x - mean) / std"),
        ),
        Mistake(
            "sum-in-mean-term",
            "mean_term = dxhat.mean(",
            "mean_term = dxhat.sum(",
            "reduction",
            "x",
            ("x.mean(axis=1, keepdims=True)", "(x - mean) / std"),
        ),
    ),
    "rms_norm_network": (
        Mistake(
            "rms-held-constant",
            "dh = dnormed / rms + dms * 2 * h / d",
            "dh = dnormed / rms",
            "path",
            "W",
            ("h / rms", "jnp.mean(h**2, axis=-1, keepdims=True)", "jnp.sqrt(ms + EPS)"),
        ),
        Mistake(
            "mean-square-as-sum",
            "dms * 2 * h / d",
            "dms * 2 * h",
            "reduction",
            "W",
            ("jnp.mean(h**2, axis=-1, keepdims=True)",),
        ),
        Mistake("square-without-two", "dms * 2 * h / d", "dms * h / d", "factor", "W", ("h**2",)),
        Mistake(
            "root-derivative-forgotten",
            "dms = drms / (2 * rms)",
            "dms = drms",
            "derivative",
            "W",
            ("jnp.sqrt(ms + EPS)",),
        ),
        Mistake(
            "probabilities-for-residual",
            "(1 / (1 + np.exp(-z)) - y) / len(y)",
            "1 / (1 + np.exp(-z)) / len(y)",
            "dropped",
            "W g v",
            ("jnp.mean(jnp.logaddexp(0.0, z) - y * z)",),
        ),
    ),
    "batch_norm_network": (
        Mistake("half-forgotten", "dvar = -0.5 * dinv", "dvar = -dinv", "factor", "W", ("1 / jnp.sqrt(var + EPS)",)),
        Mistake("inverse-squared", "inv**3", "inv**2", "power", "W", ("1 / jnp.sqrt(var + EPS)",)),
        Mistake(
            "unbiased-variance",
            "2 * centered * dvar / n",
            "2 * centered * dvar / (n - 1)",
            "factor",
            "W",
            ("jnp.mean(centered**2, axis=0)",),
        ),
        Mistake(
            "normalized-for-centered",
            "dinv = np.sum(dzhat * centered",
            "dinv = np.sum(dzhat * zhat",
            "value",
            "W",
            ("centered * inv",),
        ),
        Mistake(
            "raw-for-normalized-in-gamma",
            "dgamma = np.sum(dpre * zhat, axis=0)",
            "dgamma = np.sum(dpre * z, axis=0)",
            "value",
            "gamma",
            ('p["gamma"] * zhat',),
        ),
    ),
    "group_norm_images": (
        Mistake(
            "second-sum-missing",
            "(m * dghat - s1 - ghat * s2)",
            "(m * dghat - s1)",
            "path",
            "x",
            ("groups.var(axis=(1, 2, 4), keepdims=True)", "(groups - mu) / jnp.sqrt(var + EPS)"),
        ),
        Mistake(
            "beta-of-first-example",
            "dpre.sum(axis=(0, 1, 2))",
            "dpre[0].sum(axis=(0, 1))",
            "dropped",
            "beta",
            ('p["beta"]',),
        ),
        Mistake(
            "tanh-forgotten", "dpre = dout * (1 - out**2)", "dpre = dout", "derivative", "beta gamma x", ("jnp.tanh(",)
        ),
        Mistake("gamma-forgotten", '(dpre * p["gamma"]).reshape', "dpre.reshape", "path", "x", ('p["gamma"]',)),
        Mistake(
            "factor-two", "(out - y) / y.size", "2 * (out - y) / y.size", "factor", "beta gamma x", ("0.5 * jnp.mean(",)
        ),
    ),
}
