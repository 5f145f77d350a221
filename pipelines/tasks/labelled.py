"""A data set that brings its own 2D, in the pipeline: recordings of its world, projections of its clips.

One task a subject; each reads the files whole, so that no more than AT_ONCE run at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixste.datasets import FORMATS, Clip, DataSet, read_recordings, read_subject, recorded_subjects
from mixste.errors import MixsteError
from mixste.geometry import SCREEN
from mixste.machine.memory import reset_memory_peak
from mixste.table import FRAMES, Metadata
from mixste.table_writer import Piece, write_table
from pipelines.process.watching import Watch, watch
from pipelines.settings.data import DataSettings, LabelledSettings

AT_ONCE = 2  # MotionBERT's file takes some gigabytes of memory


@dataclass(frozen=True)
class Task:
    """One subject, and the table its clips or recordings go to."""

    data: DataSet
    subject: str
    path: Path
    metadata: Metadata


def recording_tasks(data: DataSettings, folder: Path) -> list[Task]:
    """Return a task for each subject whose recordings go into `folder`; none without world coordinates."""
    if data.labelled is None:
        return []
    source = data_set(data, data.labelled)
    return _tasks(source, recorded_subjects(source), folder, metadata_of(data, data.labelled.name, "recordings"))


def clip_tasks(data: DataSettings, folder: Path) -> list[Task]:
    """Return a task for each subject of data.split, whose projections go into `folder`."""
    if data.labelled is None:
        return []
    unit, detections = FORMATS[data.labelled.format].unit, data.labelled.detections
    metadata = metadata_of(data, data.labelled.name, "projections")
    metadata = replace(metadata, unit=unit, screen=SCREEN, detections=detections)
    return _tasks(data_set(data, data.labelled), data.split.subjects, folder, metadata)


def write_recordings(task: Task) -> tuple[dict[str, Any], Watch]:
    """Write one subject's recordings; returns what the report says of them, and the cost."""
    reset_memory_peak()
    with watch() as own:
        recordings = own.reading(read_recordings)(task.data, task.subject)
        own.frames = write_table(task.path, (recording.columns for recording in recordings), task.metadata)
    return {"recordings": len(recordings), "frames": own.frames}, own


def write_clips(task: Task) -> tuple[dict[str, Any], Watch]:
    """Write one subject's projections; returns what the report says of them, and the cost.

    `joints` in the report says how the 2D's were made.
    """
    reset_memory_peak()
    with watch() as own:
        reading = own.reading(read_subject)(task.data, task.subject)
        arrays = ("keypoints", "joints", "valid", "scale")
        there = [name for name in arrays if all(getattr(clip, name) is not None for clip in reading.clips)]
        own.frames = write_table(task.path, (_piece(clip, there) for clip in reading.clips), task.metadata)
    counts = {"clips": len(reading.clips), "frames": own.frames}
    return {**counts, "notes": list(reading.notes), "joints": reading.keypoints}, own


def data_set(data: DataSettings, labelled: LabelledSettings) -> DataSet:
    """Return what the settings name, its files at absolute paths; MixsteError if one is not there.

    A file with `*` in its name is one of many.
    """
    files = tuple(Path(data.folder).absolute() / name for name in labelled.files)
    missing = [name for name in labelled.files if not any(Path(data.folder).glob(name))]
    if missing:
        raise MixsteError(
            f"files of data.labelled are missing in {data.folder}",
            found=f"no {', '.join(missing)}",
            mend="docs/datasets.md says what to download and where it goes; or correct data.labelled.files",
        )
    return DataSet(labelled.name, labelled.format, files, data.skeleton)


def _tasks(source: DataSet, subjects: Sequence[str], folder: Path, metadata: Metadata) -> list[Task]:
    return [Task(source, name, folder / f"{source.name}-{name}.parquet", metadata) for name in subjects]


def metadata_of(data: DataSettings, source: str, kind: str) -> Metadata:
    """What the tables of a source of the data say of themselves."""
    return Metadata(
        kind=kind,
        skeleton=data.skeleton,
        unit="m",
        frame=FRAMES[kind],
        fps=data.fps,
        source=source,
        licence=data.licence,
        synthetic=data.synthetic,
    )


def _piece(clip: Clip, arrays: Sequence[str]) -> Piece:
    names = {"clip": clip.name, "camera": clip.camera, "subject": clip.subject, "action": clip.action}
    frames = np.arange(len(clip.joints), dtype=np.int32)
    return {**names, "frame": frames, **{name: getattr(clip, name) for name in arrays}}
