"""Wrong arguments of pictures are refused in words before anything is drawn or written."""

import math

import numpy as np
import pytest
from wrong_arguments import (
    KEY,
    NAN,
    NET,
    NOT_ARRAYS,
    NOT_NUMBERS,
    NOT_WHOLE,
    PARAMS,
    RESULT,
    WRONG,
    X,
    assert_refused_in_words,
    right_calls,
    wrong_calls,
)

import fnn
from fnn import plots

PLANE = fnn.mlp(2, 4, 2)
POINTS, LABELS = np.arange(8.0).reshape(4, 2), np.array([0, 1, 1, 0])
IMAGES, PREDICTIONS = np.ones((4, 3, 3)), np.eye(2)[[1, 0, 0, 1]]
HISTORY = (fnn.Epoch(1, 0.5, None, 1e5), fnn.Epoch(2, 0.4, None, 1e5))
AXES = {"a number": 3, "text": "axes", "a list": []}
SAVED = {"a number": 3, "a list": ["a.png"], "an array": np.ones(2)}
CALLS = {
    "loss_curves": (
        plots.loss_curves,
        {
            "history": (
                {"None": None, "a result": RESULT, "text": "history", "a number": 3, "numbers": [0.5]},
                HISTORY,
            ),
            "ax": (AXES, None),
        },
    ),
    "decision_boundary": (
        plots.decision_boundary,
        {
            "net": (WRONG["network"] | {"of three features": NET}, PLANE),
            "params": (WRONG["params"], PLANE.init(KEY)),
            "x": (NOT_ARRAYS | {"three columns": X, "a vector": np.ones(4), "NaN": POINTS * math.nan}, POINTS),
            "y": (NOT_ARRAYS | {"too many": np.zeros(5, int), "NaN": LABELS * math.nan}, LABELS),
            "resolution": (NOT_WHOLE | {"one": 1}, 3),
        },
    ),
    "confusion_matrix": (
        plots.confusion_matrix,
        {
            "matrix": (
                NOT_ARRAYS | {"below zero": -np.eye(2), "NaN": np.eye(2) * math.nan, "a vector": LABELS},
                np.eye(2),
            ),
            "labels": ({"a number": 2, "text": "ab", "too few": ["a"]}, ["a", "b"]),
            "ax": (AXES, None),
        },
    ),
    "misclassified": (
        plots.misclassified,
        {
            "x": (NOT_ARRAYS | {"too many": np.ones((5, 3, 3))}, IMAGES),
            "y": (NOT_ARRAYS | {"a column": LABELS[:, None]}, LABELS),
            "predictions": (NOT_ARRAYS | {"NaN": PREDICTIONS * math.nan, "labels": LABELS}, PREDICTIONS),
            "n": ("whole", 4),
            "shape": ({"a number": 9, "text": "33", "too large": (4, 4)}, (3, 3)),
        },
    ),
    "theta": (plots.theta, {"params": (WRONG["tree"] | {"None": None, "too many": np.ones(121)}, np.ones(3))}),
    "weights": (
        plots.weights,
        {
            "params": (WRONG["tree"] | {"None": None, "a vector": np.ones(3), "no weights": ()}, PARAMS),
            "shape": ({"a number": 3, "text": "13", "too large": (4, 4), "one size": (3,)}, (1, 3)),
            "n": ("whole", 4),
            "columns": (NOT_WHOLE | {"None": "skip"}, 2),
        },
    ),
    "network_diagram": (
        plots.network_diagram,
        {
            "net": ("network", NET),
            "params": ("params", PARAMS),
            "most": (NOT_WHOLE | {"one": 1}, 5),
            "ax": (AXES, None),
        },
    ),
    "activation_histograms": (
        plots.activation_histograms,
        {"net": ("network", NET), "params": ("params", PARAMS), "x": ("x", X)},
    ),
    "gradient_norms": (
        lambda grads, **named: plots.gradient_norms(grads, **named),
        {
            "grads": (WRONG["tree"] | {"None": None, "nothing": ()}, PARAMS),
            "labels": ({"text": "a", "a number": 1, "two": ["a", "b"], "None": None}, ["a"]),
            "ax": (AXES, None),
        },
    ),
    "activation_functions": (
        lambda g, **named: plots.activation_functions(g, **named),
        {"g": (WRONG["layer"] | {"dense": fnn.dense(3)}, fnn.relu), "reach": (NOT_NUMBERS | NAN | {"zero": 0}, 2.0)},
    ),
    "descent_path": (
        plots.descent_path,
        {
            "f": ("function", np.square),
            "points": (NOT_ARRAYS | {"three columns": X, "NaN": [math.nan], "nothing": np.ones(0)}, np.arange(3.0)),
            "ax": (AXES, None),
        },
    ),
    "animate_descent": (
        plots.animate_descent,
        {
            "f": ("function", np.square),
            "points": (NOT_ARRAYS | {"three columns": X, "NaN": [math.nan]}, np.arange(3.0)),
            "path": (WRONG["path"] | {"of another kind": "film.doc"}, "/dev/null/film.gif"),
            "frames_per_second": ("whole", 10),
            "every": ("whole", 10),
        },
    ),
    "gradient_check_steps": (
        plots.gradient_check_steps,
        {
            "f": ("function", lambda params: (params["W"] ** 2).sum()),
            "params": (WRONG["tree"] | {"None": None}, {"W": np.ones((2, 2), np.float32)}),
            "grads": (WRONG["tree"] | {"None": None, "of another tree": PARAMS}, {"W": np.full((2, 2), 2, np.float32)}),
            "steps": (NOT_ARRAYS | {"None": "skip", "below zero": [-1.0], "NaN": [math.nan]}, [0.1, 0.01]),
            "ax": (AXES, None),
        },
    ),
    "a saved picture": (plots.confusion_matrix, {"matrix": ("fixed", np.eye(2)), "path": (SAVED, "/dev/null/file")}),
}


@pytest.mark.parametrize(("function", "arguments"), list(right_calls(CALLS)))
def test_the_call_that_is_varied_is_right(function, arguments):
    function(**arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "arguments"), list(wrong_calls(CALLS)))
def test_a_wrong_argument_is_refused_in_words(function, arguments):
    assert_refused_in_words(function, arguments)
