"""Random shifts: where pixels go, that a batch moves as one, and that evaluation stays where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnn

X = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5) + 1


def places(x, y, pixels):
    """All (u, v) with y[a, b] = x[a + u, b + v]."""
    h, w = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (pixels, pixels), (pixels, pixels)])
    span = range(2 * pixels + 1)
    moved = {(u - pixels, v - pixels): padded[:, u : u + h, v : v + w] for u in span for v in span}
    return [place for place, image in moved.items() if np.array_equal(image, y)]


def test_a_batch_moves_as_one_by_every_offset_in_turn():
    layer, seen = fnn.random_shift(1), set()
    for seed in range(60):
        (y, state), _ = layer.fwd((), jnp.asarray(X), (), jax.random.key(seed))
        assert y.dtype == jnp.uint8
        assert state == ()
        (place,) = places(X, np.asarray(y), 1)
        seen.add(place)
    assert len(seen) == 9


def test_evaluation_changes_nothing():
    np.testing.assert_array_equal(fnn.random_shift(2).forward((), X), X)


@pytest.mark.parametrize("pixels", [0, 1.0, -1])
def test_pixels_are_counted(pixels):
    with pytest.raises(ValueError, match="whole number of at least 1, got"):
        fnn.random_shift(pixels)


def test_errors():
    with pytest.raises(ValueError, match="needs a random key in training"):
        fnn.random_shift(1).fwd((), X, (), None)
    with pytest.raises(ValueError, match="put it before flatten"):
        fnn.serial(fnn.flatten, fnn.random_shift(1)).init(jax.random.key(0), (4, 5))
