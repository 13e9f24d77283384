"""Every picture is a Figure of its own, can be saved without a screen, and refuses what it cannot draw."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import fnn
from fnn import datasets, plots

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


def blobs(classes):
    x, y = datasets.blobs(KEY, 30, classes=classes)
    return x, (y if classes > 2 else y[:, None])


def bowl(x, y=0.0):
    return x**2 + y**2


MLP = fnn.mlp(30, 18, 3)
PARAMS = MLP.init(KEY)
PLANE = fnn.mlp(2, 4, 3)
LINE = fnn.mlp(2, 1, loss=fnn.sigmoid_cross_entropy)
REGRESSION = fnn.mlp(2, 1, loss=fnn.half_mean_squared_error)
SOFT = fnn.network(fnn.serial(fnn.dense(3), fnn.rescale(2.0)), fnn.softmax_cross_entropy, input_shape=(2,))
EMPTY = fnn.network(fnn.serial(fnn.rescale(2.0)), fnn.softmax_cross_entropy, input_shape=(2,))

PICTURES = {
    "loss_curves": lambda **k: plots.loss_curves(epochs(), **k),
    "loss_curves-one-epoch": lambda **k: plots.loss_curves(epochs(1), **k),
    "loss_curves-regression": lambda **k: plots.loss_curves(epochs(accuracy=None), **k),
    "loss_curves-no-validation": lambda **k: plots.loss_curves(epochs(validation=False), **k),
    "confusion_matrix": lambda **k: plots.confusion_matrix([[5, 1], [0, 7]], ["cat", "dog"], **k),
    "predicted_and_true": lambda **k: plots.predicted_and_true([1.0, 2.5, 2.9], [1, 2, 3], **k),
    "predicted_and_true-two": lambda **k: plots.predicted_and_true(np.eye(4, 2), np.eye(4, 2) + 1, ["a", "b"], **k),
    "predicted_and_true-constant": lambda **k: plots.predicted_and_true([1.0, 2.0], [1.0, 1.0], **k),
    "misclassified": lambda **k: plots.misclassified(*images(), **k),
    "misclassified-vectors": lambda **k: plots.misclassified(np.ones((3, 9)), [0, 1, 0], np.eye(2)[[1, 0, 0]], **k),
    "misclassified-none": lambda **k: plots.misclassified(np.ones((2, 3, 3)), [0, 1], np.eye(2), **k),
    "theta": lambda **k: plots.theta(PLANE.init(KEY), **k),
    "weights": lambda **k: plots.weights(PARAMS, **k),
    "weights-images": lambda **k: plots.weights(PARAMS, (6, 5), n=5, **k),
    "weights-array": lambda **k: plots.weights(PARAMS[-1].W, **k),
    "decision_boundary": lambda **k: plots.decision_boundary(PLANE, PLANE.init(KEY), *blobs(3), **k),
    "decision_boundary-binary": lambda **k: plots.decision_boundary(LINE, LINE.init(KEY), *blobs(2), **k),
    "gradient_norms": lambda **k: plots.gradient_norms(PARAMS, labels=["params"], **k),
    "gradient_norms-zero": lambda **k: plots.gradient_norms(jax.tree.map(jnp.zeros_like, PARAMS), PARAMS, **k),
    "activation_histograms": lambda **k: plots.activation_histograms(MLP, PARAMS, jnp.ones((4, 30)), **k),
    "activation_functions": lambda **k: plots.activation_functions(**k),
    "activation_functions-one": lambda **k: plots.activation_functions(fnn.leaky_relu(0.2), **k),
    "network_diagram": lambda **k: plots.network_diagram(MLP, PARAMS, **k),
    "network_diagram-linear": lambda **k: plots.network_diagram(LINE, LINE.init(KEY), **k),
    "gradient_check_steps": lambda **k: plots.gradient_check_steps(jnp.sin, jnp.float32(1), jnp.cos(1.0), **k),
    "descent_path": lambda **k: plots.descent_path(bowl, [3.0, 1.0], **k),
    "descent_path-plane": lambda **k: plots.descent_path(bowl, [[3.0, 1.0], [1.0, 0.5], [0.1, 0.1]], **k),
    "animate_descent-stills": lambda **k: plots.animate_descent(bowl, [3.0, 1.0, 0.5], **k),
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
        lambda ax: plots.decision_boundary(PLANE, PLANE.init(KEY), *blobs(3), ax=ax),
        lambda ax: plots.gradient_norms(PARAMS, ax=ax),
        lambda ax: plots.network_diagram(MLP, PARAMS, ax=ax),
        lambda ax: plots.gradient_check_steps(jnp.sin, jnp.float32(1), jnp.cos(1.0), ax=ax),
        lambda ax: plots.descent_path(bowl, [3.0, 1.0], ax=ax),
        lambda ax: plots.descent_path(bowl, [[3.0, 1.0], [1.0, 0.5]], ax=ax),
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


def test_weights_are_those_of_the_first_layer_the_strongest_neuron_first():
    figure = plots.weights(PARAMS, (6, 5))
    drawn = np.array([ax.images[0].get_array() for ax in figure.axes if ax.images])
    norms = np.linalg.norm(drawn.reshape(18, -1), axis=1)
    assert (np.diff(norms) <= 0).all()
    W = np.asarray(PARAMS[0].W)
    order = np.argsort(-np.linalg.norm(W, axis=1), kind="stable")
    np.testing.assert_allclose(drawn, W[order].reshape(18, 6, 5))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def test_decision_boundary_counts_the_points_on_their_side():
    params = (fnn.DenseParams(jnp.array([[1.0, 0.0]]), jnp.zeros(1)),)  # says 1 where x₁ > 0
    x, y = np.array([[-1.0, 0.0], [1.0, 0.0], [2.0, 1.0], [-2.0, 1.0]]), np.array([0, 1, 1, 1])
    figure = plots.decision_boundary(LINE, params, x, y)
    assert figure.axes[0].get_title() == "Decision boundary: 75.0% of the points on their side"
    boundary = figure.axes[0].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(boundary[:, 0], 0, atol=1e-6)


def test_gradient_norms_are_those_of_the_layers():
    grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, 2.0), PARAMS)
    figure = plots.gradient_norms(grads, jax.tree.map(jnp.zeros_like, PARAMS), labels=["two", "zero"])
    expected = [(1, 2 * (31 * 18) ** 0.5), (2, 2 * (19 * 3) ** 0.5)]
    np.testing.assert_allclose(lines_of(figure)[0], expected, rtol=1e-6)
    assert np.isnan(lines_of(figure)[1][:, 1]).all()
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "0"]


def test_gradient_norms_of_a_repeated_layer_are_those_of_its_parts():
    layer = fnn.serial(fnn.dense(3), fnn.repeat(fnn.serial(fnn.dense(3), fnn.layer_norm()), 4), fnn.dense(2))
    grads = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 2.0), layer.init(KEY, (5,)))
    norms = lines_of(plots.gradient_norms(grads))[0][:, 1]
    np.testing.assert_allclose(norms, 2 * np.sqrt([18, 18, 18, 18, 18, 8]), rtol=1e-6)


def test_activation_histograms_leave_out_what_an_activation_follows():
    figure = plots.activation_histograms(MLP, PARAMS, jnp.ones((4, 30)))
    assert [ax.get_title() for ax in figure.axes] == ["layers[1] relu", "layers[2] dense"]
    hidden = np.asarray(fnn.relu(PARAMS[0].W.sum(axis=1)))
    assert f"mean {hidden.mean():.2g}\nstd {hidden.std():.2g}" in figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize("g", [fnn.sigmoid, fnn.relu, fnn.leaky_relu(0.2), fnn.elu(2.0), fnn.softmax], ids=str)
def test_activation_functions_draw_value_derivative_and_kink(g):
    value, slope, *dots = lines_of(plots.activation_functions(g))
    z = value[:, 0]
    if g is fnn.softmax:
        np.testing.assert_allclose(value[:, 1], jax.nn.sigmoid(z), atol=1e-6)
    else:
        np.testing.assert_allclose(value[:, 1], g(z.astype(np.float32)), atol=1e-6)
    middle, difference = (z[1:] + z[:-1]) / 2, np.diff(value[:, 1]) / np.diff(z)
    smooth = (np.diff(z) > 1e-3) & (np.abs(middle) > 0.05)
    drawn = slope[np.isfinite(slope[:, 0])]
    np.testing.assert_allclose(np.interp(middle, *drawn.T)[smooth], difference[smooth], atol=2e-3)
    if g.kinks:
        assert np.isnan(slope[:, 0]).sum() == 1
        np.testing.assert_allclose(dots[0], [(0, g.derivative(jnp.float32(0)))])


def test_theta_names_every_number_in_its_order():
    texts = [text.get_text() for text in plots.theta(fnn.mlp(3, 4, 2).init(KEY)).axes[0].texts]
    names, values = texts[::2], texts[1::2]
    assert len(names) == len(set(names)) == 26
    assert names[4] == "$w_{22}^{(1)}$"
    assert names[12:17] == ["$b_{1}^{(1)}$", "$b_{2}^{(1)}$", "$b_{3}^{(1)}$", "$b_{4}^{(1)}$", "$w_{11}^{(2)}$"]
    theta = fnn.flatten_params(fnn.mlp(3, 4, 2).init(KEY))
    assert [value.replace("−", "-") for value in values] == [f"{number:.2f}" for number in theta]


def test_network_diagram_shows_every_weight_of_a_small_network():
    net = fnn.mlp(3, 4, 2, activation=fnn.tanh)
    params = net.init(KEY)
    figure = plots.network_diagram(net, params)
    ax = figure.axes[0]
    assert ax.get_title().startswith("3-4-2: 26 parameters")
    assert [text.get_text() for text in ax.texts] == ["input\n3", "hidden, tanh\n4", "output, softmax\n2"]
    signs = [line.get_linestyle() == "-" for line in ax.lines if len(line.get_xdata())]
    positive = [w > 0 for layer in (params[0], params[2]) for w in np.asarray(layer.W).ravel()]
    assert signs == positive


def test_gradient_check_steps_finds_the_cube_root_of_epsilon():
    figure = plots.gradient_check_steps(jnp.sin, jnp.float32(1), jnp.cos(1.0))
    with jax.enable_x64(True):
        one = jnp.float64(1)
        plots.gradient_check_steps(jnp.sin, one, jnp.cos(one), ax=figure.axes[0])
    for precision, drawn in zip((np.float32, np.float64), ("errors 0", "errors 1"), strict=True):
        (line,) = [line for line in figure.axes[0].lines if line.get_gid() == drawn]
        h, error = line.get_data()
        rule = np.finfo(precision).eps ** (1 / 3)
        assert np.nanmin(error) < 30 * rule**2
        assert rule / 30 < h[np.nanargmin(error)] < rule * 30
        assert error[0] > 0.1  # h = 1: 1 - sin(1)/1 = 0.16 of truncation
        assert np.nanmax(error[-5:]) > 0.01  # h near ε: nothing but rounding


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_have_a_frame_for_each_point(suffix, tmp_path):
    path = tmp_path / f"film.{suffix}"
    figure = plots.animate_descent(bowl, [3.0, 1.0, 0.5, 0.2], path, title="x²", frames_per_second=4)
    assert figure.get_suptitle() == "x²   step 3: x = 0.200, f = 0.040"
    with Image.open(path) as film:
        assert film.n_frames >= 4
        assert film.size == (480, 320)


def test_a_shorter_film_shows_the_numbers_of_the_steps(tmp_path):
    points = np.linspace(3, 0, 21)
    figure = plots.animate_descent(bowl, points[::10], tmp_path / "film.gif", frames_per_second=1, every=10)
    assert figure.get_suptitle() == "step 20: x = 0.000, f = 0.000"
    strip = plots.animate_descent(bowl, points[::10], tmp_path / "strip.svg", every=10)
    assert [ax.get_title()[:8] for ax in strip.axes] == ["step 0: ", "step 10:", "step 20:"]


def test_an_animation_of_two_variables_has_surface_and_contours(tmp_path):
    figure = plots.animate_descent(bowl, [[3.0, 1.0], [1.0, 0.5]], tmp_path / "film.gif", frames_per_second=1)
    assert [ax.name for ax in figure.axes[:2]] == ["3d", "rectilinear"]
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames >= 2


def test_two_points_of_one_variable_are_not_one_point_of_two():
    figure = plots.descent_path(lambda x: x**2, [3.0, 1.0])
    np.testing.assert_allclose(lines_of(figure)[1], [(3, 9), (1, 1)])


def test_stills_are_written_as_svg(tmp_path):
    plots.animate_descent(bowl, np.linspace(3, 0, 20), tmp_path / "strip.svg")
    assert "<svg" in (tmp_path / "strip.svg").read_text()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda: plots.decision_boundary(MLP, PARAMS, *blobs(3)), r"two features.*examples of shape \(30,\)"),
        (lambda: plots.decision_boundary(REGRESSION, (), *blobs(2)), "expects a classifier.*half_mean_squared_error"),
        (lambda: plots.decision_boundary(PLANE, (), np.ones((3, 2)), np.ones(2)), r"got \(3, 2\) and \(2,\)"),
        (lambda: plots.gradient_norms(), "got none"),
        (lambda: plots.gradient_norms(((), ())), "got none"),
        (lambda: plots.gradient_norms(PARAMS, labels=["a", "b"]), "one label for each of 1 gradients, got 2"),
        (lambda: plots.activation_histograms(MLP, PARAMS, jnp.ones((4, 3))), r"expected x of shape \(n, 30\)"),
        (lambda: plots.activation_histograms(MLP, PARAMS, jnp.full((4, 30), jnp.inf)), r"layers\[1\] relu gives NaN"),
        (lambda: plots.network_diagram(SOFT, SOFT.init(KEY)), "draws dense layers and activations, got rescale"),
        (lambda: plots.network_diagram(EMPTY, EMPTY.init(KEY)), "at least one dense layer"),
        (lambda: plots.gradient_check_steps(jnp.sin, jnp.float32(1), (jnp.cos(1.0),)), "structure of params"),
        (lambda: plots.gradient_check_steps(jnp.cos, jnp.float32(0), jnp.float32(0)), "the gradient is zero"),
        (
            lambda: plots.descent_path(bowl, np.ones((3, 3))),
            r"one variable or \(k, 2\) for two, got \(3, 3\)",
        ),
        (lambda: plots.descent_path(bowl, [1.0, np.nan]), r"left the numbers at step 1; draw points\[:1\]"),
        (lambda: plots.animate_descent(bowl, [1.0], "film.mp4"), r"\.gif, \.webp for a film or .*got 'film.mp4'"),
        (lambda: plots.loss_curves(()), "at least one epoch, got an empty history; train first"),
        (lambda: plots.loss_curves([1.0]), r"records with .epoch, got float at position 0; pass fit\(...\).history"),
        (lambda: plots.loss_curves([SimpleNamespace(epoch=1)]), "records with .train_loss, got SimpleNamespace"),
        (lambda: plots.confusion_matrix(np.ones((2, 3))), r"shape \(c, c\), got \(2, 3\); make them with"),
        (lambda: plots.confusion_matrix(np.zeros((2, 2))), "one of them above 0"),
        (lambda: plots.confusion_matrix([[1, -1], [0, 0]]), "counts of at least 0"),
        (lambda: plots.confusion_matrix([[1, 0], [0, 1]], ["a"]), "2 labels for 2 classes, got 1"),
        (lambda: plots.predicted_and_true([1.0, 2.0], [[1.0], [2.0]]), r"of one shape .* got \(2,\) and \(2, 1\)"),
        (lambda: plots.predicted_and_true([np.nan], [1.0]), "expects finite numbers, got NaN"),
        (lambda: plots.predicted_and_true([1.0], [1.0], ["a", "b"]), "1 labels for 1 targets, got 2"),
        (lambda: plots.misclassified(np.ones((2, 4)), [0, 1], [0.5, 0.5]), r"\(2, 4\), \(2,\) and \(2,\); predictions"),
        (lambda: plots.misclassified(np.ones((1, 5)), [0], [[0.1, 0.9]]), r"expects images, got \(5,\).*pass shape="),
        (lambda: plots.theta(PARAMS), "theta expects networks of 1 to 120 parameters, got 615"),
        (lambda: plots.theta(()), "at least one array|1 to 120 parameters, got 0"),
        (lambda: plots.weights(PARAMS, (28, 28)), r"h·w = 30, the inputs of a neuron, got \(28, 28\)"),
        (lambda: plots.weights(((), ())), "parameters or one array W"),
        (lambda: plots.weights(np.ones(3)), r"got shapes \(3,\); pass for instance params\[0\].W"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, expected):
    with pytest.raises(ValueError, match=expected):
        draw()


def test_activation_functions_take_only_activations():
    with pytest.raises(TypeError, match=r"activations such as fnn\.relu, got"):
        plots.activation_functions(jnp.tanh)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"not installed; install it with: pip install 'fnn\[plots\]'"):
        plots.loss_curves(epochs())


def test_importing_fnn_imports_no_matplotlib():
    code = "import sys, fnn; fnn.plots.loss_curves; sys.exit(any(m.startswith('matplotlib') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((1, 1, 1), "level, neither vanishing nor exploding"),
        ((1e-5, 1e-3, 1), "it vanishes towards the input"),
        ((1e4, 10, 1), "it explodes towards the input"),
        ((1e9, 1e9, 1e9), "large everywhere"),
        ((0, 0, 0), "zero everywhere"),
        ((1, np.inf, 1), "not finite"),
    ],
)
def test_gradients_are_titled_by_what_they_show(sizes, told):
    grads = tuple({"W": np.array([[float(size)]])} for size in sizes)
    assert plots.gradient_norms(grads).axes[0].get_title() == f"Gradient by layer: {told}"


def test_the_best_epoch_is_marked_at_its_point():
    losses, accuracies = plots.loss_curves(epochs()).axes
    ((epoch,), (loss,)) = losses.lines[-1].get_data()
    assert (epoch, loss) == (3, 0.5)
    assert len(accuracies.lines[-1].get_xdata()) == 1
