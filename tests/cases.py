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


@jax.jit
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
    LayerCase("prelu", fnn.prelu(0.3), (6,)),
    LayerCase("prelu-images", fnn.prelu(-0.4), (3, 2, 4)),
    LayerCase("layer_norm", fnn.layer_norm(), (5,)),
    LayerCase("layer_norm-images", fnn.layer_norm(epsilon=0.1), (2, 3, 4)),
    LayerCase("batch_norm", fnn.batch_norm(), (4,), n=5),
    LayerCase("batch_norm-images", fnn.batch_norm(0.5, epsilon=0.1), (2, 3, 4)),
    LayerCase("dropout", fnn.dropout(0.4), (6,)),
    LayerCase("random_shift", fnn.random_shift(2), (5, 4)),
    LayerCase("random_shift-channels", fnn.random_shift(1), (4, 5, 2)),
    LayerCase("conv2d", fnn.conv2d(3), (5, 4, 2)),
    LayerCase("conv2d-valid", fnn.conv2d(2, kernel=(2, 3), padding="VALID"), (4, 5, 1)),
    LayerCase("conv2d-strided", fnn.conv2d(2, kernel=(4, 3), stride=(2, 3), use_bias=False), (7, 8, 2), n=2),
    LayerCase("conv2d-cut", fnn.conv2d(2, kernel=2, stride=3, padding="VALID"), (7, 6, 1), n=2),
    LayerCase("conv2d-wide-padding", fnn.conv2d(2, kernel=2, stride=2, padding=((2, 0), (0, 3))), (4, 3, 2), n=2),
    LayerCase("conv2d-one-pixel", fnn.conv2d(2, kernel=1), (1, 1, 3)),
    LayerCase("max_pool", fnn.max_pool(2), (4, 6, 2)),
    LayerCase("max_pool-cut", fnn.max_pool((2, 3)), (5, 4, 2)),
    LayerCase("average_pool", fnn.average_pool(2), (4, 6, 2)),
    LayerCase("average_pool-cut", fnn.average_pool((2, 3)), (5, 4, 2)),
    LayerCase("serial-empty", fnn.serial(), (3,)),
    LayerCase("serial", fnn.serial(fnn.dense(5), fnn.tanh, fnn.dense(2), fnn.sigmoid), (3,)),
    LayerCase("serial-nested", fnn.serial(fnn.flatten, fnn.serial(fnn.dense(4), fnn.relu), fnn.dense(2)), (2, 3)),
    LayerCase("serial-images", fnn.serial(fnn.conv2d(2), fnn.batch_norm(), fnn.relu, fnn.max_pool(2)), (4, 4, 1)),
    LayerCase("serial-stateful", fnn.serial(fnn.dense(4), fnn.batch_norm(), fnn.tanh, fnn.dropout(0.3)), (3,), n=6),
    LayerCase("residual", fnn.residual(fnn.dense(3)), (3,)),
    LayerCase("residual-block", fnn.residual(fnn.serial(fnn.layer_norm(), fnn.dense(2), fnn.tanh, fnn.dense(3))), (3,)),
    LayerCase("repeat", fnn.repeat(fnn.dense(3), 4), (3,)),
    LayerCase("repeat-once", fnn.repeat(fnn.tanh, 1), (3,)),
    LayerCase("repeat-block", fnn.repeat(fnn.residual(fnn.serial(fnn.dense(3), fnn.tanh)), 3), (3,)),
    LayerCase("repeat-stateful", fnn.repeat(fnn.serial(fnn.batch_norm(), fnn.dropout(0.3), fnn.prelu()), 3), (4,), n=6),
    LayerCase("repeat-nested", fnn.repeat(fnn.serial(fnn.repeat(fnn.dense(2), 2), fnn.tanh), 3), (2,)),
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

PENALTIES = [fnn.l1(0.3), fnn.l2(0.3), fnn.spectral_norm(0.3)]
