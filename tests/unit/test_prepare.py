import hashlib
import json
import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from mixste import table
from mixste.captures.formats.bvh import Bvh, write_bvh
from mixste.errors import MixsteError
from mixste.settings.typed import build
from mixste.skeleton import load_skeleton
from mixste.table import read_table
from pipelines import prepare
from pipelines.settings.composing import compose
from pipelines.settings.data import DataSettings
from pipelines.tasks.captured import find_subjects, prepare_subject
from tests.unit.dataset_files import FIGURE
from tests.unit.memory import peak

SKELETON = load_skeleton("h36m17")
LOCAL = SimpleNamespace(address=None)
ROOT = Path(__file__).parents[2]


def write_trial(path, frames, seed=0, jump=None):
    """Someone, tall or short, who stands and drifts, in centimetres, Y up, at 60 fps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = 100 * FIGURE[:, [0, 2, 1]] * (1, 1, -1) * np.random.default_rng(seed).uniform(0.9, 1.1)
    figure[1:] -= figure[0]
    values = np.repeat(figure[None], frames, axis=0)
    values[:, 0] += np.arange(frames)[:, None]
    if jump:
        values[jump:, 0] += 500
    channels = (("Xposition", "Yposition", "Zposition"),) * 17
    values = values.reshape(frames, 51)
    write_bvh(path, Bvh(SKELETON.joints, (-1,) + (0,) * 16, np.zeros((17, 3)), channels, 1 / 60, values))


@pytest.fixture
def data():
    """The sample's settings."""
    from omegaconf import OmegaConf

    return build(DataSettings, OmegaConf.to_container(compose(["data=sample"], ROOT / "conf").data), "conf")


@pytest.fixture
def place(tmp_path, monkeypatch, data):
    """A folder with three trials of two subjects, where `prepare.main` runs without Ray."""
    monkeypatch.chdir(tmp_path)
    write_trial(Path("data/sample/S1/walking_01.bvh"), 120)
    write_trial(Path("data/sample/S1/turning_01.bvh"), 200, jump=100)
    write_trial(Path("data/sample/S2/walking_01.bvh"), 90, seed=1)
    monkeypatch.setattr(prepare, "fan_out", lambda function, items, title, **_: [function(item) for item in items])
    monkeypatch.setattr(prepare.tracking, "run", lambda *_, **__: nullcontext(MagicMock()))
    monkeypatch.setattr(prepare, "load", lambda: SimpleNamespace(data=data, cluster=LOCAL))
    return tmp_path


def set_data(monkeypatch, data, **changed):
    monkeypatch.setattr(prepare, "load", lambda: SimpleNamespace(data=replace(data, **changed), cluster=LOCAL))


def hashes():
    files = [*sorted(prepare.RECORDINGS.iterdir()), prepare.PREPARED]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_tables_say_what_they_hold(place, data):
    prepare.main()
    assert [file.name for file in sorted(prepare.RECORDINGS.iterdir())] == ["sample-S1.parquet", "sample-S2.parquet"]
    path = prepare.RECORDINGS / "sample-S1.parquet"
    columns, metadata = read_table(path, kind="recordings", skeleton="h36m17", fps=50)
    assert (metadata.unit, metadata.frame, metadata.source) == ("m", "world, Z up", "sample")
    assert metadata.synthetic
    assert metadata.licence == data.licence
    names = list(dict.fromkeys(columns["trial"]))
    assert names == ["turning_01", "turning_01.1", "walking_01"]
    assert set(columns["subject"]) == {"S1"}
    assert list(dict.fromkeys(columns["action"])) == ["turning", "walking"]
    for name in names:
        frames = columns["frame"][columns["trial"] == name]
        assert frames.tolist() == list(range(len(frames)))
    assert columns["joints"].shape == (len(columns["trial"]), 17, 3)


def test_the_report_counts_and_explains(place):
    prepare.main()
    report = json.loads(prepare.PREPARED.read_text())
    assert report["total"]["files"] == 3
    assert report["total"]["recordings"] == 4
    assert [row["file"] for row in report["trimmed"]] == ["S1/turning_01.bvh"]
    assert (report["trimmed"][0]["first"], report["trimmed"][0]["last"]) == (99, 100)
    assert report["sources"]["sample"]["joints"]["hip"] == "exact: hip"
    assert (
        report["subjects"]["sample-S2"]["frames"]
        == report["total"]["frames"] - report["subjects"]["sample-S1"]["frames"]
    )
    assert "band-limited" in report["recordings"]["resampling"]


def test_two_runs_give_the_same_bytes(place):
    prepare.main()
    first = hashes()
    prepare.main()
    assert hashes() == first


def test_the_order_in_which_tasks_end_shows_nowhere(place, monkeypatch):
    prepare.main()
    first = hashes()

    def backwards(function, items, title, **_):
        return [function(item) for item in items[::-1]][::-1]

    monkeypatch.setattr(prepare, "fan_out", backwards)
    prepare.main()
    assert hashes() == first


def test_a_subjects_memory_does_not_grow_with_its_trials(place, monkeypatch, data):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 500)
    for number in range(16):
        write_trial(Path(f"data/sample/{'few' if number < 4 else 'many'}/walk_{number}.bvh"), 600, seed=number)
    subjects = {subject.path.stem: subject for subject in find_subjects(data, place)}
    few, many = (subjects[f"sample-{name}"] for name in ("few", "many"))
    prepare_subject(few)
    assert (len(few.trials), len(many.trials)) == (4, 12)
    assert peak(lambda: prepare_subject(many)) < 1.3 * peak(lambda: prepare_subject(few))


def test_what_it_took_is_logged_and_in_no_output(place, monkeypatch, caplog):
    run = MagicMock()
    monkeypatch.setattr(prepare.tracking, "run", lambda *_, **__: nullcontext(run))
    with caplog.at_level(logging.INFO):
        prepare.main()
    [logged] = run.log_metrics.call_args.args
    report = json.loads(prepare.PREPARED.read_text())
    assert logged["frames"] == report["total"]["frames"]
    assert 0 < logged["data_seconds"] < logged["step_seconds"] < logged["seconds"]
    assert logged["frames_per_second"] == pytest.approx(logged["frames"] / logged["seconds"])
    assert 0.01 < logged["memory_peak_gib"] < 64
    assert "frames/s" in caplog.text
    assert not {"seconds", "memory_peak_gib"} & {*report["total"], *report}


def test_a_damaged_file_is_left_out_and_warned_about(place, caplog):
    path = Path("data/sample/S1/walking_01.bvh")
    path.write_text(path.read_text()[:-200])
    with caplog.at_level(logging.WARNING):
        prepare.main()
    [row] = json.loads(prepare.PREPARED.read_text())["rejected"]
    assert row["file"] == "S1/walking_01.bvh"
    assert "expected: 120 frames" in row["reason"]
    assert str(place) not in row["reason"]
    assert "S1/walking_01.bvh" in caplog.text


def test_a_subject_of_whom_nothing_is_left_has_no_table(place):
    Path("data/sample/S2/walking_01.bvh").write_text("")
    prepare.main()
    assert [file.name for file in prepare.RECORDINGS.iterdir()] == ["sample-S1.parquet"]
    assert json.loads(prepare.PREPARED.read_text())["subjects"]["sample-S2"]["frames"] == 0


def test_nothing_left_is_an_error_and_leaves_no_output(place):
    for path in Path("data/sample").glob("*/*.bvh"):
        path.write_text("HIERARCHY")
    with pytest.raises(MixsteError, match=r"nothing of source sample can be used.*no MOTION"):
        prepare.main()
    assert not prepare.RECORDINGS.exists()
    assert not prepare.PREPARED.exists()


def test_a_wrong_setting_stops_and_keeps_the_former_output(place, monkeypatch, data):
    prepare.main()
    first = hashes()
    [source] = data.sources
    for changed, message in (
        ({"sources": (replace(source, metres_per_unit=1.0),)}, "unit of source sample is wrong"),
        ({"sources": (replace(source, up="z"),)}, "vertical axis of source sample is wrong.*set up: y"),
        ({"sources": (replace(source, joint_map="cmu_amc"),)}, "joint map cmu_amc does not fit"),
        ({"sources": (replace(source, files="*.fbx"),)}, "no file matches"),
        ({"sources": (replace(source, fps=100.0),)}, "another frame rate"),
        ({"trials": "none.csv"}, "none.csv"),
        ({"skeleton": "h36m18"}, "h36m18"),
    ):
        set_data(monkeypatch, data, **changed)
        with pytest.raises(MixsteError, match=message):
            prepare.main()
        assert hashes() == first


def test_rows_of_the_table_without_a_file_are_reported(place, monkeypatch, data):
    rows = ["trial,subject,action", "walking_01,anna,walk", "turning_01,anna,turn", "lost_01,ben,walk"]
    Path("data/sample/trials.csv").write_text("\n".join(rows))
    Path("data/sample/S2/walking_01.bvh").unlink()
    set_data(monkeypatch, data, trials="trials.csv")
    prepare.main()
    assert json.loads(prepare.PREPARED.read_text())["rows_without_file"] == ["lost_01"]
    assert [file.name for file in prepare.RECORDINGS.iterdir()] == ["sample-anna.parquet"]


def test_frames_dropped_at_the_start_are_counted(place, monkeypatch, data):
    prepare.main()
    report = json.loads(prepare.PREPARED.read_text())
    counts = [report["total"], report["sources"]["sample"], report["subjects"]["sample-S1"]]
    assert [count["dropped_source_frames"] for count in counts] == [15, 15, 10]
    set_data(monkeypatch, data, drop_frames=0)
    prepare.main()
    assert json.loads(prepare.PREPARED.read_text())["total"]["dropped_source_frames"] == 0


def test_a_file_with_another_number_of_frames_than_the_table_says_is_used_and_reported(
    place, monkeypatch, data, caplog
):
    rows = ["trial,subject,action,frames", "walking_01,anna,walk,121", "turning_01,anna,turn,200"]
    Path("data/sample/trials.csv").write_text("\n".join(rows))
    Path("data/sample/S2/walking_01.bvh").unlink()
    set_data(monkeypatch, data, trials="trials.csv")
    with caplog.at_level(logging.WARNING):
        prepare.main()
    report = json.loads(prepare.PREPARED.read_text())
    [warning] = report["warnings"]
    assert (warning["file"], warning["found"], warning["expected"]) == ("S1/walking_01.bvh", 120, 121)
    assert "number of frames" in warning["warning"]
    assert report["total"]["recordings"] == 3
    assert "not as the table of trials says: 1 file; see" in caplog.text


def test_without_counts_in_the_table_there_are_no_warnings(place):
    prepare.main()
    assert json.loads(prepare.PREPARED.read_text())["warnings"] == []


def test_what_is_odd_of_people_and_rates_is_in_the_report_and_said(place, monkeypatch, data, caplog):
    for number in range(3):
        write_trial(Path(f"data/sample/S3/walk_{number}.bvh"), 100, seed=number, jump=50)
    [source] = data.sources
    set_data(monkeypatch, data, sources=(replace(source, metres_per_unit=0.006),))
    with caplog.at_level(logging.WARNING):
        prepare.main()
    report = json.loads(prepare.PREPARED.read_text())
    assert [row.get("subject", row.get("source")) for row in report["warnings"]] == [
        *("sample-S1", "sample-S2", "sample-S3"),
        "sample",
    ]
    assert all(row["warning"] in caplog.text for row in report["warnings"])
    assert "4 of 6 files with one faster than max_speed" in report["warnings"][-1]["warning"]
    assert report["subjects"]["sample-S1"]["upright"] == 1
    assert "table of trials" not in caplog.text


def test_people_who_lie_are_prepared_if_the_source_says_so(place, monkeypatch, data):
    [source] = data.sources
    set_data(monkeypatch, data, sources=(replace(source, up="z", upright=False),))
    prepare.main()
    report = json.loads(prepare.PREPARED.read_text())
    assert report["warnings"] == []
    assert report["subjects"]["sample-S1"]["upright"] == 0


def test_a_smaller_skeleton_is_made_with_the_same_map(place, monkeypatch, data):
    set_data(monkeypatch, data, skeleton="humaneva15")
    prepare.main()
    columns, _ = read_table(prepare.RECORDINGS / "sample-S2.parquet", kind="recordings", skeleton="humaneva15")
    assert columns["joints"].shape[1] == 15
