"""What pre-training and fine-tuning share: run a job on the cluster, follow it, write a model folder."""

import logging
from dataclasses import replace
from pathlib import Path

from mixste.training.jobs import TrainingJob, write_model
from mixste.training.state import FILE, read_state
from pipelines import distributed, tracking
from pipelines.distributed.worker import train_loop
from pipelines.params import Params
from pipelines.places import RUNS
from pipelines.process.locks import alone
from pipelines.recipes import data_seen

log = logging.getLogger(__name__)


def train(stage: str, job: TrainingJob, params: Params, output: Path, *, parent: Path) -> None:
    """Train a job, or go on with it, and write its kept weights as a model folder.

    `runs/STAGE-FINGERPRINT` holds what is this checkout's: the lock, and what training left when it was finished. Its
    checkpoints are in `cluster.storage`, below the same name. `parent` is what it reads: the output of the stage whose
    run this one builds on.
    """
    job = replace(job, precision=params.cluster.precision)
    transferred = job.transferred()
    if transferred is not None:
        log.info("%s: weights %s", stage, transferred)
    folder = RUNS.absolute() / f"{stage}-{job.fingerprint()}"
    data_hash = job.data_hash()
    tracked = tracking.run(stage, params, folder=folder, data_hash=data_hash, parent=parent, output=output)
    with alone(folder), tracked as run:
        if not (folder / FILE).exists():
            log.info("%s: %s", stage, job.amount())
            follow, settings = follower(stage, job, run), params.cluster
            cores = job.cores_worth(settings.min_workers or settings.workers)
            last = distributed.train(
                train_loop, {"job": job}, folder=folder, settings=settings, on_records=follow, cores=cores
            )
            follow(read_state(last).records, False)  # what a killed driver did not hear
            (last / FILE).replace(folder / FILE)
            last.rmdir()
        write_model(output, folder, job, {**data_seen(params, job), "stage": stage, "data_hash": data_hash})
        for name in ("config.json", "history.csv"):
            run.log_figure(output / name)
    state = read_state(folder)
    metric = job.metric
    log.info("%s: epoch %d, %s %.1f %s", output, state.kept_epoch, metric.label, state.kept_score, metric.unit)


def follower(stage: str, job: TrainingJob, run: tracking.Tracked) -> distributed.OnRecords:
    """What is done with epochs' records: MLflow's metrics, and a line with the time left for each trained now."""
    epochs, metric, seen = job.training.epochs, job.metric, set[int]()

    def follow(records: list[dict[str, float]], trained: bool) -> None:
        new = [record for record in records if int(record["epoch"]) not in seen]
        for record in new:
            epoch = int(record["epoch"])
            seen.add(epoch)
            run.log_metrics({key: value for key, value in record.items() if key != "epoch"}, step=epoch)
            if trained:
                tell(epoch, record)
        if new and not trained:
            log.info("%s  goes on after epoch %d/%d", stage, max(seen), epochs)

    def tell(epoch: int, record: dict[str, float]) -> None:
        left = record["seconds"] * (epochs - epoch)
        log.info(
            "%s  epoch %d/%d  loss %.4f  %s %.1f %s  %.0f frames/s  %.1f GiB  %d:%02d left",
            stage,
            epoch,
            epochs,
            record["loss"],
            metric.label,
            record[metric.column],
            metric.unit,
            record["frames_per_second"],
            record["memory_peak_gib"],
            *divmod(round(left), 60),
        )

    return follow
