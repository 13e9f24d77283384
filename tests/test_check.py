"""The checker: accepts what is right, rejects what is wrong, and says what it saw."""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS

import fnn


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_every_layer_is_accepted(case):
    report = fnn.check_layer(case.layer, case.shape, n=case.n)
    report.assert_ok()


def test_a_wrong_rule_is_rejected():
    wrong = fnn.stateless("square", fnn.no_params, lambda _, x: (x * x, x), lambda x, dy: ((), x * dy))
    report = fnn.check_layer(wrong, (3,))
    assert report.verdict == "WRONG"
    assert "x is 0.5 times the right gradient" in report.diagnosis
    with pytest.raises(AssertionError, match="WRONG: backward of square"):
        report.assert_ok()


def test_check_gradient_leaves_integers_alone():
    def loss(params, index):
        return params["v"][index] ** 2

    def backward(params, index):
        return {"v": jnp.zeros_like(params["v"]).at[index].set(2 * params["v"][index])}

    fnn.check_gradient(loss, backward, {"v": jnp.arange(3.0)}, 2).assert_ok()
    with pytest.raises(ValueError, match=r"argnums: expected 0 to 0 for 1 arguments, got 1"):
        fnn.check_gradient(loss, backward, jnp.ones(1), argnums=1)


def test_check_gradient_of_numpy_functions():
    fnn.check_gradient(lambda v: float(np.sin(v).sum()), np.cos, np.linspace(0, 1, 5)).assert_ok()
    assert fnn.check_gradient(lambda v: float(np.sin(v).sum()), np.sin, np.linspace(0, 1, 5)).verdict == "WRONG"
