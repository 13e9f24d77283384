"""Trace: the notes' intermediates by name, and the first step that is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

NAMES = ["Z1", "A1", "Z2", "A2", "dA2", "dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"]


@pytest.fixture(scope="module")
def case():
    """S4's network: two sigmoid layers, binary cross-entropy."""
    net = fnn.mlp(3, 4, 2, activation=fnn.sigmoid, loss=fnn.sigmoid_cross_entropy)
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), net.init(jax.random.key(0)))
    return net, params, random.normal(size=(5, 3)), random.integers(0, 2, (5, 2)).astype(float)


def by_notes(params, X, Y):
    """S4's equations with examples in rows, written out."""
    (W1, b1), _, (W2, b2) = params
    n = len(X)
    Z1 = X @ W1.T + b1
    A1 = 1 / (1 + np.exp(-Z1))
    Z2 = A1 @ W2.T + b2
    A2 = 1 / (1 + np.exp(-Z2))
    dA2 = (A2 - Y) / (A2 * (1 - A2)) / n
    dZ2 = (A2 - Y) / n
    dA1 = dZ2 @ W2
    dZ1 = dA1 * A1 * (1 - A1)
    forward = {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    upper = {"dA2": dA2, "dZ2": dZ2, "dW2": dZ2.T @ A1, "db2": dZ2.sum(0)}
    return forward | upper | {"dA1": dA1, "dZ1": dZ1, "dW1": dZ1.T @ X, "db1": dZ1.sum(0)}


def test_all_eight_intermediates_of_s4_and_the_forward_pass(case):
    trace, notes = fnn.trace(*case), by_notes(*case[1:])
    assert list(trace) == NAMES
    for name in NAMES:
        np.testing.assert_allclose(trace[name], notes[name], atol=1e-12)
    assert "dZ1   dA1 ⊙ g'(Z1)" in str(trace)


@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "columns"])
def test_right_steps_are_right_in_either_layout(case, transposed):
    notes = by_notes(*case[1:])
    if transposed:  # S4 writes columns, and biases as (h, 1)
        keep = [name for name in NAMES if "W" not in name]
        notes = {name: notes[name][:, None] if "b" in name else notes[name].T for name in keep}
    trace = fnn.trace(*case, steps=notes)
    assert trace.first_wrong is None
    assert {step.verdict for step in trace.steps if step.name in notes} == {"right"}


def slipped(notes, X, name):
    """One slip, and everything after it computed from it."""
    notes = dict(notes)
    if name == "dZ2":
        notes["dZ2"] = notes["dZ2"] * len(X)
        notes["dW2"], notes["db2"] = notes["dZ2"].T @ notes["A1"], notes["dZ2"].sum(0)
    if name in ("dZ2", "dA1"):
        notes["dA1"] = notes["dA1"] * (len(X) if name == "dZ2" else 1.5)
    if name == "dZ1":
        notes["dZ1"] = notes["dA1"]
    elif name != "db1":
        notes["dZ1"] = notes["dA1"] * notes["A1"] * (1 - notes["A1"])
    notes["dW1"], notes["db1"] = notes["dZ1"].T @ X, notes["dZ1"].sum(0)
    if name == "db1":
        notes["db1"] = notes["db1"] / len(X)
    return notes


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dZ2", "1/n missing"),
        ("dA1", "is 1.5 times the right value"),
        ("dZ1", "activation derivative missing at layers[1] (sigmoid)"),
        ("db1", "bias gradient averaged at layers[0] (dense)"),
    ],
)
def test_one_slip_is_reported_once(case, name, told):
    trace = fnn.trace(*case, steps=slipped(by_notes(*case[1:]), case[2], name))
    assert trace.first_wrong == name
    verdicts = {step.name: step.verdict for step in trace.steps}
    assert [n for n in NAMES if verdicts[n] == "WRONG"] == [name]
    assert {verdicts[n] for n in NAMES[NAMES.index(name) + 1 :]} <= {"follows", "right"}
    assert told in str(trace)


def test_a_wrong_forward_value_is_the_first_wrong_step(case):
    notes = by_notes(*case[1:])
    notes["A1"] = np.tanh(notes["Z1"])
    notes["dW2"] = notes["dZ2"].T @ notes["A1"]
    trace = fnn.trace(*case, steps=notes)
    assert trace.first_wrong == "A1"
    assert {step.name: step.verdict for step in trace.steps}["dW2"] == "follows"


def test_missing_steps_are_bridged(case):
    notes = by_notes(*case[1:])
    some = {"dZ2": notes["dZ2"] * 5, "db1": notes["db1"] * 5}
    verdicts = {step.name: step.verdict for step in fnn.trace(*case, steps=some).steps}
    assert (verdicts["dZ2"], verdicts["db1"], verdicts["dW1"]) == ("WRONG", "follows", "–")


def test_float32_steps_are_judged_as_such(case):
    notes = {name: np.float32(value) for name, value in by_notes(*case[1:]).items()}
    assert fnn.trace(*case, steps=notes).first_wrong is None


@pytest.mark.parametrize("loss", [fnn.softmax_cross_entropy, fnn.scaled(fnn.softmax_cross_entropy, 3.0)], ids=str)
def test_the_loss_on_probabilities_is_unfused(loss, key):
    net = fnn.mlp(3, 4, loss=loss)
    params, x, y = net.init(key), jax.random.normal(key, (5, 3)), np.array([0, 1, 2, 3, 0])
    trace = fnn.trace(net, params, x, y)
    factor = 3.0 if loss.name != "softmax_cross_entropy" else 1.0
    np.testing.assert_allclose(trace["dA1"], -factor * np.eye(4)[y] / trace["A1"] / 5, atol=1e-12)
    np.testing.assert_allclose(trace["dZ1"], factor * (trace["A1"] - np.eye(4)[y]) / 5, atol=1e-12)


def test_other_layers_go_by_their_names(key):
    layer = fnn.serial(fnn.flatten, fnn.dense(3), fnn.tanh, fnn.dense(4), fnn.softmax)
    net = fnn.network(layer, fnn.cross_entropy, input_shape=(2, 2))
    trace = fnn.trace(net, net.init(key), jnp.ones((3, 2, 2)), np.array([0, 1, 2]))
    assert list(trace)[:5] == ["flatten1", "Z1", "A1", "Z2", "A2"]
    assert trace["dA2"].shape == (3, 4)


def test_bad_steps_are_refused(case):
    with pytest.raises(ValueError, match=r"expected names among Z1, A1, .*, got 'dZ9'; rename it"):
        fnn.trace(*case, steps={"dZ9": np.ones((5, 2))})
    with pytest.raises(ValueError, match=r"expected db1 of shape \(4,\).*got \(5, 4\); bias gradients are summed"):
        fnn.trace(*case, steps={"db1": np.ones((5, 4))})


def test_agree_tabulates_four_roads(case):
    net, params, x, y = case
    table = fnn.agree(net, params, x, y, weights=np.arange(1.0, 6.0))
    assert table.ok
    assert [road.name for road in table.roads] == ["four loops", "hand", "autodiff", "central differences"]
    assert [road.passes for road in table.roads] == [1, 1, 1, 4 * 26]
    assert all(road.error < 1e-9 for road in table.roads)
    assert "central differences" in str(table)


def test_agree_notices_a_wrong_hand_gradient(key):
    wrong = fnn.stateless("square", fnn.no_params, lambda _, x: (x * x, x), lambda x, dy: ((), x * dy))
    net = fnn.network(fnn.serial(fnn.dense(2), wrong), fnn.mean_squared_error, input_shape=(3,))
    table = fnn.agree(net, net.init(key), jnp.ones((2, 3)), jnp.ones((2, 2)))
    assert not table.ok
    assert "four loops know dense layers" in str(table)
