import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnn.preprocessing import batches, min_max, one_hot, scaling, split, standardize

FITS = [min_max, standardize]


def column(*values, dtype=np.float64):
    return np.array(values, dtype)[:, None]


# Scaling


def test_min_max_by_hand():
    scaler = min_max(column(2, 4, 6))
    assert (scaler.low.tolist(), scaler.high.tolist()) == ([2], [6])
    assert scaler.apply(column(2, 3, 6, 8)).ravel().tolist() == [0, 0.25, 1, 1.5]


def test_standardize_by_hand():
    scaler = standardize(column(2, 4, 4, 4, 5, 5, 7, 9))  # mean 5, mean square deviation 4
    assert (scaler.mean.tolist(), scaler.std.tolist()) == ([5], [2])
    assert scaler.apply(column(5, 1, 8)).ravel().tolist() == [0, -2, 1.5]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("axis", [0, None])
def test_invert_undoes_apply(fit, array, axis):
    x = array(np.random.default_rng(0).normal(3, 2, (50, 2, 3)).astype(np.float32))
    scaler = fit(x, axis)
    assert all(value.shape == ((2, 3) if axis == 0 else ()) for value in scaler)
    scaled = scaler.apply(x)
    assert isinstance(scaled, jax.Array) == isinstance(x, jax.Array)
    assert all(isinstance(value, jax.Array) == isinstance(x, jax.Array) for value in scaler)
    np.testing.assert_allclose(scaler.invert(scaled), x, rtol=1e-5, atol=1e-5)
    assert not np.allclose(scaled, x, atol=0.1)


@pytest.mark.parametrize("axis", [0, None])
def test_training_part_gets_the_stated_range_and_moments(axis):
    x = np.random.default_rng(0).normal(3, 2, (200, 5)).astype(np.float32)
    scaled = min_max(x, axis).apply(x)
    np.testing.assert_array_equal(scaled.min(axis=axis), 0)
    np.testing.assert_array_equal(scaled.max(axis=axis), 1)
    scaled = standardize(x, axis).apply(x)
    np.testing.assert_allclose(scaled.mean(axis=axis), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=axis), 1, rtol=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_scalers_are_pytrees_that_work_inside_jit(fit):
    x = jnp.arange(12.0, dtype=jnp.float32).reshape(4, 3) ** 2
    scaler = fit(x)
    assert len(jax.tree.leaves(scaler)) == 2
    compiled = jax.jit(lambda scaler, x: scaler.invert(scaler.apply(x)))
    np.testing.assert_allclose(compiled(scaler, x), x, atol=1e-4)
    np.testing.assert_allclose(jax.jit(fit(np.asarray(x)).apply)(x), scaler.apply(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("value", [0.1, -7.0, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_become_zero_and_come_back(fit, value, dtype):
    x = np.full((97, 1), value, dtype)
    scaler = fit(x)
    assert not scaler.apply(x).any()
    np.testing.assert_array_equal(scaler.invert(scaler.apply(x)), x)
    np.testing.assert_allclose(scaler.apply(x + 1), 1, rtol=1e-5)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("uint8", "float32"), ("bool", "float32"), ("float16", "float32"), ("int32", "float64"), ("float64", "float64")],
)
def test_type_of_numpy_data(fit, dtype, expected):
    x = np.array([[0, 1], [1, 0], [1, 1]], dtype)
    before = x.copy()
    scaler = fit(x)
    assert scaler.apply(x).dtype == scaler[0].dtype == scaler[1].dtype == expected
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("fit", FITS)
def test_type_of_jax_data(fit):
    for dtype in jnp.uint8, jnp.int32, jnp.bfloat16, jnp.float32:
        x = jnp.array([[0, 1], [1, 0]], dtype)
        assert fit(x).apply(x).dtype == fit(x)[0].dtype == jnp.float32
    with jax.enable_x64(True):
        x = jnp.array([[0, 1], [1, 0]], jnp.float64)
        assert fit(x).apply(x).dtype == fit(x)[0].dtype == jnp.float64


def test_bytes_do_not_wrap():
    x = np.array([[200], [250], [10]], np.uint8)
    np.testing.assert_allclose(min_max(x).apply(x).ravel(), [190 / 240, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(standardize(x).apply(x).mean(), 0, atol=1e-6)
    np.testing.assert_allclose(min_max(np.array([[-100], [100]], np.int8)).apply(np.int8([[0]])), 0.5)


def test_float64_is_not_cut_to_float32():
    x = column(1e9, 1e9 + 1, 1e9 + 2)  # equal in float32
    np.testing.assert_array_equal(min_max(x).apply(x).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(standardize(x).apply(x).ravel(), np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-12)


def test_float32_moments_are_exact_at_a_large_offset():
    x = column(4096, 4097, 4098, dtype=np.float32) * np.float32(1024)
    np.testing.assert_allclose(standardize(x).std, 1024 * np.sqrt(2 / 3), rtol=1e-6)


def test_moments_over_several_blocks(monkeypatch):
    x = np.random.default_rng(0).normal(5, 3, (103, 4))
    monkeypatch.setattr(scaling, "_BLOCK", 40)
    for axis in 0, None:
        np.testing.assert_allclose(standardize(x, axis).std, x.std(axis=axis), rtol=1e-12)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (column(1, np.nan, 2, np.inf), r"expects finite numbers, got NaN or infinity in rows 1, 3; leave"),
        (np.zeros((0, 3)), r"at least one example, got x of shape \(0, 3\); pass rows"),
        (np.float64(3), r"at least one example, got x of shape \(\)"),
        (np.array([["a"], ["b"]]), "expects real numbers, got x of type <U1; encode"),
        (np.array([[1j]]), "got x of type complex128"),
    ],
)
def test_data_that_cannot_be_scaled_is_refused(fit, x, expected):
    with pytest.raises(ValueError, match=f"{fit.__name__} expects .*{expected.removeprefix('expects ')}"):
        fit(x)


@pytest.mark.parametrize("fit", FITS)
def test_many_bad_rows_are_counted(fit):
    with pytest.raises(ValueError, match="in rows 0, 1, 2, 3, 4 and 7 more; leave"):
        fit(np.full((12, 2), np.nan))
    with pytest.raises(ValueError, match="infinity in row 2; leave"):
        fit(column(1, 2, -np.inf), axis=None)


@pytest.mark.parametrize("fit", FITS)
def test_nothing_is_broadcast(fit):
    scaler = fit(np.ones((4, 3)))
    for x in np.ones((5, 1)), np.ones((5, 4)), np.ones(3), jnp.ones((5, 1)):
        with pytest.raises(ValueError, match=r"of shape \(3,\) expects x of shape \('n', 3\), got .*; for one example"):
            scaler.apply(x)
    with pytest.raises(ValueError, match=r"axis 0 \(each feature\) or None \(all together\), got 1; examples"):
        fit(np.ones((4, 3)), axis=1)


# One-hot rows


def test_one_hot_rows():
    labels = np.array([2, 0, 1, 2])
    np.testing.assert_array_equal(one_hot(labels, 4), np.eye(4)[labels])
    assert one_hot(labels, 3).dtype == np.float32
    assert one_hot(labels, 3, np.float64).dtype == np.float64
    assert one_hot(np.array([0, 255], np.uint8), 256).argmax(axis=1).tolist() == [0, 255]
    rows = one_hot(jnp.array([1, 0]), 2)
    assert isinstance(rows, jax.Array)
    assert rows.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 3, 2, 3], "labels 0 to 2 for n_classes=3, got 3 in rows 2, 4; correct the labels or raise n_classes"),
        ([0, -1], "got -1 in row 1;"),
        ([0.0, 1.0], r"integer labels, got float32; pass labels.astype\(np.int32\)"),
        ([True, False], "integer labels, got bool"),
        ([[0], [1]], r"shape \(n,\), got \(2, 1\); for a column pass labels\[:, 0\]"),
    ],
)
def test_labels_that_have_no_row_are_refused(array, labels, expected):
    labels = np.array(labels)
    labels = array(labels.astype({"f": np.float32, "i": np.int32}.get(labels.dtype.kind, labels.dtype)))
    with pytest.raises(ValueError, match=expected):
        one_hot(labels, 3)


# Splitting


def numbered(n, n_classes=2):
    return np.arange(n, dtype=np.float32)[:, None], np.arange(n) % n_classes


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_split_deals_every_example_once(stratify, array):
    x, y = map(array, numbered(40))
    train, held_out = split(jax.random.key(0), x, y, fraction=0.25, stratify=stratify)
    assert (len(train.x), len(held_out.x)) == (30, 10)
    assert type(train.x) is type(x)
    every = np.concatenate([train.x, held_out.x]).ravel()
    assert sorted(every) == list(range(40))
    assert every.tolist() != sorted(every)
    np.testing.assert_array_equal(np.concatenate([train.y, held_out.y]), every % 2)
    assert np.diff(train.x.ravel()).min() < 0  # each part is shuffled too
    assert np.diff(held_out.x.ravel()).min() < 0


def test_one_key_gives_one_split():
    x, y = numbered(40)
    first, again, other = (split(jax.random.key(seed), x, y).held_out.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert sorted(first.ravel()) != sorted(other.ravel())
    assert len(first) == 8


def test_stratified_parts_have_equal_shares_of_each_class():
    y = np.array([0] * 50 + [1] * 30 + [7] * 20)
    train, held_out = split(jax.random.key(0), np.zeros((100, 1)), y, fraction=0.1, stratify=True)
    assert np.unique(held_out.y, return_counts=True)[1].tolist() == [5, 3, 2]
    assert np.unique(train.y, return_counts=True)[1].tolist() == [45, 27, 18]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"y": np.zeros(9)}, "as many rows of y as of x, and at least one, got 10 of x and 9 of y"),
        ({"x": np.zeros((0, 1)), "y": np.zeros(0)}, "got 0 of x and 0 of y"),
        ({"fraction": 0}, r"fraction in \(0, 1\), got 0; 0.2 holds out"),
        ({"fraction": 1.0}, "got 1.0"),
        ({"fraction": float("nan")}, "got nan"),
        ({"fraction": 0.01}, "both parts to get an example, got 0 of 10 held out with fraction=0.01; change"),
        ({"fraction": 0.99}, "got 10 of 10"),
        ({"y": np.zeros(10), "stratify": True}, r"integer labels \(n,\) to stratify by, got float64 \(10,\); use"),
        ({"key": 0}, "a random key, got 0; pass"),
    ],
)
def test_bad_splits_are_refused(change, expected):
    x, y = numbered(10)
    arguments = {"key": jax.random.key(0), "x": x, "y": y} | change
    with pytest.raises((TypeError, ValueError), match=f"split expects .*{expected}"):
        split(**arguments)


# Batches


@pytest.mark.parametrize("batch_size", [1, 3, 4, 12])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_deal_every_example_once(batch_size, shuffle):
    x, y = numbered(12, 5)
    dealt = list(batches(jax.random.key(0) if shuffle else None, x, y, batch_size))
    assert [len(batch.x) for batch in dealt] == [batch_size] * (12 // batch_size)
    order = np.concatenate([batch.x for batch in dealt]).ravel()
    assert sorted(order) == list(range(12))
    assert (order.tolist() == sorted(order)) != shuffle
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in dealt]), order % 5)


def test_last_batch_is_smaller():
    x, y = numbered(11)
    assert [len(batch.y) for batch in batches(jax.random.key(0), x, y, 4)] == [4, 4, 3]
    assert [len(batch.y) for batch in batches(None, x, y, 4)] == [4, 4, 3]


def test_one_key_gives_one_order():
    x, y = numbered(12)
    first, again, other = (np.concatenate([b.x for b in batches(jax.random.key(s), x, y, 5)]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def test_batches_of_a_memory_map_are_read_when_they_are_asked_for(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(6, 2))
    dealt = batches(None, x, np.arange(6), 4)
    x[:] = 7
    assert next(dealt).x.tolist() == [[7, 7]] * 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"batch_size": 0}, "from 1 to the 10 examples, got 0"),
        ({"batch_size": 11}, "got 11"),
        ({"y": np.zeros(9)}, "got 10 of x and 9 of y"),
        ({"key": 3}, "a random key, got 3"),
    ],
)
def test_bad_batches_are_refused_at_the_call(change, expected):
    x, y = numbered(10)
    with pytest.raises((TypeError, ValueError), match=f"batches expects .*{expected}"):
        batches(**{"key": None, "x": x, "y": y, "batch_size": 2} | change)
