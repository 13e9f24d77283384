"""The search over paths: mistakes in functions that are no networks are named, on their line; right ones are not."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.verify.paths.find import find_mistakes


def attention(p, x):
    q = x @ p["Wq"]
    k = x @ p["Wk"]
    v = x @ p["Wv"]
    scores = q @ k.T / jnp.sqrt(q.shape[1])
    weights = jax.nn.softmax(scores, axis=-1)
    return jnp.mean((weights @ v @ p["Wo"] - 1.0) ** 2)


ATTENTION = """
def backward(p, x):
    q, k, v = x @ p["Wq"], x @ p["Wk"], x @ p["Wv"]
    d = q.shape[1]
    s = q @ k.T / np.sqrt(d)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    a = e / e.sum(axis=-1, keepdims=True)
    y = a @ v @ p["Wo"]
    dy = 2 * (y - 1) / y.size
    dWo = (a @ v).T @ dy
    dc = dy @ p["Wo"].T
    da, dv = dc @ v.T, a.T @ dc
    ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(d)
    dq, dk = ds @ k, ds.T @ q
    return {"Wq": x.T @ dq, "Wk": x.T @ dk, "Wv": x.T @ dv, "Wo": dWo}
"""


def lstm_scan(p, x):
    def step(carry, xt):
        h, c = carry
        i = jax.nn.sigmoid(xt @ p["Wi"] + h @ p["Ui"] + p["bi"])
        f = jax.nn.sigmoid(xt @ p["Wf"] + h @ p["Uf"] + p["bf"])
        g = jnp.tanh(xt @ p["Wg"] + h @ p["Ug"] + p["bg"])
        c = f * c + i * g
        h = jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((x.shape[1], 4))
    _, hs = jax.lax.scan(step, (start, start), x)
    return jnp.sum(jnp.sin(hs))


def lstm_loop(p, x):
    h = c = jnp.zeros((x.shape[1], 4))
    total = 0.0
    for t in range(len(x)):
        i = jax.nn.sigmoid(x[t] @ p["Wi"] + h @ p["Ui"] + p["bi"])
        f = jax.nn.sigmoid(x[t] @ p["Wf"] + h @ p["Uf"] + p["bf"])
        g = jnp.tanh(x[t] @ p["Wg"] + h @ p["Ug"] + p["bg"])
        c = f * c + i * g
        h = jnp.tanh(c)
        total = total + jnp.sum(jnp.sin(h))
    return total


LSTM = """
def backward(p, x):
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))
    h = c = np.zeros((x.shape[1], 4))
    kept = []
    for t in range(len(x)):
        i = sigmoid(x[t] @ p["Wi"] + h @ p["Ui"] + p["bi"])
        f = sigmoid(x[t] @ p["Wf"] + h @ p["Uf"] + p["bf"])
        g = np.tanh(x[t] @ p["Wg"] + h @ p["Ug"] + p["bg"])
        c_next = f * c + i * g
        kept.append((h, c, i, f, g, c_next))
        h, c = np.tanh(c_next), c_next
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    dh = dc = np.zeros((x.shape[1], 4))
    for t in reversed(range(len(x))):
        h, c, i, f, g, c_next = kept[t]
        h_next = np.tanh(c_next)
        dh = dh + np.cos(h_next)
        dc = dc + dh * (1 - h_next**2)
        dz = {"i": dc * g * i * (1 - i), "f": dc * c * f * (1 - f), "g": dc * i * (1 - g**2)}
        for name, d in dz.items():
            grads["W" + name] += x[t].T @ d
            grads["U" + name] += h.T @ d
            grads["b" + name] += d.sum(axis=0)
        dh = dz["i"] @ p["Ui"].T + dz["f"] @ p["Uf"].T + dz["g"] @ p["Ug"].T
        dc = dc * f
    return grads
"""


def layer_norm(p, x, y):
    mean = x.mean(axis=1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    std = jnp.sqrt(var + 1e-3)
    out = p["gamma"] * (x - mean) / std + p["beta"]
    return jnp.sum((out - y) ** 2) / 2


LAYER_NORM = """
def backward(p, x, y):
    mean = x.mean(axis=1, keepdims=True)
    std = np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + 1e-3)
    xhat = (x - mean) / std
    dout = p["gamma"] * xhat + p["beta"] - y
    dxhat = dout * p["gamma"]
    centred = dxhat - dxhat.mean(axis=1, keepdims=True)
    dx = (centred - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)) / std
    return {"gamma": (dout * xhat).sum(axis=0), "beta": dout.sum(axis=0)}, dx
"""


def factorization(p, users, items, ratings, reg):
    u = p["U"][users]
    v = p["V"][items]
    error = jnp.sum(u * v, axis=1) - ratings
    return 0.5 * jnp.sum(error**2) + 0.5 * reg * jnp.sum(p["U"] ** 2)


FACTORIZATION = """
def backward(p, users, items, ratings, reg):
    u, v = p["U"][users], p["V"][items]
    error = (u * v).sum(axis=1) - ratings
    dU, dV = reg * p["U"], np.zeros_like(p["V"])
    np.add.at(dU, users, error[:, None] * v)
    np.add.at(dV, items, error[:, None] * u)
    return {"U": dU, "V": dV}
"""


def convolution(p, x):
    z = jax.lax.conv_general_dilated(x, p["K"], (1, 1), "SAME") + p["b"][None, :, None, None]
    pooled = jax.lax.reduce_window(jax.nn.relu(z), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return jnp.sum(jnp.tanh(pooled))


def numbers(*shapes, seed=0, scale=0.8):
    random = np.random.default_rng(seed)
    return [scale * random.normal(size=shape) for shape in shapes]


def lstm_point():
    names = [kind + gate for gate in "ifg" for kind in "WUb"]
    shapes = [shape for _ in "ifg" for shape in ((2, 4), (4, 4), (4,))]
    return dict(zip(names, numbers(*shapes), strict=True)), *numbers((5, 3, 2), seed=1)


POINTS = {
    attention: (dict(zip(("Wq", "Wk", "Wv", "Wo"), numbers(*[(3, 3)] * 4), strict=True)), *numbers((5, 3), seed=1)),
    lstm_scan: lstm_point(),
    lstm_loop: lstm_point(),
    layer_norm: (dict(zip(("gamma", "beta"), numbers((4,), (4,)), strict=True)), *numbers((3, 4), (3, 4), seed=1)),
    factorization: (
        dict(zip("UV", numbers((4, 3), (5, 3)), strict=True)),
        np.array([0, 1, 1, 3, 1]),
        np.array([4, 2, 0, 0, 4]),
        *numbers((5,), seed=1),
        0.3,
    ),
}
SOURCES = {
    attention: ATTENTION,
    lstm_scan: LSTM,
    lstm_loop: LSTM,
    layer_norm: LAYER_NORM,
    factorization: FACTORIZATION,
}


def find(loss, old="", new="", argnums=0):
    """Plant a slip in a backward's source and ask for it."""
    source = SOURCES[loss]
    assert old in source
    namespace = {"np": np}
    exec(source.replace(old, new, 1), namespace)
    backward = namespace["backward"]

    def asked(*args):
        return backward(*jax.tree.map(np.asarray, args))

    return find_mistakes(loss, POINTS[loss], argnums, asked(*POINTS[loss]), asked)


def line_of(loss, text):
    """The line of the forward in which some text stands."""
    lines, first = inspect.getsourcelines(loss)
    return first + next(i for i, line in enumerate(lines) if text in line)


@pytest.mark.parametrize("loss", [attention, lstm_scan, lstm_loop, factorization], ids=lambda f: f.__name__)
def test_right_gradients_have_no_mistakes(loss):
    assert find(loss) == ()


def test_right_gradients_of_two_arguments_have_no_mistakes():
    assert find(layer_norm, argnums=(0, 1)) == ()


MISTAKES = [
    (attention, "    ds = ds / np.sqrt(d)\n", "", "dWk dWq", "jnp.sqrt(q.shape[1])", "division by"),
    (attention, "ds.T @ q", "ds @ q", "dWk", "q @ k.T", "not transposed"),
    (attention, "2 * (y - 1)", "(y - 1)", "dWk dWo dWq dWv", "** 2", "factor 2"),
    (attention, "y.size", "len(y)", "dWk dWo dWq dWv", "jnp.mean", "division"),
    (attention, "(da * a).sum(axis=-1, keepdims=True)", "0", "dWk dWq", "softmax", "missing"),
    (attention, "(da * a).sum(axis=-1", "(da * a).sum(axis=0", "dWk dWq", "softmax", "axis 0"),
    (attention, "a * (da - (da * a).sum(axis=-1, keepdims=True))", "da", "dWk dWq", "softmax", "derivative"),
    (attention, "a * (da - (da * a).sum(axis=-1, keepdims=True))", "a * (1 - a) * da", "dWk dWq", "soft", "diagonal"),
    (attention, 'dy @ p["Wo"].T', 'dy @ p["Wo"]', "dWk dWq dWv", 'p["Wo"]', "transposed"),
    (attention, "a.T @ dc", "a @ dc", "dWv", "weights @ v", "transposed"),
    (layer_norm, "- xhat * (dxhat * xhat).mean(axis=1, keepdims=True)", "", "dx", "(x - mean) ** 2", "missing"),
    (layer_norm, "- dxhat.mean(axis=1, keepdims=True)", "", "dx", "mean", "missing"),
    (layer_norm, "dout * p[\"gamma\"]", "dout", "dx", 'p["gamma"]', "missing"),
    (layer_norm, "(dout * xhat).sum", "(dout * x).sum", "dgamma", 'p["gamma"]', "wrong"),
    (layer_norm, "dout.sum(axis=0)", "dout.mean(axis=0)", "dbeta", 'p["beta"]', "averaged"),
    (factorization, "np.add.at(dV, items, error[:, None] * u)", "dV[items] = error[:, None] * u", "dV", "[it", "over"),
    (factorization, 'reg * p["U"], np', 'np.zeros_like(p["U"]), np', "dU", 'p["U"] ** 2', "missing"),
    (factorization, 'np.zeros_like(p["V"])', '0.3 * p["V"]', "dV", "reg", "penalty"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "old", "new", "leaves", "place", "word"), MISTAKES)
def test_single_mistakes_are_named_on_their_line(loss, old, new, leaves, place, word):
    (found,) = find(loss, old, new, argnums=(0, 1) if loss is layer_norm else 0)
    assert " ".join(sorted(found.leaves)) == leaves
    assert place in found.sentence
    assert word in found.sentence


STEPS = [
    ("dh = dh + np.cos(h_next)", "dh = np.cos(h_next)", "jnp.tanh(c)", "missing"),
    ("dc = dc + dh", "dc = dh", "f * c", "missing"),
    ("dh * (1 - h_next**2)", "dh", "jnp.tanh(c)", "derivative"),
    ("dh * (1 - h_next**2)", "dh * (1 - np.tanh(h_next)**2)", "jnp.tanh(c)", "at the output"),
    ("dc * c * f", "dc * c_next * f", "f * c", "f * c"),
    ("f * (1 - f)", "i * (1 - i)", 'p["Wf"]', "derivative"),
    ('p["Ui"].T', 'p["Ui"]', 'p["Ui"]', "transposed"),
]


@pytest.mark.parametrize("loss", [lstm_scan, lstm_loop], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("old", "new", "place", "word"), STEPS)
def test_mistakes_in_every_step_of_a_loop_are_named(loss, old, new, place, word):
    (found,) = find(loss, old, new)
    assert len(found.leaves) == 9
    assert place in found.sentence
    assert word in found.sentence
    assert "at every step" in found.sentence


def test_the_line_is_that_of_the_forward():
    (found,) = find(attention, "ds.T @ q", "ds @ q")
    assert found.expression == "q @ k.T"
    assert found.line == line_of(attention, "q @ k.T")
    assert found.file == attention.__code__.co_filename


def test_two_independent_mistakes_are_two_findings():
    namespace = {"np": np}
    exec(ATTENTION.replace("ds.T @ q", "ds @ q").replace('"Wo": dWo', '"Wo": 2 * dWo'), namespace)
    found = find_mistakes(attention, POINTS[attention], 0, namespace["backward"](*POINTS[attention]))
    assert {found.leaves for found in found} == {("dWk",), ("dWo",)}


def test_one_mistake_behind_another_is_found():
    namespace = {"np": np}
    source = LSTM.replace("dh * (1 - h_next**2)", "dh").replace('grads["b" + name] +=', 'grads["b" + name] +=  2 *')
    exec(source, namespace)
    found = find_mistakes(lstm_scan, POINTS[lstm_scan], 0, namespace["backward"](*POINTS[lstm_scan]))
    assert any("jnp.tanh(c)" in f.sentence and "derivative" in f.sentence for f in found)


def test_nonsense_is_not_named():
    p, x = POINTS[attention]
    noise = jax.tree.map(lambda leaf: np.random.default_rng(3).normal(size=leaf.shape), p)
    assert find_mistakes(attention, (p, x), 0, noise) == ()


def test_what_a_second_point_refutes_is_withdrawn():
    p, x = POINTS[attention]
    right = jax.tree.map(np.asarray, jax.grad(attention)(p, x))
    assert find_mistakes(attention, (p, x), 0, right, tolerance=1e-5) == ()

    def backward(q, x):
        with jax.enable_x64(True):
            g = jax.tree.map(np.asarray, jax.grad(attention)(q, x))
        here = np.allclose(q["Wq"], p["Wq"])
        return {**g, "Wo": (2 if here else 3.1) * g["Wo"]}

    assert find_mistakes(attention, (p, x), 0, backward(p, x)) != ()
    assert find_mistakes(attention, (p, x), 0, backward(p, x), backward) == ()


def test_convolutions_and_pooling_run():
    point = (dict(zip("Kb", numbers((2, 1, 3, 3), (2,)), strict=True)), *numbers((2, 1, 4, 4), seed=1))
    with jax.enable_x64(True):
        right = jax.tree.map(np.asarray, jax.grad(convolution)(*point))
    assert find_mistakes(convolution, point, 0, right) == ()
    (found,) = find_mistakes(convolution, point, 0, {**right, "K": right["K"][:, :, ::-1, ::-1]})
    assert found.leaves == ("dK",)
    assert "reversed" in found.sentence


def test_check_gradient_names_the_mistake_and_leaves_the_rest_to_the_rows():
    namespace = {"np": np}
    exec(ATTENTION.replace("ds.T @ q", "ds @ q"), namespace)
    report = fnn.check_gradient(attention, namespace["backward"], *POINTS[attention])
    assert report.verdict == "WRONG"
    assert report.diagnosis.startswith("dWk: the gradient that arrives at `q @ k.T`")
    assert [leaf.verdict for leaf in report.leaves] == ["WRONG", "OK", "OK", "OK"]


@pytest.mark.parametrize("argnums", [(0, 1), (1, 0)])
def test_check_gradient_takes_several_arguments(argnums):
    namespace = {"np": np}
    exec(LAYER_NORM.replace("- dxhat.mean(axis=1, keepdims=True)", ""), namespace)
    backward = namespace["backward"]
    report = fnn.check_gradient(
        layer_norm, lambda *args: tuple(backward(*args)[i] for i in argnums), *POINTS[layer_norm], argnums=argnums
    )
    assert [leaf.name for leaf in report.leaves] == ["args[0]['beta']", "args[0]['gamma']", "args[1]"]
    assert [leaf.verdict for leaf in report.leaves] == ["OK", "OK", "WRONG"]
    assert report.diagnosis.startswith("dx lacks the path from")


def test_check_gradient_refuses_arguments_that_are_not_there():
    with pytest.raises(ValueError, match="distinct numbers from 0 to 1, got"):
        fnn.check_gradient(attention, attention, *POINTS[attention], argnums=(0, 2))


def test_a_numpy_backward_gets_what_its_author_would_hand_it():
    def loss(p, x, rate, power):
        return jnp.sum((p["w"] * x - p["b"]) ** power) * rate

    handed = []

    def backward(p, x, rate, power):
        handed.append([type(v) for v in (p["w"], p["b"], x, rate, power)])
        d = power * (p["w"] * x - p["b"]) ** (power - 1)  # the rate is forgotten
        return {"w": d * x, "b": -d.sum()}

    p = {"w": np.array([1.0, -2.0]), "b": np.float64(0.5)}
    report = fnn.check_gradient(loss, backward, p, np.array([0.3, 0.7]), 0.1, 2)
    assert {tuple(types) for types in handed} == {(np.ndarray, np.float64, np.ndarray, float, int)}
    assert "dw and db" in report.diagnosis or "db and dw" in report.diagnosis
