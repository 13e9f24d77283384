"""Mistakes in the functions of `recurrent`: the development half."""

from ..planting import Mistake

MISTAKES = {
    "vanilla_rnn": (
        Mistake(
            "state-after-for-before",
            'grads["Wh"] += np.outer(draw, h[t])',
            'grads["Wh"] += np.outer(draw, h[t + 1])',
            "value",
            "Wh",
            ('p["Wh"] @ h',),
        ),
        Mistake(
            "tanh-of-previous-state",
            "draw = (1 - h[t + 1] ** 2) * dh",
            "draw = (1 - h[t] ** 2) * dh",
            "derivative",
            "Wh Wx b",
            ("jnp.tanh(",),
        ),
        Mistake(
            "recurrent-not-transposed",
            'dh_next = p["Wh"].T @ draw',
            'dh_next = p["Wh"] @ draw',
            "transposed",
            "Wh Wx b",
            ('p["Wh"] @ h',),
        ),
        Mistake("bias-overwritten", 'grads["b"] += draw', 'grads["b"] = draw', "overwritten", "b", ('p["b"]',)),
        Mistake(
            "carry-summed-on",
            'dh_next = p["Wh"].T @ draw',
            'dh_next += p["Wh"].T @ draw',
            "doubled",
            "Wh Wx b",
            ('p["Wh"] @ h',),
        ),
    ),
    "lstm_classifier": (
        Mistake(
            "cell-not-through-time",
            "        dc = dc * f[t]\n",
            "        dc = np.zeros(H)\n",
            "truncated",
            "W b",
            ("jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)", "jax.lax.scan(step"),
        ),
        Mistake(
            "cell-carry-without-forget-gate",
            "        dc = dc * f[t]\n",
            "",
            "path",
            "W b",
            ("jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)", "jax.lax.scan(step"),
        ),
        Mistake(
            "hidden-not-through-time",
            'dh = p["W"][:, D:].T @ dz',
            "dh = np.zeros(H)",
            "truncated",
            "W b",
            ('p["W"] @ jnp.concatenate([x_t, h])', "jax.lax.scan(step"),
        ),
        Mistake(
            "tanh-of-cell-forgotten",
            "dh * o[t] * (1 - tanh_c**2)",
            "dh * o[t]",
            "derivative",
            "W b",
            ("jax.nn.sigmoid(o) * jnp.tanh(c)",),
        ),
        Mistake(
            "weights-overwritten",
            "dW += np.outer(dz",
            "dW = np.outer(dz",
            "overwritten",
            "W",
            ('p["W"] @ jnp.concatenate([x_t, h])',),
        ),
        Mistake(
            "forget-gate-slope-forgotten",
            "df * f[t] * (1 - f[t])",
            "df * f[t]",
            "derivative",
            "W b",
            ("jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)",),
        ),
        Mistake(
            "probabilities-without-target", "    dlogits[y] -= 1\n", "", "dropped", "V W b", ("-jax.nn.log_softmax(",)
        ),
    ),
    "gru_sequence": (
        Mistake(
            "reset-forgotten-in-matrix",
            'g["Un"] += np.outer(dn * r, h)',
            'g["Un"] += np.outer(dn, h)',
            "path",
            "Un",
            ('jnp.tanh(p["Wn"] @ x_t + p["bn"] + r * (p["Un"] @ h))',),
        ),
        Mistake(
            "carry-through-gate-forgotten",
            'dh = dh * u + p["Ur"].T @ dr',
            'dh = p["Ur"].T @ dr',
            "path",
            "Un Ur Uu Wn Wr Wu bn h0",
            ("(1 - u) * n + u * h", 'jax.nn.sigmoid(p["Wu"] @ x_t + p["Uu"] @ h)'),
        ),
        Mistake(
            "state-updated-for-gates",
            'g["Uu"] += np.outer(du, h)',
            'g["Uu"] += np.outer(du, hs[t + 1])',
            "value",
            "Uu",
            ('jax.nn.sigmoid(p["Wu"] @ x_t + p["Uu"] @ h)',),
        ),
        Mistake(
            "update-for-one-minus-update",
            "dn = dh * (1 - u) * (1 - n**2)",
            "dn = dh * u * (1 - n**2)",
            "value",
            "Un Ur Uu Wn Wr Wu bn h0",
            ("(1 - u) * n + u * h",),
        ),
        Mistake("previous-readout", 'g["w"] += dout * hs[t + 1]', 'g["w"] += dout * h', "shift", "w", ('p["w"] @ h',)),
    ),
}
