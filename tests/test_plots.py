"""Every picture is a Figure of its own, can be saved without a screen, and refuses what it cannot draw."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import fnn
from fnn import plots

KEY = jax.random.key(0)


def epochs(count=5, validation=True, accuracy=0.9):
    def measured(i):
        return fnn.Evaluation(0.5 + 0.1 * abs(i - 3), accuracy, None) if validation else None

    return tuple(fnn.Epoch(i, 1 / i, measured(i), 1e5) for i in range(1, count + 1))


def images(n=40):
    x = jax.random.uniform(KEY, (n, 6, 5))
    y = np.arange(n) % 4
    predictions = np.eye(4)[(y + (np.arange(n) < 7)) % 4] * 0.7 + 0.075
    return np.asarray(x), y, predictions


MLP = fnn.mlp(30, 8, 3)
PARAMS = MLP.init(KEY)

PICTURES = {
    "loss_curves": lambda **k: plots.loss_curves(epochs(), **k),
    "loss_curves-one-epoch": lambda **k: plots.loss_curves(epochs(1), **k),
    "loss_curves-regression": lambda **k: plots.loss_curves(epochs(accuracy=None), **k),
    "loss_curves-no-validation": lambda **k: plots.loss_curves(epochs(validation=False), **k),
    "confusion_matrix": lambda **k: plots.confusion_matrix([[5, 1], [0, 7]], ["cat", "dog"], **k),
    "misclassified": lambda **k: plots.misclassified(*images(), **k),
    "misclassified-vectors": lambda **k: plots.misclassified(np.ones((3, 9)), [0, 1, 0], np.eye(2)[[1, 0, 0]], **k),
    "misclassified-none": lambda **k: plots.misclassified(np.ones((2, 3, 3)), [0, 1], np.eye(2), **k),
    "weights": lambda **k: plots.weights(PARAMS, **k),
    "weights-images": lambda **k: plots.weights(PARAMS, (6, 5), n=5, **k),
    "weights-array": lambda **k: plots.weights(PARAMS[-1].W, **k),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_each_picture_is_a_figure_that_can_be_saved(draw, tmp_path):
    path = tmp_path / "picture.png"
    assert isinstance(draw(path=path), Figure)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 2000
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.loss_curves(epochs(), ax=ax),
        lambda ax: plots.confusion_matrix([[1, 0], [2, 3]], ax=ax),
    ],
)
def test_pictures_go_into_axes_of_the_caller(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(left) is figure
    assert left.has_data()
    assert not right.has_data()
    assert len(figure.axes) == 2


def lines_of(figure, i=0):
    return [line.get_xydata() for line in figure.axes[i].lines]


def test_loss_curves_show_the_history():
    figure = plots.loss_curves(epochs())
    train, validation, *_ = lines_of(figure)
    np.testing.assert_allclose(train, [(i, 1 / i) for i in range(1, 6)])
    np.testing.assert_allclose(validation[:, 1], [0.7, 0.6, 0.5, 0.6, 0.7])
    assert "least: 0.5\nin epoch 3" in [text.get_text() for text in figure.axes[0].texts]
    np.testing.assert_allclose(lines_of(figure, 1)[0][:, 1], 90)
    assert figure.axes[0].get_ylabel() == "mean loss (nats)"


def test_misclassified_shows_the_most_confident_mistake_first():
    predictions = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    figure = plots.misclassified(np.zeros((4, 2, 2)), np.array([1, 0, 1, 0]), predictions)
    assert [ax.get_title() for ax in figure.axes] == ["0 read as 1\nwith p = 0.90", "1 read as 0\nwith p = 0.60"]
    assert "2 of 4 are wrong (50.00%)" in figure.get_suptitle()


def test_weights_are_those_of_the_first_layer():
    figure = plots.weights(PARAMS, (6, 5))
    drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    np.testing.assert_allclose(drawn, np.asarray(PARAMS[0].W).reshape(8, 6, 5))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda: plots.loss_curves(()), "at least one epoch, got an empty history; train first"),
        (lambda: plots.loss_curves([1.0]), r"records with .epoch, got float at position 0; pass fit\(...\).history"),
        (lambda: plots.loss_curves([SimpleNamespace(epoch=1)]), "records with .train_loss, got SimpleNamespace"),
        (lambda: plots.confusion_matrix(np.ones((2, 3))), r"shape \(c, c\), got \(2, 3\); make them with"),
        (lambda: plots.confusion_matrix(np.zeros((2, 2))), "one of them above 0"),
        (lambda: plots.confusion_matrix([[1, -1], [0, 0]]), "counts of at least 0"),
        (lambda: plots.confusion_matrix([[1, 0], [0, 1]], ["a"]), "2 labels for 2 classes, got 1"),
        (lambda: plots.misclassified(np.ones((2, 4)), [0, 1], [0.5, 0.5]), r"\(2, 4\), \(2,\) and \(2,\); predictions"),
        (lambda: plots.misclassified(np.ones((1, 5)), [0], [[0.1, 0.9]]), r"expects images, got \(5,\).*pass shape="),
        (lambda: plots.weights(PARAMS, (28, 28)), r"h·w = 30, the inputs of a neuron, got \(28, 28\)"),
        (lambda: plots.weights(((), ())), "parameters or one array W"),
        (lambda: plots.weights(np.ones(3)), r"got shapes \(3,\); pass for instance params\[0\].W"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, expected):
    with pytest.raises(ValueError, match=expected):
        draw()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"not installed; install it with: pip install 'fnn\[plots\]'"):
        plots.loss_curves(epochs())


def test_importing_fnn_imports_no_matplotlib():
    code = "import sys, fnn; fnn.plots.loss_curves; sys.exit(any(m.startswith('matplotlib') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
