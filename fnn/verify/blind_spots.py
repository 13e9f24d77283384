"""Blind spots: mistakes that a test point can't reveal, and points that have none."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.verify.chain import Chain, Mutant
from fnn.verify.forward_pass import build_chain
from fnn.verify.matching import coinciding
from fnn.verify.oracles import as_float64, precise

Tree = Any

_TRIALS = 4  # points drawn before giving up


def blind_spots(chain: Chain) -> tuple[str, ...]:
    """The mistakes of the catalogue that give the right gradient at this point, each with the remedy.

    Args:
        chain: the network at the point.

    Returns:
        One sentence a kind of mistake.
    """
    groups: dict[str, list[Mutant]] = {}
    for mutant in coinciding(chain):
        groups.setdefault(mutant.title, []).append(mutant)
    return tuple(_sentence(title, mutants) for title, mutants in groups.items())


def _sentence(title: str, mutants: list[Mutant]) -> str:
    places = list(dict.fromkeys(mutant.where for mutant in mutants if mutant.where != "everywhere"))
    shown = ", ".join(places[:2]) + (f" and {len(places) - 2} more places" if len(places) > 2 else "")
    return f"{title} at {shown or 'every place'}; {mutants[0].remedy}"


class Point(NamedTuple):
    """A test point: what `net.loss` takes."""

    params: Tree
    x: jax.Array
    y: jax.Array


def good_point(net: Any, key: jax.Array, *, state: Tree = (), dropout_key: jax.Array | None = None) -> Point:
    """Draw a point at which every mistake of the catalogue shows: `fnn.check` finds no blind spots there.

    Parameters are scattered so that no scale is 1 and no bias 0; the number of examples differs from every width; the
    point is drawn again, with more examples, until nothing is hidden.

    Args:
        net: a Network.
        key: random key.
        state: the layers' state, where they have one.
        dropout_key: random key for layers that draw.

    Returns:
        The point, in the precision of the caller.

    Raises:
        ValueError: no such point was found; says what stays hidden.
    """
    keywords = {} if dropout_key is None else {"key": dropout_key}
    spots: tuple[str, ...] = ()
    for trial, trial_key in enumerate(jax.random.split(key, _TRIALS)):
        point = random_point(net, trial_key, counts(net)[trial])
        with precise(), np.errstate(all="ignore"):
            params, x, y = as_float64(tuple(point))
            spots = blind_spots(build_chain(net, params, x, y, as_float64({**keywords, "state": state})))
        if not spots:
            return point
    raise ValueError(f"found no point that reveals every mistake; these stay hidden: {'; '.join(spots)}")


def counts(net: Any) -> list[int]:
    """Numbers of examples that are neither the number of outputs nor close kin to it."""
    c = net.outputs
    return [n for n in (7, 11, 13, 17, 19, 23, 29, 31) if n not in (c, 2 * c, c * c)]


def random_point(net: Any, key: jax.Array, n: int) -> Point:
    """Draw scattered parameters, inputs and targets.

    Args:
        net: a Network.
        key: random key.
        n: number of examples.

    Returns:
        The point.
    """
    keys = jax.random.split(key, 4)
    leaves, structure = jax.tree.flatten(net.init(keys[0]))
    noise = jax.random.split(keys[1], max(1, len(leaves)))
    scattered = [p + 0.3 * jax.random.normal(k, p.shape, p.dtype) for k, p in zip(noise, leaves, strict=False)]
    x = jax.random.normal(keys[2], (n, *net.input_shape))
    return Point(jax.tree.unflatten(structure, scattered), x, draw_targets(net, keys[3], n))


def draw_targets(net: Any, key: jax.Array, n: int) -> jax.Array:
    """Random targets that the network's loss accepts: real numbers, numbers in [0, 1], or labels.

    Args:
        net: a Network.
        key: random key.
        n: number of examples.

    Returns:
        y: (n, outputs), or integer labels (n,).
    """
    c = net.outputs
    for draw in (jax.random.normal, jax.random.uniform):
        y = draw(key, (n, c))
        try:
            net.criterion.validate(np.asarray(y), c)
        except ValueError:
            continue
        return y
    return _draw_labels(key, n, c)


@partial(jax.jit, static_argnums=(1, 2))
def _draw_labels(key: jax.Array, n: int, c: int) -> jax.Array:
    """Labels of n examples in random order, each class among them if n allows."""
    labels = jnp.concatenate([jnp.arange(c), jax.random.randint(key, (n,), 0, c)])
    return labels[:n][jax.random.permutation(key, n)]
