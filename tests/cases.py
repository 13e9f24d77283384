"""THE table: one row a rule. Every generic test runs over all of them; a new layer or loss is one more row.

Points are drawn by NumPy: a program of JAX's random numbers takes longer to compile than the rule that it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

import fnn


@dataclass(frozen=True)
class LayerCase:
    name: str
    layer: fnn.Layer
    shape: tuple[int, ...]  # of one example
    n: int = 3
    spread: float = 1.5  # inputs are spread · N(0, 1): large enough to reach both sides of every kink

    def draw(self, key):
        """Random parameters (scale ≠ 1, bias ≠ 0), inputs and cotangent."""
        rng, params = generator(key), drawn(key, self.layer.init, self.shape)
        x = normal(rng, self.n, *self.shape, scale=self.spread)
        state = self.layer.init_state(self.shape)
        (y, _), _ = jax.eval_shape(lambda params, x: self.layer.fwd(params, x, state, key), params, x)
        return params, x, normal(rng, *y.shape)


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
        """Random logits or probabilities, targets and weights."""
        rng = generator(key)
        z = normal(rng, self.n, self.outputs, scale=2)
        if self.on_probabilities:
            z = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if self.outputs > 1 else 1 / (1 + np.exp(-z))
        y = self.targets(rng, self.n, self.outputs)
        weights = rng.uniform(0.5, 2, self.n).astype(floating()) if self.weighted else None
        return jax.tree.map(jax.device_put, (z, y, weights))


def generator(key, stream=0):
    """NumPy's random numbers in the place of JAX's: the same key, the same numbers."""
    return np.random.default_rng([stream, *np.asarray(jax.random.key_data(key))])


def floating():
    """The dtype of a Python float, as the precision of the moment has it."""
    return np.dtype("float64" if jax.config.jax_enable_x64 else "float32")


def normal(rng, *shape, scale=1.0):
    return jax.device_put((scale * rng.normal(size=shape)).astype(floating()))


def drawn(key, init, *arguments):
    """The structure, shapes and dtypes of init(key, *arguments) with other random numbers: no scale 1, no bias 0."""
    rng = generator(key, stream=1)

    def draw(leaf):
        fan_in = leaf.size // leaf.shape[0] if len(leaf.shape) > 1 else 0
        numbers = rng.normal(size=leaf.shape)
        return jax.device_put((numbers / fan_in**0.5 if fan_in else 0.7 + 0.3 * numbers).astype(leaf.dtype))

    return jax.tree.map(draw, jax.eval_shape(lambda key: init(key, *arguments), key))


def scatter(key, params):
    """The parameters plus noise, so that no scale is 1 and no bias 0."""
    rng = generator(key, stream=2)
    return jax.tree.map(
        lambda leaf: jax.device_put(np.asarray(leaf) + (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype)), params
    )


def labels(rng, n, outputs):
    return rng.integers(0, outputs, n, dtype=np.int32)


def distributions(rng, n, outputs):
    z = np.exp(rng.normal(size=(n, outputs)))
    return (z / z.sum(axis=1, keepdims=True)).astype(floating())


def bits(rng, n, outputs):
    return rng.integers(0, 2, (n, outputs), dtype=np.int32)


def chances(rng, n, outputs):
    return rng.uniform(size=(n, outputs)).astype(floating())


def values(rng, n, outputs):
    return rng.normal(size=(n, outputs)).astype(floating())


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
    LayerCase("standardize_inputs", fnn.standardize_inputs(), (2, 3)),
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
