"""Every checker and proof with every kind of wrong argument: refused in words, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrong_arguments import (
    KEY,
    NET,
    NORMED,
    NORMED_PARAMS,
    NOT_ARRAYS,
    NOT_WHOLE,
    PARAMS,
    STATE,
    WRONG,
    Sparse,
    X,
    Y,
    assert_refused_in_words,
    wrong_calls,
)

import fnn

W = np.ones(3, np.float32)


def loss(w):
    return jnp.sum(w * w)


def gradient(w):
    return 2 * w


@jax.custom_vjp
def square(w):
    return w * w


square.defvjp(lambda w: (w * w, w), lambda w, dy: (2 * w * dy,))

NOT_LEAVES = {
    name: NOT_ARRAYS[name] for name in ("text", "a function", "a masked array", "objects", "strings", "words")
}
NOT_LEAVES |= {"a sparse matrix": Sparse(), "a list of functions": [len], "None": None, "a network": NET}
NOT_LEAVES |= {"text in a tree": {"W": "a"}, "a masked array in a tree": [W, np.ma.masked_array(W)]}
NOT_VARIED = NOT_LEAVES | {"whole numbers": np.arange(3), "keys": jax.random.split(KEY), "True": True}
NO_FUNCTION = WRONG["function"]
NO_LOSS = NO_FUNCTION | {"of several values": lambda w: 2 * w, "a layer": fnn.relu}
NOT_KEYS = {name: value for name, value in WRONG["key"].items() if name not in ("a seed", "None")}
MASKED = jax.tree.map(np.ma.masked_array, PARAMS)
LAYER = {"layer": ("layer", fnn.relu), "shape": ("shape", (3,)), "n": (NOT_WHOLE, 3)}


def by_position(function):
    """The function, called with what comes by position in the order of the table."""
    return lambda **arguments: function(*arguments.values())


CALLS = {
    "check": (
        fnn.check,
        {
            "net": ("network", NET),
            "params": (WRONG["params"] | {"masked arrays": MASKED}, PARAMS),
            "x": ("x", X),
            "y": ("labels", Y),
            "key": ({name: value for name, value in WRONG["key"].items() if name != "None"}, KEY),
            "weights": (WRONG["weights"] | {"None": "skip"}, np.ones(4)),
        },
    ),
    "check with a state": (
        fnn.check,
        {
            "net": ("fixed", NORMED),
            "params": ("fixed", NORMED_PARAMS),
            "x": ("fixed", X),
            "y": ("fixed", Y),
            "state": ("state", STATE),
        },
    ),
    "check_layer": (fnn.check_layer, LAYER | {"key": (WRONG["key"] | {"None": "skip"}, KEY)}),
    "prove_layer": (fnn.prove_layer, LAYER | {"key": (NOT_KEYS, 0)}),
    "check_gradient": (
        by_position(fnn.check_gradient),
        {"loss": (NO_LOSS, loss), "backward": (NO_FUNCTION, gradient), "w": (NOT_VARIED, W)},
    ),
    "check_gradient of one of two": (
        by_position(lambda w, option: fnn.check_gradient(lambda w, option: loss(w), gradient, w, option)),
        {"w": ("fixed", W), "option": (NOT_LEAVES | {"None": "skip"}, 1.0)},
    ),
    "check_gradient by number": (
        lambda argnums: fnn.check_gradient(loss, gradient, W, argnums=argnums),
        {"argnums": ({"too large": 1, "below zero": -1, "several": (0, 1), "twice": (0, 0), "none": ()}, 0)},
    ),
    "check_rule": (
        by_position(fnn.check_rule),
        {
            "f": (NO_FUNCTION, square),
            "w": ({name: value for name, value in NOT_VARIED.items() if name != "True"}, W),
        },
    ),
    "finite_differences": (fnn.finite_differences, {"f": (NO_LOSS, loss), "params": (NOT_VARIED, W)}),
    "prove": (
        by_position(fnn.prove),
        {"f": (NO_FUNCTION, loss), "g": (NO_FUNCTION, loss), "w": (NOT_LEAVES | {"complex": 1j * W}, W)},
    ),
    "prove with a key": (lambda key: fnn.prove(loss, loss, W, key=key), {"key": (NOT_KEYS, 0)}),
    "prove_gradient": (
        by_position(fnn.prove_gradient),
        {"loss": (NO_LOSS, loss), "backward": (NO_FUNCTION, gradient), "w": (NOT_VARIED | {"complex": 1j * W}, W)},
    ),
    "prove_gradient by number": (
        lambda argnums: fnn.prove_gradient(loss, gradient, W, argnums=argnums),
        {"argnums": ({"too large": 1, "several": (0, 1)}, 0)},
    ),
    "prove_rule": (by_position(fnn.prove_rule), {"f": (NO_FUNCTION, square), "w": (NOT_LEAVES, W)}),
    "prove_rule by a reference": (
        lambda reference: fnn.prove_rule(square, W, reference=reference),
        {"reference": (NO_FUNCTION | {"None": "skip"}, square)},
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "arguments"), list(wrong_calls(CALLS)))
def test_a_wrong_argument_is_refused_in_words(function, arguments):
    assert_refused_in_words(function, arguments)


def test_none_within_a_point_is_nothing():
    point = {"a": W, "b": None}
    report = fnn.check_gradient(lambda w, mask: loss(w["a"]), lambda w, mask: {"a": 2 * w["a"], "b": None}, point, None)
    report.assert_ok()
    fnn.prove(lambda w, mask: w, lambda w, mask: w, W, None).assert_proved()
    assert fnn.finite_differences(lambda w: 3.0, ()) == ()
