"""dvc.yaml: every file and parameter a stage names exists, and every code file it imports of ours is named."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# what decides where and how a stage runs or what it logs, not what it writes
PLUMBING = {"errors", "files", "settings", "cluster", "params", "provenance", "stage", "store", "tracking", "typed"}


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, as paths without .py."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            found |= {module.replace(".", "/") for module in modules if module.split(".")[0] in ("mixste", "pipelines")}
    return {name for name in found if (ROOT / f"{name}.py").is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_a_stage_names_exists(stage: str):
    named = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("mixste", "pipelines"))]
    assert [dep for dep in named if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "register"])  # it only copies what it reads
def test_a_stage_names_what_its_code_imports(stage: str):
    named = {dep.removesuffix(".py") for dep in STAGES[stage]["deps"]}
    verb = STAGES[stage]["cmd"].split()[2].replace(".", "/")
    missing = [
        name
        for name in sorted(imported(ROOT / f"{verb}.py"))
        if Path(name).name not in PLUMBING
        and name not in named
        and not any(name.startswith(f"{folder}/") for folder in named)
        and not name.startswith("pipelines/")
    ]
    assert missing == []


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_that_a_stage_names_exist(stage: str):
    for key in STAGES[stage]["params"]:
        section: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
        for part in key.split("."):
            assert part in section, key
            section = section[part]
