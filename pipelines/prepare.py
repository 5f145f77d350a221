"""Captures of every format become recordings: `python -m pipelines.prepare`, one task a subject of a source."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from mixste.captures.report import Row, summarise
from mixste.captures.resampling import METHOD
from mixste.captures.trials import read_table
from mixste.errors import counted
from mixste.files.hashing import data_hash
from mixste.files.whole import whole_file, whole_folder
from mixste.table import FRAMES
from pipelines import tracking
from pipelines.cluster import fan_out
from pipelines.params import Params, load
from pipelines.places import PREPARED, RECORDINGS
from pipelines.process import watching
from pipelines.process.stage import run
from pipelines.process.watching import Watch
from pipelines.settings.data import DataSettings
from pipelines.tasks.captured import Subject, find_subjects, prepare_subject
from pipelines.tasks.labelled import AT_ONCE, recording_tasks, write_recordings

FRAME = FRAMES["recordings"]


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
