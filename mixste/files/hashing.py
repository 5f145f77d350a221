"""Hashes of files and folders, equal to what DVC writes."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


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
