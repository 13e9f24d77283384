"""The README's code runs, and prints what its comments say."""

import contextlib
import io
import pathlib
import re

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_readme_prints_what_it_says():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    expected = [line.split("  # ", 1)[1] for block in blocks for line in block.splitlines() if "print(" in line]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec("\n".join(blocks).replace("epochs=5,", "epochs=5, progress=False,"), {})
    lines = printed.getvalue().splitlines()
    assert len(lines) == len(expected)
    for line, said in zip(lines, expected, strict=True):
        if "accuracy" in said:  # other processors round otherwise: the last digit is this one's
            assert abs(percent(line) - percent(said)) < 1
        else:
            assert line == said


def percent(text):
    return float(re.search(r"([\d.]+)%", text)[1])


def test_code_that_runs_comes_early():
    lines = README.read_text().splitlines()
    assert lines.index("```python") < 45
    assert any("fnn.check(" in line for line in lines[:45])
