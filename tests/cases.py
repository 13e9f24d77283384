"""THE table: one row a rule. Every generic test runs over all of them; a new layer or loss is one more row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

import fnn


@dataclass(frozen=True)
class LayerCase:
    name: str
    layer: fnn.Layer
    shape: tuple[int, ...]  # of one example
    n: int = 3
    spread: float = 1.5  # inputs are spread · N(0, 1): large enough to reach both sides of every kink

    def draw(self, key, dtype=None):
        """Random parameters (scale ≠ 1, bias ≠ 0), state, inputs and cotangent."""
        keys = jax.random.split(key, 4)
        params = scatter(keys[0], self.layer.init(keys[1], self.shape))
        x = self.spread * jax.random.normal(keys[2], (self.n, *self.shape))
        (y, _), _ = self.layer.fwd(params, x, self.layer.init_state(self.shape), keys[0])
        return params, x, jax.random.normal(keys[3], y.shape, y.dtype)


@dataclass(frozen=True)
class LossCase:
    name: str
    loss: fnn.Loss
    targets: Callable  # (key, n, outputs) -> y
    outputs: int = 4
    n: int = 5
    weighted: bool = False
    on_probabilities: bool = False

    def draw(self, key):
        keys = jax.random.split(key, 3)
        z = 2.0 * jax.random.normal(keys[0], (self.n, self.outputs))
        if self.on_probabilities:
            z = jax.nn.softmax(z) if self.outputs > 1 else jax.nn.sigmoid(z)
        y = self.targets(keys[1], self.n, self.outputs)
        weights = jax.random.uniform(keys[2], (self.n,), minval=0.5, maxval=2.0) if self.weighted else None
        return z, y, weights


def scatter(key, params):
    """The parameters plus noise, so that no scale is 1 and no bias 0."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))
    noisy = [leaf + 0.3 * jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=False)]
    return jax.tree.unflatten(structure, noisy)


def labels(key, n, outputs):
    return jax.random.randint(key, (n,), 0, outputs)


def distributions(key, n, outputs):
    return jax.nn.softmax(jax.random.normal(key, (n, outputs)))


def bits(key, n, outputs):
    return jax.random.bernoulli(key, 0.5, (n, outputs)).astype(jnp.int32)


def chances(key, n, outputs):
    return jax.random.uniform(key, (n, outputs))


def values(key, n, outputs):
    return jax.random.normal(key, (n, outputs))


LAYERS = [
    LayerCase("dense", fnn.dense(4), (3,)),
    LayerCase("dense-one-example", fnn.dense(4), (3,), n=1),
    LayerCase("dense-width-one", fnn.dense(1), (1,)),
    LayerCase("linear", fnn.dense(4, use_bias=False), (3,)),
    LayerCase("identity", fnn.identity, (3,)),
    LayerCase("sigmoid", fnn.sigmoid, (3,)),
    LayerCase("tanh", fnn.tanh, (3,)),
    LayerCase("relu", fnn.relu, (6,)),
    LayerCase("swish", fnn.swish, (3,)),
    LayerCase("gelu", fnn.gelu, (3,)),
    LayerCase("softplus", fnn.softplus, (3,)),
    LayerCase("softmax", fnn.softmax, (4,)),
    LayerCase("softmax-one-class", fnn.softmax, (1,)),
    LayerCase("leaky_relu", fnn.leaky_relu(0.1), (6,)),
    LayerCase("elu", fnn.elu(1.0), (6,)),
    LayerCase("elu-steep", fnn.elu(1.7), (6,)),
    LayerCase("rescale", fnn.rescale(0.3), (2, 3)),
    LayerCase("flatten", fnn.flatten, (2, 3)),
    LayerCase("serial-empty", fnn.serial(), (3,)),
    LayerCase("serial", fnn.serial(fnn.dense(5), fnn.tanh, fnn.dense(2), fnn.sigmoid), (3,)),
    LayerCase("serial-nested", fnn.serial(fnn.flatten, fnn.serial(fnn.dense(4), fnn.relu), fnn.dense(2)), (2, 3)),
]

LOSSES = [
    LossCase("softmax_cross_entropy-labels", fnn.softmax_cross_entropy, labels),
    LossCase("softmax_cross_entropy-rows", fnn.softmax_cross_entropy, distributions),
    LossCase("softmax_cross_entropy-weighted", fnn.softmax_cross_entropy, labels, weighted=True),
    LossCase("softmax_cross_entropy-one-example", fnn.softmax_cross_entropy, labels, n=1),
    LossCase("sigmoid_cross_entropy", fnn.sigmoid_cross_entropy, bits),
    LossCase("sigmoid_cross_entropy-one-output", fnn.sigmoid_cross_entropy, bits, outputs=1),
    LossCase("sigmoid_cross_entropy-chances", fnn.sigmoid_cross_entropy, chances, weighted=True),
    LossCase("mean_squared_error", fnn.mean_squared_error, values),
    LossCase("mean_squared_error-weighted", fnn.mean_squared_error, values, weighted=True),
    LossCase("half_mean_squared_error", fnn.half_mean_squared_error, values),
    LossCase("mean_absolute_error", fnn.mean_absolute_error, values, weighted=True),
    LossCase("huber", fnn.huber(0.8), values, weighted=True),
    LossCase("cross_entropy-labels", fnn.cross_entropy, labels, on_probabilities=True),
    LossCase("cross_entropy-rows", fnn.cross_entropy, distributions, on_probabilities=True, weighted=True),
    LossCase("binary_cross_entropy", fnn.binary_cross_entropy, bits, on_probabilities=True),
    LossCase("binary_cross_entropy-chances", fnn.binary_cross_entropy, chances, outputs=1, on_probabilities=True),
    LossCase("scaled", fnn.scaled(fnn.mean_squared_error, 0.25), values),
    LossCase("summed", fnn.summed(fnn.sigmoid_cross_entropy), bits),
    LossCase("summed-weighted", fnn.summed(fnn.softmax_cross_entropy), labels, weighted=True),
]

PENALTIES = [fnn.l1(0.3), fnn.l2(0.3)]
