"""Print what the last run came to: reports/evaluation/metrics.json as a table, and where to look next."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from mixste.errors import MixsteError
from mixste.scoring import METRICS as ERRORS
from pipelines.params import load
from pipelines.places import METRICS, REGISTERED
from pipelines.stage import run

_TITLES = {"mpjpe": "MPJPE", "p_mpjpe": "P-MPJPE", "n_mpjpe": "N-MPJPE", "mpjve": "MPJVE"}


def table(metrics: dict[str, Any], title: str) -> Table:
    """Return the test errors as a table: a row a model, mm, means over actions."""
    shown = Table(title=title, title_justify="left", caption="mm (MPJVE: mm a frame), mean over actions", min_width=60)
    shown.add_column("model")
    for error in ERRORS:
        shown.add_column(_TITLES[error], justify="right")
    for model, scores in metrics.items():
        if isinstance(scores, dict) and "mpjpe" in scores:
            shown.add_row(model, *(f"{scores[error]:.1f}" for error in ERRORS))
    return shown


def main() -> None:
    """Print the table, the gain of pre-training and the registration."""
    params = load()
    if not METRICS.is_file():
        raise MixsteError("nothing to show", found=f"no {METRICS}", mend="run `make repro`")
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    motion = "synthetic motion" if params.data.synthetic else params.data.name
    console = Console()
    console.print(table(metrics, f"Test subjects, {motion}, simulated detections"))
    gain = metrics["pretraining_gain_mpjpe"]
    verb = "lowers" if gain >= 0 else "raises"
    console.print(f"pre-training {verb} MPJPE by {abs(gain):.1f} mm at the same fine-tuning budget")
    if REGISTERED.is_file():
        console.print(json.loads(REGISTERED.read_text(encoding="utf-8"))["why"])
    console.print(
        f"next: {METRICS.parent}/ (figures, tables, clip.gif), `dvc plots show`, `make ui`, `make params data=cmu`"
    )


if __name__ == "__main__":
    run(main)
