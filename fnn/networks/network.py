"""A network: a layer, a loss and perhaps a penalty, as pure functions of the parameters.

Nothing here differentiates by machine. `backward` is the chain rule once: the loss's hand-derived gradient goes into
the layer's hand-derived backward. `loss` is ordinary JAX code, so `jax.grad(net.loss)` is a second, independent road to
the same numbers, and `fnn.check` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fnn.layers.base import Layer, Params, Shape, State
from fnn.losses.base import Loss
from fnn.losses.penalties import Penalty
from fnn.networks.acceptance import as_rate, check_example_weights, check_examples, check_targets
from fnn.networks.expectations import Facts, check_tree, facts_of
from fnn.networks.target_units import TargetScaling, standardized
from fnn.recipes import Recipe
from fnn.validation import require_key

Array = jax.Array


@dataclass(frozen=True, eq=False, repr=False)
class Network(Recipe):
    """A layer, a loss and an optional penalty; made by `network` or `mlp`.

    Every method is a pure function and leaves its arguments as they are. x is (n, *input_shape), rows are examples.

    Attributes:
        layer: maps a batch to logits Z, (n, d_out).
        criterion: the loss on logits; its link turns logits into predictions.
        input_shape: shape of one example.
        penalty: added to the loss, or None.
        targets: how targets are scaled, with statistics in the state, or None.
    """

    layer: Layer
    criterion: Loss
    input_shape: Shape
    penalty: Penalty | None = None
    targets: TargetScaling | None = None

    def init(self, key: Array) -> Params:
        """Draw starting parameters.

        Args:
            key: a random key; the same key gives the same parameters, bit for bit.

        Returns:
            params: an immutable pytree of arrays.

        Raises:
            TypeError: key is no random key, such as a bare seed.
        """
        return self.layer.init(require_key("init", key), self.input_shape)

    def init_state(self) -> State:
        """Starting state of layers that remember something (batch_norm); () if there are none."""
        return self.layer.init_state(self.input_shape)

    def logits(self, params: Params, x: ArrayLike, state: State = ()) -> Array:
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
        self.check_state(state)
        return self.layer.forward(params, jnp.asarray(check_examples(x, self.input_shape)), state)

    def forward(self, params: Params, x: ArrayLike, state: State = ()) -> Array:
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
        x: ArrayLike,
        y: ArrayLike,
        *,
        state: State = (),
        key: Array | None = None,
        weights: ArrayLike | None = None,
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
        examples, targets, shares = self._checked(params, x, y, state, key, weights)
        (z, _), _ = self.layer.fwd(params, examples, state, key)
        value, _ = self.loss_at(state).fwd(z, targets, shares)
        return value if self.penalty is None else value + self.penalty.value(params)

    def backward(self, params: Params, x: ArrayLike, y: ArrayLike, **keywords: Any) -> Params:
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

    def loss_and_grad(self, params: Params, x: ArrayLike, y: ArrayLike, **keywords: Any) -> tuple[Array, Params]:
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
        x: ArrayLike,
        y: ArrayLike,
        *,
        state: State = (),
        key: Array | None = None,
        weights: ArrayLike | None = None,
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
        examples, targets, shares = self._checked(params, x, y, state, key, weights)
        criterion = self.loss_at(state)
        (z, state), residuals = self.layer.fwd(params, examples, state, key)
        value, kept = criterion.fwd(z, targets, shares)
        dz = criterion.bwd(kept, jnp.ones_like(value))
        grads, _ = self.layer.bwd(residuals, dz)
        if self.penalty is not None:
            value = value + self.penalty.value(params)
            grads = jax.tree.map(jnp.add, grads, self.penalty.gradient(params))
        return value, grads, state

    def train_step(
        self, params: Params, x: ArrayLike, y: ArrayLike, learning_rate: float | Array, **keywords: Any
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
            (params, loss), the loss being that before the step; (params, loss, state) for a network whose layers have a
                state.

        Raises:
            ValueError: as `loss`.
        """
        given = {"state": (), "key": None, "weights": None} | keywords
        examples, targets, weights = self._checked(params, x, y, **given)
        keywords |= {} if weights is None else {"weights": weights}
        params, value, state = _step(self, params, examples, targets, as_rate(learning_rate), **keywords)
        return (params, value, state) if self.has_state else (params, value)

    def loss_at(self, state: State) -> Loss:
        """The loss on logits, with the statistics of the targets that a state holds where targets are scaled.

        Args:
            state: the layers' state.
        """
        return self.criterion if self.targets is None else standardized(self.criterion, state[-1])

    @cached_property
    def facts(self) -> Facts:
        """What tracing tells about it: what parameters and states are like, the shape of its output."""
        return facts_of(self.layer, self.input_shape)

    @property
    def has_state(self) -> bool:
        """Whether any layer has a state, as batch_norm does."""
        return self.facts.has_state

    def check_params(self, params: Params) -> None:
        """Check that parameters are like this network's; no values are read, so it works under every transformation.

        Raises:
            ValueError: they are those of another network, or none.
        """
        check_tree("params", params, self.facts.params, "make them with this one's init, or by training it")

    def check_state(self, state: State) -> None:
        """Check that a state is like this network's layers', as `check_params` does.

        Raises:
            ValueError: it is that of another network, or missing.
        """
        check_tree("state", state, self.facts.state, "pass state=net.init_state() before training, else result.state")

    def check_batch(self, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> tuple[Any, Any, Any]:
        """Check a batch before anything is compiled: shapes always, targets where their values are at hand.

        Args:
            x: (n, *input_shape).
            y: targets, one row an example.
            weights: weight of each example, (n,), or None.

        Returns:
            x, y and weights as arrays.

        Raises:
            TypeError: something that is no array.
            ValueError: says expected, received, remedy, and names rows where data is at fault.
        """
        examples = check_examples(x, self.input_shape)
        n = examples.shape[0]
        targets = check_targets(y, n, self.criterion, self.outputs)
        return examples, targets, None if weights is None else check_example_weights(weights, n)

    def _checked(self, params: Params, x: Any, y: Any, state: State, key: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Look at all arguments of a training pass; x, y and weights as JAX's arrays."""
        self.check_params(params)
        self.check_state(state)
        if key is not None:
            require_key("a training pass", key)
        x, y, weights = self.check_batch(x, y, weights)
        return jnp.asarray(x), jnp.asarray(y), None if weights is None else jnp.asarray(weights)

    @property
    def outputs(self) -> int:
        """Number of outputs d_out of the layer."""
        return self.facts.output_shape[-1]

    def _unmade(self) -> str:
        penalty = "" if self.penalty is None else f", penalty={self.penalty!r}"
        penalty += "" if self.targets is None else f", targets={self.targets!r}"
        return f"fnn.network({self.layer!r}, {self.criterion!r}, input_shape={self.input_shape}{penalty})"


@partial(jax.jit, static_argnums=0)
def _step(net: Network, params: Params, x: Array, y: Array, rate: Array, **keywords: Any):
    """One program for all networks that are equal."""
    value, grads, state = net.value_and_grads(params, x, y, **keywords)
    params = jax.tree.map(lambda p, g: p - rate.astype(p.dtype) * g, params, grads)
    return params, value, state
