"""A checkout of one's own to break things in: the tracked files as they are, their sample, short settings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHORT = [
    *(
        f"{stage}.{key}"
        for stage in ("pretrain", "finetune")
        for key in ("windows_per_epoch=64", "validation_windows=16")
    ),
    "pretrain.epochs=1",
    "finetune.epochs=2",
    "model.width=16",
    "data.sources=[{name: sample, format: bvh, files: '*/wa*.bvh', "
    "joint_map: h36m17, metres_per_unit: 0.01, up: 'y', fps: null}]",
]


def environment(**more: str) -> dict[str, str]:
    """The environment of a shell in which the project's own is active."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 600) -> str:
    """Run a command as a user would; returns what it printed. RuntimeError with all of that if it fails."""
    own = environment() if env is None else dict(env)
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def make_checkout(folder: Path, *overrides: str) -> Path:
    """Copy the tracked files into `folder`, a git repository of its own, with the sample and the settings composed."""
    for name in run("git", "ls-files", cwd=ROOT).split("\n"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    run("git", "init", "-q", cwd=folder)
    run("python", "-m", "pipelines.data", cwd=folder)
    run("python", "-m", "pipelines.params", *overrides, cwd=folder)
    return folder
