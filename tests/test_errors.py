"""Bad input meets a message that says expected, received and remedy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

KEY = jax.random.key(0)
NET = fnn.mlp(3, 4, 2)
PARAMS = NET.init(KEY)
X = np.ones((4, 3), np.float32)
Y = np.array([0, 1, 1, 0])
BINARY = fnn.mlp(3, 1, loss=fnn.sigmoid_cross_entropy)
REGRESSION = fnn.mlp(3, 2, loss=fnn.mean_squared_error)


def init_serial(*layers, shape=(3,)):
    return fnn.serial(*layers).init(jax.random.key(0), shape)


def loss(net=NET, x=X, y=Y, **keywords):
    return net.loss(net.init(jax.random.key(0)), x, y, **keywords)


def epoch(**keywords):
    state = fnn.init_train_state(NET, fnn.sgd(0.1), KEY)
    return fnn.make_train_epoch(NET, fnn.sgd(0.1), 2)(state, X, Y, **keywords)


def fit(net=NET, train=(X, Y), **keywords):
    settings = {"optimizer": fnn.sgd(0.1), "epochs": 1, "batch_size": 2, "key": jax.random.key(0), "progress": False}
    return fnn.fit(net, train, **(settings | keywords))


NAN = np.where(np.eye(4, 3) == 1, np.nan, X)

CASES = {
    # shapes
    "vector for a matrix": (lambda: NET.forward(PARAMS, X[0]), r"\(n, 3\).*got \(3,\); for one example pass x\[None\]"),
    "wrong width": (lambda: NET.forward(PARAMS, np.ones((4, 5))), r"\(n, 3\).*got \(4, 5\)"),
    "images into dense": (lambda: init_serial(fnn.dense(2), shape=(28, 28)), r"\(28, 28\); put flatten before dense"),
    "dense called with images": (
        lambda: fnn.dense(2).forward(PARAMS[0], jnp.ones((2, 28, 28))),
        r"\(n, 3\), got \(2, 28, 28\).*flatten",
    ),
    "a bias that would be broadcast": (
        lambda: fnn.dense(4).forward(fnn.DenseParams(jnp.ones((4, 3)), jnp.ones(1)), jnp.ones((2, 3))),
        r"bias of shape \(4,\).*got \(1,\)",
    ),
    "output that is no vector": (
        lambda: fnn.network(fnn.serial(), fnn.mean_squared_error, input_shape=(2, 2)),
        r"vector for each example, got \(2, 2\); put flatten",
    ),
    "None for an array": (lambda: NET.forward(PARAMS, None), r"got NoneType; convert"),
    "ragged lists": (lambda: NET.forward(PARAMS, [[1.0, 2.0, 3.0], [1.0]]), r"lists of different lengths"),
    "a masked array": (lambda: NET.forward(PARAMS, np.ma.masked_array(X)), r"mask would be lost"),
    "the result of a fit": (lambda: NET.forward(fit(), X), r"got Fit; pass its .params"),
    "no example": (lambda: loss(x=X[:0], y=Y[:0]), r"at least one example, got x with 0 rows"),
    "more targets than examples": (lambda: loss(y=np.zeros(5, int)), r"got 5 for 4"),
    "a number for targets": (lambda: loss(y=1), r"expected y as an array"),
    "y (n,) against (n, 1)": (lambda: loss(BINARY, y=Y), r"\(4, 1\).*got \(4,\); pass y\[:, None\]"),
    "y (n, 1) against labels": (lambda: loss(y=Y[:, None]), r"got \(4, 1\).*pass y\[:, 0\]"),
    "y of the wrong width": (lambda: loss(REGRESSION, y=np.ones((4, 3))), r"\(4, 2\).*got \(4, 3\)"),
    "logits that are no matrix": (
        lambda: fnn.mean_squared_error(jnp.ones(3), jnp.ones(3)),
        r"\(n, d_out\).*got \(3,\)",
    ),
    "logits for probabilities": (
        lambda: fnn.binary_cross_entropy(np.array([[2.0]]), np.array([[1.0]])),
        r"must lie in \[0, 1\]; got otherwise in row 0; for logits",
    ),
    "empty loss": (lambda: fnn.mean_squared_error(jnp.ones((0, 2)), jnp.ones((0, 2))), r"n at least 1"),
    "parameters of a wider network": (
        lambda: NET.loss(fnn.mlp(3, 9, 2).init(KEY), X, Y),
        r"number 0 of shape \(4, 3\), got \(9, 3\)",
    ),
    "parameters of a deeper network": (lambda: NET.forward(fnn.mlp(3, 4, 4, 2).init(KEY), X), r"got.*another network"),
    "no parameters": (lambda: NET.train_step(None, X, Y, 0.1), r"expected params of 4 arrays, got 0"),
    "parameters of another network in training": (lambda: fit(params=fnn.mlp(3, 9, 2).init(KEY)), r"another network"),
    "input of text": (lambda: NET.forward(PARAMS, X.astype(str)), r"expected x as numbers, got <U"),
    "targets of text": (lambda: loss(REGRESSION, y=np.full((4, 2), "a")), r"expected y as numbers, got <U1"),
    # values
    "label too large": (lambda: loss(y=np.array([0, 2, 1, 5])), r"0 to 1; got otherwise in row 1 \(2\), 3 \(5\)"),
    "label negative": (lambda: loss(y=np.array([0, -1, 1, 0])), r"row 1 \(-1\).*renumber"),
    "label out of range, loss alone": (
        lambda: fnn.softmax_cross_entropy(jnp.ones((1, 3)), np.array([3])),
        r"0 to 2; got otherwise in row 0 \(3\)",
    ),
    "labels as floats": (lambda: loss(y=Y.astype(float)), r"must be integers, got float64.*astype"),
    "labels as floats, compiled": (
        lambda: jax.jit(NET.loss)(PARAMS, X, Y.astype(np.float32)),
        r"must be integers, got float32.*astype",
    ),
    "rows that do not sum to one": (lambda: loss(y=np.ones((4, 2))), r"sum to 1.*row 0 \(2\).*weights="),
    "negative probabilities": (lambda: loss(y=np.tile([[-1.0, 2.0]], (4, 1))), r"at least 0"),
    "binary target of two": (lambda: loss(BINARY, y=Y[:, None] * 2), r"\[0, 1\]; got otherwise in row 1, 2"),
    "target NaN": (lambda: loss(REGRESSION, y=np.where(np.eye(4, 2) == 1, np.nan, 1.0)), r"finite.*row 0, 1;"),
    "feature NaN": (lambda: fit(train=(NAN, Y)), r"features must be finite; got otherwise in row 0, 1, 2;"),
    "feature infinite": (lambda: fit(train=(np.where(X == 1, np.inf, X), Y)), r"features must be finite"),
    "weights too few": (lambda: loss(weights=np.ones(3)), r"shape \(4,\), got \(3,\).*weights\[y\]"),
    "weights negative": (lambda: loss(weights=np.array([1.0, -1, 1, 1])), r"at least 0; got otherwise in row 1"),
    "weights all zero": (lambda: loss(weights=np.zeros(4)), r"all zeros; the mean divides by their sum"),
    "weights negative, loss alone": (
        lambda: fnn.softmax_cross_entropy(jnp.ones((2, 3)), np.array([0, 1]), np.array([2.0, -1.0])),
        r"at least 0; got otherwise in row 1",
    ),
    "weights too many for an epoch": (lambda: epoch(weights=np.ones(5)), r"shape \(4,\), got \(5,\)"),
    "integers without rescale": (lambda: NET.forward(PARAMS, X.astype(np.uint8)), r"got uint8.*rescale\(1 / 255\)"),
    "prediction NaN": (lambda: fnn.accuracy(np.array([[np.nan, 1.0]]), np.array([0])), r"NaN in 1 rows.*diverged"),
    # recipes
    "no layer": (lambda: fnn.serial(fnn.dense(2), jax.nn.relu), r"position 1; pass fnn.relu"),
    "width of zero": (lambda: fnn.dense(0), r"at least 1, got 0"),
    "width no number": (lambda: fnn.dense("ten"), r"whole number"),
    "one width": (lambda: fnn.mlp(3), r"at least an input and an output"),
    "too few activations": (lambda: fnn.mlp(3, 4, 4, 2, activation=[fnn.relu]), r"2 hidden layers, got 1"),
    "no chain but a list": (
        lambda: fnn.network([fnn.dense(2)], fnn.mean_squared_error, input_shape=(3,)),
        r"fnn.serial",
    ),
    "shape that is a number": (
        lambda: fnn.network(fnn.dense(2), fnn.mean_squared_error, input_shape=3),
        r"such as \(3,\)",
    ),
    "loss by name": (lambda: fnn.mlp(3, 2, loss="mse"), r"a loss such as.*got 'mse'"),
    "loss not called": (lambda: fnn.mlp(3, 2, loss=fnn.huber), r"fnn.huber\(\), got <function"),
    "penalty that is a number": (lambda: fnn.mlp(3, 2, penalty=0.1), r"fnn.l2\(1e-4\), or None, got 0.1"),
    "activation by name": (lambda: fnn.mlp(3, 4, 2, activation="relu"), r"such as fnn.relu.*got 'relu'"),
    "activation not called": (lambda: fnn.mlp(3, 4, 2, activation=fnn.elu), r"fnn.leaky_relu\(\), got <function"),
    "softmax twice": (
        lambda: fnn.network(fnn.serial(fnn.dense(2), fnn.softmax), fnn.softmax_cross_entropy, input_shape=(3,)),
        r"applies softmax itself.*cross_entropy",
    ),
    "leaky slope": (lambda: fnn.leaky_relu(-1.0), r"at least 0, got -1"),
    "leaky slope of NaN": (lambda: fnn.leaky_relu(float("nan")), r"at least 0, got nan"),
    "scale of none": (lambda: fnn.rescale(None), r"rescale expects factor as one number, got None"),
    "scale for each feature": (lambda: fnn.rescale(np.ones(3)), r"one number, got array.*do so to x"),
    "loss scaled by none": (lambda: fnn.scaled(fnn.mean_squared_error, None), r"one number, got None"),
    "delta of text": (lambda: fnn.huber("a"), r"above 0, got 'a'"),
    "deviation of none": (lambda: fnn.initializers.normal(None), r"at least 0, got None"),
    "rate of dropping NaN": (lambda: fnn.dropout(float("nan")), r"\[0, 1\).*got nan"),
    "input width of text": (lambda: fnn.mlp("3", 4, 2), r"mlp expects widths.*got \('3', 4, 2\)"),
    "input shape of fractions": (
        lambda: fnn.network(fnn.dense(2), fnn.mean_squared_error, input_shape=(3.5,)),
        r"network expects input_shape as whole numbers.*got \(3.5,\)",
    ),
    "a bias that would be broadcast, in mixed precision": (
        lambda: fnn.mixed_precision(fnn.serial(fnn.dense(4), fnn.dense(4))).forward(
            (fnn.DenseParams(jnp.ones((4, 3)), jnp.ones(4)), fnn.DenseParams(jnp.ones((4, 4)), jnp.ones(1))), X
        ),
        r"bias of shape \(4,\).*got \(1,\)",
    ),
    "weights that are no matrix": (
        lambda: fnn.dense(4).forward(fnn.LinearParams(jnp.ones(3)), jnp.ones((2, 3))),
        r"W of shape \(d_out, d_in\), got \(3,\)",
    ),
    "optimizer's rate below 0 as an array": (lambda: fnn.sgd(jnp.float32(-1)), r"at least 0, or a schedule, got Array"),
    "optimizer's rate of none": (lambda: fnn.sgd(None), r"at least 0, or a schedule, got None"),
    "optimizer's rate of text": (lambda: fnn.adam("0.1"), r"at least 0, or a schedule, got '0.1'"),
    "schedule that returns nothing": (
        lambda: fit(optimizer=fnn.sgd(lambda step: None)),
        r"return one number, got None",
    ),
    "backward of too few arguments": (
        lambda: fnn.check(NET, PARAMS, X, Y, backward=lambda params, x: params),
        r"same 3 arguments as the loss.*too many positional arguments",
    ),
    "elu alpha": (lambda: fnn.elu(-1.0), r"at least 0, got -1"),
    "huber delta": (lambda: fnn.huber(0.0), r"above 0, got 0"),
    "smoothing amount": (lambda: fnn.smooth_labels(jnp.ones((1, 2)), 2.0), r"\[0, 1\], got 2"),
    "smoothing labels": (lambda: fnn.smooth_labels(jnp.array([1, 2]), 0.1), r"one_hot"),
    "penalty strength": (lambda: fnn.l2(-1.0), r"at least 0, got -1"),
    "penalty NaN": (lambda: fnn.l1(float("nan")), r"at least 0, got nan"),
    "penalty of text": (lambda: fnn.l1("0.1"), r"at least 0, got '0.1'"),
    "momentum beta": (lambda: fnn.momentum(0.1, beta=1.0), r"\[0, 1\), got 1"),
    "initializer without fan": (lambda: fnn.initializers.he_normal(jax.random.key(0), (3,)), r"use zeros for biases"),
    "negative deviation": (lambda: fnn.initializers.normal(-1.0), r"at least 0, got -1"),
    "theta too short": (lambda: fnn.unflatten_params(jnp.ones(5), PARAMS), r"\(26,\).*got \(5,\)"),
    "theta a short list": (lambda: fnn.unflatten_params([1.0], PARAMS), r"\(26,\).*got \(1,\)"),
    "seed for a key": (lambda: NET.init(0), r"got 0; pass jax.random.key\(0\)"),
    # training
    "seed for a key in training": (lambda: fit(key=0), r"got 0; pass jax.random.key\(0\)"),
    "rate of none": (lambda: NET.train_step(PARAMS, X, Y, None), r"one number, got None"),
    "rate of text": (lambda: NET.train_step(PARAMS, X, Y, "0.1"), r"one number, got '0.1'"),
    "rate for each neuron": (lambda: NET.train_step(PARAMS, X, Y, np.ones(3)), r"one number, got array"),
    "rate for an optimizer": (lambda: fit(optimizer=0.1), r"fnn.momentum\(0.1\), got 0.1"),
    "optimizer not called": (lambda: fit(optimizer=fnn.sgd), r"got <function sgd"),
    "epochs and a half": (lambda: fit(epochs=1.5), r"whole number of at least 1, got 1.5"),
    "text for data": (lambda: fit(train=("a", "b")), r"two arrays, got a tuple of str, str;"),
    "validation without targets": (lambda: fit(validation=X), r"expected validation as \(x, y\).*got ndarray"),
    "evaluation in batches of zero": (lambda: fnn.evaluate(NET, PARAMS, X, Y, batch_size=0), r"at least 1, got 0"),
    "batch larger than data": (lambda: fit(batch_size=8), r"from 1 to 4, the number of examples, got 8"),
    "batch of zero": (lambda: fit(batch_size=0), r"from 1 to 4.*got 0"),
    "labels out of range in training": (lambda: fit(train=(X, Y + 1)), r"0 to 1; got otherwise in row 1 \(2\)"),
    "confusion of unknown classes": (
        lambda: fnn.confusion_matrix(np.ones((1, 3)), np.array([7])),
        r"0 to 2 for 3 classes, got 7",
    ),
    "accuracy of predicted labels": (
        lambda: fnn.accuracy(np.arange(4), np.arange(4)),
        r"probabilities in \[0, 1\], got \(4,\) from 0 to 3.*\(predicted == y\)",
    ),
    "accuracy against fractions": (
        lambda: fnn.accuracy(np.eye(2), np.array([0.9, 1.7])),
        r"whole numbers, got float64",
    ),
    "accuracy of other shapes": (lambda: fnn.accuracy(np.ones((4, 2)), np.zeros(3)), r"shape \(4,\).*got \(3,\)"),
    "R² of a constant": (lambda: fnn.r2_score(np.ones((3, 1)), np.ones((3, 1))), r"not defined"),
    "R² of other shapes": (lambda: fnn.r2_score(np.ones((3, 1)), np.ones(3)), r"\(3, 1\) and \(3,\)"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name):
    call, message = CASES[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_an_error_says_in_which_layer_it_arose():
    wrong = (PARAMS[0], (), PARAMS[0])
    with pytest.raises(ValueError, match=r"\(n, 3\), got \(4, 4\)") as caught:
        NET.layer.forward(wrong, X)
    assert caught.value.__notes__ == ["in layers[2] (dense)"]


def test_nothing_is_compiled_for_bad_input(compilations):
    """The check comes first: a shape that fits nothing never reaches the compiler."""
    net = fnn.mlp(3, 4, 2)
    with pytest.raises(ValueError, match="row 0"):
        net.train_step(PARAMS, X, Y + 5, 0.1)
    assert not compilations()
