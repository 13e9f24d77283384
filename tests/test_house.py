"""The house shows its plan: few rooms, imports that run one way, files and functions of readable size."""

import ast
import io
import pathlib
import re
import tokenize
import types

import pytest

import fnn

ROOT = pathlib.Path(fnn.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
TREES = {file: ast.parse(file.read_text()) for file in FILES}

# From the ground up: a room imports from rooms before it, and from itself.
STOREYS = [
    {"recipes", "validation"},
    {"datasets", "initializers"},
    {"preprocessing"},
    {"layers"},
    {"losses"},
    {"optimizers"},
    {"verify"},
    {"networks"},
    {"storage", "inspection"},
    {"training"},
    {"plots"},
    {"estimators"},
    {"__init__"},
]
VAGUE = (
    "utils util helpers helper common core misc types structures structure passes updates products inputs calls study"
)


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def storey(name):
    return next(i for i, rooms in enumerate(STOREYS) if name in rooms)


def imports(tree):
    """(module, name) of everything that is imported from the package, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fnn":
            yield from ((node.module, alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "fnn")


def test_few_entries_side_by_side():
    entries = {path.name for path in ROOT.iterdir()} - {"py.typed", "__pycache__"}
    assert len(entries) <= 16, sorted(entries)


def test_imports_run_one_way():
    for file, tree in TREES.items():
        for module, name in imports(tree):
            parts = module.split(".")
            target = parts[1] if len(parts) > 1 else name
            assert storey(target) < storey(room(file)) or target == room(file), f"{file} imports {module}"


def test_no_private_name_is_imported():
    for file, tree in TREES.items():
        taken = [f"{module}.{name}" for module, name in imports(tree) if name.startswith("_")]
        assert not taken, f"{file} imports {taken}"


def test_each_room_says_what_lives_there():
    for file, tree in TREES.items():
        assert ast.get_docstring(tree), file


def test_names_of_files_say_something():
    for file in FILES:
        assert file.stem not in VAGUE.split(), file


def test_no_module_is_shadowed_by_a_function():
    children = {path.stem for path in ROOT.iterdir()}
    functions = {name for name in fnn.__all__ if not isinstance(getattr(fnn, name), types.ModuleType)}
    assert not children & functions
    for file in FILES:
        module = ".".join(("fnn", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        assert isinstance(__import__(module, fromlist=["_"]), types.ModuleType)


def code_lines(source, tree):
    """Numbers of the lines that hold code: no docstring, comment or blank."""
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            texts |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    spaces = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in spaces:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines - texts


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_size(file):
    source, tree = file.read_text(), TREES[file]
    assert len(source.splitlines()) <= 320
    code = code_lines(source, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            own = code & set(range(node.lineno, node.end_lineno + 1))
            for inner in ast.walk(node):
                if inner is not node and isinstance(inner, ast.FunctionDef):
                    own -= set(range(inner.lineno, inner.end_lineno + 1))
            assert len(own) <= 40, f"{node.name} has {len(own)} lines of code"


def test_nothing_hangs_on_a_name():
    """No comparison of `.name` of a layer, loss, penalty or link, nor of a part of it."""
    for file, tree in TREES.items():
        if room(file) in ("datasets", "plots") or "proving" in file.parts:  # names of files, axes, JAX's primitives
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                named = any(isinstance(side, ast.Attribute) and side.attr == "name" for side in ast.walk(node))
                text = any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in ast.walk(node))
                assert not (named and text), f"{file}:{node.lineno} decides by a name"


@pytest.mark.parametrize("name", ["Finding", "Step", "Link", "explain", "at_kinks", "leaf_names", "recording"])
def test_a_word_has_one_meaning(name):
    kinds = ast.ClassDef | ast.FunctionDef
    found = [
        file for file, tree in TREES.items() for node in tree.body if isinstance(node, kinds) and node.name == name
    ]
    assert len(found) <= 1


def test_help_lists_the_public_names_in_their_order():
    lines = [re.split(r"\s{2,}", line.strip())[-1] for line in fnn.__doc__.splitlines() if line.startswith("    ")]
    assert " ".join(lines).replace(",", "").split() == fnn.__all__
    assert dir(fnn) == sorted([*fnn.__all__, "__version__"])
