from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnn import datasets

SETS = {
    "xor": (datasets.xor, 2),
    "spirals": (datasets.spirals, 2),
    "spirals-5": (partial(datasets.spirals, classes=5), 5),
    "moons": (datasets.moons, 2),
    "circles": (datasets.circles, 2),
    "blobs": (datasets.blobs, 3),
    "blobs-7d": (partial(datasets.blobs, classes=4, dimensions=7), 4),
}
each_set = pytest.mark.parametrize(("make", "classes"), SETS.values(), ids=SETS)


@each_set
def test_synthetic_sets_are_balanced_shuffled_and_typed(make, classes):
    x, y = make(jax.random.key(0), 102)
    assert x.shape == (102, 7 if classes == 4 else 2)
    assert (x.dtype, y.dtype, y.shape) == (jnp.float32, jnp.int32, (102,))
    assert bool(jnp.isfinite(x).all())
    counts = np.bincount(y, minlength=classes)
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1
    # Shuffled: the labels are neither sorted nor in turn.
    assert 10 < np.count_nonzero(np.diff(y) == 0) < 90


@each_set
def test_one_key_gives_one_set(make, classes):
    first, again, other = (make(jax.random.key(seed), 102) for seed in (3, 3, 4))
    assert first.x.tobytes() == again.x.tobytes()
    assert first.y.tobytes() == again.y.tobytes()
    assert first.x.tobytes() != other.x.tobytes()


@each_set
def test_synthetic_sets_can_be_made_inside_transforms_and_in_x64(make, classes):
    keys = jax.random.split(jax.random.key(0), 3)
    with jax.enable_x64(True):
        x, y = jax.eval_shape(jax.vmap(lambda key: make(key, 16)), keys)
    assert x.shape[:2] == y.shape == (3, 16)
    assert (x.dtype, y.dtype) == (jnp.float32, jnp.int32)


def test_a_vector_of_keys_gives_the_sets_of_each():
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = jax.jit(jax.vmap(lambda key: datasets.moons(key, 102)))(keys)
    np.testing.assert_array_equal(y[1], datasets.moons(keys[1], 102).y)
    np.testing.assert_allclose(x[1], datasets.moons(keys[1], 102).x, atol=1e-5)


def test_xor_is_exact_without_a_key():
    x, y = datasets.xor()
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == [0, 1, 1, 0]
    assert (x.dtype, y.dtype) == (jnp.float32, jnp.int32)


def test_noiseless_sets_follow_their_formulas():
    key = jax.random.key(1)
    x, y = map(np.asarray, datasets.xor(key, 102, noise=0))
    assert set(map(tuple, x)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    np.testing.assert_array_equal(y, x[:, 0] != x[:, 1])

    x, y = map(np.asarray, datasets.circles(key, 102, noise=0, inner=0.25))
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 0, 1, 0.25), rtol=1e-6)

    x, y = map(np.asarray, datasets.moons(key, 102, noise=0))
    np.testing.assert_allclose(np.hypot(*x[y == 0].T), 1, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(*(x[y == 1] - [1, 0.5]).T), 1, rtol=1e-5)
    assert x[y == 0, 1].min() >= -1e-6
    assert x[y == 1, 1].max() <= 0.5 + 1e-6

    x, y = map(np.asarray, datasets.spirals(key, 102, classes=3, noise=0, turns=2))
    r = np.hypot(*x.T)
    angle = 2 * np.pi * (2 * r + y / 3)
    np.testing.assert_allclose(x, r[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-5)
    assert 0.9 < r.max() <= 1
    np.testing.assert_allclose((r**2).mean(), 0.5, atol=0.1)

    x, y = map(np.asarray, datasets.blobs(key, 102, classes=4, dimensions=3, spread=0, radius=2))
    np.testing.assert_allclose(x, np.array([[2, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]])[y], atol=1e-6)


def test_noise_has_the_stated_deviation():
    x = datasets.blobs(jax.random.key(0), 3000, classes=1, spread=0.5, radius=0).x
    np.testing.assert_allclose(x.std(axis=0), 0.5, rtol=0.05)
    key = jax.random.key(2)
    for make in datasets.xor, datasets.moons, datasets.circles, datasets.spirals:
        shift = np.asarray(make(key, 102, noise=0.3).x) - np.asarray(make(key, 102, noise=0).x)
        np.testing.assert_allclose(shift.std(axis=0), 0.3, rtol=0.25)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda key: datasets.xor(n=8), r"exactly n=4 points, got n=8; pass key=jax.random.key\(0\)"),
        (lambda key: datasets.moons(0), r"moons expects a random key, got 0; pass"),
        (lambda key: datasets.moons(None), "got None"),
        (lambda key: datasets.blobs(key, 2), "at least one point for each of 3 classes, got 2"),
        (lambda key: datasets.spirals(key, 10, classes=0), "classes as a whole number of at least 1, got 0"),
        (lambda key: datasets.moons(key, noise=-0.1), "noise, a standard deviation, finite.*got -0.1"),
        (lambda key: datasets.moons(key, noise=float("nan")), "got nan"),
        (lambda key: datasets.circles(key, inner=1.5), r"in \(0, 1\), got 1.5"),
        (lambda key: datasets.blobs(key, dimensions=1), "at least 2, got 1"),
    ],
)
def test_bad_arguments_are_refused(make, expected):
    with pytest.raises((TypeError, ValueError), match=expected):
        make(jax.random.key(0))
