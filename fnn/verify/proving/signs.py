"""What is known of signs: by the shadow at one point, or by the steps of a formula everywhere."""

from __future__ import annotations

import numpy as np

from fnn.verify.proving.tape import Node


def knows_sign(x: Node) -> np.ndarray:
    """Where float64 knows the sign of an entry, which is not 0."""
    return np.abs(x.value) > 2 * x.bound()


def is_positive(x: Node) -> bool:
    """Whether every entry is above 0, as float64 knows."""
    return x.marks is None and bool((x.value > 2 * x.bound()).all())


def is_never_negative(node: Node, depth: int = 30) -> bool:
    """Whether the steps of a node show that it is never below 0: squares, exponentials, their sums and products."""
    if depth == 0:
        return False

    def inner(i: int) -> bool:
        return is_never_negative(node.args[i], depth - 1)

    match node.op:
        case "exp" | "root":
            return True
        case "const":
            return bool((node.value >= 0).all())
        case "power":
            return node.data % 2 == 0 or inner(0)
        case "mul":
            return node.args[0] is node.args[1] or (inner(0) and inner(1))
        case "add" | "div" | "sum" | "view" | "take" | "concat" | "select" | "cumsum" | "matmul":
            return all(map(inner, range(len(node.args))))
        case _:
            return False
