"""Any function: whether its gradient by hand is right, and if not, what is wrong and on which line of the forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax

from fnn.verify.answers import ask, in_kind
from fnn.verify.arguments import require_functions, require_point
from fnn.verify.check import compared
from fnn.verify.oracles import precise, traceable
from fnn.verify.paths.find import find_mistakes
from fnn.verify.paths.sentences import Mistake
from fnn.verify.report import WRONG, Deviation, Report

Tree = Any


def check_gradient(loss: Callable, backward: Callable, *args: Any, argnums: int | tuple[int, ...] = 0) -> Report:
    """Compare a gradient function with autodiff and central differences of any scalar function.

    Where it is wrong, the report says what is: which path of the chain rule is missing, doubled, scaled, transposed or
    carries another value, in which expression of the loss and on which line. A cause is named only if the gradient that
    it predicts is met entry by entry, here and at a second point.

    Args:
        loss: (*args) -> scalar, in JAX; a NumPy function is compared with central differences alone.
        backward: (*args) -> gradient with respect to args[argnums], a pytree like it; a tuple of such for several.
        *args: the test point; integer arguments are left alone.
        argnums: number of the argument that the gradient is with respect to, or several numbers.

    Returns:
        The report.

    Raises:
        TypeError: loss or backward is no function, or an argument neither a pytree of arrays nor a number.
        ValueError: args[argnums] holds integers, there is no such argument, or the loss is no scalar.

    Examples:
        >>> check_gradient(lambda w: (w**2).sum(), lambda w: 2 * w, jax.numpy.array([1.0, -2.0])).verdict
        'OK'
        >>> check_gradient(lambda w: (w**2).sum(), lambda w: w, jax.numpy.array([1.0, -2.0])).verdict
        'WRONG'
    """
    require_functions("check_gradient", loss=loss, backward=backward)
    if isinstance(argnums, int):
        require_point("check_gradient", args, (argnums,) if 0 <= argnums < len(args) else ())
        report, answer = compared(loss, backward, args, argnums)
        return named(report, loss, args, argnums, backward, answer.tree)
    chosen = _checked(argnums, len(args))
    require_point("check_gradient", args, chosen)
    together = {number: args[number] for number in chosen}
    joint = _Joint(loss, backward, chosen)
    report, answer = compared(joint, joint.gradient, (together, *args), 0)
    rows = tuple(replace(row, name=_separate(row.name)) for row in report.leaves)
    findings = tuple(
        replace(finding, sentence=_separate(finding.sentence), leaves=tuple(map(_separate, finding.leaves)))
        for finding in report.findings
    )
    report = replace(report, leaves=rows, findings=findings)
    return named(report, loss, args, chosen, backward, joint.in_order(answer.tree))


def _separate(text: str) -> str:
    """Arguments that were checked together, called by their numbers again."""
    return text.replace("args[0][", "args[")


def _checked(argnums: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Refuse numbers of arguments that are not there, or twice."""
    if not argnums or len(set(argnums)) < len(argnums) or not all(0 <= number < count for number in argnums):
        raise ValueError(f"argnums: expected distinct numbers from 0 to {count - 1}, got {argnums}")
    return tuple(sorted(argnums)) if list(argnums) == sorted(argnums) else argnums


@dataclass(frozen=True)
class _Joint:
    """A loss as a function of several of its arguments at once, given by number before all the others."""

    loss: Callable
    backward: Callable
    argnums: tuple[int, ...]

    @property
    def __name__(self) -> str:
        return getattr(self.loss, "__name__", repr(self.loss))

    def _args(self, together: dict[int, Tree], args: tuple) -> tuple:
        return tuple(together.get(i, arg) for i, arg in enumerate(args))

    def __call__(self, together: dict[int, Tree], *args: Any) -> Any:
        return self.loss(*self._args(together, args))

    def gradient(self, together: dict[int, Tree], *args: Any) -> Any:
        """The gradients by number; as they are where they are not as many as was asked for."""
        given = self.backward(*self._args(together, args))
        if not isinstance(given, tuple | list) or len(given) != len(self.argnums):
            return given
        return dict(zip(self.argnums, given, strict=True))

    def in_order(self, given: Any) -> Any:
        """The same gradients as a tuple again, in the order that was asked for."""
        return tuple(given[number] for number in self.argnums) if isinstance(given, dict) else given


def named(
    report: Report, loss: Callable, args: tuple, argnums: int | tuple[int, ...], backward: Callable, answer: Tree
) -> Report:
    """Add to a report on a wrong gradient what is wrong, where that is sure.

    Args:
        report: of the gradient.
        loss: the function.
        args: the point.
        argnums: what the gradient is with respect to.
        backward: (*args) -> gradient.
        answer: what it returned at the point.

    Returns:
        The report; unchanged where no mistake gives exactly these numbers.
    """
    if report.verdict != WRONG or not report.leaves or not report.steady:
        return report
    with precise():
        if not traceable(loss, *args):
            return report
    wrong = {i for i, leaf in enumerate(report.leaves) if leaf.verdict == WRONG}
    order = _order(args, argnums)
    found = [m for m in _found(loss, args, argnums, answer, backward) if {order[i] for i in m.numbers} <= wrong]
    if not found:
        return report
    findings = [Deviation(m.sentence, _where(m), m.kind, leaves=_names(report, order, m)) for m in found]
    explained = {order[i] for mistake in found for i in mistake.numbers}
    rest = tuple(report.leaves[i].name for i in sorted(wrong - explained))
    if rest:
        verb = "differs" if len(rest) == 1 else "differ"
        sentence = f"{', '.join(rest)} {verb} as well, and no known mistake gives these numbers"
        findings.append(Deviation(sentence, leaves=rest))
    return replace(report, findings=tuple(findings))


def _names(report: Report, order: list[int], mistake: Mistake) -> tuple[str, ...]:
    return tuple(report.leaves[order[i]].name for i in mistake.numbers)


def _order(args: tuple, argnums: int | tuple[int, ...]) -> list[int]:
    """For the leaves in the order of argnums their rows in the report, which go by number."""
    if isinstance(argnums, int):
        return list(range(len(jax.tree.leaves(args[argnums]))))
    sizes = {number: len(jax.tree.leaves(args[number])) for number in argnums}
    first = {number: sum(sizes[other] for other in argnums if other < number) for number in argnums}
    return [first[number] + i for number in argnums for i in range(sizes[number])]


def _found(loss: Callable, args: tuple, argnums: Any, answer: Tree, backward: Callable) -> tuple[Mistake, ...]:
    def again(*moved: Any) -> Tree:
        given = jax.tree.map(in_kind, args, moved)
        return ask(backward, given, {}).tree

    return find_mistakes(loss, args, argnums, answer, again)


def _where(mistake: Mistake) -> str:
    return f"{mistake.expression} (line {mistake.line})" if mistake.line else ""
