"""Networks: a layer, a loss and perhaps a penalty, as pure functions of the parameters.

Read `network` first: init, forward, loss, backward, train_step. `building` makes networks, `acceptance` says what a
network takes as examples, targets and weights, `expectations` what as parameters and state, `arguments` all of it for
functions elsewhere; `lifting` lets jax.grad run the hand-derived rules. `adapting` takes the statistics that layers
need of the training data, and `target_units` scales targets by theirs.
"""
