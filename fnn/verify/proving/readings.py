"""Other readings of the literals in a cell: decimals, well-known constants, both."""

from __future__ import annotations

import numpy as np

from fnn.verify.proving.cell import Cell
from fnn.verify.proving.literals import Reading, constant_of, decimal_of, without_conflicts


def readings_of(cell: Cell | None) -> list[dict[float, Reading]]:
    """Ways to read the literals of a cell, besides exactly: as decimals, as constants, as both."""
    if cell is None:
        return []
    literals = literals_of(cell)
    decimals = {v: r for v in literals if (r := decimal_of(v)) is not None}
    constants = {v: r for v in literals if (r := constant_of(v, literals)) is not None}
    sets = [decimals, constants, decimals | constants]
    return [kept for readings in sets if (kept := without_conflicts(readings, literals)[0])]


def literals_of(cell: Cell) -> list[float]:
    """The numbers that occur as constants, those of large arrays apart."""
    found: set[float] = set()
    for node in cell.tape.nodes:
        if node.op == "const" and node.size <= 4096:
            values = np.unique(node.value[np.isfinite(node.value)])
            found |= set(values.tolist()) if values.size <= 64 else set()
    return sorted(found)
