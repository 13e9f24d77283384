"""What is no argument of this or that kind, and how right calls and wrong arguments make wrong calls.

A table holds one right call of each function, and of which kind each of its arguments is; `WRONG` what is no such
argument. Each wrong call has to raise, in words of fnn's own, with expected, received and remedy, in short.
"""

import math
import re

import jax
import numpy as np
import pytest

import fnn

KEY = jax.random.key(0)
X, Y = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 1, 0])
NET, OTHER = fnn.mlp(3, 4, 2), fnn.mlp(3, 9, 2)
LINE = fnn.mlp(3, 2, loss=fnn.mean_squared_error)
NORMED = fnn.network(
    fnn.serial(fnn.dense(4), fnn.batch_norm(), fnn.dense(2)), fnn.softmax_cross_entropy, input_shape=(3,)
)
PARAMS, NORMED_PARAMS, STATE = NET.init(KEY), NORMED.init(KEY), NORMED.init_state()
RESULT = fnn.Fit(PARAMS, (), (), fnn.init_train_state(NET, fnn.sgd(0.1), KEY, PARAMS))
DENSE = PARAMS[0]


class Sparse:
    """What scipy's sparse matrices look like: a shape and a dtype, and no way to become an array unasked."""

    shape, dtype, ndim = (4, 3), np.dtype(np.float32), 2


NOT_NUMBERS = {"None": None, "text": "0.1", "a list": [0.1], "True": True, "two": np.ones(2), "complex": 1j}
NAN = {"NaN": math.nan, "infinity": math.inf}
NOT_WHOLE = NOT_NUMBERS | NAN | {"a fraction": 2.5, "below zero": -1, "zero": 0}
NOT_ARRAYS = {
    "None": None,
    "text": "abc",
    "a dictionary": {"a": 1},
    "a function": len,
    "ragged lists": [[1.0, 2.0, 3.0], [1.0]],
    "words": [["a", "b", "c"]] * 4,
    "a masked array": np.ma.masked_array(X),
    "a sparse matrix": Sparse(),
    "objects": np.full((4, 3), None),
    "complex numbers": X.astype(complex),
    "strings": X.astype(str),
    "keys": jax.random.split(KEY, (4, 3)),
}
OTHER_SHAPES = {
    "one number": 1.0,
    "a vector": np.ones(3),
    "no rows": np.ones((0, 3)),
    "other columns": np.ones((4, 5)),
    "three axes": np.ones((4, 3, 1)),
}
WRONG = {
    "number": NOT_NUMBERS | NAN,
    "positive": NOT_NUMBERS | NAN | {"below zero": -1.0},
    "share": NOT_NUMBERS | NAN | {"below zero": -0.5, "two ": 2.0},
    "whole": NOT_WHOLE,
    "flag": {"one": 1, "text": "yes", "None": None},
    "key": {
        "a seed": 0,
        "None": None,
        "text": "key",
        "two keys": jax.random.split(KEY),
        "floats": np.ones(2),
        "a list": [0, 1],
        "NaN": math.nan,
    },
    "x": NOT_ARRAYS | OTHER_SHAPES,
    "labels": NOT_ARRAYS
    | {
        "fractions": np.array([0.5, 1.0, 0.0, 1.0]),
        "NaN": np.array([math.nan, 1, 0, 1]),
        "below zero": np.array([-1, 0, 1, 0]),
        "too large": np.array([0, 1, 2, 0]),
        "too many": np.zeros(5, int),
        "a column": Y[:, None],
        "one number": 1,
        "three axes": np.zeros((4, 1, 1), int),
    },
    "rows": NOT_ARRAYS | {"too many": np.ones((5, 2)), "NaN": np.full((4, 2), math.nan), "a vector": np.ones(4)},
    "weights": NOT_ARRAYS
    | {
        "below zero": np.array([-1.0, 1, 1, 1]),
        "NaN": np.array([math.nan, 1, 1, 1]),
        "infinite": np.array([math.inf, 1, 1, 1]),
        "too few": np.ones(3),
        "a matrix": np.ones((4, 1)),
        "zeros": np.zeros(4),
        "one number": 1.0,
    },
    "params": {
        "None": None,
        "a result": RESULT,
        "a train state": RESULT.train_state,
        "of another network": OTHER.init(KEY),
        "a vector": np.ones(26),
        "text": "params",
        "a number": 3.0,
        "words in them": (DENSE._replace(W=np.full((4, 3), "a")), (), PARAMS[2]),
        "lists in them": (DENSE._replace(W=[[1.0] * 3] * 4), (), PARAMS[2]),
        "complex numbers in them": (DENSE._replace(W=np.ones((4, 3), complex)), (), PARAMS[2]),
        "another tree": [DENSE.W, DENSE.b, PARAMS[2].W, PARAMS[2].b],
        "the network": NET,
        "a function": len,
    },
    "tree": {"text": "params", "a function": len, "words in it": {"W": np.array(["a"])}, "lists of text": ["a"]},
    "state": {
        "none": (),
        "None": None,
        "text": "state",
        "of another network": fnn.network(
            fnn.serial(fnn.dense(5), fnn.batch_norm(), fnn.dense(2)), fnn.huber(), input_shape=(3,)
        ).init_state(),
        "a result": RESULT,
        "params": PARAMS,
        "a number": 3.0,
    },
    "layer": {
        "a function": jax.nn.relu,
        "a constructor": fnn.elu,
        "a list": [fnn.relu],
        "None": None,
        "text": "relu",
        "a number": 3,
        "a network": NET,
        "a loss": fnn.mean_squared_error,
    },
    "loss": {"text": "mse", "a constructor": fnn.huber, "None": None, "a layer": fnn.relu, "a number": 1.0},
    "penalty": {"text": "l2", "a constructor": fnn.l2, "a number": 0.1, "a loss": fnn.mean_squared_error},
    "network": {"None": None, "a layer": fnn.relu, "text": "net", "params": PARAMS, "a loss": fnn.mean_squared_error},
    "function": {"None": None, "text": "f", "a number": 3, "a list": [len]},
    "rule": {"None": None, "text": "f", "a number": 3, "a list": [len], "a function of one": lambda x: x},
    "name": {"None": None, "a number": 3, "a layer": fnn.relu},
    "shape": {
        "None": None,
        "a number": 3,
        "text": "3",
        "fractions": (2.5,),
        "zero": (0,),
        "True": (True,),
        "a set": {3},
    },
    "initializer": {"None": None, "text": "he", "a number": 0.1, "a constructor": fnn.initializers.normal},
    "window": {"None": None, "text": "22", "zero": 0, "fractions": (1.5, 2), "three": (2, 2, 2), "True": True},
    "padding": {"None": None, "text": "FULL", "a list": [1, 1], "below zero": ((-1, 0), (0, 0)), "a number": 1},
    "path": {"None": None, "a number": 3, "a list": ["a"], "an array": np.ones(2)},
    "axis": {"one": 1, "text": "rows", "True": True, "a fraction": 0.5},
}


def wrong_calls(table):
    """(function, arguments) for each function, each of its arguments, each wrong value of that."""
    for name, (function, arguments) in table.items():
        right = {argument: value for argument, (_, value) in arguments.items()}
        for argument, (kind, _) in arguments.items():
            wrong = {} if kind == "fixed" else WRONG[kind] if isinstance(kind, str) else kind
            for word, value in wrong.items():
                if not (isinstance(value, str) and value == "skip"):
                    yield pytest.param(function, right | {argument: value}, id=f"{name}: {argument} is {word}")


def right_calls(table, but=()):
    """(function, arguments) as they are varied, without those that would write somewhere, and some that take long."""
    for name, (function, arguments) in table.items():
        if "path" not in arguments and name not in but:
            yield pytest.param(function, {argument: value for argument, (_, value) in arguments.items()}, id=name)


WORDS = re.compile(r"expect|must|can't be|is not|are not|has no|is none", re.IGNORECASE)


def assert_refused_in_words(function, arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(**arguments)
    message = str(caught.value)
    assert WORDS.search(message), message
    assert len(message) <= 300, message
    at = caught.traceback[-1].path
    assert "fnn" in at.parts, f"raised in {at}: {message}"
