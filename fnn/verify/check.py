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
from fnn.verify.answers import Answer, ask
from fnn.verify.compare import Evidence, as_float32, compare, gather, slope_along
from fnn.verify.diagnosis import Question, study
from fnn.verify.forward_pass import build_chain, prefix_of
from fnn.verify.gradient_trees import structure_fault
from fnn.verify.locate import locate
from fnn.verify.one_sided import at_kinks, shows_kink
from fnn.verify.oracles import TOLERANCE, as_float64, precise, refuse_integers
from fnn.verify.report import CANNOT_TELL, OK, WRONG, LeafReport, Report

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

    Examples:
        >>> import fnn
        >>> fnn.check_layer(fnn.dense(3), (4,)).verdict
        'OK'
    """
    key = jax.random.key(0) if key is None else key
    random = np.random.default_rng(np.asarray(jax.random.key_data(key), np.uint32))
    with precise():
        params = jax.jit(layer.init, static_argnums=1)(key, tuple(shape))
        params = jax.tree.map(lambda p: np.asarray(p) + 0.3 * random.normal(size=p.shape), params)
        params, state = as_float64(params), as_float64(layer.init_state(shape))
        x = jnp.asarray(1.5 * random.normal(size=(n, *shape)))
        (y, _), _ = jax.eval_shape(layer.fwd, params, x, state, key)
        dy = jnp.asarray(random.normal(size=y.shape))
    at, pass_ = _At(params, x), _LayerPass(layer)
    evidence = gather(pass_, at, (dy, state, key), "")
    answer = ask(jax.jit(pass_.backward), (at, dy, state, key), {})
    along = slope_along(pass_, at, (dy, state, key))
    return judge(f"backward of {layer.name} on examples {shape}", evidence, answer, at, along)


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


def check_gradient(loss: Callable, backward: Callable, *args: Any, argnums: int = 0) -> Report:
    """Compare a gradient function with autodiff and central differences of any scalar function.

    Args:
        loss: (*args) -> scalar, in JAX; a NumPy function is compared with central differences alone.
        backward: (*args) -> gradient with respect to args[argnums], a pytree like it.
        *args: the test point; integer arguments are left alone.
        argnums: number of the argument that the gradient is with respect to.

    Returns:
        The report.

    Raises:
        ValueError: args[argnums] holds integers, or there is no such argument.

    Examples:
        >>> check_gradient(lambda w: (w**2).sum(), lambda w: 2 * w, np.array([1.0, -2.0])).verdict
        'OK'
        >>> report = check_gradient(lambda w: (w**2).sum(), lambda w: w, np.array([1.0, -2.0]))
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
    evidence = gather(objective, params, rest, f"args[{argnums}]", float32=single)
    along = slope_along(objective, params, rest)
    return judge(f"gradient of {getattr(loss, '__name__', repr(loss))}", evidence, answer, params, along)


@dataclass(frozen=True)
class _Reordered:
    """A function with the argument of interest moved to the front."""

    f: Callable
    argnums: int

    def __call__(self, params: Tree, *rest: Any) -> Any:
        return self.f(*rest[: self.argnums], params, *rest[self.argnums :])


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
        ValueError: the batch does not fit the network, as `net.loss` says.
    """
    given = {"state": state, "key": key, "weights": weights}
    keywords = {name: value for name, value in given.items() if value is not None and jax.tree.leaves(value)}
    jax.eval_shape(lambda params: net.loss(params, x, y, **keywords), params)
    asked = partial(_own_backward, net) if backward is None else backward
    answer = ask(asked, (params, x, y), keywords)
    single = answer.precision == "float32"
    params, x, y, keywords = _point((params, x, y, keywords), single)
    evidence = gather(_Objective(net), params, (x, y, keywords), prefix_of(net), float32=single)
    report = judge(f"{'hand' if backward is None else 'your'} gradient of {net!r}", evidence, answer, params)
    if not _steady(answer, evidence):
        return report
    with precise(), np.errstate(all="ignore"):
        wide = as_float64((params, x, y, keywords))
        chain = build_chain(_with_constants(net, wide[-1].get("state", ())), *wide)
        got = leaves_of(answer) if report.leaves else []
        report = study(report, Question(chain, got, tolerance_of(answer, evidence), backward, keywords))
    if report.verdict != WRONG or report.causes or not report.leaves:
        return report
    along = slope_along(_Objective(net), params, (x, y, keywords))
    return _hidden_kinks(report, evidence, got, tolerance_of(answer, evidence), along)


def _with_constants(net: Any, state: Tree) -> Any:
    """The network with the statistics of its targets as constants of its loss, which is studied by itself."""
    return net if net.targets is None else replace(net, criterion=net.loss_at(state), targets=None)


def _hidden_kinks(
    report: Report, evidence: Evidence, got: list[np.ndarray], tolerance: float, along: Callable
) -> Report:
    """Judge leaves without a known cause once more where the loss shows a kink that no layer has declared."""
    leaves = tuple(
        at_kinks(leaf, i, evidence, got[i], tolerance, along)
        if leaf.verdict == WRONG and shows_kink(evidence, i)
        else leaf
        for i, leaf in enumerate(report.leaves)
    )
    verdict = _overall(leaves)
    if verdict == WRONG:
        return report
    told = None if verdict == OK else "the loss has kinks at this point; move off it"
    kinks = (*report.kinks, "the loss has kinks at this point that no layer declares")
    return replace(report, verdict=verdict, leaves=leaves, diagnosis=told, kinks=kinks, notes=())


@partial(jax.jit, static_argnums=0)
def _own_backward(net: Any, params: Tree, x: jax.Array, y: jax.Array, **keywords: Any) -> Tree:
    return net.backward(params, x, y, **keywords)


def judge(subject: str, evidence: Evidence, answer: Answer, params: Tree, along: Callable | None = None) -> Report:
    """Compare an answer with the evidence: structure, shape, dtype, then values.

    Args:
        subject: what is checked, for the report.
        evidence: what the oracles say.
        answer: what the backward returned.
        params: the parameters, whose structure a gradient must have.
        along: (number of a leaf, direction) -> slope, to look for kinks where these are not known.

    Returns:
        The report; without rows where the values could not be compared.
    """
    notes = tuple(f"the backward changed {name} in place; work on a copy" for name in answer.changed)
    if not np.isfinite(evidence.value):
        reason = f"the loss is {evidence.value} at this point; choose another"
        return Report(CANNOT_TELL, subject, answer.precision, (), reason, notes=notes)
    fault = structure_fault(answer.tree, params, evidence)
    if fault:
        return Report(WRONG, subject, answer.precision, (), fault, notes=notes)
    got, tolerance = leaves_of(answer), tolerance_of(answer, evidence)
    leaves = tuple(compare(evidence, got, tolerance))
    if along is not None:
        pairs = enumerate(zip(leaves, got, strict=True))
        leaves = tuple(
            at_kinks(leaf, i, evidence, g, tolerance, along) if leaf.verdict == WRONG else leaf
            for i, (leaf, g) in pairs
        )
    if not _steady(answer, evidence):
        spread = f"not deterministic: two calls with the same arguments differ by {answer.spread:.2g}"
        return Report(WRONG, subject, answer.precision, leaves, spread, notes=notes)
    verdict = _overall(leaves)
    told = None if verdict == OK else locate(leaves, got, list(evidence.right), _leaves(params), None)
    if verdict == OK and tolerance > 1e-3:
        verdict, told = CANNOT_TELL, f"float32 rounding alone is {evidence.rounding:.0e} here; run it in float64"
    return Report(verdict, subject, answer.precision, leaves, told, notes=notes)


def _steady(answer: Answer, evidence: Evidence) -> bool:
    """Whether two calls gave the same, up to rounding."""
    return answer.spread <= tolerance_of(answer, evidence) * evidence.largest


def leaves_of(answer: Answer) -> list[np.ndarray]:
    """The leaves of an answer in float64."""
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(answer.tree)]


def tolerance_of(answer: Answer, evidence: Evidence) -> float:
    """What rounding allows, relative to the largest gradient.

    In float32 that is 1e-5, or eight times what rounding does to this very function when jax differentiates it in
    float32: deep and wide networks lose digits that no backward could keep.
    """
    return max(TOLERANCE[answer.precision], 8 * evidence.rounding)


def _overall(leaves: tuple[LeafReport, ...]) -> str:
    verdicts = {leaf.verdict for leaf in leaves}
    return WRONG if WRONG in verdicts else CANNOT_TELL if CANNOT_TELL in verdicts else OK


def _leaves(tree: Tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
