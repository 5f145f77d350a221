"""A sweep's results in words: the table of all trials, what mattered, and how to use the best setting."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from mixste.errors import counted
from pipelines.params import Params
from pipelines.places import SWEEP
from pipelines.provenance import commit_in_words, git_state
from pipelines.sweeping.chosen import overrides
from pipelines.sweeping.importance import Importance

Row = Mapping[str, Any]
FILE, NAME = "best_model.yaml", "best"
_COSTS = ("parameters", "linear_macs", "all_macs")
_FRONTS = {"on_parameters": "parameters", "on_all_macs": "MACs"}
_TRAINED = {
    "scratch": "trained from scratch on the labels",
    "finetune": "pre-trained, then fine-tuned on the labels",
}
_HEAD = """\
# Sweep of {architecture} on {data}: {trials}

Each was {trained}; {note}; {commit}.
Errors are validation MPJPE in {unit} of the epoch that is kept, of subjects {subjects}; no test subject was read.
MACs are of one window, seconds of the last training; `front` says where no other trial is both as cheap and as good.
"""
_IMPORTANCE = """\
## What mattered

`share` is that of the error's variance which lies between a setting's values (eta squared; a range by thirds), at
epoch {epoch}, the last that every trial with a result reached. `by chance` is what a setting without any effect gets on
average in {trials}: a share near it says nothing, and few trials say little.

| setting | share | by chance | mean error by value |
|---|---|---|---|
"""
_BEST = """\
## The best

Trial {trial}, {error:.1f} {unit}. The stages train it in full and register it with:

```bash
{commands}
```
"""


def page(best: Params, rows: Sequence[Row], found: tuple[int, Sequence[Importance]], *, note: str, unit: str) -> str:
    """Return the Markdown page of the trials' rows, the best first; `found` is an epoch and the importances there.

    `best` are the best trial's settings, which say of all trials what is not swept.
    """
    epoch, importances = found
    head = _HEAD.format(
        architecture=best.model.architecture,
        data=best.data.name,
        trials=counted(len(rows), "trial"),
        trained=_TRAINED[best.sweep.train],
        note=note,
        commit=commit_in_words(*git_state()),
        unit=unit,
        subjects=", ".join(best.data.split.validation.subjects),
    )
    trials = counted(sum(row["validation_mpjpe"] is not None for row in rows), "trial")
    mattered = _IMPORTANCE.format(epoch=epoch, trials=trials) + "".join(map(_mattered, importances))
    chosen = _BEST.format(
        trial=rows[0]["trial"], error=rows[0]["validation_mpjpe"], unit=unit, commands="\n".join(commands(best))
    )
    table = "\n".join(_table([swept.key for swept in best.sweep.space], rows))
    return "\n".join([head, table, "", "![error against cost](pareto.png)", "", mattered, chosen])


def told(best: Params, rows: Sequence[Row], *, unit: str) -> str:
    """Return which of the trials' rows, the best first, is the best, where the report lies, and how to use it."""
    first = rows[0]
    values = ", ".join(f"{swept.key} {first[swept.key]}" for swept in best.sweep.space)
    lines = [
        f"best of {counted(len(rows), 'trial')}: trial {first['trial']}, {values}",
        f"validation MPJPE {first['validation_mpjpe']:.1f} {unit}; no test subject was read",
        f"next: {SWEEP}/ (sweep.md, pareto.png, sweep.csv), `make ui`; to train the best in full and register it:",
    ]
    return "\n".join([*lines, *(f"  {command}" for command in commands(best))])


def commands(best: Params) -> list[str]:
    """How the best setting is trained by the stages."""
    return [
        f"cp {SWEEP / FILE} conf/model/{NAME}.yaml",
        f"make params {shlex.join(overrides(best, model=NAME))}",
        "make repro",
    ]


def model_file(best: Params, row: Row, *, unit: str) -> str:
    """The best trial's model as a file of conf/model."""
    model = yaml.safe_dump(asdict(best.model), sort_keys=False)
    about = (
        f"Trial {row['trial']} of the sweep on {best.data.name}: validation MPJPE {row['validation_mpjpe']:.1f} {unit}"
    )
    lines = [f"{about}. To train it in full:", *(f"  {line}" for line in commands(best))]
    return "".join(f"# {line}\n" for line in lines) + model


def _table(keys: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    names = ["trial", *keys, "parameters", "linear MACs", "all MACs", "MPJPE", "epochs", "seconds", "front", ""]
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for row in rows:
        error = "-" if row["validation_mpjpe"] is None else f"{row['validation_mpjpe']:.1f}"
        costs = [f"{row[key]:,}" for key in _COSTS]
        fronts = ", ".join(name for key, name in _FRONTS.items() if row[key])
        cells = [row["trial"], *(row[key] for key in keys), *costs, error, row["epochs"], row["seconds"], fronts]
        yield "| " + " | ".join(map(str, [*cells, row["status"]])) + " |"


def _mattered(one: Importance) -> str:
    means = ", ".join(f"{name}: {error:.1f}" for name, error in one.means)
    return f"| {one.key} | {one.share:.2f} | {one.chance:.2f} | {means} |\n"
