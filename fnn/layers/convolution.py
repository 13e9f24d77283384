"""Convolution of images: batches (n, h, w, c) with the channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fnn.initializers import Initializer, he_normal, require_initializer
from fnn.layers.base import Layer, Shape, require_fields, require_floating, stateless
from fnn.recipes import recipe
from fnn.validation import require_flag, require_whole, scalar

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right)); negative cuts off


class ConvParams(NamedTuple):
    """Parameters of `conv2d`; its gradient is another `ConvParams`."""

    W: jax.Array  # (c_out, kh, kw, c_in), one row a neuron, as in dense
    b: jax.Array  # (c_out,)


class KernelParams(NamedTuple):
    """Parameters of a convolution without bias."""

    W: jax.Array  # (c_out, kh, kw, c_in)


def conv_fwd(params: ConvParams, x: jax.Array, stride: Pair, padding: Padding):
    """Slide c_out kernels over each image, y[a, b] = Σ x[s·a + i − p, s·b + j − p] · W[i, j] + bias.

    Args:
        params: kernels W (c_out, kh, kw, c_in) and bias b (c_out,).
        x: images (n, h, w, c_in), floating point.
        stride: steps between two positions of the kernel, (vertical, horizontal).
        padding: zeros around the image, ((top, bottom), (left, right)).

    Returns:
        y: (n, h', w', c_out), and the residuals (W, x) that `conv_bwd` reads; nothing is recomputed.

    Raises:
        ValueError: x is not (n, h, w, c_in), is smaller than the kernel, or holds integers.
    """
    y, residuals = kernel_fwd(KernelParams(params.W), x, stride, padding)
    return y + params.b, residuals


def conv_bwd(residuals, dy: jax.Array, stride: Pair, padding: Padding):
    """Pull the gradient back through a convolution: two more convolutions.

    Args:
        residuals: (W, x) from `conv_fwd`.
        dy: ∂L/∂Y, (n, h', w', c_out).
        stride: as in the forward pass.
        padding: as in the forward pass.

    Returns:
        dparams: ∂L/∂W (c_out, kh, kw, c_in) and ∂L/∂b (c_out,); dx: ∂L/∂X (n, h, w, c_in).

    Derivation:
        For one spatial axis, with stride s and p zeros in front (the other axis has the same indices)

            y[n, a, o] = Σ_{i,c} x[n, s·a + i − p, c] W[o, i, c] + b[o]

        so each entry of W, b and x collects dy from wherever it took part:

            ∂L/∂b[o]       = Σ_{n,a} dy[n, a, o]
            ∂L/∂W[o, i, c] = Σ_{n,a} dy[n, a, o] x[n, s·a + i − p, c]
            ∂L/∂x[n, u, c] = Σ_{o,i,a : s·a + i − p = u} dy[n, a, o] W[o, i, c]

        dW is x convolved with dY. Examples are summed over, as channels are in the forward pass; a moves s pixels at
        a time, so dY is spread out with s − 1 zeros between its entries; i runs over the kernel alone, which leaves
        k + s·max(a) − h − p zeros behind x, a negative number where the last pixels fit no window.

        dX is dY convolved with the kernel turned round. With i' = k − 1 − i the condition reads
        s·a = u − (k − 1 − p) + i', so dY is spread out by s again, with k − 1 − p zeros in front and
        h − 1 − s·max(a) + p behind.

    References:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), chapter 4.
    """
    (dW,), dx = kernel_bwd(residuals, dy, stride, padding)
    return ConvParams(W=dW, b=dy.sum(axis=(0, 1, 2))), dx


def kernel_fwd(params: KernelParams, x: jax.Array, stride: Pair, padding: Padding):
    """Slide c_out kernels over each image: `conv_fwd` without its bias.

    Args:
        params: kernels W (c_out, kh, kw, c_in).
        x: images (n, h, w, c_in), floating point.
        stride: as in `conv_fwd`.
        padding: as in `conv_fwd`.

    Returns:
        y: (n, h', w', c_out), and the residuals (W, x) that `kernel_bwd` reads.

    Raises:
        ValueError: as `conv_fwd`.
    """
    _check_images(x, params.W.shape)
    return _convolve(x, params.W.transpose(1, 2, 3, 0), stride, padding), (params.W, x)


def kernel_bwd(residuals, dy: jax.Array, stride: Pair, padding: Padding):
    """Pull the gradient back through a convolution without bias.

    Args:
        residuals: (W, x) from `kernel_fwd`.
        dy: ∂L/∂Y, (n, h', w', c_out).
        stride: as in the forward pass.
        padding: as in the forward pass.

    Returns:
        dparams: ∂L/∂W (c_out, kh, kw, c_in); dx: ∂L/∂X (n, h, w, c_in).

    Derivation:
        That of `conv_bwd` without its line for b.
    """
    W, x = residuals
    around_x, around_dy = [], []
    for axis, s, (p, _) in zip((1, 2), stride, padding, strict=True):
        h, k, last = x.shape[axis], W.shape[axis], s * (dy.shape[axis] - 1)
        around_x.append((p, k + last - h - p))
        around_dy.append((k - 1 - p, h - 1 - last + p))
    # Channels of x take the place of examples, examples that of channels. Over a mesh the sum over examples crosses
    # devices; dW then lies as W does.
    channels_first, examples_last = x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)
    like_W = jax.typeof(W.transpose(3, 1, 2, 0)).sharding
    dW = _convolve(channels_first, examples_last, (1, 1), around_x, rhs_dilation=stride, out_sharding=like_W)
    turned = W[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    dx = _convolve(dy, turned, (1, 1), around_dy, lhs_dilation=stride)
    return KernelParams(W=dW.transpose(3, 1, 2, 0)), dx


def _convolve(x: jax.Array, kernel: jax.Array, stride: Pair, padding: Sequence[Pair], **keywords: Any) -> jax.Array:
    """Convolve (n, h, w, c_in) with (kh, kw, c_in, c_out), axes in the order that XLA's fast routine for CPUs wants.

    With axes in any other order it takes that routine at the top of a program but not within loops, such as an epoch:
    there the same convolution, as autodiff writes it, was measured to take 20 to 60 times as long.
    """
    return jax.lax.conv_general_dilated(
        x, kernel, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **keywords
    )


@recipe
def conv2d(
    n_out: int,
    kernel: int | Pair = (3, 3),
    stride: int | Pair = 1,
    padding: str | Padding = "SAME",
    *,
    initializer: Initializer = he_normal,
    use_bias: bool = True,
) -> Layer:
    """A convolution with n_out kernels over images (h, w, c_in), channels last.

    Args:
        n_out: number of kernels, which is that of output channels c_out.
        kernel: height and width of the kernels, or one number for both.
        stride: steps between two positions, (vertical, horizontal), or one number for both.
        padding: "SAME" pads with zeros so that h' = ⌈h / stride⌉ (an odd one goes behind), "VALID" does not pad; or
            ((top, bottom), (left, right)).
        initializer: (key, (c_out, kh, kw, c_in)) -> W; the bias starts at zero.
        use_bias: a bias right in front of batch_norm does nothing.

    Returns:
        A layer with `ConvParams(W, b)`, or `KernelParams(W)` without a bias.

    Raises:
        ValueError: a number that is not whole and positive, an unknown padding; from init, examples that are not images
            (h, w, c), or are smaller than the kernel.

    Examples:
        >>> layer = conv2d(8, kernel=5, stride=2)
        >>> params = layer.init(jax.random.key(0), (28, 28, 1))
        >>> params.W.shape, layer.forward(params, jnp.ones((3, 28, 28, 1))).shape
        ((8, 5, 5, 1), (3, 14, 14, 8))
    """
    n_out = require_whole("conv2d expects n_out as a whole number of at least 1", n_out)
    require_initializer("conv2d", initializer)
    require_flag("conv2d expects use_bias", use_bias)
    size, steps = pair("conv2d", "kernel", kernel), pair("conv2d", "stride", stride)
    padding = _checked_padding(padding)

    def init(key: jax.Array, shape: Shape) -> ConvParams | KernelParams:
        if len(shape) != 3:
            raise ValueError(
                f"conv2d expects examples that are images (h, w, c), got {shape}; "
                "for grey images add the channel axis with x[..., None]"
            )
        around = _around(padding, shape, size, steps)
        if any(h + sum(p) < k for h, p, k in zip(shape, around, size, strict=False)):
            raise ValueError(
                f"conv2d expects images of at least the kernel's size {size}, padding included, got {shape}; "
                "use a smaller kernel, or padding='SAME'"
            )
        W = initializer(key, (n_out, *size, shape[2]))
        return ConvParams(W, jnp.zeros(n_out, W.dtype)) if use_bias else KernelParams(W)

    rule_fwd, rule_bwd = (conv_fwd, conv_bwd) if use_bias else (kernel_fwd, kernel_bwd)

    def fwd(params, x):
        require_fields("conv2d", params, "W")
        _check_images(x, params.W.shape)
        return rule_fwd(params, x, steps, _around(padding, x.shape[1:], size, steps))

    def bwd(residuals, dy):
        _, x = residuals
        return rule_bwd(residuals, dy, steps, _around(padding, x.shape[1:], size, steps))

    return stateless("conv2d", init, fwd, bwd)


def _around(padding: str | Padding, shape: Shape, size: Pair, stride: Pair) -> Padding:
    """Padding in numbers for images of this shape."""
    if not isinstance(padding, str):
        return padding
    if padding == "VALID":
        return ((0, 0), (0, 0))
    missing = [max((-(-h // s) - 1) * s + k - h, 0) for h, s, k in zip(shape, stride, size, strict=False)]
    return ((missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2))


def pair(name: str, what: str, value: int | Pair) -> Pair:
    """Both directions' numbers, from one for both or one for each.

    Args:
        name: the layer, for the error.
        what: what the numbers are.
        value: a number, or (vertical, horizontal).

    Returns:
        (vertical, horizontal).

    Raises:
        ValueError: neither, or not whole and positive.
    """
    expected = f"{name} expects {what} as a whole number of at least 1, or a pair of them"
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2 or any(scalar(v) is None for v in both):
        raise ValueError(f"{expected}, got {value!r:.80}")
    return require_whole(expected, both[0], within=value), require_whole(expected, both[1], within=value)


def _checked_padding(padding: str | Padding) -> str | Padding:
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return padding
    expected = "conv2d expects padding 'SAME', 'VALID' or ((top, bottom), (left, right)) in pixels"
    pairs = isinstance(padding, tuple | list) and all(isinstance(side, tuple | list) for side in padding)
    if not pairs or [len(side) for side in padding] != [2, 2]:
        raise ValueError(f"{expected}, got {padding!r:.80}")
    (top, bottom), (left, right) = (
        tuple(require_whole(expected, p, least=0, within=padding) for p in side) for side in padding
    )
    return (top, bottom), (left, right)


def _check_images(x: jax.Array, kernel: Shape) -> None:
    if x.ndim != 4 or x.shape[3] != kernel[3]:
        raise ValueError(
            f"conv2d expects x of shape (n, h, w, {kernel[3]}), got {x.shape}; "
            "for grey images add the channel axis with x[..., None]"
        )
    require_floating("conv2d", x)
