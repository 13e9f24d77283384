"""Mistakes in the functions of `embeddings`: held out, not to be tuned on."""

from ..planting import Mistake

MISTAKES = {
    "factorization": (
        Mistake(
            "repeated-items-in-bias-overwritten",
            "np.add.at(dc, items, error)",
            "dc[items] += error",
            "overwritten",
            "c",
            ('p["c"][items]',),
        ),
        Mistake(
            "penalty-doubled",
            "np.array(reg * U), np.array(reg * V)",
            "np.array(2 * reg * U), np.array(2 * reg * V)",
            "penalty",
            "U V",
            ('0.5 * reg * (jnp.sum(p["U"] ** 2) + jnp.sum(p["V"] ** 2))', "+ penalty"),
        ),
        Mistake(
            "own-rows-for-others",
            "np.add.at(dV, items, error[:, None] * U[users])",
            "np.add.at(dV, items, error[:, None] * V[items])",
            "value",
            "V",
            ('p["U"][users], p["V"][items]', "jnp.sum(u * v, axis=1)"),
        ),
        Mistake(
            "updated-users-for-items",
            "np.add.at(dV, items, error[:, None] * U[users])",
            "np.add.at(dV, items, error[:, None] * (U - 0.1 * dU)[users])",
            "value",
            "V",
            ('p["U"][users], p["V"][items]', "jnp.sum(u * v, axis=1)"),
        ),
        Mistake(
            "regularized-per-rating",
            "    np.add.at(db, users, error)",
            "    np.add.at(dU, users, reg * U[users])\n    np.add.at(db, users, error)",
            "penalty",
            "U",
            ('0.5 * reg * (jnp.sum(p["U"] ** 2) + jnp.sum(p["V"] ** 2))', "+ penalty"),
        ),
    ),
    "skip_gram": (
        Mistake(
            "repeated-negatives-overwritten",
            "np.add.at(dU, negatives, dw)",
            "dU[negatives] += dw",
            "overwritten",
            "U",
            ('p["U"][negatives]',),
        ),
        Mistake(
            "one-negative-only",
            "np.add.at(dU, negatives, dw)",
            "np.add.at(dU, negatives[:, 0], dw[:, 0])",
            "dropped",
            "U",
            ('p["U"][negatives]', 'jnp.einsum("nd,nkd->nk", v, p["U"][negatives])'),
        ),
        Mistake(
            "negatives-not-averaged",
            'np.einsum("nd,nkd->nk", v, w)) / n',
            'np.einsum("nd,nkd->nk", v, w))',
            "factor",
            "U V",
            ("/ centre.shape[0]",),
        ),
        Mistake(
            "context-for-centre",
            "du = dpositive[:, None] * v",
            "du = dpositive[:, None] * u",
            "value",
            "U",
            ('v * p["U"][context]',),
        ),
        Mistake(
            "matrices-swapped",
            'return {"V": dV, "U": dU}',
            'return {"V": dU, "U": dV}',
            "leaves",
            "U V",
            ('p["V"][centre]', 'p["U"][context]'),
        ),
    ),
    "bag_of_words": (
        Mistake(
            "repeated-words-overwritten",
            "dE[words[i, j]] += dbag",
            "dE[words[i, j]] = dbag",
            "overwritten",
            "E",
            ('p["E"][words]',),
        ),
        Mistake(
            "all-words-counted",
            "dlogits @ W / counts",
            "dlogits @ W / words.shape[1]",
            "factor",
            "E",
            (
                "jnp.sum(rows, axis=1) / counts",
                "jnp.sum(present, axis=1, keepdims=True)",
                'bag @ p["W"].T',
                "* present[:, :, None]",
            ),
        ),
        Mistake(
            "last-document-left-out",
            "for i in range(n):",
            "for i in range(n - 1):",
            "dropped",
            "E",
            ('p["E"][words]', "jnp.sum(rows, axis=1)"),
        ),
        Mistake(
            "shifted-target",
            "np.eye(len(b))[y]",
            "np.eye(len(b))[y - 1]",
            "shift",
            "E W b",
            ("jnp.take_along_axis(logits, y[:, None], axis=1)",),
        ),
    ),
    "tied_language_model": (
        Mistake(
            "output-end-only", "    np.add.at(dE, inputs, de)\n", "", "path", "E", ('p["E"][inputs]', 'e @ p["A"].T')
        ),
        Mistake(
            "input-end-overwrites",
            "np.add.at(dE, inputs, de)",
            "dE[inputs] = de",
            "overwritten",
            "E",
            ('p["E"][inputs]',),
        ),
        Mistake(
            "matrix-transposed-on-the-way", "de = dz @ A\n", "de = dz @ A.T\n", "transposed", "E", ('e @ p["A"].T',)
        ),
        Mistake("not-averaged-over-steps", "    dlogits /= steps\n", "", "reduction", "A E P", ("-jnp.mean(",)),
        Mistake("positions-averaged", '"P": dz}', '"P": dz / steps}', "factor", "P", ('p["P"]',)),
    ),
}
