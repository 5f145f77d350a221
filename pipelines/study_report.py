"""The label-efficiency study's report: every trial as CSV and JSON, the table for a README, the figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from mixste import drawing
from mixste.files import whole_file, whole_folder
from pipelines.evaluation_report import write_rows

Row = dict[str, Any]
_HEAD = "| labels | arm | seeds | mean | mean over actions | P-MPJPE |"


def write_report(folder: Path, rows: Sequence[Row], origin: Mapping[str, str], *, synthetic: bool) -> None:
    """Write trials.csv, study.json, table.md and label_efficiency.png into `folder`; errors are in mm."""
    kind = "synthetic motion" if synthetic else f"{origin['data']} motion"
    note = f"{kind}, simulated detections, commit {origin['commit'][:10]}"
    with whole_folder(folder) as partial:
        write_rows(partial / "trials.csv", rows)
        with whole_file(partial / "study.json") as path:
            path.write_text(json.dumps({**origin, "trials": rows}, indent=2) + "\n", encoding="utf-8")
        with whole_file(partial / "table.md") as path:
            path.write_text(f"{table(rows)}\n\n{kind}, simulated detections, MPJPE in mm; {origin}\n", encoding="utf-8")
        tuned = [row for row in rows if row["labels"]]
        drawing.label_efficiency(tuned, partial / "label_efficiency.png", note=note)


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of MPJPE: a row a set of labels and arm, means over seeds, the seeds' own beside them."""
    groups = [key for key in rows[0] if key.startswith(("subjects.", "actions.", "apart."))]
    head = _HEAD + "".join(f" {key.split('.', 1)[1]} |" for key in groups)
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for labels, arm in dict.fromkeys((row["labels"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["labels"], row["arm"]) == (labels, arm)]
        seeds = ", ".join(f"{row['mpjpe']:.1f}" for row in own)
        keys = ["mpjpe", "mpjpe_action_mean", "p_mpjpe", *groups]
        cells = [
            labels or "none",
            f"{arm} (lr {own[0]['lr']:g})",
            seeds,
            *(f"{mean(r[k] for r in own):.1f}" for k in keys),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
