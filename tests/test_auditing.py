import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnn import datasets
from fnn.preprocessing import Finding, audit, one_hot


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


@pytest.fixture
def y():
    return np.random.default_rng(1).integers(0, 3, 60).astype(np.int32)


def only(report) -> Finding:
    assert len(report.findings) == 1, report
    return report.findings[0]


def expect(report, severity, topic, message, rows=(), features=()):
    """The report holds this one finding and no other."""
    finding = only(report)
    assert (finding.severity, finding.topic, finding.rows, finding.features) == (severity, topic, rows, features)
    assert message in finding.message
    assert finding.message.startswith("expected ")
    assert "; " in finding.message  # what to do
    assert report.ok == (severity != "error")


def test_good_data_has_no_findings(x, y):
    report = audit(x, y)
    assert report.ok
    assert report.findings == ()
    report.assert_ok()
    assert str(report) == "audit of x (60, 4) float32, y (60,) int32: 0 errors, 0 warnings, 0 notes"
    assert not audit(jnp.asarray(x), jnp.asarray(y)).findings
    assert not audit(x, one_hot(y, 3)).findings
    assert not audit(x, x[:, :2] ** 2).findings  # a regression
    for make in datasets.moons, datasets.circles, datasets.spirals, datasets.blobs:
        assert not audit(*make(jax.random.key(0))).findings


def test_inputs_are_not_changed(x, y):
    x[3, 1] = np.nan
    before = x.copy(), y.copy()
    audit(x, y)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_report_lists_the_worst_first_and_prints(x, y):
    x[:, 0] = 5
    x[7, 2] = np.inf
    y = y.copy()
    y[4] = -1
    report = audit(x.astype(np.float64), y)
    assert [finding.severity for finding in report.findings] == ["error", "error", "note", "note"]
    assert not report.ok
    assert repr(report) == str(report)
    lines = str(report).splitlines()
    assert lines[0] == "audit of x (60, 4) float64, y (60,) int32: 2 errors, 0 warnings, 2 notes"
    assert lines[1].startswith("  error    label range: expected labels from 0, got -1 in row 4; ")
    assert len(lines) == 5
    with pytest.raises(AssertionError, match="2 errors"):
        report.assert_ok()


# What makes the rest pointless


@pytest.mark.parametrize(
    ("x", "y", "topic", "message"),
    [
        (np.zeros(5), np.zeros(5, int), "shape", "got (5,); for one feature pass x[:, None]"),
        (np.zeros((5, 2)), np.zeros(4, int), "length", "got (4,) and (5, 2)"),
        (np.zeros((5, 2)), np.int32(1), "length", "got () and (5, 2)"),
        (np.zeros((0, 2)), np.zeros(0, int), "empty", "got x of shape (0, 2) and y of shape (0,)"),
        (np.zeros((5, 0)), np.zeros(5, int), "empty", "got x of shape (5, 0)"),
        (np.array([["a"], ["b"]]), np.zeros(2, int), "type", "real numbers in x, got <U1; encode"),
        (np.zeros((2, 1)), np.array(["cat", "dog"]), "type", "real numbers in y, got <U3; np.unique("),
        (np.ones((2, 1), complex), np.zeros(2, int), "type", "got complex128"),
    ],
)
def test_wrong_shapes_and_types(x, y, topic, message):
    expect(audit(x, y), "error", topic, message)


# Rows of x


def test_rows_that_are_not_finite(x, y):
    x[3, 1], x[5], x[41, 0] = np.nan, np.inf, -np.inf
    expect(audit(x, y), "error", "not finite", "in x, got NaN or infinity in rows 3, 5, 41; leave", rows=(3, 5, 41))
    x[:] = np.nan
    expect(audit(x, y), "error", "not finite", "rows 0, 1, 2, 3, 4 and 55 more", rows=tuple(range(60)))


def test_duplicates_and_contradictions(x, y):
    x[10], y[10] = x[3], y[3]
    x[20], y[20] = x[3], (y[3] + 1) % 3
    report = audit(x, y)
    assert [(f.severity, f.topic, f.rows) for f in report.findings] == [
        ("warning", "duplicates", (10,)),
        ("warning", "contradictions", (20,)),
    ]
    assert "row 10 repeats row 3" in report.findings[0].message
    assert "row 20 repeats row 3" in report.findings[1].message
    assert report.ok


def test_row_numbers_count_the_rows_left_out(x, y):
    x[0, 0] = np.nan
    x[10], y[10] = x[3], y[3]
    x[12] = 0
    report = audit(x, y)
    assert {f.topic: f.rows for f in report.findings} == {"not finite": (0,), "duplicates": (10,), "zero rows": (12,)}
    assert "row 10 repeats row 3" in str(report)


def test_rows_with_the_same_hash_are_no_duplicates(x, y, monkeypatch):
    monkeypatch.setattr("fnn.preprocessing.auditing.features.hash", lambda _: 0, raising=False)
    assert not audit(x, y).findings


def test_rows_of_zeros(x, y):
    x[8] = 0
    expect(audit(x, y), "note", "zero rows", "got only zeros in row 8", rows=(8,))


def test_outliers(x, y):
    x[17, 2] = 60
    expect(audit(x, y), "warning", "outliers", "got row 17 far outside in feature 2", rows=(17,), features=(2,))
    x[30, 0] = -80
    expect(audit(x, y), "warning", "outliers", "rows 17, 30 far", rows=(17, 30), features=(0, 2))


def test_broad_distributions_have_no_outliers():
    rng = np.random.default_rng(0)
    x = np.where(rng.random((400, 3)) < 0.3, rng.uniform(0, 90, (400, 3)), rng.uniform(0, 0.1, (400, 3)))
    y = rng.integers(0, 2, 400)
    assert not audit(x.astype(np.float32), y).findings


# Columns of x


def test_constant_features(x, y):
    x[:, [1, 3]] = 2, -1
    expect(audit(x, y), "note", "constant", "got 2 of 4 constant (1, 3)", features=(1, 3))


def test_features_of_very_different_scale(x, y):
    x[:, 2] *= 0.0001
    expect(audit(x, y), "warning", "scales", "in feature 2; scale with", features=(int(np.ptp(x, 0).argmax()), 2))


def test_large_numbers(x, y):
    expect(audit(x * 1000 - 500, y), "warning", "not scaled", "scale with fnn.preprocessing.standardize")


def test_images_that_are_not_scaled(y):
    images = np.random.default_rng(0).integers(0, 256, (60, 5, 5), dtype=np.uint8)
    expect(audit(images, y), "warning", "not scaled", "got uint8 from 0 to 255; put fnn.rescale(1 / 255) first")
    expect(audit(images.astype(np.float32), y), "warning", "not scaled", "got 0 to 255; divide pixels by 255")
    expect(audit(images.astype(np.int64), y), "warning", "not scaled", "got int64 from 0 to 255; scale with")
    assert not audit(images / np.float32(255), y).findings


def test_float64(x, y):
    expect(audit(x.astype(np.float64), y), "note", "float64", "x.astype(np.float32)")


@pytest.mark.parametrize("code", [lambda y: y, lambda y: 5 - 2 * y])
def test_a_feature_that_tells_the_label(x, y, code):
    x[:, 3] = code(y)
    expect(audit(x, y), "warning", "leakage", "got y itself in feature 3", features=(3,))


def test_a_feature_that_is_the_target(x):
    expect(audit(x, x[:, [2]] * np.float32(1)), "warning", "leakage", "in feature 2", features=(2,))
    assert not audit(x, 3 * x[:, [2]] + 1).findings  # a line to be learnt


def test_a_feature_that_tells_the_sampled_rows_only_is_no_leak(monkeypatch, x, y):
    monkeypatch.setattr("fnn.preprocessing.auditing.features._SAMPLE", 20)
    x[::3, 0] = y[::3]
    assert not audit(x, y).findings
    x[:, 0] = y
    assert only(audit(x, y)).topic == "leakage"


# Labels and targets


def test_labels_out_of_range(x, y):
    y[[5, 9]] = -1, -7
    expect(audit(x, y), "error", "label range", "from 0, got -1 in rows 5, 9; correct", rows=(5, 9))
    y[[5, 9]] = 3, 4
    expect(audit(x, y, n_classes=3), "error", "label range", "from 0 to 2, got 3 in rows 5, 9", rows=(5, 9))


def test_missing_classes(x, y):
    expect(audit(x, y, n_classes=5), "warning", "missing classes", "of 5 classes, got none of 2: 3, 4; number")
    expect(audit(x, y + 1), "warning", "missing classes", "of 4 classes, got none of 1: 0;")
    expect(audit(x, y * 1_000_000), "warning", "missing classes", "got none of 1999998: 1, 2, 3, 4, 5 ...;")
    rows = np.concatenate([one_hot(y, 3), np.zeros((60, 1), np.float32)], axis=1)
    expect(audit(x, rows), "warning", "missing classes", "of 4 classes, got none of 1: 3;")


def test_imbalance(x):
    y = np.array([1] * 3 + [0] * 57)[np.random.default_rng(0).permutation(60)]
    expect(audit(x, y), "warning", "imbalance", "got 3 of class 1 and 57 of class 0; pass weights")
    expect(audit(x, one_hot(y, 2)), "warning", "imbalance", "got 3 of class 1 and 57 of class 0")


def test_one_class(x):
    expect(audit(x, np.zeros(60, int)), "warning", "one class", "got only 0;")


def test_labels_that_are_not_classes(x):
    y = np.random.default_rng(0).permutation(60)
    expect(audit(x, y), "warning", "label type", "got 60 different labels in 60 rows")


def test_sorted_labels(x, y):
    expect(audit(x, np.sort(y)), "note", "sorted", "shuffle before")


def test_label_shapes_and_types(x, y):
    expect(audit(x, y[:, None]), "error", "label shape", "got (60, 1); pass y[:, 0]")
    expect(audit(x, y > 0), "warning", "label type", "got bool; pass y.astype(np.int32)")
    expect(audit(x, one_hot(y, 3, np.int32)), "warning", "label type", "got int32 (60, 3); pass y.astype(np.float32)")
    expect(audit(x, y.astype(np.float32)), "warning", "target shape", "got 3 different whole numbers as float32 (60,)")
    expect(audit(x, x[:, 0] ** 2), "warning", "target shape", "got numbers as float32 (60,); pass y[:, None]")
    assert not audit(x, x[:, [0]] ** 2).findings


def test_targets_that_are_not_finite(x):
    y = x[:, :2] ** 2
    y[[4, 6], 1] = np.nan, np.inf
    expect(audit(x, y), "error", "not finite", "in y, got NaN or infinity in rows 4, 6", rows=(4, 6))


def test_rows_that_do_not_sum_to_one(x, y):
    rows = one_hot(y, 3)
    rows[2] = 0
    rows[50] = 0.5
    expect(audit(x, rows), "error", "row sums", "that sum to 1, got 0 in rows 2, 50; divide", rows=(2, 50))
    many = (np.random.default_rng(2).random((60, 5)) < 0.5).astype(np.float32)
    assert only(audit(x, many)).topic == "several labels"
    assert audit(x, many).ok


def test_huge_values_do_not_break_the_audit(x, y):
    x = x.astype(np.float64)
    x[3] = 1e308, -1e308, 1e308, -1e308
    topics = {finding.topic for finding in audit(x, y).findings}
    assert topics == {"float64", "not scaled", "outliers"}


def test_embedded_digits_are_in_order():
    train, _ = datasets.mnist()
    report = audit(*train)
    assert report.ok
    assert [finding.topic for finding in report.findings] == ["not scaled", "constant"]
    assert len(report.findings[1].features) == 121
    assert [finding.topic for finding in audit(train.x / np.float32(255), train.y).findings] == ["constant"]


def test_audit_of_60000_images_takes_under_two_seconds():
    x = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    y = np.arange(60_000) * 7 % 10
    start = time.perf_counter()
    assert only(audit(x, y)).topic == "not scaled"
    assert time.perf_counter() - start < 2
