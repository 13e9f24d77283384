"""What is done to a finished leaf: swapped with another, turned, scaled, or a penalty added that the loss has not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fnn.verify.paths.program import Program
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.sweeps import Backward
from fnn.verify.paths.variant import Variant


def finished(survey: Survey, base: Backward, left: frozenset[int]) -> Iterator[Variant]:
    """Variants of finished leaves.

    Args:
        survey: what is known.
        base: the backward pass so far.
        left: the leaves to explain.

    Yields:
        The variants.
    """
    gradient = [g[0] for g in base.gradient()]
    for i in sorted(left):
        yield from _swaps(i, gradient, left)
        yield from _penalty(survey, i, gradient[i])
        yield _clipped(i)


def _swaps(i: int, gradient: list[np.ndarray], left: frozenset[int]) -> Iterator[Variant]:
    for j in range(len(gradient)):
        if j == i:
            continue
        turn = gradient[j].shape != gradient[i].shape and gradient[j].T.shape == gradient[i].shape
        if gradient[j].shape != gradient[i].shape and not turn:
            continue

        def instead(program: Program, leaves: list[np.ndarray], j: int = j, turn: bool = turn) -> list[np.ndarray]:
            return [(leaves[j].T if turn else leaves[j]) if n == i else leaf for n, leaf in enumerate(leaves)]

        yield Variant("another leaf", None, None, 2.0, {"leaf": i, "of": j, "turn": turn}, instead)
        if j > i and j in left and not turn:

            def swapped(program: Program, leaves: list[np.ndarray], j: int = j) -> list[np.ndarray]:
                return [leaves[j] if n == i else leaves[i] if n == j else leaf for n, leaf in enumerate(leaves)]

            yield Variant("swapped", None, None, 1.0, {"leaf": i, "of": j}, swapped)

            def average(program: Program, leaves: list[np.ndarray], j: int = j) -> list[np.ndarray]:
                mean = (leaves[i] + leaves[j]) / 2
                return [mean if n in (i, j) else leaf for n, leaf in enumerate(leaves)]

            yield Variant("mixed", None, None, 1.4, {"leaf": i, "of": j}, average)


def _penalty(survey: Survey, i: int, gradient: np.ndarray) -> Iterator[Variant]:
    """A multiple of the parameter itself too much or too little."""
    number = survey.program.leaves[i]
    param = np.asarray(survey.program.values[number], np.float64)
    extra = survey.target.answer[i] - gradient
    for what, of in (("", param), ("sign ", np.sign(param))):
        weight = float((of * of).sum())
        factor = float((extra * of).sum()) / weight if weight else 0.0
        if not factor or np.abs(extra - factor * of).max() > 1e-5 * np.abs(extra).max():
            continue
        named = survey.constants.name(factor, 1e-5)
        if named is None or not named[0]:
            continue
        exact = survey.constants.exact(factor)

        def added(
            program: Program, leaves: list[np.ndarray], exact: float = exact, what: str = what
        ) -> list[np.ndarray]:
            value = np.asarray(program.values[number], np.float64)
            value = np.sign(value) if what else value
            return [leaf + exact * value if n == i else leaf for n, leaf in enumerate(leaves)]

        words = {"leaf": i, "factor": exact, "name": named[0], "what": what}
        yield Variant("penalty", None, None, 1.6, words, added)


def _clipped(i: int) -> Variant:
    """A leaf clipped to unit norm."""

    def clip(program: Program, leaves: list[np.ndarray]) -> list[np.ndarray]:
        norm = float(np.sqrt((leaves[i] ** 2).sum()))
        return [leaf / norm if n == i and norm else leaf for n, leaf in enumerate(leaves)]

    return Variant("normalized", None, None, 2.5, {"leaf": i}, clip)
