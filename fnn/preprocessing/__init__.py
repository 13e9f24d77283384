"""Preparing data before training: scaling, one-hot rows, splitting, batches, and an audit of what may be wrong.

What comes in as NumPy goes out as NumPy and what comes in as a jax array goes out as one; float64 stays float64,
64-bit and (in NumPy) 32-bit integers become float64, and everything else, such as uint8 pixels, becomes float32.
"""

from fnn.preprocessing.auditing.audit import audit
from fnn.preprocessing.auditing.report import Audit, Finding
from fnn.preprocessing.encoding import one_hot
from fnn.preprocessing.scaling import MinMax, Standardizer, min_max, standardize
from fnn.preprocessing.splitting import Split, batches, split

__all__ = [
    "Audit",
    "Finding",
    "MinMax",
    "Split",
    "Standardizer",
    "audit",
    "batches",
    "min_max",
    "one_hot",
    "split",
    "standardize",
]
