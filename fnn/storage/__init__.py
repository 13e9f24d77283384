"""Storage: arrays, parameters and networks in files, none of which is ever trusted.

`safetensors` is the format, `trees` turns pytrees into text and arrays and back, `files` saves and loads one;
`networks` keeps a whole network, its recipe read by `expressions`; `torch` exchanges parameters with PyTorch,
`stablehlo` writes a network for other runtimes; where there are several `processes`, one of them writes.
"""
