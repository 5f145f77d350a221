"""Time to accuracy on one device, in one process: pre-train, fine-tune, train from scratch, score, by params.yaml.

    python -m benchmarks.accuracy [--precision bf16] [--no-compile] [--figure FILE] [--json FILE]

Run in a folder with params.yaml (`make params ...`) after `prepare`: recordings are projected here by as many processes
as there are cores, and the trainings are those of the stages, without Ray, DVC and MLflow, which need not be installed.
The table has the test MPJPE beside the seconds of training until then, compiling included, and the first digits of
the weights' SHA-256.
"""

import argparse
import hashlib
import json
import multiprocessing
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mixste.machine.memory import keep_freed
from mixste.models.checkpoint import WEIGHTS
from mixste.recipe import Execution
from mixste.sequences import read_sequences
from mixste.training.jobs import TrainingJob, write_model
from mixste.training.objectives import MPJPE
from mixste.training.state import save_training
from pipelines.evaluation.scoring import evaluate
from pipelines.params import Params, load
from pipelines.places import MODELS, PROJECTIONS, RECORDINGS, RIG, tables
from pipelines.recipes import finetuning_job, pretraining_job
from pipelines.tasks import projected


@dataclass(frozen=True)
class Trained:
    """A training's seconds, by the clock, and its records, epoch after epoch."""

    seconds: float
    records: list[dict[str, float]]


def project_all(params: Params) -> None:
    """Write datasets/projections as the stage `project` does."""
    for kind in projected.DETECTIONS:
        (PROJECTIONS / kind).mkdir(parents=True)
    with multiprocessing.Pool() as pool:
        pool.map(projected.project_file, projected.tasks(params, PROJECTIONS.absolute()), chunksize=1)


def train(name: str, job: TrainingJob, output: Path, device: torch.device, *, compiled: bool) -> Trained:
    """Train a stage's job and write its model folder."""
    started = time.perf_counter()
    trainer = job.trainer(device=device, execution=Execution(compile=compiled))
    records = []
    for record in trainer.epochs():
        records.append({**record, "since_start": time.perf_counter() - started})
        told = {key: f"{value:.4g}" for key, value in records[-1].items()}
        print(name, *(f"{key} {value}" for key, value in told.items()), flush=True)
    seconds = time.perf_counter() - started
    state = Path("runs") / name
    save_training(state, trainer)
    write_model(output, state, job, {"stage": name})
    return Trained(seconds, records)


def main() -> None:
    """Run everything, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    keep_freed()
    params = load()
    params = replace(params, cluster=replace(params.cluster, gpus_per_worker=float(chosen.device.type == "cuda")))
    if not PROJECTIONS.exists():
        started = time.perf_counter()
        project_all(params)
        print(f"project: {time.perf_counter() - started:.1f} s from {RECORDINGS}", flush=True)
    test = read_sequences(tables(RIG, params.data.split.test), skeleton=params.data.skeleton, fps=params.data.fps)
    rows: list[dict[str, Any]] = []
    before = 0.0
    for name in ("pretrained", "finetuned", "scratch"):
        parent = MODELS["pretrained"] if name == "finetuned" else None
        job = pretraining_job(params) if name == "pretrained" else finetuning_job(params, parent=parent)
        job = replace(job, precision=chosen.precision)
        trained = train(name, job, MODELS[name], chosen.device, compiled=not chosen.no_compile)
        before = before if name == "finetuned" else 0.0
        scores = evaluate(MODELS[name], test, params).summary["mean"]
        sha256 = hashlib.sha256((MODELS[name] / WEIGHTS).read_bytes()).hexdigest()
        rows.append(
            {"name": name, "seconds": trained.seconds, "since_nothing": before + trained.seconds, **scores}
            | {"sha256": sha256, "epochs": trained.records}
        )
        before += trained.seconds
        print(name, {key: round(value, 1) for key, value in scores.items()}, flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    if chosen.figure:
        draw(rows, chosen.figure)
    print("| model | its training, s | with what it builds on, s | test MPJPE, mm | P-MPJPE, mm | weights |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['name']} | {row['seconds']:.0f} | {row['since_nothing']:.0f} "
            f"| {row['mpjpe']:.1f} | {row['p_mpjpe']:.1f} | {row['sha256'][:12]} |"
        )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw each model's validation MPJPE against the seconds since nothing was trained."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for row in rows:
        before = row["since_nothing"] - row["seconds"]
        times = [before + record["since_start"] for record in row["epochs"]]
        axes.plot(times, [record[MPJPE.column] for record in row["epochs"]], marker=".", label=row["name"])
    axes.set(
        xlabel="seconds of training since nothing, compiling included", ylabel="validation MPJPE, mm", yscale="log"
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
