"""Losses and penalties: rules whose forward is a scalar, each beside its hand-derived gradient.

`base` says what a loss is and how losses are made of losses; `on_logits` holds those to train with,
`on_probabilities` those of the textbooks. `targets` is what a loss accepts as y, `penalties` what is added to it on
weights.
"""
