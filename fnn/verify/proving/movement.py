"""Steps that move entries, and steps that add them up, on plain arrays: for shadows, marks and residues alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

STRUCTURAL = frozenset({"view", "take", "concat", "select"})  # entries are moved, not computed with
CONTRACTIONS = frozenset({"sum", "cumsum", "matmul", "scatter_add"})


class View(NamedTuple):
    """A rearrangement that NumPy does without an index for each entry."""

    kind: str  # reshape, transpose, broadcast, slice, flip
    how: Any

    def apply(self, a: np.ndarray, lead: int = 0) -> np.ndarray:
        """Rearrange an array, leaving its first `lead` axes alone."""
        first = a.shape[:lead]
        match self.kind:
            case "reshape":
                return a.reshape((*first, *self.how))
            case "transpose":
                return a.transpose(*range(lead), *(axis + lead for axis in self.how))
            case "broadcast":
                return np.broadcast_to(a, (*first, *self.how))
            case "slice":
                return a[(*[slice(None)] * lead, *(slice(*bounds) for bounds in self.how))]
            case _:
                return np.flip(a, tuple(axis + lead for axis in self.how))


def moved(op: str, arrays: list[np.ndarray], data: Any, lead: int = 0) -> np.ndarray:
    """Do a structural step on plain arrays.

    Args:
        op: view, take, concat or select.
        arrays: one for each argument; the first `lead` axes are left alone.
        data: the step's data.
        lead: number of axes in front, such as that of worlds.

    Returns:
        The array; what a take finds nowhere is 0.
    """
    if op == "view":
        return data.apply(arrays[0], lead)
    if op == "concat":
        return np.concatenate(arrays, axis=data + lead)
    if op == "select":
        return np.where(data, arrays[1], arrays[0])
    flat = arrays[0].reshape(*arrays[0].shape[:lead], -1)
    if flat.shape[-1] == 0:
        return np.zeros((*arrays[0].shape[:lead], *data.shape), flat.dtype)
    taken = flat[..., np.maximum(data, 0)]
    return np.where(data < 0, np.zeros((), taken.dtype), taken) if (data < 0).any() else taken


def contracted(op: str, arrays: list[np.ndarray], data: Any) -> np.ndarray:
    """A sum, running sum, scattered sum or product of matrices, on plain arrays."""
    if op == "sum":
        return arrays[0].sum(axis=data)
    if op == "cumsum":
        return arrays[0].cumsum(axis=data)
    if op == "matmul":
        return arrays[0] @ arrays[1]
    result = np.array(arrays[0], np.float64).reshape(-1)
    targets, updates = data.reshape(-1), np.broadcast_to(arrays[1], data.shape).reshape(-1)
    np.add.at(result, targets[targets >= 0], updates[targets >= 0])
    return result.reshape(arrays[0].shape)
