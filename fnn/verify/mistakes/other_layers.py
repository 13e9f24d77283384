"""Mistakes in the backward of normalizations, dropout, skip paths, learnt slopes, convolutions and pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from fnn.layers.combinators import is_loop
from fnn.layers.convolution import conv2d
from fnn.layers.dropout import dropout
from fnn.layers.normalization import batch_norm, layer_norm
from fnn.layers.pooling import average_pool, max_pool
from fnn.layers.rectifiers import prelu
from fnn.recipes import rule_of
from fnn.verify.chain import Chain, Change, Step, pull_of
from fnn.verify.mistakes.planting import Mistake, Variant, bias_matters, in_steps, passes_on

_POINT = "take random weights, scales other than 1, and inputs that differ from each other"


def _passing(rules: tuple[Any, ...], variants: Callable[[Step], Iterator[tuple[str, Any, str]]]) -> Callable:
    """Variants of dX, (detail, (step, dy, dx) -> dx, tell), at layers of these rules with parameters below them."""

    def at(chain: Chain, k: int) -> Iterator[Variant]:
        step = chain.steps[k]
        if rule_of(step.layer) in rules and step.role != "join" and passes_on(chain, k):
            for detail, make, tell in variants(step):
                yield detail, _dx(make), tell

    return at


def _dx(make: Callable[[Step, np.ndarray, np.ndarray], np.ndarray]) -> Change:
    return lambda chain, k, dy, grads, dx: (grads, np.asarray(make(chain.steps[k], dy, dx)))


def _field(rule: Any, field: str, tell: str, make: Callable[[Chain, Step, np.ndarray, Any], Any]) -> Callable:
    """A variant of one field of dparams at layers of a rule."""

    def at(chain: Chain, k: int) -> Iterator[Variant]:
        step = chain.steps[k]
        if rule_of(step.layer) is rule and hasattr(step.record.params, field) and bias_matters(chain, k):

            def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
                return grads._replace(**{field: make(chain, chain.steps[k], dy, getattr(grads, field))}), dx

            yield "", change, tell

    return at


_NORMS = (layer_norm, batch_norm)


def _axes(step: Step) -> tuple[int, ...]:
    """The axes that a normalization takes its statistics over."""
    return (-1,) if rule_of(step.layer) is layer_norm else _all_but_last(step)


def _all_but_last(step: Step) -> tuple[int, ...]:
    return tuple(range(np.ndim(step.record.x) - 1))


def _standardize(step: Step, dx_hat: np.ndarray, *, mean: float = 1, variance: float = 1, axes: Any = None):
    """The backward of x̂ = (x − μ)/σ with its two means weighed: 1 each is right."""
    _, x_hat, inverse = step.record.kept
    axes = _axes(step) if axes is None else axes
    through_mean = dx_hat.mean(axis=axes, keepdims=True)
    through_variance = (dx_hat * x_hat).mean(axis=axes, keepdims=True)
    return inverse * (dx_hat - mean * through_mean - variance * x_hat * through_variance)


def _statistics(step: Step) -> Iterator[tuple[str, Any, str]]:
    def weighed(mean: float, variance: float) -> Any:
        return lambda step, dy, dx: _standardize(step, dy * step.record.params.scale, mean=mean, variance=variance)

    yield "both", weighed(0, 0), "dX = scale ⊙ dY / σ: μ and σ depend on x too"
    yield "mean", weighed(0, 1), "the path through μ is missing, −mean(dX̂)"
    yield "variance", weighed(1, 0), "the path through σ² is missing, −X̂ ⊙ mean(dX̂ ⊙ X̂)"


def _one_less(step: Step) -> Iterator[tuple[str, Any, str]]:
    m = int(np.prod([np.shape(step.record.x)[axis] for axis in _axes(step)]))
    if m > 1:
        more = m / (m - 1)

        def make(step: Step, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
            return _standardize(step, dy * step.record.params.scale, mean=more, variance=more)

        yield "", make, f"the two means divide by n − 1 = {m - 1}, should divide by n = {m}"
        tell = f"the mean of σ² divides by n − 1 = {m - 1}, should divide by n = {m}"
        yield "variance", lambda s, dy, dx: _standardize(s, dy * s.record.params.scale, variance=more), tell


def _unscaled(step: Step) -> Iterator[tuple[str, Any, str]]:
    yield "", lambda step, dy, dx: _standardize(step, dy), "dX̂ = dY, should be scale ⊙ dY"


def _wrong_axes(step: Step) -> Iterator[tuple[str, Any, str]]:
    axes = (-1,) if rule_of(step.layer) is batch_norm else _all_but_last(step)
    tell = "the means run over features" if axes == (-1,) else "the means run over examples"

    def make(step: Step, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        return _standardize(step, dy * step.record.params.scale, axes=axes)

    yield "", make, f"{tell}, should run as in the forward pass"


def _scale_from_x(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if rule_of(step.layer) in _NORMS:

        def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
            step = chain.steps[k]
            return grads._replace(scale=(dy * step.record.x).sum(axis=_all_but_last(step))), dx

        yield "", change, "dscale = Σ dY ⊙ X, should be Σ dY ⊙ X̂"


def _norm_mean(chain: Chain, k: int) -> Iterator[Variant]:
    if rule_of(chain.steps[k].layer) in _NORMS:
        for field in ("scale", "shift"):

            def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray, field: str = field):
                return grads._replace(**{field: getattr(grads, field) / chain.n}), dx

            yield field, change, f"d{field} is divided by n = {chain.n}, should be a sum over examples"


def _dropout(step: Step) -> Iterator[tuple[str, Any, str]]:
    mask = np.asarray(step.record.kept)
    if mask.dtype != bool or mask.all() or not mask.any():
        return
    x, y = step.record.x, step.record.y
    used = mask & (x != 0)
    keep = float(np.median(x[used] / y[used])) if used.any() else 1.0
    yield "mask", lambda s, dy, dx: dy / keep, "dX = dY / keep, should be mask ⊙ dY / keep"
    yield "scale", lambda s, dy, dx: mask * dy, "dX = mask ⊙ dY, should be mask ⊙ dY / keep"
    yield "both", lambda s, dy, dx: dy, "dX = dY, should be mask ⊙ dY / keep"


def _skip(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if step.role == "fork" and passes_on(chain, k):
        yield "skip", lambda c, k, dy, g, dx: (g, dy), "dX = dY · ∂f/∂x, should be dY + dY · ∂f/∂x"
        if not chain.steps[k + 1].count:  # else it has a name already: the gradient is cut off there
            yield "block", lambda c, k, dy, g, dx: (g, dx - dy), "dX = dY, should be dY + dY · ∂f/∂x"
        yield "twice", lambda c, k, dy, g, dx: (g, dx + (dx - dy)), "dX = 2 dY + dY · ∂f/∂x, should be dY + dY · ∂f/∂x"


def _slope_everywhere(chain: Chain, step: Step, dy: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (dy * step.record.x).sum(axis=_all_but_last(step))


def _turned(step: Step) -> Iterator[tuple[str, Any, str]]:
    if max(step.record.params.W.shape[1:3]) > 1:

        def make(step: Step, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
            params = step.record.params._replace(W=np.ascontiguousarray(step.record.params.W[:, ::-1, ::-1]))
            return pull_of(step.layer, params, step.record.x, step.record.state, step.record.key, dy)[1]

        yield "", make, "dX uses the kernel as it is, should use it turned round"


def _kernel_turned(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if rule_of(step.layer) is conv2d and max(step.record.params.W.shape[1:3]) > 1:
        tell = "dW comes out turned round, as of a convolution with a flipped kernel"
        yield "", lambda c, k, dy, g, dx: (g._replace(W=np.asarray(g.W)[:, ::-1, ::-1]), dx), tell


def _pixels(chain: Chain, step: Step, dy: np.ndarray, right: np.ndarray) -> np.ndarray:
    return right / (dy.shape[1] * dy.shape[2])


def _examples(chain: Chain, step: Step, dy: np.ndarray, right: np.ndarray) -> np.ndarray:
    return right / chain.n


def _spread(step: Step, dy: np.ndarray) -> np.ndarray:
    """Give every pixel of a window what arrives at the window."""
    x, y = step.record.x, step.record.y
    h, w = x.shape[1] // y.shape[1], x.shape[2] // y.shape[2]
    dx = np.repeat(np.repeat(dy, h, axis=1), w, axis=2)
    return np.pad(dx, ((0, 0), (0, x.shape[1] - dx.shape[1]), (0, x.shape[2] - dx.shape[2]), (0, 0)))


def _area(step: Step) -> int:
    x, y = step.record.x, step.record.y
    return (x.shape[1] // y.shape[1]) * (x.shape[2] // y.shape[2])


def _pool(step: Step) -> Iterator[tuple[str, Any, str]]:
    if _area(step) == 1:
        return
    if rule_of(step.layer) is max_pool:
        yield (
            "all",
            lambda s, dy, dx: _spread(s, dy),
            "every pixel of a window gets dY, should be the largest one alone",
        )
        tell = "every pixel of a window gets its share of dY, should be the largest one alone"
        yield "shares", lambda s, dy, dx: _spread(s, dy) / _area(s), tell
    else:
        tell = "every pixel of a window gets dY, should get dY / (number of pixels)"
        yield "all", lambda s, dy, dx: _spread(s, dy), tell


def _reversed(chain: Chain, k: int) -> Iterator[Variant]:
    step = chain.steps[k]
    if is_loop(step.layer) and step.count and len(jax.tree.leaves(step.record.params)[0]) > 1:

        def change(chain: Chain, k: int, dy: np.ndarray, grads: Any, dx: np.ndarray):
            return jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], grads), dx

        yield "", change, "the gradients of the repeated layers are stacked from the output down"


MISTAKES: tuple[Mistake, ...] = (
    in_steps("statistics-constant", "statistics treated as constants", _POINT, _passing(_NORMS, _statistics)),
    in_steps("one-less", "n − 1 for n in the statistics", _POINT, _passing(_NORMS, _one_less)),
    in_steps("norm-scale-missing", "scale missing in dX", _POINT, _passing(_NORMS, _unscaled)),
    in_steps("norm-axes", "statistics over the wrong axes", _POINT, _passing(_NORMS, _wrong_axes)),
    in_steps("norm-scale-from-x", "dscale from x instead of x̂", _POINT, _scale_from_x),
    in_steps("norm-mean", "scale or shift gradient averaged", "take at least two examples", _norm_mean),
    in_steps("dropout", "dropout mask or scale missing", _POINT, _passing((dropout,), _dropout)),
    in_steps("skip-dropped", "skip path or block dropped", _POINT, _skip),
    in_steps(
        "prelu-slope",
        "slope gradient taken over all units",
        _POINT,
        _field(prelu, "slope", "dslope = Σ dA ⊙ Z, should sum where Z ≤ 0 only", _slope_everywhere),
    ),
    in_steps("kernel-turned-dx", "kernel not turned round", _POINT, _passing((conv2d,), _turned)),
    in_steps("kernel-turned-dw", "kernel gradient turned round", _POINT, _kernel_turned),
    in_steps(
        "conv-bias-mean",
        "bias gradient averaged over pixels",
        "take images of several pixels",
        _field(conv2d, "b", "db is divided by the number of pixels, should sum over examples and pixels", _pixels),
    ),
    in_steps(
        "conv-weights-mean",
        "kernel gradient averaged",
        "take at least two examples",
        _field(conv2d, "W", "dW is divided by n, should sum over examples: the 1/n is in dY already", _examples),
    ),
    in_steps("pool", "wrong pixels of a pool", _POINT, _passing((max_pool, average_pool), _pool)),
    in_steps("repeat-reversed", "repeated layers in reverse order", _POINT, _reversed),
)
