"""A line of code knows its room: what mixste/ may import, and what the package says it needs and holds."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIXSTE = sorted((ROOT / "mixste").rglob("*.py"))
PIPELINES = sorted((ROOT / "pipelines").rglob("*.py"))
TERMINAL = ROOT / "mixste/commands/terminal.py"  # the one file that speaks to a terminal
REGISTRY = ROOT / "mixste/registry.py"  # the one file that reaches MLflow, when it is asked
FOREIGN = {"ray", "mlflow", "dvc", "hydra", "pipelines"}
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "hydra": "hydra-core"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """The first part of every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "importorskip"):
            yield from (str(arg.value).split(".")[0] for arg in node.args if isinstance(arg, ast.Constant))


def imported_at(node: ast.stmt) -> Iterator[str]:
    """What a statement of a module imports when the module is imported."""
    return imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else iter(())


def printing(tree: ast.AST) -> list[int]:
    """The lines that print, or write to the standard streams."""
    calls = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "print"]
    streams = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in ("stdout", "stderr")]
    return calls + streams


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MIXSTE, ids=name)
def test_mixste_imports_neither_servers_nor_pipelines_and_prints_nothing(path):
    tree = parsed(path)
    assert FOREIGN & set(imported(tree)) <= ({"mlflow"} if path == REGISTRY else set())
    assert not FOREIGN & {module for node in tree.body for module in imported_at(node)}
    assert printing(tree) == [] or path == TERMINAL


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import ray.train as r", {"ray"}),
        ("def f():\n    from pipelines.params import load", {"pipelines"}),
        ("from mlflow import log", {"mlflow"}),
        ("importlib.import_module('dvc.api')", {"dvc"}),
        ("import numpy, raylib", set()),
    ],
)
def test_the_check_finds_what_it_looks_for(code, found):
    assert FOREIGN & set(imported(ast.parse(code))) == found


def test_the_check_finds_what_prints():
    assert printing(ast.parse("x = 1\nprint(x)\nsys.stderr.write('x')")) == [2, 3]


def test_every_package_that_is_imported_is_declared(project):
    extras = project["project"]["optional-dependencies"]
    needed = [*project["project"]["dependencies"], *(text for name in extras if name != "dev" for text in extras[name])]
    declared = {re.split(r"[\[<>=~!; ]", text)[0].lower() for text in needed}
    used = {module for path in (*MIXSTE, *PIPELINES) for module in imported(parsed(path))}
    foreign = used - set(sys.stdlib_module_names) - {"mixste", "pipelines", "triton"}  # torch for CUDA brings Triton
    assert {DISTRIBUTIONS.get(module, module) for module in foreign} <= declared


def test_every_data_file_of_mixste_is_packaged(project):
    patterns = project["tool"]["setuptools"]["package-data"]["mixste"]
    packaged = {path for pattern in patterns for path in (ROOT / "mixste").glob(pattern)}
    others = {path for path in (ROOT / "mixste").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others <= packaged
    assert ROOT / "mixste/py.typed" in packaged


def test_every_exception_to_the_rules_is_of_files_that_exist(project):
    for pattern in project["tool"]["ruff"]["lint"]["per-file-ignores"]:
        assert any(ROOT.glob(pattern)), pattern
