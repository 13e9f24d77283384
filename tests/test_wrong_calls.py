"""Every public function with every kind of wrong argument: the message says expected, received, remedy, in short."""

import math

import numpy as np
import pytest
from wrong_arguments import (
    KEY,
    LINE,
    NET,
    NORMED,
    NORMED_PARAMS,
    NOT_ARRAYS,
    NOT_WHOLE,
    OTHER_SHAPES,
    PARAMS,
    STATE,
    WRONG,
    X,
    Y,
    assert_refused_in_words,
    right_calls,
    wrong_calls,
)

import fnn
from fnn.datasets.idx import read_idx, write_idx

DATA = {"params": ("params", PARAMS), "x": ("x", X), "y": ("labels", Y)}
NORMED_DATA = {"params": ("fixed", NORMED_PARAMS), "x": ("fixed", X), "y": ("fixed", Y), "state": ("state", STATE)}


def keywords(function):
    """The function, called with what comes by position in the order of the table."""
    return lambda **arguments: function(*arguments.values())


def of_two(one, other):
    return one, other


def of_loss(loss, y, kind="rows", z=None):
    z = np.full((4, 2), 0.5, np.float32) if z is None else z
    wrong_z = NOT_ARRAYS | {"a vector": np.ones(4), "three axes": np.ones((4, 2, 1)), "no rows": np.ones((0, 2))}
    return loss, {"z": (wrong_z, z), "y": (kind, y), "weights": (WRONG["weights"] | {"None": "skip"}, np.ones(4))}


NOT_OWN = {"None": None, "another's": (), "a chain's": PARAMS, "text": "params", "a vector": np.ones(3)}
NOT_AUDITED = {name: NOT_ARRAYS[name] for name in ("None", "text", "a dictionary", "a masked array", "a sparse matrix")}
NOT_SAVED = {name: NOT_ARRAYS[name] for name in ("text", "a function", "ragged lists", "a masked array", "objects")}
NOT_SAVED |= {"a number": 3.0, "a set": {1}, "a network": NET, "complex numbers": X.astype(complex)}
NOT_SCALED = NOT_ARRAYS | {name: OTHER_SHAPES[name] for name in ("one number", "other columns", "three axes")}
NOT_FITTED = NOT_ARRAYS | {"NaN": np.array([[math.nan]]), "one number": 1.0, "no rows": X[:0]}
NOT_ONE_FILE = "/dev/null/file"  # a path that no call gets to

ROWS = np.full((4, 2), 0.5, np.float32)
CALLS = {
    # layers
    "dense": (
        fnn.dense,
        {"n_out": ("whole", 2), "initializer": ("initializer", fnn.initializers.zeros), "use_bias": ("flag", True)},
    ),
    "conv2d": (
        fnn.conv2d,
        {
            "n_out": ("whole", 2),
            "kernel": ("window", 3),
            "stride": ("window", 1),
            "padding": ("padding", "SAME"),
            "initializer": ("initializer", fnn.initializers.zeros),
            "use_bias": ("flag", True),
        },
    ),
    "max_pool": (fnn.max_pool, {"window": ("window", 2)}),
    "average_pool": (fnn.average_pool, {"window": ("window", 2)}),
    "rescale": (fnn.rescale, {"factor": ("number", 0.5)}),
    "random_shift": (fnn.random_shift, {"pixels": ("whole", 1)}),
    "layer_norm": (fnn.layer_norm, {"epsilon": ("positive", 1e-5)}),
    "batch_norm": (fnn.batch_norm, {"momentum": ("share", 0.9), "epsilon": ("positive", 1e-5)}),
    "dropout": (fnn.dropout, {"rate": ("share", 0.5)}),
    "prelu": (fnn.prelu, {"slope": ("number", 0.25)}),
    "leaky_relu": (fnn.leaky_relu, {"slope": ("positive", 0.1)}),
    "elu": (fnn.elu, {"alpha": ("positive", 1.0)}),
    "serial": (keywords(fnn.serial), {"first": ("layer", fnn.relu), "second": ("layer", fnn.relu)}),
    "residual": (fnn.residual, {"layer": ("layer", fnn.relu)}),
    "repeat": (fnn.repeat, {"layer": ("layer", fnn.relu), "times": ("whole", 2)}),
    "mixed_precision": (fnn.mixed_precision, {"layer": ("layer", fnn.relu)}),
    "differentiable": (fnn.differentiable, {"of": ({"a function": len, "None": None, "text": "relu"}, fnn.relu)}),
    "stateless": (
        fnn.stateless,
        {
            "name": ("name", "mine"),
            "init": ("rule", fnn.no_params),
            "fwd": ("rule", of_two),
            "bwd": ("rule", of_two),
        },
    ),
    "activation": (
        fnn.activation,
        {
            "name": ("name", "mine"),
            "fwd": ("rule", of_two),
            "bwd": ("rule", of_two),
            "kinks": ({"text": "0", "None": None, "NaN": (math.nan,), "lists": [[0.0]]}, (0.0,)),
        },
    ),
    "recipe": (fnn.recipe, {"constructor": ("function", fnn.huber)}),
    "relu": (keywords(fnn.relu), {"z": (NOT_ARRAYS, X)}),
    "derivative": (keywords(fnn.tanh.derivative), {"z": (NOT_ARRAYS, X)}),
    **{
        f"a layer, {name}": (
            layer.forward,
            {"params": (NOT_OWN, layer.init(KEY, (6, 6, 3)[-axes:])), "x": ("fixed", x)},
        )
        for name, layer, axes, x in (
            ("dense", fnn.dense(4), 1, X),
            ("conv2d", fnn.conv2d(4), 3, np.ones((1, 6, 6, 3), np.float32)),
            ("layer_norm", fnn.layer_norm(), 1, X),
            ("prelu", fnn.prelu(), 1, X),
        )
    },
    # losses, penalties, initializers
    "softmax_cross_entropy": of_loss(fnn.softmax_cross_entropy, Y, "labels"),
    "sigmoid_cross_entropy": of_loss(fnn.sigmoid_cross_entropy, ROWS),
    "mean_squared_error": of_loss(fnn.mean_squared_error, ROWS),
    "half_mean_squared_error": of_loss(fnn.half_mean_squared_error, ROWS),
    "mean_absolute_error": of_loss(fnn.mean_absolute_error, ROWS),
    "cross_entropy": of_loss(fnn.cross_entropy, Y, "labels"),
    "binary_cross_entropy": of_loss(fnn.binary_cross_entropy, ROWS),
    "huber": (fnn.huber, {"delta": ("positive", 1.0)}),
    "scaled": (fnn.scaled, {"loss": ("loss", fnn.mean_squared_error), "factor": ("number", 0.5)}),
    "summed": (fnn.summed, {"loss": ("loss", fnn.mean_squared_error)}),
    "smooth_labels": (fnn.smooth_labels, {"y": (NOT_ARRAYS | {"labels": Y}, ROWS), "amount": ("share", 0.1)}),
    "l1": (fnn.l1, {"strength": ("positive", 0.1)}),
    "l2": (fnn.l2, {"strength": ("positive", 0.1)}),
    "spectral_norm": (fnn.spectral_norm, {"strength": ("positive", 0.1)}),
    "constant": (fnn.initializers.constant, {"value": ("number", 0.1)}),
    "normal": (fnn.initializers.normal, {"std": ("positive", 0.1)}),
    **{
        name: (getattr(fnn.initializers, name), {"key": ("key", KEY), "shape": (WRONG["shape"], (2, 3))})
        for name in ("he_normal", "xavier_uniform", "orthogonal")
    },
    "zeros": (fnn.initializers.zeros, {"key": ("fixed", KEY), "shape": (WRONG["shape"] | {"zero": "skip"}, (2, 3))}),
    # networks
    "network": (
        fnn.network,
        {
            "layer": ("layer", fnn.dense(2)),
            "loss": ("loss", fnn.mean_squared_error),
            "input_shape": ("shape", (3,)),
            "penalty": ("penalty", None),
        },
    ),
    "mlp": (
        lambda width, **named: fnn.mlp(3, width, 2, **named),
        {
            "width": ("whole", 4),
            "activation": (WRONG["layer"] | {"a list": [fnn.relu] * 2}, fnn.relu),
            "loss": ("loss", fnn.mean_squared_error),
            "penalty": ("penalty", None),
            "initializer": ("initializer", fnn.initializers.zeros),
            "precision": ({"None": None, "text": "float16", "a dtype": np.float32}, "float32"),
        },
    ),
    "summary": (fnn.summary, {"net": ("network", NET)}),
    "init": (NET.init, {"key": ("key", KEY)}),
    "forward": (NET.forward, {"params": DATA["params"], "x": DATA["x"]}),
    "logits": (NET.logits, {"params": DATA["params"], "x": DATA["x"]}),
    "forward with a state": (NORMED.forward, {k: NORMED_DATA[k] for k in ("params", "x", "state")}),
    "loss": (NET.loss, DATA | {"weights": (WRONG["weights"] | {"None": "skip"}, np.ones(4))}),
    "loss with a state": (NORMED.loss, NORMED_DATA),
    "backward": (NET.backward, DATA),
    "backward with a state": (NORMED.backward, NORMED_DATA),
    "loss of values": (LINE.loss, {"params": ("fixed", LINE.init(KEY)), "x": ("fixed", X), "y": ("rows", ROWS)}),
    "train_step": (NET.train_step, DATA | {"learning_rate": ("positive", 0.1)}),
    "flatten_params": (fnn.flatten_params, {"params": ("tree", PARAMS)}),
    "unflatten_params": (
        fnn.unflatten_params,
        {
            "theta": (NOT_ARRAYS | {"short": np.ones(3), "a matrix": np.ones((26, 1))}, np.ones(26)),
            "like": ("tree", PARAMS),
        },
    ),
    "count_params": (fnn.count_params, {"params": ("tree", PARAMS)}),
    "weight_mask": (fnn.weight_mask, {"params": ("tree", PARAMS)}),
    # data
    "audit": (fnn.audit, {"x": (NOT_AUDITED, X), "y": (NOT_AUDITED, Y)}),
    "standardize": (fnn.preprocessing.standardize, {"x": (NOT_FITTED, X), "axis": ("axis", 0)}),
    "min_max": (fnn.preprocessing.min_max, {"x": (NOT_FITTED, X), "axis": ("axis", 0)}),
    "apply": (fnn.preprocessing.standardize(X).apply, {"x": (NOT_SCALED, X)}),
    "invert": (fnn.preprocessing.min_max(X).invert, {"x": (NOT_SCALED, X)}),
    "one_hot": (
        fnn.preprocessing.one_hot,
        {
            "labels": (WRONG["labels"] | {"too many": "skip"}, Y),
            "n_classes": ("whole", 2),
            "dtype": ({"text": "float99", "a number": 3, "strings": str, "objects": object}, np.float32),
        },
    ),
    "split": (
        fnn.preprocessing.split,
        {
            "key": ("key", KEY),
            "x": (NOT_AUDITED | {"one number": 1.0}, X),
            "y": ({"None": None, "too many": np.ones(5), "one number": 1}, Y),
            "fraction": ("share", 0.5),
            "stratify": ("flag", False),
        },
    ),
    "batches": (
        fnn.preprocessing.batches,
        {
            "key": (WRONG["key"] | {"None": "skip"}, KEY),
            "x": ({"None": None, "one number": 1.0, "no rows": X[:0]}, X),
            "y": ({"None": None, "too many": np.ones(5)}, Y),
            "batch_size": ("whole", 2),
        },
    ),
    "mnist": (fnn.datasets.mnist, {"directory": ({"a number": 3, "a list": ["a"]}, None), "download": ("flag", False)}),
    **{
        name: (getattr(fnn.datasets, name), {"key": ("key", KEY), "n": ("whole", 4), "noise": ("positive", 0.1)})
        for name in ("moons", "circles", "spirals")
    },
    "xor": (
        fnn.datasets.xor,
        {"key": (WRONG["key"] | {"None": "skip"}, KEY), "n": ("whole", 4), "noise": ("positive", 0.1)},
    ),
    "circles with a radius": (fnn.datasets.circles, {"key": ("fixed", KEY), "inner": ("share", 0.5)}),
    "spirals with turns": (
        fnn.datasets.spirals,
        {"key": ("fixed", KEY), "classes": ("whole", 2), "turns": ("number", 1.0)},
    ),
    "blobs": (
        fnn.datasets.blobs,
        {
            "key": ("key", KEY),
            "n": ("whole", 6),
            "classes": ("whole", 3),
            "dimensions": (NOT_WHOLE | {"one": 1}, 2),
            "spread": ("positive", 1.0),
            "radius": ("number", 5.0),
        },
    ),
    # files
    "save": (fnn.save, {"path": ("path", NOT_ONE_FILE), "tree": (NOT_SAVED, PARAMS)}),
    "load": (fnn.load, {"path": ("path", NOT_ONE_FILE)}),
    "save_network": (
        fnn.save_network,
        {"path": ("path", NOT_ONE_FILE), "net": ("network", NORMED), "params": ("params", NORMED_PARAMS)}
        | {"state": ("state", STATE)},
    ),
    "load_network": (
        fnn.load_network,
        {
            "path": ("path", NOT_ONE_FILE),
            "layers": ({"a list": [fnn.relu], "text": "layers", "a number": 3, "numbers": {1: fnn.relu}}, None),
        },
    ),
    "load_metadata": (fnn.load_metadata, {"path": ("path", NOT_ONE_FILE)}),
    "to_torch": (fnn.to_torch, {"path": ("path", NOT_ONE_FILE), "net": ("network", NET), "params": ("params", PARAMS)}),
    "from_torch": (fnn.from_torch, {"path": ("path", NOT_ONE_FILE), "net": ("network", NET)}),
    "export_stablehlo": (
        fnn.export_stablehlo,
        {
            "net": ("network", NET),
            "params": ("params", PARAMS),
            "platforms": (
                {"text": "cpu", "an unknown one": ("abacus",), "none": (), "None": None, "a number": 3},
                ("cpu",),
            ),
            "dtype": ({"text": "float99", "strings": str}, None),
        },
    ),
    "read_idx": (read_idx, {"path": ("path", NOT_ONE_FILE)}),
    "write_idx": (write_idx, {"path": ("path", NOT_ONE_FILE), "array": (NOT_ARRAYS, X)}),
    # reading a network
    "trace": (fnn.trace, {"net": ("network", NET)} | DATA),
    "explain": (
        fnn.explain,
        {"net": ("network", NET)} | DATA | {"layout": ({"text": "diagonal", "None": None}, "row")},
    ),
    "flow": (fnn.flow, {"net": ("network", NET)} | DATA),
    "agree": (fnn.agree, {"net": ("network", NET)} | DATA),
    "backward_by_loops": (fnn.backward_by_loops, {"net": ("network", NET)} | DATA),
    "r2_score": (fnn.r2_score, {"predictions": ("rows", ROWS), "y": (WRONG["rows"], np.arange(8.0).reshape(4, 2))}),
}


@pytest.mark.parametrize(("function", "arguments"), list(right_calls(CALLS, but=("trace", "agree", "flow"))))
def test_the_call_that_is_varied_is_right(function, arguments):
    function(**arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "arguments"), list(wrong_calls(CALLS)))
def test_a_wrong_argument_is_refused_in_words(function, arguments):
    assert_refused_in_words(function, arguments)
