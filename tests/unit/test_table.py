"""Tables keep their numbers and what these are, and refuse what they are not."""

import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixste import geometry, table
from mixste.errors import MixsteError
from mixste.table import FRAMES, KEY, Metadata, read_metadata, read_runs, read_table, read_trials
from mixste.table_writer import write_table

OF_TRIALS = {"skeleton": "h36m17", "fps": 50.0}
EXPECTED = {"kind": "recordings", **OF_TRIALS}
METADATA = Metadata("recordings", "h36m17", "m", "world, Z up", 50.0, "sample", "MIT", synthetic=True)


def columns(n=50):
    rng = np.random.default_rng(0)
    return {
        "trial": [f"walk{i // 20}" for i in range(n)],
        "subject": ["S1"] * n,
        "action": ["walk"] * n,
        "frame": np.arange(n, dtype=np.int32),
        "joints": rng.normal(size=(n, 17, 3)).astype(np.float32),
    }


@pytest.fixture
def path(tmp_path):
    write_table(tmp_path / "t.parquet", [columns()], METADATA)
    return tmp_path / "t.parquet"


def read(path, **expected):
    return read_table(path, **{**EXPECTED, **expected})


def shorten(path, rows):
    pq.write_table(pq.read_table(path).slice(0, rows), path)


def test_what_is_written_is_read(path):
    found, metadata = read(path)
    assert metadata == METADATA
    assert list(found) == ["trial", "subject", "action", "frame", "joints"]
    for name, values in columns().items():
        np.testing.assert_array_equal(found[name], values)
    assert found["joints"].dtype == np.float32
    assert found["frame"].dtype == np.int32


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_row_groups_do_not_show(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", rows)
    write_table(tmp_path / "t.parquet", [columns()], METADATA)
    found, _ = read(tmp_path / "t.parquet")
    np.testing.assert_array_equal(found["joints"], columns()["joints"])
    np.testing.assert_array_equal(found["trial"], columns()["trial"])


def test_one_row_group_is_read_without_a_copy(path):
    assert not read(path)[0]["joints"].flags.owndata


def test_only_some_columns(path):
    assert list(read(path, columns=["frame"])[0]) == ["frame"]
    with pytest.raises(MixsteError, match=r"t\.parquet.*'speed'"):
        read(path, columns=["speed"])


@pytest.mark.parametrize("rows", [1, 7, 20, 64])
def test_trials_are_whole_whatever_the_row_groups(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", rows)
    write_table(tmp_path / "t.parquet", [columns()], METADATA)
    trials = list(read_trials(tmp_path / "t.parquet", **OF_TRIALS))
    assert [set(trial["trial"]) for trial in trials] == [{"walk0"}, {"walk1"}, {"walk2"}]
    for name, values in columns().items():
        np.testing.assert_array_equal(np.concatenate([trial[name] for trial in trials]), values)


def test_trials_of_nothing_are_none(path):
    shorten(path, 0)
    assert list(read_trials(path, **OF_TRIALS)) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "not a whole Parquet file"),
        (lambda path: pq.write_table(pq.read_table(path).drop_columns("frame"), path), r"also \['frame'\]"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_trials_of_a_table_that_cannot_be_used_are_refused(path, spoil, message):
    spoil(path)
    with pytest.raises(MixsteError, match=rf"t\.parquet.*{message}"):
        list(read_trials(path, **OF_TRIALS))


def test_damage_that_is_met_on_the_way_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 20)
    path = tmp_path / "t.parquet"
    write_table(path, [columns()], METADATA)
    data, page = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(2).column(3).data_page_offset
    data[page : page + 20] = b"\xff" * 20
    path.write_bytes(data)
    trials = read_trials(path, **OF_TRIALS)
    assert len(next(trials)["joints"]) == 20
    with pytest.raises(MixsteError, match=r"t\.parquet"):
        list(trials)


@pytest.mark.parametrize(
    ("key", "expected", "found"),
    [
        ("skeleton", "humaneva15", "h36m17"),
        ("kind", "projections", "recordings"),
        ("fps", 60.0, "50.0"),
        ("unit", "mm", "m"),
    ],
)
def test_another_kind_of_table_is_refused_by_name(path, key, expected, found):
    with pytest.raises(MixsteError) as error:
        read(path, **{key: expected})
    for part in (str(path), f"found: {key} {found}", f"expected: {key} {expected}"):
        assert part in str(error.value)


def test_projections_may_be_in_screen_units_and_recordings_not(tmp_path):
    seen = {**columns(), "clip": ["a"] * 50, "camera": ["b"] * 50, "keypoints": columns()["joints"]}
    seen |= {"valid": np.arange(50) > 3, "scale": np.ones(50, np.float32)}
    about = replace(METADATA, kind="projections", frame=FRAMES["projections"], unit="screen")
    write_table(tmp_path / "seen.parquet", [seen], about)
    found, _ = read(tmp_path / "seen.parquet", kind="projections", columns=["clip"])
    assert list(found) == ["clip", "valid", "scale"]
    assert found["valid"].tolist() == seen["valid"].tolist()
    write_table(tmp_path / "t.parquet", [columns()], replace(METADATA, unit="screen"))
    with pytest.raises(MixsteError, match=r"t\.parquet; found: unit screen; expected: unit m"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("kept", [0, 3, 100, 2000])
def test_a_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MixsteError, match=r"t\.parquet.*not a whole Parquet file"):
        read(path)


def test_damage_in_the_middle_is_no_traceback(path):
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(data)
    with pytest.raises(MixsteError, match=r"t\.parquet"):
        read(path)


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("recordings", "camera, X right, Y down, Z forward"),
        ("projections", "world, Z up"),
        ("recordings", "world, Y up"),
    ],
)
def test_another_frame_than_the_kinds_is_refused_by_name(tmp_path, kind, frame):
    metadata = replace(METADATA, kind=kind, frame=frame)
    write_table(tmp_path / "t.parquet", [columns()], metadata)
    with pytest.raises(MixsteError, match=f"t\\.parquet; found: frame {frame}; expected: frame {FRAMES[kind]}"):
        read(tmp_path / "t.parquet", kind=kind)


def test_what_is_projected_is_in_the_frame_that_is_expected():
    assert FRAMES["projections"] == geometry.FRAME


def test_a_missing_column_is_named_though_no_column_was_asked_for(tmp_path):
    whole = columns()
    del whole["action"]
    write_table(tmp_path / "t.parquet", [whole], METADATA)
    with pytest.raises(MixsteError, match=r"t\.parquet.*expected: also \['action'\]"):
        read(tmp_path / "t.parquet")


def test_projections_of_nothing_are_refused(tmp_path):
    seen = {**columns(), "clip": ["a"] * 50, "camera": ["b"] * 50, "keypoints": columns()["joints"]}
    metadata = replace(METADATA, kind="projections", frame=FRAMES["projections"])
    write_table(tmp_path / "t.parquet", [seen], metadata)
    shorten(tmp_path / "t.parquet", 0)
    with pytest.raises(MixsteError, match=r"t\.parquet; found: no rows"):
        read(tmp_path / "t.parquet", kind="projections")


def test_recordings_of_nothing_are_read(path):
    shorten(path, 0)
    found, _ = read(path)
    assert found["joints"].shape == (0, 17, 3)
    assert len(found["trial"]) == 0


def store_metadata(path, stored):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({KEY: stored}), path)


@pytest.mark.parametrize("stored", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b'{"kind": "recordings"}'])
def test_broken_metadata_is_no_traceback(path, stored):
    store_metadata(path, stored)
    with pytest.raises(MixsteError, match=r"cannot use .*t\.parquet.*metadata"):
        read(path)


@pytest.mark.parametrize("wrong", [{"kind": "videos"}, {"fps": "fifty"}, {"skeleton": None}])
def test_metadata_of_wrong_values_name_the_file(path, wrong):
    store_metadata(path, json.dumps({**asdict(METADATA), **wrong}).encode())
    with pytest.raises(MixsteError, match=r"cannot use .*t\.parquet.*metadata"):
        read(path, fps=None)


def test_no_file_and_a_foreign_file(tmp_path):
    with pytest.raises(MixsteError, match="no such file"):
        read_metadata(tmp_path / "none.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(MixsteError, match="without mixste metadata"):
        read_metadata(tmp_path / "foreign.parquet")


def test_unknown_kind():
    with pytest.raises(MixsteError, match="videos"):
        replace(METADATA, kind="videos")


def test_only_some_rows_are_read_across_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 4)
    write_table(tmp_path / "t.parquet", [columns(11)], METADATA)
    rows = [(1, 3), (3, 6), (9, 11)]
    found, _ = read(tmp_path / "t.parquet", rows=rows)
    for name, values in columns(11).items():
        expected = np.concatenate([np.asarray(values)[first:end] for first, end in rows])
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("group", [2, 3, 100])
def test_runs_are_where_any_text_changes_whatever_the_row_groups(tmp_path, monkeypatch, group):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", group)
    texts = {"trial": [*"aaabbbb"], "action": [*"xxyyyxx"]}
    write_table(tmp_path / "t.parquet", [{**columns(7), **texts}], METADATA)
    edges, found = read_runs(tmp_path / "t.parquet", ("trial", "action"))
    assert edges.tolist() == [0, 2, 3, 5, 7]
    assert found == {"trial": [*"aabb"], "action": [*"xyyx"]}
