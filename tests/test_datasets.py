import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from fnn import datasets
from fnn.datasets import digits, download
from fnn.datasets.idx import read_idx, write_idx

NAMES = list(download.MNIST_FILES)


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def test_embedded_digits_are_the_published_ones():
    train, test = datasets.mnist()
    assert train.x.shape == (10000, 28, 28)
    assert test.x.shape == (2000, 28, 28)
    for part in train, test:
        assert (part.x.dtype, part.y.dtype) == (np.uint8, np.int32)
        assert not part.x.flags.writeable
        assert not part.y.flags.writeable
    # Counted and summed in the full files, with other code than the package's.
    assert np.bincount(train.y).tolist() == [941, 1132, 1032, 1022, 958, 925, 997, 1026, 978, 989]
    assert np.bincount(test.y).tolist() == [189, 222, 212, 242, 196, 186, 158, 215, 193, 187]
    assert train.x.sum(dtype=np.int64) == 245_743_099
    assert test.x.sum(dtype=np.int64) == 53_135_815
    assert (train.x[0].sum(), train.x[-1].sum(), test.x[0].sum(), test.x[-1].sum()) == (
        27525,
        9627,
        18454,
        38773,
    )
    # MNIST's training labels begin 504192 131435 3..., its test labels 72104 14959 0...
    assert train.y[:3].tolist() == [5, 1, 3]
    assert test.y[:3].tolist() == [7, 1, 0]
    assert sha256(train.x) == "61f83fe388c7ffc7b950f5bb359f1d4f6e94bfd5df5f42593323a7706423210d"
    assert sha256(test.x) == "f0d1250f0e1c81ed67029fd6a06f6781e6a9151cec42d9fac4a16c7f77c0c06c"


def test_embedded_files_are_small_and_attributed():
    folder = Path(datasets.__file__).parent
    assert sum(path.stat().st_size for path in (folder / "mnist_subset").iterdir()) < 2_500_000
    attribution = (folder / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for word in "LeCun", "Cortes", "Burges", "NIST", "Attribution-Share Alike 3.0", "every 6th", "every 5th":
        assert word in attribution


@pytest.mark.parametrize("name", NAMES)
def test_embedded_files_that_were_changed_are_refused(tmp_path, monkeypatch, name):
    for path in digits._EMBEDDED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    array = read_idx(tmp_path / f"{name}.gz")
    array.flat[5] ^= 1
    (tmp_path / f"{name}.gz").unlink()
    write_idx(tmp_path / name, array)
    monkeypatch.setattr(digits, "_EMBEDDED", tmp_path)
    with pytest.raises(ValueError, match=f"{name}.gz is damaged: expected content with SHA-256 .*install fnn again"):
        datasets.mnist()


def test_importing_fnn_loads_no_data():
    code = (
        "import sys, builtins; opened = []; real = open\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        "import fnn.datasets\n"
        "assert any(name.endswith('.py') or '.pyc' in name for name in opened), opened\n"
        "assert not [name for name in opened if 'ubyte' in name], opened\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(datasets.__file__).parents[2])


def small_mnist(n_train=30, n_test=20):
    rng = np.random.default_rng(0)
    for name, n in ("train", n_train), ("t10k", n_test):
        yield f"{name}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        yield f"{name}-labels-idx1-ubyte", rng.integers(0, 10, n, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name, array in small_mnist():
        write_idx(tmp_path / name, array)
    return tmp_path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dotted", [False, True])
def test_directory_takes_every_usual_spelling(tmp_path, suffix, dotted):
    arrays = dict(small_mnist())
    for name, array in arrays.items():
        write_idx(tmp_path / ((name.replace("-idx", ".idx") if dotted else name) + suffix), array)
    train, test = datasets.mnist(str(tmp_path))
    for received, name in zip([train.x, train.y, test.x, test.y], NAMES, strict=True):
        np.testing.assert_array_equal(received, arrays[name])
        assert not received.flags.writeable
    assert train.y.dtype == np.int32


def test_missing_files_are_named(folder):
    (folder / NAMES[1]).unlink()
    with pytest.raises(FileNotFoundError, match=f"but {NAMES[1]} is missing; put them there, or use mnist"):
        datasets.mnist(folder)
    (folder / NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError, match=f"but {NAMES[1]}, {NAMES[2]} are missing"):
        datasets.mnist(folder)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        datasets.mnist(folder / "nowhere")


WRONG = {
    "shape": (
        NAMES[0],
        np.zeros((30, 27, 28), np.uint8),
        r"expected images \(n, 28, 28\) of uint8, got \(30, 27, 28\)",
    ),
    "type": (NAMES[0], np.zeros((30, 28, 28), np.int8), "got .* of int8"),
    "none": (NAMES[0], np.zeros((0, 28, 28), np.uint8), r"got \(0, 28, 28\)"),
    "scalar": (NAMES[0], np.uint8(3), r"got \(\) of uint8"),
    "swapped": (
        NAMES[1],
        np.zeros((30, 28, 28), np.uint8),
        r"expected labels \(n,\) of uint8, got \(30, 28, 28\)",
    ),
    "label type": (
        NAMES[3],
        np.zeros(20, np.int32),
        r"expected labels \(n,\) of uint8, got \(20,\) of int32",
    ),
    "count": (NAMES[3], np.zeros(19, np.uint8), "got 20 images in .* and 19 labels in"),
    "range": (
        NAMES[3],
        np.array([0] * 17 + [10, 3, 200], np.uint8),
        "got 10 in row 17 and 2 such rows in all",
    ),
}


@pytest.mark.parametrize(("name", "array", "expected"), WRONG.values(), ids=WRONG)
def test_files_that_are_not_mnist_are_refused(folder, name, array, expected):
    write_idx(folder / name, array)
    with pytest.raises(ValueError, match=expected) as caught:
        datasets.mnist(folder)
    assert name in str(caught.value)


@pytest.fixture
def known_folder(folder, monkeypatch):
    """A folder whose files play the part of the published ones."""
    known = {name: published(read_idx(folder / name)) for name in NAMES}
    monkeypatch.setattr(digits, "MNIST_FILES", known)
    return folder


def published(array):
    tenths = tuple(zlib.crc32(part.tobytes()) for part in np.split(array, 10))
    return download.MnistFile("", 0, array.nbytes, tenths)


def test_flipped_bits_in_plain_mnist_files_are_refused(known_folder):
    datasets.mnist(known_folder)
    contents = {name: (known_folder / name).read_bytes() for name in NAMES}
    rng = np.random.default_rng(0)
    for trial in range(1000):
        name = NAMES[trial % 4]
        changed = bytearray(contents[name])
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        (known_folder / name).write_bytes(changed)
        with pytest.raises(ValueError, match=name):
            datasets.mnist(known_folder)
        (known_folder / name).write_bytes(contents[name])


def test_damage_says_which_rows(known_folder):
    array = read_idx(known_folder / NAMES[0])
    array[4, 3, 2] ^= 1
    write_idx(known_folder / NAMES[0], array)
    with pytest.raises(ValueError, match=r"damaged MNIST file.*other content in rows 3-5; copy.*on purpose"):
        datasets.mnist(known_folder)


def test_other_data_in_the_same_format_is_not_called_damaged(known_folder):
    fashion = np.random.default_rng(1).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    write_idx(known_folder / NAMES[0], fashion)
    np.testing.assert_array_equal(datasets.mnist(known_folder).train.x, fashion)


def test_the_subset_is_every_6th_and_every_5th_example(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    digits._make_embedded(folder, out)
    full, small = datasets.mnist(folder), datasets.mnist(out)
    np.testing.assert_array_equal(small.train.x, full.train.x[[0, 6, 12, 18, 24]])
    np.testing.assert_array_equal(small.train.y, full.train.y[[0, 6, 12, 18, 24]])
    np.testing.assert_array_equal(small.test.x, full.test.x[[0, 5, 10, 15]])
    np.testing.assert_array_equal(small.test.y, full.test.y[[0, 5, 10, 15]])
