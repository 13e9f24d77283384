"""The networks of `benchmark.py` as other libraries' users write them: PyTorch, flax, equinox, scikit-learn, NumPy.

Nothing here is needed to use fnn. A peer that is not installed is reported as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Run = Callable[[], object]


def torch_epoch(widths: Sequence[int], batch_size: int, x: np.ndarray, y: np.ndarray, mode: str = "eager") -> Run:
    """One epoch in PyTorch: relu network, cross-entropy, SGD; mode is eager, autocast (bfloat16) or compiled."""
    import torch  # pyright: ignore[reportMissingImports]

    step, _ = torch_step(widths, mode)
    images, labels = torch.from_numpy(x), torch.from_numpy(y).long()

    def run() -> float:
        loss: Any = None
        for rows in torch.randperm(len(images)).split(batch_size):
            loss = step(images[rows].float() / 255, labels[rows])
        return float(loss)

    return run


def torch_step(widths: Sequence[int], mode: str) -> tuple[Callable, object]:
    """One SGD step in PyTorch, and its model."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(widths):
        layers += [nn.Linear(d_in, d_out), nn.ReLU()]
    model: nn.Module = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()
    forward = torch.compile(model) if mode == "compiled" else model

    def step(x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "autocast"):
            loss = criterion(forward(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, model


def flax_epoch(widths: Sequence[int], batch_size: int, x: np.ndarray, y: np.ndarray) -> Run:
    """One epoch in flax linen and optax: a Python loop of jitted steps."""
    import flax.linen as nn  # pyright: ignore[reportMissingImports]
    import optax

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in widths[1:-1]:
                x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(widths[-1])(x)

    net, optimizer = Net(), optax.sgd(0.05)
    params = net.init(jax.random.key(0), jnp.ones((1, widths[0])))
    carry = [params, optimizer.init(params)]

    def loss(params, x, y):
        logits = net.apply(params, x.astype(jnp.float32) / 255)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def step(params, state, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def run() -> object:
        for rows in _rows(len(x), batch_size):
            carry[0], carry[1], value = step(carry[0], carry[1], x[rows], y[rows])
        return jax.block_until_ready(value)

    return run


def equinox_epoch(widths: Sequence[int], batch_size: int, x: np.ndarray, y: np.ndarray) -> Run:
    """One epoch in equinox and optax: a Python loop of jitted steps."""
    import equinox as eqx  # pyright: ignore[reportMissingImports]
    import optax

    keys = jax.random.split(jax.random.key(0), len(widths))
    layers = [eqx.nn.Linear(a, b, key=k) for a, b, k in zip(widths, widths[1:], keys, strict=False)]
    optimizer = optax.sgd(0.05)
    carry = [layers, optimizer.init(eqx.filter(layers, eqx.is_array))]

    def loss(layers, x, y):
        a = x.astype(jnp.float32) / 255
        for layer in layers[:-1]:
            a = jax.nn.relu(jax.vmap(layer)(a))
        logits = jax.vmap(layers[-1])(a)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @eqx.filter_jit
    def step(layers, state, x, y):
        value, grads = eqx.filter_value_and_grad(loss)(layers, x, y)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(layers, updates), state, value

    def run() -> object:
        for rows in _rows(len(x), batch_size):
            carry[0], carry[1], value = step(carry[0], carry[1], x[rows], y[rows])
        return jax.block_until_ready(value)

    return run


def sklearn_epoch(widths: Sequence[int], batch_size: int, x: np.ndarray, y: np.ndarray) -> Run:
    """One epoch of scikit-learn's MLPClassifier with plain SGD."""
    from sklearn.neural_network import MLPClassifier

    scaled = (x / 255).astype(np.float32)
    model = MLPClassifier(tuple(widths[1:-1]), solver="sgd", learning_rate_init=0.05, momentum=0, alpha=0)
    model.set_params(batch_size=batch_size)

    def run() -> object:
        return model.partial_fit(scaled, y, classes=np.arange(widths[-1]))

    return run


def numpy_tiny(x: np.ndarray, y: np.ndarray, steps: int) -> Run:
    """SGD steps of a 2-8-1 network, sigmoids and squared loss, written out in NumPy; keeps every loss."""
    rng = np.random.default_rng(0)
    W1, b1 = rng.normal(size=(8, 2)).astype(np.float32), np.zeros(8, np.float32)
    W2, b2 = rng.normal(size=(1, 8)).astype(np.float32), np.zeros(1, np.float32)

    def run() -> list[float]:
        nonlocal W1, b1, W2, b2
        losses = []
        for _ in range(steps):
            a1 = 1 / (1 + np.exp(-(x @ W1.T + b1)))
            a2 = 1 / (1 + np.exp(-(a1 @ W2.T + b2)))
            losses.append(float(((a2 - y) ** 2).mean()))
            dz2 = 2 * (a2 - y) * a2 * (1 - a2) / len(x)
            dz1 = (dz2 @ W2) * a1 * (1 - a1)
            W2, b2 = W2 - 0.5 * dz2.T @ a1, b2 - 0.5 * dz2.sum(0)
            W1, b1 = W1 - 0.5 * dz1.T @ x, b1 - 0.5 * dz1.sum(0)
        return losses

    return run


def torch_tiny(x: np.ndarray, y: np.ndarray, steps: int) -> Run:
    """The same in PyTorch, eager."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Sigmoid())
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.5), nn.MSELoss()
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def run() -> list[float]:
        losses = []
        for _ in range(steps):
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return run


def torch_ensemble(
    widths: Sequence[int], batch_size: int, x: np.ndarray, y: np.ndarray, k: int, epochs: int, *, vmapped: bool
) -> Run:
    """Epochs of k networks in PyTorch: one after another, or stacked through torch.func.vmap."""
    import torch  # pyright: ignore[reportMissingImports]

    images, labels = torch.from_numpy(x), torch.from_numpy(y).long()
    batches = torch.arange(len(images)).split(batch_size) * epochs
    if not vmapped:
        steps = [torch_step(widths, "eager")[0] for _ in range(k)]

        def one_by_one() -> None:
            for step in steps:
                for rows in batches:
                    step(images[rows].float() / 255, labels[rows])

        return one_by_one

    from torch.func import functional_call, grad, stack_module_state, vmap  # pyright: ignore[reportMissingImports]

    models = [torch_step(widths, "eager")[1] for _ in range(k)]
    params, buffers = stack_module_state(models)
    params = {name: value.detach() for name, value in params.items()}

    def loss(params, buffers, x, y):
        return torch.nn.functional.cross_entropy(functional_call(models[0], (params, buffers), (x,)), y)

    slope = vmap(grad(loss), in_dims=(0, 0, None, None))

    def together() -> None:
        for rows in batches:
            grads = slope(params, buffers, images[rows].float() / 255, labels[rows])
            for name in params:
                params[name] = params[name] - 0.05 * grads[name]

    return together


def torch_product(m: int, k: int, n: int, dtype: str) -> Run:
    """One matrix product in PyTorch."""
    import torch  # pyright: ignore[reportMissingImports]

    a, b = torch.randn(m, k).to(getattr(torch, dtype)), torch.randn(k, n).to(getattr(torch, dtype))
    return lambda: a @ b


def _rows(n: int, batch_size: int) -> list[np.ndarray]:
    order = np.random.permutation(n)  # noqa: NPY002
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]
