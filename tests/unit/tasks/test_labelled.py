"""Data sets with their own 2D through `prepare` and `project`: tables that training and scoring read, and a report."""

import hashlib
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mixste.captures.formats.bvh import Bvh, write_bvh
from mixste.datasets.h36m import subject_cameras
from mixste.errors import MixsteError
from mixste.geometry import project as see
from mixste.sequences import read_sequences
from mixste.skeleton import load_skeleton
from mixste.table import read_metadata, read_table
from pipelines import prepare, project
from pipelines.params import load
from pipelines.places import RIG, VIEWS, tables
from pipelines.recipes import pretraining_job
from tests.unit.dataset_files import (
    H36M,
    h36m_subjects,
    walk,
    write_h36m,
    write_humaneva,
    write_motionbert,
    write_mpi_inf_3dhp,
)

FPS = {"h36m": 50, "motionbert": 50, "mpi_inf_3dhp": 25, "humaneva": 60}


@pytest.fixture
def run(tracked_workplace, monkeypatch):
    """Set params.yaml to a labelled data set below data/, and run both stages in this process."""
    for stage in (prepare, project):
        monkeypatch.setattr(stage, "fan_out", lambda function, items, title, **_: [function(item) for item in items])

    def start(name, files, labels, validation, test, *, skeleton="h36m17", sources=(), detections="CPN", **changes):
        params = yaml.safe_load(Path("params.yaml").read_text())
        names = [str(Path(file).relative_to(tracked_workplace / "data")) for file in files]
        params["data"] |= {"name": name, "folder": "data", "synthetic": False, "licence": "theirs"}
        params["data"] |= {"skeleton": skeleton, "fps": FPS[name], "sources": list(sources), **changes}
        params["data"]["labelled"] = {"name": "set", "format": name, "files": names, "detections": detections}
        groups = {"labels": labels, "validation": validation, "test": test}
        for group, subjects in groups.items():
            params["data"]["split"][group] |= {"subjects": subjects, "sources": []}
        params["project"]["views"] |= {"count": 2, "clip_frames": 20}
        Path("params.yaml").write_text(yaml.safe_dump(params))
        prepare.main()
        project.main()
        return load()

    return start


def read(params, subjects):
    paths = [RIG / f"set-{subject}.parquet" for subject in subjects]
    return read_sequences(paths, skeleton=params.data.skeleton, fps=params.data.fps)


def test_human36m_becomes_sequences_and_random_views(run, workplace, caplog):
    caplog.set_level(logging.INFO)
    poses = h36m_subjects(("S1", "S8", "S9"))
    params = run("h36m", write_h36m(workplace / "data/h36m", poses), ["S1"], ["S8"], ["S9"])
    data = read(params, ["S1", "S9"])
    assert (len(data), data.unit, data.detections, data.synthetic) == (2 * 3 * 4, "m", "CPN", False)
    assert set(data.subjects) == {"S1", "S9"}
    assert set(data.actions) == {"Directions", "WalkDog"}
    assert (data.valid, data.scale) == (None, None)
    first = data.offsets[1]
    seen = see(data.joints[:first].numpy(), subject_cameras("S1")[0].intrinsics)
    np.testing.assert_allclose(data.keypoints[:first, :, :2], seen, atol=1e-5)
    assert read_metadata(RIG / "set-S1.parquet").licence == "theirs"
    assert sorted(path.stem for path in VIEWS.iterdir()) == ["set-S1", "set-S8"]
    recordings, _ = read_table(Path("datasets/recordings/set-S1.parquet"), kind="recordings", skeleton="h36m17", fps=50)
    np.testing.assert_array_equal(recordings["joints"], np.concatenate([*poses["S1"].values()]))
    assert len(pretraining_job(params).train) == 1
    told = {name: int(n) for name, n in re.findall(r"(\w+): (\d+) frames in", caplog.text)}
    frames = sum(len(joints) for actions in poses.values() for joints in actions.values())
    report = json.loads(Path("reports/project.json").read_text())
    assert told == {"prepare": frames, "project": report["random"]["frames"] + 4 * frames}


def test_the_report_says_whose_2d_it_is_and_what_is_uncommon(run, workplace):
    poses = h36m_subjects(("S1", "S8", "S9"))
    run("h36m", write_h36m(workplace / "data", poses, extra=2), ["S1"], ["S8"], ["S9"])
    report = json.loads(project.PROJECTED.read_text())
    assert report["random"] == {"detections": "exact", "frames": 2 * 2 * 63}
    assert (report["rig"]["detections"], report["rig"]["frames"]) == ("CPN", 3 * 4 * 63)
    assert report["rig"]["joints"]["hip"] == "exact: hip"
    about = report["rig"]["subjects"]["S9"]
    assert (about["clips"], about["frames"]) == (12, 252)
    assert any("cut in 12 videos: up to 2 frames more" in note for note in about["notes"])
    assert any("WalkDog (1)" in note for note in about["notes"])
    prepared = json.loads(prepare.PREPARED.read_text())["labelled"]
    assert prepared == {subject: {"recordings": 3, "frames": 63} for subject in ("S1", "S8", "S9")}


def test_a_validation_that_trains_has_random_views_that_train(run, workplace):
    poses = h36m_subjects(("S1", "S8", "S9"))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("keep: best", "keep: last"))
    split = yaml.safe_load(Path("params.yaml").read_text())["data"]["split"]
    split["validation"]["seen"] = True
    params = run("h36m", write_h36m(workplace / "data", poses), ["S1", "S8"], ["S8"], ["S9"], split=split)
    job = pretraining_job(params)
    assert [path.stem for path in job.train] == ["set-S1", "set-S8"]
    assert [path.stem for path in job.validation] == ["set-S8"]


def test_two_runs_give_the_same_bytes(run, workplace):
    def digests():
        files = write_h36m(workplace / "data", h36m_subjects(("S1", "S8", "S9")))
        run("h36m", files, ["S1"], ["S8"], ["S9"])
        written = [*sorted(Path("datasets").rglob("*.parquet")), project.PROJECTED]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in written]

    assert digests() == digests()


def test_motionberts_test_subjects_have_a_scale(run, workplace):
    videos = {f"s_{subject}_act_02_subact_01_ca_01": 12 for subject in ("01", "08")}
    path = write_motionbert(workplace / "data/h36m.pkl", videos, {"s_09_act_02_subact_01_ca_01": 12})
    params = run("motionbert", [path], ["S1"], ["S8"], ["S9"], detections="SH")
    train, test = read(params, ["S1"]), read(params, ["S9"])
    assert (train.unit, train.scale, test.unit, test.detections) == ("screen", None, "screen", "SH")
    assert test.scale.shape == (12,)
    limb = [load_skeleton("h36m17").index(name) for name in ("r_hip", "r_knee")]
    length = torch.linalg.norm(test.joints[:, limb[0]] - test.joints[:, limb[1]], dim=-1) * test.scale
    true = np.linalg.norm(walk(1)[0, limb[0]] - walk(1)[0, limb[1]])
    np.testing.assert_allclose(length, true, rtol=0.05)


def test_a_data_set_without_world_coordinates_has_no_random_views(run, workplace):
    files = write_mpi_inf_3dhp(workplace / "data")
    params = run("mpi_inf_3dhp", files, ["S1"], ["S2"], ["TS1", "TS5"], skeleton="mpi17", detections="ground truth")
    assert list(VIEWS.iterdir()) == list(Path("datasets/recordings").iterdir()) == []
    with pytest.raises(MixsteError, match=r"no projections of subject S2.*pretrain\.views=rig"):
        pretraining_job(params)
    test = read(params, ["TS1", "TS5"])
    assert test.valid.tolist() == [number % 3 > 0 for number in range(10)] * 2
    assert (test.root, test.detections) == (14, "ground truth")
    assert read(params, ["S1"]).valid is None


def test_humanevas_subjects_are_named_as_files_can_be(run, workplace):
    subjects = ("Train/S1", "Train/S2", "Validate/S1")
    files = write_humaneva(workplace / "data", subjects)
    params = run("humaneva", files, ["Train_S1"], ["Train_S2"], ["Validate_S1"], skeleton="humaneva15")
    assert [path.stem for path in tables(RIG, params.data.split.test)] == ["set-Validate_S1"]
    assert set(read(params, ["Validate_S1"]).actions) == {"Walking", "Jog"}
    assert sorted(path.stem for path in VIEWS.iterdir()) == ["set-Train_S1", "set-Train_S2"]


def capture(path):
    """Another figure's walk as BVH, centimetres and Y up."""
    values = 100 * walk(60)[..., [0, 2, 1]] * [1, 1, -1]
    path.parent.mkdir(parents=True)
    channels = (("Xposition", "Yposition", "Zposition"),) * 17
    bvh = Bvh(H36M.joints, (-1,) + (0,) * 16, np.zeros((17, 3)), channels, 1 / 50, flat(values))
    write_bvh(path, bvh)


def flat(values):
    """As positions relative to the root, but its own."""
    moved = np.concatenate([values[:, :1], values[:, 1:] - values[:, :1]], axis=1)
    return moved.reshape(len(values), -1)


def test_captures_pretrain_beside_a_labelled_data_set(run, workplace):
    capture(workplace / "data/mocap/ANNA/walk_01.bvh")
    source = {"name": "mocap", "format": "bvh", "files": "mocap/*/*.bvh", "joint_map": "h36m17"}
    source |= {"metres_per_unit": 0.01, "up": "y", "fps": None}
    files = write_h36m(workplace / "data/h36m", h36m_subjects(("S1", "S8", "S9")))
    params = run("h36m", files, ["S1"], ["S8"], ["S9"], sources=[source], trials=None, min_frames=9)
    assert [path.stem for path in pretraining_job(params).train] == ["mocap-ANNA", "set-S1"]
    assert sorted(path.stem for path in RIG.iterdir()) == ["set-S1", "set-S8", "set-S9"]


def test_files_that_are_not_there_are_named_before_anything_is_read(run, tracked_workplace):
    there, _ = write_h36m(tracked_workplace / "data")
    elsewhere = tracked_workplace / "data/h36m/data_2d_h36m_cpn.npz"
    with pytest.raises(MixsteError, match=r"data\.labelled are missing in data; found: no h36m/data_2d_h36m_cpn"):
        run("h36m", [there, elsewhere], ["S1"], ["S8"], ["S9"])


@pytest.mark.parametrize("missing", ["S5", "S11"])
def test_a_subject_that_the_files_lack_leaves_nothing(run, workplace, missing):
    files = write_h36m(workplace / "data", h36m_subjects(("S1", "S8", "S9")))
    with pytest.raises(MixsteError, match=rf"no subject {missing} in .*data_3d_h36m\.npz; found: S1, S8, S9"):
        run("h36m", files, ["S1"], ["S8"], ["S9", missing])
    assert not Path("datasets/projections").exists()
    assert not project.PROJECTED.exists()
