"""Layers: rules, each a forward beside its hand-derived backward, and the recipes that carry them.

Start at `dense`, the whole idea on one page; `base` says what a layer is, `elementwise` what an activation is.
`activations`, `normalization`, `convolution`, `pooling`, `dropout`, `rectifiers`, `rescaling` and `augmentation` are
families of rules; `combinators` makes layers of layers, and its `serial` is the chain rule. `precision` rewrites a
layer for bfloat16 products, `matrix_products` is what dense multiplies with. `walk` is the one way through a tree of
layers (`unrolling` writes loops out for it), `theta` the parameters as one vector.
"""
