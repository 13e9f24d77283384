"""Optimizers: pairs of pure functions (init, update) with optax's signature, each its paper's equations.

`base` says what an optimizer is and applies updates; `descent` holds the methods entry by entry, from sgd to lion,
`orthogonal` muon; `clipping` transforms gradients and chains, `schedules` are rates that change with the step.
"""
