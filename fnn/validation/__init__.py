"""Arguments looked at in one place: `values` are numbers, keys, options, functions, paths, `arrays` the rest.

Every message says what was expected, what was received, and what to do. NumPy's integers are whole numbers, True is no
number, NaN and infinity are none where a number is meant, and lists of numbers are taken where arrays are.
"""

from fnn.validation.arrays import (
    as_array,
    as_numbers,
    holds_numbers,
    is_finite,
    is_float,
    on_host,
    require_arrays,
    require_dtype,
    rows_named,
    without_wrapping,
    wraps_around,
)
from fnn.validation.values import (
    is_key,
    require_flag,
    require_function,
    require_key,
    require_number,
    require_option,
    require_path,
    require_whole,
    scalar,
)

__all__ = [
    "as_array",
    "as_numbers",
    "holds_numbers",
    "is_finite",
    "is_float",
    "is_key",
    "on_host",
    "require_arrays",
    "require_dtype",
    "require_flag",
    "require_function",
    "require_key",
    "require_number",
    "require_option",
    "require_path",
    "require_whole",
    "rows_named",
    "scalar",
    "without_wrapping",
    "wraps_around",
]
