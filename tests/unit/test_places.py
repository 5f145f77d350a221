"""Whose tables a group is made of."""

import pytest

from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from pipelines.places import tables
from pipelines.settings.data import GroupSettings


@pytest.fixture
def folder(tmp_path):
    for name in ("src-ANNA", "src-JO-ANNA", "other-ANNA", "src-BO"):
        (tmp_path / f"{name}.parquet").write_text(name)
    return tmp_path


def stems(folder, *subjects, sources=()):
    return [path.stem for path in tables(folder, GroupSettings(subjects, sources))]


def test_a_subject_is_matched_whole_and_once(folder):
    assert stems(folder, "ANNA", "ANNA") == ["other-ANNA", "src-ANNA"]


def test_sources_are_respected(folder):
    assert stems(folder, "ANNA", "BO", sources=("src",)) == ["src-ANNA", "src-BO"]


def test_a_subject_without_a_table_is_named(folder):
    with pytest.raises(MixsteError, match="subject EVE"):
        tables(folder, GroupSettings(("ANNA", "EVE")))


def test_the_hash_of_data_does_not_depend_on_where_it_lies(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for path in folder.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    assert data_hash(sorted(folder.iterdir())) == data_hash(sorted(elsewhere.iterdir()))
    (elsewhere / "src-BO.parquet").write_text("changed")
    assert data_hash(sorted(folder.iterdir())) != data_hash(sorted(elsewhere.iterdir()))
