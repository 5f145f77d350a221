"""The stage `project`: recordings seen by cameras, one task a subject.

datasets/projections/random: exact views of everyone who is neither a validation nor a test subject, and of the former,
so that pre-training is validated on its own kind. datasets/projections/rig: detections of everyone, so that who is
labelled is chosen when training: a data set's own where data.labelled names one, else simulated ones of a rig.
"""

import json
import logging
import time
from typing import Any

from mixste.files.hashing import data_hash
from mixste.files.whole import whole_file, whole_folder
from pipelines import tracking
from pipelines.cluster import fan_out
from pipelines.params import Params, load
from pipelines.places import PROJECTED, PROJECTIONS, RECORDINGS
from pipelines.process import watching
from pipelines.process.stage import run
from pipelines.tasks.labelled import AT_ONCE, clip_tasks, write_clips
from pipelines.tasks.projected import DETECTIONS, project_file, tasks

log = logging.getLogger(__name__)


def main() -> None:
    """Project every recordings file that the split asks for, and whoever it names of a labelled data set."""
    params = load()
    address = params.cluster.address
    read = data_hash(RECORDINGS)
    with tracking.run("project", params, data_hash=read, parent=RECORDINGS, output=PROJECTIONS) as run:
        with whole_folder(PROJECTIONS.absolute()) as folder:
            for kind in DETECTIONS:
                (folder / kind).mkdir()
            started = time.perf_counter()
            done = fan_out(project_file, tasks(params, folder), "project", address=address)
            labelled = clip_tasks(params.data, folder / "rig")
            about = fan_out(write_clips, labelled, "project", address=address, at_once=AT_ONCE) if labelled else []
            taken = watching.figures([watch for _, watch in (*done, *about)], time.perf_counter() - started)
        counts = [count for count, _ in done]
        report = describe(params, counts, {task.subject: row for task, (row, _) in zip(labelled, about, strict=True)})
        with whole_file(PROJECTED) as partial:
            partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        run.log_figure(PROJECTED)
        run.log_metrics({**{f"{kind}.frames": report[kind]["frames"] for kind in DETECTIONS}, **taken})
    _log(report)
    watching.tell("project", "subject", taken)


def describe(params: Params, counts: list[dict[str, int]], subjects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the report: frames of each kind, and of a labelled data set how its 2D was made and what is uncommon."""
    labelled = params.data.labelled
    detections = {**DETECTIONS, **({"rig": labelled.detections} if labelled else {})}
    frames = {kind: sum(count.get(kind, 0) for count in counts) for kind in DETECTIONS}
    report: dict[str, Any] = {kind: {"detections": detections[kind], "frames": frames[kind]} for kind in DETECTIONS}
    if subjects:
        report["rig"]["frames"] += sum(row["frames"] for row in subjects.values())
        report["rig"]["joints"] = next(iter(subjects.values()))["joints"]
        report["rig"]["subjects"] = {
            name: {key: row[key] for key in ("clips", "frames", "notes")} for name, row in subjects.items()
        }
    return report


def _log(report: dict[str, Any]) -> None:
    for kind in DETECTIONS:
        about = report[kind]
        log.info("project: %s views, %s detections: %d frames", kind, about["detections"], about["frames"])
    for subject, row in report["rig"].get("subjects", {}).items():
        for note in row["notes"]:
            log.info("%s: %s", subject, note)


if __name__ == "__main__":
    run(main)
