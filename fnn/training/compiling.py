"""Compiler options that make training faster, where this compiler knows them; the results stay the same.

XLA takes options per jit. Which ones help was measured: see `TRAINING` and `ELEMENTWISE`. An option that this version
of jaxlib does not know, or a platform other than the CPU, is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jaxlib

from fnn.layers.precision import mixed_precision
from fnn.layers.walk import uses
from fnn.networks.network import Network

# Fewer copies of the parameters in the loop over batches: a float32 step of 784-512-512-10 takes 0.93 to 0.95 as long.
TRAINING = {"xla_cpu_copy_insertion_use_region_analysis": True}

# Entry-by-entry work runs in the library that multiplies bfloat16 matrices, next to the products: a bfloat16 step takes
# 0.80 of the time at 784-128-10 with 32 examples, 0.88 at 784-512-512-10 with 128, 0.90 with 256, but 1.06 at
# 1024-1024-1024-1024-1024 with 256 and 1.09 with 1024.
ELEMENTWISE = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_ELTWISE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}

# Compilers before this one die of it in a bfloat16 network with muon.
_ELEMENTWISE_FROM = (0, 10, 2)

# What is drawn once, before the first step, need not be drawn fast: compiling takes 0.7 of the time, for the same bits.
STARTING = {"xla_cpu_use_fusion_emitters": False}

# Examples × neurons in the widest layer up to which ELEMENTWISE was measured to help.
_SMALL = 2**17


def training_options(net: Network, examples: int) -> dict[str, Any]:
    """Options for training a network with so many examples a step.

    Args:
        net: the network.
        examples: batch size.

    Returns:
        XLA options, for `compiled`.
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0)))]
    widest = max((shape[0] for shape in shapes if shape), default=1)
    if uses(net.layer, mixed_precision) and examples * widest <= _SMALL:
        return TRAINING | ELEMENTWISE
    return TRAINING


def compiled(function: Callable, options: dict[str, Any], **keywords: Any) -> Callable:
    """Compile a function with options, or without them where they can't be had.

    Args:
        function: what to compile.
        options: XLA options; unknown ones are dropped.
        **keywords: as `jax.jit` takes them.

    Returns:
        A function like `jax.jit(function)`. Within another transformation the outer jit's options rule.
    """
    plain = jax.jit(function, **keywords)

    @cache
    def tuned() -> Callable:
        known = usable(tuple(sorted(options.items())))
        return jax.jit(function, compiler_options=dict(known), **keywords) if known else plain

    def call(*arguments: Any, **named: Any) -> Any:
        return (tuned() if _on_cpu((arguments, named)) else plain)(*arguments, **named)

    return call


def _on_cpu(tree: Any) -> bool:
    """Whether a program that gets these arguments is compiled now, and for a CPU."""
    lies: jax.Array | None = None
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.core.Tracer):
            return False
        if isinstance(leaf, jax.Array) and (lies is None or leaf.committed):
            lies = leaf
    if lies is None:
        return jax.default_backend() == "cpu"
    return next(iter(lies.devices())).platform == "cpu"


@cache
def usable(options: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Those options that this version's CPU compiler accepts.

    Args:
        options: pairs of name and value.

    Returns:
        The pairs that are known.
    """
    return tuple(option for option in options if _accepts(option))


def _accepts(option: tuple[str, Any]) -> bool:
    if option[0] in ELEMENTWISE and tuple(map(int, jaxlib.__version__.split(".")[:3])) < _ELEMENTWISE_FROM:
        return False
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            jax.jit(lambda x: x, compiler_options=dict([option])).lower(0.0).compile()
    except Exception:  # what an unknown option raises differs from version to version
        return False
    return True


def use_compilation_cache(directory: str | os.PathLike) -> None:
    """Keep compiled programs on disk from now on, so that the next process need not compile them again.

    Sets two options of jax for this process: where, and that short compilations are kept as well.

    Args:
        directory: folder for the programs; made if it is not there.
    """
    jax.config.update("jax_compilation_cache_dir", os.fspath(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
