"""How good is the checker on functions that are no networks? Plant mistakes in hand-written gradients and count.

    python examples/benchmark_functions.py                     # the development half, some minutes
    python examples/benchmark_functions.py --half held_out     # the half that nobody tunes on
    python examples/benchmark_functions.py --show              # with every sentence and what it was judged to be
    python examples/benchmark_functions.py --quick             # seconds, a small sample

The functions, their gradients by hand and the mistakes are in `functions_by_hand`. Each mistake is planted alone, then
one pair of them in every function; then all right gradients are checked, those written in unusual ways among them.

What counts as what is decided by this rule, from the verdict and the sentences of `report.diagnosis` alone:

caught      the verdict is WRONG.
named       each finding that mentions a place mentions the right one: a line of the forward that the mistake is about
            ("line 15"), or in backticks an expression that contains, or is contained in, an expected one; the diagnosis
            mentions all the leaves that are spoilt and no other one (as dWq, ['Wq'] or .Wq, outside backticks; what is
            said to be right does not count); and it has a word that `WORDS` accepts for the kind of mistake. Leaves
            that are swapped among themselves need no place; "and 2 more" stands for two more leaves.
other kind  place and leaves are right, but the kind is said in words that are not accepted: to be read, with --show.
wrong       a finding mentions lines or expressions and none of them is expected, or a leaf is mentioned that is not
            spoilt. An equivalent statement counts as wrong too, unless the mistake lists its expression as well.
located     none of these, and the leaves judged WRONG are the spoilt ones and no others.

A pair is named if both its mistakes are and no finding is about anything else. The other checkers get the same
gradients as numbers, in float64, through the interfaces that they offer and with their default settings.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from functions_by_hand import FUNCTIONS, mistakes_of
from functions_by_hand.halves import pair_of
from functions_by_hand.planting import leaf_names, lines_about, plant, spoilt_leaves
from functions_by_hand.unusual import UNUSUAL
from jax.flatten_util import ravel_pytree
from tqdm import tqdm

import fnn

WORDS = {
    "factor": "times, factor, division, divided, multipl, scale, missing, twice, half, doubled, 1/",
    "power": "power, squared, square root, division, divided, times",
    "sign": "sign, negative, minus, -1 times, opposite",
    "path": "missing, lacks, path, detached, constant, not flow, stops, cut, forgotten",
    "doubled": "twice, doubled, 2 times, two times, once more",
    "derivative": "derivative, slope, at the output, at the input, of another function",
    "diagonal": "diagonal, jacobian, missing, lacks",
    "transposed": "transpos",
    "value": "instead of, in place of, should be, stale, another value, takes the place",
    "mask": "mask, dropout, unmasked, dropped out, select",
    "reduction": "mean, sum, factor, times, division, divided, averag",
    "axis": "axis, axes",
    "epsilon": "epsilon, eps, ε, small constant, literal, constant",
    "overwritten": "overwrit, not added, accumul, only the last, repeated",
    "dropped": "dropped, left out, missing, lacks, only, overwrit",
    "truncated": "truncat, time step, step, missing, lacks, detached",
    "shift": "off by one, shift, instead of, in place of, should be, rolled",
    "penalty": "penalty, penalt, times, missing, lacks, regular, factor, should not",
    "leaves": "swapped, permut, exchanged, derivative, slope, missing, instead of, in place of",
}
GREEK = {"gamma": "γ", "beta": "β", "mu": "μ", "sigma": "σ", "alpha": "α", "theta": "θ", "lambda": "λ", "tau": "τ"}


def mentioned_leaves(text, names):
    """The leaves that a diagnosis speaks of as spoilt."""
    text = re.sub(r"`[^`]*`", "", text)
    text = re.sub(r"[^.;]*\b(?:is|are) right\b[^.;]*", "", text)
    if re.search(r"\b(?:all leaves|every leaf|the whole gradient)\b", text):
        return set(names)
    alone = r"|args\[\d\](?![\[.])" if len(names) == 1 else ""
    return {name for name in names if re.search(_spellings(name) + alone, text)}


def _spellings(name):
    """A pattern for dW, dγ, ∂L/∂W, args[0]['W'] and .W."""
    symbols = "|".join(re.escape(word) for word in {name, GREEK.get(name, name)})
    path = "".join(rf"""(?:\[['"]?{re.escape(part)}['"]?\]|\.{re.escape(part)})""" for part in name.split("."))
    return rf"(?<!\w)(?:d|∂L/∂)(?:{symbols})(?!\w)|{path}(?![\w\[])"


def is_about(finding, function, mistake):
    """True if a finding mentions a place that the mistake is about, False if only others, None if no place at all."""
    lines = {int(number) for number in re.findall(r"\bline (\d+)", finding)}
    quoted = {re.sub(r"\s", "", quote) for quote in re.findall(r"`([^`]+)`", finding)}
    expected = [re.sub(r"\s", "", expression) for expression in mistake.about]
    if lines & lines_about(function, mistake):
        return True
    if any(want in quote or (len(quote) > 2 and quote in want) for want in expected for quote in quoted):
        return True
    return False if lines or quoted else None


def placed(mistake, about):
    """Whether one of the findings is about the right place, or none about any where none is needed."""
    return True in about or (mistake.kind == "leaves" and False not in about)


def says(text, kind):
    """Whether one of the words that are accepted for a kind of mistake stands in a diagnosis."""
    return any(re.search(rf"(?<!\w){re.escape(word)}", text, re.IGNORECASE) for word in WORDS[kind].split(", "))


def judge(report, function, names, mistakes):
    """One word for what a report says about planted mistakes; the rule is in the module's docstring."""
    if report.verdict != "WRONG":
        return "missed"
    findings = re.split(r"; |\n", report.diagnosis)
    about = [[is_about(finding, function, mistake) for mistake in mistakes] for finding in findings]
    spoilt = set.union(*(spoilt_leaves(mistake, names) for mistake in mistakes))
    mentioned = mentioned_leaves(report.diagnosis, names)
    if sum(map(int, re.findall(r"\band (\d+) more\b", report.diagnosis))) == len(spoilt - mentioned):
        mentioned |= spoilt
    if any(False in row and True not in row for row in about) or mentioned - spoilt:
        return "wrong"
    if mentioned == spoilt and all(map(placed, mistakes, zip(*about, strict=True))):
        if all(says(report.diagnosis, mistake.kind) for mistake in mistakes):
            return "named"
        if any(True in row for row in about):
            return "other kind"
    judged = {name for name, leaf in zip(names, report.leaves, strict=True) if leaf.verdict == "WRONG"}
    return "located" if judged == spoilt else "caught"


# What the checkers say


def sample(quick):
    """The functions to try; a few families are enough for a first impression."""
    return FUNCTIONS[::16] if quick else FUNCTIONS


def planted(half, quick):
    """(function, arguments, mistakes to be planted together) for each single mistake and one pair a function."""
    every = mistakes_of(half)
    for function in sample(quick):
        arguments = function.arguments(np.random.default_rng(0))
        mistakes = every[function.name]
        for mistake in mistakes[:2] if quick else mistakes:
            yield function, arguments, (mistake,)
        yield function, arguments, pair_of(function, mistakes)


def diagnose(half, quick, show):
    """Count what `fnn.check_gradient` says of single mistakes and of pairs; the CPU seconds of each check."""
    scores, seconds, seen = {1: Counter(), 2: Counter()}, {"first": [], "later": []}, set()
    for function, arguments, mistakes in tqdm(list(planted(half, quick)), desc="mistakes", disable=None):
        backward = plant(function, *mistakes)
        start = time.process_time()
        report = fnn.check_gradient(function.loss, backward, *arguments)
        seconds["later" if function.name in seen else "first"].append(time.process_time() - start)
        seen.add(function.name)
        word = judge(report, function, leaf_names(function, arguments[0]), mistakes)
        scores[len(mistakes)][word] += 1
        if show:
            names = " + ".join(f"{mistake.name} ({mistake.kind})" for mistake in mistakes)
            print(f"{word:<11} {function.name}: {names}\n            {report.diagnosis}")
    return scores, seconds


def right_gradients(quick):
    """(function, arguments, backward) for right gradients, at three points each."""
    by_name = {function.name: function for function in FUNCTIONS}
    right = [(function, function.backward) for function in sample(quick)]
    right += [(by_name[name], backward) for name, backward in (UNUSUAL[:2] if quick else UNUSUAL)]
    for function, backward in right:
        for seed in range(1 if quick else 3):
            yield function, function.arguments(np.random.default_rng(seed)), backward


def false_alarms(quick, show):
    """How often a right gradient is called WRONG, how often judgement is left open, of how many."""
    verdicts = Counter()
    for function, arguments, backward in tqdm(list(right_gradients(quick)), desc="right ones", disable=None):
        report = fnn.check_gradient(function.loss, backward, *arguments)
        verdicts[report.verdict] += 1
        if show and not report.ok:
            print(f"{report.verdict:<11} {function.name}: {backward.__name__}\n            {report.diagnosis}")
    return verdicts["WRONG"], verdicts.total() - verdicts["WRONG"] - verdicts["OK"], verdicts.total()


# The other checkers: each raises where it rejects a loss that claims `gradient` to be its own


@partial(jax.jit, static_argnums=0)
def _value(loss, first, data):
    return loss(first, *data)


def _with_gradient(function, arguments, gradient):
    """The loss of one flat vector with a claimed gradient, the vector and the claim."""
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, arguments[0]))
    claimed = ravel_pytree(jax.tree.map(jnp.asarray, gradient))[0]

    def value(theta):
        return _value(function.loss, unravel(theta), arguments[1:])

    loss = jax.custom_vjp(value)
    loss.defvjp(lambda theta: (value(theta), None), lambda _, d: (d * claimed,))
    return loss, flat, claimed


def by_check_grads(loss, flat, claimed):
    """jax.test_util.check_grads."""
    from jax.test_util import check_grads

    check_grads(loss, (flat,), order=1, modes=["rev"])


def by_chex(loss, flat, claimed):
    """chex.assert_numerical_grads."""
    import chex

    chex.assert_numerical_grads(loss, (flat,), order=1, modes=["rev"])


def by_gradcheck(loss, flat, claimed):
    """torch.autograd.gradcheck."""
    import torch  # pyright: ignore[reportMissingImports]

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context, theta):
            return torch.tensor(float(loss(jnp.asarray(theta.detach().numpy()))), dtype=torch.float64)

        @staticmethod
        def backward(context, d):
            return d * torch.from_numpy(np.array(claimed))

    torch.autograd.gradcheck(Loss.apply, (torch.from_numpy(np.array(flat)).requires_grad_(),))


CHECKERS = {"jax check_grads": by_check_grads, "chex numerical": by_chex, "torch gradcheck": by_gradcheck}


def accepts(checker, function, arguments, backward):
    """Whether another checker is content with a backward."""
    try:
        with jax.enable_x64(True):
            checker(*_with_gradient(function, arguments, backward(*arguments)))
    except (AssertionError, RuntimeError):
        return False
    return True


def compare(half, quick):
    """A row for each other checker: wrong gradients caught, right ones rejected, CPU seconds each."""
    wrong, right = [case for case in planted(half, quick) if len(case[2]) == 1], list(right_gradients(quick))
    for name, checker in CHECKERS.items():
        try:
            start = time.process_time()
            caught = sum(
                not accepts(checker, f, args, plant(f, *m)) for f, args, m in tqdm(wrong, desc=name, disable=None)
            )
            rejected = sum(not accepts(checker, *case) for case in right)
            seconds = (time.process_time() - start) / (len(wrong) + len(right))
            yield name, f"{caught} of {len(wrong)}", f"{rejected} of {len(right)}", f"{seconds:.2f}"
        except ImportError as error:
            yield name, f"not installed: {error.name}", "", ""


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=("development", "held_out"), default="development", help="which mistakes")
    parser.add_argument("--show", action="store_true", help="print each diagnosis and what it was judged to be")
    parser.add_argument("--quick", action="store_true", help="a small sample")
    options = parser.parse_args()
    scores, seconds = diagnose(options.half, options.quick, options.show)
    alarms, left_open, right = false_alarms(options.quick, options.show)

    words = ("named", "other kind", "located", "wrong")
    print(f"{len(sample(options.quick))} functions, the {options.half.replace('_', ' ')} half\n")
    print(f"{'planted':<18}{'tried':>7}{'caught':>8}" + "".join(f"{word:>12}" for word in words))
    for count, score in scores.items():
        caught = score.total() - score["missed"]
        row = "".join(f"{score[word]:>12}" for word in words)
        print(f"{('one mistake', 'a pair')[count - 1]:<18}{score.total():>7}{caught:>8}{row}")
    print(f"\nright gradients: {right}, false alarms {alarms}, left open {left_open}")
    for order, each in seconds.items():
        print(f"CPU seconds of a function's {order} check: {np.mean(each):.3f}, at most {max(each):.2f}")
    print()

    print(f"{'':<18}{'caught':>24}{'right, but rejected':>22}{'CPU seconds each':>18}")
    for name, caught, rejected, each in compare(options.half, options.quick):
        print(f"{name:<18}{caught:>24}{rejected:>22}{each:>18}")


if __name__ == "__main__":
    main()
