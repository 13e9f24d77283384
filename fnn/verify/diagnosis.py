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
from fnn.verify.blind_spots import blind_spots, good_point
from fnn.verify.chain import Chain, Leaves, Mutant
from fnn.verify.forward_pass import build_chain
from fnn.verify.kinks import Kink, bent, convention_of, kinks_of, reachable
from fnn.verify.laying_out import holds_passes, laid_out
from fnn.verify.locate import faulty_rules, locate
from fnn.verify.matching import Match, aim, explained, miss_of
from fnn.verify.mistakes.catalogue import all_mutants
from fnn.verify.oracles import as_float64
from fnn.verify.report import CANNOT_TELL, OK, WRONG, Cause, LeafReport, Report


@dataclass(frozen=True)
class Question:
    """A gradient under study.

    Attributes:
        chain: the network at the point.
        got: the gradient that was returned, leaf by leaf.
        tolerance: relative to the largest gradient.
        backward: the function that returned it, to be asked again where two causes coincide; None for the network's.
        keywords: what it takes besides parameters and batch.
        unroll: whether repeated layers are laid out in the chain and the gradient.
    """

    chain: Chain
    got: Leaves
    tolerance: float
    backward: Callable | None
    keywords: dict
    unroll: bool = False

    def laid_out(self) -> Question | None:
        """The same question with repeated layers laid out; None where there are none."""
        chain = self.chain
        if not holds_passes(laid_out(chain.net.layer, chain.params)):
            return None
        got = _laid_out(self.got, chain.net.layer, chain.params)
        longer = build_chain(chain.net, chain.params, chain.x, chain.y, as_float64(self.keywords), unroll=True)
        return replace(self, chain=longer, got=got, unroll=True)


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
    report = replace(report, kinks=tuple(map(str, kinks)), blind_spots=blind_spots(question.chain))
    if report.verdict == OK or not report.leaves:
        return report
    report = without_kinks(report, question.chain, kinks, question.got, question.tolerance)
    return diagnosed(report, question, kinks) if report.verdict == WRONG else report


def without_kinks(report: Report, chain: Chain, kinks: list[Kink], got: Leaves, tolerance: float) -> Report:
    """Take back what is only another choice at a kink.

    Args:
        report: with a verdict that knows nothing of kinks.
        chain: the network at the point.
        kinks: what sits on a kink.
        got: the gradient that was returned.
        tolerance: relative to the largest gradient.

    Returns:
        The report: OK if some choice gives this gradient, CANNOT TELL for leaves that a choice might give.
    """
    if not kinks:
        return report
    choice = convention_of(chain, kinks, got, tolerance)
    if choice:
        leaves = tuple(replace(leaf, verdict=OK, reason="another subgradient") for leaf in report.leaves)
        note = f"at the kinks your gradient takes {choice}, which is as right as the library's, from the left"
        return replace(report, verdict=OK, diagnosis=None, leaves=leaves, notes=(*report.notes, note))
    within = reachable(chain, kinks, got, tolerance)
    rows = [
        _undecided(leaf) if near and leaf.verdict == WRONG else leaf
        for leaf, near in zip(report.leaves, within, strict=True)
    ]
    if any(leaf.verdict == WRONG for leaf in rows):
        return report
    reason = (
        "units sit on kinks, and some choice of subgradients might give these numbers; move the point off the kinks"
    )
    return replace(report, verdict=CANNOT_TELL, leaves=tuple(rows), diagnosis=reason)


def _undecided(leaf: LeafReport) -> LeafReport:
    return replace(leaf, verdict=CANNOT_TELL, reason="units that feed it sit on a kink")


def diagnosed(report: Report, question: Question, kinks: list[Kink]) -> Report:
    """Name the cause of a wrong gradient, or say where it starts.

    Args:
        report: with the verdict WRONG.
        question: the gradient and where it comes from.
        kinks: what sits on a kink.

    Returns:
        The report with a diagnosis.
    """
    chain, finding = question.chain, _found(question, kinks)
    laid_out = question.laid_out() if finding is None else None
    if laid_out is not None:
        finding = _found(laid_out, kinks_of(laid_out.chain, report.precision))
        question = laid_out if finding else question
    report = replace(report, notes=(*report.notes, *_faulty(question)))
    if finding is None:
        params = [np.asarray(leaf) for leaf in jax.tree.leaves(chain.params)]
        return replace(report, diagnosis=locate(report.leaves, question.got, chain.gradient(), params, chain))
    if finding.alternatives:
        finding = _asked_again(finding, question)
    causes = tuple(map(_cause, finding.causes))
    others = tuple(_joined(tuple(map(_cause, causes))) for causes in finding.alternatives)
    diagnosis = "; and ".join(cause.sentence for cause in causes)
    if others:
        diagnosis = f"either {diagnosis}; or one of the {len(others)} below, which give the same numbers here"
    return replace(report, diagnosis=diagnosis, causes=causes, alternatives=others)


def _found(question: Question, kinks: list[Kink]) -> Match | None:
    """What explains the gradient, with any of the usual conventions at the kinks."""
    chain, finding = question.chain, None
    for view in (chain, *(bent(chain, kinks, share) for share in (1.0, 0.5) if kinks)):
        finding = finding or explained(view, question.got, question.tolerance)
    return finding


def _faulty(question: Question) -> tuple[str, ...]:
    """Of the network's own gradient it can be said which layer's rule is wrong, by running each alone."""
    if question.backward is not None:
        return ()
    labels = faulty_rules(question.chain)
    return tuple(f"the backward of {label} is not the derivative of its forward" for label in labels)


def _cause(mutant: Mutant) -> Cause:
    return Cause(mutant.mistake, mutant.where, mutant.sentence, mutant.variant)


def _joined(causes: tuple[Cause, ...]) -> Cause:
    if len(causes) == 1:
        return causes[0]
    return Cause(*(" and ".join(getattr(cause, name) for cause in causes) for name in ("mistake", "where", "sentence")))


def _asked_again(finding: Match, question: Question) -> Match:
    """Tell causes that coincide here apart at a point where they do not, if the backward can be called there."""
    net = question.chain.net
    rest = {name: value for name, value in question.keywords.items() if name != "weights"}
    try:
        point = good_point(net, jax.random.key(1), **_draws(rest))
        answer = ask(question.backward or net.backward, tuple(point), rest)
        params, x, y, rest = as_float64((*point, rest))
        other = build_chain(net, params, x, y, rest, unroll=question.unroll)
        got = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(answer.tree)]
        got = _laid_out(got, net.layer, params) if question.unroll else got
        target = aim(other, got, max(question.tolerance, 1e-9))
    except Exception:  # a function that serves one batch only leaves the question open
        return finding
    there = {mutant.key: mutant for mutant in all_mutants(other)}
    kept = [causes for causes in (finding.causes, *finding.alternatives) if _explains(causes, there, other, target)]
    return Match(kept[0], tuple(kept[1:])) if kept else finding


def _draws(keywords: dict) -> dict:
    return {"state": keywords.get("state", ()), "dropout_key": keywords.get("key")}


def _explains(causes: tuple[Mutant, ...], there: dict[tuple, Mutant], chain: Chain, target: Any) -> bool:
    """Whether the same mistakes at the other point give the answer there."""
    mutants = [there.get(cause.key) for cause in causes]
    if None in mutants:
        return False
    return miss_of(chain, reduce(Mutant.together, (mutant for mutant in mutants if mutant)), target) <= 1
