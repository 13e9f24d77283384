"""Independent roads to the gradient: autodiff and central differences, each in its own float64 scope.

Only this package differentiates by machine; the training path never does. `loops.py` beside it holds the third road,
the explicit four-loop algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.theta import flatten_params, unflatten_params

Tree = Any  # a pytree of arrays

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}  # relative to the largest gradient of the tree
DIFFERENCES = 1e-6  # the same for central differences

_CHUNK = 2**22  # most numbers that one chunk of perturbed parameters holds: 32 MB


@contextmanager
def precise() -> Iterator[None]:
    """Within this scope jax computes in float64 with exact products, whatever the user's settings; they come back."""
    with ExitStack() as scope:
        scope.enter_context(jax.enable_x64(True))
        scope.enter_context(jax.default_matmul_precision("highest"))
        scope.enter_context(jax.numpy_dtype_promotion("standard"))
        scope.enter_context(jax.debug_nans(False))
        scope.enter_context(jax.debug_infs(False))
        yield


def is_float(leaf: Any) -> bool:
    """Whether a leaf holds real numbers, and can therefore be differentiated."""
    return jnp.issubdtype(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype, jnp.floating)


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a random key, which is neither a number nor a NumPy array."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def as_float64(tree: Tree) -> Tree:
    """The same tree with every floating-point leaf in float64; integers, bools and keys stay. Call it in `precise`."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64) if is_float(leaf) else jnp.asarray(leaf), tree)


def autodiff(f: Callable[[Tree], jax.Array], params: Tree) -> Tree:
    """Gradient of a scalar function by jax.grad, in float64.

    Args:
        f: params -> scalar, in JAX.
        params: pytree of floating-point arrays.

    Returns:
        A pytree like params, in float64.
    """
    with precise():
        return jax.jit(jax.grad(f))(as_float64(params))


def finite_differences(f: Callable[[Tree], Any], params: Tree) -> Tree:
    """Gradient of a scalar function by central differences over every single entry, in float64.

    C(h) = (f(θ + h eᵢ) − f(θ − h eᵢ)) / 2h errs by a term in h², which (4 C(h) − C(2h)) / 3 is rid of. The step is
    h = ε^(1/3) max(1, |θᵢ|): infinitely small would be wrong too, since the rounding of f enters as ε / h. Some ten
    digits are right for a smooth function. It takes 4P values of f, where backpropagation takes one pass.

    Args:
        f: params -> scalar; JAX functions are compiled and evaluated many points at a time, others one by one.
        params: pytree of floating-point arrays with P entries in all.

    Returns:
        A pytree like params, in float64.

    Raises:
        ValueError: a leaf holds integers.

    References:
        Press et al., Numerical Recipes (2007), section 5.7.

    Examples:
        >>> finite_differences(lambda p: (p["a"] ** 2).sum(), {"a": jnp.array([3.0])})["a"].round(6)
        Array([6.], dtype=float64)
    """
    refuse_integers("finite_differences", params)
    with precise():
        params = as_float64(params)
        theta = flatten_params(params)
        step = float(np.finfo(np.float64).eps) ** (1 / 3)

        def central(i: Any, theta: jax.Array, h: jax.Array) -> Any:
            up, down = theta.at[i].add(h), theta.at[i].add(-h)
            return (f(unflatten_params(up, params)) - f(unflatten_params(down, params))) / (up[i] - down[i])

        def slope(i: Any, theta: jax.Array) -> Any:
            h = step * jnp.maximum(1, jnp.abs(theta[i]))
            return (4 * central(i, theta, h) - central(i, theta, 2 * h)) / 3

        def every(theta: jax.Array) -> jax.Array:
            size = max(1, min(theta.size, _CHUNK // theta.size))
            return jax.lax.map(lambda i: slope(i, theta), jnp.arange(theta.size), batch_size=size)

        if theta.size == 0:
            return params
        if not traceable(f, params):
            return unflatten_params(jnp.array([float(slope(i, theta)) for i in range(theta.size)]), params)
        return unflatten_params(jax.jit(every)(theta), params)


def refuse_integers(name: str, tree: Tree) -> None:
    """Refuse leaves that have no derivative.

    Args:
        name: the function that speaks.
        tree: any pytree.

    Raises:
        ValueError: a leaf holds integers or bools.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if not is_float(leaf):
            raise ValueError(
                f"{name} expects floating-point parameters, got {getattr(leaf, 'dtype', type(leaf).__name__)} at "
                f"params{jax.tree_util.keystr(path)}; convert it, or pass it as another argument"
            )


def traceable(f: Callable, *args: Any) -> bool:
    """Whether a function is made of JAX operations, so that it can be compiled; a NumPy function is not."""
    try:
        jax.eval_shape(f, *args)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError, TypeError):
        return False
    return True


class Slope(NamedTuple):
    """Derivative along one direction, with an estimate of its error."""

    value: float  # from central differences, the best of the ladder
    error: float  # estimated error of `value`
    left: float  # derivative from the left
    right: float  # from the right; the two differ at a kink
    noise: float  # what rounding can make of that difference

    def conclusive(self, tolerance: float) -> bool:
        """Whether the estimate is good to a tenth of the tolerance, with no kink in the way."""
        return self.error <= 0.1 * tolerance and abs(self.right - self.left) <= tolerance + self.noise


_LADDER = tuple(2.0**-4 * 4.0**-k for k in range(10))  # from 0.06 down to 2.4e-7
_NEAR = -3  # the step at which one-sided derivatives are taken


def values_along(f: Callable[[Tree], jax.Array], params: Tree, direction: Tree) -> jax.Array:
    """Values of f at params + t · direction for t = 0 and ± every step of the ladder; compile it with jax.jit.

    Args:
        f: params -> scalar.
        params: the point.
        direction: a pytree like params.

    Returns:
        f at 0, h₀, −h₀, h₁, −h₁, …, one after the other so that memory stays that of one evaluation.
    """
    ts = jnp.array(steps_along())
    return jax.lax.map(lambda t: f(jax.tree.map(lambda p, v: p + t * v, params, direction)), ts)


def steps_along() -> list[float]:
    """Give the steps at which `slope_from_values` wants values: 0, h₀, −h₀, h₁, −h₁ and so on."""
    return [0.0, *(side * h for h in _LADDER for side in (1, -1))]


def slope_from_values(values: np.ndarray) -> Slope:
    """Derivative at t = 0 from values on the ladder, with the step chosen where the error estimate is smallest.

    Args:
        values: f(0), f(h₀), f(−h₀), f(h₁), …, as `values_along` gives them.

    Returns:
        The slope.

    Derivation:
        The central difference C(h) errs by a h² + O(h⁴). With two steps h and h/4 that term cancels:
        (16 C(h/4) − C(h)) / 15, and |C(h/4) − C(h)| / 15 estimates what was left in C(h/4). Rounding of f adds
        ε |f| / h. One-sided differences err by a h; there (4 D(h/4) − D(h)) / 3 cancels.

    References:
        Richardson, The approximate arithmetical solution by finite differences (1911).
    """
    middle, up, down = values[0], values[1::2], values[2::2]
    h = np.array(_LADDER)
    rounding = 4 * np.finfo(np.float64).eps * np.abs(values).max() / h
    central = (up - down) / (2 * h)
    better = (16 * central[1:] - central[:-1]) / 15
    error = np.abs(central[1:] - central[:-1]) / 15 + rounding[1:]
    k = int(np.argmin(np.where(np.isfinite(error), error, math.inf)))
    right, left = (up - middle) / h, (middle - down) / h
    right, left = ((4 * side[1:] - side[:-1])[_NEAR] / 3 for side in (right, left))
    return Slope(float(better[k]), float(error[k]), float(left), float(right), float(10 * rounding[_NEAR]))
