"""Every example runs in its quick form, in a process of its own, without a warning.

The first one that the README names runs exactly as its users start it; the others are compiled quickly.
"""

import os
import pathlib
import subprocess
import sys

import pytest
from compiler import FLAGS

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py"))}
SCRIPTS = [path for path, source in SOURCES.items() if "__main__" in source]  # the rest is imported by these


@pytest.fixture(scope="module")
def environment():
    """This package and one device; nothing else is set."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC", "MPLBACKEND")}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.fixture(scope="module")
def quick(environment, tmp_path_factory):
    """The same with a quick compiler, and with what one example compiled kept for the next."""
    return environment | {
        "XLA_FLAGS": FLAGS,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def test_there_are_examples():
    assert len(SCRIPTS) >= 7


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example(script, environment, quick, tmp_path):
    draws = '"--out"' in SOURCES[script]
    command = [sys.executable, "-W", "error", str(script), "--quick", *(["--out", "out"] if draws else [])]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment if script.stem == "digits" else quick,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip()
    assert "nan" not in run.stdout.lower().split()
    pictures = [file for file in (tmp_path / "out").glob("*") if file.suffix in (".png", ".gif", ".svg")]
    assert bool(pictures) == draws, run.stdout
    assert all(file.stat().st_size > 2000 for file in pictures)
    assert {file.name for file in tmp_path.iterdir()} <= {"out"}, "an example writes into --out and nowhere else"
