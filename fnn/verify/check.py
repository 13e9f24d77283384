"""The checks: of a layer, of any function's gradient, of a network's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnn.layers.base import Layer, Shape
from fnn.validation import require_key
from fnn.verify.answers import Answer, as_float32, ask
from fnn.verify.arguments import require_call, require_layer_at, require_scalar
from fnn.verify.choices import beside_kinks, settle
from fnn.verify.compare import compare, limit_of
from fnn.verify.diagnosis import Question, study
from fnn.verify.evidence import Evidence, gather
from fnn.verify.forward_pass import build_chain, prefix_of
from fnn.verify.gradient_trees import structure_fault
from fnn.verify.locate import located
from fnn.verify.oracles import as_float64, precise, refuse_integers
from fnn.verify.report import CANNOT_TELL, OK, WRONG, Deviation, LeafReport, Report

Tree = Any


def check_layer(layer: Layer, shape: Shape, *, key: jax.Array | None = None, n: int = 3) -> Report:
    """Compare a layer's hand-derived backward with autodiff and central differences of its forward.

    Parameters, inputs and the arriving gradient are random, no scale is 1 and no bias 0.

    Args:
        layer: the layer.
        shape: shape of one example.
        key: random key of the test point.
        n: number of examples.

    Returns:
        A report with one row for each parameter and one for the input.

    Raises:
        TypeError: layer is no layer, shape no tuple, key no random key.
        ValueError: shape or n holds something else than whole numbers of at least 1.

    Examples:
        >>> import fnn
        >>> fnn.check_layer(fnn.dense(3), (4,)).verdict
        'OK'
    """
    layer, shape = require_layer_at("check_layer", layer, shape, n)
    key = jax.random.key(0) if key is None else require_key("check_layer", key)
    random = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    with precise():
        params = jax.jit(layer.init, static_argnums=1)(key, shape)
        params = jax.tree.map(lambda p: np.asarray(p) + 0.3 * random.normal(size=p.shape), params)
        params, state = as_float64(params), as_float64(layer.init_state(shape))
        x = jnp.asarray(1.5 * random.normal(size=(n, *shape)))
        (y, _), _ = jax.eval_shape(layer.fwd, params, x, state, key)
        dy = jnp.asarray(random.normal(size=y.shape))
    at, pass_ = _At(params, x), _LayerPass(layer)
    answer = ask(jax.jit(pass_.backward), (at, dy, state, key), {})
    evidence = gather(pass_, at, (dy, state, key), "")
    return judge(f"backward of {layer.name} on examples {shape}", evidence, answer)


class _At(NamedTuple):
    params: Tree
    x: jax.Array


@dataclass(frozen=True)
class _LayerPass:
    """A layer with a cotangent as a scalar function, L = Σ dY ⊙ Y, and its gradient by hand."""

    layer: Layer

    def __call__(self, at: _At, dy: jax.Array, state: Tree, key: jax.Array) -> jax.Array:
        return (self.layer.fwd(at.params, at.x, state, key)[0][0] * dy).sum()

    def backward(self, at: _At, dy: jax.Array, state: Tree, key: jax.Array) -> _At:
        _, residuals = self.layer.fwd(at.params, at.x, state, key)
        dparams, dx = self.layer.bwd(residuals, dy)
        return _At(dparams, dx)


def compared(loss: Callable, backward: Callable, args: tuple, argnums: int) -> tuple[Report, Answer]:
    """Compare a gradient function with autodiff and central differences of any scalar function.

    Args:
        loss: (*args) -> scalar, in JAX; a NumPy function is compared with central differences alone.
        backward: (*args) -> gradient with respect to args[argnums], a pytree like it.
        args: the test point; integer arguments are left alone.
        argnums: number of the argument that the gradient is with respect to.

    Returns:
        The report, and what the backward returned.

    Raises:
        ValueError: args[argnums] holds integers, or there is no such argument.

    Examples:
        >>> report, _ = compared(lambda w: (w**2).sum(), lambda w: w, (np.array([1.0, -2.0]),), 0)
        >>> report.verdict, report.diagnosis
        ('WRONG', 'args[0] is 0.5 times the right gradient')
    """
    if not 0 <= argnums < len(args):
        raise ValueError(f"argnums: expected 0 to {len(args) - 1} for {len(args)} arguments, got {argnums}")
    refuse_integers("check_gradient", args[argnums])
    params, rest = args[argnums], args[:argnums] + args[argnums + 1 :]
    answer = ask(backward, args, {})
    objective = _Reordered(loss, argnums)
    single = answer.precision == "float32"
    params, rest = _point((params, rest), single)
    evidence = gather(objective, params, rest, f"args[{argnums}]")
    return judge(f"gradient of {getattr(loss, '__name__', repr(loss))}", evidence, answer), answer


@dataclass(frozen=True)
class _Reordered:
    """A function with the argument of interest moved to the front."""

    f: Callable
    argnums: int

    def __call__(self, params: Tree, *rest: Any) -> Any:
        return require_scalar("check_gradient", self.f(*rest[: self.argnums], params, *rest[self.argnums :]))


def _point(tree: Tree, single: bool) -> Tree:
    """The test point: rounded to float32 where the backward sees it so."""
    return as_float32(tree) if single else tree


@dataclass(frozen=True)
class _Objective:
    """A network's loss as a function of the parameters and a batch."""

    net: Any

    def __call__(self, params: Tree, x: jax.Array, y: jax.Array, keywords: dict[str, Any]) -> jax.Array:
        return self.net.loss(params, x, y, **keywords)


def check(
    net: Any,
    params: Tree,
    x: Any,
    y: Any,
    backward: Callable | None = None,
    *,
    state: Tree = (),
    key: jax.Array | None = None,
    weights: Any = None,
) -> Report:
    """Say whether a gradient of a network's loss is right, and if not, what is wrong.

    Args:
        net: a Network.
        params: its parameters.
        x: batch of examples.
        y: targets, as `net.loss` takes them.
        backward: (params, x, y) -> gradient, in NumPy or JAX, jitted or not; None checks the network's own. It also
            gets state, key and weights as keywords where these are given here.
        state: the layers' state, where they have one.
        key: random key, where a layer draws.
        weights: weight of each example.

    Returns:
        The report; print it, or call its `assert_ok()` in a test. Mistakes in the body of `repeat` are named for loops
            over up to 32 arrays of parameters, and located as a whole for longer ones.

    Raises:
        TypeError: net is no network, or something in the batch no array.
        ValueError: the batch does not fit the network, as `net.loss` says.
    """
    given = {"state": state, "key": key, "weights": weights}
    keywords = {name: value for name, value in given.items() if value is not None and jax.tree.leaves(value)}
    with precise():  # a batch that does not fit is refused before anything is computed
        require_call("check", net, params, x, y, keywords)
        batch = as_float64((x, y, keywords))
        jax.eval_shape(lambda params: net.loss(params, *batch[:2], **batch[2]), as_float64(params))
    asked = partial(_own_backward, net) if backward is None else backward
    answer = ask(asked, (params, x, y), keywords)
    single = answer.precision == "float32"
    params, x, y, keywords = _point((params, x, y, keywords), single)
    evidence = gather(_Objective(net), params, (x, y, keywords), prefix_of(net))
    report = judge(f"{'hand' if backward is None else 'your'} gradient of {net!r}", evidence, answer)
    if not np.isfinite(evidence.value) or not report.steady:
        return report
    with precise(), np.errstate(all="ignore"):
        wide = as_float64((params, x, y, keywords))
        chain = build_chain(_with_constants(net, wide[-1].get("state", ())), *wide)
        limits = tuple(limit_of(evidence, answer, i) for i in range(len(answer.leaves))) if report.leaves else ()
        got = answer.leaves if report.leaves else []
        return study(report, Question(chain, got, limits, answer.precision, backward, keywords))


def _with_constants(net: Any, state: Tree) -> Any:
    """The network with the statistics of its targets as constants of its loss, which is studied by itself."""
    return net if net.targets is None else replace(net, criterion=net.loss_at(state), targets=None)


@partial(jax.jit, static_argnums=0)
def _own_backward(net: Any, params: Tree, x: jax.Array, y: jax.Array, **keywords: Any) -> Tree:
    return net.backward(params, x, y, **keywords)


def judge(subject: str, evidence: Evidence, answer: Answer) -> Report:
    """Compare an answer with the evidence: structure, shape, dtype, then values, then what hangs on kinks.

    Args:
        subject: what is checked, for the report.
        evidence: what the oracles say.
        answer: what the backward returned.

    Returns:
        The report; without rows where the values could not be compared. What is wrong is located; who knows causes
        adds them.
    """
    notes = tuple(f"the backward changed {name} in place; work on a copy" for name in answer.changed)
    report = Report(OK, subject, answer.precision, (), notes=notes)
    if not np.isfinite(evidence.value):
        reason = f"the loss is {evidence.value} at this point; choose another"
        return replace(report, verdict=CANNOT_TELL, findings=(Deviation(reason),))
    fault = structure_fault(answer.tree, evidence.params, evidence.names, evidence.right)
    if fault:
        return replace(report, verdict=WRONG, findings=(Deviation(fault),))
    evidence, kinks = beside_kinks(evidence, answer)
    leaves, choice = settle(evidence, answer, compare(evidence, answer), kinks)
    notes = (*notes, *_sharpness(leaves))
    report = replace(report, leaves=leaves, verdict=_overall(leaves), notes=notes)
    if not _steady(answer, evidence):
        spread = "not deterministic: " + _unsteady(answer)
        return replace(report, verdict=WRONG, findings=(Deviation(spread),), steady=False)
    if choice:
        told = f"at the kinks your gradient takes {choice}, which is as right as the library's, from the left"
        return replace(report, notes=(*notes, told), kinks=(UNDECLARED,))
    if report.verdict == OK:
        return report
    return replace(report, findings=located(report, answer.leaves, list(evidence.right), list(evidence.leaves)))


UNDECLARED = "the loss has kinks at this point that no layer declares"


def _sharpness(leaves: tuple[LeafReport, ...]) -> list[str]:
    """How small an error may be that nobody would have seen, where differences alone speak for a leaf."""
    alone = [leaf for leaf in leaves if leaf.verdict == OK and not leaf.independent and np.isfinite(leaf.seen)]
    if not alone:
        return []
    worst = max(alone, key=lambda leaf: leaf.seen)
    names = ", ".join(leaf.name for leaf in alone[:4]) + (" and others" if len(alone) > 4 else "")
    return [
        f"{names}: autodiff is not independent here; the loss's own values would have shown an error of "
        f"{worst.seen:.0e} of the largest entry, in any entry"
    ]


def _steady(answer: Answer, evidence: Evidence) -> bool:
    """Whether all calls gave the same, up to rounding."""
    if len(answer.spread) != len(evidence.right):
        return max(answer.spread, default=0.0) == 0
    return all(spread == 0 or spread <= limit_of(evidence, answer, i) for i, spread in enumerate(answer.spread))


def _unsteady(answer: Answer) -> str:
    spread = max(answer.spread)
    if np.isfinite(spread):
        return f"calls with the same arguments differ by {spread:.2g}"
    return "calls with the same arguments differ in what is finite, or in shape"


def _overall(leaves: tuple[LeafReport, ...]) -> str:
    verdicts = {leaf.verdict for leaf in leaves}
    return WRONG if WRONG in verdicts else CANNOT_TELL if CANNOT_TELL in verdicts else OK
