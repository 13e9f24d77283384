"""scikit-learn's interface: its own checks, its searches without another compilation, and what is ours."""

import pickle
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fnn
from fnn.estimators import Classifier, Regressor

TINY = {"hidden": (4,), "epochs": 20, "learning_rate": 0.05, "batch_size": 64}
EQUIVALENCE = {
    "check_sample_weight_equivalence_on_dense_data": "mini-batches: a repeated example falls into other batches than "
    "one that weighs twice as much; the equivalence of the loss is tested in this file",
}


def blobs(n=60, classes=("bee", "ant", "cow")):
    rng = np.random.default_rng(0)
    y = rng.integers(0, len(classes), n)
    return rng.normal(size=(n, 3)) + 3 * np.eye(len(classes), 3)[y], np.array(classes)[y]


def values(n=60):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3)) * [1, 100, 1e-3]
    return x, 2e5 + 1e4 * (x[:, 0] + x[:, 1] / 100)


@pytest.mark.parametrize("estimator", [Classifier(**TINY), Regressor(**TINY)], ids=["classifier", "regressor"])
def test_it_passes_the_checks_of_scikit_learn(estimator):
    found = check_estimator(estimator, expected_failed_checks=EQUIVALENCE, on_skip=None)
    assert len([each for each in found if each["status"] == "passed"]) > 50


def test_classes_are_text_and_come_back(tmp_path):
    x, y = blobs()
    model = Classifier(**TINY).fit(x, y)
    assert model.classes_.tolist() == ["ant", "bee", "cow"]
    assert set(model.predict(x)) <= set(model.classes_)
    assert model.score(x, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1, rtol=1e-6)
    fnn.save_network(tmp_path / "net.safetensors", model.net_, model.params_, state=model.state_)
    net, params, state = fnn.load_network(tmp_path / "net.safetensors")
    np.testing.assert_allclose(net.forward(params, x, state), model.predict_proba(x), rtol=1e-4, atol=1e-6)


def test_targets_of_any_scale_one_or_several():
    x, y = values()
    model = Regressor(**TINY | {"epochs": 60}).fit(x, y)
    assert model.score(x, y) > 0.95
    assert model.predict(x).shape == y.shape
    both = Regressor(**TINY, loss=fnn.huber(1.0)).fit(x, np.stack([y, -y], axis=1))
    assert both.predict(x).shape == (60, 2)


def test_searches_compile_nothing_for_another_rate_fold_or_seed(compilations):
    x, y = blobs()
    cross_val_score(Classifier(**TINY), x, y, cv=3)
    assert compilations() > 0
    grid = {"learning_rate": [0.001, 0.01, 0.1], "seed": [1, 2]}
    search = GridSearchCV(Classifier(**TINY), grid, cv=3, refit=False).fit(x, y)
    assert compilations() == 0
    assert search.best_params_["learning_rate"] > 0.001


def test_it_takes_part_in_pipelines_and_calibration():
    x, y = blobs(classes=("no", "yes"))
    model = make_pipeline(StandardScaler(), Classifier(**TINY | {"hidden": 4}, standardize=False)).fit(x, y)
    assert model.score(x, y) > 0.8
    calibrated = CalibratedClassifierCV(Classifier(**TINY), cv=2).fit(x, y)
    assert calibrated.predict_proba(x).shape == (60, 2)


def test_pickling_keeps_what_was_learnt_and_where_training_stands():
    x, y = blobs()
    model = Classifier(**TINY).fit(x, y)
    same = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(same.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(same.partial_fit(x, y).predict_proba(x), model.partial_fit(x, y).predict_proba(x))


def test_parts_of_the_data_are_epochs_of_one_run():
    x, y = blobs()
    model = Classifier(**TINY)
    for part in np.array_split(np.arange(60), 3) * 10:
        model.partial_fit(x[part], y[part], classes=["ant", "bee", "cow"])
    assert model.n_iter_ == 30
    assert model.score(x, y) > 0.9
    steps = int(model.fit_.train_state.step)
    assert steps == 30
    regressor = Regressor(**TINY).partial_fit(*values()).partial_fit(*values())
    assert regressor.n_iter_ == 2


def test_a_warm_start_goes_on():
    x, y = blobs()
    warm = Classifier(**TINY, warm_start=True)
    first = warm.fit(x, y).predict_proba(x)
    assert warm.fit(x, y).n_iter_ == 40
    assert np.abs(warm.predict_proba(x) - first).max() > 0
    whole = Classifier(**TINY | {"epochs": 40}).fit(x, y)
    np.testing.assert_array_equal(warm.predict_proba(x), whole.predict_proba(x))
    still = warm.set_params(learning_rate=0.0).fit(x, y)
    assert still.n_iter_ == 60
    np.testing.assert_array_equal(still.predict_proba(x), whole.predict_proba(x))
    patient = warm.set_params(patience=2).fit(x, y)
    assert patient.n_iter_ < 70
    assert patient.fit_.stopped == "patience"


def test_weights_are_those_of_the_loss():
    """One step over all data: a weight of 2 is the same as standing there twice."""
    x, y = blobs(12)
    step = {"hidden": (), "epochs": 1, "batch_size": 100, "optimizer": fnn.sgd, "learning_rate": 1.0}
    step["standardize"] = False
    weights = np.arange(12) % 3
    weighted = Classifier(**step).fit(x, y, sample_weight=weights)
    repeated = Classifier(**step).fit(np.repeat(x, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), rtol=1e-5)
    by_class = Classifier(**step, class_weight={"ant": 2.0}).fit(x, y)
    by_example = Classifier(**step).fit(x, y, sample_weight=np.where(y == "ant", 2.0, 1.0))
    np.testing.assert_array_equal(by_class.predict_proba(x), by_example.predict_proba(x))
    balanced = Classifier(**step, class_weight="balanced").fit(x, y, sample_weight=np.ones(12))
    assert np.abs(balanced.predict_proba(x) - by_class.predict_proba(x)).max() > 0


def test_early_stopping_holds_a_part_out_and_keeps_the_best():
    x, y = blobs()
    model = Classifier(**TINY | {"epochs": 200}, patience=3, validation_fraction=0.3).fit(x, y, np.ones(60))
    assert model.n_iter_ < 200
    assert model.history_[-1].validation is not None


def test_settings_are_recipes_and_functions():
    x, y = blobs()
    settings = {"activation": fnn.tanh, "optimizer": partial(fnn.momentum, beta=0.5), "penalty": fnn.l1(1e-3)}
    model = Classifier(**TINY, **settings).fit(x, y)
    assert "fnn.tanh" in repr(model.net_)
    assert "penalty=fnn.l1(0.001)" in repr(model.net_)
    assert "fnn.l2(0.01)" in repr(Classifier(**TINY, penalty=0.01).fit(x, y).net_)


if find_spec("pandas"):

    def test_data_frames_and_their_names():
        import pandas

        x, y = blobs()
        frame = pandas.DataFrame(x, columns=["long", "wide", "high"])
        model = Classifier(**TINY).fit(frame, pandas.Series(y))
        assert model.feature_names_in_.tolist() == ["long", "wide", "high"]
        np.testing.assert_array_equal(model.predict(frame), Classifier(**TINY).fit(x, y).predict(x))
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(frame[["wide", "long", "high"]])


X, Y = blobs(12)
REFUSED = {
    "one class": (lambda: Classifier(**TINY).fit(X, ["a"] * 12), ValueError, "at least 2 classes in y, got 1 class, a"),
    "no classes": (lambda: Classifier(**TINY).partial_fit(X, Y), ValueError, "first partial_fit expects classes="),
    "a class more": (
        lambda: Classifier(**TINY).partial_fit(X, Y, classes=["ant", "bee"]),
        ValueError,
        r"expects classes among \['ant', 'bee'\], got \['cow'\] in y",
    ),
    "other classes": (
        lambda: Classifier(**TINY).partial_fit(X, Y, ["ant", "bee", "cow"]).partial_fit(X, Y, ["ant", "cow"]),
        ValueError,
        r"expects the classes \['ant', 'bee', 'cow'\] again, got \['ant', 'cow'\]",
    ),
    "another network": (
        lambda: Classifier(**TINY).fit(X, Y).set_params(hidden=(5,)).partial_fit(X, Y),
        ValueError,
        "going on expects the same network, got .*keep hidden, activation",
    ),
    "other classes, warm": (
        lambda: Classifier(**TINY, warm_start=True).fit(X, Y).fit(X, np.where(Y == "cow", "ant", Y)),
        ValueError,
        "warm_start expects the classes .* again, got",
    ),
    "no weight": (
        lambda: Classifier(**TINY).fit(X, Y, np.zeros(12)),
        ValueError,
        "at least one above 0, got all zeros",
    ),
    "a weight below 0": (lambda: Classifier(**TINY).fit(X, Y, -np.ones(12)), ValueError, "weights must"),
    "widths": (lambda: Classifier(hidden=(2.5,)).fit(X, Y), ValueError, "dense expects n_out .* got 2.5"),
    "a name": (lambda: Classifier(activation="relu").fit(X, Y), TypeError, "serial expects a layer, got 'relu'"),
    "an optimizer": (
        lambda: Classifier(optimizer=fnn.adam(0.1)).fit(X, Y),
        TypeError,
        "optimizer as a function of the learning rate, such as fnn.adam, got",
    ),
    "a penalty": (
        lambda: Classifier(penalty=-1).fit(X, Y),
        ValueError,
        "strength of an L2 penalty, at least 0.* got -1",
    ),
    "epochs": (lambda: Classifier(epochs=0).fit(X, Y), ValueError, "expected epochs .* got 0"),
    "batch_size": (lambda: Classifier(batch_size=0).fit(X, Y), ValueError, "expected batch_size of at least 1, got 0"),
    "seed": (
        lambda: Classifier(seed=-1).fit(X, Y),
        ValueError,
        "expected seed as a whole number of at least 0, got -1",
    ),
    "a share": (
        lambda: Classifier(patience=2, validation_fraction=2).fit(X, Y),
        ValueError,
        "validation_fraction between 0 and 1, got 2",
    ),
    "standardize": (lambda: Classifier(standardize="no").fit(X, Y), TypeError, "expected standardize as True or False"),
    "too early": (lambda: Regressor().predict(X), NotFittedError, "not fitted yet"),
    "another name": (lambda: fnn.estimators.Clusterer, AttributeError, "has no attribute 'Clusterer'; it has Class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()


def test_fnn_does_without_scikit_learn():
    code = """
import sys
sys.modules["sklearn"] = None
import fnn
print(dir(fnn.estimators))
try:
    fnn.estimators.Classifier
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "['Classifier', 'Regressor']"
    assert "install it with: pip install 'fnn[sklearn]'" in done.stdout
