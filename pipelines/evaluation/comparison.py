"""Our rows beside the published ones, for table.csv and table.md; rows of another 2D or protocol stand apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixste.published import BENCHMARKS, Row, load_published
from mixste.sequences import Sequences
from pipelines.evaluation.scoring import Evaluated, code_of
from pipelines.params import Params

TITLES = {"mpjpe": "MPJPE", "p_mpjpe": "P-MPJPE", "pck": "PCK", "auc": "AUC"}
OURS, BESIDE, APART = "ours", "published", "not comparable"
AS_IN_PAPERS = "as published"
_SIZES = ("parameters (M)", "linear MACs (M)", "all MACs (M)")
_HEAD = ("method", "venue", "2D", "protocol", "T", *_SIZES)
_PRINTED = {"parameters (M)": "parameters", "linear MACs (M)": "cost"}
_MILLION = 1e6
_LEGEND = (
    "MPJPE and P-MPJPE in mm, PCK and AUC in percent. MACs are of one window; linear ones are without attention's "
    "products. Ours are in bold."
)
_LEGEND_OF_TWICE = " Each is scored twice; compare with papers what is scored as published."
_LEGEND_OF_PUBLISHED = " What papers printed as 2 x MACs is halved. [2nd]: second-hand."

Line = dict[str, Any]


def lines(models: Mapping[str, Evaluated], sequences: Sequences, params: Params) -> list[Line]:
    """Our rows, then the published ones of the data set, if any; the same keys in every row, "" for nothing."""
    labelled = params.data.labelled
    benchmark = BENCHMARKS[labelled.format] if labelled else None
    protocol = benchmark.protocol if benchmark else params.data.protocol
    found = [*_ours(models, sequences, params, protocol)]
    if benchmark:
        split = params.data.split
        ours = "" if benchmark.tests_on(split.test.subjects, split.apart) else "our other test set"
        found += [_published(row, sequences.detections, protocol, ours) for row in load_published(benchmark.name)]
    keys = dict.fromkeys(key for line in found for key in line)
    return [{key: "" if line.get(key) is None else line[key] for key in keys} for line in found]


def page(rows: Sequence[Line], title: str, headline: str) -> str:
    """The rows as Markdown, worst first by the metric `headline`; what cannot be compared has a table of its own."""
    rows = sorted(rows, key=lambda line: -(line[headline] or 0))
    metrics = [metric for metric in TITLES if any(line.get(metric, "") != "" for line in rows)]
    together, apart = ([line for line in rows if (line["part"] == APART) == other] for other in (False, True))
    alone = all(line["part"] == OURS for line in rows)
    twice = any(line["method"].endswith(AS_IN_PAPERS) for line in rows if line["part"] == OURS)
    parts = [
        f"# {title}",
        _LEGEND + _LEGEND_OF_TWICE * twice + _LEGEND_OF_PUBLISHED * (not alone),
        _table(together, [*_HEAD, *metrics, "evidence", "remark"]),
    ]
    if alone:
        parts.append("No published figures are of these data, so the table has only our own rows.")
    if apart:
        parts += ["## Not comparable: another 2D, protocol, or help from the truth"]
        parts += [_table(apart, ["why apart", *_HEAD, *metrics, "evidence", "remark"])]
    for metric in metrics:
        own = [line for line in together if any(_actions(line, metric).values())]
        if any(line["part"] == BESIDE for line in own):
            parts += [f"## {TITLES[metric]} by action", _table(own, ["method", "T", *_actions(own[0], metric), metric])]
    return "\n\n".join(parts) + "\n"


def _ours(models: Mapping[str, Evaluated], sequences: Sequences, params: Params, protocol: str) -> Iterator[Line]:
    """Each model by both scorings."""
    motion = "synthetic motion" if sequences.synthetic else ""
    for name, result in models.items():
        counts = (result.parameters, result.linear_macs, result.all_macs)
        text = code_of(result.config.model.architecture, params).text
        scorings = (("every frame once", "", result.summary), (AS_IN_PAPERS, text, result.as_published))
        for scoring, remark, own in scorings:
            if own is None:
                continue
            metrics = [metric for metric in TITLES if metric in own["mean"]]
            yield {
                "part": OURS,
                "method": f"{name}, {scoring}",
                "2D": sequences.detections,
                "protocol": protocol,
                "T": result.config.model.frames,
                **{key: count / _MILLION for key, count in zip(_SIZES, counts, strict=True)},
                **{metric: own["mean"][metric] for metric in metrics},
                "evidence": "measured here",
                "remark": "; ".join(filter(None, (remark, motion))),
                **{f"{m}: {group}": values[m] for m in metrics for group, values in own["groups"].items()},
            }


def _published(row: Row, detections: str, protocol: str, ours: str) -> Line:
    """A published row; `ours` is why none can be set against our results, if there is a reason."""
    why = "; ".join(filter(None, (ours, row.why_apart(detections, protocol))))
    actions = {"mpjpe": row.mpjpe_actions, "p_mpjpe": row.p_mpjpe_actions}
    return {
        "part": APART if why else BESIDE,
        "why apart": why,
        "method": row.method,
        "venue": row.venue,
        "2D": row.detections,
        "protocol": row.protocol,
        "T": row.frames,
        "parameters (M)": row.parameters,
        "linear MACs (M)": row.linear_macs,
        **{metric: getattr(row, metric) for metric in TITLES},
        "evidence": row.evidence,
        "remark": row.remark,
        "second hand": " ".join(row.second_hand),
        "unverified": " ".join(row.unverified),
        "cost as printed (M)": row.cost,
        "cost means": row.cost_means if row.cost else None,
        "fps as printed": row.fps,
        **{f"{metric}: {action}": error for metric, own in actions.items() for action, error in own.items()},
    }


def _actions(line: Line, metric: str) -> Line:
    return {key: value for key, value in line.items() if key.startswith(f"{metric}: ")}


def _table(rows: Sequence[Line], columns: Sequence[str]) -> str:
    head = "| " + " | ".join(TITLES.get(key, key.split(": ")[-1]) for key in columns) + " |"
    return "\n".join([head, "|" + "---|" * len(columns), *(_line(row, columns) for row in rows)])


def _line(row: Line, columns: Sequence[str]) -> str:
    cells = [_cell(row, key) for key in columns]
    if row["part"] == OURS:
        cells = [f"**{cell}**" if cell else "" for cell in cells]
    return "| " + " | ".join(cells) + " |"


def _cell(row: Line, key: str) -> str:
    value = row.get(key, "")
    decimals = 2 if key == _SIZES[0] else 1
    text = f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
    name = _PRINTED.get(key, key)
    marks = {"[2nd]": "second hand", "[unverified]": "unverified"}
    doubts = [mark for mark, names in marks.items() if name in str(row.get(names, "")).split()]
    return " ".join([text, *doubts])
