"""Captures of every format become recordings: `python -m pipelines.prepare`, one task a subject of a source."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from mixste.captures import Recording, read_capture
from mixste.captures.cleaning import Limits
from mixste.captures.formats.amass import Bodies
from mixste.captures.preparing import prepare
from mixste.captures.report import Row, account, summarise
from mixste.captures.resampling import METHOD
from mixste.captures.source import Source
from mixste.captures.trials import Trial, find_trials, read_table
from mixste.errors import counted
from mixste.files.hashing import data_hash
from mixste.files.whole import whole_file, whole_folder
from mixste.joint_maps import load_joint_map
from mixste.machine.memory import reset_memory_peak
from mixste.skeleton import load_skeleton
from mixste.table import FRAMES, Metadata
from mixste.table_writer import write_table
from pipelines import tracking
from pipelines.cluster import fan_out
from pipelines.labelled import AT_ONCE, metadata_of, recording_tasks, write_recordings
from pipelines.params import Params, load
from pipelines.places import PREPARED, RECORDINGS
from pipelines.process import watching
from pipelines.process.stage import run
from pipelines.process.watching import Watch
from pipelines.settings.data import BodySettings, DataSettings, SourceSettings

FRAME = FRAMES["recordings"]


@dataclass(frozen=True)
class Subject:
    """One task: the trials of a subject in a source, and the table they go to."""

    source: Source
    trials: tuple[Trial, ...]
    limits: Limits
    metadata: Metadata
    path: Path


def main() -> None:
    """Write datasets/recordings and reports/prepare.json from params.yaml and the captures."""
    params = load()
    data = params.data
    with tracking.run("prepare", params, output=RECORDINGS) as run:
        with whole_folder(RECORDINGS) as folder:
            subjects = find_subjects(data, folder.resolve())
            started = time.perf_counter()
            done = fan_out(prepare_subject, subjects, "prepare", address=params.cluster.address)
            labelled = prepare_labelled(params, folder.resolve())
            watches = [watch for _, watch in (*done, *labelled.values())]
            taken = watching.figures(watches, time.perf_counter() - started)
            report = describe(data, subjects, [row for rows, _ in done for row in rows])
            report["labelled"] = {subject: count for subject, (count, _) in labelled.items()}
        with whole_file(PREPARED) as partial:
            partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        run.log_dataset(data.name, data_hash(RECORDINGS), RECORDINGS, "recordings")
        run.log_metrics({**report["total"], **taken})
        run.log_figure(PREPARED)
    _log(report)
    watching.tell("prepare", "subject", taken)


def prepare_labelled(params: Params, folder: Path) -> dict[str, tuple[dict[str, Any], Watch]]:
    """Write the recordings of a labelled data set that has world coordinates; what there is and the cost by subject."""
    tasks, address = recording_tasks(params.data, folder), params.cluster.address
    counts = fan_out(write_recordings, tasks, "prepare", address=address, at_once=AT_ONCE) if tasks else []
    return {task.subject: count for task, count in zip(tasks, counts, strict=True)}


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


def _source(settings: SourceSettings, data: DataSettings) -> Source:
    joint_map = load_joint_map(settings.joint_map).onto(load_skeleton(data.skeleton))
    more = {"bodies": _bodies(settings.body, Path(data.folder).resolve())} if settings.body else {}
    unit, up, fps = settings.metres_per_unit, settings.up, settings.fps
    return Source(settings.name, settings.format, joint_map, unit, up, fps, upright=settings.upright, more=more)


def _bodies(settings: BodySettings, folder: Path) -> Bodies:
    soft, regressor = (folder / name if name else None for name in (settings.soft, settings.regressor))
    return Bodies(folder / settings.models, soft, regressor, settings.fallback)


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


def _recordings(subject: Subject, rows: list[Row], watch: Watch) -> Iterator[Recording]:
    """Yield one file's recordings after another's, and append a row for each file."""
    read = watch.reading(read_capture)
    for trial in subject.trials:
        outcome = prepare(trial, subject.source, subject.limits, read=read)
        rows.append(account(subject.source, outcome))
        yield from outcome.recordings
        del outcome  # before the next file is read


def describe(data: DataSettings, subjects: list[Subject], rows: list[Row]) -> dict[str, Any]:
    """Return the report: what the recordings are, and what became of every file; MixsteError if a source is empty."""
    sources = list({subject.source.name: subject.source for subject in subjects}.values())
    return {
        "data": data.name,
        "synthetic": data.synthetic,
        "recordings": {
            "skeleton": data.skeleton,
            "unit": "m",
            "frame": FRAME,
            "fps": data.fps,
            "resampling": METHOD,
        },
        **summarise(rows, sources, Path(data.folder).resolve(), data.fps),
        "rows_without_file": _unused(data, subjects),
    }


def _unused(data: DataSettings, subjects: list[Subject]) -> list[str]:
    """Return the trials of the CSV that no file has."""
    known = {trial.name for subject in subjects for trial in subject.trials}
    return sorted(set(read_table(Path(data.folder) / data.trials)) - known) if data.trials else []


def _log(report: dict[str, Any]) -> None:
    log, total = logging.getLogger(__name__), report["total"]
    recordings, files = counted(total["recordings"], "recording"), counted(total["files"], "file")
    log.info("%s of %s, %.1f minutes", recordings, files, total["minutes"])
    for subject, count in report["labelled"].items():
        recordings, frames = counted(count["recordings"], "recording"), counted(count["frames"], "frame")
        log.info("%s of the labelled data set: %s, %s", subject, recordings, frames)
    for row in report["rejected"]:
        log.warning("rejected %s: %s", row["file"], row["reason"])
    if report["trimmed"]:
        log.warning("%s trimmed; see %s", counted(len(report["trimmed"]), "range"), PREPARED)
    if miscounted := sum("file" in row for row in report["warnings"]):
        log.warning("not as the table of trials says: %s; see %s", counted(miscounted, "file"), PREPARED)
    for row in report["warnings"]:
        if "file" not in row:
            log.warning("%s", row["warning"])


if __name__ == "__main__":
    run(main)
