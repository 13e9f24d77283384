"""Pure functions for feed-forward neural networks in JAX, every gradient derived by hand."""
