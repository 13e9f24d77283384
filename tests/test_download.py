import gzip
import hashlib
import http.server
import io
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fnn import datasets
from fnn.datasets import digits, download
from fnn.datasets.idx import read_idx, write_idx

NAMES = list(download.MNIST_FILES)


@pytest.fixture
def folder(tmp_path):
    """Four small files with the names of MNIST's."""
    folder = tmp_path / "source"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        shape = (20, 28, 28) if "images" in name else (20,)
        write_idx(folder / name, rng.integers(0, 10, shape, dtype=np.uint8))
    return folder


class Mirror:
    """Serves files from a dictionary and counts what is asked for; `cut` ends every answer early."""

    def __init__(self, files, cut=0):
        self.asked = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/")
                mirror.asked.append(name)
                if name not in files:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(files[name])))
                self.end_headers()
                self.wfile.write(files[name][: len(files[name]) - cut])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=partial(self.server.serve_forever, 0.01))
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    mirrors = []

    def start(files, cut=0):
        mirrors.append(Mirror(files, cut))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.close()


@pytest.fixture
def silent():
    """The address of a server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


DEAD = "http://127.0.0.1:9/"  # the discard port: nothing listens


@pytest.fixture
def published_files(folder):
    """What a good mirror serves, and what is known of it."""
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    served = {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    known = {
        name: download.MnistFile(hashlib.sha256(content).hexdigest(), len(content), 0, ())
        for name, content in contents.items()
    }
    return served, known


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_download_goes_to_the_cache_once(serve, published_files, tmp_path, monkeypatch, folder):
    served, known = published_files
    mirror = serve(served)
    monkeypatch.setenv("FNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        digits, "download_mnist", partial(download.download_mnist, files=known, mirrors=[mirror.address])
    )
    for _ in range(2):
        train, test = datasets.mnist(download=True)
        np.testing.assert_array_equal(train.x, read_idx(folder / NAMES[0]))
        np.testing.assert_array_equal(test.y, read_idx(folder / NAMES[3]))
    assert mirror.asked == [f"{name}.gz" for name in NAMES]
    assert content_of(tmp_path / "cache" / "mnist") == served


def test_a_plain_file_in_the_cache_is_not_taken_for_the_checked_one(
    serve, published_files, tmp_path, monkeypatch, folder
):
    served, known = published_files
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, content in served.items():
        (cache / name).write_bytes(content)
    write_idx(cache / NAMES[0], np.full((20, 28, 28), 7, np.uint8))
    write_idx(cache / NAMES[2].replace("-idx", ".idx"), np.full((20, 28, 28), 7, np.uint8))
    fetch = partial(download.download_mnist, cache, files=known, mirrors=[serve(served).address])
    monkeypatch.setattr(digits, "download_mnist", fetch)
    train, test = datasets.mnist(download=True)
    np.testing.assert_array_equal(train.x, read_idx(folder / NAMES[0]))
    np.testing.assert_array_equal(test.x, read_idx(folder / NAMES[2]))


def test_download_and_directory_exclude_one_another(tmp_path):
    with pytest.raises(ValueError, match=r"a directory or download=True, got both; .*FNN_CACHE"):
        datasets.mnist(tmp_path, download=True)


def test_download_goes_on_where_it_stopped(serve, published_files, tmp_path):
    served, known = published_files
    good, bad = f"{NAMES[0]}.gz", f"{NAMES[2]}.gz"
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / good).write_bytes(served[good])
    (cache / bad).write_bytes(served[bad][:-5])
    mirror = serve(served)
    download.download_mnist(cache, files=known, mirrors=[mirror.address])
    assert mirror.asked == [name for name in served if name != good]
    assert content_of(cache) == served


def wrong_content(served):
    return {name: gzip.compress(gzip.decompress(content)[:-1] + b"\x99") for name, content in served.items()}


def not_gzip(served):
    return dict.fromkeys(served, b"<html>moved</html>")


def bomb(served):
    return dict.fromkeys(served, gzip.compress(bytes(30_000_000)))


def too_long(served):
    return dict.fromkeys(served, np.random.default_rng(0).bytes(2_000_000))


@pytest.mark.parametrize("spoil", [wrong_content, not_gzip, bomb, too_long, lambda _: {}])
def test_a_bad_mirror_is_passed_over_for_the_next(serve, published_files, tmp_path, spoil):
    served, known = published_files
    bad, good = serve(spoil(served)), serve(served)
    download.download_mnist(tmp_path / "cache", files=known, mirrors=[bad.address, good.address])
    assert bad.asked == good.asked == list(served)
    assert content_of(tmp_path / "cache") == served


def test_no_more_is_fetched_or_expanded_than_the_file_can_be(serve, tmp_path):
    mirror = serve({"a.gz": bytes(1_000_000)})
    part = io.BytesIO()
    download._fetch(mirror.address + "a.gz", part, limit=100_000, timeout=5)
    assert part.tell() < 200_000
    # Only reading on to the end would meet the damage.
    bomb = io.BytesIO(gzip.compress(bytes(10_000_000))[:-4])
    assert "other content" in download._damage(bomb, download.MnistFile("", 10, 0, ()))


def test_a_dead_mirror_is_passed_over(serve, published_files, tmp_path):
    served, known = published_files
    download.download_mnist(tmp_path / "cache", files=known, mirrors=[DEAD, serve(served).address])
    assert content_of(tmp_path / "cache") == served


def test_a_truncated_answer_is_passed_over(serve, published_files, tmp_path):
    served, known = published_files
    mirrors = [serve(served, cut=7).address, serve(served).address]
    download.download_mnist(tmp_path / "cache", files=known, mirrors=mirrors)
    assert content_of(tmp_path / "cache") == served


def test_a_silent_mirror_is_given_up_after_the_timeout(silent, serve, published_files, tmp_path):
    served, known = published_files
    mirrors = [silent, serve(served).address]
    start = time.perf_counter()
    download.download_mnist(tmp_path / "cache", files=known, mirrors=mirrors, timeout=0.1)
    assert time.perf_counter() - start < 4
    assert content_of(tmp_path / "cache") == served


def test_when_all_fails_the_error_says_how_to_go_on(serve, silent, published_files, tmp_path):
    served, known = published_files
    kept = f"{NAMES[1]}.gz"
    partial_mirror = serve({kept: served[kept]})
    mirrors = [DEAD, silent, serve(wrong_content(served), cut=0).address, partial_mirror.address]
    with pytest.raises(ConnectionError) as caught:
        download.download_mnist(tmp_path / "cache", files=known, mirrors=mirrors, timeout=0.1)
    message = str(caught.value)
    for mirror in mirrors:
        assert mirror in message
    for reason in "refused", "timed out", "404", f"SHA-256 {known[NAMES[0]].sha256}, got":
        assert reason in message
    missing = ", ".join(f"{name}.gz" for name in NAMES if f"{name}.gz" != kept)
    assert f"no intact copy of {missing}:" in message
    assert f"fetch {missing} by hand and put them into {tmp_path / 'cache'}" in message
    assert "mnist(directory=...)" in message
    assert content_of(tmp_path / "cache") == {kept: served[kept]}


def test_mirrors_are_public_and_checksums_complete():
    assert len(download.MIRRORS) == 3
    assert all(mirror.startswith("http") and mirror.endswith("/mnist/") for mirror in download.MIRRORS)
    for file in download.MNIST_FILES.values():
        assert len(bytes.fromhex(file.sha256)) == 32
        assert len(file.crc32_of_tenths) == 10
    sizes = [(file.n_bytes, file.n_entries) for file in download.MNIST_FILES.values()]
    assert sizes == [
        (16 + 60000 * 784, 60000 * 784),
        (8 + 60000, 60000),
        (16 + 10000 * 784, 10000 * 784),
        (10008, 10000),
    ]


def test_cache_directory(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setenv("FNN_CACHE", "/fast")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert download.cache_directory() == Path("/fast/mnist")
    monkeypatch.delenv("FNN_CACHE")
    assert download.cache_directory() == Path("/xdg/fnn/mnist")
    monkeypatch.delenv("XDG_CACHE_HOME")
    for platform, expected in (
        ("linux", "/home/me/.cache/fnn/mnist"),
        ("darwin", "/home/me/Library/Caches/fnn/mnist"),
        ("win32", "/local/fnn/mnist"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert download.cache_directory() == Path(expected)
