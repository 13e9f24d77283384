import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fnn.datasets.idx import read_idx, write_idx

TYPES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx_bytes(code, sizes, payload):
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes) + payload


def damaged(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture
def digits(tmp_path):
    """A small stand-in for an MNIST image file: 12 images of 7 x 5."""
    array = np.random.default_rng(0).integers(0, 256, (12, 7, 5), dtype=np.uint8)
    write_idx(tmp_path / "plain", array)
    write_idx(tmp_path / "zipped.gz", array)
    return array, tmp_path


@pytest.mark.parametrize("name", TYPES)
def test_bytes_of_a_file_are_those_of_the_specification(tmp_path, name):
    array = np.array([[1, 2, 3], [4, 5, 100]], dtype=name)
    write_idx(tmp_path / "a", array)
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    assert (tmp_path / "a").read_bytes() == idx_bytes(TYPES[name], (2, 3), big_endian.tobytes())


def test_reads_bytes_written_by_hand(tmp_path):
    path = damaged(tmp_path / "a", b"\0\0\x0b\x01\0\0\0\x02" + b"\x01\x00" + b"\xff\xfe")
    array = read_idx(path)
    assert array.tolist() == [256, -2]
    assert array.dtype == np.int16
    assert array.dtype.isnative


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(sorted(TYPES)).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=4))
    ),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_what_is_written_is_read(tmp_path_factory, array, suffix):
    path = tmp_path_factory.mktemp("idx") / f"a{suffix}"
    write_idx(path, array)
    received = read_idx(path)
    assert received.shape == array.shape
    assert received.dtype == array.dtype
    assert received.tobytes() == array.tobytes()
    assert received.flags.writeable


def test_non_contiguous_and_big_endian_arrays_are_written_as_their_values(tmp_path):
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::2]
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def test_compression_is_recognised_by_content(digits):
    array, folder = digits
    (folder / "zipped.gz").rename(folder / "zipped")
    (folder / "plain").rename(folder / "plain.gz")
    np.testing.assert_array_equal(read_idx(folder / "zipped"), array)
    np.testing.assert_array_equal(read_idx(folder / "plain.gz"), array)


def test_gzip_files_of_several_members_are_read(tmp_path):
    content = idx_bytes(8, (4,), b"abcd")
    path = damaged(tmp_path / "a.gz", gzip.compress(content[:7]) + gzip.compress(content[7:]))
    assert bytes(read_idx(path)) == b"abcd"


NOT_IDX = {
    "empty": (b"", "expected it to start with 00 00.*got an empty file.*check that"),
    "short": (b"\0\0\x08", "got 00 00 08"),
    "picture": (b"\x89PNG\r\n", "not an IDX file.*got 89 50 4e 47"),
    "type": (b"\0\0\x0a\x01\0\0\0\x01a", "type code.*got 00 00 0a 01"),
    "sizes": (b"\0\0\x08\x03\0\0\0\x01\0\0", "expected 3 dimension sizes.*got 6 bytes"),
    "overflow": (idx_bytes(14, (2**32 - 1,) * 3, b"abcd"), r"expected 633,825,299\S+ bytes, as its header"),
    "wraps to 0": (idx_bytes(8, (2**16,) * 4, b""), "18,446,744,073,709,551,636 bytes, as its header"),
    "dimensions": (idx_bytes(8, (1,) * 200, b"a"), "that a NumPy array can have, got 200 dimensions"),
    "huge but empty": (idx_bytes(8, (0,) + (2**32 - 1,) * 3, b""), "that a NumPy array can have, got 4"),
}
WRONG_LENGTH = {
    "short": (idx_bytes(8, (5,), b"abcd"), r"expected 13 bytes.*shape \(5,\).*12 bytes", "5 bytes .*got 4;"),
    "long": (
        idx_bytes(8, (3,), b"abcd"),
        "expected 11 bytes.*holds 12 bytes.*too long",
        "3 bytes .*got more;",
    ),
    "other type": (idx_bytes(12, (4,), b"abcd"), "expected 24 bytes.*int32", "16 bytes .*int32, got 4;"),
    "none": (idx_bytes(8, (2, 3), b""), "expected 18 bytes.*holds 12", "6 bytes .*got 0;"),
}


@pytest.mark.parametrize(("content", "expected"), NOT_IDX.values(), ids=NOT_IDX)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_is_not_idx_is_refused(tmp_path, content, expected, compress):
    path = damaged(tmp_path / "bad-file", compress(content))
    with pytest.raises(ValueError, match=f"bad-file.*{expected}"):
        read_idx(path)


@pytest.mark.parametrize(("content", "plain", "zipped"), WRONG_LENGTH.values(), ids=WRONG_LENGTH)
def test_sizes_that_do_not_match_the_file_are_refused(tmp_path, content, plain, zipped):
    with pytest.raises(ValueError, match=f"bad-file.*{plain}"):
        read_idx(damaged(tmp_path / "bad-file", content))
    with pytest.raises(ValueError, match=f"bad-file.*expected {zipped}.*again"):
        read_idx(damaged(tmp_path / "bad-file", gzip.compress(content)))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_that_promises_too_much_allocates_nothing(tmp_path, compressed):
    content = idx_bytes(8, (200_000, 28, 28), b"\7" * 100_000)
    path = damaged(tmp_path / "a", gzip.compress(content) if compressed else content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="expected 156,800,"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_bomb_is_not_expanded_past_its_header(tmp_path):
    bomb = gzip.compress(idx_bytes(8, (10,), bytes(50_000_000)))
    path = damaged(tmp_path / "a.gz", bomb)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"expected 10 bytes after the header.*got more"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_memory_stays_near_the_size_of_the_array(tmp_path):
    array = np.zeros((10, 1_000_000), np.int16)
    write_idx(tmp_path / "a.gz", array)
    tracemalloc.start()
    read_idx(tmp_path / "a.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * array.nbytes


@pytest.mark.parametrize("name", ["plain", "zipped.gz"])
def test_every_truncation_is_refused(digits, name):
    _, folder = digits
    content = (folder / name).read_bytes()
    cuts = sorted({len(content) * i // 200 for i in range(200)})
    for cut in cuts:
        with pytest.raises(ValueError, match="cut"):
            read_idx(damaged(folder / "cut", content[:cut]))
    assert len(cuts) > 150


@pytest.mark.parametrize("name", ["plain", "zipped.gz"])
@pytest.mark.parametrize("extra", [b"\1", b"trailing", b"\x1f\x8b"])
def test_trailing_bytes_are_refused(digits, name, extra):
    _, folder = digits
    with pytest.raises(ValueError, match="long"):
        read_idx(damaged(folder / "long", (folder / name).read_bytes() + extra))


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_bit_flips_in_a_compressed_file_never_give_a_wrong_array(digits):
    array, folder = digits
    content = (folder / "zipped.gz").read_bytes()
    refused = 0
    for bit in np.random.default_rng(1).integers(0, 8 * len(content), 1000):
        try:
            received = read_idx(damaged(folder / "flipped", flipped(content, bit)))
        except ValueError as error:
            assert "flipped" in str(error)  # noqa: PT017 - a flip in gzip's time stamp is harmless, so not raises
            refused += 1
        else:
            np.testing.assert_array_equal(received, array)
    assert refused > 950


def test_bit_flips_in_a_plain_header_are_refused_unless_the_size_still_fits(digits):
    # Sixteen bytes of header; the one flip that leaves the size as it is turns uint8 (08) into int8 (09).
    array, folder = digits
    content = (folder / "plain").read_bytes()
    for bit in range(8 * 16):
        path = damaged(folder / "flipped", flipped(content, bit))
        if bit == 2 * 8:
            np.testing.assert_array_equal(read_idx(path), array.view(np.int8))
        else:
            with pytest.raises(ValueError, match="flipped"):
                read_idx(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize("array", [np.zeros(2, bool), np.zeros(2, np.int64)])
def test_types_that_idx_lacks_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match=f"one of uint8, .*float64, got {array.dtype}; convert it"):
        write_idx(tmp_path / "a", array)


def test_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected array as numbers, got <U1"):
        write_idx(tmp_path / "a", np.array(["a"]))


def test_sizes_that_idx_lacks_are_refused(tmp_path):
    array = np.broadcast_to(np.uint8(0), (0, 2**32))
    with pytest.raises(ValueError, match=r"below 2\*\*32, got shape \(0, 4294967296\); write several"):
        write_idx(tmp_path / "a", array)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_idx(tmp_path / "a", np.arange(3, dtype=np.uint8))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_idx(tmp_path / "a", np.arange(5, dtype=np.uint8))
    assert read_idx(tmp_path / "a").tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
