"""A network: a layer, a loss and perhaps a penalty, as pure functions of the parameters.

Nothing here differentiates by machine. `backward` is the chain rule once: the loss's hand-derived gradient goes into
the layer's hand-derived backward. `loss` is ordinary JAX code, so `jax.grad(net.loss)` is a second, independent road to
the same numbers, and `fnn.check` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Params, Shape, State, output_shape
from fnn.losses.base import Loss
from fnn.losses.penalties import Penalty
from fnn.networks.acceptance import as_rate, check_example_weights, check_examples, check_targets

Array = jax.Array


@dataclass(frozen=True, eq=False)
class Network:
    """A layer, a loss and an optional penalty; made by `network` or `mlp`.

    Every method is a pure function and leaves its arguments as they are. x is (n, *input_shape), rows are examples.

    Attributes:
        layer: maps a batch to logits Z, (n, d_out).
        criterion: the loss on logits; its link turns logits into predictions.
        input_shape: shape of one example.
        penalty: added to the loss, or None.
    """

    layer: Layer
    criterion: Loss
    input_shape: Shape
    penalty: Penalty | None = None

    def init(self, key: Array) -> Params:
        """Draw starting parameters.

        Args:
            key: a random key; the same key gives the same parameters, bit for bit.

        Returns:
            params: an immutable pytree of arrays.

        Raises:
            TypeError: key is no random key, such as a bare seed.
        """
        if not isinstance(key, jax.Array | np.ndarray):
            raise TypeError(f"expected key as a random key, got {key!r}; pass jax.random.key(0)")
        return self.layer.init(key, self.input_shape)

    def init_state(self) -> State:
        """Starting state of layers that remember something (batch_norm); () if there are none."""
        return self.layer.init_state(self.input_shape)

    def logits(self, params: Params, x: Array, state: State = ()) -> Array:
        """Evaluate the layer, Z = f(θ, X): deterministic, without the output activation.

        Args:
            params: from `init` or training.
            x: (n, *input_shape).
            state: from `init_state` or training, where the network has one.

        Returns:
            z: (n, d_out).

        Raises:
            ValueError: x has another shape, or is empty.
        """
        self.check_params(params)
        check_examples(x, self.input_shape)
        return self.layer.forward(params, x, state)

    def forward(self, params: Params, x: Array, state: State = ()) -> Array:
        """Predict, Ŷ = link(f(θ, X)): probabilities for classifiers, values for regression.

        Args:
            params: from `init` or training.
            x: (n, *input_shape).
            state: from `init_state` or training, where the network has one.

        Returns:
            ŷ: (n, d_out).

        Raises:
            ValueError: x has another shape, or is empty.
        """
        return self.criterion.link(self.logits(params, x, state))

    def loss(
        self,
        params: Params,
        x: Array,
        y: Array,
        *,
        state: State = (),
        key: Array | None = None,
        weights: Array | None = None,
    ) -> Array:
        """The objective that training minimizes: mean loss over the examples, plus the penalty.

        This is the function whose gradient `backward` is, so layers that behave differently in training (dropout,
        batch_norm) do so here and ask for their key or state; `fnn.evaluate` measures a trained network.

        Args:
            params: parameters θ.
            x: (n, *input_shape).
            y: targets, (n, d_out), or integer labels (n,) where the loss takes them.
            state: the layers' state, where they have one.
            key: random key, where a layer draws.
            weights: weight of each example, (n,).

        Returns:
            A scalar, in nats for cross-entropies.

        Raises:
            ValueError: shapes, labels, a missing key or state: says expected, received, remedy.
        """
        self.check_params(params)
        self.check_batch(x, y, weights)
        (z, _), _ = self.layer.fwd(params, x, state, key)
        value, _ = self.criterion.fwd(z, jnp.asarray(y), _array(weights))
        return value if self.penalty is None else value + self.penalty.value(params)

    def backward(self, params: Params, x: Array, y: Array, **keywords: Any) -> Params:
        """Gradient of `loss` by hand, ∇L(θ).

        Args:
            params: parameters θ.
            x: (n, *input_shape).
            y: targets, as `loss` takes them.
            **keywords: state, key and weights, as `loss` takes them.

        Returns:
            grads: a pytree like params.

        Raises:
            ValueError: as `loss`.
        """
        return self.value_and_grads(params, x, y, **keywords)[1]

    def loss_and_grad(self, params: Params, x: Array, y: Array, **keywords: Any) -> tuple[Array, Params]:
        """Loss and gradient in one pass.

        Args:
            params: parameters θ.
            x: (n, *input_shape).
            y: targets, as `loss` takes them.
            **keywords: state, key and weights, as `loss` takes them.

        Returns:
            loss: a scalar; grads: a pytree like params.

        Raises:
            ValueError: as `loss`.
        """
        return self.value_and_grads(params, x, y, **keywords)[:2]

    def value_and_grads(
        self,
        params: Params,
        x: Array,
        y: Array,
        *,
        state: State = (),
        key: Array | None = None,
        weights: Array | None = None,
    ) -> tuple[Array, Params, State]:
        """Loss, gradient and new state: the whole training pass, forward and back.

        Args:
            params: parameters θ.
            x: (n, *input_shape).
            y: targets, as `loss` takes them.
            state: the layers' state, where they have one.
            key: random key, where a layer draws.
            weights: weight of each example, (n,).

        Returns:
            loss: a scalar; grads: a pytree like params; state: that after this batch.

        Derivation:
            L(θ) = ℓ(f(θ, X), Y) + R(θ), so ∇L = (∂f/∂θ)ᵀ ∂ℓ/∂Z + ∇R. The loss's backward gives dZ = ∂ℓ/∂Z, starting
            from ∂L/∂ℓ = 1; the layer's backward pulls it through f; the penalty's gradient is added.

        Raises:
            ValueError: as `loss`.
        """
        self.check_params(params)
        self.check_batch(x, y, weights)
        (z, state), residuals = self.layer.fwd(params, x, state, key)
        value, kept = self.criterion.fwd(z, jnp.asarray(y), _array(weights))
        dz = self.criterion.bwd(kept, jnp.ones_like(value))
        grads, _ = self.layer.bwd(residuals, dz)
        if self.penalty is not None:
            value = value + self.penalty.value(params)
            grads = jax.tree.map(jnp.add, grads, self.penalty.gradient(params))
        return value, grads, state

    def train_step(
        self, params: Params, x: Array, y: Array, learning_rate: float | Array, **keywords: Any
    ) -> tuple[Any, ...]:
        """One step of gradient descent, θ ← θ − α ∇L(θ), compiled by XLA.

        Compiled once for each shape of the arguments; the learning rate may change in value and in Python type without
        compiling again. The arguments stay valid.

        Args:
            params: parameters θ.
            x: (n, *input_shape).
            y: targets, as `loss` takes them.
            learning_rate: α, a number or scalar array.
            **keywords: state, key and weights, as `loss` takes them.

        Returns:
            (params, loss), the loss being that before the step; (params, loss, state) where `state` was passed.

        Raises:
            ValueError: as `loss`.
        """
        self.check_params(params)
        self.check_batch(x, y, keywords.get("weights"))
        params, value, state = self._compiled_step(
            params, jnp.asarray(x), jnp.asarray(y), as_rate(learning_rate), **keywords
        )
        return (params, value, state) if "state" in keywords else (params, value)

    @cached_property
    def _compiled_step(self) -> Callable:
        def step(params, x, y, rate, **keywords):
            value, grads, state = self.value_and_grads(params, x, y, **keywords)
            params = jax.tree.map(lambda p, g: p - rate.astype(p.dtype) * g, params, grads)
            return params, value, state

        return jax.jit(step)

    def check_params(self, params: Params) -> None:
        """Check that parameters have the shapes of this network's; shapes only, so it works under every transformation.

        Args:
            params: what should be parameters of this network.

        Raises:
            ValueError: they are those of another network, or none at all.
        """
        received = [np.shape(leaf) for leaf in jax.tree.leaves(params)]
        if received != self._shapes:
            raise ValueError(
                f"expected params of shapes {self._shapes}, got {received}; "
                "they belong to another network: make them with this one's init, or by training it"
            )

    @cached_property
    def _shapes(self) -> list[Shape]:
        return [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(self.init, jax.random.key(0)))]

    def check_batch(self, x: Array, y: Array, weights: Array | None = None) -> None:
        """Check a batch before anything is compiled: shapes always, targets where their values are at hand.

        Args:
            x: (n, *input_shape).
            y: targets, one row an example.
            weights: weight of each example, (n,), or None.

        Raises:
            ValueError: says expected, received, remedy, and names rows where data is at fault.
        """
        check_examples(x, self.input_shape)
        check_targets(y, x.shape[0], self.criterion, self.outputs)
        if weights is not None:
            check_example_weights(weights, x.shape[0])

    @cached_property
    def outputs(self) -> int:
        """Number of outputs d_out of the layer."""
        params = jax.eval_shape(self.init, jax.random.key(0))
        return output_shape(self.layer, params, self.input_shape)[-1]

    def __repr__(self) -> str:
        penalty = "" if self.penalty is None else f", penalty={self.penalty!r}"
        return f"network({self.layer!r}, {self.criterion!r}, input_shape={self.input_shape}{penalty})"


def _array(weights: Array | None) -> Array | None:
    return None if weights is None else jnp.asarray(weights)
