"""Several processes, which know of each other through jax.distributed: one run, one set of files, one voice."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import fnn

TESTS = pathlib.Path(__file__).parent
ROOT = pathlib.Path(fnn.__file__).parents[1]
LIMIT = 200  # seconds, on a machine that does much else


def started(processes, devices, folder, what):
    """Start processes that wait for each other."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)]), "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [
                sys.executable,
                str(TESTS / "two_processes.py"),
                *map(str, (rank, processes, devices, port, folder, what)),
            ],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def ended(running):
    """What each of them wrote on its standard error; none outlives the test."""
    try:
        return [process.communicate(timeout=LIMIT)[1] for process in running]
    finally:
        for process in running:
            process.kill()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two processes that train, two of which one is killed, and one alone that goes on from where these stopped."""
    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    both = started(2, 1, whole, "run")
    errors = ended(both)
    assert [process.returncode for process in both] == [0, 0], errors
    killed = started(2, 1, cut, "killed")
    killed[1].wait(timeout=LIMIT)
    since = time.monotonic()
    lost = ended(killed)
    waited = time.monotonic() - since
    alone = started(1, 2, cut, "alone")
    says = ended(alone)
    assert alone[0].returncode == 0, says
    told = [json.loads((folder / name).read_text()) for folder, name in ((whole, "run-0.json"), (whole, "run-1.json"))]
    return {
        "told": told,
        "alone": json.loads((cut / "alone-0.json").read_text()),
        "errors": errors,
        "files": sorted(path.name for path in (whole / "run").iterdir()),
        "lost": lost,
        "codes": [process.returncode for process in killed],
        "waited": waited,
    }


def test_two_processes_know_the_same_numbers_as_one(runs):
    one, other = runs["told"]
    assert one["resumed"] == other["resumed"]
    np.testing.assert_allclose(one["resumed"], runs["alone"]["fresh"], atol=1e-5, rtol=0)


def test_process_0_alone_speaks_and_writes(runs):
    assert "epoch 3/3: train loss" in runs["errors"][0]
    assert "epoch" not in runs["errors"][1]
    assert runs["files"] == ["epoch-00000002.safetensors", "epoch-00000003.safetensors"]


def test_arrays_of_one_process_are_refused_with_the_remedy(runs):
    for told in runs["told"]:
        for who in ("fit", "batches", "evaluate"):
            assert "expects arrays of all 2 processes" in told[who]
            assert "fnn.place" in told[who]


def test_divergence_is_told_in_every_process(runs):
    one, other = (told["diverged"] for told in runs["told"])
    assert one == other
    assert "likely cause: the learning rate" in one


def test_the_loss_of_a_process_ends_the_others_with_words(runs):
    assert runs["codes"][1] == -9
    assert runs["codes"][0] != 0
    assert "Start all of them again with the same checkpoint directory" in runs["lost"][0]
    assert "Task 1" in runs["lost"][0] or "/task:1" in runs["lost"][0]
    assert runs["waited"] < 15 + 10  # of these, ten for a machine that does much else


def test_a_run_that_lost_a_process_resumes_on_another_layout(runs):
    np.testing.assert_allclose(runs["alone"]["resumed"], runs["alone"]["fresh"], atol=1e-6, rtol=0)
