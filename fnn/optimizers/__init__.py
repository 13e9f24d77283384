"""Optimizers: pairs of pure functions (init, update) with optax's signature, each its paper's equations.

`base` says what an optimizer is, how its numbers become data, and applies updates; `schedules` are rates that change
with the step; `descent` (sgd, momentum, lion), `adaptive` (rmsprop to adamw) and `orthogonal` (muon) hold the methods;
`clipping` transforms gradients and chains. `descent` is a good place to begin.
"""
