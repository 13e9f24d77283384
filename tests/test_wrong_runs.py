"""Wrong arguments of optimizers, schedules and training are refused in words."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrong_arguments import (
    KEY,
    NAN,
    NET,
    NORMED,
    NOT_NUMBERS,
    NOT_WHOLE,
    OTHER,
    PARAMS,
    RESULT,
    STATE,
    WRONG,
    X,
    Y,
    assert_refused_in_words,
    right_calls,
    wrong_calls,
)

import fnn

SGD, ADAM = fnn.sgd(0.1), fnn.adam(0.1)
TS = fnn.init_train_state(NET, SGD, KEY, PARAMS)
GRADS = jax.tree.map(jnp.ones_like, PARAMS)
DATA = (X, Y)
NOT_RATES = NOT_NUMBERS | NAN | {"below zero": -0.1}
SHARES = NOT_NUMBERS | NAN | {"below zero": -0.1, "one": 1.0}
NOT_DATA = {
    "None": None,
    "one array": X,
    "three": (X, Y, Y),
    "text": "data",
    "a number": 3,
    "lists of text": (["a"], ["b"]),
    "other rows": (X, Y[:2]),
    "NaN": (np.full((4, 3), math.nan), Y),
    "a masked array": (np.ma.masked_array(X), Y),
}
OPTIMIZERS = {
    "a rate": 0.1,
    "a constructor": fnn.sgd,
    "None": None,
    "text": "adam",
    "a schedule": fnn.constant_schedule(0.1),
}
TREES = {"None": None, "text": "grads", "of another network": OTHER.init(KEY), "a number": 1.0, "a result": RESULT}


def fit(**named):
    settings = {"optimizer": SGD, "epochs": 1, "batch_size": 2, "key": KEY, "progress": False}
    net, train = named.pop("net", NET), named.pop("train", DATA)
    return fnn.fit(net, train, **(settings | named))


CALLS = {
    **{
        name: (getattr(fnn, name), {"learning_rate": (NOT_RATES, 0.1)} | more)
        for name, more in {
            "sgd": {},
            "momentum": {"beta": (SHARES, 0.9), "nesterov": ("flag", False)},
            "rmsprop": {"beta": (SHARES, 0.9), "epsilon": (NOT_RATES, 1e-8)},
            "adagrad": {"epsilon": (NOT_RATES, 1e-8)},
            "adam": {"beta1": (SHARES, 0.9), "beta2": (SHARES, 0.9), "epsilon": (NOT_RATES, 1e-8)},
            "adamw": {"beta1": (SHARES, 0.9), "weight_decay": (NOT_RATES, 0.1)},
            "lion": {"beta1": (SHARES, 0.9), "weight_decay": (NOT_RATES, 0.1)},
            "muon": {"beta": (SHARES, 0.9)},
        }.items()
    },
    "clip_by_global_norm": (fnn.clip_by_global_norm, {"max_norm": (NOT_RATES, 1.0)}),
    "clip_by_value": (fnn.clip_by_value, {"limit": (NOT_RATES, 1.0)}),
    "chain": (lambda a, b: fnn.chain(a, b), {"a": (OPTIMIZERS, SGD), "b": (OPTIMIZERS, SGD)}),
    "update": (
        lambda grads, state, params: SGD.update(grads, state, params),
        {"grads": (TREES, GRADS), "state": ("fixed", SGD.init(PARAMS)), "params": ("fixed", PARAMS)},
    ),
    "update of adam": (
        lambda state: ADAM.update(GRADS, state, PARAMS),
        {"state": ({"another's": SGD.init(PARAMS), "None": None, "text": "state"}, ADAM.init(PARAMS))},
    ),
    "apply_updates": (fnn.apply_updates, {"params": (TREES, PARAMS), "updates": (TREES, GRADS)}),
    "constant_schedule": (fnn.constant_schedule, {"rate": (NOT_RATES, 0.1)}),
    "step_decay": (
        fnn.step_decay,
        {"rate": (NOT_RATES, 0.1), "factor": (NOT_NUMBERS | NAN | {"below zero": -1.0}, 0.5), "every": ("whole", 10)},
    ),
    "exponential_decay": (
        fnn.exponential_decay,
        {"rate": (NOT_RATES, 0.1), "factor": (NOT_NUMBERS | NAN | {"below zero": -1.0}, 0.5), "every": ("whole", 10)},
    ),
    "cosine_decay": (fnn.cosine_decay, {"rate": (NOT_RATES, 0.1), "steps": ("whole", 10)}),
    "warmup_cosine": (
        fnn.warmup_cosine,
        {"rate": (NOT_RATES, 0.1), "warmup": (NOT_WHOLE | {"zero": "skip"}, 2), "steps": ("whole", 10)},
    ),
    "a schedule": (
        lambda rate: fit(optimizer=fnn.sgd(rate)),
        {
            "rate": (
                {
                    "that returns -1": lambda step: -1.0,
                    "that returns NaN": lambda step: math.nan,
                    "that returns two": lambda step: jnp.ones(2),
                    "that returns text": lambda step: "a",
                },
                0.1,
            )
        },
    ),
    "fit": (
        fit,
        {
            "net": ("network", NET),
            "train": (NOT_DATA, DATA),
            "optimizer": (OPTIMIZERS, SGD),
            "epochs": ("whole", 1),
            "batch_size": (NOT_WHOLE | {"too large": 5}, 2),
            "key": ("key", KEY),
            "validation": ({k: v for k, v in NOT_DATA.items() if k != "None"}, DATA),
            "weights": (WRONG["weights"] | {"None": "skip"}, np.ones(4)),
            "params": (WRONG["params"] | {"None": "skip"}, PARAMS),
            "patience": (NOT_WHOLE | {"None": "skip"}, 1),
            "tolerance": (NOT_NUMBERS | NAN | {"below zero": -1.0}, 0.0),
            "callbacks": (
                {"a function": len, "None": None, "a number": 3, "no functions": [1], "of nothing": [lambda: 0]},
                (),
            ),
            "checkpoint_every": ("whole", 1),
            "progress": ("flag", False),
        },
    ),
    "fit with a checkpoint": (fit, {"checkpoint": ({"a number": 3, "a list": ["a"], "True": True}, None)}),
    "fit_many": (
        lambda **n: fnn.fit_many(n.pop("net"), n.pop("keys"), n.pop("train"), **n),
        {
            "net": ("network", NET),
            "keys": ({"a seed": 0, "one key": KEY, "None": None, "floats": np.ones(2)}, jax.random.split(KEY)),
            "train": (NOT_DATA, DATA),
            "optimizer": (OPTIMIZERS, SGD),
            "epochs": ("whole", 1),
            "batch_size": ("whole", 2),
        },
    ),
    "evaluate": (
        fnn.evaluate,
        {
            "net": ("network", NET),
            "params": ("params", PARAMS),
            "x": ("x", X),
            "y": ("labels", Y),
            "batch_size": ("whole", 2),
        },
    ),
    "evaluate with a state": (
        fnn.evaluate,
        {
            "net": ("fixed", NORMED),
            "params": ("fixed", NORMED.init(KEY)),
            "x": ("fixed", X),
            "y": ("fixed", Y),
            "state": ("state", STATE),
        },
    ),
    "init_train_state": (
        fnn.init_train_state,
        {
            "net": ("network", NET),
            "optimizer": (OPTIMIZERS, SGD),
            "key": ("key", KEY),
            "params": (WRONG["params"] | {"None": "skip"}, PARAMS),
        },
    ),
    "make_train_step": (fnn.make_train_step, {"net": ("network", NET), "optimizer": (OPTIMIZERS, SGD)}),
    "make_train_epoch": (
        fnn.make_train_epoch,
        {"net": ("network", NET), "optimizer": (OPTIMIZERS, SGD), "batch_size": ("whole", 2)},
    ),
    "a step": (
        lambda ts, x, y: fnn.make_train_step(NET, SGD)(ts, x, y),
        {
            "ts": (
                {
                    "None": None,
                    "a result": RESULT,
                    "params": PARAMS,
                    "another optimizer's": fnn.init_train_state(NET, ADAM, KEY, PARAMS),
                    "another network's": fnn.init_train_state(OTHER, SGD, KEY),
                    "text": "ts",
                },
                TS,
            ),
            "x": ("x", X),
            "y": ("labels", Y),
        },
    ),
    "an epoch": (
        lambda ts, x, y: fnn.make_train_epoch(NET, SGD, 2)(ts, x, y),
        {
            "ts": (
                {
                    "None": None,
                    "a result": RESULT,
                    "params": PARAMS,
                    "another optimizer's": fnn.init_train_state(NET, ADAM, KEY, PARAMS),
                    "another network's": fnn.init_train_state(OTHER, SGD, KEY),
                    "text": "ts",
                },
                TS,
            ),
            "x": ("x", X),
            "y": ("labels", Y),
        },
    ),
    "accuracy": (
        fnn.accuracy,
        {
            "predictions": (WRONG["rows"] | {"a vector": "skip"}, np.eye(2)[Y]),
            "y": (WRONG["labels"] | {"too large": "skip", "below zero": "skip", "a column": "skip"}, Y),
        },
    ),
    "confusion_matrix": (
        fnn.confusion_matrix,
        {
            "predictions": (WRONG["rows"] | {"a vector": "skip"}, np.eye(2)[Y]),
            "y": (WRONG["labels"] | {"a column": "skip"}, Y),
        },
    ),
    "use_compilation_cache": (
        fnn.use_compilation_cache,
        {"directory": ({"None": None, "a number": 3, "a list": ["a"]}, "/dev/null/path")},
    ),
}


@pytest.mark.parametrize(("function", "arguments"), list(right_calls(CALLS)))
def test_the_call_that_is_varied_is_right(function, arguments):
    function(**arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "arguments"), list(wrong_calls(CALLS)))
def test_a_wrong_argument_is_refused_in_words(function, arguments):
    assert_refused_in_words(function, arguments)
