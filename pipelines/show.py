"""Print what the last run came to: reports/evaluation/metrics.json as a table, and where to look next."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from mixste.errors import MixsteError
from mixste.scoring.protocols import PROTOCOLS
from mixste.scoring.scores import ERRORS, NEAR
from pipelines.params import load
from pipelines.places import METRICS, REGISTERED
from pipelines.process.stage import run
from pipelines.tracking import store

_TITLES = {"mpjpe": "MPJPE", "p_mpjpe": "P-MPJPE", "n_mpjpe": "N-MPJPE", "mpjve": "MPJVE", "pck": "PCK", "auc": "AUC"}


def table(metrics: dict[str, Any], title: str) -> Table:
    """Return the test errors as a table: a row a model, the protocol's means, in mm; PCK and AUC in percent."""
    protocol = PROTOCOLS[metrics["protocol"]]
    over = "valid frames" if protocol.weighted else f"{protocol.key.replace('_', ' ')}s"
    caption = f"mm (MPJVE: mm a frame{'; PCK, AUC: %' if protocol.scoring.near else ''}), mean over {over}"
    rows = Table(title=title, title_justify="left", caption=caption, min_width=60)
    columns = (*ERRORS, *(NEAR if protocol.scoring.near else ()))
    for heading in ("model", *(_TITLES[name] for name in columns), "MPJPE as published"):
        rows.add_column(heading, justify="left" if heading == "model" else "right")
    for model, scores in metrics.items():
        if isinstance(scores, dict) and "mpjpe" in scores:
            published = f"{scores['as_published']['mpjpe']:.1f}" if "as_published" in scores else ""
            rows.add_row(model, *(f"{scores[name]:.1f}" for name in columns), published)
    return rows


def _registration(console: Console, outcome: dict[str, Any], here: str) -> None:
    """What became of the model, and where, if that is not the registry `here`."""
    console.print(outcome["why"])
    if outcome.get("store", here) != here:
        console.print(f"that is of {outcome['store']}; to register in {here}: `dvc repro -f -s register`")


def main() -> None:
    """Print the table, the gain of pre-training and the registration."""
    params = load()
    if not METRICS.is_file():
        raise MixsteError("nothing to show", found=f"no {METRICS}", mend="run `make repro`")
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    motion = "synthetic motion" if params.data.synthetic else params.data.name
    console = Console()
    console.print(table(metrics, f"Test subjects, {motion}, {metrics['detections']} detections"))
    for name, why in metrics["left_out"].items():
        console.print(f"{name} is left out: {why}")
    gain = metrics.get("pretraining_gain_mpjpe")
    if gain is not None:
        verb = "lowers" if gain >= 0 else "raises"
        so = ", which on generated motion says nothing about people" if params.data.synthetic else ""
        console.print(f"pre-training {verb} MPJPE by {abs(gain):.1f} mm at the same fine-tuning budget{so}")
    if REGISTERED.is_file():
        _registration(console, json.loads(REGISTERED.read_text(encoding="utf-8")), store.name())
    console.print(f"next: {METRICS.parent}/ (table.md, figures, clip.html), `dvc plots show`, `make ui`")
    console.print("your own motion capture: docs/my-own-mocap.md")
    console.print("your own keypoints: `mixste lift FILE -o motion.bvh --model cmu-small`, docs/my-own-detector.md")


if __name__ == "__main__":
    run(main)
