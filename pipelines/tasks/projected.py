"""Projections of a subject's recordings: one task a recordings file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixste.cameras import Rig, load_rig
from mixste.errors import MixsteError
from mixste.geometry import FRAME, SCREEN
from mixste.machine.memory import reset_memory_peak
from mixste.projection import Trial, View, random_views, rig_views
from mixste.skeleton import load_skeleton
from mixste.table import Metadata, read_metadata, read_trials
from mixste.table_writer import Piece, write_table
from pipelines.params import Params, ProjectSettings
from pipelines.places import PREPARED, RECORDINGS, subject_of
from pipelines.process import watching
from pipelines.process.watching import Watch
from pipelines.settings.data import SplitSettings

DETECTIONS = {"random": "exact", "rig": "simulated"}


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


def tasks(params: Params, folder: Path) -> list[Task]:
    """What there is to do: a task a recordings file, whose tables go below `folder`."""
    paths = sorted(RECORDINGS.absolute().glob("*.parquet"))
    kinds = plan(paths, params.data.split, labelled=params.data.labelled is not None)
    rig = load_rig(params.project.rig.cameras)
    common = (folder, params.data.skeleton, params.data.fps, params.project, rig, params.seed)
    return [Task(path, kind, *common) for path, kind in kinds.items()]


def plan(paths: Iterable[Path], split: SplitSettings, *, labelled: bool = False) -> dict[Path, tuple[str, ...]]:
    """Return the kinds of projection that each recordings file SOURCE-SUBJECT.parquet is for.

    With a labelled data set they are for random views only. Raises MixsteError if without one a subject of the split
    has no recordings.
    """
    subjects = {path: subject_of(path) for path in paths}
    of_sources = {name: _of_sources(subjects, name, split) for name in ("labels", "validation", "test")}
    for name, found in () if labelled else of_sources.items():
        _check_complete(found, name, split)
    pretraining = {path for path, subject in subjects.items() if subject not in split.held_out}
    validation = {path for path, subject in of_sources["validation"].items() if subject in split.validation.subjects}
    users = {"random": pretraining | validation, "rig": set() if labelled else set(subjects)}
    return {path: kinds for path in subjects if (kinds := tuple(kind for kind in users if path in users[kind]))}


def project_file(task: Task) -> tuple[dict[str, int], Watch]:
    """Write the projections of one recordings file; returns the frames of each kind, counted once a view, and the cost.

    Memory holds one trial, one view of it and row groups of the tables.
    """
    reset_memory_peak()
    with watching.watch() as watch:
        counts = {kind: _project(task, kind, watch) for kind in task.kinds}
        watch.frames = sum(counts.values())
    return counts, watch


def _project(task: Task, kind: str, watch: Watch) -> int:
    described = {"kind": "projections", "frame": FRAME, "screen": SCREEN, "detections": DETECTIONS[kind]}
    metadata = read_metadata(task.path)
    trials = watch.waiting(_trials(task, metadata.source))
    pieces = (_piece(view, trial, action) for trial, action in trials for view in _views(trial, kind, task))
    return write_table(task.folder / kind / task.path.name, pieces, Metadata(**{**vars(metadata), **described}))


def _of_sources(subjects: Mapping[Path, str], name: str, split: SplitSettings) -> dict[Path, str]:
    sources = getattr(split, name).sources
    return {path: subject for path, subject in subjects.items() if not sources or path.stem.split("-", 1)[0] in sources}


def _check_complete(found: Mapping[Path, str], name: str, split: SplitSettings) -> None:
    missing = [subject for subject in getattr(split, name).subjects if subject not in found.values()]
    if missing:
        raise MixsteError(
            f"too few subjects for data.split.{name}", found=f"no recordings of {', '.join(missing)}",
            expected=f"subjects from {', '.join(sorted(set(found.values()))) or 'none'}",
            mend=f"correct data.split.{name}, or see {PREPARED} for why their files were rejected",
        )  # fmt: skip


def _trials(task: Task, source: str) -> Iterator[tuple[Trial, str]]:
    for rows in read_trials(task.path, skeleton=task.skeleton, fps=task.fps):
        name, subject, action = (str(rows[column][0]) for column in ("trial", "subject", "action"))
        what = f"cannot project trial {name} of {task.path}"
        if not np.isfinite(rows["joints"]).all():
            raise MixsteError(what, found="NaN", mend="run `dvc repro -f -s prepare`")
        if (np.diff(rows["frame"]) != 1).any():
            raise MixsteError(what, found="missing frames", expected="every frame")
        yield Trial(source, subject, name, rows["joints"]), action


def _views(trial: Trial, kind: str, task: Task) -> Iterator[View]:
    skeleton, settings = load_skeleton(task.skeleton), task.settings
    if kind == "random":
        return random_views(trial, settings.views, skeleton=skeleton, seed=task.seed)
    radius, detector = settings.rig.radius, settings.detector
    return rig_views(trial, task.rig, radius, skeleton=skeleton, fps=task.fps, detector=detector, seed=task.seed)


def _piece(view: View, trial: Trial, action: str) -> Piece:
    names = {"clip": view.clip, "subject": trial.subject, "action": action, "camera": view.camera}
    return {**names, "frame": view.frames, "keypoints": view.keypoints, "joints": view.joints}
