"""What a search starts from: the program at the point, the gradient given, the right one, how closely to meet it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fnn.verify.paths.constants import Constants
from fnn.verify.paths.derivatives import pull
from fnn.verify.paths.families import Site, sites_of
from fnn.verify.paths.pool import Pool
from fnn.verify.paths.program import Program
from fnn.verify.paths.sweeps import Backward, Tangents, backward, operands, results, tangents

DIRECTIONS = 2  # along each leaf


@dataclass(eq=False)
class Target:
    """The gradient to explain at one point."""

    program: Program
    answer: list[np.ndarray]
    right: Backward
    limits: np.ndarray  # how far a leaf may be off
    fits: np.ndarray  # how closely an explanation must meet it
    wrong: frozenset[int]

    def met(self, gradient: Sequence[np.ndarray]) -> list[bool]:
        """Which leaves of the answer a predicted gradient meets."""
        return [_distance(g, a) <= fit for g, a, fit in zip(gradient, self.answer, self.fits, strict=True)]


@dataclass(eq=False)
class Survey:
    """Everything a search needs."""

    target: Target
    names: list[str]
    directions: list[np.ndarray]
    along: dict[int, Tangents]
    constants: Constants
    pool: Pool
    sites: list[Site]
    seen: dict = field(default_factory=dict)
    second: Target | None = None  # another point, where the backward was asked as well

    @property
    def program(self) -> Program:
        """The program at the point."""
        return self.target.program

    def reached(self, number: int) -> tuple[int, ...]:
        """The leaves whose gradients a value's cotangent flows into."""
        return self.along[number].leaves if number in self.along else ()

    def rows(self, number: int, leaves: Sequence[int]) -> np.ndarray:
        """Tangents of a value along the directions of some leaves, (leaves × directions, size)."""
        size = int(np.prod(self.program.shape(number)))
        out = np.zeros((len(leaves), DIRECTIONS, size))
        given = self.along.get(number)
        if given is not None:
            at = [leaves.index(i) for i in given.leaves]
            out[at] = given.rows.reshape(len(given.leaves), DIRECTIONS, size)
        return out.reshape(-1, size)


def aim(program: Program, answer: Sequence[np.ndarray], tolerance: float) -> Target:
    """Compare an answer with the right gradient and set the limits.

    Args:
        program: the program at the point.
        answer: the leaves of the gradient under check, in float64.
        tolerance: relative to a leaf's own largest entry.

    Returns:
        The target.
    """
    right = backward(program)
    gradient = [g[0] for g in right.gradient()]
    flow = _flows(program, right)
    scale = np.array([max(_largest(g), _largest(a)) for g, a in zip(gradient, answer, strict=True)])
    limits = tolerance * scale + 1e-4 * tolerance * flow + 1e-300
    off = np.array([_distance(g, a) for g, a in zip(gradient, answer, strict=True)])
    fits = np.minimum(np.maximum(np.minimum(3 * limits, 1e-3 * off), 0.1 * limits), 3 * limits)
    wrong = frozenset(int(i) for i in np.flatnonzero(~(off <= limits)))
    fits = np.where([i in wrong for i in range(len(off))], fits, limits)
    return Target(program, list(answer), right, limits, fits, wrong)


def prepare(target: Target, names: Sequence[str], arguments: Sequence[str]) -> Survey:
    """Run the tangent pass and lay out sites, values and constants.

    Args:
        target: the gradient to explain.
        names: what the differentiated leaves are called.
        arguments: what all leaves of the arguments are called.

    Returns:
        The survey.
    """
    random = np.random.default_rng(7)
    program = target.program
    directions = [random.normal(size=(DIRECTIONS, *program.shape(i))) for i in program.leaves]
    along = tangents(program, directions)
    constants = Constants(program, list(arguments))
    return Survey(target, list(names), directions, along, constants, Pool(program), sites_of(program))


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    distance = float(np.abs(a - b).max(initial=0))
    return distance if distance == distance else float("inf")


def _flows(program: Program, found: Backward) -> np.ndarray:
    """For each leaf the size of what is summed into it, which rounding goes by."""
    readers = program.consumers()
    flows = []
    for number in program.leaves:
        flow = 0.0
        for index, k in readers.get(number, ()):
            node = program.nodes[index]
            dys = [None if o not in found.arriving else np.abs(found.arriving[o]) for o in node.outs]
            if all(d is None for d in dys):
                continue
            xs = operands(program, node)
            if node.primitive == "dot_general":
                xs = [np.abs(x) for x in xs]
            flow += _largest(pull(node, k, dys, xs, results(program, node)))
        flows.append(flow)
    return np.array(flows)
