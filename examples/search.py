"""A search: rates × widths cross-validated through scikit-learn, then 64 seeds of the winner in one call.

python examples/search.py                  half a minute; the picture goes to out/
"""

import argparse
import pathlib

import jax
import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

import fnn
from fnn.estimators import Classifier


def main() -> None:
    """Find a rate and a width by cross-validation, then see how much is left to chance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for the picture")
    parser.add_argument("--quick", action="store_true", help="a smaller table, grid and number of seeds")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    n = 200 if options.quick else 1000
    x, y = map(np.asarray, make_classification(n, 20, n_informative=8, n_classes=3, random_state=0))
    grid = {
        "learning_rate": np.geomspace(1e-3, 1e-1, 3 if options.quick else 8).tolist(),
        "hidden": [(16,)] if options.quick else [(16,), (64,)],
    }
    # Rates are data, so only another width or another number of rows compiles a program.
    search = GridSearchCV(Classifier(epochs=5 if options.quick else 30), grid, cv=3 if options.quick else 5).fit(x, y)
    for mean, std, settings in zip(
        search.cv_results_["mean_test_score"],
        search.cv_results_["std_test_score"],
        search.cv_results_["params"],
        strict=True,
    ):
        print(f"width {settings['hidden'][0]:3}, rate {settings['learning_rate']:.4f}: {mean:.3f} ± {std:.3f}")
    best = search.best_estimator_
    print(f"best: {search.best_params_}")

    # The winner is a network like any other: many seeds of it train at once, in one compiled call.
    seeds = 4 if options.quick else 64
    n = n * 4 // 5
    many = fnn.fit_many(
        best.net_,
        jax.random.split(jax.random.key(0), seeds),
        (x[:n], y[:n]),
        validation=(x[n:], y[n:]),
        optimizer=fnn.adam(best.learning_rate),
        epochs=best.epochs,
        batch_size=100,
        progress=False,
    )
    accuracy = many.history[-1].validation_accuracy
    print(f"{seeds} seeds: accuracy {accuracy}")
    print(f"their predictions averaged: {fnn.accuracy(many.forward(x[n:]), y[n:]):.4f}")

    fnn.plots.confusion_matrix(fnn.confusion_matrix(many.forward(x[n:]), y[n:]), path=options.out / "search.png")
    print(f"picture: search.png in {options.out}/")


if __name__ == "__main__":
    main()
