"""Functions that people differentiate by hand, each with its gradient and with mistakes people make in it.

A file a family: `attention`, `norms`, `recurrent`, … Each holds functions as a person writes them: a forward that is a
scalar loss in JAX with its formula in the docstring, a backward in NumPy or JAX with named intermediates, and arguments
for a generator. `FUNCTIONS` has them all.

The mistakes are data: edits of the backward's source, `old` text into `new` text, with the kind of slip, the leaves
that it spoils and the expressions of the forward that it is about (`planting.py`). They were drawn into two halves at
random, function by function, before any checker was judged by them (`halves.py`): `development/` is there to be looked
at while a checker is improved, `held_out/` only to be counted. `unusual.py` has right gradients that look wrong.

    python examples/benchmark_functions.py --half development

judges `fnn.check_gradient` by them. To add a function, write its loss, backward and arguments into a family and its
mistakes into both halves, as `halves.py` draws them.
"""

from __future__ import annotations

from importlib import import_module

from .planting import ByHand, Mistake

FAMILIES = (
    "attention",
    "contrastive",
    "convolutions",
    "embeddings",
    "graphs",
    "likelihoods",
    "losses",
    "norms",
    "objectives",
    "physics",
    "recurrent",
    "regressions",
    "sequences",
    "transformers",
)
FUNCTIONS: tuple[ByHand, ...] = tuple(
    function for family in FAMILIES for function in import_module(f".{family}", __name__).FUNCTIONS
)


def mistakes_of(half: str) -> dict[str, tuple[Mistake, ...]]:
    """The mistakes of one half, "development" or "held_out", by the name of their function."""
    found = {}
    for family in FAMILIES:
        found |= import_module(f".{half}.{family}", __name__).MISTAKES
    return found
