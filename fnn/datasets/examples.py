"""What every data set is: examples x and what they should be mapped to, y."""

from typing import NamedTuple

import jax
import numpy as np

Array = np.ndarray | jax.Array


class Examples(NamedTuple):
    """A data set or a part of one: row i of x belongs to row i of y."""

    x: Array  # (n, ...), one row an example
    y: Array  # (n,) integer labels, or (n, d_out) targets
