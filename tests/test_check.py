"""The checker: accepts what is right, rejects what is wrong, and says what it saw."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, LOSSES, scatter

import fnn
from fnn.verify.mistakes.catalogue import planted


def point(net, key, n=5):
    x = jax.random.normal(key, (n, *net.input_shape))
    return scatter(key, net.init(key)), x, jnp.arange(n) % net.outputs


@pytest.fixture(scope="module")
def net():
    return fnn.mlp(4, 5, 3, penalty=fnn.l2(0.1))


@pytest.fixture(scope="module")
def at(net):
    return point(net, jax.random.key(0))


def changed(net, change):
    """The right gradient, changed."""
    return lambda *args: change(net.backward(*args))


# What is right is accepted


@pytest.mark.parametrize("case", LAYERS[::3], ids=lambda case: case.name)
def test_layers_are_accepted(case):
    fnn.check_layer(case.layer, case.shape, n=case.n).assert_ok()


@pytest.mark.parametrize("case", LOSSES[::4], ids=lambda case: case.name)
def test_losses_are_accepted(case, key):
    link = (fnn.softmax if case.outputs > 1 else fnn.sigmoid,) if case.on_probabilities else ()
    layer = fnn.serial(fnn.dense(3), fnn.tanh, fnn.dense(case.outputs), *link)
    net = fnn.network(layer, case.loss, input_shape=(3,))
    _, y, weights = case.draw(key)
    params, x, _ = point(net, key, case.n)
    fnn.check(net, params, x, y, weights=weights).assert_ok()


def numpy_backward(params, x, y):
    """4-5-3 with relu, softmax and cross-entropy, and an l2 penalty, by hand in NumPy."""
    (W1, b1), _, (W2, b2) = [tuple(map(np.asarray, p)) for p in params]
    x, y, n = np.asarray(x), np.asarray(y), len(x)
    z1 = x @ W1.T + b1
    a1 = np.maximum(z1, 0)
    e = np.exp(a1 @ W2.T + b2)
    dz2 = (e / e.sum(1, keepdims=True) - np.eye(3)[y]) / n
    dz1 = dz2 @ W2 * (z1 > 0)
    grads = (fnn.DenseParams(dz1.T @ x, dz1.sum(0)), (), fnn.DenseParams(dz2.T @ a1, dz2.sum(0)))
    return tuple(fnn.DenseParams(g.W + 0.1 * p.W, g.b) if g else () for g, p in zip(grads, params, strict=True))


def in_place(params, x, y):
    x[:, 0] += 0.0  # fails on JAX arrays, as NumPy code may
    return numpy_backward(params, x, y)


def float32_only(net, params, x, y):
    if np.asarray(x).dtype != np.float32:
        raise TypeError("this kernel takes float32 alone")
    return jax.jit(net.backward)(params, x, y)


@pytest.mark.parametrize(
    ("backward", "precision"),
    [
        (lambda net: None, "float64"),
        (lambda net: net.backward, "float64"),
        (lambda net: jax.jit(net.backward), "float64"),
        (lambda net: jax.grad(net.loss), "float64"),
        (lambda net: numpy_backward, "float64"),
        (lambda net: in_place, "float64"),
        (lambda net: functools.partial(float32_only, net), "float32"),
        (lambda net: changed(net, lambda g: jax.tree.map(np.float32, g)), "float32"),
    ],
    ids=["own", "eager", "jitted", "grad", "numpy", "numpy-in-place", "float32-only", "answers-in-float32"],
)
def test_every_kind_of_right_backward_is_accepted(backward, precision, net, at):
    report = fnn.check(net, *at, backward(net))
    report.assert_ok()
    assert report.precision == precision
    assert report.diagnosis is None


def test_the_users_settings_do_not_matter_and_come_back(net, at):
    with jax.enable_x64(False), jax.default_matmul_precision("bfloat16"), jax.numpy_dtype_promotion("strict"):
        report = fnn.check(net, *at, net.backward)
        assert jax.config.jax_default_matmul_precision == "bfloat16"
        assert jnp.ones(1).dtype == jnp.float32
    assert report.ok
    assert max(leaf.error for leaf in report.leaves) < 1e-12


def test_keys_states_and_weights_reach_the_backward(net, at):
    weights = jnp.arange(1.0, 6.0)
    fnn.check(net, *at, lambda p, x, y, weights: net.backward(p, x, y, weights=weights), weights=weights).assert_ok()
    assert not fnn.check(net, *at, lambda p, x, y, weights: net.backward(p, x, y), weights=weights).ok


def test_bad_input_is_refused_as_the_network_refuses_it(net, at):
    with pytest.raises(ValueError, match=r"expected x of shape \(n, 4\)"):
        fnn.check(net, at[0], at[1][:, :2], at[2])
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 2"):
        fnn.check(net, *at[:2], at[2] + 1)


def test_errors_of_the_backward_say_whose_they_are(net, at):
    def broken(params, x, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        fnn.check(net, *at, broken)
    assert "raised by the backward under check" in caught.value.__notes__[0]


# Structure, shape and dtype come before values


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda g: g[:2], r"the gradient lacks \[2\].W, \[2\].b"),
        (lambda g: (*g, np.ones(3)), r"the gradient has \[3\]"),
        (lambda g: [tuple(p) for p in g], r"expected a pytree like the parameters"),
        (
            lambda g: (g[0]._replace(W=g[0].W.T), *g[1:]),
            r"layers\[0\].W has shape \(4, 5\), expected \(5, 4\): its",
        ),
        (lambda g: (g[0]._replace(b=np.stack([g[0].b / 5] * 5)), *g[1:]), "one row for each example; sum over them"),
        (lambda g: (g[0]._replace(b=g[0].b[:, None]), *g[1:]), "the values are right, reshape it"),
        (lambda g: jax.tree.map(lambda leaf: leaf.astype(np.float16), g), "has dtype float16, expected that of the"),
        (lambda g: jax.tree.map(lambda leaf: leaf.astype(int), g), "has dtype int64, expected that of the parameters"),
    ],
    ids=["missing", "extra", "containers", "transposed", "per-example", "column", "float16", "integers"],
)
def test_structure_shape_and_dtype(change, told, net, at):
    report = fnn.check(net, *at, changed(net, lambda g: change(jax.tree.map(np.asarray, g))))
    assert report.verdict == "WRONG"
    with pytest.raises(AssertionError, match=told):
        report.assert_ok()


# What else may be wrong


def test_nondeterminism_is_noticed(net, at):
    random = np.random.default_rng(0)
    noisy = changed(net, lambda g: jax.tree.map(lambda leaf: leaf * (1 + 0.1 * random.normal()), g))
    report = fnn.check(net, *at, noisy)
    assert report.verdict == "WRONG"
    assert "not deterministic" in report.diagnosis


def test_arguments_that_are_overwritten_are_noticed(net, at):
    def careless(params, x, y):
        grads = numpy_backward(params, x.copy(), y)
        x[:] = 0
        return grads

    report = fnn.check(net, at[0], np.array(at[1]), at[2], careless)
    assert "changed argument 1 in place" in report.notes[0]
    assert report.ok


def test_values_that_are_not_finite(net, at):
    report = fnn.check(net, *at, changed(net, lambda g: (g[0]._replace(b=g[0].b.at[1].set(jnp.nan)), *g[1:])))
    assert report.verdict == "WRONG"
    assert "layers[0].b holds 1 values that are not finite" in report.diagnosis
    assert report.leaves[1].worst[0] == (1,)


def test_a_loss_that_is_not_finite_can_not_be_judged(net, at):
    report = fnn.check(net, jax.tree.map(lambda leaf: leaf * jnp.inf, at[0]), *at[1:])
    assert report.verdict == "CANNOT TELL"
    assert "the loss is nan at this point" in report.diagnosis


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda g: (*g[:2], g[2]._replace(W=1.37 * g[2].W)), "layers[2].W is 1.37 times the right gradient"),
        (
            lambda g: (g[0]._replace(W=g[0].W.at[1, 2].add(1.0)), *g[1:]),
            "in 1 of 20 entries, the first at [1, 2]",
        ),
        (lambda g: (*g[:2], g[2]._replace(b=g[2].b[jnp.array([1, 2, 0])])), "holds the right numbers in another order"),
        (lambda g: (g[0]._replace(W=-g[0].W / 3), *g[1:]), "(-0.3333 is −1/c)"),
    ],
    ids=["ratio", "entry", "order", "constant"],
)
def test_what_matches_nothing_is_located_not_named(change, told, net, at):
    report = fnn.check(net, *at, changed(net, change))
    assert report.verdict == "WRONG"
    assert report.causes == ()
    assert report.diagnosis.startswith("No known mistake gives these numbers. It starts at layers[")
    assert told in report.diagnosis


def test_a_penalty_that_the_loss_has_not(key):
    net = fnn.mlp(4, 3)
    params, x, y = point(net, key)
    wrong = lambda p, x, y: jax.tree.map(lambda g, w: g + 0.01 * w, net.backward(p, x, y), p)  # noqa: E731
    assert "has 0.01 times the parameter itself too much" in fnn.check(net, params, x, y, wrong).diagnosis


def test_two_oracles_guard_each_other(key):
    """A custom derivative misleads autodiff; the loss's own values do not lie."""

    @jax.custom_jvp
    def square(z):
        return z**2

    square.defjvp(lambda primals, tangents: (square(*primals), 3 * primals[0] * tangents[0]))
    v = jnp.array([1.0, -2.0])
    report = fnn.check_gradient(lambda v: square(v).sum(), lambda v: 3 * v, v)
    assert report.verdict == "WRONG"
    assert "equals autodiff but not the slope of the loss's own values" in report.diagnosis
    fnn.check_gradient(lambda v: square(v).sum(), lambda v: 2 * v, v).assert_ok()


def test_errors_below_the_differences_are_still_seen(net, at):
    report = fnn.check(net, *at, changed(net, lambda g: jax.tree.map(lambda leaf: leaf * (1 + 1e-7), g)))
    assert report.verdict == "WRONG"
    assert "right to 1e-06, but not to the 1e-09 that rounding allows: float32 numbers in it" in str(report.diagnosis)


# check_layer and check_gradient


def test_a_wrong_rule_is_rejected():
    wrong = fnn.stateless("square", fnn.no_params, lambda _, x: (x * x, x), lambda x, dy: ((), x * dy))
    report = fnn.check_layer(wrong, (3,))
    assert report.verdict == "WRONG"
    assert "x is 0.5 times the right gradient" in report.diagnosis
    with pytest.raises(AssertionError, match="WRONG: backward of square"):
        report.assert_ok()


def test_a_network_with_a_wrong_rule_of_its_own_is_rejected(key):
    wrong = fnn.stateless("square", fnn.no_params, lambda _, x: (x * x, x), lambda x, dy: ((), x * dy))
    net = fnn.network(fnn.serial(fnn.dense(3), wrong, fnn.dense(2)), fnn.mean_squared_error, input_shape=(4,))
    params, x, _ = point(net, key)
    report = fnn.check(net, params, x, jnp.ones((5, 2)))
    assert report.verdict == "WRONG"
    assert "the backward of layers[1] (square) is not the derivative of its forward" in str(report)


def test_check_gradient_leaves_integers_alone():
    def loss(params, index):
        return params["v"][index] ** 2

    def backward(params, index):
        return {"v": jnp.zeros_like(params["v"]).at[index].set(2 * params["v"][index])}

    fnn.check_gradient(loss, backward, {"v": jnp.arange(3.0)}, 2).assert_ok()
    with pytest.raises(ValueError, match=r"argnums: expected 0 to 0 for 1 arguments, got 1"):
        fnn.check_gradient(loss, backward, jnp.ones(1), argnums=1)
    with pytest.raises(ValueError, match="check_gradient expects floating-point parameters, got int"):
        fnn.check_gradient(loss, backward, {"v": jnp.arange(3)}, 2)


def test_check_gradient_of_another_argument():
    report = fnn.check_gradient(lambda x, w: (x * w).sum(), lambda x, w: x, jnp.ones(2), jnp.ones(2), argnums=1)
    report.assert_ok()
    assert report.leaves[0].name == "args[1]"


def test_check_gradient_of_numpy_functions():
    fnn.check_gradient(lambda v: float(np.sin(v).sum()), np.cos, np.linspace(0, 1, 5)).assert_ok()
    assert fnn.check_gradient(lambda v: float(np.sin(v).sum()), np.sin, np.linspace(0, 1, 5)).verdict == "WRONG"


# Kinks


@pytest.fixture(scope="module")
def kinked(net):
    """An all-zero row and zero biases: every relu of that row sits on its kink."""
    params = net.init(jax.random.key(1))
    return params, jax.random.normal(jax.random.key(2), (5, 4)).at[2].set(0), jnp.arange(5) % 3


def with_relu(relu):
    def loss(params, x, y):
        a1 = relu(x @ params[0].W.T + params[0].b)
        penalty = 0.05 * sum((p.W**2).sum() for p in (params[0], params[2]))
        return fnn.softmax_cross_entropy(a1 @ params[2].W.T + params[2].b, y) + penalty

    return jax.grad(loss)


@pytest.mark.parametrize(
    ("relu", "choice"),
    [
        (lambda z: jnp.where(z > 0, z, 0), None),
        (lambda z: jnp.where(z >= 0, z, 0), "the derivative from the right"),
        (lambda z: jnp.maximum(z, 0), "the mean of both sides"),
        (lambda z: jnp.where(z > 0, z, 0.3 * jnp.where(z == 0, z, 0)), "a choice of its own"),
    ],
    ids=["left", "right", "maximum", "own"],
)
def test_any_subgradient_at_a_kink_is_accepted(relu, choice, net, kinked):
    report = fnn.check(net, *kinked, with_relu(relu))
    report.assert_ok()
    assert "5 of 25 units of layers[1] (relu) sit on a kink, in examples 2" in report.kinks
    assert choice is None or choice in report.notes[0]


def absolute(v):
    return jnp.abs(v[:-1] - v[-1]).sum() + (v**2).sum()


@pytest.mark.parametrize(
    ("loss", "gradient", "verdict"),
    [
        (absolute, lambda v: [1, -1, 0], "OK"),
        (absolute, lambda v: [0.5, 0.5, -1], "OK"),
        (absolute, lambda v: [1.05, 0, -1.05], "CANNOT TELL"),
        (absolute, lambda v: [1, 1, 0], "WRONG"),
        (absolute, lambda v: [4, 0, -4], "WRONG"),
        (lambda v: float(np.abs(np.asarray(v)).sum()), lambda v: [1, 0.3, -1], "OK"),
        (lambda v: float(np.abs(np.asarray(v)).sum()), lambda v: [5, 0.3, -1], "WRONG"),
    ],
    ids=["corner", "inside", "just-outside", "not-joint", "far", "numpy", "numpy-far"],
)
def test_kinks_of_any_function(loss, gradient, verdict):
    report = fnn.check_gradient(loss, lambda v: np.array(gradient(v), float), np.zeros(3))
    assert report.verdict == verdict


def test_kinks_that_no_layer_declares(key):
    modulus = fnn.stateless(
        "modulus", fnn.no_params, lambda _, z: (jnp.abs(z), z), lambda z, da: ((), da * jnp.sign(z))
    )
    net = fnn.network(fnn.serial(fnn.dense(4), modulus, fnn.dense(2)), fnn.mean_squared_error, input_shape=(3,))
    batch = net.init(key), jax.random.normal(key, (5, 3)).at[2].set(0), jnp.ones((5, 2))
    report = fnn.check(net, *batch)  # sign(0) = 0 where jax says 1
    report.assert_ok()
    assert report.kinks == ("the loss has kinks at this point that no layer declares",)
    assert not fnn.check(net, *batch, lambda *a: jax.tree.map(lambda g: 1.1 * g, net.backward(*a))).ok


def test_mistakes_are_named_at_kinks_too(net, kinked):
    right = with_relu(lambda z: jnp.where(z >= 0, z, 0))
    wrong = lambda *a: jax.tree.map(lambda g: len(a[1]) * g, right(*a))  # noqa: E731
    report = fnn.check(net, *kinked, wrong)
    assert report.verdict == "WRONG"
    assert report.causes[0].mistake == "mean-missing"


def test_what_only_some_choice_might_give_is_left_open(net, kinked):
    def odd(params, x, y):
        left = with_relu(lambda z: jnp.where(z > 0, z, 0))(params, x, y)
        right = with_relu(lambda z: jnp.where(z >= 0, z, 0))(params, x, y)
        return jax.tree.map(lambda a, b: a - 0.2 * (b - a), left, right)  # outside of the interval, but not far

    report = fnn.check(net, *kinked, odd)
    assert report.verdict == "CANNOT TELL"
    assert report.leaves[1].reason == "units that feed it sit on a kink"
    assert "move the point off the kinks" in report.diagnosis


def test_a_kink_in_the_loss(key):
    net = fnn.mlp(3, 2, loss=fnn.mean_absolute_error)
    params, x, _ = point(net, key)
    params = jax.tree.map(jnp.zeros_like, params)
    y = jnp.zeros((5, 2)).at[:, 1].set(1.0)

    def upward(p, x, y):
        error = net.logits(p, x) - y
        return jnp.where(error >= 0, error, -error).sum() / 5

    report = fnn.check(net, params, x, y, jax.grad(upward))
    assert "5 of 10 units of the loss (mean_absolute_error) sit on a kink" in report.kinks[0]
    report.assert_ok()


# The report


def test_a_report_fits_on_a_screen():
    net = fnn.mlp(*[3] * 22)
    params, x, y = point(net, jax.random.key(5))
    for backward in (None, planted(net, "bias-mean", "layers[20] (dense)")):
        lines = str(fnn.check(net, params, x, y, backward)).splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 110
        assert any("more leaves" in line for line in lines)
    assert lines[0].startswith("WRONG: your gradient of fnn.network(")
    assert next(line for line in lines if line.startswith("layers[")).startswith("layers[20].b")


def test_a_report_is_data(net, at):
    report = fnn.check(net, *at, planted(net, "factor-two"))
    assert (report.verdict, report.ok, report.precision) == ("WRONG", False, "float64")
    leaf = report.leaves[2]
    assert (leaf.name, leaf.shape, leaf.verdict) == ("layers[2].W", (3, 5), "WRONG")
    assert leaf.cosine > 0.9
    assert 1 < leaf.norm_ratio <= 2.01
    index, yours, right = leaf.worst
    assert abs(yours - right) > 0
    assert index[0] < 3
    assert repr(report) == str(report)


def test_pytest_use_is_one_line(net, at):
    with pytest.raises(AssertionError, match="factor 2 too many at the loss"):
        fnn.check(net, *at, backward=planted(net, "factor-two")).assert_ok()


# Blind spots


@pytest.mark.parametrize(
    ("blind", "told"),
    [
        (lambda p, x, y: (p, x[:1], y[:1]), "1/n missing"),
        (
            lambda p, x, y: (jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else 0 * leaf, p), x, y),
            "penalty on biases",
        ),
        (lambda p, x, y: (jax.tree.map(jnp.zeros_like, p), x, y), "activation derivative missing"),
        (lambda p, x, y: (p, x.at[:].set(x[0]), y * 0), "examples permuted"),
    ],
    ids=["one-example", "zero-biases", "zero-weights", "equal-examples"],
)
def test_blind_spots_are_listed_with_a_remedy(blind, told, net, at):
    report = fnn.check(net, *blind(*at))
    assert report.ok
    spots = [spot for spot in report.blind_spots if spot.startswith(told)]
    assert len(spots) == 1
    assert "; take " in spots[0]


def test_symmetric_weights_hide_a_transposition(key):
    net = fnn.mlp(3, 3, 3)
    params, x, y = point(net, key)
    symmetric = params[2]._replace(W=params[2].W + params[2].W.T)
    spots = fnn.check(net, (*params[:2], symmetric), x, y).blind_spots
    assert any(
        spot.startswith("W and Wᵀ confused at layers[2] (dense); take layers whose widths differ") for spot in spots
    )


@pytest.mark.parametrize(
    "net",
    [
        fnn.mlp(4, 5, 3),
        fnn.mlp(3, 3, 3, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy, penalty=fnn.l1(0.1)),
        fnn.mlp(7, 7, loss=fnn.huber(0.8), penalty=fnn.l2(0.1)),
        fnn.network(fnn.serial(fnn.dense(3), fnn.softmax), fnn.cross_entropy, input_shape=(2,)),
    ],
    ids=str,
)
def test_a_good_point_has_no_blind_spots(net, key):
    point = fnn.good_point(net, key)
    assert fnn.check(net, *point).blind_spots == ()
    assert len(point.x) not in (net.outputs, 1)


def test_no_point_is_good_for_a_network_that_hides_by_itself(key):
    net = fnn.mlp(3, 2, loss=fnn.mean_squared_error, penalty=fnn.l2(1.0))
    with pytest.raises(ValueError, match="these stay hidden: penalty without its strength"):
        fnn.good_point(net, key)
