"""Values of the program that could stand in another's place: same shape, same turn of the loop or the one beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from fnn.verify.paths.families import Site, key_of, value_families
from fnn.verify.paths.program import Program
from fnn.verify.paths.sweeps import Backward

ONE_FOR_ALL = 2  # where a shift is asked for: the same turn's value in all


class Candidate(NamedTuple):
    """For each place of a site the number of a value; −1 for zeros, before the first turn or after the last."""

    numbers: tuple[int, ...]
    shift: int = 0


class Pool:
    """The values of a program by family."""

    def __init__(self, program: Program, most: int = 2**21) -> None:
        self.program, self.most = program, most
        self.families = {level: value_families(program, level) for level in (1, 2)}
        self.read = {level: _operand_families(program, level) for level in (1, 2)}
        self.fixed = [i for i, origin in enumerate(program.origin) if isinstance(origin, str)]
        self._cached: dict = {}

    def beside(self, site: Site, fits: Callable[[tuple[int, ...]], bool], size: int) -> list[Candidate]:
        """Values that fit the places of a site.

        Args:
            site: the site.
            fits: whether a value of some shape does.
            size: entries of one value, to bound the memory.

        Returns:
            Candidates, distinct in their values; real arrays of more than one entry only.
        """
        found: list[Candidate] = []
        seen: set = set()
        for candidate in self._near(site):
            first = next((n for n in candidate.numbers if n >= 0), -1)
            if first < 0 or not self._usable(first) or not fits(self.program.shape(first)):
                continue
            if any(n >= 0 and self.program.shape(n) != self.program.shape(first) for n in candidate.numbers):
                continue
            print_ = tuple(self._print(n) for n in candidate.numbers)
            if print_ not in seen:
                seen.add(print_)
                found.append(candidate)
        return found[: max(8, self.most // max(size * len(site.places), 1))]

    def cotangents(self, site: Site, fits: Callable[[tuple[int, ...]], bool], found: Backward) -> list[Candidate]:
        """Values whose cotangents could arrive at a site instead of the right one.

        Args:
            site: the site.
            fits: whether a cotangent of some shape does.
            found: the backward pass; in nested families only what is known by then counts as more than zero.

        Returns:
            Candidates.
        """
        chosen = []
        for candidate in self._near(site):
            first = next((n for n in candidate.numbers if n >= 0), -1)
            if any(n >= 0 and self.program.shape(n) != self.program.shape(first) for n in candidate.numbers):
                continue
            if first in found.arriving and fits(self.program.shape(first)) and self.program.values[first].size > 1:
                chosen.append(candidate)
        return chosen[: max(8, self.most // 2**12)]

    def _near(self, site: Site) -> Iterable[Candidate]:
        many = len(site.places)
        for number in self.fixed:
            yield Candidate((number,) * many)
        level = 2 if site.level == 2 else 1
        for members in self.families[level].values():
            if len(members) == 1:
                yield Candidate((members[0],) * many)
            elif site.size > 1 and len(members) == site.size and many > 1:
                for shift in (0, -1, 1):
                    turns = [t + shift for t in site.turns]
                    yield Candidate(tuple(members[t] if 0 <= t < site.size else -1 for t in turns), shift)
                for number in (members[0], members[-1]) if site.size <= 4 else ():
                    yield Candidate((number,) * many, ONE_FOR_ALL)
            elif many == 1 and (site.size <= 4 or site.level == 0):
                for number in members if len(members) <= 4 else (*members[:2], *members[-2:]):
                    yield Candidate((number,))

        if site.size > 1 and many > 1:
            for numbers in self.read[level].get(site.size, ()):
                yield Candidate(tuple(numbers[t] for t in site.turns))

    def _usable(self, number: int) -> bool:
        value = self.program.values[number]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fb" or value.size < 2:
            return isinstance(value, np.ndarray) and value.dtype.kind == "f" and self.program.active[number]
        return bool((value != value.flat[0]).any())

    def _print(self, number: int) -> Any:
        """A short print of a value, to drop copies; values may be negatives of one another and stay."""
        if number not in self._cached:
            value = self.program.values[number] if number >= 0 else np.zeros(1)
            self._cached[number] = (value.shape, hash(np.ascontiguousarray(value, np.float64).round(12).tobytes()))
        return self._cached[number]


def _operand_families(program: Program, level: int) -> dict[int, list[tuple[int, ...]]]:
    """What the members of a family read, turn by turn: the state before the first turn is among it."""
    families: dict[Any, list[Any]] = {}
    for node in program.nodes:
        families.setdefault(key_of(node.stack, level), []).append(node)
    found: dict[int, list[tuple[int, ...]]] = {}
    for members in families.values():
        if len(members) > 1:
            for k in range(min(len(node.ins) for node in members)):
                found.setdefault(len(members), []).append(tuple(node.ins[k] for node in members))
    return found


def aligned(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A value repeated along the axes that it lacks, as NumPy does or along the last ones; None if it does not fit."""
    if value.shape == shape:
        return value
    for form in (value.shape, value.shape + (1,) * (len(shape) - value.ndim)):
        if len(form) <= len(shape) and all(a in (1, b) for a, b in zip(form[::-1], shape[::-1], strict=False)):
            return np.broadcast_to(value.reshape(form), shape)
    return None


def broadcasts(shape: tuple[int, ...]) -> Callable[[tuple[int, ...]], bool]:
    """Whether a value of another shape can be repeated to this one."""
    return lambda other: other == shape or aligned(np.empty(other, np.bool_), shape) is not None
