"""Hashes of data: what DVC writes, whatever the number and the size of the files."""

import hashlib
from pathlib import Path

from dvc.repo import Repo

from mixste.files.hashing import data_hash


def test_a_folders_hash_is_dvcs(tmp_path):
    for number in range(40):
        (tmp_path / "data" / f"S{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / f"S{number % 3}" / f"{number}.bvh").write_bytes(bytes([number]) * 100_000)
    repo = Repo.init(str(tmp_path), no_scm=True)
    [stage] = repo.add(str(tmp_path / "data"))
    assert data_hash(tmp_path / "data") == stage.outs[0].hash_info.value


def test_a_files_hash_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 20_000
    (tmp_path / "a.npz").write_bytes(content)
    assert data_hash(tmp_path / "a.npz") == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert data_hash([tmp_path / "a.npz"]) == data_hash(tmp_path / "a.npz")


def test_data_hash_of_several_paths_does_not_depend_on_their_order(tmp_path: Path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    assert data_hash(paths) == data_hash(paths[::-1]) != data_hash(paths[:1])
