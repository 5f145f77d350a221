"""The label-efficiency study's report: every trial scored, as CSV and JSON, the table for a README, the figure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from mixste import drawing
from mixste.files.whole import whole_file, whole_folder
from mixste.scoring.protocols import PROTOCOLS, summary
from mixste.scoring.scores import score
from mixste.sequences import Sequences, read_sequences
from mixste.training.state import read_state
from pipelines.evaluation.report import write_rows
from pipelines.evaluation.scoring import predict, test_hash
from pipelines.params import Params
from pipelines.places import RIG, tables
from pipelines.provenance import commit_in_words, data_in_words, git_state

Row = dict[str, Any]
_HEAD = "| labels | arm | seeds | mean | mean over {} | P-MPJPE |"
_SETTINGS = ("study", "model", "pretrain", "finetune")


def origin(params: Params) -> Row:
    """Return what the study's results rest on: code, data, precision, settings; read before the trainings start."""
    commit, dirty = git_state()
    return {
        "data": params.data.name,
        "protocol": params.data.protocol,
        "synthetic": params.data.synthetic,
        "detections": params.data.labelled.detections if params.data.labelled else "simulated",
        "test_data": test_hash(_test(params), params),
        "commit": commit,
        "dirty": dirty,
        "precision": params.cluster.precision,
        "settings": {name: asdict(getattr(params, name)) for name in _SETTINGS},
    }


def _test(params: Params) -> Sequences:
    data = params.data
    return read_sequences(tables(RIG, data.split.test), skeleton=data.skeleton, fps=data.fps)


def scored(work: tuple[Row, Path, Params]) -> Row:
    """Score a trial on the test subjects, in mm: `work` is what is known of it, its folder, and the parameters."""
    row, folder, params = work
    split, data, sequences = params.data.split, params.data, _test(params)
    protocol, predicted = PROTOCOLS[data.protocol], predict(folder / "model", sequences, params)
    result = summary(score(predicted, sequences, protocol.scoring), protocol, split.apart)
    state = read_state(folder)
    row = {**row, "kept_epoch": state.kept_epoch, "validation_mpjpe": state.kept_score}
    row |= {**result["frame_mean"], "mpjpe_group_mean": result["group_mean"]["mpjpe"]}
    for group in ("subjects", "actions", "apart"):
        row |= {f"{group}.{name}": values["mpjpe"] for name, values in result[group].items()}
    return row


def write_report(folder: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Write trials.csv, study.json, table.md and label_efficiency.png into `folder`; errors are in mm.

    `about` is what `origin` returned.
    """
    kind = data_in_words(about["data"], about["synthetic"], about["detections"])
    with whole_folder(folder) as partial:
        # A learning rate needs more than the three decimals of an error.
        write_rows(partial / "trials.csv", [{**row, "lr": f"{row['lr']:g}"} for row in rows])
        with whole_file(partial / "study.json") as path:
            path.write_text(json.dumps({**about, "trials": rows}, indent=2) + "\n", encoding="utf-8")
        with whole_file(partial / "table.md") as path:
            groups_of = f"{PROTOCOLS[about['protocol']].key}s"
            path.write_text(f"{table(rows, groups_of)}\n\nMPJPE in mm; {kind}; {_source(about)}.\n", encoding="utf-8")
        tuned = [row for row in rows if row["labels"]]
        note = f"{kind}, commit {about['commit'][:10]}"
        drawing.label_efficiency(tuned, partial / "label_efficiency.png", note=note)


def table(rows: Sequence[Row], groups_of: str = "actions") -> str:
    """Return a Markdown table of MPJPE: a row a set of labels and arm, means over seeds, the seeds' own beside them.

    `groups_of` is what the protocol averages over.
    """
    groups = [key for key in rows[0] if key.startswith(("subjects.", "actions.", "apart."))]
    head = _HEAD.format(groups_of) + "".join(f" {key.split('.', 1)[1]} |" for key in groups)
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for labels, arm, own in _by_arm(rows):
        seeds = ", ".join(f"{row['mpjpe']:.1f}" for row in own)
        keys = ["mpjpe", "mpjpe_group_mean", "p_mpjpe", *groups]
        means = [f"{mean(row[key] for row in own):.1f}" for key in keys]
        cells = [labels, f"{arm} (lr {own[0]['lr']:g})", seeds, *means]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def told(folder: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return what the study came to, a line for each set of labels and arm, and where the report lies."""
    kind = data_in_words(about["data"], about["synthetic"], about["detections"])
    lines = [f"test MPJPE in mm, mean over seeds; {kind}"]
    found = [(f"{labels}: {arm}", mean(row["mpjpe"] for row in own)) for labels, arm, own in _by_arm(rows)]
    width = max(len(name) for name, _ in found)
    lines += [f"  {name:<{width}}  {error:.1f}" for name, error in found]
    return "\n".join([*lines, f"next: {folder}/ (table.md, label_efficiency.png, trials.csv), `make ui`"])


def _by_arm(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield each set of labels and arm with its rows, one a seed."""
    for labels, arm in dict.fromkeys((row["labels"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["labels"], row["arm"]) == (labels, arm)]
        yield labels or "none", arm, own


def _source(about: Mapping[str, Any]) -> str:
    commit = commit_in_words(about["commit"], about["dirty"])
    return f"data {about['data']}, {commit}, test data {about['test_data']}, {about['precision']}"
