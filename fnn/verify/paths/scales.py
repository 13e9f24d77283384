"""A contribution times a number: missing, doubled, of the wrong sign, a constant of the program too many or too few."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fnn.verify.paths.families import Site
from fnn.verify.paths.grid import ONE, product
from fnn.verify.paths.pool import Candidate
from fnn.verify.paths.program import Node, Program
from fnn.verify.paths.survey import Survey
from fnn.verify.paths.variant import Variant, scaled


def scales(
    site: Site, survey: Survey, there: np.ndarray, wanted: np.ndarray, left: np.ndarray
) -> Iterator[tuple[Variant, np.ndarray]]:
    """Read the factor off the directions, leaf by leaf, and keep it if it is a constant of this program.

    Args:
        site: the site.
        survey: what is known.
        there: what the site contributes along the directions, (leaves, directions).
        wanted: what it should contribute to give the answer.
        left: which of the leaves are to be explained.

    Yields:
        Variants, and what they contribute along the directions.
    """
    size = np.abs(there).max(axis=1)
    usable = left & (size > 0)
    seen: list[float] = []
    with np.errstate(all="ignore"):
        for row in np.flatnonzero(usable):
            factor = float((wanted[row] * there[row]).sum() / (there[row] ** 2).sum())
            close = np.abs(factor * there[row] - wanted[row]).max() <= 1e-5 * max(np.abs(wanted[row]).max(), size[row])
            if not close or not math.isfinite(factor) or any(math.isclose(factor, s, rel_tol=1e-6) for s in seen):
                continue
            seen.append(factor)
            made = variant_of(site, survey, _rounded(factor))
            if made is not None:
                yield made, made.words["factor"] * there.reshape(-1)


def constant_slopes(
    site: Site, survey: Survey, bare: np.ndarray, wanted: np.ndarray, left: np.ndarray
) -> Iterator[Variant]:
    """A constant of the program where a product has an array of data.

    Args:
        site: operand of a product.
        survey: what is known.
        bare: what it would contribute with 1 in the array's place, along the directions, (leaves, directions).
        wanted: what it should contribute to give the answer.
        left: which of the leaves are to be explained.

    Yields:
        Variants.
    """
    shape = survey.program.shape(survey.program.nodes[site.places[0][1]].outs[0])
    seen: list[float] = []
    for row in np.flatnonzero(left & (np.abs(bare).max(axis=1) > 0)):
        factor = float((wanted[row] * bare[row]).sum() / (bare[row] ** 2).sum())
        if np.abs(factor * bare[row] - wanted[row]).max() > 1e-5 * np.abs(wanted[row]).max() or factor in (0, 1):
            continue
        if survey.constants.holder_of(factor) >= 0 and not any(math.isclose(factor, s, rel_tol=1e-6) for s in seen):
            seen.append(factor)
            nothing = Candidate((-1,) * len(site.places))
            yield product(site, "arriving", ONE, nothing, shape, 1.2, survey.constants.exact(factor))


def _rounded(factor: float) -> float:
    for exact in (0.0, -1.0, 2.0, 0.5, 1.0):
        if abs(factor - exact) < 1e-5:
            return exact
    return factor


def variant_of(site: Site, survey: Survey, factor: float) -> Variant | None:
    """The variant for a factor, with the exact number where the program holds it; None for a factor of no meaning."""
    far = 0.6 if site.level == 3 else 0.0
    branch = 0.0
    if site.kind == "operand":
        readers = survey.seen.setdefault("readers", survey.program.consumers())
        branch = 0.0 if len(readers.get(site.numbers[0], ())) > 1 else 0.15
    if factor == 0:
        return scaled(site, 0.0, "missing", 1.0 + far + branch)
    if factor == 1:
        return None
    natural = _natural(site, survey, survey.program, factor)
    if natural is not None:
        return scaled(site, natural[0], natural[1], 0.6 + far, **natural[2])
    if factor == -1:
        return scaled(site, -1.0, "sign", (0.8 if _subtracts(site, survey.program) else 1.3) + far)
    named = survey.constants.name(factor, 1e-5)
    if named is None:
        return None
    exact = survey.constants.exact(factor)
    if factor == 2:
        return scaled(site, 2.0, "doubled", 1.5 + far + branch, name="2")
    return scaled(
        site, exact, "times", 1.9 + named[1] + far + branch, name=named[0], held=survey.constants.holder_of(factor) >= 0
    )


def _subtracts(site: Site, program: Program) -> bool:
    if site.kind != "operand":
        return False
    node = program.nodes[site.places[0][1]]
    return node.primitive == "neg" or (node.primitive == "sub" and site.places[0][2] == 1)


def _natural(site: Site, survey: Survey, program: Program, factor: float) -> tuple[float, str, dict] | None:
    """Factors that belong to the equation itself: its own constant left out, the size it sums over put in."""
    if site.kind != "operand":
        return None
    node, k = program.nodes[site.places[0][1]], site.places[0][2]
    shape, out = program.shape(node.ins[k]), program.shape(node.outs[0])
    rows = []
    if node.primitive in ("mul", "div") and len(node.active) == 1 and np.size(program.values[node.ins[1 - k]]) == 1:
        value = float(np.reshape(program.values[node.ins[1 - k]], ()))
        own = value if node.primitive == "mul" else 1 / value
        rows += [(1 / own, "constant missing", {"value": value}), (1 / own**2, "constant inverted", {"value": value})]
        rows += [(own, "constant twice", {"value": value})]
        whole = max(value, 1 / value)
        sizes = _counts(program, node) if node.primitive == "div" and whole == round(whole) else ()
        by = 1 if node.primitive == "mul" else -1
        rows += [(size**by / own, "constant replaced", {"value": value, "by": size}) for size in sizes]
    power = _power(program, node) if k == 0 else None
    if power:
        rows += [(1 / power, "power missing", {"value": power})]
    if node.primitive == "neg":
        rows += [(-1.0, "sign", {})]
    size, many = int(np.prod(shape)), int(np.prod(out))
    if (
        size
        and many > size
        and many % size == 0
        and node.primitive not in ("dot_general", "concatenate", "pad", "stack", "turns of a loop")
    ):
        rows += [(size / many, "averaged instead of summed", {"value": many // size})]
    if many and size > many and node.primitive == "reduce_sum":
        over = [shape[a] for a in node.eqn.params["axes"]]
        counts = {size // many, *over} if len(over) < 3 else {size // many, *over, *(a * b for a in over for b in over)}
        rows += [(1 / count, "averaged instead of summed", {"value": count}) for count in sorted(counts)]
    for value, kind, words in rows:
        if math.isclose(value, factor, rel_tol=1e-5) and not math.isclose(value, 1, rel_tol=1e-9):
            return value, kind, words
    return None


def _counts(program: Program, node: Node) -> list[int]:
    """Numbers that a mean may be divided by instead: sizes of the axes that were summed, products of them, one less."""
    number, shapes = node.ins[0], [program.shape(node.ins[0])]
    while program.maker[number] >= 0 and len(shapes) < 6:
        maker = program.nodes[program.maker[number]]
        if np.size(program.values[number]) != 1 and maker.primitive != "reduce_sum":
            break
        number = maker.ins[0]
        shapes.append(program.shape(number))
    axes = [n for shape in shapes for n in shape]
    return sorted({*axes, *(a * b for a in axes for b in axes), *(n - 1 for n in axes)} - {0, 1})


def _power(program: Program, node: Node) -> float | None:
    """The exponent of a power, where it is a number."""
    if node.primitive == "square":
        return 2
    if node.primitive == "integer_pow":
        return int(node.eqn.params["y"])
    if node.primitive == "pow" and np.size(program.values[node.ins[1]]) == 1 and not program.active[node.ins[1]]:
        exponent = float(np.reshape(program.values[node.ins[1]], ()))
        return int(exponent) if exponent.is_integer() else exponent
    return None
