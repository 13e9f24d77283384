"""What prints as a page of text shows itself in a notebook too: the same page, with its verdict in color."""

from __future__ import annotations

import html
import re

# The first word of a page or the last of a row; blue and orange are told apart by all eyes.
_COLORS = {"OK": "#0072B2", "PROVED": "#0072B2", "right": "#0072B2"}
_COLORS |= {"WRONG": "#D55E00", "DIFFERENT": "#D55E00", "error": "#D55E00", "CANNOT TELL": "#CC79A7"}
_VERDICT = re.compile(rf"^(?:{'|'.join(_COLORS)})(?=:)|(?<=  )(?:{'|'.join(_COLORS)})$", re.MULTILINE)


class Shown:
    """Base of what has a page of text as its `str`: the same as its `repr`, and as HTML in notebooks."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return page(str(self))


def page(text: str) -> str:
    """A page of text as HTML: in columns as it is, whatever is in it, its verdicts in color.

    Args:
        text: what `print` would show.
    """
    colored = _VERDICT.sub(lambda word: f'<b style="color:{_COLORS[word[0]]}">{word[0]}</b>', html.escape(text))
    return f'<pre style="white-space:pre;overflow-x:auto;line-height:1.35">{colored}</pre>'
