"""MNIST, handwritten digits: a subset in the package, the full set from four IDX files, or their download."""

import hashlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fnn.datasets.download import MNIST_FILES, cache_directory, download_mnist
from fnn.datasets.examples import Examples
from fnn.datasets.idx import read_idx, write_idx
from fnn.validation import require_flag, require_path

_EMBEDDED = Path(__file__).parent / "mnist_subset"
_EMBEDDED_SHA256 = {
    "train-images-idx3-ubyte": "61f83fe388c7ffc7b950f5bb359f1d4f6e94bfd5df5f42593323a7706423210d",
    "train-labels-idx1-ubyte": "ebcdcef028a720368035e2faa08c8d70fb88524002022bb675f7970a564215ef",
    "t10k-images-idx3-ubyte": "f0d1250f0e1c81ed67029fd6a06f6781e6a9151cec42d9fac4a16c7f77c0c06c",
    "t10k-labels-idx1-ubyte": "221abe75a4dacf229f1de7c9c10a0c614576749d93ef93f8a70bf32587b4ea2f",
}


class Mnist(NamedTuple):
    """Both parts of MNIST, or of a data set in its format; unpacks as `train, test = mnist()`."""

    train: Examples  # x (n, 28, 28) uint8, 0 is paper and 255 is ink; y (n,) int32, the digit
    test: Examples


def mnist(directory: str | os.PathLike | None = None, download: bool = False) -> Mnist:
    """Load MNIST as NumPy arrays that cannot be written to.

    By default this is a subset that comes with the package, the same on every machine and in need of no
    network: every 6th of the 60,000 training images and every 5th of the 10,000 test images (see
    ATTRIBUTION.md).

    Args:
        directory: where the four standard files train-images-idx3-ubyte, train-labels-idx1-ubyte,
            t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte are, plain or .gz. Other data in the same format
            (28 x 28 pixels, labels 0 to 9, such as Fashion-MNIST) is read as well.
        download: fetch the full set, 11 MB, into `cache_directory()` unless it is there already, and load it.

    Returns:
        train, test: images x (n, 28, 28) uint8 and labels y (n,) int32; 10,000 and 2,000 of them from the
        package, 60,000 and 10,000 in full.

    Raises:
        ValueError: both `directory` and `download` are given; or a file is damaged, or not what its name
            says.
        FileNotFoundError: `directory` lacks a file.
        ConnectionError: no mirror delivered a file; the message says how to go on by hand.

    Integrity:
        A plain IDX file has no checksum. So a file as long as MNIST's is compared with MNIST tenth by tenth:
        if some tenths are equal and some are not it is a damaged MNIST, which is an error, and if none is
        equal it is other data.

    Examples:
        >>> train, test = mnist()
        >>> train.x.shape, train.y.shape, test.x.shape, test.y.shape
        ((10000, 28, 28), (10000,), (2000, 28, 28), (2000,))
        >>> train.y[:5]
        array([5, 1, 3, 6, 1], dtype=int32)
    """
    if directory is not None and download:
        raise ValueError(
            "mnist expects a directory or download=True, got both; a download goes to "
            f"{cache_directory()} (set FNN_CACHE to choose where), a directory is only read"
        )
    if require_flag("mnist expects download", download):
        folder = download_mnist()  # has checked these very files; others that lie there as well are none of them
        return _load({name: folder / f"{name}.gz" for name in MNIST_FILES})
    if directory is not None:
        return _load(_find(require_path("mnist", directory)))
    return _load_embedded()


def _load_embedded() -> Mnist:
    loaded = _load(_find(_EMBEDDED))
    arrays = [array for part in loaded for array in part]
    for (name, expected), array in zip(_EMBEDDED_SHA256.items(), arrays, strict=True):
        received = hashlib.sha256(np.asarray(array, np.uint8).data).hexdigest()
        if received != expected:
            raise ValueError(
                f"{_EMBEDDED / name}.gz is damaged: expected content with SHA-256 {expected}, got "
                f"{received}; install fnn again"
            )
    return loaded


def _load(paths: dict[str, Path]) -> Mnist:
    return Mnist(
        train=_load_part(paths["train-images-idx3-ubyte"], paths["train-labels-idx1-ubyte"]),
        test=_load_part(paths["t10k-images-idx3-ubyte"], paths["t10k-labels-idx1-ubyte"]),
    )


def _find(directory: Path) -> dict[str, Path]:
    found = {name: path for name in MNIST_FILES for path in _spellings(directory, name) if path.is_file()}
    missing = [name for name in MNIST_FILES if name not in found]
    if missing:
        raise FileNotFoundError(
            f"mnist expects in {directory} the four files {', '.join(MNIST_FILES)} (plain or .gz), but "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; put them there, or use "
            "mnist(download=True) for the full set or mnist() for the subset that needs no files"
        )
    return found


def _spellings(directory: Path, name: str) -> list[Path]:
    # The last one that exists is taken: plain rather than compressed, with a hyphen rather than a dot.
    dotted = name.replace("-idx", ".idx")
    return [directory / spelling for spelling in (f"{dotted}.gz", dotted, f"{name}.gz", name)]


def _load_part(images: Path, labels: Path) -> Examples:
    x, y = read_idx(images), read_idx(labels)
    if x.dtype != np.uint8 or x.shape[1:] != (28, 28) or len(x) == 0:
        raise ValueError(
            f"{images}: expected images (n, 28, 28) of uint8, got {x.shape} of {x.dtype}; "
            "for data of another shape use fnn.datasets.idx.read_idx"
        )
    if y.dtype != np.uint8 or y.ndim != 1:
        raise ValueError(f"{labels}: expected labels (n,) of uint8, got {y.shape} of {y.dtype}; check the file")
    if len(x) != len(y):
        raise ValueError(
            f"expected one label an image, got {len(x):,} images in {images} and {len(y):,} labels in "
            f"{labels}; the two files do not belong together"
        )
    wrong = np.flatnonzero(y > 9)
    if wrong.size:
        raise ValueError(
            f"{labels}: expected labels 0 to 9, got {y[wrong[0]]} in row {wrong[0]} and {wrong.size:,} such "
            "rows in all; the file is damaged, or not of ten classes: then use fnn.datasets.idx.read_idx"
        )
    _refuse_damaged_mnist(images, x)
    _refuse_damaged_mnist(labels, y)
    y = y.astype(np.int32)
    x.setflags(write=False)
    y.setflags(write=False)
    return Examples(x, y)


def _refuse_damaged_mnist(path: Path, array: np.ndarray) -> None:
    known = MNIST_FILES[path.name.removesuffix(".gz").replace(".idx", "-idx")]
    if array.nbytes != known.n_entries:
        return
    equal = [zlib.crc32(part.data) == crc for part, crc in zip(np.split(array, 10), known.crc32_of_tenths, strict=True)]
    if any(equal) and not all(equal):
        tenth = len(array) // 10
        bad = ", ".join(f"{i * tenth}-{(i + 1) * tenth - 1}" for i in range(10) if not equal[i])
        raise ValueError(
            f"{path} is a damaged MNIST file: expected all rows as published, got other content in rows "
            f"{bad}; copy or download it again, or if it was changed on purpose read it with "
            "fnn.datasets.idx.read_idx"
        )


def _make_embedded(directory: str | os.PathLike, destination: str | os.PathLike) -> None:
    """Write the subset that the package embeds: every 6th training and every 5th test example of all.

    `mnist_subset` in this folder was made by `_make_embedded("where/the/four/files/are",
    "fnn/datasets/mnist_subset")`.
    """
    full = _load(_find(Path(directory)))
    for part, name, step in ((full.train, "train", 6), (full.test, "t10k", 5)):
        write_idx(Path(destination, f"{name}-images-idx3-ubyte.gz"), np.asarray(part.x)[::step])
        write_idx(Path(destination, f"{name}-labels-idx1-ubyte.gz"), np.asarray(part.y, np.uint8)[::step])
