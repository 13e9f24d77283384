"""Mistakes in the functions of `likelihoods`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "gaussian_mixture": (
        Mistake("sigma-once", "r, z / sigma) / n", "r, z) / n", "power", "mu", ('(x[:, None, :] - p["mu"]) / sigma',)),
        Mistake(
            "sign-of-mean", "dmu = -np.einsum", "dmu = np.einsum", "sign", "mu", ('(x[:, None, :] - p["mu"]) / sigma',)
        ),
        Mistake(
            "gradient-of-weights",
            "da = pi - r.mean(axis=0)",
            "da = -r.mean(axis=0) / pi",
            "leaves",
            "a",
            ('jax.nn.log_softmax(p["a"])',),
        ),
        Mistake(
            "not-averaged",
            "z / sigma) / n",
            "z / sigma)",
            "reduction",
            "mu",
            ('(x[:, None, :] - p["mu"]) / sigma', "-jnp.mean("),
        ),
        Mistake(
            "sigma-for-its-logarithm", "z**2 - 1) / n", "(z**2 - 1) / sigma) / n", "leaves", "s", ('jnp.exp(p["s"])',)
        ),
    ),
    "heteroscedastic": (
        Mistake(
            "precision-squared",
            "dmean = -(y - mean) * precision / n",
            "dmean = -(y - mean) * precision**2 / n",
            "power",
            "W1 b1 bm wm",
            ("jnp.mean(0.5 * (log_var + (y - mean) ** 2 * jnp.exp(-log_var)))",),
        ),
        Mistake(
            "log-term-forgotten",
            "0.5 * (1 - (y - mean) ** 2 * precision)",
            "-0.5 * (y - mean) ** 2 * precision",
            "path",
            "W1 b1 bv wv",
            ("jnp.mean(0.5 * (log_var + (y - mean) ** 2 * jnp.exp(-log_var)))",),
        ),
        Mistake(
            "sign-of-residual",
            "dmean = -(y - mean)",
            "dmean = (y - mean)",
            "sign",
            "W1 b1 bm wm",
            ("jnp.mean(0.5 * (log_var + (y - mean) ** 2 * jnp.exp(-log_var)))",),
        ),
        Mistake(
            "variance-head-detached",
            'np.outer(dmean, p["wm"]) + np.outer(dlog_var, p["wv"])',
            'np.outer(dmean, p["wm"])',
            "path",
            "W1 b1",
            ('h @ p["wv"]',),
        ),
        Mistake(
            "bias-averaged",
            "dwv, dbv = h.T @ dlog_var, dlog_var.sum()",
            "dwv, dbv = h.T @ dlog_var, dlog_var.mean()",
            "reduction",
            "bv",
            ('p["bv"]',),
        ),
    ),
    "negative_elbo": (
        Mistake(
            "kl-missing-for-variance",
            "    dlog_var = dlog_var + 0.5 * (np.exp(log_var) - 1) / n\n",
            "",
            "path",
            "We Wvar",
            ("-0.5 * jnp.sum(1 + log_var - mu**2 - jnp.exp(log_var), axis=1)",),
        ),
        Mistake(
            "variance-for-std",
            "dz * noise * 0.5 * std",
            "dz * noise * 0.5 * std**2",
            "power",
            "We Wvar",
            ("mu + jnp.exp(0.5 * log_var) * noise",),
        ),
        Mistake(
            "mean-for-sample", "dWd, dbd = z.T @ dlogits", "dWd, dbd = mu.T @ dlogits", "value", "Wd", ('z @ p["Wd"]',)
        ),
        Mistake(
            "encoder-sees-mean-only",
            'dh = dmu @ p["Wmu"].T + dlog_var @ p["Wvar"].T',
            'dh = dmu @ p["Wmu"].T',
            "path",
            "We",
            ('h @ p["Wmu"], h @ p["Wvar"]',),
        ),
        Mistake("relu-forgotten", "(dh * (h > 0))", "dh", "derivative", "We", ('jnp.maximum(x @ p["We"], 0)',)),
    ),
    "student_regression": (
        Mistake(
            "sigma-forgotten", "dw = -x.T @ dr / sigma", "dw = -x.T @ dr", "factor", "w", ('(y - x @ p["w"]) / sigma',)
        ),
        Mistake("log-sigma-forgotten", "    dsigma = dsigma + 1 / sigma\n", "", "path", "rho", ("jnp.log(sigma)",)),
        Mistake(
            "softplus-forgotten",
            'drho = dsigma / (1 + np.exp(-p["rho"]))',
            "drho = dsigma",
            "leaves",
            "rho",
            ('jax.nn.softplus(p["rho"])',),
        ),
        Mistake("sign-of-residual", "dw = -x.T @ dr", "dw = x.T @ dr", "sign", "w", ('(y - x @ p["w"]) / sigma',)),
        Mistake(
            "residual-for-standardized",
            "-np.sum(dr * r) / sigma",
            "-np.sum(dr * r * sigma) / sigma",
            "value",
            "rho",
            ('(y - x @ p["w"]) / sigma',),
        ),
    ),
}
