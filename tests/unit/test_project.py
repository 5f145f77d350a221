"""The stage `project` on small tables: what it writes, for whom, and what it refuses before it writes anything."""

import hashlib
import json

import numpy as np
import pytest
import yaml

from mixste import table
from mixste.detector import DetectorSettings
from mixste.errors import MixsteError
from mixste.geometry import FRAME
from mixste.projection import RigSettings, ViewSettings
from mixste.table import Metadata, read_table
from mixste.table_writer import write_table
from pipelines import project, tracking
from pipelines.params import load
from pipelines.tasks.projected import project_file, tasks
from tests.unit.memory import peak

SUBJECTS = ("s1", "s2", "s3", "s4")
SPLIT = {"labels": {"subjects": ["s1"]}, "validation": {"subjects": ["s2"]}, "test": {"subjects": ["s3"]}}


def recording(folder, subject, source="sample", skeleton="h36m17", spoil=None):
    """Two trials, of 60 and of 40 frames."""
    rng = np.random.default_rng(len(subject))
    joints = np.repeat(rng.normal((0, 0, 0.95), (0.2, 0.2, 0.4), (1, 17, 3)), 100, axis=0).astype(np.float32)
    frames = np.concatenate([np.arange(60), np.arange(40)]).astype(np.int32)
    if spoil:
        spoil(joints, frames)
    columns = {
        "trial": ["walk_1"] * 60 + ["wave_1"] * 40,
        "subject": [subject] * 100,
        "action": ["walk"] * 60 + ["wave"] * 40,
        "frame": frames,
        "joints": joints,
    }
    metadata = Metadata("recordings", skeleton, "m", "world, Z up", 50.0, source, "MIT", synthetic=True)
    write_table(folder / f"{source}-{subject}.parquet", [columns], metadata)


def set_split(workplace, split):
    params = yaml.safe_load((workplace / "params.yaml").read_text())
    for name, group in split.items():
        params["data"]["split"][name] = {"sources": [], **group}
    params["project"]["views"] |= {"count": 2, "clip_frames": 50}
    params["model"]["frames"] = 9
    (workplace / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture
def stage(tracked_workplace, monkeypatch):
    """A working folder with four subjects, and tasks that run in this process."""
    for subject in SUBJECTS:
        recording(tracked_workplace / project.RECORDINGS, subject)
    set_split(tracked_workplace, SPLIT)
    monkeypatch.setattr(project, "fan_out", lambda function, items, title, address: [function(item) for item in items])
    return tracked_workplace


def written(folder):
    return {str(path.relative_to(folder / project.PROJECTIONS)) for path in folder.rglob("projections/*/*")}


def projections(folder, kind, subject):
    path = folder / project.PROJECTIONS / kind / f"sample-{subject}.parquet"
    return read_table(path, kind="projections", skeleton="h36m17", fps=50.0)


def test_random_views_of_all_but_test_subjects_and_the_rig_for_everyone(stage):
    project.main()
    random = {f"random/sample-{subject}.parquet" for subject in ("s1", "s2", "s4")}
    assert written(stage) == random | {f"rig/sample-{subject}.parquet" for subject in ("s1", "s2", "s3", "s4")}


def test_rows_are_whole_sequences_in_order(stage):
    project.main()
    for kind, views in (("random", 2), ("rig", 4)):
        columns, metadata = projections(stage, kind, "s1")
        assert list(columns) == ["clip", "subject", "action", "camera", "frame", "keypoints", "joints"]
        assert metadata.detections == {"random": "exact", "rig": "simulated"}[kind]
        assert (metadata.synthetic, metadata.licence, metadata.frame) == (True, "MIT", FRAME)
        names = [f"{clip}|{camera}" for clip, camera in zip(columns["clip"], columns["camera"], strict=True)]
        first = [number for number, name in enumerate(names) if number == 0 or names[number - 1] != name]
        assert len(first) == len(set(names)) == 2 * views
        steps = np.diff(columns["frame"])
        assert (np.delete(steps, np.array(first[1:]) - 1) == 1).all()
        assert columns["keypoints"].shape == columns["joints"].shape == (100 * views, 17, 3)
        assert set(columns["action"][[name.startswith("wave_1/0") for name in names]]) == {"wave"}


def test_the_same_recordings_give_the_same_bytes(stage):
    def digests():
        project.main()
        files = sorted((stage / project.PROJECTIONS).rglob("*.parquet"))
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    assert digests() == digests()


def test_the_order_in_which_tasks_end_shows_nowhere(stage, monkeypatch):
    def digests():
        project.main()
        return {path: path.read_bytes() for path in (stage / project.PROJECTIONS).rglob("*.parquet")}

    first = digests()
    monkeypatch.setattr(project, "fan_out", lambda f, items, title, **_: [f(item) for item in items[::-1]][::-1])
    assert digests() == first


def test_a_subjects_memory_does_not_grow_with_its_trials(stage, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 1000)
    [task, *_] = tasks(load(), stage / "made")
    metadata = Metadata("recordings", "h36m17", "m", "world, Z up", 50.0, "sample", "MIT", synthetic=True)

    def project_trials(count):
        joints = np.random.default_rng(0).normal((0, 0, 0.95), (0.2, 0.2, 0.4), (600, 17, 3)).astype(np.float32)
        names = {"subject": "s1", "action": "walk", "frame": np.arange(600, dtype=np.int32), "joints": joints}
        write_table(task.path, ({"trial": f"walk_{number}", **names} for number in range(count)), metadata)
        return lambda: project_file(task)

    project_trials(1)()
    few = peak(project_trials(4))
    assert peak(project_trials(16)) < 1.3 * few


def test_what_it_took_is_logged_and_in_no_output(stage, monkeypatch):
    logged = {}
    monkeypatch.setattr(tracking.Tracked, "log_metrics", lambda self, metrics, step=0: logged.update(metrics))
    project.main()
    report = json.loads(project.PROJECTED.read_text())
    assert logged["frames"] == logged["random.frames"] + logged["rig.frames"] == 300 * 2 + 400 * 4
    assert 0 < logged["data_seconds"] < logged["step_seconds"] < logged["seconds"]
    assert set(report) == {"random", "rig"}
    assert set(report["rig"]) == {"detections", "frames"}


def test_what_was_there_before_is_replaced(stage):
    stale = stage / project.PROJECTIONS / "rig" / "sample-s9.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    project.main()
    assert not stale.exists()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"test": {"subjects": ["s9"]}}, r"data\.split\.test.*s9"),
        ({"test": {"subjects": ["s1"]}}, "s1"),
        ({"test": {"subjects": ["s3", "s4", "s1"]}, "labels": {"subjects": ["s5"]}}, "s5"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused_before_anything_is_written(stage, split, message):
    set_split(stage, {**SPLIT, **split})
    with pytest.raises(MixsteError, match=message):
        project.main()
    assert not (stage / project.PROJECTIONS).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skeleton": "humaneva15"}, r"sample-s1\.parquet.*skeleton humaneva15.*skeleton h36m17"),
        ({"spoil": lambda joints, frames: joints.__setitem__((70, 3, 1), np.nan)}, r"trial wave_1 .*sample-s1.*NaN"),
        ({"spoil": lambda joints, frames: frames.__setitem__(slice(30, 60), 99)}, r"trial walk_1 .*missing frames"),
    ],
)
def test_recordings_that_cannot_be_used_leave_nothing_behind(stage, options, message):
    recording(stage / project.RECORDINGS, "s1", **options)
    with pytest.raises(MixsteError, match=message):
        project.main()
    assert not list(stage.glob("datasets/projections*"))


def test_truncated_recordings_are_refused(stage):
    path = stage / project.RECORDINGS / "sample-s3.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MixsteError, match=r"sample-s3\.parquet"):
        project.main()


def test_the_defaults_of_the_library_are_those_of_conf(root):
    sections = yaml.safe_load((root / "conf/project/default.yaml").read_text())
    for name, settings in (("views", ViewSettings), ("rig", RigSettings), ("detector", DetectorSettings)):
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in sections[name].items()}
        assert settings(**lists) == settings(), name
