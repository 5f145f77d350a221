import errno
import os
from pathlib import Path

import pytest

from mixste.errors import MixsteError
from mixste.files.whole import check_ending, check_place, whole_file, whole_folder


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_the_block_ends_well(tmp_path):
    with whole_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("new")
        assert left(tmp_path / "new") == [partial.name] != ["a.txt"]
    assert left(tmp_path / "new") == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "new"


def test_a_folder_takes_its_place_when_the_block_ends_well(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    with whole_folder(tmp_path / "model") as partial:
        (partial / "new.txt").write_text("new")
        assert left(tmp_path / "model") == ["old.txt"]
    assert left(tmp_path) == ["model"]
    assert left(tmp_path / "model") == ["new.txt"]


def test_a_folder_comes_without_what_a_killed_process_left_half_written(tmp_path):
    with whole_folder(tmp_path / "tables") as folder:
        (folder / "random").mkdir()
        killed = whole_file(folder / "random" / "a.parquet")
        killed.__enter__().write_text("ha")
        with whole_file(folder / "random" / "a.parquet") as again:
            again.with_name(".a.parquet.1.partial").write_text("h")
            again.write_text("whole")
    assert left(tmp_path / "tables" / "random") == ["a.parquet"]


ELSEWHERE = OSError(errno.EIO, "broken", "elsewhere")


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), ELSEWHERE, ConnectionResetError(9, "gone")])
def test_after_an_error_the_old_file_stands_and_nothing_is_left_beside_it(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)) as raised, whole_file(path) as partial:
        partial.write_text("ne")
        raise error
    assert raised.value is error
    assert left(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_after_an_error_the_old_folder_stands_and_nothing_is_left_beside_it(tmp_path, error):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    with pytest.raises(type(error)) as raised, whole_folder(tmp_path / "model") as partial:
        (partial / "new.txt").write_text("ne")
        raise error
    assert raised.value is error
    assert left(tmp_path) == ["model"]
    assert left(tmp_path / "model") == ["old.txt"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_an_error_that_is_passed_on_is_not_its_own_cause(tmp_path, whole):
    with pytest.raises(OSError, match="broken") as raised, whole(tmp_path / "a"):
        raise OSError(errno.EIO, "broken", "elsewhere")
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_explained(tmp_path, whole):
    with pytest.raises(MixsteError, match=f"{tmp_path / 'a'}.*no space left.*free some space"), whole(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_explained(tmp_path, number):
    with pytest.raises(MixsteError, match="make the folder writable"), whole_file(tmp_path / "a"):
        raise OSError(number, os.strerror(number))


def test_what_a_killed_run_left_does_not_get_into_the_new_folder(tmp_path):
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "half.txt").write_text("half")
    with whole_folder(tmp_path / "model") as partial:
        (partial / "new.txt").write_text("new")
    assert left(tmp_path / "model") == ["new.txt"]
    assert left(tmp_path) == ["model"]


def test_an_error_of_writing_is_explained_by_the_files_name(tmp_path):
    with pytest.raises(MixsteError, match=f"cannot write {tmp_path / 'a'}; found: broken"), whole_file(tmp_path / "a"):
        raise OSError(errno.EIO, "broken")


@pytest.mark.parametrize("name", ["folder", "file/a.txt", "file/deeper/a.txt", 300 * "a"])
def test_a_file_where_none_can_be_is_refused_and_nothing_is_left(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("here")
    with pytest.raises(MixsteError, match=f"cannot write {tmp_path / name}"), whole_file(tmp_path / name) as partial:
        partial.write_text("new")
    assert left(tmp_path) == ["file", "folder"]
    assert left(tmp_path / "folder") == []


@pytest.mark.parametrize("name", ["file", "file/a"])
def test_a_folder_where_none_can_be_is_refused_and_nothing_is_left(tmp_path, name):
    (tmp_path / "file").write_text("here")
    with pytest.raises(MixsteError, match=f"cannot write {tmp_path / name}"), whole_folder(tmp_path / name) as partial:
        (partial / "new.txt").write_text("new")
    assert left(tmp_path) == ["file"]


def test_a_place_can_be_checked_before_there_is_anything_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("here")
    for good in ("a.txt", "file", "new/deeper/a.txt"):
        check_place(tmp_path / good)
        check_place(tmp_path.relative_to(tmp_path) / good)
    with pytest.raises(MixsteError, match="found: a folder"):
        check_place(tmp_path)
    for bad in ("file/a.txt", "file/deeper/a.txt"):
        with pytest.raises(MixsteError, match="file, which is no folder"):
            check_place(tmp_path / bad)
    with pytest.raises(MixsteError, match="found: File name too long"):
        check_place(Path(300 * "a"))
    assert left(tmp_path) == ["file"]


def test_an_ending_can_be_checked(tmp_path):
    check_ending(tmp_path / "A.PARQUET", ".parquet")
    for name, found in (("a.txt", ".txt"), ("a", "no ending")):
        with pytest.raises(MixsteError, match=f"found: {found}; expected: .parquet"):
            check_ending(tmp_path / name, ".parquet")


def test_of_two_that_write_a_file_at_once_each_has_its_own_until_it_is_whole(tmp_path):
    with whole_file(tmp_path / "a.txt") as first, whole_file(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
        assert first.read_text() == "first"
    assert left(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "first"
