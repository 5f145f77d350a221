"""dvc.yaml: every file and parameter a stage names exists, and all code of ours that it runs is named."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixste.training.jobs import CODE, LIBRARY

ROOT = Path(__file__).parents[2]
DVC = (sys.executable, "-m", "dvc")
STAGES: dict[str, Any] = {
    name: stage
    for file in ("dvc.yaml", "studies/dvc.yaml", "sweeps/dvc.yaml")
    for name, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items()
}
# what decides where and how a stage runs or what it logs, not what it writes
PLUMBING = (
    *("mixste/errors", "mixste/files/hashing", "mixste/files/whole", "mixste/machine", "mixste/settings"),
    *(f"pipelines/distributed/{name}" for name in ("claims", "lookout", "patience", "storage")),
    *("pipelines/cluster", "pipelines/params", "pipelines/process", "pipelines/provenance", "pipelines/settings"),
    "pipelines/tracking",
)
# what the methods of a Motion do, of which no stage calls one
UNCALLED = ("mixste/armature", "mixste/lifting", "mixste/motion_files", "mixste/refining")


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, as paths without .py, with the packages that hold them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            found |= {module.replace(".", "/") for module in modules if module.split(".")[0] in ("mixste", "pipelines")}
    folders = {"/".join(parts[:depth]) for parts in (name.split("/") for name in found) for depth in range(2, 5)}
    packages = {f"{name}/__init__" for name in folders if "/" in name and runs_something(ROOT / name / "__init__.py")}
    return packages | {name for name in found if (ROOT / f"{name}.py").is_file()}


def runs_something(package: Path) -> bool:
    """Whether there is more in a file than its docstring."""
    return package.is_file() and len(ast.parse(package.read_text()).body) > 1


def reached(verb: str) -> set[str]:
    """Return every module of ours that a verb runs, through any number of imports, without the plumbing."""
    seen: set[str] = set()
    todo = {verb}
    while todo:
        name = todo.pop()
        seen.add(name)
        found = imported(ROOT / f"{name}.py")
        todo |= {each for each in found if not each.startswith((*PLUMBING, *UNCALLED))} - seen
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_a_stage_names_exists(stage: str):
    named = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("mixste", "pipelines"))]
    assert [dep for dep in named if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_all_code_that_it_runs(stage: str):
    named = {dep.removesuffix(".py") for dep in STAGES[stage]["deps"]}
    verb = STAGES[stage]["cmd"].split()[2].replace(".", "/")
    missing = [
        name
        for name in sorted(reached(verb))
        if name not in named and not any(name.startswith(f"{folder}/") for folder in named)
    ]
    assert missing == []


def test_a_trainings_fingerprint_covers_all_code_that_it_runs():
    covered = {path.relative_to(ROOT).as_posix() for pattern in CODE for path in LIBRARY.glob(pattern)}
    assert {f"{name}.py" for name in reached("mixste/training/jobs")} <= covered


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_that_a_stage_names_exist(stage: str):
    for key in STAGES[stage]["params"]:
        section: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
        for part in key.split("."):
            assert part in section, key
            section = section[part]


def test_a_model_is_registered_again_where_dvc_has_run_that_before(tmp_path: Path):
    command, outs = "echo >> ran; cp settings reports/registered.json", STAGES["register"]["outs"]
    stage = {"cmd": command, "deps": ["settings"], "outs": outs}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"register": stage}}))
    (tmp_path / "reports").mkdir()
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    for settings, runs in (("A", 1), ("B", 2), ("A", 3), ("A", 3)):
        (tmp_path / "settings").write_text(settings)
        subprocess.run([*DVC, "repro", "-q"], cwd=tmp_path, check=True)
        assert len((tmp_path / "ran").read_text().splitlines()) == runs


def test_dvc_looks_into_every_folder_of_data(tmp_path: Path):
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    own, data = ["runs/a", "mlruns/a", "mlartifacts/a", ".venv/a"], ["data/runs/a", "data/x/mlruns/a", "data/.venv/a"]
    found = subprocess.run([*DVC, "check-ignore", *own, *data], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.split() == own
