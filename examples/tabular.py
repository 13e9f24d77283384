"""A table end to end: look at it, train with early stopping, save the model, load it elsewhere, predict.

python examples/tabular.py                 seconds; the pictures and the model go to out/
"""

import argparse
import pathlib

import jax
import numpy as np

import fnn


def houses(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A made-up table of mixed scales: area, rooms, age, distance in metres and a price that depends on them."""
    rng = np.random.default_rng(0)
    area = rng.gamma(9, 12, n)
    rooms = np.clip(np.round(area / 25 + rng.normal(0, 0.7, n)), 1, 9)
    age, distance = rng.uniform(0, 120, n), rng.gamma(2, 2500, n)
    value = 2200 * area * np.exp(-distance / 2e4) * (1 - 0.4 * np.sin(age * np.pi / 120)) + 8000 * rooms
    price = value * rng.lognormal(0, 0.05, n)
    return np.stack([area, rooms, age, distance], axis=1), price[:, None]


def main() -> None:
    """Prices of houses, from the raw table to predictions by the saved model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, default="out", help="folder for pictures and model")
    parser.add_argument("--quick", action="store_true", help="fewer rows and epochs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    x, y = houses(600 if options.quick else 4000)
    print(fnn.audit(x, y))
    rest, test = fnn.preprocessing.split(jax.random.key(1), x, y, fraction=0.15)
    train, validation = fnn.preprocessing.split(jax.random.key(2), *rest, fraction=0.15)

    # Scaling belongs to the model: both scalers are fitted on the training rows, and are saved with the network.
    net = fnn.network(
        fnn.serial(fnn.standardize_inputs(), fnn.dense(32), fnn.relu, fnn.dense(32), fnn.relu, fnn.dense(1)),
        fnn.huber(1.0),
        input_shape=(4,),
        targets=fnn.standardize_targets(),
    )
    result = fnn.fit(
        net,
        train,
        validation=validation,
        optimizer=fnn.adam(3e-3),
        epochs=60 if options.quick else 300,
        batch_size=64,
        patience=20,
        key=jax.random.key(0),
    )
    print(f"stopped by {result.stopped} after {len(result.history)} epochs")
    print(f"test: {fnn.evaluate(net, result.params, *test, state=result.state)}")

    file = options.out / "houses.safetensors"
    fnn.save_network(file, net, result.params, state=result.state, columns=["area", "rooms", "age", "distance"])
    same, params, state = fnn.load_network(file)  # in any process: the recipe is in the file
    house = np.array([[90.0, 4, 30, 2500]])
    print(f"90 m², 4 rooms, 30 years, 2.5 km: {float(same.forward(params, house, state)[0, 0]):,.0f}")

    fnn.plots.loss_curves(result.history, path=options.out / "tabular_loss.png")
    predicted = same.forward(params, test[0], state)
    fnn.plots.predicted_and_true(predicted, test[1], ["price"], path=options.out / "tabular_predictions.png")
    print(f"pictures: tabular_loss.png, tabular_predictions.png; the model: houses.safetensors in {options.out}/")


if __name__ == "__main__":
    main()
