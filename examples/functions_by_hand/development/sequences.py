"""Mistakes in the functions of `sequences`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "gaussian_process": (
        Mistake(
            "determinant-missing",
            "dK = 0.5 * (K_inv - np.outer(alpha, alpha))",
            "dK = -0.5 * np.outer(alpha, alpha)",
            "path",
            "log_amplitude log_length log_noise",
            ("jnp.sum(jnp.log(jnp.diagonal(L)))", "jnp.linalg.cholesky(K)", "fit + complexity + 0.5"),
        ),
        Mistake(
            "fit-missing",
            "dK = 0.5 * (K_inv - np.outer(alpha, alpha))",
            "dK = 0.5 * K_inv",
            "path",
            "log_amplitude log_length log_noise",
            ("0.5 * y @ alpha", "jax.scipy.linalg.cho_solve((L, True), y)", "fit + complexity + 0.5"),
        ),
        Mistake(
            "sign-of-fit",
            "K_inv - np.outer(alpha, alpha)",
            "K_inv + np.outer(alpha, alpha)",
            "sign",
            "log_amplitude log_length log_noise",
            ("0.5 * y @ alpha", "jax.scipy.linalg.cho_solve((L, True), y)", "fit + complexity + 0.5"),
        ),
        Mistake(
            "length-half",
            "dlength = np.sum(",
            "dlength = 0.5 * np.sum(",
            "factor",
            "log_length",
            (
                'jnp.exp(p["log_amplitude"]) * jnp.exp(-0.5 * squared / jnp.exp(2 * p["log_length"]))',
                'jnp.exp(2 * p["log_length"])',
            ),
        ),
        Mistake(
            "noise-not-logarithm",
            "dnoise = noise * np.trace(dK)",
            "dnoise = np.trace(dK)",
            "leaves",
            "log_noise",
            ('jnp.exp(p["log_noise"]) * jnp.eye(x.shape[0])',),
        ),
        Mistake(
            "noise-summed-over-all",
            "np.trace(dK)",
            "np.sum(dK)",
            "mask",
            "log_noise",
            ('jnp.exp(p["log_noise"]) * jnp.eye(x.shape[0])',),
        ),
    ),
    "kalman_step": (
        Mistake(
            "covariance-of-gain-missing",
            "    dcov = dgain @ S_inv @ H\n",
            "    dcov = np.zeros((3, 3))\n",
            "path",
            "A P",
            ('cov @ p["H"].T @ S_inv', "jnp.linalg.inv(S)"),
        ),
        Mistake(
            "determinant-missing",
            "dS = 0.5 * (S_inv - np.outer(u, u))",
            "dS = -0.5 * np.outer(u, u)",
            "path",
            "A H P",
            ("0.5 * innovation @ S_inv @ innovation + 0.5 * jnp.linalg.slogdet(S)[1]",),
        ),
        Mistake(
            "sign-of-quadratic",
            "(S_inv - np.outer(u, u))",
            "(S_inv + np.outer(u, u))",
            "sign",
            "A H P",
            ("0.5 * innovation @ S_inv @ innovation + 0.5 * jnp.linalg.slogdet(S)[1]",),
        ),
        Mistake(
            "one-side-of-a",
            "+ dcov @ A @ P.T + dcov.T @ A @ P",
            "+ dcov @ A @ P.T",
            "path",
            "A",
            ('p["A"] @ p["P"] @ p["A"].T + Q',),
        ),
        Mistake(
            "updated-for-predicted-mean",
            "dH = dH - np.outer(dv, mean)",
            "dH = dH - np.outer(dv, dupdated)",
            "value",
            "H",
            ('y - p["H"] @ mean',),
        ),
        Mistake(
            "transition-not-transposed", '"m": A.T @ dmean', '"m": A @ dmean', "transposed", "m", ('p["A"] @ p["m"]',)
        ),
    ),
    "crf_loss": (
        Mistake(
            "emission-left-out-of-pairs",
            "+ T + e[t] + beta[t] - log_z)",
            "+ T + beta[t] - log_z)",
            "dropped",
            "T",
            ('jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]',),
        ),
        Mistake(
            "filtered-for-smoothed",
            "marginals = np.exp(alpha + beta - log_z)",
            "marginals = np.exp(alpha - log_sum_exp(alpha, axis=1)[:, None])",
            "truncated",
            "W start",
            ('jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]',),
        ),
        Mistake(
            "transitions-overwritten",
            "dT += np.exp(",
            "dT = np.exp(",
            "overwritten",
            "T",
            ('jax.nn.logsumexp(alpha[:, None] + p["T"], axis=0) + emissions[t]',),
        ),
        Mistake(
            "start-of-last-step",
            "dstart = marginals[0].copy()",
            "dstart = marginals[-1].copy()",
            "value",
            "start",
            ('p["start"] + emissions[0]',),
        ),
        Mistake(
            "start-counted-for-tag-only", "    dstart[tags[0]] -= 1\n", "", "path", "start", ('p["start"][tags[0]]',)
        ),
    ),
}
