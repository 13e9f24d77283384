"""Making networks: `network` from a layer and a loss, `mlp` from widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fnn.initializers import he_normal
from fnn.layers.activations import identity, relu
from fnn.layers.base import Layer, require_layer
from fnn.layers.combinators import serial
from fnn.layers.dense import dense
from fnn.layers.precision import mixed_precision
from fnn.layers.walk import last_layer
from fnn.losses.base import Loss
from fnn.losses.on_logits import softmax_cross_entropy
from fnn.losses.penalties import Penalty
from fnn.networks.network import Network
from fnn.networks.target_units import TargetScaling, in_target_units
from fnn.recipes import recipe
from fnn.validation import require_option, require_whole


@recipe
def network(
    layer: Layer,
    loss: Loss,
    *,
    input_shape: Sequence[int],
    penalty: Penalty | None = None,
    targets: TargetScaling | None = None,
) -> Network:
    """Join a layer, a loss and perhaps a penalty into a network.

    Args:
        layer: maps a batch to logits (n, d_out); it must not end with the loss's own link (softmax, sigmoid).
        loss: one of `fnn.losses`, on logits.
        input_shape: shape of one example, such as (784,) or (28, 28).
        penalty: `l1`, `l2` or another function of the weights.
        targets: `standardize_targets()` for a regression whose targets have any scale; None takes them as they are.

    Returns:
        The network.

    Raises:
        TypeError: layer, loss, penalty or targets is something else.
        ValueError: the layers don't fit together, the output is no vector, the output activation is there twice,
            input_shape holds something else than whole numbers, or targets of a classifier are to be scaled.

    Examples:
        >>> import fnn, jax
        >>> net = network(fnn.serial(fnn.dense(2)), fnn.mean_squared_error, input_shape=(3,))
        >>> net.forward(net.init(jax.random.key(0)), jax.numpy.ones((5, 3))).shape
        (5, 2)
    """
    require_layer("network", layer)
    if not isinstance(loss, Loss):
        raise TypeError(f"network expects a loss such as fnn.softmax_cross_entropy or fnn.huber(), got {loss!r}")
    if penalty is not None and not isinstance(penalty, Penalty):
        raise TypeError(f"network expects a penalty such as fnn.l2(1e-4), or None, got {penalty!r}")
    if not isinstance(input_shape, Sequence):
        raise TypeError(f"network expects input_shape as a tuple such as ({input_shape},), got {input_shape!r}")
    for size in input_shape:
        require_whole(
            "network expects input_shape as whole numbers of at least 1, such as (784,)",
            size,
            within=input_shape,
        )
    if targets is not None:
        _require_values(loss, targets)
    scaled = layer if targets is None else in_target_units(layer)
    net = Network(scaled, loss, tuple(map(int, input_shape)), penalty, targets)
    last = last_layer(layer)
    if last == loss.link and last != identity:
        raise ValueError(
            f"{loss.name} takes logits and applies {last.name} itself, but the network ends with {last.name} already; "
            "drop the last layer, or use a loss on probabilities (cross_entropy, binary_cross_entropy)"
        )
    shape = net.facts.output_shape
    if len(shape) != 1:
        raise ValueError(f"a network's output must be a vector for each example, got {shape}; put flatten before dense")
    return net


def _require_values(loss: Loss, targets: TargetScaling) -> None:
    """Refuse scaled targets where there is nothing to scale: classes, and losses with an output activation."""
    if not isinstance(targets, TargetScaling):
        raise TypeError(f"network expects targets as fnn.standardize_targets(), or None, got {targets!r:.80}")
    if loss.classifies or loss.link != identity:
        raise ValueError(
            f"standardize_targets expects a loss of values, such as fnn.mean_squared_error, got {loss!r:.80}; leave "
            "targets= out"
        )


def mlp(
    *widths: int,
    activation: Layer | Sequence[Layer] = relu,
    loss: Loss = softmax_cross_entropy,
    penalty: Penalty | None = None,
    initializer: Callable = he_normal,
    precision: str = "float32",
) -> Network:
    """Chain dense layers with activations between them: the widths 784, 128, 10 make the network 784-128-10.

    Args:
        *widths: d_in, hidden widths, d_out; two widths make a linear model (logistic regression with a cross-entropy).
        activation: one for all hidden layers, or a sequence with one for each.
        loss: on logits; brings the output activation.
        penalty: on the weights, or None.
        initializer: of the weights; biases start at zero.
        precision: of the matrix products, "float32" or "bfloat16"; all else is float32 either way, see
            `mixed_precision`.

    Returns:
        The network.

    Raises:
        TypeError: activation, loss or penalty is something else.
        ValueError: fewer than two widths or one that is not whole, not one activation for each hidden layer, or an
            unknown precision.

    Examples:
        >>> import fnn
        >>> fnn.mlp(2, 8, 8, 1, activation=(fnn.tanh, fnn.relu), loss=fnn.sigmoid_cross_entropy)
        fnn.network(fnn.serial(fnn.dense(8), fnn.tanh, fnn.dense(8), fnn.relu, fnn.dense(1)),
            fnn.sigmoid_cross_entropy, input_shape=(2,))
    """
    for width in widths:
        require_whole(
            "mlp expects widths that are whole numbers of at least 1",
            width,
            remedy="as mlp(784, 128, 10)",
            within=widths,
        )
    if len(widths) < 2:
        raise ValueError(f"mlp expects at least an input and an output width, got {widths}; such as mlp(784, 128, 10)")
    hidden = len(widths) - 2
    if isinstance(activation, str) or not isinstance(activation, Layer | Sequence):
        raise TypeError(f"mlp expects activations such as fnn.relu or fnn.leaky_relu(), got {activation!r}")
    activations = (activation,) * hidden if isinstance(activation, Layer) else tuple(activation)
    if len(activations) != hidden:
        raise ValueError(
            f"mlp expects one activation for each of its {hidden} hidden layers, got {len(activations)}; "
            "pass a single one to use it everywhere"
        )
    layers: list[Layer] = []
    for width, g in zip(widths[1:-1], activations, strict=True):
        layers += [dense(width, initializer=initializer), g]
    layers.append(dense(widths[-1], initializer=initializer))
    require_option("mlp expects precision", precision, ("float32", "bfloat16"))
    layer = serial(*layers) if precision == "float32" else mixed_precision(serial(*layers))
    return network(layer, loss, input_shape=(widths[0],), penalty=penalty)
