"""The one way through a tree of layers: which are there, what passes through each, and the same tree made of others.

    places(layer)                  every layer in order, with where it stands; needs no data
    visits(layer, params, x, ...)  the same with parameters, state, key, input and output at each place
    rebuilt(layer, change)         the tree with each of its layers exchanged

A chain (`serial`) is always opened up. What else is opened is the caller's choice: nothing; everything that has
`children` and `rebuild`, a combinator of the user's own included; loops (`repeat`) as they are, with stacked values, or
pass by pass. A layer that computes another one's mathematics in another form, such as `mixed_precision`, is looked
through: its `plain` layer stands in its place, with the same parameters.

Values are found without knowing how a combinator hands out parameters, states and keys: it is rebuilt from layers whose
residuals are records of what they were given, and its own training pass is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.layers.base import Layer, Params, Shape, State
from fnn.layers.combinators import is_chain, is_loop, plain
from fnn.layers.unrolling import Passes, unrolled
from fnn.recipes import rule_of

Opens = Callable[[Layer], bool]
Path = tuple[int, ...]


class Place(NamedTuple):
    """Where a layer stands."""

    path: Path  # numbers of the children on the way to it
    where: str  # "layers[2]"
    layer: Layer

    @property
    def name(self) -> str:
        """Position and kind, "layers[2] (dense)"."""
        return f"{self.where} ({self.layer.name})"


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "state", "key", "x", "y", "residuals"],
    meta_fields=["path", "where", "layer"],
)
@dataclass(frozen=True)
class Visit:
    """One layer's part in a training pass."""

    path: Path
    where: str  # "layers[2]"
    layer: Layer
    params: Params
    state: State
    key: Any
    x: Any  # what came in
    y: Any  # what went out
    residuals: Any  # what the layer's backward reads

    @property
    def name(self) -> str:
        """Position and kind, "layers[2] (dense)"."""
        return f"{self.where} ({self.layer.name})"


def chains(layer: Layer) -> bool:
    """Open chains alone; everything else, other combinators included, is one place."""
    return is_chain(layer)


def combinators(layer: Layer) -> bool:
    """Open everything that is made of layers, but no loops: what happens in these has one more axis."""
    return layer.rebuild is not None and bool(layer.children) and not is_loop(layer)


def everything(layer: Layer) -> bool:
    """Open everything that is made of layers, loops included."""
    return layer.rebuild is not None and bool(layer.children)


def root_of(layer: Layer) -> str:
    """What the outermost layer is called: its parts are layers[0], layers[1], … in a chain."""
    return "layers" if is_chain(layer) else "layer"


def places(layer: Layer, opens: Opens = chains, where: str = "layers", path: Path = ()) -> Iterator[Place]:
    """Go through the layers in the order in which data pass, without data.

    Args:
        layer: usually a network's.
        opens: which combinators to go into; all others are one place each.
        where: what to call the layer.
        path: where it stands in a larger tree.

    Returns:
        The places in order.
    """
    layer = plain(layer)
    if not opens(layer):
        yield Place(path, where, layer)
        return
    for i, child in enumerate(layer.children):
        yield from places(child, opens, _inside(layer, where, i), (*path, i))


def part_of(tree: Any, path: Path) -> Any:
    """What belongs to a place in the parameters, the state or the gradient of a chain.

    Args:
        tree: of the whole chain; a state may be () where no layer has one.
        path: of the place.
    """
    for i in path:
        tree = tree[i] if tree else ()
    return tree


def rebuilt(layer: Layer, change: Callable[[Place], Layer], opens: Opens = everything) -> Layer:
    """Make the same tree of other layers.

    Args:
        layer: usually a network's; layers in another form are replaced by the plain ones.
        change: what to put at each place.
        opens: which combinators to go into.

    Returns:
        A layer of the same structure.
    """
    return _rebuilt(layer, change, opens, "layers", ())


def _rebuilt(layer: Layer, change: Callable[[Place], Layer], opens: Opens, where: str, path: Path) -> Layer:
    layer = plain(layer)
    if not opens(layer) or layer.rebuild is None:
        return change(Place(path, where, layer))
    children = (
        _rebuilt(child, change, opens, _inside(layer, where, i), (*path, i)) for i, child in enumerate(layer.children)
    )
    return layer.rebuild(tuple(children))


def recording(layer: Layer, opens: Opens = chains, where: str = "layers") -> Layer:
    """The same layer with `Visit`s in its residuals.

    Args:
        layer: usually a network's.
        opens: which combinators to go into.
        where: what to call the layer.

    Returns:
        A layer whose training pass gives the same outputs; `recorded` finds the visits in its residuals.
    """
    return _rebuilt(layer, _recorder, opens, where, ())


def _recorder(place: Place) -> Layer:
    layer = place.layer

    def fwd(params: Params, x: jax.Array, state: State, key: jax.Array | None):
        (y, new_state), kept = layer.fwd(params, x, state, key)
        return (y, new_state), Visit(place.path, place.where, layer, params, state, key, x, y, kept)

    return replace(layer, fwd=fwd)


def recorded(residuals: Any) -> list[Visit]:
    """The visits in the residuals of a recording layer, in the order of their places.

    Args:
        residuals: what its training pass returned.
    """
    found = jax.tree.leaves(residuals, is_leaf=lambda node: isinstance(node, Visit))
    return sorted((node for node in found if isinstance(node, Visit)), key=lambda visit: visit.path)


def visits(
    layer: Layer,
    params: Params,
    x: jax.Array,
    state: State = (),
    key: jax.Array | None = None,
    *,
    opens: Opens = chains,
    where: str = "layers",
    unroll: bool = False,
) -> list[Visit]:
    """Run a layer's training pass and say what each layer in it was given and gave.

    Args:
        layer: usually a network's.
        params: its parameters; arrays, or shapes within jax.eval_shape.
        x: a batch.
        state: its state.
        key: random key, where a layer draws.
        opens: which combinators to go into; a loop that is opened has its values stacked, (times, ...).
        where: what to call the layer.
        unroll: lay loops out, a place for each pass of each layer in them, "layers[1].passes[0]".

    Returns:
        The visits in order; in a chain the output of one is the input of the next.
    """
    layer = unrolled(layer) if unroll else layer
    _, residuals = recording(layer, opens, where).fwd(params, x, state, key)
    return recorded(residuals)


def _inside(layer: Layer, where: str, i: int) -> str:
    """What to call a child: layers[2] in a chain, layers[1].passes[0] in a loop; an only child as its parent."""
    if is_chain(layer):
        return f"{where}[{i}]"
    if isinstance(layer, Passes):
        return f"{where}.passes[{i}]"
    return where if len(layer.children) == 1 else f"{where}.children[{i}]"


def outline(layer: Layer, shape: Shape, opens: Opens = chains, where: str = "layers") -> list[Visit]:
    """The visits with shapes in place of arrays, two examples in a batch: nothing is computed.

    Args:
        layer: usually a network's.
        shape: shape of one example.
        opens: which combinators to go into.
        where: what to call the layer.

    Returns:
        As `visits`.
    """

    def run(key: jax.Array) -> Any:
        x = jnp.zeros((2, *shape))
        return recording(layer, opens, where).fwd(layer.init(key, shape), x, layer.init_state(shape), key)[1]

    return recorded(jax.eval_shape(run, jax.random.key(0)))


def last_layer(layer: Layer) -> Layer:
    """The layer that outputs come from: the last of a chain, within chains.

    Args:
        layer: usually a network's.
    """
    found = list(places(layer))
    return found[-1].layer if found else plain(layer)


def uses(layer: Layer, rule: Any) -> bool:
    """Whether a rule is used anywhere in a tree of layers, whatever form it is in.

    Args:
        layer: usually a network's.
        rule: as `fnn.recipes.rule_of` names it, such as fnn.batch_norm.
    """
    parts = (*layer.children, *(() if layer.plain is None else (layer.plain,)))
    return rule_of(layer) is rule or any(uses(part, rule) for part in parts)
