"""What stands last in a cell shows itself: pictures as pictures, reports as pages; plain text everywhere else."""

import pathlib
import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest

import fnn
from fnn.recipes.shown import page
from fnn.training import progress

NET = fnn.mlp(2, 3, 2)
X, Y = np.ones((4, 2), np.float32), np.arange(4) % 2


@pytest.fixture(scope="module")
def params():
    return NET.init(jax.random.key(0))


SHOWN = {
    "summary": lambda params: fnn.summary(NET),
    "check": lambda params: fnn.check(NET, params, X, Y),
    "flow": lambda params: fnn.flow(NET, params, X, Y),
    "explain": lambda params: fnn.explain(NET, params, X, Y),
    "trace": lambda params: fnn.trace(NET, params, X, Y),
    "agree": lambda params: fnn.agree(NET, params, X, Y),
    "audit": lambda params: fnn.audit(X, Y),
    "prove": lambda params: fnn.prove(lambda z: z + z, lambda z: 2 * z, X),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_text_elsewhere_is_html_in_a_notebook(name, params):
    value = SHOWN[name](params)
    shown = value._repr_html_()
    assert shown.startswith("<pre")
    assert shown.count("\n") == str(value).count("\n")
    assert repr(value) == str(value)


def test_verdicts_have_a_color_and_nothing_else_is_markup():
    shown = page("WRONG: the gradient of a < b\nW  1e-3  right\nright here")
    assert '<b style="color:#D55E00">WRONG</b>: the gradient of a &lt; b' in shown
    assert shown.count("<b ") == 2
    assert "right here" in shown


def test_a_run_is_a_few_lines():
    def epoch(i, loss):
        return fnn.Epoch(i, 0.5, fnn.Evaluation(loss, 0.9, None), 1e5)

    fit = fnn.Fit((X,), (), (epoch(1, 0.7), epoch(2, 0.3), epoch(3, np.nan)), None, "patience")
    first, last, best = repr(fit).splitlines()
    assert first == "Fit: 3 epochs, stopped by patience; params, state, history, train_state"
    assert last.startswith("  last, epoch 3: train loss 0.5000, validation loss nan")
    assert best.startswith("  best, epoch 2: train loss 0.5000, validation loss 0.3000, accuracy 90.00%")
    assert fit._repr_html_().startswith("<pre")
    assert str(fit._replace(history=())).startswith("Fit: no epoch")


def test_a_picture_is_a_picture():
    figure = fnn.plots.activation_functions(fnn.relu)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_bar_in_a_notebook_though_it_is_no_terminal(monkeypatch, capsys):
    class Shell:
        config = {"IPKernelApp": {}}  # noqa: RUF012

    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": lambda: Shell()}))
    with progress.reporter(2, 0, True) as report:
        report(1, "loss 1")
        report(2, "loss 2")
    assert "2/2" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": lambda: None}))
    with progress.reporter(1, 0, True) as report:
        report(1, "loss 1")
    assert capsys.readouterr().err == "epoch 1/1: loss 1\n"


if find_spec("nbclient") and find_spec("ipykernel"):

    def test_in_a_fresh_kernel(tmp_path, monkeypatch):
        import nbclient
        import nbformat

        monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(fnn.__file__).parent.parent))
        cells = [
            "import jax, numpy as np, fnn\nnet = fnn.mlp(2, 3, 2)",
            "x, y = np.ones((8, 2), np.float32), np.arange(8) % 2",
            "result = fnn.fit(net, (x, y), optimizer=fnn.sgd(0.1), epochs=3, batch_size=4, key=jax.random.key(0))",
            "fnn.plots.loss_curves(result.history)",
            "fnn.summary(net)",
            "fnn.check(net, result.params, x, y)",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
        told = "".join(output.get("text", "") for output in notebook.cells[2].outputs)
        assert "3/3" in told or any("data" in output for output in notebook.cells[2].outputs)
        shown = [set(cell.outputs[-1]["data"]) for cell in notebook.cells[3:]]
        assert shown == [{"text/plain", "image/png"}, {"text/plain", "text/html"}, {"text/plain", "text/html"}]
