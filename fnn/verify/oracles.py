"""Independent roads to the gradient: autodiff and central differences, each in its own float64 scope.

Only this package differentiates by machine; the training path never does. `loops.py` beside it holds the third road,
the explicit four-loop algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.theta import flatten_params, unflatten_params
from fnn.verify.arguments import require_functions, require_point, require_scalar

Tree = Any  # a pytree of arrays

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}  # relative to the largest entry of a leaf
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}  # half the distance of 1 to the next number
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

    C(h) = (f(θ + h eᵢ) − f(θ − h eᵢ)) / 2h errs by a term in h², which (4 C(h) − C(2h)) / 3 is rid of. A step that is
    too small is wrong too, since the rounding of f enters as ε |f| / h; and which step is right depends on where f is
    curved. Three are tried, ε^(1/4) and ε^(1/3) times max(1, |θᵢ|), and ε^(1/4) |θᵢ|; the smallest estimate of the
    error decides, and where f is not finite at a step, as √θ beyond 0, another is taken. Nine digits are right for a
    smooth function of the size of θᵢ ∂f/∂θᵢ, fewer as f itself is larger. It takes 12P + 8 values of f, where
    backpropagation takes one pass.

    Args:
        f: params -> scalar; JAX functions are compiled and evaluated many points at a time, others one by one.
        params: pytree of floating-point arrays with P entries in all.

    Returns:
        A pytree like params, in float64.

    Raises:
        TypeError: f is no function, or params no pytree of arrays.
        ValueError: a leaf holds integers, or f is no scalar.

    References:
        Press et al., Numerical Recipes (2007), section 5.7.

    Examples:
        >>> finite_differences(lambda p: (p["a"] ** 2).sum(), {"a": jnp.array([3.0])})["a"].round(6)
        Array([6.], dtype=float64)
    """
    require_functions("finite_differences", f=f)
    require_point("finite_differences", (params,), (0,))
    refuse_integers("finite_differences", params)

    def value(params: Tree) -> Any:
        return require_scalar("finite_differences", f(params))

    with precise():
        params = as_float64(params)
        theta = flatten_params(params)
        epsilon = float(np.finfo(np.float64).eps)

        def slope(i: Any, theta: jax.Array, noise: Any, values: Callable) -> Any:
            own = jnp.abs(theta[i])
            steps = jnp.array([epsilon ** (1 / 4), epsilon ** (1 / 3)]) * jnp.maximum(1, own)
            steps = jnp.append(steps, epsilon ** (1 / 4) * own)
            moves = (steps[:, None] * jnp.array([1.0, -1.0, 2.0, -2.0])).ravel()
            values_at = values(lambda t: value(unflatten_params(theta.at[i].add(t), params)), moves)
            up, down, far_up, far_down = values_at.reshape(-1, 4).T
            near, far = (up - down) / (2 * steps), (far_up - far_down) / (4 * steps)
            error = jnp.abs(near - far) + (noise + epsilon * (jnp.abs(up) + jnp.abs(down))) / steps
            best = jnp.argmin(jnp.where(jnp.isfinite(error), error, jnp.inf))
            return ((4 * near - far) / 3)[best]

        def close_by(theta: jax.Array, values: Callable) -> Any:
            way = NOISE_STEP * jnp.maximum(jnp.abs(theta), 1e-3) * jnp.cos(jnp.arange(1.0, theta.size + 1))
            return values(lambda t: value(unflatten_params(theta + t * way, params)), jnp.arange(1.0, 9))

        def every(theta: jax.Array) -> jax.Array:
            size = max(1, min(theta.size, _CHUNK // theta.size))
            noise = noise_of(close_by(theta, jax.lax.map))
            return jax.lax.map(lambda i: slope(i, theta, noise, jax.lax.map), jnp.arange(theta.size), batch_size=size)

        if theta.size == 0:
            return params
        if not traceable(value, params):
            noise = noise_of(close_by(theta, _one_by_one))
            slopes = [slope(i, theta, noise, _one_by_one) for i in range(theta.size)]
            return unflatten_params(jnp.array(slopes), params)
        return unflatten_params(jax.jit(every)(theta), params)


def _one_by_one(f: Callable, moves: jax.Array) -> jax.Array:
    return jnp.array([float(f(t)) for t in moves])


NOISE_STEP = 1e-7  # how far apart, relative to the parameters, the points are that noise is read from


def noise_of(values: Any) -> Any:
    """How far rounding moves a function, from values at evenly spaced points that are close together.

    Args:
        values: eight at least; what is smooth in them is gone from their fifth differences.

    Returns:
        Twice their standard deviation.

    References:
        Moré and Wild, Estimating computational noise (2011).
    """
    order = 5
    weight = math.factorial(order) ** 2 / math.factorial(2 * order)
    differences = jnp.diff(jnp.asarray(values), order)
    return 2 * jnp.sqrt(weight * jnp.mean(differences**2))


def _stays(jump: np.ndarray, unclear: np.ndarray, k: int) -> bool:
    """Whether the difference between both sides is that of a kink: no smaller than at the next step, either way."""
    if k > 0 and np.isfinite(jump[k - 1]):
        return not jump[k - 1] > 2 * jump[k] + unclear[k - 1]
    return k + 1 == len(jump) or bool(jump[k + 1] >= 0.5 * jump[k] - unclear[k + 1])


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

    value: float
    error: float  # estimated error of `value`; infinite where nothing can be said
    left: float  # derivative from the left
    right: float  # from the right; the two differ at a kink
    noise: float  # what rounding can make of that difference
    kinked: bool  # whether they do, however near one looks

    def conclusive(self, tolerance: float) -> bool:
        """Whether the estimate is good to a tenth of the tolerance, with no kink in the way."""
        return not self.kinked and self.error <= 0.1 * tolerance


LADDER = tuple(2.0**-4 * 4.0**-k for k in range(12))  # from 0.06 down to 1.5e-8


def values_along(f: Callable[[Tree], jax.Array], params: Tree, direction: Tree) -> jax.Array:
    """Values of f at params + t · direction for t = 0 and ± every step of the ladder; compile it with jax.jit.

    Args:
        f: params -> scalar.
        params: the point.
        direction: a pytree like params.

    Returns:
        f at 0, h₀, −h₀, h₁, −h₁, …, one after the other so that memory stays that of one evaluation.
    """
    ts = jnp.array([0.0, *both_sides(LADDER)])
    return jax.lax.map(lambda t: f(jax.tree.map(lambda p, v: p + t * v, params, direction)), ts)


def both_sides(steps: Sequence[float]) -> list[float]:
    """The points h₀, −h₀, h₁, −h₁ and so on."""
    return [side * h for h in steps for side in (1, -1)]


def slope_from_values(values: np.ndarray, steps: Sequence[float] = LADDER, noise: float = 0.0) -> Slope:
    """Derivative at t = 0 from values on both sides of it, with the step chosen where the error estimate is smallest.

    Args:
        values: f(0), f(h₀), f(−h₀), f(h₁), …, as `values_along` gives them.
        steps: h₀ > h₁ > …, two at least.
        noise: how far rounding moves a value of f; that of float64 at least.

    Returns:
        The slope.

    Derivation:
        The central difference C(h) errs by a h² + O(h⁴). With two steps qh and h that term cancels:
        (q² C(h) − C(qh)) / (q² − 1), and |C(h) − C(qh)| / (q² − 1) estimates what was left in C(h). The noise of f adds
        noise / h. One-sided differences err by a h; there (q D(h) − D(qh)) / (q − 1) cancels.

        A derivative is what happens near by: the finest steps are asked first, and coarser ones only improve on them
        as long as they agree within their errors. A kink is a difference between the two sides that does not shrink
        with the step; further out than a step that knows the slope already it does no harm.

    References:
        Richardson, The approximate arithmetical solution by finite differences (1911).
    """
    middle, up, down = values[0], values[1::2], values[2::2]
    h = np.asarray(steps, np.float64)
    q = h[:-1] / h[1:]
    with np.errstate(all="ignore"):
        sizes = np.maximum(np.maximum(np.abs(up), np.abs(down)), abs(middle))
        noises = np.maximum(noise, 4 * np.finfo(np.float64).eps * sizes) / h
        central, right, left = (up - down) / (2 * h), (up - middle) / h, (middle - down) / h
        better = (q**2 * central[1:] - central[:-1]) / (q**2 - 1)
        error = np.abs(np.diff(central)) / (q**2 - 1) + noises[1:]
        right, left = ((q * side[1:] - side[:-1]) / (q - 1) for side in (right, left))
        jump = np.abs(right - left)
    unclear = 4 * (q + 1) / (q - 1) * noises[1:]  # what noise alone can make of a jump
    best: Slope | None = None
    for k in reversed(range(len(error))):
        if not np.isfinite([error[k], jump[k]]).all():
            if best is None:
                continue
            break
        bent = bool(jump[k] > unclear[k]) and _stays(jump, unclear, k)
        here = Slope(float(better[k]), float(error[k]), float(left[k]), float(right[k]), float(unclear[k]), bent)
        if bent:  # a finer step that knows the slope well has seen past it
            best = here if best is None or best.error > 0.1 * jump[k] else best
            break
        if best is not None and abs(here.value - best.value) > 3 * (here.error + best.error):
            break
        best = here if best is None or here.error < best.error else best
    return best or Slope(math.nan, math.inf, math.nan, math.nan, math.inf, False)
