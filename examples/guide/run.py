"""Run the guide's notebooks: store what their cells print and draw, or compare it with what is stored.

python examples/guide/run.py               runs all of them and stores their outputs, with a line for each
python examples/guide/run.py 03 06         those whose names begin so
python examples/guide/run.py --check       stores nothing, says where an output differs

Cells run in this process, one notebook after the other, each with variables of its own. What a cell prints is compared
as text and numbers: the text has to be the same, numbers agree to 2 % or to the last digit that is shown. Cells
with the tag "roughly" (long trainings) are compared as text, and their numbers to a factor of three; cells with the tag
"varies" (times, digits of rounding errors, trainings that a last digit sends elsewhere) are not compared, and pictures
never.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import linecache
import math
import pathlib
import re
import sys
import time

import jax
import numpy as np

FOLDER = pathlib.Path(__file__).parent
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?", re.IGNORECASE)
LINK = re.compile(r"\]\(([^):#]+)\)")
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)


def notebooks(*beginnings: str) -> list[pathlib.Path]:
    """Paths of the notebooks whose names begin so, in order; all by default."""
    return [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(beginnings or ("",))]


def load(path: pathlib.Path) -> dict:
    """Read a notebook as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict) -> list[dict]:
    """The cells that run, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@contextlib.contextmanager
def settings_restored():
    """Whatever a notebook switches on, the next one starts without."""
    wide = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    with np.printoptions():
        try:
            yield
        finally:
            jax.config.update("jax_enable_x64", wide)


def execute(notebook: dict, variables: dict, *, solutions: bool = False) -> list[list[dict]]:
    """Run every code cell of a notebook.

    Args:
        notebook: as `load` gives it.
        variables: where the cells' names go.
        solutions: run the solutions of the exercises as well, where they stand; each ends by checking itself.

    Returns:
        For each code cell its outputs, as a notebook stores them.
    """
    outputs: list[list[dict]] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            outputs.append(_run(_source(cell), variables, len(outputs) + 1))
        elif solutions:
            for code in SOLUTION.findall("".join(cell["source"])):
                _run(code, dict(variables), 0)
    return outputs


def _source(cell: dict) -> str:
    """A cell's Python: magic commands are the notebook's own business."""
    lines = "".join(cell["source"]).split("\n")
    return "\n".join("" if line.startswith("%") else line for line in lines)


def _run(source: str, variables: dict, number: int) -> list[dict]:
    tree, printed, name = ast.parse(source), io.StringIO(), f"<cell {number}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name  # for whoever quotes a line
    last = tree.body[-1].value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    statements = ast.Module(tree.body if last is None else tree.body[:-1], type_ignores=[])
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(statements, name, "exec"), variables)
        if last is not None:
            value = eval(compile(ast.Expression(last), name, "eval"), variables)
    outputs = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))} | _picture(value)
        outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _picture(value) -> dict:
    if not hasattr(value, "savefig"):
        return {}
    file = io.BytesIO()
    value.savefig(file, format="png", dpi=80, pil_kwargs={"optimize": True})
    return {"image/png": base64.b64encode(file.getvalue()).decode()}


def words(outputs: list[dict]) -> str:
    """What a cell printed, and the value it ends with where that is no picture."""
    texts = []
    for output in outputs:
        data = output.get("data", {})
        if output["output_type"] == "stream" or "image/png" not in data:
            texts.append("".join(output["text"] if "text" in output else data["text/plain"]))
    return "\n".join(texts)


def difference(stored: str, found: str, roughly: bool = False) -> str | None:
    """The first line that says something else, or None."""
    close = _roughly if roughly else _close
    before, after = stored.rstrip().splitlines(), found.rstrip().splitlines()
    for old, new in zip(before, after, strict=False):
        if _frame(old) != _frame(new) or not all(map(close, NUMBER.findall(old), NUMBER.findall(new))):
            return f"stored: {old}\nfound:  {new}"
    return None if len(before) == len(after) else f"{len(before)} lines stored, {len(after)} found"


def _frame(line: str) -> str:
    """A line without its numbers and its spaces."""
    return "".join(NUMBER.sub("#", line).split())


def _close(old: str, new: str) -> bool:
    a, b = (float(text.replace(",", "").replace("−", "-")) for text in (old, new))
    mantissa, _, exponent = old.lower().partition("e")
    digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    whole = "." not in old and not exponent
    small = max(abs(a), abs(b)) < 1e-7  # a rounding error is one, whatever its digits
    return small or math.isclose(a, b, rel_tol=0.02, abs_tol=0 if whole else 1.5 * digit)


def _roughly(old: str, new: str) -> bool:
    """Equal, or within a factor of three, or within the last digit."""
    a, b = (abs(float(text.replace(",", "").replace("−", "-"))) for text in (old, new))
    return _close(old, new) or max(a, b) <= 3 * min(a, b)


def compare(notebook: dict, found: list[list[dict]]) -> list[str]:
    """Where outputs differ from those that the notebook stores, cell by cell."""
    told = []
    for cell, outputs in zip(code_cells(notebook), found, strict=True):
        tags = cell["metadata"].get("tags", [])
        says = difference(words(cell["outputs"]), words(outputs), "roughly" in tags)
        if says and "varies" not in tags:
            told.append(f"cell {cell['id']}\n{says}")
    return told


def store(path: pathlib.Path, notebook: dict, found: list[list[dict]]) -> None:
    """Write a notebook with new outputs."""
    for number, (cell, outputs) in enumerate(zip(code_cells(notebook), found, strict=True), 1):
        cell["execution_count"], cell["outputs"] = number, outputs
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, then store or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how the notebooks' names begin; all by default")
    parser.add_argument("--check", action="store_true", help="compare with the stored outputs instead of storing")
    options = parser.parse_args()
    differ = False
    for path in notebooks(*options.names):
        start, notebook = time.perf_counter(), load(path)
        with settings_restored():
            found = execute(notebook, {})
        told = compare(notebook, found) if options.check else []
        differ = differ or bool(told)
        if not options.check:
            store(path, notebook, found)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {time.perf_counter() - start:.1f} s, {size:.0f} kB", *told, sep="\n  ")
    sys.exit(differ)


if __name__ == "__main__":
    main()
