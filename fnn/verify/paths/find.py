"""The entry: from a loss, a point and a wrong gradient to what is wrong and on which line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fnn.verify.oracles import as_float64, is_float, precise
from fnn.verify.paths.naming import argument_names, short_names
from fnn.verify.paths.program import Program, TooLong, run
from fnn.verify.paths.search import explanations_of
from fnn.verify.paths.sentences import Mistake, tell
from fnn.verify.paths.survey import Target, aim, prepare

Tree = Any

TOLERANCE = {"float64": 1e-9, "float32": 2e-5}  # of a leaf's own largest entry


def find_mistakes(
    loss: Callable,
    args: Sequence[Any],
    argnums: int | tuple[int, ...],
    answer: Tree,
    backward: Callable | None = None,
    *,
    tolerance: float | None = None,
) -> tuple[Mistake, ...]:
    """Say what is wrong with a gradient, and on which line of the forward.

    Args:
        loss: (*args) -> scalar, in JAX.
        args: the point.
        argnums: the arguments that the gradient is with respect to, one or several.
        answer: the gradient to explanations_of, like args[argnums], or a tuple of such for several.
        backward: (*args) -> gradient; asked again at a second point, where what it refutes is withdrawn.
        tolerance: of a leaf's own largest entry; by the answer's dtype if None.

    Returns:
        Mistakes, one for each independent mistake; empty where nothing in reach gives these numbers.
    """
    with precise(), np.errstate(all="ignore"):
        point = _Point(loss, args, argnums)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(answer)]
        single = any(leaf.dtype in (np.float32, np.float16) for leaf in leaves)
        close = TOLERANCE["float32" if single else "float64"] if tolerance is None else tolerance
        try:
            program = point.run(point.leaves)
            target = aim(program, [np.asarray(leaf, np.float64) for leaf in leaves], close)
            if not target.wrong or not all(np.isfinite(leaf).all() for leaf in leaves):
                return ()
            survey = prepare(target, point.short, point.names)
            if backward is not None:
                survey.second = _elsewhere(point, target.wrong, backward, close)
            found = explanations_of(survey)
        except (TooLong, MemoryError, NotImplementedError):
            return ()
        return tell(survey, found)


class _Point:
    """A loss traced once, to be run at points."""

    def __init__(self, loss: Callable, args: Sequence[Any], argnums: int | tuple[int, ...]) -> None:
        args = as_float64(tuple(args))
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        self.leaves, self.tree = jax.tree.flatten(args)
        owner = [i for i, arg in enumerate(args) for _ in jax.tree.leaves(arg)]
        self.differentiated = [i in chosen and is_float(x) for i, x in zip(owner, self.leaves, strict=True)]
        # several arguments come in the order of argnums, as jax.grad gives them
        self.order = [n for c in chosen for n, i in enumerate(owner) if i == c and self.differentiated[n]]
        self.names = argument_names(loss, args)
        self.short = short_names([self.names[n] for n in self.order])
        self.closed = jax.make_jaxpr(loss)(*args)

    def run(self, leaves: Sequence[Any], skip: int = -1) -> Program:
        """The program at a point, and without an equation of data."""
        program = run(self.closed, leaves, self.names, self.differentiated, skip)
        program.leaves = tuple(self.order)

        def again(skip: int, changed: dict[int, Any]) -> Program:
            return self.run([changed.get(i, leaf) for i, leaf in enumerate(leaves)], skip)

        program.notes["again"] = again
        return program

    def args(self, leaves: Sequence[Any]) -> tuple:
        """The arguments with these leaves."""
        return jax.tree.unflatten(self.tree, leaves)


def _elsewhere(point: _Point, wrong: frozenset[int], backward: Callable, close: float) -> Target | None:
    """The gradient at a second point; None if the backward has none to say there that helps."""
    moved = _moved(point)
    try:
        answer = backward(*point.args(moved))
    except Exception:  # the backward may insist on the arrays it knows: then one point has to do
        return None
    program = point.run(moved)
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(answer)]
    if not all(np.isfinite(leaf).all() for leaf in leaves) or len(leaves) != len(program.leaves):
        return None
    target = aim(program, leaves, close)
    # what was right here and is wrong there was derived for the first point alone
    return target if target.wrong <= wrong else None


def _moved(point: _Point) -> list[Any]:
    """Leaves of a second point near the first: signs are kept, symmetric matrices stay symmetric."""
    random = np.random.default_rng(11)
    moved = []
    for leaf, differentiated in zip(point.leaves, point.differentiated, strict=True):
        x = np.asarray(leaf) if differentiated else leaf
        if differentiated:
            noise = 1 + 0.2 * random.uniform(-1, 1, size=x.shape)
            if x.ndim == 2 and x.shape[0] == x.shape[1] and np.array_equal(x, x.T):
                noise = (noise + noise.T) / 2
            x = x * noise
        moved.append(x)
    return moved
