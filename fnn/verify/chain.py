"""The chain rule of one network at one point, with every intermediate at hand, so that single links can be exchanged.

The forward pass runs once, compiled, and everything that it computes is kept as NumPy arrays. A gradient with a mistake
in it is then made by walking back from the first link that the mistake touches; all above it is reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from fnn.layers.base import Layer
from fnn.layers.dense import DenseParams, LinearParams

Tree = Any
Leaves = list[np.ndarray]


class Record(NamedTuple):
    """What one layer was given and gave in the forward pass."""

    params: Tree
    x: Any
    state: Tree
    key: Any
    kept: Tree
    y: Any


@dataclass(frozen=True)
class Step:
    """One link of the chain: a layer with its record and its place."""

    where: str  # "layers[1]"
    layer: Layer
    record: Record
    number: int  # ℓ in the notes' names: Z1 leaves the first dense layer, A1 the activation behind it
    first: int  # number of its first leaf
    count: int  # how many leaves it has
    slope: np.ndarray | None  # g'(z) of an elementwise activation
    role: str = ""  # "fork" where a skip path leaves the chain, "join" where it comes back
    partner: int = -1  # number of the fork's join

    @property
    def label(self) -> str:
        """Place and kind, as the reports have them: "layers[1] (relu)"."""
        return f"{self.where} ({self.layer.name})"

    @property
    def is_dense(self) -> bool:
        """Whether this is an affine map with W, and perhaps b."""
        return isinstance(self.record.params, (DenseParams, LinearParams)) and np.ndim(self.record.x) == 2


# (chain, k, arriving gradient, dparams, dx) -> (dparams, dx): what a mistake makes of step k's right answer
Change = Callable[["Chain", int, np.ndarray, Tree, np.ndarray], tuple[Tree, np.ndarray]]


@dataclass(frozen=True)
class Mutant:
    """One mistake made at one place (or everywhere): how the gradient is computed with it.

    Attributes:
        mistake: id of the mistake.
        where: "layers[1] (relu)".
        sentence: what was computed, and what it should be.
        remedy: how to choose a test point that reveals it.
        title: the mistake in a few words.
        variant: tells apart the ways to make it at one place.
        loss: changes the gradient that leaves the loss, (chain, dz) -> dz.
        steps: changes what single steps give; keys are numbers of steps.
        penalty: changes the penalty's gradients, (chain, leaves) -> leaves.
        finish: changes the finished gradient, (chain, leaves) -> leaves.
        fit: for a mistake with a free number: (chain, leaves to explain) -> the mutant with that number.
    """

    mistake: str
    where: str
    sentence: str
    remedy: str = ""
    title: str = ""
    variant: str = ""
    loss: Callable[[Chain, np.ndarray], np.ndarray] | None = None
    steps: Mapping[int, tuple[Change, ...]] = field(default_factory=dict)
    penalty: Callable[[Chain, Leaves], Leaves] | None = None
    finish: Callable[[Chain, Leaves], Leaves] | None = None
    fit: Callable[[Chain, Leaves], Mutant | None] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is, whatever the numbers of the point: mistake, place and variant."""
        return self.mistake, self.where, self.variant

    def top(self, chain: Chain) -> int:
        """The highest step at which this can differ from the right gradient."""
        if self.loss or self.penalty or self.finish:
            return len(chain.steps) - 1
        return max(self.steps, default=-1)

    def together(self, other: Mutant) -> Mutant:
        """Both mistakes at once."""
        steps = {k: (*self.steps.get(k, ()), *other.steps.get(k, ())) for k in {*self.steps, *other.steps}}
        return replace(
            self,
            loss=_both(self.loss, other.loss),
            steps=steps,
            penalty=_both(self.penalty, other.penalty),
            finish=_both(self.finish, other.finish),
        )


def _both(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return first or second
    return lambda chain, value: second(chain, first(chain, value))


NO_MISTAKE = Mutant("none", "", "")


@dataclass(frozen=True)
class Chain:
    """A network at a point: the steps, and the right gradient at every joint between them."""

    net: Any
    params: Tree
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    steps: tuple[Step, ...]
    z: np.ndarray  # logits
    predictions: np.ndarray  # link(z)
    dz: np.ndarray  # ∂L/∂Z of the loss
    penalty: tuple[np.ndarray, ...]  # gradient of the penalty, leaf by leaf; zeros without one
    arriving: tuple[np.ndarray, ...] = ()  # the gradient that arrives at each step
    right: tuple[np.ndarray, ...] = ()  # the gradient of the loss without penalty, leaf by leaf

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.x)

    @property
    def outputs(self) -> int:
        """Number of outputs, c."""
        return self.z.shape[1]

    def pull(self, k: int, dy: np.ndarray, skip: np.ndarray | None = None) -> tuple[Tree, np.ndarray]:
        """The right backward of step k, (dparams, dx); skip is what comes down a skip path that ends here."""
        step = self.steps[k]
        if step.first + step.count == 0:  # no parameter here or below needs a gradient
            return step.record.params, dy
        if step.role:
            return (), dy if step.role == "join" else dy + (self.arriving[step.partner] if skip is None else skip)
        if step.is_dense:
            grads = dict(self._dense_leaves(k, dy))
            return type(step.record.params)(*(grads[i] for i in sorted(grads))), self._down(k, dy)
        if step.slope is not None and not step.count:
            return (), step.slope * dy
        grads, dx = pull_of(step.layer, *step.record[:4], dy)
        return grads, dx if step.slope is None else step.slope * dy

    def walk(self, mutant: Mutant) -> Iterator[tuple[int, np.ndarray]]:
        """The loss's gradient with a mistake in it, leaf by leaf from the output down, without penalty.

        Yields:
            Number of the leaf, and the leaf.
        """
        dy = self.dz if mutant.loss is None else mutant.loss(self, self.dz)
        touched = mutant.loss is not None
        skips: dict[int, np.ndarray] = {}
        for k in reversed(range(len(self.steps))):
            changes = mutant.steps.get(k, ())
            if not touched and not changes:
                yield from self._leaves(k, self.right)
                continue
            arriving, touched = dy if touched else self.arriving[k], True
            if not changes and self.steps[k].is_dense:
                yield from self._dense_leaves(k, arriving)
                dy = self._down(k, arriving)
                continue
            skips[k] = arriving
            grads, dy = self.pull(k, arriving, skips.get(self.steps[k].partner))
            for change in changes:
                grads, dy = change(self, k, arriving, grads, dy)
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(grads)]
            yield from zip(range(self.steps[k].first, self.steps[k].first + len(leaves)), leaves, strict=True)

    def _dense_leaves(self, k: int, dy: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Give db before dW: who looks for a difference mostly finds it there, without the large product."""
        step = self.steps[k]
        if step.count == 2:
            yield step.first + 1, dy.sum(axis=0)
        yield step.first, dy.T @ step.record.x

    def _down(self, k: int, dy: np.ndarray) -> np.ndarray:
        """Compute dX of a dense step; what no parameter needs is not computed."""
        return dy @ self.steps[k].record.params.W if self.steps[k].first else dy[:, :0]

    def _leaves(self, k: int, leaves: tuple[np.ndarray, ...]) -> Iterator[tuple[int, np.ndarray]]:
        first = self.steps[k].first
        for i in range(first, first + self.steps[k].count):
            yield i, leaves[i]

    def penalty_of(self, mutant: Mutant) -> Leaves:
        """The penalty's part of the gradient with a mistake in it."""
        leaves = list(self.penalty)
        return leaves if mutant.penalty is None else mutant.penalty(self, leaves)

    def gradient(self, mutant: Mutant = NO_MISTAKE) -> Leaves:
        """The whole gradient with a mistake in it, in tree order."""
        data = dict(self.walk(mutant))
        leaves = [data[i] + part for i, part in enumerate(self.penalty_of(mutant))]
        return leaves if mutant.finish is None else mutant.finish(self, leaves)

    @property
    def joins(self) -> dict[int, int]:
        """Number of each skip path's join, with that of its fork."""
        return {step.partner: k for k, step in enumerate(self.steps) if step.role == "fork"}

    def dense_steps(self) -> list[int]:
        """Numbers of the dense steps, from the input to the output."""
        return [k for k, step in enumerate(self.steps) if step.is_dense]


def settle(chain: Chain) -> Chain:
    """Compute the right gradient at every joint, by NumPy where the rule is known here and by JAX elsewhere."""
    dy, arriving, right = chain.dz, {}, {}
    for k in reversed(range(len(chain.steps))):
        arriving[k] = dy
        grads, dy = chain.pull(k, dy, arriving.get(chain.steps[k].partner))
        for i, leaf in enumerate(jax.tree.leaves(grads)):
            right[chain.steps[k].first + i] = np.asarray(leaf)
    return replace(
        chain,
        arriving=tuple(arriving[k] for k in range(len(arriving))),
        right=tuple(right[i] for i in range(len(right))),
    )


@partial(jax.jit, static_argnums=0)
def pull_of(layer: Layer, params: Tree, x: jax.Array, state: Tree, key: Any, dy: Any):
    """Derivative of a layer's forward, applied to dy: (dparams, dx) by jax.

    Args:
        layer: the layer.
        params: its parameters.
        x: its input.
        state: its state.
        key: its random key.
        dy: the arriving gradient.

    Returns:
        (dparams, dx).
    """
    return jax.vjp(lambda params, x: layer.fwd(params, x, state, key)[0][0], params, x)[1](dy)
