"""How each kind of mistake is told."""

from __future__ import annotations

from collections.abc import Callable

from fnn.verify.paths.program import Program
from fnn.verify.paths.slope_sayings import another_slope, other_factor, slope_missing
from fnn.verify.paths.wording import at, first, joined, made_at, shifted, step, value
from fnn.verify.paths.words import Words


def _times(w: Words) -> str:
    """How a scaled leaf compares: "is 2 times too large"."""
    factor = abs(w["factor"])
    return (
        f"{w.leaves} {w.are} {factor:.4g} times too large"
        if factor > 1
        else f"{w.leaves} {w.are} {factor:.4g} times the right one"
    )


def _by_constant(verb: str) -> Callable[[Words], str]:
    def say(w: Words) -> str:
        of = value(w.program, w.node.ins[1 - w.k])
        what = "factor" if w.node.primitive == "mul" else "division by"
        mean = " of the mean" if "mean" in w.where else ""
        return f"{_times(w)}: the {what} {of}{mean} in {w.where} {verb}{w.turns}"

    return say


def _replaced(w: Words) -> str:
    what = "factor" if w.node.primitive == "mul" else "division"
    return f"{_times(w)}: the {what} by {w['value']:g} in {w.where} is done with {w['by']} instead{w.turns}"


def _averaged(w: Words) -> str:
    over = f"averaged over {w['value']} entries, a mean in place of the sum"
    return f"{_times(w)}: what arrives at {w.where} is {over}{w.turns}"


def _through(w: Words) -> str:
    """What is scaled: one path, or a leaf as a whole."""
    site = w.variant.site
    whole = site is not None and site.kind == "value" and site.numbers[0] in w.program.leaves
    return f"the leaf as a whole, in {w.where}," if whole else f"the path through {w.where}"


def _missing(w: Words) -> str:
    site = w.variant.site
    if site is not None and site.kind == "value":
        return f"{w.leaves} {w.lack} every path back through {w.where}: it is missing{w.turns}"
    through = value(w.program, w.node.ins[w.k])
    said = "it is missing" if w.node.primitive in ("add", "sub", "reduce_sum") else "its derivative is missing"
    return f"{w.leaves} {w.lack} the path from {through} into {step(w.program, w.node)}{w.where}: {said}{w.turns}"


def _another_cotangent(w: Words) -> str:
    number = first(w["candidate"])
    later = made_at(w.program, number)
    site = w.variant.site
    assert site is not None
    here = value(w.program, site.numbers[0])
    if _comes_from(w.program, number, site.numbers[0]):
        said = f"its gradient stands in place of that of {here}"
        return f"{w.wrong}: the derivative of {later} is missing, {said}{w.turns}"
    return f"{w.wrong}: the gradient of {later} stands in place of that of {here}, in {w.where}{w.turns}"


def _comes_from(program: Program, later: int, earlier: int) -> bool:
    """Whether a value is computed from another."""
    seen, front = set(), [later]
    while front:
        number = front.pop()
        if number == earlier:
            return True
        if program.maker[number] >= 0 and number not in seen:
            seen.add(number)
            front += program.nodes[program.maker[number]].ins
    return False


def _transposed(w: Words) -> str:
    if w["what"] == "arriving":
        return f"{w.leaves}: the gradient that arrives at {w.where} is not transposed as it should be{w.turns}"
    axes = ", so that sums after it run over the wrong axis" if _repeats(w) else ""
    return f"{w.leaves} {w.are} transposed, in {w.where}{axes}{w.turns}"


def _repeats(w: Words) -> bool:
    """Whether a value is made from one that is smaller, or from a copy of such."""
    site = w.variant.site
    assert site is not None
    maker = w.program.maker[site.numbers[0]]
    if maker < 0:
        return False
    node = w.program.nodes[maker]
    before = [w.program.maker[i] for i in node.ins]
    repeated = any(b >= 0 and w.program.nodes[b].primitive == "broadcast_in_dim" for b in before)
    return repeated or any(w.program.shape(i) != w.program.shape(node.outs[0]) for i in node.ins)


def _other_operand(w: Words) -> str:
    right = value(w.program, w.node.ins[1 - w.k])
    if w["same"]:
        return f"{w.wrong}: {right} is transposed wrongly on the way back through {w.where}{w.turns}"
    u = value(w.program, first(w["candidate"])) + shifted(w["candidate"])
    turned = ", transposed," if w["flip"] else ""
    return f"{w.wrong}: {u}{turned} stands in place of {right} in the gradient of {w.where}{w.turns}"


def _kept(w: Words) -> str:
    lost = [key for key, _ in w["lost"]]
    places = [at(key[0]) for key in lost if isinstance(key, tuple) and key[0] is not None]
    through = joined([*dict.fromkeys(places)][:3]) if places else "the rest"
    said = f"the path from {w.where} through {through}"
    return f"{w.leaves} {w.lack} {said}: it is missing, overwritten and not added{w.turns}"


def _overwritten(w: Words) -> str:
    which = "first" if w["index"] == -1 else "last"
    said = f"overwritten (=), not added (+=), in {w.where}"
    return f"{w.leaves}: the contributions of all steps are {said}: only the {which} step remains"


def _rows(w: Words) -> str:
    return f"{w.leaves}: rows that are picked repeatedly are overwritten (=), not added (+=), in {w.where}{w.turns}"


def _exchanged(w: Words) -> str:
    a, b = (value(w.program, i) for i in w["slices"])
    parts = f"{a} and {b}" if a != b else f"two of the parts of {a}"
    said = f"the gradients of {parts} are swapped, each in place of the other"
    return f"{w.wrong}: {said}, in {made_at(w.program, w['slices'][0])}"


def _value_for_cotangent(w: Words) -> str:
    number = first(w["candidate"])
    u = value(w.program, number) + shifted(w["candidate"])
    if _comes_from(w.program, number, w.node.outs[0]):
        readers = [w.program.nodes[i].stack.place for i, _ in w.program.consumers().get(number, ())]
        back = joined([*dict.fromkeys(at(p) for p in readers if p)][:2]) if readers else w.where
        return f"{w.wrong}: {u} itself stands in place of its gradient, which comes from {back}{w.turns}"
    return f"{w.wrong}: {u} itself stands in place of the gradient that arrives at {w.where}{w.turns}"


def _other_rows(w: Words) -> str:
    right = value(w.program, w.node.ins[1])
    other = value(w.program, w["number"])
    said = f"the rows of {other} get the gradient of {w.where} instead of those of {right}"
    return f"{w.wrong}: {said}, off by one or another index"


def _later(w: Words) -> str:
    node = w.program.nodes[w["node"]]
    small = f"the small constant {value(w.program, w['others'][0])} of {at(node.stack.place)}"
    said = f"{small} is added one step later, outside"
    return f"{w.leaves} {w.are} the gradient of a forward in which {said}: it is misplaced in the backward"


def _along(text: str) -> Callable[[Words], str]:
    def say(w: Words) -> str:
        words = {**w.variant.words, "at": w.where}
        return f"{w.wrong}: {text.format(**words)}{w.turns}"

    return say


def _wrong_axis(w: Words) -> str:
    axes = "all axes" if w["axis"] is None else f"axis {w['axis']}"
    right = ", ".join(str(a) for a in w.node.eqn.params["axes"])
    return f"{w.wrong}: the sum in the derivative of {w.where} runs over {axes}, not over axis {right}{w.turns}"


def _leaf(text: str) -> Callable[[Words], str]:
    def say(w: Words) -> str:
        names = w.survey.names
        return text.format(a=names[w["leaf"]], b=names[w["of"]] if "of" in w.variant.words else "")

    return say


def _penalty(w: Words) -> str:
    of = "the sign of the parameter" if w["what"] else "the parameter itself"
    many = "too much" if w["factor"] > 0 else "too little"
    holder = w.survey.constants.holder_of(w["factor"])
    nodes = [node for node in w.program.nodes if holder in node.ins]
    where = f" in {at(nodes[-1].stack.place)}" if nodes and holder >= 0 else ""
    said = "a penalty that the forward does not lay on it" if w["factor"] > 0 else "a penalty is missing"
    return f"{w.leaves} {w.have} {abs(w['factor']):.4g} times {of} {many} ({w['name']}{where}): {said}"


def _left_out(w: Words) -> str:
    node = w.program.nodes[w["node"]]
    what = (
        "the mask"
        if node.primitive in ("select_n", "mul")
        else "the term"
        if node.primitive in ("add", "sub")
        else "the step"
    )
    others = [value(w.program, i) for i in w["others"]]
    of = f" {others[0]}" if others else ""
    said = f"without {what}{of} of {at(node.stack.place)}"
    return f"{w.leaves} {w.are} the gradient of a forward {said}: it is left out of the backward"


def _one_for_all(w: Words) -> str:
    node = w.program.nodes[w["node"]]
    said = f"in which {w['value']:g} stands in place of every entry of {value(w.program, w['others'][0])}"
    return f"{w.leaves} {w.are} the gradient of a forward {said}, in {at(node.stack.place)}"


def _data_left_out(w: Words) -> str:
    others = [value(w.program, i) for i in w["others"]]
    said = f"without {others[0] if others else 'the step'} in {at(w['place'])}"
    return f"{w.leaves} {w.are} the gradient of a forward {said}: in the backward another value stands in place of it"


def _other_data(w: Words) -> str:
    place = f", which stands in {at(w['place'])}" if w["place"] else ""
    return f"{w.leaves} {w.are} the gradient with `{w['leaf']}` {w['what']}{place}: another value in its place"


def _updated(w: Words) -> str:
    parameter = value(w.program, w.program.leaves[w["leaf"]])
    sign = "−" if w["step"] > 0 else "+"
    taken = f"`{parameter.strip('`')} {sign} {abs(w['step']):.4g} {w.survey.names[w['leaf']]}`"
    said = f"{taken}, an updated value, stands in place of {parameter} in the gradient of {w.where}"
    return f"{w.wrong}: {said}{w.turns}"


SAYINGS: dict[str, Callable[[Words], str]] = {
    "constant missing": _by_constant("is missing"),
    "constant inverted": _by_constant("is turned over, multiplied for divided"),
    "constant twice": _by_constant("is done twice"),
    "constant replaced": _replaced,
    "averaged instead of summed": _averaged,
    "power missing": lambda w: (
        f"{_times(w)}: the factor {w['value']} of the derivative of {step(w.program, w.node)}{w.where} "
        f"is missing{w.turns}"
    ),
    "sign": lambda w: f"{w.leaves} {w.have} the wrong sign in {w.where}{w.turns}",
    "missing": _missing,
    "doubled": lambda w: f"{w.leaves} {w.are} 2 times too large: {_through(w)} is counted twice{w.turns}",
    "times": lambda w: f"{w.wrong}: {_through(w)} is {w['factor']:.4g} times the right one ({w['name']}){w.turns}",
    "slope missing": slope_missing,
    "another slope": another_slope,
    "factor": other_factor,
    "another cotangent": _another_cotangent,
    "transposed": _transposed,
    "other operand": _other_operand,
    "kept": _kept,
    "overwritten": _overwritten,
    "rows overwritten": _rows,
    "shifted": _along("what goes through {at} is off by one along axis {axis}"),
    "rolled": _along("what goes through {at} is off by one along axis {axis}, rolled around"),
    "reversed": _along("what goes through {at} is reversed along axis {axis}, its entries permuted"),
    "averaged": _along("what goes through {at} is averaged along axis {axis}, a mean that the forward has not"),
    "summed": _along("what goes through {at} is summed along axis {axis}, a sum that the forward has not"),
    "centred": _along("the mean along axis {axis} is taken off what goes through {at}"),
    "dropped": _along("what comes from index {index} of axis {axis} is left out in {at}"),
    "only": _along("only index {index} of axis {axis} counts in {at}, the others are left out"),
    "wrong axis": _wrong_axis,
    "maximum": _along("the derivative of the maximum in {at} goes to {which} instead of itself: its mask is forgotten"),
    "exchanged": _exchanged,
    "cumulated forwards": _along("the gradient of {at} is cumulated along the wrong direction of the axis"),
    "mask of the gradient": _along("the derivative of {at} is taken where the gradient is positive, not its argument"),
    "value for cotangent": _value_for_cotangent,
    "other rows": _other_rows,
    "later": _later,
    "summed on": lambda w: (
        f"{w.wrong}: what flows back through {w.where} is summed on from step to step, "
        "so that it is counted twice and more"
    ),
    "another leaf": _leaf("{a} is the gradient `{b}` of another leaf, which stands in place of the right one"),
    "swapped": _leaf("{a} and {b} are swapped"),
    "mixed": _leaf("{a} and {b} are averaged with each other"),
    "penalty": _penalty,
    "normalized": _leaf("{a} is divided by its own norm"),
    "left out": _left_out,
    "one for all": _one_for_all,
    "updated": _updated,
    "data left out": _data_left_out,
    "other data": _other_data,
}
