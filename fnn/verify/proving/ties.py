"""Where values tie: what random points never meet, and `prove` wants to be alike in both programs nevertheless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fnn.verify.proving.cell import Cell, differs_in_floats, judge, lost_in, run_both
from fnn.verify.proving.decisions import CannotTell
from fnn.verify.proving.points import Point

if TYPE_CHECKING:
    from fnn.verify.proving.search import Search


def look_at_tie(search: Search, point: Point) -> None:
    """Compare two programs at a point where values tie; infinities and NaN say nothing.

    Args:
        search: the proof, which keeps what is found.
        point: float leaves made of few different numbers.

    Raises:
        Differs: the programs differ there, and nothing ties.
    """
    found = search.disagreement_at(point, 1e-3, finite=True)
    if found is None and not search.coverage.unmet():
        return
    try:
        with np.errstate(all="ignore"):
            cell = run_both(search.programs, point, search.readings)
    except CannotTell:
        return
    if found is None:
        search.coverage.look_at(cell)
    elif not cell.obligations():
        search.visit(point, near=False)
    elif differs_in_floats(cell) is not None:  # by more than rounding
        search.fatal = search.fatal or f"equal elsewhere, but not where values tie: {found}"


def suppose_equal(search: Search, cell: Cell) -> None:
    """See what becomes of both programs if values are equal that never are: no number, or the same as ever.

    Args:
        search: the proof, which keeps what is found.
        cell: one that was proved.
    """
    names = search.coverage.unmet()
    if not names:
        return
    try:
        supposed = run_both(search.programs, cell.point, search.readings, meets=names)
        found = judge(supposed, search.source, search.readings)
    except CannotTell:
        return
    if found.difference is None and lost_in(supposed) is None:
        search.coverage.look_at(supposed)
