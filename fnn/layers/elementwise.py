"""What an activation is: a layer without parameters that can be called, and how to declare one of your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fnn.layers.base import Layer, lift, no_params
from fnn.recipes import lift_recipe
from fnn.validation import as_numbers, require_function, require_number, scalar, without_wrapping


@dataclass(frozen=True, eq=False, repr=False)
class Activation(Layer):
    """A layer without parameters that can be called: `sigmoid(z)`; elementwise ones have `.derivative(z)`."""

    def __call__(self, z: ArrayLike | None = None, *others: object) -> jax.Array:
        """Value g(z), of the shape of z; integers count as floats.

        Raises:
            TypeError: called without a value, as a constructor would be.
        """
        if z is None or others:
            raise TypeError(
                f"{self!r} expects one array z, got {f'{1 + len(others)} arguments' if others else 'none'}; it is a "
                f"layer already, made without arguments: write {self!r}, or {self!r}(z) on values"
            )
        return self.forward((), _floats(z))

    def derivative(self, z: ArrayLike) -> jax.Array:
        """Derivative g'(z), of the shape of z: the backward rule with a gradient of ones.

        Raises:
            TypeError: the activation mixes entries, as softmax does, so its derivative is a matrix for each row.
        """
        if not self.elementwise:
            raise TypeError(
                f"{self.name} has a Jacobian for each row, not one derivative for each entry; use {self.name}_bwd"
            )
        z = _floats(z)
        _, residuals = self.fwd((), z, (), None)
        return self.bwd(residuals, jnp.ones_like(z))[1]


def _floats(z: ArrayLike) -> jax.Array:
    z = jnp.asarray(z if scalar(z) is not None else without_wrapping(as_numbers("z", z)))
    return z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(jnp.result_type(float))


@lift_recipe
def activation(name: str, fwd: Callable, bwd: Callable, kinks: tuple[float, ...] = ()) -> Activation:
    """An elementwise activation of your own, a = g(z): the checker, `flow` and the rest treat it like a built-in.

    Args:
        name: what reports call it.
        fwd: (params, z) -> (a, residuals); params is ().
        bwd: (residuals, da) -> ((), dz), with dz = da ⊙ g'(z) derived by hand.
        kinks: the z at which g has no derivative.

    Returns:
        The activation: a layer that can also be called on values, and has `.derivative(z)`.

    Raises:
        TypeError: fwd or bwd does not take two arguments; name is no text.
        ValueError: a kink that is no finite number.

    Examples:
        >>> import fnn
        >>> cube = fnn.activation("cube", lambda _, z: (z**3, z), lambda z, da: ((), da * 3 * z**2))
        >>> float(cube(2.0)), float(cube.derivative(2.0)), fnn.check_layer(cube, (3,)).verdict
        (8.0, 12.0, 'OK')
    """
    if not isinstance(name, str):
        raise TypeError(f"activation expects a name first, got {name!r:.80}; as activation('cube', fwd, bwd)")
    for which, rule, form in (
        ("fwd", fwd, "(params, z) -> (a, residuals)"),
        ("bwd", bwd, "(residuals, da) -> ((), dz)"),
    ):
        require_function(f"activation expects {which} as a function {form}", rule, arguments=2)
    places = kinks if isinstance(kinks, tuple | list) else (kinks,)
    at = tuple(float(require_number("activation expects kinks as numbers", kink)) for kink in places)
    return Activation(name, no_params, *lift(fwd), bwd, elementwise=True, kinks=at)
