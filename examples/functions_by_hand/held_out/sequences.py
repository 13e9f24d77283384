"""Mistakes in the functions of `sequences`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "gaussian_process": (
        Mistake(
            "half-forgotten-in-fit",
            "0.5 * (K_inv - np.outer(alpha, alpha))",
            "0.5 * K_inv - np.outer(alpha, alpha)",
            "factor",
            "log_amplitude log_length log_noise",
            ("0.5 * y @ alpha", "jax.scipy.linalg.cho_solve((L, True), y)", "fit + complexity + 0.5"),
        ),
        Mistake(
            "length-not-logarithm",
            "squared) / length2",
            "squared) / length2**1.5",
            "leaves",
            "log_length",
            (
                'jnp.exp(p["log_amplitude"]) * jnp.exp(-0.5 * squared / jnp.exp(2 * p["log_length"]))',
                'jnp.exp(2 * p["log_length"])',
            ),
        ),
        Mistake(
            "sign-of-length",
            "dlength = np.sum(",
            "dlength = -np.sum(",
            "sign",
            "log_length",
            ('jnp.exp(p["log_amplitude"]) * jnp.exp(-0.5 * squared / jnp.exp(2 * p["log_length"]))',),
        ),
        Mistake(
            "noise-in-amplitude",
            "np.sum(dK * kernel)\n",
            "np.sum(dK * (kernel + noise * np.eye(n)))\n",
            "value",
            "log_amplitude",
            ('jnp.exp(p["log_amplitude"]) * jnp.exp(-0.5 * squared / jnp.exp(2 * p["log_length"]))',),
        ),
        Mistake(
            "targets-for-alpha",
            "np.outer(alpha, alpha)",
            "np.outer(alpha, y)",
            "value",
            "log_amplitude log_length log_noise",
            ("0.5 * y @ alpha", "jax.scipy.linalg.cho_solve((L, True), y)"),
        ),
    ),
    "kalman_step": (
        Mistake(
            "innovation-covariance-constant",
            "    dcov = dcov + H.T @ dS @ H\n",
            "",
            "path",
            "A P",
            ('p["H"] @ cov @ p["H"].T + R',),
        ),
        Mistake(
            "gain-constant-in-s",
            "np.outer(u, u)) - gain.T @ dgain @ S_inv",
            "np.outer(u, u))",
            "path",
            "A H P",
            ('cov @ p["H"].T @ S_inv', "jnp.linalg.inv(S)"),
        ),
        Mistake(
            "one-side-of-h", "(dS + dS.T) @ H @ cov", "dS @ H @ cov", "path", "H", ('p["H"] @ cov @ p["H"].T + R',)
        ),
        Mistake(
            "prior-mean-for-predicted",
            "dH = dH - np.outer(dv, mean)",
            "dH = dH - np.outer(dv, m)",
            "value",
            "H",
            ('y - p["H"] @ mean',),
        ),
        Mistake(
            "innovation-detached",
            "dmean = dupdated - H.T @ dv",
            "dmean = dupdated",
            "path",
            "A m",
            ('y - p["H"] @ mean',),
        ),
        Mistake(
            "covariance-the-wrong-way-round",
            '"P": A.T @ dcov @ A',
            '"P": A @ dcov @ A.T',
            "transposed",
            "P",
            ('p["A"] @ p["P"] @ p["A"].T + Q',),
        ),
    ),
    "crf_loss": (
        Mistake(
            "observed-counts-forgotten",
            "    de[np.arange(n), tags] -= 1\n",
            "",
            "path",
            "W",
            ("jnp.sum(emissions[jnp.arange(x.shape[0]), tags])",),
        ),
        Mistake(
            "observed-transitions-forgotten",
            "        dT[tags[t - 1], tags[t]] -= 1\n",
            "",
            "path",
            "T",
            ('jnp.sum(p["T"][tags[:-1], tags[1:]])',),
        ),
        Mistake(
            "transitions-transposed",
            "dT[tags[t - 1], tags[t]] -= 1",
            "dT[tags[t], tags[t - 1]] -= 1",
            "transposed",
            "T",
            ('jnp.sum(p["T"][tags[:-1], tags[1:]])',),
        ),
        Mistake(
            "beta-one-step-early",
            "+ T + e[t] + beta[t] - log_z)",
            "+ T + e[t] + beta[t - 1] - log_z)",
            "shift",
            "T",
            ('jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]',),
        ),
        Mistake(
            "first-pair-left-out",
            "    for t in range(1, n):\n        dT",
            "    for t in range(2, n):\n        dT",
            "dropped",
            "T",
            (
                'jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]',
                'jnp.sum(p["T"][tags[:-1], tags[1:]])',
            ),
        ),
    ),
}
