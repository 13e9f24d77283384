"""The tape: what a program computes at one point once every branch is decided, as a straight line of algebra.

A node is an array. It carries its *shadow*, the values in float64 with a bound on their error, which decides branches
and nothing else, and a *mark* for each entry that is no number: ±infinity and NaN as such (a literal −inf, the
logarithm of a negative number), or lost, with the reason, where float64 can't say what it is (overflow, a quotient by
what may be 0). Whatever a lost entry touches is lost; a lost entry of an output ends in CANNOT TELL.

Both programs are written on one tape: equal steps on equal nodes are one node.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fnn.verify.proving.movement import CONTRACTIONS, STRUCTURAL, contracted, moved
from fnn.verify.proving.shadow import shadow_of

FINITE, PLUS, MINUS, NAN, LOST = 0, 1, 2, 3, 4  # marks; LOST and above number the reasons


@dataclass(eq=False, slots=True)
class Node:
    """An array on the tape.

    Attributes:
        number: place on the tape; arguments stand before.
        op: name of the step: var, const, add, …, see `fnn.verify.proving.worlds`.
        args: the nodes that it is computed from.
        data: what else the step needs: axes, indices, a mask, the name of a function.
        value: the shadow, float64.
        error: bound on the shadow's error, an array or one number for all entries.
        marks: int16, 0 where the entry is a number; None where all are.
        varies: whether it hangs on the arguments.
    """

    number: int
    op: str
    args: tuple[Node, ...]
    data: Any
    value: np.ndarray
    error: np.ndarray | float
    marks: np.ndarray | None
    varies: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.value.shape

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.value.size

    def bound(self) -> np.ndarray:
        """The error as an array."""
        return np.broadcast_to(self.error, self.value.shape)


class Tape:
    """Nodes in the order in which they were written.

    Attributes:
        nodes: all of them.
        place: what is being computed now, for the reasons: "log at model.py:12".
        reasons: why entries were lost, numbered from LOST on.
        signs: what was taken for |x| or −|x|, as the shadow says, with the place.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.place = "the arguments"
        self.reasons: list[str] = []
        self.signs: list[tuple[str, Node]] = []
        self._known: dict[Hashable, Node] = {}

    def write(self, op: str, *args: Node, data: Any = None, key: Hashable = None) -> Node:
        """Write a step, or find it if it stands there already.

        Args:
            op: name of the step.
            *args: the nodes that it is computed from.
            data: what else it needs.
            key: stands for the data where the data can't be hashed.

        Returns:
            The node.
        """
        name = (op, tuple(arg.number for arg in args), data if key is None else key)
        known = self._known.get(name)
        if known is not None:
            return known
        with np.errstate(all="ignore"):
            value, error = shadow_of(op, args, data)
            marks = self._marks(op, args, data, value, error)
        if marks is not None:
            error = np.where(marks == FINITE, error, 0.0)
        varies = op == "var" or any(arg.varies for arg in args)
        node = Node(len(self.nodes), op, args, data, value, error, marks, varies)
        self.nodes.append(node)
        self._known[name] = node
        settled = self._settled(op, args, node)
        self._known[name] = settled
        return settled

    def const(self, value: Any) -> Node:
        """Exact numbers; infinities and NaN among them are meant as such."""
        array = np.asarray(value, np.float64)
        return self.write("const", data=array, key=(array.shape, array.tobytes()))

    def lost(self, shape: tuple[int, ...], reason: str) -> Node:
        """An array of which nothing is known."""
        code = self.reason(reason)
        marks = np.full(shape, code, np.int16)
        node = Node(len(self.nodes), "const", (), np.zeros(shape), np.full(shape, np.nan), 0.0, marks, False)
        self.nodes.append(node)
        return node

    def reason(self, text: str) -> int:
        """The mark of entries that are lost for this reason."""
        if text not in self.reasons:
            self.reasons.append(text)
        return LOST + self.reasons.index(text)

    def _marks(self, op: str, args: tuple[Node, ...], data: Any, value: np.ndarray, error: Any) -> np.ndarray | None:
        """Mark the entries of a step that are no numbers."""
        broken = ~np.isfinite(value) | ~np.isfinite(error)
        if op == "const":
            return _classes(value) if broken.any() else None
        if all(arg.marks is None for arg in args):
            return self._fresh(op, args, value, broken) if broken.any() else None
        if op in STRUCTURAL:
            return _none_if_finite(moved(op, [_filled(arg) for arg in args], data))
        marked, lost = _reached(op, args, data, value.shape)
        # what is known: which entries hang on a marked one. IEEE arithmetic on the shadows says what becomes of them
        marks = np.where(marked, _classes(value), FINITE).astype(np.int16)
        fresh = broken & ~marked
        if fresh.any():
            marks = np.where(fresh, self._fresh(op, args, value, broken), marks)
        if op in ("mul", "div"):  # 0 · inf and x · inf hang on what float64 may not tell
            for arg in args:
                unsure = np.broadcast_to(
                    (np.abs(arg.value) <= arg.error) & (arg.error > np.zeros(arg.shape)), value.shape
                )
                lost = np.where(
                    marked & unsure & (lost == 0), self.reason(f"infinity times what may be 0, {self.place}"), lost
                )
        return _none_if_finite(np.where(lost > 0, lost, marks).astype(np.int16))

    def _fresh(self, op: str, args: tuple[Node, ...], value: np.ndarray, broken: np.ndarray) -> np.ndarray:
        """What numbers turned into that are none: known for logarithms and roots, else lost."""
        code = self.reason(f"{self.place} leaves the range of float64 or divides by what may be 0")
        marks = np.where(broken, code, FINITE).astype(np.int16)
        if op in ("log", "root"):
            x = args[0]
            marks = np.where(broken & (x.value < -2 * x.bound()), NAN, marks)
            if op == "log" and x.op == "const":
                marks = np.where(broken & (x.value == 0), MINUS, marks)
        return marks

    def _settled(self, op: str, args: tuple[Node, ...], node: Node) -> Node:
        """Give finite results of infinities (exp(−inf) = 0, tanh inf = 1) the number that they are."""
        if op in STRUCTURAL or op in ("const", "var") or all(arg.marks is None for arg in args):
            return node
        marked, _ = _reached(op, args, node.data, node.shape)
        finite = marked & (_filled(node) == FINITE)
        if not finite.any():
            return node
        known = np.isin(node.value, (-1.0, 0.0, 1.0))
        if not known[finite].all():
            return self.lost(node.shape, f"a function of infinity, {self.place}")
        value = self.const(np.where(finite, node.value, 0.0))
        return self.write("select", node, value, data=finite, key=(finite.shape, finite.tobytes()))


def _filled(node: Node) -> np.ndarray:
    return np.zeros(node.shape, np.int16) if node.marks is None else node.marks


def _none_if_finite(marks: np.ndarray) -> np.ndarray | None:
    return marks.astype(np.int16) if marks.any() else None


def _classes(value: np.ndarray) -> np.ndarray:
    marks = np.where(np.isnan(value), NAN, np.where(value == np.inf, PLUS, np.where(value == -np.inf, MINUS, FINITE)))
    return marks.astype(np.int16)


def _reached(op: str, args: tuple[Node, ...], data: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which entries of a result depend on a marked entry, and the largest reason among the lost ones they depend on."""
    marks = [_filled(arg) for arg in args]
    if op not in CONTRACTIONS:
        both = np.broadcast_arrays(*marks, np.zeros(shape, np.int16))
        top = np.max(both, axis=0)
        return top > 0, np.where(top >= LOST, top, 0)
    ones = [np.ones(m.shape) for m in marks]
    marked, lost = np.zeros(shape, bool), np.zeros(shape, bool)
    for i in range(len(marks)):
        for holds, out in ((marks[i] > 0, marked), (marks[i] >= LOST, lost)):
            arrays = [
                holds.astype(float) if j == i else (ones[j] if op == "matmul" else 0 * ones[j])
                for j in range(len(marks))
            ]
            out |= contracted(op, arrays, data) > 0
    code = max(int(m.max(initial=0)) for m in marks)
    return marked, np.where(lost, code, 0)
