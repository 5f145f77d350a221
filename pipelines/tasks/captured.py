"""Recordings of a subject's captures: one task a subject of a source."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from mixste.captures import Recording, read_capture
from mixste.captures.cleaning import Limits
from mixste.captures.formats.amass import Bodies
from mixste.captures.preparing import prepare
from mixste.captures.report import Row, account
from mixste.captures.source import Source
from mixste.captures.trials import Trial, find_trials
from mixste.joint_maps import load_joint_map
from mixste.machine.memory import reset_memory_peak
from mixste.skeleton import load_skeleton
from mixste.table import Metadata
from mixste.table_writer import write_table
from pipelines.process import watching
from pipelines.process.watching import Watch
from pipelines.settings.data import BodySettings, DataSettings, SourceSettings
from pipelines.tasks.labelled import metadata_of


@dataclass(frozen=True)
class Subject:
    """One task: the trials of a subject in a source, and the table they go to."""

    source: Source
    trials: tuple[Trial, ...]
    limits: Limits
    metadata: Metadata
    path: Path


def find_subjects(data: DataSettings, folder: Path) -> list[Subject]:
    """Return the tasks, by source and subject, whose tables go into `folder`; MixsteError if files are missing."""
    captures = Path(data.folder)
    table = captures / data.trials if data.trials else None
    limits = Limits(data.fps, data.drop_frames, data.max_speed, data.bone_tolerance, data.min_frames)
    subjects = []
    for settings in data.sources:
        source, metadata = _source(settings, data), metadata_of(data, settings.name, "recordings")
        trials = find_trials(captures.resolve(), settings.files, table)
        for name, own in groupby(trials, attrgetter("subject")):
            subjects.append(Subject(source, tuple(own), limits, metadata, folder / f"{source.name}-{name}.parquet"))
    return subjects


def prepare_subject(subject: Subject) -> tuple[list[Row], Watch]:
    """Write one subject's table, unless nothing of it is sound; returns a row for the report a file, and what it took.

    Memory holds one file with what becomes of it, and a row group of the table.
    """
    rows: list[Row] = []
    reset_memory_peak()
    with watching.watch() as watch:
        pieces = (recording.columns for recording in _recordings(subject, rows, watch))
        watch.frames = write_table(subject.path, pieces, subject.metadata)
    return rows, watch


def _source(settings: SourceSettings, data: DataSettings) -> Source:
    joint_map = load_joint_map(settings.joint_map).onto(load_skeleton(data.skeleton))
    more = {"bodies": _bodies(settings.body, Path(data.folder).resolve())} if settings.body else {}
    unit, up, fps = settings.metres_per_unit, settings.up, settings.fps
    return Source(settings.name, settings.format, joint_map, unit, up, fps, upright=settings.upright, more=more)


def _bodies(settings: BodySettings, folder: Path) -> Bodies:
    soft, regressor = (folder / name if name else None for name in (settings.soft, settings.regressor))
    return Bodies(folder / settings.models, soft, regressor, settings.fallback)


def _recordings(subject: Subject, rows: list[Row], watch: Watch) -> Iterator[Recording]:
    """Yield one file's recordings after another's, and append a row for each file."""
    read = watch.reading(read_capture)
    for trial in subject.trials:
        outcome = prepare(trial, subject.source, subject.limits, read=read)
        rows.append(account(subject.source, outcome))
        yield from outcome.recordings
        del outcome  # before the next file is read
