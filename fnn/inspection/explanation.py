"""`explain`: the forward and backward pass of one network on its own data, written out with shapes and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fnn.inspection.derivation import Explanation, Line
from fnn.layers.activations import identity, softmax
from fnn.layers.base import Params, State
from fnn.layers.dense import DenseParams, dense
from fnn.layers.elementwise import Activation
from fnn.layers.walk import Visit, part_of, visits
from fnn.losses.on_logits import (
    half_mean_squared_error,
    huber,
    mean_absolute_error,
    mean_squared_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from fnn.losses.on_probabilities import binary_cross_entropy, cross_entropy
from fnn.losses.targets import as_rows
from fnn.networks.arguments import require_call, settled
from fnn.networks.network import Network
from fnn.recipes import rule_of
from fnn.validation import require_option


def explain(
    net: Network,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    layout: str = "row",
    *,
    state: State = (),
    key: jax.Array | None = None,
    weights: ArrayLike | None = None,
) -> Explanation:
    """Derive the backward pass of a network on some data, line by line, with the shape of every factor.

    dX stands for ∂L/∂X. Dense layers are numbered 1, 2, …: layer ℓ maps A(ℓ−1) to Zℓ and its activation maps Zℓ to Aℓ;
    other layers go by their own names, flatten1, …. The numbers come from the network's own rules.

    Args:
        net: the network.
        params: its parameters.
        x: (n, *input_shape).
        y: targets, as `net.loss` takes them.
        layout: "row" for examples as rows, Z = A Wᵀ + b, as the library computes; "column" for examples as columns,
            Z = W A + b, as many texts write it. The parameters are the same in both.
        state: the layers' state, where they have one.
        key: random key, where a layer draws.
        weights: weight of each example, (n,).

    Returns:
        An `Explanation`: `print` it, read `.steps`, or look up a value: explanation["dW1"]. Where no line has more
        than sixteen entries it prints them, and the parameters; else norms.

    Raises:
        ValueError: another layout, or data that don't fit the network.

    Examples:
        >>> import fnn
        >>> net = fnn.mlp(3, 2, 1, activation=fnn.sigmoid, loss=fnn.sigmoid_cross_entropy)
        >>> x, y = jnp.ones((4, 3)), jnp.ones((4, 1))
        >>> [f"{step.symbol} = {step.formula}" for step in explain(net, net.init(jax.random.key(0)), x, y).steps[-4:]]
        ['dA1 = dZ2 W2', "dZ1 = dA1 ⊙ sigmoid'(Z1)", 'dW1 = dZ1ᵀ X', 'db1 = column sums of dZ1']
    """
    require_option("explain expects layout", layout, ("row", "column"))
    examples, targets, shares = require_call("explain", net, params, x, y, state=state, key=key, weights=weights)
    writer = _Writer(settled(net, state), _WORDS[layout], [], [])
    links = writer.forward(params, jnp.asarray(examples), jnp.asarray(targets), state, key, shares)
    writer.backward(params, links, shares)
    title = f"{net}\nn = {len(examples)} examples, which are {layout}s; dX stands for ∂L/∂X"
    return Explanation(title, layout, tuple(writer.steps), tuple(writer.parameters))


class _Words(NamedTuple):
    """One layout: how its formulas read and how its arrays lie."""

    affine: str
    dW: str
    db: str
    dA: str
    place: Callable[[Any], np.ndarray]  # from rows of examples to this layout
    bias: Callable[[Any], np.ndarray]


_WORDS = {
    "row": _Words("{A} W{l}ᵀ", "dZ{l}ᵀ {A}", "column sums of dZ{l}", "dZ{l} W{l}", np.asarray, np.asarray),
    "column": _Words(
        "W{l} {A}",
        "dZ{l} {A}ᵀ",
        "row sums of dZ{l}",
        "W{l}ᵀ dZ{l}",
        lambda rows: np.moveaxis(np.asarray(rows), 0, -1),
        lambda b: np.asarray(b)[:, None],
    ),
}

_LOSSES: dict[Any, str] = {
    softmax_cross_entropy: "({P} − Y)",
    sigmoid_cross_entropy: "({P} − Y)",
    half_mean_squared_error: "({P} − Y)",
    mean_squared_error: "2 ({P} − Y)",
    mean_absolute_error: "sign({P} − Y)",
    huber: "clip({P} − Y, −δ, δ)",
    cross_entropy: "−Y / {P}",
    binary_cross_entropy: "({P} − Y) / ({P} ⊙ (1 − {P}))",
}


class _Link(NamedTuple):
    """One layer of the chain, and what its input and output are called."""

    run: Visit
    before: str
    after: str
    number: int  # of the dense layer that this is, or belongs to


@dataclass
class _Writer:
    """Collects the steps."""

    net: Network
    words: _Words
    steps: list[Line]
    parameters: list[Line]

    def write(self, part: str, symbol: str, formula: str, value: np.ndarray, factors: str = "") -> None:
        shape = _shape(value.shape)
        self.steps.append(Line(part, symbol, formula, f"{factors} → {shape}" if factors else shape, value))

    def forward(self, params: Params, x: jax.Array, y: jax.Array, state: State, key: Any, weights: Any) -> list[_Link]:
        place = self.words.place
        z = x
        self.write("forward", "X", "", place(x))
        links: list[_Link] = []
        name, number = "X", 0
        others: Counter[str] = Counter()
        for each in visits(self.net.layer, params, x, state, key):
            before, layer, z = name, each.layer, each.y
            if _is_dense(each):
                number += 1
                name = f"Z{number}"
                self._affine(each.params, number, before, len(x), place(z))
            else:
                plain = isinstance(layer, Activation) and before == f"Z{number}"
                others[layer.name] += 1
                name = f"A{number}" if plain else f"{layer.name}{others[layer.name]}"
                self.write("forward", name, f"{layer.name}({before})", place(z))
            links.append(_Link(each, before, name, number))
        link = self.net.criterion.link
        self.write(
            "forward", "Ŷ", name if link is identity else f"{self.net.criterion.link_name}({name})", place(link(z))
        )
        rows = as_rows(z, y, self.net.criterion.name) if y.ndim == 1 else y
        self.write("forward", "Y", "one-hot of the labels" if rows is not y else "", place(rows))
        value, self._kept = self.net.criterion.fwd(z, y, None if weights is None else jnp.asarray(weights))
        self.write("forward", "L", f"{self.net.criterion.name}({name}, Y)", np.asarray(value))
        if self.net.penalty is not None:
            self.write("forward", "R", f"{self.net.penalty!r}, added to L", np.asarray(self.net.penalty.value(params)))
        return links

    def _affine(self, params: Any, number: int, before: str, n: int, z: np.ndarray) -> None:
        d_out, d_in = params.W.shape
        row = self.words is _WORDS["row"]
        factors = _product((n, d_in), (d_in, d_out)) if row else _product((d_out, d_in), (d_in, n))
        formula = self.words.affine.format(A=before, l=number)
        if isinstance(params, DenseParams):
            formula, factors = f"{formula} + b{number}", f"{factors} + {_shape(self.words.bias(params.b).shape)}"
        self.write("forward", f"Z{number}", formula, z, factors)
        for name, leaf in params._asdict().items():
            value = self.words.bias(leaf) if name == "b" else np.asarray(leaf)
            self.parameters.append(Line("parameters", f"{name}{number}", "", _shape(value.shape), value))

    def backward(self, params: Params, links: list[_Link], weights: Any) -> None:
        dy = self.net.criterion.bwd(self._kept, jnp.ones(()))
        last = links[-1].after if links else "X"
        self.write("backward", f"d{last}", self._slope_of_loss(last, weights is not None), self.words.place(dy))
        penalty = None if self.net.penalty is None else self.net.penalty.gradient(params)
        for link in reversed(links):
            grads, dy = link.run.layer.bwd(link.run.residuals, dy)
            if penalty is not None:
                grads = jax.tree.map(jnp.add, grads, part_of(penalty, link.run.path))
            if _is_dense(link.run):
                self._dense(link, grads, dy)
            else:
                self._other(link, grads, dy)

    def _slope_of_loss(self, last: str, weighted: bool) -> str:
        rule = rule_of(self.net.criterion)
        if rule not in _LOSSES:
            return f"the backward of {self.net.criterion.name}"
        slope = _LOSSES[rule].format(P="Ŷ" if last.startswith("Z") else last)
        return f"w/Σw · {slope}" if weighted else f"{slope} / n"

    def _dense(self, link: _Link, grads: Any, dx: jax.Array) -> None:
        (d_out, d_in), n = link.run.params.W.shape, len(link.run.x)
        names = {"A": link.before, "l": link.number}
        extra = "" if self.net.penalty is None else f" + ∂R/∂W{link.number}"
        formula, factors = self.words.dW.format(**names) + extra, _product((d_out, n), (n, d_in))
        self.write("backward", f"dW{link.number}", formula, np.asarray(grads.W), factors)
        arriving = _shape(self.words.place(np.empty((n, d_out))).shape)
        if isinstance(grads, DenseParams):
            self.write(
                "backward", f"db{link.number}", self.words.db.format(**names), self.words.bias(grads.b), arriving
            )
        if link.before != "X":
            row = self.words is _WORDS["row"]
            factors = _product((n, d_out), (d_out, d_in)) if row else _product((d_in, d_out), (d_out, n))
            self.write("backward", f"d{link.before}", self.words.dA.format(**names), self.words.place(dx), factors)

    def _other(self, link: _Link, grads: Any, dx: jax.Array) -> None:
        for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
            name = f"d{jax.tree_util.keystr(path, simple=True, separator='.')}_{link.after}"
            self.write("backward", name, f"the backward of {link.run.layer.name}", np.asarray(leaf))
        if link.before == "X":
            return
        value, factors = self.words.place(dx), ""
        if link.run.layer.elementwise and not jax.tree.leaves(grads):
            formula = f"d{link.after} ⊙ {link.run.layer.name}'({link.before})"
            factors = f"{_shape(value.shape)} ⊙ {_shape(value.shape)}"
        elif rule_of(link.run.layer) == softmax:
            sums = "rowsum" if self.words is _WORDS["row"] else "columnsum"
            formula = f"{link.after} ⊙ (d{link.after} − {sums}(d{link.after} ⊙ {link.after}))"
        else:
            formula = f"the backward of {link.run.layer.name}, of d{link.after}"
        self.write("backward", f"d{link.before}", formula, value, factors)


def _is_dense(each: Visit) -> bool:
    """Whether this is Z = A Wᵀ + b itself; residual(dense(...)), say, has the same parameters."""
    return rule_of(each.layer) is dense


def _shape(shape: tuple[int, ...]) -> str:
    return f"({'×'.join(map(str, shape))})" if shape else "scalar"


def _product(*shapes: tuple[int, ...]) -> str:
    return "".join(map(_shape, shapes))
