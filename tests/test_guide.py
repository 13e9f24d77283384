"""The guide's notebooks run, print what they store, and their exercises have the solutions that they give."""

import importlib.util
import json

import jax
import pytest
from guide import run

PATHS = run.notebooks()


@pytest.fixture(scope="module", autouse=True)
def _as_readers_run_it():
    """Notebooks are written for the settings that a reader has."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook(path):
    notebook = run.load(path)
    with run.settings_restored():
        differences = run.compare(notebook, run.execute(notebook, {}, solutions=True))
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_lies_in_the_folder(path):
    notebook = run.load(path)
    assert path.stat().st_size <= 300_000
    assert all(cell["outputs"] is not None and cell["execution_count"] for cell in run.code_cells(notebook))
    text = "".join(line for cell in notebook["cells"] for line in cell["source"])
    assert len(run.SOLUTION.findall(text)) >= 2
    for target in run.LINK.findall(text):
        assert (path.parent / target).resolve().exists(), target


def test_films_are_small():
    films = list(run.FOLDER.glob("*.gif"))
    assert {film.stem for film in films} == {"square", "sine", "surface", "learning"}
    assert all(film.stat().st_size <= 500_000 for film in films)


@pytest.mark.parametrize(
    ("stored", "found", "same"),
    [
        ("loss 0.9378", "loss 0.9379", True),
        ("loss 0.9378", "loss 0.8378", False),
        ("error 2e-16", "error 0.0", True),
        ("26 numbers", "27 numbers", False),
        ("101,770 numbers", "101,770 numbers", True),
        ("verdict OK", "verdict WRONG", False),
        ("[ 1.5 -0. ]", "[1.5  0. ]", True),
        ("a\nb", "a", False),
    ],
)
def test_numbers_are_compared_as_numbers(stored, found, same):
    assert (run.difference(stored, found) is None) == same


def test_the_end_of_a_long_training_is_compared_roughly():
    assert run.difference("loss 0.0047: learns", "loss 0.0061: learns", roughly=True) is None
    assert run.difference("loss 0.0047: learns", "loss 0.0247: learns", roughly=True)
    assert run.difference("loss 0.0047: learns", "loss 0.0047: diverges", roughly=True)


if all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel")):  # the extra `guide`

    def test_a_fresh_kernel_runs_a_notebook():
        """As a reader opens it: magic commands, pictures and all."""
        import nbformat
        from nbclient import NotebookClient

        stored = run.load(PATHS[0])
        opened = nbformat.reads(json.dumps(stored), as_version=4)
        NotebookClient(opened, timeout=120).execute()
        outputs = [cell["outputs"] for cell in run.code_cells(opened)]
        assert not run.compare(stored, outputs)
        assert sum("image/png" in output.get("data", {}) for cell in outputs for output in cell) == 2
