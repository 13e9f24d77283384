"""`prove`: whether two JAX programs are the same function."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import jax
import numpy as np

from fnn.validation import require_key
from fnn.verify.arguments import require_functions, require_point
from fnn.verify.proving.literals import Reading
from fnn.verify.proving.points import Point
from fnn.verify.proving.programs import Arguments, Compiled, Program, arguments_of, trace
from fnn.verify.proving.proof import CANNOT_TELL, DIFFERENT, PROVED, Proof
from fnn.verify.proving.readings import literals_of, readings_of
from fnn.verify.proving.search import Differs, Search
from fnn.verify.proving.tracing import differently_traced


def prove(
    f: Callable, g: Callable, *args: Any, key: int | jax.Array | None = None, points: int | Sequence[tuple] = 4
) -> Proof:
    """Decide whether two JAX programs are the same function, without a tolerance.

    Both are traced and run on random elements of large finite fields, where equal formulas give equal numbers and
    different ones don't, but for a probability below 2⁻⁶⁰. Floats of the arguments are what varies; whole numbers,
    keys and arrays closed over are what they are. Which branches are taken float64 decides at a few points, and the
    proof holds on their *cells*, the sets of points with the same outcomes of all comparisons. See
    `fnn.verify.proving` for what the word PROVED means and what is trusted.

    Args:
        f: one function, any that JAX can trace; its result is any pytree.
        g: the other one, of the same arguments.
        *args: a point: pytrees of arrays and numbers.
        key: where chance comes from, a number or a random key; fresh by default, and printed.
        points: how many points to visit, at least 4, or further points, each a tuple like args.

    Returns:
        The proof: PROVED, DIFFERENT with an entry that shows it, or CANNOT TELL with what is in the way.

    Raises:
        TypeError: f or g is no function, an argument is neither a number nor an array, or complex.

    References:
        Schwartz, Fast probabilistic algorithms for verification of polynomial identities (1980); Zippel, Probabilistic
        algorithms for sparse polynomials (1979); Wu et al., Mirage (2024), for exponentials.

    Examples:
        >>> import jax.numpy as jnp
        >>> z = jnp.array([0.5, -1.5])
        >>> prove(lambda z: jax.nn.softplus(z) - z, lambda z: jax.nn.softplus(-z), z).verdict
        'PROVED'
        >>> prove(lambda z: z / (1 + 1e-12), lambda z: z, z).verdict
        'DIFFERENT'
    """
    require_functions("prove", f=f, g=g)
    require_point("prove", args, range(len(args)))
    return proof_of(f, g, args, key, points)


def proof_of(f: Callable, g: Callable, args: tuple, key: Any = None, points: Any = 4, at_ties: bool = True) -> Proof:
    """Decide as `prove` does.

    Args:
        f: one function.
        g: the other one.
        args: a point.
        key: as for `prove`.
        points: as for `prove`.
        at_ties: whether f and g have to agree where values tie as well. Gradients have none there, and each program
            its choice.
    """
    seed = _seed(key)
    arguments = arguments_of(args)
    programs = (trace("f", f, arguments), trace("g", g, arguments))
    fault = _structure_fault(programs)
    if fault:
        return Proof(DIFFERENT, fault, seed=seed)
    other = differently_traced(programs)
    if other:
        return Proof(CANNOT_TELL, other, seed=seed)
    further = [] if isinstance(points, int) else [arguments_of(tuple(point)).point() for point in points]
    search = Search(programs, Compiled(programs), random.Random(seed), at_ties=at_ties)
    return _decide(search, arguments, seed, points if isinstance(points, int) else 4, further)


def _seed(key: int | jax.Array | None) -> int:
    if key is None:
        return secrets.randbits(63)
    if isinstance(key, int | np.integer):
        return int(key)
    require_key("a proof", key)
    data = jax.random.key_data(key) if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return int.from_bytes(np.asarray(data).tobytes(), "little")


def _structure_fault(programs: tuple[Program, Program]) -> str | None:
    """What is wrong with the results before any number is looked at."""
    f, g = programs
    if f.structure != g.structure:
        return f"f returns {f.structure}, g returns {g.structure}"
    for leaf, mine, other in zip(f.leaves, f.shapes, g.shapes, strict=True):
        if mine != other:
            (shape, dtype), (other_shape, other_dtype) = mine, other
            return f"{leaf or 'the result'} is {dtype}{list(shape)} in f and {other_dtype}{list(other_shape)} in g"
    return None


def _decide(start: Search, arguments: Arguments, seed: int, count: int, further: list[Point]) -> Proof:
    """Search with exact literals; if these differ in the worlds only, with other readings of them."""
    first: Search | None = None
    attempts: list[dict[float, Reading]] = [{}]
    while attempts:
        search = Search(start.programs, start.compiled, start.source, attempts.pop(0), start.at_ties)
        try:
            search.visit_all(arguments.point(), count, further)
        except Differs as found:
            return replace(Proof(DIFFERENT, str(found.witness), witness=found.witness, seed=seed), notes=_notes(search))
        if search.proved and not search.undecided and not search.fatal:
            return _concluded(search, seed)
        if first is None:
            first = search
            attempts = readings_of(search.undecided[-1][1] if search.undecided else search.example)
    assert first is not None
    return Proof(CANNOT_TELL, first.fatal or _reason(first), notes=_notes(first), seed=seed)


def _notes(search: Search) -> tuple[str, ...]:
    return tuple(f"read as exact: {place}" for place in search.conversions)


def _concluded(search: Search, seed: int) -> Proof:
    """A proof on some cells, unless what was not seen stands in the way."""
    notes = _notes(search)
    one_sided = search.coverage.told()
    assumptions = tuple(f"{value!r} = {reading}" for value, reading in search.readings.items())
    if search.unstable:
        says = f"right as a formula, unstable here: {search.unstable}"
        return Proof(CANNOT_TELL, says, assumptions=assumptions, one_sided=one_sided, notes=notes, seed=seed)
    alone = sorted({str(seen) for seen in search.coverage.missing() if seen.alone})
    if alone:
        says = f"equal where it was looked, but {alone[0]} came out one way only, in one program only"
        return Proof(CANNOT_TELL, says, assumptions=assumptions, one_sided=one_sided, notes=notes, seed=seed)
    worlds = max(j.worlds for j in search.proved.values())
    entries = sum(int(np.prod(shape)) for shape, _ in search.programs[0].shapes)
    cells = len(search.proved)
    error = np.log2(cells) - min(min(j.bits for j in search.proved.values()), 1000.0)
    says = "f and g are one function" + (" on the cells visited" if search.coverage.seen else "")
    unknowns = tuple(sorted(frozenset[str]().union(*(j.unknowns for j in search.proved.values()))))
    return Proof(
        PROVED, says, cells, entries, float(error), None, assumptions, one_sided, notes, worlds, seed, unknowns
    )


def _reason(search: Search) -> str:
    """Why nothing was proved."""
    if search.undecided:
        found, cell = search.undecided[0]
        f, g = (side[found.leaf].value[found.entry].item() for side in cell.results)
        text = (
            f"{search.name_of(found.leaf, found.entry)} differs as a formula, but not in float64: {f!r} against {g!r}"
        )
        close = close_literals(literals_of(cell))
        return text + (f"; the literals {close[0]!r} and {close[1]!r} are read as they stand" if close else "")
    return search.unstable or (search.reasons[0] if search.reasons else "no point could be used")


def close_literals(literals: list[float]) -> tuple[float, float] | None:
    """Two literals that are almost one, or almost one divided by the other."""
    for a, b in pairwise(literals):
        if a and abs(b - a) <= 1e-6 * abs(a):
            return a, b
    for a, b in combinations(literals[:64], 2):
        if a * b and abs(a * b - 1) <= 1e-9 and Fraction(a) * Fraction(b) != 1:
            return a, b
    return None
