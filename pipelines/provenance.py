"""Where a result comes from, for models, tables and figures to say: the git commit, and whose motion and 2D it is."""

import subprocess
from pathlib import Path


def git_state(root: Path = Path()) -> tuple[str, bool]:
    """Return the commit and whether tracked files other than dvc.lock differ from it; ("unknown", True) outside git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return "unknown", True
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock")
    return commit, changed != ""


def commit_in_words(commit: str, dirty: bool) -> str:
    """What tables say of `git_state`."""
    return f"commit {commit[:10]}{' with uncommitted changes' if dirty else ''}"


def data_in_words(name: str, synthetic: bool, detections: str) -> str:
    """What tables and figures must say of the data they rest on."""
    return f"{'synthetic' if synthetic else name} motion, {detections} detections"


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
