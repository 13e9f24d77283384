"""Networks: a layer, a loss and perhaps a penalty, as pure functions of the parameters.

Read `network` first: init, forward, loss, backward, train_step. `building` makes networks, `acceptance` says what a
network takes as examples, targets and weights, and `lifting` lets jax.grad run the hand-derived rules.
"""
