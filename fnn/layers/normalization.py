"""Normalization: features with mean 0 and variance 1, then a learnt scale and shift.

`layer_norm` takes its statistics from each example alone, `batch_norm` from all examples of a batch. Both standardize,
x̂ = (x − μ) / √(σ² + ε), and both backwards go through the one derivation in `standardize_bwd`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, Shape, State, require_fields, require_floating, stateless
from fnn.recipes import recipe
from fnn.validation import require_number

Axes = tuple[int, ...]


class NormParams(NamedTuple):
    """Parameters of `layer_norm` and `batch_norm`; their gradient is another `NormParams`."""

    scale: jax.Array  # (d,), starts at 1
    shift: jax.Array  # (d,), starts at 0


class BatchNormState(NamedTuple):
    """What `batch_norm` remembers for evaluation: running statistics of each feature."""

    mean: jax.Array  # (d,), starts at 0
    variance: jax.Array  # (d,), unbiased, starts at 1


def standardize_fwd(x: jax.Array, axes: Axes, epsilon: float):
    """Subtract the mean over some axes and divide by the standard deviation, x̂ = (x − μ) / √(σ² + ε).

    Args:
        x: any array, floating point.
        axes: the axes that the statistics are taken over.
        epsilon: ε, which bounds the division where σ = 0.

    Returns:
        x̂: like x; the residuals (x̂, 1/√(σ² + ε)) that `standardize_bwd` reads; μ and σ², with axes of size 1.

    Stability:
        Two passes, first μ and then σ² = mean((x − μ)²): mean(x²) − μ² cancels where μ is large beside σ, and can come
        out negative.
    """
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    inverse = jax.lax.rsqrt(variance + epsilon)
    x_hat = centred * inverse
    return x_hat, (x_hat, inverse), (mean, variance)


def standardize_bwd(residuals, dx_hat: jax.Array, axes: Axes):
    """Pull the gradient back through x̂ = (x − μ) / √(σ² + ε), where μ and σ² are functions of x as well.

    Args:
        residuals: (x̂, 1/√(σ² + ε)) from `standardize_fwd`.
        dx_hat: ∂L/∂x̂, shaped like x.
        axes: the axes that the statistics were taken over.

    Returns:
        dx: ∂L/∂x.

    Derivation:
        Let j and k run over the m entries that share one mean, and r = 1/√(σ² + ε), so x̂_k = (x_k − μ) r. With

            ∂μ/∂x_j  = 1/m
            ∂σ²/∂x_j = (2/m) (x_j − μ)        since the inner Σ_k (x_k − μ) is 0
            ∂r/∂x_j  = −½ r³ ∂σ²/∂x_j = −(r²/m) x̂_j

        the product rule gives ∂x̂_k/∂x_j = r (1[j = k] − 1/m) + (x_k − μ) ∂r/∂x_j = r (1[j = k] − 1/m − x̂_k x̂_j / m),
        and summing over k with dx̂_k

            ∂L/∂x_j = r (dx̂_j − (1/m) Σ_k dx̂_k − x̂_j (1/m) Σ_k dx̂_k x̂_k)

        dX = r ⊙ (dX̂ − mean(dX̂) − X̂ ⊙ mean(dX̂ ⊙ X̂)). The two means are the paths through μ and through σ²; ε is inside
        r and needs no term of its own.

    References:
        Ioffe and Szegedy, Batch normalization (2015), section 3, whose six lines this joins into one.
    """
    x_hat, inverse = residuals
    through_mean = dx_hat.mean(axis=axes, keepdims=True)
    through_variance = (dx_hat * x_hat).mean(axis=axes, keepdims=True)
    return inverse * (dx_hat - through_mean - x_hat * through_variance)


def layer_norm_fwd(params: NormParams, x: jax.Array, epsilon: float = 1e-5):
    """Standardize each example over its last axis, then y = scale ⊙ x̂ + shift.

    Args:
        params: scale and shift, (d,).
        x: (n, ..., d), floating point.
        epsilon: ε of `standardize_fwd`.

    Returns:
        y: like x, and the residuals (scale, x̂, 1/√(σ² + ε)) that `layer_norm_bwd` reads; x itself is not kept.

    Raises:
        ValueError: the last axis of x is not d long, or x holds integers.
    """
    _check_features("layer_norm", params, x)
    x_hat, (_, inverse), _ = standardize_fwd(x, (-1,), epsilon)
    return params.scale * x_hat + params.shift, (params.scale, x_hat, inverse)


def layer_norm_bwd(residuals, dy: jax.Array):
    """Pull the gradient back through scale, shift and the statistics of each example.

    Args:
        residuals: (scale, x̂, 1/√(σ² + ε)) from `layer_norm_fwd`.
        dy: ∂L/∂Y, like y.

    Returns:
        dparams: ∂L/∂scale and ∂L/∂shift, (d,); dx: ∂L/∂X.

    Derivation:
        From y[n, d] = scale[d] x̂[n, d] + shift[d]

            ∂L/∂scale[d] = Σ_n dy[n, d] x̂[n, d]        ∂L/∂shift[d] = Σ_n dy[n, d]        dx̂[n, d] = dy[n, d] scale[d]

        and `standardize_bwd` takes dX̂ to dX, with means over the features of each example.

    References:
        Ba, Kiros and Hinton, Layer normalization (2016).
    """
    scale, x_hat, inverse = residuals
    return _affine_bwd(x_hat, dy), standardize_bwd((x_hat, inverse), dy * scale, (-1,))


@recipe
def layer_norm(*, epsilon: float = 1e-5) -> Layer:
    """Standardize each example over its last axis, by itself, then scale and shift.

    The same in training and evaluation, and for any batch size.

    Args:
        epsilon: ε, added to the variance.

    Returns:
        A layer with `NormParams(scale, shift)`.

    Raises:
        TypeError, ValueError: epsilon is no number above 0; from init, examples without axes.

    Examples:
        >>> layer = layer_norm()
        >>> layer.forward(layer.init(jax.random.key(0), (2,)), jnp.array([[1.0, 5.0]])).round(4)
        Array([[-1.,  1.]], dtype=float32)
    """
    _check_epsilon("layer_norm", epsilon)

    def fwd(params, x):
        return layer_norm_fwd(params, x, epsilon)

    return stateless("layer_norm", _init("layer_norm"), fwd, layer_norm_bwd)


def batch_norm_fwd(params: NormParams, x: jax.Array, epsilon: float = 1e-5):
    """Standardize each feature over the batch, then y = scale ⊙ x̂ + shift.

    Args:
        params: scale and shift, (d,).
        x: (n, ..., d), floating point; images (n, h, w, c) have their statistics taken over n, h and w.
        epsilon: ε of `standardize_fwd`.

    Returns:
        y: like x, and the residuals (scale, x̂, 1/√(σ² + ε)) that `batch_norm_bwd` reads; x itself is not kept.
        Third comes (μ, σ²), each (d,), for the running statistics.

    Raises:
        ValueError: the last axis of x is not d long, x holds integers, or a feature has a single value, whose variance
            is 0 whatever it is.
    """
    _check_features("batch_norm", params, x)
    if x[..., 0].size < 2:
        raise ValueError(
            f"batch_norm expects at least 2 values of each feature in training, got x of shape {x.shape}; use a batch "
            "size that leaves no last batch of 1, or layer_norm"
        )
    x_hat, (_, inverse), statistics = standardize_fwd(x, _all_but_last(x), epsilon)
    mean, variance = (value.reshape(-1) for value in statistics)
    return params.scale * x_hat + params.shift, (params.scale, x_hat, inverse), (mean, variance)


def batch_norm_bwd(residuals, dy: jax.Array):
    """Pull the gradient back through scale, shift and the statistics of the batch.

    Args:
        residuals: (scale, x̂, 1/√(σ² + ε)) from `batch_norm_fwd`.
        dy: ∂L/∂Y, like y.

    Returns:
        dparams: ∂L/∂scale and ∂L/∂shift, (d,); dx: ∂L/∂X.

    Derivation:
        As in `layer_norm_bwd`

            ∂L/∂scale[d] = Σ_n dy[n, d] x̂[n, d]        ∂L/∂shift[d] = Σ_n dy[n, d]        dx̂[n, d] = dy[n, d] scale[d]

        but `standardize_bwd` takes its means over the examples. Every example moves the μ and σ² of all others, so the
        rows of dX depend on each other. Summed over n its right side is r (Σ dx̂ − Σ dx̂ − 0) = 0: a constant added to a
        feature changes nothing, so a bias in front of batch_norm has gradient 0.
    """
    scale, x_hat, inverse = residuals
    return _affine_bwd(x_hat, dy), standardize_bwd((x_hat, inverse), dy * scale, _all_but_last(x_hat))


@recipe
def batch_norm(momentum: float = 0.9, *, epsilon: float = 1e-5) -> Layer:
    """Standardize each feature over the batch, then scale and shift; evaluation uses running statistics.

    Training takes mean and variance from the batch, every example counting alike, and moves the running ones a little
    towards them, running ← momentum · running + (1 − momentum) · batch. These live in the state, never in the
    parameters. Over several devices the batch is the global one.

    Args:
        momentum: share of the running statistics that a step keeps, in [0, 1).
        epsilon: ε, added to the variance.

    Returns:
        A layer with `NormParams(scale, shift)` and `BatchNormState(mean, variance)`.

    Raises:
        TypeError, ValueError: momentum is no number in [0, 1), or epsilon none above 0; in use, a missing state, or a
            training batch with a single value a feature.

    References:
        Ioffe and Szegedy, Batch normalization (2015), algorithms 1 and 2; as in algorithm 2 the running variance is the
        unbiased one, m/(m − 1) times that of the batch.
    """
    require_number(
        "batch_norm expects a momentum in [0, 1)",
        momentum,
        lambda share: 0 <= share < 1,
        "it is the share that is kept",
    )
    _check_epsilon("batch_norm", epsilon)

    def forward(params: Params, x: jax.Array, state: State = ()) -> jax.Array:
        _check_features("batch_norm", params, x)
        _check_state(state)
        return params.scale * ((x - state.mean) * jax.lax.rsqrt(state.variance + epsilon)) + params.shift

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        _check_state(state)
        y, residuals, (mean, variance) = batch_norm_fwd(params, x, epsilon)
        m = x[..., 0].size
        batch = BatchNormState(mean, variance * (m / (m - 1)))
        state = jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new.astype(old.dtype), state, batch)
        return (y, state), residuals

    def init_state(shape: Shape) -> BatchNormState:
        d = _features("batch_norm", shape)
        return BatchNormState(jnp.zeros(d), jnp.ones(d))

    return Layer("batch_norm", _init("batch_norm"), forward, fwd, batch_norm_bwd, init_state)


def _affine_bwd(x_hat: jax.Array, dy: jax.Array) -> NormParams:
    axes = _all_but_last(dy)
    return NormParams(scale=(dy * x_hat).sum(axis=axes), shift=dy.sum(axis=axes))


def _all_but_last(x: jax.Array) -> Axes:
    return tuple(range(x.ndim - 1))


def _init(name: str):
    def init(key: jax.Array, shape: Shape) -> NormParams:
        d = _features(name, shape)
        return NormParams(jnp.ones(d), jnp.zeros(d))

    return init


def _features(name: str, shape: Shape) -> int:
    if len(shape) == 0:
        raise ValueError(f"{name} expects examples with at least one axis, got shape (); pass x[:, None]")
    return shape[-1]


def _check_features(name: str, params: NormParams, x: jax.Array) -> None:
    require_fields(name, params, "scale", "shift")
    d = params.scale.shape[0]
    if x.ndim < 2 or x.shape[-1] != d:
        raise ValueError(f"{name} expects x of shape (n, ..., {d}), got {x.shape}; for one example pass x[None]")
    require_floating(name, x)


def _check_epsilon(name: str, epsilon: float) -> None:
    require_number(
        f"{name} expects an epsilon above 0",
        epsilon,
        lambda epsilon: epsilon > 0,
        "it keeps constant features from 0/0",
    )


def _check_state(state: State) -> None:
    if not isinstance(state, BatchNormState):
        raise ValueError(
            f"batch_norm needs its state, a BatchNormState, got {type(state).__name__}; pass state=net.init_state() "
            "before training, and later the state that the last step returned"
        )
