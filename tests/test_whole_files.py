"""Files appear whole or not at all, whoever else writes them; nobody's file is touched but one's own."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

import fnn
from fnn.datasets import whole_files
from fnn.datasets.whole_files import remove_abandoned_parts, whole_file, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_threads_that_save_one_path_never_show_a_part(tmp_path):
    path, trees = tmp_path / "tree.safetensors", [np.full(50_000, i, np.float32) for i in range(3)]
    fnn.save(path, trees[0])
    torn, done = [], threading.Event()

    def write(tree):
        for _ in range(15):
            try:
                fnn.save(path, tree)
            except Exception as error:
                torn.append(error)

    def read():
        while not done.is_set():
            try:
                tree = fnn.load(path)
                assert (tree == tree[0]).all()
            except Exception as error:
                torn.append(error)

    writers, reader = [threading.Thread(target=write, args=(tree,)) for tree in trees], threading.Thread(target=read)
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert torn == []
    assert names(tmp_path) == ["tree.safetensors"]


def test_parts_are_never_somebody_elses(tmp_path, monkeypatch):
    """Neither a link nor a file that lies in wait under the part's name is written through."""
    victim, drawn = tmp_path / "victim", iter(["0" * 32, "1" * 32, "2" * 32])
    victim.write_bytes(b"precious")
    (tmp_path / f".fnn-{'0' * 32}.part").symlink_to(victim)
    monkeypatch.setattr(whole_files.secrets, "token_hex", lambda size: next(drawn))
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"precious"
    assert names(tmp_path) == [f".fnn-{'0' * 32}.part", "victim"]
    (tmp_path / "link").symlink_to(victim)
    write_whole(tmp_path / "link", b"new")
    assert (victim.read_bytes(), (tmp_path / "link").read_bytes()) == (b"precious", b"new")


def test_a_name_as_long_as_names_may_be(tmp_path):
    write_whole(tmp_path / ("n" * 255), b"content")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("fails", ["os.fsync", "os.replace"])
def test_a_failed_write_leaves_the_old_file(fails, tmp_path, monkeypatch):
    path = tmp_path / "tree.safetensors"
    fnn.save(path, jnp.ones(2))

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(fails, full)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, b"half")
    assert names(tmp_path) == ["tree.safetensors"]
    np.testing.assert_array_equal(fnn.load(path), jnp.ones(2))


def test_only_parts_that_a_killed_process_left_are_removed(tmp_path):
    others = [".epoch-00000007.safetensors.99.part", ".fnn-notes.part", "fnn.part", f".fnn-{'a' * 31}.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"somebody's")
    (tmp_path / f".fnn-{'b' * 32}.part").symlink_to(tmp_path / "fnn.part")
    code = """
import sys, time
from fnn.datasets.whole_files import whole_file
with whole_file(sys.argv[1] + "/file") as file:
    file.write(b"half")
    file.flush()
    print(file.tell(), flush=True)
    time.sleep(60)
"""
    root = os.path.dirname(os.path.dirname(fnn.__file__))
    environment = {**os.environ, "PYTHONPATH": root}
    writer = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, env=environment)
    try:
        assert writer.stdout.readline() == b"4\n"
        before = names(tmp_path)
        with whole_file(tmp_path / "mine") as file:
            file.write(b"mine")
            remove_abandoned_parts(tmp_path)  # while two are writing
        assert names(tmp_path) == sorted([*before, "mine"])
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        (left,) = set(before) - set(others) - {f".fnn-{'b' * 32}.part"}
        deadline = time.monotonic() + 5
        while left in names(tmp_path) and time.monotonic() < deadline:
            remove_abandoned_parts(tmp_path)
        assert names(tmp_path) == sorted([*others, f".fnn-{'b' * 32}.part", "mine"])
        assert (tmp_path / "fnn.part").read_bytes() == b"somebody's"
    finally:
        writer.kill()
        writer.stdout.close()
        writer.wait()
