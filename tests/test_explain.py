"""`explain` writes the notes' formulas, in both layouts, with the numbers of the network's own gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LOSSES, scatter

import fnn

FORMULAS = {
    "row": {
        "Z1": ("X W1ᵀ + b1", "(5×3)(3×4) + (4) → (5×4)"),
        "A1": ("tanh(Z1)", "(5×4)"),
        "Z2": ("A1 W2ᵀ + b2", "(5×4)(4×2) + (2) → (5×2)"),
        "Ŷ": ("softmax(Z2)", "(5×2)"),
        "dZ2": ("(Ŷ − Y) / n", "(5×2)"),
        "dW2": ("dZ2ᵀ A1", "(2×5)(5×4) → (2×4)"),
        "db2": ("column sums of dZ2", "(5×2) → (2)"),
        "dA1": ("dZ2 W2", "(5×2)(2×4) → (5×4)"),
        "dZ1": ("dA1 ⊙ tanh'(Z1)", "(5×4) ⊙ (5×4) → (5×4)"),
        "dW1": ("dZ1ᵀ X", "(4×5)(5×3) → (4×3)"),
        "db1": ("column sums of dZ1", "(5×4) → (4)"),
    },
    "column": {
        "Z1": ("W1 X + b1", "(4×3)(3×5) + (4×1) → (4×5)"),
        "A1": ("tanh(Z1)", "(4×5)"),
        "Z2": ("W2 A1 + b2", "(2×4)(4×5) + (2×1) → (2×5)"),
        "Ŷ": ("softmax(Z2)", "(2×5)"),
        "dZ2": ("(Ŷ − Y) / n", "(2×5)"),
        "dW2": ("dZ2 A1ᵀ", "(2×5)(5×4) → (2×4)"),
        "db2": ("row sums of dZ2", "(2×5) → (2×1)"),
        "dA1": ("W2ᵀ dZ2", "(4×2)(2×5) → (4×5)"),
        "dZ1": ("dA1 ⊙ tanh'(Z1)", "(4×5) ⊙ (4×5) → (4×5)"),
        "dW1": ("dZ1 Xᵀ", "(4×5)(5×3) → (4×3)"),
        "db1": ("row sums of dZ1", "(4×5) → (4×1)"),
    },
}


@pytest.fixture
def problem(key):
    net = fnn.mlp(3, 4, 2, activation=fnn.tanh)
    x = jax.random.normal(key, (5, 3))
    return net, scatter(key, net.init(key)), x, jnp.array([0, 1, 1, 0, 1])


@pytest.mark.parametrize("layout", FORMULAS)
def test_formulas_and_shapes(problem, layout):
    steps = {step.symbol: step for step in fnn.explain(*problem, layout).steps}
    assert list(steps) == ["X", "Z1", "A1", "Z2", "Ŷ", "Y", "L", *list(FORMULAS[layout])[4:]]
    for symbol, (formula, shapes) in FORMULAS[layout].items():
        assert (steps[symbol].formula, steps[symbol].shapes) == (formula, shapes)
        assert steps[symbol].shapes.endswith(f"({'×'.join(map(str, steps[symbol].value.shape))})")


@pytest.mark.parametrize("layout", FORMULAS)
def test_every_formula_holds_for_the_numbers_shown(problem, layout):
    """The formulas, read as NumPy, give the values."""
    _, params, *_ = problem
    shown = fnn.explain(*problem, layout)
    names = {step.symbol: np.asarray(step.value, np.float64) for step in shown.steps}
    W1, W2 = (np.asarray(params[i].W, np.float64) for i in (0, 2))
    slope = 1 - names["A1"] ** 2
    if layout == "row":
        expected = {
            "Z1": names["X"] @ W1.T + np.asarray(params[0].b),
            "dZ2": (names["Ŷ"] - names["Y"]) / 5,
            "dW2": names["dZ2"].T @ names["A1"],
            "db2": names["dZ2"].sum(axis=0),
            "dA1": names["dZ2"] @ W2,
            "dZ1": names["dA1"] * slope,
            "dW1": names["dZ1"].T @ names["X"],
            "db1": names["dZ1"].sum(axis=0),
        }
    else:
        expected = {
            "Z1": W1 @ names["X"] + np.asarray(params[0].b)[:, None],
            "dZ2": (names["Ŷ"] - names["Y"]) / 5,
            "dW2": names["dZ2"] @ names["A1"].T,
            "db2": names["dZ2"].sum(axis=1, keepdims=True),
            "dA1": W2.T @ names["dZ2"],
            "dZ1": names["dA1"] * slope,
            "dW1": names["dZ1"] @ names["X"].T,
            "db1": names["dZ1"].sum(axis=1, keepdims=True),
        }
    for symbol, value in expected.items():
        np.testing.assert_allclose(names[symbol], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", FORMULAS)
@pytest.mark.parametrize("penalty", [None, fnn.l2(0.3)], ids=str)
def test_the_gradient_shown_is_the_networks_and_jax_agrees(problem, layout, penalty):
    _, params, x, y = problem
    net = fnn.mlp(3, 4, 2, activation=fnn.tanh, penalty=penalty)
    shown = fnn.explain(net, params, x, y, layout, weights=jnp.arange(1.0, 6.0))
    grads = jax.grad(net.loss)(params, x, y, weights=jnp.arange(1.0, 6.0))
    for number, layer in ((1, grads[0]), (2, grads[2])):
        np.testing.assert_allclose(shown[f"dW{number}"], layer.W, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(shown[f"db{number}"].ravel(), layer.b, rtol=1e-4, atol=1e-6)
    total = shown["L"] if penalty is None else shown["L"] + shown["R"]
    np.testing.assert_allclose(total, net.loss(params, x, y, weights=jnp.arange(1.0, 6.0)), rtol=1e-6)
    formulas = {step.symbol: step.formula for step in shown.steps}
    assert formulas["dZ2"] == "w/Σw · (Ŷ − Y)"
    assert formulas["dW1"].endswith(" + ∂R/∂W1") == (penalty is not None)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_the_slope_of_every_loss_is_as_the_formula_says(case, key):
    _, y, weights = case.draw(key)
    link = (fnn.softmax if case.outputs > 1 else fnn.sigmoid,) if case.on_probabilities else ()
    net = fnn.network(fnn.serial(fnn.dense(case.outputs), *link), case.loss, input_shape=(3,))
    params, x = scatter(key, net.init(key)), jax.random.normal(key, (case.n, 3))
    shown = fnn.explain(net, params, x, y, weights=weights)
    symbol = "dA1" if case.on_probabilities else "dZ1"
    (step,) = [step for step in shown.steps if step.symbol == symbol]
    share = 1 / case.n if weights is None else np.asarray(weights / weights.sum())[:, None]
    P, Y = (np.asarray(shown[name], np.float64) for name in ("Ŷ", "Y"))
    slopes = {
        "(Ŷ − Y)": P - Y,
        "2 (Ŷ − Y)": 2 * (P - Y),
        "sign(Ŷ − Y)": np.sign(P - Y),
        "clip(Ŷ − Y, −δ, δ)": np.clip(P - Y, -0.8, 0.8),
        "−Y / A1": -Y / P,
        "(A1 − Y) / (A1 ⊙ (1 − A1))": (P - Y) / (P * (1 - P)),
    }
    if step.formula.startswith("the backward of"):
        assert case.loss.name in step.formula
        return
    formula = step.formula.removesuffix(" / n") if weights is None else step.formula.removeprefix("w/Σw · ")
    np.testing.assert_allclose(step.value, share * slopes[formula], rtol=1e-4, atol=1e-6)


def test_other_layers_are_named_and_their_rules_used(key):
    layer = fnn.serial(
        fnn.rescale(0.5), fnn.flatten, fnn.serial(fnn.dense(4, use_bias=False), fnn.softmax), fnn.dense(2)
    )
    net = fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(2, 3))
    params, x, y = net.init(key), jax.random.normal(key, (5, 2, 3)), jnp.array([0, 1, 1, 0, 1])
    shown = fnn.explain(net, params, x, y, "column")
    formulas = {step.symbol: step.formula for step in shown.steps}
    assert formulas["rescale1"] == "rescale(X)"
    assert formulas["flatten1"] == "flatten(rescale1)"
    assert formulas["Z1"] == "W1 flatten1"
    assert formulas["dZ1"] == "A1 ⊙ (dA1 − columnsum(dA1 ⊙ A1))"
    assert formulas["drescale1"] == "the backward of flatten, of dflatten1"
    assert shown["X"].shape == (2, 3, 5)
    expected = jax.grad(net.loss)(params, x, y)
    np.testing.assert_allclose(shown["dW1"], expected[2][0].W, rtol=1e-4, atol=1e-6)
    P, dP = shown["A1"], shown["dA1"]
    np.testing.assert_allclose(shown["dZ1"], P * (dP - (dP * P).sum(axis=0)), rtol=1e-4, atol=1e-7)


def test_layers_of_ones_own_are_explained_by_their_rule(key):
    """A layer with two parameters: y = a x + b, entry by entry over all features."""
    own = fnn.stateless(
        "affine",
        lambda key, shape: {"a": jnp.ones(()), "b": jnp.zeros(())},
        lambda params, x: (params["a"] * x + params["b"], (params["a"], x)),
        lambda kept, dy: ({"a": (dy * kept[1]).sum(), "b": dy.sum()}, kept[0] * dy),
    )
    net = fnn.network(fnn.serial(own, fnn.dense(2), own), fnn.half_mean_squared_error, input_shape=(3,))
    params, x, y = net.init(key), jax.random.normal(key, (4, 3)), jnp.ones((4, 2))
    shown, grads = fnn.explain(net, params, x, y), jax.grad(net.loss)(params, x, y)
    assert [step.symbol for step in shown.steps if step.part == "forward"] == [
        "X",
        "affine1",
        "Z1",
        "affine2",
        "Ŷ",
        "Y",
        "L",
    ]
    for symbol, right in {"da_affine1": grads[0]["a"], "db_affine2": grads[2]["b"], "dW1": grads[1].W}.items():
        np.testing.assert_allclose(shown[symbol], right, rtol=1e-4)


def test_layers_that_draw_or_remember(key):
    layer = fnn.serial(
        fnn.dense(4), fnn.batch_norm(), fnn.tanh, fnn.dropout(0.5), fnn.residual(fnn.dense(4)), fnn.dense(2)
    )
    net = fnn.network(layer, fnn.softmax_cross_entropy, input_shape=(3,))
    params, x, y = scatter(key, net.init(key)), jax.random.normal(key, (6, 3)), jnp.array([0, 1, 1, 0, 1, 0])
    keywords = {"state": net.init_state(), "key": key}
    shown, grads = fnn.explain(net, params, x, y, **keywords), jax.grad(net.loss)(params, x, y, **keywords)
    assert [step.symbol for step in shown.steps][:8] == [
        "X", "Z1", "batch_norm1", "tanh1", "dropout1", "residual1", "Z2", "Ŷ"
    ]  # fmt: skip
    np.testing.assert_allclose(shown["dW1"], grads[0].W, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shown["dW_residual1"], grads[4].W, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="key"):
        fnn.explain(net, params, x, y, state=net.init_state())


def test_no_hidden_layer(key):
    net = fnn.mlp(3, 1, loss=fnn.sigmoid_cross_entropy)
    shown = fnn.explain(net, net.init(key), jnp.ones((1, 3)), jnp.ones((1, 1)))
    assert [step.symbol for step in shown.steps] == ["X", "Z1", "Ŷ", "Y", "L", "dZ1", "dW1", "db1"]


def test_it_prints_as_a_derivation(problem):
    lines = str(fnn.explain(*problem)).splitlines()
    assert (
        lines[0]
        == "fnn.network(fnn.serial(fnn.dense(4), fnn.tanh, fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,))"
    )
    assert lines[1] == "n = 5 examples, which are rows; dX stands for ∂L/∂X"
    assert any(line.split("   ")[0] == "dZ1 = dA1 ⊙ tanh'(Z1)" for line in lines)
    assert "why ⊙" in str(fnn.explain(*problem))
    assert max(map(len, lines)) <= 120
    net, params, x, y = problem
    shown = fnn.explain(net, params, x, y)
    (line,) = [line for line in lines if line.startswith("dW1")]
    assert float(line.split()[-1]) == pytest.approx(np.linalg.norm(shown["dW1"]), rel=1e-3)


def test_what_cannot_be_explained_is_refused(problem):
    net, params, x, y = problem
    with pytest.raises(ValueError, match='expects layout "row" or "column", got'):
        fnn.explain(net, params, x, y, "rows")
    with pytest.raises(ValueError, match="one target an example"):
        fnn.explain(net, params, x, y[:2])
    with pytest.raises(KeyError, match="'dW9' is none of X, Z1, A1"):
        fnn.explain(net, params, x, y)["dW9"]


def test_a_tiny_network_prints_its_numbers_and_its_parameters():
    net = fnn.mlp(2, 1, loss=fnn.half_mean_squared_error)
    params = (fnn.DenseParams(jnp.array([[0.5, -1.0]]), jnp.array([1.0])),)
    text = str(fnn.explain(net, params, jnp.array([[2.0, 3.0]]), jnp.array([[1.0]])))
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["W1"][-2:] == ["0.5", "-1"]
    assert lines["Z1"][-1] == "-1"
    assert lines["dW1"][-2:] == ["-4", "-6"]
    assert "norm" not in text


def test_a_larger_one_prints_norms(problem):
    net = fnn.mlp(3, 20, 2)
    text = str(fnn.explain(net, net.init(jax.random.key(0)), *problem[2:]))
    assert "norm" in text
    assert "parameters" not in text
