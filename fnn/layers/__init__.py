"""Layers: one file a family; in each, a forward and its hand-derived backward stand next to each other."""
