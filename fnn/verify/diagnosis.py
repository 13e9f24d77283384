"""A closer look at a network's gradient: kinks, the cause of what is wrong, and what the point can't show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import jax
import numpy as np

from fnn.layers.base import Layer
from fnn.verify.answers import ask
from fnn.verify.blind_spots import blind_spots, counts, random_point
from fnn.verify.chain import Chain, Leaves, Mutant
from fnn.verify.forward_pass import build_chain
from fnn.verify.kinks import Kink, bent, kinks_of
from fnn.verify.laying_out import holds_passes, laid_out
from fnn.verify.locate import faulty_rules, located
from fnn.verify.matching import Match, Target, aim, explained, miss_of
from fnn.verify.mistakes.catalogue import all_mutants
from fnn.verify.oracles import TOLERANCE, as_float64
from fnn.verify.report import WRONG, Deviation, Report


@dataclass(frozen=True)
class Question:
    """A gradient under study.

    Attributes:
        chain: the network at the point.
        got: the gradient that was returned, leaf by leaf.
        limits: what each leaf may be off.
        precision: that it is judged by.
        backward: the function that returned it, to be asked again at a second point; None for the network's.
        keywords: what it takes besides parameters and batch.
        unroll: whether repeated layers are laid out in the chain and the gradient.
    """

    chain: Chain
    got: Leaves
    limits: tuple[float, ...]
    precision: str
    backward: Callable | None
    keywords: dict
    unroll: bool = False

    def laid_out(self) -> Question | None:
        """The same question with repeated layers laid out; None where there are none."""
        chain = self.chain
        if not holds_passes(laid_out(chain.net.layer, chain.params)):
            return None
        got = _laid_out(self.got, chain.net.layer, chain.params)
        allowed = [np.full(np.shape(leaf), limit) for leaf, limit in zip(self.got, self.limits, strict=True)]
        limits = tuple(float(leaf.max(initial=0)) for leaf in _laid_out(allowed, chain.net.layer, chain.params))
        longer = build_chain(chain.net, chain.params, chain.x, chain.y, as_float64(self.keywords), unroll=True)
        return replace(self, chain=longer, got=got, limits=limits, unroll=True)


def _laid_out(leaves: Leaves, layer: Layer, params: Any) -> Leaves:
    return jax.tree.leaves(laid_out(layer, jax.tree.unflatten(jax.tree.structure(params), leaves)))


def study(report: Report, question: Question) -> Report:
    """Complete a report on a network: kinks, diagnosis, blind spots. Call it within `precise`.

    Args:
        report: the comparison with the oracles.
        question: the gradient and where it comes from.

    Returns:
        The report, completed.
    """
    kinks = kinks_of(question.chain, report.precision)
    declared = tuple(map(str, kinks)) or report.kinks
    report = replace(report, kinks=declared, blind_spots=blind_spots(question.chain))
    return diagnosed(report, question, kinks) if report.verdict == WRONG and report.leaves else report


def diagnosed(report: Report, question: Question, kinks: list[Kink]) -> Report:
    """Name the cause of a wrong gradient, or say where it starts.

    Args:
        report: with the verdict WRONG.
        question: the gradient and where it comes from.
        kinks: what sits on a kink.

    Returns:
        The report with findings.
    """
    match = _met_twice(question, kinks)
    laid_out = question.laid_out() if match is None else None
    if laid_out is not None:
        match = _met_twice(laid_out, kinks_of(laid_out.chain, report.precision))
        question = laid_out if match else question
    report = replace(report, notes=(*report.notes, *_faulty(question)))
    if match is None:
        params = [np.asarray(leaf) for leaf in jax.tree.leaves(question.chain.params)]
        return replace(
            report, findings=located(report, question.got, question.chain.gradient(), params, question.chain)
        )
    wrong = tuple(leaf.name for leaf in report.leaves if leaf.verdict == WRONG)
    causes = tuple(_finding(cause, wrong) for cause in match.causes)
    others = tuple(_joined(tuple(_finding(cause, wrong) for cause in causes)) for causes in match.alternatives)
    return replace(report, findings=causes, alternatives=others)


def _met_twice(question: Question, kinks: list[Kink]) -> Match | None:
    """What gives the gradient exactly, here and at a second point, with any of the usual conventions at the kinks."""
    chain = question.chain
    for view in (chain, *(bent(chain, kinks, share) for share in (1.0, 0.5) if kinks)):
        match = explained(view, question.got, TOLERANCE[question.precision], question.limits)
        match = match and _asked_again(match, question)
        if match:
            return match
    return None


def _faulty(question: Question) -> tuple[str, ...]:
    """Of the network's own gradient it can be said which layer's rule is wrong, by running each alone."""
    if question.backward is not None:
        return ()
    labels = faulty_rules(question.chain)
    return tuple(f"the backward of {label} is not the derivative of its forward" for label in labels)


def _finding(mutant: Mutant, leaves: tuple[str, ...]) -> Deviation:
    return Deviation(mutant.sentence, mutant.where, mutant.mistake, mutant.variant, leaves)


def _joined(causes: tuple[Deviation, ...]) -> Deviation:
    if len(causes) == 1:
        return causes[0]
    sentence, where, mistake = (
        " and ".join(getattr(cause, name) for cause in causes) for name in ("sentence", "where", "mistake")
    )
    return Deviation(sentence, where, mistake, leaves=causes[0].leaves)


def _asked_again(match: Match, question: Question) -> Match | None:
    """Withdraw what a second point refutes, if the backward can be called there."""
    rest = {name: value for name, value in question.keywords.items() if name != "weights"}
    try:
        other, target = _second_point(question, rest)
    except _SamePointOnlyError:
        return match
    there = {mutant.key: mutant for mutant in all_mutants(other)}
    kept = [causes for causes in (match.causes, *match.alternatives) if _explains(causes, there, other, target)]
    return Match(kept[0], tuple(kept[1:])) if kept else None


class _SamePointOnlyError(Exception):
    """A backward that serves one point only leaves the question open."""


def _second_point(question: Question, keywords: dict) -> tuple[Chain, Target]:
    """The network and the backward's answer at another point, with another number of examples."""
    net, backward = question.chain.net, question.backward or question.chain.net.backward
    try:
        n = next(n for n in counts(net) if n != question.chain.n)
        point = random_point(net, jax.random.key(1), n)
        answer = ask(backward, tuple(point), keywords)
        params, x, y, keywords = as_float64((*point, keywords))
        chain = build_chain(net, params, x, y, keywords, unroll=question.unroll)
        got = _laid_out(answer.leaves, net.layer, params) if question.unroll else answer.leaves
        fits = all(a.shape == b.shape for a, b in zip(got, chain.right, strict=True))
    except Exception as error:
        raise _SamePointOnlyError from error
    if not fits or all(np.array_equal(a, b) for a, b in zip(got, question.got, strict=True)):
        raise _SamePointOnlyError
    return chain, aim(chain, got, TOLERANCE[answer.precision])


def _explains(causes: tuple[Mutant, ...], there: dict[tuple, Mutant], chain: Chain, target: Target) -> bool:
    """Whether the same mistakes at the other point give the answer there."""
    mutants = [there.get(cause.key) for cause in causes]
    mutants = [
        mutant if mutant is None or mutant.fit is None else mutant.fit(chain, target.leaves) for mutant in mutants
    ]
    if None in mutants:
        return False
    return miss_of(chain, reduce(Mutant.together, (mutant for mutant in mutants if mutant)), target) <= 1
