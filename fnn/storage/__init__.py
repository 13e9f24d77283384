"""Storage: arrays, parameters and networks in files, none of which is ever trusted.

`files` writes and reads one file, `trees` turns pytrees into text and arrays and back; `torch` exchanges parameters
with PyTorch, `stablehlo` writes a network for other runtimes.
"""
