"""A training run that `test_kill` starts, kills and starts again: python interrupted_run.py DIRECTORY OUT EPOCHS."""

import sys


def main(directory: str, out: str, epochs: str) -> None:
    import jax
    import numpy as np

    import fnn

    rng = np.random.default_rng(0)
    x = rng.normal(size=(192, 2)).astype(np.float32)
    run = fnn.fit(
        fnn.mlp(2, 32, 2),
        (x, (x[:, 0] * x[:, 1] > 0).astype(np.int32)),
        optimizer=fnn.adam(fnn.warmup_cosine(1e-3, 50, 6 * int(epochs))),
        epochs=int(epochs),
        batch_size=32,
        key=jax.random.key(1),
        patience=10**6,
        checkpoint=directory or None,
        progress=False,
    )
    fnn.save(out, (run.train_state, run.params), losses=[epoch.train_loss for epoch in run.history])


if __name__ == "__main__":
    main(*sys.argv[1:])
