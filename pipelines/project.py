"""The stage `project`: recordings seen by cameras, one task a subject.

datasets/projections/random: exact views of everyone who is neither a validation nor a test subject, and of the former,
so that pre-training is validated on its own kind. datasets/projections/rig: simulated detections of everyone, so that
who is labelled is chosen when training.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mixste.cameras import Rig, load_rig
from mixste.errors import MixsteError
from mixste.files import whole_folder
from mixste.geometry import FRAME, SCREEN
from mixste.projection import Trial, View, random_views, rig_views
from mixste.skeleton import load_skeleton
from mixste.table import Metadata, read_table, write_table
from pipelines import tracking
from pipelines.cluster import fan_out
from pipelines.params import ProjectSettings, load
from pipelines.places import PROJECTIONS, RECORDINGS, subject_of
from pipelines.provenance import data_hash
from pipelines.settings import SplitSettings
from pipelines.stage import run

DETECTIONS = {"random": "exact", "rig": "simulated"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One recordings file and what becomes of it: `kinds` are among "random" and "rig"."""

    path: Path
    kinds: tuple[str, ...]
    folder: Path
    skeleton: str
    fps: float
    settings: ProjectSettings
    rig: Rig
    seed: int


def main() -> None:
    """Project every recordings file that the split asks for."""
    params = load()
    kinds = plan(sorted(RECORDINGS.absolute().glob("*.parquet")), params.data.split)
    rig = load_rig(params.project.rig.cameras)
    with tracking.run("project", params, data_hash=data_hash(RECORDINGS), parent="prepare") as run:
        with whole_folder(PROJECTIONS.absolute()) as folder:
            common = (folder, params.data.skeleton, params.data.fps, params.project, rig, params.seed)
            tasks = [Task(path, kind, *common) for path, kind in kinds.items()]
            counts = fan_out(project_file, tasks, "project", address=params.cluster.address)
        for kind, detections in DETECTIONS.items():
            frames = sum(count.get(kind, 0) for count in counts)
            log.info("project: %s views, %s detections: %d frames", kind, detections, frames)
            run.log_metrics({f"{kind}.frames": frames})


def plan(paths: Iterable[Path], split: SplitSettings) -> dict[Path, tuple[str, ...]]:
    """Return the kinds of projection that each recordings file SOURCE-SUBJECT.parquet is for.

    Raises MixsteError if a subject of the split has no recordings.
    """
    subjects = {path: subject_of(path) for path in paths}
    groups = {name: _chosen(subjects, name, split) for name in ("labels", "validation", "test")}
    pretraining = {path for path, subject in subjects.items() if subject not in split.held_out}
    users = {"random": pretraining | groups["validation"], "rig": set(subjects)}
    return {path: kinds for path in subjects if (kinds := tuple(kind for kind in users if path in users[kind]))}


def project_file(task: Task) -> dict[str, int]:
    """Write the projections of one recordings file; returns the frames of each kind, counted once a view."""
    columns, metadata = read_table(task.path, kind="recordings", skeleton=task.skeleton, fps=task.fps)
    trials = list(_trials(columns, metadata.source, task.path))
    counts = {}
    for kind in task.kinds:
        seen = [(view, trial.subject, action) for trial, action in trials for view in _views(trial, kind, task)]
        counts[kind] = sum(len(view.frames) for view, _, _ in seen)
        described = {"kind": "projections", "frame": FRAME, "screen": SCREEN, "detections": DETECTIONS[kind]}
        write_table(task.folder / kind / task.path.name, _columns(seen), Metadata(**{**vars(metadata), **described}))
    return counts


def _chosen(subjects: Mapping[Path, str], name: str, split: SplitSettings) -> set[Path]:
    group = getattr(split, name)
    of_sources = {
        path: subject for path, subject in subjects.items()
        if not group.sources or path.stem.split("-", 1)[0] in group.sources
    }  # fmt: skip
    missing = [subject for subject in group.subjects if subject not in of_sources.values()]
    if missing:
        raise MixsteError(
            f"too few subjects for data.split.{name}", found=f"no recordings of {', '.join(missing)}",
            expected=f"subjects from {', '.join(sorted(set(of_sources.values()))) or 'none'}",
            mend=f"correct data.split.{name}, or see reports/prepare.json for why their files were rejected",
        )  # fmt: skip
    return {path for path, subject in of_sources.items() if subject in group.subjects}


def _trials(columns: Mapping[str, np.ndarray], source: str, path: Path) -> Iterator[tuple[Trial, str]]:
    names, joints, frames = columns["trial"], columns["joints"], columns["frame"]
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)] if len(names) else [0]
    for start, end in pairwise(edges):
        name = str(names[start])
        if not np.isfinite(joints[start:end]).all():
            raise MixsteError(f"cannot project trial {name} of {path}", found="NaN", mend="run `dvc repro -f prepare`")
        if (np.diff(frames[start:end]) != 1).any():
            raise MixsteError(f"cannot project trial {name} of {path}", found="missing frames", expected="every frame")
        trial = Trial(source, str(columns["subject"][start]), name, joints[start:end])
        yield trial, str(columns["action"][start])


def _views(trial: Trial, kind: str, task: Task) -> Iterator[View]:
    skeleton, settings = load_skeleton(task.skeleton), task.settings
    if kind == "random":
        return random_views(trial, settings.views, skeleton=skeleton, seed=task.seed)
    radius, detector = settings.rig.radius, settings.detector
    return rig_views(trial, task.rig, radius, skeleton=skeleton, fps=task.fps, detector=detector, seed=task.seed)


def _columns(seen: list[tuple[View, str, str]]) -> dict[str, np.ndarray]:
    lengths = [len(view.frames) for view, _, _ in seen]
    names = {
        "clip": [view.clip for view, _, _ in seen],
        "subject": [subject for _, subject, _ in seen],
        "action": [action for _, _, action in seen],
        "camera": [view.camera for view, _, _ in seen],
    }
    strings = {name: np.repeat(np.array(values, dtype=object), lengths) for name, values in names.items()}
    arrays = ("frames", "keypoints", "joints")
    frames, keypoints, joints = (np.concatenate([getattr(view, name) for view, _, _ in seen]) for name in arrays)
    return {**strings, "frame": frames, "keypoints": keypoints, "joints": joints}


if __name__ == "__main__":
    run(main)
