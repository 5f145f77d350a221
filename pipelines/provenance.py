"""Where a result comes from: the git commit, and the hash of the data as DVC computes it."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def git_state(root: Path = Path()) -> tuple[str, bool]:
    """Return the commit and whether tracked files other than dvc.lock differ from it; ("unknown", True) outside git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return "unknown", True
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock")
    return commit, changed != ""


def data_hash(paths: Sequence[Path] | Path) -> str:
    """Return the md5 of files and folders, of one path equal to what DVC writes into dvc.lock (folders end in .dir)."""
    if isinstance(paths, Path):
        return _folder_hash(paths) if paths.is_dir() else _file_hash(paths)
    if len(paths) == 1:
        return data_hash(paths[0])
    together = "\n".join(f"{path.name} {data_hash(path)}" for path in sorted(paths))
    return hashlib.md5(together.encode(), usedforsecurity=False).hexdigest()


def _folder_hash(folder: Path) -> str:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(_file_hash, (folder / name for name in names))
        listing = [{"md5": digest, "relpath": name} for digest, name in zip(hashes, names, strict=True)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
