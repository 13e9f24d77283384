"""A run that SIGKILL ends at random moments, started again each time, ends as if nothing had happened.

The suite kills a few times; FNN_KILLS=50 python -m pytest tests/test_kill.py is the long version.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import chex

import fnn

KILLS = int(os.environ.get("FNN_KILLS", "2"))
SCRIPT = Path(__file__).with_name("interrupted_run.py")


def start(directory, out, epochs):
    root = str(SCRIPT.parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, SCRIPT, directory, out, str(epochs)], env=environment)


def newest(directory):
    return max((path.name for path in Path(directory).glob("epoch-*.safetensors")), default="")


def test_killed_runs_end_as_the_uninterrupted_one(tmp_path):
    epochs, rng = 150 * KILLS, random.Random(0)
    plain = start("", tmp_path / "plain", epochs)
    directory, kills = tmp_path / "checkpoints", 0
    while kills < KILLS:
        before, run = newest(directory), start(directory, tmp_path / "killed", epochs)
        while newest(directory) == before and run.poll() is None:  # let it get somewhere first
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.2))
        assert run.poll() is None, "the run ended before it was killed: give it more epochs"
        run.kill()
        run.wait()
        kills += 1
    assert start(directory, tmp_path / "killed", epochs).wait() == 0
    assert plain.wait() == 0
    chex.assert_trees_all_equal(fnn.load(tmp_path / "killed"), fnn.load(tmp_path / "plain"))
    assert fnn.load_metadata(tmp_path / "killed")["losses"] == fnn.load_metadata(tmp_path / "plain")["losses"]
