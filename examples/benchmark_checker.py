"""How good is the checker? Plant mistakes and count: caught, named, false alarms; next to other gradient checkers.

    python examples/benchmark_checker.py            # some minutes
    python examples/benchmark_checker.py --quick    # seconds, smaller samples

Every mistake of the catalogue is planted at every place of a number of networks, in float64 and float32; mistakes of
other kinds and pairs of mistakes follow; then random correct networks, a quarter of them with an all-zero row and zero
biases, where every relu sits on its kink. The other checkers get the same wrong gradients of a 20-16-16-16-10 network
through the interfaces that they offer, with their default settings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import fnn
from fnn.verify.blind_spots import draw_targets
from fnn.verify.forward_pass import build_chain
from fnn.verify.mistakes.catalogue import all_mutants, planted_mutants
from fnn.verify.oracles import as_float64, precise

S, R = fnn.serial, fnn.residual


def networks():
    """Networks of every layer and loss, small enough to be checked often."""
    net = fnn.network
    images = (fnn.conv2d(3), fnn.relu, fnn.max_pool(2), fnn.conv2d(2, kernel=2, padding="VALID"), fnn.tanh)
    images = (*images, fnn.average_pool(2), fnn.flatten, fnn.dense(3))
    unbiased = (fnn.dense(4, use_bias=False), fnn.tanh, fnn.dense(2))
    block = R(S(fnn.layer_norm(), fnn.dense(6), fnn.tanh))
    normed = (fnn.dense(6), fnn.batch_norm(), fnn.relu, fnn.dropout(0.3), fnn.dense(3))
    return [
        fnn.mlp(5, 4, 6, 3, penalty=fnn.l2(0.1)),
        fnn.mlp(4, 6, 6, 6, 6, 6, 3),
        fnn.mlp(3, 4, 4, 2, activation=(fnn.sigmoid, fnn.elu(1.5)), loss=fnn.sigmoid_cross_entropy),
        fnn.mlp(4, 5, 1, activation=fnn.tanh, loss=fnn.sigmoid_cross_entropy, penalty=fnn.l1(0.1)),
        fnn.mlp(4, 6, 6, 3, activation=(fnn.swish, fnn.leaky_relu(0.2)), loss=fnn.huber(0.8)),
        fnn.mlp(4, 5, 3, activation=fnn.gelu, loss=fnn.mean_squared_error),
        fnn.mlp(4, 5, 5, 3, activation=(fnn.softplus, fnn.identity), loss=fnn.mean_absolute_error),
        fnn.mlp(4, 3, loss=fnn.half_mean_squared_error, penalty=fnn.l2(0.3)),
        fnn.mlp(4, 5, 3, loss=fnn.summed(fnn.softmax_cross_entropy)),
        net(S(fnn.flatten, fnn.dense(4), fnn.softmax), fnn.cross_entropy, input_shape=(3, 2)),
        net(S(*unbiased, fnn.sigmoid), fnn.binary_cross_entropy, input_shape=(3,)),
        net(S(*normed), fnn.softmax_cross_entropy, input_shape=(5,)),
        net(S(fnn.dense(6), block, fnn.prelu(), R(fnn.dense(6)), fnn.dense(2)), fnn.huber(1.0), input_shape=(5,)),
        net(S(fnn.dense(6), fnn.repeat(block, 3), fnn.dense(3)), fnn.softmax_cross_entropy, input_shape=(5,)),
        net(S(*images), fnn.softmax_cross_entropy, input_shape=(7, 6, 2)),
    ]


def keywords_of(net):
    """A key for layers that draw, and a state for those that remember."""
    state = net.init_state()
    draws = {"key": jax.random.key(3)} if "dropout" in repr(net) else {}
    return draws | ({"state": state} if jax.tree.leaves(state) else {})


def mutants_of(net, point, keywords):
    """Every mistake of the catalogue at every place of a network."""
    with precise(), np.errstate(all="ignore"):
        params, x, y, keywords = as_float64((*point, keywords))
        return all_mutants(build_chain(net, params, x, y, keywords))


def in_float32(backward: Callable) -> Callable:
    """The same backward, as a kernel that knows float32 alone."""

    def single(params, x, y, **keywords):
        if np.asarray(jax.tree.leaves(params)[0]).dtype != np.float32:
            raise TypeError("float32 only")
        return jax.tree.map(np.float32, backward(params, x, y, **keywords))

    return single


def _key(cause):
    return cause.mistake, cause.where, cause.variant


def catalogue_scores(nets, every):
    """Plant every mistake everywhere: how many are caught, how many named exactly."""
    scores = {"float64": np.zeros(3, int), "float32": np.zeros(3, int)}
    for net in tqdm(nets, desc="catalogue", disable=None):
        keywords = keywords_of(net)
        state, key = keywords.get("state", ()), keywords.get("key")
        point = fnn.good_point(net, jax.random.key(5), state=state, dropout_key=key)
        for mutant in mutants_of(net, point, keywords)[::every]:
            backward = planted_mutants(net, mutant)
            for precision, wrapped in (("float64", backward), ("float32", in_float32(backward))):
                report = fnn.check(net, *point, wrapped, **keywords)
                named = [_key(cause) for cause in report.causes] == [mutant.key]
                scores[precision] += (1, report.verdict == "WRONG", named)
    return scores


def pair_scores(net, count):
    """Plant random pairs: caught; both named; or a wrong cause named, which must not happen."""
    point = fnn.good_point(net, jax.random.key(5))
    pairs = list(combinations(mutants_of(net, point, {}), 2))
    random, scores = np.random.default_rng(0), np.zeros(4, int)
    for i in tqdm(random.choice(len(pairs), count, replace=False), desc="pairs", disable=None):
        backward = planted_mutants(net, *pairs[i])
        report = fnn.check(net, *point, backward)
        exact = {_key(cause) for cause in report.causes} == {mutant.key for mutant in pairs[i]}
        scores += (1, report.verdict == "WRONG", exact, bool(report.causes) and not _reproduces(net, report, backward))
    return scores


def _reproduces(net, report, backward):
    """Whether the causes that a report names give the same gradient at another point, and so are no wrong names."""
    point = fnn.good_point(net, jax.random.key(99))
    there = {mutant.key: mutant for mutant in mutants_of(net, point, {})}
    named = jax.tree.leaves(planted_mutants(net, *(there[_key(cause)] for cause in report.causes))(*point))
    return all(np.allclose(a, b, atol=1e-4) for a, b in zip(named, jax.tree.leaves(backward(*point)), strict=True))


def false_alarms(nets, count):
    """Check right gradients of random networks, a quarter with dead rows and zero biases, half of them in float32."""
    random, alarms, open_ = np.random.default_rng(1), 0, 0
    for i in tqdm(range(count), desc="random networks", disable=None):
        net = nets[i % len(nets)]
        keywords = keywords_of(net)
        key = jax.random.key(int(random.integers(2**31)))
        params, x, y = _draw(net, key, random, dead=random.random() < 0.25)
        single = in_float32(jax.jit(net.backward)) if i % 2 else None
        report = fnn.check(net, params, x, y, single, **keywords)
        alarms += report.verdict == "WRONG"
        open_ += report.verdict == "CANNOT TELL"
    return alarms, open_


def _draw(net, key, random, *, dead):
    """Fresh parameters, inputs and targets; a dead point has an all-zero row and biases of 0."""
    params = net.init(key)
    x = random.normal(size=(6, *net.input_shape)).astype(np.float32)
    if dead:
        x[random.integers(6)] = 0
    else:
        params = jax.tree.map(lambda p: p + 0.2 * random.normal(size=p.shape).astype(np.float32), params)
    return params, x, draw_targets(net, key, 6)


# The other checkers: each answers whether it accepts a gradient


def by_fnn(net, params, x, y, grads):
    """This library, given numbers rather than a function."""
    return fnn.check(net, params, x, y, lambda *batch: grads).ok


def _with_gradient(net, x, y, grads, ravel=False):
    """The loss as a function that claims `grads` to be its gradient."""

    def value(params):
        return net.loss(fnn.unflatten_params(params, like) if ravel else params, x, y)

    like = grads
    claimed = fnn.flatten_params(jax.tree.map(jnp.asarray, grads)) if ravel else jax.tree.map(jnp.asarray, grads)
    loss = jax.custom_vjp(value)
    loss.defvjp(lambda params: (value(params), None), lambda _, d: (jax.tree.map(lambda g: d * g, claimed),))
    return loss


def by_check_grads(net, params, x, y, grads):
    """jax.test_util.check_grads, float32, defaults."""
    from jax.test_util import check_grads

    return _accepts(lambda: check_grads(_with_gradient(net, x, y, grads), (params,), order=1, modes=["rev"]))


def by_chex(net, params, x, y, grads):
    """chex.assert_numerical_grads on the raveled parameters, defaults."""
    import chex

    loss = _with_gradient(net, x, y, grads, ravel=True)
    return _accepts(lambda: chex.assert_numerical_grads(loss, (fnn.flatten_params(params),), order=1, modes=["rev"]))


def by_gradcheck(net, params, x, y, grads):
    """torch.autograd.gradcheck on the raveled parameters in float64, defaults."""
    import torch  # pyright: ignore[reportMissingImports]

    claimed = torch.from_numpy(np.array(fnn.flatten_params(jax.tree.map(jnp.asarray, grads)), np.float64))

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context, theta):
            with precise():
                return torch.tensor(_loss64(net, params, x, y, theta.detach().numpy()))

        @staticmethod
        def backward(context, d):
            return d * claimed

    theta = torch.from_numpy(np.array(fnn.flatten_params(params), np.float64)).requires_grad_()
    return _accepts(lambda: torch.autograd.gradcheck(Loss.apply, (theta,)))


def _loss64(net, params, x, y, theta) -> float:
    with precise():
        params, x, y = as_float64((params, x, y))
        return float(_loss(net, fnn.unflatten_params(jnp.asarray(theta), params), x, y))


@partial(jax.jit, static_argnums=0)
def _loss(net, params, x, y):
    return net.loss(params, x, y)


def _accepts(check: Callable) -> bool:
    try:
        check()
    except (AssertionError, RuntimeError):
        return False
    return True


CHECKERS = {
    "fnn.check": by_fnn,
    "jax check_grads": by_check_grads,
    "chex numerical": by_chex,
    "torch gradcheck": by_gradcheck,
}


def compare(quick):
    """Each checker on the same wrong gradients, and on right ones at kinks: missed, rejected though right, seconds."""
    net = fnn.mlp(20, 16, 16, 16, 10)
    point = (net.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (32, 20)), jnp.arange(32) % 10)
    mutants = mutants_of(net, point, {})[:: 40 if quick else 2]
    wrong = [planted_mutants(net, mutant)(*point) for mutant in mutants]
    dead = [_dead_relu(net, seed) for seed in range(2 if quick else 30)]
    rows = {}
    for name, accepts in CHECKERS.items():
        try:
            start = time.perf_counter()
            missed = sum(accepts(net, *point, grads) for grads in wrong)
            seconds = (time.perf_counter() - start) / len(wrong)
            rejected = sum(not accepts(net, *batch, net.backward(*batch)) for batch in dead)
            rows[name] = (f"{missed} of {len(wrong)}", f"{rejected} of {len(dead)}", f"{seconds:.2f}")
        except ImportError as error:
            rows[name] = (f"not installed: {error.name}", "", "")
    return rows


def _dead_relu(net, seed):
    x = np.random.default_rng(seed).normal(size=(8, 20)).astype(np.float32)
    x[3] = 0
    return net.init(jax.random.key(seed)), x, np.arange(8) % 10


def wide_time():
    """Seconds for 784-128-128-10 with n = 64, nothing compiled yet: a wrong gradient, diagnosis included."""
    net = fnn.mlp(784, 128, 128, 10)
    params, x = net.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (64, 784))
    y = jnp.arange(64) % 10

    def doubled(*batch):
        return jax.tree.map(lambda g: 2 * g, net.backward(*batch))

    start = time.perf_counter()
    report = fnn.check(net, params, x, y, doubled)
    assert report.causes[0].mistake == "factor-two"
    return time.perf_counter() - start


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller samples")
    quick = parser.parse_args().quick
    print(f"784-128-128-10, n = 64, from nothing compiled to the diagnosis: {wide_time():.1f} s\n")

    nets = networks()[:: 30 if quick else 1]
    print(f"{'planted':<28}{'tried':>7}{'caught':>8}{'named':>7}{'misnamed':>10}")
    for precision, (tried, caught, named) in catalogue_scores(nets, 5 if quick else 1).items():
        print(f"{f'catalogue, {precision}':<28}{tried:>7}{caught:>8}{named:>7}{'':>10}")
    tried, caught, named, misnamed = pair_scores(nets[0], 2 if quick else 200)
    print(f"{'random pairs':<28}{tried:>7}{caught:>8}{named:>7}{misnamed:>10}")

    count = 4 if quick else 1000
    alarms, open_ = false_alarms(nets, count)
    print(f"\nfalse alarms on {count} random correct networks: {alarms}; left open (CANNOT TELL): {open_}\n")

    print(f"{'20-16-16-16-10':<18}{'mistakes missed':>22}{'right, but rejected':>22}{'seconds each':>14}")
    for name, (missed, rejected, seconds) in compare(quick).items():
        print(f"{name:<18}{missed:>22}{rejected:>22}{seconds:>14}")


if __name__ == "__main__":
    main()
